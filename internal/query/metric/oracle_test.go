package metric_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/query/metric"
)

// drawn makes random definitions.
type drawn struct {
	*rapid.T
	d *metric.Definition
}

// one draws one of some choices.
func one[V any](t *rapid.T, label string, from ...V) V { return rapid.SampledFrom(from).Draw(t, label) }

func raw(v any) jsontext.Value {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func (r *drawn) field() metric.Field {
	switch one(r.T, "field", 0, 0, 1, 2) {
	case 0:
		return metric.Field{Property: one(r.T, "property", properties...)}
	case 1:
		return metric.Field{Trait: "t"}
	}
	return metric.Field{Column: one(r.T, "column", "event", "distinct_id", "anonymous_id", "source")}
}

func (r *drawn) literal(f metric.Field, op string) any {
	text := one(r.T, "text", "a", "b", "A", "", "5", "it's", "view", "u1", "NaN", "%", "é", "true", "[1,2]")
	number := one(r.T, "number", 5, 2.5, -1, 0, 1000, 1e300)
	switch {
	case op == "contains" || op == "starts_with":
		return text
	case f.Column != "":
		return text
	}
	choices := []any{text, number}
	if op == "=" || op == "!=" {
		choices = append(choices, one(r.T, "bool", true, false))
	}
	return one(r.T, "literal", choices...)
}

func (r *drawn) filter(depth int) metric.Filter {
	if depth > 0 && rapid.IntRange(0, 4).Draw(r.T, "nested") == 0 {
		group := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) metric.Filter {
			inner := drawn{t, r.d}
			return inner.filter(depth - 1)
		}), 1, 3).Draw(r.T, "group")
		if rapid.Bool().Draw(r.T, "any") {
			return metric.Filter{Any: group}
		}
		return metric.Filter{All: group}
	}
	if rapid.IntRange(0, 9).Draw(r.T, "time") == 0 {
		at := one(r.T, "moment", "2026-03-29T01:00:00Z", "2026-03-31T22:00:00+00:00", "2026-03-08T02:00:00-05:00")
		return metric.Filter{Field: metric.Field{Column: "timestamp"}, Op: one(r.T, "op", "<", "<=", ">", ">=", "=", "!="), Value: raw(at)}
	}
	f := metric.Filter{Field: r.field(), Op: one(r.T, "op", "=", "!=", "in", "not_in", "<", "<=", ">", ">=", "contains", "starts_with", "exists", "not_exists")}
	if f.Op == "exists" || f.Op == "not_exists" {
		return f
	}
	if f.Op != "in" && f.Op != "not_in" {
		f.Value = raw(r.literal(f.Field, f.Op))
	} else if f.Column == "" && rapid.Bool().Draw(r.T, "numbers") {
		f.Value = raw(rapid.SliceOfN(rapid.SampledFrom([]float64{5, 2.5, -1, 1000}), 1, 3).Draw(r.T, "list"))
	} else {
		f.Value = raw(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "5", "it's", "view", ""}), 1, 3).Draw(r.T, "list"))
	}
	r.variable(&f)
	return f
}

// variable makes a variable of a filter's value, now and then.
func (r *drawn) variable(f *metric.Filter) {
	if rapid.IntRange(0, 3).Draw(r.T, "variable") > 0 || len(r.d.Variables) == 3 {
		return
	}
	var v any
	if err := json.Unmarshal(f.Value, &v); err != nil {
		panic(err)
	}
	var t metric.VariableType
	switch v := v.(type) {
	case string:
		t = metric.String
	case bool:
		t = metric.Boolean
	case float64:
		t = metric.Number
		if v == math.Trunc(v) && v < 1e9 {
			t = one(r.T, "type", metric.Number, metric.Integer)
		}
	case []any:
		if _, texts := v[0].(string); !texts {
			t = metric.Integers
			v = []any{5.0, -1.0}
		} else {
			t = metric.Strings
		}
		f.Value = raw(v)
	}
	made := metric.Variable{Name: fmt.Sprintf("v%d", len(r.d.Variables)), Type: t}
	if rapid.Bool().Draw(r.T, "default") {
		made.Default = f.Value
	}
	r.d.Variables = append(r.d.Variables, made)
	f.Value, f.Variable = nil, made.Name
}

func (r *drawn) filters() []metric.Filter {
	var all []metric.Filter
	for range one(r.T, "filters", 0, 0, 0, 1, 2) {
		all = append(all, r.filter(2))
	}
	return all
}

func (r *drawn) step() metric.Step {
	return metric.Step{Event: one(r.T, "event", eventNames...), Filters: r.filters()}
}

func (r *drawn) measure() metric.Measure {
	m := metric.Measure{Type: one(r.T, "measure", "", "count", "people", "sum", "avg", "min", "max", "median", "quantile")}
	if m.Type != "" && m.Type != "count" && m.Type != "people" {
		m.Property = one(r.T, "of", properties...)
	}
	if m.Type == "quantile" {
		m.Quantile = one(r.T, "quantile", 0.01, 0.25, 0.9, 0.999)
	}
	return m
}

func (r *drawn) breakdown() ([]metric.Field, int) {
	var fields []metric.Field
	for range one(r.T, "breakdowns", 0, 1, 1, 2) {
		fields = append(fields, r.field())
	}
	if fields == nil {
		return nil, 0
	}
	return fields, one(r.T, "limit", 0, 1, 2, 3)
}

func (r *drawn) definition() {
	r.d.TimeZone = one(r.T, "zone", zones...)
	window := func() metric.Duration {
		return one(r.T, "window", "", metric.Duration("30 minutes"), "1 hour", "1 day", "3600 seconds", "2 weeks")
	}
	event := one(r.T, "event", "", eventNames[0], eventNames[1])
	switch one(r.T, "form", "trend", "funnel", "retention", "top", "path") {
	case "trend":
		t := &metric.Trend{Event: event, Measure: r.measure(), Interval: one(r.T, "interval", "", metric.Hour, metric.Day, metric.Week, metric.Month), Filters: r.filters()}
		t.Breakdown, t.Limit = r.breakdown()
		r.d.Trend = t
	case "funnel":
		f := &metric.Funnel{Window: window(), Filters: r.filters()}
		for range rapid.IntRange(2, 4).Draw(r.T, "steps") {
			f.Steps = append(f.Steps, r.step())
		}
		f.Breakdown, f.Limit = r.breakdown()
		r.d.Funnel = f
	case "retention":
		r.d.Retention = &metric.Retention{
			Start: r.step(), Return: r.step(), Period: one(r.T, "period", "", metric.Day, metric.Week, metric.Month),
			Periods: one(r.T, "periods", 0, 1, 3), Filters: r.filters(),
		}
	case "top":
		r.d.Top = &metric.Top{Event: event, By: r.field(), Measure: r.measure(), Limit: one(r.T, "limit", 0, 1, 5), Filters: r.filters()}
	default:
		r.d.Path = &metric.Path{Start: r.step(), Steps: one(r.T, "steps", 0, 1, 5), Window: window(), Limit: one(r.T, "limit", 0, 2), Filters: r.filters()}
	}
}

// same compares an answer with the model's. Numbers may differ in their last digits.
func same(got, want [][]any) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if len(got[i]) != len(want[i]) {
			return fmt.Errorf("row %d is %v, want %v", i, got[i], want[i])
		}
		for n := range got[i] {
			x, isX := got[i][n].(float64)
			y, isY := want[i][n].(float64)
			if got[i][n] != want[i][n] && !(isX && isY && math.Abs(x-y) <= 1e-9*max(1, math.Abs(x), math.Abs(y))) {
				return fmt.Errorf("row %d is %v, want %v", i, got[i], want[i])
			}
		}
	}
	return nil
}

// Promise: every form, with whatever filters, variables, breakdowns and time zones, answers what a plain computation
// over the events answers: at the edges of windows, of days and of changes of clocks, for events of equal times, people
// without a name, and properties that are missing, null or of another type.
func TestFormsAgreeWithModel(t *testing.T) {
	t.Parallel()
	w := openWarehouse(t)
	type world struct {
		space   event.Space
		events  []fact
		persons map[string]map[string]value
	}
	var worlds []world
	for i, n := range []int{0, 3, 12, 40, 120, 400, 3000} {
		space := event.Space{Project: fmt.Sprintf("world%d", i), Environment: "production"}
		events, persons := facts(uint64(i), n)
		load(t, w, space, stored(space, events, persons))
		worlds = append(worlds, world{space, events, persons})
	}
	rapid.Check(t, func(t *rapid.T) {
		world := worlds[rapid.IntRange(0, len(worlds)-1).Draw(t, "world")]
		r := drawn{t, &metric.Definition{}}
		r.definition()
		zone, err := time.LoadLocation(r.d.TimeZone)
		if err != nil {
			t.Fatal(err)
		}
		from := one(t, "from", time.Date(2026, 3, 7, 0, 0, 0, 0, zone), time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), time.Date(2026, 3, 28, 23, 10, 0, 1000, time.UTC))
		to := one(t, "to", from.Add(time.Hour), from.Add(40*time.Hour), time.Date(2026, 4, 5, 0, 0, 0, 0, zone), time.Date(2026, 4, 14, 7, 5, 0, 0, time.UTC))
		m := model{d: r.d, events: world.events, persons: world.persons, from: from, to: to, zone: zone, given: map[string]any{}}
		m.now = one(t, "now", now, time.Date(2026, 4, 5, 0, 0, 0, 0, zone), to)
		given := map[string]jsontext.Value{"from": raw(from.Format(time.RFC3339Nano)), "to": raw(to.Format(time.RFC3339Nano))}
		for _, v := range r.d.Variables {
			if v.Default == nil {
				continue // without a value
			}
			var is any
			if err := json.Unmarshal(v.Default, &is); err != nil {
				t.Fatal(err)
			}
			m.given[v.Name] = is
		}
		s, err := metric.Compile(r.d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ask(t.Context(), w, world.space, s, given, m.now)
		if err != nil {
			t.Fatalf("%v\n%s", err, s.SQL)
		}
		if err := same(got.rows, m.answer()); err != nil {
			t.Fatalf("%s, %s\n%s\n%v", world.space, raw(r.d), shown(s), err)
		}
	})
}
