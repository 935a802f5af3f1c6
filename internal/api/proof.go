package api

import (
	"crypto/ed25519"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
)

// once is something signed that was shown and is good once. It is used up when it is known whose it is.
type once struct {
	used token.Once
	code problem.Code // of the problem that it is when it was used before
}

// useOnce uses up what was shown, for a client. nil: nothing was used before.
func (rq *request) useOnce(client string) *problem.Error {
	for _, o := range rq.once {
		if err := rq.a.replays.Use(client, o.used, rq.a.cfg.Now()); err != nil {
			return problem.Wrap(err, o.code, "What the request is signed with is not accepted: %s.", err)
		}
	}
	rq.once = nil
	return nil
}

// proof is the thumbprint of the key that the request is proved to come from (RFC 9449 section 4.3). shown is the access
// token in it; empty, where one is asked for.
func (rq *request) proof(shown string) (thumbprint string, err error) {
	issuer, err := rq.a.issuer()
	if err != nil {
		return "", err
	}
	rq.bound = true
	given := rq.r.Header["Dpop"]
	switch {
	case shown != "" && strings.Count(shown, ".") != 2:
		return "", problem.New(problem.MalformedKey, "The scheme DPoP is for access tokens only.").At("header.Authorization", "must use the scheme Bearer")
	case len(given) != 1:
		return "", problem.New(problem.InvalidDPoPProof, "There must be one header DPoP; there are %d.", len(given))
	}
	wanted := token.Wanted{Method: rq.r.Method, URL: issuer.URL() + rq.r.URL.EscapedPath(), Token: shown}
	read, err := token.ReadProof(given[0], wanted, rq.a.cfg.Now())
	if err != nil {
		return "", err
	}
	rq.once = append(rq.once, once{read.Once, problem.InvalidDPoPProof})
	return read.Thumbprint, nil
}

// asserted is the credential of a client that signs in the place of showing its secret (RFC 7523). Nothing in the error
// tells whether there is such a client.
func (rq *request) asserted(c gate.Credential, said saidClient) (gate.Credential, error) {
	issuer, err := rq.a.issuer()
	if err != nil {
		return c, err
	}
	c.Via = access.InBody
	if said.kind != token.AssertionType {
		return c, problem.New(problem.InvalidClient, "client_assertion_type must be %s.", token.AssertionType)
	}
	assertion, err := token.ReadAssertion(said.assertion)
	if err != nil {
		return c, err
	}
	if said.id != "" && said.id != assertion.ClientID {
		return c, problem.New(problem.InvalidClient, "The client_id is not the one in the assertion.")
	}
	client, _ := access.LookupOf(assertion.ClientID)
	var keys []ed25519.PublicKey
	entry, _ := rq.a.cfg.Keys.Lookup(client)
	app := entry.Key != nil && entry.Key.App != "" // which nobody signs for
	if material := rq.a.cfg.Keys.Material(client.ID()); material != nil && !app {
		keys = material.PublicKeys
	}
	used, err := assertion.Verify(keys, issuer.AcceptedFor(rq.a.endpoints(issuer)), rq.a.cfg.Now())
	if err != nil {
		return c, err
	}
	rq.once = append(rq.once, once{used, problem.InvalidClient})
	c.Asserted = client
	return c, nil
}

// tokenChallenge is a challenge for an access token, by the scheme that was used. Where tokens are to be had, it says where
// that is written (RFC 9728 section 5.1).
func (rq *request) tokenChallenge(says string) string {
	scheme, where := "Bearer", ""
	if issuer := rq.a.cfg.Tokens; issuer != nil {
		about := issuer.Resources()[0]
		where = `, resource_metadata="` + token.WellKnown(token.ResourcePath, about) + `"`
		if rq.bound {
			scheme = "DPoP"
			says += `, algs="` + strings.Join(issuer.Resource(about, "", "").ProofAlgorithms, " ") + `"`
		}
	}
	return scheme + ` realm="weir"` + says + where
}
