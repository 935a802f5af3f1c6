package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// The words of IEX-HMAC-SHA256.
const (
	iexAlgorithm = "IEX-HMAC-SHA256"
	iexScope     = "iex_request"
	iexHeaders   = "host;x-iex-date"
	iexTime      = "20060102T150405Z"
	iexDay       = len("20060102")
)

// iexClaim is a signature of IEX-HMAC-SHA256 as it was parsed.
type iexClaim struct {
	credential string // the API key
	date       string // x-iex-date
	signature  []byte
	secret     Secret
}

// verifyIEX checks what can be checked without the body.
func verifyIEX(r Request, m Material, now time.Time) (Verified, error) {
	c, err := readIEX(r.Header["Authorization"], r.Header["X-Iex-Date"])
	if err != nil {
		return Verified{}, err
	}
	if token := sha256.Sum256([]byte(c.credential)); subtle.ConstantTimeCompare(token[:], m.Token[:]) != 1 {
		return Verified{}, faultf(OtherKey, "The Credential of the Authorization header is not the key the request was sent with.")
	}
	created, err := time.Parse(iexTime, c.date)
	if err != nil || created.Format(iexTime) != c.date {
		return Verified{}, faultf(Malformed, "The header x-iex-date must be a time of the form YYYYMMDDTHHMMSSZ.")
	}
	if err := checkWindow(created, now); err != nil {
		return Verified{}, err
	}
	if m.Secret.Empty() {
		return Verified{}, faultf(NoMaterial, "The signature is %s, and the key has no signing secret.", iexAlgorithm)
	}
	if strings.ContainsAny(r.Method+r.Path+r.Query+r.Authority, "\r\n") {
		return Verified{}, faultf(Malformed, "The request has a line break where none may be.")
	}
	c.secret = m.Secret
	return Verified{
		Scheme: IEX, KeyID: m.KeyID, Created: created, Until: created.Add(Window), Nonce: hex.EncodeToString(c.signature), Digest: true,
		request: r, iex: c,
	}, nil
}

// readIEX parses the two headers.
//
//	Authorization: IEX-HMAC-SHA256 Credential=KEY/YYYYMMDD/iex_request, SignedHeaders=host;x-iex-date, Signature=HEX
//	x-iex-date: YYYYMMDDTHHMMSSZ
func readIEX(authorization, dates []string) (*iexClaim, error) {
	if len(authorization) != 1 {
		return nil, faultf(Ambiguous, "The request has %d headers Authorization; send one.", len(authorization))
	}
	if len(dates) != 1 {
		return nil, faultf(Missing, "An %s signature needs the header x-iex-date, once.", iexAlgorithm)
	}
	c := &iexClaim{date: dates[0]}
	if len(c.date) != len(iexTime) {
		return nil, faultf(Malformed, "The header x-iex-date must be a time of the form YYYYMMDDTHHMMSSZ.")
	}
	if len(authorization[0]) > maxIEX {
		return nil, faultf(TooLarge, "The header Authorization has %d bytes; at most %d are read.", len(authorization[0]), maxIEX)
	}
	rest, _ := cutIEX(authorization[0])
	return c, c.readFields(rest)
}

// readFields reads Credential, SignedHeaders and Signature, each once, in any order.
func (c *iexClaim) readFields(text string) error {
	var credential, headers, signature string
	for field := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.Trim(field, " \t"), "=")
		var into *string
		switch name {
		case "Credential":
			into = &credential
		case "SignedHeaders":
			into = &headers
		case "Signature":
			into = &signature
		}
		if into == nil || *into != "" || value == "" {
			return faultf(Malformed, "The header Authorization must be '%s Credential=KEY/YYYYMMDD/%s, SignedHeaders=%s, Signature=HEX'.", iexAlgorithm, iexScope, iexHeaders)
		}
		*into = value
	}
	key, scope, ok := strings.Cut(credential, "/")
	if !ok || key == "" || scope != c.date[:iexDay]+"/"+iexScope {
		return faultf(Malformed, "The Credential must be KEY/YYYYMMDD/%s, with the day of x-iex-date.", iexScope)
	}
	if headers != iexHeaders {
		return faultf(Malformed, "SignedHeaders must be %s.", iexHeaders)
	}
	raw, err := hex.DecodeString(signature)
	if err != nil || len(raw) != sha256.Size {
		return faultf(Malformed, "The Signature must be 64 hexadecimal digits.")
	}
	c.credential, c.signature = key, raw
	return nil
}

// iexParts is what an IEX signature is made of.
type iexParts struct {
	method, path, query, host, date string
	payload                         string // hex of SHA-256
}

// canonical is the text whose digest is signed.
func (p *iexParts) canonical() string {
	return p.method + "\n" + p.path + "\n" + p.query + "\nhost:" + p.host + "\nx-iex-date:" + p.date + "\n\n" + iexHeaders + "\n" + p.payload
}

// sign computes the signature. The key of each step is the hexadecimal text of the step before.
func (p *iexParts) sign(key []byte) []byte {
	text := iexAlgorithm + "\n" + p.date + "\n" + p.date[:iexDay] + "/" + iexScope + "\n" + hexSHA256([]byte(p.canonical()))
	return hmacSHA256(key, text)
}

func iexKey(secret []byte, date string) []byte {
	day := hexBytes(hmacSHA256(secret, date[:iexDay]))
	return hexBytes(hmacSHA256(day, iexScope))
}

func hexBytes(raw []byte) []byte { return hex.AppendEncode(nil, raw) }

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// checkBody computes the signature over the whole request. The host may have been signed with or without a default
// port, whichever the client shows us.
func (c *iexClaim) checkBody(r Request, received []byte) error {
	parts := iexParts{method: r.Method, path: r.path(), query: r.Query, date: c.date, payload: hexSHA256(received)}
	key := iexKey(c.secret.key(), c.date)
	for _, parts.host = range iexHosts(r.Authority) {
		if hmac.Equal(parts.sign(key), c.signature) {
			return nil
		}
	}
	parts.host = r.Authority
	return c.wrong(&parts, key)
}

// iexHosts are the forms of a host that mean the same.
func iexHosts(authority string) []string {
	hosts := []string{authority}
	bare := bareHost(authority)
	forms := []string{bare}
	if hostOnly(bare) {
		forms = append(forms, bare+":443", bare+":80")
	}
	for _, form := range forms {
		if !slices.Contains(hosts, form) {
			hosts = append(hosts, form)
		}
	}
	return hosts
}
