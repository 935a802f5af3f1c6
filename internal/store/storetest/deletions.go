package storetest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/query"
)

func deletionOf(id string, after time.Duration) deletion.Record {
	return deletion.Record{
		ID: id, Project: "prj_1", Environment: "production", Live: true, KeyID: numbered(1), CreatedAt: start().Add(after),
		Of: deletion.Of{Person: "hash", KeyID: "key\x01'", Events: []string{"a", "b'"}, From: start(), Until: start().Add(time.Hour), Days: 3},
	}
}

// Promise: a deletion comes back as it was kept; its receipt is set once and never changes; it is listed in its own space
// only, the youngest first, from any place on; its entry of the audit is kept with it, once.
func deletionsAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	first, second := deletionOf("del_1", 0), deletionOf("del_2", time.Second)
	elsewhere := deletionOf("del_3", 2*time.Second)
	elsewhere.Environment = "staging"
	entry := audit.Entry{ID: "aud_1", At: start(), Project: "prj_1", Action: "deletion.create", Subject: "del_1"}
	for range 2 {
		if err := s.Deletions.KeepDeletion(t.Context(), first, &entry); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []deletion.Record{second, elsewhere} {
		if err := s.Deletions.KeepDeletion(t.Context(), r, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got, found, err := s.Deletions.FindDeletion(t.Context(), "prj_1", "del_1"); err != nil || !found || !reflect.DeepEqual(got, first) {
		t.Fatalf("%+v, %v, %v", got, found, err)
	}
	first.Receipt = []byte(`{"a":1}`)
	if err := s.Deletions.KeepDeletion(t.Context(), first, nil); err != nil {
		t.Fatal(err)
	}
	other := first
	other.Receipt = []byte(`{"a":2}`)
	if err := s.Deletions.KeepDeletion(t.Context(), other, nil); err != nil {
		t.Fatal(err)
	}
	if got, found, err := s.Deletions.FindDeletion(t.Context(), "prj_1", "del_1"); err != nil || !found || !reflect.DeepEqual(got, first) {
		t.Fatalf("%+v, %v, %v", got, found, err)
	}
	if _, found, err := s.Deletions.FindDeletion(t.Context(), "prj_2", "del_1"); err != nil || found {
		t.Fatal(found, err)
	}
	space := deletion.Query{Project: "prj_1", Environment: "production", Limit: 10}
	if list, err := s.Deletions.Deletions(t.Context(), space); err != nil || len(list) != 2 || list[0].ID != "del_2" || list[1].ID != "del_1" {
		t.Fatalf("%+v, %v", list, err)
	}
	space.Before = deletion.Place{At: second.CreatedAt, ID: second.ID}
	if list, err := s.Deletions.Deletions(t.Context(), space); err != nil || len(list) != 1 || list[0].ID != "del_1" {
		t.Fatalf("%+v, %v", list, err)
	}
	if entries, err := s.Audit.Entries(t.Context(), audit.Query{Project: "prj_1", Live: true, Limit: 10}); err != nil || len(entries) != 1 {
		t.Fatalf("%+v, %v", entries, err)
	}
	if err := s.Deletions.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, found, err := s.Deletions.FindDeletion(t.Context(), "prj_1", "del_1"); err != nil || !found || !reflect.DeepEqual(got, first) {
		t.Fatalf("compacted: %+v, %v, %v", got, found, err)
	}
}

// Promise: statements that name an id, also in escapes, lose their text, in their own space only; a short id must stand between quotation marks.
func statementsAreBlanked(t *testing.T, open Open) {
	s := plain(t, open)
	var runs []query.Run
	texts := map[string]string{
		"qry_0": `SELECT '{"id":"o\u0027brian-1"}'`, "qry_1": "SELECT 'user-1'", "qry_2": "SELECT 'somebody else'", "qry_3": "SELECT 'o''brian-1'", "qry_4": "SELECT 7 FROM a LIMIT 7", "qry_5": "SELECT '7'",
	}
	for id, text := range texts {
		runs = append(runs, query.Run{ID: id, Project: "prj_1", Environment: "production", SQL: text, StartedAt: start(), Status: query.Succeeded, Live: true})
	}
	away := query.Run{ID: "qry_6", Project: "prj_1", Environment: "staging", SQL: texts["qry_1"], StartedAt: start(), Status: query.Succeeded, Live: true}
	if err := s.Runs.KeepRuns(t.Context(), append(runs, away)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{4, 0} {
		if n, err := s.Deletions.BlankStatements(t.Context(), "prj_1", "production", []string{"user-1", "o'brian-1", "7"}); err != nil || n != want {
			t.Fatal(n, err)
		}
	}
	list, err := s.Runs.Runs(t.Context(), query.RunQuery{Project: "prj_1", Live: true, Limit: 10})
	if err != nil || len(list) != 7 {
		t.Fatal(list, err)
	}
	for _, r := range list {
		if blank := slices.Contains([]string{"qry_0", "qry_1", "qry_3", "qry_5"}, r.ID); blank != (r.SQL == "") {
			t.Errorf("%s: %q", r.ID, r.SQL)
		}
	}
}

// Promise: of jobs that have ended goes whatever names an id, however it is written there, in their own space only, and
// nothing else of them does; of what is not over nothing goes.
func jobsAreBlanked(t *testing.T, open Open) {
	s := plain(t, open)
	var jobs []job.Job
	for n, spec := range []string{
		`{"of":"events","where":[{"value":"o\u0027brian-1"}],"seen":null}`, `{"of":"dataset","filter":"name = 'o''brian-1'"}`, `{"of":"events"}`,
	} {
		j := work(n)
		j.Spec = []byte(spec)
		jobs = append(jobs, j)
	}
	told, away, going := work(7), work(8), work(9)
	told.Detail = "The record of \"o'brian-1\" does not fit."
	away.Environment, away.Spec = "staging", jobs[0].Spec
	going.State, going.EndedAt, going.Spec = job.Running, time.Time{}, jobs[0].Spec
	keepJobs(t, s, append(jobs, told, away, going)...)
	for _, want := range []int64{3, 0} {
		if n, err := s.Deletions.BlankJobs(t.Context(), "prj_1", "production", []string{"o'brian-1"}); err != nil || n != want {
			t.Fatal(n, err)
		}
	}
	jobs[0].Spec, jobs[1].Spec, told.Detail = []byte(`{"of":"events","seen":null}`), []byte(`{"of":"dataset"}`), ""
	for _, want := range append(jobs, told, away, going) {
		if got, found, err := s.Jobs.FindJob(t.Context(), "prj_1", want.ID); err != nil || !found || !reflect.DeepEqual(got, want) {
			t.Errorf("%s, %v, %v\nwant %s", got.Spec, found, err, want.Spec)
		}
	}
}

// Promise: how the clock went comes back as it was kept last; at first it was never seen.
func howTheClockWentIsKept(t *testing.T, open Open) {
	s := plain(t, open)
	if w, err := s.Clock.LastWent(t.Context()); err != nil || !w.Seen.IsZero() || !w.Since.IsZero() {
		t.Fatal(w, err)
	}
	for n := range 3 {
		want := deletion.Went{Since: start(), Seen: start().Add(time.Duration(n) * time.Hour)}
		if err := s.Clock.KeepWent(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if w, err := s.Clock.LastWent(t.Context()); err != nil || w != want {
			t.Fatal(w, err)
		}
	}
}
