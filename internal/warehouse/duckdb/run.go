package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// lines takes an answer line by line: first the columns, then each row.
type lines interface {
	columns([]query.Column) error
	row([]byte) error
	pause() error // the next row may take a while: let the reader have what there is
}

// runWritten runs a question as it is written.
func (i *instance) runWritten(ctx context.Context, q *question, analysis *guard.Analysis, out lines) error {
	return i.prepared(ctx, q, analysis, func(stmt *native.Stmt, _ *native.Conn) error {
		return answerWith(ctx, stmt, q, q.SQL, nil, out)
	})
}

// answerWith runs a prepared statement, whose text is given, for a question. Its columns are called by the names given,
// when there are any.
func answerWith(ctx context.Context, stmt *native.Stmt, q *question, sql string, names []native.Column, out lines) error {
	if err := bind(stmt, q); err != nil {
		return err
	}
	rows, err := stmt.Query(ctx)
	if err != nil {
		return statementProblem(err, sql)
	}
	defer rows.Close()
	if err := showIn(rows, q); err != nil {
		return err
	}
	return copyRows(ctx, rows, q, sql, names, out)
}

// prepared prepares a question's statement over what its scope lets it see, in a read-only transaction, for a function
// to use.
func (i *instance) prepared(ctx context.Context, q *question, analysis *guard.Analysis, use func(*native.Stmt, *native.Conn) error) error {
	conn, err := i.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := enterZone(ctx, conn, q); err != nil {
		return err
	}
	if err := conn.Exec(ctx, "BEGIN TRANSACTION READ ONLY"); err != nil {
		return err
	}
	datasets, err := datasetsOf(ctx, q, analysis)
	if err != nil {
		return err
	}
	if !q.Scope.Whole() || analysis.PersonID || q.TimeZone != "" {
		back, err := i.narrow(ctx, conn, q, analysis, nil)
		defer back()
		if err != nil {
			return statementProblem(err, "")
		}
	}
	back, err := i.makeDatasets(ctx, conn, q, datasets)
	defer back()
	if err != nil {
		return statementProblem(err, "")
	}
	stmt, err := conn.Prepare(q.SQL)
	if err != nil {
		return statementProblem(err, q.SQL)
	}
	defer stmt.Close()
	if !stmt.IsSelect() {
		return problem.New(problem.SQLNotAllowed, "Only SELECT statements can be run.")
	}
	return use(stmt, conn)
}

// copyRows writes the rows out, under the question's ceilings. The columns go out when the first rows are there, so that
// a statement that fails before them answers nothing but its problem.
func copyRows(ctx context.Context, rows *native.Result, q *question, sql string, names []native.Column, out lines) error {
	n, err := rows.Next(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		return statementProblem(err, sql)
	}
	columns := make([]query.Column, len(rows.Columns()))
	for i, c := range rows.Columns() {
		columns[i] = query.Column{Name: c.Name, Type: c.Type}
		if names != nil {
			columns[i].Name = names[i].Name
		}
	}
	if err := out.columns(columns); err != nil {
		return err
	}
	left := budget{rows: q.Rows, bytes: q.Bytes}
	var line []byte
	for err == nil {
		for i := range n {
			line = rows.AppendRow(line[:0], i)
			if err := left.spend(len(line)); err != nil {
				return err
			}
			if err := out.row(line); err != nil {
				return err
			}
		}
		if err := out.pause(); err != nil {
			return err
		}
		n, err = rows.Next(ctx)
	}
	if !errors.Is(err, io.EOF) {
		return statementProblem(err, sql)
	}
	return nil
}

// budget counts rows and bytes against the ceilings of a question.
type budget struct {
	rows, bytes     int64
	spent, spentRow int64
}

func (b *budget) spend(size int) error {
	b.spentRow++
	b.spent += int64(size)
	switch {
	case size > native.MaxRow:
		return problem.New(problem.ResultTooLarge, "A row of the result is larger than %d bytes.", native.MaxRow)
	case b.rows > 0 && b.spentRow > b.rows:
		return query.TooManyRows(b.rows)
	case b.bytes > 0 && b.spent > b.bytes:
		return query.TooManyBytes(b.bytes)
	}
	return nil
}

// statementProblem turns the engine's error about a statement into the caller's problem. Faults stay what they are.
func statementProblem(err error, sql string) error {
	var e *native.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case native.Statement:
		line, column, detail := guard.Where(e.Message, sql)
		var caret *problem.Caret
		if line > 0 {
			detail = fmt.Sprintf("line %d, column %d: %s", line, column, detail)
			caret = guard.Excerpt(sql, line, column)
		}
		p := problem.Wrap(err, problem.InvalidSQL, "%s", detail).At("sql", detail)
		p.Caret = caret
		return p
	case native.Memory:
		return query.TooHeavy(0) // the process that started this one knows the ceiling
	case native.Interrupted: // by a caller who is gone, or by the end of the process
		return problem.Wrap(err, problem.Unavailable, "The query was stopped.").After(time.Second)
	case native.Fault, native.Broken:
	}
	return err
}

// bind gives the statement its parameters, no more and no fewer than it has.
func bind(stmt *native.Stmt, q *question) error {
	unused := map[string]string{} // the fields of the values given, by the names of their parameters
	for i := range q.Positional {
		unused[strconv.Itoa(i+1)] = "parameters[" + strconv.Itoa(i) + "]"
	}
	for name := range q.Named {
		unused[name] = "parameters." + name
	}
	for i, name := range stmt.Parameters() {
		if name == "" {
			const gap = "positional parameters must be numbered from 1 on, without a gap"
			return problem.New(problem.InvalidSQL, gap).At("sql", gap)
		}
		value, given, field := parameter(q, name)
		if value == nil {
			return problem.Invalid(field, "the statement has this parameter, and it was not given a value")
		}
		v, err := parameterValue(value)
		if err != nil {
			return problem.Invalid(field, "%s", err)
		}
		if err := stmt.Bind(i, v); err != nil {
			return problem.Wrap(err, problem.InvalidField, "%s: the value cannot be bound", field).At(field, "cannot be bound")
		}
		delete(unused, given)
	}
	for _, name := range slices.Sorted(maps.Keys(unused)) {
		return problem.Invalid(unused[name], "the statement has no parameter %q", name)
	}
	return nil
}

// parameter finds the value for one of the statement's parameters, the name it was given under, and the field it belongs
// in. The engine takes no notice of the case of names.
func parameter(q *question, name string) (value jsontext.Value, given, field string) {
	if n, err := strconv.Atoi(name); err == nil {
		field = "parameters[" + strconv.Itoa(n-1) + "]"
		if n < 1 || n > len(q.Positional) {
			return nil, name, field
		}
		return q.Positional[n-1], name, field
	}
	if _, exact := q.Named[name]; !exact {
		for _, other := range slices.Sorted(maps.Keys(q.Named)) {
			if strings.EqualFold(other, name) {
				name = other
				break
			}
		}
	}
	return q.Named[name], name, "parameters." + name
}

// parameterValue is a JSON value as the engine takes it: whole numbers exact up to 128 bits, other numbers as DOUBLE.
func parameterValue(v jsontext.Value) (any, error) {
	switch v.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return v.Kind() == 't', nil
	case '"':
		text, err := jsontext.AppendUnquote(nil, v)
		return string(text), err
	case '0':
	default:
		return nil, errors.New("must be a string, a number, a boolean or null")
	}
	text := string(v)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if n, ok := new(big.Int).SetString(text, 10); ok && len(text) < 50 && n.BitLen() < 128 {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, errors.New("is a number too large to be bound")
	}
	return f, nil
}
