package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/api"
)

func metricsCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "Save, list, show, publish, run and delete metrics",
		Long:  "Works against a server (--url), with a key from WEIR_KEY that holds metrics:read, metrics:write or metrics:run.",
		Args:  cobra.NoArgs,
	}
	cmd.PersistentFlags().String("url", "", "address of the server ($WEIR_URL)")
	cmd.PersistentFlags().Bool("json", false, "print JSON")
	cmd.AddCommand(listMetricsCommand(w), showMetricCommand(w), putMetricCommand(w), publishMetricCommand(w), runMetricCommand(w), deleteMetricCommand(w))
	return cmd
}

// withServer opens a client of a server for a command.
func withServer(w world, do func(context.Context, *keysClient, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if set, _ := w.env("WEIR_URL"); cmd.Flag("url").Value.String() == "" && set == "" {
			return &usageError{"give --url, or set WEIR_URL to the address of the server"}
		}
		return withKeys(w, do)(cmd, args)
	}
}

func metricPath(id string) string { return "/v1/metrics/" + url.PathEscape(id) }

func listMetricsCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List metrics, by their ids", Args: cobra.NoArgs}
	limit, after := cmd.Flags().Int("limit", 50, "how many"), cmd.Flags().String("cursor", "", "where to go on")
	cmd.RunE = withServer(w, func(ctx context.Context, c *keysClient, _ []string) error {
		query := url.Values{"limit": {fmt.Sprint(*limit)}}
		if *after != "" {
			query.Set("cursor", *after)
		}
		return c.page(ctx, "/v1/metrics?"+query.Encode(), func(t *tabwriter.Writer, text []byte) (bool, error) {
			var page api.MetricPage
			if err := json.Unmarshal(text, &page); err != nil {
				return false, err
			}
			_, _ = fmt.Fprintln(t, "ID\tPUBLISHED\tLATEST\tOWNER\tUPDATED\tDESCRIPTION")
			for _, m := range page.Data {
				_, _ = fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", m.ID, published(m), m.Latest, plain(m.Owner), m.UpdatedAt.Format(time.RFC3339), plain(m.Description))
			}
			return page.NextCursor != nil, nil
		})
	})
	return cmd
}

func published(m api.Metric) string {
	if m.Published == 0 {
		return "draft"
	}
	return fmt.Sprint(m.Published)
}

func showMetricCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "show NAME", Short: "Show a metric with the SQL that it becomes", Args: cobra.ExactArgs(1)}
	version := cmd.Flags().Int64("version", 0, "which version; by default the published one")
	cmd.RunE = withServer(w, func(ctx context.Context, c *keysClient, args []string) error {
		path := metricPath(args[0])
		if *version != 0 {
			path += fmt.Sprint("?version=", *version)
		}
		return c.metric(ctx, http.MethodGet, path, nil)
	})
	return cmd
}

func putMetricCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use: "put FILE", Short: "Save a metric from a file, or - for standard input", Args: cobra.ExactArgs(1),
		Long: "The file has SQL, when its name ends with .sql, or JSON: a definition, or one in the member 'definition' with what the flags say beside it. " +
			"The metric is called like the file, without its ending, unless --id says otherwise.",
	}
	id := cmd.Flags().String("id", "", "what the metric is called")
	cmd.Flags().String("description", "", "what it means")
	cmd.Flags().String("owner", "", "who answers for it")
	cmd.Flags().String("environment", "", "whose tables it is held against")
	minutes := cmd.Flags().Int("cache-minutes", 5, "how long an answer may be kept: 0, or 5 to 1440")
	draft := cmd.Flags().Bool("draft", false, "save the version without publishing it")
	cmd.RunE = withServer(w, func(ctx context.Context, c *keysClient, args []string) error {
		body, err := metricFile(w, args[0])
		if err != nil {
			return err
		}
		for _, name := range []string{"description", "owner", "environment"} {
			if cmd.Flags().Changed(name) {
				body[name] = cmd.Flag(name).Value.String()
			}
		}
		if cmd.Flags().Changed("cache-minutes") {
			body["cache_minutes"] = *minutes
		}
		if *draft {
			body["draft"] = true
		}
		name := *id
		if name == "" {
			name = strings.TrimSuffix(filepath.Base(args[0]), filepath.Ext(args[0]))
		}
		if name == "-" {
			return &usageError{"give --id for what comes from standard input"}
		}
		return c.metric(ctx, http.MethodPut, metricPath(name), body)
	})
	return cmd
}

// maxMetricFile bounds what is read of a file.
const maxMetricFile = 1 << 20

// metricFile reads what a file says of a metric.
func metricFile(w world, name string) (map[string]any, error) {
	in := w.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxMetricFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxMetricFile {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxMetricFile)
	}
	if filepath.Ext(name) == ".sql" {
		return map[string]any{"definition": map[string]any{"sql": string(text)}}, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if members["definition"] == nil {
		return map[string]any{"definition": json.RawMessage(text)}, nil
	}
	body := map[string]any{}
	for member, value := range members {
		body[member] = value
	}
	return body, nil
}

func publishMetricCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "publish NAME VERSION", Short: "Make a version of a metric the one that is run", Args: cobra.ExactArgs(2)}
	cmd.RunE = withServer(w, func(ctx context.Context, c *keysClient, args []string) error {
		return c.metric(ctx, http.MethodPost, metricPath(args[0])+"/publish", map[string]any{"version": json.Number(args[1])})
	})
	return cmd
}

func deleteMetricCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a metric with all its versions", Args: cobra.ExactArgs(1),
		RunE: withServer(w, func(ctx context.Context, c *keysClient, args []string) error {
			if err := c.call(ctx, http.MethodDelete, metricPath(args[0]), nil, nil); err != nil || c.asJSON {
				return err
			}
			_, err := fmt.Fprintf(c.w.out, "%s is deleted.\n", args[0])
			return err
		}),
	}
}

func runMetricCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use: "run NAME", Short: "Run a metric and print its answer", Args: cobra.ExactArgs(1),
		Long: "A variable's value is JSON, such as 5, true, [\"a\",\"b\"] or \"5\", and text when it is not JSON.",
	}
	given := cmd.Flags().StringArray("var", nil, "a variable, as name=value; may be repeated")
	format := cmd.Flags().String("format", "table", "table, json or csv")
	environment := cmd.Flags().String("environment", "", "the environment to read; by default the first one the key may use")
	version := cmd.Flags().Int64("version", 0, "one that was published once; by default the one that is")
	cmd.RunE = withServer(w, func(ctx context.Context, c *keysClient, args []string) error {
		body, err := runBody(*given)
		if err != nil {
			return err
		}
		if *environment != "" {
			body["environment"] = *environment
		}
		if *version != 0 {
			body["version"] = *version
		}
		path := metricPath(args[0]) + "/query"
		switch {
		case c.asJSON || *format == "json" || *format == "csv":
			if body["format"] = *format; c.asJSON {
				body["format"] = "json"
			}
			return c.pour(ctx, path, body)
		case *format == "table":
			return c.answerTable(ctx, path, body)
		}
		return &usageError{"--format is table, json or csv"}
	})
	return cmd
}

func runBody(given []string) (map[string]any, error) {
	variables := map[string]json.RawMessage{}
	for _, one := range given {
		name, value, ok := strings.Cut(one, "=")
		if !ok || name == "" {
			return nil, &usageError{"--var takes name=value"}
		}
		if _, twice := variables[name]; twice {
			return nil, &usageError{"--var " + name + " is given twice"}
		}
		if variables[name] = json.RawMessage(value); !json.Valid(variables[name]) {
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			variables[name] = text
		}
	}
	return map[string]any{"variables": variables}, nil
}

// pour prints an answer as it comes.
func (c *keysClient) pour(ctx context.Context, path string, body any) error {
	answer, err := c.send(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	_, err = io.Copy(c.w.out, answer.Body)
	return errors.Join(err, answer.Body.Close())
}

// answerTable prints an answer as a table.
func (c *keysClient) answerTable(ctx context.Context, path string, body any) error {
	var answer struct {
		Columns []struct{ Name string }
		Rows    [][]json.RawMessage
	}
	if err := c.call(ctx, http.MethodPost, path, body, &answer); err != nil {
		return err
	}
	t := tabwriter.NewWriter(c.w.out, 0, 0, 2, ' ', 0)
	names := make([]string, len(answer.Columns))
	for i, column := range answer.Columns {
		names[i] = plain(column.Name)
	}
	_, _ = fmt.Fprintln(t, strings.Join(names, "\t"))
	for _, row := range answer.Rows {
		cells := make([]string, len(row))
		for i, value := range row {
			cells[i] = cell(value)
		}
		_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

// cell is a value in a table: a text without its quotes, nothing for null, and the JSON of anything else.
func cell(value json.RawMessage) string {
	var text string
	if string(value) == "null" || json.Unmarshal(value, &text) == nil {
		return plain(text)
	}
	return plain(string(value))
}

// plain is a text on one line and without what a terminal would obey.
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) {
			return ' '
		}
		return c
	}, text)
}

// metric does something with a metric and prints it.
func (c *keysClient) metric(ctx context.Context, method, path string, body any) error {
	var text json.RawMessage
	if err := c.call(ctx, method, path, body, &text); err != nil {
		return err
	}
	if c.asJSON {
		return printJSON(c.w, text)
	}
	var m api.MetricDetail
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	t := tabwriter.NewWriter(c.w.out, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { _, _ = fmt.Fprintf(t, "%s\t%v\n", name, value) }
	row("id", m.ID)
	row("description", plain(m.Description))
	row("owner", plain(m.Owner))
	row("published", published(m.Metric))
	row("version", fmt.Sprintf("%d of %d, of %s by %s", m.Version.Version, m.Latest, m.Version.CreatedAt.Format(time.RFC3339), m.Version.CreatedBy))
	row("cached", fmt.Sprintf("%d minutes", m.Version.CacheMinutes))
	for _, v := range m.Variables {
		about := string(v.Type)
		switch {
		case v.Required:
			about += ", required"
		case v.Default != nil:
			about += ", by default " + string(v.Default)
		}
		row("variable", v.Name+" ("+plain(about)+")")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.w.out, "\n%s\n", printable(m.SQL))
	return err
}

// printable is a text of several lines without what a terminal would obey.
func printable(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n")
}
