package ledger

import (
	"context"
	"fmt"
	"time"
)

// Run writes what comes to the store every 200 ms, but shapes and last uses only every 10 s, and trims the store, until
// ctx is done. Then it writes what is left and returns the error if the store did not take it. What comes after Run is for
// Flush.
func (l *Ledger) Run(ctx context.Context) error {
	flush, trim := time.NewTicker(flushEvery), time.NewTicker(trimEvery)
	defer flush.Stop()
	defer trim.Stop()
	l.trim(ctx)
	for {
		select {
		case <-flush.C:
			_ = l.flush(ctx, false) // what fails is kept, told by Stats and the log, and written the next time
		case <-trim.C:
			l.trim(ctx)
		case <-ctx.Done():
			return l.Flush(ctx)
		}
	}
}

// Flush writes what is in memory to the store, also when ctx is done already. What the store does not take stays in
// memory, and comes first the next time.
func (l *Ledger) Flush(ctx context.Context) error { return l.flush(ctx, true) }

// flush is Flush, without what may wait a little longer unless the whole is wanted.
func (l *Ledger) flush(ctx context.Context, whole bool) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	if err := l.write(ctx); err != nil {
		return err
	}
	if !l.take(whole) {
		return nil
	}
	return l.write(ctx)
}

// take makes a pending batch of what is in memory, and reports whether there is anything.
func (l *Ledger) take(whole bool) bool {
	b := Batch{Writer: l.cfg.Writer, Number: l.number + 1, Denials: l.denials.take()}
	l.sorter.limits = l.limits
	l.sorter.take(&l.shards, &b, l.cfg.Now(), whole)
	if len(b.Denials)+len(b.Counts)+len(b.Shapes)+len(b.Uses) == 0 {
		return false
	}
	l.number++
	l.pending = &b
	l.stats.pending.Store(int64(len(b.Denials)))
	return true
}

// write stores the pending batch. A batch whose outcome is not known is written again as it was, under its number, so
// that nothing is counted twice.
func (l *Ledger) write(ctx context.Context) error {
	if l.pending == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	if err := l.store.Keep(ctx, *l.pending); err != nil {
		l.failed(err)
		return fmt.Errorf("ledger: store decisions: %w", err)
	}
	l.pending = nil
	l.stats.pending.Store(0)
	if since := l.stats.failingSince.Swap(nil); since != nil {
		l.cfg.Log.Info("the ledger is stored again", "failing_since", *since)
	}
	return nil
}

func (l *Ledger) failed(err error) {
	now := l.cfg.Now()
	l.stats.failures.Add(1)
	first := l.stats.failingSince.CompareAndSwap(nil, &now)
	if since := now.Sub(l.stats.said); !first && since >= 0 && since < sayEvery {
		return
	}
	l.stats.said = now
	l.cfg.Log.Error("the ledger cannot be stored: decisions are kept in memory, counted where they are too many",
		"error", err, "failing_since", *l.stats.failingSince.Load(), "denials_waiting", l.Stats().Waiting)
}

// trim removes from the store what is too old or too much.
func (l *Ledger) trim(ctx context.Context) {
	now := l.cfg.Now()
	h := Horizon{
		Denials: now.Add(-keepDenials), Most: keepMost, Shapes: now.Add(-keepShapes),
		Ended: now.Add(-sumAfter), Minutes: now.Add(-minutesKept), Hours: now.Add(-hoursKept), Days: now.Add(-daysKept), MostDay: keepMostDay,
	}
	for ctx.Err() == nil {
		removed, err := l.store.Trim(ctx, h)
		if err != nil && ctx.Err() == nil {
			l.cfg.Log.Error("the ledger cannot be trimmed", "error", err)
		}
		if err != nil || removed == 0 {
			return
		}
	}
}
