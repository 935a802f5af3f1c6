package export_test

import (
	"context"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// turning is a dataset whose class changes when it is asked for the n-th time.
type turning struct{ n, asked int }

func (*turning) Walk(_ context.Context, _ dataset.Walked, _ string, each func(*dataset.Record) error) error {
	for range 3 {
		if err := each(&dataset.Record{Key: "k", Body: []byte(`{"symbol":"k"}`)}); err != nil {
			return err
		}
	}
	return nil
}

func (d *turning) Class(context.Context, dataset.Walked) (access.Class, bool, error) {
	if d.asked++; d.n > 0 && d.asked >= d.n {
		return access.Premium, true, nil
	}
	return access.Core, true, nil
}

// Promise: an export of a dataset whose class is changed before its records are read, or while they are, ends without a file and
// costs what a failure does; else each record costs what its class says.
func TestAnExportEndsWithTheClassOfItsDataset(t *testing.T) {
	for n, want := range map[int]job.State{0: job.Succeeded, 1: job.Failed, 2: job.Failed, 3: job.Succeeded} {
		h := newHouse(t, access.Key{})
		h.change = func(cfg *export.Config) { cfg.Datasets = &turning{n: n} }
		s, jobs, stop := h.open()
		of := &dataset.Dataset{
			Project: h.permit.Project(), Environment: "production", ID: "D", UID: "ds_1", Class: access.Core, Revision: 1,
			Definition: dataset.Definition{Schema: dataset.Schema{Properties: []dataset.Property{{Name: "symbol", Type: dataset.String}}}},
		}
		e, err := s.Start(t.Context(), h.permit, export.Ask{Of: export.OfDataset, Dataset: "D"}, of, export.Asker{
			Still: func() error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := jobs.Await(t.Context(), e.Job.ID); err != nil {
			t.Fatal(err)
		}
		e, err = s.Find(t.Context(), h.permit.Project(), e.Job.ID)
		stop()
		if err != nil || e.Job.State != want || want == job.Failed && (e.Job.Code != problem.Conflict || len(h.files()) > 0 || len(h.paid) != 1 || h.paid[0] > 1) ||
			want == job.Succeeded && (e.Rows != 3 || e.Credits != 3) {
			t.Errorf("%d: %+v, paid %v, files %v, %v", n, e.Job, h.paid, h.files(), err)
		}
	}
}
