package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/api"
)

func keysCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Create, list, show, change, rotate, disable, restore and revoke keys",
		Long: "Works against a server (--url, with a key from WEIR_KEY that holds keys:read and keys:write) or, without --url, " +
			"on the data folder of a server that is stopped.",
		Args: cobra.NoArgs,
	}
	clientFlags(cmd)
	cmd.AddCommand(createKeyCommand(w), listKeysCommand(w), showKeyCommand(w), updateKeyCommand(w), rotateKeyCommand(w),
		keyActionCommand(w, "disable", "Switch a key off; it is refused as if it were unknown, until it is restored"),
		keyActionCommand(w, "quarantine", "Put a key into quarantine; it is known and may do nothing, until it is restored"),
		keyActionCommand(w, "signing-secret", "Make a signing secret for a key and print it; the one before is wrong from then on"),
		restoreKeyCommand(w), revokeKeyCommand(w), clientsCommand(w), handOverCommand(w), hashKeyCommand(w))
	return cmd
}

func createKeyCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "Create a key and print it", Args: cobra.NoArgs}
	cmd.Flags().String("kind", "", "public, secret or client")
	cmd.Flags().String("parent", "", "for a client: the id of the secret key that it comes of")
	cmd.Flags().String("mode", "live", "live or test; a client has its parent's")
	dry := cmd.Flags().Bool("dry-run", false, "say what would be made, and make nothing")
	settings := keyFlags(cmd)
	_ = cmd.MarkFlagRequired("kind")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error {
		body, err := settings.body(w.now())
		if err != nil {
			return err
		}
		body["kind"] = cmd.Flag("kind").Value.String()
		if body["kind"] != "client" || cmd.Flag("mode").Changed {
			body["mode"] = cmd.Flag("mode").Value.String()
		}
		if cmd.Flag("parent").Changed {
			body["parent"] = cmd.Flag("parent").Value.String()
		}
		if *dry {
			body["dry_run"] = true
		}
		return c.one(ctx, http.MethodPost, "/v1/keys", body)
	})
	return cmd
}

func listKeysCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List all keys, oldest first", Args: cobra.NoArgs}
	steward := cmd.Flags().String("steward", "", "only those that this steward answers for")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error { return c.list(ctx, *steward) })
	return cmd
}

func showKeyCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one key; of a public key the whole key", Args: cobra.ExactArgs(1),
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
			return c.one(ctx, http.MethodGet, keyPath(args[0]), nil)
		}),
	}
}

func updateKeyCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "update ID", Short: "Change a key; takes effect at once", Args: cobra.ExactArgs(1)}
	confirm := cmd.Flags().Bool("confirm-lockout", false, "change the key although it locks itself out by that")
	settings := keyFlags(cmd)
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		body, err := settings.body(w.now())
		if err != nil {
			return err
		}
		if *confirm {
			body["confirm_lockout"] = true
		}
		return c.one(ctx, http.MethodPatch, keyPath(args[0]), body)
	})
	return cmd
}

func keyPath(id string) string { return "/v1/keys/" + url.PathEscape(id) }

func rotateKeyCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate ID", Short: "Give a key a new secret and print it", Args: cobra.ExactArgs(1),
		Long: "The id and all settings stay, and so does what was counted. Older secrets work for as long as --expires-in says, by default not at all.",
	}
	overlap := cmd.Flags().Duration("expires-in", 0, "how long older secrets still work, such as 24h")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		return c.one(ctx, http.MethodPost, keyPath(args[0])+"/rotate", map[string]any{"expires_in": int64(overlap.Seconds())})
	})
	return cmd
}

// keyActionCommand does something with a key that takes no settings.
func keyActionCommand(w world, name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
			return c.one(ctx, http.MethodPost, keyPath(args[0])+"/"+name, nil)
		}),
	}
}

func restoreKeyCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore ID", Short: "Switch a disabled or quarantined key on again, with the settings it had or narrower ones", Args: cobra.ExactArgs(1),
	}
	settings := keyFlags(cmd)
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		body, err := settings.body(w.now())
		if err != nil {
			return err
		}
		return c.one(ctx, http.MethodPost, keyPath(args[0])+"/restore", body)
	})
	return cmd
}

func handOverCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "hand-over", Short: "Make another steward answer for all the keys of one", Args: cobra.NoArgs}
	from, to := cmd.Flags().String("from", "", "the steward who leaves"), cmd.Flags().String("to", "", "who answers for the keys from now on")
	_ = cmd.MarkFlagRequired("from")
	_ = cmd.MarkFlagRequired("to")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error {
		count := 0
		for more := true; more; {
			var page api.HandedOver
			if err := c.call(ctx, http.MethodPost, "/v1/keys/hand-over", map[string]any{"from": *from, "to": *to}, &page); err != nil {
				return err
			}
			count, more = count+len(page.Data), page.More
		}
		_, err := fmt.Fprintf(c.w.out, "%s answers for %d keys of %s from now on.\n", *to, count, *from)
		return err
	})
	return cmd
}

func revokeKeyCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke a key; it is refused from then on", Args: cobra.ExactArgs(1),
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
			if err := c.call(ctx, http.MethodDelete, keyPath(args[0]), nil, nil); err != nil {
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

// clientFlags are the flags of a command that speaks to the API, with more settings than every such command has.
func clientFlags(cmd *cobra.Command, more ...string) {
	flags := cmd.PersistentFlags()
	flags.String("url", "", "address of the server; without it, the data folder is used ($WEIR_URL)")
	flags.Bool("json", false, "print JSON")
	settingFlags(flags, append([]string{"data", "store", "master-key-file", "master-key-command"}, more...)...)
}

// keysClient speaks to the API: of a server, or of this process on the folder of a stopped one.
type keysClient struct {
	w      world
	http   *http.Client
	base   string
	key    string
	header http.Header // what requests say besides, if anything
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
			return &usageError{"set WEIR_KEY to a secret key that holds the scopes this needs"}
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
	answer, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// send sends a request. An answer that is a problem comes back as an error with its detail; the body of any other must be
// closed.
func (c *keysClient) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return nil, err
	}
	maps.Copy(r.Header, c.header)
	r.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil || answer.StatusCode < 400 {
		return answer, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	return nil, saidProblem(answer.Status, text)
}

// saidProblem is the error that a server's problem is: its detail, the place in a statement when there is one, and what
// finds it again.
func saidProblem(status string, text []byte) error {
	var p api.Problem
	if json.Unmarshal(text, &p) != nil || p.Code == "" {
		return fmt.Errorf("the server answered %s", status)
	}
	place := ""
	if p.Excerpt != "" {
		place = "\n" + p.Excerpt
	}
	if p.DecisionID != "" {
		return fmt.Errorf("%s (%s, decision %s)%s", p.Detail, p.Code, p.DecisionID, place)
	}
	return fmt.Errorf("%s (%s, request %s)%s", p.Detail, p.Code, p.RequestID, place)
}
