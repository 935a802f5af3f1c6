package api_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// modelRecord is a record of the model. n is another for each that was ever written.
type modelRecord struct {
	key, subkey string
	date        time.Time
	written     string // the date as it was sent
	v           *int
	n           int
	bad         bool // its date is none
}

// object is the record as JSON.
func (r *modelRecord) object() string {
	members := map[string]any{"k": r.key, "d": r.written, "n": r.n}
	if r.subkey != "" {
		members["s"] = r.subkey
	}
	if r.v != nil {
		members["v"] = *r.v
	}
	text, _ := json.Marshal(members)
	return string(text)
}

// line is the record as CSV, in the columns k, s, d, n and v.
func (r *modelRecord) line() string {
	v := ""
	if r.v != nil {
		v = fmt.Sprint(*r.v)
	}
	return fmt.Sprintf("\"%s\",\"%s\",%s,%d,%s\n", r.key, r.subkey, r.written, r.n, v)
}

func byModelIndex(a, b *modelRecord) int {
	return cmp.Or(a.date.Compare(b.date), cmp.Compare(a.key, b.key), cmp.Compare(a.subkey, b.subkey))
}

// modelDataset is a dataset as a list, and what is drawn of one.
type modelDataset struct {
	t       *rapid.T
	s       *tables
	id      string
	subkeys bool
	today   time.Time
	drawn   int
	all     []*modelRecord
}

// modelVerdict is what became of some records.
type modelVerdict struct{ written, replaced, ignored, rejected int }

// write writes as naively as can be.
func (m *modelDataset) write(list []*modelRecord, replace bool) (said modelVerdict) {
	for _, r := range list {
		i := slices.IndexFunc(m.all, func(o *modelRecord) bool { return byModelIndex(o, r) == 0 })
		switch {
		case r.bad:
			said.rejected++
		case i < 0:
			m.all = append(m.all, r)
			said.written++
		case replace:
			m.all[i] = r
			said.written++
			said.replaced++
		default:
			said.ignored++
		}
	}
	return said
}

// ask sends a request.
func (m *modelDataset) ask(method, path, body, kind string) (int, string) {
	answer, text := m.s.w.site.call(m.s.t, method, path, strings.NewReader(body), "X-API-Key", m.s.all, "Content-Type", kind)
	return answer.StatusCode, text
}

// put is ask for what must go well, whose answer is read into out.
func (m *modelDataset) put(method, path, body, kind string, status int, out any) {
	m.t.Helper()
	got, text := m.ask(method, path, body, kind)
	if got != status {
		m.t.Fatalf("%s %s answered %d and not %d: %s\n%s", method, path, got, status, text, body)
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		m.t.Fatalf("%s %s: %s: %v", method, path, text, err)
	}
}

func (m *modelDataset) drawRecords(least, most int) []*modelRecord {
	list := make([]*modelRecord, rapid.IntRange(least, most).Draw(m.t, "records"))
	for i := range list {
		m.drawn++
		r := &modelRecord{key: m.drawKey(), n: m.drawn}
		if m.subkeys {
			r.subkey = rapid.SampledFrom([]string{"x", "X", "y", ""}).Draw(m.t, "subkey")
		}
		r.date = m.today.AddDate(0, 0, -rapid.IntRange(0, 3).Draw(m.t, "days"))
		r.written = r.date.Format(rapid.SampledFrom([]string{time.DateOnly, "2006/01/02", "Jan 2 2006", time.RFC3339}).Draw(m.t, "form"))
		if rapid.IntRange(0, 2).Draw(m.t, "timed") == 0 {
			r.date = r.date.Add(time.Duration(rapid.IntRange(1, 2).Draw(m.t, "hours")) * time.Hour)
			r.written = r.date.Format(time.RFC3339)
		}
		if rapid.IntRange(0, 3).Draw(m.t, "valued") > 0 {
			v := rapid.IntRange(0, 3).Draw(m.t, "v")
			r.v = &v
		}
		if rapid.IntRange(0, 9).Draw(m.t, "bad") == 0 {
			r.bad, r.written = true, "never"
		}
		list[i] = r
	}
	return list
}

func (m *modelDataset) drawKey() string {
	return rapid.SampledFrom([]string{"a", "A", "a b", "é", "e\u0301", "p,q", "s/t"}).Draw(m.t, "key")
}

// store writes some records by the API, or as a file, and compares the verdict.
func (m *modelDataset) store() {
	replace, list := rapid.Bool().Draw(m.t, "replace"), m.drawRecords(1, 8)
	if how := rapid.SampledFrom([]string{"records", "records", "csv", "ndjson"}).Draw(m.t, "how"); how != "records" {
		m.load(list, how, replace)
		return
	}
	objects := make([]string, len(list))
	for i, r := range list {
		objects[i] = r.object()
	}
	path, body := fmt.Sprintf("/v1/record/CORE/%s?duplicateKeyHandling=%t", m.id, replace), "["+strings.Join(objects, ",")+"]"
	want := m.write(list, replace)
	if want.rejected == len(list) {
		if status, text := m.ask("POST", path, body, "application/json"); status != 422 {
			m.t.Fatalf("nothing good is answered with %d: %s", status, text)
		}
		return
	}
	var said struct {
		Written, Replaced int
		Ignored           []int
		Rejected          []any
	}
	m.put("POST", path, body, "application/json", 200, &said)
	if got := (modelVerdict{said.Written, said.Replaced, len(said.Ignored), len(said.Rejected)}); got != want {
		m.t.Fatalf("the verdict is %+v, want %+v, of %s", got, want, body)
	}
}

// load loads a file, which may take the place of everything, and compares the verdict.
func (m *modelDataset) load(list []*modelRecord, how string, replace bool) {
	overwrite := rapid.IntRange(0, 3).Draw(m.t, "overwrite") == 0
	file, kind := "k,s,d,n,v\n", "text/csv"
	if how == "ndjson" {
		file, kind = "", "application/x-ndjson"
	}
	for _, r := range list {
		if how == "ndjson" {
			file += r.object() + "\n"
		} else {
			file += r.line()
		}
	}
	before, status := m.all, "succeeded"
	if overwrite {
		m.all = nil
	}
	want := m.write(list, replace)
	if overwrite && want.rejected == len(list) {
		m.all, status = before, "failed"
	}
	var started struct{ JobURL string }
	m.put("POST", fmt.Sprintf("/v1/data/CORE/%s?wait=true&duplicateKeyHandling=%t&overwrite=%t", m.id, replace, overwrite), file, kind, 202, &started)
	var job struct {
		Status string
		Detail string
		Result struct{ Written, Replaced, Ignored, Rejected int }
	}
	m.put("GET", started.JobURL, "", kind, 200, &job)
	if got := (modelVerdict{job.Result.Written, job.Result.Replaced, job.Result.Ignored, job.Result.Rejected}); job.Status != status || got != want {
		m.t.Fatalf("the job %s with %+v (%s), want %s %+v, of\n%s", job.Status, got, job.Detail, status, want, file)
	}
}

// remove deletes some records, and compares how many there were.
func (m *modelDataset) remove() {
	key, subkey := m.drawKey(), ""
	path := fmt.Sprintf("/v1/data/CORE/%s/%s", m.id, url.PathEscape(key))
	var from, until time.Time
	query := ""
	how := rapid.IntRange(0, 3).Draw(m.t, "of")
	if m.subkeys && how > 0 {
		subkey = rapid.SampledFrom([]string{"x", "X", "y"}).Draw(m.t, "subkey")
		path += "/" + subkey
	}
	if how == 3 {
		if subkey == "" {
			path += "/-"
		}
		from = m.today.AddDate(0, 0, -rapid.IntRange(0, 3).Draw(m.t, "day"))
		until = from.AddDate(0, 0, 1)
		path += "/" + from.Format(time.DateOnly)
	} else {
		query, from, until = m.drawTimes(false)
	}
	before := len(m.all)
	m.all = slices.DeleteFunc(m.all, func(r *modelRecord) bool {
		return r.key == key && (subkey == "" || r.subkey == subkey) && within(r.date, from, until)
	})
	var said struct{ Deleted int }
	m.put("DELETE", path+"?"+query, "", "application/json", 200, &said)
	if said.Deleted != before-len(m.all) {
		m.t.Fatalf("DELETE %s?%s deleted %d, want %d", path, query, said.Deleted, before-len(m.all))
	}
}

func within(t, from, until time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (until.IsZero() || t.Before(until))
}

// drawTimes draws a time in a query, or none: from it, and before until.
func (m *modelDataset) drawTimes(ranges bool) (query string, from, until time.Time) {
	day := func() time.Time { return m.today.AddDate(0, 0, -rapid.IntRange(0, 3).Draw(m.t, "day")) }
	most := 5
	if !ranges {
		most = 3
	}
	switch rapid.IntRange(0, most).Draw(m.t, "times") {
	case 1:
		from = day()
		return "from=" + from.Format(time.DateOnly), from, until
	case 2:
		to := day().Add(time.Hour)
		return "to=" + to.Format(time.RFC3339), from, to.Add(time.Microsecond)
	case 3:
		if from, until = day(), day(); until.Before(from) {
			from, until = until, from
		}
		return "from=" + from.Format(time.RFC3339) + "&to=" + until.Format(time.DateOnly), from, until.AddDate(0, 0, 1)
	case 4:
		from = day()
		return "on=" + from.Format(time.DateOnly), from, from.AddDate(0, 0, 1)
	case 5:
		name := rapid.SampledFrom([]string{"max", "today", "yesterday", "1d", "2d"}).Draw(m.t, "range")
		tomorrow := m.today.AddDate(0, 0, 1)
		switch name {
		case "today":
			from, until = m.today, tomorrow
		case "yesterday":
			from, until = m.today.AddDate(0, 0, -1), m.today
		case "1d":
			from, until = m.today.AddDate(0, 0, -1), tomorrow
		case "2d":
			from, until = m.today.AddDate(0, 0, -2), tomorrow
		}
		return "range=" + name, from, until
	}
	return "", from, until
}

// modelQuestion is what is asked of the records.
type modelQuestion struct {
	keys, subkeys      []string
	query              []string
	from, until        time.Time
	timed, oldest, asc bool
	most               int // 0: not said
	offset, every      int
	holds              func(*modelRecord) bool
}

// drawQuestion draws a question, and the path that asks it.
func (m *modelDataset) drawQuestion() (q modelQuestion, path string) {
	number := func(name string, least int) int {
		n := rapid.IntRange(-2, 4).Draw(m.t, name)
		if n < least {
			return 0
		}
		q.query = append(q.query, fmt.Sprint(name, "=", n))
		return n
	}
	path = "/v1/data/CORE/" + m.id
	if rapid.IntRange(0, 3).Draw(m.t, "keyed") > 0 {
		q.keys = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "A", "a b", "é", "e\u0301", "p,q", "s/t", "none"}), 1, 3, rapid.ID[string]).Draw(m.t, "keys")
		path += "/" + url.PathEscape(strings.Join(q.keys, ";"))
		q.query = append(q.query, "batchSeparator=%3B")
		if m.subkeys && rapid.IntRange(0, 2).Draw(m.t, "subkeyed") == 0 {
			q.subkeys = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "X", "y"}), 1, 2, rapid.ID[string]).Draw(m.t, "subkeys")
			path += "/" + strings.Join(q.subkeys, ";")
		}
	}
	var times string
	if times, q.from, q.until = m.drawTimes(true); times != "" {
		q.query, q.timed = append(q.query, times), true
	}
	switch rapid.IntRange(0, 2).Draw(m.t, "from which end") {
	case 1:
		q.most = number("first", 1)
		q.oldest = q.most > 0
	case 2:
		q.most = number("last", 1)
	}
	if limit := number("limit", 1); limit > 0 && (q.most == 0 || limit < q.most) {
		q.most = limit
	}
	q.offset, q.every = number("offset", 0), max(1, number("interval", 1))
	if q.asc = rapid.Bool().Draw(m.t, "asc"); q.asc {
		q.query = append(q.query, "sort=asc")
	}
	filters := map[string]func(v int) bool{
		"": nil, "v > 1": func(v int) bool { return v > 1 }, "v != 2 and v <= 2": func(v int) bool { return v < 2 }, "v in (0, 3)": func(v int) bool { return v == 0 || v == 3 },
	}
	filter := rapid.SampledFrom([]string{"", "", "v > 1", "v != 2 and v <= 2", "v in (0, 3)"}).Draw(m.t, "filter")
	if filter != "" {
		q.query = append(q.query, "filter="+url.QueryEscape(filter))
	}
	q.holds = func(r *modelRecord) bool { return filter == "" || r.v != nil && filters[filter](*r.v) }
	return q, path + "?" + strings.Join(q.query, "&")
}

// answer is what the model answers: the numbers of the records.
func (m *modelDataset) answer(q *modelQuestion) []int {
	most := q.most
	if most == 0 && !q.timed && len(q.subkeys) == 0 {
		most = 1
	}
	groups := [][]string{q.keys} // without keys, all are one
	if len(q.keys) > 0 {
		groups = slices.Collect(slices.Chunk(q.keys, 1))
	}
	list := []int{}
	for _, keys := range groups {
		var group []*modelRecord
		for _, r := range m.all {
			if (len(keys) == 0 || r.key == keys[0]) && (len(q.subkeys) == 0 || slices.Contains(q.subkeys, r.subkey)) && within(r.date, q.from, q.until) && q.holds(r) {
				group = append(group, r)
			}
		}
		slices.SortFunc(group, byModelIndex)
		if !q.oldest {
			slices.Reverse(group)
		}
		counted := map[string]int{} // of each subkey that is named, or of all
		var taken []*modelRecord
		for _, r := range group {
			of := ""
			if len(q.subkeys) > 0 {
				of = r.subkey
			}
			at := counted[of] - q.offset*q.every
			if counted[of]++; at >= 0 && at%q.every == 0 && (most == 0 || at/q.every < most) {
				taken = append(taken, r)
			}
		}
		if q.oldest != q.asc { // the order in which they are given is not that in which they were counted
			slices.Reverse(taken)
		}
		for _, r := range taken {
			list = append(list, r.n)
		}
	}
	return list
}

// compare asks a question of both.
func (m *modelDataset) compare() {
	q, path := m.drawQuestion()
	var records []struct{ N int }
	m.put("GET", path, "", "application/json", 200, &records)
	got := make([]int, len(records))
	for i := range records {
		got[i] = records[i].N
	}
	if want := m.answer(&q); !slices.Equal(got, want) {
		m.t.Fatalf("%s has %v, want %v", path, got, want)
	}
}

// Promise: whatever is written record by record or loaded as files, replaced, passed over, refused, overwritten and deleted, each
// verdict and each answer, by keys, subkeys, times, numbers, order and conditions, is that of a naive list.
func TestDatasetsAgreeWithAModel(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t).apart(t))
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &modelDataset{t: rt, s: s, id: fmt.Sprint("MODEL", run), subkeys: rapid.Bool().Draw(rt, "subkeys"), today: s.w.clock.Now().Truncate(24 * time.Hour)}
		index := `{"key":"k","date":"d"}`
		if m.subkeys {
			index = `{"key":"k","subkey":"s","date":"d"}`
		}
		m.put("POST", "/v1/datasets/CORE", fmt.Sprintf(`{"datasetId":%q,"schema":{"type":"object","properties":{"k":{"type":"string"},"s":{"type":"string"},
			"d":{"type":"date"},"n":{"type":"integer"},"v":{"type":"integer"}}},"columnMapping":%s}`, m.id, index), "application/json", 201, new(any))
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			m.store()
			if rapid.IntRange(0, 2).Draw(rt, "removes") == 0 {
				m.remove()
			}
			for range 3 {
				m.compare()
			}
		}
		if status, text := m.ask("DELETE", "/v1/datasets/CORE/"+m.id, "", "application/json"); status >= 300 {
			rt.Fatalf("the dataset is not deleted: %d %s", status, text)
		}
	})
}
