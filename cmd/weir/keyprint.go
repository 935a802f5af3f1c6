package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/weir-analytics/weir/internal/api"
)

// one does something with one key and prints it.
func (c *keysClient) one(ctx context.Context, method, path string, body any) error {
	var k api.Key
	if err := c.call(ctx, method, path, body, &k); err != nil {
		return err
	}
	if c.asJSON {
		return printJSON(c.w, k)
	}
	if err := printKey(c.w.out, k); err != nil {
		return err
	}
	if k.Key != "" && k.Kind != "public" || k.SigningSecret != "" {
		_, err := fmt.Fprintln(c.w.out, "\nThe secret is not shown again.")
		return err
	}
	return nil
}

// printKey prints what is known of a key, what is usual left out.
func printKey(out io.Writer, k api.Key) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { _, _ = fmt.Fprintf(t, "%s\t%v\n", name, value) }
	list := func(name string, values []string) {
		if len(values) > 0 {
			row(name, strings.Join(values, " "))
		}
	}
	row("id", k.ID)
	row("kind", k.Kind+" "+k.Mode)
	if k.Parent != "" {
		row("parent", k.Parent)
	}
	row("status", k.Status)
	row("label", k.Label)
	row("steward", k.Steward)
	row("scopes", strings.Join(k.Scopes, " "))
	row("environments", orAll(k.Environments))
	for _, n := range k.Networks {
		row("network", strings.TrimSpace(n.CIDR+" "+n.Description))
	}
	list("domains", k.Domains)
	list("events", k.Events)
	if k.Datasets != nil {
		row("datasets", datasetsText(k))
	}
	if text := string(k.View); text != "" && text != "null" {
		row("sees", text)
	}
	if k.Signature {
		row("signature", "demanded")
	}
	list("public keys", k.PublicKeys)
	list("observed only", k.Observe)
	row("limits", limitsText(k))
	if k.CacheMinutes > 0 {
		row("answers kept", fmt.Sprintf("%d minutes", k.CacheMinutes))
	}
	row("created", k.CreatedAt.Format(time.RFC3339)+" by "+k.CreatedBy)
	if k.NotBefore != nil {
		row("works from", k.NotBefore.Format(time.RFC3339))
	}
	row("expires", orNever(k.ExpiresAt))
	row("secret", fmt.Sprintf("number %d, of %s", k.Generation, k.MintedAt.Format(time.RFC3339)))
	for _, f := range k.Former {
		row("still works", fmt.Sprintf("%s…%s, number %d, until %s", f.Prefix, f.LastFour, f.Generation, f.Until.Format(time.RFC3339)))
	}
	if k.ExposedAt != nil {
		row("exposed", fmt.Sprintf("in %s on %s", k.Exposed, k.ExposedAt.Format(time.RFC3339)))
	}
	for _, a := range k.Advice {
		row("advice", a.Detail)
	}
	if k.Key != "" {
		row("key", k.Key)
	} else {
		row("key", k.Prefix+"…"+k.LastFour)
	}
	if k.SigningSecret != "" {
		row("signing secret", k.SigningSecret)
	}
	return t.Flush()
}

func datasetsText(k api.Key) string {
	var parts []string
	if k.Datasets.Core {
		parts = append(parts, "core")
	}
	if k.Datasets.Premium {
		parts = append(parts, "premium")
	}
	for _, d := range k.Datasets.Named {
		parts = append(parts, d.Dataset+":"+strings.Join(d.Rights, "+"))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, " ")
}

func limitsText(k api.Key) string {
	var parts []string
	if k.Limits.Rate.PerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%d/s burst %d", k.Limits.Rate.PerSecond, k.Limits.Rate.Burst))
	}
	if k.Limits.Daily.Most > 0 {
		parts = append(parts, fmt.Sprintf("%d a day", k.Limits.Daily.Most))
	}
	if k.Limits.Credits.Most > 0 {
		parts = append(parts, fmt.Sprintf("%d credits a month", k.Limits.Credits.Most))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// all lists every key, page by page; those of one steward, if given.
func (c *keysClient) all(ctx context.Context, steward string) ([]api.Key, error) {
	var all []api.Key
	for cursor := ""; ; {
		query := url.Values{"limit": {"200"}, "cursor": {cursor}}
		if steward != "" {
			query.Set("steward", steward)
		}
		var page api.KeyPage
		if err := c.call(ctx, http.MethodGet, "/v1/keys?"+query.Encode(), nil, &page); err != nil {
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
func (c *keysClient) list(ctx context.Context, steward string) error {
	all, err := c.all(ctx, steward)
	if err != nil {
		return err
	}
	if c.asJSON {
		return printJSON(c.w, all)
	}
	t := tabwriter.NewWriter(c.w.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tKEY\tSTATUS\tLABEL\tSTEWARD\tSCOPES\tENVIRONMENTS\tEXPIRES\tADVICE")
	for _, k := range all {
		advice := make([]string, len(k.Advice))
		for i, a := range k.Advice {
			advice[i] = a.Code
		}
		_, _ = fmt.Fprintf(t, "%s\t%s…%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Prefix, k.LastFour, k.Status, k.Label, k.Steward,
			strings.Join(k.Scopes, " "), orAll(k.Environments), orNever(k.ExpiresAt), strings.Join(advice, " "))
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
