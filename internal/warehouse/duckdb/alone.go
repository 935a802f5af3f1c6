package duckdb

import (
	"context"
	"errors"
	"os"

	"github.com/weir-analytics/weir/internal/event"
)

// alone does something to the file of a space while nobody has it open: whoever uses the space is waited for, and whoever
// wants to waits. A space without a file is left as it is.
func (s *shelf) alone(ctx context.Context, space event.Space, do func(path string) error) error {
	has, err := hasFile(s.dir, space)
	if err != nil || !has {
		return err
	}
	p, err := s.reserve(ctx, space)
	if err != nil {
		return err
	}
	defer func() {
		s.mu.Lock()
		delete(s.open, space)
		s.mu.Unlock()
		close(p.gone)
	}()
	if p.instance != nil {
		p.instance.close()
	}
	return do(filePath(s.dir, space))
}

// errAlone is why a place that stands for nobody gives no instance; nobody ever sees it.
var errAlone = errors.New("duckdb: the space is being worked on")

// reserve takes a space's place for one alone, when its last user has handed it back.
func (s *shelf) reserve(ctx context.Context, space event.Space) (*place, error) {
	for {
		s.mu.Lock()
		p := s.open[space]
		if p == nil {
			p = &place{ready: make(chan struct{}), err: errAlone, gone: make(chan struct{})}
			close(p.ready)
			s.open[space] = p
			s.mu.Unlock()
			return p, nil
		}
		gone := p.gone
		var idle chan struct{}
		if gone == nil {
			p.gone, p.idle = make(chan struct{}), make(chan struct{})
			idle = p.idle
			if p.users == 0 {
				close(p.idle)
				p.idle = nil
			}
		}
		s.mu.Unlock()
		if gone != nil { // being closed, or somebody else's
			select {
			case <-gone:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		<-p.ready
		if p.err != nil { // nobody could open it, and fill has taken it away
			close(p.gone)
			return nil, p.err
		}
		select {
		case <-idle:
			return p, nil
		case <-ctx.Done():
			s.mu.Lock()
			close(p.gone) // whoever waits looks again
			p.gone, p.idle = nil, nil
			s.mu.Unlock()
			return nil, context.Cause(ctx)
		}
	}
}

// besideEnding is the end of the name of a file that is to take the place of a space's.
const besideEnding = ".rewrite"

// clearBeside removes what an earlier rewrite has left.
func clearBeside(path string) error {
	err := errors.Join(os.RemoveAll(path+besideEnding), os.RemoveAll(path+besideEnding+".wal"))
	return err
}
