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

func appsCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apps",
		Short: "Register, list and revoke apps of third parties, and see and end what they were let in with",
		Long: "Works against a server (--url, with a key from WEIR_KEY that holds keys:read and keys:write) or, without --url, " +
			"on the data folder of a server that is stopped.",
		Args: cobra.NoArgs,
	}
	clientFlags(cmd)
	cmd.AddCommand(registerAppCommand(w), listAppsCommand(w), endCommand(w, "delete", "Revoke an app, and end all that it was let in with", "/v1/apps/"),
		connectedCommand(w), endCommand(w, "disconnect", "End what an app was let in with", "/v1/connected-apps/"))
	return cmd
}

func registerAppCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "Register an app, and print its secret once", Args: cobra.NoArgs}
	name := cmd.Flags().String("name", "", "what people are told that it is called")
	redirects := cmd.Flags().StringArray("redirect", nil, "where people may be sent back to; may be repeated")
	public := cmd.Flags().Bool("public", false, "it can keep no secret: it is on people's devices")
	dpop := cmd.Flags().Bool("dpop", false, "its tokens must be bound to a key (RFC 9449)")
	_, _ = cmd.MarkFlagRequired("name"), cmd.MarkFlagRequired("redirect")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error {
		var made api.App
		body := map[string]any{"name": *name, "redirect_uris": *redirects, "public": *public, "dpop_required": *dpop}
		if err := c.call(ctx, http.MethodPost, "/v1/apps", body, &made); err != nil {
			return err
		}
		if c.asJSON {
			return printJSON(c.w, made)
		}
		if made.Secret == "" {
			_, err := fmt.Fprintln(c.w.out, made.ID)
			return err
		}
		_, err := fmt.Fprintf(c.w.out, "%s\n%s\n\nThe secret is not shown again.\n", made.ID, made.Secret)
		return err
	})
	return cmd
}

func listAppsCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the apps that are registered, oldest first", Args: cobra.NoArgs,
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error {
			return c.page(ctx, "/v1/apps", func(t *tabwriter.Writer, text []byte) (bool, error) {
				var list api.AppList
				if err := json.Unmarshal(text, &list); err != nil {
					return false, err
				}
				_, _ = fmt.Fprintln(t, "ID\tNAME\tMODE\tSTATUS\tREDIRECTS")
				for _, a := range list.Data {
					status := "active"
					if a.RevokedAt != nil {
						status = "revoked"
					}
					_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", a.ID, a.Name, a.Mode, status, strings.Join(a.Redirects, " "))
				}
				return false, nil
			})
		}),
	}
}

func connectedCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "connected", Short: "List what apps were let in with, oldest first", Args: cobra.NoArgs}
	app := cmd.Flags().String("app", "", "only of this app")
	cursor := cmd.Flags().String("cursor", "", "where to go on, from the page before")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error {
		query := url.Values{"limit": {"200"}, "app": {*app}, "cursor": {*cursor}}
		return c.page(ctx, "/v1/connected-apps?"+query.Encode(), func(t *tabwriter.Writer, text []byte) (bool, error) {
			var page api.ConnectedAppPage
			if err := json.Unmarshal(text, &page); err != nil {
				return false, err
			}
			_, _ = fmt.Fprintln(t, "ID\tAPP\tNAME\tSTATUS\tSCOPES\tBY\tSINCE\tLAST USED")
			for _, a := range page.Data {
				used := "never"
				if a.LastUsed != nil {
					used = a.LastUsed.At.Format(time.RFC3339)
				}
				_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.ID, a.AppID, a.Name, a.Status, strings.Join(a.Scopes, " "), a.ApprovedBy, a.Since.Format(time.RFC3339), used)
			}
			return page.NextCursor != nil, nil
		})
	})
	return cmd
}

// endCommand ends a thing of an id for good.
func endCommand(w world, name, short, path string) *cobra.Command {
	return &cobra.Command{
		Use: name + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
			return c.call(ctx, http.MethodDelete, path+url.PathEscape(args[0]), nil, nil)
		}),
	}
}
