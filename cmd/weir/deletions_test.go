package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-analytics/weir/internal/api"
)

// Whoever is deleted, and whoever stays, are in everything that is sent by these.
const (
	deletedMarker = "Zq7xMarkerOfTheDeleted"
	keptMarker    = "Zq7xMarkerOfTheKept"
)

// found are the files of a data folder that hold a text, as they are or as they unpack.
func (in *installation) found(text string) (names []string) {
	in.t.Helper()
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		in.t.Fatal(err)
	}
	defer unpack.Close()
	err = filepath.WalkDir(in.data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if plain, err := unpack.DecodeAll(data, nil); err == nil {
			data = append(data, plain...)
		}
		if r, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			var plain bytes.Buffer
			_, _ = plain.ReadFrom(r)
			data = append(data, plain.Bytes()...)
		}
		name, _ := filepath.Rel(in.data, path)
		if bytes.Contains(data, []byte(text)) || strings.Contains(name, text) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		in.t.Fatal(err)
	}
	return names
}

// must sends something and gives the answer, which must be of the status.
func (r *running) must(status int, key, path string, body any) []byte {
	r.t.Helper()
	got, text, err := r.send(r.t.Context(), key, path, body)
	if err != nil || got != status {
		r.t.Fatalf("%s: %d %s (%v)", path, got, text, err)
	}
	return text
}

// live sends all that there can be of a person.
func (r *running) live(marker string) {
	user, visitor, other := "user-"+marker, "visitor-"+marker, "second-"+marker
	of := func(event string, members map[string]any) map[string]any {
		members["event"], members["environment"] = event, "production"
		return members
	}
	for n := range 50 {
		r.must(http.StatusOK, r.public, "/track", of("page viewed", map[string]any{
			"anonymous_id": visitor, "device_id": "device-" + marker, "session_id": "session-" + marker, "properties": map[string]any{"title": fmt.Sprint(marker, n)},
		}))
	}
	r.must(http.StatusOK, r.public, "/identify", map[string]any{
		"distinct_id": user, "anonymous_id": visitor, "environment": "production", "traits": map[string]any{"email": marker + "@example.com"},
	})
	r.must(http.StatusOK, r.public, "/alias", map[string]any{"distinct_id": user, "new_user_id": other, "environment": "production"})
	r.must(http.StatusOK, r.public, "/track?sync=true", of("bought", map[string]any{"distinct_id": other, "event_id": "event-" + marker, "properties": map[string]any{"for": marker}}))
	events := []map[string]any{
		{"type": 4, "timestamp": 1780000000000, "data": map[string]any{"href": "https://shop.example/" + marker, "width": 800, "height": 600}},
		{"type": 3, "timestamp": 1780000000100, "data": map[string]any{"text": marker}},
	}
	r.must(http.StatusOK, r.public, "/v1/recordings", map[string]any{
		"session_id": "session-" + marker, "sequence": 0, "environment": "production", "distinct_id": user, "events": events,
	})
	events[0]["data"], events[1]["data"] = map[string]any{"width": 800}, map[string]any{"text": "I am " + user} // nobody says whose it is
	r.must(http.StatusOK, r.public, "/v1/recordings", map[string]any{"session_id": fmt.Sprint("nameless-", len(marker)), "sequence": 0, "environment": "production", "events": events})
	for range 2 {
		r.must(http.StatusOK, r.secret, "/v1/query", map[string]any{
			"environment": "production", "cache_minutes": 60,
			"sql": "SELECT properties, '" + marker + "' FROM events WHERE person_id = 'user-" + marker + "'",
		})
	}
	if status, text, err := r.send(r.t.Context(), r.secret, "/v1/workflows", map[string]any{"id": "hook", "environment": "production", "url": "https://127.0.0.1:1/"}); err != nil ||
		status != http.StatusCreated && status != http.StatusConflict {
		r.t.Fatalf("%d %s (%v)", status, text, err)
	}
	r.must(http.StatusAccepted, r.secret, "/v1/workflows/hook/trigger?environment=production", map[string]any{
		"variables": map[string]any{"link": "https://shop.example/?of=" + user},
	})
	r.must(http.StatusAccepted, r.secret, "/v1/exports?wait=true", map[string]any{
		"environment": "production", "of": "events", "where": []any{map[string]any{"column": "distinct_id", "op": "=", "value": user}},
	})
	if status, text := r.get(r.secret, "/v1/users/"+other+"?environment=production"); status != http.StatusOK || !bytes.Contains(text, []byte(marker+"@example.com")) {
		r.t.Fatalf("%d %s", status, text)
	}
}

// deleted waits for a deletion, and gives it.
func (r *running) deleted(started []byte) (d api.Deletion) {
	r.t.Helper()
	if err := json.Unmarshal(started, &d); err != nil {
		r.t.Fatal(err)
	}
	await(r.t, "the deletion", func() bool {
		status, text := r.get(r.secret, "/v1/deletions/"+d.ID+"?environment=production")
		if status != http.StatusOK || json.Unmarshal(text, &d) != nil {
			r.t.Fatalf("%d %s", status, text)
		}
		return d.Status != "queued" && d.Status != "running"
	})
	return d
}

// Promise: of a person who was deleted no byte is left in the data folder, in no file, packed or not, and not in the logs;
// it is proven by a receipt that names nobody; everybody else is as before.
func TestNothingIsLeftOfWhoWasDeleted(t *testing.T) {
	in := install(t)
	r := in.serve("--cache-memory", "1000", "--webhook-allow", "127.0.0.0/8")
	r.live(deletedMarker)
	r.live(keptMarker)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for _, marker := range []string{deletedMarker, keptMarker} {
		all := strings.Join(in.found(marker), " ")
		for _, place := range []string{"production.duckdb", "weir.db", ".zst"} {
			if !strings.Contains(all, place) {
				t.Fatalf("before anything is deleted, %s is found in %s only", marker, all)
			}
		}
	}
	r = in.serve("--cache-memory", "1000", "--webhook-allow", "127.0.0.0/8")
	r.live(deletedMarker) // what is in the journal, and kept in memory and in files
	wish := map[string]any{"environment": "production", "person": "second-" + deletedMarker}
	preview := r.must(http.StatusOK, r.secret, "/v1/deletions?dry_run=true", wish)
	if !strings.HasPrefix(string(preview), `{"events":105,"events_changed":0,"persons":1,"persons_changed":0,"records":0,"ids":3,"parts":[{"part":"recordings","count":1},`) ||
		!strings.Contains(string(preview), `{"part":"deliveries","count":2}`) {
		t.Fatalf("the preview is %s", preview)
	}
	d := r.deleted(r.must(http.StatusAccepted, r.secret, "/v1/deletions", wish))
	if d.Status != "succeeded" || d.Receipt == nil || !d.Receipt.Verified || len(d.Receipt.Of.Person) != 64 {
		t.Fatalf("%+v", d)
	}
	counts := map[string]int64{}
	for _, removed := range d.Receipt.Removed {
		counts[removed.Part] = removed.Count
	}
	if counts["events"] != 105 || counts["persons"] != 1 || counts["recordings"] != 2 || counts["statements"] < 2 || counts["deliveries"] != 2 || counts["jobs"] < 2 {
		t.Errorf("removed: %v", counts)
	}
	if status, text := r.get(r.secret, "/v1/users/user-"+deletedMarker+"?environment=production"); status != http.StatusNotFound {
		t.Errorf("the profile: %d %s", status, text)
	}
	if status, text := r.get(r.secret, "/v1/users/second-"+keptMarker+"?environment=production"); status != http.StatusOK || !bytes.Contains(text, []byte(keptMarker+"@example.com")) {
		t.Errorf("the other's profile: %d %s", status, text)
	}
	if rows := r.ask("SELECT count(*) FROM events WHERE person_id = 'user-" + keptMarker + "'"); fmt.Sprint(rows) != "[[51]]" {
		t.Errorf("the other's events: %v", rows)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.logs.String(), deletedMarker) { // all is written by now
		t.Error("the marker is in the logs")
	}
	if names := in.found(deletedMarker); len(names) > 0 {
		t.Errorf("of who was deleted there is something in %q", names)
	}
	all := strings.Join(in.found(keptMarker), " ")
	for _, place := range []string{"production.duckdb", "weir.db", ".zst"} {
		if !strings.Contains(all, place) {
			t.Errorf("the other is found in %s only", all)
		}
	}
}

// Promise: a deletion that was answered is done whatever happens to the server: killed at any moment, it goes on at the next
// start, and then no byte is left, of a person or of what a key sent.
func TestKilledServerGoesOnDeleting(t *testing.T) {
	in := install(t)
	in.unlimit()
	r := in.serve("--webhook-allow", "127.0.0.0/8")
	r.live(deletedMarker)
	r.live(keptMarker)
	made := r.must(http.StatusCreated, r.secret, "/v1/keys", map[string]any{"kind": "secret", "scopes": []string{"events:write", "users:write", "recordings:write", "datasets:write", "workflows:run"}, "label": "leaked"})
	var leaked api.Key
	if err := json.Unmarshal(made, &leaked); err != nil || leaked.Key == "" {
		t.Fatalf("%s %v", made, err)
	}
	const spam = "Zq7xSpamOfTheLeakedKey"
	r.must(http.StatusOK, leaked.Key, "/track", map[string]any{"event": "spam", "environment": "production", "distinct_id": "user-" + keptMarker, "properties": map[string]any{"buy": spam}})
	r.must(http.StatusOK, leaked.Key, "/alias", map[string]any{"distinct_id": "user-" + keptMarker, "new_user_id": spam, "environment": "production"})
	r.must(http.StatusCreated, r.secret, "/v1/datasets/production", map[string]any{
		"datasetId": "QUOTES", "schema": map[string]any{"type": "object", "properties": map[string]any{"symbol": map[string]any{"type": "string"}}},
		"columnMapping": map[string]any{"key": "symbol"},
	})
	r.must(http.StatusOK, r.secret, "/v1/record/production/QUOTES", []map[string]any{{"symbol": keptMarker}})
	r.must(http.StatusOK, leaked.Key, "/v1/record/production/QUOTES", []map[string]any{{"symbol": spam}})
	r.must(http.StatusOK, leaked.Key, "/v1/recordings", map[string]any{
		"session_id": "session-" + spam, "sequence": 0, "environment": "production", "distinct_id": spam,
		"events": []map[string]any{{"type": 4, "timestamp": 1780000000000, "data": map[string]any{"href": "https://shop.example/" + spam}}},
	})
	r.must(http.StatusOK, leaked.Key, "/track?sync=true", []map[string]any{
		{"event": "spam", "environment": "production", "distinct_id": "user-" + keptMarker}, {"event": 7, "environment": "production", "distinct_id": spam},
	})
	r.must(http.StatusCreated, r.secret, "/v1/workflows", map[string]any{"id": "welcome", "environment": "production", "event": "welcomed"})
	r.must(http.StatusAccepted, leaked.Key, "/v1/workflows/welcome/trigger?environment=production", map[string]any{"variables": map[string]any{"buy": spam}})
	await(t, "the event of the workflow", func() bool {
		return fmt.Sprint(r.ask("SELECT count(*) FROM events WHERE event = 'welcomed'")) == "[[1]]"
	})
	preview := r.must(http.StatusOK, r.secret, "/v1/deletions?dry_run=true", map[string]any{"environment": "production", "key_id": leaked.ID})
	if want := `"persons_changed":1,"records":1,"ids":0,"parts":[{"part":"recordings","count":1},{"part":"rejected","count":1},{"part":"deliveries","count":1}]}`; !strings.Contains(string(preview), want) {
		t.Errorf("a dry run says %s, want %s", preview, want)
	}
	var begun [][]byte
	for _, wish := range []map[string]any{{"person": "visitor-" + deletedMarker}, {"key_id": leaked.ID, "from": "2020-01-01T00:00:00Z"}} {
		wish["environment"] = "production"
		begun = append(begun, r.must(http.StatusAccepted, r.secret, "/v1/deletions", wish))
		r.kill()
		r = in.serve("--webhook-allow", "127.0.0.0/8")
	}
	for _, text := range begun {
		if d := r.deleted(text); d.Status != "succeeded" || d.Receipt == nil || !d.Receipt.Verified {
			t.Errorf("%+v", d)
		}
	}
	if rows := r.ask("SELECT person_id, json_array_length(distinct_ids) FROM persons"); fmt.Sprint(rows) != "[[user-"+keptMarker+" 3]]" {
		t.Errorf("persons: %v", rows)
	}
	if _, text := r.get(r.secret, "/v1/data/production/QUOTES?limit=9"); strings.TrimSpace(string(text)) != `[{"symbol":"`+keptMarker+`"}]` {
		t.Errorf("records: %s", text)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for _, marker := range []string{deletedMarker, spam} {
		if names := in.found(marker); len(names) > 0 {
			t.Errorf("%s is in %q", marker, names)
		}
	}
}
