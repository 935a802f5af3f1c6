package duckdb

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
)

// Promise: what a key told is undone for those it told of, and whoever is joined with them; others stay who they are, also when
// all that told of them is gone for its age.
func TestUndoingLeavesOthersWhoTheyAre(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.tell(happened("seen", "u1", "a1"), happened("seen", "u2", "a2"))
	if _, err := w.erase(deletion.Selection{Until: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), Track: true}); err != nil {
		t.Fatal(err)
	}
	evil := identified("u3", "x")
	evil.KeyID = "key_evil"
	w.tell(identified("u3", "a3"), evil, identified("u4", "a4"))
	says, err := w.erase(deletion.Selection{KeyID: "key_evil"})
	if err != nil || says.Counts != (deletion.Counts{Events: 1, Remade: 1}) {
		t.Errorf("%+v, %v", says, err)
	}
	for sql, want := range map[string]string{
		"SELECT id || ' ' || person_id FROM store.identity ORDER BY id": "[a1 u1 a2 u2 a3 u3 a4 u4 u1 u1 u2 u2 u3 u3 u4 u4]",
		"SELECT person_id FROM store.person ORDER BY person_id":         "[u1 u2 u3 u4]",
	} {
		if got := fmt.Sprint(w.ask(sql)); got != want {
			t.Errorf("%s: %s", sql, got)
		}
	}
}

// Promise: what is left after a key was undone is what there would be had it never sent anything.
func TestUndoingAgreesWithNeverHavingSent(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 1))
		id := func(of string) string { return fmt.Sprint(of, random.IntN(7)) }
		w, plain := newTown(t), newTown(t)
		for range 24 {
			var e event.Event
			switch random.IntN(4) {
			case 0:
				e = happened("seen", id("u"), id("a"))
			case 1:
				e = event.Event{Kind: event.Alias, DistinctID: id("u"), NewUserID: id("u")}
			default:
				e = identified(id("u"), id("a"))
			}
			if random.IntN(4) == 0 {
				e.KeyID = "key_evil"
				plain.at++
			} else {
				plain.tell(e)
			}
			w.tell(e)
		}
		if _, err := w.erase(deletion.Selection{KeyID: "key_evil"}); err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{
			"SELECT person_id || distinct_ids || traits || coalesce(anonymous_id, '') || first_seen_at FROM persons ORDER BY person_id",
			"SELECT id || ' ' || person_id FROM store.identity ORDER BY id", "SELECT person_id || ' ' || distinct_ids FROM store.forgotten ORDER BY ALL",
		} {
			if got, want := fmt.Sprint(w.ask(sql)), fmt.Sprint(plain.ask(sql)); got != want {
				t.Errorf("seed %d, %s:\n%s\nwant\n%s", seed, sql, got, want)
			}
		}
	}
}
