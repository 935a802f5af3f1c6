package metric

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// PathWindow is the window of a path.
const PathWindow Duration = "1 day"

// path takes each person's first start between From and To and the events that follow it within the window. Events of
// the same time are in the order in which they were received, and then in that of their ids.
func (c *compiler) path(p *Path, s *Statement) {
	steps, window := cmp.Or(p.Steps, 3), cmp.Or(p.Window, PathWindow).interval()
	person, moment := c.person(), c.column("timestamp")
	columns := []string{person + " AS person", c.column("event"), moment + " AS moment", c.column("received_at"), c.column("event_id")}
	known := slices.Concat(c.where(p.Filters), []string{person + " IS NOT NULL"})
	const order = "moment, received_at, event_id"
	parts := []part{
		{"starts", selection(columns, c.events(), slices.Concat(c.during(""), c.step(&p.Start), known))},
		{"started", "SELECT DISTINCT ON (person) *\nFROM starts\nORDER BY person, " + order},
		{"matching", selection(columns, c.events(), slices.Concat(c.during(window), known))},
		{"followed", fmt.Sprintf("SELECT matching.person, matching.event,\n"+
			"  row_number() OVER (PARTITION BY matching.person ORDER BY matching.moment, matching.received_at, matching.event_id) AS place\n"+
			"FROM started JOIN matching ON matching.person = started.person\n"+
			"WHERE matching.moment >= started.moment AND matching.moment <= started.moment + %s\n"+
			"  AND (matching.moment, matching.received_at, matching.event_id) >= (started.moment, started.received_at, started.event_id)\n"+
			"QUALIFY place <= %d", window, steps+1)},
	}
	var events, names []string
	for i := range steps + 1 {
		name := fmt.Sprintf("event_%d", i+1)
		names = append(names, name)
		events = append(events, fmt.Sprintf("max(event) FILTER (WHERE place = %d) AS %s", i+1, name))
		s.Columns = append(s.Columns, Column{name, "VARCHAR"})
	}
	s.Columns = append(s.Columns, Column{"people", "BIGINT"})
	parts = append(parts, part{"paths", "SELECT person,\n  " + strings.Join(events, ",\n  ") + "\nFROM followed\nGROUP BY person"})
	all := strings.Join(names, ", ")
	s.SQL = with(parts, fmt.Sprintf("SELECT %s, count(*) AS people\nFROM paths\nGROUP BY %s\nORDER BY people DESC, %s\nLIMIT %d", all, all, all, cmp.Or(p.Limit, 20)))
}
