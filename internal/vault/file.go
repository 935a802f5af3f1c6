package vault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/weir-analytics/weir/internal/access"
)

// maxSource is the longest text that master keys are read from.
const maxSource = 1024

const ownersOnly = 0o600

// FromFile reads the master keys of a file, in the form of ParseKeys. It must be a regular file that belongs to the user
// we run as, and that nobody else may read or write; an error says what to do.
func FromFile(path string) ([]Key, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	keys, err := ParseKeys(access.SecretText(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// readFile reads a file of secrets, and nothing but a file: a link could be turned elsewhere, a pipe waits.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link: name the file itself", path)
	}
	if err != nil {
		return nil, fmt.Errorf("the master key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("the master key: %w", err)
	}
	if err := check(path, info, os.Geteuid()); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	if err != nil {
		clear(text)
		return nil, fmt.Errorf("the master key: %w", err)
	}
	if len(text) > maxSource {
		clear(text)
		return nil, fmt.Errorf("%s holds more than %d bytes: it is no file of master keys", path, maxSource)
	}
	return text, nil
}

// check says what is wrong with a file that is to hold secrets of the user us.
func check(path string, info os.FileInfo, us int) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if status, ok := info.Sys().(*syscall.Stat_t); !ok || int64(status.Uid) != int64(us) {
		return fmt.Errorf("%s belongs to another user, who could change it: chown %d %s", path, us, path)
	}
	if mode := info.Mode().Perm(); mode&^ownersOnly != 0 {
		return fmt.Errorf("%s has mode %04o, and a master key is for its owner alone: chmod 600 %s; if others could read it, change the key too", path, mode, path)
	}
	return nil
}

// CreateFile makes a master key and a file of it, which must not be there yet. When it returns without an error the file
// is on the disk.
func CreateFile(path string, random io.Reader) (Key, error) {
	k, text, err := newKey(random)
	if err != nil {
		return Key{}, err
	}
	if err := writeNew(path, text+"\n"); err != nil {
		return Key{}, fmt.Errorf("the master key: %w", err)
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return Key{}, fmt.Errorf("the master key: %w", err)
	}
	return k, nil
}

// RotateFile makes a new master key and puts it first in the file; those that are in it stay, as former ones. A reader
// finds the file as it was or as it is then, and so does whoever looks after a crash. Of two that change a file at the
// same time one fails.
func RotateFile(path string, random io.Reader) (Key, error) {
	var made Key
	err := change(path, func(keys []Key, lines []string) ([]string, error) {
		if len(keys) == maxKeys {
			return nil, fmt.Errorf("%s holds %d master keys: seal everything anew and forget the former ones first", path, maxKeys)
		}
		k, text, err := newKey(random)
		made = k
		return append([]string{text}, lines...), err
	})
	if err != nil {
		return Key{}, err
	}
	return made, nil
}

// ForgetFormer drops all master keys but the first from the file. Current is the key that everything has been sealed
// anew under: when it is not the first, because the file was changed again meanwhile, nothing is dropped. What is still
// sealed under a former key is lost.
func ForgetFormer(path string, current Key) error {
	return change(path, func(keys []Key, lines []string) ([]string, error) {
		if keys[0].ID() != current.ID() {
			return nil, fmt.Errorf("the first master key of %s is %v and not %v: nothing was forgotten", path, keys[0], current)
		}
		return lines[:1], nil
	})
}

// change replaces the lines of a file of master keys. It holds a lock on the folder meanwhile, which the system takes
// back should the process die.
func change(path string, edit func(keys []Key, lines []string) ([]string, error)) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("the master key: %w", err)
	}
	defer folder.Close()
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s is being changed by another process (lock its folder: %w)", path, err)
	}
	// Closing alone would not do while a child process that is being started still has the folder.
	defer func() { _ = unix.Flock(int(folder.Fd()), unix.LOCK_UN) }()
	text, err := readFile(path)
	if err != nil {
		return err
	}
	defer clear(text)
	keys, err := ParseKeys(access.SecretText(string(text)))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	lines, err := edit(keys, strings.Fields(string(text)))
	if err != nil {
		return err
	}
	if err := replace(path, strings.Join(lines, "\n")+"\n"); err != nil {
		return fmt.Errorf("the master key: %w", err)
	}
	return nil
}

// replace writes a file beside the other and puts it in its place.
func replace(path, text string) error {
	beside := path + ".new"
	if err := os.Remove(beside); err != nil && !errors.Is(err, os.ErrNotExist) { // what a crash left
		return err
	}
	if err := writeNew(beside, text); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return syncFolder(filepath.Dir(path))
}

// writeNew makes a file that was not there, for its owner alone, on the disk.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, ownersOnly)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// syncFolder makes the names in a folder last.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
