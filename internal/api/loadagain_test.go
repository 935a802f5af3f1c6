package api_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// stopping is a warehouse that writes, and is not heard to have: after one write it stops the server, or says that it is being
// started again.
type stopping struct {
	dataset.Records

	writes atomic.Int32
	at     int32 // the write after which it stops
	stop   context.CancelFunc
}

func (s *stopping) WriteRecords(ctx context.Context, space event.Space, uid string, b dataset.Batch) (dataset.Written, error) {
	written, err := s.Records.WriteRecords(ctx, space, uid, b)
	if err != nil || s.writes.Add(1) != s.at {
		return written, err
	}
	if s.stop == nil {
		return dataset.Written{}, problem.New(problem.Unavailable, "The warehouse is being started again.")
	}
	s.stop()
	<-ctx.Done()
	return dataset.Written{}, context.Cause(ctx)
}

// Promise: a load that stops between writing records and keeping that it has, whatever part stops, goes on to the numbers it
// would have come to: what it wrote is written, and what was there, in the dataset or before in the file, is ignored. Of what
// replaced others, and only there, it says of how many it does not know it.
func TestLoadsCountRightWhenStopped(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("symbol,date,volume\n")
	for i := range 12_000 { // chunks of 5,000
		fmt.Fprintf(&file, "S%d,2026-01-02,%d\n", i%9_000, i) // the last 3,000 are there already
	}
	for i := range 5 {
		fmt.Fprintf(&file, "OLD%d,2026-01-02,1\n", i)
	}
	for name, c := range map[string]struct {
		at      int32
		restart bool
		query   string
		want    string
	}{
		"the server at the first chunk":    {1, true, "", "map[ignored:3005 rejected:0 replaced:0 written:9000]"},
		"the server at the second chunk":   {2, true, "", "map[ignored:3005 rejected:0 replaced:0 written:9000]"},
		"the server at the last chunk":     {3, true, "", "map[ignored:3005 rejected:0 replaced:0 written:9000]"},
		"the warehouse at the second":      {2, false, "", "map[ignored:3005 rejected:0 replaced:0 written:9000]"},
		"the server while others are kept": {2, true, "?duplicateKeyHandling=true", "map[ignored:0 rejected:0 replaced:2005 unsure:5000 written:12005]"},
		"never":                            {0, false, "?duplicateKeyHandling=true", "map[ignored:0 rejected:0 replaced:3005 written:12005]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t).apart(t)
			s := newTables(t, w)
			s.define("QUOTES", "core")
			s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", `[{"symbol":"OLD0","date":"2026-01-02"},{"symbol":"OLD1","date":"2026-01-02"},
				{"symbol":"OLD2","date":"2026-01-02"},{"symbol":"OLD3","date":"2026-01-02"},{"symbol":"OLD4","date":"2026-01-02"}]`, 200)
			records, dir := &stopping{Records: w.warehouse, at: c.at}, t.TempDir()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			if c.restart {
				records.stop = stop
			}
			first, site := loader(t, w, records, dir)
			over := make(chan error, 1)
			go func() { over <- first.Run(ctx) }()
			answer, body := site.call(t, "POST", "/v1/data/CORE/QUOTES"+c.query, strings.NewReader(file.String()), "X-API-Key", s.all)
			var started api.LoadStarted
			if err := json.Unmarshal([]byte(body), &started); err != nil || answer.StatusCode != 202 {
				t.Fatalf("%d %s", answer.StatusCode, body)
			}
			_ = first.Await(t.Context(), started.JobID)
			if c.restart {
				<-over
				second, _ := loader(t, w, records, dir)
				ctx, stop := context.WithCancel(t.Context())
				go func() { over <- second.Run(ctx) }()
				s.ended(started.JobURL)
				stop()
				<-over
			}
			var j struct {
				Status string         `json:"status"`
				Detail string         `json:"detail"`
				Result map[string]any `json:"result"`
			}
			if err := json.Unmarshal([]byte(s.ended(started.JobURL)), &j); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(j.Result); j.Status != "succeeded" || got != c.want {
				t.Errorf("%s %s: %s, want %s", j.Status, j.Detail, got, c.want)
			}
		})
	}
}

// ended waits until a job is over, and gives what is told of it.
func (s *tables) ended(address string) string {
	s.t.Helper()
	for {
		text := s.ask(s.all, "GET", address, "", 200)
		if !strings.Contains(text, `"running"`) && !strings.Contains(text, `"queued"`) {
			return text
		}
		runtime.Gosched()
	}
}

// loader is a server's part that loads files: its jobs, and the API before them.
func loader(t *testing.T, w *world, records dataset.Records, dir string) (*job.Runner, *site) {
	return loaderOver(t, w, w.store, records, dir)
}

func loaderOver(t *testing.T, w *world, store job.Store, records dataset.Records, dir string) (*job.Runner, *site) {
	t.Helper()
	jobs := job.New(job.Config{Store: store, Dir: filepath.Join(dir, "jobs"), Charges: w.gate, Now: w.clock.Now, NewID: newSuffix, Log: w.log})
	own := dataset.New(dataset.Config{Store: w.store, Records: records, Jobs: jobs, Live: new(dataset.Live), Now: w.clock.Now, NewID: newSuffix, Statements: lateStatements{w}})
	jobs.Handle(dataset.IngestKind, own.Ingest)
	jobs.Price(dataset.IngestKind, dataset.LoadPrice())
	return jobs, w.variant(t, func(c *api.Config) { c.Datasets, c.Jobs = own, jobs }, nil)
}

// deaf is a store that stops the server when it hears that a job is over, and has not heard it.
type deaf struct {
	job.Store

	stop func()
}

func (d deaf) SaveJob(ctx context.Context, j job.Job) error {
	if !j.State.Over() {
		return d.Store.SaveJob(ctx, j)
	}
	d.stop()
	return problem.New(problem.Unavailable, "The store is being started again.")
}

// Promise: a load that had written all of its file when the server stopped is over at the next start, and not failed, also one that
// took the place of all records.
func TestALoadThatWasDoneIsOver(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"", "?overwrite=true"} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			w := open(t).apart(t)
			s := newTables(t, w)
			s.define("QUOTES", "core")
			dir := t.TempDir()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			first, site := loaderOver(t, w, deaf{w.store, stop}, w.warehouse, dir)
			over := make(chan error, 1)
			go func() { over <- first.Run(ctx) }()
			answer, body := site.call(t, "POST", "/v1/data/CORE/QUOTES"+query, strings.NewReader("symbol,date\nA,2026-01-02\nB,2026-01-02\n"), "X-API-Key", s.all)
			var started api.LoadStarted
			if err := json.Unmarshal([]byte(body), &started); err != nil || answer.StatusCode != 202 {
				t.Fatalf("%d %s", answer.StatusCode, body)
			}
			<-over
			second, _ := loader(t, w, w.warehouse, dir)
			ctx, stop = context.WithCancel(t.Context())
			go func() { over <- second.Run(ctx) }()
			if text := s.ended(started.JobURL); !strings.Contains(text, `"succeeded"`) || !strings.Contains(text, `"written":2`) {
				t.Error(text)
			}
			stop()
			<-over
		})
	}
}
