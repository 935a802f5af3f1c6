package intake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrBusy is what Hold and Keep answer when another import has the path.
var ErrBusy = errors.New("another import is under way")

// Held is a path that one process has. It ends with the process, however that ends.
type Held struct{ file *os.File }

// Hold takes a path for this process: no two have the same one at once. An empty file is made there, which Release takes away;
// one that has something in it is refused.
func Hold(path string) (*Held, error) {
	file, err := held(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > 0 {
		err = fmt.Errorf("%s has something in it, and is left as it is: move it away", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Held{file}, nil
}

// Release gives the path back.
func (h *Held) Release() error { return errors.Join(drop(h.file), h.file.Close()) }

// drop removes an empty file that is held, unless another stands at its path by now.
func drop(file *os.File) error {
	mine, err := file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || there.Size() > 0 || !os.SameFile(mine, there) {
		return err
	}
	return os.Remove(file.Name())
}

// held opens a file, or makes it, and locks it. Whoever had it before may have taken it away meanwhile: then it is another
// file that stands at the path.
func held(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		mine, err := file.Stat()
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
			return file, nil
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
}
