package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// narrowed makes a key with a view, as an admin does.
func (p *project) narrowed(view string) madeKey {
	p.t.Helper()
	admin := p.key("secret live all")
	answer, body := p.w.site.call(p.t, "POST", "/v1/keys",
		strings.NewReader(`{"kind":"secret","scopes":["sql:run","events:read"],"view":`+view+`}`), "X-API-Key", admin.text)
	var made struct{ ID, Key string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || answer.StatusCode != 201 {
		p.t.Fatalf("%d %s", answer.StatusCode, body)
	}
	return madeKey{text: made.Key, id: made.ID}
}

// send stores events as they are given, and waits until they can be asked for.
func (p *project) send(events string) {
	p.t.Helper()
	if answer, body := p.w.site.call(p.t, "POST", "/track?sync=true", strings.NewReader(events), "X-API-Key", p.key("public live").text); answer.StatusCode != 200 {
		p.t.Fatalf("%d %s", answer.StatusCode, body)
	}
}

// outcome is what a statement is answered, without what differs from run to run.
func (p *project) outcome(key madeKey, sql string) string {
	p.t.Helper()
	question, err := json.Marshal(map[string]any{"sql": sql})
	if err != nil {
		p.t.Fatal(err)
	}
	answer, body := p.w.site.call(p.t, "POST", "/v1/query", strings.NewReader(string(question)), "X-API-Key", key.text)
	var said map[string]any
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		p.t.Fatalf("%s: %s", err, body)
	}
	for _, member := range []string{"elapsed_ms", "request_id", "decision_id"} {
		delete(said, member)
	}
	return fmt.Sprint(answer.StatusCode, said)
}

// Promise: over HTTP a key with a view is answered, and refused, word for word as a key of a project is in which nothing
// but what the view lets through was ever stored.
func TestAViewIsAFilteredCopy(t *testing.T) {
	t.Parallel()
	w := open(t)
	all, copied := w.project(t), w.project(t)
	var whole, filtered []string
	for i := range 60 {
		country, hidden := []string{"FR", "DE", "fr"}[i%3], `,"email":"a`+fmt.Sprint(i)+`@example.com","n":"`+fmt.Sprint(i)+`x"`
		text := func(more string) string {
			return fmt.Sprintf(`{"event":"e%d","distinct_id":"u_%d","event_id":"id-%03d","timestamp":"2026-06-01T10:00:%02dZ","properties":{"country":"%s"%s,"price":%d}}`,
				i%4, i%7, i, i, country, more, i)
		}
		whole = append(whole, text(hidden))
		if country == "FR" {
			filtered = append(filtered, text(""))
		}
	}
	all.send("[" + strings.Join(whole, ",") + "]")
	copied.send("[" + strings.Join(filtered, ",") + "]")
	const shown = `"hide":["received_at","key_id","properties.email","properties.n"]`
	narrow := all.narrowed(`{"events":{"where":[{"column":"properties.country","op":"=","value":"FR"}],` + shown + `}}`)
	plain := copied.narrowed(`{"events":{` + shown + `}}`)
	for _, sql := range []string{
		"SELECT * FROM events ORDER BY event_id", "SELECT count(*), min(event_id), max(timestamp) FROM events",
		"SELECT event, count(DISTINCT distinct_id) FROM events GROUP BY ALL ORDER BY ALL",
		"SELECT properties FROM events ORDER BY event_id", "SELECT sum((properties->>'price')::INT) FROM events",
		"SELECT properties->>'email', properties->>'n' FROM events", "SELECT (properties->>'n')::INT FROM events",
		"SELECT 1 / ((properties->>'price')::INT - 1) FROM events WHERE properties->>'country' = 'DE'",
		"SELECT 1 // ((properties->>'price')::INT - 0) AS x FROM events ORDER BY ALL", "SELECT (event || 'x')::INT FROM events",
		"SELECT CASE WHEN event_id = 'id-001' THEN error('there') ELSE 'none' END FROM events", "SELECT error('one') FROM events WHERE event_id = 'id-001'",
		"SELECT key_id FROM events", "SELECT received_at FROM events", "SELECT * FROM persons", "SELECT events.email FROM events", "SELECT rowid FROM events",
		"WITH e AS (SELECT * FROM events) SELECT count(*) FROM e a JOIN e b USING (distinct_id) WHERE a.event_id < b.event_id",
		"SELECT event_id, row_number() OVER (PARTITION BY distinct_id ORDER BY timestamp) FROM events ORDER BY 1",
		"SELECT event_id FROM events WHERE EXISTS (SELECT 1 FROM events o WHERE o.properties->>'country' = 'fr')",
		"SELECT quantile_cont((properties->>'price')::DOUBLE, 0.5), stddev((properties->>'price')::DOUBLE) FROM events",
		"SELECT event_id FROM events WHERE timestamp > '2026-06-01 10:00:30' AND event_id >= 'id-04' ORDER BY 1 LIMIT 3 OFFSET 1",
		"SELECT json_keys(properties) FROM events", "SELECT count(*) FROM events TABLESAMPLE 100 PERCENT", "SELECT approx_count_distinct(event_id) FROM events",
		"SELEC 1", "SELECT nothing FROM events", "SELECT event_id FROM events WHERE timestamp = 'nonsense'",
	} {
		if got, want := all.outcome(narrow, sql), copied.outcome(plain, sql); got != want {
			t.Errorf("%s\nin the view   %s\nof the copy   %s", sql, got, want)
		}
	}
	key := all.narrowed(`{"events":{"where":[{"column":"properties.country","op":"=","value":"FR"}],"hide":["properties.email"]}}`)
	var page struct{ Data []any }
	if _, body := w.site.call(t, "GET", "/v1/events?limit=1000", nil, "X-API-Key", key.text); json.Unmarshal([]byte(body), &page) != nil || len(page.Data) != 20 {
		t.Errorf("listed: %s", body)
	}
	for _, e := range page.Data {
		if text := fmt.Sprint(e); strings.Contains(text, "example.com") || !strings.Contains(text, "country:FR") {
			t.Errorf("listed: %s", text)
		}
	}
}

// Promise: a stream that is open when its key gets a view ends, since it cannot be narrowed.
func TestAViewEndsStreams(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	admin, reader := p.key("secret live all"), p.key("secret live events:read")
	f := w.site.follow(t, reader.text, "")
	answer, body := w.site.call(t, "PATCH", "/v1/keys/"+reader.id, strings.NewReader(`{"view":{"events":{}}}`), "X-API-Key", admin.text)
	if answer.StatusCode != 200 {
		t.Fatal(body)
	}
	for range f.events { // until it ends
	}
	if answer, body := w.site.call(t, "GET", "/v1/events/stream", nil, "X-API-Key", reader.text); answer.StatusCode != 403 || !strings.Contains(body, "view_not_applied") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}
