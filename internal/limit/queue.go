package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// queue is what has to be read from the store or written to it. One worker takes it, cycle by cycle: what comes while
// one cycle is under way goes together into the next. There is no timer, and no worker while there is nothing to do.
//
// An account, purse or reservation is queued once. What is written of it is what it is when its cycle begins; that takes
// the place of what was written before, so a cycle whose outcome is not known is simply followed by another.
type queue struct {
	mu      sync.Mutex
	waiting []*cycle
	number  int64         // of the last cycle
	most    int           // accounts in a cycle
	work    func()        // what a worker does
	worker  chan struct{} // has a value in it while there is a worker
	closing chan struct{} // closed when there will be none any more
	closed  bool
	down    atomic.Bool // the last call failed, or takes too long: who can do without the store does not wait for it
}

// cycle is what is asked of the store at once.
type cycle struct {
	number       int64
	accounts     []*account
	purses       []*purse
	reservations []*reservation
	done         chan struct{} // closed when it has ended
	err          error         // what came of it
}

// later is the cycle that ends later.
func later(a, b *cycle) *cycle {
	if a == nil || b != nil && b.number > a.number {
		return b
	}
	return a
}

// place is a cycle that has not begun: the first, where what is about credits comes together, or the first with room for
// an account. The lock is held.
func (q *queue) place(first bool) *cycle {
	if n := len(q.waiting); n > 0 {
		if first {
			return q.waiting[0]
		}
		if len(q.waiting[n-1].accounts) < q.most {
			return q.waiting[n-1]
		}
	}
	q.number++
	c := &cycle{number: q.number, done: make(chan struct{})}
	q.waiting = append(q.waiting, c)
	return c
}

// rouse starts a worker if there is none. The lock is held.
func (q *queue) rouse() {
	if q.closed {
		return
	}
	select {
	case q.worker <- struct{}{}:
		go q.work()
	default: // there is one
	}
}

// addAccount queues an account that is locked, and gives its cycle. It is nil when nothing is written any more.
func (q *queue) addAccount(a *account) *cycle {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.put(a)
	q.rouse()
	return a.cycle
}

// putAccount queues an account that is locked, for whoever takes what is queued.
func (q *queue) putAccount(a *account) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put(a)
}

func (q *queue) put(a *account) {
	if a.cycle == nil {
		a.cycle = q.place(false)
		a.cycle.accounts = append(a.cycle.accounts, a)
	}
}

// addPurse queues a purse, under the lock of the credits.
func (q *queue) addPurse(p *purse) *cycle {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed && !p.dirty {
		return nil
	}
	if p.cycle == nil {
		p.cycle = q.place(true)
		p.cycle.purses = append(p.cycle.purses, p)
	}
	q.rouse()
	return p.cycle
}

// spend queues a purse to be written.
func (q *queue) spend(p *purse) {
	p.dirty = true
	q.addPurse(p)
}

// addReservation queues a reservation, under the lock of the credits.
func (q *queue) addReservation(r *reservation) *cycle {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.cycle == nil {
		r.cycle = q.place(true)
		r.cycle.reservations = append(r.cycle.reservations, r)
	}
	q.rouse()
	if q.closed {
		return nil // it is written at the end, if there is one still to come
	}
	return r.cycle
}

// take begins the next cycle. It is nil, and the worker at its end, when there is none. What is about credits is taken
// under their lock, so that a purse and the reservations that changed it are always written together.
func (q *queue) take() *cycle {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		<-q.worker
		return nil
	}
	c := q.waiting[0]
	q.waiting[0], q.waiting = nil, q.waiting[1:]
	return c
}

// end tells what came of a cycle.
func (q *queue) end(c *cycle, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.down.Store(err != nil || q.closed)
	c.err = err
	close(c.done)
}

// stalls notes that a cycle takes too long.
func (q *queue) stalls(c *cycle) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-c.done:
	default:
		q.down.Store(true)
	}
}

// close lets no worker begin any more. It reports false when that was so before.
func (q *queue) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.closed = true
	q.down.Store(true)
	close(q.closing)
	return true
}

// await waits for what a request waits for, and reports whether it came.
func (l *Limiter) await(ctx context.Context, p pending, enough <-chan time.Time) bool {
	done := p.same
	if p.cycle != nil {
		done = p.cycle.done
	}
	if done == nil {
		return false
	}
	select {
	case <-done:
		return p.cycle == nil || p.cycle.err == nil
	case <-ctx.Done():
		return false
	case <-enough:
		if p.cycle != nil {
			l.queue.stalls(p.cycle)
		}
		return false
	}
}

// work is a worker: it asks the store cycle by cycle until nothing is left. After a failure it pauses.
func (l *Limiter) work() {
	pause := firstPause
	for {
		c, p := l.begin()
		if c == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), storeTime)
		err := l.perform(ctx, p)
		cancel()
		if err == nil {
			l.recovered()
			l.queue.end(c, nil)
			pause = firstPause
			continue
		}
		l.failed(err)
		l.again(c)
		l.queue.end(c, err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			pause = min(2*pause, longestRest)
		case <-l.queue.closing:
			timer.Stop()
			<-l.queue.worker
			return
		}
	}
}

// again queues what a failed cycle was about.
func (l *Limiter) again(c *cycle) {
	for _, a := range c.accounts {
		a.mu.Lock()
		a.flight = nil
		if a.cycle == c {
			a.cycle = nil
		}
		l.queue.putAccount(a)
		a.mu.Unlock()
	}
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	for _, p := range c.purses {
		l.queue.addPurse(p)
	}
	for _, r := range c.reservations {
		l.queue.addReservation(r)
	}
}

// failed counts and logs a call of the store that failed.
func (l *Limiter) failed(err error) {
	now := l.cfg.Now()
	l.stats.failures.Add(1)
	first := l.stats.failingSince.CompareAndSwap(nil, &now)
	if since := now.Sub(l.stats.said); !first && since >= 0 && since < sayEvery {
		return
	}
	l.stats.said = now
	l.cfg.Log.Error("the counters cannot be stored: each limit does what it says for that", "error", err,
		"failing_since", *l.stats.failingSince.Load(), "let_through_uncounted", l.stats.uncounted.Load(), "denied", l.stats.unreachable.Load())
}

func (l *Limiter) recovered() {
	if since := l.stats.failingSince.Swap(nil); since != nil {
		l.cfg.Log.Info("the counters are stored again", "failing_since", *since)
	}
}
