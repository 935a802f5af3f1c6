package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Promise: an environment whose file is damaged holds up no other, be it found so at the start or while the server runs,
// and also after a kill: events of the others can be queried soon, readyz names the one, and when its file is
// taken away what the journal has of it is loaded, once.
func TestOneDamagedFile(t *testing.T) {
	in := install(t)
	in.unlimit()
	r := in.serve()
	if err := r.sync("staging", "s"); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(in.data, "warehouse", "*", "staging.duckdb"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte(strings.Repeat("damaged ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		r = in.serve()
		for n := range 5 {
			if status, text, err := r.send(t.Context(), r.public, "/track", eventOf("staging", fmt.Sprintf("s%d%d", round, n))); err != nil || status != http.StatusOK {
				t.Fatal(status, string(text), err)
			}
			if err := r.sync("production", fmt.Sprintf("p%d%d", round, n)); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		if status, text := r.readyz(); status != http.StatusOK || !strings.Contains(text, "/staging") || strings.Contains(text, "/production") {
			t.Errorf("round %d: readyz answers %d %s", round, status, text)
		}
		if round < 2 {
			r.kill()
		}
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	await(t, "the environment catches up", func() bool {
		_, text := r.readyz()
		return !strings.Contains(text, "staging")
	})
	if err := r.sync("staging", "last"); err != nil {
		t.Error(err)
	}
	for environment, want := range map[string]string{"production": "[[15 15]]", "staging": "[[17 17]]"} {
		status, text, err := r.send(t.Context(), r.secret, "/v1/query", map[string]any{
			"sql": "SELECT count(*), count(DISTINCT event_id) FROM events", "environment": environment,
		})
		var answer struct{ Rows [][]any }
		if err != nil || status != http.StatusOK || json.Unmarshal(text, &answer) != nil || fmt.Sprint(answer.Rows) != want {
			t.Errorf("%s has %v, want %s (%d %s %v)", environment, answer.Rows, want, status, text, err)
		}
	}
}

func eventOf(environment, id string) map[string]any {
	body := eventBody(id, "e")
	body["environment"] = environment
	return body
}

// sync sends an event and fails when it cannot be queried soon. How soon it must be is tested where the clock is the
// test's own; here the machine may be slow.
func (r *running) sync(environment, id string) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	status, text, err := r.send(ctx, r.public, "/track?sync=true", eventOf(environment, id))
	if err != nil {
		return err
	}
	if took := time.Since(began); status != http.StatusOK || !strings.Contains(string(text), `"queryable":true`) || took > 5*time.Second {
		return fmt.Errorf("%s: %d %s after %v", environment, status, text, took)
	}
	return nil
}

func (r *running) readyz() (int, string) {
	answer, err := http.Get(r.url + "/readyz")
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
