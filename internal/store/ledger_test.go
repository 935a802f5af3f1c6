package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/ledger"
)

// stepping opens a database that is brought up to date step by step.
func stepping(t *testing.T) (*sql.DB, *goose.Provider) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.db")
	if err := makePrivate(path); err != nil {
		t.Fatal(err)
	}
	write, _, err := sqliteConnectors(path)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(write)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, steps, goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable))
	if err != nil {
		t.Fatal(err)
	}
	return db, p
}

// Promise: counts from before usage was told apart are there afterwards, by hour, and denials are what they were; taking
// the step back loses no request either.
func TestOldCountsBecomeUsage(t *testing.T) {
	t.Parallel()
	db, steps := stepping(t)
	run := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := steps.UpTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	hour := now().UnixMicro()
	run(fmt.Sprintf(`INSERT INTO denial_counts VALUES ('prj_1', %d, 'key_1', 'key_expired', 3, 5), ('', %d, '', 'unknown_key', 7, 7)`, hour, hour))
	run(fmt.Sprintf(`INSERT INTO use_counts VALUES ('prj_1', %d, 'key_1', 'run_sql', 'production', 11, 13)`, hour))
	run(fmt.Sprintf(`INSERT INTO denials VALUES ('d1', %d, 'org_1', 'prj_1', 'key_1', 'run_sql', 'key_expired', 'r', '', '', 1, '192.0.2.7', 'r1')`, hour))
	if _, err := steps.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &Store{dialect: sqliteDialect(), read: db, write: db}
	q := ledger.CountQuery{To: now().Add(time.Hour), Live: true, By: 127, Limit: 10}
	for project, want := range map[string]string{
		"prj_1": "[key_1 allowed  run_sql production  ] 11 13, [key_1 denied key_expired    ] 3 5, ", "": "[ denied unknown_key    ] 7 7, ",
	} {
		q.Project = project
		list, err := s.Usage(t.Context(), q)
		got := ""
		for _, c := range list {
			got += fmt.Sprintf("%v %d %d, ", ledger.PlaceOf(c).What, c.Requests, c.Items)
		}
		if err != nil || got != want {
			t.Errorf("of %q there is %s, %v", project, got, err)
		}
	}
	list, err := s.Denials(t.Context(), ledger.DenialQuery{Project: "prj_1", Live: true, Limit: 10})
	if err != nil || len(list) != 1 || list[0].Reason != "key_expired" || list[0].Observed || list[0].Failed != nil {
		t.Errorf("denials %+v, %v", list, err)
	}
	if _, err := steps.DownTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	var requests, items, denied int
	if err := db.QueryRowContext(t.Context(), `SELECT SUM(requests), SUM(items) FROM use_counts`).Scan(&requests, &items); err != nil || requests != 11 || items != 13 {
		t.Errorf("taken back: %d, %d, %v", requests, items, err)
	}
	if err := db.QueryRowContext(t.Context(), `SELECT SUM(denials) FROM denial_counts`).Scan(&denied); err != nil || denied != 10 {
		t.Errorf("taken back: %d, %v", denied, err)
	}
	if _, err := steps.Up(t.Context()); err != nil {
		t.Errorf("up again: %v", err)
	}
}

// pasted is what a sender does who takes every field for the place of the key.
func pasted(text string) (gate.Denial, gate.Use) {
	from := gate.Sender{Origin: "https://" + text, RequestID: text, Client: gate.Client{Agent: text, SDK: text}, Address: netip.MustParseAddr("192.0.2.7")}
	d := gate.Denial{
		ID: "d" + fmt.Sprint(len(text)), At: now(), Project: "prj_1", KeyID: "key_000000000001", Action: access.WriteEvents, Reason: "event_not_allowed",
		Environment: text, Event: text, Count: 1, Sender: from, Detail: "signature base:\n" + text,
		Remedies: []access.Remedy{{Of: "key", Field: "datasets." + text, Do: "add", Value: text}},
	}
	u := gate.Use{
		At: now(), Project: "prj_1", KeyID: "key_000000000001", Generation: 1, Action: access.WriteEvents, Environment: "production", Items: 1, Sender: from,
		Targets: []access.Target{{Event: text, Environment: "production"}},
	}
	return d, u
}

// Promise: a key that a sender put in the place of a name, of a page, of its program or anywhere else is not in the files:
// not in the denials, not in the counts, not in the shapes and not in the last uses.
func TestNoPastedKeyIsOnDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := opened(t, filepath.Join(folder, "weir.db"))
	book, err := ledger.New(s, ledger.Config{Now: now, Log: quiet(), Writer: "w"})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "ThisIsAnExampleNotASecret00"
	key := access.WriteKey(access.Secret, access.Live, "3fQ9xT0aLmZk", secret)
	for _, text := range []string{key, "x" + key, key[:40], key[8:], strings.Repeat("-", 240) + key, strings.Repeat("-", 1000) + key, key + "/" + key} {
		d, u := pasted(text)
		book.Deny(d)
		book.Allow(u)
		u.Targets = append(u.Targets, access.Target{Event: "other"}, access.Target{Event: text + "2"})
		book.Allow(u)
	}
	if err := book.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	dump := bytesIn(t, folder)
	for from := range len(secret) - 11 {
		if strings.Contains(dump, secret[from:from+12]) {
			t.Errorf("characters %d to %d of a secret are on disk", from, from+12)
		}
	}
	if !strings.Contains(dump, "sk_live_3fQ9xT0aLmZk…") {
		t.Error("what is left of a key is not there: this test looks in the wrong place")
	}
}

// Promise: an entry of the audit is there with the change it is about, or neither is.
func TestEntriesGoWithTheirChange(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "weir.db"))
	defer closed(t, s)
	fault := errors.New("the change went wrong")
	err := s.transact(t.Context(), func(tx *sql.Tx) error {
		if err := insertAudit(t.Context(), tx, audit.Entry{ID: "a1", At: now(), Project: "prj_1"}); err != nil {
			return err
		}
		return fault
	})
	if list, readErr := s.Entries(t.Context(), audit.Query{Project: "prj_1", Live: true, Limit: 10}); !errors.Is(err, fault) || readErr != nil || len(list) != 0 {
		t.Errorf("%v, %v: %v", err, readErr, list)
	}
}

// Promise: reading and trimming give up when their caller does.
func TestLedgerCallsCanBeCancelled(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "weir.db"))
	defer closed(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"usage":  func() error { _, err := s.Usage(ctx, ledger.CountQuery{Limit: 1}); return err },
		"shapes": func() error { _, err := s.Shapes(ctx, ledger.ShapeQuery{Limit: 1}); return err },
		"uses":   func() error { _, err := s.LastUsed(ctx, "prj_1", []string{"key_1"}); return err },
		"trim":   func() error { _, err := s.Trim(ctx, ledger.Horizon{}); return err },
		"audit":  func() error { _, err := s.Entries(ctx, audit.Query{Limit: 1}); return err },
		"append": func() error { return s.Append(ctx, audit.Entry{ID: "a"}) },
	} {
		if call() == nil {
			t.Errorf("%s went on", name)
		}
	}
}
