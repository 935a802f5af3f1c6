package storetest

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/keyring"
)

func entry(n int) audit.Entry {
	return audit.Entry{
		ID: fmt.Sprintf("a%05d", n), At: start().Add(time.Duration(n) * time.Second), Organization: "org_1", Project: "prj_1", Actor: numbered(1),
		Address: netip.MustParseAddr("192.0.2.7"), RequestID: "r1", Action: "key.update", Subject: numbered(2),
		Before: json.RawMessage(`{"label":"a"}`), After: json.RawMessage(`{"label":"b"}`),
	}
}

func record(t *testing.T, s Stores, list ...audit.Entry) {
	t.Helper()
	for _, e := range list {
		if err := s.Audit.Append(t.Context(), e); err != nil {
			t.Fatalf("append %.40q: %v", e.ID, err)
		}
	}
}

func entries(t *testing.T, s Stores, q audit.Query) []audit.Entry {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100_000
	}
	list, err := s.Audit.Entries(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func entryNames(list []audit.Entry) string {
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return strings.Join(ids, " ")
}

// Promise: an entry comes back as it was made, every field of it.
func entriesAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	want := []audit.Entry{entry(1), {ID: "bare", At: time.Unix(-1, 0).UTC(), Project: "prj_1"}}
	for i, text := range hostile() {
		e := entry(10 + i)
		e.Actor, e.RequestID, e.Action, e.Subject, e.Organization = text, text, text, text, text
		text, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		e.Before, e.After = text, nil
		want = append(want, e)
	}
	record(t, s, want...)
	got := entries(t, s, audit.Query{Project: "prj_1", Live: true})
	slices.SortFunc(want, func(a, b audit.Entry) int { return b.At.Compare(a.At) })
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("got %.300v, want %.300v", got[i], want[i])
		}
	}
}

// Promise: entries are listed by project, newest first, from any place on, narrowed by actor, subject, action and time; no
// two names are one; and a caller that does not see live things sees those about test keys only.
func entriesAreToldApart(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	addProject(t, s, "prj_2")
	for i, name := range hostile() {
		mine, theirs := entry(i/2), entry(i/2) // two of each time
		mine.ID, theirs.ID, theirs.Project = fmt.Sprintf("m%05d", i), fmt.Sprintf("t%05d", i), "prj_"+name
		mine.Actor, mine.Subject, mine.Action = "actor_"+name, "subject_"+name, "action_"+name
		record(t, s, mine, theirs)
	}
	for i, name := range hostile() {
		mine, at := fmt.Sprintf("m%05d", i), entry(i/2).At
		for _, c := range []struct {
			q    audit.Query
			want string
		}{
			{audit.Query{Project: "prj_" + name}, fmt.Sprintf("t%05d", i)},
			{audit.Query{Project: "prj_1", Actor: "actor_" + name}, mine},
			{audit.Query{Project: "prj_1", Subject: "subject_" + name}, mine},
			{audit.Query{Project: "prj_1", Action: "action_" + name}, mine},
			{audit.Query{Project: "prj_1", Action: "action_" + name, From: at, To: at.Add(time.Microsecond)}, mine},
			{audit.Query{Project: "prj_1", Action: "action_" + name, From: at.Add(time.Microsecond)}, ""},
			{audit.Query{Project: "prj_1", Action: "action_" + name, To: at}, ""},
		} {
			if c.q.Live = true; entryNames(entries(t, s, c.q)) != c.want {
				t.Errorf("%.100v gives %q, want %q", c.q, entryNames(entries(t, s, c.q)), c.want)
			}
		}
	}
	whole := entries(t, s, audit.Query{Project: "prj_1", Live: true})
	n := len(hostile())
	if len(whole) != n || whole[0].ID != fmt.Sprintf("m%05d", n-1) || whole[n-1].ID != "m00000" {
		t.Fatalf("the list is %s", entryNames(whole))
	}
	for i := 0; i < n; i += 3 {
		rest := entries(t, s, audit.Query{Project: "prj_1", Live: true, Before: audit.Place{At: whole[i].At, ID: whole[i].ID}, Limit: 3})
		if want := entryNames(whole[i+1:][:min(3, n-i-1)]); entryNames(rest) != want {
			t.Errorf("before %s: %s, want %s", whole[i].ID, entryNames(rest), want)
		}
	}
	tested, live, theirs := key("prj_1", numbered(1)), key("prj_1", numbered(2)), key("prj_2", numbered(3))
	tested.Mode, theirs.Mode = access.Test, access.Test
	for i, k := range []keyring.Record{tested, live, theirs} {
		insert(t, s, k)
		e := entry(1000 + i)
		e.Subject = k.ID
		record(t, s, e)
	}
	for _, e := range entries(t, s, audit.Query{Project: "prj_1"}) {
		if e.Subject != numbered(1) {
			t.Errorf("a test key sees %+v", e)
		}
	}
	if list := entries(t, s, audit.Query{Project: "prj_1", Subject: numbered(1)}); len(list) == 0 {
		t.Error("a test key sees nothing of test keys")
	}
}

// Promise: the database itself refuses to change an entry, to remove it or to put another in its place.
func entriesStay(t *testing.T, open Open) {
	var write driver.Connector
	s := open(t, func(c driver.Connector) driver.Connector {
		if write == nil { // the first is the one that writes
			write = c
		}
		return c
	})
	record(t, s, entry(1), entry(2))
	other := entry(1)
	other.Actor, other.After = "somebody", nil
	record(t, s, other)
	db := sql.OpenDB(write)
	defer func() { _ = db.Close() }() // nothing was written
	for _, statement := range []string{
		`UPDATE audit_entries SET actor = 'somebody'`, `UPDATE audit_entries SET actor = 'somebody' WHERE id = 'a00001'`,
		`UPDATE audit_entries SET id = 'a00009' WHERE id = 'a00001'`, `DELETE FROM audit_entries`, `DELETE FROM audit_entries WHERE id = 'a00001'`,
		`DELETE FROM audit_entries WHERE made_at < 0 OR id = 'a00002'`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s was done", statement)
		}
	}
	columns := `id, made_at, organization_id, project_id, actor, address, request_id, action, subject, before_json, after_json`
	_, _ = db.ExecContext(t.Context(), `INSERT OR REPLACE INTO audit_entries (`+columns+`)
		VALUES ('a00001', 0, '', 'prj_1', 'somebody', '', '', '', '', '', '')`) // an engine that does not know it refuses it
	if got, want := entries(t, s, audit.Query{Project: "prj_1", Live: true}), []audit.Entry{entry(2), entry(1)}; !reflect.DeepEqual(got, want) {
		t.Errorf("there are %+v", got)
	}
}

// Promise: whichever call to the database fails, an entry that is added again is there once.
func entriesAreAddedOnce(t *testing.T, open Open) {
	var faults Faults
	s := open(t, faults.Wrap)
	for _, how := range []Failure{Before, LostReply} {
		for n, reached := 1, true; reached; n++ {
			e := entry(n)
			e.ID = fmt.Sprint(how, "-", n)
			faults.Plan(func(call int) Failure {
				if call == n {
					return how
				}
				return Well
			})
			_ = s.Audit.Append(t.Context(), e) // whether it fails is not the question
			reached = faults.Calls() >= n
			faults.Plan(nil)
			record(t, s, e)
			if got := entries(t, s, audit.Query{Project: "prj_1", Live: true, From: e.At, To: e.At.Add(time.Second)}); len(got) != int(how) {
				t.Fatalf("call %d fails (%d): %s", n, how, entryNames(got))
			}
		}
	}
}
