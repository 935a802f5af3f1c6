package guard_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: any text is answered with facts or with a problem that is the caller's,
// and an accepted statement, run where there is a canary in everything else, neither returns nor names the canary.
func FuzzAnalyze(f *testing.F) {
	for _, e := range corpus(f, "testdata/attacks.txtar", "!") {
		f.Add(e.sql)
	}
	for _, e := range corpus(f, "testdata/allowed.txtar", "=") {
		f.Add(e.sql)
	}
	g, db := newGuard(f), newScratch(f)
	// What is only heavy is not run: it would bring down the fuzzer and show nothing.
	heavy := regexp.MustCompile(`\d{4,}|\d[eE]|[A-Fa-f\d]{5,}|\d_\d|(?i)microsecond|millisecond|second|interval\[`)
	f.Fuzz(func(t *testing.T, text string) {
		analysis, err := g.Analyze(context.Background(), text)
		if err != nil {
			if problem.Of(err) == problem.Internal {
				t.Fatal(err)
			}
			return
		}
		if heavy.MatchString(text) || len(text) > 2000 {
			return
		}
		ctx, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		rows, err := db.read(ctx, text, analysis.Facts.Parameters)
		if strings.Contains(rows, canary) || err != nil && strings.Contains(err.Error(), canary) {
			t.Fatalf("reached the canary: %v\n%s", err, rows)
		}
	})
}

func BenchmarkAnalyze(b *testing.B) {
	g := newGuard(b)
	for name, text := range map[string]string{
		"count": "SELECT event, count(*) AS n FROM events WHERE timestamp > $1 GROUP BY event ORDER BY n DESC LIMIT 10",
		"funnel": `WITH steps AS (SELECT distinct_id, min(timestamp) FILTER (WHERE event = 'visit') AS visited,
			min(timestamp) FILTER (WHERE event = 'signup') AS signed_up, min(timestamp) FILTER (WHERE event = 'purchase') AS purchased
			FROM events WHERE properties->>'plan' IN ('a', 'b', 'c') GROUP BY distinct_id)
			SELECT count(visited) AS visits, count(*) FILTER (WHERE signed_up BETWEEN visited AND visited + INTERVAL 7 DAY) AS signups,
			count(*) FILTER (WHERE purchased > signed_up AND signed_up > visited) AS purchases FROM steps`,
		"5000 constants": "SELECT 1 IN (" + strings.Repeat("1,", 4999) + "1)",
		"refused":        "SELECT * FROM read_csv('/etc/passwd')",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = g.Analyze(context.Background(), text)
			}
		})
	}
}
