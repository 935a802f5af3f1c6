package api_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/api"
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

// Promise: what was used is told day by day, in order, each day once, and the days add up to all.
func TestBillingByDay(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	s := newTables(t, w)
	first := w.clock.Now().UTC()
	for range 3 {
		s.ask(s.all, "POST", "/track", `[{"event":"A"},{"event":"B"}]`, 200)
		s.ask(s.all, "POST", "/v1/query", `{"sql":"SELECT 1"}`, 200)
		w.clock.Advance(48 * time.Hour)
	}
	var u api.BillingUsage
	text := s.ask(s.all, "GET", "/v1/billing/usage?from="+first.Truncate(24*time.Hour).Format(time.RFC3339)+"&to="+first.Add(5*24*time.Hour).Format(time.RFC3339), "", 200)
	if err := json.Unmarshal([]byte(text), &u); err != nil {
		t.Fatal(err)
	}
	var days []string
	var sum api.BillingCount
	for _, d := range u.ByDay {
		days = append(days, d.Day)
		sum = api.BillingCount{Requests: sum.Requests + d.Requests, Events: sum.Events + d.Events, Queries: sum.Queries + d.Queries}
		if d.Events != 2 || d.Queries != 1 {
			t.Errorf("on %s: %+v", d.Day, d)
		}
	}
	want := []string{first.Format(time.DateOnly), first.Add(48 * time.Hour).Format(time.DateOnly), first.Add(96 * time.Hour).Format(time.DateOnly)}
	if !slices.Equal(days, want) || sum != u.Total {
		t.Errorf("%s: the days are %q, want %q", text, days, want)
	}
}
