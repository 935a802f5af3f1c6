package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"
)

// Signer is the client's side: what requests of a key are signed with. It has a Secret or a PrivateKey.
type Signer struct {
	KeyID      string
	Secret     Secret
	PrivateKey ed25519.PrivateKey
	Lifetime   time.Duration // until the signature expires; 0: it does not say
}

// NewNonce makes a nonce of 16 random bytes.
func NewNonce(random io.Reader) (string, error) {
	var raw [16]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("signature: random bytes for a nonce: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// Sign signs a request that is about to be sent, by RFC 9421: it sets Content-Digest, Signature-Input and Signature. All
// other headers must be set before, and nothing may be changed after. body is what will be sent, after any compression.
// Every request needs a nonce of its own.
func (s Signer) Sign(r *http.Request, body []byte, now time.Time, nonce string) error {
	if s.Secret.Empty() == (len(s.PrivateKey) != ed25519.PrivateKeySize) {
		return errors.New("signature: a signer needs a secret or a private key, and not both")
	}
	if len(body) > 0 {
		r.Header.Set("Content-Digest", ContentDigest(body))
	}
	list := s.parameters(r, now, nonce)
	components, err := readComponents(list.Items)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	text, err := base(outgoing(r), components, list)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	input, err := httpsfv.Marshal(list)
	if err != nil {
		return fmt.Errorf("signature: the key's id or the nonce: %w", err)
	}
	raw := hmacSHA256(s.Secret.key(), text)
	if s.PrivateKey != nil {
		raw = ed25519.Sign(s.PrivateKey, []byte(text))
	}
	r.Header.Set("Signature-Input", Label+"="+input)
	r.Header.Set("Signature", Label+"=:"+base64.StdEncoding.EncodeToString(raw)+":")
	return nil
}

// parameters is the list of what is signed, with the parameters of the signature.
func (s Signer) parameters(r *http.Request, now time.Time, nonce string) httpsfv.InnerList {
	params := httpsfv.NewParams()
	params.Add("created", now.Unix())
	if s.Lifetime > 0 {
		params.Add("expires", now.Add(s.Lifetime).Unix())
	}
	params.Add("nonce", nonce)
	params.Add("keyid", s.KeyID)
	params.Add("tag", Tag)
	list := httpsfv.InnerList{Params: params}
	for _, name := range [...]string{"@method", "@authority", "@path", "@query", "content-digest", "content-type", "authorization", "x-api-key"} {
		if name[0] == '@' || r.Header.Get(name) != "" {
			list.Items = append(list.Items, httpsfv.NewItem(name))
		}
	}
	return list
}

// SignIEX signs a request that is about to be sent with IEX-HMAC-SHA256: it sets x-iex-date and Authorization. token is
// the API key; the address must carry it in its parameter token already. Two equal requests of one second have the same
// signature, of which the server takes one.
func (s Signer) SignIEX(r *http.Request, token string, body []byte, now time.Time) error {
	if s.Secret.Empty() {
		return errors.New("signature: an IEX signature needs a secret")
	}
	sent := outgoing(r)
	date := now.UTC().Format(iexTime)
	parts := iexParts{method: sent.Method, path: sent.path(), query: sent.Query, host: sent.Authority, date: date, payload: hexSHA256(body)}
	signed := hex.EncodeToString(parts.sign(iexKey(s.Secret.key(), date)))
	r.Header.Set("X-Iex-Date", date)
	r.Header.Set("Authorization", iexAlgorithm+" Credential="+token+"/"+date[:iexDay]+"/"+iexScope+", SignedHeaders="+iexHeaders+", Signature="+signed)
	return nil
}

// outgoing is a client's request as the server will receive it.
func outgoing(r *http.Request) Request {
	sent := Request{Method: r.Method, Scheme: r.URL.Scheme, Authority: r.Host, Target: r.URL.RequestURI(), Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header}
	if sent.Method == "" {
		sent.Method = http.MethodGet
	}
	if sent.Authority == "" {
		sent.Authority = r.URL.Host
	}
	return sent
}
