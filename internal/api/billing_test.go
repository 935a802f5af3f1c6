package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: what is asked of a time before counts go back says from when it counts, and is not told as if it were all; of a time
// that has no day of which something is known there is no answer.
func TestBillingSaysFromWhenItCounts(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := newTables(t, w)
	at := w.clock.Now().UTC()
	first := at.Add(-400 * 24 * time.Hour).Truncate(24 * time.Hour)
	for query, want := range map[string]time.Time{
		"?from=2001-01-01T00:00:00Z":                            first,
		"?from=" + first.Add(-time.Second).Format(time.RFC3339): first,
		"?from=" + first.Format(time.RFC3339):                   first,
		"?from=" + first.Add(24*time.Hour).Format(time.RFC3339): first.Add(24 * time.Hour),
	} {
		if body := s.ask(s.all, "GET", "/v1/billing/usage"+query, "", 200); !strings.HasPrefix(body, `{"from":"`+want.Format(time.RFC3339)+`"`) {
			t.Errorf("%s answered %s", query, body)
		}
	}
	status, code := w.site.asks(t, s.all, "GET", "/v1/billing/usage?from=2001-01-01T00:00:00Z&to=2001-02-01T00:00:00Z", "")
	if status != 422 || code != problem.InvalidField {
		t.Errorf("a time of which nothing is known answered %d %s", status, code)
	}
}
