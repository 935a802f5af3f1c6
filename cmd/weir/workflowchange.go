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

func showWorkflowCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a workflow, without its secret", Args: cobra.ExactArgs(1)}
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		var one api.Workflow
		if err := c.call(ctx, http.MethodGet, workflowPath(cmd, url.Values{}, args[0]), nil, &one); err != nil {
			return err
		}
		if c.asJSON {
			return printJSON(w, one)
		}
		return printWorkflow(w, &one)
	})
	return cmd
}

// printWorkflow prints all there is of a workflow.
func printWorkflow(w world, one *api.Workflow) error {
	t := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(t, "%s\t%s\n", name, plain(value))
		}
	}
	to, state := workflowState(one)
	row("id", one.ID)
	row("name", one.Name)
	row("environment", one.Environment)
	row("state", state)
	row("does", to)
	row("variables", strings.Join(one.Variables, ", "))
	if one.SecretHint != nil {
		row("secret", "ends in "+*one.SecretHint)
	}
	if one.FormerSecretUntil != nil {
		row("former secret", "signs as well until "+one.FormerSecretUntil.Format(time.RFC3339))
	}
	row("revision", fmt.Sprint(one.Revision))
	row("created", one.CreatedAt.Format(time.RFC3339)+" by "+one.CreatedBy)
	row("updated", one.UpdatedAt.Format(time.RFC3339)+" by "+one.UpdatedBy)
	if err := t.Flush(); err != nil || len(one.Template) == 0 {
		return err
	}
	_, err := fmt.Fprintf(w.out, "\n%s\n", printable(string(one.Template)))
	return err
}

// revisionFlag adds the flag that says which revision a change is meant for. What it returns has the client say so.
func revisionFlag(cmd *cobra.Command) func(*keysClient) {
	revision := cmd.Flags().Int64("revision", 0, "only if the workflow is of this revision, as 'show' tells it")
	return func(c *keysClient) {
		if cmd.Flags().Changed("revision") {
			c.header = http.Header{"If-Match": {fmt.Sprintf(`"%d"`, *revision)}}
		}
	}
}

// changeWorkflow changes a workflow, and prints it.
func changeWorkflow(ctx context.Context, cmd *cobra.Command, c *keysClient, id string, body map[string]any) error {
	var one api.Workflow
	if err := c.call(ctx, http.MethodPatch, workflowPath(cmd, url.Values{}, id), body, &one); err != nil {
		return err
	}
	return printSecret(c.w, c, &one)
}

func updateWorkflowCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "update ID", Short: "Change a workflow; what no flag names stays", Args: cobra.ExactArgs(1)}
	members := map[string]string{"to": "url", "event": "event", "name": "name"}
	cmd.Flags().String("to", "", "address that deliveries are sent to, those that wait too")
	cmd.Flags().String("event", "", "event that is recorded")
	cmd.Flags().String("name", "", "what people call it")
	template := cmd.Flags().String("template", "", "JSON that is sent, with {{name}} for variables; empty: the standard one")
	meant := revisionFlag(cmd)
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		body := map[string]any{}
		for flag, member := range members {
			if f := cmd.Flag(flag); f.Changed {
				body[member] = f.Value.String()
			}
		}
		if cmd.Flag("template").Changed {
			text, err := templateOf(*template)
			if err != nil {
				return err
			}
			body["template"] = text
		}
		if len(body) == 0 {
			return &usageError{"there is nothing to change: give --to, --event, --name or --template"}
		}
		meant(c)
		return changeWorkflow(ctx, cmd, c, args[0], body)
	})
	return cmd
}

// templateOf is a template as the API takes it; of an empty text, null.
func templateOf(text string) (json.RawMessage, error) {
	if text == "" {
		return json.RawMessage("null"), nil
	}
	if !json.Valid([]byte(text)) {
		return nil, &usageError{"--template: is not valid JSON"}
	}
	return json.RawMessage(text), nil
}

// enableWorkflowCommand switches a workflow on or off.
func enableWorkflowCommand(w world, name, short string, on bool) *cobra.Command {
	cmd := &cobra.Command{Use: name + " ID", Short: short, Args: cobra.ExactArgs(1)}
	meant := revisionFlag(cmd)
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		meant(c)
		return changeWorkflow(ctx, cmd, c, args[0], map[string]any{"enabled": on})
	})
	return cmd
}

func deleteWorkflowCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "delete ID", Short: "Delete a workflow with its deliveries; those that wait are not sent", Args: cobra.ExactArgs(1)}
	meant := revisionFlag(cmd)
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		meant(c)
		if err := c.call(ctx, http.MethodDelete, workflowPath(cmd, url.Values{}, args[0]), nil, nil); err != nil || c.asJSON {
			return err
		}
		_, err := fmt.Fprintf(w.out, "%s is deleted.\n", args[0])
		return err
	})
	return cmd
}
