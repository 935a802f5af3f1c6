package storetest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/job"
)

func work(n int) job.Job {
	at := start().Add(time.Duration(n) * time.Second)
	return job.Job{
		ID: fmt.Sprintf("job_%05d", n), Project: "prj_1", Environment: "production", Live: true, KeyID: numbered(1), Owner: numbered(1) + "/a",
		Kind: "ingest", About: "quotes", Spec: []byte(`{"a":1}`), State: job.Succeeded, Starts: 2,
		Progress: job.Progress{Done: 10, Total: 1 << 40, Good: 7, Refused: 3}, Place: []byte(`7`), Result: []byte(`{"b":2}`), Code: "internal", Detail: "it broke",
		CreatedAt: at, StartedAt: at.Add(time.Second), EndedAt: at.Add(time.Minute),
	}
}

func keepJobs(t *testing.T, s Stores, jobs ...job.Job) {
	t.Helper()
	for _, j := range jobs {
		if err := s.Jobs.InsertJob(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
}

func jobNames(list []job.Job) string {
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return strings.Join(ids, " ")
}

// Promise: a job comes back as it was kept, every field of it; one that is not over is changed, and one that is over never is.
func jobsAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	want := []job.Job{work(0), {ID: "job_bare", Project: "prj_1", State: job.Queued, CreatedAt: start()}}
	for i, text := range hostile() {
		j := work(i + 1)
		j.Environment, j.About, j.Detail, j.Code = text, text, text, "body_too_large"
		want = append(want, j)
	}
	keepJobs(t, s, want...)
	for _, w := range want {
		if got, found, err := s.Jobs.FindJob(t.Context(), "prj_1", w.ID); err != nil || !found || !reflect.DeepEqual(got, w) {
			t.Errorf("got %.300v, %v, %v\nwant %.300v", got, found, err, w)
		}
	}
	over := work(9000)
	going := over
	going.State, going.Starts, going.Progress, going.Place, going.Result, going.Code, going.Detail = job.Queued, 0, job.Progress{}, nil, nil, "", ""
	going.StartedAt, going.EndedAt = time.Time{}, time.Time{}
	late := over
	late.State, late.Progress = job.Failed, job.Progress{}
	keepJobs(t, s, going)
	for _, step := range []struct{ save, want job.Job }{{going, going}, {over, over}, {late, over}, {going, over}} {
		if err := s.Jobs.SaveJob(t.Context(), step.save); err != nil {
			t.Fatal(err)
		}
		if got, _, err := s.Jobs.FindJob(t.Context(), "prj_1", over.ID); err != nil || !reflect.DeepEqual(got, step.want) {
			t.Errorf("it is %+v, %v", got, err)
		}
	}
	if err := s.Jobs.InsertJob(t.Context(), over); err == nil {
		t.Error("an id was given twice")
	}
}

// Promise: jobs are found and listed in their project only, youngest first, narrowed by what is asked for; a caller that does
// not see live things sees only the others; and what is not over is found of all projects.
func jobsAreToldApart(t *testing.T, open Open) {
	s := plain(t, open)
	list := []job.Job{work(1), work(2), work(3), work(4), work(5)}
	list[1].Project, list[1].State, list[1].EndedAt = "prj_2", job.Running, time.Time{}
	list[2].Live, list[2].Environment = false, "development"
	list[3].Kind, list[3].About = "export", "Quotes"
	list[4].State, list[4].EndedAt = job.Queued, time.Time{}
	keepJobs(t, s, list...)
	for _, c := range []struct {
		q    job.Query
		want string
	}{
		{job.Query{Project: "prj_1", Live: true, Limit: 9}, "job_00005 job_00004 job_00003 job_00001"},
		{job.Query{Project: "prj_1", Live: true, Limit: 2}, "job_00005 job_00004"},
		{job.Query{Project: "prj_1", Limit: 9}, "job_00003"},
		{job.Query{Project: "prj_1", Live: true, Environment: "production", Kind: "ingest", About: "quotes", Limit: 9}, "job_00005 job_00001"},
		{job.Query{Project: "prj_1", Live: true, After: job.Place{At: list[3].CreatedAt, ID: list[3].ID}, Limit: 9}, "job_00003 job_00001"},
		{job.Query{Project: "prj_1", Live: true, Oldest: true, After: job.Place{At: list[0].CreatedAt, ID: list[0].ID}, Limit: 2}, "job_00003 job_00004"},
		{job.Query{Project: "prj_1", Live: true, From: list[1].CreatedAt, Until: list[3].CreatedAt, Limit: 9}, "job_00003"},
		{job.Query{Project: "prj_3", Live: true, Limit: 9}, ""},
		{job.Query{Project: "prj_1", Live: true, Owner: "nobody", Limit: 9}, ""},
		{job.Query{Project: "prj_1", Live: true, Owner: list[3].Owner, Limit: 9}, "job_00005 job_00004 job_00003 job_00001"},
	} {
		got, err := s.Jobs.Jobs(t.Context(), c.q)
		if err != nil || jobNames(got) != c.want {
			t.Errorf("%+v: %s, %v", c.q, jobNames(got), err)
		}
	}
	if _, found, err := s.Jobs.FindJob(t.Context(), "prj_1", "job_00002"); found || err != nil {
		t.Errorf("found another project's: %v, %v", found, err)
	}
	if got, err := s.Jobs.OpenJobs(t.Context()); err != nil || jobNames(got) != "job_00002 job_00005" {
		t.Errorf("not over: %s, %v", jobNames(got), err)
	}
}

// Promise: jobs that ended long ago are forgotten, and of each project the oldest of too many; none that is not over is.
func oldJobsAreTrimmed(t *testing.T, open Open) {
	s := plain(t, open)
	for n := range 6 {
		j := work(n)
		if n == 0 {
			j.State, j.EndedAt = job.Running, time.Time{}
		}
		keepJobs(t, s, j)
	}
	for _, c := range []struct {
		before time.Time
		most   int
		want   string
	}{
		{work(3).EndedAt, 9, "job_00001 job_00002"},
		{work(3).EndedAt, 9, ""},
		{start(), 1, "job_00003 job_00004"},
		{start(), 1, ""},
	} {
		ids, err := s.Jobs.TrimJobs(t.Context(), c.before, c.most)
		got := map[string]bool{}
		for _, id := range ids {
			got[id] = true
		}
		for id := range strings.FieldsSeq(c.want) {
			if !got[id] {
				t.Errorf("%s is still there", id)
			}
		}
		if err != nil || len(ids) != len(strings.Fields(c.want)) {
			t.Errorf("forgot %v, %v, want %q", ids, err, c.want)
		}
	}
}
