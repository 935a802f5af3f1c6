// Package problem owns everything that can go wrong for a caller: the catalogue of problems, one row each, and the
// error value that carries a problem from where it is found to the one place that writes it.
//
// A problem is presented as RFC 9457 problem details. The catalogue row is the help page, the type URI and the status;
// an Error adds what is particular to one occurrence. Whatever is not an *Error is an internal fault: its text goes to
// the log and never to the caller.
//
// The package does not own writing answers (package api does) and knows nothing of HTTP but its status numbers.
package problem

import (
	"bytes"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Field names one input at fault and says what is wrong with it. Name is a path in the caller's own terms:
// "scopes[2]", "body.properties", "query.limit", "header.Authorization".
type Field struct {
	Name   string `json:"field" doc:"The input at fault, as a path in the request." example:"scopes[0]"`
	Detail string `json:"detail" doc:"What is wrong with it." example:"unknown scope"`
}

// Error is one occurrence of a problem. Detail is for the caller, the cause for the log.
type Error struct {
	Code       Code
	Detail     string
	Fields     []Field
	RetryAfter time.Duration // zero: not stated
	Scope      string        // the scope that was missing, for missing_scope (RFC 6750 section 3)
	DecisionID string        // the ledger entry of a denial, when there is one
	Violated   []string      // the policies that were violated, for rate_limited
	Caret      *Caret        // where in a statement it is; nil: it is not known, or there is none
	Ceiling    *Ceiling      // the ceiling that was passed; nil: none was
	Items      []Item        // of a batch of several items of which none was accepted: what is wrong with each
	cause      error
}

// Caret is a place in a text, both counted from 1 and columns in characters. Excerpt is a part of its line, and below it
// a caret under the place.
type Caret struct {
	Line, Column int
	Excerpt      string
}

// Ceiling is what was to be kept under: the name of the setting that raises it, and its value.
type Ceiling struct {
	Name  string
	Limit int64
}

// Item is what is wrong with one item of a batch.
type Item struct {
	Index   int
	Problem *Error
}

// New returns a problem whose detail is made with fmt.Sprintf.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Wrap returns a problem that hides cause from the caller and keeps it for the log.
func Wrap(cause error, code Code, format string, args ...any) *Error {
	e := New(code, format, args...)
	e.cause = cause
	return e
}

// Invalid returns an invalid_field problem for one field.
func Invalid(field, format string, args ...any) *Error {
	detail := fmt.Sprintf(format, args...)
	return New(InvalidField, "%s: %s", field, detail).At(field, detail)
}

// At adds a field at fault and returns the same error.
func (e *Error) At(field, detail string) *Error {
	e.Fields = append(e.Fields, Field{Name: field, Detail: detail})
	return e
}

// After states when a retry makes sense and returns the same error.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Over names the ceiling that was passed and returns the same error.
func (e *Error) Over(ceiling string, limit int64) *Error {
	e.Ceiling = &Ceiling{ceiling, limit}
	return e
}

// Status is the HTTP status of the problem's catalogue row.
func (e *Error) Status() int { return e.Code.Row().Status }

// Error is the text for the log: the code, the detail and the cause.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Detail)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is a problem with the same code, so that errors.Is(err, problem.New(problem.NotFound, ""))
// asks for the kind of problem and not for its words.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

// From gives the problem in err's chain. An error without one is an internal fault and comes back as such, with err as
// its cause.
func From(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Wrap(err, Internal, "Something went wrong on our side. The request id finds it in the server's log.")
}

// Of is the code of the problem in err's chain; Internal for an error without one, and empty for nil.
func Of(err error) Code {
	if err == nil {
		return ""
	}
	return From(err).Code
}

// Place says where in a text a byte offset is, with the line and the column in characters, both from 1:
// " at byte 12 (line 2, column 3)".
func Place(text []byte, offset int64) string {
	before := text[:max(0, min(int(offset), len(text)))]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf(" at byte %d (line %d, column %d)", offset, line, column)
}
