package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// A dataset may be made by a statement of SQL: its records are the answer, whenever they are asked for. Whoever asks runs the
// statement with their own rights, and so needs those, and sees in it what they may see. No records of its own are kept.

// Statements asks statements of SQL, as package query does.
type Statements interface {
	// Named lists the datasets that a statement names.
	Named(ctx context.Context, sql string) ([]string, error)
	// Columns are those of the answer to a statement without parameters, which is not run.
	Columns(ctx context.Context, permit gate.Permit, sql string) ([]view.Column, error)
	// Rows runs a statement of ours over the datasets of the permit's holder, and gives each row. The credits are for records
	// of the class premium that it may have looked at.
	Rows(ctx context.Context, permit gate.Permit, sql string, named map[string]jsontext.Value, most int64, each func([]jsontext.Value) error) (credits int64, err error)
}

// The limits on statements of datasets.
const (
	MaxStatement = 16 << 10 // bytes
	maxDepth     = 4        // statements in one another
)

// ownRecords refuses what is done to records of a dataset that has none of its own.
func (d *Dataset) ownRecords() error {
	if d.SQL == "" {
		return nil
	}
	return problem.Invalid("path.dataset", "is made by a statement and has no records of its own")
}

// checkStatement checks the statement of a dataset that is about to be kept, in the name of whoever keeps it, and fills in
// the schema if there is none. It must be one that the permit's holder may run.
func (s *Service) checkStatement(ctx context.Context, permit gate.Permit, id string, d *Dataset, infer bool) error {
	switch {
	case s.cfg.Statements == nil:
		return problem.Invalid("sql", "is not to be had here")
	case strings.TrimSpace(d.SQL) == "" || len(d.SQL) > MaxStatement:
		return problem.Invalid("sql", "must be a statement of at most %d bytes", MaxStatement)
	}
	if err := permit.Asking(); err != nil {
		return err
	}
	columns, err := s.cfg.Statements.Columns(ctx, permit, d.SQL)
	if err != nil {
		return wrongStatement(err, "sql", "")
	}
	seen := map[string]bool{}
	for _, c := range columns {
		if folded := strings.ToLower(c.Name); seen[folded] || strings.HasPrefix(folded, "weir_") {
			return problem.Invalid("sql", "gives a column %s, which differs at most in its case from another or begins with weir_: give it another name with AS", shown(c.Name))
		}
		seen[strings.ToLower(c.Name)] = true
	}
	if infer {
		d.Schema = schemaOf(columns)
	}
	seen = map[string]bool{}
	for _, p := range d.Schema.Properties {
		if folded := strings.ToLower(p.Name); seen[folded] || strings.HasPrefix(folded, "weir_") {
			return problem.Invalid("schema", "has a property %s, which differs in its case only from another or begins with weir_", shown(p.Name))
		}
		seen[strings.ToLower(p.Name)] = true
	}
	for _, name := range []string{d.Index.Key, d.Index.Subkey, d.Index.Date} {
		if name != "" && !slices.ContainsFunc(columns, func(c view.Column) bool { return c.Name == name }) {
			return problem.Invalid("columnMapping", "names %s, which is no column of the statement's answer", shown(name))
		}
	}
	if p, ok := d.Schema.Property(d.Index.Date); ok && p.Type != Date {
		return problem.Invalid("columnMapping.date", "must be a property of the type date in a dataset that a statement makes")
	}
	return s.acyclic(ctx, permit, id, d.SQL)
}

// checkUpdate checks what a change means for the statement of a dataset.
func (s *Service) checkUpdate(ctx context.Context, permit gate.Permit, d, becomes *Dataset, w Wanted, how Existing) error {
	switch {
	case d.SQL == "" && w.SQL != nil:
		return problem.Invalid("sql", "cannot be given to a dataset that has records of its own")
	case d.SQL == "":
		return nil
	case how != Leave:
		return problem.Invalid("query.existing", "must be leave: a statement makes the records")
	}
	return s.checkStatement(ctx, permit, d.ID, becomes, false)
}

// acyclic refuses a statement that stands in itself, or is too deep.
func (s *Service) acyclic(ctx context.Context, permit gate.Permit, id, sql string) error {
	all, err := s.cfg.Store.Datasets(ctx, permit.Project(), permit.Environment())
	if err != nil {
		return err
	}
	statements := []string{sql}
	for range maxDepth {
		var next []string
		seen := map[string]bool{} // a dataset that several read stands once at each depth
		for _, sql := range statements {
			names, err := s.cfg.Statements.Named(ctx, sql)
			if err != nil {
				return err
			}
			for _, name := range names {
				if strings.EqualFold(name, id) {
					return problem.Invalid("sql", "stands in itself")
				}
				if i := indexOf(all, name); i >= 0 && all[i].SQL != "" && !seen[all[i].ID] {
					seen[all[i].ID] = true
					next = append(next, all[i].SQL)
				}
			}
		}
		if statements = next; len(next) == 0 {
			return nil
		}
	}
	return problem.Invalid("sql", "stands more than %d statements deep", maxDepth)
}

func indexOf(all []Dataset, name string) int {
	return slices.IndexFunc(all, func(d Dataset) bool { return strings.EqualFold(d.ID, name) })
}

// madeOf adds to some names those of the datasets that their statements read. A statement of a dataset that is not theirs to
// read tells them nothing.
func (s *Service) madeOf(ctx context.Context, permit gate.Permit, all []Dataset, names []string) ([]string, error) {
	names = slices.Clone(names)
	for at := 0; at < len(names); at++ {
		i := indexOf(all, names[at])
		if i < 0 || all[i].SQL == "" || s.cfg.Statements == nil || !permit.AsksDataset(all[i].ID, all[i].Class) {
			continue
		}
		more, err := s.cfg.Statements.Named(ctx, all[i].SQL)
		if err != nil {
			return nil, fmt.Errorf("dataset: the statement of %s: %w", all[i].ID, err)
		}
		for _, name := range more {
			if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// schemaOf is the schema that the columns of an answer have.
func schemaOf(columns []view.Column) (schema Schema) {
	for _, c := range columns {
		p := Property{Name: c.Name, Type: Any, Null: true}
		kind, _, _ := strings.Cut(c.Type, "(")
		switch kind {
		case "VARCHAR", "UUID":
			p.Type = String
		case "DOUBLE", "FLOAT", "DECIMAL", "HUGEINT", "UHUGEINT":
			p.Type = Number
		case "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER", "USMALLINT", "UTINYINT":
			p.Type = Integer
		case "BOOLEAN":
			p.Type = Boolean
		case "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE":
			p.Type = Date
		}
		schema.Properties = append(schema.Properties, p)
	}
	return schema
}

// readStatement reads records of a dataset that a statement makes, and what of premium records it came to.
func (s *Service) readStatement(ctx context.Context, permit gate.Permit, d *Dataset, q *Selection) (list []Record, more bool, credits int64, err error) {
	if err := permit.Asking(); err != nil {
		return nil, false, 0, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Microsecond)
	b := &asking{named: map[string]jsontext.Value{}}
	sql := b.statement(d, q)
	bytes := 0
	credits, err = s.cfg.Statements.Rows(ctx, permit, sql, b.named, MaxRead+1, func(values []jsontext.Value) error {
		if len(list) == MaxRead || bytes > MaxReadBytes {
			more = true
			return io.EOF
		}
		item := Item{}
		for i, v := range values {
			if v.Kind() != 'n' {
				item.cells = append(item.cells, cell{name: d.Schema.Properties[i].Name, json: v.Clone()})
			}
		}
		if r, fields := d.verdict(item, now, now); fields == nil {
			list = append(list, r)
			bytes += len(r.Body)
		}
		return nil
	})
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return list, more, credits, wrongStatement(err, "path.dataset", "is made by a statement that fails, or reads what is not there for this key")
}

// wrongStatement is the problem of a statement as one of a dataset's. A detail that is given goes before what the statement's
// says.
func wrongStatement(err error, field, detail string) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return err
	}
	if detail == "" {
		detail = p.Detail
	}
	switch p.Code {
	case problem.InvalidSQL, problem.SQLNotAllowed:
		return problem.Wrap(err, problem.InvalidField, "%s: %s", field, detail).At(field, detail)
	case problem.QueryTooHeavy:
		return problem.Wrap(err, problem.ResultTooLarge, "%s", p.Detail)
	case problem.QueryTimeout, problem.QueryQueueFull:
		return problem.Wrap(err, problem.Unavailable, "%s", p.Detail).After(time.Second)
	default:
	}
	return err
}

// asking is a statement over a dataset, with the values of its parameters.
type asking struct {
	named map[string]jsontext.Value
}

func (b *asking) arg(v any) string {
	name := "p" + strconv.Itoa(len(b.named))
	text, _ := json.Marshal(v) // it is a text or a number
	b.named[name] = text
	return "$" + name
}

func (b *asking) time(t time.Time) string {
	return "CAST(" + b.arg(t.UTC().Format("2006-01-02 15:04:05.000000")) + " AS TIMESTAMP)"
}

func (b *asking) list(values []string) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = b.arg(v)
	}
	return strings.Join(all, ", ")
}

// named is a name as a statement has it.
func named(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// statement is what is selected of a dataset, as Records.ReadRecords would select it, in the order of the schema.
func (b *asking) statement(d *Dataset, q *Selection) string {
	var columns []string
	for _, p := range d.Schema.Properties {
		columns = append(columns, named(p.Name))
	}
	subkey, date := "''", "TIMESTAMP '1970-01-01'"
	if d.Index.Subkey != "" {
		subkey = "coalesce(CAST(" + named(d.Index.Subkey) + " AS VARCHAR), '')"
	}
	if d.Index.Date != "" {
		date = "CAST(" + named(d.Index.Date) + " AS TIMESTAMP)"
	}
	inner := "SELECT " + strings.Join(columns, ", ") + ", CAST(" + named(d.Index.Key) + " AS VARCHAR) AS weir_k, " + subkey + " AS weir_s, " + date + " AS weir_d FROM " + named(d.ID)
	by, direction, partition := "DESC", "DESC", ""
	if q.Oldest {
		by = "ASC"
	}
	if q.Upwards {
		direction = "ASC"
	}
	switch {
	case len(q.Subkeys) > 0 && len(q.Keys) > 0:
		partition = "PARTITION BY weir_k, weir_s "
	case len(q.Subkeys) > 0:
		partition = "PARTITION BY weir_s "
	case len(q.Keys) > 0:
		partition = "PARTITION BY weir_k "
	}
	order := func(way string) string { return "weir_d " + way + ", weir_k " + way + ", weir_s " + way }
	middle := "SELECT *, row_number() OVER (" + partition + "ORDER BY " + order(by) + ") - 1 AS weir_n FROM (" + inner + ") AS inside WHERE " + b.where(q)
	every := b.arg(max(q.Every, 1))
	sql := "SELECT " + strings.Join(columns, ", ") + " FROM (" + middle + ") AS numbered WHERE weir_n % " + every + " = 0 AND weir_n // " + every + " >= " + b.arg(q.Offset)
	if q.Most > 0 {
		sql += " AND weir_n // " + every + " < " + b.arg(q.Offset+q.Most)
	}
	sql += " ORDER BY "
	if len(q.Keys) > 1 {
		places := make([]string, len(q.Keys))
		for i, key := range q.Keys {
			places[i] = " WHEN " + b.arg(key) + " THEN " + strconv.Itoa(i)
		}
		sql += "CASE weir_k" + strings.Join(places, "") + " END, "
	}
	return sql + order(direction) + " LIMIT " + strconv.Itoa(MaxRead+1)
}

// where are the conditions of a selection.
func (b *asking) where(q *Selection) string {
	where := []string{"weir_k IS NOT NULL"}
	if len(q.Keys) > 0 {
		where = append(where, "weir_k IN ("+b.list(q.Keys)+")")
	}
	if len(q.Subkeys) > 0 {
		where = append(where, "weir_s IN ("+b.list(q.Subkeys)+")")
	}
	date := "weir_d"
	if q.DateOf != "" {
		date = "CAST(" + named(q.DateOf) + " AS TIMESTAMP)"
	}
	if !q.From.IsZero() {
		where = append(where, date+" >= "+b.time(q.From))
	}
	if !q.Until.IsZero() {
		where = append(where, date+" < "+b.time(q.Until))
	}
	for _, c := range q.Where {
		kind := c.Of.column()
		values := make([]string, len(c.Values))
		for i, v := range c.Values {
			values[i] = "TRY_CAST(" + b.arg(v) + " AS " + kind + ")"
		}
		left := "TRY_CAST(" + named(c.Property) + " AS " + kind + ")"
		switch c.Op {
		case In:
			where = append(where, left+" IN ("+strings.Join(values, ", ")+")")
		case NotEqual:
			where = append(where, left+" <> "+values[0])
		case Equal, Less, LessEqual, Greater, GreaterEqual:
			where = append(where, left+" "+string(c.Op)+" "+values[0])
		}
	}
	return strings.Join(where, " AND ")
}

// alone refuses a dataset that a statement makes among several.
func (d *Dataset) alone(of int) error {
	if d.SQL != "" && of > 1 {
		return problem.Invalid("path.dataset", "%s is made by a statement and must be asked for alone", d.ID)
	}
	return nil
}
