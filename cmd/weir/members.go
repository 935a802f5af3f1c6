package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/api"
)

func membersCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members",
		Short: "Invite people, list them, give them roles and remove them",
		Long: "Works against a server (--url, with a key from WEIR_KEY that holds team:read and team:write) or, without --url, on the data folder of a " +
			"server that is stopped. A role in all projects, and that of an owner, is given by whoever has one, or on the data folder.",
		Args: cobra.NoArgs,
	}
	clientFlags(cmd)
	cmd.AddCommand(inviteCommand(w), listMembersCommand(w), roleCommand(w), removeMemberCommand(w))
	return cmd
}

func inviteCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use: "invite EMAIL", Short: "Invite somebody, and print the token to hand over; no mail is sent", Args: cobra.ExactArgs(1),
	}
	role := cmd.Flags().String("role", "", "owner, admin, developer, analyst, billing or viewer")
	everywhere := cmd.Flags().Bool("everywhere", false, "into all projects of the organization")
	lasts := cmd.Flags().Duration("expires-in", 0, "how long it can be accepted, such as 24h; by default seven days")
	_ = cmd.MarkFlagRequired("role")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		body := map[string]any{"email": args[0], "role": *role, "everywhere": *everywhere}
		if *lasts > 0 {
			body["expires_in"] = int64(lasts.Seconds())
		}
		var made api.Invitation
		if err := c.call(ctx, http.MethodPost, "/v1/invitations", body, &made); err != nil {
			return err
		}
		if c.asJSON {
			return printJSON(w, made)
		}
		_, err := fmt.Fprintf(w.out, "%s is invited as %s until %s. Hand this over; it is not shown again, and nothing was sent:\n\n  %s\n\n"+
			"It is accepted with POST /v1/invitations/accept {\"token\", \"name\", \"password\"}.\n",
			made.Email, made.Role, made.ExpiresAt.Format("2006-01-02 15:04 MST"), made.Token)
		return err
	})
	return cmd
}

func listMembersCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the members of the project", Args: cobra.NoArgs,
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error {
			list := api.MemberPage{Data: []api.Member{}}
			for after := (url.Values{"limit": {"200"}}); ; {
				var page api.MemberPage
				if err := c.call(ctx, http.MethodGet, "/v1/members?"+after.Encode(), nil, &page); err != nil {
					return err
				}
				if list.Data = append(list.Data, page.Data...); page.NextCursor == nil {
					break
				}
				after.Set("cursor", *page.NextCursor)
			}
			if c.asJSON {
				return printJSON(w, list)
			}
			for _, one := range list.Data {
				where := "this project"
				if one.Everywhere {
					where = "all projects"
				}
				if _, err := fmt.Fprintf(w.out, "%s  %-9s  %-12s  %s  %s\n", one.ID, one.Role, where, one.Email, one.Name); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func memberPath(id string) string { return "/v1/members/" + url.PathEscape(id) }

func roleCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "role ID ROLE", Short: "Give a member another role; takes effect at once", Args: cobra.ExactArgs(2)}
	everywhere := cmd.Flags().Bool("everywhere", false, "in all projects of the organization")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		var one api.Member
		err := c.call(ctx, http.MethodPatch, memberPath(args[0]), map[string]any{"role": args[1], "everywhere": *everywhere}, &one)
		if err == nil {
			_, err = fmt.Fprintf(w.out, "%s is %s now.\n", one.Email, one.Role)
		}
		return err
	})
	return cmd
}

func removeMemberCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Remove a member; nothing that the member has is accepted from then on", Args: cobra.ExactArgs(1),
		RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
			return c.call(ctx, http.MethodDelete, memberPath(args[0]), nil, nil)
		}),
	}
}

func projectsCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "projects",
		Short: "Create, list, rename and delete projects",
		Long: "Works against a server (--url, with a key from WEIR_KEY) or, without --url, on the data folder of a server that is stopped. A key sees its own " +
			"project; what is about all of them takes the token of a member of the whole organization, or the data folder.",
		Args: cobra.NoArgs,
	}
	clientFlags(cmd)
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List projects, oldest first", Args: cobra.NoArgs,
			RunE: withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error {
				var list api.ProjectList
				if err := c.call(ctx, http.MethodGet, "/v1/projects", nil, &list); err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(w, list)
				}
				for _, p := range list.Data {
					if _, err := fmt.Fprintf(w.out, "%s  %s  %d environments\n", p.ID, p.Name, len(p.Environments)); err != nil {
						return err
					}
				}
				return nil
			}),
		},
		&cobra.Command{
			Use: "create NAME", Short: "Create a project, and print its id", Args: cobra.ExactArgs(1),
			RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
				return c.project(ctx, w, http.MethodPost, "/v1/projects", args[0])
			}),
		},
		&cobra.Command{
			Use: "rename ID NAME", Short: "Rename a project", Args: cobra.ExactArgs(2),
			RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
				return c.project(ctx, w, http.MethodPatch, "/v1/projects/"+url.PathEscape(args[0]), args[1])
			}),
		},
		&cobra.Command{
			Use: "delete ID NAME", Short: "Delete a project of the id and, to be sure, the name; no key of it is accepted from then on", Args: cobra.ExactArgs(2),
			RunE: withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
				return c.call(ctx, http.MethodDelete, "/v1/projects/"+url.PathEscape(args[0])+"?confirm="+url.QueryEscape(args[1]), nil, nil)
			}),
		})
	return cmd
}

// project makes or renames a project, and prints it.
func (c *keysClient) project(ctx context.Context, w world, method, path, name string) error {
	var p api.ProjectShown
	if err := c.call(ctx, method, path, map[string]any{"name": name}, &p); err != nil {
		return err
	}
	if c.asJSON {
		return printJSON(w, p)
	}
	_, err := fmt.Fprintf(w.out, "%s  %s\n", p.ID, p.Name)
	return err
}
