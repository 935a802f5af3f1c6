package warehousetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/profile/graph"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// told is an event with ids.
func told(s event.Space, kind event.Kind, distinct, anonymous, device, other string) event.Event {
	e := trackEvent(s, "told")
	e.Kind, e.DistinctID, e.AnonymousID, e.DeviceID, e.NewUserID = kind, distinct, anonymous, device, other
	return e
}

// Promise: what is learned of a person later is true of all their events, those that came before too; users of one
// computer stay apart; and a person that is forgotten is in no answer.
func personsOfEvents(t *testing.T, open Opener) {
	w, again := open(t)
	s := space("identities")
	byPerson := "SELECT person_id, count(*) FROM events GROUP BY person_id ORDER BY person_id NULLS FIRST"
	load(t, w, s, 1, told(s, event.Track, "anon", "", "dev", ""), told(s, event.Track, "", "anon", "", ""), told(s, event.Track, "", "", "dev", ""),
		told(s, event.Track, "other", "", "", ""), told(s, event.Track, "", "", "", ""))
	wantRows(t, w, s, byPerson, `[null,1]`, `["anon",2]`, `["dev",1]`, `["other",1]`)
	wantRows(t, w, s, "SELECT count(*) FROM persons", `[0]`)
	load(t, w, s, 6, told(s, event.Identify, "u", "anon", "dev", ""))
	wantRows(t, w, s, byPerson, `[null,1]`, `["other",1]`, `["u",3]`)
	load(t, w, s, 7, told(s, event.Track, "v", "anon", "dev", ""), told(s, event.Track, "anon", "", "", ""))
	w = again()
	wantRows(t, w, s, byPerson, `[null,1]`, `["other",1]`, `["u",4]`, `["v",1]`)
	load(t, w, s, 9, told(s, event.Alias, "u", "", "", "other"))
	wantRows(t, w, s, "SELECT person_id, distinct_ids FROM persons ORDER BY person_id", `["u",["u","anon","dev","other"]]`, `["v",["v"]]`)
	wantRows(t, w, s, "SELECT p.person_id, count(*) FROM events e JOIN persons p USING (person_id) GROUP BY ALL ORDER BY ALL", `["u",5]`, `["v",1]`)
	load(t, w, s, 10, told(s, event.Alias, "u", "", "", "v"))
	wantRows(t, w, s, byPerson, `[null,1]`, `["u",6]`)
	for _, sql := range []string{
		"SELECT e.PERSON_ID, count(*) FROM events e WHERE e.person_id = 'u' GROUP BY 1", `SELECT "Person_Id", count(*) FROM (FROM events) WHERE person_id = 'u' GROUP BY ALL`,
		"SELECT (e).person_id AS who, count(*) FROM events e WHERE (e).person_id = 'u' GROUP BY who", "SELECT who, count(*) FROM (SELECT to_json(events)->>'person_id' AS who FROM events) WHERE who = 'u' GROUP BY who",
		"SELECT l, count(*) FROM events AS e(a, b, c, d, e, f, g, h, i, j, k, l) WHERE l = 'u' GROUP BY l",
		"SELECT any_value(COLUMNS('^person')), count(*) FROM events WHERE distinct_id IS NOT NULL OR anonymous_id IS NOT NULL OR device_id IS NOT NULL",
	} {
		wantRows(t, w, s, sql, `["u",6]`)
	}
	load(t, w, s, 11, told(s, event.Forget, "other", "", "", ""))
	wantRows(t, w, s, "SELECT count(*) FROM persons", `[0]`)
	wantRows(t, w, s, byPerson, `[null,1]`, `["anon",3]`, `["dev",1]`, `["other",1]`, `["v",1]`)
	load(t, w, s, 12, told(s, event.Track, "v", "anon", "dev", ""))
	wantRows(t, w, s, byPerson, `[null,1]`, `["other",1]`, `["v",6]`)
}

// Promise: the persons are those of the graph, however events are cut into loads, loaded again, and read back.
func personsAgreeWithGraph(t *testing.T, open Opener) {
	w, again := open(t)
	s := space("graph")
	run, position, all := 0, event.Position(1), 0
	rapid.Check(t, func(rt *rapid.T) {
		run++ // each run has persons of its own
		if run%40 == 0 {
			w = again()
		}
		prefix := fmt.Sprintf("%06d ", run)
		id := func(label string) string {
			if drawn := rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e", "f"}).Draw(rt, label); drawn != "" {
				return prefix + drawn
			}
			return ""
		}
		var told []*event.Event
		for range rapid.IntRange(1, 4).Draw(rt, "loads") {
			var batch []event.Event
			for range rapid.IntRange(1, 5).Draw(rt, "events") {
				e := trackEvent(s, "told")
				e.Kind = rapid.SampledFrom([]event.Kind{event.Track, event.Track, event.Track, event.Identify, event.Identify, event.Alias, event.Forget}).Draw(rt, "kind")
				e.DistinctID, e.AnonymousID, e.DeviceID, e.NewUserID = id("distinct"), id("anonymous"), id("device"), id("new")
				e.Timestamp = noon.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "time")) * time.Second)
				e.Properties = jsontext.Value(fmt.Sprintf(`{"x":%d}`, len(told)))
				batch = append(batch, e)
				told = append(told, &e)
			}
			load(t, w, s, position, batch...)
			if rapid.Bool().Draw(rt, "again") {
				load(t, w, s, position, batch...)
			}
			position += event.Position(len(batch))
			all += len(batch)
		}
		want := wantedPersons(rt, told)
		got := rows(t, w, s, "SELECT person_id, distinct_ids, traits FROM persons WHERE person_id LIKE '"+prefix+"%' ORDER BY person_id")
		if !slices.Equal(got, want.persons) {
			rt.Fatalf("got %v, want %v", got, want.persons)
		}
		got = rows(t, w, s, "SELECT person_id, count(*) FROM events WHERE person_id LIKE '"+prefix+"%' GROUP BY ALL ORDER BY ALL")
		if !slices.Equal(got, want.events) {
			rt.Fatalf("got %v, want %v", got, want.events)
		}
	})
	t.Logf("%d runs, %d events", run, all)
}

type wanted struct{ persons, events []string }

// wantedPersons is what the graph makes of all events at once.
func wantedPersons(t *rapid.T, all []*event.Event) (w wanted) {
	g := graph.New(nil)
	for _, e := range all {
		g.Apply(e)
	}
	c := g.Changes()
	for _, p := range c.Persons {
		traits, err := p.Traits.Shown()
		ids, other := json.Marshal(p.IDs)
		if err != nil || other != nil {
			t.Fatal(err, other)
		}
		w.persons = append(w.persons, fmt.Sprintf("[%q,%s,%s]", p.ID, ids, traits))
	}
	counts := map[string]int{}
	for _, e := range all {
		id := e.DistinctID
		if id == "" {
			id = e.AnonymousID
		}
		if id == "" {
			id = e.DeviceID
		}
		if id == "" || e.Kind != event.Track {
			continue
		}
		if person, known := c.Links[id]; known {
			id = person
		}
		counts[id]++
	}
	for id, n := range counts {
		w.events = append(w.events, fmt.Sprintf("[%q,%d]", id, n))
	}
	slices.Sort(w.events)
	return w
}

// Promise: a scope that does not show a person does not tell whose an event is; and where it hides or hashes an id, so
// it does with what is made of it.
func personsInScopes(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("personscopes")
	who := told(s, event.Identify, "u", "anon", "dev", "")
	who.Properties = jsontext.Value(`{"org":"a"}`)
	load(t, w, s, 1, told(s, event.Track, "anon", "", "", ""), told(s, event.Track, "", "anon", "", ""), told(s, event.Track, "", "", "dev", ""), who)
	key := view.NewHashKey([]byte("of persons"))
	hash := func(text string) string { return string(key.AppendHash(nil, []byte(text))) }
	all := "SELECT person_id, count(*) FROM events GROUP BY ALL ORDER BY ALL"
	org := func(is string) []view.Condition {
		return []view.Condition{{Column: "traits", Property: "org", Op: view.Equal, Values: []any{is}}}
	}
	for _, c := range []struct {
		title  string
		events view.TableScope
		person *view.TableScope
		want   string // empty: there is no such column
	}{
		{"all of persons", view.TableScope{}, &view.TableScope{}, `["u",3]`},
		{"no persons", view.TableScope{}, nil, `["anon",2] ["dev",1]`},
		{"this person", view.TableScope{}, &view.TableScope{Where: org("a")}, `["u",3]`},
		{"other persons", view.TableScope{}, &view.TableScope{Where: org("b")}, `["anon",2] ["dev",1]`},
		{"persons without their ids", view.TableScope{}, &view.TableScope{Hidden: []string{"distinct_id"}}, `["anon",2] ["dev",1]`},
		{"persons without their anonymous ids", view.TableScope{}, &view.TableScope{Hidden: []string{"anonymous_id"}}, `["anon",2] ["dev",1]`},
		{"persons without the column", view.TableScope{}, &view.TableScope{Hidden: []string{"distinct_ids"}}, `["anon",2] ["dev",1]`},
		{"no device", view.TableScope{Hidden: []string{"device_id"}}, nil, `["anon",2] [null,1]`},
		{"no distinct id", view.TableScope{Hidden: []string{"distinct_id"}}, &view.TableScope{}, ""},
		{"a hash of distinct ids", view.TableScope{Hashed: []string{"distinct_id"}}, &view.TableScope{}, `["` + hash("u") + `",3]`},
		{"a hash of distinct ids of persons", view.TableScope{}, &view.TableScope{Hashed: []string{"distinct_id"}}, `["` + hash("u") + `",3]`},
		{"a hash of devices", view.TableScope{Hashed: []string{"device_id"}}, &view.TableScope{}, `["` + hash("u") + `",3]`},
	} {
		c.events.Table = "events"
		scope := view.Scope{HashKey: key, Tables: []view.TableScope{c.events}}
		if c.person != nil {
			c.person.Table = "persons"
			scope.Tables = append(scope.Tables, *c.person)
		}
		got, err := ask(t.Context(), w, s, query.Statement{SQL: all, Scope: scope})
		if c.want == "" && problem.Of(err) == problem.InvalidSQL {
			continue
		}
		if said := strings.Join(got, " "); err != nil || said != c.want {
			t.Errorf("%s: %s, %v; want %s", c.title, said, err, c.want)
		}
		if got, err := ask(t.Context(), w, s, query.Statement{SQL: "SELECT * FROM events LIMIT 1", Scope: scope}); err != nil || len(got) != 1 {
			t.Errorf("%s: all columns: %v, %v", c.title, got, err)
		}
	}
	for hidden, gone := range map[string]bool{"distinct_id": true, "anonymous_id": true, "traits.org": false} {
		scope := view.Scope{Tables: []view.TableScope{{Table: "persons", Hidden: []string{hidden}}}}
		_, err := ask(t.Context(), w, s, query.Statement{SQL: "SELECT distinct_ids FROM persons", Scope: scope})
		if (problem.Of(err) == problem.InvalidSQL) != gone {
			t.Errorf("distinct_ids without %s: %v", hidden, err)
		}
	}
}
