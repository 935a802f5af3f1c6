package metric

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/zone"
)

// The variables that every metric has that is not in SQL: the time that it is about, From and later, before To.
const (
	From = "from"
	To   = "to"
)

// Parameter is what is bound to a $n of a statement: the value of a variable, a literal of the definition, or the time
// at which the statement is run.
type Parameter struct {
	Variable string         // its name; empty for a literal
	Value    jsontext.Value // the literal; nil for a variable and for the time
}

// Statement is a compiled definition. It does not change, and may be used from many goroutines.
type Statement struct {
	SQL        string      // one SELECT with the parameters $1, $2, …
	Parameters []Parameter // in the order of their numbers
	Columns    []Column    // of the answer; nil when the definition is SQL, and only the engine knows
	Variables  []Variable  // all that the caller may give: the declared ones, and before them From and To

	source string
	edits  []edit
	zone   *time.Location
	span   *span // nil when the definition is SQL
}

// span is how a form reads the time from From to To.
type span struct {
	interval Interval // of its periods; empty when it has none
	rows     int      // that the answer has for each period
	back     func(to time.Time, zone *time.Location) time.Time
}

// The limits on the time that a form reads.
const (
	MaxDays = 3660    // from From to To
	maxTime = 10_000  // periods of a trend or cohorts of a retention
	maxCell = 100_000 // rows of these
)

// Bind checks values of the statement's variables, and gives the values to bind to $1, $2, … in this order. now is when
// the statement is run: without other values, the time read ends then. Null is no value. All faults are told at once,
// each as variables.NAME.
//
// Problems: invalid_field.
func (s *Statement) Bind(values map[string]jsontext.Value, now time.Time) ([]jsontext.Value, error) {
	var found faults
	bound := map[string]jsontext.Value{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.ContainsFunc(s.Variables, func(v Variable) bool { return v.Name == name }) {
			found.add("variables."+clip(name), "is unknown: %s", s.known())
		}
	}
	for i := range s.Variables {
		v := &s.Variables[i]
		value, err := v.bind(values[v.Name], now, s.zone)
		if err != nil {
			found.add("variables."+v.Name, "%s", err)
		}
		bound[v.Name] = value
	}
	if s.span != nil && len(found.fields) == 0 {
		s.bindTime(bound, now, &found)
	}
	if err := found.problem(); err != nil {
		return nil, err
	}
	all := make([]jsontext.Value, len(s.Parameters))
	for i, p := range s.Parameters {
		switch {
		case p.Variable != "":
			all[i] = bound[p.Variable]
		case p.Value != nil:
			all[i] = p.Value
		default:
			all[i] = instant(now)
		}
	}
	return all, nil
}

// bind is the value that is bound for a variable when the caller gave raw, or nothing.
func (v *Variable) bind(raw jsontext.Value, now time.Time, zone *time.Location) (jsontext.Value, error) {
	given := len(raw) > 0 && raw.Kind() != 'n'
	switch {
	case given && !raw.IsValid():
		return nil, errors.New("is not valid JSON")
	case given:
		return v.value(raw, zone)
	case v.Required:
		return nil, errors.New("is required")
	case v.Default == nil:
		return jsontext.Value("null"), nil
	}
	if value, relative := v.relative(now, zone); relative {
		return value, nil
	}
	return v.value(v.Default, zone)
}

// known says which variables there are.
func (s *Statement) known() string {
	if len(s.Variables) == 0 {
		return "the metric has no variables"
	}
	names := make([]string, len(s.Variables))
	for i, v := range s.Variables {
		names[i] = v.Name
	}
	return "the variables are " + strings.Join(names, ", ")
}

// bindTime fills in the time that is not given, and holds it against its limits.
func (s *Statement) bindTime(bound map[string]jsontext.Value, now time.Time, found *faults) {
	if bound[To].Kind() == 'n' {
		bound[To] = instant(now)
	}
	to, _ := parseTime(unquote(bound[To]), s.zone) // instants are times
	if bound[From].Kind() == 'n' {
		bound[From] = instant(s.span.back(to, s.zone))
	}
	from, ok := parseTime(unquote(bound[From]), s.zone)
	switch days := to.Sub(from).Hours() / 24; {
	case !ok || !from.Before(to):
		found.add("variables.from", "must be before the variable to")
	case days > MaxDays:
		found.add("variables.from", "must be at most %d days before the variable to", MaxDays)
	default:
		s.span.check(from, to, found)
	}
}

func (p *span) check(from, to time.Time, found *faults) {
	length := map[Interval]time.Duration{Minute: time.Minute, Hour: time.Hour, Day: 24 * time.Hour, Week: 7 * 24 * time.Hour, Month: 28 * 24 * time.Hour}[p.interval]
	if length == 0 {
		return
	}
	periods := int(to.Sub(from)/length) + 2 // those at the ends are cut
	if most := min(maxTime, maxCell/p.rows); periods > most {
		found.add("variables.from", "makes about %d %ss; at most %d are possible here", periods, p.interval, most)
	}
}

// lastDays is the beginning of the day 30 days before a time.
func lastDays(to time.Time, zone *time.Location) time.Time {
	day := to.In(zone).AddDate(0, 0, -30)
	return startOfDay(day.Year(), day.Month(), day.Day(), zone)
}

// lastDay is a day before a time, for what is counted by the minute.
func lastDay(to time.Time, _ *time.Location) time.Time { return to.Add(-24 * time.Hour) }

// Source is the place in the SQL of the definition that a line and a column of the statement come from. For a statement
// that is made of a form, it is the same place.
func (s *Statement) Source(line, column int) (int, int) {
	if s.edits == nil {
		return line, column
	}
	at, shift := offset(s.SQL, line, column), 0
	for _, e := range s.edits {
		if at < e.outAt {
			break
		}
		if at < e.outEnd {
			return place(s.source, e.at)
		}
		shift = e.end - e.outEnd
	}
	return place(s.source, min(at+shift, len(s.source)))
}

// Compile makes the statement of a definition. The same definition always makes the same statement.
//
// Problems: those of Check.
func Compile(d *Definition) (*Statement, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	place, err := zone.Named(d.TimeZone)
	if err != nil {
		return nil, err
	}
	c := newCompiler(d, place)
	s := &Statement{zone: place}
	switch {
	case d.SQL != "":
		s.SQL, s.edits, _ = rewrite(d.SQL, c.variables, c.parameter)
		s.source, s.Variables = d.SQL, slices.Clone(d.Variables)
	default:
		s.Variables = append([]Variable{
			{Name: From, Type: Timestamp, Description: "Where the time begins that is read; by default 30 days before its end."},
			{Name: To, Type: Timestamp, Description: "Where it ends, itself not read; by default now."},
		}, d.Variables...)
		c.form(d, s)
	}
	s.Parameters = c.parameters
	if len(s.SQL) > MaxSQL {
		return nil, problem.Invalid(d.forms()[0], "makes a statement of %d bytes; at most %d are possible", len(s.SQL), MaxSQL)
	}
	return s, nil
}

// sql checks SQL and its placeholders.
func (c *checker) sql(d *Definition) {
	before := len(c.fields)
	checkText(&c.faults, "sql", d.SQL, MaxSQL)
	if len(c.fields) > before {
		return
	}
	if strings.TrimSpace(d.SQL) == "" {
		c.add("sql", "is required")
	}
	_, _, found := rewrite(d.SQL, c.variables, func(p Parameter) int {
		c.used[p.Variable] = true
		return 1
	})
	c.fields = append(c.fields, found.fields...)
}
