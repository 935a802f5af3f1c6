package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"pgregory.net/rapid"
)

// server stands for a server: it stores each id once, and rejects events that are called "bad".
type server struct {
	stored  []string
	seen    map[string]bool
	weather func() (down bool, lost bool)
}

func (s *server) send(_ context.Context, _ string, body []byte) (Answer, error) {
	down, lost := s.weather()
	if down {
		return Answer{Status: http.StatusServiceUnavailable}, nil
	}
	var items []struct {
		Event string `json:"event"`
		ID    string `json:"event_id"`
	}
	if err := json.Unmarshal(body, &items); err != nil {
		return Answer{}, err
	}
	type rejection struct {
		Index  int    `json:"index"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	rejected := []rejection{}
	for i, item := range items {
		switch {
		case item.Event == "bad":
			rejected = append(rejected, rejection{i, "invalid_field", "it is bad"})
		case !s.seen[item.ID]:
			s.seen[item.ID] = true
			s.stored = append(s.stored, item.Event)
		}
	}
	if lost {
		return Answer{}, errors.New("the connection was reset")
	}
	if len(rejected) == len(items) {
		return Answer{Status: http.StatusUnprocessableEntity, Body: []byte(`{"code":"invalid_field","detail":"it is bad"}`)}, nil
	}
	text, err := json.Marshal(map[string]any{"rejected": rejected})
	return Answer{Status: http.StatusOK, Body: text}, err
}

// Promise: wherever an import is stopped, and whatever fails on the way, in the end every good row is stored once, in
// the order of the file, and every other is in the file of rejected rows once, with its line.
func TestStoppedAnywhere(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var file strings.Builder
		var want []string
		var wantLines []int64
		rows := rapid.SliceOfN(rapid.SampledFrom([]string{"good", "good", "good", "bad", "broken"}), 1, 40).Draw(r, "rows")
		for i, kind := range rows {
			switch kind {
			case "good":
				want = append(want, fmt.Sprint("e", i))
				fmt.Fprintf(&file, `{"event":"e%d","n":%d}`+"\n", i, i)
				continue
			case "bad":
				fmt.Fprintln(&file, `{"event":"bad"}`)
			default:
				fmt.Fprintln(&file, `{"event":`)
			}
			wantLines = append(wantLines, int64(i+1))
		}
		folder, err := os.MkdirTemp(t.TempDir(), "") //nolint:usetesting // one for each draw
		if err != nil {
			r.Fatal(err)
		}
		stop := errors.New("stop")
		s := &server{seen: map[string]bool{}}
		down, lost := rapid.IntRange(0, 3), rapid.IntRange(0, 3)
		s.weather = func() (bool, bool) { return down.Draw(r, "down") == 0, lost.Draw(r, "lost") == 0 }
		letters := filepath.Join(folder, "letters")
		for run := 0; ; run++ {
			if run > 200 {
				s.weather = func() (bool, bool) { return false, false }
			}
			kept, err := Keep(Place{State: filepath.Join(folder, "state"), Rejected: letters, File: "file"})
			if err != nil {
				r.Fatal(err)
			}
			m := &Import{
				Source: rowsOf(file.String()), Mapping: &Mapping{Kind: Track}, File: "file", Send: s.send, Kept: kept, Told: func(Progress) {},
				Pause: func(context.Context, string, time.Duration) error {
					if rapid.Bool().Draw(r, "stop") {
						return stop
					}
					return nil
				},
			}
			m.batch = rapid.IntRange(1, 7).Draw(r, "batch")
			err = m.Run(t.Context())
			if run%2 == 1 { // as if it had been killed after the rejected rows were written and before the state was
				lines := []byte(`{"line":99,"code":"c","detail":""}` + "\n" + `{"line":100,"code":"c","detail":""}` + "\n")
				kept.state.Next = tailOf(lines)
				_, err := kept.letters.WriteAt(lines[:rapid.IntRange(0, len(lines)).Draw(r, "written")], kept.state.Letters)
				if err = errors.Join(err, kept.save()); err != nil {
					r.Fatal(err)
				}
				_ = kept.letters.Close()
			} else if err := kept.letters.Close(); err != nil {
				r.Fatal(err)
			}
			if err == nil {
				if p := kept.Progress(); p.Rows != int64(len(rows)) || p.Accepted != int64(len(want)) || p.Rejected != int64(len(wantLines)) {
					r.Fatalf("%+v of %v", p, rows)
				}
				if err := os.Truncate(letters, kept.state.Letters); err != nil {
					r.Fatal(err)
				}
				break
			}
			if !errors.Is(err, stop) {
				r.Fatal(err)
			}
		}
		if !slices.Equal(s.stored, want) {
			r.Fatalf("stored are %v, want %v", s.stored, want)
		}
		text, err := os.ReadFile(letters)
		if err != nil {
			r.Fatal(err)
		}
		var got []int64
		for line := range strings.Lines(string(text)) {
			var rejected Rejected
			if err := json.Unmarshal([]byte(line), &rejected); err != nil {
				r.Fatal(err)
			}
			got = append(got, rejected.Line)
		}
		slices.Sort(got)
		if !slices.Equal(got, wantLines) {
			r.Fatalf("rejected are the lines %v, want %v", got, wantLines)
		}
	})
}

func rowsOf(text string) Source { return &lines{in: newReader(strings.NewReader(text))} }

// Promise: the same rows make the same items, whatever the format; what is not mapped becomes a property, and an id of many
// digits stays what it is.
func TestFormats(t *testing.T) {
	const want = `{"distinct_id":"u_1","event":"Viewed","properties":{"name":"a,\"b\"","price":1.5,"sku":"00123","yes":true},"timestamp":"2026-01-31T10:00:00Z"}`
	type row struct {
		Event string  `parquet:"event"`
		User  string  `parquet:"user"`
		At    string  `parquet:"timestamp"`
		Name  string  `parquet:"name"`
		Price float64 `parquet:"price"`
		SKU   string  `parquet:"sku"`
		Yes   bool    `parquet:"yes"`
		None  *string `parquet:"none,optional"`
	}
	var columns bytes.Buffer
	if err := parquet.Write(&columns, []row{{"Viewed", "u_1", "2026-01-31T10:00:00Z", `a,"b"`, 1.5, "00123", true, nil}}); err != nil {
		t.Fatal(err)
	}
	mapping := &Mapping{Kind: Track, From: map[string]string{"distinct_id": "user"}}
	for name, text := range map[string]string{
		"a.ndjson":  "\n" + `{"event":"Viewed","user":"u_1","timestamp":"2026-01-31T10:00:00Z","name":"a,\"b\"","price":1.5,"sku":"00123","yes":true}`,
		"a.csv":     "\ufeffevent,user,timestamp,name,price,sku,yes,none\r\nViewed,u_1,2026-01-31T10:00:00Z,\"a,\"\"b\"\"\",1.5,00123,true,\r\n",
		"a.tsv":     "event\tuser\ttimestamp\tname\tprice\tsku\tyes\nViewed\tu_1\t2026-01-31T10:00:00Z\ta,\"b\"\t1.5\t00123\ttrue\n",
		"a.parquet": columns.String(),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			source, err := Open(file, FormatOf(name), false)
			if err != nil {
				t.Fatal(err)
			}
			row, err := source.Next()
			if err != nil || row.Fault != "" {
				t.Fatal(err, row.Fault)
			}
			item, err := mapping.item(row, "f")
			var got map[string]any
			if err != nil || json.Unmarshal(item, &got) != nil {
				t.Fatal(err)
			}
			if id, ok := got["event_id"].(string); !ok || !strings.HasPrefix(id, "import-") {
				t.Errorf("the id is %v", got["event_id"])
			}
			delete(got, "event_id")
			if text, _ := json.Marshal(got); string(text) != want {
				t.Errorf("got  %s\nwant %s", text, want)
			}
			if _, err := source.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last row: %v", err)
			}
			if err := source.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Promise: members come from columns, from within objects, and from what is set; a row's own come first, and what cannot be
// is said of the row.
func TestMapping(t *testing.T) {
	for name, c := range map[string]struct {
		mapping Mapping
		row     string
		want    string
	}{
		"path":       {Mapping{Kind: Track, From: map[string]string{"distinct_id": "user.id"}}, `{"event":"e","user":{"id":7,"x":1}}`, `{"distinct_id":7,"event":"e","properties":{}}`},
		"in text":    {Mapping{Kind: Track, From: map[string]string{"distinct_id": "user.id"}}, `{"event":"e","user":"{\"id\":\"u\"}"}`, `{"distinct_id":"u","event":"e","properties":{}}`},
		"dot":        {Mapping{Kind: Track, From: map[string]string{"event": "a.b"}}, `{"a.b":"e"}`, `{"event":"e","properties":{}}`},
		"set":        {Mapping{Kind: Track, Set: map[string]string{"event": "e", "properties.from": "file"}}, `{"event":"other","x":1}`, `{"event":"e","properties":{"from":"file","x":1}}`},
		"strip":      {Mapping{Kind: Track, Strip: true, From: map[string]string{"properties.y": "x"}}, `{"event":"e","x":1,"z":2}`, `{"event":"e","properties":{"y":1}}`},
		"properties": {Mapping{Kind: Track}, `{"event":"e","properties":{"a":1},"a":2,"b":3}`, `{"event":"e","properties":{"a":1,"b":3}}`},
		"not object": {Mapping{Kind: Track}, `{"event":"e","properties":[1]}`, `properties is not an object`},
		"default":    {Mapping{Kind: Track, Default: "staging"}, `{"event":"e","environment":null}`, `{"environment":"staging","event":"e","properties":{}}`},
		"own":        {Mapping{Kind: Track, Default: "staging"}, `{"event":"e","environment":"x","event_id":"mine"}`, `{"environment":"x","event":"e","event_id":"mine","properties":{}}`},
		"identify":   {Mapping{Kind: Identify, From: map[string]string{"distinct_id": "id"}}, `{"id":"u","plan":"pro"}`, `{"distinct_id":"u","traits":{"plan":"pro"}}`},
		"alias":      {Mapping{Kind: Alias}, `{"distinct_id":"u","new_user_id":"v","more":1}`, `{"distinct_id":"u","new_user_id":"v"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.mapping.Check(); err != nil {
				t.Fatal(err)
			}
			row, err := rowsOf(c.row).Next()
			if err != nil {
				t.Fatal(err)
			}
			item, err := c.mapping.item(row, "f")
			if err != nil {
				item = []byte(err.Error())
			}
			var got map[string]any
			if json.Unmarshal(item, &got) == nil {
				if id, _ := got["event_id"].(string); strings.HasPrefix(id, "import-") {
					delete(got, "event_id")
				}
				item, _ = json.Marshal(got)
			}
			if string(item) != c.want {
				t.Errorf("got  %s\nwant %s", item, c.want)
			}
		})
	}
	for _, m := range []Mapping{
		{Kind: "person"}, {Kind: Track, From: map[string]string{"new_user_id": "a"}}, {Kind: Alias, Set: map[string]string{"properties.x": "a"}},
		{Kind: Track, From: map[string]string{"event": "a"}, Set: map[string]string{"event": "b"}}, {Kind: Track, From: map[string]string{"properties.": "a"}}, {Kind: Track, From: map[string]string{"event.x": "a"}},
	} {
		if m.Check() == nil {
			t.Errorf("%+v is accepted", m)
		}
	}
}

// Promise: a refusal that is not about a row stops the import and leaves the rows to be sent again; a file of which
// nothing is accepted is given up.
func TestWhatStops(t *testing.T) {
	for name, c := range map[string]struct {
		answer Answer
		most   int64
		check  func(error) bool
		rows   int64
	}{
		"key":     {Answer{Status: 401, Body: []byte(`{"code":"invalid_key","detail":"no"}`)}, 0, func(err error) bool { var r *Refusal; return errors.As(err, &r) && r.Code == "invalid_key" }, 0},
		"scope":   {Answer{Status: 403, Body: []byte(`{"code":"missing_scope","detail":"no"}`)}, 0, func(err error) bool { var r *Refusal; return errors.As(err, &r) && r.Status == 403 }, 0},
		"garbage": {Answer{Status: 200, Body: []byte(`<html>`)}, 0, func(err error) bool { return err != nil }, 0},
		"wrong":   {Answer{Status: 200, Body: []byte(`{"rejected":[{"index":9}]}`)}, 0, func(err error) bool { return err != nil }, 0},
		"give up": {Answer{Status: 422, Body: []byte(`{"code":"invalid_field","detail":"event: is required"}`)}, 2, func(err error) bool {
			return errors.Is(err, ErrRejected) && strings.Contains(err.Error(), "line 1: event: is required")
		}, 2},
		"denied": {Answer{Status: 403, Body: []byte(`{"code":"event_not_allowed","detail":"no"}`)}, 0, func(err error) bool { return err == nil }, 4},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			kept, err := Keep(Place{State: filepath.Join(folder, "s"), Rejected: filepath.Join(folder, "l"), File: "f"})
			if err != nil {
				t.Fatal(err)
			}
			m := &Import{
				Source: rowsOf(strings.Repeat("{}\n", 4)), Mapping: &Mapping{Kind: Track}, File: "f", Kept: kept, Told: func(Progress) {}, Most: c.most, batch: 2,
				Send: func(context.Context, string, []byte) (Answer, error) { return c.answer, nil },
			}
			if err := m.Run(t.Context()); !c.check(err) {
				t.Error(err)
			}
			if kept.Progress().Rows != c.rows {
				t.Errorf("%+v", kept.Progress())
			}
			if err := kept.Close(); err != nil {
				t.Error(err)
			}
			if _, err := Keep(Place{State: filepath.Join(folder, "s"), Rejected: filepath.Join(folder, "l"), File: "other"}); c.rows > 0 && !errors.Is(err, ErrOther) {
				t.Errorf("another file: %v", err)
			}
		})
	}
}

// Promise: no text file makes the reader panic, or go on for ever; every row is an item or has a fault.
func FuzzText(f *testing.F) {
	f.Add("{\"event\":\"e\"}\n{", false)
	f.Add("event,n\ne,1\n\"", true)
	f.Add("\ufeffa,b\r\n1,\"2\r\n\"\r\n3", true)
	f.Fuzz(func(t *testing.T, text string, csv bool) {
		source := rowsOf(text)
		if csv {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if source, err = Open(file, CSV, false); err != nil {
				_ = file.Close()
				return
			}
			defer func() { _ = source.Close() }()
		}
		m := &Import{Mapping: &Mapping{Kind: Track}, File: "f"}
		for n := 0; ; n++ {
			row, err := source.Next()
			if err != nil {
				return
			}
			if n > len(text) {
				t.Fatal("more rows than bytes")
			}
			if e := m.entry(row); e.row.Fault == "" && !json.Valid(e.item) {
				t.Fatalf("%q makes %q", text, e.item)
			}
		}
	})
}

// Promise: a damaged Parquet file is an error and no panic.
func TestDamagedFiles(t *testing.T) {
	var sound bytes.Buffer
	if err := parquet.Write(&sound, []struct {
		Event string `parquet:"event"`
	}{{"a"}, {"b"}}); err != nil {
		t.Fatal(err)
	}
	read := func(name string, text []byte) error {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		source, err := Open(file, FormatOf(name), false)
		if err != nil {
			_ = file.Close()
			return err
		}
		defer func() { _ = source.Close() }()
		for err == nil {
			_, err = source.Next()
		}
		return err
	}
	for i := range sound.Len() {
		text := slices.Clone(sound.Bytes())
		text[i] ^= 0xff
		_ = read("a.parquet", text) // it may be read all the same; it may not panic
	}
}

// Promise: the rejected rows of an import that is over are not written over by the next.
func TestRejectedRowsStay(t *testing.T) {
	folder := t.TempDir()
	letters := filepath.Join(folder, "l")
	const row = `{"line":7,"code":"c","detail":"d","text":"t"}` + "\n"
	if err := os.WriteFile(letters, []byte(row), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Keep(Place{State: filepath.Join(folder, "s"), Rejected: letters, File: "f"}); !errors.Is(err, ErrLetters) {
		t.Error(err)
	}
	if text, err := os.ReadFile(letters); err != nil || string(text) != row {
		t.Errorf("%q, %v", text, err)
	}
}

// rowsIn reads a text as a file of some format.
func rowsIn(t *testing.T, text string, format Format) (rows []Row) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	source, err := Open(file, format, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	for {
		row, err := source.Next()
		if isEnd(err) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
}

// Promise: a line of CSV that is wrong, by a quotation mark that is never closed too, spoils itself alone: the lines after it
// are read, with their numbers, and it is told as it stands.
func TestWrongLinesSpoilThemselves(t *testing.T) {
	line := "c," + strings.Repeat("3", 1021) + "\n"
	quoteless := strings.Repeat(line, maxRecord/len(line)+1)
	for name, c := range map[string]struct {
		text, format, want string
	}{
		"never closed":    {"event,n\na,1\n\"b,2\nc,3\n", "csv", `2 a 1|3 ! "b,2|4 c 3`},
		"closed too late": {"event,n\n\"b,2\nc,3\nd,\"4\"\ne,5", "csv", `2 ! "b,2|3 c 3|4 d 4|5 e 5`},
		"at the end":      {"event,n\nc,3\nd,\"4", "csv", `2 c 3|3 ! d,"4`},
		"two":             {"event,n\n\"a\n\"b\nc,3", "csv", `2 ! "a|3 ! "b|4 c 3`},
		"within a cell":   {"event,n\n5\" pipe,2\nc,3", "csv", `2 ! 5" pipe,2|3 c 3`},
		"of many lines":   {"event,n\n\"b\n\n,\"\"x\"\",\n\",2\r\nc,3\r\n", "csv", "2 b\n\n,\"x\",\n 2|6 c 3"},
		"too few cells":   {"event,n\n\"b\nx\"\nc,3", "csv", "2 ! \"b\nx\"|4 c 3"},
		"between tabs":    {"event\tn\n\"b\t2\nc\t3\n5\" pipe\t\"4\tx\"", "tsv", "2 \"b 2|3 c 3|4 5\" pipe 4\tx"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range rowsIn(t, c.text, Format(c.format)) {
				cell := func(name string) string { return strings.Trim(unquoted(r.Members[name]), " ") }
				line := fmt.Sprintf("%d %s %s", r.Number, cell("event"), cell("n"))
				if r.Fault != "" {
					line = fmt.Sprintf("%d ! %s", r.Number, r.Text)
				}
				got = append(got, line)
			}
			if text := strings.Join(got, "|"); text != c.want {
				t.Errorf("got  %q\nwant %q", text, c.want)
			}
		})
	}
	rows := rowsIn(t, "event,n\na,1\n\"b,2\n"+quoteless+strings.Repeat("x", maxRecord+1)+"\nd,4\n", CSV)
	last := rows[len(rows)-1]
	if n := maxRecord/len(line) + 1; len(rows) != n+4 || rows[1].Fault != faultOpen || rows[n+2].Fault == "" || last.Fault != "" || last.Number != int64(n+5) {
		t.Errorf("%d rows, %q, %+v", len(rows), rows[1].Fault, last)
	}
}

func unquoted(v []byte) string {
	var text any
	if json.Unmarshal(v, &text) != nil {
		return ""
	}
	return fmt.Sprint(text)
}

// Promise: what came before a fault of the file is sent; only what comes after it is not.
func TestRowsBeforeAFaultAreSent(t *testing.T) {
	folder := t.TempDir()
	kept, err := Keep(Place{State: filepath.Join(folder, "s"), Rejected: filepath.Join(folder, "l"), File: "f"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	m := &Import{
		Source: &breaks{rowsOf("{\"event\":\"a\"}\n")}, Mapping: &Mapping{Kind: Track}, File: "f", Kept: kept, Told: func(Progress) {},
		Send: func(context.Context, string, []byte) (Answer, error) {
			return Answer{Status: 200, Body: []byte("{}")}, nil
		},
	}
	if err := m.Run(t.Context()); err == nil || kept.Progress().Accepted != 1 {
		t.Errorf("%v, %+v", err, kept.Progress())
	}
}

// breaks is a source that ends in a fault.
type breaks struct{ Source }

func (b *breaks) Next() (Row, error) {
	row, err := b.Source.Next()
	if isEnd(err) {
		err = errors.New("the disk is gone")
	}
	return row, err
}

// Promise: times, days, decimals and ids of a Parquet file are what they are, in lists and groups too, in whatever unit they
// were written.
func TestParquetTypes(t *testing.T) {
	at := time.Date(2026, 1, 31, 10, 0, 0, 123456000, time.UTC)
	type inner struct {
		At time.Time `parquet:"at,timestamp(microsecond)"`
	}
	type row struct {
		Event      string           `parquet:"event"`
		Timestamp  time.Time        `parquet:"timestamp,timestamp(microsecond)"`
		Millis     int64            `parquet:"millis,timestamp"`
		Nanos      *time.Time       `parquet:"nanos,optional,timestamp(nanosecond)"`
		None       *time.Time       `parquet:"none,optional,timestamp(nanosecond)"`
		Day        int32            `parquet:"day,date"`
		Price      int64            `parquet:"price,decimal(2:10)"`
		Large      [16]byte         `parquet:"large,decimal(2:38)"`
		ID         [16]byte         `parquet:"id,uuid"`
		Times      []time.Time      `parquet:"times,list"`
		Map        map[string]int64 `parquet:"map"`
		Group      inner            `parquet:"group"`
		Old        deprecated.Int96 `parquet:"old"`
		NaN        float64          `parquet:"nan"`
		Properties string           `parquet:"properties"`
	}
	var file bytes.Buffer
	if err := parquet.Write(&file, []row{{
		Event: "a", Timestamp: at, Millis: at.UnixMilli(), Nanos: &at, Day: 20484, Price: -12345, Large: [16]byte{15: 5}, ID: [16]byte{0: 0xab, 15: 1},
		Times: []time.Time{at}, Map: map[string]int64{"k": 1}, Group: inner{at}, Old: deprecated.Int96{1, 0, 2440588}, NaN: math.NaN(), Properties: `{"p":1}`,
	}}); err != nil {
		t.Fatal(err)
	}
	rows := rowsIn(t, file.String(), Parquet)
	if len(rows) != 1 || rows[0].Fault != "" {
		t.Fatalf("%+v", rows)
	}
	item, err := (&Mapping{Kind: Track}).item(rows[0], "f")
	if err != nil {
		t.Fatal(err)
	}
	const want = `"properties":{"day":"2026-01-31","group":{"at":"2026-01-31T10:00:00.123456Z"},` +
		`"id":"ab000000-0000-0000-0000-000000000001","large":0.05,"map":{"k":1},"millis":"2026-01-31T10:00:00.123Z","nan":"NaN","nanos":"2026-01-31T10:00:00.123456Z",` +
		`"old":"1970-01-01T00:00:00.000000001Z","p":1,"price":-123.45,"times":["2026-01-31T10:00:00.123456Z"]},"timestamp":"2026-01-31T10:00:00.123456Z"}`
	if got := string(item); !strings.HasSuffix(got, want) {
		t.Errorf("got  %s\nwant … %s", got, want)
	}
}

// Promise: a row has the same id whenever the same is made of it, and another when something else is: an event of another name,
// or what is known of a person. No two of these stand in the way of one another.
func TestIDsAreOfWhatIsMadeOfARow(t *testing.T) {
	made := map[string]string{}
	for name, m := range map[string]*Mapping{
		"track": {Kind: Track}, "identify": {Kind: Identify}, "set": {Kind: Track, Set: map[string]string{"event": "a"}}, "set to another": {Kind: Track, Set: map[string]string{"event": "b"}},
		"mapped": {Kind: Track, From: map[string]string{"event": "a"}}, "both": {Kind: Track, From: map[string]string{"event": "a", "timestamp": "b"}},
	} {
		for _, row := range []int64{1, 2} {
			id := m.rowID("f", row)
			if id != m.rowID("f", row) || made[id] != "" || id == m.rowID("g", row) {
				t.Errorf("%s, row %d: %s is also that of %s", name, row, id, made[id])
			}
			made[id] = name
		}
	}
}
