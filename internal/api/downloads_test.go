package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a key has only so many files being fetched at a time, however slowly they are taken; another key still finds room; and when
// the key is revoked, those that are under way end.
func TestSlowDownloadsAreBounded(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	p.send(manyEvents(300))
	key, other := p.taker(""), p.taker("")
	mine, _ := p.take(key, `{"of":"events","format":"csv"}`)
	theirs, _ := p.take(other, `{"of":"events","format":"csv"}`)
	cfg := w.config()
	cfg.Registry = prometheus.NewRegistry()
	handler, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(ctx context.Context, to http.ResponseWriter, key madeKey, id string) {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/exports/"+id+"/file", nil)
		r.Host = w.site.address
		r.Header.Set("X-API-Key", key.text)
		defer func() { // an answer that is broken off is told to the connection so
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		handler.ServeHTTP(to, r)
	}
	asks := func(key madeKey, id string) (int, problem.Code) {
		to := httptest.NewRecorder()
		fetch(t.Context(), to, key, id)
		if to.Code == http.StatusOK {
			return to.Code, ""
		}
		return to.Code, codeOf(to.Body.String())
	}
	var slowly sync.WaitGroup
	for range 32 {
		slowly.Go(func() {
			for to := newSluggish(); to.status != http.StatusOK && t.Context().Err() == nil; {
				to = newSluggish() // what asks below has its place for a moment, and its share of the rate
				if fetch(t.Context(), to, key, mine.ID); to.status == http.StatusTooManyRequests {
					w.clock.Advance(time.Second)
				}
			}
		})
	}
	deadline := time.After(30 * time.Second)
	for status := 200; status != 503; {
		var code problem.Code
		if status, code = asks(key, mine.ID); status == 429 {
			w.clock.Advance(time.Second)
		} else if status != 200 && code != problem.Unavailable {
			t.Fatalf("one more was answered %d %s", status, code)
		}
		select {
		case <-deadline:
			t.Fatal("there is no bound")
		default:
		}
	}
	if status, code := asks(other, theirs.ID); status != 200 {
		t.Errorf("another key was answered %d %s", status, code)
	}
	p.end(key, "revoked")
	slowly.Wait()
	w.clock.Advance(time.Second)
	if status, code := asks(other, theirs.ID); status != 200 {
		t.Errorf("when they are over, another key is answered %d %s", status, code)
	}
}

// sluggish takes an answer of 200 as slowly as one can, and others at once.
type sluggish struct {
	slow

	status int
}

func newSluggish() *sluggish {
	return &sluggish{slow: slow{http.Header{}, make(chan time.Time, 8)}}
}

func (s *sluggish) WriteHeader(status int) { s.status = status }

func (s *sluggish) Write(p []byte) (int, error) {
	if s.status != http.StatusOK {
		return len(p), nil
	}
	return s.slow.Write(p)
}
