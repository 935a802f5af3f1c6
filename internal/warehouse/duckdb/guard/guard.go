// Package guard decides whether a stranger's SQL may reach the warehouse. It is the first two layers of the sandbox:
//
//	text --bounds--> text --the engine's own parser--> tree --walk--> Analysis
//
// Layer 1 parses with DuckDB itself, in an empty instance that is locked: no second grammar can disagree with the one
// that will run the statement. Layer 2 walks the tree against an allow-list of node kinds, members, types, tables and
// functions. What the walk does not know, it refuses: an upgrade of the engine can take statements away and cannot let
// new ones in.
//
// The runner must use the engine's default parser (no parser extensions, the default integer_division), and must run
// the very text that was analyzed. The package does not own what tables hold and who sees them (the runner's views), nor
// ceilings of time and memory: a statement it lets through may still be slow.
//
// Problems: invalid_field (over a limit of text), invalid_sql (the parser's errors), sql_not_allowed.
package guard

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// parsers is how many statements are parsed at the same time; the others wait.
const parsers = 2

// locked are the settings of the instance that parses. It has no tables, reads no files, loads no extensions and
// cannot be set to anything else.
const locked = "enable_external_access=false" +
	"&autoload_known_extensions=false" +
	"&autoinstall_known_extensions=false" +
	"&allow_community_extensions=false" +
	"&threads=1" +
	"&memory_limit=64MB" +
	"&lock_configuration=true"

// Guard analyzes statements. It is safe for concurrent use.
type Guard struct {
	db        *sql.DB
	parse     *sql.Stmt
	functions *functions
	grammar   *grammar
}

// Analysis is what an allowed statement does.
type Analysis struct {
	Facts  query.Facts
	Reads  map[string]int // how often each of the tables is named
	Bounds []Bounds

	Properties []Property // in the order of the text
	PersonID   bool       // it may ask whose an event is

	guard *Guard
	text  string
	root  *value
	stars []star
}

// New opens the locked, empty in-memory instance that parses. Close releases it.
func New() (*Guard, error) {
	functions, err := readFunctions(functionTable)
	if err != nil {
		return nil, fmt.Errorf("read the table of functions: %w", err)
	}
	connector, err := duckdb.NewConnector("?"+locked, nil)
	if err != nil {
		return nil, fmt.Errorf("open the parsing instance: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(parsers)
	db.SetMaxIdleConns(parsers)
	parse, err := db.PrepareContext(context.Background(), "SELECT json_serialize_sql($1::VARCHAR)::VARCHAR")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the parsing statement: %w", err), db.Close())
	}
	return &Guard{db: db, parse: parse, functions: functions, grammar: newGrammar()}, nil
}

// Close releases the parsing instance. Analyze fails afterwards.
func (g *Guard) Close() error {
	return errors.Join(g.parse.Close(), g.db.Close())
}

// Analyze parses a statement and refuses whatever is not a single SELECT made of allowed parts, over the tables that
// view.Tables names. Nothing is run. Parsing is bounded by the limits on text and cannot be interrupted: ctx ends the
// wait for a free parser.
func (g *Guard) Analyze(ctx context.Context, text string) (Analysis, error) {
	return g.AnalyzeIn(ctx, text, view.Scope{})
}

// AnalyzeOpen is Analyze for a statement of which it is not known yet what it may see: it may name any dataset that there
// could be. It is no leave to run the statement, which takes AnalyzeIn.
func (g *Guard) AnalyzeOpen(ctx context.Context, text string) (Analysis, error) {
	if err := checkText(text); err != nil {
		return Analysis{}, err
	}
	root, err := g.parseTree(ctx, text)
	if err != nil {
		return Analysis{}, err
	}
	return g.walkOver(text, root, view.Scope{}, view.ValidDataset)
}

// AnalyzeIn is Analyze for a statement that sees a scope only: tables outside it are not there, and what would tell of
// the rows outside it is refused.
func (g *Guard) AnalyzeIn(ctx context.Context, text string, scope view.Scope) (Analysis, error) {
	if err := checkText(text); err != nil {
		return Analysis{}, err
	}
	root, err := g.parseTree(ctx, text)
	if err != nil {
		return Analysis{}, err
	}
	return g.walk(text, root, scope)
}

// Inside analyzes the statement that a table of an analyzed one stands for.
func (a *Analysis) Inside(ctx context.Context, text string, scope view.Scope) (Analysis, error) {
	return a.guard.AnalyzeIn(ctx, text, scope)
}

// parseTree is the tree that the engine's parser makes of a text.
func (g *Guard) parseTree(ctx context.Context, text string) (*value, error) {
	var serialized string
	if err := g.parse.QueryRowContext(ctx, text).Scan(&serialized); err != nil {
		var fault *duckdb.Error
		if errors.As(err, &fault) && fault.Type == duckdb.ErrorTypeOutOfMemory {
			return nil, tooManyParts()
		}
		return nil, fmt.Errorf("parse a statement: %w", err)
	}
	root, err := readTree(serialized)
	if err != nil {
		return nil, err
	}
	if root.get("error").kind != 'f' {
		return nil, parserProblem(text, root)
	}
	return root, nil
}
