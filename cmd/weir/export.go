package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/api"
)

// exportFlags are what 'weir export' is told.
type exportFlags struct {
	environment, filter, format, compression, output, id string
	where, columns                                       []string
	spreadsheet                                          bool
	limit                                                int64
}

func exportCommand(w world) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use: "export events|persons|dataset [NAME]", Short: "Take events, persons or a dataset out of a server, as NDJSON, CSV or Parquet", Args: cobra.MaximumNArgs(2),
		Long: "Asks a server (--url, with a key from WEIR_KEY that holds exports:run, and for a dataset datasets:read) for an export, waits until its file is made, and fetches " +
			"that to -o or to standard output. A download that breaks off goes on where it was, and what has come is held against the digest that the server has of the file.\n\n" +
			"An interrupt while the file is made ends the export. An interrupt later leaves what has come in FILE.weir-export, and --id with the export's id and the " +
			"same -o goes on with it, as long as the server keeps the file.",
		Example: "  weir export events -o events.csv.gz --where 'event=Button Clicked' --where 'timestamp>=2026-01-01T00:00:00Z'\n" +
			"  weir export persons --columns person_id,traits > persons.ndjson\n  weir export dataset prices -o prices.parquet --filter \"key = 'AAPL'\"",
	}
	flags := cmd.Flags()
	flags.String("url", "", "address of the server ($WEIR_URL)")
	flags.Bool("json", false, "print the export as JSON when its file is there; with -o")
	flags.StringVar(&f.environment, "environment", "", "the environment; by default the first that the key may use")
	flags.StringArrayVar(&f.where, "where", nil, `a condition on events or persons, such as 'event=Signed Up', 'properties.price>5', 'event in ["a","b"]', 'session_id is null', `+
		"or JSON as in a view; a value is JSON, and text when it is not. May be repeated; all hold")
	flags.StringVar(&f.filter, "filter", "", "conditions on a dataset, as its reading takes them")
	flags.StringSliceVar(&f.columns, "columns", nil, "which columns, in this order; by default all that the key may see")
	flags.StringVar(&f.format, "format", "", "ndjson, csv or parquet; by default what the name of -o says, and else ndjson")
	flags.StringVar(&f.compression, "compression", "", "none, gzip or zstd; by default what the name of -o says, and else none")
	flags.BoolVar(&f.spreadsheet, "spreadsheet", false, "of csv: an apostrophe before text that a spreadsheet would run as a formula")
	flags.Int64Var(&f.limit, "limit", 0, "rows at the most; 0: all")
	flags.StringVarP(&f.output, "output", "o", "", "the file, made for its owner alone; standard output without it")
	flags.StringVar(&f.id, "id", "", "fetch the file of an export that was asked for before, by its id")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body, err := f.body(args)
		if err != nil {
			return err
		}
		to, err := f.target(cmd, w)
		if err != nil {
			return err
		}
		return withServer(w, func(ctx context.Context, c *keysClient, _ []string) error { return c.export(ctx, body, f.id, to) })(cmd, nil)
	}
	return cmd
}

// body is what the server is asked for; nil for an export that is there.
func (f *exportFlags) body(args []string) (map[string]any, error) {
	of := strings.Join(args, " ")
	switch {
	case f.id != "" && of != "":
		return nil, &usageError{"--id names an export that was asked for already: give nothing else to take out"}
	case f.id != "":
		return nil, nil
	case of != "events" && of != "persons" && (len(args) != 2 || args[0] != "dataset"):
		return nil, &usageError{"say what to take out: events, persons, or dataset NAME"}
	case f.limit < 0:
		return nil, &usageError{"--limit must be at least 0"}
	}
	format, compression := nameSays(f.output)
	body := map[string]any{"of": args[0], "format": cmp.Or(f.format, format, "ndjson"), "compression": cmp.Or(f.compression, compression, "none")}
	for name, value := range map[string]string{"environment": f.environment, "filter": f.filter} {
		if value != "" {
			body[name] = value
		}
	}
	if len(args) > 1 {
		body["dataset"] = args[1]
	}
	if len(f.columns) > 0 {
		body["columns"] = f.columns
	}
	if f.limit > 0 {
		body["limit"] = f.limit
	}
	if f.spreadsheet {
		body["spreadsheet"] = true
	}
	if len(f.where) > 0 {
		conditions := make([]any, len(f.where))
		for i, text := range f.where {
			var err error
			if conditions[i], err = readWhere(text); err != nil {
				return nil, err
			}
		}
		body["where"] = conditions
	}
	return body, nil
}

// nameSays is what the name of a file says of how it is written; empty when it says nothing.
func nameSays(name string) (format, compression string) {
	switch filepath.Ext(name) {
	case ".gz":
		compression = "gzip"
	case ".zst":
		compression = "zstd"
	}
	if compression != "" {
		name = strings.TrimSuffix(name, filepath.Ext(name))
	}
	switch filepath.Ext(name) {
	case ".ndjson", ".jsonl", ".json":
		format = "ndjson"
	case ".csv":
		format = "csv"
	case ".parquet", ".pq":
		format = "parquet"
	}
	return format, compression
}

// readWhere reads a condition: JSON, or COLUMN OP VALUE. What the column and the value may be, the server says.
func readWhere(text string) (any, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		if !json.Valid([]byte(text)) {
			return nil, &usageError{"--where " + text + ": is not JSON"}
		}
		return json.RawMessage(text), nil
	}
	// An op of words stands between spaces, so that a column may begin with its letters.
	parts := regexp.MustCompile(`(?s)^\s*([^\s=!<>]+)(?:\s*(!=|<=|>=|=|<|>)|\s+(not in|in|is null|is not null)(?:\s|$))\s*(.*)$`).FindStringSubmatch(text)
	if parts == nil {
		return nil, &usageError{"--where " + text + ": must be a column, one of = != < <= > >= in, not in, is null, is not null, and a value"}
	}
	condition := map[string]any{"column": parts[1], "op": parts[2] + parts[3]}
	value := json.RawMessage(strings.TrimSpace(parts[4]))
	switch parts[3] {
	case "is null", "is not null":
		if len(value) > 0 {
			return nil, &usageError{"--where " + text + ": takes no value"}
		}
	case "in", "not in":
		if !json.Valid(value) || value[0] != '[' {
			return nil, &usageError{"--where " + text + `: takes a list, such as ["a","b"]`}
		}
		condition["values"] = value
	default:
		if condition["value"] = value; !json.Valid(value) {
			condition["value"] = string(value)
		}
	}
	return condition, nil
}

// target is where the file of an export goes.
func (f *exportFlags) target(cmd *cobra.Command, w world) (*exportTarget, error) {
	asJSON, _ := cmd.Flags().GetBool("json")
	if f.output == "" {
		packed := f.format == "parquet" || f.compression != "" && f.compression != "none"
		switch {
		case asJSON:
			return nil, &usageError{"--json goes with -o: without it, the rows go to standard output"}
		case packed && terminal(w.out):
			return nil, &usageError{"this file is not for a terminal: give -o"}
		}
		return &exportTarget{out: w.out}, nil
	}
	if info, err := os.Stat(f.output); err == nil && !info.Mode().IsRegular() {
		return nil, &usageError{f.output + " is not a file; what goes elsewhere goes to standard output"}
	}
	return &exportTarget{path: f.output, goOn: f.id != ""}, nil
}

// The times of an export's client.
const (
	exportPoll     = 250 * time.Millisecond // between two looks at an export that has just begun; longer later
	exportSlowPoll = 2 * time.Second
	exportGrace    = 10 * time.Second // what is still done after an interrupt
)

// export asks for an export unless it is there, waits for its file, and fetches it.
func (c *keysClient) export(ctx context.Context, body map[string]any, id string, to *exportTarget) error {
	if id == "" {
		var err error
		if id, err = c.startExport(ctx, body); err != nil {
			return err
		}
	}
	line := &statusLine{w: c.w, screen: terminal(c.w.err)}
	defer line.end()
	e, err := c.awaitExport(ctx, id, line)
	switch {
	case ctx.Err() != nil && body != nil:
		line.end()
		return c.cancelExport(ctx, id)
	case err != nil && body != nil && e == nil:
		return fmt.Errorf("%w; the export goes on: weir export --id %s", err, id)
	case err != nil:
		return err
	}
	if err = c.fetchExport(ctx, e, to, line); err != nil {
		if ctx.Err() != nil {
			err = errors.New("stopped")
		}
		if to.path != "" && !errors.Is(err, errOtherFile) {
			err = fmt.Errorf("%w; go on with: weir export --id %s -o %s", err, id, to.path)
		}
		return err
	}
	line.end()
	return c.exported(e, to)
}

// exported says what has been taken out.
func (c *keysClient) exported(e *api.Export, to *exportTarget) error {
	switch {
	case to.path == "":
		_, _ = fmt.Fprintf(c.w.err, "%d rows, %d bytes\n", e.Rows, e.Bytes)
		return nil
	case c.asJSON:
		return printJSON(c.w, e)
	}
	_, err := fmt.Fprintf(c.w.out, "%d rows, %d bytes in %s\n", e.Rows, e.Bytes, to.path)
	return err
}

// startExport asks for an export. An interrupt does not break the question off at once: what it began could not be ended then.
func (c *keysClient) startExport(ctx context.Context, body map[string]any) (string, error) {
	asking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(exportGrace, cancel) })
	defer stop()
	var e api.Export
	err := c.call(asking, http.MethodPost, "/v1/exports", body, &e)
	return e.ID, err
}

func exportPath(id string) string { return "/v1/exports/" + url.PathEscape(id) }

// awaitExport waits until an export is over, and gives it if there is a file of it. The export is nil when it could not be
// looked at.
func (c *keysClient) awaitExport(ctx context.Context, id string, line *statusLine) (*api.Export, error) {
	wait := exportPoll
	for r := (retries{}); ; {
		var e api.Export
		err := c.look(ctx, exportPath(id), &e)
		if err != nil {
			if err = r.again(ctx, err, line); err != nil {
				return nil, err
			}
			continue
		}
		r = retries{}
		switch e.Status {
		case "queued", "running":
			line.show(e.ID+" is "+e.Status, fmt.Sprintf("%s is %s: %d rows, %s", e.ID, e.Status, e.Rows, sizeText(e.Bytes)))
		case "succeeded":
			return &e, nil
		case "failed":
			return &e, fmt.Errorf("%s failed: %s (%s)", e.ID, plain(e.Detail), e.Code)
		default:
			return &e, fmt.Errorf("%s is %s: there is no file", e.ID, e.Status)
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
		wait = min(wait*5/4, exportSlowPoll)
	}
}

// cancelExport ends an export that was interrupted.
func (c *keysClient) cancelExport(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportGrace)
	defer cancel()
	if err := c.call(ctx, http.MethodDelete, exportPath(id), nil, nil); err != nil {
		return fmt.Errorf("stopped, but the export %s goes on: %w", id, err)
	}
	return fmt.Errorf("stopped, and the export %s with it", id)
}

// pause waits.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
