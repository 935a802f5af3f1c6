package recording_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/recording/files"
)

// hooked are files and a store of which a test is told when something has been done.
type hooked struct {
	recording.Files
	recording.Store
	put func() // a file was put
	old func() // old sessions were named
}

func (h hooked) Put(ctx context.Context, name string, data []byte) error {
	err := h.Files.Put(ctx, name, data)
	h.put()
	return err
}

func (h hooked) Old(ctx context.Context, before time.Time, limit int) ([]string, error) {
	names, err := h.Store.Old(ctx, before, limit)
	h.old()
	return names, err
}

// Promise: whoever hangs up while a chunk is kept leaves no file that is counted for nobody.
func TestHangingUpLeavesNoFile(t *testing.T) {
	t.Parallel()
	ctx, hangUp := context.WithCancel(t.Context())
	b := newBench(t, func(c *recording.Config) { c.Files = hooked{Files: c.Files, put: hangUp} })
	_, _ = b.service.Add(ctx, b.permit(access.WriteRecordings, "production"), chunk(t, "s", 0, "", "x"))
	if known := b.count(t, "s"); known != len(b.files(t)) {
		t.Errorf("of %d chunks there are the files %v", known, b.files(t))
	}
}

// Promise: when deleting a person has failed and is repeated, also by another process, its answer is that no byte is left.
func TestForgettingThatFailedIsRepeated(t *testing.T) {
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
		b.add(t, "s", 0, "ana", "x")
		b.add(t, "t", 0, "bob", "x")
		permit := b.permit(access.DeleteRecordings, "production")
		for range 2 {
			if _, err := b.service.Forget(t.Context(), of(permit, "ana")); !errors.Is(err, errDisk) {
				t.Errorf("%s: while the disk fails: %v, and left are %v", again, err, b.files(t))
			}
		}
		fails = false
		if again == "another process" {
			b.service = openService(t, cfg)
		}
		if _, err := b.service.Forget(t.Context(), of(permit, "ana")); err != nil || len(b.files(t)) != 1 {
			t.Errorf("%s: %v, and left are %v", again, err, b.files(t))
		}
	}
}

// Promise: a chunk that comes while old recordings are looked for keeps its recording.
func TestAChunkKeepsItsRecording(t *testing.T) {
	t.Parallel()
	var b *bench
	once := false
	b = newBench(t, func(c *recording.Config) {
		c.Keep = time.Hour
		c.Store = hooked{Store: c.Store, old: func() {
			if !once {
				once = true
				b.add(t, "s", 1, "", "x")
			}
		}}
	})
	b.add(t, "s", 0, "", "x")
	b.world.Clock.Advance(2 * time.Hour)
	if removed, err := b.service.Sweep(t.Context()); err != nil || removed.Sessions != 0 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if got := b.count(t, "s"); got != 2 {
		t.Errorf("of 2 chunks there are %d", got)
	}
	b.world.Clock.Advance(2 * time.Hour)
	if removed, err := b.service.Sweep(t.Context()); err != nil || removed.Sessions != 1 || len(b.files(t)) != 0 {
		t.Errorf("when it is old: %+v, %v", removed, err)
	}
}

// Promise: no recording is deleted for its age by a clock that cannot be trusted, or of which that is not known; by one that can,
// those that are old are.
func TestOldRecordingsStayWhileTheClockIsNotTrusted(t *testing.T) {
	t.Parallel()
	even, fault := false, error(nil)
	b := newBench(t, func(c *recording.Config) {
		c.Keep = time.Hour
		c.Even = func(context.Context) (bool, error) { return even, fault }
	})
	b.add(t, "s", 0, "", "x")
	b.world.Clock.Advance(2 * time.Hour)
	if removed, err := b.service.Sweep(t.Context()); err != nil || removed.Sessions != 0 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	even, fault = true, errDisk
	if removed, err := b.service.Sweep(t.Context()); !errors.Is(err, errDisk) || removed.Sessions != 0 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	fault = nil
	if removed, err := b.service.Sweep(t.Context()); err != nil || removed.Sessions != 1 {
		t.Errorf("removed %+v, %v", removed, err)
	}
}
