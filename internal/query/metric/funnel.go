package metric

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// DefaultWindow is the window of a funnel.
const DefaultWindow Duration = "7 days"

// funnel follows every event of the first step: to the earliest event of the second step that does not come before it,
// from there to the earliest of the third, and so on, as long as they lie within the window. A person counts for a step
// once, however often they reach it. The time to a step is that of the first attempt that reached it, since the step
// before.
//
// Two steps may come at the same time; but neighbours of the same event must come one after the other, or else one event
// would be both.
func (c *compiler) funnel(f *Funnel, s *Statement) {
	window := cmp.Or(f.Window, DefaultWindow).interval()
	b := c.breakdown(f.Breakdown, f.Limit)
	filters := c.where(f.Filters)
	person := c.person()
	known := slices.Concat(filters, []string{person + " IS NOT NULL"})
	moment := c.column("timestamp")
	entering := slices.Concat(c.during(""), c.step(&f.Steps[0]), known)
	parts := []part{{"reached_1", selection([]string{person + " AS person", moment + " AS started", moment + " AS reached"}, c.events(), entering)}}
	if b.parts() {
		entries := selection(append([]string{person + " AS person", moment + " AS started", moment + " AS reached"}, b.selected()...), c.events(), entering)
		parts = []part{
			{"entries", entries}, b.largest("entries", "count(DISTINCT person)"),
			{"reached_1", b.parted("entries", []string{"person", "started", "reached"})},
		}
	}
	for i := 1; i < len(f.Steps); i++ {
		parts = append(parts, c.reached(f, i, slices.Concat(c.during(window), c.step(&f.Steps[i]), known), window, &b)...)
	}
	c.funnelAnswer(f, s, parts, &b)
}

// reached are the parts that bring the attempts from the step before to step i, counted from 0.
func (c *compiler) reached(f *Funnel, i int, conditions []string, window string, b *breakdown) []part {
	comes := ">="
	if f.Steps[i].Event == f.Steps[i-1].Event {
		comes = ">"
	}
	step := fmt.Sprintf("step_%d", i+1)
	columns := append([]string{"before.person", "before.started", step + ".moment AS reached", "epoch(" + step + ".moment - before.reached) AS seconds"}, b.of("before")...)
	return []part{
		{step, selection([]string{c.person() + " AS person", c.column("timestamp") + " AS moment"}, c.events(), conditions)},
		{fmt.Sprintf("reached_%d", i+1), fmt.Sprintf("SELECT %s\nFROM reached_%d AS before\n  ASOF JOIN %s ON %s.person = before.person AND %s.moment %s before.reached\nWHERE %s.moment <= before.started + %s",
			strings.Join(columns, ", "), i, step, step, step, comes, step, window)},
	}
}

// funnelAnswer counts who reached what.
func (c *compiler) funnelAnswer(f *Funnel, s *Statement, parts []part, b *breakdown) {
	names := ""
	if b.parts() {
		names = strings.Join(b.plain(), ", ") + ", "
	}
	var each, steps []string
	for i := range f.Steps {
		seconds := "arg_min(seconds, started)"
		if i == 0 {
			seconds = "CAST(NULL AS DOUBLE)"
		}
		group := strings.TrimSuffix("person, "+names, ", ")
		each = append(each, fmt.Sprintf("SELECT %d AS step, %sperson, %s AS seconds FROM reached_%d GROUP BY %s", i+1, names, seconds, i+1, group))
		steps = append(steps, fmt.Sprintf("(%d, CAST($%d AS VARCHAR))", i+1, c.parameter(Parameter{Value: quote(f.Steps[i].Event)})))
	}
	lines, of, partition, order := "", "", "", "step"
	if b.parts() {
		lines = " CROSS JOIN (SELECT DISTINCT " + strings.Join(b.plain(), ", ") + " FROM reached_1) AS lines"
		of = strings.Join(b.of("lines"), ", ") + ", "
		partition = "PARTITION BY " + strings.Join(b.plain(), ", ") + " "
		order = "other, " + strings.Join(b.names, ", ") + ", step"
	}
	same := "counted.step = steps.step"
	if b.parts() {
		same += " AND " + b.same("counted", "lines", b.plain())
	}
	parts = append(parts,
		part{"people", strings.Join(each, "\nUNION ALL\n")},
		part{"counted", fmt.Sprintf("SELECT %sstep, count(*) AS people, median(seconds) AS median_seconds\nFROM people\nGROUP BY %sstep", names, names)},
		part{"rows", fmt.Sprintf("SELECT %ssteps.step, steps.event, coalesce(counted.people, 0) AS people, counted.median_seconds\nFROM (VALUES %s) AS steps(step, event)%s\n  LEFT JOIN counted ON %s",
			of, strings.Join(steps, ", "), lines, same)})
	s.SQL = with(parts, fmt.Sprintf("SELECT %sstep, event, people,\n  people / first_value(people) OVER in_order AS conversion,\n  people / lag(people) OVER in_order AS step_conversion,\n  median_seconds\nFROM rows\nWINDOW in_order AS (%sORDER BY step)\nORDER BY %s",
		names, partition, order))
	s.Columns = append(b.columns(), []Column{
		{"step", "INTEGER"}, {"event", "VARCHAR"}, {"people", "BIGINT"}, {"conversion", "DOUBLE"}, {"step_conversion", "DOUBLE"}, {"median_seconds", "DOUBLE"},
	}...)
}
