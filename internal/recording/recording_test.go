package recording_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/recording/files"
)

// bench is a service with what it is made of.
type bench struct {
	world   *gatetest.World
	dir     string
	store   recording.Store
	service *recording.Service
}

func newBench(t testing.TB, change func(*recording.Config)) *bench {
	t.Helper()
	b := &bench{world: gatetest.New(t), dir: t.TempDir(), store: openStore(t)}
	cfg := recording.Config{Store: b.store, Files: openFolder(t, files.Config{Dir: b.dir}), Now: b.world.Clock.Now}
	if change != nil {
		change(&cfg)
	}
	b.service = openService(t, cfg)
	return b
}

// permit is a permit for an action in an environment.
func (b *bench) permit(action access.Action, environment string) gate.Permit {
	return b.world.Permit(access.Attempt{Action: action, Targets: []access.Target{{Environment: environment}}})
}

// sender makes a key. The function gives a permit of it to send, at the time it is then.
func (b *bench) sender(t testing.TB) func() gate.Permit {
	a := access.Attempt{Action: access.WriteRecordings, Targets: []access.Target{{Environment: "production"}}}
	key := b.world.Mint(access.Key{Scopes: a.Action.Scope()})
	return func() gate.Permit {
		t.Helper()
		permit, err := b.world.Ask(key, a)
		if err != nil {
			t.Fatal(err)
		}
		return permit
	}
}

// chunk is one of two events that say what.
func chunk(t testing.TB, session string, sequence int64, person, what string) recording.Chunk {
	t.Helper()
	c, err := recording.ReadChunk(fmt.Appendf(nil, `{"session_id":%q,"sequence":%d,"distinct_id":%q,"events":[
		{"type":4,"timestamp":%d,"data":{"href":"https://shop.example/%s"}}, {"type":3,"timestamp":%d.5,"data":{"text": %q}}]}`,
		session, sequence, person, 1_780_000_000_000+sequence*1000, what, 1_780_000_000_100+sequence*1000, what))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *bench) add(t testing.TB, session string, sequence int64, person, what string) recording.Receipt {
	t.Helper()
	r, err := b.service.Add(t.Context(), b.permit(access.WriteRecordings, "production"), chunk(t, session, sequence, person, what))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// played is a recording as its JSON says.
type played struct {
	Session string          `json:"session_id"`
	Missing []recording.Gap `json:"missing"`
	Events  []struct {
		Data struct{ Text string }
	}
}

func (b *bench) play(t testing.TB, session string) (p played, err error) {
	t.Helper()
	found, err := b.service.Find(t.Context(), b.permit(access.ReadRecordings, "production"), session)
	if err != nil {
		return p, err
	}
	var text bytes.Buffer
	if err := found.JSON(t.Context(), func(part []byte) error { text.Write(part); return nil }); err != nil {
		return p, err
	}
	if err := json.Unmarshal(text.Bytes(), &p); err != nil {
		t.Fatalf("%v in %s", err, text.Bytes())
	}
	return p, nil
}

// files are the files in the folder, and those of them that hold a text when they are read as they are.
func (b *bench) files(t testing.TB) (all []string) {
	t.Helper()
	err := filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Promise: the events of a session come back in the order of their sequence, whatever the order in which they came; what is
// missing between is told.
func TestEventsComeBackInOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, n := range []int64{4, 1, 7} {
		b.add(t, "s", n, "", fmt.Sprint("at ", n))
	}
	p, err := b.play(t, "s")
	var texts []string
	for _, e := range p.Events {
		if e.Data.Text != "" {
			texts = append(texts, e.Data.Text)
		}
	}
	if err != nil || p.Session != "s" || !slices.Equal(texts, []string{"at 1", "at 4", "at 7"}) || !slices.Equal(p.Missing, []recording.Gap{{0, 0}, {2, 3}, {5, 6}}) {
		t.Errorf("%+v, %v", p, err)
	}
	found, err := b.service.Find(t.Context(), b.permit(access.ReadRecordings, "production"), "s")
	if err != nil {
		t.Fatal(err)
	}
	s := found.Session
	if s.Page != "https://shop.example/at 1" || s.Chunks != 3 || s.Events != 6 || !s.FirstAt.Equal(time.UnixMilli(1_780_000_001_000)) || !s.LastAt.Equal(time.UnixMicro(1_780_000_007_100_500)) {
		t.Errorf("it is %+v", s)
	}
}

// Promise: the same chunk again is kept once, however it is written; another one of its sequence is refused and named.
func TestAChunkIsKeptOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	first := b.add(t, "s", 3, "ana", "a")
	if again := b.add(t, "s", 3, "ana", "a"); !again.Duplicate || first.Duplicate || again.Events != 2 || first.Bytes == 0 {
		t.Errorf("%+v, then %+v", first, again)
	}
	for _, other := range []recording.Chunk{chunk(t, "s", 3, "ana", "b"), chunk(t, "s", 3, "bob", "a")} {
		_, err := b.service.Add(t.Context(), b.permit(access.WriteRecordings, "production"), other)
		if p := problem.From(err); p.Code != problem.RecordingConflict || len(p.Fields) != 1 || p.Fields[0].Name != "sequence" {
			t.Errorf("another one: %v", err)
		}
	}
	if n := len(b.files(t)); n != 1 {
		t.Errorf("there are %d files", n)
	}
	if s := b.service.Stats(); s.Chunks != 1 || s.Duplicates != 1 || s.Bytes != first.Bytes {
		t.Errorf("it counted %+v", s)
	}
}

// Promise: a session of one environment or project is not that of another, whatever the names are.
func TestSessionsAreToldApart(t *testing.T) {
	t.Parallel()
	b, other := newBench(t, nil), gatetest.New(t)
	other.Project = gatetest.NewProject("org_1", "prj_2")
	b.add(t, "s", 0, "ana", "mine")
	write := access.Attempt{Action: access.WriteRecordings, Targets: []access.Target{{Environment: "production"}}}
	for _, permit := range []gate.Permit{b.permit(access.WriteRecordings, "staging"), other.Permit(write)} {
		if _, err := b.service.Add(t.Context(), permit, chunk(t, "s", 0, "ana", "theirs")); err != nil {
			t.Errorf("a session of the same name: %v", err)
		}
	}
	for _, permit := range []gate.Permit{b.permit(access.DeleteRecordings, "staging"), other.Permit(access.Attempt{Action: access.DeleteRecordings})} {
		if err := b.service.Delete(t.Context(), permit, "s"); err != nil {
			t.Error(err)
		}
		if removed, err := b.service.Forget(t.Context(), of(permit, "ana")); err != nil || removed != 0 {
			t.Errorf("deleted %+v, %v", removed, err)
		}
		if page, err := b.service.List(t.Context(), permit, recording.Filter{Limit: 9}, ""); err != nil || len(page.Sessions) != 0 {
			t.Errorf("listed %+v, %v", page, err)
		}
	}
	if p, err := b.play(t, "s"); err != nil || p.Events[1].Data.Text != "mine" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, id := range []string{"../s", "s/", "", "S", "s\x00", strings.Repeat("s", 300)} {
		if _, err := b.play(t, id); problem.Of(err) != problem.NotFound {
			t.Errorf("%q: %v", id, err)
		}
		if err := b.service.Delete(t.Context(), b.permit(access.DeleteRecordings, "production"), id); problem.Of(err) != problem.NotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// Promise: a project's recordings take no more than the setting says, and what is deleted makes room; none are taken when
// it is nothing.
func TestRecordingsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *recording.Config) { c.Bytes = 400 })
	var err error
	n := int64(0)
	for ; err == nil && n < 100; n++ {
		_, err = b.service.Add(t.Context(), b.permit(access.WriteRecordings, "production"), chunk(t, "s", n, "", "x"))
	}
	if problem.Of(err) != problem.RecordingsFull || n < 2 || int64(len(b.files(t))) != n-1 {
		t.Fatalf("after %d chunks: %v", n, err)
	}
	if r := b.add(t, "s", 0, "", "x"); !r.Duplicate {
		t.Error("what is there is not known any more")
	}
	if err := b.service.Delete(t.Context(), b.permit(access.DeleteRecordings, "production"), "s"); err != nil || len(b.files(t)) != 0 {
		t.Errorf("after the deletion %v, %v", b.files(t), err)
	}
	b.add(t, "t", 0, "", "x")
	none := newBench(t, func(c *recording.Config) { c.Bytes = -1 })
	_, err = none.service.Add(t.Context(), none.permit(access.WriteRecordings, "production"), chunk(t, "s", 0, "", "x"))
	if problem.Of(err) != problem.RecordingsFull {
		t.Errorf("where none are taken: %v", err)
	}
}

// Promise: what is deleted of a person is all of every session in which one of their ids occurs, and nothing of others.
func TestAPersonIsForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.add(t, "s1", 0, "", "before they were known")
	b.add(t, "s1", 1, "anonymous-1", "a")
	b.add(t, "s1", 2, "ana", "b")
	b.add(t, "s2", 0, "ana@example.com", "c")
	b.add(t, "s3", 0, "anab", "d")
	for i := range 150 {
		b.add(t, fmt.Sprint("many", i), 0, "ana", "e")
	}
	permit := b.permit(access.DeleteRecordings, "production")
	who := of(permit, "ana", "ana@example.com", "", "nobody")
	if n, err := b.service.Count(t.Context(), who); err != nil || n != 152 {
		t.Errorf("counted %d, %v", n, err)
	}
	if n, err := b.service.Forget(t.Context(), who); err != nil || n != 152 || len(b.files(t)) != 1 {
		t.Errorf("removed %d, %v; files %v", n, err, b.files(t))
	}
	if n, err := b.service.Forget(t.Context(), who); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	if _, err := b.play(t, "s3"); err != nil {
		t.Error(err)
	}
}

// Promise: a recording is deleted when its latest chunk is as old as the setting says, and not before; without the setting
// never.
func TestOldRecordingsAreDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *recording.Config) { c.Keep = 24 * time.Hour })
	b.add(t, "old", 0, "", "a")
	b.world.Clock.Advance(time.Hour)
	b.add(t, "going-on", 0, "", "b")
	b.world.Clock.Advance(22 * time.Hour)
	b.add(t, "going-on", 1, "", "c")
	b.world.Clock.Advance(time.Hour)
	if removed, err := b.service.Sweep(t.Context()); err != nil || removed.Sessions != 0 {
		t.Errorf("at the end of its time: %+v, %v", removed, err)
	}
	b.world.Clock.Advance(time.Microsecond)
	if removed, err := b.service.Sweep(t.Context()); err != nil || removed.Sessions != 1 || removed.Chunks != 1 {
		t.Errorf("after it: %+v, %v", removed, err)
	}
	if _, err := b.play(t, "old"); problem.Of(err) != problem.NotFound {
		t.Errorf("it is still there: %v", err)
	}
	kept := newBench(t, nil)
	kept.add(t, "s", 0, "", "a")
	kept.world.Clock.Advance(100 * 365 * 24 * time.Hour)
	if removed, err := kept.service.Sweep(t.Context()); err != nil || removed.Sessions != 0 {
		t.Errorf("without the setting: %+v, %v", removed, err)
	}
}

// Promise: files of which nothing is known are deleted, and nothing else is.
func TestStrayFilesAreSwept(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.add(t, "s", 0, "", "a")
	var folder string
	_ = filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, _ error) error {
		if !e.IsDir() {
			folder = filepath.Dir(path)
		}
		return nil
	})
	stray := strings.Repeat("ab", 20)
	for _, name := range []string{filepath.Join(folder, "0000009-x.zst"), filepath.Join(folder, "0000009-x.zst.X.part"), filepath.Join(b.dir, "ab", stray, "0000000-y.zst")} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	foreign := filepath.Join(b.dir, "lost+found")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := b.service.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.files(t); len(got) != 1 {
		t.Errorf("left are %v", got)
	}
	if _, err := b.play(t, "s"); err != nil {
		t.Error(err)
	}
}

// Promise: a file that is not as it was kept is not played.
func TestDamagedFilesAreNotPlayed(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string, data []byte) error{
		"changed": func(path string, data []byte) error {
			data[len(data)/2] ^= 1
			return os.WriteFile(path, data, 0o600)
		},
		"cut":  func(path string, data []byte) error { return os.WriteFile(path, data[:len(data)-1], 0o600) },
		"gone": func(path string, _ []byte) error { return os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.add(t, "s", 0, "", "a")
			err := filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				data, err := os.ReadFile(path)
				return errors.Join(err, damage(path, data))
			})
			if err != nil {
				t.Fatal(err)
			}
			if p, err := b.play(t, "s"); err == nil {
				t.Errorf("played %+v", p)
			}
		})
	}
}
