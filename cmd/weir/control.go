package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
)

// control is the part of the server that is about who may do what: it is all that the command line on a stopped server
// needs.
type control struct {
	store        controlStore
	keys         *keyring.Ring
	ledger       *ledger.Ledger
	gate         *gate.Gate
	organization org.Organization
	project      org.Project
	projects     []access.Project
	created      bool       // the data folder was new
	first        *firstKeys // nil when there were keys already
}

// firstKeys are the keys of a new installation. They are shown once.
type firstKeys struct {
	public access.Text
	secret access.Text
}

// openControl opens the control data, and sets it up when it is new.
func openControl(ctx context.Context, cfg config, w world, log *slog.Logger) (c *control, err error) {
	c = &control{}
	if c.store, err = openStore(ctx, cfg); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = c.store.Close()
		}
	}()
	if c.organization, c.project, c.created, err = org.Setup(ctx, c.store, org.FirstProject(), w.now, newSuffix); err != nil {
		return nil, err
	}
	if c.projects, err = c.store.Projects(ctx); err != nil {
		return nil, err
	}
	if c.keys, err = keyring.Open(ctx, c.store, keyring.Config{Now: w.now, Random: rand.Reader}); err != nil {
		return nil, err
	}
	if c.ledger, err = ledger.New(c.store, ledger.Config{Now: w.now, Log: log, Writer: newID()}); err != nil {
		return nil, err
	}
	c.gate = gate.New(c.keys, c.ledger, w.now, newDecisionID)
	return c, c.firstStart(ctx)
}

// firstStart makes the first keys in a project that has none, by the same door as all others.
func (c *control) firstStart(ctx context.Context) error {
	operator, err := c.operator(ctx, access.ReadKeys)
	if err != nil {
		return err
	}
	list, _, err := c.keys.List(ctx, operator, "", 1)
	if err != nil || len(list) > 0 {
		return err
	}
	if operator, err = c.operator(ctx, access.WriteKeys); err != nil {
		return err
	}
	_, public, err := c.keys.Create(ctx, operator, keyring.New{Kind: access.Public, Mode: access.Live, Label: "first public key"})
	if err != nil {
		return err
	}
	_, secret, err := c.keys.Create(ctx, operator, keyring.New{Kind: access.Secret, Mode: access.Live, Label: "first secret key", Scopes: access.AllScopes})
	c.first = &firstKeys{public, secret}
	return err
}

// operator is a permit for whoever holds the data folder.
func (c *control) operator(ctx context.Context, action access.Action) (gate.Permit, error) {
	key, err := c.keys.Operator(c.project.ID)
	if err != nil {
		return gate.Permit{}, err
	}
	caller, err := c.gate.Identify(ctx, gate.Credential{Key: key, Via: access.InHeader, RequestID: "first-start"}, action)
	if err != nil {
		return gate.Permit{}, err
	}
	return c.gate.Admit(ctx, caller, access.Attempt{})
}

// publicKey is the oldest public key that still works; empty when there is none.
func (c *control) publicKey(ctx context.Context) (string, error) {
	operator, err := c.operator(ctx, access.ReadKeys)
	if err != nil {
		return "", err
	}
	list, _, err := c.keys.List(ctx, operator, "", 200)
	for _, r := range list {
		if r.Kind == access.Public && r.RevokedAt.IsZero() {
			return r.Public, err
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
	err := c.ledger.Flush(ctx)
	return errors.Join(err, c.store.Close())
}

// newSuffix, newID and newDecisionID make names that were never given before.
func newSuffix() string { return rand.Text()[:16] }

func newID() string { return "req_" + rand.Text()[:20] }

func newDecisionID() string { return "dec_" + rand.Text()[:20] }
