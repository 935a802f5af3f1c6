package metric

import (
	"slices"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/query/zone"
)

// Check finds out whether a definition can be compiled. All faults are told at once, each by its path.
func (d *Definition) Check() error {
	found := d.faults()
	return found.problem()
}

func (d *Definition) faults() faults {
	c := checker{variables: map[string]*Variable{}, used: map[string]bool{}}
	place, err := zone.Named(d.TimeZone)
	if err != nil {
		c.add("time_zone", "must be the name of an IANA time zone, such as Europe/Paris")
		place = time.UTC
	}
	c.declarations(d, place)
	forms := d.forms()
	switch {
	case len(forms) == 0:
		c.add("sql", "is required; or one of trend, funnel, retention, top and path")
	case len(forms) > 1:
		for _, name := range forms[1:] {
			c.add(name, "cannot be combined with %s", forms[0])
		}
	}
	if d.SQL != "" {
		c.sql(d)
	}
	d.Trend.check(&c)
	d.Funnel.check(&c)
	d.Retention.check(&c)
	d.Top.check(&c)
	d.Path.check(&c)
	if c.conditions > MaxConditions {
		c.add(forms[0], "must have at most %d conditions in all its filters, has %d", MaxConditions, c.conditions)
	}
	if c.literals > MaxLiterals {
		c.add(forms[0], "must have at most %d values in all its filters, has %d", MaxLiterals, c.literals)
	}
	for i, v := range d.Variables {
		if len(c.fields) == 0 && !c.used[v.Name] {
			c.add(at("variables", i), "is used nowhere")
		}
	}
	return c.faults
}

// forms are the names of the forms that the definition has.
func (d *Definition) forms() []string {
	var names []string
	for _, form := range []struct {
		name string
		has  bool
	}{
		{"sql", d.SQL != ""}, {"trend", d.Trend != nil}, {"funnel", d.Funnel != nil}, {"retention", d.Retention != nil},
		{"top", d.Top != nil}, {"path", d.Path != nil},
	} {
		if form.has {
			names = append(names, form.name)
		}
	}
	return names
}

// declarations checks the variables that are declared.
func (c *checker) declarations(d *Definition, zone *time.Location) {
	if len(d.Variables) > MaxVariables {
		c.add("variables", "must have at most %d items, has %d", MaxVariables, len(d.Variables))
		return
	}
	for i := range d.Variables {
		v, path := &d.Variables[i], at("variables", i)
		v.check(&c.faults, path, zone)
		switch {
		case c.variables[v.Name] != nil:
			c.add(join(path, "name"), "is there already")
		case d.SQL == "" && (v.Name == From || v.Name == To):
			c.add(join(path, "name"), "is there already: each metric but those in SQL has the variables from and to")
		default:
			c.variables[v.Name] = v
		}
	}
}

func (t *Trend) check(c *checker) {
	if t == nil {
		return
	}
	c.optionalEvent("trend.event", t.Event)
	t.Measure.check(c, "trend.measure")
	c.oneOf("trend.interval", t.Interval, Minute, Hour, Day, Week, Month)
	c.breakdown("trend", t.Breakdown, t.Limit)
	c.filters(t.Filters, "trend.filters")
}

func (f *Funnel) check(c *checker) {
	if f == nil {
		return
	}
	if n := len(f.Steps); n < MinSteps || n > MaxSteps {
		c.add("funnel.steps", "must have %d to %d items, has %d", MinSteps, MaxSteps, n)
	}
	for i := range f.Steps {
		c.step(&f.Steps[i], at("funnel.steps", i))
	}
	f.Window.check(&c.faults, "funnel.window")
	c.breakdown("funnel", f.Breakdown, f.Limit)
	c.filters(f.Filters, "funnel.filters")
}

func (r *Retention) check(c *checker) {
	if r == nil {
		return
	}
	c.step(&r.Start, "retention.start")
	c.step(&r.Return, "retention.return")
	c.oneOf("retention.period", r.Period, Day, Week, Month)
	c.within("retention.periods", r.Periods, MaxPeriods)
	c.filters(r.Filters, "retention.filters")
}

func (t *Top) check(c *checker) {
	if t == nil {
		return
	}
	c.optionalEvent("top.event", t.Event)
	c.part(t.By, "top.by")
	t.Measure.check(c, "top.measure")
	c.within("top.limit", t.Limit, MaxRows)
	c.filters(t.Filters, "top.filters")
}

func (p *Path) check(c *checker) {
	if p == nil {
		return
	}
	c.step(&p.Start, "path.start")
	c.within("path.steps", p.Steps, MaxSteps)
	p.Window.check(&c.faults, "path.window")
	c.within("path.limit", p.Limit, MaxRows)
	c.filters(p.Filters, "path.filters")
}

// check finds what is wrong with a measure. The empty one counts events.
func (m *Measure) check(c *checker, path string) {
	switch m.Type {
	case "", "count", "people":
		if m.Property != "" {
			c.add(join(path, "property"), "is only for sum, avg, min, max, median and quantile")
		}
	case "sum", "avg", "min", "max", "median", "quantile":
		checkProperty(&c.faults, join(path, "property"), m.Property)
	default:
		c.add(join(path, "type"), "must be count, people, sum, avg, min, max, median or quantile")
	}
	switch {
	case m.Type != "quantile" && m.Quantile != 0:
		c.add(join(path, "quantile"), "is only for quantile")
	case m.Type == "quantile" && !(m.Quantile > 0 && m.Quantile < 1):
		c.add(join(path, "quantile"), "must be more than 0 and less than 1")
	case m.Type == "" && m.Property != "":
		c.add(join(path, "type"), "is required")
	}
}

func (c *checker) step(s *Step, path string) {
	checkText(&c.faults, join(path, "event"), s.Event, maxEvent)
	c.filters(s.Filters, join(path, "filters"))
}

func (c *checker) optionalEvent(path, event string) {
	if event != "" {
		checkText(&c.faults, path, event, maxEvent)
	}
}

// breakdown checks the fields that an answer is parted by.
func (c *checker) breakdown(path string, fields []Field, limit int) {
	if len(fields) > MaxBreakdowns {
		c.add(join(path, "breakdown"), "must have at most %d items, has %d", MaxBreakdowns, len(fields))
	}
	for i, f := range fields {
		c.part(f, at(join(path, "breakdown"), i))
	}
	if len(fields) == 0 && limit != 0 {
		c.add(join(path, "limit"), "is only for a breakdown")
	}
	c.within(join(path, "limit"), limit, MaxLines)
}

// part checks a field whose values part an answer.
func (c *checker) part(f Field, path string) {
	f.check(&c.faults, path)
	if f.isTime() {
		c.add(join(path, "column"), "must not be a time")
	}
}

// within checks a number of 1 to most; 0 is one left out.
func (c *checker) within(path string, n, most int) {
	if n < 0 || n > most {
		c.add(path, "must be a whole number from 1 to %d", most)
	}
}

func (c *checker) oneOf(path string, i Interval, allowed ...Interval) {
	if i == "" || slices.Contains(allowed, i) {
		return
	}
	names := make([]string, len(allowed))
	for n, a := range allowed {
		names[n] = string(a)
	}
	c.add(path, "must be one of %s", strings.Join(names, ", "))
}
