package duckdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Run implements query.Engine. The ceiling of time covers the run and the reading of its rows, but not the wait for a
// place in the queue.
func (w *Warehouse) Run(ctx context.Context, space event.Space, st query.Statement) (query.Rows, error) {
	if err := errors.Join(checkSpace(space), scopeFault(&st)); err != nil {
		return nil, err
	}
	id := strconv.FormatUint(w.questions.Add(1), 10)
	body, err := json.Marshal(questionOf(id, space, &st))
	if err != nil {
		return nil, problem.Wrap(err, problem.InvalidField, "The parameters are not JSON values.").At("parameters", "must be JSON values")
	}
	leave, err := w.queue.enter(ctx, asker{space.Project, st.Asker})
	if err != nil {
		return nil, err
	}
	p, err := w.live(ctx)
	if err != nil {
		leave()
		return nil, err
	}
	r := begin(ctx, p, id, st.Ceilings.Time, leave)
	if err := r.open(body); err != nil {
		return nil, r.end(err)
	}
	return r, nil
}

// rows is an answer being read. It ends once: with its last line, with an error, when it is closed, when its caller's
// context is done, or when its time is over.
type rows struct {
	process *process
	id      string
	ctx     context.Context // the caller's, with the ceiling of time
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	leave   func() // gives back the place in the queue

	http    *http.Response
	lines   *bufio.Reader
	line    []byte
	columns []query.Column
	err     error // why there are no more rows

	once sync.Once
}

func begin(ctx context.Context, p *process, id string, limit time.Duration, leave func()) *rows {
	r := &rows{process: p, id: id, leave: leave}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	if limit > 0 {
		r.timer = time.AfterFunc(limit, func() {
			r.cancel(query.TooSlow(limit))
		})
	}
	p.begin()
	context.AfterFunc(r.ctx, func() { r.settle(false) })
	return r
}

// open sends the question and reads the columns.
func (r *rows) open(body []byte) error {
	var err error
	if r.http, err = r.process.send(r.ctx, pathRun, body); err != nil { //nolint:bodyclose // end closes it
		return r.broken(err)
	}
	r.lines = bufio.NewReaderSize(r.http.Body, 64<<10)
	line, err := r.readLine()
	if err != nil {
		return r.broken(err)
	}
	if r.http.StatusCode != http.StatusOK {
		return readFailure(line)
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		return fmt.Errorf("duckdb: the query process answered %.200q", line)
	}
	r.columns = h.Columns
	return nil
}

// Columns implements query.Rows.
func (r *rows) Columns() []query.Column { return r.columns }

// Next implements query.Rows.
func (r *rows) Next() (jsontext.Value, error) {
	if r.err != nil {
		return nil, r.err
	}
	if r.ctx.Err() != nil {
		return nil, r.end(context.Cause(r.ctx))
	}
	line, err := r.readLine()
	switch {
	case err != nil:
		return nil, r.end(r.broken(err))
	case line[0] == '[':
		return jsontext.Value(line), nil
	case string(line) == end:
		return nil, r.end(io.EOF)
	}
	return nil, r.end(readFailure(line))
}

// Close implements query.Rows.
func (r *rows) Close() error {
	if r.err == nil {
		_ = r.end(errClosed)
	}
	return nil
}

var errClosed = errors.New("duckdb: the rows are closed")

// readLine reads a line, which is not empty, without its end.
func (r *rows) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		part, err := r.lines.ReadSlice('\n')
		if err == nil && len(r.line) == 0 && len(part) > 1 {
			return part[:len(part)-1], nil
		}
		r.line = append(r.line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(r.line) > 0 && r.http.StatusCode != http.StatusOK:
			return r.line, nil // a failure alone has no line end
		case err != nil:
			return nil, err
		case len(r.line) > 1:
			return r.line[:len(r.line)-1], nil
		default:
			return nil, errors.New("an empty line")
		}
	}
}

// broken finds out why the answer broke off.
func (r *rows) broken(err error) error {
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return r.process.broken(err)
}

// end notes why there are no more rows, and frees what the answer holds. An answer the process has ended itself, whole
// or with a failure, needs no more settling.
func (r *rows) end(err error) error {
	r.err = err
	var a answered
	whole := errors.Is(err, io.EOF) || errors.As(err, &a)
	if a.error != nil {
		r.err = a.error
		if problem.Of(r.err) == problem.QueryTooHeavy {
			r.err = query.TooHeavy(r.process.memory)
		}
	}
	if whole { // read to the end, so that the connection can be used again
		_, _ = io.Copy(io.Discard, r.lines)
	}
	r.settle(whole)
	r.cancel(errClosed)
	if r.http != nil {
		_ = r.http.Body.Close()
	}
	return r.err
}

// settle gives back the place in the queue when the process has really done with the statement. It tells the process
// to stop a statement whose answer is not whole, and kills the process when the statement does not stop: some do not
// notice.
func (r *rows) settle(whole bool) {
	r.once.Do(func() {
		if r.timer != nil {
			r.timer.Stop()
		}
		if whole || isClosed(r.process.dead) {
			r.free()
			return
		}
		go func() {
			defer r.free()
			ctx, cancel := context.WithTimeout(context.Background(), grace)
			defer cancel()
			if r.process.call(ctx, pathCancel+"?id="+r.id, nil, nil) == nil {
				return
			}
			select {
			case <-r.process.dead:
			case <-ctx.Done():
				r.process.kill("a statement did not stop")
				<-r.process.dead
			}
		}()
	})
}

func (r *rows) free() {
	r.process.finish()
	r.leave()
}
