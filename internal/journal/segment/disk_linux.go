package segment

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate gives an empty file its size and its room on the disk. A file system that cannot give room in advance gives
// the size only, and then a write may find the disk full.
func allocate(f *os.File, size int64) error {
	err := uninterrupted(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.Truncate(size)
	}
	return err
}

// datasync makes the file's bytes durable, and its size, but not its times.
func datasync(f *os.File) error {
	return uninterrupted(func() error { return unix.Fdatasync(int(f.Fd())) })
}

// uninterrupted calls again what a signal broke off.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
