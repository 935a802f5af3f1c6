package query

import (
	"context"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/view"
)

// TableInfo is a table as it is shown to whoever wants to ask.
type TableInfo struct {
	Name        string       `json:"name" doc:"The table's name." example:"events"`
	Description string       `json:"description"`
	Columns     []ColumnInfo `json:"columns" doc:"Its columns, in the order of SELECT *."`
}

// ColumnInfo is a column of a table.
type ColumnInfo struct {
	Name        string `json:"name" example:"distinct_id"`
	Type        string `json:"type" doc:"The engine's type." example:"VARCHAR"`
	Description string `json:"description"`
}

// about says in a line what a table or a column holds.
func about(table, column string) string {
	switch table + "." + column {
	case "events.":
		return "What happened, one row for each event."
	case "events.event_id":
		return "The event's id: the sender's own, or one that the server made."
	case "events.event":
		return "The event's name."
	case "events.timestamp":
		return "When it happened, as the sender says, in UTC."
	case "events.received_at":
		return "When the server accepted it, in UTC."
	case "events.distinct_id":
		return "The person it happened to, as the sender knows them."
	case "events.anonymous_id":
		return "The person before the sender knew them."
	case "events.device_id":
		return "The device it happened on."
	case "events.session_id":
		return "The session it belongs to."
	case "events.properties":
		return "What else the sender says of it, an object: properties->>'page' is a member as text."
	case "events.key_id":
		return "The key it was sent with."
	case "events.source":
		return "The way it came, such as track or events."
	case "persons.":
		return "What is known of people, one row for each."
	case "persons.distinct_id":
		return "The person, as the sender knows them."
	case "events.person_id":
		return "Whose event it is, by all that is known now: the person_id in persons, or the event's own id when it is nobody known."
	case "persons.person_id":
		return "How the person is called: the user id they began with."
	case "persons.distinct_ids":
		return "All ids of the person, in the order in which they joined."
	case "persons.anonymous_id":
		return "The person before the sender knew them."
	case "persons.traits":
		return "What the sender says of them, an object: traits->>'plan' is a member as text."
	case "persons.first_seen_at":
		return "When they were first identified, in UTC."
	case "persons.updated_at":
		return "When what is known of them last changed, in UTC."
	}
	return ""
}

// Tables lists the tables and columns that the permit's holder may see, datasets among them, with what they hold.
func (s *Service) Tables(ctx context.Context, permit gate.Permit) ([]TableInfo, error) {
	scope, err := s.scope(permit)
	if err == nil && s.datasets != nil {
		var all []view.Relation
		all, err = s.datasets(ctx, permit, nil)
		scope = scope.With(all)
	}
	if err != nil {
		return nil, err
	}
	tables := view.Schema(scope)
	list := make([]TableInfo, 0, len(tables))
	for _, t := range tables {
		info := TableInfo{Name: t.Name, Description: aboutTable(t.Name), Columns: make([]ColumnInfo, 0, len(t.Columns))}
		for _, c := range t.Columns {
			info.Columns = append(info.Columns, ColumnInfo{c.Name, c.Type, aboutColumn(t.Name, c.Name)})
		}
		list = append(list, info)
	}
	return list, nil
}
