package files

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Promise: many small chunks do not take the last files of a disk, which other things need; a disk that does not number its
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
