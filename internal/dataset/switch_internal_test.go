package dataset

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/job"
)

// oneShelf keeps one dataset, and says which records were dropped.
type oneShelf struct {
	Store
	Records

	d       Dataset
	dropped []string
	fails   error // of the next drop
}

func (o *oneShelf) FindDataset(context.Context, string, string, string) (Dataset, bool, error) {
	return o.d, true, nil
}

func (o *oneShelf) ChangeDataset(_ context.Context, _, _, _ string, change func(*Change) (*audit.Entry, error)) (Dataset, error) {
	c := Change{Dataset: o.d}
	entry, err := change(&c)
	if err == nil && entry != nil {
		o.d = c.Dataset
	}
	return o.d, err
}

func (o *oneShelf) DropRecords(_ context.Context, _ event.Space, uid string) error {
	if err := o.fails; err != nil {
		o.fails = nil
		return err
	}
	o.dropped = append(o.dropped, uid)
	return nil
}

// Promise: what a dataset has become is never dropped: not by a job that begins again after it made the dataset that, nor when
// what was before cannot be dropped; and what was only begun is.
func TestWhatADatasetBecameStays(t *testing.T) {
	t.Parallel()
	spec := updateSpec{ID: "D", From: "before", To: "after"}
	j := job.Job{ID: "job_1", Project: "p", Environment: "production"}
	shelf := &oneShelf{}
	now := func() time.Time { return time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC) }
	s := New(Config{Store: shelf, Records: shelf, Now: now, NewID: func() string { return "1" }})
	begin := func() {
		*shelf = oneShelf{d: Dataset{Project: "p", Environment: "production", ID: "D", UID: "before", Definition: Definition{Busy: "job_1"}}}
		spec.Becomes = shelf.d.Definition
		spec.Becomes.Busy = ""
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for name, becomes := range map[string]func(context.Context) error{
		"changed":  func(ctx context.Context) error { return s.become(ctx, j, &spec) },
		"replaced": func(ctx context.Context) error { return s.replaced(ctx, j, &spec) },
	} {
		begin()
		shelf.fails = errors.New("the engine was restarted")
		if err := becomes(t.Context()); err != nil || shelf.d.UID != "after" {
			t.Errorf("%s, and what was before cannot be dropped: %v, it is %s", name, err, shelf.d.UID)
		}
		begin()
		shelf.fails = context.Canceled
		if err := becomes(stopped); !errors.Is(err, context.Canceled) {
			t.Errorf("%s while the server stops: %v", name, err)
		}
		done, err := s.await(t.Context(), j, &spec)
		if !done || err != nil {
			t.Errorf("%s: begun again: %t, %v", name, done, err)
		}
		if err := s.giveUp(t.Context(), j, &spec); err != nil || len(shelf.dropped) > 0 {
			t.Errorf("%s and given up: %v dropped, %v", name, shelf.dropped, err)
		}
		if err := s.dropFormer(t.Context(), j, &spec); err != nil || !slices.Equal(shelf.dropped, []string{"before"}) {
			t.Errorf("%s: %v dropped, %v", name, shelf.dropped, err)
		}
	}
	begin()
	if done, err := s.await(t.Context(), j, &spec); done || err != nil {
		t.Errorf("begun: %t, %v", done, err)
	}
	if err := s.giveUp(t.Context(), j, &spec); err != nil || shelf.d.Busy != "" || shelf.d.UID != "before" || !slices.Equal(shelf.dropped, []string{"after"}) {
		t.Errorf("given up: %+v, %v dropped, %v", shelf.d, shelf.dropped, err)
	}
}
