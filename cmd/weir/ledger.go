package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/api"
)

// listed is a command that prints one page of a list of the API, as a table.
type listed struct {
	use, short string
	path       string
	filters    map[string]string // flags, which are parameters of the API too, and what they are
	table      func(*tabwriter.Writer, []byte) (more bool, err error)
}

func (l listed) command(w world) *cobra.Command {
	cmd := &cobra.Command{Use: l.use, Short: l.short, Args: cobra.NoArgs, Long: l.short + ".\n\nNeeds a key with audit:read in WEIR_KEY, or the data folder of a server that is stopped."}
	clientFlags(cmd)
	for name, help := range l.filters {
		cmd.Flags().String(strings.ReplaceAll(name, "_", "-"), "", help)
	}
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error {
		query := url.Values{}
		for name := range l.filters {
			if value, _ := cmd.Flags().GetString(strings.ReplaceAll(name, "_", "-")); value != "" {
				query.Set(name, value)
			}
		}
		return c.page(ctx, l.path+"?"+query.Encode(), l.table)
	})
	return cmd
}

// page asks for one page of a list and prints it.
func (c *keysClient) page(ctx context.Context, path string, table func(*tabwriter.Writer, []byte) (bool, error)) error {
	var text json.RawMessage
	if err := c.call(ctx, http.MethodGet, path, nil, &text); err != nil {
		return err
	}
	if c.asJSON {
		return printJSON(c.w, text)
	}
	t := tabwriter.NewWriter(c.w.out, 0, 0, 2, ' ', 0)
	more, err := table(t, text)
	if err != nil {
		return err
	}
	if err := t.Flush(); err != nil || !more {
		return err
	}
	return saidMore(c.w)
}

// saidMore tells that a page is not the last.
func saidMore(w world) error {
	_, err := fmt.Fprintln(w.out, "\nThere is more: narrow the list, raise --limit, or go on with --cursor from --json.")
	return err
}

func deniedCommand(w world) *cobra.Command {
	return listed{
		use: "denials", short: "List what was denied, newest first", path: "/v1/denials",
		filters: map[string]string{
			"id": "one decision", "key_id": "only of this key", "reason": "only for this reason", "outcome": "denied, observed or limited", "limit": "how many", "cursor": "where to go on",
		},
		table: func(t *tabwriter.Writer, text []byte) (bool, error) {
			var page api.DenialPage
			if err := json.Unmarshal(text, &page); err != nil {
				return false, err
			}
			_, _ = fmt.Fprintln(t, "AT\tDECISION\tOUTCOME\tREASON\tKEY\tACTION\tENVIRONMENT\tEVENT\tITEMS\tADDRESS")
			for _, d := range page.Data {
				_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%q\t%d\t%s\n", d.At.Format(time.RFC3339), d.ID, d.Outcome, d.Reason, d.KeyID, d.Action, d.Environment, d.Event, d.Count, d.Address)
			}
			return page.NextCursor != nil, nil
		},
	}.command(w)
}

func auditCommand(w world) *cobra.Command {
	return listed{
		use: "audit", short: "List who changed what, newest first", path: "/v1/audit",
		filters: map[string]string{
			"actor": "only by this key, operator or system", "subject": "only about the thing of this id", "action": "only of this action, such as key.update",
			"from": "made at this time or later", "to": "made before this time", "limit": "how many", "cursor": "where to go on",
		},
		table: func(t *tabwriter.Writer, text []byte) (bool, error) {
			var page api.AuditPage
			if err := json.Unmarshal(text, &page); err != nil {
				return false, err
			}
			_, _ = fmt.Fprintln(t, "AT\tACTOR\tADDRESS\tACTION\tSUBJECT")
			for _, e := range page.Data {
				_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", e.At.Format(time.RFC3339), e.Actor, e.Address, e.Action, e.Subject)
			}
			return page.NextCursor != nil, nil
		},
	}.command(w)
}

// clientsCommand lists who uses a key, and with which of its secrets.
func clientsCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "clients ID", Short: "List who uses a key, and which of its secrets", Args: cobra.ExactArgs(1),
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
			return c.page(ctx, keyPath(args[0])+"/clients", func(t *tabwriter.Writer, text []byte) (bool, error) {
				var page api.KeyClientPage
				if err := json.Unmarshal(text, &page); err != nil {
					return false, err
				}
				_, _ = fmt.Fprintln(t, "SECRET\tNETWORK\tCLIENT\tSDK\tFIRST\tLAST\tREQUESTS\tREFUSED")
				for _, k := range page.Data {
					_, _ = fmt.Fprintf(t, "%d\t%s\t%q\t%q\t%s\t%s\t%d\t%d\n", k.Generation, k.Network, k.Client, k.SDK, k.FirstAt.Format(time.RFC3339), k.LastAt.Format(time.RFC3339), k.Requests, k.Refused)
				}
				return page.NextCursor != nil, nil
			})
		}),
	}
}
