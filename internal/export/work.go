package export

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// The paces of the work.
const (
	stillEvery = 250 * time.Millisecond // how often it is asked whether the key may still have it
	tellEvery  = 1000                   // rows between two words of how far it is
	tries      = 20                     // it is begun anew so often when the warehouse is started again, or has no place
	pause      = 500 * time.Millisecond
	aside      = 1 // credits that are set aside when an export is asked for
)

// making is an export while it is made.
type making struct {
	s       *Service
	run     *job.Run
	job     job.Job
	of      space
	spec    spec
	seen    *access.View
	asker   Asker
	known   bool // the asker is
	written int64
}

// Work is the work of exports: it writes the file, anew when it was interrupted.
func (s *Service) Work(ctx context.Context, run *job.Run) (err error) {
	m := &making{s: s, run: run, job: run.Job()}
	m.of = space{m.job.Project, m.job.Environment}
	if err := json.Unmarshal(m.job.Spec, &m.spec); err != nil {
		return err
	}
	if m.seen, err = readView(m.spec.Seen); err != nil {
		return err
	}
	m.asker, m.known = s.asker(m.job.ID)
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer m.watch(work, cancel)()
	r, err := m.make(work)
	if cause := context.Cause(work); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	run.Result(text)
	return err
}

// price is what an export comes to, before it is charged and after: with it the file is the same price when it is written anew.
type price struct {
	Credits int64 `json:"credits"`
	Paid    bool  `json:"paid,omitzero"`
}

// Price is what exports cost.
func Price() job.Price { return job.Price{Action: access.WriteExports, Of: credits} }

// credits is what the job of an export that is over came to. One that failed costs what was set aside, or nothing when it was our
// fault; one that was cancelled does as well.
func credits(j job.Job) int64 {
	var p price
	if len(j.Place) > 0 && json.Unmarshal(j.Place, &p) == nil && (p.Paid || j.State == job.Succeeded) {
		return p.Credits
	}
	if j.State == job.Failed && problem.New(j.Code, "").Status() >= http.StatusInternalServerError {
		return 0
	}
	return aside
}

// watch ends the work when its key may not have it done any more. The function ends the watch.
func (m *making) watch(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(stillEvery)
		defer tick.Stop()
		for {
			if err := m.unbroken(); err != nil {
				cancel(err)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		end()
		<-over
	}
}

// unbroken is still where nobody is there to take a panic.
func (m *making) unbroken() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("export: whether it may go on is not known: %v\n%s", p, debug.Stack())
		}
	}()
	return m.still()
}

// still is nil while whoever asked may have it. Of one who asked before the program was started, there is the key.
func (m *making) still() error {
	if m.known && m.asker.Still != nil {
		return m.asker.Still()
	}
	lookup, ok := access.LookupOf(m.job.KeyID)
	if !ok {
		return nil // whoever holds the data folder
	}
	entry, found := m.s.cfg.Keys.Lookup(lookup)
	now := m.s.cfg.Now()
	target := access.Target{Environment: m.job.Environment, Dataset: m.spec.Dataset, Class: m.spec.Class, Right: access.ReadRecords}
	over := !m.spec.Until.IsZero() && !now.Before(m.spec.Until)
	if over || !found || !access.StillExports(entry.Key, &target, m.seen, now) {
		return problem.New(problem.KeyNotAccepted, "The key that asked for the export may not have it any more.")
	}
	return nil
}

// make makes the file, again when something that passes was in the way.
func (m *making) make(ctx context.Context) (result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, m.s.cfg.Time, problem.New(problem.QueryTimeout,
		"The export was stopped after %v, the longest one may take. Whoever runs the server can raise it with the setting %s.", m.s.cfg.Time, timeCeiling).
		Over(timeCeiling, m.s.cfg.Time.Milliseconds()))
	defer cancel()
	wait := time.NewTicker(pause)
	defer wait.Stop()
	for try := 1; ; try++ {
		r, done, err := m.once(ctx)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
		passing := problem.Of(err) == problem.Unavailable || problem.Of(err) == problem.QueryQueueFull
		if done || err != nil && (!passing || try == tries || ctx.Err() != nil) {
			return r, err
		}
		select {
		case <-wait.C:
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
	}
}

// once makes the file. It is not done when data of the space was deleted meanwhile.
func (m *making) once(ctx context.Context) (r result, done bool, err error) {
	m.s.mu.Lock()
	forgot := m.s.age(m.of, m.spec.UID)
	m.s.mu.Unlock()
	m.written = 0
	k, err := m.s.create(m.of, m.job.ID, &m.spec)
	if err != nil {
		return r, false, err
	}
	if err = m.rows(ctx, k); err == nil {
		err = k.whole()
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return r, false, errors.Join(err, k.abandon())
	}
	r = result{Rows: m.written, Bytes: k.size, Digest: k.sum()}
	m.s.mu.Lock()
	stale := m.s.age(m.of, m.spec.UID) != forgot
	m.s.mu.Unlock()
	if stale {
		return r, false, k.abandon()
	}
	if err := m.pay(&r); err != nil {
		return r, false, errors.Join(err, k.abandon())
	}
	done, err = k.keep(forgot)
	return r, done, err
}

// pay charges what the export came to, once. The price is kept before.
func (m *making) pay(r *result) error {
	p := price{Credits: m.s.cfg.Prices.Of(r.Rows, r.Bytes)}
	if m.spec.Of == OfDataset {
		p.Credits = max(aside, r.Rows*dataset.Credits(m.spec.Class))
	}
	if len(m.job.Place) > 0 { // it was written before
		if err := json.Unmarshal(m.job.Place, &p); err != nil {
			return err
		}
	}
	r.Credits = p.Credits
	if p.Paid {
		return nil
	}
	if err := m.keep(p); err != nil {
		return err
	}
	if err := m.run.Charge(p.Credits); err != nil {
		return err
	}
	p.Paid = true
	return m.keep(p)
}

// keep keeps the price.
func (m *making) keep(p price) (err error) {
	if m.job.Place, err = json.Marshal(p); err != nil {
		return err
	}
	return m.run.Keep(job.Progress{Done: m.written, Good: m.written}, m.job.Place)
}

// rows writes the rows to a file.
func (m *making) rows(ctx context.Context, k *sink) error {
	if m.spec.Of == OfDataset {
		return m.records(ctx, k)
	}
	narrowed, err := readView(m.spec.View)
	if err != nil {
		return err
	}
	scope, err := m.s.cfg.Sight(m.of.project, narrowed)
	if err != nil {
		return err
	}
	var w *query.Writer
	walk := query.Walk{
		Space: event.Space{Project: m.of.project, Environment: m.of.environment}, Scope: scope, Asker: m.job.KeyID, SQL: m.spec.statement(),
	}
	err = m.s.cfg.Rows.Walk(ctx, walk, func(columns []query.Column) (err error) {
		w, err = query.NewWriter(m.spec.Format, k, columns, m.spec.Spreadsheet)
		return err
	}, func(row jsontext.Value) error {
		if err := w.Row(row); err != nil {
			return err
		}
		return m.told()
	})
	if err == nil {
		err = w.End(m.written)
	}
	return err
}

// told counts a row, and says from time to time how far it is.
func (m *making) told() error {
	m.written++
	if m.written%tellEvery != 0 {
		return nil
	}
	return m.run.Tell(job.Progress{Done: m.written, Good: m.written})
}

var errEnough = errors.New("export: there are as many rows as are wanted")

// records writes the records of a dataset to a file.
func (m *making) records(ctx context.Context, k *sink) error {
	columns := make([]query.Column, len(m.spec.Columns))
	for i, name := range m.spec.Columns {
		columns[i] = query.Column{Name: name, Type: m.spec.Types[i]}
	}
	w, err := query.NewWriter(m.spec.Format, k, columns, m.spec.Spreadsheet)
	if err != nil {
		return err
	}
	var row jsontext.Value
	at := dataset.Walked{Project: m.of.project, Environment: m.of.environment, ID: m.spec.Dataset, UID: m.spec.UID}
	if err := m.sameClass(ctx, at); err != nil {
		return err
	}
	err = m.s.cfg.Datasets.Walk(ctx, at, m.spec.Filter, func(r *dataset.Record) (err error) {
		if m.spec.Limit > 0 && m.written == m.spec.Limit {
			return errEnough
		}
		if row, err = r.Row(row[:0], m.spec.Columns); err != nil {
			return err
		}
		if err := w.Row(row); err != nil {
			return err
		}
		return errors.Join(m.told(), ctx.Err())
	})
	if err == nil || errors.Is(err, errEnough) {
		err = errors.Join(w.End(m.written), m.sameClass(ctx, at))
	}
	return err
}

// sameClass is nil while the dataset has the class that it had when the export was asked for: who may have it, and what its
// records cost, was decided by that.
func (m *making) sameClass(ctx context.Context, at dataset.Walked) error {
	class, there, err := m.s.cfg.Datasets.Class(ctx, at)
	if err == nil && there && class != m.spec.Class {
		err = problem.New(problem.Conflict, "The class of the dataset %s was changed since the export was asked for. Export again.", m.spec.Dataset)
	}
	return err
}
