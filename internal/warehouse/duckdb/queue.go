package duckdb

import (
	"context"
	"slices"
	"sync"

	"github.com/weir-analytics/weir/internal/query"
)

// asker is who asks a question: a key of a project.
type asker struct {
	project string
	key     string
}

// ceilings are how many questions may run at a time, and how many may wait.
type ceilings struct {
	running    int // of all
	perProject int
	perKey     int
	waiting    int // of all
}

// queue lets a number of questions run at a time, and a number wait.
//
// A place that comes free goes to the projects that wait in turn, one question each; within a project, to the question
// that has waited longest. Questions whose project or key has as many running as it may let the others pass. When too
// many wait, those who take most of the room give way: the youngest question of the project that has most waiting, and
// in it of the key that has most. So a project, or a key, that asks a thousand questions at once delays another's
// question by one question at most, and never keeps it out.
type queue struct {
	ceilings ceilings

	mu      sync.Mutex
	running map[asker]int
	busy    int              // all that run
	line    []*waiter        // all that wait, the longest waiting first
	turns   map[string]int64 // when each project that waits had its last turn, by a count
	turn    int64
}

// waiter is a question that waits.
type waiter struct {
	asker
	over chan struct{} // closed when it may run, or is turned away
	err  error         // why it is turned away; read when over is closed
}

func newQueue(c ceilings) *queue {
	return &queue{ceilings: c, running: map[asker]int{}, turns: map[string]int64{}}
}

// enter takes a place, waiting for one. It answers query_queue_full when too many wait already. The function gives the
// place back.
func (q *queue) enter(ctx context.Context, who asker) (leave func(), err error) {
	q.mu.Lock()
	if q.may(who) {
		q.start(who)
		q.mu.Unlock()
		return func() { q.leave(who) }, nil
	}
	w := q.wait(who)
	q.mu.Unlock()
	select {
	case <-w.over:
	case <-ctx.Done():
		q.mu.Lock()
		defer q.mu.Unlock()
		if !isClosed(w.over) {
			q.remove(w)
			return nil, context.Cause(ctx)
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	return func() { q.leave(who) }, nil
}

// counts are how many run and how many wait.
func (q *queue) counts() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.busy, len(q.line)
}

// may reports whether a question may run now.
func (q *queue) may(who asker) bool {
	if q.busy >= q.ceilings.running || q.running[who] >= q.ceilings.perKey {
		return false
	}
	ofProject := 0
	for other, n := range q.running {
		if other.project == who.project {
			ofProject += n
		}
	}
	return ofProject < q.ceilings.perProject
}

func (q *queue) start(who asker) {
	q.busy++
	q.running[who]++
}

func (q *queue) leave(who asker) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy--
	if q.running[who]--; q.running[who] == 0 {
		delete(q.running, who)
	}
	for {
		next := q.next()
		if next == nil {
			return
		}
		q.remove(next)
		q.turn++
		if _, waits := q.turns[next.project]; waits {
			q.turns[next.project] = q.turn
		}
		q.start(next.asker)
		close(next.over)
	}
}

// next is the question that runs next; nil when none may. Of those that have waited longest in their project, it is the
// one whose project had its turn longest ago.
func (q *queue) next() *waiter {
	var next *waiter
	for _, w := range q.line {
		if (next == nil || q.turns[w.project] < q.turns[next.project]) && q.may(w.asker) {
			next = w
		}
	}
	return next
}

// wait puts a question in the line, and turns one away when there are too many.
func (q *queue) wait(who asker) *waiter {
	w := &waiter{asker: who, over: make(chan struct{})}
	q.line = append(q.line, w)
	if _, waits := q.turns[who.project]; !waits {
		q.turn++
		q.turns[who.project] = q.turn // behind those that wait already
	}
	if len(q.line) > q.ceilings.waiting {
		away := q.widest()
		away.err = query.TooManyWaiting(q.busy, q.ceilings.waiting)
		q.remove(away)
		close(away.over)
	}
	return w
}

// widest is the question that gives way when one has come too many: the youngest of the key that has most waiting, of
// those of the project that has most. Where several have as many, it is that of the one who came last.
func (q *queue) widest() *waiter {
	last := q.line[len(q.line)-1]
	projects, keys := map[string]int{}, map[asker]int{}
	for _, w := range q.line {
		projects[w.project]++
		keys[w.asker]++
	}
	widest := last
	for _, w := range q.line {
		switch more := projects[w.project] - projects[widest.project]; {
		case more > 0:
			widest = w
		case w.project != widest.project:
		case keys[w.asker] > keys[widest.asker], w.asker == widest.asker:
			widest = w
		}
	}
	return widest
}

// remove takes a question out of the line.
func (q *queue) remove(w *waiter) {
	q.line = slices.DeleteFunc(q.line, func(other *waiter) bool { return other == w })
	if !slices.ContainsFunc(q.line, func(other *waiter) bool { return other.project == w.project }) {
		delete(q.turns, w.project)
	}
}
