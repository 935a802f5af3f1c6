package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// Promise: an answer is compressed as the caller likes best, from 1 KiB on, and says the same whichever way it goes. Its
// length is told when it is known. What is compressed as it is, is left so.
func TestAnswersAreCompressed(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live sql:run").text
	ask := func(body, accept string) (*http.Response, string) {
		t.Helper()
		answer, text := w.site.call(t, "POST", "/v1/query", strings.NewReader(body), "X-API-Key", key, "Accept-Encoding", accept)
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", answer.StatusCode, text)
		}
		return answer, text
	}
	const large, small = `{"sql":"SELECT range AS n FROM range(5000)","format":"csv"}`, `{"sql":"SELECT 1 AS n","format":"csv"}`
	_, plain := ask(large, "")
	for accept, want := range map[string]string{
		"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd", "gzip, zstd": "zstd", "GZIP;q=1, zstd;q=0.5": "gzip", "br": "", "*": "zstd", "zstd;q=0, *": "gzip",
		"gzip;q=0": "", "identity;q=1, gzip;q=0.5": "", "identity;q=0, gzip;q=0.1": "gzip", "gzip;q=x": "", "gzip;level=9": "", "identity;q=0": "", "gzip;q=1.0001": "",
	} {
		answer, text := ask(large, accept)
		encoding, length := answer.Header.Get("Content-Encoding"), answer.Header.Get("Content-Length")
		if encoding != want || answer.Header.Get("Vary") != "Accept, Accept-Encoding" || (length == strconv.Itoa(len(plain))) != (want == "") || want != "" && length != "" {
			t.Errorf("%q: %v", accept, answer.Header)
		}
		if unpacked(t, encoding, text) != plain || encoding != "" && len(text) > len(plain)/2 {
			t.Errorf("%q: %d bytes for %d", accept, len(text), len(plain))
		}
	}
	for _, body := range []string{small, strings.Replace(large, "csv", "parquet", 1)} {
		if answer, _ := ask(body, "zstd, gzip"); answer.Header.Get("Content-Encoding") != "" || answer.Header.Get("Content-Length") == "" {
			t.Errorf("%s: %v", body, answer.Header)
		}
	}
	kept := strings.Replace(large, "{", `{"cache_minutes":5,`, 1)
	tag := ""
	for _, accept := range []string{"zstd", "gzip", ""} {
		answer, text := ask(kept, accept)
		if unpacked(t, accept, text) != plain || tag != "" && answer.Header.Get("ETag") != tag {
			t.Errorf("kept, as %q: %v", accept, answer.Header)
		}
		tag = answer.Header.Get("ETag")
	}
}

func unpacked(t *testing.T, encoding, text string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(text)
	var err error
	switch encoding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r, zstd.WithDecoderMaxWindow(8<<20))
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// Promise: an answer that was kept costs the one credit of the question, however large it is.
func TestKeptAnswersCostOneCredit(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key := p.limited(access.Limits{Credits: access.Quota{Most: 20}})
	for i, left := range []string{"14", "13", "12", "6"} {
		body := `{"sql":"SELECT range AS n FROM range(5000)","cache_minutes":5}`
		if i == 3 {
			body = strings.Replace(body, `,"cache_minutes":5`, "", 1)
		}
		w.site.call(t, "POST", "/v1/query", strings.NewReader(body), "X-API-Key", key.text)
		answer, _ := w.site.call(t, "GET", "/v1/whoami", nil, "X-API-Key", key.text)
		if got := answer.Header.Get("RateLimit"); !strings.Contains(got, "r="+left+";") {
			t.Errorf("after %d: %s, want %s left", i+1, got, left)
		}
	}
}

// Promise: what a key may no longer see it does not get from what is kept either: the gate is asked first, and what the
// key may see by then is part of what is looked for.
func TestNarrowedKeysGetNothingKept(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	admin, victim, same := p.key("secret live all"), p.key("secret live sql:run"), p.key("secret live sql:run")
	s := w.variant(t, func(cfg *api.Config) {
		cfg.Query = query.New(query.Config{Engine: w.warehouse, Now: w.clock.Now, TempDir: w.dir, Scope: func(permit gate.Permit) (view.Scope, error) {
			if len(permit.Key().Networks) == 0 {
				return view.Scope{}, nil
			}
			return view.Scope{Tables: []view.TableScope{{Table: "events", Where: []view.Condition{{Column: "event", Op: view.Equal, Values: []any{"a"}}}}}}, nil
		}})
	}, nil)
	const events = `[{"event":"a"},{"event":"b"}]`
	if answer, body := w.site.call(t, "POST", "/track?sync=true", strings.NewReader(events), "X-API-Key", p.key("public live").text); answer.StatusCode != 200 {
		t.Fatal(body)
	}
	ask := func(key madeKey, want string) {
		t.Helper()
		const counted = `{"sql":"SELECT count(*) AS n FROM events","cache_minutes":60}`
		answer, body := s.call(t, "POST", "/v1/query", strings.NewReader(counted), "X-API-Key", key.text)
		var got struct {
			Rows   [][]int
			Cached bool
			Code   problem.Code
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprintf("%d %v %t %s", answer.StatusCode, got.Rows, got.Cached, got.Code); text != want {
			t.Errorf("got %s, want %s", text, want)
		}
	}
	narrow := func(change string) {
		t.Helper()
		if answer, body := s.call(t, "PATCH", "/v1/keys/"+victim.id, strings.NewReader(change), "X-API-Key", admin.text); answer.StatusCode != 200 {
			t.Fatal(body)
		}
	}
	ask(victim, "200 [[2]] false ")
	ask(victim, "200 [[2]] true ")
	ask(same, "200 [[2]] true ")
	narrow(`{"networks":[{"cidr":"` + crowdNetwork + `"}]}`)
	ask(victim, "200 [[1]] false ")
	ask(same, "200 [[2]] true ")
	narrow(`{"environments":["staging"]}`)
	ask(victim, "200 [[0]] false ") // without a name, it is asked in staging
	narrow(`{"environments":["production"]}`)
	ask(victim, "200 [[1]] true ")
	p.end(victim, "revoked")
	ask(victim, "401 [] false key_not_accepted")
}

// gated is an engine whose statements wait until they may go on.
type gated struct {
	endless

	open chan struct{}
	runs *atomic.Int32
}

func (e gated) Run(ctx context.Context, _ event.Space, _ query.Statement) (query.Rows, error) {
	e.runs.Add(1)
	select {
	case <-e.open:
		return &oneRow{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type oneRow struct{ given bool }

func (*oneRow) Columns() []query.Column { return []query.Column{{Name: "n", Type: "BIGINT"}} }
func (*oneRow) Close() error            { return nil }
func (r *oneRow) Next() (jsontext.Value, error) {
	if r.given {
		return nil, io.EOF
	}
	r.given = true
	return jsontext.Value("[1]"), nil
}

// Promise: of many who wait for one answer, those whose key is revoked meanwhile are told so and get nothing, also he who
// asked first; the others get it, and it was run once.
func TestRevokedWhileWaitingForTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		world := gatetest.New(t)
		victim, other := world.Key(access.Secret, access.AllScopes), world.Key(access.Secret, access.AllScopes)
		engine := gated{open: make(chan struct{}), runs: new(atomic.Int32)}
		a, err := api.New(api.Config{
			Gate: world.Gate, Live: new(event.Live), Query: query.New(query.Config{Engine: engine, Now: world.Clock.Now, Time: time.Hour, TempDir: t.TempDir()}),
			Runs:     query.NewRuns(query.RunsConfig{Now: world.Clock.Now, Log: slog.New(slog.DiscardHandler)}),
			Registry: prometheus.NewRegistry(), Now: world.Clock.Now, NewID: func() string { return "req_1" }, Log: slog.New(slog.DiscardHandler), Stopping: t.Context(),
		})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		answers := [20]*httptest.ResponseRecorder{}
		for i := range answers {
			key := victim
			if i%2 == 1 {
				key = other
			}
			answers[i] = httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/query", strings.NewReader(`{"sql":"SELECT 1","cache_minutes":5}`))
			r.Header.Set("X-API-Key", key)
			all.Go(func() { a.ServeHTTP(answers[i], r) })
			synctest.Wait()
		}
		world.Keys.Change(victim, func(k *access.Key) { k.RevokedAt = world.Clock.Now() })
		<-time.After(time.Second)
		close(engine.open)
		all.Wait()
		for i, answer := range answers {
			want := http.StatusUnauthorized
			if i%2 == 1 {
				want = http.StatusOK
			}
			if answer.Code != want || bytes.Contains(answer.Body.Bytes(), []byte("rows")) != (want == 200) {
				t.Errorf("%d: %d %s", i, answer.Code, answer.Body)
			}
		}
		if engine.runs.Load() != 1 {
			t.Errorf("it ran %d times", engine.runs.Load())
		}
	})
}
