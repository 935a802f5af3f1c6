package query_test

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

var update = flag.Bool("update", false, "write the golden files")

// everything is an answer with a column of every type, two columns of one name, and the values that are hard to write.
func everything() *engine {
	return &engine{
		columns: []query.Column{
			{Name: "n", Type: "BIGINT"}, {Name: "n", Type: "HUGEINT"}, {Name: "n_2", Type: "UTINYINT"}, {Name: "a \"b\", c", Type: "VARCHAR"},
			{Name: "=sum", Type: "DECIMAL(20,2)"}, {Name: "price", Type: "DECIMAL(9,3)"}, {Name: "mid", Type: "DECIMAL(18,0)"}, {Name: "ok", Type: "BOOLEAN"}, {Name: "at", Type: "TIMESTAMP"},
			{Name: "day", Type: "DATE"}, {Name: "x", Type: "DOUBLE"}, {Name: "y", Type: "FLOAT"}, {Name: "props", Type: "JSON"},
			{Name: "list", Type: "BIGINT[]"}, {Name: "u", Type: "UBIGINT"}, {Name: "i", Type: "INTEGER"},
		},
		rows: []string{
			`[1,170141183460469231731687303715,0,"plain",1.50,-0.001,1,true,"2026-11-22T06:00:00.123456Z","2026-11-22",0.1,0.1,{"a":1},[1,2],18446744073709551615,-2147483648]`,
			`[null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null]`,
			`[-9223372036854775808,-99999999999999999999999999999999999999,255,"",-999999999999999999.99,999999.999,-999999999999999999,false,"1969-12-31T23:59:59.999999Z","0001-01-01",-1e-300,3.4028235e+38,"text",[],0,0]`,
			`[9007199254740993,-1,7,"say \"hi\",\r\nthen\tgo\n",0.00,0.000,0,true,"9999-12-31T23:59:59.999999Z","9999-12-31",-5,-0.5,{"a" :` + "\n" + ` [1, "\u0000"]},[null],1,1]`,
			`[0,0,0,"=1+1",0.01,1.000,0,true,"2000-01-01T00:00:00.000000Z","1970-01-01",0,0,"=1+1",["=1+1"],1,1]`,
			`[0,0,0,"é €😀\ud83d\ude00\u00e9",0.01,1.000,0,true,"2000-01-01T00:00:00.000000Z","1969-12-31",0,0,null,null,1,1]`,
		},
	}
}

// Promise: each format is written byte for byte as documented (Parquet: the same schema and values).
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]query.Question{
		"answer.json": {Format: query.JSON}, "answer.ndjson": {Format: query.NDJSON}, "answer.csv": {Format: query.CSV},
		"spreadsheet.csv": {Format: query.CSV, Spreadsheet: true}, "answer.parquet.txt": {Format: query.Parquet},
		"objects.json": {Format: query.Objects}, "answer.arrow.txt": {Format: query.Arrow},
	} {
		got := ask(t, everything(), q)
		if q.Format == query.Parquet {
			got = describeParquet(t, got)
		}
		if q.Format == query.Arrow {
			got = describeArrow(t, got)
		}
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from its golden file:\n%s", name, got)
		}
	}
}

// Promise: an answer without rows is complete too.
func TestNoRows(t *testing.T) {
	t.Parallel()
	for f, want := range map[query.Format]string{
		query.JSON:    `{"columns":[{"name":"n","type":"BIGINT"}],"rows":[` + "\n" + `],"row_count":0,"elapsed_ms":0}` + "\n",
		query.Objects: `{"columns":[{"name":"n","type":"BIGINT"}],"data":[` + "\n" + `],"row_count":0,"elapsed_ms":0}` + "\n",
		query.NDJSON:  "", query.CSV: "n\r\n",
	} {
		if got := ask(t, numbers(0), query.Question{Format: f}); got != want {
			t.Errorf("%s: %q, want %q", f, got, want)
		}
	}
	if names, rows := readParquet(t, ask(t, numbers(0), query.Question{Format: query.Parquet})); len(rows) != 0 || !reflect.DeepEqual(names, []string{"n"}) {
		t.Errorf("parquet: %v, %v", names, rows)
	}
}

// Promise: a null that is alone on its line does not make the line empty, which readers pass over.
func TestSingleNullsAreRows(t *testing.T) {
	t.Parallel()
	e := numbers(0)
	e.rows = []string{"[null]", "[1]", "[null]"}
	records, err := csv.NewReader(strings.NewReader(ask(t, e, query.Question{Format: query.CSV}))).ReadAll()
	if err != nil || len(records) != 4 {
		t.Fatalf("%q, %v", records, err)
	}
}

// Promise: with Spreadsheet no text begins a formula, and nothing but such text is changed.
func TestSpreadsheet(t *testing.T) {
	t.Parallel()
	e := &engine{columns: []query.Column{{Name: "=a", Type: "VARCHAR"}, {Name: "n", Type: "BIGINT"}}}
	for _, first := range []string{"=", "+", "-", "@", `\t`, `\r`, `\n`, `\u0000`, "a", "'", ""} {
		e.rows = append(e.rows, `["`+first+`1",-1]`)
	}
	records := parseCSV(t, ask(t, e, query.Question{Format: query.CSV, Spreadsheet: true}))
	want := []string{"'=a", "'=1", "'+1", "'-1", "'@1", "'\t1", "'\r1", "'\n1", "'\x001", "a1", "'1", "1"}
	for i, record := range records {
		if record[0].text != want[i] || i > 0 && record[1].text != "-1" {
			t.Errorf("record %d: %v, want %q", i, record, want[i])
		}
	}
	if exact := parseCSV(t, ask(t, e, query.Question{Format: query.CSV})); exact[1][0].text != "=1" {
		t.Errorf("without Spreadsheet: %v", exact[1])
	}
}

// Promise: what a type of Parquet or Arrow cannot hold is said, with the way out, and never stored as something else.
func TestValuesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, value string }{
		{"DATE", `"10000-01-01"`}, {"TIMESTAMP", `"infinity"`}, {"TINYINT", `128`}, {"UTINYINT", `256`}, {"UBIGINT", `-1`}, {"BIGINT", `1.5`},
		{"BOOLEAN", `"yes"`}, {"DECIMAL(4,2)", `100.00`}, {"DECIMAL(4,2)", `1.005`}, {"DECIMAL(4,2)", `1e1`}, {"DECIMAL(4,2)", `1e999999999`}, {"DECIMAL(38,0)", `"--1"`},
		{"HUGEINT", `170141183460469231731687303715884105727`}, {"DOUBLE", `1e999`}, {"FLOAT", `1e39`},
	} {
		for _, f := range []query.Format{query.Parquet, query.Arrow} {
			e := &engine{columns: []query.Column{{Name: "v", Type: c.typ}}, rows: []string{"[" + c.value + "]"}}
			a, err := service(t, e).Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", Format: f})
			if a != nil {
				t.Errorf("%s: %s %s was stored", f, c.typ, c.value)
				continue
			}
			wantField(t, err, "format")
			if !strings.Contains(problem.From(err).Detail, `"v"`) || !strings.Contains(problem.From(err).Detail, string(f)) {
				t.Errorf("%s: %s %s: the column is not named: %v", f, c.typ, c.value, err)
			}
		}
	}
}

// Promise: a Parquet answer has a limit on its columns, and many columns or many row groups are all there.
func TestLargeParquet(t *testing.T) {
	t.Parallel()
	wide := &engine{}
	for i := range 1001 {
		wide.columns = append(wide.columns, query.Column{Name: fmt.Sprint("c", i), Type: "INTEGER"})
	}
	_, err := service(t, wide).Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", Format: query.Parquet})
	wantField(t, err, "format")
	wide.columns = wide.columns[:1000]
	wide.rows = []string{"[" + strings.Repeat("7,", 999) + "7]"}
	names, rows := readParquet(t, ask(t, wide, query.Question{Format: query.Parquet}))
	if len(names) != 1000 || names[999] != "c999" || len(rows) != 1 || rows[0][999].Int32() != 7 {
		t.Errorf("%d names, %d rows", len(names), len(rows))
	}

	tall := &engine{columns: []query.Column{{Name: "s", Type: "VARCHAR"}}}
	random := rand.NewChaCha8([32]byte{})
	for range 200 { // 20 MB that hardly can be compressed
		text := make([]byte, 75_000)
		_, _ = random.Read(text)
		tall.rows = append(tall.rows, `["`+base64.StdEncoding.EncodeToString(text)+`"]`)
	}
	data := ask(t, tall, query.Question{Format: query.Parquet})
	file, err := parquet.OpenFile(strings.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if groups := len(file.RowGroups()); groups != 3 {
		t.Errorf("%d row groups in %d bytes, want 3 of at most about 8 MiB", groups, len(data))
	}
	_, rows = readParquet(t, data)
	for i := range tall.rows {
		if `["`+string(rows[i][0].ByteArray())+`"]` != tall.rows[i] {
			t.Fatalf("row %d is another", i)
		}
	}
}

// Promise: every format gives back exactly the values the engine gave, whatever they are.
func TestEveryFormatIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		e := &engine{}
		cells := [][]cell{}
		name := rapid.OneOf(rapid.SampledFrom([]string{"n", "n_2", "N", "a,b", `"`, "é", "\n", "1"}), rapid.StringN(1, 10, 40))
		kinds := rapid.SliceOfN(rapid.SampledFrom(kinds()), 1, 6).Draw(r, "kinds")
		for _, k := range kinds {
			e.columns = append(e.columns, query.Column{Name: name.Draw(r, "name"), Type: k.typ})
		}
		for range rapid.IntRange(0, 5).Draw(r, "rows") {
			row, values := []cell{}, []string{}
			for _, k := range kinds {
				c := cell{null: true, json: "null"}
				if rapid.IntRange(0, 4).Draw(r, "null") > 0 {
					c = k.draw(r)
				}
				row, values = append(row, c), append(values, c.json)
			}
			cells = append(cells, row)
			e.rows = append(e.rows, "["+strings.Join(values, ",")+"]")
		}
		checkJSON(r, t, e)
		names := checkNDJSON(r, t, e, cells)
		checkCSV(r, t, e, names, cells)
		checkParquet(r, t, e, names, cells)
		checkArrow(r, t, e, names, cells)
		checkObjects(r, t, e, names, cells)
	})
}

// cell is a value as the engine gives it, and what a format without JSON shows.
type cell struct {
	json, text string
	null       bool
}

type kind struct {
	typ  string
	draw func(*rapid.T) cell
}

func kinds() []kind {
	number := func(typ string, least, most int64) kind {
		return kind{typ, func(r *rapid.T) cell {
			n := strconv.FormatInt(rapid.Int64Range(least, most).Draw(r, typ), 10)
			return cell{json: n, text: n}
		}}
	}
	decimal := func(precision, scale int) kind {
		typ := fmt.Sprintf("DECIMAL(%d,%d)", precision, scale)
		return kind{typ, func(r *rapid.T) cell {
			digits := rapid.StringMatching(fmt.Sprintf(`[0-9]{%d}`, precision)).Draw(r, typ)
			n, _ := new(big.Int).SetString(rapid.SampledFrom([]string{"", "-"}).Draw(r, "sign")+digits, 10)
			s := point(n, scale)
			return cell{json: s, text: s}
		}}
	}
	timed := func(typ, layout string, least, most int64) kind {
		return kind{typ, func(r *rapid.T) cell {
			s := time.UnixMicro(rapid.Int64Range(least, most).Draw(r, typ)).UTC().Format(layout)
			return cell{json: `"` + s + `"`, text: s}
		}}
	}
	text := func(typ string) kind {
		return kind{typ, func(r *rapid.T) cell {
			s := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", `"`, "\r\n", ",", "=1", " ", "null", "\x00", "{}"})).Draw(r, typ)
			j, _ := jsontext.AppendQuote(nil, s)
			return cell{json: string(j), text: s}
		}}
	}
	nested := func(typ string) kind {
		return kind{typ, func(r *rapid.T) cell {
			j := rapid.SampledFrom([]string{`{}`, `{"a":[1,"x\ny"]}`, "{\"a\" :\n1}", `[1,null]`, `{"a":1,"a":2}`, `12345678901234567890.5`, `true`}).Draw(r, typ)
			return cell{json: j, text: j}
		}}
	}
	const first, last = -62135596800_000000, 253402300799_999999 // the years 1 to 9999
	all := []kind{
		number("TINYINT", -128, 127), number("SMALLINT", -1<<15, 1<<15-1), number("INTEGER", -1<<31, 1<<31-1), number("BIGINT", -1<<63, 1<<63-1),
		number("UTINYINT", 0, 255), number("USMALLINT", 0, 1<<16-1), number("UINTEGER", 0, 1<<32-1), number("UBIGINT", 0, 1<<63-1),
		number("HUGEINT", -1<<63, 1<<63-1), number("UHUGEINT", 0, 1<<63-1),
		decimal(4, 0), decimal(9, 9), decimal(10, 2), decimal(18, 5), decimal(19, 0), decimal(38, 10), decimal(38, 38),
		timed("DATE", time.DateOnly, first, last), timed("TIMESTAMP", "2006-01-02T15:04:05.000000Z", first, last),
		timed("TIMESTAMP WITH TIME ZONE", "2006-01-02T15:04:05.000000Z", first, last), text("VARCHAR"), text("BLOB"), nested("JSON"), nested("BIGINT[]"),
		{"JSON", func(r *rapid.T) cell { j := text("").draw(r).json; return cell{json: j, text: j} }},
		{"BOOLEAN", func(r *rapid.T) cell {
			s := strconv.FormatBool(rapid.Bool().Draw(r, "bool"))
			return cell{json: s, text: s}
		}},
		{"DOUBLE", func(r *rapid.T) cell {
			s := jsontext.Float(rapid.Float64().Draw(r, "double")).String()
			return cell{json: s, text: s}
		}},
		{"FLOAT", func(r *rapid.T) cell {
			s := strconv.FormatFloat(float64(rapid.Float32().Draw(r, "float")), 'e', -1, 32)
			return cell{json: s, text: s}
		}},
	}
	return all
}

// point writes n divided by ten to the scale, with all its decimals.
func point(n *big.Int, scale int) string {
	digits := fmt.Sprintf("%0*s", scale+1, new(big.Int).Abs(n))
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		digits = "-" + digits
	}
	return digits
}

func checkJSON(r *rapid.T, t *testing.T, e *engine) {
	var doc struct {
		Columns  []query.Column
		Rows     []json.RawMessage
		RowCount int `json:"row_count"`
	}
	if err := json.Unmarshal([]byte(ask(t, e, query.Question{})), &doc); err != nil {
		r.Fatal(err)
	}
	if !reflect.DeepEqual(doc.Columns, e.columns) || doc.RowCount != len(e.rows) || len(doc.Rows) != len(e.rows) {
		r.Fatalf("json: %+v", doc)
	}
	for i, row := range doc.Rows {
		if string(row) != e.rows[i] {
			r.Fatalf("json row %d: %s, want %s", i, row, e.rows[i])
		}
	}
}

// checkNDJSON gives the names of the columns, which it takes from the first row.
func checkNDJSON(r *rapid.T, t *testing.T, e *engine, cells [][]cell) []string {
	var names []string
	lines := strings.SplitAfter(ask(t, e, query.Question{Format: query.NDJSON}), "\n")
	if len(lines) != len(cells)+1 || lines[len(cells)] != "" {
		r.Fatalf("ndjson: %d lines for %d rows", len(lines)-1, len(cells))
	}
	for i, row := range cells {
		d := jsontext.NewDecoder(strings.NewReader(lines[i]), jsontext.AllowDuplicateNames(true))
		_, _ = d.ReadToken()
		seen := map[string]bool{}
		for j, want := range row {
			name, err := d.ReadToken()
			if err != nil {
				r.Fatal(err)
			}
			key := name.String()
			value, err := d.ReadValue()
			if err != nil || compact(value) != compact(jsontext.Value(want.json)) {
				r.Fatalf("ndjson row %d column %d: %s, %v, want %s", i, j, value, err, want.json)
			}
			if seen[key] || !strings.HasPrefix(key, e.columns[j].Name) {
				r.Fatalf("ndjson: the column %q is called %q", e.columns[j].Name, key)
			}
			seen[key] = true
			if i == 0 {
				names = append(names, key)
			}
		}
	}
	return names
}

func compact(v jsontext.Value) string {
	v = v.Clone()
	if err := v.Compact(); err != nil {
		return err.Error()
	}
	return string(v)
}

func checkCSV(r *rapid.T, t *testing.T, e *engine, names []string, cells [][]cell) {
	records := parseCSV(t, ask(t, e, query.Question{Format: query.CSV}))
	if len(records) != len(cells)+1 {
		r.Fatalf("csv: %d records for %d rows", len(records), len(cells))
	}
	for j, name := range names {
		if records[0][j].text != name {
			r.Fatalf("csv header: %v, want %q", records[0], names)
		}
	}
	for i, row := range cells {
		for j, want := range row {
			got := records[i+1][j]
			if got.text != want.text || (want.null && len(row) > 1) != (got.text == "" && !got.quoted) {
				r.Fatalf("csv row %d column %d: %+v, want %+v", i, j, got, want)
			}
		}
	}
}

type field struct {
	text   string
	quoted bool
}

// parseCSV reads RFC 4180 by the letter: CR LF after every record, no quote in a field that is not quoted.
func parseCSV(t testing.TB, data string) [][]field {
	t.Helper()
	records, record := [][]field{}, []field{}
	for data != "" {
		var f field
		if data[0] == '"' {
			f.quoted = true
			for data = data[1:]; ; data = data[1:] {
				i := strings.IndexByte(data, '"')
				if i < 0 {
					t.Fatal("csv: a quote without an end")
				}
				f.text += data[:i]
				if data = data[i+1:]; data == "" || data[0] != '"' {
					break
				}
				f.text += `"`
			}
		} else {
			i := strings.IndexAny(data, ",\r\n\"")
			if i < 0 {
				t.Fatal("csv: a record without an end")
			}
			f.text, data = data[:i], data[i:]
		}
		record = append(record, f)
		switch {
		case strings.HasPrefix(data, ","):
			data = data[1:]
		case strings.HasPrefix(data, "\r\n"):
			records, record, data = append(records, record), nil, data[2:]
		default:
			t.Fatalf("csv: %q after a field", data[:min(len(data), 10)])
		}
	}
	return records
}

func checkParquet(r *rapid.T, t *testing.T, e *engine, names []string, cells [][]cell) {
	gotNames, rows := readParquet(t, ask(t, e, query.Question{Format: query.Parquet}))
	if len(rows) != len(cells) || len(rows) > 0 && !reflect.DeepEqual(gotNames, names) {
		r.Fatalf("parquet: %d rows of %q, want %d of %q", len(rows), gotNames, len(cells), names)
	}
	for i, row := range cells {
		for j, want := range row {
			got := rows[i][j]
			if got.IsNull() != want.null {
				r.Fatalf("parquet row %d column %d: null is %v, want %v", i, j, got.IsNull(), want.null)
			}
			if want.null {
				continue
			}
			if text := show(e.columns[j].Type, got); text != want.text {
				r.Fatalf("parquet row %d column %d (%s): %s, want %s", i, j, e.columns[j].Type, text, want.text)
			}
		}
	}
}

// show writes a stored value as the engine would have.
func show(typ string, v parquet.Value) string {
	var precision, scale int
	if typ == "HUGEINT" {
		typ = "DECIMAL(38,0)"
	}
	if n, _ := fmt.Sscanf(typ, "DECIMAL(%d,%d)", &precision, &scale); n == 2 {
		return point(unscaled(v), scale)
	}
	switch typ {
	case "TINYINT", "SMALLINT", "INTEGER":
		return strconv.Itoa(int(v.Int32()))
	case "BIGINT":
		return strconv.FormatInt(v.Int64(), 10)
	case "UTINYINT", "USMALLINT", "UINTEGER":
		return strconv.Itoa(int(v.Uint32()))
	case "UBIGINT":
		return strconv.FormatUint(v.Uint64(), 10)
	case "BOOLEAN":
		return strconv.FormatBool(v.Boolean())
	case "DOUBLE":
		return jsontext.Float(v.Double()).String()
	case "FLOAT":
		return strconv.FormatFloat(float64(v.Float()), 'e', -1, 32)
	case "DATE":
		return time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly)
	case "TIMESTAMP", "TIMESTAMP WITH TIME ZONE":
		return time.UnixMicro(v.Int64()).UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	return string(v.ByteArray())
}

func unscaled(v parquet.Value) *big.Int {
	switch v.Kind() {
	case parquet.Int32:
		return big.NewInt(int64(v.Int32()))
	case parquet.Int64:
		return big.NewInt(v.Int64())
	}
	n := new(big.Int).SetBytes(v.ByteArray())
	if v.ByteArray()[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 128))
	}
	return n
}

func readParquet(t testing.TB, data string) (names []string, rows []parquet.Row) {
	t.Helper()
	file, err := parquet.OpenFile(strings.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range file.Schema().Fields() {
		names = append(names, f.Name())
	}
	for _, group := range file.RowGroups() {
		reader := group.Rows()
		buf := make([]parquet.Row, 1)
		for {
			n, err := reader.ReadRows(buf)
			if n == 1 {
				rows = append(rows, buf[0].Clone())
			}
			if err != nil {
				break
			}
		}
		if err := errors.Join(reader.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if int64(len(rows)) != file.NumRows() {
		t.Fatalf("read %d rows of %d", len(rows), file.NumRows())
	}
	return names, rows
}

// describeParquet is a file's schema and values as text.
func describeParquet(t testing.TB, data string) string {
	t.Helper()
	var b bytes.Buffer
	file, err := parquet.OpenFile(strings.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range file.Schema().Fields() {
		fmt.Fprintf(&b, "%q %v optional=%v\n", f.Name(), f.Type(), f.Optional())
	}
	_, rows := readParquet(t, data)
	for _, row := range rows {
		fmt.Fprintf(&b, "%q\n", row)
	}
	return b.String()
}
