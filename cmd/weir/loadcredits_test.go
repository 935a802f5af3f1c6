package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/api"
)

// used is what a key has used of its credits, and what is set aside.
func (r *running) used(key string) (used, reserved, left int64) {
	r.t.Helper()
	status, text := r.get(key, "/v1/limits")
	var said struct {
		Key struct {
			Credits struct{ Used, Reserved, Left int64 }
		}
	}
	if err := json.Unmarshal(text, &said); err != nil || status != http.StatusOK {
		r.t.Fatalf("%d %s %v", status, text, err)
	}
	c := said.Key.Credits
	return c.Used, c.Reserved, c.Left
}

// load posts a file to a dataset, until it is counted: on a busy machine a store can be too slow for that.
func (r *running) load(key, path, file string) (status int, begun api.LoadStarted) {
	r.t.Helper()
	for status, begun = r.post(key, path, file); status == http.StatusServiceUnavailable; status, begun = r.post(key, path, file) {
		<-time.After(100 * time.Millisecond)
	}
	return status, begun
}

func (r *running) post(key, path, file string) (int, api.LoadStarted) {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+path, strings.NewReader(file))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("X-API-Key", key)
	q.Header.Set("Content-Type", "text/csv")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	var begun api.LoadStarted
	if err = errors.Join(err, answer.Body.Close(), json.Unmarshal(text, &begun)); err != nil {
		r.t.Fatalf("%s %v", text, err)
	}
	return answer.StatusCode, begun
}

// jobOf is how a job goes.
func (r *running) jobOf(key, address string) (status string, done int64) {
	r.t.Helper()
	code, text := r.get(key, address)
	var j struct {
		Status string
		Done   int64
	}
	if err := json.Unmarshal(text, &j); err != nil || code != http.StatusOK {
		r.t.Fatalf("%d %s %v", code, text, err)
	}
	return j.Status, j.Done
}

// Promise: a file whose loading is cut short, by a kill or by a stop in good order and at any moment, is charged when it is loaded,
// once; until then what was set aside for it is nobody else's, so that a key never writes more than it has credits for.
func TestLoadsAreChargedThroughKills(t *testing.T) {
	const rows = 60_000
	in := install(t)
	in.unlimit()
	r := in.serve()
	r.must(http.StatusCreated, r.secret, "/v1/datasets/production", map[string]any{
		"datasetId": "QUOTES", "schema": map[string]any{"type": "object", "properties": map[string]any{"symbol": map[string]any{"type": "string"}}},
		"columnMapping": map[string]any{"key": "symbol"},
	})
	file := func(name string) string {
		var text bytes.Buffer
		text.WriteString("symbol,date\n")
		for i := range rows {
			fmt.Fprintf(&text, "%s%d,2026-01-02\n", name, i)
		}
		return text.String()
	}
	for i, cut := range []func(*running){
		func(r *running) { r.kill() },
		func(r *running) { _ = r.cmd.Process.Signal(syscall.SIGTERM); _ = r.cmd.Wait() },
	} {
		var key api.Key
		text := r.must(http.StatusCreated, r.secret, "/v1/keys", map[string]any{
			"kind": "secret", "scopes": []string{"datasets:write", "datasets:read", "exports:run"}, "datasets": map[string]any{"named": []any{map[string]any{"dataset": "QUOTES", "rights": []string{"read", "write"}}}},
			"limits": map[string]any{"credits": map[string]any{"most": rows}},
		})
		if err := json.Unmarshal(text, &key); err != nil {
			t.Fatal(err)
		}
		status, begun := r.load(key.Key, "/v1/data/production/QUOTES", file(fmt.Sprint("S", i, "-")))
		if status != http.StatusAccepted {
			t.Fatalf("%d %+v", status, begun)
		}
		for round := range 3 {
			await(t, "more is written", func() bool {
				state, done := r.jobOf(key.Key, begun.JobURL)
				return done >= int64(round)*rows/6 || state == "succeeded"
			})
			state, done := r.jobOf(key.Key, begun.JobURL)
			t.Logf("%d: cut when %d are done, and it is %s", i, done, state)
			cut(r)
			r = in.serve()
			if used, reserved, left := r.used(key.Key); used+reserved != rows || left != 0 {
				t.Errorf("%d: after %d starts %d are used, %d set aside and %d left", i, round+1, used, reserved, left)
			}
			if status, _ := r.load(key.Key, "/v1/data/production/QUOTES", file("more")); status != http.StatusPaymentRequired {
				t.Errorf("%d: another file is answered %d", i, status)
			}
		}
		await(t, "the file is loaded", func() bool { state, _ := r.jobOf(key.Key, begun.JobURL); return state == "succeeded" })
		if used, reserved, left := r.used(key.Key); used != rows || reserved != 0 || left != 0 {
			t.Errorf("%d: in the end %d are used, %d set aside and %d left", i, used, reserved, left)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}
