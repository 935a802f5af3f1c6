package duckdb

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// shelf keeps the instances of the spaces that were used last open. Opening one takes milliseconds, and its first load
// must read the ids of the last days.
type shelf struct {
	dir     string
	options native.Options
	promote *promotion
	most    int   // instances kept open
	budget  int64 // bytes the open ones may hold when they are idle

	mu    sync.Mutex
	open  map[event.Space]*place
	empty *instance // stands for every space without a file
	clock uint64    // counts uses
}

// place is one space's place on the shelf. instance and err are set when ready is closed.
type place struct {
	ready    chan struct{}
	instance *instance
	err      error
	users    int
	used     uint64 // the clock at the last use
	held     int64  // bytes at the end of the last use
	gone     chan struct{}
	idle     chan struct{} // closed when users is 0, for one who wants to be alone; nil: nobody does
}

func newShelf(dir string, most int, budget int64, o native.Options, p *promotion) *shelf {
	return &shelf{dir: dir, options: o, promote: p, most: most, budget: budget, open: map[event.Space]*place{}}
}

// read gives the instance of a space, to be handed back with the function. A space without a file is empty.
func (s *shelf) read(ctx context.Context, space event.Space) (*instance, func(), error) {
	has, err := hasFile(s.dir, space)
	if err != nil {
		return nil, nil, err
	}
	if has {
		return s.write(ctx, space)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty == nil {
		if s.empty, err = openInstance(ctx, "", event.Space{}, s.options, nil); err != nil {
			return nil, nil, err
		}
	}
	return s.empty, func() {}, nil
}

// write is read, but a space without a file gets one.
func (s *shelf) write(ctx context.Context, space event.Space) (*instance, func(), error) {
	for {
		s.mu.Lock()
		p := s.open[space]
		if p == nil {
			p = &place{ready: make(chan struct{})}
			s.open[space] = p
			go s.fill(p, space) //nolint:gosec // it outlives who asked first: others may be waiting by then
		}
		if gone := p.gone; gone != nil { // being closed: wait for that, and open it again
			s.mu.Unlock()
			select {
			case <-gone:
				continue
			case <-ctx.Done():
				return nil, nil, context.Cause(ctx)
			}
		}
		p.users++
		s.mu.Unlock()
		back := func() { s.back(p) }
		select {
		case <-p.ready:
		case <-ctx.Done():
			back()
			return nil, nil, context.Cause(ctx)
		}
		if p.err != nil {
			back()
			return nil, nil, p.err
		}
		return p.instance, back, nil
	}
}

// fill opens an instance. Whoever wants it may give up; the next one finds it open.
func (s *shelf) fill(p *place, space event.Space) {
	path := filePath(s.dir, space)
	p.err = os.MkdirAll(filepath.Dir(path), 0o700)
	if p.err == nil {
		p.instance, p.err = openInstance(context.Background(), path, space, s.options, s.promote)
	}
	if p.err == nil {
		p.err = errors.Join(syncFolder(filepath.Dir(path)), syncFolder(s.dir))
	}
	if p.err != nil {
		s.mu.Lock()
		delete(s.open, space)
		s.mu.Unlock()
	}
	close(p.ready)
	s.trim()
}

// back hands an instance back, and closes what is too much.
func (s *shelf) back(p *place) {
	s.mu.Lock()
	s.clock++
	p.used = s.clock
	several := len(s.open) > 1
	s.mu.Unlock()
	held := int64(0)
	if several && isClosed(p.ready) && p.err == nil {
		held = p.instance.memory()
	}
	s.mu.Lock()
	p.held = held
	p.users--
	if p.users == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
	s.mu.Unlock()
	s.trim()
}

// trim closes idle instances, the longest unused first, while there are too many or they hold too much. Nobody waits
// for it: a checkpoint may take seconds.
func (s *shelf) trim() {
	for {
		space, p := s.surplus()
		if p == nil {
			return
		}
		go func() {
			p.instance.close()
			s.mu.Lock()
			delete(s.open, space)
			s.mu.Unlock()
			close(p.gone)
		}()
	}
}

// surplus marks an instance to be closed and returns it, or nil when all may stay or all are in use.
func (s *shelf) surplus() (event.Space, *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest *place
	var of event.Space
	held, open := int64(0), 0
	for space, p := range s.open {
		if p.gone != nil {
			continue
		}
		open++
		held += p.held
		if p.users == 0 && isClosed(p.ready) && (oldest == nil || p.used < oldest.used) {
			oldest, of = p, space
		}
	}
	if oldest == nil || open <= s.most && (held <= s.budget || open == 1) {
		return of, nil
	}
	oldest.gone = make(chan struct{})
	return of, oldest
}

// close closes every instance. Nobody may use the shelf any more.
func (s *shelf) close() {
	s.mu.Lock()
	s.most = 0
	places := slices.Collect(maps.Values(s.open))
	s.mu.Unlock()
	for _, p := range places {
		<-p.ready
	}
	s.trim()
	for _, p := range places {
		s.mu.Lock()
		gone := p.gone
		s.mu.Unlock()
		if gone != nil {
			<-gone
		}
	}
	if s.empty != nil {
		s.empty.close()
	}
}

// syncFolder makes the names in a folder durable: the engine syncs its files, and not that there are files.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
