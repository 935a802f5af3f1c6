package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/problem"
)

// leak writes with a key into everything that takes something: the names of events, keys of records and sessions begin with a word.
func (s *tables) leak(key, word string) {
	s.t.Helper()
	s.ask(key, "POST", "/track?sync=true", fmt.Sprintf(`{"event":"%s","distinct_id":"victim"}`, word), 200)
	s.ask(key, "POST", "/identify", fmt.Sprintf(`{"distinct_id":"victim","traits":{"said_%s":true}}`, word), 200)
	s.ask(key, "POST", "/track?sync=true", fmt.Sprintf(`{"event":"%s","distinct_id":"victim"}`, word), 200)
	sequence := map[string]int{"good": 0, "evil": 1}[word]
	for _, session := range []string{"shared", word} {
		s.ask(key, "POST", "/v1/recordings", fmt.Sprintf(`{"session_id":"%s","sequence":%d,"events":[{"type":3,"timestamp":1780000000000,"data":{"text":"%s"}}]}`,
			session, sequence, word), 200)
	}
	s.ask(key, "POST", "/v1/record/CORE/QUOTES", fmt.Sprintf(`[{"symbol":"%s-api","date":"2026-01-01","open":1},{"symbol":"%s-api","date":"2026-01-02","open":2}]`, word, word), 200)
	s.ask(key, "POST", "/v1/record/CORE/QUOTES?duplicateKeyHandling=true", fmt.Sprintf(`[{"symbol":"contested","date":"2026-01-01","note":"%s"}]`, word), 200)
	var started struct{ JobID string }
	text := s.ask(key, "POST", "/v1/data/CORE/QUOTES", "symbol,date\n"+word+"-file,2026-01-01\n", 202)
	if err := json.Unmarshal([]byte(text), &started); err != nil || started.JobID == "" {
		s.t.Fatal(text, err)
	}
	if err := s.w.jobs.Await(s.t.Context(), started.JobID); err != nil {
		s.t.Fatal(err)
	}
	s.ask(key, "POST", "/product", fmt.Sprintf(`{"typeId":"SHOES","id":"%s-product","properties":{"a":1},"propertiesUpdateType":"FULL_UPDATE"}`, word), 204)
}

// written are the keys of the records, and what is kept of sessions and persons, that begin with a word.
func (s *tables) written(word string) (found []string) {
	s.t.Helper()
	for _, dataset := range []string{"QUOTES", "SHOES"} {
		var list []map[string]any
		text := s.ask(s.all, "GET", "/v1/data/CORE/"+dataset+"?limit=1000&includeSystemRecordProperties=true", "", 200)
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			s.t.Fatal(text, err)
		}
		for _, r := range list {
			if strings.HasPrefix(fmt.Sprint(r["key"]), word) || r["note"] == word {
				found = append(found, fmt.Sprint(r["key"]))
			}
			for name, value := range r {
				if name == "key_id" || strings.HasPrefix(fmt.Sprint(value), "key_") {
					s.t.Errorf("a record shows %s: %v", name, value)
				}
			}
		}
	}
	for _, session := range []string{"shared", word} {
		answer, text := s.w.site.call(s.t, "GET", "/v1/recordings/"+session+"/events", strings.NewReader(""), "X-API-Key", s.all)
		if answer.StatusCode == http.StatusOK && strings.Contains(text, `"`+word+`"`) {
			found = append(found, "recording "+session)
		}
	}
	if strings.Contains(s.ask(s.all, "GET", "/v1/users/victim", "", 200), "said_"+word) {
		found = append(found, "trait")
	}
	text := s.ask(s.all, "POST", "/v1/query", fmt.Sprintf(`{"sql":"SELECT count(*) FROM events WHERE event = '%s'"}`, word), 200)
	var rows struct{ Rows [][]int }
	if err := json.Unmarshal([]byte(text), &rows); err != nil || len(rows.Rows) != 1 {
		s.t.Fatal(text, err)
	}
	if n := rows.Rows[0][0]; n > 0 {
		found = append(found, fmt.Sprintf("%d events", n))
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Promise: what a leaked key wrote, by every way in, is counted by a dry run that removes nothing, is undone everywhere, and is counted
// in the receipt; what others wrote stays, also when a dataset's records were made anew between; no answer and no statement shows which
// key wrote a record.
func TestWhatALeakedKeyWroteIsUndone(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	good, leaked := s.key("secret live all"), s.key("secret live all")
	s.define("QUOTES", "core")
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"SHOES","schema":{"type":"object","properties":{"id":{"type":"string"}}},"columnMapping":{"key":"id"}}`, 201)
	s.leak(good.text, "good")
	s.leak(leaked.text, "evil")
	all := []string{"2 events", "contested", "evil-api", "evil-file", "evil-product", "recording evil", "recording shared", "trait"}
	if got := s.written("evil"); !slices.Equal(got, all) {
		t.Fatalf("the leaked key wrote %q", got)
	}
	kept := s.written("good")
	text := s.ask(s.all, "PATCH", "/v1/datasets/CORE/QUOTES?existing=reingest", `{"schema":{"type":"object","properties":{"symbol":{"type":"string"},"date":{"type":"date"}}}}`, 200)
	var changed struct{ Job string }
	if err := json.Unmarshal([]byte(text), &changed); err != nil || s.w.jobs.Await(t.Context(), changed.Job) != nil {
		t.Fatal(text, err)
	}
	wish := fmt.Sprintf(`{"key_id":%q,"from":"2020-01-01T00:00:00Z"}`, leaked.id)
	want := `{"events":3,"events_changed":0,"persons":0,"persons_changed":1,"records":5,"ids":0,"parts":[{"part":"recordings","count":2}]}`
	for range 2 {
		if got := strings.TrimSpace(s.ask(s.all, "POST", "/v1/deletions?dry_run=true", wish, 200)); got != want {
			t.Fatalf("the dry run says %s, want %s", got, want)
		}
	}
	if got := s.written("evil"); !slices.Equal(got, all) {
		t.Fatalf("after a dry run there is %q", got)
	}
	d := s.deleted(wish)
	counts := map[string]int64{}
	for _, r := range d.Receipt.Removed {
		counts[r.Part] = r.Count
	}
	for part, n := range map[string]int64{"events": 3, "persons_changed": 1, "records": 5, "recordings": 2} {
		if counts[part] != n {
			t.Errorf("of %s %d are removed, want %d", part, counts[part], n)
		}
	}
	if got := s.written("evil"); len(got) != 0 {
		t.Errorf("left of the leaked key is %q", got)
	}
	if got := s.written("good"); !slices.Equal(got, kept) {
		t.Errorf("of the others there is %q, want %q", got, kept)
	}
	var row struct{ Columns []struct{ Name string } }
	if err := json.Unmarshal([]byte(s.ask(s.all, "POST", "/v1/query", `{"sql":"SELECT * FROM QUOTES LIMIT 1"}`, 200)), &row); err != nil {
		t.Fatal(err)
	}
	if names := fmt.Sprint(row.Columns); strings.Contains(names, "key_id") {
		t.Errorf("a statement shows %s", names)
	}
	s.ask(s.all, "POST", "/v1/query", `{"sql":"SELECT key_id FROM QUOTES"}`, 400)
}

// deleted asks for a deletion and waits for it.
func (s *tables) deleted(wish string) (d api.Deletion) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.ask(s.all, "POST", "/v1/deletions", wish, 202)), &d); err != nil {
		s.t.Fatal(err)
	}
	if err := s.w.jobs.Await(s.t.Context(), "job_"+strings.TrimPrefix(d.ID, "del_")); err != nil {
		s.t.Fatal(err)
	}
	text := s.ask(s.all, "GET", "/v1/deletions/"+d.ID, "", 200)
	if err := json.Unmarshal([]byte(text), &d); err != nil || d.Receipt == nil {
		s.t.Fatal(text, err)
	}
	return d
}

// Promise: a deletion of what a key sent is of a key that the project has or had, or of one that sent something: a typo is told, and
// nothing is done, also in the dry run; a revoked key and an expired one are known, another project's is not.
func TestAKeyThatNeverWasIsToldBeforeADeletion(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := newTables(t, w)
	stranger := w.project(t).key("public live")
	for _, id := range []string{"nokey", "key_AAAAAAAAAAAA", "key_3fQ9xT0aLmZk ", stranger.id} {
		for _, path := range []string{"/v1/deletions", "/v1/deletions?dry_run=true"} {
			for _, more := range []string{"", `,"events":["A"]`, `,"until":"2099-06-02T00:00:00Z"`} {
				answer, text := w.site.call(t, "POST", path, strings.NewReader(fmt.Sprintf(`{"key_id":%q%s}`, id, more)), "X-API-Key", s.all)
				if answer.StatusCode != 422 || codeOf(text) != problem.InvalidField || !strings.Contains(text, `"field":"key_id"`) {
					t.Errorf("%s of %s%s: %d %s", path, id, more, answer.StatusCode, text)
				}
			}
		}
	}
	if text := s.ask(s.all, "GET", "/v1/deletions", "", 200); !strings.Contains(text, `"data":[]`) {
		t.Errorf("there is a deletion: %s", text)
	}
	for _, description := range []string{"public live", "public live, revoked", "secret live all, expired", "public test"} {
		s.ask(s.all, "POST", "/v1/deletions?dry_run=true", fmt.Sprintf(`{"key_id":%q}`, s.key(description).id), 200)
	}
	s.ask(s.all, "POST", "/v1/deletions", fmt.Sprintf(`{"key_id":%q}`, s.key("public live, revoked").id), 202)
}
