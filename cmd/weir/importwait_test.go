package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// Promise: an import waits as long as it is told, and an hour at the most, as the documents of it and of the clients say.
func TestImportWaitsAnHourAtTheMost(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]time.Duration{"": 0, "soon": 0, "7": 7 * time.Second, "24562": time.Hour} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", asked)
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		answer, err := sender(server.URL, "k")(t.Context(), "/track", []byte("[]"))
		server.Close()
		if err != nil || answer.Status != http.StatusTooManyRequests || answer.RetryAfter != want {
			t.Errorf("asked for %q: %+v (%v), want %v", asked, answer, err, want)
		}
	}
	for _, path := range []string{"../../docs/import.md", "../../docs/sdks.md"} {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(strings.Join(strings.Fields(string(text)), " "), "as long as `Retry-After` says, an hour at the most") {
			t.Errorf("%s does not say how long is waited (%v)", path, err)
		}
	}
}
