package duckdb

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// town is a space whose file is filled, erased in and looked at in this process.
type town struct {
	t     *testing.T
	dir   string
	shelf *shelf
	at    event.Position
}

func newTown(t *testing.T) *town {
	dir := t.TempDir()
	w := &town{t: t, dir: dir, shelf: newShelf(dir, 4, 1<<30, options(t), nil)}
	t.Cleanup(func() { w.shelf.close() })
	return w
}

var erasureSpace = event.Space{Project: "prj", Environment: "production"}

// tell loads events, a second after one another.
func (w *town) tell(events ...event.Event) {
	w.t.Helper()
	instance, back, err := w.shelf.write(w.t.Context(), erasureSpace)
	if err != nil {
		w.t.Fatal(err)
	}
	defer back()
	var records []event.Record
	for _, e := range events {
		w.at++
		e.Project, e.Environment = erasureSpace.Project, erasureSpace.Environment
		e.ReceivedAt = time.Date(2026, 1, 1, 0, 0, int(w.at), 0, time.UTC)
		e.Timestamp = e.ReceivedAt
		if e.KeyID == "" {
			e.KeyID = "key_good"
		}
		records = append(records, event.Record{Position: w.at, Data: event.AppendEvent(nil, &e)})
	}
	if err := instance.load(w.t.Context(), records); err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) ask(sql string) (rows []string) {
	w.t.Helper()
	instance, back, err := w.shelf.read(w.t.Context(), erasureSpace)
	if err != nil {
		w.t.Fatal(err)
	}
	defer back()
	conn, err := instance.db.Connect()
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Each(w.t.Context(), sql, func(r *native.Result, row int) error {
		rows = append(rows, strings.Clone(r.Text(0, row)))
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return rows
}

func (w *town) erase(s deletion.Selection) (erased, error) {
	var says erased
	err := w.shelf.alone(w.t.Context(), erasureSpace, func(path string) (err error) {
		if says, err = w.shelf.erase(w.t.Context(), path, erasureSpace, &s); err != nil || len(says.IDs) > 0 {
			return err
		}
		return w.shelf.rewrite(w.t.Context(), path, erasureSpace)
	})
	return says, err
}

// bytesOfFolder are those of every file.
func (w *town) bytesOfFolder() (all []byte) {
	w.t.Helper()
	err := filepath.Walk(w.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all = append(all, data...)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func happened(name, distinct, anonymous string) event.Event {
	return event.Event{Kind: event.Track, Name: name, DistinctID: distinct, AnonymousID: anonymous, Properties: []byte(`{"by":"` + distinct + `"}`)}
}

func identified(distinct, anonymous string) event.Event {
	return event.Event{Kind: event.Identify, DistinctID: distinct, AnonymousID: anonymous, Properties: []byte(`{"name":"` + distinct + `"}`)}
}

// Promise: what is erased of a person is in no byte of the space's file; events of others that named one of the ids stay and
// name it no more; everybody else is as before, and so are datasets and the place of the loader. To erase again changes
// nothing.
func TestErasePerson(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	for n := range 100 {
		w.tell(happened("seen", fmt.Sprintf("other-%d", n), fmt.Sprintf("browser-%d", n)), happened("seen", "MARKER-user", ""), happened("seen", "", "MARKER-anon"))
	}
	w.tell(identified("MARKER-user", "MARKER-anon"), identified("other-1", "MARKER-anon"), happened("shared", "other-1", "MARKER-anon"),
		event.Event{Kind: event.Alias, DistinctID: "MARKER-user", NewUserID: "MARKER-second"}, happened("late", "MARKER-second", ""))
	w.ask(`CREATE SCHEMA IF NOT EXISTS records`)
	w.ask(`CREATE TABLE records.uid1("key" VARCHAR, PRIMARY KEY("key"))`)
	w.ask(`INSERT INTO records.uid1 VALUES ('kept')`)
	instance, back, err := w.shelf.read(t.Context(), erasureSpace)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := instance.db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	ids, err := personIDs(t.Context(), conn, "MARKER-second")
	if err != nil || ids[0] != "MARKER-second" || len(ids) != 3 {
		t.Fatal(ids, err)
	}
	want, err := erasable(t.Context(), conn, &deletion.Selection{IDs: ids})
	conn.Close()
	back()
	if err != nil || want != (deletion.Counts{Events: 203, Changed: 2, Persons: 1}) {
		t.Fatalf("%+v, %v", want, err)
	}
	if says, err := w.erase(deletion.Selection{IDs: ids[:1]}); err != nil || !slices.Equal(says.IDs, ids) {
		t.Fatalf("with too few ids: %+v, %v", says, err)
	}
	if says, err := w.erase(deletion.Selection{IDs: ids}); err != nil || says.Counts != want {
		t.Fatalf("%+v, %v", says, err)
	}
	if n := bytes.Count(w.bytesOfFolder(), []byte("MARKER")); n != 0 {
		t.Errorf("the marker is there %d times", n)
	}
	for sql, want := range map[string]string{
		"SELECT count(*)::VARCHAR FROM store.event":                                        "[102]",
		"SELECT event || ' ' || (anonymous_id IS NULL) FROM events WHERE event = 'shared'": "[shared true]",
		"SELECT person_id FROM persons WHERE person_id = 'other-1'":                        "[other-1]",
		"SELECT count(*)::VARCHAR FROM persons":                                            "[100]",
		"SELECT key FROM records.uid1":                                                     "[kept]",
		"SELECT position::VARCHAR FROM store.state":                                        "[305]",
	} {
		if got := fmt.Sprint(w.ask(sql)); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	if says, err := w.erase(deletion.Selection{IDs: ids}); err != nil || says.Counts != (deletion.Counts{}) {
		t.Fatalf("again: %+v, %v", says, err)
	}
	w.tell(identified("MARKER-user", "MARKER-anon"))
	if got := w.ask("SELECT distinct_ids FROM persons WHERE person_id = 'MARKER-user'"); fmt.Sprint(got) != `[["MARKER-user","MARKER-anon"]]` {
		t.Errorf("who comes again begins anew: %s", got)
	}
}

// Promise: of the ids that were a person's, those are told that are theirs or nobody's, before they are erased and after it: not
// what somebody else has claimed by now, but also what came back to them.
func TestTheirIDs(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ids := []string{"user", "anon", "device"}
	told := func(want ...string) {
		t.Helper()
		instance, back, err := w.shelf.read(t.Context(), erasureSpace)
		if err != nil {
			t.Fatal(err)
		}
		defer back()
		conn, err := instance.db.Connect()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got, err := theirs(t.Context(), conn, ids); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	w.tell(identified("user", "anon"), identified("user", "device"), identified("other", "theirs"))
	told("user", "anon", "device")
	if says, err := w.erase(deletion.Selection{IDs: ids}); err != nil || says.Counts.Persons != 1 {
		t.Fatal(says, err)
	}
	told("user", "anon", "device")
	w.tell(identified("other", "anon"))
	told("user", "device")
	w.tell(identified("user", "device"))
	told("user", "device")
}

// Promise: what a key sent in a time is undone: its events are gone, and persons are what the other events make of them,
// also where it had joined two or had been the first to claim an id.
func TestEraseOfKey(t *testing.T) {
	t.Parallel()
	w, plain := newTown(t), newTown(t)
	evil := func(e event.Event) event.Event { e.KeyID = "key_evil"; return e }
	good := []event.Event{identified("u1", "a1"), happened("seen", "u1", ""), identified("u2", "a2")}
	later := []event.Event{identified("u3", "stolen"), happened("seen", "u3", "stolen")}
	w.tell(append(append(slices.Clone(good), evil(identified("thief", "stolen")), evil(event.Event{Kind: event.Alias, DistinctID: "u1", NewUserID: "u2"}), evil(happened("spam", "u1", ""))), later...)...)
	plain.tell(good...)
	plain.at += 3
	plain.tell(later...)
	says, err := w.erase(deletion.Selection{KeyID: "key_evil", From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil || says.Counts.Events != 3 {
		t.Fatalf("%+v, %v", says, err)
	}
	for _, sql := range []string{
		"SELECT person_id || distinct_ids || traits || updated_at FROM persons ORDER BY person_id", "SELECT id || person_id FROM store.identity ORDER BY id",
		"SELECT position || kind || coalesce(distinct_id, '') FROM store.event ORDER BY position",
	} {
		if got, want := fmt.Sprint(w.ask(sql)), fmt.Sprint(plain.ask(sql)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", sql, got, want)
		}
	}
	if bytes.Contains(w.bytesOfFolder(), []byte("spam")) || bytes.Contains(w.bytesOfFolder(), []byte("thief")) {
		t.Error("bytes are left")
	}
	if _, err := w.erase(deletion.Selection{}); err == nil {
		t.Error("a selection of everything was erased")
	}
}

// Promise: an erasure waits for whoever uses the space, those who come wait for it, and one that is given up on lets them in.
func TestErasureIsAlone(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.tell(happened("seen", "u", ""))
	_, back, err := w.shelf.read(t.Context(), erasureSpace)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.shelf.alone(ctx, erasureSpace, func(string) error { t.Error("it was not alone"); return nil }); err == nil {
		t.Error("it did not wait")
	}
	w.ask("SELECT 1::VARCHAR")
	done := make(chan error)
	go func() {
		done <- w.shelf.alone(t.Context(), erasureSpace, func(string) error { return nil })
	}()
	select {
	case <-done:
		t.Error("it was not alone")
	case <-time.After(50 * time.Millisecond):
	}
	back()
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.ask("SELECT 1::VARCHAR")
	if err := w.shelf.alone(t.Context(), event.Space{Project: "none", Environment: "none"}, func(string) error { t.Error("of nothing"); return nil }); err != nil {
		t.Error(err)
	}
}

// Promise: what is erased for its age is what happened before a time; what tells of persons stays, and so do they.
func TestEraseOld(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.tell(happened("old", "u", "a"), identified("u", "b"), happened("old", "v", ""), happened("new", "u", ""))
	says, err := w.erase(deletion.Selection{Until: time.Date(2026, 1, 1, 0, 0, 4, 0, time.UTC), Track: true})
	if err != nil || says.Counts != (deletion.Counts{Events: 2}) {
		t.Fatalf("%+v, %v", says, err)
	}
	if got := fmt.Sprint(w.ask("SELECT event FROM events"), w.ask("SELECT distinct_ids FROM persons")); got != `[new] [["u","a","b"]]` {
		t.Error(got)
	}
	if says, err := w.erase(deletion.Selection{Events: []string{"new", "other"}}); err != nil || says.Counts.Events != 1 {
		t.Errorf("%+v, %v", says, err)
	}
}
