package token

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/view"
)

// tokenType is the typ of an access token (RFC 9068 section 2.1).
const tokenType = "at+jwt"

// claims are those of an access token, in the order in which they are written.
type claims struct {
	Issuer   string        `json:"iss"`
	Subject  string        `json:"sub"`
	Audience string        `json:"aud"`
	ClientID string        `json:"client_id"`
	Expires  int64         `json:"exp"`
	Issued   int64         `json:"iat"`
	ID       string        `json:"jti"`
	Scope    string        `json:"scope"`
	Confirm  *confirmation `json:"cnf,omitzero"`
	Weir     narrowing     `json:"weir"`
}

// confirmation is how whoever shows the token proves that it is theirs (RFC 7800, RFC 9449 section 6.1).
type confirmation struct {
	Thumbprint string `json:"jkt"`
}

// narrowing is what of a token is ours alone. What a program does not know is refused, since it may narrow.
type narrowing struct {
	Generation   int       `json:"gen"`
	ClientEpoch  int64     `json:"client_epoch"`
	KeyEpoch     int64     `json:"key_epoch"`
	Embedded     bool      `json:"embedded,omitzero"`
	Environments []string  `json:"environments,omitempty"`
	Networks     []string  `json:"networks,omitempty"`
	Domains      []string  `json:"domains,omitempty"`
	Events       []string  `json:"events,omitempty"`
	Datasets     *datasets `json:"datasets,omitzero"`

	View jsontext.Value `json:"view,omitzero"` // as package view writes it
}

type datasets struct {
	Core    bool           `json:"core,omitzero"`
	Premium bool           `json:"premium,omitzero"`
	Named   []namedDataset `json:"named,omitempty"`
}

type namedDataset struct {
	Name   string   `json:"name"`
	Rights []string `json:"rights"`
}

// write puts bounds into the claims. Only the parts that a token may narrow are written.
func (n *narrowing) write(b *access.Bounds) {
	n.Environments, n.Events = b.Environments, b.Events
	for _, network := range b.Networks {
		n.Networks = append(n.Networks, network.Prefix.String())
	}
	for _, d := range b.Domains {
		n.Domains = append(n.Domains, d.String())
	}
	if b.View != nil {
		n.View = view.Text(b.View)
	}
	if b.Datasets == nil {
		return
	}
	n.Datasets = &datasets{Core: b.Datasets.Core, Premium: b.Datasets.Premium}
	for _, d := range b.Datasets.Named {
		n.Datasets.Named = append(n.Datasets.Named, namedDataset{d.Name, d.Rights.Names()})
	}
}

// read is what write wrote. What it cannot read is an error: it would be a wider token.
func (n *narrowing) read() (access.Bounds, error) {
	b := access.Bounds{Environments: n.Environments, Events: n.Events}
	for _, text := range n.Networks {
		prefix, _, err := access.ParseNetwork(text)
		if err != nil {
			return b, err
		}
		b.Networks = append(b.Networks, access.Network{Prefix: prefix})
	}
	for _, text := range n.Domains {
		d, err := access.ParseDomain(text)
		if err != nil {
			return b, fmt.Errorf("a domain %w", err)
		}
		b.Domains = append(b.Domains, d)
	}
	if n.View != nil {
		var err error
		if b.View, err = view.Read(n.View, "view"); err != nil || b.View == nil {
			return b, errors.Join(errors.New("the view is none"), err)
		}
	}
	if n.Datasets == nil {
		return b, nil
	}
	b.Datasets = &access.Datasets{Core: n.Datasets.Core, Premium: n.Datasets.Premium}
	for _, d := range n.Datasets.Named {
		named := access.NamedDataset{Name: d.Name}
		for _, name := range d.Rights {
			right, err := access.ParseRight(name)
			if err != nil {
				return b, err
			}
			named.Rights |= right
		}
		b.Datasets.Named = append(b.Datasets.Named, named)
	}
	return b, nil
}

// writeClaims writes the claims of a token.
func writeClaims(t *Token, issuer, audience string, issued time.Time) ([]byte, error) {
	id := t.Client.ID()
	c := claims{
		Issuer: issuer, Subject: id, Audience: audience, ClientID: id, Expires: t.Bounds.ExpiresAt.Unix(), Issued: issued.Unix(), ID: t.ID,
		Scope: t.Scopes.String(), Weir: narrowing{Generation: t.Generation, ClientEpoch: t.ClientEpoch, KeyEpoch: t.KeyEpoch, Embedded: t.Embedded},
	}
	if t.Thumbprint != "" {
		c.Confirm = &confirmation{t.Thumbprint}
	}
	c.Weir.write(&t.Bounds)
	return json.Marshal(c)
}

// readClaims reads what writeClaims wrote, and nothing else.
func readClaims(payload []byte) (c claims, t Token, err error) {
	if err := readJSON(payload, &c); err != nil {
		return c, t, err
	}
	client, ok := access.LookupOf(c.ClientID)
	if !ok || c.Subject != c.ClientID || c.ID == "" || c.Expires <= c.Issued || c.Weir.Generation < 1 {
		return c, t, errors.New("a claim is missing or makes no sense")
	}
	t = Token{
		ID: c.ID, Client: client, Generation: c.Weir.Generation, ClientEpoch: c.Weir.ClientEpoch, KeyEpoch: c.Weir.KeyEpoch, Embedded: c.Weir.Embedded,
	}
	for name := range strings.SplitSeq(c.Scope, " ") {
		scope, err := access.ParseScope(name)
		if err != nil {
			return c, t, err
		}
		t.Scopes |= scope
	}
	if c.Confirm != nil {
		if t.Thumbprint = c.Confirm.Thumbprint; !isThumbprint(t.Thumbprint) {
			return c, t, errors.New("cnf has no thumbprint")
		}
	}
	t.Bounds, err = c.Weir.read()
	t.Bounds.ExpiresAt = time.Unix(c.Expires, 0).UTC()
	return c, t, err
}

// isThumbprint reports whether a text is a SHA-256 in base64url.
func isThumbprint(text string) bool {
	sum, err := strict().DecodeString(text)
	return err == nil && len(sum) == 32 && len(text) == 43
}
