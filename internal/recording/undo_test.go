package recording_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/recording/files"
)

// of is what is deleted of somebody in a permit's environment.
func of(permit gate.Permit, ids ...string) event.Traces {
	return event.Traces{Space: event.Space{Project: permit.Project(), Environment: permit.Environment()}, IDs: ids}
}

// Promise: of what a key sent, the chunks that came in a time are deleted with their files, and sessions of which none is left;
// chunks of other keys, of other times and of other environments stay and are played, and the room is free again.
func TestWhatAKeySentIsForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	leaked, good := b.sender(t), b.sender(t)
	send := func(session string, sequence int64, says string) {
		t.Helper()
		writer := good
		if says == "evil" {
			writer = leaked
		}
		if _, err := b.service.Add(t.Context(), writer(), chunk(t, session, sequence, "ana", says)); err != nil {
			t.Fatal(err)
		}
	}
	send("before", 0, "evil")
	b.world.Clock.Advance(time.Hour)
	from := b.world.Clock.Now()
	for n := range 130 {
		send(fmt.Sprint("spam", n), 0, "evil")
	}
	send("mixed", 0, "good")
	send("mixed", 1, "evil")
	send("mixed", 2, "good")
	send("pure", 0, "good")
	b.world.Clock.Advance(time.Hour)
	until := b.world.Clock.Now()
	send("after", 0, "evil")

	which := event.Traces{Space: event.Space{Project: leaked().Project(), Environment: "production"}, KeyID: leaked().KeyID(), From: from, Until: until}
	if n, err := b.service.Count(t.Context(), which); err != nil || n != 131 || len(b.files(t)) != 136 {
		t.Fatalf("counted %d, %v; files %d", n, err, len(b.files(t)))
	}
	elsewhere := which
	elsewhere.Environment = "staging"
	if n, err := b.service.Forget(t.Context(), elsewhere); err != nil || n != 0 {
		t.Errorf("elsewhere: %d, %v", n, err)
	}
	if n, err := b.service.Forget(t.Context(), which); err != nil || n != 131 || len(b.files(t)) != 5 {
		t.Errorf("removed %d, %v; files %v", n, err, b.files(t))
	}
	if n, err := b.service.Forget(t.Context(), which); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	if _, err := b.play(t, "spam7"); problem.Of(err) != problem.NotFound {
		t.Errorf("what the key sent is still there: %v", err)
	}
	p, err := b.play(t, "mixed")
	if err != nil || len(p.Events) != 4 || fmt.Sprint(p.Missing) != "[{1 1}]" {
		t.Errorf("of a session of two keys is left %+v, %v", p, err)
	}
	for _, session := range []string{"before", "pure", "after"} {
		if _, err := b.play(t, session); err != nil {
			t.Errorf("%s: %v", session, err)
		}
	}
	send("mixed", 1, "good")
	if p, err := b.play(t, "mixed"); err != nil || len(p.Events) != 6 || len(p.Missing) != 0 {
		t.Errorf("sent anew: %+v, %v", p, err)
	}
	which.KeyID = ""
	if n, err := b.service.Forget(t.Context(), which); err != nil || n != 0 || len(b.files(t)) != 6 {
		t.Errorf("of nobody %d, %v; files %v", n, err, b.files(t))
	}
}

// Promise: when undoing what a key sent has failed and is repeated, also by another process, its answer is that no byte is left.
func TestUndoingThatFailedIsRepeated(t *testing.T) {
	t.Parallel()
	for _, again := range []string{"the same process", "another process"} {
		b, fails := newBench(t, nil), true
		cfg := recording.Config{Store: b.store, Now: b.world.Clock.Now, Files: openFolder(t, files.Config{Dir: b.dir, Before: func(do, _ string) error {
			if fails && do == "remove all" {
				return errDisk
			}
			return nil
		}})}
		b.service = openService(t, cfg)
		leaked := b.permit(access.WriteRecordings, "production")
		if _, err := b.service.Add(t.Context(), leaked, chunk(t, "s", 0, "", "evil")); err != nil {
			t.Fatal(err)
		}
		b.add(t, "s", 1, "", "good")
		which := event.Traces{Space: event.Space{Project: leaked.Project(), Environment: "production"}, KeyID: leaked.KeyID()}
		if _, err := b.service.Forget(t.Context(), which); !errors.Is(err, errDisk) {
			t.Fatalf("%s: %v", again, err)
		}
		fails = false
		if again == "another process" {
			b.service = openService(t, cfg)
		}
		if _, err := b.service.Forget(t.Context(), which); err != nil || len(b.files(t)) != 1 {
			t.Errorf("%s: %v; files %v", again, err, b.files(t))
		}
	}
}

// spoil makes every file unreadable.
func (b *bench) spoil(t testing.TB) {
	t.Helper()
	err := filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			err = os.WriteFile(path, []byte("spoiled"), 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Promise: a recording in which a person's id stands goes with them though no chunk is told to be theirs: in what was typed or shown,
// in an attribute, an address, what an application told, or in what the session is called, and what nobody can read; an id that may be
// a word takes none with it that only says that word, and other environments lose nothing.
func TestRecordingsThatNameSomebodyAreForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	send := func(session, data string) {
		t.Helper()
		c, err := recording.ReadChunk(fmt.Appendf(nil, `{"session_id":%q,"sequence":0,"events":[{"type":3,"timestamp":1780000000000,"data":%s}]}`, session, data))
		if err == nil {
			_, err = b.service.Add(t.Context(), b.permit(access.WriteRecordings, "production"), c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	send("broken", `{}`)
	b.spoil(t)
	for session, data := range map[string]string{
		"typed":    `{"source":5,"id":7,"text":"I am ana-4711, hello"}`,
		"shown":    `{"node":{"type":2,"tagName":"div","attributes":{},"childNodes":[{"type":3,"textContent":"(ana-4711)","id":9}],"id":8}}`,
		"class":    `{"node":{"type":2,"tagName":"div","attributes":{"data-user":"ana-4711"},"id":8}}`,
		"linked":   `{"node":{"type":2,"tagName":"a","attributes":{"href":"https://a.example/?u=ana%2D4711"},"id":8}}`,
		"told":     `{"tag":"user","payload":{"who":{"user_id":"eva"}}}`,
		"ana-4711": `{}`,
		"number":   `{"source":3,"id":40712345,"x":1,"y":2}`,
		"kept":     `{"node":{"type":2,"tagName":"eva","attributes":{"class":"eva","id":"eva","href":"/eva"},"childNodes":[{"type":3,"textContent":"eva","id":9}],"id":77}}`,
		"words":    `{"tag":"absolute","payload":{"page":"eva","text":"position: absolute 2026"},"node":{"textContent":"a{position:absolute} (c) 2026","id":77}}`,
	} {
		send(session, data)
	}
	permit := b.permit(access.DeleteRecordings, "production")
	who := of(permit, "ana-4711", "eva", "77", "40712345", "80000000000", "absolute", "position", "2026", "payload")
	if n, err := b.service.Forget(t.Context(), of(b.permit(access.DeleteRecordings, "staging"), who.IDs...)); err != nil || n != 0 {
		t.Errorf("elsewhere %d, %v", n, err)
	}
	if n, err := b.service.Forget(t.Context(), who); err != nil || n != 8 || len(b.files(t)) != 2 {
		t.Errorf("forgot %d, %v; files %v", n, err, b.files(t))
	}
	if _, err := b.play(t, "kept"); err != nil {
		t.Error(err)
	}
}
