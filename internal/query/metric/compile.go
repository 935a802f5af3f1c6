package metric

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// compiler makes the statement of one definition. What it is given has been checked.
type compiler struct {
	variables  map[string]*Variable
	zone       *time.Location
	traits     bool // the definition asks for traits: persons are joined
	parameters []Parameter
}

func newCompiler(d *Definition, zone *time.Location) *compiler {
	c := &compiler{variables: map[string]*Variable{}, zone: zone, traits: d.asksForTraits()}
	for i := range d.Variables {
		c.variables[d.Variables[i].Name] = &d.Variables[i]
	}
	return c
}

// form compiles the form of a definition that is not SQL.
func (c *compiler) form(d *Definition, s *Statement) {
	c.parameter(Parameter{Variable: From}) // $1
	c.parameter(Parameter{Variable: To})   // $2
	s.span = &span{back: lastDays, rows: 1}
	switch {
	case d.Trend != nil:
		c.trend(d.Trend, s)
	case d.Funnel != nil:
		c.funnel(d.Funnel, s)
	case d.Retention != nil:
		c.retention(d.Retention, s)
	case d.Top != nil:
		c.top(d.Top, s)
	default:
		c.path(d.Path, s)
	}
}

// parameter is the number of a parameter. The same parameter has one number.
func (c *compiler) parameter(p Parameter) int {
	for i, other := range c.parameters {
		if other.Variable == p.Variable && string(other.Value) == string(p.Value) {
			return i + 1
		}
	}
	c.parameters = append(c.parameters, p)
	return len(c.parameters)
}

// The ends of the time that is read, and the time at which the statement is run.
const (
	begin = "CAST($1 AS TIMESTAMP)"
	end   = "CAST($2 AS TIMESTAMP)"
)

func (c *compiler) now() string {
	return fmt.Sprintf("CAST($%d AS TIMESTAMP)", c.parameter(Parameter{}))
}

// events is the relation that a form reads: events, with persons beside them when traits are asked for.
func (c *compiler) events() string {
	if c.traits {
		return "events AS e LEFT JOIN persons AS p ON p.person_id = e.person_id"
	}
	return "events"
}

// column is a column of events.
func (c *compiler) column(name string) string {
	if name == "timestamp" {
		name = `"timestamp"` // also the name of a type
	}
	if c.traits {
		return "e." + name
	}
	return name
}

// person is who an event is of, by all that is known when it is asked; null when nobody is named.
func (c *compiler) person() string { return c.column("person_id") }

// text is the expression of a field: the text of a property or a trait, or a column as it is.
func (c *compiler) text(f Field) string {
	switch {
	case f.Property != "":
		return jsonText(c.column("properties"), f.Property)
	case f.Trait != "":
		return jsonText("p.traits", f.Trait)
	}
	return c.column(f.Column)
}

// during is the condition that an event lies in the time that is read, or up to a while after it.
func (c *compiler) during(after string) []string {
	at := c.column("timestamp")
	if after != "" {
		after = " + " + after
	}
	return []string{at + " >= " + begin, at + " < " + end + after}
}

// named is the condition that an event has a name.
func (c *compiler) named(event string) string {
	return c.column("event") + " = " + fmt.Sprintf("$%d", c.parameter(Parameter{Value: quote(event)}))
}

// step is the condition that an event is a step's.
func (c *compiler) step(s *Step) []string {
	return append([]string{c.named(s.Event)}, c.where(s.Filters)...)
}

// asksForTraits reports whether anything in the definition reads a trait.
func (d *Definition) asksForTraits() bool {
	var filters []Filter
	var fields []Field
	switch {
	case d.Trend != nil:
		filters, fields = d.Trend.Filters, d.Trend.Breakdown
	case d.Funnel != nil:
		filters, fields = slices.Clone(d.Funnel.Filters), d.Funnel.Breakdown
		for _, s := range d.Funnel.Steps {
			filters = append(filters, s.Filters...)
		}
	case d.Retention != nil:
		filters = slices.Concat(d.Retention.Filters, d.Retention.Start.Filters, d.Retention.Return.Filters)
	case d.Top != nil:
		filters, fields = d.Top.Filters, []Field{d.Top.By}
	case d.Path != nil:
		filters = slices.Concat(d.Path.Filters, d.Path.Start.Filters)
	}
	trait := func(f Field) bool { return f.Trait != "" }
	var asks func(f Filter) bool
	asks = func(f Filter) bool {
		return trait(f.Field) || slices.ContainsFunc(f.All, asks) || slices.ContainsFunc(f.Any, asks)
	}
	return slices.ContainsFunc(fields, trait) || slices.ContainsFunc(filters, asks)
}

// local is a time of UTC as the clocks of the zone show it.
func (c *compiler) local(at string) string {
	if c.zone == time.UTC {
		return at
	}
	return "timezone(" + literal(c.zone.String()) + ", timezone('UTC', " + at + "))"
}

// part is one part of a WITH clause.
type part struct {
	name string
	text string
}

// with writes a statement with its parts, each of which has lines of its own.
func with(parts []part, body string) string {
	var b strings.Builder
	b.WriteString("WITH\n")
	for i, p := range parts {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.WriteString(p.name + " AS (\n  " + strings.ReplaceAll(p.text, "\n", "\n  ") + "\n)")
	}
	return b.String() + "\n" + body
}

// selection writes SELECT … FROM … WHERE … with a line for each clause and each condition.
func selection(columns []string, from string, conditions []string) string {
	text := "SELECT " + strings.Join(columns, ",\n  ") + "\nFROM " + from
	if len(conditions) > 0 {
		text += "\nWHERE " + strings.Join(conditions, "\n  AND ")
	}
	return text
}
