package shell

import (
	"context"
	"io"

	"github.com/weir-analytics/weir/internal/query/complete"
	"github.com/weir-analytics/weir/internal/view"
)

// Column is a column of an answer.
type Column = view.Column

// Question is what is asked of the server.
type Question struct {
	SQL         string
	Environment string // empty: the first one that the key may use
	Format      string // json, ndjson, csv or parquet
}

// Server answers questions, with the caller's key.
type Server interface {
	// Ask gives the answer in the format that was asked for. It must be closed. What the server says against the
	// question is a *Refusal.
	Ask(ctx context.Context, q Question) (io.ReadCloser, error)
	// Tables lists what may be asked about in an environment. An error means that the server does not say.
	Tables(ctx context.Context, environment string) ([]view.Table, error)
	// Complete suggests how a statement goes on at a place, in characters. An error means that the server does not say.
	Complete(ctx context.Context, environment, sql string, position int) ([]complete.Suggestion, error)
}

// Refusal is a problem that the server answered.
type Refusal struct {
	Code      string // such as invalid_sql
	Detail    string
	Reference string // the request or the decision, to ask about
}

// Error says what the server said.
func (r *Refusal) Error() string { return r.Detail + " (" + r.Code + ", " + r.Reference + ")" }
