package query_test

import (
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/query"
)

// Promise: a question's time zone reaches the engine, a name that is none is told at time_zone, and answers in different
// zones are kept apart.
func TestQuestionsHaveATimeZone(t *testing.T) {
	t.Parallel()
	e := numbers(1)
	s := service(t, e)
	for _, ttl := range []time.Duration{0, time.Hour} {
		for _, c := range []struct{ zone, want string }{{"", ""}, {"UTC", ""}, {"Europe/Paris", "Europe/Paris"}, {"Asia/Tokyo", "Asia/Tokyo"}} {
			e.ran.TimeZone = "none was asked"
			a, err := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", TimeZone: c.zone, TTL: ttl})
			if err != nil {
				t.Fatal(err)
			}
			if cached := c.zone == "UTC" && ttl > 0; a.Cached != cached || !cached && e.ran.TimeZone != c.want {
				t.Errorf("%q: kept %v, and ran in %q", c.zone, a.Cached, e.ran.TimeZone)
			}
			_ = a.Close()
		}
		for _, zone := range []string{"Europe/Nowhere", "Local", "../etc/passwd"} {
			_, err := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", TimeZone: zone, TTL: ttl})
			wantField(t, err, "time_zone")
		}
	}
	if _, err := s.Describe(t.Context(), permit(t), query.Question{SQL: "SELECT 1", TimeZone: "Asia/Tokyo"}); err != nil || e.ran.TimeZone != "Asia/Tokyo" {
		t.Errorf("described in %q: %v", e.ran.TimeZone, err)
	}
	_, err := s.Describe(t.Context(), permit(t), query.Question{SQL: "SELECT 1", TimeZone: "Nowhere"})
	wantField(t, err, "time_zone")
}
