package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/weir-analytics/weir/internal/access"
)

// terminalSession is the program on a terminal of its own.
type terminalSession struct {
	t       *testing.T
	tty     *os.File
	program *exec.Cmd
	mu      sync.Mutex
	shown   bytes.Buffer
	grown   chan struct{}
}

func openSession(t *testing.T, env ...string) *terminalSession {
	t.Helper()
	s := &terminalSession{t: t, grown: make(chan struct{}, 1)}
	s.program = (&installation{t: t}).weir("sql")
	s.program.Env = append(s.program.Env, append(env, "TERM=xterm")...)
	var err error
	if s.tty, err = pty.StartWithSize(s.program, &pty.Winsize{Rows: 40, Cols: 120}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.tty.Close(); _ = s.program.Process.Kill() })
	go s.read()
	return s
}

func (s *terminalSession) read() {
	piece := make([]byte, 4096)
	for {
		n, err := s.tty.Read(piece)
		s.mu.Lock()
		s.shown.Write(piece[:n])
		s.mu.Unlock()
		select {
		case s.grown <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// sees waits until a text is on the terminal, behind what was seen before, and gives what came up to it.
func (s *terminalSession) sees(text string) string {
	s.t.Helper()
	limit := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		before, behind, found := strings.Cut(s.shown.String(), text)
		if found {
			s.shown.Reset()
			s.shown.WriteString(behind)
		}
		all := s.shown.String()
		s.mu.Unlock()
		if found {
			return before
		}
		select {
		case <-s.grown:
		case <-limit:
			s.t.Fatalf("%q does not come; there is %q", text, all)
		}
	}
}

func (s *terminalSession) types(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.tty, text); err != nil {
		s.t.Fatal(err)
	}
}

// slowServer answers every question with one row that would act on a terminal, but 'slow' only when its asker is gone.
func slowServer(t *testing.T, begun, stopped chan struct{}) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path != "/v1/query":
			http.NotFound(w, r)
		case strings.Contains(string(body), "slow"):
			close(begun)
			<-r.Context().Done()
			close(stopped)
		default:
			_, _ = fmt.Fprintf(w, `{"columns":[{"name":"said","type":"VARCHAR"}],"rows":[["\u009b2J"]],"row_count":1,"elapsed_ms":1}`)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// Promise: on a terminal, words are completed, lines come back with the arrow, also in the next session, Ctrl-C stops a
// query and not the shell, nothing in an answer acts on the terminal, a key is not kept, and the terminal is given back.
func TestSQLOnATerminal(t *testing.T) {
	begun, stopped := make(chan struct{}), make(chan struct{})
	server := slowServer(t, begun, stopped)
	state := t.TempDir()
	key := access.WriteKey(access.Secret, access.Live, strings.Repeat("a", access.LookupLength), strings.Repeat("b", access.SecretLength))
	env := []string{"WEIR_URL=" + server.URL, "WEIR_KEY=" + key, "XDG_STATE_HOME=" + state}

	s := openSession(t, env...)
	s.sees("weir> ")
	s.types("sel\t 'one' as said fr\t persons\t;\r")
	if echoed := s.sees("(1 row)"); !strings.Contains(echoed, "select 'one' as said from persons;") || !strings.Contains(echoed, `\u009b2J`) || strings.Contains(echoed, "\u009b") {
		t.Errorf("shown: %q", echoed)
	}
	s.sees("weir> ")
	s.types("SELECT '" + key + "';\r")
	s.sees("(1 row)")
	s.sees("weir> ")
	s.types("SELECT slow;\r")
	<-begun
	s.types("\x03")
	<-stopped
	s.sees("The query was stopped.")
	s.sees("weir> ")
	s.types("half a line")
	s.sees("half a line")
	s.types("\x03")
	s.sees("weir> ")
	s.types("\x1b[A\x1b[A\r") // two lines up: before 'slow' comes the first, since the one with the key was not kept
	s.sees("(1 row)")
	s.sees("weir> ")
	s.types("\\q\r")
	if err := s.program.Wait(); err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(state, "weir", "sql_history")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	want := "select 'one' as said from persons;\nSELECT slow;\nselect 'one' as said from persons;\n\\q\n"
	if text, _ := os.ReadFile(path); string(text) != want {
		t.Errorf("the history is %q, want %q", text, want)
	}
	s = openSession(t, env...)
	s.sees("weir> ")
	s.types("\x1b[A\x1b[A\r")
	s.sees("(1 row)")
	s.sees("weir> ")
	s.types("\x04")
	if err := s.program.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Promise: a session without a history writes none, and ends when it is told to.
func TestSQLWithoutHistory(t *testing.T) {
	server := slowServer(t, nil, nil)
	state := t.TempDir()
	s := openSession(t, "WEIR_URL="+server.URL, "WEIR_KEY=x", "XDG_STATE_HOME="+state, "WEIR_SQL_HISTORY=off")
	s.sees("weir> ")
	s.types("SELECT 1;\r")
	s.sees("(1 row)")
	s.sees("weir> ")
	if err := s.program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.program.Wait(); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(state); len(files) > 0 {
		t.Errorf("there is %v", files)
	}
}

// Promise: what may be written is asked of the server with the key, the environment and the place, and a refusal is an error.
func TestSQLAsksHowItGoesOn(t *testing.T) {
	t.Parallel()
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body)
		if strings.Contains(string(body), "refused") {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"suggestions":[{"text":"event","kind":"column","from":7,"to":9}]}`)
	}))
	defer server.Close()
	s := &sqlServer{keysClient{http: server.Client(), base: server.URL, key: "k"}}
	found, err := s.Complete(t.Context(), "staging", "SELECT ev", 9)
	want := `POST /v1/query/autocomplete Bearer k {"environment":"staging","position":9,"sql":"SELECT ev"}`
	if err != nil || len(found) != 1 || found[0].Text != "event" || found[0].From != 7 || asked != want {
		t.Errorf("%v, %v, asked %s", found, err, asked)
	}
	if _, err := s.Complete(t.Context(), "", "refused", 7); err == nil {
		t.Error("a refusal is taken for an answer")
	}
}
