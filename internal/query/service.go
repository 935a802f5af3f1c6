package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/cache"
	"github.com/weir-analytics/weir/internal/view"
)

// Config is what a Service is made of. A zero limit is the default.
type Config struct {
	Engine Engine
	Now    func() time.Time

	// Scope says what a permit's holder may see. Nil is the permit's view, without a key of hashes: see Seen.
	Scope func(gate.Permit) (view.Scope, error)

	// Datasets gives the datasets that a permit's holder may read in a statement, as package dataset does. Nil is none.
	Datasets Datasets

	// Cache keeps the answers of questions that allow it. Nil is one that keeps 64 MiB in memory and nothing on disk.
	Cache *cache.Cache

	Time        time.Duration // a question may take; 30 s
	Rows        int64         // an answer may have; 100,000
	Bytes       int64         // an answer may have, both as rows of JSON and as it is written; 64 MiB
	Prices      Prices        // of answers; the standard ones
	SpoolMemory int           // bytes of an answer that are kept in memory, before it goes to a file; 1 MiB
	TempDir     string        // where such files lie; the system's folder for temporary files
}

// Service answers questions. It may be used from many goroutines.
type Service struct {
	engine   Engine
	now      func() time.Time
	scope    func(gate.Permit) (view.Scope, error)
	datasets Datasets
	named    *nameList
	ceilings Ceilings
	prices   Prices
	cache    *cache.Cache
	memory   int
	tempDir  string
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Scope == nil {
		cfg.Scope = Seen(nil)
	}
	if cfg.Cache == nil {
		cfg.Cache, _ = cache.Open(cache.Config{Memory: 64 << 20, Now: cfg.Now}) // only a folder can be at fault
	}
	return &Service{
		cache:    cfg.Cache,
		engine:   cfg.Engine,
		now:      cfg.Now,
		scope:    cfg.Scope,
		datasets: cfg.Datasets,
		named:    newNameList(),
		ceilings: Ceilings{
			Time:  cmp.Or(cfg.Time, 30*time.Second),
			Rows:  cmp.Or(cfg.Rows, 100_000),
			Bytes: cmp.Or(cfg.Bytes, 64<<20),
		},
		prices:  cfg.Prices.orStandard(),
		memory:  cmp.Or(cfg.SpoolMemory, 1<<20),
		tempDir: cfg.TempDir,
	}
}

// Facts says what a question would read, without reading it. It refuses what Ask would refuse without running it.
//
// Problems: invalid_field, invalid_sql, sql_not_allowed, query_timeout, unavailable.
func (s *Service) Facts(ctx context.Context, q Question) (Facts, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	_, facts, err := s.prepare(ctx, q)
	return facts, fault(ctx, err)
}

// Ask runs a question over what the permit's holder may see of its environment. The answer is complete: status and
// ceilings are decided before its first byte is sent. It must be closed.
//
// Problems: those of Facts, result_too_large, query_too_heavy.
func (s *Service) Ask(ctx context.Context, permit gate.Permit, q Question) (*Answer, error) {
	switch kept, err := q.keeping(); {
	case err != nil:
		return nil, err
	case kept.ttl > 0:
		return s.askKept(ctx, permit, q, kept)
	}
	start := s.now()
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	space, st, err := s.statement(ctx, permit, q)
	if err != nil {
		return nil, fault(ctx, err)
	}
	more, err := s.scanned(ctx, space, &st)
	if err != nil {
		return nil, fault(ctx, err)
	}
	rows, err := s.engine.Run(ctx, space, st)
	if err != nil {
		return nil, s.costing(ctx, space, &st, fault(ctx, err), more)
	}
	defer func() { _ = rows.Close() }() // whatever it says, the answer is complete or has failed by then
	answer, err := s.write(ctx, q, rows, start)
	if err != nil {
		return nil, s.costing(ctx, space, &st, fault(ctx, err), more)
	}
	answer.Credits += more
	return answer, nil
}

// Describe says what Ask would answer, without running anything. The question's parameters need no values.
//
// Problems: those of Facts.
func (s *Service) Describe(ctx context.Context, permit gate.Permit, q Question) (Description, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	q.Parameters = nil
	space, st, err := s.sighted(permit)
	if err == nil {
		err = checkSQL(q.SQL)
	}
	if err != nil {
		return Description{}, err
	}
	if st.TimeZone, err = q.zone(); err != nil {
		return Description{}, err
	}
	st.SQL = q.SQL
	if st.Scope, err = s.withNamed(ctx, permit, st.Scope, q.SQL); err != nil {
		return Description{}, fault(ctx, err)
	}
	d, err := s.engine.Describe(ctx, space, st)
	return d, fault(ctx, err)
}

// Schema lists the tables of events and persons and the columns of them that the permit's holder may see.
func (s *Service) Schema(permit gate.Permit) ([]view.Table, error) {
	scope, err := s.scope(permit)
	if err != nil {
		return nil, err
	}
	return view.Schema(scope), nil
}

// statement makes a question a statement that is ready to run in the permit's space.
func (s *Service) statement(ctx context.Context, permit gate.Permit, q Question) (event.Space, Statement, error) {
	space, sighted, err := s.sighted(permit)
	if err != nil {
		return space, sighted, err
	}
	st, facts, err := s.prepare(ctx, q)
	st.Scope, st.Asker = sighted.Scope, sighted.Asker
	if err == nil {
		st.Scope, err = s.with(ctx, permit, st.Scope, datasetsAmong(facts.Tables))
	}
	return space, st, err
}

// sighted is the space of a permit, and a statement without words that sees what the permit's holder may see.
func (s *Service) sighted(permit gate.Permit) (event.Space, Statement, error) {
	space, err := spaceOf(permit)
	if err != nil {
		return space, Statement{}, err
	}
	scope, err := s.scope(permit)
	return space, Statement{Scope: scope, Asker: permit.Key().ID, Ceilings: s.ceilings}, err
}

// prepare checks a question and makes it a statement that is ready to run.
func (s *Service) prepare(ctx context.Context, q Question) (Statement, Facts, error) {
	if err := checkSQL(q.SQL); err != nil {
		return Statement{}, Facts{}, err
	}
	if _, err := ParseFormat(string(q.Format)); err != nil {
		return Statement{}, Facts{}, err
	}
	at, err := q.zone()
	if err != nil {
		return Statement{}, Facts{}, err
	}
	p, err := readParameters(q.Parameters)
	if err != nil {
		return Statement{}, Facts{}, err
	}
	facts, err := s.engine.Analyze(ctx, q.SQL)
	if err != nil {
		return Statement{}, Facts{}, err
	}
	if err := p.match(facts.Parameters); err != nil {
		return Statement{}, Facts{}, err
	}
	return Statement{SQL: q.SQL, Positional: p.positional, Named: p.named, Ceilings: s.ceilings, TimeZone: at}, facts, nil
}

// write takes the rows in. When it fails, nothing is left of them.
func (s *Service) write(ctx context.Context, q Question, rows Rows, start time.Time) (*Answer, error) {
	format := cmp.Or(q.Format, JSON)
	out := &spool{memory: s.memory, limit: s.ceilings.Bytes, dir: s.tempDir}
	answer := &Answer{ContentType: format.ContentType(), Packed: format == Parquet, body: out}
	enc, err := newEncoder(format, out, rows.Columns(), q.Spreadsheet)
	if err == nil {
		answer.Rows, err = s.copyRows(ctx, enc, rows, q.Part)
	}
	if err == nil {
		answer.Elapsed = s.now().Sub(start)
		err = enc.end(answer.Rows, answer.Elapsed)
	}
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	answer.Size = out.size
	answer.Credits = s.prices.of(answer)
	return answer, nil
}

// copyRows writes the rows of a part and counts them, under ceilings that the engine should have kept already.
func (s *Service) copyRows(ctx context.Context, enc encoder, rows Rows, part *Part) (int64, error) {
	var n, read, size int64
	for ; ; read++ {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		in, behind := part.has(read)
		if behind {
			return n, nil
		}
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		size += int64(len(row))
		switch {
		case read == s.ceilings.Rows:
			return n, TooManyRows(s.ceilings.Rows)
		case size > s.ceilings.Bytes:
			return n, TooManyBytes(s.ceilings.Bytes)
		case !in:
			continue
		}
		if err := enc.row(row); err != nil {
			return n, err
		}
		n++
	}
}

// deadline puts the ceiling of time on ctx.
func (s *Service) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.ceilings.Time, TooSlow(s.ceilings.Time))
}

// fault gives an error its place: a problem is the caller's to read; an error after the ceiling of time is that
// ceiling; anything else is an internal fault.
func fault(ctx context.Context, err error) error {
	var p *problem.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p):
		return p
	case errors.As(context.Cause(ctx), &p):
		return p
	}
	return fmt.Errorf("query: %w", err)
}

// spaceOf is the space that a permit opens.
func spaceOf(permit gate.Permit) (event.Space, error) {
	space := event.Space{Project: permit.Project(), Environment: permit.Environment()}
	if space.Environment == "" {
		return space, errors.New("query: the permit is not for one environment")
	}
	return space, nil
}
