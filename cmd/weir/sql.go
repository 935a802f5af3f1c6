package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/query/complete"
	"github.com/weir-analytics/weir/internal/shell"
	"github.com/weir-analytics/weir/internal/view"
)

// sqlFlags are what 'weir sql' is told.
type sqlFlags struct{ url, command, format, output, environment string }

func sqlCommand(w world) *cobra.Command {
	var f sqlFlags
	cmd := &cobra.Command{
		Use: "sql", Short: "Ask a running server in SQL: on a terminal, from -c, or from standard input", Args: cobra.NoArgs,
		Long: "Asks a running server (--url, with a key from WEIR_KEY that holds sql:run). On a terminal it is a conversation, with history and completion: \\? lists " +
			"its commands. Otherwise it runs -c or standard input to the first statement that fails.\n\n" +
			"The history is kept in $XDG_STATE_HOME/weir/sql_history, or in the file that WEIR_SQL_HISTORY names, or not at all with WEIR_SQL_HISTORY=off. " +
			"What holds a key is not kept.",
		Example: "  weir sql\n  weir sql -c 'SELECT event, count(*) FROM events GROUP BY ALL' --format csv -o events.csv\n  weir sql < report.sql",
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd, w) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "address of the server ($WEIR_URL)")
	flags.StringVarP(&f.command, "command", "c", "", "statements to run")
	flags.StringVar(&f.format, "format", "table", strings.Join(shell.Formats(), ", "))
	flags.StringVarP(&f.output, "output", "o", "", "file for the answers, made for its owner alone; standard output without it")
	flags.StringVar(&f.environment, "environment", "", "the environment; by default the first one that the key may use")
	return cmd
}

func (f *sqlFlags) run(cmd *cobra.Command, w world) error {
	if !slices.Contains(shell.Formats(), f.format) {
		return &usageError{"--format is one of " + strings.Join(shell.Formats(), ", ")}
	}
	server, err := f.server(w)
	if err != nil {
		return err
	}
	onTerminal := terminal(w.in) && terminal(w.out) && f.command == ""
	s := &shell.Shell{
		Server: server, Out: w.out, Err: w.err, Screen: terminal(w.out), Environment: f.environment, Format: f.format, Now: w.now,
		Interruptible: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return signal.NotifyContext(ctx, os.Interrupt)
		},
	}
	if f.output != "" {
		file, err := os.OpenFile(f.output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		s.Out, s.Screen = file, false
	}
	switch {
	case onTerminal && f.output == "":
		return talk(cmd, w, s)
	case f.command != "":
		err = s.Script(cmd.Context(), strings.NewReader(f.command))
	default:
		err = s.Script(cmd.Context(), w.in)
	}
	if errors.Is(err, shell.ErrSaid) {
		return errSaid
	}
	return err
}

// talk is the conversation. An interrupt stops a query and not the program, so the program's own context, which the
// first one ends, is not used.
func talk(cmd *cobra.Command, w world, s *shell.Shell) error {
	ctx, stop := signal.NotifyContext(context.WithoutCancel(cmd.Context()), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	s.Timing = true
	history, entries := openHistory(w)
	editor := shell.OpenTerminal(entries)
	defer func() { _ = editor.Close() }()
	_, _ = fmt.Fprintf(w.out, "Weir %s. \\? for help.\n", version)
	return s.Talk(ctx, editor, history)
}

// openHistory opens the file of the history. Without it, a conversation goes on.
func openHistory(w world) (shell.History, []string) {
	path, set := w.env("WEIR_SQL_HISTORY")
	switch {
	case path == "off":
		return shell.History{}, nil
	case !set || path == "":
		folder, _ := w.env("XDG_STATE_HOME")
		if !filepath.IsAbs(folder) {
			home, err := os.UserHomeDir()
			if err != nil {
				return shell.History{}, nil
			}
			folder = filepath.Join(home, ".local", "state")
		}
		path = filepath.Join(folder, "weir", "sql_history")
	}
	history, entries, err := shell.OpenHistory(path)
	if err != nil {
		_, _ = fmt.Fprintln(w.err, "weir: without history:", err)
	}
	return history, entries
}

// terminal reports whether a command reads from or writes to a terminal.
func terminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// server is the server to ask, by its flag or variable, and the key.
func (f *sqlFlags) server(w world) (*sqlServer, error) {
	fromEnv, _ := w.env("WEIR_URL")
	base := strings.TrimSuffix(cmp.Or(f.url, fromEnv), "/")
	if base == "" {
		return nil, &usageError{"say which running server to ask: --url or WEIR_URL, such as http://127.0.0.1:8787"}
	}
	key, _ := w.env("WEIR_KEY")
	if key == "" {
		return nil, &usageError{"set WEIR_KEY to a secret key that holds sql:run"}
	}
	// An answer is complete before its first byte is sent, so the wait for that is the query's; it has its own ceiling there.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = queryPatience
	return &sqlServer{keysClient{w: w, http: &http.Client{Transport: transport}, base: base, key: key}}, nil
}

// queryPatience is how long a server may take to begin its answer.
const queryPatience = 10 * time.Minute

// sqlServer asks a server over HTTP.
type sqlServer struct{ keysClient }

// Ask sends a statement.
func (s *sqlServer) Ask(ctx context.Context, q shell.Question) (io.ReadCloser, error) {
	body, err := json.Marshal(map[string]string{"sql": q.SQL, "format": q.Format})
	if q.Environment != "" {
		body, err = json.Marshal(map[string]string{"sql": q.SQL, "format": q.Format, "environment": q.Environment})
	}
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/v1/query", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	r.Header.Set("Content-Type", "application/json")
	answer, err := s.http.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }()
	return nil, refusalOf(answer)
}

// refusalOf is what a server says against a question.
func refusalOf(answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	var p api.Problem
	if json.Unmarshal(text, &p) != nil || p.Code == "" {
		return fmt.Errorf("the server answered %s", answer.Status)
	}
	reference := "request " + p.RequestID
	if p.DecisionID != "" {
		reference = "decision " + p.DecisionID
	}
	return &shell.Refusal{Code: p.Code, Detail: p.Detail, Reference: reference}
}

// Complete asks how a statement goes on.
func (s *sqlServer) Complete(ctx context.Context, environment, sql string, position int) ([]complete.Suggestion, error) {
	question := map[string]any{"sql": sql, "position": position}
	if environment != "" {
		question["environment"] = environment
	}
	var found api.QuerySuggestions
	err := s.call(ctx, http.MethodPost, "/v1/query/autocomplete", question, &found)
	return found.Suggestions, err
}

// Tables asks what may be asked about.
func (s *sqlServer) Tables(ctx context.Context, environment string) ([]view.Table, error) {
	path := "/v1/query/schema"
	if environment != "" {
		path += "?environment=" + url.QueryEscape(environment)
	}
	var schema struct {
		Tables []view.Table `json:"tables"`
	}
	err := s.call(ctx, http.MethodGet, path, nil, &schema)
	return schema.Tables, err
}
