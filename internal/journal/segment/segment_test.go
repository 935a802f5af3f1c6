package segment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/journal/journaltest"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: the embedded journal is a journal, whether its segments are large or turn over all the time.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 100, 2000} {
		t.Run(fmt.Sprintf("segments of %d", size), func(t *testing.T) {
			t.Parallel()
			journaltest.Run(t, func(t *testing.T) event.Journal {
				j, _ := open(t, Config{Dir: t.TempDir(), SegmentSize: size})
				return j
			})
		})
	}
}

// Promise: positions go on where they were, over clean restarts, even when everything was released.
func TestPositionsSurviveRestarts(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir(), SegmentSize: 200}
	for restart := range 5 {
		j, report := open(t, c)
		last := event.Position(restart * 10)
		if report.Last != last || report.Torn.Bytes != 0 {
			t.Fatalf("restart %d: %+v", restart, report)
		}
		for i := range event.Position(10) {
			if at := mustAppend(t, j, fmt.Sprintf("record %d", last+i)); at != last+i+1 {
				t.Fatalf("restart %d: position %d, want %d", restart, at, last+i+1)
			}
		}
		if err := j.Release(last + 10); err != nil {
			t.Fatal(err)
		}
		if s := j.Stats(); s.Segments != 1 || s.First != last+11 || s.Last != last+10 {
			t.Fatalf("restart %d: %+v", restart, s)
		}
		mustClose(t, j)
	}
}

// Promise: opening and closing without appending changes nothing and makes no files.
func TestIdleRestartsLeaveTheFolderAlone(t *testing.T) {
	t.Parallel()
	c := Config{Dir: filepath.Join(t.TempDir(), "made", "by", "open")}
	for range 3 {
		j, _ := open(t, c)
		mustClose(t, j)
	}
	if files := segmentFiles(t, c.Dir); len(files) != 0 {
		t.Fatalf("idle restarts made %v", files)
	}
	j, _ := open(t, c)
	mustAppend(t, j, "one")
	mustClose(t, j)
	before := readFolder(t, c.Dir)
	for range 3 {
		j, _ := open(t, c)
		mustClose(t, j)
	}
	if after := readFolder(t, c.Dir); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Fatalf("idle restarts changed the folder")
	}
}

// Promise: two processes cannot write one folder, and the second hears why.
func TestOnlyOneMayHoldTheFolder(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir()}
	j, _ := open(t, c)
	if _, _, err := Open(c); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second open: %v", err)
	}
	if _, err := Check(c.Dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("check while open: %v", err)
	}
	inherited, err := syscall.Dup(int(j.lock.Fd())) // as in a child process that is just being started
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	mustClose(t, j)
	open(t, c)
}

// Promise: a setting that cannot work is refused when the journal is opened and not at the first event.
func TestImpossibleSettingsAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []Config{
		{}, {Dir: dir, SegmentSize: -1}, {Dir: dir, SegmentSize: maxFile}, {Dir: dir, Reserve: -1}, {Dir: dir, MaxRecord: -1},
		{Dir: dir, MaxRecord: maxRecord + 1, Buffer: maxRecord * 2}, {Dir: dir, Buffer: 1000}, {Dir: dir, Buffer: maxFile},
	} {
		if j, _, err := Open(c); err == nil {
			j.Close()
			t.Errorf("%+v was taken", c)
		}
	}
}

// Promise: what is too large or empty is refused with a reason, and nothing of its batch is kept.
func TestLimitsOfAppend(t *testing.T) {
	t.Parallel()
	j, _ := open(t, Config{Dir: t.TempDir(), MaxRecord: 100, Buffer: 500})
	fits := make([]byte, 100)
	for _, test := range []struct {
		records [][]byte
		want    problem.Code
	}{
		{[][]byte{fits, make([]byte, 101)}, problem.EventTooLarge},
		{[][]byte{fits, fits, fits, fits, fits}, problem.BodyTooLarge},
		{[][]byte{fits, {}}, problem.Internal},
		{nil, problem.Internal},
	} {
		if _, err := j.Append(t.Context(), test.records); problem.Of(err) != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
	if at, err := j.Append(t.Context(), [][]byte{fits, fits, fits, fits}); err != nil || at != 4 {
		t.Fatalf("%d, %v", at, err)
	}
}

// Promise: a reader that is ahead of the journal, because the journal was lost, is told and does not wait in silence.
func TestReadingBeyondTheEndIsAnError(t *testing.T) {
	t.Parallel()
	j, _ := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, j, "one")
	if _, err := j.Read(t.Context(), 2, 1); err == nil {
		t.Fatal("no error")
	}
	if err := j.Release(2); err == nil {
		t.Fatal("released what is not there")
	}
}

// Promise: one Read takes at most about 8 MiB, however much it is asked for, and a larger record still gets through.
func TestReadIsBounded(t *testing.T) {
	t.Parallel()
	j, _ := open(t, Config{Dir: t.TempDir(), MaxRecord: 9 << 20})
	for range 10 {
		mustAppend(t, j, strings.Repeat("x", 1<<20))
	}
	mustAppend(t, j, strings.Repeat("y", 9<<20))
	mustAppend(t, j, "last")
	var counts []int
	for after := event.Position(0); after < 12; {
		records, err := j.Read(t.Context(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		after = records[len(records)-1].Position
		counts = append(counts, len(records))
	}
	if fmt.Sprint(counts) != "[8 2 1 1]" {
		t.Fatalf("reads of %v records", counts)
	}
}

// Promise: an append changes neither the size of its file nor the room on the disk, where the file system can do that.
func TestRoomIsTakenInAdvance(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir(), SegmentSize: 1 << 20}
	j, _ := open(t, c)
	size := func() int64 {
		info, err := os.Stat(filepath.Join(c.Dir, fileName(1)))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	mustAppend(t, j, "one")
	if size() != c.SegmentSize {
		t.Fatalf("the first record's file has %d bytes", size())
	}
	mustAppend(t, j, strings.Repeat("two", 10_000))
	if size() != c.SegmentSize {
		t.Fatalf("an append changed the file's size to %d", size())
	}
	mustClose(t, j)
	if want := int64(headerSize + 2*recordHeader + 3 + 30_000); size() != want {
		t.Fatalf("a closed file has %d bytes, want %d", size(), want)
	}
}

// Promise: appends that arrive while a sync is under way share the next one.
func TestAppendsShareOneSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newSim(t)
		j, _ := open(t, Config{Dir: d.dir, disk: d, SegmentSize: 8000, Now: time.Now})
		mustAppend(t, j, "makes the segment")
		hold := make(chan struct{})
		d.before("sync", func() error { <-hold; <-time.After(time.Second); return nil })
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { mustAppend(t, j, "one of many") })
			synctest.Wait()
		}
		if s := j.Stats(); s.Syncs != 1 || s.Last != 1 {
			t.Fatalf("something was acknowledged before its sync: %+v", s)
		}
		close(hold)
		all.Wait()
		s := j.Stats()
		if s.Syncs != 3 || s.Records != 101 {
			t.Fatalf("%d syncs for %d records, want 3 for 101", s.Syncs, s.Records)
		}
		if s.SyncSum != 2*time.Second || s.SyncLast != time.Second {
			t.Fatalf("syncs took %v, the last %v", s.SyncSum, s.SyncLast)
		}
		mustClose(t, j)
	})
}

// Promise: what waits for a slow disk is bounded; an append beyond that waits for room, or for its context, and then
// nothing of it is kept.
func TestWaitingAppendsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newSim(t)
		j, _ := open(t, Config{Dir: d.dir, disk: d, SegmentSize: 8000, MaxRecord: 100, Buffer: 10 * (100 + recordHeader)})
		mustAppend(t, j, "makes the segment")
		hold := make(chan struct{})
		d.before("sync", func() error { <-hold; return nil })
		full := strings.Repeat("x", 100)
		var all sync.WaitGroup
		all.Go(func() { mustAppend(t, j, "under way") })
		synctest.Wait()
		for range 25 {
			all.Go(func() { mustAppend(t, j, full) })
		}
		ctx, cancel := context.WithCancel(t.Context())
		synctest.Wait()
		refused := make(chan error)
		go func() {
			_, err := j.Append(ctx, [][]byte{[]byte("never kept"), []byte(full)})
			refused <- err
		}()
		synctest.Wait()
		if waits := len(j.pending.records); waits != 10*(100+recordHeader) {
			t.Fatalf("%d bytes wait", waits)
		}
		cancel()
		if err := <-refused; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		close(hold)
		all.Wait()
		if got := contents(t, j); len(got) != 27 || strings.Contains(strings.Join(got, " "), "never kept") {
			t.Fatalf("%d records: %q", len(got), got)
		}
		mustClose(t, j)
	})
}

// Promise: an append whose context ends during the sync is told so; the record may be kept, and then is whole.
func TestContextEndsDuringTheSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newSim(t)
		j, _ := open(t, Config{Dir: d.dir, disk: d, SegmentSize: 8000})
		mustAppend(t, j, "one")
		hold := make(chan struct{})
		d.before("sync", func() error { <-hold; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := j.Append(ctx, [][]byte{[]byte("two")}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		if _, err := j.Read(ctx, 1, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("read what is not durable: %v", err)
		}
		close(hold)
		mustAppend(t, j, "three")
		if got := strings.Join(contents(t, j), " "); got != "one two three" {
			t.Fatalf("got %q", got)
		}
		mustClose(t, j)
	})
}

// Promise: a reader that comes while a commit is under way gets it as soon as it is durable.
func TestReaderWaitsForTheCommitUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newSim(t)
		j, _ := open(t, Config{Dir: d.dir, disk: d, SegmentSize: 8000})
		hold := make(chan struct{})
		d.before("syncdir", func() error { <-hold; return nil })
		var all sync.WaitGroup
		all.Go(func() { mustAppend(t, j, "one") })
		synctest.Wait()
		all.Go(func() {
			if records, err := j.Read(t.Context(), 0, 1); err != nil || string(records[0].Data) != "one" {
				t.Errorf("got %v, %v", records, err)
			}
		})
		synctest.Wait()
		close(hold)
		all.Wait()
		mustClose(t, j)
	})
}

// Promise: closing commits what was appended before it, and acknowledges it.
func TestCloseDrains(t *testing.T) {
	t.Parallel()
	for range 10 { // whether the committer sees the append or the closing first is chance
		synctest.Test(t, closeDrains)
	}
}

func closeDrains(t *testing.T) {
	d := newSim(t)
	j, _ := open(t, Config{Dir: d.dir, disk: d, SegmentSize: 8000})
	mustAppend(t, j, "one")
	hold := make(chan struct{})
	d.before("sync", func() error { <-hold; return nil })
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { mustAppend(t, j, "more") })
		synctest.Wait()
	}
	all.Go(func() { mustClose(t, j) })
	synctest.Wait()
	if _, err := j.Append(t.Context(), [][]byte{[]byte("late")}); problem.Of(err) != problem.Unavailable || !errors.Is(err, os.ErrClosed) {
		t.Fatalf("append while closing: %v", err)
	}
	close(hold)
	all.Wait()
	d = d.crash(t, nil)
	j, _ = open(t, Config{Dir: d.dir, disk: d, SegmentSize: 8000})
	if got := contents(t, j); len(got) != 11 {
		t.Fatalf("%d records", len(got))
	}
	mustClose(t, j)
}

// Promise: the statistics say what is there.
func TestStats(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir(), SegmentSize: 100}
	j, _ := open(t, c)
	for range 10 {
		mustAppend(t, j, strings.Repeat("x", 20))
	}
	s := j.Stats()
	want := Stats{First: 1, Last: 10, Segments: 5, Bytes: 5*headerSize + 10*(20+recordHeader), Records: 10, Syncs: 10}
	if s != want {
		t.Fatalf("got %+v, want %+v", s, want)
	}
	if err := j.Release(5); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.First != 6 || s.Segments != 3 {
		t.Fatalf("after a release: %+v", s)
	}
	if files := segmentFiles(t, c.Dir); len(files) != 3 || filepath.Base(files[0]) != fileName(5) {
		t.Fatalf("files: %v", files)
	}
}

// Promise: a program that is killed while it appends loses nothing it acknowledged.
func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acknowledged := map[event.Position]string{}
	for range 3 {
		maps.Copy(acknowledged, runAndKill(t, dir))
		j, report := open(t, Config{Dir: dir, SegmentSize: childSegment})
		got := contents(t, j)
		for at, data := range acknowledged {
			if int(at) > len(got) || got[at-1] != data {
				t.Fatalf("record %d was acknowledged and is not there; %+v", at, report)
			}
		}
		seen := map[string]bool{}
		for _, data := range got {
			if seen[data] {
				t.Fatalf("%q is there twice", data)
			}
			seen[data] = true
		}
		mustClose(t, j)
	}
}

// Promise: as many readers as there are cursors each go on where they ended: none looks through a segment anew.
func TestReadersKeepTheirPlaces(t *testing.T) {
	t.Parallel()
	j, _ := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, j, strings.Fields(strings.Repeat("record ", 1000))...)
	places := make([]event.Position, len(j.cursors))
	for range 100 {
		for i := range places {
			got, err := j.Read(t.Context(), places[i], 1+i)
			if err != nil {
				t.Fatal(err)
			}
			places[i] = got[len(got)-1].Position
		}
		for i, place := range places {
			if !slices.ContainsFunc(j.cursors[:], func(c cursor) bool { return c.first == 1 && c.next == place+1 }) {
				t.Fatalf("reader %d is at %d, the cursors are %+v", i, place, j.cursors)
			}
		}
	}
	mustClose(t, j)
}

func open(t *testing.T, c Config) (*Journal, Report) {
	t.Helper()
	if c.Free == nil {
		c.Free = func() (int64, error) { return 1 << 40, nil }
	}
	j, report, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, report
}

func mustAppend(t *testing.T, j *Journal, records ...string) event.Position {
	t.Helper()
	at, err := j.Append(t.Context(), bytesOf(records))
	if err != nil {
		t.Errorf("append: %v", err)
	}
	return at
}

func mustClose(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func bytesOf(records []string) (all [][]byte) {
	for _, r := range records {
		all = append(all, []byte(r))
	}
	return all
}

// contents reads everything that is not released and checks that the positions follow one another.
func contents(t fataler, j *Journal) (all []string) {
	t.Helper()
	s := j.Stats()
	for after := s.First - 1; after < s.Last; {
		records, err := j.Read(context.Background(), after, 1000)
		if err != nil {
			t.Fatalf("read after %d: %v", after, err)
		}
		for _, r := range records {
			if after++; r.Position != after {
				t.Fatalf("position %d, want %d", r.Position, after)
			}
			all = append(all, string(r.Data))
		}
	}
	return all
}

func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// readFolder gives the bytes of every segment.
func readFolder(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range segmentFiles(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = string(data)
	}
	return all
}

func writeFolder(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
