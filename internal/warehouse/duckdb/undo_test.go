package duckdb

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// write writes records of a key at a time into a dataset.
func (w *town) write(uid string, replace bool, records ...dataset.Record) {
	w.t.Helper()
	i, back, err := w.shelf.write(w.t.Context(), erasureSpace)
	if err != nil {
		w.t.Fatal(err)
	}
	defer back()
	body := []byte{0}
	if replace {
		body[0] = 1
	}
	for n := range records {
		body = appendRecord(body, &records[n])
	}
	if _, err := i.writeRecords(w.t.Context(), uid, body); err != nil {
		w.t.Fatal(err)
	}
}

// records are those of a dataset, in the order of their index.
func (w *town) records(uid string) []dataset.Record {
	w.t.Helper()
	i, back, err := w.shelf.read(w.t.Context(), erasureSpace)
	if err != nil {
		w.t.Fatal(err)
	}
	defer back()
	data, err := i.readRecords(w.t.Context(), uid, &dataset.Selection{ByIndex: true})
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := decodeDatasetRecords(data[1:])
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// erasable counts.
func (w *town) erasable(s deletion.Selection) deletion.Counts {
	w.t.Helper()
	i, back, err := w.shelf.read(w.t.Context(), erasureSpace)
	if err != nil {
		w.t.Fatal(err)
	}
	defer back()
	conn, err := i.db.Connect()
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	c, err := erasable(w.t.Context(), conn, &s)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// eraseOnly erases without writing the file anew.
func (w *town) eraseOnly(s deletion.Selection) (c deletion.Counts) {
	w.t.Helper()
	i, back, err := w.shelf.write(w.t.Context(), erasureSpace)
	if err != nil {
		w.t.Fatal(err)
	}
	defer back()
	err = i.changeRecords(w.t.Context(), func(conn *native.Conn) error {
		c, err = eraseFiltered(w.t.Context(), conn, &s)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func recordBy(keyID, key string, at time.Time, body string) dataset.Record {
	return dataset.Record{Key: key, Date: time.Unix(0, 0).UTC(), Updated: at, Body: []byte(body), KeyID: keyID}
}

// Promise: after undoing a key in a time, every dataset has what a naive model says: the records that other keys, or the same at
// another time, wrote last; what it replaced does not come back; as many as were counted beforehand are gone.
func TestUndoOfRecordsAgreesWithModel(t *testing.T) {
	t.Parallel()
	w, run := newTown(t), 0
	w.tell(happened("seen", "u", ""))
	rapid.Check(t, func(t *rapid.T) {
		run++
		uids := []string{fmt.Sprintf("ds_%d_a", run), fmt.Sprintf("ds_%d_b", run)}
		keys := []string{fmt.Sprintf("key_%d_evil", run), fmt.Sprintf("key_%d'good", run), ""}
		model := map[string]map[string]dataset.Record{uids[0]: {}, uids[1]: {}}
		for n := range rapid.IntRange(1, 6).Draw(t, "writes") {
			uid, replace := rapid.SampledFrom(uids).Draw(t, "dataset"), rapid.Bool().Draw(t, "replace")
			var batch []dataset.Record
			for range rapid.IntRange(1, 4).Draw(t, "records") {
				r := recordBy(rapid.SampledFrom(keys).Draw(t, "by"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"), at(n), fmt.Sprintf(`{"n":%d}`, n))
				batch = append(batch, r)
				if _, there := model[uid][r.Key]; !there || replace {
					model[uid][r.Key] = r
				}
			}
			w.write(uid, replace, batch...)
		}
		s := deletion.Selection{KeyID: keys[rapid.IntRange(0, 1).Draw(t, "undone")]}
		if rapid.Bool().Draw(t, "bounded") {
			s.From, s.Until = at(1), at(4)
		}
		want := int64(0)
		for _, list := range model {
			for key, r := range list {
				if r.KeyID == s.KeyID && (s.From.IsZero() || !r.Updated.Before(s.From) && r.Updated.Before(s.Until)) {
					delete(list, key)
					want++
				}
			}
		}
		if n := w.erasable(s).Records; n != want {
			t.Fatalf("counted %d, want %d", n, want)
		}
		if c := w.eraseOnly(s); c.Records != want {
			t.Fatalf("%+v, want %d", c, want)
		}
		for uid, list := range model {
			got := w.records(uid)
			if len(got) != len(list) {
				t.Fatalf("%s: %v, want %v", uid, got, list)
			}
			for _, r := range got {
				if m := list[r.Key]; m.KeyID != r.KeyID || !m.Updated.Equal(r.Updated) || !bytes.Equal(m.Body, r.Body) {
					t.Fatalf("%s: %+v, want %+v", uid, r, m)
				}
			}
		}
	})
}

// Promise: of records that a key wrote no byte is left when it is undone; a deletion of some events of it leaves them, and so do one
// of a person and one for their age.
func TestUndoneRecordsLeaveNoByte(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.tell(happened("seen", "u", ""), happened("spam", "u", ""))
	w.write("ds_1", false, recordBy("key_evil", "MARKER-1", at(1), `{"v":"MARKER"}`), recordBy("key_good", "good", at(1), `{"v":1}`))
	w.write("ds_2", false, recordBy("key_evil", "MARKER-2", at(2), `{"v":"MARKER"}`))
	for _, s := range []deletion.Selection{
		{KeyID: "key_evil", Events: []string{"spam"}}, {IDs: []string{"u"}}, {Until: at(90), Track: true}, {Events: []string{"spam"}}, {Until: at(90)},
	} {
		if says, err := w.erase(s); err != nil || says.Counts.Records != 0 || w.erasable(s).Records != 0 {
			t.Errorf("%+v: %+v, %v", s, says, err)
		}
	}
	if len(w.records("ds_1")) != 2 || len(w.records("ds_2")) != 1 {
		t.Fatal("records are gone")
	}
	if says, err := w.erase(deletion.Selection{KeyID: "key_evil"}); err != nil || says.Counts.Records != 2 {
		t.Fatalf("%+v, %v", says, err)
	}
	if n := bytes.Count(w.bytesOfFolder(), []byte("MARKER")); n != 0 {
		t.Errorf("the marker is there %d times", n)
	}
	if list := w.records("ds_1"); len(list) != 1 || list[0].Key != "good" {
		t.Errorf("left are %+v", list)
	}
	w.write("ds_2", true, recordBy("key_good", "new", at(3), `{}`)) // what was emptied goes on
	if len(w.records("ds_2")) != 1 {
		t.Error("nothing can be written any more")
	}
}

// Promise: persons of whom a key told something are counted before it is undone, and no others.
func TestPersonsThatAKeyToldOf(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	evil := func(e event.Event) event.Event { e.KeyID = "key_evil"; return e }
	w.tell(identified("u1", "a1"), identified("u2", "a2"), identified("u3", "a3"), evil(happened("spam", "u3", "")),
		evil(identified("u1", "")), evil(event.Event{Kind: event.Alias, DistinctID: "u2", NewUserID: "u4"}))
	if c := w.erasable(deletion.Selection{KeyID: "key_evil"}); c != (deletion.Counts{Events: 3, Remade: 2}) {
		t.Errorf("%+v", c)
	}
	if c := w.erasable(deletion.Selection{KeyID: "key_evil", Events: []string{"spam"}}); c != (deletion.Counts{Events: 1}) {
		t.Errorf("some events: %+v", c)
	}
	says, err := w.erase(deletion.Selection{KeyID: "key_evil"})
	if err != nil || says.Counts != (deletion.Counts{Events: 3, Remade: 2}) {
		t.Errorf("%+v, %v", says, err)
	}
}

// Promise: a file of before, whose records do not say who wrote them, works on: they are read, replaced and added to, and are
// nobody's when a key is undone.
func TestRecordsOfBeforeHaveNoKey(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.write("ds_1", false, recordBy("", "old", at(1), `{"v":1}`), recordBy("", "replaced", at(1), `{"v":1}`))
	func() {
		i, back, err := w.shelf.read(t.Context(), erasureSpace)
		if err != nil {
			t.Fatal(err)
		}
		defer back()
		conn, err := i.db.Connect()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.Exec(t.Context(), `ALTER TABLE records.ds_1 DROP COLUMN key_id; ALTER TABLE records.incoming DROP COLUMN key_id;
			CREATE TABLE records."ds_ Other"("key" VARCHAR NOT NULL, subkey VARCHAR NOT NULL, "date" TIMESTAMP NOT NULL, updated TIMESTAMP NOT NULL, body JSON NOT NULL);
			UPDATE store.state SET version = 3`); err != nil {
			t.Fatal(err)
		}
	}()
	w.shelf.close()
	w.shelf = newShelf(w.dir, 4, 1<<30, options(t), nil)
	t.Cleanup(func() { w.shelf.close() })
	if list := w.records("ds_1"); len(list) != 2 || list[0].KeyID != "" {
		t.Fatalf("%+v", list)
	}
	w.write("ds_1", true, recordBy("key_evil", "replaced", at(2), `{"v":2}`), recordBy("key_evil", "new", at(2), `{"v":2}`))
	if says, err := w.erase(deletion.Selection{KeyID: "key_evil"}); err != nil || says.Counts.Records != 2 {
		t.Fatalf("%+v, %v", says, err)
	}
	if list := w.records("ds_1"); len(list) != 1 || list[0].Key != "old" {
		t.Errorf("%+v", list)
	}
	if got := w.ask(`SELECT table_name FROM duckdb_columns() WHERE column_name = 'key_id' AND schema_name = 'records' ORDER BY 1`); !slices.Equal(got, []string{"ds_ Other", "ds_1", "incoming"}) {
		t.Errorf("the column is in %q", got)
	}
	// A file of before that has no datasets at all.
	w2 := newTown(t)
	w2.tell(happened("seen", "u", ""))
	w2.ask("UPDATE store.state SET version = 3")
	w2.shelf.close()
	w2.shelf = newShelf(w2.dir, 4, 1<<30, options(t), nil)
	t.Cleanup(func() { w2.shelf.close() })
	if c := w2.erasable(deletion.Selection{KeyID: "key_good"}); c != (deletion.Counts{Events: 1}) {
		t.Errorf("%+v", c)
	}
}
