package query_test

import (
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/query"
)

// Promise: an answer costs a credit and what its rows and bytes cost besides, as configured; one that was kept costs the
// credit.
func TestPrices(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prices query.Prices
		rows   int
		want   int64
	}{
		{query.Prices{}, 999, 1},
		{query.Prices{}, 2500, 3},
		{query.Prices{Rows: 10}, 25, 3},
		{query.Prices{Rows: -1, Bytes: -1}, 2500, 1},
		{query.Prices{Rows: 1, Bytes: -1}, 3, 4},
		{query.Prices{Rows: -1, Bytes: 100}, 100, 0},
	} {
		s := query.New(query.Config{Engine: numbers(c.rows), Now: fixedNow, TempDir: t.TempDir(), Prices: c.prices})
		for _, ttl := range []time.Duration{0, time.Hour, time.Hour} {
			a, err := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", TTL: ttl})
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			if a.Cached {
				want = 1
			} else if c.prices.Bytes == 100 {
				want = 1 + a.Size/100
			}
			if a.Credits != want {
				t.Errorf("%+v: %d rows and %d bytes (kept before: %v) cost %d, want %d", c.prices, a.Rows, a.Size, a.Cached, a.Credits, want)
			}
			_ = a.Close()
		}
	}
}
