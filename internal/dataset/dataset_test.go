package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: names of datasets are letters, digits, _ and -, and neither those of the system nor those of the tables there are.
func TestNamesOfDatasets(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"QUOTES": true, "a": true, "a-b_9": true, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "": false, "9a": false, "_system": false,
		"_SYSTEMx": false, "events": false, "Persons": false, "a b": false, "a\x00": false, "é": false, "a\u0301": false, `a"`: false, "a/b": false, "..": false,
	} {
		if ValidID(id) != want {
			t.Errorf("%.70q: %v", id, !want)
		}
	}
	for _, name := range []string{"_system", "_SYSTEM_x", "_SyStEm1"} {
		if !Reserved(name) || nameFault(name) == "" {
			t.Errorf("%q is not the system's", name)
		}
	}
	if Credits(access.Premium) <= Credits(access.Core) {
		t.Error("premium costs no more")
	}
}

func quotes() *Definition {
	return &Definition{
		Schema: Schema{Properties: []Property{
			{Name: "symbol", Type: String, Required: true}, {Name: "day", Type: Date}, {Name: "close", Type: Number, Null: true}, {Name: "n", Type: Integer},
			{Name: "up", Type: Boolean}, {Name: "tags", Type: Array}, {Name: "of", Type: Object}, {Name: "any", Type: Any},
		}},
		Index: Index{Key: "symbol", Date: "day"},
	}
}

// Promise: a record is what the schema says, or is told which fields are not; what the schema does not name is kept.
func TestRecordsFitTheirSchema(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]string{
		`{"symbol":"A"}`: `A 2026-03-04T05:06:07Z {"symbol":"A"}`,
		`{"symbol":"A b","day":"2026-01-02","close":null,"n":3,"up":true,"tags":[1],"of":{"a":1},"any":"x","more":[null]}`: `A b 2026-01-02T00:00:00Z {"symbol":"A b","day":"2026-01-02","close":null,"n":3,"up":true,"tags":[1],"of":{"a":1},"any":"x","more":[null]}`,
		`{"more":1,"symbol":"A","n":3.0}`:                            `A 2026-03-04T05:06:07Z {"symbol":"A","n":3,"more":1}`,
		`{"symbol":"A","day":1700000000}`:                            `A 2023-11-14T22:13:20Z {"symbol":"A","day":"2023-11-14T22:13:20Z"}`,
		`{"symbol":"A","day":"2026-01-02T03:04:05.123456789+02:00"}`: `A 2026-01-02T01:04:05.123456Z {"symbol":"A","day":"2026-01-02T01:04:05.123456Z"}`,
		`{}`:                                "symbol: is required",
		`{"symbol":null}`:                   "symbol: must not be null",
		`{"symbol":5,"n":1.5,"up":0}`:       "symbol: must be of type string, is a number; n: must be a whole number of 64 bits; up: must be of type boolean, is a number",
		`{"symbol":"A","day":"02/01/2026"}`: "day: " + notADate,
		`{"symbol":"A","_System":1}`:        "_System: names that begin with _system are the system's",
		`{"symbol":"` + strings.Repeat("x", MaxIndexed+1) + `"}`: "symbol: has 1501 bytes, and a value of the index may have 1500",
		`{"symbol":"a\u0000"}`:        "symbol: has a NUL character, which a value of the index may not",
		`{"symbol":"A","symbol":"B"}`: ": is not one JSON object: duplicate object member name \"symbol\"",
		`{"symbol":"A","x":"` + strings.Repeat("y", MaxRecord-10) + `"}`: ": the record has more than 65536 bytes",
		`[]`: ": is not one JSON object",
	} {
		cells, fault := cellsOf([]byte(text))
		r, fields := quotes().verdict(Item{cells, fault}, now, now)
		got := fmt.Sprintf("%s %s %s", r.Key, r.Date.Format(time.RFC3339Nano), r.Body)
		if fields != nil {
			var faults []string
			for _, f := range fields {
				faults = append(faults, f.Name+": "+f.Detail)
			}
			got = strings.Join(faults, "; ")
		}
		if got != want {
			t.Errorf("%.80s\ngot  %.200s\nwant %.200s", text, got, want)
		}
	}
}

// Promise: the schema that is shown is the one that was read, and one with what datasets do not have is refused.
func TestSchemas(t *testing.T) {
	t.Parallel()
	text, err := quotes().Schema.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadSchema(text)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(quotes().Schema) {
		t.Errorf("%s is %v, %v", text, again, err)
	}
	for _, bad := range []string{
		`{}`, `[]`, `null`, `{"type":"object"}`, `{"type":"object","properties":{}}`, `{"type":"array","properties":{"a":{}}}`,
		`{"type":"object","properties":{"a":{"type":"decimal"}}}`, `{"type":"object","properties":{"a":{"type":["string","number"]}}}`,
		`{"type":"object","properties":{"a":{"pattern":"x"}}}`, `{"type":"object","properties":{"_system":{}}}`, `{"type":"object","properties":{"a":{}},"required":["b"]}`,
		`{"type":"object","properties":{"a":{}},"additionalProperties":false}`, `{"type":"object","properties":{"":{}}}`,
	} {
		if s, err := ReadSchema([]byte(bad)); problem.Of(err) != problem.InvalidField {
			t.Errorf("%s: %v, %v", bad, s, err)
		}
	}
}

// Promise: what is wrong with a schema is told at its own place, in words about the schema and not about the program.
func TestSchemaFaultsNameTheirPlace(t *testing.T) {
	t.Parallel()
	for bad, field := range map[string]string{
		`5`: "schema",
		`{"type":"object","properties":{"a":{}},"additionalProperties":false}`:    "schema.additionalProperties",
		`{"type":"object","properties":{"a":{}},"required":"a"}`:                  "schema.required",
		`{"type":"object","properties":{"a":{"pattern":"x"}}}`:                    "schema.properties.a.pattern",
		`{"type":"object","properties":{"a":{"type":"string","nullable":"yes"}}}`: "schema.properties.a.nullable",
		`{"type":"object","properties":{"a":"string"}}`:                           "schema.properties.a",
	} {
		_, err := ReadSchema([]byte(bad))
		p := problem.From(err)
		if p.Code != problem.InvalidField || len(p.Fields) != 1 || p.Fields[0].Name != field || strings.Contains(p.Detail, "Go ") {
			t.Errorf("%s: %v, want it to name %s", bad, err, field)
		}
	}
}

// rowsOf reads all rows of a file: each as its line with its fields, or with what is wrong with it.
func rowsOf(s source, err error) []string {
	if err != nil {
		return []string{problem.From(err).Detail}
	}
	var all []string
	for {
		r, err := s.next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			return append(all, problem.From(err).Detail)
		}
		text := fmt.Sprint(r.line, ":")
		if r.fault != "" {
			text += " ! " + r.fault
		}
		for _, c := range r.cells {
			text += fmt.Sprintf(" %s=%s%s", c.name, c.text, string(c.json))
		}
		all = append(all, text)
	}
}

// Promise: files of text are read in each of their formats, and what is wrong with a line spoils no other.
func TestFilesOfText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxRecord+1)
	for text, want := range map[string]string{
		"a,b\n1,2\n\r\n3,4":                        "2: a=1 b=2|4: a=3 b=4",
		"\xef\xbb\xbfa\tb\n1\t\"x\ty\"\n":          "2: a=1 b=x\ty",
		"a|b\n\"1\n\"\"2\"|3\n4|5":                 "2: a=1\n\"2 b=3|4: a=4 b=5",
		"a,b\n1\n1,2,3\n\"x\"y,2\n\"open,2\n5,6\n": "2: ! the line has 1 fields, and the header 2|3: ! the line has 3 fields, and the header 2|4: ! there is text between a closing quotation mark and the next separator|5: ! a quotation mark is not closed|6: a=5 b=6",
		"a,b\n\xff,1\n" + long + "\n1,2":           "2: ! the line is not UTF-8|3: ! the line has more than 65536 bytes|4: a=1 b=2",
		"a,a\n1,2":                                 "line 1: is the header, and names \"a\" twice",
		"a,_system\n":                              "line 1: is the header, and its field 2, \"_system\": names that begin with _system are the system's",
		"":                                         "The file is empty.",
		" \n":                                      "The file is empty.",
		"{\"a\":1}\n\n{\"a\":\n{\"b\":\"x\"}\n5":   "1: a=1|3: ! is not one JSON object: unexpected EOF within \"/a\" after offset 5|4: b=\"x\"|5: ! is not one JSON object",
		"[\n{\"a\":1},\n 7,\n{\"a\":\n2}]":         "2: a=1|3: ! is not one JSON object|4: a=2",
		"[{\"a\":1},\n{\"a\" 2},{\"a\":3}]":        "1: a=1|2: ! is not JSON, and what comes after it cannot be read: invalid character '2' after object name (expecting ':') within \"/1/a\" after offset 15",
	} {
		got := strings.Join(rowsOf(newSource(strings.NewReader(text), detect([]byte(text), ""))), "|")
		if got != want {
			t.Errorf("%.60q\ngot  %.300q\nwant %.300q", text, got, want)
		}
	}
}

// Promise: the schema that is inferred is the narrowest that all rows fit, and a Parquet file is read like the others.
func TestSchemasAreInferred(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	type line struct {
		Symbol string    `parquet:"symbol"`
		Day    time.Time `parquet:"day,timestamp(microsecond)"`
		Price  float64   `parquet:"price"`
		N      *int64    `parquet:"n,optional"`
	}
	n := int64(7)
	path := filepath.Join(dir, "x.parquet")
	if err := parquet.WriteFile(path, []line{{"A", time.UnixMicro(1_700_000_000_000_001), 1.5, &n}, {"B", time.UnixMicro(0), -2, nil}}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"s,d,i,f,b,z,e\nA,Jan 1 2000,1,1,true,007,\nB,Feb 1 2000,-2,2.5,false,1,\n": "csv [{s string false true} {d date false true} {i integer false true} {f number false true} {b boolean false true} {z string false true} {e any false false}]",
		`[{"a":1,"b":null,"c":{"x":1}},{"a":2.5,"d":[1]}]`:                          "json [{a number false true} {b any true false} {c object false false} {d array false false}]",
		string(data):       "parquet [{symbol string false true} {day date false true} {price number false true} {n integer false false}]",
		"PAR1 and no more": "The Parquet file cannot be read.",
		"a,b\n1\n":         "The file has no rows that can be read.",
	} {
		name := filepath.Join(dir, "file")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		found, err := Infer(f, "text/csv")
		got := fmt.Sprintf("%s %v", found.Format, found.Schema.Properties)
		if err != nil {
			got = problem.From(err).Detail
		}
		if got != want {
			t.Errorf("%.40q is %s, want %s", text, got, want)
		}
		_ = f.Close()
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	s, _, err := openSource(f, "")
	want := "1: symbol=A day=2023-11-14T22:13:20.000001Z price=1.5 n=7|2: symbol=B day=1970-01-01T00:00:00Z price=-2"
	if got := strings.Join(rowsOf(s, err), "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func now() time.Time { return time.Date(2026, 11, 28, 13, 14, 15, 0, time.UTC) } // a Saturday

// Promise: ranges of time are what they are called.
func TestRanges(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"5d": "2026-11-23 00:00 2026-11-29 00:00", "d": "2026-11-27 00:00 2026-11-29 00:00", "2m": "2026-09-28 00:00 2026-11-29 00:00", "1y": "2025-11-28 00:00 2026-11-29 00:00",
		"3H": "2026-11-28 10:14 2026-11-28 13:14", "today": "2026-11-28 00:00 2026-11-29 00:00", "this-week": "2026-11-23 00:00 2026-11-30 00:00",
		"last-week": "2026-11-16 00:00 2026-11-23 00:00", "this-quarter": "2026-10-01 00:00 2027-01-01 00:00", "last-month": "2026-10-01 00:00 2026-11-01 00:00",
		"ytd": "2026-01-01 00:00 2026-11-29 00:00", "this-year": "2026-01-01 00:00 2027-01-01 00:00", "last-year": "2025-01-01 00:00 2026-01-01 00:00", "max": "0001-01-01 00:00 0001-01-01 00:00",
		"": "", "0d": "", "-1d": "", "5x": "", "99999999999d": "", "5000y": "", "5 d": "", "d5": "",
	} {
		from, until, ok := parseRange(text, now(), false)
		got := ""
		if ok {
			got = from.Format("2006-01-02 15:04 ") + until.Format("2006-01-02 15:04")
		}
		if text == "" {
			continue
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// Promise: some months before a day that the other month does not have is that month's last day, and not a day of the next.
func TestRangesOfMonthsEndInThem(t *testing.T) {
	t.Parallel()
	for date, months := range map[string]map[int]string{
		"2026-03-31": {-1: "2026-02-28", -4: "2025-11-30", 1: "2026-04-30", -25: "2024-02-29"},
		"2024-02-29": {-12: "2023-02-28", -48: "2020-02-29", 12: "2025-02-28"},
		"2026-11-28": {-1: "2026-10-28", -12: "2025-11-28", 2: "2027-01-28"},
	} {
		from, err := time.Parse(time.DateOnly, date)
		if err != nil {
			t.Fatal(err)
		}
		for n, want := range months {
			if got := addMonths(from, n).Format(time.DateOnly); got != want {
				t.Errorf("%s and %d months is %s, want %s", date, n, got, want)
			}
		}
	}
}

// Promise: what is asked is what is selected, and what makes no sense is told by its parameter.
func TestSelections(t *testing.T) {
	t.Parallel()
	d := &Dataset{ID: "Q", Definition: *quotes()}
	for _, c := range []struct {
		ask  Ask
		want string // of the selection, or the fields at fault
	}{
		{Ask{}, "most 1"},
		{Ask{Keys: []string{"A"}}, "most 1"},
		{Ask{On: "2026-01-02"}, "from 2026-01-02T00:00:00Z until 2026-01-03T00:00:00Z"},
		{Ask{From: "2026-01-02", To: "2026-01-02"}, "from 2026-01-02T00:00:00Z until 2026-01-03T00:00:00Z"},
		{Ask{To: "2026-01-02T03:00:00Z", Last: 3}, "most 3 until 2026-01-02T03:00:00.000001Z"},
		{Ask{First: 3, Limit: 2, Sort: "asc"}, "most 2 oldest upwards"},
		{Ask{First: 3, Last: 2}, "! query.first"},
		{Ask{Sort: "up", Range: "x", From: "y", DateField: "close", Subkey: "s"}, "! path.subkey query.dateField query.range query.range query.sort"},
		{Ask{From: "2026-01-02", To: "2026-01-01"}, "! query.from"},
		{Ask{Filter: `close > 1.50 and symbol in (A, "B ""C") and up = TRUE`}, "! query.filter"},
		{Ask{Limit: 1, Filter: `symbol = 'AAPL'`}, "most 1 [{symbol string = [AAPL]}]"},
		{Ask{Limit: 1, Filter: `symbol in ('BRK B','O"B', "O'B", 'O\'B\\', O'Brien, '') and 'up'='true'`}, `most 1 [{symbol string in [BRK B O"B O'B O'B\ O'Brien ]} {up boolean = [true]}]`},
		{Ask{Filter: `symbol = 'AAPL`}, "! query.filter"},
		{Ask{Filter: `symbol = 'AAPL"`}, "! query.filter"},
		{Ask{Filter: `symbol = 'A''B'`}, "! query.filter"},
		{Ask{Limit: 1, Filter: `close > 1.50 and symbol in (A, "B \"C") AND up = TRUE and day >= 2026-01-02`}, `most 1 [{close number > [1.50]} {symbol string in [A B "C]} {up boolean = [true]} {day date >= [2026-01-02]}]`},
	} {
		s, err := c.ask.Selection(d, now())
		got := ""
		if err != nil {
			got = "!"
			for _, f := range problem.From(err).Fields {
				got += " " + f.Name
			}
		} else {
			if s.Most > 0 {
				got += fmt.Sprintf(" most %d", s.Most)
			}
			for name, set := range map[string]bool{" oldest": s.Oldest} {
				if set {
					got += name
				}
			}
			if s.Upwards {
				got += " upwards"
			}
			if !s.From.IsZero() {
				got += " from " + s.From.Format(time.RFC3339Nano)
			}
			if !s.Until.IsZero() {
				got += " until " + s.Until.Format(time.RFC3339Nano)
			}
			if s.Where != nil {
				got += fmt.Sprintf(" %v", s.Where)
			}
			got = strings.TrimSpace(got)
		}
		if got != c.want {
			t.Errorf("%+v\ngot  %s\nwant %s", c.ask, got, c.want)
		}
	}
}

// Promise: whatever a filter is, it is read or refused; what is read compares properties of the schema only.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{`close > 1`, `symbol in (A, "B") and up != false`, `symbol = "a\"b"`, `symbol in ('a', 'b\'c"', "d'e", f'g)`, `close >`, `()`, `and`, `symbol = ' OR 1=1 --`, `symbol in (`, "\x00=\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var fs faults
		schema := quotes().Schema
		for _, c := range fs.filter(text, &schema) {
			if _, ok := schema.Property(c.Property); !ok || len(c.Values) == 0 {
				t.Errorf("%q compares %+v", text, c)
			}
		}
		_, _, _ = parseRange(text, now(), false)
		if at, _, ok := ParseTime(text); ok && (at.Year() < 1 || at.Year() > 9999) {
			t.Errorf("%q is %v", text, at)
		}
	})
}

// Promise: whatever a file of text is, it is read to its end, with lines that only grow and records that fit or are refused.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "a\n\"\n\"\n", "[{}]", "[{},", "{\"a\":1}\n{", "a|b\n\"x|y\"|z", "\xef\xbb\xbf[1]", "\"", "a\n\"\"\"\n\n\"\"\"\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := newSource(strings.NewReader(text), detect([]byte(text), ""))
		if err != nil {
			return
		}
		last, n := int64(0), 0
		for {
			r, err := s.next()
			if err != nil {
				break
			}
			if n++; r.line < last || n > len(text)+1 {
				t.Fatalf("line %d comes after line %d, as row %d", r.line, last, n)
			}
			last = r.line
			record, fields := quotes().verdict(Item{r.cells, r.fault}, now(), now())
			if fields == nil && (record.Key == "" || !record.Body.IsValid()) {
				t.Errorf("%q gives the record %+v", text, record)
			}
		}
	})
}
