package duckdb

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// promotable are properties of the oracle's events, of which some become columns.
var promotable = []property{
	{path: "country"}, {path: "n"}, {path: "flag"}, {path: "a"}, {path: "secret"}, {path: "w"}, {path: "k.1"}, {path: `q\"q`}, {path: "missing"},
	{"n", "BIGINT"}, {"n", "INTEGER"}, {"n", "DOUBLE"}, {"flag", "BOOLEAN"}, {"w", "BIGINT"}, {"w", "INTEGER"}, {"country", "BIGINT"},
}

// promoteSome makes columns of properties, if there are none, and fills all there are.
func (o *oracle) promoteSome() error {
	i := o.whole
	ctx := context.Background()
	conn, err := i.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	had, err := readColumns(ctx, conn)
	if err != nil {
		return err
	}
	for _, wanted := range promotable {
		if len(had) == 0 && rapid.IntRange(0, 2).Draw(o.t, "promoted") > 0 {
			if err := i.addColumn(ctx, conn, wanted); err != nil {
				return err
			}
		}
	}
	all, err := readColumns(ctx, conn)
	if err != nil {
		return err
	}
	for n, c := range all {
		if n == 0 {
			err = i.backfill(ctx, conn, c)
		} else if err == nil {
			_, err = backfillSlice(ctx, conn, c, c.until)
		}
	}
	if err != nil {
		return err
	}
	for n := range all {
		all[n].done = all[n].until
	}
	i.promoter.know(all)
	return nil
}

// columnsRead is whether a statement is run over columns.
func (o *oracle) columnsRead(sql string, scope view.Scope) bool {
	analysis, err := o.guard.AnalyzeIn(context.Background(), sql, scope)
	if err != nil {
		return false
	}
	return o.whole.runPromoted(context.Background(), &question{SQL: sql, Scope: scope, Rows: 200_000}, &analysis, &gathered{}) == nil
}

// Promise: whatever a statement says, and whatever the properties are, its answer is the same with columns and without,
// in every scope; it does not fail where it did not.
//
// WEIR_ORACLE is how many statements are tried.
func TestColumnsChangeNoAnswer(t *testing.T) {
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
	var tried, promoted, failed, better int
	dir, run := t.TempDir(), 0
	for tried < wanted && !t.Failed() {
		rapid.Check(t, func(rt *rapid.T) {
			if tried >= wanted && !t.Failed() {
				return
			}
			run++
			o := newOracle(rt, g, filepath.Join(dir, strconv.Itoa(run)))
			defer o.close()
			if !o.columns {
				o.must(o.promoteSome())
			}
			for n := range 15 {
				scope := o.scope
				if n%2 == 0 {
					scope = view.Scope{}
				}
				o.words.schema = view.Schema(scope)
				sql := o.words.statement()
				tried++
				with, withErr := o.ask(o.whole, sql, scope)
				if o.columnsRead(sql, scope) {
					promoted++
				}
				written, err := o.askWritten(sql, scope)
				switch {
				case err == nil && withErr == nil:
					o.compare(sql, with, written)
				case err != nil && withErr == nil:
					better++
				case err == nil && class(withErr) != problem.QueryTooHeavy:
					o.fail(sql, "fails with columns: %v", withErr)
				default:
					failed++
				}
			}
		})
	}
	t.Logf("%d statements, %d over columns, %d failed, %d only without columns", tried, promoted, failed, better)
	if promoted*20 < tried {
		t.Errorf("only %d of %d statements were run over columns", promoted, tried)
	}
}

// askWritten runs a statement as it is written.
func (o *oracle) askWritten(sql string, scope view.Scope) (*gathered, error) {
	analysis, err := o.guard.AnalyzeIn(context.Background(), sql, scope)
	if err != nil {
		return nil, err
	}
	answer := &gathered{}
	err = o.whole.runWritten(context.Background(), &question{SQL: sql, Scope: scope, Rows: 200_000}, &analysis, answer)
	slices.Sort(answer.rows)
	return answer, err
}

// newShop opens an instance at a path whose properties become columns at the first asking, and loads events into it.
func newShop(t *testing.T, path string, properties ...string) *sight {
	t.Helper()
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	s := &sight{t, g, openShop(t, path, 32)}
	s.more(properties...)
	return s
}

func openShop(t *testing.T, path string, most int) *instance {
	t.Helper()
	p := &promotion{most: most, asks: 2, log: slog.New(slog.DiscardHandler)}
	i, err := openInstance(t.Context(), path, shop, native.Options{Memory: 256 << 20, Threads: 1, TempDir: filepath.Dir(path), TempLimit: 1 << 30}, p)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// more loads events with properties.
func (s *sight) more(properties ...string) {
	s.t.Helper()
	last, err := s.instance.loaded(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var records []event.Record
	for n, text := range properties {
		r := track(int(last)+n+1, shop, "a", fmt.Sprint(int(last)+n))
		e, _ := event.DecodeEvent(r.Data)
		e.Properties = []byte(text)
		records = append(records, event.Record{Position: r.Position, Data: event.AppendEvent(nil, &e)})
	}
	if err := s.instance.load(s.t.Context(), records); err != nil {
		s.t.Fatal(err)
	}
}

// columns are the properties that have columns, filled or not.
func (s *sight) columns() (all []string) {
	s.t.Helper()
	conn, err := s.instance.db.Connect()
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	found, err := readColumns(s.t.Context(), conn)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range found {
		text := c.path + " " + c.columnType()
		if !c.filled() {
			text += " in part"
		}
		if c.misfits {
			text += " with misfits"
		}
		all = append(all, text)
	}
	return all
}

// settle asks a statement until what it asks for are columns.
func (s *sight) settle(sql string) {
	s.t.Helper()
	for range 2 {
		if _, err := s.ask(sql, view.Scope{}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.instance.promoter.over.Wait()
}

func (s *sight) expect(sql, want string) {
	s.t.Helper()
	rows, err := s.ask(sql, view.Scope{})
	if got := fmt.Sprint(rows, err); got != want {
		s.t.Errorf("%s\n%s\nwant\n%s", sql, got, want)
	}
}

// Promise: a property that statements ask for again becomes a column, for the events there were and those that come; a
// cast that fails for one of them fails as it did.
func TestPropertiesBecomeColumns(t *testing.T) {
	t.Parallel()
	s := newShop(t, filepath.Join(t.TempDir(), "shop.duckdb"), `{"n":1,"c":"FR"}`, `{"n":2}`)
	defer func() { s.instance.close() }()
	number := "SELECT sum((properties->>'n')::BIGINT) AS n FROM events WHERE properties->>'c' = 'FR'"
	s.expect(number, "[[1]] <nil>")
	if got := s.columns(); got != nil {
		t.Errorf("columns too early: %q", got)
	}
	s.settle(number)
	if got := fmt.Sprint(s.columns()); got != "[c VARCHAR n BIGINT]" {
		t.Errorf("columns %s", got)
	}
	s.more(`{"n":40,"c":"FR"}`)
	s.expect(number, "[[41]] <nil>")
	s.expect("SELECT * FROM (SELECT properties->>'c' AS c FROM events) ORDER BY ALL", `[["FR"] ["FR"] [null]] <nil>`)
	s.more(`{"n":"none","c":"DE"}`)
	s.expect(number, "[[41]] <nil>")
	if _, err := s.ask("SELECT sum((properties->>'n')::BIGINT) FROM events", view.Scope{}); problem.Of(err) != problem.InvalidSQL || !strings.Contains(err.Error(), "none") {
		t.Errorf("a cast of a misfit: %v", err)
	}
	s.expect("SELECT sum(TRY_CAST(properties->>'n' AS BIGINT)) FROM events", "[[43]] <nil>")
	s.settle(number)
	if got := fmt.Sprint(s.columns()); got != "[c VARCHAR n BIGINT with misfits n VARCHAR]" {
		t.Errorf("columns %s", got)
	}
	s.expect(number, "[[41]] <nil>")
}

// Promise: the columns of an answer are called what they are called without columns behind them.
func TestColumnsKeepTheirNames(t *testing.T) {
	t.Parallel()
	s := newShop(t, filepath.Join(t.TempDir(), "shop.duckdb"), `{"n":1}`)
	defer func() { s.instance.close() }()
	sql := "SELECT properties->>'n', upper(properties->>'n'), *, count(*) OVER () FROM events"
	s.settle(sql)
	analysis, err := s.guard.Analyze(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	var with, without gathered
	if err := s.instance.runPromoted(t.Context(), &question{SQL: sql}, &analysis, &with); err != nil {
		t.Fatal(err)
	}
	if err := s.instance.runWritten(t.Context(), &question{SQL: sql}, &analysis, &without); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(with.head, without.head) || !slices.Equal(with.rows, without.rows) {
		t.Errorf("%v %v, and without columns %v %v", with.head, with.rows, without.head, without.rows)
	}
}

// Promise: what is stopped while a column is filled goes on when the file is opened again, and until then no statement
// reads the column; without columns, they are given up, and later made anew.
func TestFillingGoesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.duckdb")
	s := newShop(t, path, `{"c":"a"}`, `{"c":"b"}`, `{"c":"b"}`)
	conn, err := s.instance.db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.instance.addColumn(t.Context(), conn, property{path: "c"}); err != nil {
		t.Fatal(err)
	}
	if _, err := backfillSlice(t.Context(), conn, column{property: property{path: "c"}, name: "promoted_1"}, 1); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	s.more(`{"c":"b"}`)
	group := "SELECT properties->>'c' AS c, count(*) FROM events GROUP BY 1 ORDER BY 1"
	if got := fmt.Sprint(s.columns()); got != "[c VARCHAR in part]" {
		t.Errorf("columns %s", got)
	}
	s.expect(group, `[["a",1] ["b",3]] <nil>`)
	s.instance.close()

	s.instance = openShop(t, path, 32)
	s.instance.promoter.over.Wait()
	if got := fmt.Sprint(s.columns()); got != "[c VARCHAR]" {
		t.Errorf("columns after opening again: %s", got)
	}
	s.expect(group, `[["a",1] ["b",3]] <nil>`)
	s.instance.close()

	s.instance = openShop(t, path, 0)
	s.more(`{"c":"a"}`)
	s.settle(group)
	if got := s.columns(); got != nil {
		t.Errorf("columns where there are to be none: %q", got)
	}
	s.instance.close()

	s.instance = openShop(t, path, 32)
	defer func() { s.instance.close() }()
	s.settle(group)
	if got := fmt.Sprint(s.columns()); got != "[c VARCHAR]" {
		t.Errorf("columns made anew: %s", got)
	}
	s.expect(group, `[["a",2] ["b",3]] <nil>`)
}

// Promise: there are no more columns than there may be; one that was not read for long makes room for another.
func TestColumnsAreBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t, filepath.Join(t.TempDir(), "shop.duckdb"))
	s.instance.close()
	s.instance = openShop(t, filepath.Join(t.TempDir(), "bounded.duckdb"), 1)
	defer func() { s.instance.close() }()
	s.more(`{"a":"1","b":"2"}`)
	s.settle("SELECT properties->>'a' AS a FROM events")
	s.settle("SELECT properties->>'b' AS b FROM events")
	if got := fmt.Sprint(s.columns()); got != "[a VARCHAR]" {
		t.Errorf("columns %s", got)
	}
	for range idleAsks {
		s.expect("SELECT properties->>'b' AS b FROM events", `[["2"]] <nil>`)
	}
	s.settle("SELECT properties->>'b' AS b FROM events")
	if got := fmt.Sprint(s.columns()); got != "[b VARCHAR]" {
		t.Errorf("columns %s", got)
	}
	s.more(`{"a":"3","b":"4"}`)
	s.expect("SELECT properties->>'a' AS a, properties->>'b' AS b FROM events ORDER BY 1", `[["1","2"] ["3","4"]] <nil>`)
}

// Promise: of properties without a column no statement leaves anything behind but a count, and of these there are at most
// as many as are counted.
func TestAskedPropertiesAreNotKept(t *testing.T) {
	t.Parallel()
	p := newPromoter(&promotion{most: 1, asks: 1 << 30})
	i := &instance{promoter: p}
	column1 := column{name: "p1", property: property{path: "held"}}
	p.know([]column{column1})
	for n := range 3 * maxCounted {
		i.noteAsked(&question{}, []guard.Property{{Path: "held"}, {Path: fmt.Sprint("other", n)}}, true, nil)
	}
	if len(p.used) != 1 || p.used[column1.property] != p.clock || len(p.asked) > maxCounted {
		t.Errorf("%d of %d, %d counted", len(p.used), p.clock, len(p.asked))
	}
	if p.know(nil); len(p.used) != 0 {
		t.Errorf("%d are kept of columns that are no more", len(p.used))
	}
}

// Promise: properties that the engine cannot read are stored as they came, and columns are given up for them.
func TestUnreadableProperties(t *testing.T) {
	t.Parallel()
	s := newShop(t, filepath.Join(t.TempDir(), "shop.duckdb"), `{"c":"a"}`)
	defer func() { s.instance.close() }()
	s.settle("SELECT properties->>'c' AS c FROM events")
	s.more(`{"c":"b"}`, `{"c":`)
	if got := s.columns(); got != nil {
		t.Errorf("columns: %q", got)
	}
	s.expect("SELECT count(*) FROM events", "[[3]] <nil>")
	if _, err := s.ask("SELECT count(properties->>'c') FROM events", view.Scope{}); problem.Of(err) != problem.InvalidSQL {
		t.Errorf("what is no JSON was read: %v", err)
	}
}

// Promise: a load of more rows than the engine keeps in one group fills its columns.
func TestLargeLoadFillsColumns(t *testing.T) {
	t.Parallel()
	s := newShop(t, filepath.Join(t.TempDir(), "shop.duckdb"), `{"c":"0"}`)
	defer func() { s.instance.close() }()
	sql := "SELECT count(*), count(DISTINCT (properties->>'c')::INTEGER) FROM events WHERE properties->>'c' IS NOT DISTINCT FROM CAST(properties->'c' AS VARCHAR)"
	s.settle("SELECT properties->>'c' AS c, (properties->>'c')::INTEGER AS d FROM events")
	all := make([]string, 130_000)
	for n := range all {
		all[n] = fmt.Sprintf(`{"c":%d}`, n%1000)
	}
	s.more(all...)
	s.expect(sql, "[[130000,1000]] <nil>")
	if got := fmt.Sprint(s.columns()); got != "[c INTEGER c VARCHAR]" && got != "[c VARCHAR c INTEGER]" {
		t.Errorf("columns %s", got)
	}
}

// Promise: a file that was made before there were columns is brought up to date, and its events get columns like others.
func TestOldFilesGetColumns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "old.duckdb")
	db, err := native.Open(path, native.Options{Memory: 256 << 20, Threads: 1, TempDir: filepath.Dir(path), TempLimit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Exec(t.Context(), `
		CREATE SCHEMA store;
		CREATE TABLE store.state(version BIGINT NOT NULL, project VARCHAR NOT NULL, environment VARCHAR NOT NULL, position BIGINT NOT NULL);
		INSERT INTO store.state VALUES (1, `+literal(shop.Project)+", "+literal(shop.Environment)+", 1); "+migrations()[0]+`
		INSERT INTO store.event(position, kind, own_id, event, "timestamp", received_at, properties)
		VALUES (1, 1, false, 'a', TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01', '{"c":"old"}')`)
	conn.Close()
	db.Close()
	if err != nil {
		t.Fatal(err)
	}
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	s := &sight{t, g, openShop(t, path, 32)}
	defer func() { s.instance.close() }()
	sql := "SELECT properties->>'c' AS c FROM events ORDER BY 1"
	s.settle(sql)
	s.more(`{"c":"new"}`)
	if got := fmt.Sprint(s.columns()); got != "[c VARCHAR]" {
		t.Errorf("columns %s", got)
	}
	s.expect(sql, `[["new"] ["old"]] <nil>`)
}
