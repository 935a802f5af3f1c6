package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/query/saved"
)

// version is the n-th version of a metric.
func version(n int64, definition string) saved.Version {
	return saved.Version{
		Number: n, Definition: []byte(definition), CacheMinutes: int(n) % 1440, CreatedAt: start().Add(time.Duration(n) * time.Minute), CreatedBy: numbered(int(n)),
	}
}

// saving adds a version to a metric, and publishes it.
func saving(definition string) func(*saved.Change) (*audit.Entry, error) {
	return func(c *saved.Change) (*audit.Entry, error) {
		if c.Revision == 0 {
			c.CreatedAt, c.CreatedBy = start(), "operator"
		}
		v := version(c.Latest+1, definition)
		c.Latest, c.Published, c.Publish, c.Add = v.Number, v.Number, v.Number, &v
		c.UpdatedAt, c.UpdatedBy = start().Add(time.Hour), numbered(3)
		return &audit.Entry{ID: rand.Text(), At: start(), Project: c.Project, Subject: "metric." + c.ID, Action: "metric.save"}, nil
	}
}

func save(t *testing.T, s Stores, project, id, definition string) saved.Metric {
	t.Helper()
	m, err := s.Metrics.ChangeMetric(t.Context(), project, id, saving(definition))
	if err != nil {
		t.Fatalf("save %.40q: %v", id, err)
	}
	return m
}

// bare is a version as lists give it.
func bare(v saved.Version) saved.Version {
	v.Definition = nil
	return v
}

// Promise: a metric and its versions come back byte for byte, by each of the ways to read them, whatever the texts are.
func metricsAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	for i, text := range hostile() {
		id := fmt.Sprint("m", i)
		m, err := s.Metrics.ChangeMetric(t.Context(), "prj_1", id, func(c *saved.Change) (*audit.Entry, error) {
			if c.Project != "prj_1" || c.ID != id || c.Count != i || len(c.Versions) != 0 {
				t.Errorf("a new metric begins as %+v", c)
			}
			c.Description, c.Owner = text, text
			return saving(text + "1")(c)
		})
		if err != nil {
			t.Fatal(err)
		}
		draft := version(2, text+"2")
		if m, err = s.Metrics.ChangeMetric(t.Context(), "prj_1", id, func(c *saved.Change) (*audit.Entry, error) {
			if !reflect.DeepEqual(c.Metric, m) || len(c.Versions) != 1 || string(c.Versions[0].Definition) != text+"1" || c.Count != i {
				t.Errorf("%.40q is changed from %+v", text, c)
			}
			c.Add, c.Latest = &draft, 2
			return &audit.Entry{ID: rand.Text()}, nil
		}); err != nil {
			t.Fatal(err)
		}
		first := version(1, text+"1")
		first.PublishedAt = start().Add(time.Hour)
		for number, want := range map[int64]saved.Version{0: first, 1: first, 2: draft} {
			got, v, err := s.Metrics.FindMetric(t.Context(), "prj_1", id, number)
			if err != nil || !reflect.DeepEqual(got, m) || !reflect.DeepEqual(v, want) {
				t.Errorf("%.40q at version %d: %.300v and %.300v, %v; want %.300v", text, number, got, v, err, want)
			}
		}
		if _, _, err := s.Metrics.FindMetric(t.Context(), "prj_1", id, 3); !errors.Is(err, saved.ErrNoVersion) {
			t.Errorf("a version that is not there: %v", err)
		}
		list, err := s.Metrics.MetricVersions(t.Context(), "prj_1", id)
		if err != nil || !reflect.DeepEqual(list, []saved.Version{bare(draft), bare(first)}) {
			t.Errorf("the versions of %.40q are %.300v, %v", text, list, err)
		}
		want := saved.Metric{
			Project: "prj_1", ID: id, Description: text, Owner: text, Published: 1, Latest: 2, Revision: 2, CreatedAt: start(), CreatedBy: "operator",
			UpdatedAt: start().Add(time.Hour), UpdatedBy: numbered(3),
		}
		if listed, err := s.Metrics.Metrics(t.Context(), "prj_1", "", 1000); err != nil || len(listed) != i+1 || !slices.Contains(listed, want) || m != want {
			t.Errorf("listed %.300v, %v; want %.300v", listed, err, want)
		}
	}
}

// Promise: no two names are one: each project has its own metrics and knows of no other's, whatever the names look like,
// also where they are the same.
func metricsAreToldApart(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	names := hostile()
	for i, name := range names {
		addProject(t, s, "prj_"+name)
		save(t, s, "prj_"+name, "same", fmt.Sprint("canary ", i))
		save(t, s, "prj_"+name, "m"+name, fmt.Sprint("own ", i))
		save(t, s, "prj_1", "m"+name, fmt.Sprint("first ", i))
	}
	read := func(project, id string) string {
		_, v, err := s.Metrics.FindMetric(t.Context(), project, id, 0)
		if err != nil {
			return err.Error()
		}
		return string(v.Definition)
	}
	for i, name := range names {
		for id, want := range map[string]string{"same": fmt.Sprint("canary ", i), "m" + name: fmt.Sprint("own ", i)} {
			if got := read("prj_"+name, id); got != want {
				t.Errorf("project %.40q has %q as %.40q", name, got, id)
			}
		}
		if got := read("prj_1", "m"+name); got != fmt.Sprint("first ", i) {
			t.Errorf("%.40q is %q", name, got)
		}
		if got := read("prj_"+name, "m"+names[(i+1)%len(names)]); got != saved.ErrNoMetric.Error() {
			t.Errorf("project %.40q has %q of another", name, got)
		}
		if list, err := s.Metrics.Metrics(t.Context(), "prj_"+name, "", 1000); err != nil || len(list) != 2 {
			t.Errorf("project %.40q lists %.300v, %v", name, list, err)
		}
	}
	deleting := func(c *saved.Change) (*audit.Entry, error) {
		c.Delete = true
		return &audit.Entry{ID: rand.Text()}, nil
	}
	for i, name := range names {
		if _, err := s.Metrics.ChangeMetric(t.Context(), "prj_"+name, "same", deleting); err != nil {
			t.Error(err)
		}
		if _, err := s.Metrics.MetricVersions(t.Context(), "prj_"+name, "same"); !errors.Is(err, saved.ErrNoMetric) {
			t.Errorf("what was deleted has versions: %v", err)
		}
		if got := read("prj_"+name, "same"); got != saved.ErrNoMetric.Error() {
			t.Errorf("what was deleted is %q", got)
		}
		if got := read("prj_"+name, "m"+name); got != fmt.Sprint("own ", i) {
			t.Errorf("deleting another made of %.40q: %q", name, got)
		}
	}
}

// Promise: a list is in the order of ids, byte by byte, and goes on after any of them.
func metricsAreListedInOrder(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	ids := []string{"b", "a", "a-1", "a_1", "a1", "é", "e\u0301", "B", "1"}
	for _, id := range ids {
		save(t, s, "prj_1", id, "x")
	}
	slices.Sort(ids)
	for from := range ids {
		list, err := s.Metrics.Metrics(t.Context(), "prj_1", ids[from], 3)
		rest := ids[from+1:]
		if rest = rest[:min(3, len(rest))]; err != nil || len(list) != len(rest) {
			t.Fatalf("after %q: %v, %v", ids[from], list, err)
		}
		for i, m := range list {
			if m.ID != rest[i] {
				t.Errorf("after %q comes %q, want %q", ids[from], m.ID, rest[i])
			}
		}
	}
}

// Promise: a change of a metric, its versions and the entry about it are stored together or not at all, whichever call
// fails; one that is refused or has no entry changes nothing; and a change that was reported is there.
func metricsChangeWholeOrNot(t *testing.T, open Open) {
	faults := &Faults{}
	s := open(t, faults.Wrap)
	establish(t, s)
	save(t, s, "prj_1", "m", "1")
	for _, refuse := range []func(c *saved.Change) (*audit.Entry, error){
		func(c *saved.Change) (*audit.Entry, error) { _, _ = saving("refused")(c); return nil, nil },
		func(c *saved.Change) (*audit.Entry, error) { e, _ := saving("refused")(c); return e, ErrFault },
	} {
		if _, err := s.Metrics.ChangeMetric(t.Context(), "prj_1", "m", refuse); err != nil && !errors.Is(err, ErrFault) {
			t.Error(err)
		}
	}
	state := func() (revision int64, versions, entries int) {
		t.Helper()
		m, v, err := s.Metrics.FindMetric(t.Context(), "prj_1", "m", 0)
		if err != nil || m.Published != m.Latest || v.Number != m.Latest || m.Revision != m.Latest {
			t.Fatalf("it is %+v with %+v, %v", m, v, err)
		}
		list, err := s.Metrics.MetricVersions(t.Context(), "prj_1", "m")
		if err != nil {
			t.Fatal(err)
		}
		made, err := s.Audit.Entries(t.Context(), audit.Query{Project: "prj_1", Live: true, Action: "metric.save", Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return m.Revision, len(list), len(made)
	}
	if revision, versions, made := state(); revision != 1 || versions != 1 || made != 1 {
		t.Fatalf("what was refused left revision %d, %d versions, %d entries", revision, versions, made)
	}
	for _, how := range []Failure{Before, LostReply} {
		for at := 1; ; at++ {
			before, _, _ := state()
			faults.Plan(func(call int) Failure {
				if call == at {
					return how
				}
				return Well
			})
			_, err := s.Metrics.ChangeMetric(t.Context(), "prj_1", "m", func(c *saved.Change) (*audit.Entry, error) {
				c.Drop = []int64{c.Latest - 1}
				return saving("more")(c)
			})
			calls := faults.Calls()
			faults.Plan(nil)
			revision, versions, made := state()
			if versions != min(int(revision), 2) || int(revision) != made || revision > before+1 || err == nil && revision != before+1 {
				t.Fatalf("call %d failed: %v; revision %d, was %d, %d versions, %d entries", at, err, revision, before, versions, made)
			}
			if at > calls {
				break
			}
		}
	}
}

// Promise: changes of one metric at the same time are made one after the other, and none is lost; the versions that are
// to be forgotten are, and no others.
func metricChangesAreNotLost(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	const writers, times = 4, 8
	each(writers, func(w int) {
		for n := range times {
			if _, err := s.Metrics.ChangeMetric(t.Context(), "prj_1", "m", saving(fmt.Sprint(w, " ", n))); err != nil {
				t.Error(err)
			}
		}
	})
	m, err := s.Metrics.ChangeMetric(t.Context(), "prj_1", "m", func(c *saved.Change) (*audit.Entry, error) {
		c.Drop = []int64{2, 4}
		return &audit.Entry{ID: rand.Text()}, nil
	})
	if err != nil || m.Latest != writers*times || m.Revision != writers*times+1 {
		t.Fatalf("it is %+v, %v", m, err)
	}
	list, err := s.Metrics.MetricVersions(t.Context(), "prj_1", "m")
	if err != nil || len(list) != writers*times-2 {
		t.Fatalf("%d versions, %v", len(list), err)
	}
	for _, v := range list {
		if v.Number == 2 || v.Number == 4 {
			t.Errorf("version %d is still there", v.Number)
		}
	}
}

// Promise: a change is told how many bytes the definitions of its project have by then, whatever their characters, with
// versions that were added and without those that were forgotten.
func metricsAreMeasured(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	bytes := func(project string, want int) {
		t.Helper()
		_, err := s.Metrics.ChangeMetric(t.Context(), project, "new", func(c *saved.Change) (*audit.Entry, error) {
			if c.Bytes != int64(want) {
				t.Errorf("%s has %d bytes, want %d", project, c.Bytes, want)
			}
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	bytes("prj_1", 0)
	total := 0
	for i, text := range hostile() {
		save(t, s, "prj_1", fmt.Sprint("m", i), text)
		save(t, s, "prj_1", fmt.Sprint("m", i), text+"é€😀")
		total += 2*len(text) + len("é€😀")
		bytes("prj_1", total)
	}
	bytes("prj_2", 0)
	change := func(id string, do func(*saved.Change)) {
		t.Helper()
		if _, err := s.Metrics.ChangeMetric(t.Context(), "prj_1", id, func(c *saved.Change) (*audit.Entry, error) {
			do(c)
			return &audit.Entry{ID: rand.Text()}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	first, second := hostile()[0], hostile()[1]
	change("m0", func(c *saved.Change) { c.Drop = []int64{1} })
	total -= len(first)
	bytes("prj_1", total)
	change("m1", func(c *saved.Change) { c.Delete = true })
	bytes("prj_1", total-2*len(second)-len("é€😀"))
	change("m0", func(c *saved.Change) { c.Description = "x" })
	bytes("prj_1", total-2*len(second)-len("é€😀"))
}
