// Package cache owns answers that are kept: their bytes under a key, in memory up to a bound and then in files up to
// another, the least recently used first out; how long they are given out, and that one is made once for all who ask for
// it meanwhile.
//
// It does not own what a key is made of, nor how an answer is made (query): whoever asks under a key gets what is kept
// under it. It answers no problems of its own. What cannot be kept is made again, and a file that is damaged or missing is
// an answer that is not kept.
package cache

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"sync"
	"time"
)

// Key names an answer: a hash of all that it depends on.
type Key [sha256.Size]byte

// Group is what is forgotten together.
type Group struct{ Project, Environment string }

// About is what is known of an answer beside its bytes.
type About struct {
	ContentType string
	Rows        int64
	Began       time.Time     // when it was begun to be made: it says what was so then
	Elapsed     time.Duration // of making it
	Digest      [sha256.Size]byte
}

// Made is an answer. The body must be closed.
type Made struct {
	About

	Body   *Body
	Cached bool // it was made for somebody else
}

// Want is what is asked for.
type Want struct {
	Key   Key
	Group Group
	TTL   time.Duration // an answer that was begun longer ago is not given out
	Stale time.Duration // but for so long after that, when it is being made again meanwhile
}

// Config is what a Cache is made of.
type Config struct {
	Memory int64  // bytes of answers in memory
	Disk   int64  // bytes of answers in files
	Dir    string // of the files; it is the cache's alone, and what lies in it is deleted. Empty: no files
	Now    func() time.Time
}

// overhead is what an answer is counted as beyond its own bytes.
const overhead = 1 << 10

// sweepEvery is how long an answer that nobody may have any more can lie around.
const sweepEvery = time.Minute

// Cache keeps answers. It may be used from many goroutines.
type Cache struct {
	dir string
	now func() time.Time

	mu          sync.Mutex
	kept        map[Key]*entry
	memory      tier
	disk        tier
	generations map[Group]int // how often a group was forgotten
	flights     map[flightKey]*flight
	stats       Stats
	sweeper     *time.Timer // nil when nothing is kept
	closed      bool

	running sync.WaitGroup // flights
}

// Stats says what a Cache did and has.
type Stats struct {
	Hits, Misses, Coalesced, Stale, Evictions int64
	Entries                                   int
	MemoryBytes, DiskBytes                    int64
}

// entry is an answer that is kept, in memory or in a file.
type entry struct {
	key   Key
	group Group
	about About
	until time.Time // nobody asks for it after that
	size  int64     // of its body

	bytes []byte
	path  string
	in    *tier // nil while it moves from memory to a file
	place *list.Element
}

// tier is one of the places where entries are, the most recently used in front.
type tier struct {
	order list.List // of *entry
	used  int64
	most  int64
}

// Open makes a Cache, with an empty folder.
func Open(cfg Config) (*Cache, error) {
	c := &Cache{
		dir: cfg.Dir, now: cfg.Now, kept: map[Key]*entry{}, generations: map[Group]int{}, flights: map[flightKey]*flight{},
		memory: tier{most: cfg.Memory}, disk: tier{most: cfg.Disk},
	}
	if c.dir == "" {
		c.disk.most = 0
		return c, nil
	}
	return c, emptyFolder(c.dir)
}

// Close ends what is being made, and deletes the files. It waits.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	for _, f := range c.flights {
		f.cancel(context.Canceled)
	}
	if c.sweeper != nil {
		c.sweeper.Stop()
	}
	c.mu.Unlock()
	c.running.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var faults []error
	for _, e := range c.kept {
		faults = append(faults, unlink(c.take(e)))
	}
	return errors.Join(faults...)
}

// Forget drops the answers of a group, and sees to it that none that is being made is given to who asks after this.
func (c *Cache) Forget(group Group) {
	c.mu.Lock()
	c.generations[group]++
	var paths []string
	for _, e := range c.kept {
		if e.group == group {
			paths = append(paths, c.take(e))
		}
	}
	c.mu.Unlock()
	for _, path := range paths {
		_ = unlink(path) // what stays lies in a folder that is emptied at the next start
	}
}

// Stats are the figures up to now.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries, s.MemoryBytes, s.DiskBytes = len(c.kept), c.memory.used, c.disk.used
	return s
}

// find gives what is kept under a key and was begun at oldest or later.
func (c *Cache) find(key Key, oldest time.Time) (Made, bool) {
	c.mu.Lock()
	e := c.kept[key]
	if e == nil || e.about.Began.Before(oldest) {
		c.mu.Unlock()
		return Made{}, false
	}
	if e.in != nil {
		e.in.order.MoveToFront(e.place)
	}
	made, path := Made{About: e.about, Cached: true}, e.path
	if path == "" {
		made.Body = InMemory(e.bytes)
	}
	c.mu.Unlock()
	if path == "" {
		return made, true
	}
	var err error
	if made.Body, err = openBody(path, e.size, e.about.Digest); err != nil {
		c.drop(e)
		return Made{}, false
	}
	return made, true
}

// drop forgets one entry, if it is still there.
func (c *Cache) drop(e *entry) {
	c.mu.Lock()
	path := ""
	if c.kept[e.key] == e {
		path = c.take(e)
	}
	c.mu.Unlock()
	_ = unlink(path)
}

// keep takes an answer in, until nobody asks for it any more. The body stays its holder's. generation is that of the
// group when the answer was begun.
func (c *Cache) keep(w *Want, generation int, made Made) {
	e := &entry{
		key: w.Key, group: w.Group, about: made.About, until: made.Began.Add(w.TTL + w.Stale), size: made.Body.Size(),
		bytes: made.Body.bytes, path: made.Body.disown(),
	}
	in := &c.memory
	if e.path != "" {
		in = &c.disk
	}
	c.mu.Lock()
	if c.closed || generation != c.generations[w.Group] || made.Body.file != nil && e.path == "" || in == &c.disk && e.cost() > in.most {
		c.mu.Unlock()
		_ = unlink(e.path)
		return
	}
	var paths []string
	if former := c.kept[e.key]; former != nil {
		paths = append(paths, c.take(former))
	}
	c.kept[e.key] = e
	in.add(e)
	if c.sweeper == nil {
		c.sweeper = time.AfterFunc(sweepEvery, c.sweep)
	}
	leaving := c.overflow()
	paths = append(paths, c.evict()...)
	c.mu.Unlock()
	for _, path := range paths {
		_ = unlink(path)
	}
	for _, e := range leaving {
		c.move(e)
	}
}

// overflow takes entries out of the memory's tier until its bound is kept. They are still there to be found.
func (c *Cache) overflow() (leaving []*entry) {
	for c.memory.used > c.memory.most {
		e := c.memory.order.Back().Value.(*entry)
		c.memory.remove(e)
		leaving = append(leaving, e)
	}
	return leaving
}

// evict takes the files out that are beyond the bound, and gives their paths.
func (c *Cache) evict() (paths []string) {
	for c.disk.used > c.disk.most {
		c.stats.Evictions++
		paths = append(paths, c.take(c.disk.order.Back().Value.(*entry)))
	}
	return paths
}

// move writes an entry that has left the memory's tier to a file. Where that fails, it is not kept any longer.
func (c *Cache) move(e *entry) {
	path := ""
	if e.cost() <= c.disk.most {
		path, _ = writeFile(c.dir, e.bytes) // a full disk, for instance, is no reason not to answer
	}
	c.mu.Lock()
	var paths []string
	switch {
	case c.kept[e.key] != e: // replaced or forgotten meanwhile
		paths = append(paths, path)
	case path == "":
		c.stats.Evictions++
		c.take(e)
	default:
		e.bytes, e.path = nil, path
		c.disk.add(e)
		paths = c.evict()
	}
	c.mu.Unlock()
	for _, path := range paths {
		_ = unlink(path)
	}
}

// take takes an entry out, and gives the path of the file to be deleted.
func (c *Cache) take(e *entry) (path string) {
	delete(c.kept, e.key)
	if e.in != nil {
		e.in.remove(e)
	}
	return e.path
}

// sweep drops what nobody may have any more, as long as something is kept.
func (c *Cache) sweep() {
	now := c.now()
	c.mu.Lock()
	var paths []string
	for _, e := range c.kept {
		if now.After(e.until) {
			paths = append(paths, c.take(e))
		}
	}
	switch {
	case c.closed:
	case len(c.kept) > 0:
		c.sweeper.Reset(sweepEvery)
	default:
		c.sweeper = nil
	}
	c.mu.Unlock()
	for _, path := range paths {
		_ = unlink(path)
	}
}

func (e *entry) cost() int64 { return e.size + overhead }

func (t *tier) add(e *entry) {
	e.in, e.place = t, t.order.PushFront(e)
	t.used += e.cost()
}

func (t *tier) remove(e *entry) {
	t.order.Remove(e.place)
	t.used -= e.cost()
	e.in, e.place = nil, nil
}

// unlink deletes a file, if there is one.
func unlink(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
