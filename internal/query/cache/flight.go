package cache

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// Make makes an answer. Its body becomes the cache's.
type Make func(context.Context) (About, *Body, error)

// flightKey names what is being made. What is asked for after its group was forgotten is another thing.
type flightKey struct {
	key        Key
	generation int
}

// flight is an answer that is being made. It lives as long as somebody waits for it.
type flight struct {
	key     flightKey
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed when made and err are there
	waiting int
	left    bool // the first who asked, without the answer, which nobody has had since
	made    Made
	err     error
}

// Answer gives what is kept under a key if it is young enough, and else has it made: once for all who ask for it
// meanwhile. Who leaves, because ctx is done, leaves only for himself; when the last one has left, the context of the
// making is done too. An error is everybody's who waits, and is not kept.
//
// An answer that is too old by less than w.Stale is given at once, and made anew for those who ask after that.
func (c *Cache) Answer(ctx context.Context, w Want, produce Make) (Made, error) {
	if err := context.Cause(ctx); err != nil {
		return Made{}, err
	}
	now := c.now()
	if made, ok := c.find(w.Key, now.Add(-w.TTL-w.Stale)); ok {
		fresh := !made.Began.Before(now.Add(-w.TTL))
		c.count(fresh)
		if !fresh {
			c.refresh(ctx, w, produce)
		}
		return made, nil
	}
	f, first := c.board(ctx, &w, produce, true)
	if f == nil {
		return Made{}, context.Canceled
	}
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	return c.leave(ctx, f, first)
}

func (c *Cache) count(fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Hits++
	if !fresh {
		c.stats.Stale++
	}
}

// refresh has an answer made anew, unless that is under way.
func (c *Cache) refresh(ctx context.Context, w Want, produce Make) {
	w.Stale, w.TTL = w.Stale+w.TTL, 0 // what is kept will not do
	f, first := c.board(ctx, &w, produce, false)
	if !first {
		return
	}
	go func() {
		<-f.done
		made, err := c.leave(context.WithoutCancel(ctx), f, first)
		if err == nil {
			_ = made.Body.Close()
		}
	}()
}

// board joins the flight of what is wanted, or starts it. Without join, one that is under way is left alone. It is nil
// after Close.
func (c *Cache) board(ctx context.Context, w *Want, produce Make, join bool) (f *flight, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := flightKey{w.Key, c.generations[w.Group]}
	f = c.flights[key]
	switch {
	case c.closed:
		return nil, false
	case f != nil && join:
		c.stats.Coalesced++
		f.waiting++
		return f, false
	case f != nil:
		return f, false
	case join:
		c.stats.Misses++
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f = &flight{key: key, cancel: cancel, done: make(chan struct{}), waiting: 1}
	c.flights[key] = f
	c.running.Go(func() {
		made, err := c.fly(ctx, w, key.generation, produce)
		c.land(f, made, err)
	})
	return f, true
}

// fly makes an answer and keeps it. Somebody may have made it since it was looked for.
func (c *Cache) fly(ctx context.Context, w *Want, generation int, produce Make) (made Made, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
		}
	}()
	if w.TTL > 0 {
		if made, ok := c.find(w.Key, c.now().Add(-w.TTL)); ok {
			return made, nil
		}
	}
	about, body, err := produce(ctx)
	if err != nil {
		return Made{}, err
	}
	made = Made{About: about, Body: body}
	c.keep(w, generation, made)
	return made, nil
}

// land tells those who wait.
func (c *Cache) land(f *flight, made Made, err error) {
	f.cancel(context.Canceled)
	c.mu.Lock()
	defer c.mu.Unlock()
	f.made, f.err = made, err
	if c.flights[f.key] == f {
		delete(c.flights, f.key)
	}
	close(f.done)
	if f.waiting == 0 && err == nil {
		_ = made.Body.Close()
	}
}

// leave ends the waiting of one, with the answer if he is still to have it. It was made for the first who asked; if he goes
// away, for the next who gets it.
func (c *Cache) leave(ctx context.Context, f *flight, first bool) (made Made, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err = context.Cause(ctx)
	landed := false
	select {
	case <-f.done:
		landed = true
	default:
	}
	if err == nil {
		made, err = f.made, f.err
	}
	switch {
	case err == nil:
		made.Body.share()
		made.Cached = made.Cached || !first && !f.left
		f.left = false
	case first:
		f.left = true
	}
	f.waiting--
	switch {
	case f.waiting > 0:
	case landed && f.err == nil:
		_ = f.made.Body.Close()
	case !landed:
		f.cancel(context.Canceled)
		delete(c.flights, f.key)
	}
	return made, err
}

// Age is how old an answer is.
func (m Made) Age(now time.Time) time.Duration { return max(0, now.Sub(m.Began)) }
