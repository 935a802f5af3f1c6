package export_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// about is an ask for the events of somebody.
func about(person string) export.Ask {
	return export.Ask{Of: export.Events, Where: jsontext.Value(`[{"column":"distinct_id","op":"=","value":"` + person + `"}]`)}
}

// Promise: when a person is deleted, exports whose conditions name them are cancelled, those that are under way and those that
// wait for their turn, also when nobody is free to end them; all others go on, and are written anew.
func TestExportsAboutADeletedPersonEnd(t *testing.T) {
	h := newHouse(t, access.Key{})
	reached, forgotten := make(chan struct{}, 9), make(chan struct{})
	h.table.at = func(i int) error {
		if i != 10 {
			return nil
		}
		select {
		case <-forgotten:
		case reached <- struct{}{}:
			<-forgotten
		}
		return nil
	}
	s, jobs, stop := h.open()
	defer stop()
	under, other := h.start(s, about(`it\u0027s me`)), h.start(s, export.Ask{Of: export.Events})
	<-reached
	<-reached
	waiting, patient := h.start(s, about("it's me")), h.start(s, about("somebody else"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	over := make(chan error, 1)
	go func() {
		_, err := s.Forget(ctx, h.permit.Project(), "production", []string{"it's me", "events", "ndjson", "column", "distinct_id", "value"})
		over <- err
	}()
	if got := h.ended(s, jobs, waiting.Job.ID); got.Job.State != job.Cancelled { // while both workers are busy
		t.Errorf("the one that waits: %+v", got.Job)
	}
	close(forgotten)
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]job.State{under.Job.ID: job.Cancelled, other.Job.ID: job.Succeeded, patient.Job.ID: job.Succeeded} {
		if got := h.ended(s, jobs, id); got.Job.State != want {
			t.Errorf("%s: %+v", id, got.Job)
		}
	}
}

// Promise: an export from which a deletion took what named somebody is still listed, as one whose file is gone.
func TestABlankedExportIsGone(t *testing.T) {
	h := newHouse(t, access.Key{})
	s, jobs, stop := h.open()
	defer stop()
	e := h.ended(s, jobs, h.start(s, about("me")).Job.ID)
	h.store.mu.Lock()
	blank := h.store.jobs[e.Job.ID]
	blank.Spec = jsontext.Value(`{"of":"events","format":"ndjson","compression":"none"}`)
	h.store.jobs[e.Job.ID] = blank
	h.store.mu.Unlock()
	e, err := s.Find(t.Context(), h.permit.Project(), e.Job.ID)
	if err != nil || e.Of != export.Events || e.Where != nil || e.Status(h.world.Clock.Now()) != "deleted" || e.Gone.Reason != export.GoneForgotten {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := h.read(s, e); problem.Of(err) != problem.ExportGone {
		t.Error(err)
	}
	if list, _, err := s.List(t.Context(), h.ask(access.ReadExports, h.text), job.Place{}, 10); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
}
