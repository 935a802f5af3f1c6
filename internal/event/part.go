package event

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"
)

// part is the records of one space among those that were read at once.
type part struct {
	space   Space
	records []Record
	settled bool // the load has ended
	late    bool // nobody waits for it
}

// patience is how long a load keeps the others waiting. loadsAtOnce is how many are waited for at the same time, and
// maxLate how many can go on without being waited for.
const (
	patience    = 500 * time.Millisecond
	loadsAtOnce = 4
	maxLate     = 8
)

// split sorts records into parts by their spaces, in the order in which these first come.
func split(records []Record) ([]*part, error) {
	var parts []*part
	var p *part // of the record before, which most are like
	bySpace := map[Space]*part{}
	for _, r := range records {
		project, environment, ok := spaceOf(r.Data)
		if !ok {
			return nil, fmt.Errorf("record %d: %w", r.Position, ErrEncoding)
		}
		if p == nil || string(project) != p.space.Project || string(environment) != p.space.Environment {
			space := Space{string(project), string(environment)}
			if p = bySpace[space]; p == nil {
				p = &part{space: space}
				bySpace[space] = p
				parts = append(parts, p)
			}
		}
		p.records = append(p.records, r)
	}
	return parts, nil
}

// after gives the records that come after a position.
func after(records []Record, at Position) []Record {
	n := sort.Search(len(records), func(i int) bool { return records[i].Position > at })
	return records[n:]
}

// loadAll stores parts of different spaces, some at the same time. It returns when each is stored, has failed, or has
// taken longer than patience and goes on by itself. A patience of zero does not end.
func (l *Loader) loadAll(ctx context.Context, parts []*part, patience time.Duration) {
	slots := make(chan struct{}, loadsAtOnce)
	for _, p := range parts {
		slots <- struct{}{}
		l.loads.Go(func() {
			l.loadPart(ctx, p, patience)
			<-slots
		})
	}
	for range loadsAtOnce {
		slots <- struct{}{}
	}
}

// errTooManySlow ends a load that takes long while too many others do.
var errTooManySlow = errors.New("event: a load took too long, as did too many others")

// loadPart stores a part, or leaves it to itself.
func (l *Loader) loadPart(ctx context.Context, p *part, patience time.Duration) {
	load, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	l.loads.Go(func() {
		defer close(ended)
		err := l.store(load, p)
		if err != nil && context.Cause(load) == errTooManySlow { //nolint:errorlint // it is the value itself
			err = errTooManySlow
		}
		cancel(nil)
		l.settle(ctx, p, err)
	})
	if patience > 0 {
		tired := time.NewTimer(patience)
		defer tired.Stop()
		select {
		case <-ended:
			return
		case <-tired.C:
		}
		if l.letGo(p) {
			return
		}
		cancel(errTooManySlow)
	}
	<-ended
}

// store hands a part to the warehouse, but for what the space has already: after a start the head may have to read much
// that most spaces have.
func (l *Loader) store(ctx context.Context, p *part) error {
	l.mu.Lock()
	at, known := l.stored[p.space]
	l.mu.Unlock()
	if !known {
		var err error
		if at, err = l.cfg.Warehouse.Loaded(ctx, p.space); err != nil {
			return err
		}
		if at > l.cfg.Last {
			return fmt.Errorf("event: %v is loaded up to position %d, but the journal ended at %d: they do not belong together", p.space, at, l.cfg.Last)
		}
		l.mu.Lock()
		l.stored[p.space] = at
		l.mu.Unlock()
	}
	fresh := after(p.records, at)
	if len(fresh) == 0 {
		return nil
	}
	return l.cfg.Warehouse.Load(ctx, p.space, fresh)
}

// settle keeps what came of a load: the space moves on, or falls behind.
func (l *Loader) settle(ctx context.Context, p *part, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.settled = true
	if p.late {
		l.late--
	}
	if err == nil {
		last := p.records[len(p.records)-1].Position
		l.stored[p.space] = max(l.stored[p.space], last)
		if g := l.behind[p.space]; g != nil {
			g.position, g.pause, g.err = last, firstPause, nil
			if p.late {
				l.ready(g)
			}
		}
		l.wake()
		return
	}
	l.fail(ctx, p.space, l.fallBehind(p), err)
}

// letGo makes a load one that nobody waits for, unless there are too many such.
func (l *Loader) letGo(p *part) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.settled {
		return true
	}
	if l.late == maxLate {
		return false
	}
	l.late++
	p.late = true
	l.fallBehind(p).state = lagLoads
	return true
}
