//go:build !linux

package segment

import "os"

// allocate gives an empty file its size. It takes no room on the disk, so that a write may find the disk full.
func allocate(f *os.File, size int64) error { return f.Truncate(size) }

// datasync makes the file durable.
func datasync(f *os.File) error { return f.Sync() }
