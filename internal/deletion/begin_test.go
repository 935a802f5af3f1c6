package deletion_test

import (
	"context"
	"errors"
	"testing"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: when a deletion ends without having been begun, as its key was revoked, or breaks off, no file names who was to be
// deleted.
func TestNoFileNamesWhoWasNotDeleted(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*yard){
		"revoked": func(y *yard) {
			y.stands = func(job.Job) error { return problem.New(problem.KeyNotAccepted, "The key is revoked.") }
		},
		"panic": func(y *yard) { y.parts.broken = true },
		"fault": func(y *yard) { y.parts.failAt = 1 },
	} {
		y := newYard(t)
		breaks(y)
		end := y.serve()
		r, err := y.service.Submit(t.Context(), y.permit("production"), deletion.Wish{Person: "Zq7xSomebody"})
		if err != nil {
			t.Fatal(err)
		}
		if shown := y.done(r.ID); shown.Status != job.Failed || shown.Signed != nil {
			t.Errorf("%s: %+v", name, shown)
		}
		if names := y.named("Zq7xSomebody"); len(names) > 0 {
			t.Errorf("%s: named in %v", name, names)
		}
		end()
	}
}

// losing is a control that loses the first deletion that it is to keep, as in a crash.
type losing struct {
	deletion.Control

	lost bool
}

func (l *losing) KeepDeletion(ctx context.Context, r deletion.Record, entry *audit.Entry) error {
	if !l.lost {
		l.lost = true
		return errors.New("the server crashed")
	}
	return l.Control.KeepDeletion(ctx, r, entry)
}

// Promise: a deletion that is carried out has one entry in the audit, which says who asked, also when the server crashed between
// its job and its being kept.
func TestEveryDeletionIsInTheAudit(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		y := newYard(t)
		y.control = &losing{y.store, !crash}
		end := func() {}
		if !crash {
			end = y.serve()
		}
		permit := y.permit("production")
		if crash { // nobody takes up the job yet
			start := y.open()
			if _, err := y.service.Submit(t.Context(), permit, deletion.Wish{Person: "u"}); err == nil {
				t.Fatal("it was kept")
			}
			end = start()
		} else if _, err := y.service.Submit(t.Context(), permit, deletion.Wish{Person: "u"}); err != nil {
			t.Fatal(err)
		}
		var list []deletion.Shown
		for len(list) == 0 {
			list, _, _ = y.service.List(t.Context(), permit, deletion.Place{}, 10)
		}
		shown := y.done(list[0].ID)
		end()
		entries, err := y.store.Entries(t.Context(), audit.Query{Project: permit.Project(), Live: true, Limit: 10})
		if err != nil || len(entries) != 1 || shown.Status != job.Succeeded {
			t.Fatalf("crash %v: %+v, %v, %+v", crash, entries, err, shown)
		}
		if e := entries[0]; e.Actor != permit.Key().ID || e.Subject != shown.ID || e.Action != "deletion.create" || e.Before != nil || len(e.After) == 0 || !e.At.Equal(permit.At()) {
			t.Errorf("crash %v: %+v", crash, e)
		}
	}
}
