package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

const (
	proofType = "dpop+jwt"
	proofAge  = time.Minute // that a proof may be old, besides what clocks differ by
)

// Proof is proof that whoever sent a request has a private key (DPoP, RFC 9449).
type Proof struct {
	Thumbprint string // of the key (RFC 7638)
	Once       Once   // to be used when everything else is right, for the client that shows it
}

// Wanted is what a proof must be for.
type Wanted struct {
	Method string
	URL    string // as the client sees it; its query counts for nothing
	Token  string // the access token that the request carries; empty, where a token is asked for
}

type proofClaims struct {
	Method    string      `json:"htm"`
	URL       string      `json:"htu"`
	Issued    numericDate `json:"iat"`
	ID        string      `json:"jti"`
	TokenHash string      `json:"ath"`
}

// ReadProof checks the header DPoP of a request, of which there must be one. It does not know the token's own key: whoever
// asks compares the thumbprint. The error is a problem of the client.
func ReadProof(text string, want Wanted, now time.Time) (Proof, error) {
	p, err := readProof(text, want, now)
	if err != nil {
		return Proof{}, problem.Wrap(err, problem.InvalidDPoPProof, "The DPoP proof is not accepted: %s.", err)
	}
	return p, nil
}

func readProof(text string, want Wanted, now time.Time) (Proof, error) {
	var said proofClaims
	c, h, err := readForeign(text, &said)
	if err != nil {
		return Proof{}, err
	}
	if h.Type != proofType {
		return Proof{}, errors.New("typ must be " + proofType)
	}
	key, err := proofKey(h)
	if err != nil {
		return Proof{}, err
	}
	payload, err := c.verifyForeign(h.Algorithm, key)
	if err != nil || !bytes.Equal(payload, c.payload) {
		return Proof{}, errors.New("it is not signed with the key in its jwk")
	}
	once, err := said.check(want, now)
	if err != nil {
		return Proof{}, err
	}
	of, err := thumbprint(key)
	return Proof{of, once}, err
}

// proofKey is the public key that a proof brings along, of the kind that its algorithm takes.
func proofKey(h foreignHeader) (any, error) {
	var members struct {
		Private jsontext.Value `json:"d"`
		Secret  jsontext.Value `json:"k"`
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(h.Key, &members); err != nil || jwk.UnmarshalJSON(h.Key) != nil {
		return nil, errors.New("jwk must be a public key")
	}
	if members.Private != nil || members.Secret != nil {
		return nil, errors.New("jwk holds a private key: that key is no secret any more, make another")
	}
	switch key := jwk.Key.(type) {
	case ed25519.PublicKey:
		if (h.Algorithm == string(jose.EdDSA) || h.Algorithm == fullySpecified) && len(key) == ed25519.PublicKeySize {
			return key, nil
		}
	case *ecdsa.PublicKey:
		if h.Algorithm == string(jose.ES256) && key.Curve == elliptic.P256() {
			return key, nil
		}
	}
	return nil, errors.New("alg must be EdDSA or Ed25519 with a key of Ed25519, or ES256 with a key of P-256")
}

func (c *proofClaims) check(want Wanted, now time.Time) (Once, error) {
	sum := sha256.Sum256([]byte(want.Token))
	issued := c.Issued.time()
	switch {
	case c.ID == "" || len(c.ID) > maxID:
		return Once{}, fmt.Errorf("jti must be there, with at most %d bytes", maxID)
	case c.Method != want.Method:
		return Once{}, errors.New("htm must be the method of the request")
	case !sameURL(c.URL, want.URL):
		return Once{}, errors.New("htu must be the address of the request, without its query")
	case !c.Issued.usable():
		return Once{}, errors.New("iat must be a time in seconds since 1970")
	case want.Token != "" && c.TokenHash != base64.RawURLEncoding.EncodeToString(sum[:]):
		return Once{}, errors.New("ath must be the SHA-256 of the access token, in base64url")
	case issued.After(now.Add(skew)):
		return Once{}, errors.New("iat is in the future: set the clock")
	}
	once := Once{ID: c.ID, Made: issued, Until: issued.Add(proofAge + skew)}
	if !now.Before(once.Until) {
		return Once{}, errors.New("iat is too long ago: make a new one for every request, and set the clock")
	}
	return once, nil
}

// sameURL compares two URLs by RFC 3986 sections 6.2.2 and 6.2.3, without query and fragment.
func sameURL(a, b string) bool {
	first, ok := normal(a)
	second, also := normal(b)
	return ok && also && first == second
}

func normal(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", false
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" && port != map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		host += ":" + port
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + host + normalPath(path), true
}

// normalPath writes escapes in upper case, and what needs none without any. The path is escaped well.
func normalPath(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			b.WriteByte(path[i])
			continue
		}
		escape := strings.ToUpper(path[i : i+3])
		if plain, err := url.PathUnescape(escape); err == nil && unreserved(plain[0]) {
			b.WriteString(plain)
		} else {
			b.WriteString(escape)
		}
		i += 2
	}
	return b.String()
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
