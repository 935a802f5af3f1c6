package token_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
)

func audiences() []string { return []string{issuerURL, issuerURL + "/v1/oauth/token"} }

// Promise: an assertion of RFC 7523 is accepted when it is signed with a registered key, by its client, for this server, for
// five minutes at the most; and nothing else is. The sender is told what is wrong.
func TestAssertionsAreChecked(t *testing.T) {
	t.Parallel()
	key, _ := edKey(1)
	other, _ := edKey(2)
	strange, _ := edKey(3)
	first, second := key.Public().(ed25519.PublicKey), other.Public().(ed25519.PublicKey)
	header := `{"alg":"EdDSA","typ":"JWT","kid":"mine"}`
	claims := fmt.Sprintf(`{"iss":"key_Client000001","sub":"key_Client000001","aud":"https://weir.example.com","exp":%d,"iat":%d,"jti":"one"}`, noon().Unix()+60, noon().Unix())
	h := func(from, to string) string { return sign(key, strings.Replace(header, from, to, 1), claims) }
	c := func(from, to string) string { return sign(key, header, strings.Replace(claims, from, to, 1)) }
	expires := func(after int64) string {
		return c(fmt.Sprint(`"exp":`, noon().Unix()+60), fmt.Sprint(`"exp":`, noon().Unix()+after))
	}
	issued := func(after int64) string {
		return c(fmt.Sprint(`"iat":`, noon().Unix()), fmt.Sprint(`"iat":`, noon().Unix()+after))
	}
	good := sign(key, header, claims)
	for text, detail := range map[string]string{
		good: "", "": "three parts", good + "\n": "three parts", sign(other, header, claims): "", sign(strange, header, claims): "not signed",
		h("EdDSA", "none"): "alg", h("EdDSA", "HS256"): "alg", h("EdDSA", "Ed25519"): "", h("EdDSA", "Ed448"): "alg", h("{", `{"alg":"EdDSA",`): "header", h("{", `{"crit":["exp"],`): "crit", h("{", `{"b64":false,`): "b64",
		h(`,"typ":"JWT"`, ""): "", h("JWT", "client-authentication+jwt"): "", h("{", `{"x5u":"https://rival.example.com",`): "",
		c(`"sub":"key_Client000001"`, `"sub":"key_Client000002"`): "iss and sub", c(`"iss":"key_Client000001",`, ""): "iss and sub",
		c(`"aud":"https://weir.example.com"`, `"aud":"https://weir.example.com/v1/oauth/token"`): "", c(`"aud":"https://weir.example.com"`, `"aud":["https://a","https://weir.example.com"]`): "",
		c(`"aud":"https://weir.example.com"`, `"aud":[]`): "aud", c(`"aud":"https://weir.example.com"`, `"aud":[1]`): "claims", c(`"aud":"https://weir.example.com",`, ""): "aud",
		c("https://weir.example.com", "https://weir.example.com/"): "aud", c(`"https://weir.example.com"`, `[`+strings.Repeat(`"a",`, 8)+`"https://weir.example.com"]`): "aud",
		expires(0): "", expires(-59): "", expires(-60): "expired", expires(300): "", expires(360): "", expires(361): "more than 300", c(`"exp":`, `"ex":`): "exp", c(`"exp":1`, `"exp":"1`): "claims",
		issued(60): "", issued(61): "not valid yet", issued(-3600): "", c(`"iat":1`, `"nbf":2000000000,"iat":1`): "not valid yet", c(`"iat":1`, `"iat":-1`): "exp must be", c(`"iat":1`, `"nbf":-1,"iat":1`): "exp must be",
		c(`"jti":"one"`, `"x":1`): "jti", c(`"one"`, `"`+strings.Repeat("x", 257)+`"`): "jti", c("{", `{"jti":"two",`): "claims", c("{", `{"scope":"all","x":{"y":[]},`): "",
	} {
		a, err := token.ReadAssertion(text)
		if err == nil {
			if a.ClientID != "key_Client000001" {
				t.Errorf("read %+v", a)
			}
			var once token.Once
			once, err = a.Verify([]ed25519.PublicKey{second, first}, audiences(), noon())
			if err == nil && once.ID != "one" {
				t.Errorf("once is %+v", once)
			}
		}
		if detail == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		wantProblem(t, detail, err, problem.InvalidClient)
		if err != nil && !strings.Contains(problem.From(err).Detail, detail) {
			t.Errorf("%q instead of %q", problem.From(err).Detail, detail)
		}
	}
	a, err := token.ReadAssertion(good)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Verify(nil, audiences(), noon())
	wantProblem(t, "no keys", err, problem.InvalidClient)
}

// Promise: what may be shown once is accepted once, by however many at the same time; for each client by itself; and not when
// it was made before the server started.
func TestOnceIsOnce(t *testing.T) {
	t.Parallel()
	replays := token.NewReplays(noon())
	once := token.Once{ID: "one", Made: noon(), Until: noon().Add(time.Minute)}
	var accepted atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if replays.Use("key_Client000001", once, noon()) == nil {
				accepted.Add(1)
			}
		})
	}
	all.Wait()
	if accepted.Load() != 1 {
		t.Errorf("accepted %d times", accepted.Load())
	}
	if err := replays.Use("key_Client000002", once, noon()); err != nil {
		t.Error(err)
	}
	if err := replays.Use("key_Client000001", once, noon()); err == nil || !strings.Contains(err.Error(), "was used before") {
		t.Errorf("again: %v", err)
	}
	old := token.Once{ID: "two", Made: noon().Add(-time.Second), Until: noon().Add(time.Minute)}
	if err := replays.Use("key_Client000001", old, noon()); err == nil || !strings.Contains(err.Error(), "no longer knows") {
		t.Errorf("from before the start: %v", err)
	}
	late := token.Once{ID: "three", Made: noon(), Until: noon().Add(time.Minute)}
	if err := replays.Use("key_Client000001", late, noon().Add(time.Hour)); err == nil {
		t.Error("accepted after its time")
	}
}

// Promise: no assertion makes the reader fail otherwise than by refusing it, and it accepts only what the client signed.
func FuzzReadAssertion(f *testing.F) {
	key, _ := edKey(1)
	good := sign(key, `{"alg":"EdDSA"}`, fmt.Sprintf(`{"iss":"a","sub":"a","aud":["https://weir.example.com"],"exp":%d,"jti":"b"}`, noon().Unix()+60))
	f.Add(good)
	f.Add(strings.Replace(good, ".", "", 1))
	f.Add(encode(`{"alg":"EdDSA"}`) + "." + encode(`{"iss":"a","sub":"a","aud":{},"exp":1e999}`) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)))
	f.Fuzz(func(t *testing.T, text string) {
		a, err := token.ReadAssertion(text)
		if err == nil {
			_, err = a.Verify([]ed25519.PublicKey{key.Public().(ed25519.PublicKey)}, audiences(), noon())
		}
		if err != nil {
			wantProblem(t, "read", err, problem.InvalidClient)
		}
		if (err == nil) != (text == good) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
