package signature

import (
	"net/http"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

// claim is the one signature of a request that is meant for us, as it was parsed. Nothing of it has been checked.
type claim struct {
	components []component
	list       httpsfv.InnerList // for the line @signature-params, which is written anew from it
	signature  []byte
	created    int64
	expires    int64
	hasCreated bool
	hasExpires bool
	nonce      string
	keyID      string
	alg        string
	tag        string
}

// ClaimedKey is the keyid of the signature that is meant for us, or "" when there is none that can be read. Anybody can
// claim anything.
func ClaimedKey(r Request) string {
	c, err := readClaim(r.Header)
	if err != nil {
		return ""
	}
	return c.keyID
}

// readClaim finds the signature whose tag is ours.
func readClaim(h http.Header) (*claim, error) {
	inputs, err := readDictionary(h, "Signature-Input", maxInput)
	if err != nil {
		return nil, err
	}
	label, list, err := choose(inputs)
	if err != nil {
		return nil, err
	}
	signatures, err := readDictionary(h, "Signature", maxSignature)
	if err != nil {
		return nil, err
	}
	c := &claim{list: list}
	if c.signature, err = signatureOf(signatures, label); err != nil {
		return nil, err
	}
	if err := c.readParameters(list.Params); err != nil {
		return nil, err
	}
	c.components, err = readComponents(list.Items)
	return c, err
}

// readDictionary reads a header that is a dictionary, within its limits.
func readDictionary(h http.Header, name string, most int) (*httpsfv.Dictionary, error) {
	lines := h[name]
	if len(lines) == 0 {
		return nil, faultf(Missing, "The header %s is missing.", name)
	}
	if err := withinLimits(lines, name, most); err != nil {
		return nil, err
	}
	d, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return nil, faultf(Malformed, "The header %s is not a dictionary as RFC 9651 writes it: %s.", name, err)
	}
	if n := len(d.Names()); n > maxSignatures {
		return nil, faultf(TooLarge, "The header %s has %d members; at most %d are read.", name, n, maxSignatures)
	}
	return d, nil
}

func withinLimits(lines []string, name string, most int) error {
	if len(lines) > maxLines {
		return faultf(TooLarge, "The header %s comes in %d lines; at most %d are read.", name, len(lines), maxLines)
	}
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	if size > most {
		return faultf(TooLarge, "The header %s has %d bytes; at most %d are read.", name, size, most)
	}
	return nil
}

// choose finds the one member with our tag. Others' signatures may stand beside it.
func choose(inputs *httpsfv.Dictionary) (label string, list httpsfv.InnerList, err error) {
	for _, name := range inputs.Names() {
		member, _ := inputs.Get(name)
		l, ok := member.(httpsfv.InnerList)
		if !ok {
			continue
		}
		if tag, _ := l.Params.Get("tag"); tag != Tag {
			continue
		}
		if label != "" {
			return "", l, faultf(Ambiguous, "Signature-Input has more than one signature with tag=%q.", Tag)
		}
		label, list = name, l
	}
	if label == "" {
		return "", list, faultf(Foreign, "Signature-Input has no signature with tag=%q.", Tag)
	}
	return label, list, nil
}

func signatureOf(signatures *httpsfv.Dictionary, label string) ([]byte, error) {
	member, ok := signatures.Get(label)
	if !ok {
		return nil, faultf(Missing, "The header Signature has no member %q, which Signature-Input describes.", clip(label))
	}
	item, ok := member.(httpsfv.Item)
	if !ok || len(item.Params.Names()) > 0 {
		return nil, faultf(Malformed, "The member %q of Signature must be a byte sequence, :base64:, and nothing else.", clip(label))
	}
	raw, ok := item.Value.([]byte)
	if !ok {
		return nil, faultf(Malformed, "The member %q of Signature must be a byte sequence, :base64:.", clip(label))
	}
	return raw, nil
}

// readParameters reads the parameters of a signature. Those we do not know may change what the signature means, so they
// are refused.
func (c *claim) readParameters(params *httpsfv.Params) error {
	for _, name := range params.Names() {
		value, _ := params.Get(name)
		var ok bool
		kind := "a string"
		switch name {
		case "created":
			c.created, ok = value.(int64)
			c.hasCreated, kind = true, "an integer"
		case "expires":
			c.expires, ok = value.(int64)
			c.hasExpires, kind = true, "an integer"
		case "nonce":
			c.nonce, ok = value.(string)
		case "keyid":
			c.keyID, ok = value.(string)
		case "alg":
			c.alg, ok = value.(string)
			if ok && c.alg == "" {
				return faultf(Malformed, "The signature's parameter alg is empty.")
			}
		case "tag":
			c.tag, ok = value.(string)
		default:
			return faultf(Unsupported, "The signature's parameter %q is not known here.", clip(name))
		}
		if !ok {
			return faultf(Malformed, "The signature's parameter %s must be %s.", name, kind)
		}
	}
	return nil
}

// checkParameters asks what the profile asks of the parameters, all but the algorithm.
func (c *claim) checkParameters(keyID string, now time.Time) error {
	for _, p := range [...]struct {
		name  string
		there bool
	}{{"created", c.hasCreated}, {"keyid", c.keyID != ""}, {"nonce", c.nonce != ""}} {
		if !p.there {
			return faultf(Missing, "The signature has no parameter %s.", p.name)
		}
	}
	if c.keyID != keyID {
		return faultf(OtherKey, "The signature's keyid is %q, and the request was sent with the key %q.", clip(c.keyID), keyID)
	}
	if len(c.nonce) < minNonce {
		return faultf(Malformed, "The nonce has %d characters. It must hold 16 random bytes, which are %d characters of base64.", len(c.nonce), minNonce)
	}
	if len(c.nonce) > maxNonce {
		return faultf(TooLarge, "The nonce has %d characters; at most %d are read.", len(c.nonce), maxNonce)
	}
	return c.checkTimes(now)
}

// checkTimes compares the times of a signature with ours.
func (c *claim) checkTimes(now time.Time) error {
	created := time.Unix(c.created, 0)
	if err := checkWindow(created, now); err != nil {
		return err
	}
	if !c.hasExpires {
		return nil
	}
	switch expires := time.Unix(c.expires, 0); {
	case c.expires <= c.created:
		return faultf(Malformed, "The signature expires at %d and was created at %d: expires must come after created.", c.expires, c.created)
	case expires.Sub(created) > Lifetime:
		return faultf(Malformed, "The signature expires %d s after it was created; at most %d s are allowed.", c.expires-c.created, int(Lifetime.Seconds()))
	case now.After(expires):
		return faultf(Expired, "The signature expired at %s; it is %s here.", stamp(expires), stamp(now))
	}
	return nil
}

// checkWindow refuses what was created too far from now, in the past or in the future.
func checkWindow(created, now time.Time) error {
	switch age := now.Sub(created); {
	case age > Window:
		return faultf(Expired, "The signature was created at %s; it is %s here, and a signature counts for %d s.", stamp(created), stamp(now), int(Window.Seconds()))
	case age < -Window:
		return faultf(TooEarly, "The signature was created at %s, in the future: it is %s here. At most %d s are allowed.", stamp(created), stamp(now), int(Window.Seconds()))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// until is when a copy of the signature stops being accepted.
func (c *claim) until() time.Time {
	until := time.Unix(c.created, 0).Add(Window)
	if expires := time.Unix(c.expires, 0); c.hasExpires && expires.Before(until) {
		return expires
	}
	return until
}

// requireCover refuses a signature that leaves out what must be signed: who is asked, for what, with which body, and
// with which key.
func (c *claim) requireCover(r Request) error {
	for _, name := range [...]string{"@method", "@authority", "@path", "@query"} {
		if !c.covers(name) {
			return faultf(Uncovered, "The signature does not cover %q.", name)
		}
	}
	if r.HasBody && len(r.Header["Content-Digest"]) == 0 {
		return faultf(Missing, "The request has a body, so it needs the header Content-Digest, and the signature must cover it.")
	}
	if r.HasBody && !c.covers("content-digest") {
		return faultf(Uncovered, "The request has a body, and the signature does not cover \"content-digest\".")
	}
	for _, header := range [...]string{"Content-Type", "Authorization", "X-Api-Key"} {
		lines := len(r.Header[header])
		if lines > 1 { // signed, they could not be told from one line with commas
			return faultf(Ambiguous, "The request has %d headers %s; a signed request has one.", lines, header)
		}
		if name := strings.ToLower(header); lines > 0 && !c.covers(name) {
			return faultf(Uncovered, "The request has the header %s, and the signature does not cover %q.", header, name)
		}
	}
	return nil
}

// covers reports whether the whole of a component is covered: a single member of a dictionary is not the whole.
func (c *claim) covers(name string) bool {
	for i := range c.components {
		if c.components[i].name == name && !c.components[i].member {
			return true
		}
	}
	return false
}
