package dataset

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/job"
)

// attic keeps records of which nobody knows whether they are used.
type attic struct {
	Store
	Records
	Jobs

	uids     []string
	jobs     []job.Job
	datasets []Dataset
	told     []string
	between  func() // after the uids were listed
	fails    error  // of what is told
}

func (a *attic) RecordUIDs(context.Context, event.Space) ([]string, error) {
	uids := slices.Clone(a.uids)
	if a.between != nil {
		a.between()
	}
	return uids, nil
}

func (a *attic) Open(context.Context) ([]job.Job, error) { return a.jobs, nil }

func (a *attic) Datasets(context.Context, string, string) ([]Dataset, error) { return a.datasets, nil }

func (a *attic) DropRecords(_ context.Context, _ event.Space, uid string) error {
	a.uids = slices.DeleteFunc(a.uids, func(known string) bool { return known == uid })
	return nil
}

// Promise: what a sweep drops is what no dataset and no job that is not over has, and nothing else, also when a job makes its
// records a dataset's meanwhile; what was made of it goes first, and what cannot be told stays for the next sweep.
func TestSweep(t *testing.T) {
	t.Parallel()
	space := event.Space{Project: "p", Environment: "e"}
	open := func(id, kind, environment, spec string) job.Job {
		return job.Job{ID: id, Project: "p", Environment: environment, Kind: kind, Spec: []byte(spec)}
	}
	begin := func() (*attic, *Service) {
		a := &attic{
			uids:     []string{"ds_has", "ds_from", "ds_to", "ds_into", "ds_orphan", "ds_elsewhere", "other"},
			datasets: []Dataset{{UID: "ds_has"}},
			jobs: []job.Job{
				open("1", UpdateKind, "e", `{"from":"ds_from","to":"ds_to"}`), open("2", IngestKind, "e", `{"uid":"ds_into"}`),
				open("3", IngestKind, "f", `{"uid":"ds_elsewhere"}`), open("4", "export", "e", `{"uid":"ds_orphan"}`),
			},
		}
		return a, New(Config{Store: a, Records: a, Jobs: a, Deleted: func(_ context.Context, _ event.Space, uid string) error {
			if a.fails == nil {
				a.told = append(a.told, uid)
			}
			return a.fails
		}})
	}
	a, s := begin()
	n, err := s.Sweep(t.Context(), space)
	if want := []string{"ds_has", "ds_from", "ds_to", "ds_into", "other"}; n != 2 || err != nil || !slices.Equal(a.uids, want) || !slices.Equal(a.told, []string{"ds_orphan", "ds_elsewhere"}) {
		t.Errorf("%d, %v: left are %q, told %q", n, err, a.uids, a.told)
	}
	a, s = begin()
	a.between = func() { a.jobs, a.datasets[0].UID = a.jobs[1:], "ds_to" }
	if _, err := s.Sweep(t.Context(), space); err != nil || !slices.Contains(a.uids, "ds_to") || slices.Contains(a.uids, "ds_from") {
		t.Errorf("%v: left are %q", err, a.uids)
	}
	a, s = begin()
	a.fails = errors.New("the disk has a fault")
	if n, err := s.Sweep(t.Context(), space); n != 0 || !errors.Is(err, a.fails) || !slices.Contains(a.uids, "ds_orphan") {
		t.Errorf("%d, %v: left are %q", n, err, a.uids)
	}
	a, s = begin()
	a.jobs[0].Spec = nil
	if n, err := s.Sweep(t.Context(), space); n != 0 || err == nil || len(a.uids) != 7 {
		t.Errorf("what a job holds is not known: %d, %v: left are %q", n, err, a.uids)
	}
}
