package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/limit"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
	"github.com/weir-analytics/weir/internal/workflow"
)

// control is the part of the server that is about who may do what: it is all that the command line on a stopped server
// needs.
type control struct {
	store        controlStore
	keys         *keyring.Ring
	tokens       *token.Issuer
	apps         *app.Service
	ledger       *ledger.Ledger
	audit        *audit.Log
	limits       *limit.Limiter
	gate         *gate.Gate
	members      *org.Members
	registry     *org.Registry
	workflows    *workflow.Service
	derive       func(purpose string) ([]byte, error) // secrets of the master key
	organization org.Organization
	project      org.Project
	projects     []access.Project
	created      bool       // the data folder was new
	first        *firstKeys // nil when there were keys already
}

// firstKeys are the keys of a new installation. They are shown once.
type firstKeys struct {
	public   access.Text
	secret   access.Text
	clientID string
	client   access.Text // its secret
}

// openControl opens the control data, and sets it up when it is new.
func openControl(ctx context.Context, cfg config, w world, log *slog.Logger) (c *control, err error) {
	c = &control{}
	if c.store, err = openStore(ctx, cfg); err != nil {
		return nil, err
	}
	opened := c.store
	defer func() {
		if err != nil {
			_ = opened.Close()
		}
	}()
	if c.organization, c.project, c.created, err = org.Setup(ctx, c.store, org.FirstProject(), w.now, newSuffix); err != nil {
		return nil, err
	}
	if c.projects, err = c.store.Projects(ctx); err != nil {
		return nil, err
	}
	sealed, err := openVault(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c.derive = sealed.Derive
	c.keys, err = keyring.Open(ctx, c.store, keyring.Config{
		Now: w.now, NewID: newAuditID, Random: rand.Reader, Vault: sealed, Declared: cfg.Declared, Log: log,
		IgnoreCleartext: cfg.Cleartext == cleartextReject, RevokeInCleartext: cfg.Cleartext == cleartextRevoke,
	})
	if err != nil {
		return nil, err
	}
	issuer := token.Config{Now: w.now, URL: issuerURL(cfg), Vault: sealed, Log: log, Lifetime: cfg.TokenLifetime}
	if c.tokens, err = token.Open(ctx, c.store.Tokens(), issuer); err != nil {
		return nil, err
	}
	c.apps = app.New(app.Config{Store: c.store.Apps(), Flow: c.store.Apps(), Ring: c.keys, Now: w.now, NewID: newAuditID, Resources: c.tokens.Resources(), Log: log})
	if c.ledger, err = ledger.New(c.store, ledger.Config{Now: w.now, Log: log, Writer: newID()}); err != nil {
		return nil, err
	}
	if c.limits, err = limit.Open(ctx, c.store.Counters(), limit.Config{Now: w.now, Log: log, Server: newID()}); err != nil {
		return nil, err
	}
	c.audit = audit.New(c.store, newAuditID)
	c.gate = gate.New(c.keys, c.tokens, c.limits, c.ledger, w.now, newDecisionID)
	c.openPeople(w, log)
	c.openWorkflows(cfg, w, sealed, log)
	return c, c.firstStart(ctx, w)
}

// openPeople opens what is about projects and who works in them.
func (c *control) openPeople(w world, log *slog.Logger) {
	c.registry = org.NewRegistry(org.ProjectsConfig{Store: c.store, Live: c.keys, Now: w.now, NewID: newSuffix, NewAudit: newAuditID, Log: log})
	c.members = org.NewMembers(org.PeopleConfig{
		People: c.store, Invitations: c.store, Sessions: c.store, Keys: c.keys, Projects: c.registry.Of, Now: w.now, NewID: newSuffix, NewAudit: newAuditID, Log: log,
		EndToken: func(ctx context.Context, client access.Lookup, id string, ends time.Time) error {
			return c.tokens.Revoke(ctx, token.Token{Client: client, ID: id, Bounds: access.Bounds{ExpiresAt: ends}})
		},
	})
}

// firstStart makes the first keys in a project that has none, by the same way as all others: through the API.
func (c *control) firstStart(ctx context.Context, w world) error {
	client, err := c.client(ctx, w)
	if err != nil {
		return err
	}
	var page api.KeyPage
	if err := client.call(ctx, http.MethodGet, "/v1/keys?limit=1", nil, &page); err != nil || len(page.Data) > 0 {
		return err
	}
	var public, secret, metricsClient api.Key
	if err := client.call(ctx, http.MethodPost, "/v1/keys", map[string]any{"kind": "public", "label": "first public key"}, &public); err != nil {
		return err
	}
	every := map[string]any{"kind": "secret", "label": "first secret key", "scopes": access.AllScopes.Names()}
	if err := client.call(ctx, http.MethodPost, "/v1/keys", every, &secret); err != nil {
		return err
	}
	metrics := map[string]any{"kind": "client", "parent": secret.ID, "label": "first metrics client", "scopes": access.MetricsRun.Names()}
	if err := client.call(ctx, http.MethodPost, "/v1/keys", metrics, &metricsClient); err != nil {
		return err
	}
	c.first = &firstKeys{access.SecretText(public.Key), access.SecretText(secret.Key), metricsClient.ID, access.SecretText(metricsClient.Key)}
	return nil
}

// client speaks to the API in this process alone, for whoever holds the data folder. Its key is gone with the process.
// Only what is about keys, workflows and the ledger can be asked for.
func (c *control) client(ctx context.Context, w world) (*keysClient, error) {
	operator, err := c.keys.Operator(c.project.ID)
	if err != nil {
		return nil, err
	}
	face, err := api.New(api.Config{
		Gate: c.gate, Keys: c.keys, Tokens: c.tokens, Apps: c.apps, Members: c.members, Projects: c.registry, Workflows: c.workflows, Ledger: c.ledger, Counts: c.limits, Audit: c.audit, Registry: discardMetrics(), Now: w.now, NewID: newID, Log: slog.New(slog.DiscardHandler),
		Version: version, Stopping: ctx,
	})
	if err != nil {
		return nil, err
	}
	return &keysClient{w: w, base: "http://folder", key: operator.Reveal(), http: &http.Client{Transport: inProcess{face}}}, nil
}

// publicKey is the oldest public key that still works; empty when there is none.
func (c *control) publicKey(ctx context.Context, w world) (string, error) {
	client, err := c.client(ctx, w)
	if err != nil {
		return "", err
	}
	keys, err := client.all(ctx, "")
	for _, k := range keys {
		if k.Kind == "public" && k.Status == "active" {
			return k.Key, err
		}
	}
	return "", err
}

func (c *control) ready(ctx context.Context) error {
	if _, err := c.store.Projects(ctx); err != nil {
		return problem.Wrap(err, problem.Unavailable, "control data cannot be read")
	}
	if since := c.ledger.Stats().FailingSince; !since.IsZero() {
		return problem.New(problem.Unavailable, "the ledger cannot be written since %s", since.UTC().Format("2006-01-02T15:04:05Z"))
	}
	return nil
}

func (c *control) close(ctx context.Context) error {
	return errors.Join(c.ledger.Flush(ctx), c.limits.Close(ctx), c.store.Close())
}

// newSuffix makes a name that was never given before.
func newSuffix() string { return rand.Text()[:16] }
