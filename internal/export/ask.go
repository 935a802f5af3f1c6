package export

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// Ask is what somebody wants to take out.
type Ask struct {
	Of          string         `json:"of"`               // events, persons or dataset
	Dataset     string         `json:"dataset,omitzero"` // its name
	Where       jsontext.Value `json:"where,omitzero"`   // of a table: conditions, all of which hold, as those of a view are written
	Filter      string         `json:"filter,omitzero"`  // of a dataset: as its reading takes it
	Columns     []string       `json:"columns,omitzero"` // in order; empty: all
	Format      query.Format   `json:"format"`
	Compression Compression    `json:"compression"`
	Spreadsheet bool           `json:"spreadsheet,omitzero"` // of CSV: as query.Question has it
	Limit       int64          `json:"limit,omitzero"`       // rows at the most; 0: all
}

// Compression is how a file is packed. A Parquet file is packed inside.
type Compression string

// The compressions.
const (
	None Compression = "none"
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// What can be taken out.
const (
	Events    = "events"
	Persons   = "persons"
	OfDataset = "dataset"
)

// maxColumns bounds what is named of a table.
const maxColumns = 1000

// about is what the job is about.
func (a *Ask) about() string {
	if a.Of == OfDataset {
		return a.Dataset
	}
	return a.Of
}

// check refuses what does not fit together, and completes the rest.
func (a *Ask) check() error {
	if a.Format == "" {
		a.Format = query.NDJSON
	}
	if a.Compression == "" {
		a.Compression = None
	}
	switch {
	case !slices.Contains([]string{Events, Persons, OfDataset}, a.Of):
		return problem.Invalid("of", "must be events, persons or dataset")
	case a.Of == OfDataset && a.Dataset == "":
		return problem.Invalid("dataset", "is required: the dataset to take out")
	case a.Of != OfDataset && a.Dataset != "":
		return problem.Invalid("dataset", "names the dataset of an export of one, and of nothing else")
	case a.Of == OfDataset && len(a.Where) > 0:
		return problem.Invalid("where", "is about events and persons: of a dataset, give a filter")
	case a.Of != OfDataset && a.Filter != "":
		return problem.Invalid("filter", "is about a dataset: of events and persons, say where")
	case !slices.Contains([]query.Format{query.NDJSON, query.CSV, query.Parquet}, a.Format):
		return problem.Invalid("format", "must be ndjson, csv or parquet")
	case !slices.Contains([]Compression{None, Gzip, Zstd}, a.Compression):
		return problem.Invalid("compression", "must be none, gzip or zstd")
	case a.Format == query.Parquet && a.Compression != None:
		return problem.Invalid("compression", "must be none for parquet, which is packed inside")
	case a.Spreadsheet && a.Format != query.CSV:
		return problem.Invalid("spreadsheet", "is for csv")
	case a.Limit < 0:
		return problem.Invalid("limit", "must be at least 1")
	case len(a.Columns) > maxColumns:
		return problem.Invalid("columns", "must be at most %d", maxColumns)
	}
	for i, name := range a.Columns {
		if slices.Contains(a.Columns[:i], name) {
			return problem.Invalid("columns["+strconv.Itoa(i)+"]", "is there twice")
		}
	}
	return nil
}

// specOf checks an ask against what the permit's holder sees.
func (s *Service) specOf(permit gate.Permit, a Ask, of *dataset.Dataset) (spec, error) {
	if err := a.check(); err != nil {
		return spec{}, err
	}
	sp := spec{Ask: a, Seen: viewText(permit.View()), View: jsontext.Value("null")}
	if permit.Key().Kind == access.Token && !person(permit) {
		sp.Until = permit.Key().ExpiresAt
	}
	if a.Of == OfDataset {
		if of == nil || of.Revision == 0 || of.Project != permit.Project() || of.Environment != permit.Environment() || of.ID != a.Dataset {
			return spec{}, problem.New(problem.NotFound, "There is no dataset of that name.")
		}
		sp.UID, sp.Class = of.UID, of.Class
		if _, err := of.Filter(a.Filter); err != nil {
			return spec{}, renamed(err, "query.filter", "filter")
		}
		return sp, sp.fits(of.Schema.Columns(), "the dataset")
	}
	narrowed, err := a.narrow(permit.View())
	if err != nil {
		return spec{}, err
	}
	sp.View = viewText(narrowed)
	scope, err := s.cfg.Sight(permit.Project(), narrowed)
	if err != nil {
		return spec{}, err
	}
	if err := scope.Ready(); err != nil {
		return spec{}, renamed(err, a.Of+".where", "where")
	}
	visible := view.Schema(scope)
	i := slices.IndexFunc(visible, func(t view.Table) bool { return t.Name == a.Of })
	if i < 0 {
		return spec{}, problem.Invalid("of", "is a table that the key may not see")
	}
	return sp, sp.fits(visible[i].Columns, a.Of)
}

// person reports whether a member asks: what they may have does not end with the token that they ask with.
func person(permit gate.Permit) bool { return permit.Key().Root().Kind == access.Member }

// fits refuses columns that are not there, and those that no file can be of.
func (sp *spec) fits(columns []query.Column, of string) error {
	for i, name := range sp.Columns {
		at := slices.IndexFunc(columns, func(c query.Column) bool { return c.Name == name })
		if at >= 0 {
			sp.Types = append(sp.Types, columns[at].Type)
		} else {
			return problem.Invalid("columns["+strconv.Itoa(i)+"]", "is not a column of %s that the key may see", of)
		}
	}
	if len(columns) == 0 {
		return problem.Invalid("of", "has no columns")
	}
	if len(sp.Columns) == 0 {
		for _, c := range columns {
			sp.Columns, sp.Types = append(sp.Columns, c.Name), append(sp.Types, c.Type)
		}
	}
	return nil
}

// narrow is what a view and the conditions let through together. A condition on what the view hides would tell what it
// holds.
func (a *Ask) narrow(seen *access.View) (*access.View, error) {
	if len(a.Where) == 0 {
		return seen, nil
	}
	if a.Where.Kind() != '[' || !a.Where.IsValid() {
		return nil, problem.Invalid("where", "must be an array of conditions")
	}
	scope := []byte(`{"events":{},"persons":{}}`) // both: how persons are narrowed says whom events show
	scope = []byte(strings.Replace(string(scope), `"`+a.Of+`":{}`, `"`+a.Of+`":{"where":`+string(a.Where)+`}`, 1))
	conditions, err := view.Read(scope, "")
	if err != nil {
		return nil, renamed(err, a.Of+".where", "where")
	}
	if len(conditions.Unbound) > 0 {
		return nil, problem.Invalid("where", "has a variable, which has no value here")
	}
	narrowed := conditions.And(seen)
	if !narrowed.Within(seen) {
		return nil, problem.Invalid("where", "is about what the key may not see")
	}
	return narrowed, nil
}

// renamed is a problem whose fields begin otherwise.
func renamed(err error, from, to string) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return fmt.Errorf("export: %w", err)
	}
	renamed := *p
	renamed.Fields = slices.Clone(p.Fields)
	for i := range renamed.Fields {
		if rest, ok := strings.CutPrefix(renamed.Fields[i].Name, from); ok {
			renamed.Fields[i].Name = to + rest
		}
	}
	if rest, ok := strings.CutPrefix(p.Detail, from); ok {
		renamed.Detail = to + rest
	}
	return &renamed
}

// statement is what is run over a table: the names are of its own columns.
func (sp *spec) statement() string {
	var text strings.Builder
	text.WriteString("SELECT ")
	for i, name := range sp.Columns {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(`"` + strings.ReplaceAll(name, `"`, `""`) + `"`)
	}
	text.WriteString(" FROM " + sp.Of)
	if sp.Limit > 0 {
		text.WriteString(" LIMIT " + strconv.FormatInt(sp.Limit, 10))
	}
	return text.String()
}
