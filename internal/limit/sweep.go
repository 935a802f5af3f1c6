package limit

import (
	"context"
	"hash/maphash"
	"time"
)

// sweep writes back the accounts that were not used for idle, and takes those out of memory that are written back and
// still not used.
func (l *Limiter) sweep(ctx context.Context, idle time.Duration) {
	now := l.steady(l.cfg.Now())
	l.expire(now)
	var last *cycle
	for _, r := range [...]*registry{&l.keys, &l.projects} {
		for a := range r.all() {
			last = later(last, l.writeBack(a, now, idle))
		}
	}
	if last != nil {
		select {
		case <-last.done:
		case <-ctx.Done():
			return
		}
	}
	for _, r := range [...]*registry{&l.keys, &l.projects} {
		for a := range r.all() {
			a.mu.Lock()
			if a.rests(now, idle) && a.written() {
				r.remove(a, maphash.String(l.seed, a.id), &l.accounts)
			}
			a.mu.Unlock()
		}
	}
	l.credits.forget(now, idle)
	l.failures.forget(now)
}

// writeBack queues an account that has something to give back: all of it when it is idle, and days that are over.
func (l *Limiter) writeBack(a *account, now int64, idle time.Duration) *cycle {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone || a.cycle != nil || a.flight != nil {
		return nil
	}
	rests := a.rests(now, idle)
	if rests && !a.written() || len(a.tallies) > 1 {
		a.releasing = rests
		return l.queue.addAccount(a)
	}
	return nil
}

func (a *account) rests(now int64, idle time.Duration) bool { return now-a.used > int64(idle) }

// written reports whether the store has exactly what the account has, and so the account can be forgotten.
func (a *account) written() bool {
	if a.gone || a.cycle != nil || a.flight != nil || a.until != 0 || a.guessed && !a.known {
		return false
	}
	for _, t := range a.tallies {
		if !t.known || t.taken != t.used {
			return false
		}
	}
	return true
}
