package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// Promise: what an import writes of rejected rows is known for that, wherever it was cut, and with any one more thing it is not.
func TestLettersAreKnown(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringN(0, 20, -1)
		var file bytes.Buffer
		out := json.NewEncoder(&file)
		out.SetEscapeHTML(false)
		for range rapid.IntRange(1, 5).Draw(r, "rows") {
			row := Rejected{Line: rapid.Int64Min(1).Draw(r, "line"), Code: text.Draw(r, "code"), Detail: text.Draw(r, "detail"), Text: text.Draw(r, "text")}
			if rapid.Bool().Draw(r, "read") {
				row.Row = map[string]jsontext.Value{text.Draw(r, "name"): jsontext.Value(`{"a":[1,{"a":2}],"a":null}`)}
			}
			if err := out.Encode(row); err != nil {
				r.Fatal(err)
			}
		}
		cut := file.Bytes()[:rapid.IntRange(1, file.Len()).Draw(r, "cut")]
		if err := haveLetters(bytes.NewReader(cut)); err != nil {
			r.Fatalf("%s: %v", cut, err)
		}
		for _, more := range []string{"{}\n", "notes\n", `{"line":1,"code":"c"}`, `{"line":1,"detail":"d","code":"c"}`, `{"line":1,"code":"c","detail":"d","other":1}`, "[]", "\x00"} {
			if err := haveLetters(strings.NewReader(file.String() + more)); !errors.Is(err, errNoLetters) {
				r.Fatalf("with %q: %v", more, err)
			}
			if err := haveLetters(strings.NewReader(more + file.String())); !errors.Is(err, errNoLetters) {
				r.Fatalf("behind %q: %v", more, err)
			}
		}
	})
}

// Promise: any text is rejected rows or is not; nothing makes the answer fail.
func FuzzLetters(f *testing.F) {
	for _, text := range []string{"", "{", `{"line":1,"code":"c","detail":"d"}`, `{"line":`, "{}\n", `{"line":1,"code":"c","detail":"d","row":{"a":1},"text":"t"}{`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := haveLetters(strings.NewReader(text)); err != nil && !errors.Is(err, errNoLetters) {
			t.Error(err)
		}
	})
}

// Promise: rejected rows that were taken away while an import stood are not missed: the next ones begin an empty file.
func TestRejectedRowsTakenAway(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	p := Place{State: filepath.Join(folder, "s"), Rejected: filepath.Join(folder, "l"), File: "f"}
	for line := range int64(2) {
		k, err := Keep(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.keep(Progress{Rows: line + 1}, []Rejected{{Line: line + 1, Code: "c"}}); err != nil {
			t.Fatal(err)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if line == 0 {
			if err := os.Remove(p.Rejected); err != nil {
				t.Fatal(err)
			}
		}
	}
	if text, err := os.ReadFile(p.Rejected); err != nil || string(text) != `{"line":2,"code":"c","detail":""}`+"\n" {
		t.Errorf("%q (%v)", text, err)
	}
}

// Promise: a path through links leads where a file would be made, also when none is there; links in a ring lead nowhere.
func TestFinalPath(t *testing.T) {
	t.Parallel()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"here": ".", "one": "here/two", "two": filepath.Join(folder, "gone"), "ring": "round", "round": "ring"} {
		if err := os.Symlink(to, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"gone", "one", "two", "here/one", "here/here/gone"} {
		if path, err := final(filepath.Join(folder, name)); err != nil || path != filepath.Join(folder, "gone") {
			t.Errorf("%s leads to %s (%v)", name, path, err)
		}
	}
	for _, name := range []string{"ring", "gone/gone"} {
		if path, err := final(filepath.Join(folder, name)); err == nil {
			t.Errorf("%s leads to %s", name, path)
		}
	}
}

// Promise: an import that was stopped and goes on takes away no rejected rows of another that was given the same file for them
// meanwhile.
func TestRejectedRowsOfAnotherStay(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	letters := filepath.Join(folder, "letters")
	place := func(name string) Place {
		return Place{State: filepath.Join(folder, name), Rejected: letters, File: name}
	}
	k, err := Keep(place("a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil { // it is stopped
		t.Fatal(err)
	}
	if k, err = Keep(place("b")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.keep(Progress{}, []Rejected{{Line: 7, Code: "c", Detail: "d"}}), k.Done(), k.Close()); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(letters)
	if err != nil || len(want) == 0 {
		t.Fatal(want, err)
	}
	if _, err := Keep(place("a")); !errors.Is(err, ErrLetters) {
		t.Errorf("the first goes on: %v", err)
	}
	if got, err := os.ReadFile(letters); err != nil || !bytes.Equal(got, want) {
		t.Errorf("there is %q, %v", got, err)
	}
}

// Promise: what was moved to a path that an import has is not taken away when the import ends.
func TestWhatWasMovedThereStays(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	lock, letters, users := filepath.Join(folder, "lock"), filepath.Join(folder, "letters"), filepath.Join(folder, "mine")
	held, err := Hold(lock)
	if err != nil {
		t.Fatal(err)
	}
	k, err := Keep(Place{State: filepath.Join(folder, "state"), Rejected: letters, File: "file"})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{lock, letters} {
		if err := errors.Join(os.WriteFile(users, nil, 0o600), os.Rename(users, path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(held.Release(), k.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{lock, letters} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
