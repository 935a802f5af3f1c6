package segment

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// disk is every way in which the journal changes what is on the disk. Reading goes to the files directly.
type disk interface {
	// Create makes a file of size zero bytes whose room is taken already, in the place of any file of that name.
	Create(path string, size int64) (file, error)
	// Open opens a file that is there, to change it.
	Open(path string) (file, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes what was created, renamed and removed in a folder durable.
	SyncDir(path string) error
}

// file is a file that is being changed. Sync makes its bytes and its size durable.
type file interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// realDisk is the disk there is. Files are for their owner only: they hold events.
type realDisk struct{}

type realFile struct{ *os.File }

func (f realFile) Sync() error { return datasync(f.File) }

func (realDisk) Create(path string, size int64) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := allocate(f, size); err != nil {
		return nil, errors.Join(fmt.Errorf("allocate %s: %w", path, err), f.Close())
	}
	return realFile{f}, nil
}

func (realDisk) Open(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return realFile{f}, nil
}

func (realDisk) Rename(from, to string) error { return os.Rename(from, to) }

func (realDisk) Remove(path string) error { return os.Remove(path) }

func (realDisk) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lockFolder takes the folder's lock file for this process, and fails when another holds it.
func lockFolder(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			return nil, fmt.Errorf("the folder is in use: another process holds %s", path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// unlockFolder gives the folder free. Closing alone would not do while a child process that is being started still has
// the file.
func unlockFolder(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// isFull tells a disk without room from a disk that is broken.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
