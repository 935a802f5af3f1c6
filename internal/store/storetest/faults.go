package storetest

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
)

// ErrFault is the error of a call that was made to fail.
var ErrFault = errors.New("storetest: this call was made to fail")

// Failure is how a call to the database fails.
type Failure int

// A call can go well, fail without having done anything, or do its work and lose the reply.
const (
	Well Failure = iota
	Before
	LostReply
)

// Faults stands between database/sql and a driver, and makes calls fail. Calls are counted from 1, from the last Plan
// on: connecting, preparing, executing, querying, reading a row, beginning and committing each are one.
type Faults struct {
	mu    sync.Mutex
	plan  func(call int) Failure
	calls int
}

// Plan says from now on how each call goes; nil is well.
func (f *Faults) Plan(plan func(call int) Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan, f.calls = plan, 0
}

// Calls is how many calls there were since the last Plan.
func (f *Faults) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Wrap is for Open.
func (f *Faults) Wrap(c driver.Connector) driver.Connector { return connector{c, f} }

func (f *Faults) next() Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.plan == nil {
		return Well
	}
	return f.plan(f.calls)
}

// call runs one call that may fail. undo takes back what a call did whose reply is lost, where the driver's user could
// not do so for want of the reply.
func call[T any](f *Faults, do func() (T, error), undo func(T)) (T, error) {
	var none T
	how := f.next()
	if how == Before {
		return none, ErrFault
	}
	done, err := do()
	if err != nil || how == Well {
		return done, err
	}
	undo(done)
	return none, ErrFault
}

type connector struct {
	driver.Connector
	faults *Faults
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	return call(c.faults, func() (driver.Conn, error) {
		inner, err := c.Connector.Connect(ctx)
		return &conn{inner, c.faults}, err
	}, func(c driver.Conn) { _ = c.Close() })
}

// conn wraps a connection of a driver that knows contexts, as every engine's does.
type conn struct {
	driver.Conn
	faults *Faults
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return call(c.faults, func() (driver.Stmt, error) {
		inner, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
		return &stmt{inner, c.faults}, err
	}, func(s driver.Stmt) { _ = s.Close() })
}

func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	return call(c.faults, func() (driver.Tx, error) {
		inner, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
		return &tx{inner, c.faults}, err
	}, func(t driver.Tx) { _ = t.Rollback() })
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return call(c.faults, func() (driver.Result, error) {
		return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
	}, func(driver.Result) {})
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return call(c.faults, func() (driver.Rows, error) {
		inner, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return &rows{inner, c.faults}, err
	}, func(r driver.Rows) { _ = r.Close() })
}

func (c *conn) ResetSession(ctx context.Context) error {
	if inner, ok := c.Conn.(driver.SessionResetter); ok {
		return inner.ResetSession(ctx)
	}
	return nil
}

func (c *conn) IsValid() bool {
	inner, ok := c.Conn.(driver.Validator)
	return !ok || inner.IsValid()
}

func (c *conn) CheckNamedValue(value *driver.NamedValue) error {
	if inner, ok := c.Conn.(driver.NamedValueChecker); ok {
		return inner.CheckNamedValue(value)
	}
	return driver.ErrSkip
}

type stmt struct {
	driver.Stmt
	faults *Faults
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return call(s.faults, func() (driver.Result, error) {
		return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	}, func(driver.Result) {})
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return call(s.faults, func() (driver.Rows, error) {
		inner, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
		return &rows{inner, s.faults}, err
	}, func(r driver.Rows) { _ = r.Close() })
}

type rows struct {
	driver.Rows
	faults *Faults
}

// Next fails when a row is read, and not at the end of the rows.
func (r *rows) Next(into []driver.Value) error {
	err := r.Rows.Next(into)
	if err != io.EOF && r.faults.next() != Well {
		return ErrFault
	}
	return err
}

type tx struct {
	driver.Tx
	faults *Faults
}

func (t *tx) Commit() error {
	switch t.faults.next() {
	case Before:
		return errors.Join(ErrFault, t.Tx.Rollback())
	case LostReply:
		return errors.Join(t.Tx.Commit(), ErrFault)
	default:
		return t.Tx.Commit()
	}
}
