package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Promise: the program does what the README and its help say, from the first start to the last command: each script in
// testdata/script runs the real binary.
func TestScripts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			bin := filepath.Join(env.WorkDir, ".bin")
			if err := os.Mkdir(bin, 0o700); err != nil {
				return err
			}
			if err := os.Symlink(self, filepath.Join(bin, "weir")); err != nil {
				return err
			}
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv(asProgram, "1")
			for _, name := range []string{"LISTEN", "BESIDE", "THIRD"} {
				port, err := freePort()
				if err != nil {
					return err
				}
				env.Setenv(name, "127.0.0.1:"+port)
			}
			env.Setenv("URL", "http://"+env.Getenv("LISTEN"))
			return setBuilding(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"http": scriptHTTP, "ready": scriptReady, "field": scriptField, "flip": scriptFlip, "appendto": scriptAppend},
	})
}

// setBuilding lets a script build what is in the repository, at $REPO.
func setBuilding(env *testscript.Env) error {
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	env.Setenv("REPO", repo)
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return err
		}
		env.Setenv(name, strings.TrimSpace(string(value)))
	}
	return nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port, l.Close()
}

// scriptReady waits until the server at $URL is ready, or another there answers at a path: ready [PATH].
func scriptReady(ts *testscript.TestScript, _ bool, args []string) {
	path := "/readyz"
	if len(args) > 0 {
		path = args[0]
	}
	every, limit := time.NewTicker(25*time.Millisecond), time.After(time.Minute)
	defer every.Stop()
	for {
		answer, err := http.Get(ts.Getenv("URL") + path)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-every.C:
		case <-limit:
			ts.Fatalf("the server was not ready within a minute: %v", err)
		}
	}
}

// scriptHTTP asks the server at $URL, prints the answer and expects a status: http STATUS METHOD PATH KEY [FILE].
func scriptHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 4 || neg {
		ts.Fatalf("usage: http STATUS METHOD PATH KEY [FILE]")
	}
	var body io.Reader
	if len(args) > 4 {
		body = strings.NewReader(ts.ReadFile(args[4]))
	}
	r, err := http.NewRequest(args[1], ts.Getenv("URL")+args[2], body)
	ts.Check(err)
	if args[3] != "-" {
		r.Header.Set("Authorization", "Bearer "+args[3])
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	ts.Check(err)
	_, _ = ts.Stdout().Write(text)
	if strconv.Itoa(answer.StatusCode) != args[0] {
		ts.Fatalf("%s %s answered %s, want %s: %s", args[1], args[2], answer.Status, args[0], text)
	}
}

// scriptField puts a member of a JSON file into a variable: field VARIABLE FILE MEMBER.
func scriptField(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: field VARIABLE FILE MEMBER")
	}
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &object))
	ts.Setenv(args[0], fmt.Sprint(object[args[2]]))
}

// scriptFlip changes the first occurrence of a text in the file that matches a pattern: flip PATTERN TEXT.
func scriptFlip(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, name := range files {
		data, err := os.ReadFile(name)
		ts.Check(err)
		if i := bytes.Index(data, []byte(args[1])); i >= 0 {
			data[i] ^= 0x20
			ts.Check(os.WriteFile(name, data, 0o600))
			return
		}
	}
	ts.Fatalf("no file %s holds %q", args[0], args[1])
}

// scriptAppend puts one file at the end of another: appendto FILE MORE.
func scriptAppend(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(ts.ReadFile(args[0])+ts.ReadFile(args[1])), 0o600))
}
