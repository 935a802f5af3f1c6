package metric_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/metric"
)

// variables are those of the tests of SQL: a text, one that may be missing, a number, a time and a list.
var variables = []metric.Variable{
	{Name: "s", Type: metric.String, Required: true}, {Name: "o", Type: metric.String}, {Name: "n", Type: metric.Integer, Required: true},
	{Name: "t", Type: metric.Timestamp, Required: true}, {Name: "l", Type: metric.Strings, Required: true},
}

// inSQL is a definition in SQL with those of the variables that it has placeholders of.
func inSQL(sql string) *metric.Definition {
	d := &metric.Definition{SQL: sql}
	for _, v := range variables {
		if strings.Contains(sql, "@{"+v.Name+"}") {
			d.Variables = append(d.Variables, v)
		}
	}
	return d
}

// Promise: SQL is rewritten, and refused with line and column, as testdata/rewrite.txtar says: each section is a text, a
// line =>, and the text that it becomes or what is wrong with it.
func TestRewriting(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/rewrite.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Files) < 30 {
		t.Fatalf("only %d sections", len(archive.Files))
	}
	for _, section := range archive.Files {
		sql, want, _ := strings.Cut(string(section.Data), "\n=>\n")
		got := ""
		if s, err := metric.Compile(inSQL(sql)); err != nil {
			for _, f := range problem.From(err).Fields {
				got += f.Name + ": " + f.Detail + "\n"
			}
		} else {
			got = s.SQL + "\n"
		}
		if got != want {
			t.Errorf("%s:\n%s\nbecomes\n%sand not\n%s", section.Name, sql, got, want)
		}
	}
}

// facts of a tree: the texts in apostrophes, and the parameters.
func constants(t rapid.TB, tree string) (texts, parameters []string, ok bool) {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal([]byte(tree), &root, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)); err != nil || root["error"] == true {
		return nil, nil, false
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if class, _ := v["class"].(string); class == "CONSTANT" {
				value, _ := v["value"].(map[string]any)
				kind, _ := value["type"].(map[string]any)
				if text, ok := value["value"].(string); ok && kind["id"] == "VARCHAR" {
					texts = append(texts, text)
				}
			}
			if class, _ := v["class"].(string); class == "PARAMETER" {
				parameters = append(parameters, fmt.Sprint(v["identifier"]))
			}
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(root)
	slices.Sort(texts)
	slices.Sort(parameters)
	return texts, slices.Compact(parameters), true
}

var signs = regexp.MustCompile(`[-+]{16}`)

var placeholders = regexp.MustCompile(`@\{[son]\}`)

// split is what remains of texts when their placeholders are taken out.
func split(texts []string) []string {
	var pieces []string
	for _, text := range texts {
		if !placeholders.MatchString(text) {
			pieces = append(pieces, text)
			continue
		}
		for _, piece := range placeholders.Split(text, -1) {
			if piece != "" {
				pieces = append(pieces, piece)
			}
		}
	}
	slices.Sort(pieces)
	return pieces
}

// differ compares what the engine reads in a text and in what it is rewritten to. plain is the text as the engine can
// read it: with a number for each placeholder that is not in apostrophes.
func differ(ctx context.Context, t rapid.TB, p parser, sql, plain string) (compared bool) {
	t.Helper()
	s, err := metric.Compile(inSQL(sql))
	if err != nil {
		return false
	}
	before, err := p.tree(ctx, plain)
	if err != nil {
		return false
	}
	after, err := p.tree(ctx, s.SQL)
	if err != nil {
		return false
	}
	was, others, ok := constants(t, before)
	if !ok || len(others) > 0 {
		return false
	}
	is, parameters, ok := constants(t, after)
	if !ok { // an error that the caller is told of
		return false
	}
	if want := split(was); !slices.Equal(is, want) {
		t.Fatalf("%q\nbecomes\n%q\nwith the texts %q, want %q", sql, s.SQL, is, want)
	}
	want := numbered(len(s.Parameters))
	slices.Sort(want)
	if !slices.Equal(parameters, want) && len(parameters)+len(want) > 0 {
		t.Fatalf("%q\nbecomes\n%q\nwith the parameters %q, want %q", sql, s.SQL, parameters, want)
	}
	return true
}

// Promise: whatever strings, names, comments and dollars stand around placeholders, the engine finds in the rewritten
// statement exactly the parameters that it should have, and all other texts unchanged.
func TestRewritingAgreesWithEngine(t *testing.T) {
	t.Parallel()
	p := openParser(t)
	pieces := []string{
		`'a'`, `''`, `'it''s'`, `'-- no'`, `'/* no'`, `'$$'`, `'"'`, `'\'`, `'@{'`, `'@{s'`, `'@{}'`, `'@{no such}'`, `'@{s}'`, `'@{s} '`, `'''@{s}'''`, `'@{s}@{n}'`, `'%@{o}%'`,
		`e'a\'b'`, `E'\\'`, `$$a'b$$`, `$x$ $$ ' $x$`, `$é$'$é$`, `"a b".c`, `"a""'".c`, `f("x'")`, `x$1`, `"--"`, `@{s}`, `@{n}`, `@{o}`, `(@{n})`, `-@{n}`, `@ @{n}`, `[@{s}]`,
		`{'k': @{s}}`, `a->>'@{s}'`, `a->>@{s}`, `1e5`, `1_000`, `a::INTEGER`, `a[1:2]`, `CASE WHEN @{n} > 1 THEN '@{s}' END`, `INTERVAL '@{n} days'`, `INTERVAL '@{n}' DAY`, `x LIKE '@{s}%'`,
		"a -- ' @\n", "a /* ' /* \" */ ' */", "a /**/", "a --\r", `a // b`, `a / b`, `a * b`, `b'01'`, `x'AB'`, `'é' || '@{s}'`, `coalesce('@{o}', '')`,
	}
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		chosen := rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 8).Draw(t, "pieces")
		sql := "SELECT " + strings.Join(chosen, rapid.SampledFrom([]string{",", ", ", "\n,\t"}).Draw(t, "between"))
		var plain []string // a number for each placeholder outside of apostrophes
		for _, piece := range chosen {
			if !strings.Contains(piece, "'@{") && !strings.Contains(piece, "%@{") {
				piece = placeholders.ReplaceAllString(piece, "7")
			}
			if piece == `CASE WHEN @{n} > 1 THEN '@{s}' END` {
				piece = `CASE WHEN 7 > 1 THEN '@{s}' END`
			}
			plain = append(plain, piece)
		}
		if differ(context.Background(), t, p, sql, "SELECT "+strings.Join(plain, ", ")) {
			compared++
		}
	})
	if compared < 50 {
		t.Errorf("only %d statements could be compared", compared)
	}
}

// Promise: no text makes the scanner disagree with the engine's: whatever the engine reads as strings is kept or
// rewritten as strings, and nothing else becomes a parameter.
func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{
		`SELECT '@{s}', 'a@{s}b', "@", $$'$$ FROM events -- '`, `SELECT e'\'@{s}', '@{s}'`, `SELECT /* /* '@{s}' */ ' */ '@{s}'`, "SELECT 'a'\n'@{s}'",
		`SELECT 1e'\'', '@{s}'`, `SELECT $a$ $b$ $a$, '@{n}' $c`, `SELECT U&'\0041', '@{s}'`, "SELECT 'a', '@{s}'", `SELECT x'@{s}'`, `SELECT a AS "it's '@{s}'"`,
		`SELECT '@{s}''@{o}' IS NULL`, `SELECT 'a' COLLATE NOCASE, '@{s}'`, `SELECT ''''||'@{s}'||''''`,
	} {
		f.Add(seed)
	}
	p := openParser(f)
	f.Fuzz(func(t *testing.T, sql string) {
		if len(sql) > 2000 || signs.MatchString(sql) || strings.Count(sql, "/*") > 50 {
			return // the engine's scanner takes very long for these; the sandbox refuses them
		}
		if s, err := metric.Compile(inSQL(sql)); err == nil {
			for line := range strings.Count(s.SQL, "\n") + 1 {
				s.Source(line+1, 1) // must not panic
			}
		}
		differ(t.Context(), t, p, sql, sql)
		if names, err := metric.Placeholders(sql); err == nil && len(names) == 0 && placeholders.MatchString(sql) {
			t.Errorf("%q has placeholders, and none is found", sql)
		}
	})
}

// injections are values that break what takes them for anything but values.
func injections() []string {
	return []string{
		"'", "''", `"`, `\`, `\'`, "'; DROP TABLE events; --", "' OR '1'='1", "') OR 1=1 --", "' UNION SELECT key_id FROM events --", "$1", "$2", "$$", "?", "@{s}", "'@{s}'", "@{o}",
		"%", "_", "--", "/*", "*/", "\n", "\r\n--", "\u00a0", "NULL", "null", "true", "0", "1e1", "{}", "[]", "[1]", `["a"]`, "{\"a\":1}", "/", "/a", "$.a", "$", "*", "a*", "#", "~", "~1", "a.b",
		"e'\\''", "$$;SELECT 1", "0x27", "%27", "\u2019", "＇", "ʼ", "😀", "\U0010FFFF", "\u0001", "\u007f", "a\tb", strings.Repeat("'", 100), strings.Repeat("x", 10_000),
		"1); SELECT * FROM read_text('passwd'); --", "x' || (SELECT string_agg(event, ',') FROM events) || '", "{{7*7}}", "${7*7}", "<script>",
	}
}

// Promise: the value of a variable is a value and nothing else, wherever its placeholder stands: as it is, in
// apostrophes, inside a text and in a list.
func TestVariablesAreNeverSQL(t *testing.T) {
	t.Parallel()
	w := openWarehouse(t)
	space := event.Space{Project: "injected", Environment: "production"}
	events, persons := facts(1, 20)
	load(t, w, space, stored(space, events, persons))
	s := compiled(t, `{"sql": "SELECT @{s}, '@{s}', '<@{s}>', '''@{s}''@{s}', @{l}, 'x' IN (@{l}), length(@{s}), (SELECT count(*) FROM events WHERE event = '@{s}'), (SELECT count(*) FROM events)",
		"variables": [{"name": "s", "type": "string", "required": true}, {"name": "l", "type": "string[]", "required": true}]}`)
	for _, text := range injections() {
		got, err := ask(t.Context(), w, space, s, map[string]jsontext.Value{"s": raw(text), "l": raw([]string{text, "y"})}, now)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		want := []any{text, text, "<" + text + ">", "'" + text + "'" + text, []any{text, "y"}, false, float64(len([]rune(text))), 0.0, 20.0}
		if fmt.Sprint(got.rows[0]) != fmt.Sprint(want) {
			t.Errorf("%q comes back as %q", text, got.rows[0])
		}
	}
}

// Promise: names in a definition are names and nothing else: events, properties on every way, and literals of filters.
func TestNamesAreNeverSQL(t *testing.T) {
	t.Parallel()
	w := openWarehouse(t)
	space := event.Space{Project: "named", Environment: "production"}
	var all []event.Event
	var names []string
	for i, name := range injections() {
		if len(name) > 200 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			continue
		}
		quoted := string(raw(name))
		properties := fmt.Sprintf(`{%s:%d,"deep":{%s:{%s:"v%d"}}}`, quoted, i, quoted, quoted, i)
		if name == "deep" {
			t.Fatal("the name stands for itself")
		}
		names = append(names, name)
		all = append(all, event.Event{
			Kind: event.Track, Name: name, Timestamp: now.Add(-1e9), ReceivedAt: now, DistinctID: name, ID: fmt.Sprint("id", i), Properties: jsontext.Value(properties),
			Project: space.Project, Environment: space.Environment, KeyID: "key_1", Source: "track",
		})
	}
	load(t, w, space, all)
	pointer := strings.NewReplacer("~", "~0", "/", "~1")
	for _, name := range names {
		key := pointer.Replace(name)
		d := &metric.Definition{Top: &metric.Top{
			Event: name, By: metric.Field{Property: "/deep/" + key + "/" + key}, Measure: metric.Measure{Type: "max", Property: "/" + key},
			Filters: []metric.Filter{
				{Field: metric.Field{Column: "distinct_id"}, Op: "=", Value: raw(name)}, {Field: metric.Field{Column: "event"}, Op: "in", Value: raw([]string{name, "'"})},
				{Field: metric.Field{Property: "/" + key}, Op: "exists"},
			},
		}}
		s, err := metric.Compile(d)
		if err != nil {
			if strings.Count(name, "'") < 50 { // a property's name may be refused for its length and its signs
				t.Errorf("%q: %v", name, err)
			}
			continue
		}
		got, err := ask(t.Context(), w, space, s, nil, now)
		if err != nil || len(got.rows) != 1 {
			t.Errorf("%q gives %v, %v\n%s", name, got.rows, err, s.SQL)
			continue
		}
		if n := int(got.rows[0][1].(float64)); got.rows[0][0] != fmt.Sprintf("v%d", n) || all[slices.Index(names, name)].ID != fmt.Sprintf("id%d", n) {
			t.Errorf("%q gives %v", name, got.rows)
		}
	}
}

// Promise: a place in a rewritten statement leads back to the place in the source that it comes from.
func TestSource(t *testing.T) {
	s, err := metric.Compile(inSQL("SELECT é, @{n}, x,\n  '@{s}' AS y,\n  z, 'a@{s}b', w"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"SELECT", "é", "x", "AS y", "z", "w"} {
		line, column := place(s.SQL, word)
		sourceLine, sourceColumn := s.Source(line, column)
		wantLine, wantColumn := place("SELECT é, @{n}, x,\n  '@{s}' AS y,\n  z, 'a@{s}b', w", word)
		if sourceLine != wantLine || sourceColumn != wantColumn {
			t.Errorf("%s is at %d:%d, from %d:%d, want %d:%d", word, line, column, sourceLine, sourceColumn, wantLine, wantColumn)
		}
	}
	line, column := place(s.SQL, "|| 'b'")
	if line, column = s.Source(line, column); line != 3 || column != 6 {
		t.Errorf("the middle of a rewritten text comes from %d:%d, want its beginning", line, column)
	}
	if line, column = s.Source(99, 99); line != 3 {
		t.Errorf("a place behind the end comes from %d:%d", line, column)
	}
}

// place is where a word is in a text: its line and column in characters.
func place(text, word string) (line, column int) {
	before, _, _ := strings.Cut(text, word)
	return strings.Count(before, "\n") + 1, len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1
}

// Promise: the placeholders of SQL without declarations are found, each once and in order.
func TestPlaceholders(t *testing.T) {
	names, err := metric.Placeholders("SELECT '@{b}', @{a_1}, 'x@{b}y@{C}' WHERE x @> '@{2}'")
	if err != nil || !slices.Equal(names, []string{"b", "a_1", "C"}) {
		t.Errorf("%v, %v", names, err)
	}
	if _, err = metric.Placeholders("SELECT \"@{a}\""); problem.Of(err) != problem.InvalidField {
		t.Error(err)
	}
	if _, err = metric.Placeholders(strings.Repeat("x", metric.MaxSQL+1)); problem.Of(err) != problem.InvalidField {
		t.Error(err)
	}
}

// Promise: SQL without declarations has variables of the types of the values that are given for them.
func TestUndeclared(t *testing.T) {
	const sql = "SELECT properties->>'urlPath' FROM events WHERE event = '@{eventName}' AND x IN (@{list}) AND @{yes} AND y > @{n} LIMIT @{rowLimit}"
	given := map[string]jsontext.Value{
		"eventName": raw("it's"), "rowLimit": raw(10), "list": raw([]string{"a"}), "yes": raw(true), "n": raw(0.5),
	}
	d, err := metric.Undeclared(sql, given)
	if err != nil {
		t.Fatal(err)
	}
	s, err := metric.Compile(&d)
	const want = `SELECT properties->>'urlPath' FROM events WHERE event = $1 AND x IN (SELECT unnest(from_json($2, '["VARCHAR"]'))) AND CAST($3 AS BOOLEAN) AND y > CAST($4 AS DOUBLE) LIMIT CAST($5 AS BIGINT)`
	if err != nil || s.SQL != want {
		t.Fatalf("%v, %v", s, err)
	}
	if bound, err := s.Bind(given, now); err != nil || fmt.Sprint(bound) != `["it's" "[\"a\"]" true 0.5 10]` {
		t.Errorf("%v, %v", bound, err)
	}
	_, err = metric.Undeclared(sql, map[string]jsontext.Value{"eventName": raw(nil), "rowLimit": raw(map[string]any{}), "list": raw([]any{1, "a"}), "n": jsontext.Value("x")})
	if p := problem.From(err); p.Code != problem.InvalidField || len(p.Fields) != 5 || p.Fields[0].Name != "variables.eventName" {
		t.Errorf("%v", err)
	}
}
