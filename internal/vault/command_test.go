package vault_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/vault"
)

// Promise: the keys that a command prints are read as those of a file; its arguments are its own, for no shell reads
// them.
func TestFromCommand(t *testing.T) {
	t.Parallel()
	_, second := newKey(t, 2)
	for name, argv := range map[string][]string{
		"one":      {"echo", theKey},
		"two":      {"printf", `%s\n%s\n`, theKey, second},
		"noise":    {"sh", "-c", "echo reading >&2; echo " + theHex},
		"no shell": {"sh", "-c", `test "$1" = '$(x); *' && test "$#" = 1 && echo ` + theKey, "sh", "$(x); *"},
		"no input": {"sh", "-c", "cat; echo " + theKey},
	} {
		keys, err := vault.FromCommand(t.Context(), argv, time.Minute)
		if err != nil || keys[0].ID() != "86b490bd" || len(keys) != 1 && name != "two" {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
	}
}

// Promise: a command that fails, is not there, prints too much or anything but keys gives no key; the error says which
// command it was and what it said, and shows neither its arguments nor what it printed.
func TestACommandThatFails(t *testing.T) {
	t.Parallel()
	noKey := filepath.Join(t.TempDir(), "none")
	for name, c := range map[string]struct {
		argv []string
		want []string
	}{
		"none named":  {nil, []string{"no command is named"}},
		"empty":       {[]string{""}, []string{"no command is named"}},
		"not there":   {[]string{noKey, theKey}, []string{noKey, "no such file"}},
		"not a path":  {[]string{"weir-no-such-command", theKey}, []string{"weir-no-such-command", "not found"}},
		"exits":       {[]string{"sh", "-c", "echo " + theKey + "; echo no such secret >&2; exit 3"}, []string{`"sh"`, "exit status 3", `it said "no such secret"`}},
		"is killed":   {[]string{"sh", "-c", "echo " + theKey + "; kill -9 $$"}, []string{"signal: killed"}},
		"nothing":     {[]string{"true"}, []string{"there is no master key"}},
		"no key":      {[]string{"printf", theKey[:44]}, []string{"a master key is mk_"}},
		"too much":    {[]string{"sh", "-c", "while :; do echo " + theKey + "; done"}, []string{"more than 1024 bytes"}},
		"much, waits": {[]string{"sh", "-c", "for i in $(seq 99); do echo " + theKey + "; done; sleep 1000"}, []string{"more than 1024 bytes"}},
		"tells": {
			[]string{"sh", "-c", "echo " + theKey + "; echo; echo /usr/bin: got " + theKey + " and " + theHex + " >&2; exit 1"},
			[]string{`it said "/usr/bin: got [hidden] and [hidden]"`},
		},
		"tells much": {
			[]string{"sh", "-c", "for i in $(seq 500); do echo " + theKey + " >&2; done; exit 1"},
			[]string{"[hidden]", "…"},
		},
		"tells other": {[]string{"sh", "-c", "echo hunter22; echo the password is hunter22 >&2"}, []string{"a master key is mk_", `it said "the password is [hidden]"`}},
		"controls":    {[]string{"sh", "-c", `printf '\033[2J\377\n' >&2; exit 1`}, []string{`it said "\x1b[2J?"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys, err := vault.FromCommand(t.Context(), c.argv, time.Minute)
			if err == nil || keys != nil {
				t.Fatalf("%v, %v", keys, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %s", err, want)
				}
			}
			if leaks(err.Error()) || strings.Contains(err.Error(), "hunter22") || strings.Contains(err.Error(), "echo") || len(err.Error()) > 1500 {
				t.Errorf("%v", err)
			}
		})
	}
}

// Promise: a command that takes too long, or that nobody waits for any more, is killed with all that it started.
func TestACommandHasATime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit time.Duration
		end   time.Duration
		want  string
	}{
		"too long": {300 * time.Millisecond, time.Minute, "took longer than 300ms"},
		"given up": {time.Minute, 300 * time.Millisecond, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pipe, ended := pipe(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(c.end, cancel)
			keys, err := vault.FromCommand(ctx, []string{"sh", "-c", `echo ` + theKey + `; (sleep 1000; true) > "$1" & sleep 1000; true`, "sh", pipe}, c.limit)
			if err == nil || keys != nil || !strings.Contains(err.Error(), c.want) || leaks(err.Error()) {
				t.Errorf("%v, %v", keys, err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if keys, err := vault.FromCommand(done, []string{"echo", theKey}, 0); !errors.Is(err, context.Canceled) {
		t.Error(keys, err)
	}
}

// Promise: a command that leaves something running gives no key, and what it left is ended.
func TestACommandLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	pipe, ended := pipe(t)
	keys, err := vault.FromCommand(t.Context(), []string{"sh", "-c", `exec 3> "$1"; sleep 1000 & echo ` + theKey, "sh", pipe}, time.Minute)
	if err == nil || keys != nil || !strings.Contains(err.Error(), "left something running") {
		t.Errorf("%v, %v", keys, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// pipe makes a pipe for commands to open for writing. It has ended when all who did have ended.
func pipe(t *testing.T) (path string, ended chan error) {
	t.Helper()
	path, ended = filepath.Join(t.TempDir(), "pipe"), make(chan error, 1)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		f, err := os.Open(path)
		if err == nil {
			_, err = io.ReadAll(f)
		}
		ended <- err
	}()
	return path, ended
}
