package duckdb

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

func options(t *testing.T) native.Options {
	return native.Options{Memory: 128 << 20, Threads: 1, TempDir: t.TempDir(), TempLimit: 1 << 30}
}

// fillFile makes the file of a space with some events, in this process.
func fillFile(t *testing.T, dir string, s event.Space, events int) {
	t.Helper()
	shelf := newShelf(dir, 1, 1<<30, options(t), nil)
	defer shelf.close()
	instance, back, err := shelf.write(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer back()
	var records []event.Record
	for i := range events {
		records = append(records, own(i+1, s, "e"+strconv.Itoa(i), strconv.Itoa(i)))
	}
	if err := instance.load(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

// edit runs statements on a space's file.
func edit(t *testing.T, path, sql string) {
	t.Helper()
	db, err := native.Open(path, options(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// Promise: a file that belongs to another space, that a newer program wrote, or that is no database, is not opened, and
// Check names it.
func TestStrangeFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, moved, newer, torn := event.Space{Project: "a", Environment: "good"}, event.Space{Project: "a", Environment: "moved"},
		event.Space{Project: "b", Environment: "newer"}, event.Space{Project: "b", Environment: "torn"}
	for _, s := range []event.Space{good, newer, torn} {
		fillFile(t, dir, s, 3000)
	}
	data, err := os.ReadFile(filePath(dir, good))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filePath(dir, moved), data, 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, filePath(dir, newer), "UPDATE store.state SET version = 99")
	data, err = os.ReadFile(filePath(dir, torn))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("key_1"))
	data[at] ^= 1
	if err := os.WriteFile(filePath(dir, torn), data, 0o600); err != nil {
		t.Fatal(err)
	}
	for s, fault := range map[event.Space]string{moved: "another space", newer: "version 99"} {
		_, err := openInstance(t.Context(), filePath(dir, s), s, options(t), nil)
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("opening %v: %v", s, err)
		}
	}
	reports, err := Check(t.Context(), dir)
	if err != nil || len(reports) != 4 {
		t.Fatalf("%d reports, %v", len(reports), err)
	}
	for i, want := range []string{"", "another space", "version 99", "hecksum"} {
		if r := reports[i]; (r.Fault == "") != (want == "") || !strings.Contains(r.Fault, want) {
			t.Errorf("%v: fault %q, want %q", r.Space, r.Fault, want)
		}
	}
	if r := reports[0]; r.Space != good || r.Events != 3000 || r.Position != 3000 || r.Version != 4 || r.Bytes < 100_000 || r.Persons != 0 {
		t.Errorf("the good file: %+v", r)
	}
}

// Promise: Check reads what a killed server has left, without changing it; a folder that is not there has no files.
func TestCheckAfterACrash(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	if err := w.Load(t.Context(), shop, []event.Record{track(1, shop, "e", "1"), track(2, shop, "f", "2")}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copied := filePath(dir, shop)
	if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	var before [2][]byte
	for i, ending := range []string{"", ".wal"} {
		data, err := os.ReadFile(filePath(w.cfg.Dir, shop) + ending)
		if err != nil {
			t.Fatal(err)
		}
		before[i] = data
		if err := os.WriteFile(copied+ending, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reports, err := Check(t.Context(), dir)
	if err != nil || len(reports) != 1 || reports[0].Events != 2 || reports[0].Position != 2 || reports[0].Fault != "" {
		t.Fatalf("%+v, %v", reports, err)
	}
	for i, ending := range []string{"", ".wal"} {
		if after, err := os.ReadFile(copied + ending); err != nil || !bytes.Equal(after, before[i]) {
			t.Errorf("Check changed the file%s: %v", ending, err)
		}
	}
	if reports, err := Check(t.Context(), filepath.Join(dir, "nothing")); err != nil || reports != nil {
		t.Errorf("a folder that is not there: %v, %v", reports, err)
	}
}

// Promise: with many spaces in use at once, few files are open, and each space keeps its own events.
func TestShelf(t *testing.T) {
	t.Parallel()
	const spaces, most = 7, 2
	s := newShelf(t.TempDir(), most, 1<<40, options(t), nil)
	defer s.close()
	var users sync.WaitGroup
	for n := range spaces {
		users.Go(func() {
			space := event.Space{Project: "p" + strconv.Itoa(n), Environment: "production"}
			for i := range 5 {
				instance, back, err := s.write(t.Context(), space)
				if err != nil {
					t.Error(err)
					return
				}
				if err := instance.load(t.Context(), []event.Record{own(i+1, space, "e", strconv.Itoa(i))}); err != nil {
					t.Error(err)
				}
				if at, err := instance.loaded(t.Context()); err != nil || at != event.Position(i+1) {
					t.Errorf("%v is at %d, %v", space, at, err)
				}
				back()
			}
		})
	}
	users.Wait()
	s.mu.Lock()
	files := 0
	for _, p := range s.open {
		if p.gone == nil {
			files++
		}
	}
	s.mu.Unlock()
	if files > most {
		t.Errorf("%d files are open", files)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.write(gone, event.Space{Project: "new", Environment: "production"}); err != nil && gone.Err() == nil {
		t.Error(err)
	}
}

// Promise: idle files that hold more memory than their share are closed, and the one that is used last is not.
func TestShelfGivesMemoryBack(t *testing.T) {
	t.Parallel()
	s := newShelf(t.TempDir(), 100, 1, options(t), nil)
	defer s.close()
	for n := range 4 {
		space := event.Space{Project: "p" + strconv.Itoa(n), Environment: "production"}
		instance, back, err := s.write(t.Context(), space)
		if err != nil {
			t.Fatal(err)
		}
		if err := instance.load(t.Context(), []event.Record{own(1, space, "e", "1")}); err != nil {
			t.Fatal(err)
		}
		back()
		s.mu.Lock()
		if s.open[space] == nil {
			t.Errorf("%v was closed right after its use", space)
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) > 2 {
		t.Errorf("%d files are open", len(s.open))
	}
}

// Promise: no two open databases spill to the same folder. The engine names what it spills alike everywhere, and would
// read another's.
func TestSpillFoldersAreApart(t *testing.T) {
	t.Parallel()
	s := newShelf(t.TempDir(), 100, 1<<40, options(t), nil)
	defer s.close()
	users := map[string]event.Space{}
	for _, space := range []event.Space{
		{Project: "a", Environment: "b"}, {Project: "a", Environment: "c"}, {Project: "b", Environment: "b"}, {Project: "A", Environment: "b"}, {},
	} {
		get := s.write
		if space.Project == "" {
			get = s.read // of a space without a file
		}
		instance, back, err := get(t.Context(), space)
		if err != nil {
			t.Fatal(err)
		}
		defer back()
		conn, err := instance.db.Connect()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		err = conn.Each(t.Context(), "SELECT value FROM duckdb_settings() WHERE name = 'temp_directory'", func(r *native.Result, row int) error {
			folder := r.Text(0, row)
			if other, taken := users[folder]; taken || folder == "" {
				t.Errorf("%v and %v spill to %q", space, other, folder)
			}
			users[folder] = space
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Promise: a file that a dying process still holds is opened as soon as it is free.
func TestLockedFile(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	if err := w.Load(t.Context(), shop, []event.Record{track(1, shop, "e", "1")}); err != nil {
		t.Fatal(err)
	}
	path := filePath(w.cfg.Dir, shop)
	if _, err := native.Open(path, options(t)); err == nil || !strings.Contains(err.Error(), "Could not set lock") {
		t.Fatalf("opening a file another process has: %v", err)
	}
	opened := make(chan error, 1)
	go func() {
		instance, err := openInstance(t.Context(), path, shop, options(t), nil)
		if err == nil {
			instance.close()
		}
		opened <- err
	}()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}
