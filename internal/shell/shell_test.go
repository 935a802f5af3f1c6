package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/view"
)

const oneRow = `{"columns":[{"name":"n","type":"BIGINT"}],"rows":[[1]],"row_count":1,"elapsed_ms":2}`

// newShell is a shell on a server that knows SELECT 1, its answers, and what it complains of.
func newShell(format string) (s *Shell, server *fakeServer, out, complaints *bytes.Buffer) {
	server, out, complaints = &fakeServer{answers: map[string]string{"SELECT 1": oneRow}}, new(bytes.Buffer), new(bytes.Buffer)
	return &Shell{
		Server: server, Out: out, Err: complaints, Format: format, Now: func() time.Time { return time.Time{} },
		Interruptible: context.WithCancel,
	}, server, out, complaints
}

// Promise: a script runs to its first fault, with commands between its statements.
func TestScript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "out.json")
	for _, c := range []struct {
		format, script, out, complaints string
		fails                           bool
	}{
		{"table", "SELECT 1;", " n \n───\n 1 \n(1 row)\n", "", false},
		{"table", "-- a\nSELECT\n1", "", "error: line 1, column 1: no (invalid_sql, request req_1)\nline 1: -- a\n        ^\n", true},
		{"json", "SELECT 1; SELECT 2; SELECT 1;", oneRow, "error: line 1, column 1: no (invalid_sql, request req_1)\nline 1: SELECT 2\n        ^\n", true},
		{"json", "\\q\nSELECT 1;", "", "", false},
		{"json", "\\timing\nSELECT 1;\\q\n", oneRow, "Timing is on.\nTime: 0.0 ms\n", true},
		{"json", "\\o " + file + "\nSELECT 1;\n\\o\n\\format\n", "json\n", "", false},
		{"json", "\\format parquet\n", "", "error: the formats here are table, json, ndjson, csv\n", true},
		{"json", "\\x\x1b\n", "", "error: there is no command \\x\\u001b; \\? lists them\n", true},
		{"json", "\\env a\x1b\n", "", "error: that is not a name of an environment\n", true},
		{"json", "\\d nothing\n", "", "The server does not list its tables; these are those of every server.\nerror: there is no table nothing\n", true},
		{"json", "\\o " + dir + "\n", "", "error: open " + dir + ": is a directory\n", true},
		{"parquet", "SELECT 1; SELECT 1", oneRow, "error: parquet takes one statement: a file has one answer\n", true},
		{"json", strings.Repeat("x", MaxStatement+1), "", "error: the statement is longer than 1048576 bytes\n", true},
	} {
		s, _, out, complaints := newShell(c.format)
		err := s.Script(t.Context(), strings.NewReader(c.script))
		if out.String() != c.out || !strings.HasPrefix(complaints.String(), c.complaints) || errors.Is(err, ErrSaid) != c.fails {
			t.Errorf("%.80q: %v\n%s\n%s", c.script, err, out, complaints)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != oneRow {
		t.Errorf("the file has %q (%v)", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v (%v)", info.Mode(), err)
	}
}

// Promise: on a terminal, an answer in any format is harmless, and parquet is refused before it is asked for.
func TestScreenIsHarmless(t *testing.T) {
	t.Parallel()
	for _, format := range Formats() {
		s, server, out, _ := newShell(format)
		s.Screen = true
		server.answers["SELECT 1"] = "{\"columns\":[{\"name\":\"n\x1b\",\"type\":\"VARCHAR\"}],\"rows\":[[\"\u009b2J\"]],\"row_count\":1}\x1b]0;t\a"
		_ = s.Script(t.Context(), strings.NewReader("SELECT 1"))
		if strings.ContainsFunc(strings.ReplaceAll(out.String(), "\n", ""), acts) || format == formatParquet && len(server.asked) > 0 {
			t.Errorf("%s: %q", format, out)
		}
	}
}

// Promise: an answer that is cut short, or is none, is an error and not a table.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "[]", oneRow[:60], `{"columns":[{"name":"n"}],"rows":[[]]}`, `{"columns":[],"rows":[[1]]}`, `{"columns":1}`, `{"rows":1}`, `{"columns":[],"rows":[{}]}`, `{"columns":[{"name":"n"}],"rows":[[1,2]]}`} {
		if a, err := readAnswer(strings.NewReader(text)); err == nil {
			t.Errorf("%q is %v", text, a)
		}
	}
	many := `{"columns":[{"name":"n","type":"BIGINT"}],"rows":[` + strings.Repeat("[1],", maxTableRows) + `[2]],"row_count":10001,"more":{}}`
	if a, err := readAnswer(strings.NewReader(many)); err != nil || a.footer() != "(10001 rows; the first 10000 are shown)\n" {
		t.Errorf("%s (%v)", a.footer(), err)
	}
}

// person types lines.
type person struct {
	lines   []string
	prompts []string
	kept    []string
	offers  func(string, int) (string, []string, string)
}

func (p *person) Prompt(prompt string) (string, error) {
	p.prompts = append(p.prompts, prompt)
	if len(p.lines) == 0 {
		return "", io.EOF
	}
	line := p.lines[0]
	p.lines = p.lines[1:]
	if line == "^C" {
		return "", ErrAborted
	}
	p.offers(line, len(line))
	return line, nil
}

func (p *person) Remember(entry string) { p.kept = append(p.kept, entry) }

func (p *person) Complete(offers func(string, int) (string, []string, string)) { p.offers = offers }

// Promise: a talk goes on after a fault and after Ctrl-C, says by its prompt what is open and where it asks, asks for
// the tables once in each environment, and keeps what was typed.
func TestTalk(t *testing.T) {
	t.Parallel()
	s, server, out, complaints := newShell("table")
	server.tables = []view.Table{}
	path := filepath.Join(t.TempDir(), "sql_history")
	history, _, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{lines: []string{"SELECT 1;", "wrong;", "SELECT 'a", "^C", "SELECT", "/* ", "*/ 1", ";", `\env staging`, "SELECT $t$", "^C", "  ", `\nothing`, `\d`, `\?`, "SELECT 1; SELECT $$"}}
	if err := s.Talk(t.Context(), p, history); err != nil {
		t.Fatal(err)
	}
	prompts := "weir> |weir> |weir> |  ..' |weir> |  ..> |  ..* |  ..> |weir> |staging> |     ..$ |staging> |staging> |staging> |staging> |staging> |     ..$ "
	if got := strings.Join(p.prompts, "|"); got != prompts {
		t.Errorf("%q\nwant %q", got, prompts)
	}
	want := "SELECT 1;|wrong;|SELECT|/* |*/ 1|;|\\env staging|\\nothing|\\d|\\?"
	if got := strings.Join(p.kept, "|"); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	if text, _ := os.ReadFile(path); strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "|") != want {
		t.Errorf("the file has %q", text)
	}
	if last := server.asked[len(server.asked)-1]; server.listed != 2 || last.Environment != "staging" || strings.Count(out.String(), "(1 row)") != 2 {
		t.Errorf("listed %d times, %v\n%s\n%s", server.listed, last, out, complaints)
	}
}

// Promise: an interrupt stops the query that runs and says so.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	s, _, out, complaints := newShell("table")
	s.Interruptible = func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, cancel
	}
	if err := s.Script(t.Context(), strings.NewReader("SELECT 1")); !errors.Is(err, ErrSaid) || complaints.String() != "The query was stopped.\n" || out.Len() > 0 {
		t.Errorf("%v\n%s", err, complaints)
	}
}

// Promise: a talk ends when the program is told to, although nobody types.
func TestTalkEnds(t *testing.T) {
	t.Parallel()
	s, _, _, _ := newShell("table")
	ctx, cancel := context.WithCancel(t.Context())
	reading := make(chan struct{})
	go func() { <-reading; cancel() }()
	if err := s.Talk(ctx, silence(reading), History{}); err != nil {
		t.Error(err)
	}
}

// silence is a person who types nothing; it is closed when they are asked to.
type silence chan struct{}

func (s silence) Prompt(string) (string, error) { close(s); select {} }

func (silence) Remember(string) {}

func (silence) Complete(func(string, int) (string, []string, string)) {}
