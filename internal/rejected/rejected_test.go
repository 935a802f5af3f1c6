package rejected_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/rejected"
)

// sender is somebody who was let in.
type sender struct{ project, key string }

func (s sender) Project() string { return s.project }
func (s sender) KeyID() string   { return s.key }
func (s sender) Space(name string) (string, bool) {
	if name == "" {
		name = "production"
	}
	return name, name == "production" || name == "canary"
}

// bench is a service, with what it stands on.
type bench struct {
	*rejected.Service
	dir   string
	world *gatetest.World
}

func open(t testing.TB, dir string, w *gatetest.World, adjust func(*rejected.Config)) bench {
	t.Helper()
	cfg := rejected.Config{Dir: dir, Bytes: 1 << 20, Now: w.Clock.Now, Log: slog.New(slog.DiscardHandler)}
	if adjust != nil {
		adjust(&cfg)
	}
	s, err := rejected.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return bench{s, dir, w}
}

func newBench(t *testing.T, adjust func(*rejected.Config)) bench {
	return open(t, t.TempDir(), gatetest.New(t), adjust)
}

// take has a body read and all that is wrong with it kept.
func (b bench) take(t testing.TB, from sender, body string) {
	t.Helper()
	batch, err := event.ReadBatch([]byte(body), event.Shape{Kind: event.Track, Source: "track"})
	if err != nil {
		t.Fatal(err)
	}
	var list []event.Rejection
	for i := range batch.Items {
		if p := batch.Items[i].Problem; p != nil {
			list = append(list, event.Rejection{Index: i, Problem: p})
		}
	}
	b.Take(from, &batch, list)
}

func (b bench) permit(action access.Action) gate.Permit {
	return b.world.Permit(access.Attempt{Action: action, Targets: []access.Target{{Environment: "production"}}})
}

// all lists everything, by pages of some size, as the texts of the items.
func (b bench) all(t testing.TB, f rejected.Filter, size int) (items []string) {
	t.Helper()
	permit, cursor := b.permit(access.ReadRejected), ""
	for {
		page, err := b.List(permit, f, cursor, size)
		if err != nil || len(page.Entries) > size {
			t.Fatal(len(page.Entries), err)
		}
		for _, e := range page.Entries {
			items = append(items, string(e.Item))
		}
		if cursor = page.Next; cursor == "" {
			return items
		}
	}
}

// written is all that is in the folder.
func written(t testing.TB, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(at)
		all = append(all, text...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mine() sender { return sender{"prj_1", "key_000000000001"} }

// Promise: whatever is kept is listed, the newest first, page by page, and the same after a restart, be it that a crash cut the last
// line in half.
func TestWhatIsKeptIsListed(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var want []string
	for i := range 40 {
		b.world.Clock.Advance(time.Duration(i%3) * time.Second)
		from := sender{"prj_1", fmt.Sprintf("key_%012d", i%3)}
		item := fmt.Sprintf(`{"event":%d}`, i)
		b.take(t, from, item)
		want = append([]string{item}, want...)
	}
	for _, size := range []int{1, 7, 40, 100} {
		if got := b.all(t, rejected.Filter{}, size); !slices.Equal(got, want) {
			t.Fatalf("by %d: %q", size, got)
		}
	}
	if got := b.all(t, rejected.Filter{KeyID: "key_000000000002"}, 5); len(got) != 13 || got[0] != `{"event":38}` {
		t.Errorf("of a key: %q", got)
	}
	if got := b.all(t, rejected.Filter{Code: "event_too_large"}, 5); got != nil {
		t.Errorf("of a problem: %q", got)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(b.dir, "prj_1", "key_000000000000", "*"))
	f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"id":"rej_`)
	_ = f.Close()
	again := open(t, b.dir, b.world, nil)
	again.take(t, sender{"prj_1", "key_000000000000"}, `{"event":[]}`)
	if got := again.all(t, rejected.Filter{}, 9); !slices.Equal(got, append([]string{`{"event":[]}`}, want...)) {
		t.Errorf("after a restart: %q", got)
	}
}

// Promise: nobody sees what another project, or another environment, has.
func TestNobodySeesAnothers(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.take(t, sender{"prj_2", "key_000000000001"}, `{"event":1}`)
	b.take(t, mine(), `{"event":2,"environment":"canary"}`)
	b.take(t, mine(), `{"event":3,"environment":"nowhere"}`)
	if got := b.all(t, rejected.Filter{}, 9); !slices.Equal(got, []string{`{"event":3,"environment":"nowhere"}`}) {
		t.Errorf("%q", got)
	}
}

// Promise: no secret of a key is on the disk, wherever it stood.
func TestNoSecretIsKept(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	secret := b.world.Key(access.Secret, access.EventsRead)
	b.take(t, mine(), `[{"event":1,"properties":{"key":"`+secret+`"}},{"event":"`+secret+`","timestamp":"`+secret+`","properties":7}]`)
	if len(b.all(t, rejected.Filter{}, 9)) != 2 || bytes.Contains(written(t, b.dir), []byte(secret[len(secret)-20:])) {
		t.Errorf("%s", written(t, b.dir))
	}
}

// Promise: what a project's files take is bounded whatever is sent, the newest stays, and a key that floods them puts out its own.
func TestTheDiskIsBounded(t *testing.T) {
	t.Parallel()
	const most = 256 << 10
	b := newBench(t, func(c *rejected.Config) { c.Bytes = most })
	quiet := sender{"prj_1", "key_000000000009"}
	b.take(t, quiet, `{"event":"quiet","timestamp":[]}`)
	filler := strings.Repeat("x", 8000)
	for i := range 300 {
		b.world.Clock.Advance(10 * time.Millisecond)
		b.take(t, mine(), fmt.Sprintf(`[{"event":%d,"x":"%s"},{"event":[],"x":"%s"},{"event":{}}]`, i, filler, filler))
		if size := len(written(t, b.dir)); i%50 == 0 && size > most {
			t.Fatalf("%d bytes are kept", size)
		}
	}
	if got := b.all(t, rejected.Filter{KeyID: quiet.key}, 9); len(got) != 1 {
		t.Errorf("another key's are gone: %q", got)
	}
	flood := b.all(t, rejected.Filter{KeyID: mine().key}, 100)
	if len(flood) < 10 || flood[0] != `{"event":{}}` || !strings.HasPrefix(flood[2], `{"event":299`) {
		t.Errorf("%d are kept, the newest %.40q", len(flood), flood[:min(3, len(flood))])
	}
	large := newBench(t, nil)
	large.take(t, mine(), `{"event":1,"x":"`+strings.Repeat("x", rejected.MaxItem)+`"}`)
	page, err := large.List(large.permit(access.ReadRejected), rejected.Filter{}, "", 5)
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Item != nil || page.Entries[0].Bytes < rejected.MaxItem {
		t.Errorf("a large one: %v, %v", page, err)
	}
	none := newBench(t, func(c *rejected.Config) { c.Bytes = 0 })
	none.take(t, mine(), `{"event":1}`)
	if len(written(t, none.dir)) != 0 {
		t.Error("something is kept where nothing is to be")
	}
}

// Promise: what has become too old is not listed, and is swept away.
func TestOldOnesGo(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *rejected.Config) { c.Keep = time.Hour })
	b.take(t, mine(), `{"event":1}`)
	b.world.Clock.Advance(30 * time.Minute)
	b.take(t, mine(), `{"event":2}`)
	b.world.Clock.Advance(31 * time.Minute)
	if got := b.all(t, rejected.Filter{}, 9); !slices.Equal(got, []string{`{"event":2}`}) {
		t.Errorf("%q", got)
	}
	if n, err := b.Sweep(t.Context()); n != 1 || err != nil || bytes.Contains(written(t, b.dir), []byte(`{"event":1}`)) {
		t.Errorf("swept %d, %v", n, err)
	}
	b.world.Clock.Advance(2 * time.Hour)
	if n, err := b.Sweep(t.Context()); n != 1 || err != nil || len(written(t, b.dir)) != 0 {
		t.Errorf("swept %d, %v, and left %s", n, err, written(t, b.dir))
	}
}

// Promise: when a person is forgotten, no byte of their ids is left in the files of the environment, and what is of others is.
func TestForgetting(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	gone := []string{
		`{"event":1,"distinct_id":"ana-4711"}`, `{"event":1,"properties":{"deep":[{"who":"ana-4711"}]}}`, `{"event":1,"page":"https://x/?u=ana-4711&y"}`,
		`{"event":1,"anonymous_id":77}`, `{"event":"ana-4711","timestamp":[]}`, `{"event":1,"distinct_id":"ana\u002d4711"}`,
	}
	kept := []string{`{"event":1,"distinct_id":"ben"}`, `{"event":1,"n":771}`, `{"event":1,"distinct_id":"a77"}`}
	for _, item := range slices.Concat(gone, kept) {
		b.take(t, mine(), item)
	}
	b.take(t, mine(), `{"event":1,"distinct_id":"77","environment":"canary"}`)
	for range 2 {
		if _, err := b.Forget(t.Context(), event.Traces{Space: event.Space{Project: "prj_1", Environment: "production"}, IDs: []string{"ana-4711", "77", ""}}); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(kept)
		if got := b.all(t, rejected.Filter{}, 9); !slices.Equal(got, kept) {
			t.Errorf("left are %q", got)
		}
		slices.Reverse(kept)
	}
	if text := written(t, b.dir); bytes.Contains(text, []byte("4711")) || !bytes.Contains(text, []byte(`"77"`)) {
		t.Errorf("left is %s", text)
	}
}

// way is a way in that keeps what it is sent by its id.
type way struct {
	mu     sync.Mutex
	stored map[string]event.Event
	err    error
}

func (w *way) Replay(_ context.Context, _ gate.Permit, batch event.Batch) (event.Receipt, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return event.Receipt{}, w.err
	}
	var r event.Receipt
	for i := range batch.Items {
		item := &batch.Items[i]
		if item.Problem != nil {
			r.Rejected = append(r.Rejected, event.Rejection{Index: i, Problem: item.Problem})
			continue
		}
		r.Accepted++
		w.stored[item.Event.ID] = item.Event
	}
	return r, nil
}

func (b bench) replay(t testing.TB, to rejected.Recorder, w rejected.Wanted) (rejected.Outcome, error) {
	t.Helper()
	w.Project, w.Environment, w.Limit = "prj_1", "production", 10
	p, err := b.Prepare(w)
	if err != nil {
		return rejected.Outcome{}, err
	}
	permit := b.world.Permit(access.Attempt{Action: access.ReplayRejected, Each: true, Targets: p.Targets()})
	return b.Replay(t.Context(), permit, to, p)
}

// Promise: what is sent again is corrected as it is said, keeps its sender's id and time or gets its own, and is gone when it was
// accepted and not before; sent by two at once, it is stored once.
func TestReplaying(t *testing.T) {
	t.Parallel()
	b, to := newBench(t, nil), &way{stored: map[string]event.Event{}}
	at := b.world.Clock.Now()
	b.take(t, mine(), `[{"name":1,"event_id":"own","n":12345678901234567890},{"event":2,"timestamp":"2026-01-01","properties":{"a":1,"b":{"c":2}}},{"event":3,"events":[1]}]`)
	b.world.Clock.Advance(time.Hour)
	correction := rejected.Correction{Rename: map[string]string{"n": "session_id"}, Patch: []byte(`{"name":"N","event":null,"properties":{"b":{"d":[]},"a":null}}`)}
	to.err = problem.New(problem.Unavailable, "down")
	if _, err := b.replay(t, to, rejected.Wanted{Correction: correction}); problem.Of(err) != problem.Unavailable || len(b.all(t, rejected.Filter{}, 9)) != 3 {
		t.Fatal(err)
	}
	to.err = nil
	first, err := b.Prepare(rejected.Wanted{Project: "prj_1", Environment: "production", Limit: 10, Correction: correction})
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.replay(t, to, rejected.Wanted{Correction: correction})
	if err != nil || out.Accepted != 2 || len(out.Failed) != 1 || out.Failed[0].Problem.Code != problem.InvalidField {
		t.Fatal(out, err)
	}
	permit := b.world.Permit(access.Attempt{Action: access.ReplayRejected, Each: true, Targets: first.Targets()})
	if out, err = b.Replay(t.Context(), permit, to, first); err != nil || out.Accepted != 2 || len(to.stored) != 2 {
		t.Errorf("for another who had begun before: %+v, %v; stored are %v", out, err, to.stored)
	}
	for id, e := range to.stored {
		own := id == "own" && e.SessionID == "12345678901234567890" && e.Timestamp.Equal(at)
		theirs := strings.HasPrefix(id, "rej_") && e.Timestamp.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) && string(e.Properties) == `{"b":{"c":2,"d":[]}}`
		if e.Name != "N" || e.Environment != "production" || own == theirs {
			t.Errorf("%s is %+v, %s", id, e, e.Properties)
		}
	}
	page, err := b.List(b.permit(access.ReadRejected), rejected.Filter{}, "", 9)
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Tries != 2 || !page.Entries[0].At.Equal(at) {
		t.Errorf("left is %+v, %v", page, err)
	}
	missing, err := b.replay(t, to, rejected.Wanted{IDs: []string{"rej_00000000000000", "x"}})
	if err != nil || len(missing.Failed) != 2 || missing.Failed[0].Problem.Code != problem.NotFound {
		t.Errorf("%+v, %v", missing, err)
	}
}

// Promise: many may send, list and take out at once: nothing is lost, and nothing comes back.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b, to := newBench(t, func(c *rejected.Config) { c.Bytes = 16 << 20 }), &way{stored: map[string]event.Event{}}
	replay := b.world.Permit(access.Attempt{Action: access.ReplayRejected, Targets: []access.Target{{Environment: "production"}}})
	read := b.permit(access.ReadRejected)
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 50 {
				b.take(t, sender{"prj_1", fmt.Sprintf("key_%012d", n%2)}, fmt.Sprintf(`{"event":%d,"event_id":"%d-%d"}`, i, n, i))
			}
		})
	}
	for range 2 {
		all.Go(func() {
			for range 20 {
				p, err := b.Prepare(rejected.Wanted{Project: "prj_1", Environment: "production", Limit: 5, Correction: rejected.Correction{Patch: []byte(`{"event":"A"}`)}})
				if err == nil {
					_, err = b.Replay(t.Context(), replay, to, p)
				}
				if _, wrong := b.List(read, rejected.Filter{}, "", 200); err != nil || wrong != nil {
					t.Error(err, wrong)
				}
			}
		})
	}
	all.Wait()
	left := b.all(t, rejected.Filter{}, 50)
	if len(left)+len(to.stored) != 200 {
		t.Errorf("%d are left and %d are stored", len(left), len(to.stored))
	}
}

// Promise: the list is what a naive list of what was sent would be, whatever is taken out.
func TestTheListIsAsANaiveOne(t *testing.T) {
	t.Parallel()
	parent, tries := t.TempDir(), atomic.Int64{}
	rapid.Check(t, func(rt *rapid.T) {
		dir := filepath.Join(parent, fmt.Sprint(tries.Add(1)))
		b := open(t, dir, gatetest.New(t), nil)
		var model []string // the newest first
		rt.Repeat(map[string]func(*rapid.T){
			"take": func(rt *rapid.T) {
				who := rapid.SampledFrom([]string{"ana", "ben", "eve"}).Draw(rt, "who")
				item := fmt.Sprintf(`{"event":%d,"distinct_id":"%s"}`, len(model), who)
				b.take(t, sender{"prj_1", rapid.SampledFrom([]string{"key_000000000001", "key_000000000002"}).Draw(rt, "key")}, item)
				model = append([]string{item}, model...)
			},
			"forget": func(rt *rapid.T) {
				who := rapid.SampledFrom([]string{"ana", "ben", "", "", ""}).Draw(rt, "who")
				if who == "" {
					return
				}
				n, err := b.Forget(t.Context(), event.Traces{Space: event.Space{Project: "prj_1", Environment: "production"}, IDs: []string{who}})
				before := len(model)
				model = slices.DeleteFunc(model, func(item string) bool { return strings.Contains(item, `"`+who+`"`) })
				if err != nil || int(n) != before-len(model) {
					rt.Fatal(n, err)
				}
			},
			"restart": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "rarely") > 0 {
					return
				}
				if err := b.Close(); err != nil {
					rt.Fatal(err)
				}
				b = open(t, dir, b.world, nil)
			},
			"": func(rt *rapid.T) {
				if got := b.all(t, rejected.Filter{}, 7); !slices.Equal(got, model) {
					rt.Fatalf("listed are %q, want %q", got, model)
				}
			},
		})
	})
}

// Promise: an item in other words than ours is kept with them, corrected in them, and read again by whoever knows them; where it goes,
// and when and as what it came, holds for it as for any other, also after a restart.
func TestItemsInOtherWords(t *testing.T) {
	t.Parallel()
	knows := func(cfg *rejected.Config) {
		cfg.Read = func(words string, item []byte) event.Item {
			var said struct{ Nom, Environment string }
			if words != "français" || json.Unmarshal(item, &said) != nil || said.Nom == "" || said.Environment != "" {
				return event.Item{Problem: problem.Invalid("nom", "est requis")}
			}
			return event.Item{Event: event.Event{Kind: event.Track, Name: said.Nom, Environment: "elsewhere"}}
		}
	}
	b, to := newBench(t, knows), &way{stored: map[string]event.Event{}}
	at := b.world.Clock.Now()
	sent := []byte(`{"name":"Achat","environment":"canary","prix":1}`)
	batch := event.Batch{Shape: event.Shape{Kind: event.Track, Source: "fr", Words: "français"}, Items: []event.Item{{Text: sent}}}
	b.Take(mine(), &batch, []event.Rejection{{Problem: problem.Invalid("nom", "est requis")}})
	if got := b.all(t, rejected.Filter{}, 9); !slices.Equal(got, []string{string(sent)}) {
		t.Fatalf("kept is %q", got)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, b.dir, b.world, knows)
	b.world.Clock.Advance(time.Hour)
	out, err := b.replay(t, to, rejected.Wanted{})
	if err != nil || out.Accepted != 0 || len(out.Failed) != 1 || out.Failed[0].Problem.Fields[0].Name != "nom" {
		t.Fatalf("as it was: %+v, %v", out, err)
	}
	out, err = b.replay(t, to, rejected.Wanted{Correction: rejected.Correction{Rename: map[string]string{"name": "nom"}}})
	if err != nil || out.Accepted != 1 || len(b.all(t, rejected.Filter{}, 9)) != 0 {
		t.Fatalf("corrected: %+v, %v", out, err)
	}
	for id, e := range to.stored {
		if !strings.HasPrefix(id, "rej_") || !e.OwnID || e.Name != "Achat" || e.Environment != "production" || !e.Timestamp.Equal(at) {
			t.Errorf("%s is %+v", id, e)
		}
	}
}

// Promise: members get their other names all at once, so that two can change places; and none is lost to another that gets its
// name.
func TestRenaming(t *testing.T) {
	t.Parallel()
	b, to := newBench(t, nil), &way{stored: map[string]event.Event{}}
	for _, c := range []struct {
		rename map[string]string
		want   string
	}{
		{map[string]string{"session_id": "event", "event": "session_id"}, "S 7"},
		{map[string]string{"session_id": "event"}, ""},
		{map[string]string{"session_id": "event", "event": "old"}, "S "},
		{map[string]string{"session_id": "event", "device_id": "event", "event": "old"}, ""},
		{map[string]string{"none": "event", "session_id": "event", "event": "old"}, "S "},
		{map[string]string{"event": "event"}, ""},
	} {
		b.take(t, mine(), `[{"event":7,"session_id":"S","device_id":"D","none":null}]`)
		clear(to.stored)
		out, err := b.replay(t, to, rejected.Wanted{Correction: rejected.Correction{Rename: c.rename}})
		if err != nil || (c.want == "") != (len(out.Failed) > 0) {
			t.Errorf("%v: %+v, %v", c.rename, out, err)
		}
		for _, e := range to.stored {
			if got := e.Name + " " + e.SessionID; got != c.want {
				t.Errorf("%v makes %q instead of %q", c.rename, got, c.want)
			}
		}
		if _, err := b.replay(t, to, rejected.Wanted{Correction: rejected.Correction{Patch: []byte(`{"event":"done"}`)}}); err != nil {
			t.Fatal(err)
		}
	}
}
