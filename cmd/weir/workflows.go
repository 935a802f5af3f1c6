package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/vault"
	"github.com/weir-analytics/weir/internal/workflow"
	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// openWorkflows opens what is triggered by name. What waits to be sent is sent by the server.
func (c *control) openWorkflows(cfg config, w world, sealed *vault.Vault, log *slog.Logger) {
	c.workflows = workflow.New(workflow.Config{
		Store: c.store.Workflows(), Outbox: c.store.Workflows(), Vault: sealed, Web: outbound.New(outbound.Config{Allow: cfg.WebhookAllow, Now: w.now}),
		Random: rand.Reader, Jitter: mathrand.Float64, Now: w.now, NewID: newAuditID, Log: log, Agent: "Weir/" + version,
		Stands: func(project, environment string) bool {
			p, found := c.keys.Project(project)
			if !found {
				return false
			}
			for _, env := range p.Environments {
				if env.Name == environment {
					return true
				}
			}
			return false
		},
	})
}

// workflowsReady is nil while what waits to be sent can be read.
func workflowsReady(s *workflow.Service) error {
	if err := s.Fault(); err != nil {
		return problem.Wrap(err, problem.Unavailable, "deliveries cannot be sent")
	}
	return nil
}

func workflowFigures(s *workflow.Service) figures {
	f := s.Stats()
	return figures{
		"workflow_triggers_total": float64(f.Triggered), "workflow_replays_total": float64(f.Replayed), "workflow_attempts_total": float64(f.Attempts),
		"workflow_delivered_total": float64(f.Delivered), "workflow_failed_total": float64(f.Failed), "workflow_refused_total": float64(f.Refused),
		"workflow_disabled_total": float64(f.Disabled), "workflow_attempts_running": float64(f.Flying), "workflow_targets_resting": float64(f.Resting),
	}
}

func workflowsCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "workflows",
		Short: "Create, list, show, change, delete and trigger workflows, and see and replay their deliveries",
		Long: "Works against a server (--url, with a key from WEIR_KEY that holds workflows:read, workflows:write or workflows:run) or, without --url, on the data " +
			"folder of a server that is stopped: what is triggered there is sent when the server runs.",
		Args: cobra.NoArgs,
	}
	clientFlags(cmd, "webhook-allow")
	cmd.PersistentFlags().String("environment", "", "the environment; by default the first that the key may use")
	cmd.AddCommand(listWorkflowsCommand(w), showWorkflowCommand(w), createWorkflowCommand(w), updateWorkflowCommand(w),
		enableWorkflowCommand(w, "enable", "Switch a workflow on; what waits is sent", true),
		enableWorkflowCommand(w, "disable", "Switch a workflow off; what waits keeps waiting, and nothing new is taken", false),
		deleteWorkflowCommand(w), rotateWorkflowCommand(w), triggerCommand(w), deliveriesCommand(w), replayCommand(w))
	return cmd
}

// workflowPath is an address below /v1/workflows, with the environment that the command names.
func workflowPath(cmd *cobra.Command, query url.Values, parts ...string) string {
	escaped := []string{"/v1/workflows"}
	for _, part := range parts {
		escaped = append(escaped, url.PathEscape(part))
	}
	path := strings.Join(escaped, "/")
	if environment, _ := cmd.Flags().GetString("environment"); environment != "" {
		query.Set("environment", environment)
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

func listWorkflowsCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the workflows of an environment", Args: cobra.NoArgs}
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, _ []string) error {
		all := api.WorkflowPage{Data: []api.Workflow{}}
		query := url.Values{"limit": {"200"}}
		for {
			var page api.WorkflowPage
			if err := c.call(ctx, http.MethodGet, workflowPath(cmd, query), nil, &page); err != nil {
				return err
			}
			all.Data = append(all.Data, page.Data...)
			if page.NextCursor == nil {
				break
			}
			query.Set("cursor", *page.NextCursor)
		}
		if c.asJSON {
			return printJSON(w, all)
		}
		for i := range all.Data {
			if _, err := fmt.Fprintln(w.out, workflowLine(&all.Data[i])); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

func workflowLine(one *api.Workflow) string {
	to, state := workflowState(one)
	return plain(fmt.Sprintf("%s  %s  %s  %s", one.ID, state, to, one.Name))
}

// workflowState is what a workflow does, and whether it is enabled.
func workflowState(one *api.Workflow) (to, state string) {
	switch {
	case one.URL != nil:
		to = "sends to " + *one.URL
	case one.Event != nil:
		to = "records " + *one.Event
	}
	state = "enabled"
	if !one.Enabled {
		state = "disabled"
	}
	if one.DisabledBecause != nil {
		state += ": " + *one.DisabledBecause
	}
	return to, state
}

func createWorkflowCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "create [ID]", Short: "Create a workflow, and print the secret that its deliveries are signed with", Args: cobra.MaximumNArgs(1)}
	flags := cmd.Flags()
	address := flags.String("to", "", "address that deliveries are sent to; this or --event")
	event := flags.String("event", "", "event that is recorded")
	name := flags.String("name", "", "what people call it")
	template := flags.String("template", "", "JSON that is sent, with {{name}} for variables")
	disabled := flags.Bool("disabled", false, "leave it switched off for now")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		body := map[string]any{"name": *name, "url": *address, "event": *event}
		if len(args) > 0 {
			body["id"] = args[0]
		}
		if environment, _ := cmd.Flags().GetString("environment"); environment != "" {
			body["environment"] = environment
		}
		if *template != "" {
			text, err := templateOf(*template)
			if err != nil {
				return err
			}
			body["template"] = text
		}
		if *disabled {
			body["enabled"] = false
		}
		var made api.Workflow
		if err := c.call(ctx, http.MethodPost, "/v1/workflows", body, &made); err != nil {
			return err
		}
		return printSecret(w, c, &made)
	})
	return cmd
}

// printSecret prints a workflow with its secret, if it has one.
func printSecret(w world, c *keysClient, one *api.Workflow) error {
	if c.asJSON {
		return printJSON(w, one)
	}
	text := workflowLine(one) + "\n"
	if one.Secret != "" {
		text += "Its deliveries are signed with this secret, which is not shown again:\n\n  " + one.Secret + "\n"
	}
	if one.FormerSecretUntil != nil {
		text += "\nThe one before signs as well until " + one.FormerSecretUntil.Format("2006-01-02 15:04 MST") + ".\n"
	}
	_, err := fmt.Fprint(w.out, text)
	return err
}

func rotateWorkflowCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "rotate ID", Short: "Give a workflow another secret, and print it", Args: cobra.ExactArgs(1)}
	overlap := cmd.Flags().Duration("overlap", workflow.UsualOverlap, "how long deliveries are signed with the secret before as well")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		var one api.Workflow
		body := map[string]any{"overlap": int64(overlap.Seconds())}
		if err := c.call(ctx, http.MethodPost, workflowPath(cmd, url.Values{}, args[0], "secret"), body, &one); err != nil {
			return err
		}
		return printSecret(w, c, &one)
	})
	return cmd
}

func triggerCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use: "trigger ID [NAME=VALUE]...", Short: "Trigger a workflow, and print its delivery's id", Args: cobra.MinimumNArgs(1),
		Long: "A value that is JSON is taken as JSON, and any other as a text.",
	}
	user := cmd.Flags().String("user", "", "whom it is about")
	once := cmd.Flags().String("idempotency-key", "", "the same trigger sent again with the same key is one")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		variables := map[string]json.RawMessage{}
		for _, pair := range args[1:] {
			name, value, ok := strings.Cut(pair, "=")
			if !ok {
				return &usageError{fmt.Sprintf("%q is no NAME=VALUE", pair)}
			}
			variables[name] = json.RawMessage(value)
			if !json.Valid([]byte(value)) {
				text, err := json.Marshal(value)
				if err != nil {
					return err
				}
				variables[name] = text
			}
		}
		if *once != "" {
			c.header = http.Header{"Idempotency-Key": {*once}}
		}
		var d api.WorkflowDelivery
		body := map[string]any{"variables": variables, "user_id": *user}
		if err := c.call(ctx, http.MethodPost, workflowPath(cmd, url.Values{}, args[0], "trigger"), body, &d); err != nil {
			return err
		}
		return printDelivery(w, c, &d)
	})
	return cmd
}

func printDelivery(w world, c *keysClient, d *api.WorkflowDelivery) error {
	if c.asJSON {
		return printJSON(w, d)
	}
	_, err := fmt.Fprintln(w.out, deliveryLine(d))
	return err
}

func deliveryLine(d *api.WorkflowDelivery) string {
	answer := "no answer"
	if d.AnswerStatus != nil {
		answer = fmt.Sprintf("answer %d", *d.AnswerStatus)
	}
	if d.Fault != nil {
		answer += " (" + *d.Fault + ")"
	}
	text := fmt.Sprintf("%s  %s  %-9s  %d attempts  %s", d.ID, d.CreatedAt.Format(time.RFC3339), d.Status, d.Attempts, answer)
	if d.NextAttemptAt != nil {
		text += "  next " + d.NextAttemptAt.Format(time.RFC3339)
	}
	return text
}

func deliveriesCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "deliveries ID", Short: "List deliveries of a workflow, the latest first", Args: cobra.ExactArgs(1)}
	status := cmd.Flags().String("status", "", "only those that are pending, delivered or failed")
	limit := cmd.Flags().Int("limit", 50, "how many at the most, up to 200")
	after := cmd.Flags().String("cursor", "", "where to go on, from the page before")
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		query := url.Values{"limit": {fmt.Sprint(*limit)}}
		if *status != "" {
			query.Set("status", *status)
		}
		if *after != "" {
			query.Set("cursor", *after)
		}
		var page api.WorkflowDeliveries
		if err := c.call(ctx, http.MethodGet, workflowPath(cmd, query, args[0], "deliveries"), nil, &page); err != nil {
			return err
		}
		if c.asJSON {
			return printJSON(w, page)
		}
		for i := range page.Data {
			if _, err := fmt.Fprintln(w.out, deliveryLine(&page.Data[i])); err != nil {
				return err
			}
		}
		if page.NextCursor != nil {
			return saidMore(w)
		}
		return nil
	})
	return cmd
}

func replayCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "replay ID DELIVERY", Short: "Send a delivery that has ended once more", Args: cobra.ExactArgs(2)}
	cmd.RunE = withKeys(w, func(ctx context.Context, c *keysClient, args []string) error {
		var d api.WorkflowDelivery
		if err := c.call(ctx, http.MethodPost, workflowPath(cmd, url.Values{}, args[0], "deliveries", args[1], "replay"), nil, &d); err != nil {
			return err
		}
		return printDelivery(w, c, &d)
	})
	return cmd
}
