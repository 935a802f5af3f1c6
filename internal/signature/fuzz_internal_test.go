package signature

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
)

const fuzzInput = `sig=("@method" "@authority" "@path" "@query" "content-digest" "content-type" "x-api-key");created=1780315200;nonce="Zm91cnRlZW4gYnl0ZXMhIQ";keyid="key_a";tag="weir-v1"`

func fuzzRequest(input, signature string) (Request, Material) {
	r := Request{
		Method: "POST", Scheme: "https", Authority: "example.com", Path: "/track", Query: "a=1&b=2",
		Header: http.Header{
			"Signature-Input": strings.Split(input, "\n"), "Signature": strings.Split(signature, "\n"), "Content-Type": {"text/plain"}, "X-Api-Key": {"pk"},
			"Content-Digest": {ContentDigest([]byte("x"))}, "Priority": {"u=1, i"}, "Accept": {"a", "b"},
		},
		HasBody: true,
	}
	return r, Material{KeyID: "key_a", Token: sha256.Sum256([]byte("pk")), Secret: secretText("secret")}
}

// checkFault holds every refusal to its form.
func checkFault(t *testing.T, err error) {
	t.Helper()
	var fault *Fault
	if err == nil || !errors.As(err, &fault) {
		t.Fatalf("%v is no fault", err)
	}
	if fault.Kind == 0 || fault.Detail == "" || len(fault.Detail) > 600 || strings.ContainsAny(fault.Detail, "\r\n\x00") {
		t.Fatalf("a fault that is none: %s %q", fault.Kind, fault.Detail)
	}
}

// FuzzSignatureInput reads arbitrary signature headers.
//
// Promise: nothing that stands in Signature-Input or Signature breaks the server or is accepted without the key; what
// can be read and keeps to the profile is accepted when it is signed with the key; and what is signed covers what the
// profile asks for.
func FuzzSignatureInput(f *testing.F) {
	f.Add(fuzzInput, "sig=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:")
	f.Add(strings.Replace(fuzzInput, `"@query"`, `"@query" "@query-param";name="a" "@target-uri" "priority";key="u" "accept";bs "priority";sf`, 1), "sig=:AA==:, other=:AA==:")
	f.Add(`a=();tag="weir-v1", `+fuzzInput, "sig=:AA==:")
	f.Add(strings.Replace(fuzzInput, ";nonce", ";expires=1780315300;alg=\"hmac-sha256\";nonce", 1), "sig=1")
	f.Add(`sig=("@method";req "x";tr);created=@1;tag="weir-v1"`, "sig=:AA==:;x")
	f.Add("x\ny", "\n")
	f.Fuzz(func(t *testing.T, input, signature string) {
		r, m := fuzzRequest(input, signature)
		if _, err := Verify(r, m, start()); err == nil {
			t.Fatal("it is accepted without the key")
		} else {
			checkFault(t, err)
		}
		c, err := readClaim(r.Header)
		if err != nil {
			checkFault(t, err)
			return
		}
		text, err := base(r, c.components, c.list)
		if err != nil {
			checkFault(t, err)
			return
		}
		if lines := strings.Split(text, "\n"); len(lines) != len(c.components)+1 || len(text) > maxBase+maxValue+2*maxInput {
			t.Fatalf("%d components have %d lines", len(c.components), len(lines))
		}
		d, _ := httpsfv.UnmarshalDictionary(r.Header["Signature-Input"])
		label, _, _ := choose(d)
		r.Header["Signature"] = []string{label + "=:" + base64.StdEncoding.EncodeToString(hmacSHA256(m.Secret.key(), text)) + ":"}
		v, err := Verify(r, m, start())
		if err != nil {
			if checkFault(t, err); kindOf(err) == Wrong {
				t.Fatalf("what was signed with the key is wrong: %s", text)
			}
			return
		}
		for _, line := range []string{`"@method": POST`, `"@authority": example.com`, `"@path": /track`, `"@query": ?a=1&b=2`, `"@signature-params": `} {
			if !strings.Contains("\n"+text, "\n"+line) {
				t.Fatalf("%s is not covered: %s", line, text)
			}
		}
		if v.Nonce == "" || !v.Digest || v.KeyID != "key_a" {
			t.Fatalf("%+v", v)
		}
	})
}

// FuzzContentDigest reads arbitrary digests.
//
// Promise: a Content-Digest is accepted only with the right digest in it, and no other header breaks the server.
func FuzzContentDigest(f *testing.F) {
	f.Add(ContentDigest([]byte("x")), []byte("x"))
	f.Add(ContentDigest([]byte("x"))+", sha-512=:AA==:", []byte("x"))
	f.Add("sha-256, md5=:AA==:;a=1", []byte(""))
	f.Add("a\nb=(1 2)\n", []byte("x"))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		err := CheckDigest(http.Header{"Content-Digest": strings.Split(header, "\n")}, body)
		var fault *DigestFault
		switch sum := sha256.Sum256(body); {
		case err == nil:
			if plain := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(header, plain[:42]) && !strings.Contains(header, "sha-512=:") {
				t.Fatalf("%q is accepted for %q", header, body)
			}
		case !errors.As(err, &fault) || fault.Kind == 0 || fault.Detail == "" || len(fault.Detail) > 2048 || strings.ContainsAny(fault.Detail, "\r\n"):
			t.Fatalf("%v", err)
		}
	})
}

// FuzzIEX reads arbitrary IEX headers.
//
// Promise: nothing in the headers of an IEX signature breaks the server or is accepted without the secret.
func FuzzIEX(f *testing.F) {
	f.Add("IEX-HMAC-SHA256 Credential=pk/20260601/iex_request, SignedHeaders=host;x-iex-date, Signature="+strings.Repeat("0", 64), "20260601T120000Z")
	f.Add("iex-hmac-sha256\tSignature=00,Credential=pk/20260601/iex_request", "20260601T120000Z")
	f.Add("IEX-HMAC-SHA256 Credential=/20260601/iex_request,,", "2026")
	f.Add("IEX-HMAC-SHA256", "")
	f.Fuzz(func(t *testing.T, authorization, date string) {
		r, m := fuzzRequest("", "")
		r.Header = http.Header{"Authorization": {authorization}, "X-Iex-Date": {date}}
		v, err := Verify(r, m, start())
		if err != nil {
			checkFault(t, err)
			return
		}
		if v.Scheme != IEX || len(v.Nonce) != 64 || !strings.Contains(strings.ToLower(authorization), v.Nonce) {
			t.Fatalf("%+v", v)
		}
		if err := v.CheckBody([]byte("x")); err == nil {
			t.Fatal("it is accepted without the secret")
		} else {
			checkFault(t, err)
		}
		parts := iexParts{method: r.Method, path: r.Path, query: r.Query, host: r.Authority, date: date, payload: hexSHA256([]byte("x"))}
		right := hex.EncodeToString(parts.sign(iexKey(m.Secret.key(), date)))
		at := strings.Index(strings.ToLower(authorization), v.Nonce)
		r.Header.Set("Authorization", authorization[:at]+right+authorization[at+64:])
		if v, err = Verify(r, m, start()); err == nil {
			err = v.CheckBody([]byte("x"))
		}
		if err != nil {
			t.Fatalf("what was signed with the secret is refused: %v", err)
		}
	})
}

// FuzzPublicKey reads arbitrary public keys.
//
// Promise: what is read as a public key is one, reads back from its own text, and nothing else breaks the server.
func FuzzPublicKey(f *testing.F) {
	f.Add(rfcPublicKey)
	f.Add("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
	f.Add("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs")
	f.Add("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParsePublicKey(text)
		if err != nil {
			if len(err.Error()) > 300 {
				t.Fatalf("%v", err)
			}
			return
		}
		back, err := ParsePublicKey(FormatPublicKey(key))
		if err != nil || !bytes.Equal(back, key) || len(key) != 32 {
			t.Fatalf("%x reads back as %x, %v", key, back, err)
		}
	})
}
