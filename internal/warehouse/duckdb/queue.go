package duckdb

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/weir-analytics/weir/internal/problem"
)

// queue lets a number of queries run at a time and a number wait.
type queue struct {
	slots   chan struct{}
	waiting atomic.Int64
	most    int64 // that may wait
}

func newQueue(running, waiting int) *queue {
	return &queue{slots: make(chan struct{}, running), most: int64(waiting)}
}

// enter takes a slot, waiting for one. It answers query_queue_full when too many wait already.
func (q *queue) enter(ctx context.Context) error {
	select {
	case q.slots <- struct{}{}:
		return nil
	default:
	}
	defer q.waiting.Add(-1)
	if q.waiting.Add(1) > q.most {
		return problem.New(problem.QueryQueueFull, "%d queries are running and %d are waiting, as many as allowed.", cap(q.slots), q.most).
			After(time.Second)
	}
	select {
	case q.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (q *queue) leave() { <-q.slots }
