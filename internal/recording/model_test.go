package recording_test

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/recording"
)

// sent is what the model knows of a chunk: what was said, by whom, and with which key.
type sent struct{ person, what, key string }

// Promise: whatever is sent, in whatever order and however often, a session is the map from sequences to the first chunk that
// was taken for each, until it is deleted by its name, by a person, or by the key that sent it; no other session notices.
func TestSessionsAreMapsOfSequences(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var projects, checked atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		w := gatetest.New(t)
		w.Project = gatetest.NewProject("org_1", fmt.Sprint("prj_", projects.Add(1)))
		permit := func(a access.Action) gate.Permit {
			return w.Permit(access.Attempt{Action: a, Targets: []access.Target{{Environment: "production"}}})
		}
		writers := map[string]gate.Permit{"one": permit(access.WriteRecordings), "other": permit(access.WriteRecordings)}
		read, remove := permit(access.ReadRecordings), permit(access.DeleteRecordings)
		keys := rapid.SampledFrom([]string{"one", "other"})
		sessions, people := rapid.SampledFrom([]string{"s", "S", "s.", "t"}), rapid.SampledFrom([]string{"", "ana", "bob"})
		model := map[string]map[int64]sent{}
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				id, n := sessions.Draw(rt, "session"), rapid.Int64Range(0, 5).Draw(rt, "sequence")
				said := sent{people.Draw(rt, "person"), rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "what"), keys.Draw(rt, "key")}
				r, err := b.service.Add(t.Context(), writers[said.key], chunk(t, id, n, said.person, said.what))
				before, taken := model[id][n]
				switch {
				case taken && (before.person != said.person || before.what != said.what):
					if problem.Of(err) != problem.RecordingConflict {
						rt.Fatalf("%v over %v: %v", said, before, err)
					}
				case err != nil || r.Duplicate != taken:
					rt.Fatalf("%+v, %v; there was %v", r, err, before)
				case model[id] == nil:
					model[id] = map[int64]sent{n: said}
				case !taken:
					model[id][n] = said
				}
			},
			"delete": func(rt *rapid.T) {
				id := sessions.Draw(rt, "session")
				err := b.service.Delete(t.Context(), remove, id)
				if there := model[id] != nil; there != (err == nil) || !there && problem.Of(err) != problem.NotFound {
					rt.Fatalf("delete %s: %v", id, err)
				}
				delete(model, id)
			},
			"forget": func(rt *rapid.T) {
				person := people.Draw(rt, "person")
				removed, err := b.service.Forget(t.Context(), event.Traces{Space: event.Space{Project: remove.Project(), Environment: "production"}, IDs: []string{person}})
				before := len(model)
				maps.DeleteFunc(model, func(_ string, s map[int64]sent) bool {
					return person != "" && slices.ContainsFunc(slices.Collect(maps.Values(s)), func(c sent) bool { return c.person == person })
				})
				if err != nil || removed != int64(before-len(model)) {
					rt.Fatalf("forget %q: %d, %v", person, removed, err)
				}
			},
			"undo": func(rt *rapid.T) {
				key := keys.Draw(rt, "key")
				which := event.Traces{Space: event.Space{Project: remove.Project(), Environment: "production"}, KeyID: writers[key].KeyID()}
				counted, err := b.service.Count(t.Context(), which)
				if err != nil {
					rt.Fatal(err)
				}
				removed, err := b.service.Forget(t.Context(), which)
				want := int64(0)
				for id, s := range model {
					before := len(s)
					maps.DeleteFunc(s, func(_ int64, c sent) bool { return c.key == key })
					if len(s) < before {
						want++
					}
					if len(s) == 0 {
						delete(model, id)
					}
				}
				if err != nil || removed != want || counted != want {
					rt.Fatalf("undo %s: %d, %v, counted %d; want %d", key, removed, err, counted, want)
				}
			},
			"sweep": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "rarely") > 0 {
					return
				}
				if _, err := b.service.Sweep(t.Context()); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				checked.Add(1)
				compare(rt, t, b.service, read, model)
			},
		})
	})
	t.Logf("%d states were compared in %d projects", checked.Load(), projects.Load())
}

// compare compares the service with the model.
func compare(rt *rapid.T, t *testing.T, s *recording.Service, read gate.Permit, model map[string]map[int64]sent) {
	page, err := s.List(t.Context(), read, recording.Filter{Limit: 100}, "")
	if err != nil || len(page.Sessions) != len(model) {
		rt.Fatalf("listed are %+v, %v; want %v", page.Sessions, err, model)
	}
	for id, want := range model {
		found, err := s.Find(t.Context(), read, id)
		if err != nil {
			rt.Fatal(err)
		}
		got, at := "", 0
		if err := found.Lines(t.Context(), func(lines []byte) error { got += string(lines); return nil }); err != nil {
			rt.Fatal(err)
		}
		wanted, missing, next, person, first := "", int64(0), int64(0), "", ""
		for _, n := range slices.Sorted(maps.Keys(want)) {
			what := want[n].what
			wanted += fmt.Sprintf(`{"type":4,"timestamp":%d,"data":{"href":"https://shop.example/%s"}}`+"\n"+`{"type":3,"timestamp":%d.5,"data":{"text":%q}}`+"\n",
				1_780_000_000_000+n*1000, what, 1_780_000_000_100+n*1000, what)
			missing, next, at = missing+n-next, n+1, at+1
			if want[n].person != "" {
				person = want[n].person
			}
			if first == "" {
				first = "https://shop.example/" + what
			}
		}
		for _, g := range found.Missing {
			missing -= g.To - g.From + 1
		}
		if got != wanted || missing != 0 || found.Session.Chunks != int64(at) || found.Session.DistinctID != person || found.Session.Page != first || found.Session.Last != next-1 {
			rt.Fatalf("%s is %+v\n%s\nwant %v\n%s", id, found.Session, got, want, wanted)
		}
	}
}
