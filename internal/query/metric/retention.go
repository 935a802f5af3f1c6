package metric

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// DefaultPeriods is how many periods of a retention follow the first.
const DefaultPeriods = 8

// retention puts each person into the period of their first start between From and To, and counts in that period and the
// ones after it who comes back, not before that start. Coming back is looked for after To as well. Periods that have not
// begun have no rows.
func (c *compiler) retention(r *Retention, s *Statement) {
	period, periods := cmp.Or(r.Period, Week), cmp.Or(r.Periods, DefaultPeriods)
	after := fmt.Sprintf("INTERVAL '%d %ss'", periods+2, period) // one more than the last cohort's, for clocks that change
	k := c.calendar(period, after)
	starts, returns := strings.Join(c.step(&r.Start), " AND "), strings.Join(c.step(&r.Return), " AND ")
	person := c.person()
	matching := selection(
		[]string{person + " AS person", c.column("timestamp") + " AS moment", k.of, "(" + starts + ") AS starts", "(" + returns + ") AS returns"},
		c.events()+k.join,
		slices.Concat(c.during(after), []string{"(" + starts + " OR " + returns + ")"}, c.where(r.Filters), []string{person + " IS NOT NULL"}))
	parts := slices.Concat(k.slots, []part{
		{"times", k.all},
		{"matching", matching},
		{"cohorts", "SELECT person, min(moment) AS started, min(time) AS cohort\nFROM matching\nWHERE starts AND moment < " + end + "\nGROUP BY person"},
		{"sizes", "SELECT cohort, count(*) AS people\nFROM cohorts\nGROUP BY cohort"},
		{"returned", fmt.Sprintf("SELECT cohorts.cohort, date_diff('%s', cohorts.cohort, matching.time) AS period, count(DISTINCT cohorts.person) AS people\n"+
			"FROM cohorts JOIN matching ON matching.person = cohorts.person\nWHERE matching.returns AND matching.moment >= cohorts.started\nGROUP BY ALL", period)},
		{"grid", fmt.Sprintf("SELECT times.time AS cohort, coalesce(sizes.people, 0) AS people, periods.period\n"+
			"FROM times LEFT JOIN sizes ON sizes.cohort = times.time\n  CROSS JOIN generate_series(0, %d) AS periods(period)", periods)},
	})
	now := c.local(c.now())
	begins := func(n string) string { return fmt.Sprintf("grid.cohort + to_%ss(CAST(%s AS INTEGER))", period, n) }
	s.SQL = with(parts, fmt.Sprintf("SELECT grid.cohort, grid.people, grid.period,\n"+
		"  coalesce(returned.people, 0) AS returned,\n"+
		"  coalesce(returned.people, 0) / grid.people AS rate,\n"+
		"  %s <= %s AS complete\n"+
		"FROM grid LEFT JOIN returned ON returned.cohort = grid.cohort AND returned.period = grid.period\n"+
		"WHERE %s <= %s\n"+
		"ORDER BY grid.cohort, grid.period", begins("grid.period + 1"), now, begins("grid.period"), now))
	s.Columns = []Column{
		{"cohort", "DATE"}, {"people", "BIGINT"}, {"period", "BIGINT"}, {"returned", "BIGINT"}, {"rate", "DOUBLE"}, {"complete", "BOOLEAN"},
	}
	s.span.interval, s.span.rows = period, periods+1
}
