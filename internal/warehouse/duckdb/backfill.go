package duckdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// promotion says when properties become columns, and counts what that comes to. All files share one; a nil one, or one
// of no columns, is never.
type promotion struct {
	most  int   // columns of a file
	asks  int   // statements that ask for a property before it becomes one
	rows  int64 // that a file must have
	pause time.Duration
	slow  time.Duration // a statement takes at least so long to count; 0: all count
	every time.Duration // at most one new column of a file
	log   *slog.Logger

	columns atomic.Int64 // of the open files
	spent   atomic.Int64 // nanoseconds of filling
}

// The standard values: below enoughRows, JSON is read in some hundredths of a second.
const (
	standardColumns = 32
	enoughAsks      = 3
	enoughRows      = 100_000
	betweenSlices   = 20 * time.Millisecond
	slowEnough      = 20 * time.Millisecond // to read the JSON of enoughRows; what reads none, such as LIMIT 0, does not come to it
	betweenColumns  = time.Minute
)

// standardPromotion is that of a server's files. When they need not have enough rows, as in tests, columns are made at
// once.
func standardPromotion(most int, rows int64, log *slog.Logger) *promotion {
	p := &promotion{most: most, asks: enoughAsks, rows: rows, pause: betweenSlices, slow: slowEnough, every: betweenColumns, log: log}
	if rows < enoughRows {
		p.slow, p.every = 0, 0
	}
	return p
}

// Limits of filling behind everything else: rows of one transaction, and properties whose askers are counted.
const (
	sliceRows  = 100_000
	maxCounted = 1000
)

// A column is given up for another property when so many statements have asked for properties since it was last read.
const idleAsks = 100

// promoter counts what is asked for of one file, and makes the columns, one after the other.
type promoter struct {
	*promotion
	life context.Context
	stop context.CancelFunc
	over sync.WaitGroup

	mu      sync.Mutex
	asked   map[property]int
	used    map[property]int // the clock when it was last asked for, of those in held
	clock   int              // statements that asked for properties
	running bool
	failed  bool              // columns cannot be made in this file
	held    map[property]bool // that have columns, filled or not, and whether these have misfits; a hint
	counted int               // of columns, in promotion.columns
}

func newPromoter(p *promotion) *promoter {
	if p == nil {
		p = &promotion{}
	}
	out := &promoter{promotion: p, asked: map[property]int{}, used: map[property]int{}, held: map[property]bool{}}
	out.life, out.stop = context.WithCancel(context.Background())
	return out
}

// promising reports whether some of what a statement asks for may have a column.
func (p *promoter) promising(asked []guard.Property) bool {
	if len(asked) == 0 || p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range asked {
		_, cast := p.held[property{a.Path, a.Kind}]
		if _, text := p.held[property{path: a.Path}]; cast || text {
			return true
		}
	}
	return false
}

// know takes note of the columns there are.
func (p *promoter) know(all []column) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = map[property]bool{}
	for _, c := range all {
		p.held[c.property] = c.misfits
	}
	maps.DeleteFunc(p.used, func(known property, _ int) bool {
		_, held := p.held[known]
		return !held
	})
	for _, c := range all {
		if _, known := p.used[c.property]; !known {
			p.used[c.property] = p.clock // a new one is as if it was read just now
		}
	}
	p.columns.Add(int64(len(all) - p.counted))
	p.counted = len(all)
}

// resume gives up what columns there are too many, and goes on filling those that are not filled.
func (i *instance) resume(ctx context.Context) error {
	conn, err := i.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Each(ctx, "DELETE FROM store.promoted WHERE name NOT IN (SELECT name FROM store.promoted ORDER BY done < until, length(name), name LIMIT $1)",
		nil, int64(i.promoter.most)); err != nil {
		return err
	}
	all, err := readColumns(ctx, conn)
	if err != nil {
		return err
	}
	i.promoter.know(all)
	if slices.ContainsFunc(all, func(c column) bool { return !c.filled() }) {
		i.promoter.mu.Lock()
		i.promoter.begin(i)
		i.promoter.mu.Unlock()
	}
	return nil
}

// timed does something for a statement that asks for properties, and reports whether it took long.
func (p *promoter) timed(ctx context.Context, db *native.DB, asked []guard.Property, do func() error) (slow bool, err error) {
	if p == nil || p.most == 0 || len(asked) == 0 || p.slow == 0 {
		return true, do()
	}
	conn, err := db.Connect()
	if err != nil {
		return false, err
	}
	defer conn.Close()
	var began, ended int64
	if err := engineTime(ctx, conn, &began); err != nil {
		return false, err
	}
	if err := do(); err != nil {
		return false, err
	}
	fault := engineTime(ctx, conn, &ended) // that of a clock is no fault of the answer that is given by now
	return fault == nil && time.Duration(ended-began)*time.Microsecond >= p.slow, nil
}

// noteAsked counts what a statement asked for, when it could be answered and was slow, and has columns made when it was
// often enough. A statement that costs little would gain nothing, and may be anybody's; that it reads a column counts.
func (i *instance) noteAsked(q *question, asked []guard.Property, slow bool, err error) {
	p := i.promoter
	if len(asked) == 0 || err != nil || p == nil || p.most == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if slow {
		p.clock++
	}
	due := false
	once := map[property]bool{}
	for _, a := range asked {
		wanted := property{a.Path, a.Kind}
		if a.Strict && (p.held[wanted] || !q.Scope.Whole()) {
			wanted.kind = "" // misfits are for the cast to fail for, and what a scope hides is not asked for them
		}
		if once[wanted] {
			continue
		}
		once[wanted] = true
		if len(p.asked) >= maxCounted {
			clear(p.asked)
		}
		if _, held := p.held[wanted]; held {
			p.used[wanted] = p.clock
		} else if slow {
			p.asked[wanted]++
			due = due || p.asked[wanted] >= p.asks
		}
	}
	if due {
		p.begin(i)
	}
}

// begin starts to make what columns are due, unless that is under way. The caller holds p.mu.
func (p *promoter) begin(i *instance) {
	if p.running || p.failed || p.life.Err() != nil {
		return
	}
	p.running = true
	p.over.Go(func() {
		err := i.promote(p.life)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.running = false
		if err != nil && p.life.Err() == nil {
			p.failed = true // until the file is opened again
			p.log.Warn("properties do not become columns", "space", i.space, "error", err)
		}
	})
}

// end stops what is under way, and returns when it has stopped.
func (p *promoter) end() {
	p.mu.Lock()
	p.stop()
	p.mu.Unlock()
	p.over.Wait()
	p.know(nil)
}

// next is the property that most statements asked for, of those that enough did; it is counted anew.
func (p *promoter) next() (next property, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	most := 0
	for wanted, n := range p.asked {
		if n >= p.asks && (n > most || n == most && wanted.path+wanted.kind < next.path+next.kind) {
			next, most = wanted, n
		}
	}
	delete(p.asked, next)
	return next, most > 0
}

// promote fills the columns that are not filled, and makes those that are due.
func (i *instance) promote(ctx context.Context) error {
	conn, err := i.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	var next *time.Timer // runs out when the next column may be made
	for {
		all, err := readColumns(ctx, conn)
		if err != nil {
			return err
		}
		i.promoter.know(all)
		for _, c := range all {
			if !c.filled() {
				if err := i.backfill(ctx, conn, c); err != nil {
					return err
				}
			}
		}
		if next != nil { // also when none is due: it may be in a moment
			select {
			case <-next.C:
			case <-ctx.Done():
				next.Stop()
				return context.Cause(ctx)
			}
		}
		enough, err := i.manyRows(ctx, conn)
		if err != nil || !enough {
			return err
		}
		wanted, ok := i.promoter.next()
		if !ok {
			return nil
		}
		if err := i.addColumn(ctx, conn, wanted); err != nil {
			return err
		}
		next = time.NewTimer(i.promoter.every)
	}
}

func (i *instance) manyRows(ctx context.Context, conn *native.Conn) (many bool, err error) {
	err = conn.Each(ctx, "SELECT estimated_size FROM duckdb_tables() WHERE schema_name = 'store' AND table_name = 'event'", func(r *native.Result, row int) error {
		many = r.Int(0, row) >= i.promoter.rows
		return nil
	})
	return many, err
}

// addColumn makes a column, without a value in it, or gives one to another property. No load is under way meanwhile.
func (i *instance) addColumn(ctx context.Context, conn *native.Conn, wanted property) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	all, err := readColumns(ctx, conn)
	if err != nil {
		return err
	}
	var sql strings.Builder
	sql.WriteString("BEGIN;")
	if len(all) >= i.promoter.most {
		idle, ok := i.promoter.idle(all)
		if !ok {
			return nil
		}
		sql.WriteString("DELETE FROM store.promoted WHERE name = " + literal(idle.name) + ";")
	}
	given, made, err := freeColumn(ctx, conn, all, wanted.columnType())
	if err != nil {
		return err
	}
	if !made {
		sql.WriteString("ALTER TABLE store.event ADD COLUMN " + given + " " + wanted.columnType() + ";")
	}
	fmt.Fprintf(&sql, "DELETE FROM store.misfit WHERE name = %[1]s; INSERT INTO store.promoted SELECT %[1]s, %s, %s, position, 0 FROM store.state; COMMIT",
		literal(given), literal(wanted.path), literal(wanted.kind))
	if err := conn.Exec(ctx, sql.String()); err != nil {
		_ = conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		return err
	}
	return nil
}

// idle is the column that was not read for longest, if that is long enough to give it up.
func (p *promoter) idle(all []column) (idle column, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	oldest := p.clock - idleAsks
	for _, c := range all {
		if last := p.used[c.property]; last < oldest {
			idle, oldest, ok = c, last, true
		}
	}
	return idle, ok
}

// freeColumn is a column of a type that the table has and nothing uses, or the name of one that it has not.
func freeColumn(ctx context.Context, conn *native.Conn, all []column, kind string) (name string, made bool, err error) {
	taken := map[string]bool{}
	for _, c := range all {
		taken[c.name] = true
	}
	last := 0
	err = conn.Each(ctx, "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'store' AND table_name = 'event'", func(r *native.Result, row int) error {
		number, ours := strings.CutPrefix(r.Text(0, row), columnPrefix)
		if n, err := strconv.Atoi(number); err == nil {
			last = max(last, n)
		}
		if ours && !taken[r.Text(0, row)] && r.Text(1, row) == kind {
			name, made = strings.Clone(r.Text(0, row)), true
		}
		return nil
	})
	if !made {
		name = columnPrefix + strconv.Itoa(last+1)
	}
	return name, made, err
}

// backfill fills a column for the rows that were there before it, slice by slice, each in a transaction of its own with
// how far it has come. What is killed on the way goes on there.
func (i *instance) backfill(ctx context.Context, conn *native.Conn, c column) error {
	width := event.Position(sliceRows)
	for c.done < c.until {
		to := min(c.done+width, c.until)
		rows, took, err := timedSlice(ctx, conn, c, to)
		i.promoter.spent.Add(int64(took))
		if errors.Is(err, errUnreadable) {
			i.mu.Lock()
			err = errors.Join(err, i.demote(context.WithoutCancel(ctx)))
			i.mu.Unlock()
		}
		if err != nil {
			return err
		}
		c.done = to
		if rows < sliceRows/2 { // positions have gaps: other files' records are between
			width *= 2
		} else if rows > sliceRows {
			width = max(width/2, 1)
		}
		pause := time.NewTimer(i.promoter.pause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		}
	}
	_ = conn.Exec(ctx, "CHECKPOINT") // or at a later one: what is filled is read from memory until then
	return nil
}

// engineTime reads the engine's clock, in microseconds.
func engineTime(ctx context.Context, conn *native.Conn, into *int64) error {
	return conn.Each(ctx, "SELECT epoch_us(get_current_timestamp())", func(r *native.Result, row int) error {
		*into = r.Int(0, row)
		return nil
	})
}

// timedSlice is backfillSlice, and how long it took.
func timedSlice(ctx context.Context, conn *native.Conn, c column, to event.Position) (rows int64, took time.Duration, err error) {
	var began, ended int64
	if err = engineTime(ctx, conn, &began); err != nil {
		return 0, 0, err
	}
	if rows, err = backfillSlice(ctx, conn, c, to); err != nil {
		return 0, 0, err
	}
	err = engineTime(ctx, conn, &ended)
	return rows, max(time.Duration(ended-began)*time.Microsecond, 0), err
}

func backfillSlice(ctx context.Context, conn *native.Conn, c column, to event.Position) (rows int64, err error) {
	where := fmt.Sprintf("position > %d AND position <= %d", c.done, to)
	err = conn.Exec(ctx, "BEGIN")
	if err == nil {
		err = fill(ctx, conn, []column{c}, where)
	}
	if err == nil {
		err = conn.Each(ctx, "SELECT count(*) FROM store.event WHERE "+where, func(r *native.Result, row int) error {
			rows = r.Int(0, row)
			return nil
		})
	}
	if err == nil {
		err = conn.Each(ctx, "UPDATE store.promoted SET done = $1 WHERE name = $2", nil, int64(to), c.name)
	}
	if err == nil {
		err = conn.Exec(context.WithoutCancel(ctx), "COMMIT")
	}
	if err != nil {
		_ = conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return rows, err
}
