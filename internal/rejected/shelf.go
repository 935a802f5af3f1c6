package rejected

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The entries of a project lie in a folder of its name, and there of each key in a folder of its name, in files of a bounded
// size: an entry a line, as JSON, the oldest first. A file is named by the first id that it had. What is taken out of a file is
// taken out by writing the file anew beside its place, so that it is on no disk any more.
const (
	fileBytes = 256 << 10 // a file that has reached so much is not added to
	blockSize = 4 << 10   // a file takes whole blocks
	ending    = ".jsonl"
	partial   = ".part"
	idPrefix  = "rej_"
	idDigits  = 14 // in hex: microseconds since 1970
	syncEvery = time.Second
)

// name is the id of a project or key, which is part of a path.
var name = regexp.MustCompile(`^[0-9A-Za-z_-]{1,100}$`)

// shelf is what is known of a project's files.
type shelf struct {
	mu    sync.Mutex
	root  *os.Root
	dir   string
	files []*file // in no order
	last  int64   // the number of the newest id there ever was
	dirty map[*file]bool
	sunk  time.Time // when the files were synced
}

// file is a file of entries.
type file struct {
	key         string
	path        string
	first, last int64 // of the numbers in it
	size        int64
}

func (f *file) cost() int64 { return (f.size + blockSize - 1) / blockSize * blockSize }

func idOf(number int64) string { return fmt.Sprintf("%s%0*x", idPrefix, idDigits, number) }

// numberOf reads an id, and gives -1 for what is none.
func numberOf(id string) int64 {
	digits, ok := strings.CutPrefix(id, idPrefix)
	n, err := strconv.ParseInt(digits, 16, 64)
	if !ok || len(digits) != idDigits || err != nil {
		return -1
	}
	return n
}

// numberAt is the first number of a time.
func numberAt(t time.Time) int64 { return t.UnixMicro() }

// shelf finds the files of a project, which are looked through once.
func (s *Service) shelf(project string) (*shelf, error) {
	if !name.MatchString(project) {
		return nil, fmt.Errorf("rejected: %q is no id of a project", project)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.shelves[project]; found != nil {
		return found, nil
	}
	made := &shelf{root: s.root, dir: project, dirty: map[*file]bool{}, sunk: s.cfg.Now()}
	if err := made.load(); err != nil {
		return nil, fmt.Errorf("rejected: %w", err)
	}
	s.shelves[project] = made
	return made, nil
}

func (s *shelf) load() error {
	keys, err := fs.ReadDir(s.root.FS(), s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, key := range keys {
		names, err := fs.ReadDir(s.root.FS(), path.Join(s.dir, key.Name()))
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := s.loadFile(key.Name(), path.Join(s.dir, key.Name(), n.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadFile takes a file in. What a crash left half written is cut off.
func (s *shelf) loadFile(key, at string) error {
	if !strings.HasSuffix(at, ending) {
		return s.root.Remove(at)
	}
	f := &file{key: key, path: at, first: math.MaxInt64}
	data, err := s.root.ReadFile(at)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(data, '\n') + 1
	if whole < len(data) {
		if err := s.truncate(at, int64(whole)); err != nil {
			return err
		}
	}
	f.size = int64(whole)
	each(data[:whole], func(e *Entry) { f.has(numberOf(e.ID)) })
	if f.size == 0 {
		return s.root.Remove(at)
	}
	s.last = max(s.last, f.last)
	s.files = append(s.files, f)
	return nil
}

func (f *file) has(number int64) { f.first, f.last = min(f.first, number), max(f.last, number) }

func (s *shelf) truncate(at string, size int64) error {
	opened, err := s.root.OpenFile(at, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return cmp.Or(opened.Truncate(size), opened.Close())
}

// each reads the entries of a text. A line that is none is passed over: a disk may have damaged it.
func each(data []byte, visit func(*Entry)) {
	for line := range bytes.Lines(data) {
		var e Entry
		if err := json.Unmarshal(line, &e, jsontext.AllowDuplicateNames(true)); err == nil && numberOf(e.ID) >= 0 {
			visit(&e)
		}
	}
}

// write is an entry as a line.
func write(to *bytes.Buffer, e *Entry) error {
	err := json.MarshalWrite(to, e, jsontext.AllowDuplicateNames(true))
	_ = to.WriteByte('\n')
	return err
}

// put adds the entries of one key, the newest last, and names them.
func (s *Service) put(project, key string, entries []Entry) error {
	if !name.MatchString(key) {
		return fmt.Errorf("rejected: %q is no id of a key", key)
	}
	shelf, err := s.shelf(project)
	if err != nil {
		return err
	}
	shelf.mu.Lock()
	defer shelf.mu.Unlock()
	for len(entries) > 0 && err == nil {
		entries, err = shelf.add(key, entries, s.cfg.Now(), min(fileBytes, s.cfg.Bytes/8))
	}
	return cmp.Or(err, shelf.shrink(s.cfg.Bytes))
}

// add adds as many entries as one file takes, and gives the others.
func (s *shelf) add(key string, entries []Entry, now time.Time, most int64) ([]Entry, error) {
	s.last = max(s.last, numberAt(now)-1)
	f, made := s.newest(key), false
	if f == nil || f.size >= most {
		f, made = &file{key: key, path: path.Join(s.dir, key, idOf(s.last+1)+ending), first: s.last + 1}, true
	}
	var text bytes.Buffer
	n, last := 0, s.last
	for n < len(entries) && (n == 0 || f.size+int64(text.Len()) < most) {
		last++
		entries[n].ID, entries[n].At = idOf(last), now.UTC().Truncate(time.Microsecond)
		if err := write(&text, &entries[n]); err != nil {
			return nil, fmt.Errorf("rejected: %w", err)
		}
		n++
	}
	if made {
		if err := s.root.MkdirAll(path.Dir(f.path), 0o700); err != nil {
			return nil, fmt.Errorf("rejected: %w", err)
		}
	}
	if err := s.append(f, text.Bytes()); err != nil {
		return nil, fmt.Errorf("rejected: %w", err)
	}
	s.last, f.last, f.size = last, last, f.size+int64(text.Len())
	if made {
		s.files = append(s.files, f)
	}
	s.dirty[f] = true
	if now.Sub(s.sunk) < syncEvery {
		return entries[n:], nil
	}
	s.sunk = now
	return entries[n:], s.sync()
}

// newest is the file of a key that is added to.
func (s *shelf) newest(key string) (found *file) {
	for _, f := range s.files {
		if f.key == key && (found == nil || f.last > found.last) {
			found = f
		}
	}
	return found
}

// append adds to a file whole or not at all, as long as the program lives; what a crash cut is cut off at the next start.
func (s *shelf) append(f *file, text []byte) error {
	opened, err := s.root.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if _, err = opened.Write(text); err != nil {
		_ = opened.Truncate(f.size) // the first error is told
	}
	return cmp.Or(err, opened.Close())
}

// sync makes durable what was written since the last time.
func (s *shelf) sync() error {
	folders := map[string]bool{".": true, s.dir: true}
	for f := range s.dirty {
		if err := s.syncOne(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		folders[path.Dir(f.path)] = true
	}
	if len(s.dirty) == 0 {
		return nil
	}
	clear(s.dirty)
	for folder := range folders {
		if err := s.syncOne(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (s *shelf) syncOne(at string) error {
	opened, err := s.root.Open(at)
	if err != nil {
		return err
	}
	return cmp.Or(opened.Sync(), opened.Close())
}

// shrink deletes the oldest files of whoever has most, until the bound is kept.
func (s *shelf) shrink(most int64) error {
	used, of := int64(0), map[string]int64{}
	for _, f := range s.files {
		used += f.cost()
		of[f.key] += f.cost()
	}
	for used > most && len(s.files) > 0 {
		victim := slices.MinFunc(s.files, func(a, b *file) int {
			return cmp.Or(cmp.Compare(of[b.key], of[a.key]), cmp.Compare(a.first, b.first))
		})
		used, of[victim.key] = used-victim.cost(), of[victim.key]-victim.cost()
		if err := s.remove(victim); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes a file.
func (s *shelf) remove(f *file) error {
	if err := s.root.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rejected: %w", err)
	}
	s.files = slices.DeleteFunc(s.files, func(other *file) bool { return other == f })
	delete(s.dirty, f)
	_ = s.root.Remove(path.Dir(f.path)) // if nothing else is in it
	return nil
}

// read gives a file's entries to be looked at, but for what is not there any more.
func (s *shelf) read(f *file, visit func(*Entry)) error {
	data, err := s.root.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("rejected: %w", err)
	}
	each(data, visit)
	return nil
}

// change writes a file anew, with what keep says to keep of it, which it may change. It returns when the disk has it.
func (s *shelf) change(f *file, keep func(*Entry) bool) (removed int, err error) {
	var text bytes.Buffer
	next := *f
	next.first, next.last = math.MaxInt64, 0
	changed := false
	err = s.read(f, func(e *Entry) {
		before := *e
		if !keep(e) {
			removed++
			return
		}
		changed = changed || before.Tries != e.Tries
		next.has(numberOf(e.ID))
		_ = write(&text, e) // it was read from such a line
	})
	if err != nil || removed == 0 && !changed {
		return removed, err
	}
	if text.Len() == 0 {
		return removed, cmp.Or(s.remove(f), s.syncOne(s.dir))
	}
	if err := s.replace(f.path, &text); err != nil {
		return 0, fmt.Errorf("rejected: %w", err)
	}
	next.size = s.sizeOf(f.path)
	*f = next
	return removed, nil
}

func (s *shelf) sizeOf(at string) int64 {
	info, err := s.root.Stat(at)
	if err != nil {
		return 0
	}
	return info.Size()
}

func (s *shelf) replace(at string, text io.WriterTo) error {
	beside := at + partial
	opened, err := s.root.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = text.WriteTo(opened)
	if err = cmp.Or(err, opened.Sync(), opened.Close()); err == nil {
		err = s.root.Rename(beside, at)
	}
	if err != nil {
		_ = s.root.Remove(beside) // the first error is told
		return err
	}
	return s.syncOne(path.Dir(at))
}
