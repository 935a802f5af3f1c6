package native

import (
	"context"
	"errors"
	"io"
	"math/big"
	"strings"

	b "github.com/duckdb/duckdb-go-bindings"
)

// Stmt is a prepared statement.
type Stmt struct {
	conn *Conn
	stmt b.PreparedStatement
}

// Prepare prepares one statement; a text with several is an error.
func (c *Conn) Prepare(sql string) (*Stmt, error) {
	if strings.IndexByte(sql, 0) >= 0 {
		return nil, newError("Parser Error: the text has a NUL character")
	}
	var texts b.ExtractedStatements
	defer b.DestroyExtracted(&texts)
	switch n := b.ExtractStatements(c.conn, sql, &texts); {
	case n == 0:
		if message := b.ExtractStatementsError(texts); message != "" {
			return nil, newError(message)
		}
		return nil, newError("Parser Error: the text has no statement")
	case n > 1:
		return nil, newError("Parser Error: the text has more than one statement")
	}
	s := &Stmt{conn: c}
	if b.PrepareExtractedStatement(c.conn, texts, 0, &s.stmt) == b.StateError {
		err := newError(b.PrepareError(s.stmt))
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close frees the statement.
func (s *Stmt) Close() { b.DestroyPrepare(&s.stmt) }

// IsSelect reports whether the statement only selects.
func (s *Stmt) IsSelect() bool { return b.PreparedStatementType(s.stmt) == b.StatementTypeSelect }

// Answer describes the columns that the statement's rows will have; unknown is true when that, or the type of a
// parameter, is known only when the parameters have values.
func (s *Stmt) Answer() (columns []Column, unknown bool) {
	for i := range b.PreparedStatementColumnCount(s.stmt) {
		t := b.PreparedStatementColumnLogicalType(s.stmt, i)
		id := b.GetTypeId(t)
		columns = append(columns, Column{Name: b.PreparedStatementColumnName(s.stmt, i), Type: typeName(t)})
		b.DestroyLogicalType(&t)
		unknown = unknown || id == b.TypeInvalid
	}
	return columns, unknown
}

// ParameterType is the engine's name for the type of parameter i, counted from 0; empty when it is not known before the
// parameters have values.
func (s *Stmt) ParameterType(i int) string {
	t := b.ParamLogicalType(s.stmt, b.IdxT(i+1))
	defer b.DestroyLogicalType(&t)
	if id := b.GetTypeId(t); id == b.TypeInvalid || id == b.TypeAny || id == b.TypeSQLNull {
		return ""
	}
	return typeName(t)
}

// Parameters are the names of the statement's parameters in the order of Bind; "1", "2", … for positional ones.
func (s *Stmt) Parameters() []string {
	names := make([]string, b.NParams(s.stmt))
	for i := range names {
		names[i] = b.ParameterName(s.stmt, b.IdxT(i+1))
	}
	return names
}

// Bind gives parameter i, counted from 0, a value: nil, a bool, an int64, a *big.Int within 128 bits, a float64 or a
// string.
func (s *Stmt) Bind(i int, value any) error {
	at, state := b.IdxT(i+1), b.StateError
	switch v := value.(type) {
	case nil:
		state = b.BindNull(s.stmt, at)
	case bool:
		state = b.BindBoolean(s.stmt, at, v)
	case int64:
		state = b.BindInt64(s.stmt, at, v)
	case *big.Int:
		state = b.BindHugeInt(s.stmt, at, hugeInt(v))
	case float64:
		state = b.BindDouble(s.stmt, at, v)
	case string:
		state = b.BindVarcharLength(s.stmt, at, v, b.IdxT(len(v)))
	}
	if state == b.StateError {
		return newError("Invalid Input Error: the value cannot be bound")
	}
	return nil
}

// hugeInt is v as two's complement in 128 bits.
func hugeInt(v *big.Int) b.HugeInt {
	low := new(big.Int).And(v, new(big.Int).SetUint64(^uint64(0)))
	high := new(big.Int).Rsh(v, 64)
	return b.NewHugeInt(low.Uint64(), high.Int64())
}

// Query runs the statement. Rows are made as they are read. The result must be closed before the statement.
func (s *Stmt) Query(ctx context.Context) (*Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &Result{conn: s.conn}
	var err error
	s.conn.interruptible(ctx, func() {
		var pending b.PendingResult
		defer b.DestroyPending(&pending)
		if b.PendingPreparedStreaming(s.stmt, &pending) == b.StateError {
			err = newError(b.PendingError(pending))
		} else if b.ExecutePending(pending, &r.res) == b.StateError {
			err = newError(b.ResultError(&r.res))
			b.DestroyResult(&r.res)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := r.describe(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Column is one column of a result; Type is the engine's name for its type.
type Column struct {
	Name string
	Type string
}

// Result is the rows of a statement, in blocks of about two thousand.
type Result struct {
	conn    *Conn
	res     b.Result
	columns []Column
	values  []vector
	chunk   b.DataChunk
	rows    int
}

func (r *Result) describe() error {
	n := int(b.ColumnCount(&r.res))
	r.columns, r.values = make([]Column, n), make([]vector, n)
	for i := range n {
		t := b.ColumnLogicalType(&r.res, b.IdxT(i))
		r.columns[i] = Column{Name: b.ColumnName(&r.res, b.IdxT(i)), Type: typeName(t)}
		v, err := newVector(t)
		b.DestroyLogicalType(&t)
		if err != nil {
			return newError("Binder Error: column \"" + r.columns[i].Name + "\": " + err.Error())
		}
		r.values[i] = v
	}
	return nil
}

// Columns describes the columns.
func (r *Result) Columns() []Column { return r.columns }

// Next reads the next block and says how many rows it has. It returns io.EOF after the last.
func (r *Result) Next(ctx context.Context) (int, error) {
	b.DestroyDataChunk(&r.chunk)
	r.rows = 0
	var err error
	r.conn.interruptible(ctx, func() {
		r.chunk = b.FetchChunk(r.res)
		if r.chunk.Ptr != nil {
			return
		}
		err = io.EOF
		if message := b.ResultError(&r.res); message != "" {
			err = newError(message)
		}
	})
	if err != nil {
		return 0, err
	}
	for i := range r.values {
		r.values[i].read(b.DataChunkGetVector(r.chunk, b.IdxT(i)))
	}
	r.rows = int(b.DataChunkGetSize(r.chunk))
	if r.rows == 0 {
		return 0, io.EOF
	}
	return r.rows, nil
}

// MaxRow bounds a row's JSON: lists and maps end where it is passed, so that a row longer than this is not whole.
const MaxRow = 64 << 20

// AppendRow appends one row of the block, counted from 0, to dst as a JSON array on one line.
func (r *Result) AppendRow(dst []byte, row int) []byte {
	dst = append(dst, '[')
	for i := range r.values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = r.values[i].appendJSON(dst, row)
	}
	return append(dst, ']')
}

// Each runs one statement with positional parameters and calls each for every row, when it is not nil.
func (c *Conn) Each(ctx context.Context, sql string, each func(r *Result, row int) error, args ...any) error {
	stmt, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i, arg := range args {
		if err := stmt.Bind(i, arg); err != nil {
			return err
		}
	}
	r, err := stmt.Query(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		n, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		for row := 0; err == nil && each != nil && row < n; row++ {
			err = each(r, row)
		}
		if err != nil {
			return err
		}
	}
}

// Null reports whether a value of the block is null.
func (r *Result) Null(column, row int) bool { return r.values[column].null(row) }

// Int reads a value of a column of a 64-bit integer or of microseconds; 0 when it is null.
func (r *Result) Int(column, row int) int64 {
	if r.Null(column, row) {
		return 0
	}
	return at[int64](&r.values[column], row)
}

// Text reads a value of a column of text or JSON; empty when it is null.
func (r *Result) Text(column, row int) string {
	if r.Null(column, row) {
		return ""
	}
	return string(r.values[column].bytes(row))
}

// Close frees the result and stops what still runs for it.
func (r *Result) Close() {
	b.DestroyDataChunk(&r.chunk)
	b.DestroyResult(&r.res)
}

// IsKind reports whether err is an engine's error of a kind.
func IsKind(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}
