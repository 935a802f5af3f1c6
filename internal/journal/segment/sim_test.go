package segment

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// sim is a disk that can fail and lose power. What the journal writes goes to real files, which are what a program
// sees, the page cache included; beside them sim keeps what has reached the disk, which is all that a crash leaves.
type sim struct {
	dir string

	mu      sync.Mutex
	names   map[string]*simFile   // as a program sees them
	durable map[string]*simFile   // as of the last SyncDir
	between []map[string]*simFile // after each change since
	hooks   map[string]func() error
}

// simFile is a file: durable is on the disk, cached is what a program sees, and the dirty sectors of it are still to be
// written to the disk.
type simFile struct {
	disk    *sim
	f       *os.File
	cached  []byte
	durable []byte
	dirty   map[int64]bool
}

func newSim(t testing.TB) *sim {
	return &sim{dir: t.TempDir(), names: map[string]*simFile{}, durable: map[string]*simFile{}, hooks: map[string]func() error{}}
}

// before sets what runs before every operation of a kind, and may make it fail. The kinds: create, allocate, write,
// truncate, sync, rename, remove, syncdir.
func (d *sim) before(kind string, hook func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hooks[kind] = hook
}

// swapHooks replaces all that before has set.
func (d *sim) swapHooks(hooks map[string]func() error) (old map[string]func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, d.hooks = d.hooks, hooks
	return old
}

func (d *sim) hook(kind string) error {
	d.mu.Lock()
	hook := d.hooks[kind]
	d.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook()
}

func (d *sim) Create(path string, size int64) (file, error) {
	if err := d.hook("create"); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	s := &simFile{disk: d, f: f, cached: make([]byte, size), dirty: map[int64]bool{}}
	d.names[filepath.Base(path)] = s
	d.changed()
	d.mu.Unlock()
	if err := d.hook("allocate"); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, f.Truncate(size)
}

func (d *sim) Open(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.names[filepath.Base(path)]
	s.f = f
	return s, nil
}

func (d *sim) Rename(from, to string) error {
	if err := d.hook("rename"); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[filepath.Base(to)] = d.names[filepath.Base(from)]
	delete(d.names, filepath.Base(from))
	d.changed()
	return os.Rename(from, to)
}

func (d *sim) Remove(path string) error {
	if err := d.hook("remove"); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, filepath.Base(path))
	d.changed()
	return os.Remove(path)
}

func (d *sim) SyncDir(string) error {
	if err := d.hook("syncdir"); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.durable, d.between = maps.Clone(d.names), nil
	return nil
}

func (d *sim) changed() { d.between = append(d.between, maps.Clone(d.names)) }

// WriteAt writes half of what it should when it fails.
func (s *simFile) WriteAt(b []byte, at int64) (int, error) {
	failure := s.disk.hook("write")
	if failure != nil {
		b = b[:len(b)/2]
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	for i := at / sector; len(b) > 0 && i <= (at+int64(len(b))-1)/sector; i++ {
		s.dirty[i] = true
	}
	copy(s.cached[at:], b)
	n, err := s.f.WriteAt(b, at)
	if failure != nil {
		return n, failure
	}
	return n, err
}

func (s *simFile) Truncate(size int64) error {
	if err := s.disk.hook("truncate"); err != nil {
		return err
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	maps.DeleteFunc(s.dirty, func(i int64, _ bool) bool { return i*sector >= size })
	s.dirty[size/sector] = true
	s.cached = s.cached[:size]
	return s.f.Truncate(size)
}

// Sync that fails has lost what was dirty: the page cache shows it, the disk will never have it, and the next Sync
// succeeds without it.
func (s *simFile) Sync() error {
	failure := s.disk.hook("sync")
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if failure == nil {
		s.durable = s.onDisk(func() bool { return true })
	}
	clear(s.dirty)
	return failure
}

func (s *simFile) Close() error { return s.f.Close() }

// onDisk is what the disk has when, of what is not durable, what luck chooses has reached it.
func (s *simFile) onDisk(luck func() bool) []byte {
	disk := slices.Clone(s.durable)
	if len(disk) != len(s.cached) && luck() {
		disk = append(disk[:min(len(disk), len(s.cached))], make([]byte, max(0, len(s.cached)-len(disk)))...)
	}
	for _, i := range slices.Sorted(maps.Keys(s.dirty)) {
		from, to := i*sector, min((i+1)*sector, int64(len(s.cached)), int64(len(disk)))
		if from < to && luck() {
			copy(disk[from:to], s.cached[from:to])
		}
	}
	return disk
}

// crash cuts the power and gives the disk as it is found afterwards, in another folder. luck says what reached the disk
// of that which was not made durable; nil is never.
func (d *sim) crash(t testing.TB, luck func() bool) *sim {
	t.Helper()
	if luck == nil {
		luck = func() bool { return false }
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	names := d.durable
	for _, later := range d.between {
		if !luck() {
			break
		}
		names = later
	}
	names = maps.Clone(names)
	for _, name := range slices.Sorted(maps.Keys(d.durable)) { // what was removed may come back, in any order
		if _, there := d.names[name]; !there && luck() {
			names[name] = d.durable[name]
		}
	}
	after := newSim(t)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		data := names[name].onDisk(luck)
		if err := os.WriteFile(filepath.Join(after.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		after.names[name] = &simFile{disk: after, cached: slices.Clone(data), durable: data, dirty: map[int64]bool{}}
	}
	after.durable = maps.Clone(after.names)
	return after
}
