package recording_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/recording/files"
)

var errDisk = errors.New("the disk failed")

// Promise: whichever operation on the files fails, once or from then on for ever, what was answered with a yes can be played
// whole, what was not is not seen or whole; sent again it is there once, and after a sweep there is no file that nobody knows.
func TestFilesSurviveFailures(t *testing.T) {
	t.Parallel()
	for _, ever := range []bool{false, true} {
		for n := 1; ; n++ {
			if failed := failAt(t, n, ever); !failed {
				if n < 20 {
					t.Errorf("only %d operations could fail", n-1)
				}
				break
			}
		}
	}
}

// failAt does some work of which the n-th file operation fails, and reports whether it came to that.
func failAt(t *testing.T, n int, ever bool) (failed bool) {
	t.Helper()
	done, ended := 0, false
	before := func(_, name string) error {
		if strings.Contains(name, "..") {
			t.Errorf("the name %s", name)
		}
		done++
		if !ended && (done == n || ever && done > n) {
			failed = true
			return errDisk
		}
		return nil
	}
	b := newBench(t, nil)
	b.service = openService(t, recording.Config{Store: b.store, Files: openFolder(t, files.Config{Dir: b.dir, Before: before}), Now: b.world.Clock.Now})
	answered := map[string]bool{}
	send := func(session string, sequence int64) {
		_, err := b.service.Add(t.Context(), b.permit(access.WriteRecordings, "production"), chunk(t, session, sequence, "ana", "x"))
		answered[fmt.Sprint(session, sequence)] = err == nil
		if err != nil && !errors.Is(err, errDisk) {
			t.Errorf("failure %d: %v", n, err)
		}
	}
	send("a", 0)
	send("a", 1)
	send("b", 0)
	err := b.service.Delete(t.Context(), b.permit(access.DeleteRecordings, "production"), "b")
	if err == nil {
		answered["b0"] = false
	}
	ended = true
	// The program is started again.
	b.service = openService(t, recording.Config{Store: b.store, Files: openFolder(t, files.Config{Dir: b.dir}), Now: b.world.Clock.Now})
	seen := b.count(t, "a")
	if answered["a0"] && answered["a1"] && seen != 2 || (answered["a0"] || answered["a1"]) && seen == 0 {
		t.Errorf("failure %d: %v was answered, %d chunks are seen", n, answered, seen)
	}
	if err == nil && b.count(t, "b") != 0 {
		t.Errorf("failure %d: the deletion was answered, and the recording is there", n)
	}
	if _, err := b.service.Sweep(t.Context()); err != nil {
		t.Errorf("failure %d: sweep: %v", n, err)
	}
	if known := b.count(t, "a") + b.count(t, "b"); len(b.files(t)) != known {
		t.Errorf("failure %d: of %d chunks there are files %v", n, known, b.files(t))
	}
	b.add(t, "a", 0, "ana", "x")
	b.add(t, "a", 1, "ana", "x")
	if got := b.count(t, "a"); got != 2 {
		t.Errorf("failure %d: sent again there are %d chunks", n, got)
	}
	return failed
}

// count plays a session and tells how many chunks it has.
func (b *bench) count(t *testing.T, session string) int {
	t.Helper()
	p, err := b.play(t, session)
	if err != nil && problem.Of(err) != problem.NotFound {
		t.Errorf("%s cannot be played: %v", session, err)
	}
	return len(p.Events) / 2
}
