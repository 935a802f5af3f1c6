package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
)

func explainCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain", Short: "Say why a request was allowed or denied, or would be", Args: cobra.NoArgs,
		Long: "Explains a decision (--decision), an attempt that the flags describe (--key and --action, or --method and --path), or a curl command that is " +
			"pasted to standard input. Of a pasted command only what the policy needs is sent: of its key the public name, never the secret.\n\n" +
			"Needs a key with audit:read in WEIR_KEY, or the data folder of a server that is stopped.",
		Example: "  weir explain --decision dec_…\n  weir explain --key key_… --action run_sql --environment production --address 203.0.113.9\n  weir explain < command.txt",
	}
	clientFlags(cmd)
	f := cmd.Flags()
	for _, text := range [...][2]string{
		{"decision", "the decision, as a refusal names it"}, {"signature-base", "what a client says it has signed, to be compared"},
		{"key", "the key's public name"}, {"action", "what is done, such as run_sql"}, {"method", "with --path: the request's method"}, {"path", "the request's address"},
		{"environment", "the environment"}, {"address", "where it comes from"}, {"origin", "the page it comes from"}, {"referer", "the same, from the other header"},
		{"via", "where the key stands: header or query"}, {"signed", "unsigned, right or wrong"}, {"at", "when, such as 2027-01-31T12:00:00Z"}, {"secret", "present or replaced"},
	} {
		f.String(text[0], "", text[1])
	}
	f.StringArray("event", nil, "an event's name; may be given more than once")
	f.Bool("browser", false, "it comes from a browser")
	f.Bool("cleartext", false, "it comes over plain HTTP")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body, err := explainBody(cmd, w.in)
		if err != nil {
			return err
		}
		return withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error { return c.explain(ctx, body) })(cmd, args)
	}
	return cmd
}

// explainBody is what the flags say; without any, what a pasted curl command says.
func explainBody(cmd *cobra.Command, in io.Reader) (map[string]any, error) {
	body := map[string]any{}
	for flag, member := range map[string]string{
		"decision": "decision_id", "signature-base": "signature_base", "key": "key_id", "action": "action", "method": "method", "path": "path", "environment": "environment",
		"address": "address", "origin": "origin", "referer": "referer", "via": "via", "signed": "signed", "at": "at", "secret": "secret",
	} {
		if text, _ := cmd.Flags().GetString(flag); text != "" {
			body[member] = text
		}
	}
	for _, flag := range [...]string{"browser", "cleartext"} {
		if set, _ := cmd.Flags().GetBool(flag); set {
			body[flag] = true
		}
	}
	if events, _ := cmd.Flags().GetStringArray("event"); len(events) > 0 {
		body["events"] = events
	}
	if body["decision_id"] != nil || body["key_id"] != nil {
		return body, nil
	}
	text, err := io.ReadAll(io.LimitReader(in, maxCurl+1))
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, &usageError{"say what to explain: --decision, --key, or a curl command on standard input"}
	}
	pasted, err := pastedAttempt(string(text))
	if err != nil {
		return nil, err
	}
	maps.Copy(pasted, body) // a flag says more than the command
	return pasted, nil
}

// pastedAttempt is the attempt that a curl command would make. Of the key it has the public name.
func pastedAttempt(text string) (map[string]any, error) {
	c, err := parseCurl(text)
	if err != nil {
		return nil, err
	}
	key, via, err := c.credential()
	if err != nil {
		return nil, err
	}
	body := map[string]any{"key_id": key.Lookup.ID(), "method": c.method, "path": c.url.Path, "via": via}
	for member, header := range map[string]string{"origin": "Origin", "referer": "Referer"} {
		if value := c.header.Get(header); value != "" {
			body[member] = value
		}
	}
	if c.header.Get("Origin") != "" || c.header.Get("Sec-Fetch-Site") != "" {
		body["browser"] = true
	}
	if c.header.Get("Signature-Input") != "" {
		body["signed"] = "right"
	}
	environment, events := c.touches()
	if environment != "" {
		body["environment"] = environment
	}
	if len(events) > 0 {
		body["events"] = events
	}
	return body, nil
}

// credential finds the key in a pasted command, and where it stands.
func (c curlRequest) credential() (access.Parsed, string, error) {
	_, bearer, _ := strings.Cut(c.header.Get("Authorization"), " ")
	query := c.url.Query()
	for _, place := range [...]struct{ via, text string }{
		{"query", query.Get("apiKey")}, {"query", query.Get("api_key")}, {"query", query.Get("token")}, {"header", c.header.Get("X-API-Key")}, {"header", bearer},
	} {
		if text := strings.TrimSpace(place.text); text != "" {
			parsed, err := access.ParseKey(text)
			if err != nil {
				return parsed, "", fmt.Errorf("the request would be refused before the policy is asked: what it sends as an API key is not one: %w", err)
			}
			return parsed, place.via, nil
		}
	}
	return access.Parsed{}, "", errors.New("the request would be refused before the policy is asked: it carries no API key")
}

// touches finds the environment and the events in a request: in its body, or the environment in its query string.
func (c curlRequest) touches() (environment string, events []string) {
	type item struct {
		Environment string `json:"environment"`
		Event       string `json:"event"`
		Name        string `json:"name"`
	}
	items := make([]item, 1)
	if json.Unmarshal([]byte(c.body), &items) != nil {
		_ = json.Unmarshal([]byte(c.body), &items[0]) // what is no JSON names nothing
	}
	environment = c.url.Query().Get("environment")
	for _, i := range items {
		if environment == "" {
			environment = i.Environment
		}
		if name := i.Event + i.Name; name != "" && !slices.Contains(events, name) && len(events) < maxExplained {
			events = append(events, name)
		}
	}
	return environment, events
}

// maxExplained is how many events one question may be about.
const maxExplained = 100

// explain asks and prints.
func (c *keysClient) explain(ctx context.Context, body map[string]any) error {
	var e api.Explanation
	if err := c.call(ctx, http.MethodPost, "/v1/access/explain", body, &e); err != nil {
		return err
	}
	if c.asJSON {
		return printJSON(c.w, e)
	}
	verdict := "allowed"
	if !e.Allowed {
		verdict = e.Outcome + ": " + e.Reason
	}
	fmt.Fprintf(c.w.out, "%s, %s by %s", verdict, e.Action, e.KeyID)
	if e.Environment != "" {
		fmt.Fprintf(c.w.out, " in %s", e.Environment)
	}
	fmt.Fprintf(c.w.out, ", from %s, at %s\n\n", orNowhere(e.Address), e.At.Format(time.RFC3339))
	if len(e.View) > 0 {
		fmt.Fprintf(c.w.out, "sees %s\n\n", e.View)
	}
	t := tabwriter.NewWriter(c.w.out, 0, 0, 2, ' ', 0)
	for _, v := range e.Rules {
		mark, about := "yes", ""
		switch {
		case v.Observed:
			mark = "observed"
		case v.Reason != "allowed":
			mark = "NO"
		}
		if v.Target != nil {
			about = fmt.Sprintf("item %d", *v.Target)
		}
		if v.KeyID != "" {
			about = strings.TrimSpace(about + " of " + v.KeyID)
		}
		reason := v.Reason
		if reason == "allowed" {
			reason = ""
		}
		_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", mark, v.Rule, about, reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return printRemedies(c.w.out, e)
}

func orNowhere(address string) string {
	if address == "" {
		return "an unknown address"
	}
	return address
}

func printRemedies(out io.Writer, e api.Explanation) error {
	if len(e.Remedies) > 0 {
		fmt.Fprintln(out, "\nIt would be allowed with:")
	}
	for _, r := range e.Remedies {
		fmt.Fprintf(out, "  %s %s of the %s%s\n", r.Do, r.Field, r.Of, prefixed(": ", r.Value))
	}
	if e.Recorded != nil && e.Recorded.Detail != "" {
		fmt.Fprintf(out, "\n%s\n", e.Recorded.Detail)
	}
	if d := e.SignatureDifference; d != nil {
		fmt.Fprintf(out, "\nThe signature bases differ first in line %d:\n  ours    %s\n  theirs  %s\n", d.Line, d.Ours, d.Theirs)
	}
	return nil
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
