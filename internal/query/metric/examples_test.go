package metric_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
)

// told makes events of lines such as: ana view 29T01:59:59 {"plan":"pro"}, in March 2026 and UTC. A - is nobody.
func told(t testing.TB, space event.Space, lines string) []event.Event {
	t.Helper()
	var events []event.Event
	for i, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		at, err := time.Parse("2006-01-02T15:04:05", "2026-03-"+words[2])
		if err != nil {
			t.Fatal(err)
		}
		e := event.Event{
			Kind: event.Track, DistinctID: strings.TrimPrefix(words[0], "-"), Name: words[1], Timestamp: at, ReceivedAt: now, ID: fmt.Sprintf("id%03d", i), Source: "track",
			Project: space.Project, Environment: space.Environment, KeyID: "key_1", Properties: jsontext.Value("{}"),
		}
		if len(words) == 4 {
			e.Properties = jsontext.Value(words[3])
		}
		events = append(events, e)
	}
	return events
}

// Promise: the forms answer as their documentation says where it matters: at the edge of a window, at equal times, in
// the day that has 23 hours, for nobody, and for what is no number.
func TestForms(t *testing.T) {
	t.Parallel()
	w := openWarehouse(t)
	for i, c := range []struct {
		name, events, definition, want string
	}{
		{
			"the last moment of a window", "ana view 01T00:00:00\nana buy 01T01:00:00\nbob view 01T00:00:00\nbob buy 01T01:00:01",
			`{"funnel": {"steps": [{"event": "view"}, {"event": "buy"}], "window": "1 hour"}}`,
			"1 view 2 1 <nil> <nil>\n2 buy 1 0.5 0.5 3600",
		},
		{
			"a later attempt that gets there", "ana view 01T00:00:00\nana view 02T00:00:00\nana buy 02T00:00:10",
			`{"funnel": {"steps": [{"event": "view"}, {"event": "buy"}], "window": "1 hour"}}`,
			"1 view 1 1 <nil> <nil>\n2 buy 1 1 1 10",
		},
		{
			"steps out of order", "ana buy 01T00:00:00\nana view 01T00:00:01\nana open 01T00:00:02",
			`{"funnel": {"steps": [{"event": "view"}, {"event": "buy"}, {"event": "open"}]}}`,
			"1 view 1 1 <nil> <nil>\n2 buy 0 0 0 <nil>\n3 open 0 0 <nil> <nil>",
		},
		{
			"equal times", "ana view 01T00:00:00\nana buy 01T00:00:00\nbob view 01T00:00:00\nbob view 01T00:00:00",
			`{"funnel": {"steps": [{"event": "view"}, {"event": "buy"}]}}`,
			"1 view 2 1 <nil> <nil>\n2 buy 1 0.5 0.5 0",
		},
		{
			"the same event twice, at equal times and later", "ana view 01T00:00:00\nana view 01T00:00:00\nbob view 01T00:00:00\nbob view 01T00:00:01",
			`{"funnel": {"steps": [{"event": "view"}, {"event": "view"}]}}`,
			"1 view 2 1 <nil> <nil>\n2 view 1 0.5 0.5 1",
		},
		{
			"nobody enters", "- view 01T00:00:00", `{"funnel": {"steps": [{"event": "view"}, {"event": "buy"}]}}`,
			"1 view 0 <nil> <nil> <nil>\n2 buy 0 <nil> <nil> <nil>",
		},
		{
			"lines of a funnel", `ana view 01T00:00:00 {"plan":"a"}` + "\n" + `ana view 01T00:01:00 {"plan":"b"}` + "\nana buy 01T00:02:00\n" + `bob view 01T00:00:00 {"plan":"a"}` + "\nkim view 01T00:00:00",
			`{"funnel": {"steps": [{"event": "view"}, {"event": "buy"}], "breakdown": [{"property": "plan"}], "limit": 2}}`,
			"a false 1 view 2 1 <nil> <nil>\na false 2 buy 1 0.5 0.5 120\nb false 1 view 1 1 <nil> <nil>\nb false 2 buy 1 1 1 60\n" +
				"<nil> true 1 view 1 1 <nil> <nil>\n<nil> true 2 buy 0 0 0 <nil>",
		},
		{
			"the day that has 23 hours", "ana view 28T22:59:59\nana view 28T23:00:00\nana view 29T21:59:59\nana view 29T22:00:00",
			`{"trend": {}, "time_zone": "Europe/Paris"}`, "2026-03-28 1\n2026-03-29 2\n2026-03-30 1",
		},
		{
			"coming back across the change of clocks", "ana view 28T22:30:00\nana view 29T21:59:00\nbob view 28T23:30:00\nbob view 29T22:00:00\nkim view 29T10:00:00\nkim view 29T09:00:00",
			`{"retention": {"start": {"event": "view"}, "return": {"event": "view"}, "period": "day", "periods": 2}, "time_zone": "Europe/Paris"}`,
			"2026-03-28 1 0 1 1 true\n2026-03-28 1 1 1 1 true\n2026-03-28 1 2 0 0 true\n" +
				"2026-03-29 2 0 2 1 true\n2026-03-29 2 1 1 0.5 true\n2026-03-29 2 2 0 0 false\n" +
				"2026-03-30 0 0 0 <nil> true\n2026-03-30 0 1 0 <nil> false",
		},
		{
			"what is no number", `ana a 29T00:00:00 {"n":1}` + "\n" + `ana a 29T00:00:01 {"n":"2"}` + "\n" + `ana a 29T00:00:02 {"n":"NaN"}` + "\n" + `ana a 29T00:00:03 {"n":true}` + "\n" +
				`ana a 29T00:00:04 {"n":null}` + "\nana a 29T00:00:05\n" + `ana a 29T00:00:06 {"n":[7]}`,
			`{"top": {"by": {"column": "event"}, "measure": {"type": "sum", "property": "n"}}}`, "a 3",
		},
		{
			"all others", `ana a 29T00:00:00 {"p":"x"}` + "\n" + `bob a 29T00:00:01 {"p":"x"}` + "\n" + `ana a 29T00:00:02 {"p":"y"}` + "\nana a 29T00:00:03\nkim a 29T00:00:04\n" + `kim a 29T00:00:05 {"p":"other"}`,
			`{"trend": {"measure": {"type": "people"}, "breakdown": [{"property": "p"}], "limit": 2, "interval": "month"}}`,
			"2026-03-01 x false 2\n2026-03-01 <nil> false 2\n2026-03-01 <nil> true 2",
		},
		{
			"paths", "ana view 01T00:00:00\nana buy 01T00:00:00\nana open 01T00:30:00\nbob view 01T00:00:00\nbob buy 01T00:10:00\nkim view 01T00:00:00\nkim open 01T01:00:01\nkim view 02T00:00:00\nkim buy 02T00:00:00",
			`{"path": {"start": {"event": "view"}, "steps": 2, "window": "1 hour"}}`,
			"view buy open 1\nview buy <nil> 1\nview <nil> <nil> 1",
		},
	} {
		space := event.Space{Project: fmt.Sprintf("example%d", i), Environment: "production"}
		load(t, w, space, told(t, space, c.events))
		given := map[string]jsontext.Value{"from": raw("2026-03-01"), "to": raw("2026-03-31")}
		if strings.Contains(c.definition, "Paris") {
			given["from"] = raw("2026-03-28T12:00:00Z")
			given["to"] = raw("2026-03-30T22:00:00Z")
		}
		got, err := ask(t.Context(), w, space, compiled(t, c.definition), given, time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var rows []string
		for _, row := range got.rows {
			rows = append(rows, strings.TrimSuffix(fmt.Sprintln(row...), "\n"))
		}
		if text := strings.Join(rows, "\n"); text != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, text, c.want)
		}
	}
}
