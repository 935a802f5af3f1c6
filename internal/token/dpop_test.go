package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
)

// The examples of RFC 9449: the proof of section 4.1, that of section 7.1 with its token, and the thumbprint of section 6.1.
const (
	rfcHeader = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
	rfcProof  = rfcHeader + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	rfcBound  = rfcHeader + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	rfcToken  = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	rfcPrint  = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
)

// Promise: the examples of RFC 9449 are accepted when and where they are for, and give its thumbprint.
func TestProofsOfTheStandard(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		proof string
		want  token.Wanted
		at    int64
		jti   string
	}{
		{rfcProof, token.Wanted{Method: "POST", URL: "https://server.example.com/token"}, 1562262616, "-BwC3ESc6acc2lTc"},
		{rfcBound, token.Wanted{Method: "GET", URL: "https://resource.example.org/protectedresource", Token: rfcToken}, 1562262618, "e1j3V_bKic8-LAEB"},
	} {
		got, err := token.ReadProof(c.proof, c.want, time.Unix(c.at+10, 0))
		if err != nil || got.Thumbprint != rfcPrint || got.Once.ID != c.jti || !got.Once.Made.Equal(time.Unix(c.at, 0)) || !got.Once.Until.Equal(time.Unix(c.at+120, 0)) {
			t.Errorf("%+v, %v", got, err)
		}
		for after, good := range map[int64]bool{-61: false, -60: true, 119: true, 120: false} {
			if _, err := token.ReadProof(c.proof, c.want, time.Unix(c.at+after, 0)); (err == nil) != good {
				t.Errorf("%d seconds after: %v", after, err)
			}
		}
	}
}

// edKey is an Ed25519 key of a client, and its JWK.
func edKey(seed uint64) (ed25519.PrivateKey, string) {
	_, private, err := ed25519.GenerateKey(&stream{n: seed})
	if err != nil {
		panic(err)
	}
	return private, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, encode(string(private.Public().(ed25519.PublicKey))))
}

// Promise: the thumbprint of an Ed25519 key is that of RFC 8037, appendix A.3.
func TestThumbprintOfTheStandard(t *testing.T) {
	t.Parallel()
	seed, _ := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	key := ed25519.NewKeyFromSeed(seed)
	jwk := `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	proof := sign(key, `{"typ":"dpop+jwt","alg":"EdDSA","jwk":`+jwk+`}`, `{"jti":"a","htm":"GET","htu":"https://a/","iat":1}`)
	got, err := token.ReadProof(proof, token.Wanted{Method: "GET", URL: "https://a"}, time.Unix(1, 0))
	if err != nil || got.Thumbprint != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Promise: a proof that is for something else, or is not what RFC 9449 section 4.3 asks for, is refused, and the sender is told
// what is wrong with it.
func TestProofsAreChecked(t *testing.T) {
	t.Parallel()
	key, jwk := edKey(1)
	_, strange := edKey(2)
	sum := sha256.Sum256([]byte("the token"))
	header := `{"typ":"dpop+jwt","alg":"EdDSA","jwk":` + jwk + `}`
	claims := fmt.Sprintf(`{"jti":"one","htm":"POST","htu":"https://weir.example.com/v1/query","iat":%d,"ath":%q}`, noon().Unix(), encode(string(sum[:])))
	want := token.Wanted{Method: "POST", URL: "https://weir.example.com/v1/query?limit=1", Token: "the token"}
	good := sign(key, header, claims)
	h := func(from, to string) string { return sign(key, strings.Replace(header, from, to, 1), claims) }
	c := func(from, to string) string { return sign(key, header, strings.Replace(claims, from, to, 1)) }
	for proof, detail := range map[string]string{
		good: "", "": "three parts", good + "." + good: "three parts", good + ", " + good: "three parts", good + "=": "base64url", strings.Repeat("a", 9000): "longer",
		h("dpop+jwt", "JWT"): "typ must be dpop+jwt", h("dpop+jwt", "DPOP+JWT"): "typ", h(`"typ":"dpop+jwt",`, ""): "typ", h("EdDSA", "none"): "alg must be", h("EdDSA", "HS256"): "alg must be",
		h("EdDSA", "ES256"): "alg must be", h("EdDSA", "Ed25519"): "", h("EdDSA", "Ed448"): "alg must be", h("EdDSA", "Ed25519")[:len(h("EdDSA", "Ed25519"))-4] + "AAAA": "not signed", h(`"alg":"EdDSA",`, ""): "alg must be", h(jwk, "null"): "jwk", h(`,"jwk":`+jwk, ""): "jwk must be a public key",
		h(jwk, strange): "not signed with the key", h(jwk, `{"kty":"oct","k":"AAAA"}`): "private key", h(jwk, strings.Replace(jwk, "}", `,"d":"AAAA"}`, 1)): "jwk",
		h(jwk, `{"kty":"RSA","n":"AQAB","e":"AQAB"}`): "alg must be", h("{", `{"crit":["x"],"x":1,`): "crit", h("{", `{"b64":false,`): "b64", h("{", `{"typ":"dpop+jwt",`): "header",
		h(header, "[]"): "header", h("{", `{"kid":"theirs","x":[1],`): "",
		c(`"jti":"one",`, ""): "jti", c(`"one"`, `""`): "jti", c(`"one"`, `"`+strings.Repeat("x", 257)+`"`): "jti", c(`"one"`, "1"): "claims", c("POST", "post"): "htm", c("POST", "GET"): "htm",
		c("https://weir", "http://weir"): "htu", c("/v1/query", "/v1/Query"): "htu", c("/v1/query", "/v1/query/"): "htu", c("weir.example.com", "weir.example.com:8443"): "htu",
		c("https://weir.example.com/v1/query", "/v1/query"): "htu", c("weir.example.com", "a@weir.example.com"): "htu", c("weir.example.com/", "weir.example.com.rival.org/"): "htu",
		c("weir.example.com", "WEIR.example.com:443"): "", c("/v1/query", "/v1/%71uery?other#part"): "", c("/v1/query", "/v1%2fquery"): "htu",
		c(`"iat":`, `"at":`): "iat", c(`"iat":17`, `"iat":"17"`): "claims", c(`"iat":17`, `"iat":-17`): "iat", c(`"iat":17`, `"iat":1e300,"x":17`): "iat", c(`"iat":17`, `"iat":0,"x":17`): "iat",
		c(`"iat":17`, `"iat":16`): "too long ago", c(`"iat":17`, `"iat":18`): "future", c(`"ath":`, `"a":`): "ath", c(`"ath":"`, `"ath":"A`): "ath", c(`{`, `{"jti":"one",`): "claims", c(claims, "1"): "claims",
	} {
		got, err := token.ReadProof(proof, want, noon().Add(5*time.Second))
		if detail == "" {
			if err != nil || got.Once.ID != "one" {
				t.Errorf("%+v, %v", got, err)
			}
			continue
		}
		wantProblem(t, detail, err, problem.InvalidDPoPProof)
		if err != nil && !strings.Contains(problem.From(err).Detail, detail) {
			t.Errorf("%q instead of %q", problem.From(err).Detail, detail)
		}
	}
}

// Promise: ES256 is of P-256 alone, with signatures of one form.
func TestProofsByECDSA(t *testing.T) {
	t.Parallel()
	claims := fmt.Sprintf(`{"jti":"one","htm":"GET","htu":"https://a/b","iat":%d}`, noon().Unix())
	want := token.Wanted{Method: "GET", URL: "https://a/b"}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		key, err := ecdsa.GenerateKey(curve, &stream{})
		if err != nil {
			t.Fatal(err)
		}
		jwk, err := json.Marshal(jose.JSONWebKey{Key: key.Public()})
		if err != nil {
			t.Fatal(err)
		}
		text := encode(`{"typ":"dpop+jwt","alg":"ES256","jwk":`+string(jwk)+`}`) + "." + encode(claims)
		digest := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(&stream{}, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		size := (curve.Params().BitSize + 7) / 8
		raw := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		_, err = token.ReadProof(text+"."+encode(string(raw)), want, noon())
		if (err == nil) != (curve == elliptic.P256()) {
			t.Errorf("%s: %v", curve.Params().Name, err)
		}
		long := append(big.NewInt(0).FillBytes(make([]byte, size)), raw...)
		for name, signature := range map[string][]byte{"longer": long, "none": make([]byte, 2*size), "cut": raw[1:]} {
			if _, err := token.ReadProof(text+"."+encode(string(signature)), want, noon()); err == nil {
				t.Errorf("%s: a signature that is %s is accepted", curve.Params().Name, name)
			}
		}
	}
}

// Promise: no proof makes the reader fail otherwise than by refusing it; and what it accepts was signed with the key that it
// names, for the request and the time.
func FuzzReadProof(f *testing.F) {
	key, jwk := edKey(1)
	good := sign(key, `{"typ":"dpop+jwt","alg":"EdDSA","jwk":`+jwk+`}`, `{"jti":"a","htm":"POST","htu":"https://server.example.com/token","iat":1562262616}`)
	f.Add(rfcProof, "https://server.example.com/token")
	f.Add(good, "HTTPS://SERVER.example.com:443/%74oken?x")
	f.Add(rfcHeader+"..", "//")
	f.Add(encode(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":""}}`)+"."+encode(`{"iat":1e10}`)+".AA", "http://[::1]/%zz")
	f.Fuzz(func(t *testing.T, proof, url string) {
		got, err := token.ReadProof(proof, token.Wanted{Method: "POST", URL: url}, time.Unix(1562262616, 0))
		if err != nil {
			wantProblem(t, "read", err, problem.InvalidDPoPProof)
			return
		}
		if proof != rfcProof && proof != good || len(got.Thumbprint) != 43 {
			t.Errorf("accepted %q for %q as %+v", proof, url, got)
		}
	})
}
