package metric

import (
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: of SQL with very many faults the places of so many are looked for as are told; the others are counted.
func TestFaultsOfSQLAreBounded(t *testing.T) {
	t.Parallel()
	const n = 65_000
	_, _, found := rewrite(strings.Repeat("?", n), nil, func(Parameter) int { return 1 })
	if len(found.fields) != maxFaults || found.more != n-maxFaults {
		t.Errorf("%d faults are kept, %d are counted", len(found.fields), found.more)
	}
	if p := problem.From(found.problem()); len(p.Fields) != maxFaults || !strings.HasSuffix(p.Detail, "; and 64950 more faults") {
		t.Errorf("%d are told: %.200s", len(p.Fields), p.Detail)
	}
	var all faults
	all.merge(found)
	if len(all.fields) != maxFaults || all.more != n-maxFaults {
		t.Errorf("merged: %d and %d", len(all.fields), all.more)
	}
}

// Promise: a property of UserFlux's with a name longer than a property may have stays as it is, and is not written out
// on the way.
func TestLongUserFluxPropertiesStay(t *testing.T) {
	t.Parallel()
	sql := "SELECT ufProperties" + strings.Repeat(".a", 100_000) + " FROM eventsTable"
	if got, _ := FromUserFlux(sql); got != strings.Replace(sql, "eventsTable", "events", 1) {
		t.Errorf("%.100s… of %d bytes", got, len(got))
	}
	path := strings.Repeat("/a", maxProperty/2)
	sql = "ufProperties" + strings.ReplaceAll(path, "/", ".")
	if got, _ := FromUserFlux(sql); got != "(properties->>'"+path+"')" {
		t.Errorf("at the limit: %.100s", got)
	}
	r := rewriter{sql: sql + ".a", tokens: scan(sql + ".a")}
	if r.userFluxProperty(0); r.out.Len() > 0 {
		t.Errorf("beyond it: %.100s", r.out.String())
	}
}
