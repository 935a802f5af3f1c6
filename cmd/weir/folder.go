package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folder is a data folder that this process alone uses.
type folder struct{ lock *os.File }

// errInUse means that another process uses the data folder.
var errInUse = errors.New("is in use by a running server")

// lockFolder makes the data folder when it is not there, and takes it for this process.
func lockFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s %w", path, errInUse)
		}
		return nil, err
	}
	return &folder{lock}, os.MkdirAll(filepath.Join(path, "tmp"), 0o700)
}

func (f *folder) unlock() { _ = f.lock.Close() }
