package signature_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/remitly-oss/httpsig-go"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/signature"
)

// oracle is another implementation of RFC 9421, made by others. It decodes paths, takes the host as it stands and no
// header of several lines; within these bounds it must agree with ours.
type oracle struct {
	spec httpsig.KeySpec
	key  httpsig.SigningKey
}

// FetchByKeyID gives the one key there is.
func (o oracle) FetchByKeyID(context.Context, http.Header, string) (httpsig.KeySpecer, error) {
	return o.spec, nil
}

// Fetch gives no key without an id.
func (oracle) Fetch(context.Context, http.Header, httpsig.MetadataProvider) (httpsig.KeySpecer, error) {
	return nil, io.EOF
}

func oracles(t testing.TB) map[string]oracle {
	t.Helper()
	secret, private := []byte(newSecret(t, 7).Reveal()), privateKey(7)
	return map[string]oracle{
		"hmac": {
			httpsig.KeySpec{KeyID: keyID, Algo: httpsig.Algo_HMAC_SHA256, Secret: secret},
			httpsig.SigningKey{Secret: secret, MetaKeyID: keyID, MetaTag: signature.Tag},
		},
		"ed25519": {
			httpsig.KeySpec{KeyID: keyID, Algo: httpsig.Algo_ED25519, PubKey: private.Public().(ed25519.PublicKey)},
			httpsig.SigningKey{Key: private, MetaKeyID: keyID, MetaTag: signature.Tag},
		},
	}
}

func (o oracle) accepts(r *http.Request, body []byte) bool {
	r = r.Clone(context.Background())
	r.Body = io.NopCloser(bytes.NewReader(body))
	got, err := httpsig.Verify(r, o, httpsig.VerifyProfile{
		SignatureLabel: signature.Label, DisableTimeEnforcement: true,
		AllowedAlgorithms: []httpsig.Algorithm{httpsig.Algo_HMAC_SHA256, httpsig.Algo_ED25519},
	})
	return err == nil && got.Verified
}

// sign signs with the oracle, and gives the time it took for the present.
func (o oracle) sign(t *rapid.T, r *http.Request) time.Time {
	fields := []string{"@method", "@authority", "@path", "@query"}
	for _, name := range []string{"Content-Digest", "Content-Type", "X-Api-Key"} {
		if r.Header.Get(name) != "" || name == "Content-Digest" {
			fields = append(fields, name)
		}
	}
	err := httpsig.Sign(r, httpsig.SigningProfile{
		Algorithm: o.spec.Algo, Digest: httpsig.DigestSHA512, Fields: httpsig.Fields(fields...), Label: "any",
		Metadata: []httpsig.Metadata{httpsig.MetaTag, httpsig.MetaNonce, httpsig.MetaKeyID, httpsig.MetaCreated, httpsig.MetaAlgorithm},
	}, o.key)
	if err != nil {
		t.Fatal(err)
	}
	created, err := strconv.ParseInt(regexp.MustCompile(`created=(\d+)`).FindStringSubmatch(r.Header.Get("Signature-Input"))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(created, 0)
}

func drawForOracle(t *rapid.T) (*http.Request, []byte) {
	body := rapid.SampledFrom([]string{"x", payload}).Draw(t, "body")
	r, err := http.NewRequest(rapid.SampledFrom([]string{"GET", "POST", "DELETE"}).Draw(t, "method"),
		"http://weir.example.com/"+rapid.StringMatching(`[a-z/]{0,10}`).Draw(t, "path")+rapid.StringMatching(`(\?[a-z=&%20]{0,3})?`).Draw(t, "query"), bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", rapid.SampledFrom([]string{"application/json", "text/plain; charset=utf-8"}).Draw(t, "type"))
	r.Header.Set("X-Api-Key", apiKey)
	return r, []byte(body)
}

// Promise: what we sign another implementation accepts, what it signs we accept, and of changed requests neither takes
// one that the other refuses.
func TestAnotherImplementationAgrees(t *testing.T) {
	t.Parallel()
	m, ours := material(t), signers(t)
	for name, other := range oracles(t) {
		rapid.Check(t, func(rt *rapid.T) {
			r, body := drawForOracle(rt)
			at := now()
			theirs := rapid.Bool().Draw(rt, "they sign")
			if theirs {
				at = other.sign(rt, r)
			} else if err := ours[name].Sign(r, body, at, nonce); err != nil {
				rt.Fatal(err)
			}
			r, body = sent(t, r)
			if _, err := check(r, body, m, at); err != nil {
				rt.Fatalf("%s, signed by them: %v; we refuse it: %v", name, theirs, err)
			}
			if !theirs && !other.accepts(r, body) {
				rt.Fatalf("%s: they refuse what we have signed", name)
			}
			change := rapid.SampledFrom([]func(){
				func() { r.Method += "X" }, func() { r.Host += "x" }, func() { body = append(body, 'x') }, func() { r.Header.Set("Content-Type", "text/html") },
				func() { r.URL.Path += "x"; r.RequestURI = "/x" + r.RequestURI }, func() { r.URL.RawQuery += "x" }, func() { r.Header.Set("X-Api-Key", "x") },
				func() { r.Header.Set("Content-Digest", signature.ContentDigest(nil)) },
			}).Draw(rt, "change")
			change()
			if _, err := check(r, body, m, at); err == nil {
				rt.Fatalf("%s: we accept a changed request", name)
			}
			if !theirs && other.accepts(r, body) {
				rt.Fatalf("%s: they accept a changed request", name)
			}
		})
	}
}
