package saved_test

import (
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/query/saved"
)

// Promise: a client's own measure of how old an answer may be goes before the metric's, shorter or longer; a metric that keeps
// none keeps none for a client either; and who is no client gets what the metric says.
func TestWhoseAnswersAreHowOld(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		kind           access.Kind
		client, metric int // minutes
		want           int
	}{
		{"a key", access.Secret, 0, 15, 15},
		{"a key, never kept", access.Secret, 0, 0, 0},
		{"a token, its client says nothing", access.Token, 0, 15, 15},
		{"a token, longer", access.Token, 60, 15, 60},
		{"a token, shorter", access.Token, 5, 15, 5},
		{"a token, never kept", access.Token, 60, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := open(t)
			r.save(t, "m", saved.Wanted{Definition: sql("SELECT 1"), CacheMinutes: c.metric})
			w := gatetest.New(t)
			credential := w.Mint(access.Key{Scopes: access.MetricsRun})
			if c.kind == access.Token {
				credential = w.Token(w.Client(credential, access.Key{Bounds: access.Bounds{CacheMinutes: c.client}}), gate.Token{})
			}
			permit, err := w.Ask(credential, access.Attempt{Action: access.RunMetrics})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Run(t.Context(), permit, "m", saved.Asked{}); err != nil {
				t.Fatal(err)
			}
			unsaved := saved.Question{SQL: "SELECT 1", TTL: time.Duration(c.metric) * time.Minute, Source: func(line, column int) (int, int) { return line, column }}
			if _, err := r.Unsaved(t.Context(), permit, unsaved); err != nil {
				t.Fatal(err)
			}
			for i, asked := range r.desk.asked {
				if asked.TTL != time.Duration(c.want)*time.Minute {
					t.Errorf("question %d may be %v old, want %d minutes", i, asked.TTL, c.want)
				}
			}
		})
	}
}
