package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/intake"
)

// Promise: an import that is killed goes on when it is started again; every row is stored once, or stands with its line
// and the reason in the file of rejected rows, also when the whole file is imported again.
func TestImport(t *testing.T) {
	in := install(t)
	in.unlimit()
	r := in.serve()
	path := filepath.Join(t.TempDir(), "visits.csv")
	var file strings.Builder
	file.WriteString("visitor,seen_at,price\n")
	const rows = 80_000 // so that it is under way when it is killed
	for i := range rows {
		switch {
		case i%20000 == 17:
			fmt.Fprintf(&file, "u_%d,yesterday,1\n", i)
		case i%20000 == 18:
			fmt.Fprintf(&file, "u_%d,2026-01-31T10:00:00Z\n", i)
		default:
			fmt.Fprintf(&file, "u_%d,2026-01-31T10:00:00Z,%d.5\n", i, i)
		}
	}
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(more ...string) *exec.Cmd {
		c := r.weir(append([]string{"import", path, "--url", r.url, "--set", "event=Visited", "--map", "distinct_id=visitor", "--map", "timestamp=seen_at"}, more...)...)
		c.Env = append(c.Env, "WEIR_KEY="+r.public)
		return c
	}
	killed := run()
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the first rows", func() bool { return r.ask("SELECT count(*) AS n FROM events")[0][0].(float64) > 0 })
	_ = killed.Process.Kill()
	_ = killed.Wait()
	for _, more := range [][]string{nil, {"--restart"}} {
		out, err := run(more...).CombinedOutput()
		if status(err) != 3 || !strings.Contains(string(out), "80000 rows: 79992 accepted, 8 rejected") {
			t.Fatalf("%v: %v\n%s", more, err, out)
		}
		await(t, "the last rows", func() bool {
			return r.ask("SELECT count(*) AS n, count(DISTINCT distinct_id) AS d, sum((properties->>'price')::DOUBLE) > 0 AS p FROM events")[0][0].(float64) >= rows-8
		})
		if n := r.ask("SELECT count(*) AS n FROM events")[0][0].(float64); n != rows-8 {
			t.Errorf("%v rows are stored", n)
		}
		text, err := os.ReadFile(path + ".rejected.ndjson")
		if err != nil || strings.Count(string(text), "\n") != 8 || !strings.Contains(string(text), `{"line":19,"code":"invalid_field","detail":"timestamp:`) {
			t.Errorf("rejected are %s (%v)", text, err)
		}
	}
	if _, err := os.Stat(path + ".weir-import"); !os.IsNotExist(err) {
		t.Errorf("the state of an import that is over: %v", err)
	}
	kept, err := os.ReadFile(path + ".rejected.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	other := run("--rejected", path+".others")
	other.Env = append(other.Env, "WEIR_KEY=pk_live_wrong")
	for _, c := range []struct {
		run  *exec.Cmd
		want string
	}{{run(), "those of another import"}, {other, "start it again to go on after row 0"}, {run(), "begun with another file or other flags"}} {
		if out, _ := c.run.CombinedOutput(); !strings.Contains(string(out), c.want) {
			t.Errorf("%v, want %s:\n%s", c.run.Args[1:], c.want, out)
		}
	}
	if text, err := os.ReadFile(path + ".rejected.ndjson"); err != nil || string(text) != string(kept) {
		t.Errorf("the rejected rows are now %s (%v)", text, err)
	}
	for want, c := range map[string]*exec.Cmd{
		"give --url":                     r.weir("import", path),
		"foo is not a member":            run("--map", "foo=visitor"),
		"--map distinct_id=x":            run("--map", "distinct_id=x"),
		`"event":"Visited"`:              run("--dry-run"),
		"no such file":                   r.weir("import", path+".gone"),
		"does not say how it is written": r.weir("import", os.Args[0]),
	} {
		if out, _ := c.CombinedOutput(); !strings.Contains(string(out), want) {
			t.Errorf("%v, want %s:\n%s", c.Args[1:], want, out)
		}
	}
}

// Promise: of two imports of one file at once the second is refused, changes nothing, and says why; once the first is over,
// or was killed, it can go on.
func TestOneImportOfAFile(t *testing.T) {
	r := install(t).serve()
	path := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(path, []byte(`{"event":"a","distinct_id":"u"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(more ...string) (string, int) {
		c := r.weir(append([]string{"import", path, "--url", r.url}, more...)...)
		c.Env = append(c.Env, "WEIR_KEY="+r.public)
		out, err := c.CombinedOutput()
		return string(out), status(err)
	}
	for want, held := range map[string]string{"another import of this file is under way": ".weir-import.lock", "writes its rejected rows there": ".rejected.ndjson"} {
		first, err := intake.Hold(path + held)
		if err != nil {
			t.Fatal(err)
		}
		for _, more := range []string{"--restart", "--texts"} {
			if out, exit := run(more); exit != 1 || !strings.Contains(out, want) {
				t.Errorf("%s: %d, %s", more, exit, out)
			}
		}
		if err := first.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path+".weir-import.lock", nil, 0o600); err != nil { // as one that was killed leaves it
		t.Fatal(err)
	}
	if out, exit := run(); exit != 0 || !strings.Contains(out, "1 accepted") {
		t.Errorf("after the first: %d, %s", exit, out)
	}
	left, err := filepath.Glob(path + ".*")
	if err != nil || len(left) > 0 {
		t.Errorf("there are still %v (%v)", left, err)
	}
}

// status is that with which a command ended.
func status(err error) int {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// Promise: the exit status of an import says whether all rows were accepted, some or all were rejected, or it did not come to
// the end of the file.
func TestImportStatus(t *testing.T) {
	r := install(t).serve()
	const good, bad = `{"event":"a","distinct_id":"u"}`, `{"event":"a","distinct_id":"u","timestamp":"yesterday"}`
	for name, c := range map[string]struct {
		text, key string
		want      int
	}{
		"all accepted":  {good, r.public, 0},
		"some rejected": {good + "\n" + bad, r.public, 3},
		"all rejected":  {bad + "\n" + bad, r.public, 3},
		"wrong key":     {good, "pk_live_wrong", 1},
		"no key":        {good, "", 2},
	} {
		path := filepath.Join(t.TempDir(), "events.ndjson")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		run := r.weir("import", path, "--url", r.url)
		run.Env = append(run.Env, "WEIR_KEY="+c.key)
		if out, err := run.CombinedOutput(); status(err) != c.want {
			t.Errorf("%s: %v, want %d\n%s", name, err, c.want, out)
		}
	}
}
