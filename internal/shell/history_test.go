package shell

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: the history is a file for its owner alone, bounded, and what is in it comes back.
func TestHistoryIsPrivateAndBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "sql_history")
	history, entries, err := OpenHistory(path)
	if err != nil || len(entries) != 0 {
		t.Fatal(entries, err)
	}
	for i := range 2*maxHistory + 1 {
		if kept, err := history.Add(fmt.Sprintf("SELECT %d;", i)); !kept || err != nil {
			t.Fatal(kept, err)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, entries, err = OpenHistory(path)
		if err != nil || len(entries) != maxHistory || entries[maxHistory-1] != "SELECT 2000;" {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s is %v (%v)", name, info.Mode(), err)
			}
		}
	}
	if text, _ := os.ReadFile(path); strings.Count(string(text), "\n") != maxHistory {
		t.Errorf("the file has %d lines", strings.Count(string(text), "\n"))
	}
	if _, _, err := OpenHistory(t.TempDir()); err == nil {
		t.Error("a folder is a history")
	}
}

// Promise: what holds a credential is never in the history, in one piece or broken over lines; nor is what would act on
// the terminal when it comes back.
func TestHistoryHoldsNoCredential(t *testing.T) {
	t.Parallel()
	key := access.WriteKey(access.Secret, access.Live, strings.Repeat("a", access.LookupLength), strings.Repeat("b", access.SecretLength))
	path := filepath.Join(t.TempDir(), "sql_history")
	history, _, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{
		"SELECT '" + key + "';", "SELECT 1 -- " + key + "\n;", "SELECT '" + key[:30] + "\n" + key[30:] + "';", key[:30], "SELECT 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2ln';",
		"SELECT '\x1b[2J';", "SELECT '\u202e';", " \n ", "SELECT '\xff';", strings.Repeat("x", maxEntry+1),
	} {
		for _, entry := range entriesFor(typed) {
			if kept, err := history.Add(entry); kept || err != nil {
				t.Errorf("%q is kept (%v)", entry, err)
			}
		}
	}
	if text, err := os.ReadFile(path); err != nil || len(text) != 0 {
		t.Errorf("the file has %q (%v)", text, err)
	}
}

// Promise: a statement of some lines comes back as one line that means the same, or as its lines.
func TestEntriesOfAStatement(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string][]string{
		"SELECT 1;":                       {"SELECT 1;"},
		"SELECT 'a  b',\n\t2\n  FROM x;":  {"SELECT 'a  b', 2 FROM x;"},
		"SELECT 1 -- one\n, 2;":           {"SELECT 1 -- one", ", 2;"},
		"SELECT 'a\n b';":                 {"SELECT 'a", " b';"},
		"SELECT 1; -- done":               {"SELECT 1; -- done"},
		"SELECT $$a$$, $b$ c $b$\nFROM x": {"SELECT $$a$$, $b$ c $b$ FROM x"},
	} {
		if got := entriesFor(typed); !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", typed, got, want)
		}
	}
}
