package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// taker is a server that takes every item but those that are called bad. It answers with as many verdicts as there are items.
func taker(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var items []struct{ Event string }
		text, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(text, &items) != nil {
			t.Errorf("%s (%v)", text, err)
		}
		rejected := []map[string]any{}
		for i, item := range items {
			if item.Event == "bad" {
				rejected = append(rejected, map[string]any{"index": i, "code": "invalid_field", "detail": "it is bad"})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"rejected": rejected})
	}))
	t.Cleanup(server.Close)
	return server
}

// importing runs 'weir import' in a folder, and gives what it printed and how it ended.
func importing(t *testing.T, url, folder string, args ...string) (out string, exit int) {
	t.Helper()
	c := (&installation{t: t}).weir(append([]string{"import"}, args...)...)
	c.Dir = folder
	c.Env = append(c.Env, "WEIR_URL="+url, "WEIR_KEY=k")
	text, err := c.CombinedOutput()
	return string(text), status(err)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return text
}

func reads(t *testing.T, path, want string) {
	t.Helper()
	if text, err := os.ReadFile(path); err != nil || string(text) != want {
		t.Errorf("%s is %q now, want %q (%v)", path, text, want, err)
	}
}

// Promise: no import writes its rejected rows into the file that it reads, by whatever name, nor into what it keeps itself, nor
// over anything that is no file of rejected rows: with --restart and without it is refused, by the flag's name, and all is left.
func TestRejectedRowsSpareOtherFiles(t *testing.T) {
	t.Parallel()
	url := taker(t).URL
	for name, c := range map[string]struct{ rejected, want string }{
		"the source":           {"d.csv", "the file that is imported"},
		"by another path":      {"./in/../d.csv", "the file that is imported"},
		"by a link":            {"link", "the file that is imported"},
		"the same inode":       {"hard", "the file that is imported"},
		"by a link of folders": {"folder/d.csv", "the file that is imported"},
		"the state":            {"d.csv.weir-import", "how far it is"},
		"a link to the state":  {"tostate", "how far it is"},
		"the lock":             {"d.csv.weir-import.lock", "how far it is"},
		"notes":                {"notes.txt", "something else than rejected rows"},
		"events":               {"e.ndjson", "something else than rejected rows"},
		"a cut object":         {"cut.json", "something else than rejected rows"},
		"then other text":      {"mixed.ndjson", "something else than rejected rows"},
		"a folder":             {"in", "not a file"},
		"a pipe":               {"pipe", "not a file"},
	} {
		for _, more := range [][]string{nil, {"--restart"}} {
			folder := t.TempDir()
			source := write(t, filepath.Join(folder, "d.csv"), "event,distinct_id\na,u\nbad,u\n")
			kept := map[string]string{
				"notes.txt": "the only copy\n", "e.ndjson": `{"event":"a","line":1,"code":"c","detail":"d"}` + "\n", "cut.json": `{"a long text without an end`,
				"mixed.ndjson": `{"line":1,"code":"c","detail":"d"}` + "\nand notes\n",
			}
			for name, text := range kept {
				write(t, filepath.Join(folder, name), text)
			}
			for _, err := range []error{
				os.Mkdir(filepath.Join(folder, "in"), 0o700), os.Symlink("d.csv", filepath.Join(folder, "link")), os.Link(filepath.Join(folder, "d.csv"), filepath.Join(folder, "hard")),
				os.Symlink(".", filepath.Join(folder, "folder")), os.Symlink("d.csv.weir-import", filepath.Join(folder, "tostate")), unix.Mkfifo(filepath.Join(folder, "pipe"), 0o600),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			out, exit := importing(t, url, folder, append([]string{"d.csv", "--rejected", c.rejected}, more...)...)
			if exit != 2 || !strings.Contains(out, "--rejected "+c.rejected+": ") || !strings.Contains(out, c.want) || strings.Contains(out, "--restart") {
				t.Errorf("%s %v: status %d, %s", name, more, exit, out)
			}
			kept["d.csv"], kept["link"], kept["hard"] = source, source, source
			for name, text := range kept {
				reads(t, filepath.Join(folder, name), text)
			}
			if info, err := os.Lstat(filepath.Join(folder, "pipe")); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
				t.Errorf("%s %v: the pipe is %v now (%v)", name, more, info, err)
			}
		}
	}
}

// Promise: --restart begins the file of rejected rows anew when that is what it is, wherever a link to it is, and takes away
// nothing else: an empty file that was there before stays, and what is no state of an import.
func TestRestartTakesItsOwn(t *testing.T) {
	t.Parallel()
	url := taker(t).URL
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	write(t, at("d.csv"), "event,distinct_id\na,u\nbad,u\n")
	letter := `{"line":3,"code":"invalid_field","detail":"it is bad","row":{"distinct_id":"u","event":"bad"}}` + "\n"
	write(t, at("far"), letter+letter+`{"line":9,"code":"x`) // as a kill leaves it
	if err := os.Symlink("far", at("link")); err != nil {
		t.Fatal(err)
	}
	if out, exit := importing(t, url, folder, "d.csv", "--rejected", "link"); exit != 2 || !strings.Contains(out, "those of another import") {
		t.Errorf("status %d, %s", exit, out)
	}
	if out, exit := importing(t, url, folder, "d.csv", "--rejected", "link", "--restart"); exit != 3 {
		t.Errorf("status %d, %s", exit, out)
	}
	reads(t, at("far"), letter)
	if to, err := os.Readlink(at("link")); err != nil || to != "far" {
		t.Errorf("the link leads to %q (%v)", to, err)
	}
	write(t, at("good.csv"), "event,distinct_id\na,u\n")
	write(t, at("empty"), "")
	for _, more := range []string{"--texts", "--restart"} {
		if out, exit := importing(t, url, folder, "good.csv", "--rejected", "empty", more); exit != 0 {
			t.Errorf("%s: status %d, %s", more, exit, out)
		}
		reads(t, at("empty"), "")
	}
	for _, name := range []string{"good.csv.weir-import", "good.csv.weir-import.lock"} {
		notes := write(t, at(name), "notes\n")
		if out, exit := importing(t, url, folder, "good.csv", "--restart"); exit == 0 || !strings.Contains(out, name) {
			t.Errorf("%s: status %d, %s", name, exit, out)
		}
		reads(t, at(name), notes)
		if err := os.Remove(at(name)); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := filepath.Glob(at("good.csv.*")); err != nil || len(left) > 0 {
		t.Errorf("there are %v (%v)", left, err)
	}
}

// Promise: an import that goes on leaves another file alone that is of the same name in another folder, and one that was taken away
// meanwhile begins anew, with nothing before its first row.
func TestImportGoesOnWithItsOwnFile(t *testing.T) {
	t.Parallel()
	down := true
	takes := taker(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"code":"invalid_api_key","detail":"no"}`)
			return
		}
		takes.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	folder, other := t.TempDir(), t.TempDir()
	path := filepath.Join(folder, "d.csv")
	write(t, path, "event,distinct_id\na,u\nbad,u\n")
	if out, exit := importing(t, server.URL, folder, path, "--rejected", "r"); exit != 1 {
		t.Fatalf("status %d, %s", exit, out)
	}
	down = false
	notes := write(t, filepath.Join(other, "r"), "notes\n")
	if out, exit := importing(t, server.URL, other, path, "--rejected", "r"); exit != 2 {
		t.Errorf("status %d, %s", exit, out)
	}
	reads(t, filepath.Join(other, "r"), notes)
	if out, exit := importing(t, server.URL, folder, "d.csv", "--rejected", "./r"); exit != 3 {
		t.Errorf("status %d, %s", exit, out)
	}
}
