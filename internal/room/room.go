// Package room owns how much room there is on the disk of a folder, and what part of it is kept for other things.
//
// It does not own what is done when there is none: the journal (rung 3) has rules of its own, since events that were
// accepted are to be worked on with what is kept.
//
// Problems: storage_full.
package room

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/weir-analytics/weir/internal/problem"
)

// Free is how many bytes of a folder's disk a program without privileges may take.
func Free(dir string) (int64, error) {
	s, err := look(dir)
	return bytesOf(&s), err
}

// Kept is a folder's disk, of which some is kept for other things.
type Kept struct {
	Dir     string
	Reserve int64                 // bytes that are kept; 0: none, and nothing is looked up
	Free    func() (int64, error) // bytes that are free; nil: they are looked up
}

// keptFiles is the part of a disk's files, one in so many, that is kept.
const keptFiles = 50

// For refuses what would leave less of the disk free than is kept: size is in bytes.
//
// Problems: storage_full.
func (k Kept) For(size int64) error {
	if k.Reserve == 0 {
		return nil
	}
	free := k.Free
	if free == nil {
		free = k.free
	}
	has, err := free()
	if err != nil {
		return err
	}
	if has < k.Reserve+size {
		return problem.New(problem.StorageFull, "The server's disk is almost full: nothing was stored.")
	}
	return nil
}

func (k Kept) free() (int64, error) {
	s, err := look(k.Dir)
	return roomOf(&s), err
}

func look(dir string) (s unix.Statfs_t, err error) {
	if err := unix.Statfs(dir, &s); err != nil {
		return s, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return s, nil
}

func bytesOf(s *unix.Statfs_t) int64 { return int64(s.Bavail) * s.Bsize }

// roomOf is the room of a disk: none when it has few files left, where it has a number of them. What is kept as many small
// files would take the last ones, which other things need.
func roomOf(s *unix.Statfs_t) int64 {
	if s.Ffree < s.Files/keptFiles {
		return 0
	}
	return bytesOf(s)
}
