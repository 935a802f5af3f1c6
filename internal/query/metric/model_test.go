package metric_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/query/metric"
)

// model computes what a definition asks, event by event, as its documentation says.
type model struct {
	d        *metric.Definition
	events   []fact
	persons  map[string]map[string]value
	from, to time.Time
	now      time.Time
	zone     *time.Location
	given    map[string]any // the values of variables; nil for one without
}

// field is the value of a field of an event.
func (m *model) field(f metric.Field, e *fact) value {
	switch {
	case f.Property != "":
		return e.values[f.Property]
	case f.Trait != "":
		if traits, known := m.persons[e.person()]; known {
			return traits[f.Trait]
		}
		return value{null: true}
	}
	column := map[string]string{"event": e.Name, "distinct_id": e.DistinctID, "anonymous_id": e.AnonymousID, "source": e.Source}[f.Column]
	return value{text: column, null: column == "", number: math.NaN()}
}

// holds reports whether all filters hold for an event.
func (m *model) holds(filters []metric.Filter, e *fact) bool {
	return !slices.ContainsFunc(filters, func(f metric.Filter) bool { return !m.filter(f, e) })
}

func (m *model) filter(f metric.Filter, e *fact) bool {
	switch {
	case f.All != nil:
		return m.holds(f.All, e)
	case f.Any != nil:
		return slices.ContainsFunc(f.Any, func(f metric.Filter) bool { return m.filter(f, e) })
	case f.Column == "timestamp":
		var text string
		if err := json.Unmarshal(f.Value, &text); err != nil {
			panic(err)
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			panic(err)
		}
		return ordered(f.Op, e.Timestamp.Compare(at))
	}
	v := m.field(f.Field, e)
	switch f.Op {
	case "exists":
		return !v.null
	case "not_exists":
		return v.null
	}
	var with any
	if f.Variable != "" {
		if with = m.given[f.Variable]; with == nil {
			return true
		}
	} else if err := json.Unmarshal(f.Value, &with); err != nil {
		panic(err)
	}
	if f.Op == "!=" {
		return !compared("=", v, with)
	}
	if many, list := with.([]any); list {
		among := slices.ContainsFunc(many, func(one any) bool { return compared("=", v, one) })
		return among == (f.Op == "in")
	}
	return compared(f.Op, v, with)
}

// compared compares a value with a literal: as numbers when the literal is one, and else as text.
func compared(op string, v value, with any) bool {
	if v.null {
		return false
	}
	switch with := with.(type) {
	case float64:
		return !math.IsNaN(v.number) && !math.IsInf(v.number, 0) && ordered(op, cmp.Compare(v.number, with))
	case bool:
		return ordered(op, strings.Compare(v.text, fmt.Sprint(with)))
	case string:
		switch op {
		case "contains":
			return strings.Contains(v.text, with)
		case "starts_with":
			return strings.HasPrefix(v.text, with)
		}
		return ordered(op, strings.Compare(v.text, with))
	}
	panic("no literal")
}

func ordered(op string, c int) bool {
	return map[string]bool{"=": c == 0, "!=": c != 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}[op]
}

// during are the events from one time and before another for which filters hold.
func (m *model) during(from, to time.Time, event string, filters ...[]metric.Filter) []*fact {
	var found []*fact
	for i := range m.events {
		e := &m.events[i]
		if e.Timestamp.Before(from) || !e.Timestamp.Before(to) || event != "" && e.Name != event {
			continue
		}
		if !slices.ContainsFunc(filters, func(f []metric.Filter) bool { return !m.holds(f, e) }) {
			found = append(found, e)
		}
	}
	return found
}

// figure is a measure of some events: nil for none.
func figure(me metric.Measure, events []*fact) any {
	people, numbers := map[string]bool{}, []float64{}
	for _, e := range events {
		if p := e.person(); p != "" {
			people[p] = true
		}
		if v := e.values[me.Property]; me.Property != "" && !v.null && !math.IsNaN(v.number) && !math.IsInf(v.number, 0) {
			numbers = append(numbers, v.number)
		}
	}
	slices.Sort(numbers)
	sum := 0.0
	for _, n := range numbers {
		sum += n
	}
	switch me.Type {
	case "", "count":
		return float64(len(events))
	case "people":
		return float64(len(people))
	case "sum":
		return sum
	}
	if len(numbers) == 0 {
		return nil
	}
	switch me.Type {
	case "avg":
		return sum / float64(len(numbers))
	case "min":
		return numbers[0]
	case "max":
		return numbers[len(numbers)-1]
	case "median":
		return quantile(numbers, 0.5)
	}
	return quantile(numbers, me.Quantile)
}

// quantile lies between the sorted numbers on either side of it, in proportion.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (sorted[high]-sorted[low])*(at-float64(low))
}

// period is the beginning of the period that a time lies in: a date, or an instant.
func (m *model) period(i metric.Interval, t time.Time) string {
	local := t.In(m.zone)
	day := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
	switch i {
	case metric.Minute:
		return t.UTC().Truncate(time.Minute).Format("2006-01-02T15:04:05.000000Z")
	case metric.Hour:
		into := time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
		return t.UTC().Add(-into).Format("2006-01-02T15:04:05.000000Z")
	case metric.Week:
		day = day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
	case metric.Month:
		day = day.AddDate(0, 0, 1-day.Day())
	}
	return day.Format(time.DateOnly)
}

// periods are all periods from one time and before another.
func (m *model) periods(i metric.Interval, from, to time.Time) []string {
	step := 15 * time.Minute
	if i == metric.Minute {
		step = time.Minute
	}
	var all []string
	for t := from; t.Before(to); t = t.Add(step) {
		all = append(all, m.period(i, t))
	}
	all = append(all, m.period(i, to.Add(-time.Microsecond)))
	slices.Sort(all)
	return slices.Compact(all)
}

// line is the values of a breakdown, nil for one that is missing, and whether the line is of all others.
type line struct {
	values [2]any
	other  bool
}

func (m *model) lineOf(fields []metric.Field, e *fact) line {
	var l line
	for i, f := range fields {
		if v := m.field(f, e); !v.null {
			l.values[i] = v.text
		}
	}
	return l
}

// compareText orders texts, with those that are missing last.
func compareText(a, b any) int {
	x, isX := a.(string)
	y, isY := b.(string)
	switch {
	case isX && isY:
		return strings.Compare(x, y)
	case isX:
		return -1
	case isY:
		return 1
	}
	return 0
}

func compareLines(a, b line) int {
	if a.other != b.other {
		if a.other {
			return 1
		}
		return -1
	}
	return cmp.Or(compareText(a.values[0], b.values[0]), compareText(a.values[1], b.values[1]))
}

// lines parts events into the lines with the highest rank, and one for all others.
func (m *model) lines(fields []metric.Field, limit int, events []*fact, rank func([]*fact) float64) map[line][]*fact {
	parted := map[line][]*fact{}
	for _, e := range events {
		l := m.lineOf(fields, e)
		parted[l] = append(parted[l], e)
	}
	if len(fields) == 0 {
		return map[line][]*fact{{}: events}
	}
	var order []line
	for l := range parted {
		order = append(order, l)
	}
	slices.SortFunc(order, func(a, b line) int { return cmp.Or(cmp.Compare(rank(parted[b]), rank(parted[a])), compareLines(a, b)) })
	others := line{other: true}
	for _, l := range order[min(len(order), cmp.Or(limit, 10)):] {
		parted[others] = append(parted[others], parted[l]...)
		delete(parted, l)
	}
	return parted
}

// in is a line as the first columns of a row.
func (l line) in(fields []metric.Field, row ...any) []any {
	if len(fields) == 0 {
		return row
	}
	return append(append(slices.Clone(l.values[:len(fields)]), l.other), row...)
}

func sortedLines[V any](of map[line]V) []line {
	var all []line
	for l := range of {
		all = append(all, l)
	}
	slices.SortFunc(all, compareLines)
	return all
}

func (m *model) answer() [][]any {
	switch {
	case m.d.Trend != nil:
		return m.trend(m.d.Trend)
	case m.d.Funnel != nil:
		return m.funnel(m.d.Funnel)
	case m.d.Retention != nil:
		return m.retention(m.d.Retention)
	case m.d.Top != nil:
		return m.top(m.d.Top)
	}
	return m.path(m.d.Path)
}

func (m *model) trend(t *metric.Trend) [][]any {
	interval := cmp.Or(t.Interval, metric.Day)
	events := m.during(m.from, m.to, t.Event, t.Filters)
	lines := m.lines(t.Breakdown, t.Limit, events, func(events []*fact) float64 {
		if t.Measure.Type == "people" || t.Measure.Type == "sum" {
			return figure(t.Measure, events).(float64)
		}
		return float64(len(events))
	})
	var rows [][]any
	for _, period := range m.periods(interval, m.from, m.to) {
		for _, l := range sortedLines(lines) {
			in := slices.DeleteFunc(slices.Clone(lines[l]), func(e *fact) bool { return m.period(interval, e.Timestamp) != period })
			rows = append(rows, append([]any{period}, l.in(t.Breakdown, figure(t.Measure, in))...))
		}
	}
	return rows
}

func (m *model) top(t *metric.Top) [][]any {
	items := map[string][]*fact{}
	for _, e := range m.during(m.from, m.to, t.Event, t.Filters) {
		if v := m.field(t.By, e); !v.null {
			items[v.text] = append(items[v.text], e)
		}
	}
	var rows [][]any
	for item, events := range items {
		rows = append(rows, []any{item, figure(t.Measure, events)})
	}
	slices.SortFunc(rows, func(a, b []any) int {
		x, isX := a[1].(float64)
		y, isY := b[1].(float64)
		switch {
		case isX && isY:
			return cmp.Or(cmp.Compare(y, x), compareText(a[0], b[0]))
		case isX:
			return -1
		case isY:
			return 1
		}
		return compareText(a[0], b[0])
	})
	return rows[:min(len(rows), cmp.Or(t.Limit, 10))]
}

// length is the length of a duration of the tests.
func length(d metric.Duration) time.Duration {
	var n int
	var unit string
	if _, err := fmt.Sscan(string(d), &n, &unit); err != nil {
		panic(err)
	}
	return time.Duration(n) * map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[unit[:1]]
}

// arrival is the first attempt that reached a step.
type arrival struct {
	started time.Time
	seconds float64
}

func (m *model) funnel(f *metric.Funnel) [][]any {
	window := length(cmp.Or(f.Window, metric.DefaultWindow))
	named := func(events []*fact) []*fact {
		return slices.DeleteFunc(events, func(e *fact) bool { return e.person() == "" })
	}
	steps := make([][]*fact, len(f.Steps))
	for i, s := range f.Steps {
		end := m.to
		if i > 0 {
			end = m.to.Add(window)
		}
		steps[i] = named(m.during(m.from, end, s.Event, s.Filters, f.Filters))
		slices.SortStableFunc(steps[i], func(a, b *fact) int { return a.Timestamp.Compare(b.Timestamp) })
	}
	lines := m.lines(f.Breakdown, f.Limit, steps[0], func(events []*fact) float64 { return figure(metric.Measure{Type: "people"}, events).(float64) })
	var rows [][]any
	for _, l := range sortedLines(lines) {
		reached := make([]map[string]arrival, len(steps))
		for i := range reached {
			reached[i] = map[string]arrival{}
		}
		for _, entry := range lines[l] {
			m.attempt(f, entry, steps, window, reached)
		}
		var before any
		for i, s := range f.Steps {
			people := float64(len(reached[i]))
			row := []any{float64(i + 1), s.Event, people, ratio(people, float64(len(reached[0]))), nil, median(reached[i], i)}
			if i > 0 {
				row[4] = ratio(people, before.(float64))
			}
			before = people
			rows = append(rows, l.in(f.Breakdown, row...))
		}
	}
	return rows
}

// attempt follows one event of the first step as far as it leads.
func (m *model) attempt(f *metric.Funnel, entry *fact, steps [][]*fact, window time.Duration, reached []map[string]arrival) {
	at := entry.Timestamp
	for i := range steps {
		seconds := 0.0
		if i > 0 {
			next := slices.IndexFunc(steps[i], func(e *fact) bool {
				same := f.Steps[i].Event == f.Steps[i-1].Event
				return e.person() == entry.person() && (e.Timestamp.After(at) || !same && e.Timestamp.Equal(at))
			})
			if next < 0 || steps[i][next].Timestamp.Sub(entry.Timestamp) > window {
				return
			}
			seconds = steps[i][next].Timestamp.Sub(at).Seconds()
			at = steps[i][next].Timestamp
		}
		if first, known := reached[i][entry.person()]; !known || entry.Timestamp.Before(first.started) {
			reached[i][entry.person()] = arrival{entry.Timestamp, seconds}
		}
	}
}

func median(arrivals map[string]arrival, step int) any {
	var seconds []float64
	for _, a := range arrivals {
		seconds = append(seconds, a.seconds)
	}
	if step == 0 || len(seconds) == 0 {
		return nil
	}
	slices.Sort(seconds)
	return quantile(seconds, 0.5)
}

func ratio(a, b float64) any {
	if b == 0 {
		return nil
	}
	return a / b
}

func (m *model) retention(r *metric.Retention) [][]any {
	period, periods := cmp.Or(r.Period, metric.Week), cmp.Or(r.Periods, metric.DefaultPeriods)
	started := map[string]time.Time{}
	cohorts := map[string][]string{}
	for _, e := range m.during(m.from, m.to, r.Start.Event, r.Start.Filters, r.Filters) {
		if first, known := started[e.person()]; e.person() != "" && (!known || e.Timestamp.Before(first)) {
			started[e.person()] = e.Timestamp
		}
	}
	for person, at := range started {
		cohort := m.period(period, at)
		cohorts[cohort] = append(cohorts[cohort], person)
	}
	returns := m.during(m.from, m.to.AddDate(1, 0, 0), r.Return.Event, r.Return.Filters, r.Filters)
	today := m.now.In(m.zone).Format("2006-01-02T15:04:05.999999999")
	var rows [][]any
	for _, cohort := range m.periods(period, m.from, m.to) {
		for n := range periods + 1 {
			begins, ends := shifted(period, cohort, n), shifted(period, cohort, n+1)
			if begins+"T00:00:00" > today {
				continue
			}
			back := map[string]bool{}
			for _, e := range returns {
				if slices.Contains(cohorts[cohort], e.person()) && !e.Timestamp.Before(started[e.person()]) && m.period(period, e.Timestamp) == begins {
					back[e.person()] = true
				}
			}
			people := float64(len(cohorts[cohort]))
			rows = append(rows, []any{cohort, people, float64(n), float64(len(back)), ratio(float64(len(back)), people), ends+"T00:00:00" <= today})
		}
	}
	return rows
}

// shifted is a date some periods later.
func shifted(i metric.Interval, date string, n int) string {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	switch i {
	case metric.Day:
		return day.AddDate(0, 0, n).Format(time.DateOnly)
	case metric.Week:
		return day.AddDate(0, 0, 7*n).Format(time.DateOnly)
	}
	return day.AddDate(0, n, 0).Format(time.DateOnly)
}

func (m *model) path(p *metric.Path) [][]any {
	steps, window := cmp.Or(p.Steps, 3), length(cmp.Or(p.Window, metric.PathWindow))
	inOrder := func(a, b *fact) int {
		return cmp.Or(a.Timestamp.Compare(b.Timestamp), a.ReceivedAt.Compare(b.ReceivedAt), strings.Compare(a.ID, b.ID))
	}
	starts := m.during(m.from, m.to, p.Start.Event, p.Start.Filters, p.Filters)
	slices.SortFunc(starts, inOrder)
	all := m.during(m.from, m.to.Add(window), "", p.Filters)
	slices.SortFunc(all, inOrder)
	seen, counted := map[string]bool{}, map[string]float64{}
	paths := map[string][]any{}
	for _, start := range starts {
		if start.person() == "" || seen[start.person()] {
			continue
		}
		seen[start.person()] = true
		path := make([]any, steps+1)
		n := 0
		for _, e := range all {
			if n <= steps && e.person() == start.person() && inOrder(e, start) >= 0 && e.Timestamp.Sub(start.Timestamp) <= window {
				path[n] = e.Name
				n++
			}
		}
		key := fmt.Sprint(path)
		counted[key]++
		paths[key] = path
	}
	var rows [][]any
	for key, path := range paths {
		rows = append(rows, append(path, counted[key]))
	}
	slices.SortFunc(rows, func(a, b []any) int {
		if c := cmp.Compare(b[steps+1].(float64), a[steps+1].(float64)); c != 0 {
			return c
		}
		return slices.CompareFunc(a[:steps+1], b[:steps+1], compareText)
	})
	return rows[:min(len(rows), cmp.Or(p.Limit, 20))]
}
