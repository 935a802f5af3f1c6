package segment

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-analytics/weir/internal/event"
)

// hide replaces records that have a word in them.
func hide(word string) func([]byte) []byte {
	return func(data []byte) []byte {
		if strings.Contains(string(data), word) {
			return []byte("blank")
		}
		return nil
	}
}

// Promise: what is scrubbed is in no file of the journal any more, every other record is where it was, readers that had
// begun go on, and appends go on; scrubbing again changes nothing.
func TestScrub(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, _ := open(t, Config{Dir: dir, SegmentSize: 200})
	var want []string
	for n := range 12 {
		record := fmt.Sprintf("number-%d-of-somebody", n)
		if n%3 == 1 {
			record = fmt.Sprintf("number-%d-of-a-secret-person", n)
		}
		mustAppend(t, j, record)
		want = append(want, record)
	}
	if _, err := j.Read(t.Context(), 4, 1); err != nil { // leaves a cursor in the middle of a segment
		t.Fatal(err)
	}
	upTo, err := j.Roll(t.Context())
	if err != nil || upTo != 12 {
		t.Fatalf("%d, %v", upTo, err)
	}
	mustAppend(t, j, "a-secret-person-again")
	replaced, err := j.Scrub(t.Context(), 9, hide("secret"))
	if err != nil || replaced != 3 {
		t.Fatalf("%d, %v", replaced, err)
	}
	for n := range want {
		if n%3 == 1 && n < 9 {
			want[n] = "blank"
		}
	}
	want = append(want, "a-secret-person-again")
	if got := contents(t, j); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("got %q", got)
	}
	if again, err := j.Scrub(t.Context(), 9, hide("secret")); err != nil || again != 0 {
		t.Fatalf("again: %d, %v", again, err)
	}
	mustClose(t, j)
	all := ""
	for _, text := range readFolder(t, dir) {
		all += text
	}
	if n := strings.Count(all, "secret"); n != 2 {
		t.Fatalf("%d secrets are left", n)
	}
	j, _ = open(t, Config{Dir: dir})
	if got := contents(t, j); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("after a restart: %q", got)
	}
	mustClose(t, j)
}

// Promise: rolling an empty segment makes no other, and a closed journal neither rolls nor scrubs.
func TestRollOfNothing(t *testing.T) {
	t.Parallel()
	j, _ := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, j, "one")
	for range 3 {
		if upTo, err := j.Roll(t.Context()); err != nil || upTo != 1 {
			t.Fatalf("%d, %v", upTo, err)
		}
	}
	if s := j.Stats(); s.Segments != 2 {
		t.Fatalf("%+v", s)
	}
	if err := j.Release(1); err != nil || j.Stats().Segments != 1 {
		t.Fatalf("%v, %+v", err, j.Stats())
	}
	mustAppend(t, j, "two")
	mustClose(t, j)
	if _, err := j.Roll(t.Context()); err == nil {
		t.Fatal("a closed journal rolled")
	}
	if _, err := j.Scrub(t.Context(), 1, hide("one")); err == nil {
		t.Fatal("a closed journal was scrubbed")
	}
}

// Promise: a scrub that fails at any step, or that the power fails after, leaves every segment whole: as it was or as it
// becomes. It can be repeated.
func TestScrubSurvivesFailures(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"create", "allocate", "write", "sync", "rename", "syncdir"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := newSim(t)
			c := Config{Dir: d.dir, disk: d, SegmentSize: 200, Free: func() (int64, error) { return 1 << 40, nil }}
			j, _ := open(t, c)
			mustAppend(t, j, "one", "secret", "three")
			mustAppend(t, j, strings.Repeat("x", 200))
			if _, err := j.Roll(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.before(kind, func() error { return syscall.EIO })
			if _, err := j.Scrub(t.Context(), 4, hide("secret")); !errors.Is(err, syscall.EIO) {
				t.Fatalf("%s failed: %v", kind, err)
			}
			d.before(kind, nil)
			crashed := d.crash(t, nil)
			r, _ := open(t, Config{Dir: crashed.dir, disk: crashed, SegmentSize: 200})
			got := contents(t, r)
			if len(got) != 4 || got[0] != "one" || got[1] != "secret" && got[1] != "blank" || got[2] != "three" {
				t.Fatalf("after a crash: %q", got)
			}
			mustClose(t, r)
			if _, err := j.Scrub(t.Context(), 4, hide("secret")); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, j); len(got) != 4 || got[1] != "blank" {
				t.Fatalf("repeated: %q", got)
			}
			again := d.crash(t, nil)
			r, _ = open(t, Config{Dir: again.dir, disk: again})
			if got := contents(t, r); got[1] != "blank" {
				t.Fatalf("after the power failed: %q", got)
			}
			mustClose(t, r)
			mustAppend(t, j, "more")
			if got, err := j.Read(t.Context(), event.Position(4), 1); err != nil || string(got[0].Data) != "more" {
				t.Fatal(got, err)
			}
			mustClose(t, j)
		})
	}
}
