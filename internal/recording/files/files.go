// Package files keeps the files of recordings in a folder of this machine. A file that was put is durable and whole, or not
// there under its name: it is written beside its place, synced, and renamed, and the folder is synced.
//
// It does not own what is in the files (recording). No name leads out of the folder, whatever it says.
//
// Problems: storage_full.
package files

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/room"
)

// Config is where the files are.
type Config struct {
	Dir     string
	Reserve int64                       // bytes of free disk below which nothing is put; 0: none
	Free    func() (int64, error)       // bytes of free disk; nil: it is looked up
	Before  func(do, name string) error // asked before anything is done to the disk; nil: nobody. An error is that of the disk
}

// Folder keeps files. Its methods may be called from many goroutines.
type Folder struct {
	cfg  Config
	root *os.Root
	kept room.Kept
}

// Open opens the folder, and makes it when it is not there.
func Open(cfg Config) (*Folder, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	return &Folder{cfg: cfg, root: root, kept: room.Kept{Dir: cfg.Dir, Reserve: cfg.Reserve, Free: cfg.Free}}, nil
}

// Close releases the folder.
func (f *Folder) Close() error { return f.root.Close() }

// goodName is what a name may be. A part does not begin with '.', so that none is a way upwards.
var goodName = regexp.MustCompile(`^[0-9A-Za-z-][0-9A-Za-z.-]*(/[0-9A-Za-z-][0-9A-Za-z.-]*)*$`)

// check refuses what is no name.
func check(name string) error {
	if !goodName.MatchString(name) || len(name) > 250 {
		return fmt.Errorf("recordings: %q is not a name: %w", name, fs.ErrInvalid)
	}
	return nil
}

// Put makes a file durable, in place of one of the same name.
func (f *Folder) Put(_ context.Context, name string, data []byte) error {
	if err := check(name); err != nil {
		return err
	}
	if err := f.kept.For(int64(len(data))); err != nil {
		return err
	}
	err := f.makeFolder(path.Dir(name))
	if err == nil {
		err = f.write(name, data)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return problem.Wrap(err, problem.StorageFull, "The server's disk is full: nothing was stored.")
	}
	if err != nil {
		return fmt.Errorf("recordings: put %s: %w", name, err)
	}
	return nil
}

// partial ends the names of files that are being written. One that stays is of a crash.
const partial = ".part"

func (f *Folder) write(name string, data []byte) error {
	beside := name + "." + rand.Text() + partial
	err := f.writeAll(beside, data)
	if err == nil {
		err = f.do("rename", name, func() error { return f.root.Rename(beside, name) })
	}
	if err == nil {
		err = f.syncFolder(path.Dir(name))
	}
	if err != nil {
		_ = f.do("remove", beside, func() error { return f.root.Remove(beside) }) // the first error is told
	}
	return err
}

func (f *Folder) writeAll(name string, data []byte) (err error) {
	var file *os.File
	err = f.do("create", name, func() (err error) {
		file, err = f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, file.Close()) }()
	for _, half := range [...][]byte{data[:len(data)/2], data[len(data)/2:]} { // so that a test can stop in the middle
		if err := f.do("write", name, func() error { _, err := file.Write(half); return err }); err != nil {
			return err
		}
	}
	return f.do("sync", name, file.Sync)
}

// makeFolder makes a folder and those it lies in, and makes each durable in the one around it.
func (f *Folder) makeFolder(name string) error {
	if name == "." {
		return nil
	}
	if _, err := f.root.Stat(name); err == nil {
		return f.syncFolder(path.Dir(name)) // whoever made it may not have come to that
	}
	if err := f.makeFolder(path.Dir(name)); err != nil {
		return err
	}
	err := f.do("mkdir", name, func() error { return f.root.Mkdir(name, 0o700) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.syncFolder(path.Dir(name))
}

func (f *Folder) syncFolder(name string) error {
	return f.do("sync folder", name, func() error {
		folder, err := f.root.Open(name)
		if err != nil {
			return err
		}
		return cmp.Or(folder.Sync(), folder.Close())
	})
}

// do does something to the disk, if whoever is asked before has nothing against it.
func (f *Folder) do(what, name string, it func() error) error {
	if f.cfg.Before != nil {
		if err := f.cfg.Before(what, name); err != nil {
			return err
		}
	}
	return it()
}

// Get gives a file.
func (f *Folder) Get(_ context.Context, name string) ([]byte, error) {
	if err := check(name); err != nil {
		return nil, err
	}
	var data []byte
	err := f.do("read", name, func() (err error) { data, err = f.root.ReadFile(name); return err })
	if err != nil {
		return nil, fmt.Errorf("recordings: get %s: %w", name, err)
	}
	return data, nil
}

// List names what is in a folder, also what a crash left unfinished.
func (f *Folder) List(_ context.Context, name string) ([]string, error) {
	if name == "" {
		name = "."
	} else if err := check(name); err != nil {
		return nil, err
	}
	var names []string
	err := f.do("list", name, func() error {
		folder, err := f.root.Open(name)
		if err != nil {
			return err
		}
		names, err = folder.Readdirnames(-1)
		return cmp.Or(err, folder.Close())
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("recordings: list %s: %w", name, err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, ".") })
	slices.Sort(names)
	return names, nil
}

// Delete removes a file, or a folder with what is in it.
func (f *Folder) Delete(_ context.Context, name string) error {
	if err := check(name); err != nil {
		return err
	}
	err := f.do("remove all", name, func() error { return f.root.RemoveAll(name) })
	if err == nil {
		err = f.syncFolder(path.Dir(name))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("recordings: delete %s: %w", name, err)
	}
	return nil
}
