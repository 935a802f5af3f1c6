package duckdb

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// oracleCanary is in what no answer may hold: in hidden rows, hidden columns and properties, and in what is hashed.
const oracleCanary = "cnry7"

// oracleCounts says what the statements came to.
type oracleCounts struct {
	statements, answered, rows, failed, refused int
	again                                       int // asked once more, as its parts met in another order
	unlike                                      int // answered here and with the barrier, and failed over a copy without
	unasked                                     int // joins of which one side was not asked
}

// Promise: whatever a statement says, and whatever its scope is, its answer, or the kind of its error, is that of the
// same statement over a copy where only what the scope shows was ever stored; and nothing else is in its answer, the
// names of its columns or the words of its error.
//
// WEIR_ORACLE is how many statements are tried.
func TestOracle(t *testing.T) {
	t.Parallel()
	wanted := 300
	if n, err := strconv.Atoi(os.Getenv("WEIR_ORACLE")); err == nil {
		wanted = n
	}
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	var counts oracleCounts
	dir, run := t.TempDir(), 0
	for counts.statements < wanted && !t.Failed() {
		rapid.Check(t, func(rt *rapid.T) {
			if counts.statements >= wanted && !t.Failed() {
				return
			}
			run++
			o := newOracle(rt, g, filepath.Join(dir, strconv.Itoa(run)))
			defer o.close()
			for range 15 {
				o.try(&counts)
			}
		})
	}
	t.Logf("%+v", counts)
	if counts.answered*3 < counts.statements || counts.failed*20 < counts.statements || counts.unasked*100 > counts.statements {
		t.Errorf("the statements are of too few kinds: %+v", counts)
	}
}

// oracle is one space, one scope over it, and a copy of what the scope shows.
type oracle struct {
	t      *rapid.T
	guard  *guard.Guard
	scope  view.Scope
	whole  *instance
	copy   *instance
	copied []view.Table // what the copy has
	words  grammar
	clean  bool // no row that is seen makes a cast fail

	columns bool // properties of the whole have columns

	threads int
}

// options are those of both instances.
func (o *oracle) options(dir string) native.Options {
	return native.Options{Memory: 512 << 20, Threads: o.threads, TempDir: filepath.Join(dir, "tmp"), TempLimit: 1 << 30}
}

func newOracle(t *rapid.T, g *guard.Guard, dir string) *oracle {
	o := &oracle{t: t, guard: g, scope: drawScope(t), threads: rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "threads")}
	o.open(dir)
	o.words = grammar{t: t, schema: view.Schema(o.scope), all: view.Schema(view.Scope{}), small: true}
	o.clean = rapid.Bool().Draw(t, "clean")
	o.words.clean = o.clean
	n := rapid.SampledFrom([]int{0, 1, 6, 20, 40, 40, 3000}).Draw(t, "rows")
	o.words.small = n < 1000
	o.fill(n)
	o.makeCopy(dir)
	return o
}

func (o *oracle) must(err error) {
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *oracle) open(dir string) {
	o.must(os.MkdirAll(dir, 0o700))
	var err error
	o.whole, err = openInstance(context.Background(), filepath.Join(dir, "whole.duckdb"), shop, o.options(dir), &promotion{most: 100, log: slog.New(slog.DiscardHandler)})
	o.must(err)
}

func (o *oracle) close() {
	o.whole.close()
	o.copy.close()
}

// fill stores events and persons, with canaries where nobody may look.
func (o *oracle) fill(n int) {
	var records []event.Record
	add := func(e *event.Event) {
		e.Project, e.Environment, e.ReceivedAt = shop.Project, shop.Environment, e.Timestamp.Add(time.Second)
		records = append(records, event.Record{Position: event.Position(len(records) + 1), Data: event.AppendEvent(nil, e)})
	}
	claimed := map[string]bool{}
	claim := func(ids ...string) {
		for _, id := range ids {
			claimed[id] = true
		}
	}
	for i := range n {
		row := o.drawRow()
		at := rapid.IntRange(0, 20).Draw(o.t, "second")
		row["event_id"] = fmt.Sprint(row["event_id"], i)
		row["timestamp"] = time.Date(2026, 1, 1, 0, 0, at, 0, time.UTC)
		row["received_at"] = row["timestamp"].(time.Time).Add(time.Second)
		text := func(column string) string { s, _ := row[column].(string); return s }
		if text("anonymous_id") != "" { // it makes a person of its ids, and what persons shows is nothing hidden
			o.spoil("events", row, "distinct_id", "anonymous_id", "device_id")
			claim(text("distinct_id"), text("anonymous_id"), text("device_id"))
		} else {
			o.spoil("events", row)
		}
		add(&event.Event{
			Kind: event.Track, ID: text("event_id"), Name: text("event"), Timestamp: row["timestamp"].(time.Time), DistinctID: text("distinct_id"),
			AnonymousID: text("anonymous_id"), DeviceID: text("device_id"), SessionID: text("session_id"), Properties: jsontext.Value(text("properties")),
			KeyID: text("key_id"), Source: text("source"),
		})
		if i%4 == 0 {
			row := o.drawRow()
			if id := row["distinct_id"].(string); claimed[id] { // what two events tell of one person would be one row
				row["distinct_id"] = id + strconv.Itoa(i)
			}
			row["first_seen_at"] = time.Date(2026, 1, 1, 0, 0, at, 0, time.UTC)
			row["updated_at"] = row["first_seen_at"]
			o.spoil("persons", row)
			text := func(column string) string { s, _ := row[column].(string); return s }
			add(&event.Event{
				Kind: event.Identify, ID: "i" + strconv.Itoa(i), Timestamp: row["first_seen_at"].(time.Time), DistinctID: text("distinct_id"),
				AnonymousID: text("anonymous_id"), Properties: jsontext.Value(text("traits")),
			})
			claim(text("distinct_id"), text("anonymous_id"))
		}
	}
	cut := 0
	if o.columns = rapid.Bool().Draw(o.t, "columns"); o.columns {
		cut = rapid.IntRange(0, len(records)).Draw(o.t, "before the columns")
	}
	for _, part := range [][]event.Record{records[:cut], records[cut:]} {
		if len(part) > 0 {
			o.must(o.whole.load(context.Background(), part))
		}
		if o.columns {
			o.must(o.promoteSome())
		}
	}
	if rapid.Bool().Draw(o.t, "checkpoint") {
		conn, err := o.whole.db.Connect()
		o.must(err)
		defer conn.Close()
		o.must(conn.Exec(context.Background(), "CHECKPOINT"))
	}
}

// makeCopy stores what the scope shows, by the model, where nothing else is.
func (o *oracle) makeCopy(dir string) {
	db, err := native.Open(filepath.Join(dir, "copy.duckdb"), o.options(dir))
	o.must(err)
	o.copy = &instance{space: shop, db: db}
	conn, err := db.Connect()
	o.must(err)
	defer conn.Close()
	o.must(conn.Exec(context.Background(), "CREATE SCHEMA store"))
	for _, table := range view.Schema(view.Scope{}) {
		all := o.stored(table)
		columns, rows := shownRows(o.scope, table, all)
		if columns == nil {
			continue
		}
		stored := strings.TrimSuffix(table.Name, "s")
		made := []string{"kind UTINYINT NOT NULL"}
		for _, c := range columns {
			made = append(made, name(c.Name)+" "+c.Type)
		}
		o.must(conn.Exec(context.Background(), "CREATE TABLE store."+stored+"("+strings.Join(made, ", ")+")"))
		to, err := conn.Append("store", stored)
		o.must(err)
		for _, row := range rows {
			native.Put(to, 0, uint8(1))
			for i, c := range columns {
				if at, ok := row[c.Name].(time.Time); ok {
					to.Time(i+1, at)
					continue
				}
				text, _ := row[c.Name].(string)
				to.TextOrNull(i+1, text)
			}
			o.must(to.End())
		}
		for range len(all) - len(rows) { // what is not there is counted, as it is of what is hidden: plans are made by it
			native.Put(to, 0, uint8(2))
			for i, c := range columns {
				if c.Type == "TIMESTAMP" {
					to.Time(i+1, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
				} else if c.Type == "JSON" {
					to.Text(i+1, "{}")
				} else {
					to.TextOrNull(i+1, "")
				}
			}
			o.must(to.End())
		}
		o.must(to.Flush())
		to.Close()
		o.copied = append(o.copied, view.Table{Name: table.Name, Columns: columns})
	}
}

// views make the relations of the copy: plain ones, or with all that is around the rows of a scope but what makes it
// this scope.
func (o *oracle) views(sql string, plain bool) (all []string) {
	analysis, _ := o.guard.Analyze(context.Background(), sql) // an error comes again when it is asked
	for _, t := range o.copied {
		narrow, _ := o.scope.Table(t.Name)
		whole := view.Schema(view.Scope{})
		of := whole[slices.IndexFunc(whole, func(w view.Table) bool { return w.Name == t.Name })]
		columns, shown, err := columnsOf(&question{Scope: o.scope}, narrow, of, func(native.Rewriter) int64 { return 0 })
		o.must(err)
		from := "store." + strings.TrimSuffix(t.Name, "s")
		where := append([]string{"kind = 1"}, prune(&question{}, analysis.Bounds, of, asStored(columns, shown))...)
		var tried, known []string // of what the scope hashes or hides a part of, the engine knows no bounds, as of what it makes itself
		for i, column := range columns {
			tried = append(tried, "TRY("+column+") AS "+column)
			if shown[i] == column {
				known = append(known, column)
			} else {
				known = append(known, tried[i])
			}
		}
		head := "CREATE OR REPLACE VIEW main." + t.Name + " AS SELECT " + strings.Join(columns, ", ") + " FROM "
		switch {
		case t.Name == "persons" && len(narrow.Where) == 0: // no row is hidden
			all = append(all, "CREATE OR REPLACE VIEW main."+t.Name+" AS SELECT "+strings.Join(known, ", ")+" FROM "+from)
		case plain:
			all = append(all, head+from+" WHERE kind = 1")
		default:
			all = append(all, head+"(SELECT "+strings.Join(tried, ", ")+" FROM "+from+" WHERE "+strings.Join(where, " AND ")+") TABLESAMPLE SYSTEM (100 PERCENT)")
		}
	}
	return all
}

// stored is what is really there of a table.
func (o *oracle) stored(table view.Table) (rows []modelRow) {
	conn, err := o.whole.db.Connect()
	o.must(err)
	defer conn.Close()
	var named []string
	for _, c := range table.Columns {
		if table.Name == "events" && c.Name == view.PersonID {
			named = append(named, "NULL")
			continue
		}
		named = append(named, name(c.Name))
	}
	o.must(conn.Each(context.Background(), "SELECT "+strings.Join(named, ", ")+" FROM main."+table.Name, func(r *native.Result, n int) error {
		row := modelRow{}
		for i, c := range table.Columns {
			switch {
			case r.Null(i, n):
			case c.Type == "TIMESTAMP":
				row[c.Name] = time.UnixMicro(r.Int(i, n)).UTC()
			default:
				row[c.Name] = strings.Clone(r.Text(i, n))
			}
		}
		rows = append(rows, row)
		return nil
	}))
	if table.Name == "events" {
		persons := o.shownPersons()
		for _, row := range rows {
			if id := modelPerson(o.scope, row, persons); id != "" {
				row[view.PersonID] = id
			}
		}
	}
	return rows
}

// shownPersons are the ids of the persons whom the scope shows, and how these are called.
func (o *oracle) shownPersons() map[string]string {
	of := map[string]string{}
	persons, _ := view.TableNamed("persons")
	for _, row := range o.stored(persons) {
		if !showsPerson(o.scope, row) {
			continue
		}
		var ids []string
		o.must(json.Unmarshal([]byte(row[view.DistinctIDs].(string)), &ids))
		for _, id := range ids {
			of[id] = row[view.PersonID].(string)
		}
	}
	return of
}

// gathered is an answer in memory.
type gathered struct {
	head []query.Column
	rows []string
}

func (a *gathered) columns(c []query.Column) error { a.head = c; return nil }
func (a *gathered) row(line []byte) error          { a.rows = append(a.rows, string(line)); return nil }
func (a *gathered) pause() error                   { return nil }

// ask runs a statement as the query process would.
func (o *oracle) ask(i *instance, sql string, scope view.Scope) (*gathered, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	analysis, err := o.guard.AnalyzeIn(ctx, sql, scope)
	if err != nil {
		return nil, err
	}
	analysis.PersonID = analysis.PersonID && i == o.whole // the copy has it in its rows
	answer := &gathered{}
	err = i.run(ctx, &question{SQL: sql, Scope: scope, Rows: 200_000}, &analysis, answer)
	slices.Sort(answer.rows)
	return answer, err
}

// askCopy runs a statement over the copy.
func (o *oracle) askCopy(sql string, plain bool) (*gathered, error) {
	conn, err := o.copy.db.Connect()
	o.must(err)
	o.must(conn.Exec(context.Background(), strings.Join(o.views(sql, plain), ";")))
	conn.Close()
	return o.ask(o.copy, sql, view.Scope{})
}

// try asks one statement and compares.
func (o *oracle) try(counts *oracleCounts) {
	sql := o.words.statement()
	got, err := o.ask(o.whole, sql, o.scope)
	counts.statements++
	o.checkWords(sql, got, err)
	if problem.Of(err) == problem.SQLNotAllowed {
		counts.refused++
		return
	}
	want, wantErr := o.askCopy(sql, false)
	for again := 0; class(err) != class(wantErr); again++ { // one part of a statement may end it before another fails
		if again == 10 {
			if unasked(sql, err, wantErr) {
				counts.unasked++
				return
			}
			o.fail(sql, "ended in %v; over the copy, in %v", err, wantErr)
		}
		counts.again++
		if got, err = o.ask(o.whole, sql, o.scope); o.columns { // columns are cheap, and so asked first
			got, err = o.askWritten(sql, o.scope)
		}
		want, wantErr = o.askCopy(sql, false)
	}
	if err != nil {
		counts.failed++
		return
	}
	o.compare(sql, got, want)
	if plain, err := o.askCopy(sql, true); err == nil {
		o.compare(sql, got, plain)
	} else {
		counts.unlike++
	}
	counts.answered++
	counts.rows += len(got.rows)
}

// unasked reports whether a statement that joins answered where it failed otherwise. The engine begins with that side of a join
// which it holds for the smaller one, by how much is stored, and does not ask the other when it is empty: this is told of in
// docs/restrictions.md, and must be rare.
func unasked(sql string, err, other error) bool {
	return strings.Contains(sql, "JOIN") && (err == nil && problem.Of(other) == problem.InvalidSQL || other == nil && problem.Of(err) == problem.InvalidSQL)
}

// class is the kind of an error. What needs too much of the machine is one kind.
func class(err error) problem.Code {
	switch code := problem.Of(err); code {
	case problem.QueryTooHeavy, problem.ResultTooLarge, problem.Unavailable:
		return problem.QueryTooHeavy
	default:
		return code
	}
}

func (o *oracle) compare(sql string, got, want *gathered) {
	if !slices.Equal(got.head, want.head) {
		o.fail(sql, "the columns are %v, and over the copy %v", got.head, want.head)
	}
	if !slices.Equal(got.rows, want.rows) {
		o.fail(sql, "the rows are\n%s\nand over the copy\n%s", strings.Join(got.rows, "\n"), strings.Join(want.rows, "\n"))
	}
}

func (o *oracle) fail(sql, format string, args ...any) {
	text, _ := json.Marshal(o.scope)
	o.t.Fatalf("%s\nin the scope %s\n%s", sql, text, fmt.Sprintf(format, args...))
}

// inner are names that only we use, of which no answer may tell.
var inner = regexp.MustCompile(`own_id|new_user_id|trait_state|forgotten_at|weir_rewrite|TABLESAMPLE|store\.`)

// checkWords looks for what may not be there: in rows, names of columns and errors.
func (o *oracle) checkWords(sql string, got *gathered, err error) {
	said := ""
	if got != nil {
		said = fmt.Sprint(got.head, got.rows)
	}
	if err != nil {
		said += err.Error()
	}
	if strings.Contains(said, oracleCanary) {
		o.fail(sql, "tells of what is hidden: %s", said)
	}
	if err == nil {
		return
	}
	if inner.MatchString(said) {
		o.fail(sql, "tells of the inside: %s", said)
	}
	for _, t := range o.scope.Tables {
		for _, name := range t.Hidden {
			word := regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(name) + `\b`)
			if strings.Contains(name, "_") && !o.shows(name) && word.MatchString(said) && !word.MatchString(sql) {
				o.fail(sql, "names what is hidden: %s", said)
			}
		}
	}
}

// shows reports whether some table has a column of a name.
func (o *oracle) shows(column string) bool {
	return slices.ContainsFunc(view.Schema(o.scope), func(t view.Table) bool {
		return slices.ContainsFunc(t.Columns, func(c query.Column) bool { return c.Name == column })
	})
}
