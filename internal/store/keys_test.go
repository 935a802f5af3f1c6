package store

import (
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/store/storetest"
)

// migrateTo makes the database in a file one of an older version, or of a newer one.
func migrateTo(t *testing.T, path string, version int64) *sql.DB {
	t.Helper()
	if err := makePrivate(path); err != nil {
		t.Fatal(err)
	}
	write, _, err := sqliteConnectors(path)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(write)
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, steps, goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable))
	if err != nil {
		t.Fatal(err)
	}
	if has, err := p.GetDBVersion(t.Context()); err != nil || has > version {
		_, err = p.DownTo(t.Context(), version)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	return db
}

// old is a key as the first version stored it.
type old struct {
	kind    access.Kind
	mode    access.Mode
	scopes  string
	only    string // environments
	expires any
	revoked any
	text    string
	works   problem.Code // empty: it does

}

func (o *old) insert(t *testing.T, db *sql.DB, n int) (id string) {
	t.Helper()
	o.text = access.WriteKey(o.kind, o.mode, fmt.Sprintf("%012d", n), strings.Repeat("s", access.SecretLength))
	parsed, err := access.ParseKey(o.text)
	if err != nil {
		t.Fatal(err)
	}
	public := ""
	if o.kind == access.Public {
		public = o.text
	}
	id = parsed.Lookup.ID()
	made := now().Add(-time.Hour).UnixMicro()
	_, err = db.ExecContext(t.Context(), `INSERT INTO keys (id, project_id, kind, mode, label, steward, scopes, environments, hint, public_text, digest,
		created_at, updated_at, expires_at, revoked_at, created_by, revision) VALUES ($1, 'prj_1', $2, $3, 'label', 'steward', $4, $5, $6, $7, $8, $9, $9, $10, $11, 'operator', 7)`,
		id, o.kind.String(), o.mode.String(), o.scopes, o.only, access.Hint(o.text), public, hex.EncodeToString(parsed.Digest[:]), made, o.expires, o.revoked)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Promise: the keys of a database from before there were restrictions work after it was brought up to date as they did
// before, with the limits of their kind; they can be changed and rotated as any other.
func TestKeysOfTheFirstVersionWorkOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "weir.db")
	db := migrateTo(t, path, 1)
	_, err := db.ExecContext(t.Context(), `INSERT INTO organizations VALUES ('org_1', 'o', 1);
		INSERT INTO projects VALUES ('prj_1', 'org_1', 'p', 1);
		INSERT INTO environments VALUES ('prj_1', 0, 'production', 'live'), ('prj_1', 1, 'staging', 'live'), ('prj_1', 2, 'development', 'test')`)
	if err != nil {
		t.Fatal(err)
	}
	later, earlier := now().Add(time.Hour).UnixMicro(), now().UnixMicro()
	keys := []*old{
		{kind: access.Secret, mode: access.Live, scopes: `["events:write","users:read"]`, only: `[]`},
		{kind: access.Public, mode: access.Test, scopes: `["events:write"]`, only: `[]`, expires: later},
		{kind: access.Secret, mode: access.Live, scopes: `["events:write"]`, only: `["staging"]`},
		{kind: access.Secret, mode: access.Live, scopes: `["events:write"]`, only: `[]`, expires: earlier, works: problem.KeyNotAccepted},
		{kind: access.Secret, mode: access.Live, scopes: `["events:write"]`, only: `[]`, revoked: earlier, works: problem.KeyNotAccepted},
		{kind: access.Secret, mode: access.Live, scopes: `["users:read"]`, only: `[]`, works: problem.MissingScope},
	}
	var ids []string
	for n, key := range keys {
		ids = append(ids, key.insert(t, db, n))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time after going back to the first version
		s := opened(t, path)
		ring, door, permit := ringOver(t, s)
		for n, key := range keys {
			asked, err := ask(t, door, access.SecretText(key.text), access.WriteEvents)
			if problem.Of(err) != key.works {
				t.Errorf("key %d: %v", n, err)
			}
			rec, err := ring.Get(t.Context(), permit, ids[n])
			if err != nil || rec.Limits != access.DefaultLimits(key.kind) || rec.Generation != 1 || !rec.MintedAt.Equal(rec.CreatedAt) || rec.State != access.Active || rec.Exposed != "" {
				t.Errorf("key %d is %+v, %v", n, rec, err)
			}
			if n == 2 && asked.Environment() != "staging" {
				t.Errorf("key %d writes to %s", n, asked.Environment())
			}
		}
		closed(t, s)
		if err := migrateTo(t, path, 1).Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := opened(t, path)
	defer closed(t, s)
	ring, door, permit := ringOver(t, s)
	rec, err := ring.Update(t.Context(), permit, ids[0], keyring.Change{Environments: &[]string{"production"}, Revision: 7})
	if err != nil || rec.Revision != 8 || rec.Limits != access.DefaultLimits(access.Secret) {
		t.Errorf("changed to %+v, %v", rec, err)
	}
	_, made, err := ring.Rotate(t.Context(), permit, ids[2], 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if permit, err := ask(t, door, made.Key, access.WriteEvents); err != nil || permit.Environment() != "staging" {
		t.Errorf("the new secret: %v", err)
	}
	_, err = ask(t, door, access.SecretText(keys[2].text), access.WriteEvents)
	if problem.Of(err) != problem.KeyNotAccepted {
		t.Errorf("the old secret: %v", err)
	}
}

// Promise: a row that makes no sense stops the start and is named; nobody's key is taken for one that may do more.
func TestASpoiltRowStopsTheStart(t *testing.T) {
	t.Parallel()
	for column, value := range map[string]string{
		"settings": `{"moon":true}`, "former": `{`, "signing": `[]`, "digest": "00", "scopes": `"events:read"`, "environments": `{`,
	} {
		s := opened(t, filepath.Join(t.TempDir(), "weir.db"))
		ring, _, permit := ringOver(t, s)
		rec, _, err := ring.Create(t.Context(), permit, keyring.New{Kind: access.Public, Mode: access.Live})
		if err != nil {
			t.Fatal(err)
		}
		reset := ""
		if column == "environments" {
			reset = ", settings = ''" // of the first version
		}
		if _, err := s.write.ExecContext(t.Context(), `UPDATE keys SET `+column+` = $1`+reset, value); err != nil {
			t.Fatal(err)
		}
		_, err = keyring.Open(t.Context(), s, keyring.Config{Now: now, NewID: rand.Text})
		if err == nil || !strings.Contains(err.Error(), rec.ID) {
			t.Errorf("%s: %v", column, err)
		}
		closed(t, s)
	}
}

// Promise: whichever call to the database fails, before or after it had its effect, each change of a key or a policy is
// stored with its entry in the audit, or neither is.
func TestAChangeAndItsEntryAreOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "weir.db")
	if err := makePrivate(path); err != nil {
		t.Fatal(err)
	}
	write, read, err := sqliteConnectors(path)
	if err != nil {
		t.Fatal(err)
	}
	var faults storetest.Faults
	s, err := open(t.Context(), sqliteDialect(), faults.Wrap(write), faults.Wrap(read))
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	ring, _, permit := ringOver(t, s)
	rec, _, err := ring.Create(t.Context(), permit, keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.EventsRead, Steward: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	people := []string{"ada", "ben"}
	for name, do := range map[string]func(n int) error{
		"create": func(int) error {
			_, _, err := ring.Create(t.Context(), permit, keyring.New{Kind: access.Public, Mode: access.Live})
			return err
		},
		"update": func(n int) error {
			_, err := ring.Update(t.Context(), permit, rec.ID, keyring.Change{Label: new(fmt.Sprint(n))})
			return err
		},
		"rotate": func(int) error { _, _, err := ring.Rotate(t.Context(), permit, rec.ID, 0, 0); return err },
		"expose": func(int) error { ring.Expose(t.Context(), rec.ID, 1, gate.ExposedInURL, now()); return nil },
		"policy": func(n int) error {
			_, err := ring.SetPolicy(t.Context(), permit, 0, false, func(p *access.Policy) error { p.Limits.Daily.Most = int64(n); return nil })
			return err
		},
		"hand over": func(int) error {
			slices.Reverse(people)
			_, _, err := ring.HandOver(t.Context(), permit, people[0], people[1])
			return err
		},
	} {
		for _, how := range []storetest.Failure{storetest.Before, storetest.LostReply} {
			for n, reached := 1, true; reached; n++ {
				changes, entries := changed(t, s)
				faults.Plan(func(call int) storetest.Failure {
					if call == n {
						return how
					}
					return storetest.Well
				})
				err := do(n)
				reached = faults.Calls() >= n
				faults.Plan(nil)
				more, added := changed(t, s)
				if more-changes != added-entries || err == nil && name != "expose" && name != "hand over" && more != changes+1 {
					t.Fatalf("%s: call %d fails (%d): %d changes and %d entries, %v", name, n, how, more-changes, added-entries, err)
				}
			}
		}
	}
}

// changed counts the changes that were made, the makings too, and the entries of the audit.
func changed(t *testing.T, s *Store) (changes, entries int) {
	t.Helper()
	err := s.read.QueryRowContext(t.Context(), `SELECT (SELECT SUM(revision) FROM keys) + (SELECT SUM(revision - 1) FROM projects), (SELECT COUNT(*) FROM audit_entries)`).
		Scan(&changes, &entries)
	if err != nil {
		t.Fatal(err)
	}
	return changes, entries
}
