package api_test

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: when the journal can take nothing, a change of a person and a deletion are refused, and nothing is changed.
func TestUsersThatCannotBeStored(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live all").text
	if answer, body := w.site.call(t, "PATCH", "/v1/users/u_1", strings.NewReader(`{"traits":{"plan":"pro"}}`), "X-API-Key", key); answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	full, err := openJournal(t.TempDir(), w.log, func() (int64, error) { return 0, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = full.Close() })
	idle := event.NewLoader(event.LoaderConfig{Journal: w.journal, Warehouse: w.warehouse, Log: w.log})
	stuck := w.variant(t, func(c *api.Config) {
		c.Events = event.New(event.Config{Journal: full, Loader: idle, Live: new(event.Live), Random: rand.Reader})
		c.Deletions = nil // whoever may not see everything takes out by the journal
	}, nil)
	for method, text := range map[string]string{"PATCH": `{"traits":{"plan":"free"}}`, "DELETE": ""} {
		answer, body := stuck.call(t, method, "/v1/users/u_1", strings.NewReader(text), "X-API-Key", key)
		if answer.StatusCode != http.StatusInsufficientStorage || codeOf(body) != problem.StorageFull {
			t.Errorf("%s with a full disk: %d %s", method, answer.StatusCode, body)
		}
	}
	if answer, body := w.site.call(t, "GET", "/v1/users/u_1", nil, "X-API-Key", key); answer.StatusCode != http.StatusOK || !strings.Contains(body, `"plan":"pro"`) {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}
