package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/api"
)

func keysCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Create, list, show, change and revoke keys",
		Long: "Works against a server (--url, with a key from WEIR_KEY that holds keys:read and keys:write) or, without --url, " +
			"on the data folder of a server that is stopped.",
		Args: cobra.NoArgs,
	}
	flags := cmd.PersistentFlags()
	flags.String("url", "", "address of the server; without it, the data folder is used ($WEIR_URL)")
	flags.Bool("json", false, "print JSON")
	settingFlags(flags, "data", "store")
	cmd.AddCommand(createKeyCommand(w), listKeysCommand(w), showKeyCommand(w), updateKeyCommand(w), revokeKeyCommand(w))
	return cmd
}

func createKeyCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "Create a key and print it", Args: cobra.NoArgs}
	kind := cmd.Flags().String("kind", "", "public or secret")
	mode := cmd.Flags().String("mode", "live", "live or test")
	scopes := cmd.Flags().StringSlice("scopes", nil, "rights it holds, such as events:write,sql:run")
	environments := cmd.Flags().StringSlice("environments", nil, "environments it is restricted to; by default all of its mode")
	label, steward, expires := keyFlags(cmd)
	_ = cmd.MarkFlagRequired("kind")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error {
		body := map[string]any{"kind": *kind, "mode": *mode, "label": *label, "steward": *steward, "scopes": *scopes, "environments": *environments}
		if err := addExpiry(body, *expires, w.now()); err != nil {
			return err
		}
		for name, value := range body {
			if list, ok := value.([]string); ok && list == nil {
				delete(body, name)
			}
		}
		return c.one(ctx, http.MethodPost, "/v1/keys", body)
	})
	return cmd
}

// keyFlags are the flags that creating and changing share.
func keyFlags(cmd *cobra.Command) (label, steward, expires *string) {
	return cmd.Flags().String("label", "", "what the key is for"),
		cmd.Flags().String("steward", "", "who answers for it"),
		cmd.Flags().String("expires", "", "when it stops working: a time such as 2027-01-31T12:00:00Z, a duration such as 720h, or never")
}

func addExpiry(body map[string]any, expires string, now time.Time) error {
	switch {
	case expires == "":
	case expires == "never":
		body["never_expires"] = true
	default:
		if d, err := time.ParseDuration(expires); err == nil {
			body["expires_at"] = now.Add(d).UTC().Format(time.RFC3339)
			return nil
		}
		t, err := time.Parse(time.RFC3339, expires)
		if err != nil {
			return &usageError{fmt.Sprintf("--expires must be a time such as 2027-01-31T12:00:00Z, a duration such as 720h, or never, is %q", expires)}
		}
		body["expires_at"] = t.UTC().Format(time.RFC3339)
	}
	return nil
}

func listKeysCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all keys, oldest first", Args: cobra.NoArgs,
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error { return c.list(ctx) }),
	}
}

func showKeyCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one key; of a public key the whole key", Args: cobra.ExactArgs(1),
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
			return c.one(ctx, http.MethodGet, "/v1/keys/"+url.PathEscape(args[0]), nil)
		}),
	}
}

func updateKeyCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "update ID", Short: "Change a key; takes effect at once", Args: cobra.ExactArgs(1)}
	scopes := cmd.Flags().StringSlice("scopes", nil, "the rights it holds from now on")
	environments := cmd.Flags().StringSlice("environments", nil, "the environments it is restricted to from now on; empty: all of its mode")
	label, steward, expires := keyFlags(cmd)
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		body := map[string]any{}
		for name, value := range map[string]any{"label": *label, "steward": *steward, "scopes": *scopes, "environments": *environments} {
			if cmd.Flags().Changed(name) {
				body[name] = value
			}
		}
		if err := addExpiry(body, *expires, w.now()); err != nil {
			return err
		}
		return c.one(ctx, http.MethodPatch, "/v1/keys/"+url.PathEscape(args[0]), body)
	})
	return cmd
}

func revokeKeyCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke a key; it is refused from then on", Args: cobra.ExactArgs(1),
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
			if err := c.call(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			if c.asJSON {
				return nil
			}
			_, err := fmt.Fprintf(c.w.out, "%s is revoked.\n", args[0])
			return err
		}),
	}
}

// keysClient speaks to the API: of a server, or of this process on the folder of a stopped one.
type keysClient struct {
	w      world
	http   *http.Client
	base   string
	key    string
	asJSON bool
}

// withKeys opens a client for a command, and closes it.
func withKeys(w world, do func(context.Context, *keysClient, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c := &keysClient{w: w}
		c.asJSON, _ = cmd.Flags().GetBool("json")
		c.base, _ = cmd.Flags().GetString("url")
		if c.base == "" {
			c.base, _ = w.env("WEIR_URL")
		}
		if c.base == "" {
			return onFolder(cmd, w, c, func() error { return do(cmd.Context(), c, args) })
		}
		c.base, c.http = strings.TrimSuffix(c.base, "/"), &http.Client{Timeout: 30 * time.Second}
		if c.key, _ = w.env("WEIR_KEY"); c.key == "" {
			return &usageError{"set WEIR_KEY to a secret key that holds keys:read and keys:write"}
		}
		return do(cmd.Context(), c, args)
	}
}

// onFolder serves the API to this process alone, on a data folder that no server uses, with a key that is gone with it.
func onFolder(cmd *cobra.Command, w world, c *keysClient, do func() error) error {
	cfg, err := configOf(cmd, w)
	if err != nil {
		return err
	}
	folder, err := lockFolder(cfg.Data)
	if err != nil {
		return fmt.Errorf("%w (give --url to ask the server)", err)
	}
	defer folder.unlock()
	logs := newLogger(cfg, io.Discard)
	control, err := openControl(cmd.Context(), cfg, w, logs.Logger)
	if err != nil {
		return err
	}
	defer func() { _ = control.close(cmd.Context()) }()
	local, err := control.client(cmd.Context(), w)
	if err != nil {
		return err
	}
	local.asJSON = c.asJSON
	*c = *local
	return do()
}

// inProcess hands requests to a handler without a network.
type inProcess struct{ handler http.Handler }

// RoundTrip serves the request and gathers the answer.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := &gathered{header: http.Header{}, status: http.StatusOK}
	p.handler.ServeHTTP(answer, r)
	return &http.Response{
		StatusCode: answer.status, Header: answer.header, Body: io.NopCloser(&answer.body), Request: r, ContentLength: int64(answer.body.Len()),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

type gathered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (g *gathered) Header() http.Header         { return g.header }
func (g *gathered) WriteHeader(status int)      { g.status = status }
func (g *gathered) Write(b []byte) (int, error) { return g.body.Write(b) }

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// call sends a request, and reads the answer into out unless that is nil. A problem comes back as an error with its
// detail.
func (c *keysClient) call(ctx context.Context, method, path string, body, out any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	if answer.StatusCode >= 400 {
		var p api.Problem
		if json.Unmarshal(text, &p) != nil || p.Code == "" {
			return fmt.Errorf("the server answered %s", answer.Status)
		}
		return fmt.Errorf("%s (%s, request %s)", p.Detail, p.Code, p.RequestID)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// one does something with one key and prints it.
func (c *keysClient) one(ctx context.Context, method, path string, body any) error {
	var k api.Key
	if err := c.call(ctx, method, path, body, &k); err != nil {
		return err
	}
	if c.asJSON {
		return printJSON(c.w, k)
	}
	t := tabwriter.NewWriter(c.w.out, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { _, _ = fmt.Fprintf(t, "%s\t%v\n", name, value) }
	row("id", k.ID)
	row("kind", k.Kind+" "+k.Mode)
	row("status", k.Status)
	row("label", k.Label)
	row("steward", k.Steward)
	row("scopes", strings.Join(k.Scopes, " "))
	row("environments", orAll(k.Environments))
	row("created", k.CreatedAt.Format(time.RFC3339)+" by "+k.CreatedBy)
	row("expires", orNever(k.ExpiresAt))
	if k.Key != "" {
		row("key", k.Key)
	} else {
		row("key", k.Prefix+"…"+k.LastFour)
	}
	if err := t.Flush(); err != nil || k.Key == "" || k.Kind == "public" {
		return err
	}
	_, err := fmt.Fprintln(c.w.out, "\nThe secret key is not shown again.")
	return err
}

// all lists every key, page by page.
func (c *keysClient) all(ctx context.Context) ([]api.Key, error) {
	var all []api.Key
	for cursor := ""; ; {
		var page api.KeyPage
		if err := c.call(ctx, http.MethodGet, "/v1/keys?limit=200&cursor="+url.QueryEscape(cursor), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if page.NextCursor == nil {
			return all, nil
		}
		cursor = *page.NextCursor
	}
}

// list prints every key.
func (c *keysClient) list(ctx context.Context) error {
	all, err := c.all(ctx)
	if err != nil {
		return err
	}
	if c.asJSON {
		return printJSON(c.w, all)
	}
	t := tabwriter.NewWriter(c.w.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tKEY\tSTATUS\tLABEL\tSTEWARD\tSCOPES\tENVIRONMENTS\tEXPIRES")
	for _, k := range all {
		_, _ = fmt.Fprintf(t, "%s\t%s…%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Prefix, k.LastFour, k.Status, k.Label, k.Steward,
			strings.Join(k.Scopes, " "), orAll(k.Environments), orNever(k.ExpiresAt))
	}
	return t.Flush()
}

func orAll(names []string) string {
	if len(names) == 0 {
		return "all of its mode"
	}
	return strings.Join(names, " ")
}

func orNever(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Format(time.RFC3339)
}
