package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"time"

	"github.com/dunglas/httpsfv"
)

// Material is what the signatures of one key are checked with.
type Material struct {
	KeyID      string            // the key's public name, which keyid must be
	Token      [sha256.Size]byte // SHA-256 of the API key as the request shows it, which the Credential of an IEX signature must be
	Secret     Secret            // for HMACs; the zero Secret: none
	PublicKeys []ed25519.PublicKey
}

// Verified is a signature whose headers are right. The body is checked with CheckBody; until that has passed, nothing
// has been proven. The zero Verified is not a signature.
type Verified struct {
	Scheme  Scheme
	KeyID   string
	Created time.Time
	Expires time.Time // zero: it does not say
	Until   time.Time // a copy would be accepted until then
	Nonce   string    // what may be used once; of an IEX signature, the signature itself
	Digest  bool      // it covers the body's digest

	request Request
	iex     *iexClaim // what of an IEX signature is left to check
}

// Verify checks the signature of a request by its headers: before the body is read. now is the server's time. An IEX
// signature covers the body, so of it only the form, the key and the time are checked here; CheckBody does the rest.
// The error is a *Fault.
func Verify(r Request, m Material, now time.Time) (Verified, error) {
	switch Detect(r) {
	case Message:
		if claimsIEX(r.Header) {
			return Verified{}, faultf(Ambiguous, "The request is signed twice, with %s and with Signature-Input. Sign it once.", iexAlgorithm)
		}
		return verifyMessage(r, m, now)
	case IEX:
		return verifyIEX(r, m, now)
	default:
		return Verified{}, faultf(Missing, "The request is not signed: it has no header Signature-Input.")
	}
}

// CheckBody checks the body as it was received: after transfer coding, before content coding. With it the signature is
// proven. The error is a *Fault or a *DigestFault.
func (v Verified) CheckBody(received []byte) error {
	switch v.Scheme {
	case Message:
		if !v.Digest && len(received) > 0 {
			return faultf(Uncovered, "The request has a body, and the signature does not cover \"content-digest\".")
		}
		if !v.Digest {
			return nil
		}
		return CheckDigest(v.request.Header, received)
	case IEX:
		return v.iex.checkBody(v.request, received)
	default:
		return faultf(Missing, "The request is not signed.")
	}
}

func verifyMessage(r Request, m Material, now time.Time) (Verified, error) {
	c, err := readClaim(r.Header)
	if err != nil {
		return Verified{}, err
	}
	if err := c.checkParameters(m.KeyID, now); err != nil {
		return Verified{}, err
	}
	if err := c.requireCover(r); err != nil {
		return Verified{}, err
	}
	alg, err := m.algorithm(c.alg, len(c.signature))
	if err != nil {
		return Verified{}, err
	}
	text, err := base(r, c.components, c.list)
	if err != nil {
		return Verified{}, err
	}
	if !m.matches(alg, text, c.signature) {
		return Verified{}, c.wrong(r, m, alg, text)
	}
	v := Verified{
		Scheme: Message, KeyID: c.keyID, Created: time.Unix(c.created, 0), Until: c.until(), Nonce: c.nonce,
		Digest: c.covers("content-digest"), request: r,
	}
	if c.hasExpires {
		v.Expires = time.Unix(c.expires, 0)
	}
	return v, nil
}

// algorithm finds the algorithm by what the key has. Where the signature names one, it must be that. A key with both a
// secret and public keys is no puzzle: the two kinds of signature differ in length, and neither is ever checked with the
// other's material.
func (m Material) algorithm(named string, length int) (string, error) {
	alg := named
	switch {
	case named == "" && length == sha256.Size:
		alg = HMACSHA256
	case named == "" && length == ed25519.SignatureSize:
		alg = Ed25519
	}
	switch {
	case alg == HMACSHA256 && m.Secret.Empty():
		return "", faultf(NoMaterial, "The signature is %s, and the key has no signing secret.", alg)
	case alg == Ed25519 && len(m.PublicKeys) == 0:
		return "", faultf(NoMaterial, "The signature is %s, and the key has no registered public key.", alg)
	case alg == HMACSHA256 && length != sha256.Size, alg == Ed25519 && length != ed25519.SignatureSize:
		return "", faultf(Malformed, "The signature has %d bytes, which is not the length of %s.", length, alg)
	case alg == HMACSHA256, alg == Ed25519:
		return alg, nil
	case named == "":
		return "", faultf(Unsupported, "The signature has %d bytes. Taken are %s, with 32, and %s, with 64.", length, HMACSHA256, Ed25519)
	}
	return "", faultf(Unsupported, "The algorithm %q is not taken here; %s and %s are.", clip(named), HMACSHA256, Ed25519)
}

// matches reports whether the signature of text is right. It takes the same time wherever a wrong HMAC differs.
func (m Material) matches(alg, text string, signature []byte) bool {
	if alg == HMACSHA256 {
		return matchesHMAC(m.Secret.key(), text, signature)
	}
	for _, key := range m.PublicKeys {
		if len(key) == ed25519.PublicKeySize && ed25519.Verify(key, []byte(text), signature) {
			return true
		}
	}
	return false
}

func matchesHMAC(key []byte, text string, signature []byte) bool {
	return len(key) > 0 && hmac.Equal(hmacSHA256(key, text), signature)
}

func hmacSHA256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(text))
	return mac.Sum(nil)
}

// Challenge is the value of Accept-Signature that asks for a signature of a key; keyID may be empty.
func Challenge(keyID string) string {
	params := httpsfv.NewParams()
	params.Add("created", true)
	params.Add("nonce", true)
	if keyID != "" {
		params.Add("keyid", keyID)
	}
	params.Add("tag", Tag)
	list := httpsfv.InnerList{Params: params}
	for _, name := range [...]string{"@method", "@authority", "@path", "@query", "content-digest"} {
		list.Items = append(list.Items, httpsfv.NewItem(name))
	}
	text, err := httpsfv.Marshal(list)
	if err != nil { // the id has a character that a string cannot hold: ask without it
		return Challenge("")
	}
	return Label + "=" + text
}
