package room

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: many small files do not take the last files of a disk, which other things need; a disk that does not number its
// files is told by its bytes.
func TestFewFilesAreNoRoom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		files, free uint64
		want        int64
	}{{1000, 20, 4096 * 7}, {1000, 19, 0}, {1000, 0, 0}, {0, 0, 4096 * 7}, {10, 0, 4096 * 7}} {
		if got := roomOf(&unix.Statfs_t{Bavail: 7, Bsize: 4096, Files: c.files, Ffree: c.free}); got != c.want {
			t.Errorf("of %d files %d are free: %d bytes, want %d", c.files, c.free, got, c.want)
		}
	}
}

// Promise: what would leave less than is kept is refused as a full disk, and what leaves as much is not.
func TestWhatIsKeptStaysFree(t *testing.T) {
	t.Parallel()
	free := func() (int64, error) { return 1000, nil }
	for _, c := range []struct {
		kept Kept
		size int64
		full bool
	}{
		{Kept{Reserve: 600, Free: free}, 400, false}, {Kept{Reserve: 600, Free: free}, 401, true}, {Kept{Free: free}, 5000, false},
		{Kept{Dir: t.TempDir(), Reserve: 1}, 0, false}, {Kept{Dir: t.TempDir(), Reserve: 1 << 62}, 0, true},
	} {
		if err := c.kept.For(c.size); (problem.Of(err) == problem.StorageFull) != c.full {
			t.Errorf("%d bytes with %d kept: %v", c.size, c.kept.Reserve, err)
		}
	}
	if err := (Kept{Dir: t.TempDir() + "/none", Reserve: 1}).For(0); err == nil || problem.Of(err) == problem.StorageFull {
		t.Errorf("a folder that is not there: %v", err)
	}
	if free, err := Free(t.TempDir()); err != nil || free <= 0 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
}
