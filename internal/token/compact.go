package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// compact is a JWS in its compact form (RFC 7515 section 3.1), taken apart, of which nothing is verified.
type compact struct {
	text    string
	header  []byte
	payload []byte
}

// strict is base64url of which no two texts are the same bytes.
func strict() *base64.Encoding { return base64.RawURLEncoding.Strict() }

// readCompact takes a text apart. Every byte of it counts: no other text gives the same parts.
func readCompact(text string, most int) (compact, error) {
	if len(text) > most {
		return compact{}, fmt.Errorf("it is longer than %d bytes", most)
	}
	if strings.Count(text, ".") != 2 || strings.ContainsAny(text, "\r\n") { // the decoder passes line ends over
		return compact{}, errors.New("it is not three parts with dots between")
	}
	var parts [3][]byte
	for i, part := range strings.Split(text, ".") {
		var err error
		if parts[i], err = strict().DecodeString(part); err != nil || part == "" {
			return compact{}, errors.New("a part of it is not base64url")
		}
	}
	return compact{text, parts[0], parts[1]}, nil
}

// verify checks the signature, by one algorithm and one public key, and gives the payload.
func (c compact) verify(algorithm jose.SignatureAlgorithm, key any) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(c.text, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		return nil, err
	}
	return signed.Verify(key)
}

// fullySpecified is what RFC 9864 calls EdDSA with Ed25519.
const fullySpecified = "Ed25519"

// verifyForeign is verify for what others sign, who may call the algorithm by its newer name.
func (c compact) verifyForeign(algorithm string, key any) ([]byte, error) {
	if algorithm != fullySpecified {
		return c.verify(jose.SignatureAlgorithm(algorithm), key)
	}
	public, ok := key.(ed25519.PublicKey)
	dot := strings.LastIndexByte(c.text, '.')
	signature, err := strict().DecodeString(c.text[dot+1:])
	if err != nil || !ok || len(public) != ed25519.PublicKeySize || !ed25519.Verify(public, []byte(c.text[:dot]), signature) {
		return nil, errors.New("the signature is wrong")
	}
	return c.payload, nil
}

// readJSON reads one JSON object without duplicate members and with no more members than into has.
func readJSON(data []byte, into any) error {
	return json.Unmarshal(data, into, json.RejectUnknownMembers(true))
}

// foreignHeader is the header of what others sign, who may put more into it than we need.
type foreignHeader struct {
	Algorithm string         `json:"alg"`
	Type      string         `json:"typ"`
	Key       jsontext.Value `json:"jwk"`
	Critical  jsontext.Value `json:"crit"`
	Plain     jsontext.Value `json:"b64"`
}

// readForeign reads the header and the claims of what others sign. What must be understood is refused: there is no
// extension that is (RFC 7515 section 4.1.11, RFC 7797).
func readForeign(text string, claims any) (compact, foreignHeader, error) {
	c, err := readCompact(text, MaxLength)
	if err != nil {
		return c, foreignHeader{}, err
	}
	var h foreignHeader
	if err := json.Unmarshal(c.header, &h); err != nil {
		return c, h, errors.New("its header is not a JSON object as RFC 7515 has it")
	}
	if h.Critical != nil || h.Plain != nil {
		return c, h, errors.New("its header has crit or b64, which are not understood")
	}
	if err := json.Unmarshal(c.payload, claims); err != nil {
		return c, h, errors.New("its claims are not a JSON object as RFC 7519 has it")
	}
	return c, h, nil
}
