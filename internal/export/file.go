package export

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/weir-analytics/weir/internal/problem"
)

// The files, in a folder for each project and in it one for each environment, by the ids of their jobs:
//
//	ID.part   what is being written
//	ID.file   what can be fetched
//	ID.gone   that there is nothing more to fetch, and why
const (
	partFile  = ".part"
	wholeFile = ".file"
	goneFile  = ".gone"
)

// goneKeep is how long it is known why a file is gone: as long as jobs may be.
const goneKeep = 8 * 24 * time.Hour

// folder is where the files of a space are. Both names are the registry's own, and fit for a path.
func (s *Service) folder(of space) (string, error) {
	if !filepath.IsLocal(of.project) || !filepath.IsLocal(of.environment) || strings.ContainsAny(of.project+of.environment, `/\`) {
		return "", fmt.Errorf("export: %q and %q are no names of files", of.project, of.environment)
	}
	return filepath.Join(s.cfg.Dir, of.project, of.environment), nil
}

func (s *Service) path(of space, id, kind string) (string, error) {
	folder, err := s.folder(of)
	return filepath.Join(folder, id+kind), err
}

func (s *Service) free() (int64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(s.cfg.Dir, &disk); err != nil {
		return 0, err
	}
	return int64(disk.Bavail) * disk.Bsize, nil
}

// roomEvery is how many bytes are written between two looks at the room that is left.
const roomEvery = 4 << 20

// sink takes the bytes of a file, counts them, and looks after the room there is.
type sink struct {
	s      *Service
	id     string
	of     space
	uid    string // of a dataset
	file   *os.File
	buffer *bufio.Writer
	digest hash.Hash
	pack   io.WriteCloser // nil: it is not packed
	size   int64
	looked int64 // the size when the room was looked at
}

// create begins the file of an export, in the place of what there was of it.
func (s *Service) create(of space, id string, sp *spec) (*sink, error) {
	path, err := s.path(of, id, partFile)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return nil, err
	}
	k := &sink{s: s, id: id, of: of, uid: sp.UID, digest: sha256.New()}
	s.mu.Lock()
	s.writing[id] = &progress{project: of.project}
	s.mu.Unlock()
	if err := k.room(); err != nil {
		s.stopped(id)
		return nil, err
	}
	_ = os.Remove(strings.TrimSuffix(path, partFile) + goneFile) // of a file that a run before this one had written
	if k.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		s.stopped(id)
		return nil, diskFault(err)
	}
	k.buffer = bufio.NewWriterSize(counted{k}, 64<<10)
	switch sp.Compression {
	case Gzip:
		k.pack = gzip.NewWriter(k.buffer)
	case Zstd:
		if k.pack, err = zstd.NewWriter(k.buffer, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20)); err != nil {
			return nil, errors.Join(err, k.abandon())
		}
	case None:
	}
	return k, nil
}

// stopped notes that a file is not being written any more.
func (s *Service) stopped(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.writing, id)
}

// counted is where the bytes of a sink go.
type counted struct{ k *sink }

func (c counted) Write(p []byte) (int, error) {
	k := c.k
	n, err := k.file.Write(p)
	k.size += int64(n)
	_, _ = k.digest.Write(p[:n])
	if err != nil {
		return n, diskFault(err)
	}
	if k.size-k.looked >= roomEvery {
		return n, k.room()
	}
	return n, nil
}

// room refuses to go on where the disk or the project has none.
func (k *sink) room() error {
	k.looked = k.size
	free, err := k.s.cfg.Free()
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if k.s.cfg.Reserve > 0 && free < k.s.cfg.Reserve+roomEvery {
		return problem.New(problem.StorageFull, "The server's disk is almost full: nothing was exported.")
	}
	used, err := k.s.used(k.of.project)
	if err != nil {
		return err
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.s.writing[k.id].bytes = k.size
	for _, p := range k.s.writing {
		if p.project == k.of.project {
			used += p.bytes
		}
	}
	if used > k.s.cfg.Bytes {
		return problem.New(problem.ResultTooLarge, "The files of the project's exports would have more than %d bytes. Delete some, narrow this, "+
			"or have whoever runs the server raise the setting %s.", k.s.cfg.Bytes, bytesCeiling).Over(bytesCeiling, k.s.cfg.Bytes)
	}
	return nil
}

// The names of the settings that bound an export.
const (
	bytesCeiling = "export_bytes"
	timeCeiling  = "export_time"
)

// used is how many bytes the whole files of a project have.
func (s *Service) used(project string) (n int64, err error) {
	err = s.each(filepath.Join(s.cfg.Dir, project), func(path string, info fs.FileInfo) error {
		if strings.HasSuffix(path, wholeFile) {
			n += info.Size()
		}
		return nil
	})
	return n, err
}

// each goes through files, those that go away meanwhile left out.
func (s *Service) each(folder string, do func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			return nil
		}
		var info fs.FileInfo
		if err == nil {
			info, err = entry.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		return do(path, info)
	})
}

// Write takes bytes in.
func (k *sink) Write(p []byte) (int, error) {
	if k.pack != nil {
		return k.pack.Write(p)
	}
	return k.buffer.Write(p)
}

// whole ends the file, and makes its bytes durable; it is not to be fetched yet.
func (k *sink) whole() error {
	var err error
	if k.pack != nil {
		err = k.pack.Close()
	}
	if err == nil {
		err = k.buffer.Flush()
	}
	if err == nil {
		err = k.room()
	}
	if err == nil {
		err = k.file.Sync()
	}
	return diskFault(err)
}

// abandon drops what was written.
func (k *sink) abandon() error {
	defer k.s.stopped(k.id)
	return errors.Join(k.file.Close(), os.Remove(k.file.Name()))
}

// keep makes the file one that can be fetched, unless what is in it was forgotten since it was begun; ok says so. The caller
// closes nothing more.
func (k *sink) keep(forgot int) (ok bool, err error) {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	delete(k.s.writing, k.id)
	if k.s.age(k.of, k.uid) != forgot {
		return false, errors.Join(k.file.Close(), os.Remove(k.file.Name()))
	}
	to := strings.TrimSuffix(k.file.Name(), partFile) + wholeFile
	err = errors.Join(k.file.Close(), k.s.stamp(k.file.Name()), os.Rename(k.file.Name(), to), syncFolder(filepath.Dir(to)))
	return err == nil, err
}

// stamp gives a file the time by which it is kept.
func (s *Service) stamp(path string) error {
	now := s.cfg.Now()
	return os.Chtimes(path, now, now)
}

// sum is the digest of the file.
func (k *sink) sum() string { return hex.EncodeToString(k.digest.Sum(nil)) }

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// diskFault is a problem where it is the disk that has no room.
func diskFault(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return problem.Wrap(err, problem.StorageFull, "The server's disk is full: nothing was exported.")
	}
	return err
}

// Gone is why there is no file any more.
type Gone struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// The reasons for which files go before their time.
const (
	GoneDeleted   = "deleted"   // somebody asked for it
	GoneForgotten = "forgotten" // data of its environment was deleted, which may be in it
)

// remove deletes a file, and says why. The caller holds the lock.
func (s *Service) remove(of space, id, reason string) error {
	path, err := s.path(of, id, goneFile)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil { // the file may be there still, after a crash
		return s.unlink(path)
	}
	text, err := json.Marshal(Gone{reason, s.cfg.Now().UTC().Truncate(time.Microsecond)})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = errors.Join(os.WriteFile(path, text, 0o600), s.stamp(path))
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return s.unlink(path)
}

// unlink deletes the file of which it was noted at a path that it is gone.
func (s *Service) unlink(path string) error {
	err := os.Remove(strings.TrimSuffix(path, goneFile) + wholeFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("export: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

// gone is why there is no file of an export; the zero Gone when nobody said.
func (s *Service) gone(of space, id string) (g Gone, err error) {
	path, err := s.path(of, id, goneFile)
	if err != nil {
		return g, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &g)
	}
	if err != nil {
		return Gone{Reason: GoneDeleted}, fmt.Errorf("export: why a file is gone: %w", err)
	}
	return g, nil
}

// sweepEvery is how often it is looked for files whose time is over.
const sweepEvery = time.Minute

// Run removes files whose time is over, until ctx is done.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Sweep(); err != nil {
			s.cfg.Log.Warn("files of exports could not be removed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Sweep removes what has been there for its time. A file has the time at which it was written.
func (s *Service) Sweep() error {
	now := s.cfg.Now()
	return s.each(s.cfg.Dir, func(path string, info fs.FileInfo) error {
		keep := s.cfg.Keep
		if strings.HasSuffix(path, goneFile) {
			keep = goneKeep
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		id, part := strings.CutSuffix(filepath.Base(path), partFile)
		if part && s.writing[id] != nil || now.Sub(info.ModTime()) < keep {
			return nil
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}
