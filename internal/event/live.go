package event

import (
	"context"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// The bounds of following events as they come. A project may have as many followers as it leaves places free: half of
// all when it is alone, and less the more projects follow, so that one always leaves room for the others.
const (
	maxFollowers = 256  // at once
	maxOfKey     = 64   // of one key, and what it derives
	followBuffer = 1024 // events a follower may lag behind; more than the largest batch has
	followAgain  = 10 * time.Second
)

// Live hands events that have just become durable to those who follow them. The zero Live is ready.
type Live struct {
	mu        sync.Mutex
	followers map[*follower]struct{}
}

type follower struct {
	space  Space
	key    string // whose limits the holder is charged to
	events chan Event
}

// Follow gives the track events of the permit's environment as they become durable, until ctx is done. The channel is
// closed then, and also when the follower lags too far behind: what it missed is in the warehouse.
//
// Problems: unavailable when there are too many followers, or the project or the key has its share.
func (l *Live) Follow(ctx context.Context, permit gate.Permit) (<-chan Event, error) {
	key, _ := permit.Accounts()
	f := &follower{space: Space{permit.Project(), permit.Environment()}, key: key.ID, events: make(chan Event, followBuffer)}
	l.mu.Lock()
	defer l.mu.Unlock()
	has, ofKey := l.of(f)
	if ofKey >= maxOfKey {
		return nil, problem.New(problem.Unavailable, "The key has %d event streams, as many as it may.", ofKey).After(followAgain)
	}
	if free := maxFollowers - len(l.followers); has >= free {
		return nil, problem.New(problem.Unavailable, "There are too many event streams; this project has %d of them.", has).After(followAgain)
	}
	if l.followers == nil {
		l.followers = map[*follower]struct{}{}
	}
	l.followers[f] = struct{}{}
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.drop(f)
	})
	return f.events, nil
}

// Followers is how many follow now.
func (l *Live) Followers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.followers)
}

// of counts the followers of a follower's project, and of its key. The caller holds the lock.
func (l *Live) of(f *follower) (project, key int) {
	for other := range l.followers {
		if other.space.Project != f.space.Project {
			continue
		}
		project++
		if other.key == f.key {
			key++
		}
	}
	return project, key
}

// publish never waits for a follower.
func (l *Live) publish(events []*Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.followers {
		if !f.offer(events) {
			l.drop(f)
		}
	}
}

// offer reports false when the follower has no room.
func (f *follower) offer(events []*Event) bool {
	for _, e := range events {
		if e.Kind != Track || e.Project != f.space.Project || e.Environment != f.space.Environment {
			continue
		}
		select {
		case f.events <- *e:
		default:
			return false
		}
	}
	return true
}

// drop ends a follower, once. The caller holds the lock.
func (l *Live) drop(f *follower) {
	if _, ok := l.followers[f]; ok {
		delete(l.followers, f)
		close(f.events)
	}
}
