package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/api"
)

func rejectedCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rejected",
		Short: "List events that were not accepted, and send them again",
		Long: "Works against a server (--url), with a key from WEIR_KEY that holds rejected:read, or to send again rejected:write, events:write " +
			"and users:write.",
		Args: cobra.NoArgs,
	}
	cmd.PersistentFlags().String("url", "", "address of the server ($WEIR_URL)")
	cmd.PersistentFlags().Bool("json", false, "print JSON")
	cmd.AddCommand(listRejectedCommand(w), replayRejectedCommand(w))
	return cmd
}

// rejectedFilter adds the flags that say which are meant. What it returns tells those that were given.
func rejectedFilter(cmd *cobra.Command, now func() time.Time) func() (map[string]any, error) {
	f := cmd.Flags()
	f.String("environment", "", "where they are listed; by default the first one the key may use")
	f.String("key", "", "those that were sent with this key")
	f.String("code", "", "those that have this problem, such as invalid_field")
	f.String("event", "", "events of this name")
	f.Duration("since", 0, "those that came in this time, such as 24h")
	return func() (map[string]any, error) {
		said := map[string]any{}
		for flag, member := range map[string]string{"environment": "environment", "key": "key_id", "code": "code", "event": "event"} {
			if f.Changed(flag) {
				said[member] = f.Lookup(flag).Value.String()
			}
		}
		if since, _ := f.GetDuration("since"); since < 0 {
			return nil, &usageError{"--since must be a time such as 24h"}
		} else if since > 0 {
			said["from"] = now().Add(-since).UTC().Format(time.RFC3339Nano)
		}
		return said, nil
	}
}

func listRejectedCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List events that were not accepted, the newest first", Args: cobra.NoArgs}
	filter := rejectedFilter(cmd, w.now)
	limit, after := cmd.Flags().Int("limit", 50, "how many, at most 200"), cmd.Flags().String("cursor", "", "where to go on")
	cmd.RunE = withServer(w, func(ctx context.Context, c *keysClient, _ []string) error {
		said, err := filter()
		if err != nil {
			return err
		}
		query := url.Values{"limit": {fmt.Sprint(*limit)}}
		for name, value := range said {
			query.Set(name, fmt.Sprint(value))
		}
		if *after != "" {
			query.Set("cursor", *after)
		}
		return c.page(ctx, "/v1/rejected?"+query.Encode(), func(t *tabwriter.Writer, text []byte) (bool, error) {
			var page api.RejectedEventPage
			if err := json.Unmarshal(text, &page); err != nil {
				return false, err
			}
			_, _ = fmt.Fprintln(t, "ID\tRECEIVED\tKEY\tKIND\tEVENT\tCODE\tDETAIL")
			for _, e := range page.Data {
				_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.ReceivedAt.Format(time.RFC3339), e.KeyID, e.Kind, plain(e.Event), e.Code, plain(e.Detail))
			}
			return page.NextCursor != nil, nil
		})
	})
	return cmd
}

func replayRejectedCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay [ID...]", Short: "Send rejected events again: those named, or those that flags mean",
		Long: "What is accepted is in the list no more. What is not is printed with what is wrong with it, and stays.",
	}
	filter := rejectedFilter(cmd, w.now)
	f := cmd.Flags()
	all := f.Bool("all", false, "all of the environment")
	rename := f.StringToString("rename", nil, "other names for members, such as user=distinct_id")
	patch := f.String("patch", "", `a JSON object that each event is merged with, such as '{"timestamp":null}'`)
	cmd.RunE = withServer(w, func(ctx context.Context, c *keysClient, ids []string) error {
		body, err := filter()
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			body["ids"] = ids
		}
		if *all {
			body["all"] = true
		}
		if len(*rename) > 0 {
			body["rename"] = *rename
		}
		if *patch != "" {
			if !json.Valid([]byte(*patch)) {
				return &usageError{"--patch must be a JSON object"}
			}
			body["patch"] = json.RawMessage(*patch)
		}
		return c.replay(ctx, body)
	})
	return cmd
}

// errStillRejected is the end of a replay of which something failed: it is printed by then.
var errStillRejected = errors.New("some events were not accepted this time either")

// replay sends again what a body means, page by page.
func (c *keysClient) replay(ctx context.Context, body map[string]any) error {
	total := api.RejectedOutcome{Failed: []api.RejectedFailure{}}
	for {
		var out api.RejectedOutcome
		if err := c.call(ctx, http.MethodPost, "/v1/rejected", body, &out); err != nil {
			return err
		}
		total.Accepted += out.Accepted
		total.Failed = append(total.Failed, out.Failed...)
		if out.NextCursor == nil {
			break
		}
		body["cursor"] = *out.NextCursor
	}
	if c.asJSON {
		if err := printJSON(c.w, total); err != nil {
			return err
		}
	} else {
		for _, f := range total.Failed {
			_, _ = fmt.Fprintf(c.w.out, "%s  %s: %s\n", f.ID, f.Code, plain(f.Detail))
		}
		if _, err := fmt.Fprintf(c.w.out, "%d accepted, %d not\n", total.Accepted, len(total.Failed)); err != nil {
			return err
		}
	}
	if len(total.Failed) > 0 {
		return errStillRejected
	}
	return nil
}
