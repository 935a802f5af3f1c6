// Package query owns questions: taking a statement, finding what it reads, running it inside what the permit reaches,
// under ceilings of time, rows and bytes, writing the answer as JSON, NDJSON, CSV, Parquet or Arrow, and keeping it for
// who asks the same again.
//
// It declares the Engine it stands on. It does not own who may ask (access, gate), nor how a statement is parsed: the
// engine that will run it does that, so that no second grammar can disagree with it.
package query

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/view"
)

// Engine runs statements over the events of one space. Its methods answer problems: invalid_sql, sql_not_allowed,
// invalid_field (parameters), result_too_large, query_too_heavy, query_timeout, unavailable.
type Engine interface {
	// Analyze parses a statement and refuses whatever is not a single read-only SELECT made of allowed parts. Nothing
	// is run and no data is read.
	Analyze(ctx context.Context, sql string) (Facts, error)
	// Run analyzes the statement again, and runs it over what its scope lets it see of the space. The relations it can
	// name are view.Tables, those that the scope has, and nothing else is there. A space that has no events yet has empty
	// tables. The rows must be closed.
	Run(ctx context.Context, space event.Space, st Statement) (Rows, error)
	// Describe says what Run would answer, without running anything. It refuses what Run would refuse before it reads
	// the first row. Parameters need no values.
	Describe(ctx context.Context, space event.Space, st Statement) (Description, error)
}

// Facts are what the engine's parser found in a statement.
type Facts struct {
	Tables     []string // the relations it reads, each once, in order of appearance
	Parameters []string // the names of its parameters; "1", "2", … for positional ones
}

// Statement is a question ready to run. Parameters are bound, never pasted: Positional for $1 or ?, Named for $name.
// Each is a JSON null, boolean, number or string.
type Statement struct {
	SQL        string
	Positional []jsontext.Value
	Named      map[string]jsontext.Value
	Scope      view.Scope
	Ceilings   Ceilings

	// TimeZone is the IANA zone of the clocks that the statement reads; empty: UTC. With one, the times of the tables are
	// instants with a zone, what is cut to days and hours is cut there, and instants are shown with the zone's offset.
	TimeZone string

	Asker string // who asks, within the space's project: a key's id. Engines share what there is among askers.
}

// Description is what is known of a statement before it runs.
type Description struct {
	Tables     []string    // the relations it reads
	Parameters []Parameter // in the order of Facts
	Columns    []Column    // of its answer; none when that depends on the values of the parameters
	// Rows is about how many stored rows it would have the engine look at, counting a table each time it is read.
	// It is Untold when the scope hides rows, since it would tell how many.
	Rows int64
}

// Untold is a number that the asker may not know.
const Untold = -1

// Parameter is a parameter of a statement. Type is the engine's name for what it must be; empty when any will do.
type Parameter struct {
	Name string `json:"name" doc:"The parameter's name; 1, 2, … for positional ones." example:"1"`
	Type string `json:"type,omitempty" doc:"The engine's type for it, when the statement settles it." example:"TIMESTAMP"`
}

// Ceilings bound one run. A zero is no ceiling.
type Ceilings struct {
	Time  time.Duration // over it: query_timeout
	Rows  int64         // over it: result_too_large
	Bytes int64         // of the rows as JSON; over it: result_too_large
}

// Column is one column of an answer.
type Column = view.Column

// Rows are an answer on its way. Each row is a JSON array with a value per column, in the form that Weir documents:
// integers and decimals exact, as JSON numbers (those beyond 2^53 too); timestamps as RFC 3339 strings in UTC with
// microseconds, or, of a statement with a time zone, instants with the zone's offset where that is of whole minutes; dates as YYYY-MM-DD; JSON columns as the JSON they hold; blobs as base64; infinities and NaN as null.
type Rows interface {
	Columns() []Column
	// Next gives the next row, valid until the next call, and io.EOF after the last. A ceiling passed half-way is an
	// error here.
	Next() (jsontext.Value, error)
	Close() error
}
