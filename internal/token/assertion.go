package token

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// AssertionType is the client_assertion_type of a JWT (RFC 7523 section 2.2).
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// The bounds of what clients sign.
const (
	maxAssertion = 5 * time.Minute // until an assertion expires, at the most
	skew         = time.Minute     // that a client's clock may be wrong by
	maxID        = 256             // bytes of a jti
	maxAudiences = 8
)

// Assertion is what a client proves with that it is itself (private_key_jwt). Nothing in it is verified until Verify.
type Assertion struct {
	ClientID string // who it says it is from

	signed    compact
	algorithm string
	claims    assertionClaims
}

type assertionClaims struct {
	Issuer    string      `json:"iss"`
	Subject   string      `json:"sub"`
	Audience  audience    `json:"aud"`
	Expires   numericDate `json:"exp"`
	NotBefore numericDate `json:"nbf"`
	Issued    numericDate `json:"iat"`
	ID        string      `json:"jti"`
}

// audience is one text or a list of them.
type audience []string

// UnmarshalJSON reads both.
func (a *audience) UnmarshalJSON(data []byte) error {
	if jsontext.Value(data).Kind() == '"' {
		*a = make([]string, 1)
		return json.Unmarshal(data, &(*a)[0])
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// numericDate is seconds since 1970, perhaps with a fraction. 0: it is not there.
type numericDate float64

// usable reports whether it is a time that others than astronomers need.
func (n numericDate) usable() bool { return n > 0 && n < 1e11 }

func (n numericDate) time() time.Time {
	whole, part := math.Modf(float64(n))
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}

// ReadAssertion reads an assertion, so that its client can be found. The error is a problem of the client.
func ReadAssertion(text string) (*Assertion, error) {
	a := &Assertion{}
	c, h, err := readForeign(text, &a.claims)
	if err != nil {
		return nil, badAssertion(err)
	}
	switch {
	case a.claims.Subject == "" || a.claims.Issuer != a.claims.Subject:
		return nil, badAssertion(errors.New("iss and sub must both be the client's id"))
	case h.Algorithm != string(jose.EdDSA) && h.Algorithm != fullySpecified:
		return nil, badAssertion(errors.New("alg must be EdDSA or Ed25519"))
	}
	a.ClientID, a.signed, a.algorithm = a.claims.Subject, c, h.Algorithm
	return a, nil
}

func badAssertion(err error) error {
	return problem.Wrap(err, problem.InvalidClient, "The client assertion is not accepted: %s.", err)
}

// Verify checks an assertion with the public keys that are registered for its client. audiences are what it may be for: the
// issuer and the address of the token endpoint. What it returns must then be used, once. The error is a problem of the
// client.
func (a *Assertion) Verify(keys []ed25519.PublicKey, audiences []string, now time.Time) (Once, error) {
	if !slices.ContainsFunc(keys, func(key ed25519.PublicKey) bool {
		payload, err := a.signed.verifyForeign(a.algorithm, key)
		return err == nil && string(payload) == string(a.signed.payload)
	}) {
		return Once{}, badAssertion(errors.New("it is not signed with a key that is registered for the client"))
	}
	once, err := a.claims.check(audiences, now)
	if err != nil {
		return Once{}, badAssertion(err)
	}
	return once, nil
}

func (c *assertionClaims) check(audiences []string, now time.Time) (Once, error) {
	switch {
	case len(c.Audience) == 0 || len(c.Audience) > maxAudiences || !slices.ContainsFunc(c.Audience, func(a string) bool { return slices.Contains(audiences, a) }):
		return Once{}, fmt.Errorf("aud must be %s", audiences[0])
	case !c.Expires.usable() || c.Issued != 0 && !c.Issued.usable() || c.NotBefore != 0 && !c.NotBefore.usable():
		return Once{}, errors.New("exp must be a time in seconds since 1970, and so iat and nbf, where there are any")
	case c.ID == "" || len(c.ID) > maxID:
		return Once{}, fmt.Errorf("jti must be there, with at most %d bytes", maxID)
	}
	expires := c.Expires.time()
	once := Once{ID: c.ID, Made: expires.Add(-maxAssertion), Until: expires.Add(skew)}
	switch {
	case !now.Before(once.Until):
		return Once{}, errors.New("it has expired")
	case once.Made.After(now.Add(skew)):
		return Once{}, fmt.Errorf("it expires more than %d seconds from now", int(maxAssertion.Seconds()))
	case c.Issued.time().After(now.Add(skew)) || c.NotBefore.time().After(now.Add(skew)):
		return Once{}, errors.New("it is not valid yet")
	}
	if c.Issued != 0 {
		once.Made = c.Issued.time()
	}
	return once, nil
}
