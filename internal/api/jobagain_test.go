package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/keyring"
)

// halting keeps records, and does not write a batch before that is cancelled.
type halting struct {
	dataset.Records

	batches atomic.Int64
	at      int64         // the batch, from 1
	reached chan struct{} // closed when it is there
}

func (h *halting) WriteRecords(ctx context.Context, space event.Space, uid string, b dataset.Batch) (dataset.Written, error) {
	if h.batches.Add(1) == h.at {
		close(h.reached)
		<-ctx.Done()
		return dataset.Written{}, context.Cause(ctx)
	}
	return h.Records.WriteRecords(ctx, space, uid, b)
}

// jobsOver has jobs and datasets of its own at the site of a world, until the test ends: what they keep goes through records.
func (w *world) jobsOver(t *testing.T, records dataset.Records) *job.Runner {
	t.Helper()
	jobs := job.New(job.Config{Store: w.store, Dir: t.TempDir(), Charges: w.gate, Now: w.clock.Now, NewID: newSuffix, Log: w.log, Stands: job.Standing(w.ring, w.clock.Now)})
	datasets := dataset.New(dataset.Config{Store: w.store, Records: records, Jobs: jobs, Live: new(dataset.Live), Now: w.clock.Now, NewID: newSuffix})
	jobs.Handle(dataset.UpdateKind, datasets.Rebuild)
	jobs.Handle(dataset.IngestKind, datasets.Ingest)
	jobs.Price(dataset.IngestKind, dataset.LoadPrice())
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- jobs.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	whole := w.site
	t.Cleanup(func() { w.site = whole })
	w.site = w.variant(t, func(cfg *api.Config) { cfg.Jobs, cfg.Datasets = jobs, datasets }, nil)
	return jobs
}

// Promise: a file whose loading was cancelled in the middle is loaded once more without being sent again, and each of its records is
// there once, those without a date too; whoever may not do what the job did cannot have it done again.
func TestAJobIsDoneOnceMore(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	h := &halting{Records: w.warehouse, at: 2, reached: make(chan struct{})}
	jobs := w.jobsOver(t, h)
	s := newTables(t, w)
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"LIST","schema":{"type":"object","properties":{"symbol":{"type":"string"},"n":{"type":"integer"}}},
		"columnMapping":{"key":"symbol"}}`, 201)
	const rows, chunk = 6000, 5000
	var file strings.Builder
	file.WriteString("symbol,n\n")
	for n := range rows {
		fmt.Fprintf(&file, "k%d,%d\n", n%10, n)
	}
	id := func(text string) string {
		t.Helper()
		var started struct{ JobID string }
		if err := json.Unmarshal([]byte(text), &started); err != nil || started.JobID == "" {
			t.Fatal(text, err)
		}
		return started.JobID
	}
	first := id(s.ask(s.all, "POST", "/v1/data/CORE/LIST", file.String(), 202))
	<-h.reached
	s.ask(s.all, "POST", "/v1/jobs/CORE/ingest/"+first, "", 409)
	s.ask(s.all, "DELETE", "/v1/jobs/CORE/ingest/"+first, "", 204)
	if err := jobs.Await(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := id(s.ask(s.all, "POST", "/v1/jobs/CORE/ingest/"+first+"?wait=true", "", 202))
	var got struct {
		Status string
		Result struct{ Written, Ignored int }
	}
	if err := json.Unmarshal([]byte(s.ask(s.all, "GET", "/v1/jobs/CORE/ingest/"+second, "", 200)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Status != "succeeded" || got.Result.Written != rows-chunk || got.Result.Ignored != chunk {
		t.Errorf("the second job is %+v", got)
	}
	if records := strings.Count(s.ask(s.all, "GET", "/v1/data/CORE/LIST?limit=50000", "", 200), `"n":`); records != rows {
		t.Errorf("there are %d records", records)
	}
	s.ask(s.all, "POST", "/v1/jobs/CORE/ingest/"+second, "", 409)

	failed := id(s.ask(s.all, "POST", "/v1/data/CORE/LIST?overwrite=true&wait=true", "symbol,n\nk,x\n", 202))
	writes := s.make(keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes, Bounds: access.Bounds{Datasets: &access.Datasets{
		Named: []access.NamedDataset{{Name: "LIST", Rights: access.ReadRecords | access.WriteRecords}},
	}}}).text
	s.ask(writes, "POST", "/v1/jobs/CORE/ingest/"+failed, "", 403)
	s.ask(writes, "POST", "/v1/jobs/CORE/ingest/"+first, "", 202)
	s.ask(s.limited(access.Limits{Credits: access.Quota{Most: rows - 1}}).text, "POST", "/v1/jobs/CORE/ingest/"+first, "", 402)
	s.ask(s.all, "POST", "/v1/jobs/CORE/update/"+failed, "", 404)
	s.ask(s.all, "DELETE", "/v1/datasets/CORE/LIST", "", 204)
	s.ask(s.all, "POST", "/v1/jobs/CORE/ingest/"+failed, "", 404)
}
