package main

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// setupResult is what 'weir init --json' prints.
type setupResult struct {
	Organization   string   `json:"organization"`
	OrganizationID string   `json:"organization_id"`
	Project        string   `json:"project"`
	ProjectID      string   `json:"project_id"`
	Environments   []string `json:"environments"`
	PublicKey      *string  `json:"public_key"`
	SecretKey      *string  `json:"secret_key"` // null when the folder was set up before: a secret key is shown once
	ClientID       *string  `json:"client_id"`  // of the metrics client; null likewise
	ClientSecret   *string  `json:"client_secret"`
	Created        bool     `json:"created"`
}

// initialize sets a data folder up without serving it. On a folder that is set up it changes nothing and says so.
func initialize(ctx context.Context, cfg config, w world, asJSON bool) error {
	folder, err := lockFolder(cfg.Data)
	if err != nil {
		return err
	}
	defer folder.unlock()
	logs := newLogger(cfg, w.err)
	defer logs.Close()
	c, err := openControl(ctx, cfg, w, logs.Logger)
	if err != nil {
		return err
	}
	defer func() { _ = c.close(ctx) }()
	result, err := resultOf(ctx, c, w)
	if err != nil {
		return err
	}
	if c.first == nil {
		_, _ = fmt.Fprintf(w.err, "%s is set up already; nothing was changed.\n", cfg.Data)
	}
	if asJSON {
		return printJSON(w, result)
	}
	if c.first == nil {
		return nil
	}
	_, err = fmt.Fprintf(w.out, "%s is set up.\n\n%s\nStart it with: weir serve --data %s\n", cfg.Data, keysText(c.first), cfg.Data)
	return err
}

func resultOf(ctx context.Context, c *control, w world) (setupResult, error) {
	r := setupResult{
		Organization: c.organization.Name, OrganizationID: c.organization.ID, Project: c.project.Name, ProjectID: c.project.ID, Created: c.first != nil,
	}
	for _, env := range c.project.Environments {
		r.Environments = append(r.Environments, env.Name)
	}
	if c.first != nil {
		public, secret, client := c.first.public.Reveal(), c.first.secret.Reveal(), c.first.client.Reveal()
		r.PublicKey, r.SecretKey, r.ClientID, r.ClientSecret = &public, &secret, &c.first.clientID, &client
		return r, nil
	}
	public, err := c.publicKey(ctx, w)
	if public != "" {
		r.PublicKey = &public
	}
	return r, err
}

// keysText shows the first keys, this once.
func keysText(k *firstKeys) string {
	return fmt.Sprintf("  public key  %s   for apps and pages: may send, may not read\n"+
		"  secret key  %s   for servers: may do everything; it is not shown again\n"+
		"  client      %s with the secret %s\n"+
		"              for back ends: gets tokens of 15 minutes that run metrics; the secret is not shown again\n",
		k.public.Reveal(), k.secret.Reveal(), k.clientID, k.client.Reveal())
}

// welcome says where the server is and what to do next.
func welcome(w world, cfg config, at net.Addr, first *firstKeys) {
	base := "http://" + at.String()
	if cfg.PublicURL != "" {
		base = cfg.PublicURL
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nWeir %s is at %s, its data in %s.\n", version, base, cfg.Data)
	if first == nil {
		fmt.Fprintf(&b, "Documentation: %s/docs\n\n", base)
		_, _ = fmt.Fprint(w.out, b.String())
		return
	}
	fmt.Fprintf(&b, "\nThese keys were made for you:\n\n%s\n", keysText(first))
	fmt.Fprintf(&b, "Send an event:\n\n  curl -sS -X POST '%s/track?sync=true' -H 'X-API-Key: %s' -H 'Content-Type: application/json' \\\n"+
		"    -d '{\"environment\":\"production\",\"event\":\"Button Clicked\",\"distinct_id\":\"u_1\",\"properties\":{\"page\":\"pricing\"}}'\n\n",
		base, first.public.Reveal())
	fmt.Fprintf(&b, "Ask for it:\n\n  curl -sS -X POST '%s/v1/query' -H 'X-API-Key: %s' -H 'Content-Type: application/json' \\\n"+
		"    -d '{\"sql\":\"SELECT event, count(*) AS n FROM events GROUP BY event\"}'\n\n", base, first.secret.Reveal())
	fmt.Fprintf(&b, "Documentation: %s/docs\n\n", base)
	_, _ = fmt.Fprint(w.out, b.String())
}
