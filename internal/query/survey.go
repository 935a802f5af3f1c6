package query

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/view"
)

// The bounds of a survey.
const (
	SurveyedEvents = 10_000 // the latest, of which it tells
	surveyedNames  = 100    // the most frequent names
	surveyedKeys   = 500    // the most frequent pairs of a property and a type
	surveyTime     = 2 * time.Second
	surveyedLength = 200 // characters of a name; a longer one is not told
)

// Survey is what the latest events that somebody may see have in them, the most frequent first.
type Survey struct {
	Names      []SeenName     `json:"names" doc:"The names of events, at most 100."`
	Properties []SeenProperty `json:"properties" doc:"The members of properties, at most 500 with their types."`
}

// SeenName is a name of events.
type SeenName struct {
	Name  string `json:"name" example:"Button Clicked"`
	Count int64  `json:"count" doc:"How many of the events have it."`
}

// SeenProperty is a member of events' properties.
type SeenProperty struct {
	Name  string   `json:"name" example:"page"`
	Types []string `json:"types" doc:"The types of JSON that its values have, the most frequent first: string, number, boolean, array, object or null."`
	Count int64    `json:"count" doc:"How many of the events have it."`
}

// Survey looks at the latest events that the permit's holder may see. It takes part in the queue and has 2 seconds.
//
// Problems: query_timeout, query_too_heavy, query_queue_full, unavailable.
func (s *Service) Survey(ctx context.Context, permit gate.Permit) (Survey, error) {
	seen := Survey{Names: []SeenName{}, Properties: []SeenProperty{}}
	space, st, err := s.sighted(permit)
	if err != nil {
		return seen, err
	}
	if st.SQL = surveySQL(view.Schema(st.Scope)); st.SQL == "" {
		return seen, nil
	}
	limit := min(surveyTime, s.ceilings.Time)
	st.Ceilings = Ceilings{Time: limit, Rows: surveyedNames + surveyedKeys, Bytes: s.ceilings.Bytes}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, TooSlow(limit))
	defer cancel()
	rows, err := s.engine.Run(ctx, space, st)
	if err != nil {
		return seen, fault(ctx, err)
	}
	defer func() { _ = rows.Close() }() // whatever it says, the survey is complete or has failed by then
	return seen, fault(ctx, seen.read(rows))
}

// surveySQL is the statement of a survey over what there is of the tables; empty when that is too little.
func surveySQL(tables []view.Table) string {
	i := slices.IndexFunc(tables, func(t view.Table) bool { return t.Name == "events" })
	if i < 0 {
		return ""
	}
	has := func(column string) bool {
		return slices.ContainsFunc(tables[i].Columns, func(c view.Column) bool { return c.Name == column })
	}
	var columns, parts []string
	long := strconv.Itoa(surveyedLength)
	if has("event") {
		columns = append(columns, "event")
		parts = append(parts, "(SELECT 'name' AS what, event AS name, '' AS type, count(*) AS n FROM latest WHERE length(event) <= "+long+" GROUP BY event ORDER BY n DESC, name LIMIT "+
			strconv.Itoa(surveyedNames)+")")
	}
	if has("properties") {
		columns = append(columns, "properties")
		parts = append(parts, "(SELECT 'property' AS what, p.key AS name, p.type AS type, count(*) AS n FROM latest, json_each(latest.properties) AS p "+
			"WHERE length(p.key) <= "+long+" GROUP BY p.key, p.type ORDER BY n DESC, name, type LIMIT "+strconv.Itoa(surveyedKeys)+")")
	}
	if len(parts) == 0 {
		return ""
	}
	order := ""
	if has("received_at") {
		order = " ORDER BY received_at DESC"
	}
	return "WITH latest AS MATERIALIZED (SELECT " + strings.Join(columns, ", ") + " FROM events" + order + " LIMIT " + strconv.Itoa(SurveyedEvents) + ") " +
		strings.Join(parts, " UNION ALL ")
}

// read takes the rows in.
func (seen *Survey) read(rows Rows) error {
	c := newCells()
	places := map[string]int{}
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			seen.sort()
			return nil
		}
		if err != nil {
			return err
		}
		what, name, kind, n, err := readSeen(c, row)
		if err != nil {
			return err
		}
		if what == "name" {
			seen.Names = append(seen.Names, SeenName{name, n})
			continue
		}
		at, known := places[name]
		if !known {
			at = len(seen.Properties)
			places[name] = at
			seen.Properties = append(seen.Properties, SeenProperty{Name: name})
		}
		p := &seen.Properties[at]
		p.Count += n
		if kind = jsonKind(kind); !slices.Contains(p.Types, kind) {
			p.Types = append(p.Types, kind)
		}
	}
}

// readSeen reads a row of the survey: what it is about, a name, a type and how many events have it.
func readSeen(c *cells, row jsontext.Value) (what, name, kind string, n int64, err error) {
	if err := c.open(row); err != nil {
		return "", "", "", 0, err
	}
	for _, into := range []*string{&what, &name, &kind} {
		v, err := c.next()
		if err == nil {
			err = readInto(into, v)
		}
		if err != nil {
			return "", "", "", 0, err
		}
	}
	if n, err = c.count(); err == nil {
		err = c.close()
	}
	return what, name, kind, n, err
}

// count reads a number of the row.
func (c *cells) count() (int64, error) {
	v, err := c.next()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(v), 10, 64)
}

// sort puts the most frequent first: parts of a union have no order among one another.
func (seen *Survey) sort() {
	slices.SortStableFunc(seen.Names, func(a, b SeenName) int { return compareSeen(a.Count, b.Count, a.Name, b.Name) })
	slices.SortStableFunc(seen.Properties, func(a, b SeenProperty) int { return compareSeen(a.Count, b.Count, a.Name, b.Name) })
}

func compareSeen(a, b int64, first, second string) int {
	if a != b {
		return int(min(max(b-a, -1), 1))
	}
	return strings.Compare(first, second)
}

// jsonKind is the type of JSON that the engine's name for one stands for.
func jsonKind(engine string) string {
	switch engine {
	case "VARCHAR":
		return "string"
	case "BOOLEAN", "ARRAY", "OBJECT", "NULL":
		return strings.ToLower(engine)
	}
	return "number"
}
