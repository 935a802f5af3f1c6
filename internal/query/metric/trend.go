package metric

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// calendar is how a form parts time into periods. A day, a week and a month are dates, of the first day; an hour and a
// minute are instants in UTC.
//
// In UTC a period is a simple expression. In another zone it is looked up among the quarters of hours that the form
// reads: to ask the zone for each event would take longer than all the rest. All zones of today change their clocks at
// quarters of hours.
type calendar struct {
	slots []part // the quarters of hours and their periods; none in UTC
	join  string // what brings an event together with its slot
	of    string // an event's period, as the column time
	all   string // the statement of all periods from From to To
	kind  string // the engine's type of a period
}

// calendar parts the time that is read, and a while after it.
func (c *compiler) calendar(interval Interval, after string) calendar {
	at := c.column("timestamp")
	last := end + " - INTERVAL '1 microsecond'"
	dated := interval != Minute && interval != Hour
	k := calendar{kind: "TIMESTAMP"}
	typed := func(moment string) string { return moment }
	if dated {
		k.kind = "DATE"
		typed = func(moment string) string { return "CAST(" + moment + " AS DATE)" }
	}
	truncated := func(moment string) string { return "date_trunc('" + string(interval) + "', " + moment + ")" }
	if c.zone == time.UTC || interval == Minute {
		k.of = typed(truncated(at)) + " AS time"
		k.all = fmt.Sprintf("SELECT %s AS time\nFROM generate_series(%s, %s, INTERVAL '1 %s') AS series(moment)",
			typed("moment"), truncated(begin), last, interval)
		return k
	}
	const quarter = "time_bucket(INTERVAL '15 minutes', "
	period := typed(truncated(c.local("slot")))
	if !dated { // the beginning of the local hour, as an instant
		period = truncated(c.local("slot")) + " - (" + c.local("slot") + " - slot)"
	}
	if after != "" {
		last = end + " + " + after
	}
	k.slots = []part{{"slots", fmt.Sprintf("SELECT slot, %s AS time\nFROM generate_series(%s%s), %s, INTERVAL '15 minutes') AS series(slot)",
		period, quarter, begin, last)}}
	k.join = "\n  JOIN slots ON slots.slot = " + quarter + at + ")"
	k.of = "slots.time"
	k.all = "SELECT DISTINCT time\nFROM slots"
	if after != "" {
		k.all += "\nWHERE slot < " + end
	}
	return k
}

// figure is a measure in SQL.
type figure struct {
	column string // what it needs of each event, with a name; empty when it needs nothing
	value  string // over a group of events
	kind   string // the engine's type

	// With a breakdown, events are brought together for each period and line before it is known which lines are the
	// largest, when the figure of a whole can be had from that of its parts.
	carried []string // the columns that the parts have
	partial string   // what is computed of a part; empty when a part is its events, or its people
	apart   bool     // events are not brought together
	whole   string   // the figure over the parts
	rank    string   // what lines are ordered by, over the parts, the greatest first
}

func (c *compiler) figure(m Measure) figure {
	const events = "CAST(sum(events) AS BIGINT)"
	switch m.Type {
	case "", "count":
		return figure{value: "count(*)", kind: "BIGINT", carried: []string{"events"}, partial: "count(*) AS events", whole: events, rank: events}
	case "people":
		const people = "count(DISTINCT person)"
		return figure{
			column: c.person() + " AS person", value: people, kind: "BIGINT", carried: []string{"person"}, rank: people,
			// A person is there once for each period and value; only in the line of all others may they be there again.
			whole: "count(person) FILTER (WHERE NOT other) + count(DISTINCT person) FILTER (WHERE other)",
		}
	}
	const finite = " FILTER (WHERE isfinite(number))" // texts such as NaN and Infinity are numbers to the engine
	f := figure{column: number(jsonText(c.column("properties"), m.Property)) + " AS number", kind: "DOUBLE", carried: []string{"number", "events"}, rank: events}
	switch m.Type {
	case "sum":
		f.value, f.whole = "coalesce(sum(number)"+finite+", 0)", "coalesce(sum(number), 0)"
		f.partial, f.rank, f.carried = "sum(number)"+finite+" AS number", f.whole, []string{"number"}
		return f
	case "min", "max":
		f.value, f.whole = m.Type+"(number)"+finite, m.Type+"(number)"
		f.partial = f.value + " AS number, count(*) AS events"
		return f
	case "quantile":
		f.value = "quantile_cont(number, " + strconv.FormatFloat(m.Quantile, 'f', -1, 64) + ")" + finite
	default:
		f.value = m.Type + "(number)" + finite
	}
	f.whole, f.rank, f.carried, f.apart = f.value, "count(*)", []string{"number"}, true
	return f
}

// zero is the figure of nothing, over a value that is null then.
func (f *figure) zero(m Measure, value string) string {
	if f.kind == "BIGINT" || m.Type == "sum" {
		return "coalesce(" + value + ", 0)"
	}
	return value
}

// breakdown is the fields that an answer is parted by.
type breakdown struct {
	fields []string // their expressions
	names  []string // breakdown_1, …
	limit  int
}

func (c *compiler) breakdown(fields []Field, limit int) breakdown {
	b := breakdown{limit: cmp.Or(limit, 10)}
	for i, f := range fields {
		b.fields = append(b.fields, c.text(f))
		b.names = append(b.names, fmt.Sprintf("breakdown_%d", i+1))
	}
	return b
}

// parts reports whether there is anything to part by.
func (b *breakdown) parts() bool { return len(b.names) > 0 }

// selected are the fields with their names.
func (b *breakdown) selected() []string {
	columns := make([]string, len(b.names))
	for i, name := range b.names {
		columns[i] = b.fields[i] + " AS " + name
	}
	return columns
}

// of are the names as columns of a relation, and after them the one that says that a row is of all others.
func (b *breakdown) of(relation string) []string {
	if !b.parts() {
		return nil
	}
	return append(prefixed(relation+".", b.names), relation+".other")
}

// plain are the names by themselves.
func (b *breakdown) plain() []string {
	if !b.parts() {
		return nil
	}
	return append(slices.Clone(b.names), "other")
}

// same is the condition that two relations are of the same line. A value that is missing is a value here.
func (b *breakdown) same(one, other string, names []string) string {
	conditions := make([]string, len(names))
	for i, name := range names {
		conditions[i] = one + "." + name + " IS NOT DISTINCT FROM " + other + "." + name
	}
	return strings.Join(conditions, " AND ")
}

// largest is the part that finds the values with lines of their own, by a rank over the rows of a part.
func (b *breakdown) largest(from, rank string) part {
	names := strings.Join(b.names, ", ")
	return part{"largest", fmt.Sprintf("SELECT %s, true AS own\nFROM %s\nGROUP BY %s\nORDER BY %s DESC NULLS LAST, %s\nLIMIT %d",
		names, from, names, rank, names, b.limit)}
}

// parted is the statement that puts the rows of a part into lines.
func (b *breakdown) parted(from string, others []string) string {
	var columns []string
	for _, name := range others {
		columns = append(columns, from+"."+name)
	}
	for _, name := range b.names {
		columns = append(columns, "largest."+name)
	}
	columns = append(columns, "largest.own IS NULL AS other")
	return fmt.Sprintf("SELECT %s\nFROM %s LEFT JOIN largest ON %s", strings.Join(columns, ", "), from, b.same(from, "largest", b.names))
}

// columns are those of an answer.
func (b *breakdown) columns() []Column {
	if !b.parts() {
		return nil
	}
	var columns []Column
	for _, name := range b.names {
		columns = append(columns, Column{name, "VARCHAR"})
	}
	return append(columns, Column{"other", "BOOLEAN"})
}

func (c *compiler) trend(t *Trend, s *Statement) {
	interval := cmp.Or(t.Interval, Day)
	k, f, b := c.calendar(interval, ""), c.figure(t.Measure), c.breakdown(t.Breakdown, t.Limit)
	conditions := c.during("")
	if t.Event != "" {
		conditions = append(conditions, c.named(t.Event))
	}
	columns := append([]string{k.of}, b.selected()...)
	if f.column != "" {
		columns = append(columns, f.column)
	}
	parts := slices.Concat(k.slots, []part{
		{"times", k.all},
		{"matching", selection(columns, c.events()+k.join, append(conditions, c.where(t.Filters)...))},
	})
	value := f.zero(t.Measure, "counted.value") + " AS value"
	s.Columns = slices.Concat([]Column{{"time", k.kind}}, b.columns(), []Column{{"value", f.kind}})
	s.span.interval = interval
	if interval == Minute {
		s.span.back = lastDay
	}
	if !b.parts() {
		parts = append(parts, part{"counted", "SELECT time, " + f.value + " AS value\nFROM matching\nGROUP BY time"})
		s.SQL = with(parts, "SELECT times.time, "+value+"\nFROM times LEFT JOIN counted ON counted.time = times.time\nORDER BY times.time")
		return
	}
	s.span.rows = b.limit + 1
	parts = append(parts, f.broken(&b)...)
	s.SQL = with(parts, fmt.Sprintf("SELECT times.time, %s, %s\nFROM times CROSS JOIN lines\n  LEFT JOIN counted ON counted.time = times.time AND %s\nORDER BY times.time, lines.other, %s",
		strings.Join(b.of("lines"), ", "), value, b.same("counted", "lines", b.plain()), strings.Join(prefixed("lines.", b.names), ", ")))
}

// broken are the parts that compute a figure for each period and line of a breakdown.
func (f *figure) broken(b *breakdown) []part {
	from := "matching"
	var parts []part
	if !f.apart {
		from = "grouped"
		keys := "time, " + strings.Join(b.names, ", ")
		columns := f.partial
		if columns == "" {
			columns = f.carried[0]
			keys += ", " + columns
		}
		parts = append(parts, part{"grouped", fmt.Sprintf("SELECT time, %s, %s\nFROM matching\nGROUP BY %s", strings.Join(b.names, ", "), columns, keys)})
	}
	names := strings.Join(b.plain(), ", ")
	return append(parts,
		b.largest(from, f.rank),
		part{"parted", b.parted(from, append([]string{"time"}, f.carried...))},
		part{"counted", fmt.Sprintf("SELECT time, %s, %s AS value\nFROM parted\nGROUP BY time, %s", names, f.whole, names)},
		part{"lines", "SELECT DISTINCT " + names + "\nFROM counted"})
}

// prefixed are names with something before each.
func prefixed(prefix string, names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = prefix + name
	}
	return all
}

func (c *compiler) top(t *Top, s *Statement) {
	f := c.figure(t.Measure)
	item := c.text(t.By)
	conditions := c.during("")
	if t.Event != "" {
		conditions = append(conditions, c.named(t.Event))
	}
	conditions = append(append(conditions, c.where(t.Filters)...), item+" IS NOT NULL")
	columns := []string{item + " AS item"}
	if f.column != "" {
		columns = append(columns, f.column)
	}
	s.Columns = []Column{{"item", "VARCHAR"}, {"value", f.kind}}
	s.SQL = with([]part{{"matching", selection(columns, c.events(), conditions)}},
		fmt.Sprintf("SELECT item, %s AS value\nFROM matching\nGROUP BY item\nORDER BY value DESC NULLS LAST, item\nLIMIT %d", f.value, cmp.Or(t.Limit, 10)))
}
