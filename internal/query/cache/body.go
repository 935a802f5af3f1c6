package cache

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// Body is the bytes of an answer, in memory or in a file. Any number of holders may read it at once; it is given back
// when the last one has closed it. The bytes must not be changed.
type Body struct {
	bytes   []byte
	file    *os.File
	path    string // of the file that is deleted with the body; empty when it has no name, or is kept
	size    int64
	holders atomic.Int32
}

// InMemory is a body of bytes, with one holder.
func InMemory(b []byte) *Body {
	body := &Body{bytes: b, size: int64(len(b))}
	body.holders.Store(1)
	return body
}

// InFile is a body of a file, with one holder. The file becomes the body's.
func InFile(file *os.File, size int64, named bool) *Body {
	body := &Body{file: file, size: size}
	if named {
		body.path = file.Name()
	}
	body.holders.Store(1)
	return body
}

// Size is how many bytes there are.
func (b *Body) Size() int64 { return b.size }

// share makes one more holder.
func (b *Body) share() { b.holders.Add(1) }

// disown gives the path of the file to whoever will delete it from now on.
func (b *Body) disown() (path string) {
	path, b.path = b.path, ""
	return path
}

// WriteTo writes all of it.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	if b.file == nil {
		n, err := w.Write(b.bytes)
		return int64(n), err
	}
	return io.Copy(w, io.NewSectionReader(b.file, 0, b.size))
}

// Close ends the holding of one holder.
func (b *Body) Close() error {
	if b.holders.Add(-1) > 0 || b.file == nil {
		return nil
	}
	return errors.Join(b.file.Close(), unlink(b.path))
}

// filePrefix begins the files' names. Nothing of what is in them is in the name.
const filePrefix = "kept-"

// Create makes a file for an answer that is going to be kept: named in the folder for what is kept if it is to have
// files, and else nil.
func (c *Cache) Create() (*os.File, error) {
	if c.disk.most <= 0 {
		return nil, nil
	}
	return os.CreateTemp(c.dir, filePrefix+"*")
}

// emptyFolder makes a folder that nobody else may look into, and deletes what files it has.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	faults := []error{err}
	for _, file := range files {
		if strings.HasPrefix(file.Name(), filePrefix) {
			faults = append(faults, unlink(filepath.Join(dir, file.Name())))
		}
	}
	return errors.Join(faults...)
}

// writeFile writes a file of its own. It is not synced: after a crash it is deleted.
func writeFile(dir string, bytes []byte) (path string, err error) {
	file, err := os.CreateTemp(dir, filePrefix+"*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(bytes)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, unlink(file.Name()))
	}
	return file.Name(), nil
}

var errDamaged = errors.New("the file is not what was written")

// openBody opens a file that is kept, if it is still what was written.
func openBody(path string, size int64, digest [sha256.Size]byte) (*Body, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	n, err := io.Copy(hash, io.LimitReader(file, size+1))
	if err == nil && (n != size || [sha256.Size]byte(hash.Sum(nil)) != digest) {
		err = errDamaged
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return InFile(file, size, false), nil
}
