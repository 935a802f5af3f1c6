package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// stillEvery is how often it is asked whether a long answer is still allowed, and how long one that is not has for ending
// by itself.
const stillEvery = 250 * time.Millisecond

// watched is what a request and its watch share.
type watched struct {
	mu    sync.Mutex
	begun bool // the answer is being sent
}

// watch ends a request whose key is revoked, narrowed or expires while it is being answered: its context is done then,
// with the problem as its cause, and an answer that goes on all the same is broken off. The function it gives ends the
// watch, and nothing happens to the connection after that: the next request on it may be somebody else's.
func (a *API) watch(rq *request, permit gate.Permit, attempt access.Attempt) (stop func()) {
	ctx, cancel := context.WithCancelCause(rq.ctx())
	rq.r = rq.r.WithContext(ctx)
	stopped, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(stillEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := a.cfg.Gate.Watch(permit, attempt); err != nil {
				rq.end(cancel, err)
				select {
				case <-stopped:
				case <-tick.C:
					rq.breakOff()
				}
				return
			}
		}
	}()
	return func() {
		close(stopped)
		cancel(context.Canceled)
		<-over
	}
}

// end is the watch's verdict.
func (rq *request) end(cancel context.CancelCauseFunc, err error) {
	rq.watched.mu.Lock()
	defer rq.watched.mu.Unlock()
	cancel(err)
}

// begin is called before the first byte of an answer. The error is the watch's verdict, if there is one: then the answer
// must not be given.
func (rq *request) begin(long bool) error {
	if !long {
		return nil
	}
	rq.watched.mu.Lock()
	defer rq.watched.mu.Unlock()
	if err := rq.interrupted(nil); err != nil {
		return err
	}
	rq.watched.begun = true
	return nil
}

// breakOff ends an answer that somebody is slow to take.
func (rq *request) breakOff() {
	rq.watched.mu.Lock()
	defer rq.watched.mu.Unlock()
	if rq.watched.begun {
		_ = http.NewResponseController(&rq.reply).SetWriteDeadline(time.Unix(1, 0))
	}
}

// interrupted is the reason why a request was ended, if it was, and else the error that it ended with.
func (rq *request) interrupted(err error) error {
	if p, ok := errors.AsType[*problem.Error](context.Cause(rq.ctx())); ok {
		return p
	}
	return err
}
