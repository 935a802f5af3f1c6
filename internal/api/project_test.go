package api_test

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/saved"
	"github.com/weir-analytics/weir/internal/signature"
)

// project is a tenant of a test's own: production and staging are live, development is test.
type project struct {
	w  *world
	t  testing.TB
	id string
}

// madeKey is a key and its public name, and its signing secret if it has one.
type madeKey struct {
	text, id string
	signing  signature.Secret
}

func (w *world) project(t testing.TB) *project {
	t.Helper()
	made, err := org.AddProject(t.Context(), w.store, w.organization.ID, org.FirstProject(), w.clock.Now, newSuffix)
	if err != nil {
		t.Fatal(err)
	}
	w.ring.SetProject(made.Project)
	return &project{w: w, t: t, id: made.ID}
}

func newSuffix() string { return rand.Text()[:16] }

// policy sets what the project decides for all its keys.
func (p *project) policy(policy access.Policy) {
	p.t.Helper()
	set := func(now *access.Policy) error {
		*now = policy
		return nil
	}
	if _, err := p.w.ring.SetPolicy(p.t.Context(), p.permit(access.WritePolicy), 0, false, set); err != nil {
		p.t.Fatal(err)
	}
}

// key makes a key by its description, such as "secret live events:read sql:run in staging, expired". The scope "all"
// is every scope there is. "operator" is the key of whoever holds the data folder.
func (p *project) key(description string) madeKey {
	p.t.Helper()
	n, end, err := p.parse(description)
	if err != nil {
		p.t.Fatal(err)
	}
	if n.Kind == access.Operator {
		text, err := p.w.ring.Operator(p.id)
		if err != nil {
			p.t.Fatal(err)
		}
		return p.w.secrets.add(text)
	}
	switch end {
	case "expired":
		n.ExpiresAt = p.w.clock.Now().Add(time.Second)
	case "early":
		n.NotBefore = p.w.clock.Now().Add(30 * 24 * time.Hour)
	}
	made := p.make(n)
	p.end(made, end)
	return made
}

// make makes a key of any shape.
func (p *project) make(n keyring.New) madeKey {
	p.t.Helper()
	record, secrets, err := p.w.ring.Create(p.t.Context(), p.permit(access.WriteKeys), n)
	if err != nil {
		p.t.Fatalf("key %+v: %v", n, err)
	}
	made := p.w.secrets.add(secrets.Key)
	if made.id != record.ID {
		p.t.Fatalf("the key %s was made as %s", made.id, record.ID)
	}
	made.signing = p.w.secrets.addSigning(secrets.Signing)
	return made
}

// client makes a client of a key, with all that the key has.
func (p *project) client(of madeKey) madeKey {
	p.t.Helper()
	parent, _ := p.w.ring.Peek(p.id, of.id)
	return p.make(keyring.New{Kind: access.Client, Parent: parent})
}

// end lets happen to a key what its description says.
func (p *project) end(made madeKey, end string) {
	p.t.Helper()
	var err error
	ctx, permit := p.t.Context(), p.permit(access.WriteKeys)
	switch end {
	case "expired":
		p.w.clock.Advance(2 * time.Second)
	case "revoked":
		_, err = p.w.ring.Revoke(ctx, permit, made.id, 0)
	case "disabled":
		_, err = p.w.ring.Disable(ctx, permit, made.id, 0)
	case "quarantined":
		_, err = p.w.ring.Quarantine(ctx, permit, made.id, 0)
	case "replaced":
		_ = p.rotate(made, 0)
	case "graced":
		_ = p.rotate(made, time.Hour)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// rotate gives a key a new secret.
func (p *project) rotate(made madeKey, overlap time.Duration) madeKey {
	p.t.Helper()
	_, secrets, err := p.w.ring.Rotate(p.t.Context(), p.permit(access.WriteKeys), made.id, overlap, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	next := p.w.secrets.add(secrets.Key)
	next.signing = made.signing
	return next
}

func (p *project) parse(description string) (n keyring.New, end string, err error) {
	main, end, _ := strings.Cut(description, ", ")
	main, environments, _ := strings.Cut(main, " in ")
	words := strings.Fields(main)
	kinds := map[string]access.Kind{"public": access.Public, "secret": access.Secret, "operator": access.Operator}
	n.Kind = kinds[words[0]]
	if n.Kind == access.Operator {
		return n, "", nil
	}
	n.Environments = strings.Fields(environments)
	mode, ok := access.ParseMode(words[1])
	if n.Mode = mode; !ok || n.Kind == 0 {
		return n, "", fmt.Errorf("a key is KIND MODE SCOPE... in ENVIRONMENT..., and perhaps what happened to it; not %q", description)
	}
	for _, word := range words[2:] {
		if word == "all" {
			n.Scopes |= access.AllScopes
			continue
		}
		scope, err := access.ParseScope(word)
		if err != nil {
			return n, "", err
		}
		n.Scopes |= scope
	}
	return n, end, nil
}

// permit is a permit of the project's operator.
func (p *project) permit(action access.Action) gate.Permit {
	p.t.Helper()
	text, err := p.w.ring.Operator(p.id)
	if err != nil {
		p.t.Fatal(err)
	}
	credential := gate.Credential{
		Key: text, RequestID: "req_test", Circumstances: access.Circumstances{Via: access.InHeader, Address: netip.MustParseAddr("127.0.0.1")},
	}
	caller, err := p.w.gate.Identify(p.t.Context(), credential, action)
	if err != nil {
		p.t.Fatal(err)
	}
	permit, err := p.w.gate.Admit(p.t.Context(), caller, access.Attempt{}, gate.Cost{Requests: 1})
	if err != nil {
		p.t.Fatal(err)
	}
	return permit
}

// metric saves a metric, published, and gives its id.
func (p *project) metric(id, definition string) string {
	p.t.Helper()
	questions := query.New(query.Config{Engine: p.w.warehouse, Now: p.w.clock.Now, TempDir: p.w.dir})
	metrics := saved.New(saved.Config{Store: p.w.store, Query: query.Noted{Service: questions, Runs: p.w.runs}, Now: p.w.clock.Now, NewID: newAudit})
	if _, _, err := metrics.Save(p.t.Context(), p.permit(access.WriteMetrics), id, saved.Wanted{Definition: []byte(definition)}); err != nil {
		p.t.Fatal(err)
	}
	return id
}
