package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/room"
)

// tables is a project with datasets.
type tables struct {
	*project

	all string
}

func newTables(t *testing.T, w *world) *tables {
	p := w.project(t)
	return &tables{p, p.key("secret live all").text}
}

// ask sends a request and wants a status.
func (s *tables) ask(key, method, path, body string, status int) string {
	s.t.Helper()
	headers := []string{"X-API-Key", key}
	if strings.HasPrefix(body, "symbol,") {
		headers = append(headers, "Content-Type", "text/csv")
	}
	answer, text := s.w.site.call(s.t, method, path, strings.NewReader(body), headers...)
	if answer.StatusCode != status {
		s.t.Fatalf("%s %s answered %d and not %d: %s", method, path, answer.StatusCode, status, text)
	}
	return text
}

func (s *tables) define(id, class string) {
	s.t.Helper()
	s.ask(s.all, "POST", "/v1/datasets/CORE", fmt.Sprintf(`{"datasetId":%q,"class":%q,"schema":{"type":"object","properties":{"symbol":{"type":"string"},"date":{"type":"date"},
		"open":{"type":"number"},"volume":{"type":"integer"}}},"columnMapping":{"key":"symbol","date":"date"}}`, id, class), 201)
}

// Promise: a file that is loaded is read back by key and range as it was, number by number; loaded again, it changes nothing.
func TestALoadedFileIsReadBack(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.define("QUOTES", "core")
	const days, broken = 700, 3
	first := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	var file strings.Builder
	file.WriteString("symbol,date,open,volume\n")
	sum := map[string]float64{}
	for n := range days {
		for i, symbol := range []string{"AAPL", "MSFT", "BRK B", `"Q""X"`} {
			price := math.Round(100*(100+10*math.Sin(float64(n*(i+1))/30)+float64(i)))/100 + 0.25
			fmt.Fprintf(&file, "%s,%s,%v,%d\n", symbol, first.AddDate(0, 0, n).Format("Jan 2 2006"), price, n*1000)
			if n >= 100 && n < 200 {
				sum[strings.ReplaceAll(strings.Trim(symbol, `"`), `""`, `"`)] += price
			}
		}
	}
	file.WriteString("AAPL,never,1,1\nAAPL,Jan 1 2030,much,1\nAAPL,Jan 1 2030\n")
	for round := range 2 {
		var started struct{ JobURL string }
		if err := json.Unmarshal([]byte(s.ask(s.all, "POST", "/v1/data/CORE/QUOTES?wait=true", file.String(), 202)), &started); err != nil {
			t.Fatal(err)
		}
		var job struct {
			Status   string
			Good     int64
			Rejected int64
			Result   struct{ Written, Ignored int64 }
		}
		if err := json.Unmarshal([]byte(s.ask(s.all, "GET", started.JobURL, "", 200)), &job); err != nil {
			t.Fatal(err)
		}
		written, ignored := int64(4*days), int64(0)
		if round > 0 {
			written, ignored = 0, 4*days
		}
		if job.Status != "succeeded" || job.Good != 4*days || job.Rejected != broken || job.Result.Written != written || job.Result.Ignored != ignored {
			t.Fatalf("round %d: %+v", round, job)
		}
	}
	for symbol, want := range sum {
		var list []struct {
			Open   float64
			Volume int64
		}
		text := s.ask(s.all, "GET", "/v1/data/CORE/QUOTES/"+url.PathEscape(symbol)+"?from="+first.AddDate(0, 0, 100).Format(time.DateOnly)+"&to="+first.AddDate(0, 0, 199).Format(time.DateOnly), "", 200)
		if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 100 || list[0].Volume != 199_000 {
			t.Fatalf("%s: %d records, %v", symbol, len(list), err)
		}
		got := 0.0
		for _, r := range list {
			got += r.Open
		}
		if math.Abs(got-want) > 1e-6 {
			t.Errorf("%s: the sum is %v, in the file it is %v", symbol, got, want)
		}
	}
}

// Promise: what takes all records away needs the scope for that, under whatever verb it comes; the refusal names it, and explain
// says what would help.
func TestWritingDoesNotDelete(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.define("QUOTES", "core")
	s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", `[{"symbol":"A","date":"2026-01-01"}]`, 200)
	writer := s.make(keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.DatasetsRead | access.DatasetsWrite}).text
	for _, c := range [][3]string{
		{"PATCH", "/v1/datasets/CORE/QUOTES?existing=delete", `{"title":"x"}`},
		{"POST", "/v1/datasets/CORE/QUOTES?existing=delete", `{"title":"x"}`},
		{"POST", "/v1/data/CORE/QUOTES?overwrite=true", "symbol\nB\n"},
		{"POST", "/stable/data/CORE/QUOTES?overwrite=true", "symbol\nB\n"},
	} {
		if text := s.ask(writer, c[0], c[1], c[2], 403); !strings.Contains(text, "datasets:delete") {
			t.Errorf("%s %s: %s", c[0], c[1], text)
		}
	}
	if text := s.ask(writer, "GET", "/v1/data/CORE/QUOTES?range=max", "", 200); !strings.Contains(text, `"A"`) {
		t.Errorf("what is left: %s", text)
	}
	why := s.ask(s.all, "GET", "/v1/denials?reason=dataset_not_deleted&limit=1", "", 200)
	_, id, _ := strings.Cut(why, `"dec_`)
	id, _, _ = strings.Cut(id, `"`)
	if text := s.ask(s.all, "POST", "/v1/access/explain", `{"decision_id":"dec_`+id+`"}`, 200); !strings.Contains(text, `"remedies":[{"of":"key","field":"scopes","do":"add","value":"datasets:delete"}]`) {
		t.Errorf("%s is explained: %s", why, text)
	}
}

// Promise: a key that is restricted to some datasets, or to a class, does only what it was given, whether the others are there
// or not; and sees no others in a list.
func TestRestrictionsToDatasets(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	for id, class := range map[string]string{"MINE": "core", "THEIRS": "core", "DEAR": "premium"} {
		s.define(id, class)
		s.ask(s.all, "POST", "/v1/record/CORE/"+id, `[{"symbol":"A","date":"2026-01-01"}]`, 200)
	}
	restricted := func(d access.Datasets) string {
		return s.make(keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes, Bounds: access.Bounds{Datasets: &d}}).text
	}
	mine := restricted(access.Datasets{Named: []access.NamedDataset{{Name: "MINE", Rights: access.ReadRecords | access.WriteRecords}}})
	core := restricted(access.Datasets{Core: true})
	const record = `[{"symbol":"A","date":"2026-01-02"}]`
	for _, c := range []struct {
		key, method, path, body string
		status                  int
	}{
		{mine, "GET", "/v1/data/CORE/MINE/A", "", 200},
		{mine, "POST", "/v1/record/CORE/MINE", record, 200},
		{mine, "DELETE", "/v1/data/CORE/MINE/A", "", 403},
		{mine, "GET", "/v1/data/CORE/THEIRS/A", "", 403},
		{mine, "GET", "/v1/data/CORE/NONE/A", "", 403},
		{mine, "GET", "/v1/data/CORE/MINE,THEIRS/A", "", 403},
		{mine, "POST", "/v1/record/CORE/THEIRS", record, 403},
		{mine, "PUT", "/v1/datasets/CORE/MINE/OURS", "", 403},
		{mine, "PATCH", "/v1/datasets/CORE/MINE", `{"title":"x"}`, 200},
		{mine, "PATCH", "/v1/datasets/CORE/MINE", `{"class":"premium"}`, 403},
		{mine, "PATCH", "/v1/datasets/CORE/MINE?existing=delete", `{"title":"x"}`, 403},
		{mine, "POST", "/v1/data/CORE/MINE?overwrite=true", "symbol\nA\n", 403},
		{mine, "POST", "/stable/data/CORE/MINE?overwrite=true", "symbol\nA\n", 403},
		{mine, "GET", "/stable/data/CORE/THEIRS/A", "", 403},
		{mine, "POST", "/v1/datasets/CORE", `{"datasetId":"NEW","schema":{"type":"object","properties":{"a":{}}},"columnMapping":{"key":"a"}}`, 403},
		{mine, "GET", "/v1/stream/CORE/THEIRS", "", 403},
		{mine, "POST", "/v1/generate-schema", `[{"a":1}]`, 403},
		{mine, "GET", "/v1/jobs/CORE/ingest", "", 403},
		{core, "GET", "/v1/data/CORE/MINE,THEIRS/A", "", 200},
		{core, "GET", "/v1/data/CORE/DEAR/A", "", 403},
		{core, "POST", "/v1/record/CORE/MINE", record, 403},
		{core, "DELETE", "/v1/datasets/CORE/MINE", "", 403},
	} {
		s.ask(c.key, c.method, c.path, c.body, c.status)
	}
	for _, key := range []string{mine, restricted(access.Datasets{Premium: true, Named: []access.NamedDataset{{Name: "MINE", Rights: access.ReadRecords | access.WriteRecords}}})} {
		if body := s.ask(key, "PATCH", "/v1/datasets/CORE/MINE", `{"class":"premium"}`, 403); !strings.Contains(body, `"field":"class"`) ||
			!strings.Contains(body, "keys without a restriction to datasets") || !strings.Contains(body, `"decision_id"`) {
			t.Errorf("a change of class answered %s", body)
		}
	}
	for key, want := range map[string]string{mine: "MINE", core: "MINE THEIRS", s.all: "DEAR MINE THEIRS"} {
		var list struct{ Data []struct{ DatasetID string } }
		if err := json.Unmarshal([]byte(s.ask(key, "GET", "/v1/datasets/CORE", "", 200)), &list); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, d := range list.Data {
			names = append(names, d.DatasetID)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("the list has %s, want %s", got, want)
		}
	}
	viewed := s.make(keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes, Bounds: access.Bounds{
		View: &access.View{Tables: []access.ViewTable{{Name: "events"}}},
	}}).text
	s.ask(viewed, "GET", "/v1/data/CORE/MINE/A", "", 403)
}

// Promise: records are charged one by one and by class, before they are given or written, and never more than there is.
func TestRecordsCostCredits(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.define("CHEAP", "core")
	s.define("DEAR", "premium")
	limited := func(credits int64) string {
		n := keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes}
		n.Limits.Credits = access.Quota{Most: credits, OnFailure: access.FailDeny}
		return s.make(n).text
	}
	records := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`{"symbol":"A","date":%d}`, 1_700_000_000+i))
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	s.ask(s.all, "POST", "/v1/record/CORE/CHEAP", records(10), 200)
	s.ask(s.all, "POST", "/v1/record/CORE/DEAR", records(10), 200)
	key := limited(25)
	s.ask(key, "GET", "/v1/data/CORE/CHEAP/A?last=4", "", 200) // 21 left
	s.ask(key, "GET", "/v1/data/CORE/DEAR/A?last=3", "", 402)  // 30; the one that was set aside is spent
	s.ask(key, "GET", "/v1/data/CORE/DEAR/A", "", 200)         // 10 left
	s.ask(key, "POST", "/v1/record/CORE/CHEAP", records(11), 402)
	s.ask(key, "POST", "/v1/record/CORE/CHEAP", records(10), 200) // which are there already, and so are free
	s.ask(key, "POST", "/v1/record/CORE/CHEAP?duplicateKeyHandling=true", records(10), 200)
	s.ask(key, "GET", "/v1/data/CORE/CHEAP/A", "", 402)
	s.ask(limited(2), "POST", "/v1/data/CORE/CHEAP", "symbol,date\nB,2026-01-01\nB,2026-01-02\nB,2026-01-03\n", 402)
	s.ask(limited(3), "POST", "/v1/data/CORE/CHEAP?wait=true", "symbol,date\nB,2026-01-01\nB,2026-01-02\nB,2026-01-03\n", 202)
	s.ask(limited(9), "GET", "/v1/stream/CORE/CHEAP", "", 402)
}

// Promise: a stream of records begins with the newest, has those that are written and no others, and ends when its key is
// revoked.
func TestRecordsAreFollowed(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.define("QUOTES", "core")
	s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", `[{"symbol":"A","date":"2026-01-01","open":1},{"symbol":"B","date":"2026-01-01","open":2}]`, 200)
	key := s.key("secret live datasets:read")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.w.site.server.URL+"/v1/stream/CORE/QUOTES?symbols=A", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-API-Key", key.text)
	answer, err := s.w.site.send(q)
	if err != nil || answer.StatusCode != 200 {
		t.Fatal(answer, err)
	}
	defer func() { _ = answer.Body.Close() }()
	frames := bufio.NewScanner(answer.Body)
	next := func() string {
		for frames.Scan() {
			if data, ok := strings.CutPrefix(frames.Text(), "data: "); ok {
				return data
			}
		}
		return "(over)"
	}
	want := func(frame string) {
		t.Helper()
		if got := next(); got != frame {
			t.Fatalf("the frame is %s, want %s", got, frame)
		}
	}
	want(`[{"symbol":"A","date":"2026-01-01","open":1}]`)
	s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", `[{"symbol":"B","date":"2026-01-02"},{"symbol":"A","date":"2026-01-01","open":9},{"symbol":"A","date":"2026-01-02","open":3}]`, 200)
	want(`[{"symbol":"A","date":"2026-01-02","open":3}]`)
	s.end(key, "revoked")
	want("(over)")
}

// Promise: when the schema changes, the records that are there become what is asked, all at once or not at all.
func TestSchemasChangeWithTheirRecords(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.define("QUOTES", "core")
	s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", `[{"symbol":"A","date":"2026-01-01","open":1.5,"note":"7"},{"symbol":"B","date":"2026-01-01","open":2,"note":"x"}]`, 200)
	if text := s.ask(s.all, "PATCH", "/v1/datasets/CORE/QUOTES", `{"datasetId":"PRICES"}`, 422); !strings.Contains(text, `"field":"datasetId"`) {
		t.Errorf("another name: %s", text)
	}
	s.ask(s.all, "PATCH", "/v1/datasets/CORE/QUOTES", `{"datasetId":"quotes"}`, 422)
	s.ask(s.all, "PATCH", "/v1/datasets/CORE/QUOTES", `{"datasetId":"QUOTES"}`, 200)
	change := func(existing, body string) string {
		text := s.ask(s.all, "PATCH", "/v1/datasets/CORE/QUOTES?existing="+existing, body, 200)
		var d struct{ Job string }
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if d.Job == "" {
			return ""
		}
		if err := s.w.jobs.Await(t.Context(), d.Job); err != nil {
			t.Fatal(err)
		}
		var job struct{ Status, Detail string }
		if err := json.Unmarshal([]byte(s.ask(s.all, "GET", "/v1/jobs/CORE/update/"+d.Job, "", 200)), &job); err != nil {
			t.Fatal(err)
		}
		return job.Status
	}
	read := func() string { return strings.TrimSpace(s.ask(s.all, "GET", "/v1/data/CORE/QUOTES?limit=9", "", 200)) }
	schema := func(open, note string) string {
		return fmt.Sprintf(`{"schema":{"type":"object","properties":{"symbol":{"type":"string"},"date":{"type":"date"},"open":{"type":%q}%s}}}`, open, note)
	}
	before := read()
	if status := change("update", schema("integer", "")); status != "failed" || read() != before {
		t.Fatalf("the job %s, and there is %s", status, read())
	}
	if status := change("reingest", `{"columnMapping":{"key":"note","date":"date"},`+schema("string", `,"note":{"type":"string"}`)[1:]); status != "succeeded" {
		t.Fatal(status)
	}
	if got := strings.TrimSpace(s.ask(s.all, "GET", "/v1/data/CORE/QUOTES/7", "", 200)); got != `[{"symbol":"A","date":"2026-01-01","open":"1.5","note":"7"}]` {
		t.Errorf("there is %s", got)
	}
	s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", `[{"symbol":"C","date":"2026-01-01","note":"y"}]`, 200)
	if change("delete", `{}`); read() != "[]" {
		t.Errorf("there is %s", read())
	}
}

// Promise: records are deleted by as many parts of their index as are given and no more go, and a limit holds for jobs too.
func TestRecordsAreDeletedByTheirParts(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"PARTS","schema":{"type":"object","properties":{"k":{"type":"string"},"s":{"type":"string"},
		"d":{"type":"date"}}},"columnMapping":{"key":"k","subkey":"s","date":"d"}}`, 201)
	s.ask(s.all, "POST", "/v1/record/CORE/PARTS", `[{"k":"a","s":"x","d":"2026-01-01"},{"k":"a","s":"x","d":"2026-01-02"},{"k":"a","s":"y","d":"2026-01-01"},
		{"k":"b","s":"x","d":"2026-01-01"}]`, 200)
	for _, c := range []struct{ of, want string }{
		{"a/x/2026-01-01", `{"deleted":1}`}, {"a/x", `{"deleted":1}`}, {"a/x", `{"deleted":0}`}, {"a", `{"deleted":1}`},
	} {
		if got := strings.TrimSpace(s.ask(s.all, "DELETE", "/v1/data/CORE/PARTS/"+c.of, "", 200)); got != c.want {
			t.Errorf("of %s %s, want %s", c.of, got, c.want)
		}
	}
	if got := strings.TrimSpace(s.ask(s.all, "GET", "/v1/data/CORE/PARTS?limit=9", "", 200)); got != `[{"k":"b","s":"x","d":"2026-01-01"}]` {
		t.Errorf("there is %s", got)
	}
	s.define("QUOTES", "core")
	var started struct{ JobURL string }
	if err := json.Unmarshal([]byte(s.ask(s.all, "POST", "/v1/data/CORE/QUOTES", "symbol,date\nA,2026-01-01\n", 202)), &started); err != nil {
		t.Fatal(err)
	}
	s.policy(access.Policy{Limits: access.Limits{Daily: access.Quota{Most: 1}}})
	s.w.site.asks(t, s.all, "GET", "/v1/whoami", "") // uses it up
	for _, c := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", ""}, {"GET", "/rejected"}} {
		s.ask(s.all, c[0], started.JobURL+c[1], "", 429)
	}
}

// Promise: records and files do not take the last of the disk, which events need: they are refused as long as it is full.
func TestRecordsLeaveRoomForEvents(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := newTables(t, w)
	s.define("QUOTES", "core")
	kept := room.Kept{Reserve: 1000, Free: func() (int64, error) { return 1010, nil }}
	full := w.variant(t, func(c *api.Config) {
		c.Datasets = dataset.New(dataset.Config{Store: w.store, Records: w.warehouse, Jobs: w.jobs, Live: new(dataset.Live), Now: w.clock.Now, NewID: newSuffix, Room: kept.For})
	}, func(*http.Server) {})
	const record = `[{"symbol":"A","date":"2026-01-01"}]`
	for _, path := range []string{"/v1/record/CORE/QUOTES", "/v1/data/CORE/QUOTES", "/v1/generate-schema"} {
		if status, code := full.asks(t, s.all, "POST", path, record); status != 507 || code != problem.StorageFull {
			t.Errorf("%s answered %d %s", path, status, code)
		}
	}
	if got := strings.TrimSpace(s.ask(s.all, "GET", "/v1/data/CORE/QUOTES?limit=9", "", 200)); got != "[]" {
		t.Errorf("there is %s", got)
	}
	s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", record, 200)
}

// Promise: records as a Parquet file are what the other formats have: numbers as numbers, dates as instants, null for what is
// not there.
func TestRecordsAsParquet(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"TYPES","schema":{"type":"object","properties":{"k":{"type":"string"},"d":{"type":"date"},
		"n":{"type":"number"},"i":{"type":"integer"},"b":{"type":"boolean"},"o":{"type":"object"}}},"columnMapping":{"key":"k","date":"d"}}`, 201)
	s.ask(s.all, "POST", "/v1/record/CORE/TYPES", `[{"k":"a","d":"2026-01-02","n":1.5,"i":9007199254740993,"b":true,"o":{"x":[1]}},{"k":"b","d":"2026-01-01T00:00:01Z"}]`, 200)
	text := s.ask(s.all, "GET", "/v1/data/CORE/TYPES?limit=9&format=parquet", "", 200)
	type row struct {
		K *string  `parquet:"k,optional"`
		D *int64   `parquet:"d,optional"`
		N *float64 `parquet:"n,optional"`
		I *int64   `parquet:"i,optional"`
		B *bool    `parquet:"b,optional"`
		O *string  `parquet:"o,optional"`
	}
	rows, err := parquet.Read[row](strings.NewReader(text), int64(len(text)))
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if r := rows[0]; *r.K != "a" || time.UnixMicro(*r.D).UTC().Format(time.DateOnly) != "2026-01-02" || *r.N != 1.5 || *r.I != 9007199254740993 || !*r.B || *r.O != `{"x":[1]}` {
		t.Errorf("the first row is %+v", r)
	}
	if r := rows[1]; *r.K != "b" || *r.D != 1767225601000000 || r.N != nil || r.I != nil || r.B != nil || r.O != nil {
		t.Errorf("the second row is %+v", r)
	}
}

// Promise: a dataset whose records a file is to replace has the old ones or the new ones, never some of both, whatever becomes
// of the file.
func TestAFileReplacesAllOrNothing(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.define("QUOTES", "core")
	s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", `[{"symbol":"OLD","date":"2026-01-01"}]`, 200)
	held := func() string {
		return strings.TrimSpace(s.ask(s.all, "GET", "/v1/data/CORE/QUOTES?limit=9&filter=symbol", "", 200))
	}
	const old = `[{"symbol":"OLD"}]`
	for _, c := range []struct{ query, file, want string }{
		{"&maximumValidationErrors=1", "symbol,date\nNEW,2026-01-01\nNEW,never\n", old},
		{"", "symbol,date\nNEW,never\n", old},
		{"", "symbol,date\nNEW,2026-01-01\nNEW,never\n", `[{"symbol":"NEW"}]`},
		{"", "symbol,date\n", `[]`},
	} {
		s.ask(s.all, "POST", "/v1/data/CORE/QUOTES?wait=true&overwrite=true"+c.query, c.file, 202)
		if got := held(); got != c.want {
			t.Fatalf("after %q there is %s, want %s", c.file, got, c.want)
		}
	}
	if jobs := s.ask(s.all, "GET", "/v1/jobs/CORE/ingest", "", 200); strings.Contains(jobs, "is written") || strings.Count(jobs, "Nothing was changed.") != 2 {
		t.Errorf("the jobs say %s", jobs)
	}
	s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", `[{"symbol":"OLD","date":"2026-01-01"}]`, 200) // it takes records again
}
