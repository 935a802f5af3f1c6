package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/query"
)

func run(n int) query.Run {
	return query.Run{
		ID: fmt.Sprintf("qry_%05d", n), Project: "prj_1", KeyID: numbered(1), Owner: numbered(1) + "/a", Environment: "production", Live: true, SQL: "SELECT 1",
		StartedAt: start().Add(time.Duration(n) * time.Second), Elapsed: 1234567 * time.Microsecond, Rows: 3, Bytes: 1 << 40, Credits: 7,
		Status: query.Succeeded, Code: "", Cached: true, Background: true,
	}
}

func keepRuns(t *testing.T, s Stores, runs ...query.Run) {
	t.Helper()
	if err := s.Runs.KeepRuns(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
}

func runs(t *testing.T, s Stores, q query.RunQuery) []query.Run {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100_000
	}
	list, err := s.Runs.Runs(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func runNames(list []query.Run) string {
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return strings.Join(ids, " ")
}

// Promise: a run comes back as it was kept, every field of it; one that runs is replaced, and one that is over never is.
func runsAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	want := []query.Run{run(0), {ID: "qry_bare", Project: "prj_1", StartedAt: time.Unix(-1, 0).UTC(), Status: query.Failed}}
	for i, text := range hostile() {
		r := run(i + 1)
		r.KeyID, r.Environment, r.SQL, r.Code = text, text, text, "query_timeout"
		want = append(want, r)
	}
	keepRuns(t, s, want...)
	slices.SortFunc(want, func(a, b query.Run) int { return b.StartedAt.Compare(a.StartedAt) })
	if got := runs(t, s, query.RunQuery{Project: "prj_1", Live: true}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %.500v\nwant %.500v", got, want)
	}
	going := run(9000)
	going.Status, going.Elapsed, going.Rows, going.Bytes, going.Credits, going.Cached = query.Running, 0, 0, 0, 0, false
	keepRuns(t, s, going, want[0])
	over := run(9000)
	late := over
	late.Status, late.Rows = query.Failed, 0
	for _, next := range []query.Run{over, going, late} {
		keepRuns(t, s, next)
		if got := runs(t, s, query.RunQuery{Project: "prj_1", Live: true, ID: going.ID}); !reflect.DeepEqual(got, []query.Run{over}) {
			t.Errorf("it is %+v", got)
		}
	}
}

// Promise: runs are listed by project, youngest first, from any place on, narrowed by key, status and id; no two names are
// one; and a caller that does not see live things sees only the others.
func runsAreToldApart(t *testing.T, open Open) {
	s := plain(t, open)
	var all []query.Run
	for i, name := range hostile() {
		mine, theirs := run(i/2), run(i/2) // two of each time
		mine.ID, theirs.ID, theirs.Project = fmt.Sprintf("m%05d", i), fmt.Sprintf("t%05d", i), "prj_"+name
		mine.KeyID, mine.Live = "key_"+name, i%3 != 0
		if i%5 == 0 {
			mine.Status = query.Failed
		}
		all = append(all, mine, theirs)
	}
	keepRuns(t, s, all...)
	for i, name := range hostile() {
		if got := runNames(runs(t, s, query.RunQuery{Project: "prj_" + name, Live: true})); got != fmt.Sprintf("t%05d", i) {
			t.Errorf("project %.20q has %s", name, got)
		}
		if got := runNames(runs(t, s, query.RunQuery{Project: "prj_1", Live: true, KeyID: "key_" + name})); got != fmt.Sprintf("m%05d", i) {
			t.Errorf("key %.20q has %s", name, got)
		}
		if got := runNames(runs(t, s, query.RunQuery{Project: "prj_1", Live: true, ID: fmt.Sprintf("t%05d", i)})); got != "" {
			t.Errorf("prj_1 has %s", got)
		}
	}
	n := len(hostile())
	whole := runs(t, s, query.RunQuery{Project: "prj_1", Live: true})
	if len(whole) != n || whole[0].ID != fmt.Sprintf("m%05d", n-1) || whole[n-1].ID != "m00000" {
		t.Fatalf("the list is %s", runNames(whole))
	}
	for i := 0; i < n; i += 3 {
		rest := runs(t, s, query.RunQuery{Project: "prj_1", Live: true, Before: query.RunPlace{At: whole[i].StartedAt, ID: whole[i].ID}, Limit: 3})
		if want := runNames(whole[i+1:][:min(3, n-i-1)]); runNames(rest) != want {
			t.Errorf("before %s: %s, want %s", whole[i].ID, runNames(rest), want)
		}
	}
	for _, r := range runs(t, s, query.RunQuery{Project: "prj_1"}) {
		if r.Live {
			t.Errorf("a test key sees %s", r.ID)
		}
	}
	if failed := runs(t, s, query.RunQuery{Project: "prj_1", Live: true, Status: query.Failed}); len(failed) != (n+4)/5 {
		t.Errorf("%d have failed", len(failed))
	}
}

// Promise: what ran when a program ended is lost and stays it; what is too old or too much of a project goes, the oldest
// first, and nothing else.
func oldRunsAreTrimmed(t *testing.T, open Open) {
	s := plain(t, open)
	for n := range 6 {
		r := run(n)
		if n == 5 {
			r.Status = query.Running
		}
		theirs := run(n)
		theirs.ID, theirs.Project = fmt.Sprint("theirs", n), "prj_2"
		keepRuns(t, s, r, theirs)
	}
	if err := s.Runs.LoseRuns(t.Context()); err != nil {
		t.Fatal(err)
	}
	keepRuns(t, s, run(5))
	if lost := runNames(runs(t, s, query.RunQuery{Project: "prj_1", Live: true, Status: query.Lost})); lost != "qry_00005" {
		t.Errorf("lost are: %s", lost)
	}
	left := func(before time.Time, most int, want string) {
		t.Helper()
		for n := 1; n > 0; {
			var err error
			if n, err = s.Runs.TrimRuns(t.Context(), before, most); err != nil {
				t.Fatal(err)
			}
		}
		if got := runNames(runs(t, s, query.RunQuery{Project: "prj_1", Live: true})); got != want {
			t.Errorf("before %v and over %d: left are %s", before, most, got)
		}
	}
	left(start().Add(-time.Hour), 6, "qry_00005 qry_00004 qry_00003 qry_00002 qry_00001 qry_00000")
	left(run(1).StartedAt, 6, "qry_00005 qry_00004 qry_00003 qry_00002 qry_00001")
	left(run(1).StartedAt, 2, "qry_00005 qry_00004")
	if got := len(runs(t, s, query.RunQuery{Project: "prj_2", Live: true})); got != 2 {
		t.Errorf("the other project has %d", got)
	}
}

// Promise: whichever call to the database fails, runs that are kept again are there as they are, and none is there alone.
func runsAreKeptThroughFailures(t *testing.T, open Open) {
	var faults Faults
	s := open(t, faults.Wrap)
	for _, how := range []Failure{Before, LostReply} {
		for n, reached := 1, true; reached; n++ {
			pair := []query.Run{run(2 * n), run(2*n + 1)}
			pair[0].Project, pair[1].Project = fmt.Sprint(how, n), fmt.Sprint(how, n)
			pair[0].ID, pair[1].ID = fmt.Sprint("a", how, "_", n), fmt.Sprint("b", how, "_", n)
			faults.Plan(func(call int) Failure {
				if call == n {
					return how
				}
				return Well
			})
			_ = s.Runs.KeepRuns(t.Context(), pair) // whether it fails is not the question
			reached = faults.Calls() >= n
			faults.Plan(nil)
			if got := runs(t, s, query.RunQuery{Project: pair[0].Project, Live: true}); len(got) == 1 {
				t.Fatalf("call %d fails (%d): one is there alone", n, how)
			}
			keepRuns(t, s, pair...)
			if got := runs(t, s, query.RunQuery{Project: pair[0].Project, Live: true}); len(got) != 2 {
				t.Fatalf("call %d fails (%d): %s", n, how, runNames(got))
			}
		}
	}
}
