package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// taker makes a key that may take data out, with a view if there is one.
func (p *project) taker(view string) madeKey {
	p.t.Helper()
	if view != "" {
		view = `,"view":` + view
	}
	answer, body := p.w.site.call(p.t, "POST", "/v1/keys", strings.NewReader(`{"kind":"secret","scopes":["sql:run","exports:run","datasets:read"]`+view+`}`),
		"X-API-Key", p.key("secret live all").text)
	var made struct{ ID, Key string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || answer.StatusCode != 201 {
		p.t.Fatalf("%d %s", answer.StatusCode, body)
	}
	return madeKey{text: made.Key, id: made.ID}
}

// taken is an export as it is answered.
type taken struct {
	ID, Status, SHA256, Code, Detail string
	Rows, Bytes, Credits             int64
	GoneReason                       string `json:"gone_reason"`
}

// begin asks for an export.
func (p *project) begin(key madeKey, ask string) taken {
	p.t.Helper()
	answer, body := p.w.site.call(p.t, "POST", "/v1/exports", strings.NewReader(ask), "X-API-Key", key.text)
	var e taken
	if err := json.Unmarshal([]byte(body), &e); err != nil || answer.StatusCode != 202 || answer.Header.Get("Location") != "/v1/exports/"+e.ID {
		p.t.Fatalf("%s: %d %s", ask, answer.StatusCode, body)
	}
	return e
}

// awaited is an export when it is over.
func (p *project) awaited(key madeKey, id string) (e taken) {
	p.t.Helper()
	if err := p.w.jobs.Await(p.t.Context(), id); err != nil {
		p.t.Fatal(err)
	}
	answer, body := p.w.site.call(p.t, "GET", "/v1/exports/"+id, nil, "X-API-Key", key.text)
	if err := json.Unmarshal([]byte(body), &e); err != nil || answer.StatusCode != 200 {
		p.t.Fatalf("%d %s", answer.StatusCode, body)
	}
	return e
}

// take takes data out, and gives the export with the bytes of its file.
func (p *project) take(key madeKey, ask string) (taken, []byte) {
	p.t.Helper()
	e := p.awaited(key, p.begin(key, ask).ID)
	if e.Status != string(job.Succeeded) {
		p.t.Fatalf("%s: %+v", ask, e)
	}
	answer, body := p.w.site.call(p.t, "GET", "/v1/exports/"+e.ID+"/file", nil, "X-API-Key", key.text)
	sum := sha256.Sum256([]byte(body))
	if answer.StatusCode != 200 || int64(len(body)) != e.Bytes || hex.EncodeToString(sum[:]) != e.SHA256 {
		p.t.Fatalf("%s: %d, %d bytes; %+v", ask, answer.StatusCode, len(body), e)
	}
	return e, []byte(body)
}

// manyEvents are events in two countries, with something to hide.
func manyEvents(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"event":"e%d","distinct_id":"u_%d","event_id":"id-%04d","timestamp":"2026-06-01T10:00:%02dZ","properties":{"country":"%s","email":"a%d@example.com","n":%d,"text":"say \"hi\",\nyou"}}`,
			i%4, i%7, i, i%60, []string{"FR", "DE"}[i%2], i, i))
	}
	return "[" + strings.Join(list, ",") + "]"
}

func unwrapped(t *testing.T, packed []byte, how string) []byte {
	t.Helper()
	var from io.Reader = bytes.NewReader(packed)
	switch how {
	case "gzip":
		r, err := gzip.NewReader(from)
		if err != nil {
			t.Fatal(err)
		}
		from = r
	case "zstd":
		r, err := zstd.NewReader(from)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		from = r
	}
	plain, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func sortedLines(text string, end string) []string {
	list := strings.Split(strings.TrimSuffix(text, end), end)
	slices.Sort(list)
	return list
}

// Promise: the file of an export has what a query of the same key answers, word for word, whatever the key may not see left
// out, in every format and packed in every way.
func TestAnExportIsWhatAQueryAnswers(t *testing.T) {
	t.Parallel()
	p := open(t).project(t)
	p.send(manyEvents(400))
	all := p.taker("")
	france := p.taker(`{"events":{"where":[{"column":"properties.country","op":"=","value":"FR"}],"hide":["properties.email","key_id"],"hash":["distinct_id"]}}`)
	for _, c := range []struct {
		key              madeKey
		where, condition string
		rows             int64
	}{
		{all, "", "true", 400},
		{france, "", "true", 200},
		{all, `,"where":[{"column":"event","op":"in","values":["e1","e2"]},{"column":"properties.n","op":"<","value":100}]`, "event IN ('e1', 'e2') AND (properties->>'n')::INT < 100", 50},
		{france, `,"where":[{"column":"event","op":"=","value":"e2"}]`, "event = 'e2'", 100},
		{france, `,"where":[{"column":"event","op":"=","value":"e1"}]`, "event = 'e1'", 0},
	} {
		for _, how := range []struct{ format, packed string }{{"ndjson", "none"}, {"ndjson", "zstd"}, {"csv", "gzip"}, {"parquet", "none"}} {
			question, err := json.Marshal(map[string]any{"sql": "SELECT * FROM events WHERE " + c.condition, "format": how.format})
			if err != nil {
				t.Fatal(err)
			}
			_, want := p.w.site.call(t, "POST", "/v1/query", bytes.NewReader(question), "X-API-Key", c.key.text)
			e, file := p.take(c.key, `{"of":"events","format":"`+how.format+`","compression":"`+how.packed+`"`+c.where+`}`)
			if e.Rows != c.rows || c.key.id == france.id && bytes.Contains(file, []byte("@example.com")) {
				t.Errorf("%s of %s: %d rows", how.format, c.condition, e.Rows)
			}
			if how.format == "parquet" {
				got, wanted := rowsOfParquet(t, file), rowsOfParquet(t, []byte(want))
				if !slices.Equal(got, wanted) || int64(len(got)) != c.rows {
					t.Errorf("%s: the file has %d rows, the answer %d, and they differ", c.condition, len(got), len(wanted))
				}
				continue
			}
			end := map[string]string{"ndjson": "\n", "csv": "\r\n"}[how.format]
			if got := string(unwrapped(t, file, how.packed)); !slices.Equal(sortedLines(got, end), sortedLines(want, end)) {
				t.Errorf("%s as %s: the file has\n%.300s\nthe answer\n%.300s", c.condition, how.format, got, want)
			}
		}
	}
	e, file := p.take(france, `{"of":"events","columns":["event","event_id"],"limit":7}`)
	if e.Rows != 7 || strings.Count(string(file), "\n") != 7 || !strings.HasPrefix(string(file), `{"event":"`) {
		t.Errorf("%s", file)
	}
	if e.Credits != 1 {
		t.Errorf("it came to %d credits", e.Credits)
	}
	for ask, field := range map[string]string{
		`{"of":"events","where":[{"column":"properties.email","op":"=","value":"a2@example.com"}]}`: "where",
		`{"of":"events","where":[{"column":"distinct_id","op":"=","value":"u_1"}]}`:                 "where",
		`{"of":"events","columns":["key_id"]}`:                                                      "columns[0]",
		`{"of":"persons"}`:                                                                          "of",
		`{"of":"events","where":{"event":"e1"}}`:                                                    "where",
		`{"of":"events","where":[{"column":"nope","op":"=","value":"@{x}"}]}`:                       "where[0].column",
		`{"of":"events","format":"parquet","compression":"gzip"}`:                                   "compression",
		`{"of":"events","filter":"a > 1"}`:                                                          "filter",
		`{"of":"dataset"}`:                                                                          `dataset","detail":"is required`,
		`{"of":"events","dataset":"QUOTES"}`:                                                        `dataset","detail":"names`,
		`{"of":"events","where":[{"column":"event","op":"=","value":5}]}`:                           `where[0].value"`,
	} {
		answer, body := p.w.site.call(t, "POST", "/v1/exports", strings.NewReader(ask), "X-API-Key", france.text)
		if answer.StatusCode != 422 || !strings.Contains(body, `"field":"`+field) {
			t.Errorf("%s: %d %s", ask, answer.StatusCode, body)
		}
	}
}

// rowsOfParquet are the rows of a file, in order of their texts.
func rowsOfParquet(t *testing.T, file []byte) []string {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, group := range f.RowGroups() {
		rows := group.Rows()
		batch := make([]parquet.Row, 16)
		for {
			n, err := rows.ReadRows(batch)
			for _, row := range batch[:n] {
				list = append(list, fmt.Sprintf("%+v", row))
			}
			if err != nil {
				break
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(list)
	return list
}

// Promise: a file that is fetched in parts is the file, byte for byte; what is asked for behind its end is refused; and a part
// that is to go on where another file began is that whole file instead.
func TestFilesAreFetchedInParts(t *testing.T) {
	t.Parallel()
	p := open(t).project(t)
	p.send(manyEvents(300))
	key := p.taker("")
	e, whole := p.take(key, `{"of":"events","format":"csv"}`)
	path := "/v1/exports/" + e.ID + "/file"
	get := func(method string, headers ...string) (*http.Response, string) {
		return p.w.site.call(t, method, path, nil, append(headers, "X-API-Key", key.text)...)
	}
	first, _ := get("HEAD")
	tag := first.Header.Get("ETag")
	if first.StatusCode != 200 || first.ContentLength != e.Bytes || first.Header.Get("Accept-Ranges") != "bytes" || tag == "" ||
		!strings.Contains(first.Header.Get("Content-Disposition"), ".csv") || first.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", first.StatusCode, first.Header)
	}
	var parts []byte
	for at := 0; at < len(whole); at = len(parts) {
		n := min(7919, len(whole)-at)
		answer, body := get("GET", "Range", fmt.Sprintf("bytes=%d-%d", at, at+n-1), "If-Range", tag)
		if answer.StatusCode != 206 || answer.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", at, at+n-1, len(whole)) {
			t.Fatalf("%d %v", answer.StatusCode, answer.Header)
		}
		parts = append(parts, body...)
	}
	if !bytes.Equal(parts, whole) {
		t.Error("the parts are not the file")
	}
	for _, c := range []struct {
		name, value, unless string
		status              int
		want                string
	}{
		{"Range", "bytes=-10", "", 206, string(whole[len(whole)-10:])},
		{"Range", fmt.Sprintf("bytes=%d-", len(whole)-5), "", 206, string(whole[len(whole)-5:])},
		{"Range", "bytes=0-9", `"another"`, 200, string(whole)},
		{"Range", fmt.Sprintf("bytes=%d-", len(whole)), `"another"`, 200, string(whole)},
		{"Range", "bytes=0-3,6-9", "", 200, string(whole)},
		{"Range", "lines=0-3", "", 200, string(whole)},
		{"Range", "bytes=9-3", "", 200, string(whole)},
		{"Range", "bytes=x-", "", 200, string(whole)},
		{"If-None-Match", tag, "", 304, ""},
		{"If-None-Match", `"another"`, "", 200, string(whole)},
	} {
		headers := []string{c.name, c.value}
		if c.unless != "" {
			headers = append(headers, "If-Range", c.unless)
		}
		if answer, body := get("GET", headers...); answer.StatusCode != c.status || body != c.want {
			t.Errorf("%s: %s, If-Range: %s: %d, %d bytes", c.name, c.value, c.unless, answer.StatusCode, len(body))
		}
	}
	for _, behind := range []string{fmt.Sprintf("bytes=%d-", len(whole)), "bytes=-0", "bytes=99999999999-"} {
		answer, body := get("GET", "Range", behind)
		if answer.StatusCode != 416 || codeOf(body) != problem.RangeNotSatisfiable || answer.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", len(whole)) {
			t.Errorf("%s: %d %s", behind, answer.StatusCode, body)
		}
	}
}

// link makes a link to the file of an export.
func (p *project) link(key madeKey, id, body string) string {
	p.t.Helper()
	answer, text := p.w.site.call(p.t, "POST", "/v1/exports/"+id+"/link", strings.NewReader(body), "X-API-Key", key.text)
	var made struct{ URL string }
	if err := json.Unmarshal([]byte(text), &made); err != nil || answer.StatusCode != 200 {
		p.t.Fatalf("%d %s", answer.StatusCode, text)
	}
	whole, err := url.Parse(made.URL)
	if err != nil || whole.Scheme != "http" || whole.Host != p.w.site.address {
		p.t.Errorf("%q is no address that can be opened", made.URL)
	}
	return whole.RequestURI()
}

// Promise: a link gives the one file it is for, in a browser too, until its time and no longer than its key has the same
// secret, rights and view; nothing of it can be changed; and the ledger says whose link was used.
func TestLinks(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	p.send(manyEvents(20))
	fresh := func() (madeKey, taken, []byte, string) {
		key := p.taker("")
		e, file := p.take(key, `{"of":"events"}`)
		return key, e, file, p.link(key, e.ID, "")
	}
	status := func(url string, headers ...string) (int, problem.Code) {
		answer, body := w.site.call(t, "GET", url, nil, headers...)
		if answer.StatusCode == 200 {
			return 200, ""
		}
		return answer.StatusCode, codeOf(body)
	}
	key, e, file, link := fresh()
	answer, body := w.site.call(t, "GET", link, nil, "Sec-Fetch-Site", "cross-site")
	if answer.StatusCode != 200 || body != string(file) || answer.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	if answer, body := w.site.call(t, "GET", link, nil, "Range", "bytes=5-9"); answer.StatusCode != 206 || body != string(file[5:10]) {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	other, _ := p.take(key, `{"of":"events","limit":1}`)
	_, _, _, foreign := fresh()
	signature := link[strings.Index(link, "signature="):]
	for name, url := range map[string]string{
		"of another export":      strings.Replace(link, e.ID, other.ID, 1),
		"with another time":      strings.Replace(link, "expires=", "expires=9", 1),
		"without a time":         strings.Replace(link, "expires=", "expires=x", 1),
		"by another key":         strings.Replace(link, key.id, p.taker("").id, 1),
		"by no key":              strings.Replace(link, key.id, "key_none", 1),
		"with another signature": strings.Replace(link, signature, foreign[strings.Index(foreign, "signature="):], 1),
		"of no export":           strings.Replace(link, e.ID, "job_NONE", 1),
	} {
		if code, what := status(url); code != 401 || what != problem.LinkNotAccepted {
			t.Errorf("a link %s: %d %s", name, code, what)
		}
	}
	if code, what := status(link, "X-API-Key", key.text); code != 400 || what != problem.TwoCredentials {
		t.Errorf("a link and a key: %d %s", code, what)
	}
	if code, _ := w.site.asks(t, "", "GET", strings.Replace(link, "/file", "", 1), ""); code != 401 && code != 422 {
		t.Errorf("a link to something else: %d", code)
	}
	for name, c := range map[string]struct {
		change func(key madeKey, e taken)
		code   int
	}{
		"revoked": {func(key madeKey, _ taken) {
			w.site.asks(t, p.key("secret live all").text, "DELETE", "/v1/keys/"+key.id, "")
		}, 401},
		"narrowed": {func(key madeKey, _ taken) {
			w.site.asks(t, p.key("secret live all").text, "PATCH", "/v1/keys/"+key.id, `{"view":{"events":{"hide":["properties"]}}}`)
		}, 401},
		"rotated": {func(key madeKey, _ taken) {
			w.site.asks(t, p.key("secret live all").text, "POST", "/v1/keys/"+key.id+"/rotate", "")
		}, 401},
		"deleted": {func(key madeKey, e taken) { w.site.asks(t, key.text, "DELETE", "/v1/exports/"+e.ID, "") }, 410},
		"over":    {func(madeKey, taken) { w.clock.Advance(61 * time.Minute) }, 401},
	} {
		key, e, _, link := fresh()
		if code, _ := status(link); code != 200 {
			t.Fatalf("%s: %d before", name, code)
		}
		c.change(key, e)
		if code, what := status(link); code != c.code {
			t.Errorf("%s: %d %s", name, code, what)
		}
	}
	replaced, its, _, _ := fresh()
	if code, _ := w.site.asks(t, p.key("secret live all").text, "POST", "/v1/keys/"+replaced.id+"/rotate", `{"expires_in":300}`); code != 200 {
		t.Fatalf("rotating: %d", code)
	}
	link = p.link(replaced, its.ID, "")
	if code, what := status(link); code != 200 {
		t.Errorf("by a secret that is being replaced: %d %s", code, what)
	}
	w.clock.Advance(301 * time.Second)
	if code, what := status(link); code != 401 {
		t.Errorf("by a secret that was replaced: %d %s", code, what)
	}
	if logs := w.logs.String(); strings.Contains(logs, strings.TrimPrefix(signature, "signature=")) {
		t.Error("the signature of a link is in the log")
	}
}

// Promise: an export is its key's: another key of the project cannot fetch, link or delete it, and sees it only with the right
// to look at what others do; to another project it is not there.
func TestExportsOfOthers(t *testing.T) {
	t.Parallel()
	w := open(t)
	p, q := w.project(t), w.project(t)
	p.send(manyEvents(5))
	key := p.taker("")
	e, _ := p.take(key, `{"of":"events"}`)
	path := "/v1/exports/" + e.ID
	peer, admin, stranger := p.taker("").text, p.key("secret live all").text, q.key("secret live all").text
	for _, c := range []struct {
		key, method, path string
		status            int
	}{
		{peer, "GET", path, 404}, {peer, "GET", path + "/file", 404}, {peer, "POST", path + "/link", 404}, {peer, "DELETE", path, 404},
		{stranger, "GET", path, 404}, {stranger, "GET", path + "/file", 404}, {stranger, "POST", path + "/link", 404}, {stranger, "DELETE", path, 404},
		{admin, "GET", path, 200}, {admin, "GET", path + "/file", 404}, {admin, "POST", path + "/link", 404}, {key.text, "GET", path + "/file", 200},
		{admin, "DELETE", path, 204}, {key.text, "GET", path + "/file", 410},
	} {
		if status, _ := w.site.asks(t, c.key, c.method, c.path, ""); status != c.status {
			t.Errorf("%s %s answered %d, and not %d", c.method, c.path, status, c.status)
		}
	}
	for key, want := range map[string]int{peer: 0, admin: 1, stranger: 0, key.text: 1} {
		_, body := w.site.call(t, "GET", "/v1/exports", nil, "X-API-Key", key)
		if got := strings.Count(body, `"id":"`+e.ID); got != want || strings.Count(body, `"id":"job_`) != want {
			t.Errorf("%s", body)
		}
	}
}

// Promise: a file is kept for its time, and is refused after it and to a key that may see less by now.
func TestFilesEnd(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	p.send(manyEvents(5))
	key := p.taker("")
	e, _ := p.take(key, `{"of":"events"}`)
	w.clock.Advance(47 * time.Hour)
	if err := w.exports.Sweep(); err != nil {
		t.Fatal(err)
	}
	if status, _ := w.site.asks(t, key.text, "GET", "/v1/exports/"+e.ID+"/file", ""); status != 200 {
		t.Errorf("before its time: %d", status)
	}
	if status, _ := w.site.asks(t, p.key("secret live all").text, "PATCH", "/v1/keys/"+key.id, `{"view":{"events":{"hide":["properties.email"]}}}`); status != 200 {
		t.Fatalf("narrowing: %d", status)
	}
	if status, code := w.site.asks(t, key.text, "GET", "/v1/exports/"+e.ID+"/file", ""); status != 410 || code != problem.ExportGone {
		t.Errorf("of a narrowed key: %d %s", status, code)
	}
	w.clock.Advance(2 * time.Hour)
	if err := w.exports.Sweep(); err != nil {
		t.Fatal(err)
	}
	if status, code := w.site.asks(t, key.text, "GET", "/v1/exports/"+e.ID+"/file", ""); status != 410 || code != problem.ExportGone {
		t.Errorf("after its time: %d %s", status, code)
	}
	if now := p.awaited(key, e.ID); now.Status != "expired" {
		t.Errorf("%+v", now)
	}
}

// Promise: what data is deleted from is in no file that was made before, which says so.
func TestForgottenFiles(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	p.send(manyEvents(5))
	key := p.taker("")
	before, _ := p.take(key, `{"of":"events"}`)
	for range 2 {
		if _, err := w.exports.Forget(context.Background(), p.id, "production", nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.exports.Forget(context.Background(), p.id, "nowhere", nil); err != nil {
		t.Fatal(err)
	}
	if status, code := w.site.asks(t, key.text, "GET", "/v1/exports/"+before.ID+"/file", ""); status != 410 || code != problem.ExportGone {
		t.Errorf("%d %s", status, code)
	}
	if now := p.awaited(key, before.ID); now.Status != "deleted" || now.GoneReason != "forgotten" {
		t.Errorf("%+v", now)
	}
	p.take(key, `{"of":"events"}`)
}

// Promise: an export of a dataset has its records, those that meet the filter, and is for keys that read it and have no view.
func TestExportsOfDatasets(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.define("QUOTES", "premium")
	var records []string
	for i := range 120 {
		records = append(records, fmt.Sprintf(`{"symbol":"S%d","date":"2026-01-%02d","open":%d.25,"volume":%d,"extra":{"a":%d}}`, i%4, i/4+1, i, i*10, i))
	}
	s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", "["+strings.Join(records, ",")+"]", 200)
	key := s.taker("")
	e, file := s.take(key, `{"of":"dataset","dataset":"QUOTES","format":"csv","filter":"open >= 100 and symbol in (S1, S3)"}`)
	if lines := strings.Split(strings.TrimSpace(string(file)), "\r\n"); lines[0] != "symbol,date,open,volume" || len(lines) != 11 || lines[1] != "S1,2026-01-26,101.25,1010" {
		t.Errorf("%s", file)
	}
	if e.Rows != 10 || e.Credits != 100 {
		t.Errorf("%+v", e)
	}
	if e, file := s.take(key, `{"of":"dataset","dataset":"QUOTES","columns":["volume","symbol"],"limit":3}`); e.Rows != 3 || !strings.HasPrefix(string(file), `{"volume":0,"symbol":"S0"}`+"\n") {
		t.Errorf("%s", file)
	}
	if e, file := s.take(key, `{"of":"dataset","dataset":"QUOTES","filter":"symbol = 'S1'"}`); e.Rows == 0 || e.Rows != int64(strings.Count(string(file), `"S1"`)) {
		t.Errorf("%+v %s", e, file)
	}
	e, file = s.take(key, `{"of":"dataset","dataset":"QUOTES","format":"parquet"}`)
	if len(rowsOfParquet(t, file)) != 120 {
		t.Errorf("%+v", e)
	}
	other := s.make(keyring.New{
		Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes,
		Bounds: access.Bounds{Datasets: &access.Datasets{Named: []access.NamedDataset{{Name: "OTHER", Rights: access.ReadRecords}}}},
	}).text
	for _, c := range []struct {
		key, ask string
		status   int
	}{
		{other, `{"of":"dataset","dataset":"QUOTES"}`, 403},
		{s.taker(`{"events":{"hide":["properties"]}}`).text, `{"of":"dataset","dataset":"QUOTES"}`, 403},
		{key.text, `{"of":"dataset","dataset":"NONE"}`, 404},
		{key.text, `{"of":"dataset","dataset":"QUOTES","filter":"nope > 1"}`, 422},
		{key.text, `{"of":"dataset","dataset":"QUOTES","columns":["extra"]}`, 422},
		{key.text, `{"of":"dataset","dataset":"QUOTES","where":[]}`, 422},
	} {
		if status, code := s.w.site.asks(t, c.key, "POST", "/v1/exports", c.ask); status != c.status {
			t.Errorf("%s: %d %s", c.ask, status, code)
		}
	}
}

// Promise: an export costs what the answer of a query with as many rows and bytes costs; one that there are not enough credits
// for has no file.
func TestExportsCostCredits(t *testing.T) {
	t.Parallel()
	p := open(t).project(t)
	p.send(manyEvents(600))
	p.send(strings.ReplaceAll(manyEvents(600), "id-", "more-"))
	key := p.limited(access.Limits{Credits: access.Quota{Most: 3}})
	e := p.awaited(key, p.begin(key, `{"of":"events","columns":["event"]}`).ID)
	if e.Status != string(job.Succeeded) || e.Credits != 2 {
		t.Fatalf("%+v", e)
	}
	e = p.awaited(key, p.begin(key, `{"of":"events","columns":["event"]}`).ID)
	if e.Status != string(job.Failed) || e.Code != string(problem.CreditsExhausted) || e.Credits != 1 {
		t.Errorf("%+v", e)
	}
	if status, code := p.w.site.asks(t, key.text, "GET", "/v1/exports/"+e.ID+"/file", ""); status != 410 {
		t.Errorf("%d %s", status, code)
	}
}

// Promise: a file is not given before its export is over. One that the server was restarted in the middle of costs what it says,
// and that is charged before it can be fetched: without enough credits there is no file, and what was set aside is spent.
func TestExportsAcrossARestart(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t) // whoever runs jobs takes up all that are in the store
	p := w.project(t)
	p.send(manyEvents(700))
	p.send(strings.ReplaceAll(manyEvents(700), "id-", "more-"))
	dir := t.TempDir()
	program := func() (*site, *job.Runner) {
		jobs := job.New(job.Config{Store: w.store, Dir: dir + "/jobs", Charges: w.gate, Now: w.clock.Now, NewID: newSuffix, Log: w.log, Stands: job.Standing(w.ring, w.clock.Now)})
		exports := export.New(export.Config{
			Dir: dir + "/exports", Jobs: jobs, Rows: query.New(query.Config{Engine: w.warehouse, Now: w.clock.Now}), Datasets: w.datasets, Keys: w.ring,
			Now: w.clock.Now, Log: w.log, Sight: query.Sight(w.vault.Derive), Derive: w.vault.Derive,
		})
		jobs.Handle(export.Kind, exports.Work)
		jobs.Price(export.Kind, export.Price())
		return w.variant(t, func(cfg *api.Config) { cfg.Jobs, cfg.Exports = jobs, exports }, nil), jobs
	}
	before, _ := program() // which stops before it begins
	rich, poor, able := p.taker(""), p.limited(access.Limits{Credits: access.Quota{Most: 1}}), p.limited(access.Limits{Credits: access.Quota{Most: 9}})
	ids := map[string]string{}
	for _, key := range []madeKey{rich, poor, able} {
		_, body := before.call(t, "POST", "/v1/exports", strings.NewReader(`{"of":"events","columns":["event"]}`), "X-API-Key", key.text)
		var e taken
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.Status != string(job.Queued) {
			t.Fatalf("%s", body)
		}
		ids[key.text] = e.ID
		for _, c := range []struct{ method, path string }{{"GET", "/file"}, {"POST", "/link"}} {
			if status, code := before.asks(t, key.text, c.method, "/v1/exports/"+e.ID+c.path, ""); status != 409 || code != problem.ExportRunning {
				t.Errorf("%s %s: %d %s", c.method, c.path, status, code)
			}
		}
	}
	after, jobs := program()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- jobs.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	for key, want := range map[string]int{rich.text: 200, able.text: 200, poor.text: 410} {
		path := "/v1/exports/" + ids[key] + "/file"
		status, code := after.asks(t, key, "GET", path, "")
		for ; code == problem.ExportRunning; status, code = after.asks(t, key, "GET", path, "") {
			if err := jobs.Await(t.Context(), ids[key]); err != nil {
				t.Fatal(err)
			}
		}
		if status != want {
			t.Errorf("%d %s, and not %d", status, code, want)
		}
	}
	for key, want := range map[string]string{able.text: "2 2", poor.text: "1 1"} { // what it says, and what was charged
		_, said := after.call(t, "GET", "/v1/exports/"+ids[key], nil, "X-API-Key", key)
		var e taken
		var used struct {
			Key struct {
				Credits struct{ Used, Reserved int64 }
			}
		}
		_, limits := after.call(t, "GET", "/v1/limits", nil, "X-API-Key", key)
		if err := errors.Join(json.Unmarshal([]byte(said), &e), json.Unmarshal([]byte(limits), &used)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(e.Credits, used.Key.Credits.Used); got != want || used.Key.Credits.Reserved != 0 {
			t.Errorf("%s, and not %s: %s %s", got, want, said, limits)
		}
	}
}

// Promise: a limit holds for exports that are there, too.
func TestExportsAreLimited(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	p.send(manyEvents(5))
	key := p.taker("")
	e, _ := p.take(key, `{"of":"events"}`)
	p.policy(access.Policy{Limits: access.Limits{Daily: access.Quota{Most: 1}}})
	w.site.asks(t, key.text, "GET", "/v1/whoami", "") // uses it up
	for _, c := range [][2]string{{"GET", ""}, {"GET", "/file"}, {"POST", "/link"}, {"DELETE", ""}} {
		if status, code := w.site.asks(t, key.text, c[0], "/v1/exports/"+e.ID+c[1], ""); status != 429 || code != problem.RateLimited {
			t.Errorf("%s %s: %d %s", c[0], c[1], status, code)
		}
	}
}
