package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/store/storetest"
	"github.com/weir-analytics/weir/internal/vault"
)

// Promise: SQLite is a store in every respect that access depends on.
func TestSQLiteConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T, wrap func(driver.Connector) driver.Connector) storetest.Stores {
		path := filepath.Join(t.TempDir(), "weir.db")
		if err := makePrivate(path); err != nil {
			t.Fatal(err)
		}
		write, read, err := sqliteConnectors(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := open(t.Context(), sqliteDialect(), wrap(write), wrap(read))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closed(t, s) })
		return storetest.Stores{Keys: s, Orgs: s, Ledger: s, Audit: s, Limits: s.Counters(), Tokens: s.Tokens(), Metrics: s, Runs: s, Apps: s.Apps(), Flow: s.Apps(), Recordings: s.Recordings(), Workflows: s.Workflows(), Outbox: s.Workflows(), People: s, Invitations: s, Sessions: s, Projects: s, Jobs: s, Datasets: s, Deletions: s, Clock: s}
	})
}

func closed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func opened(t testing.TB, path string) *Store {
	t.Helper()
	s, err := OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func now() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }

func ids() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("%016d", n) }
}

type silence struct{}

func (silence) Deny(gate.Denial) {}
func (silence) Allow(gate.Use)   {}

// freely is a gate.Limits that has none.
type freely struct{}

func (freely) Take(context.Context, gate.Charge) gate.Charged    { return gate.Charged{} }
func (freely) Settle(context.Context, gate.Charge, int64) string { return "" }
func (freely) Hold(context.Context, gate.Charge, string) string  { return "" }
func (freely) HoldOnly([]string)                                 {}
func (freely) Fail(netip.Addr, time.Time) (wait time.Duration)   { return 0 }

// ringOver sets a store up and opens a ring over it, with a permit of the operator.
func ringOver(t testing.TB, s *Store) (*keyring.Ring, *gate.Gate, gate.Permit) {
	t.Helper()
	_, p, _, err := org.Setup(t.Context(), s, org.FirstProject(), now, ids())
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.Context(), s, keyring.Config{Now: now, NewID: rand.Text, Vault: vaultFor(t)})
	if err != nil {
		t.Fatal(err)
	}
	door := gate.New(ring, nil, freely{}, silence{}, now, ids())
	operator, err := ring.Operator(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	permit, err := ask(t, door, operator, access.WriteKeys)
	if err != nil {
		t.Fatal(err)
	}
	return ring, door, permit
}

// vaultFor is a vault of a new master key.
func vaultFor(t testing.TB) *vault.Vault {
	t.Helper()
	key, _, err := vault.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return vault.New(key)
}

func ask(t testing.TB, door *gate.Gate, key access.Text, action access.Action) (gate.Permit, error) {
	caller, err := door.Identify(t.Context(), gate.Credential{Key: key, Circumstances: access.Circumstances{Via: access.InHeader}}, action)
	if err != nil {
		return gate.Permit{}, err
	}
	return door.Admit(t.Context(), caller, access.Attempt{}, gate.Cost{})
}

// Promise: a dump of every byte the store wrote, at any moment, has no secret key in it, nor a piece of one that would
// help to guess it.
func TestNoSecretIsOnDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := opened(t, filepath.Join(folder, "weir.db"))
	ring, door, permit := ringOver(t, s)
	book, err := ledger.New(s, ledger.Config{Now: now, Log: quiet(), Writer: "w"})
	if err != nil {
		t.Fatal(err)
	}
	recording := gate.New(ring, nil, freely{}, book, now, ids())
	var secrets []string
	var public access.Text
	seen := func(made keyring.Secrets) {
		if text := made.Key.Reveal(); text != "" {
			secrets = append(secrets, text[len("sk_live_")+access.LookupLength:])
		}
		if text := made.Signing.Reveal(); text != "" {
			secrets = append(secrets, text[len("ss_"):], base64.StdEncoding.EncodeToString([]byte(text)), hex.EncodeToString([]byte(text)))
		}
	}
	for n := range 20 {
		kind := []access.Kind{access.Secret, access.Public}[n/19]
		rec, made, err := ring.Create(t.Context(), permit, keyring.New{Kind: kind, Mode: access.Live, Scopes: access.EventsWrite, Label: "label", Steward: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		if kind == access.Public {
			public = made.Key
			continue
		}
		seen(made)
		if _, err := ask(t, recording, made.Key, access.ReadEvents); err == nil {
			t.Fatal("the denial is missing")
		}
		if _, err := ask(t, recording, made.Key, access.WriteEvents); err != nil {
			t.Fatal(err)
		}
		misplace(t, recording, made.Key)
		for _, made := range liveOn(t, ring, permit, rec.ID, n) {
			seen(made)
		}
	}
	if _, _, err := ring.HandOver(t.Context(), permit, "ada", "ben"); err != nil {
		t.Fatal(err)
	}
	if err := book.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	operator, err := ring.Operator(permit.Project())
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, operator.Reveal()[len("sk_live_")+access.LookupLength:])
	if _, err := ask(t, door, operator, access.HoldKey); err != nil {
		t.Fatal(err)
	}
	search := func(when string) {
		dump := bytesIn(t, folder)
		for _, secret := range secrets {
			for from := range len(secret) - 11 {
				if strings.Contains(dump, secret[from:from+12]) {
					t.Errorf("%s: characters %d to %d of a secret are on disk", when, from, from+12)
				}
			}
		}
		if !strings.Contains(dump, "v1.") || !strings.Contains(dump, "key.rotate") {
			t.Errorf("%s: what was sealed or audited is not there: this test looks in the wrong place", when)
		}
		if !strings.Contains(dump, "…") {
			t.Errorf("%s: the misplaced keys left no trace: this test looks in the wrong place", when)
		}
		if !strings.Contains(dump, public.Reveal()) {
			t.Errorf("%s: the public key is not there: this test looks in the wrong place", when)
		}
	}
	search("open")
	closed(t, s)
	search("closed")
}

// liveOn takes a key through its life, which ends differently from key to key, and gives the secrets that were made.
func liveOn(t *testing.T, ring *keyring.Ring, permit gate.Permit, id string, n int) (made []keyring.Secrets) {
	t.Helper()
	ring.Expose(t.Context(), id, 1, gate.ExposedInURL, now())
	for _, overlap := range []time.Duration{time.Hour, time.Duration(n%2) * time.Hour} {
		_, secrets, err := ring.Rotate(t.Context(), permit, id, overlap, 0)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, secrets)
	}
	for range 2 {
		_, secrets, err := ring.NewSigningSecret(t.Context(), permit, id, 0)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, secrets)
	}
	_, err := ring.Update(t.Context(), permit, id, keyring.Change{Label: new("used"), Signature: new(true)})
	if err == nil && n%3 == 0 {
		_, err = ring.Revoke(t.Context(), permit, id, 0)
	} else if err == nil && n%3 == 1 {
		_, err = ring.Disable(t.Context(), permit, id, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// misplace asks with a key that also stands, whole or in part, where names should stand.
func misplace(t *testing.T, door *gate.Gate, key access.Text) {
	sent := key.Reveal()
	var targets []access.Target
	for _, name := range []string{sent, sent[:len(sent)-10], "my" + sent + "2", sent[len("sk_live_"):], strings.Repeat("-", 230) + sent} {
		targets = append(targets, access.Target{Environment: name}, access.Target{Environment: "nowhere", Event: name})
	}
	for _, each := range []bool{true, false} {
		caller, err := door.Identify(t.Context(), gate.Credential{Key: key, Circumstances: access.Circumstances{Via: access.InHeader}}, access.WriteEvents)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := door.Admit(t.Context(), caller, access.Attempt{Each: each, Targets: targets}, gate.Cost{}); err == nil {
			t.Fatal("the denial is missing")
		}
		if _, err := door.Admit(t.Context(), caller, access.Attempt{Each: true, Targets: append(targets, access.Target{})}, gate.Cost{}); err != nil {
			t.Fatal(err)
		}
	}
}

// bytesIn is everything in the files of a folder.
func bytesIn(t *testing.T, folder string) string {
	t.Helper()
	var dump strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		dump.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dump.String()
}

// Promise: nobody but the owner may read the files, of an old database that was open to others either.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "weir.db")
	for range 2 {
		s := opened(t, path)
		ringOver(t, s)
		entries, err := os.ReadDir(folder)
		if err != nil || len(entries) < 2 {
			t.Fatalf("%d files, %v", len(entries), err)
		}
		for _, entry := range entries {
			if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
			}
		}
		closed(t, s)
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Promise: what a call stored is on the disk before it returns, references hold, and readers cannot write.
func TestConnectionsAreSetUp(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "weir.db"))
	defer closed(t, s)
	for _, c := range []struct {
		db     *sql.DB
		pragma string
		want   string
	}{
		{s.write, "journal_mode", "wal"}, {s.write, "synchronous", "2"}, {s.write, "foreign_keys", "1"}, {s.write, "busy_timeout", "5000"},
		{s.read, "journal_mode", "wal"}, {s.read, "query_only", "1"}, {s.read, "busy_timeout", "5000"},
	} {
		var got string
		if err := c.db.QueryRowContext(t.Context(), "PRAGMA "+c.pragma).Scan(&got); err != nil || got != c.want {
			t.Errorf("%s is %q, want %q, %v", c.pragma, got, c.want, err)
		}
	}
	if _, err := s.read.ExecContext(t.Context(), `DELETE FROM keys`); err == nil {
		t.Error("a reader can write")
	}
}

// Promise: a path is taken as it is, whatever characters it has.
func TestPathsAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b.db", "a?b=c.db", "a#b.db", "a%20b.db", "ä;'\".db", "a&mode=memory.db"} {
		folder := t.TempDir()
		s := opened(t, filepath.Join(folder, name))
		ringOver(t, s)
		closed(t, s)
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		again := opened(t, filepath.Join(folder, name))
		if list, err := again.Projects(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("%q has %v, %v", name, list, err)
		}
		closed(t, again)
		if r, err := Check(t.Context(), filepath.Join(folder, name)); err != nil || r.Projects != 1 {
			t.Errorf("%q is checked as %+v, %v", name, r, err)
		}
	}
}

// Promise: what was stored is there after the store is opened anew, and opening it twice at the same time, as the
// command line does, is well.
func TestReopening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "weir.db")
	first := opened(t, path)
	ring, _, permit := ringOver(t, first)
	rec, made, err := ring.Create(t.Context(), permit, keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.EventsWrite})
	if err != nil {
		t.Fatal(err)
	}
	second := opened(t, path)
	_, door, _ := ringOver(t, second)
	if _, err := ask(t, door, made.Key, access.WriteEvents); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Revoke(t.Context(), permit, rec.ID, 0); err != nil {
		t.Fatal(err)
	}
	closed(t, first)
	closed(t, second)
	third := opened(t, path)
	defer closed(t, third)
	_, door, _ = ringOver(t, third)
	if _, err := ask(t, door, made.Key, access.WriteEvents); problem.Of(err) != problem.KeyNotAccepted {
		t.Errorf("a revoked key came back: %v", err)
	}
}

// Promise: a database from a newer program is left alone.
func TestANewerDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "weir.db")
	s := opened(t, path)
	if _, err := s.write.ExecContext(t.Context(), `INSERT INTO `+versionTable+` (version_id, is_applied) VALUES (99, 1)`); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if _, err := OpenSQLite(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("opened: %v", err)
	}
	if r, err := Check(t.Context(), path); err != nil || len(r.Faults) != 1 || !strings.Contains(r.Faults[0], "newer") {
		t.Errorf("checked: %+v, %v", r, err)
	}
}

// Promise: the migrations are numbered from 1 without a gap, and each can be taken back.
func TestMigrationsAreInOrder(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for i, file := range files {
		text, err := migrations.ReadFile(file)
		if err != nil || !strings.HasPrefix(filepath.Base(file), fmt.Sprintf("%05d_", i+1)) || !strings.Contains(string(text), "-- +goose Down") {
			t.Errorf("%s is not migration %d, %v", file, i+1, err)
		}
	}
}

// Promise: a full disk is told as such, a store that cannot be opened is an error, and a store that is closed does not
// answer.
func TestFailuresAreTold(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "weir.db")
	s := opened(t, path)
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.write.ExecContext(t.Context(), `PRAGMA max_page_count = 1`); err != nil { // as small as it is now
		t.Fatal(err)
	}
	name := strings.Repeat("x", 1<<20)
	_, _, _, err := s.Establish(t.Context(), org.Organization{ID: "org_1", Name: name}, org.Project{})
	if problem.Of(err) != problem.StorageFull {
		t.Errorf("a full disk: %v", err)
	}
	closed(t, s)
	if err := s.Ping(t.Context()); err == nil {
		t.Error("a closed store answers")
	}
	for _, bad := range []string{folder, filepath.Join(folder, "none", "weir.db")} {
		if _, err := OpenSQLite(t.Context(), bad); err == nil {
			t.Errorf("opened %s", bad)
		}
		if _, err := Check(t.Context(), bad); err == nil {
			t.Errorf("checked %s", bad)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSQLite(t.Context(), path); err == nil {
		t.Error("opened what is no database")
	}
	if _, err := Check(t.Context(), path); err == nil {
		t.Error("checked what is no database")
	}
}

// Promise: the check tells a sound database from a damaged one, counts what is there, and changes nothing.
func TestCheck(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "weir.db")
	s := opened(t, path)
	ring, _, permit := ringOver(t, s)
	for n := range 200 {
		rec, _, err := ring.Create(t.Context(), permit, keyring.New{Kind: access.Public, Mode: access.Live})
		if err == nil && n < 3 {
			_, err = ring.Revoke(t.Context(), permit, rec.ID, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Keep(t.Context(), ledger.Batch{Writer: "w", Number: 1, Denials: []gate.Denial{{ID: "d", At: now(), Project: "prj"}}}); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	before := bytesIn(t, filepath.Dir(path))
	r, err := Check(t.Context(), path)
	if err != nil || len(r.Faults) != 0 || r.Version != r.Known || r.Version == 0 ||
		r.Organizations != 1 || r.Projects != 1 || r.Keys != 200 || r.RevokedKeys != 3 || r.Denials != 1 {
		t.Fatalf("checked as %+v, %v", r, err)
	}
	if bytesIn(t, filepath.Dir(path)) != before {
		t.Error("the check changed the files")
	}
	s = opened(t, path)
	_, err = s.write.ExecContext(t.Context(), `PRAGMA foreign_keys = 0; UPDATE keys SET project_id = 'prj_9' WHERE revoked_at IS NOT NULL`)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if r, err := Check(t.Context(), path); err != nil || len(r.Faults) != 3 || !strings.Contains(r.Faults[0], "keys") {
		t.Fatalf("keys of nobody: %+v, %v", r, err)
	}
	damage(t, path)
	if r, err := Check(t.Context(), path); err == nil && len(r.Faults) <= 3 {
		t.Errorf("damage was not found: %+v", r)
	}
}

// damage overwrites some of every page but the first ones.
func damage(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for at := 40 * 4096; at+4096 <= len(data); at += 4096 {
		for i := range 200 {
			data[at+i] = byte(random.Uint32())
		}
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Promise: a caller who gives up while the writer is busy gets an answer, and the writer is not harmed.
func TestWaitingForTheWriterCanBeCancelled(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "weir.db"))
	defer closed(t, s)
	ringOver(t, s)
	busy, err := s.write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Keep(ctx, ledger.Batch{Writer: "w", Number: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if list, err := s.Projects(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("readers wait for the writer: %v, %v", list, err)
	}
	if err := busy.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(t.Context(), ledger.Batch{Writer: "w", Number: 1}); err != nil {
		t.Error(err)
	}
}
