package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
)

func someUser() gate.UserToken {
	return gate.UserToken{Key: clientID("Secret000001"), Generation: 2, Epoch: 5, Environment: "production", DistinctID: "ü 1"}
}

// Promise: a user token says what it was made with, as long as it lives, and is neither an access token nor is one a user token.
func TestUserTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made, err := w.MintUser(t.Context(), someUser(), 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	text := made.Text.Reveal()
	want := someUser()
	want.ID, want.ExpiresAt = made.ID, made.ExpiresAt
	if got, found := w.OpenUser(text, w.now); !found || got != want {
		t.Errorf("it says %+v, %v", got, found)
	}
	if _, found := w.Open(text, w.now); found {
		t.Error("a user token is an access token")
	}
	access := w.mint(t, token.Request{Client: client()})
	if _, found := w.OpenUser(access.Text.Reveal(), w.now); found {
		t.Error("an access token is a user token")
	}
	if _, found := w.OpenUser(text, made.ExpiresAt); found {
		t.Error("it outlives its end")
	}
	if _, found := w.OpenUser(text, w.now.Add(-time.Hour)); found {
		t.Error("it was made in the future")
	}
	for _, bad := range []string{"", "a.b.c", text + "x", text[1:], strings.Replace(text, ".", "..", 1)} {
		if _, found := w.OpenUser(bad, w.now); found {
			t.Errorf("%q is one", bad)
		}
	}
	for _, lifetime := range []time.Duration{time.Second, 2 * time.Hour} {
		if _, err := w.MintUser(t.Context(), someUser(), lifetime); problem.Of(err) != problem.InvalidField {
			t.Errorf("for %s: %v", lifetime, err)
		}
	}
}

// Promise: a text that is signed with the right key, and is not exactly what is made here, is no user token.
func TestOnlyUserTokensMadeHereAreAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made, err := w.MintUser(t.Context(), someUser(), 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	header, payload := string(part(t, made.Text.Reveal(), 0)), string(part(t, made.Text.Reveal(), 1))
	key := firstKey(t)
	if _, found := w.OpenUser(sign(key, header, payload), w.now); !found {
		t.Fatal("what is signed by the test is not accepted at all")
	}
	for _, change := range [][2]string{
		{`"ut+jwt"`, `"at+jwt"`}, {`"EdDSA"`, `"none"`}, {`"sub":"ü 1"`, `"sub":""`}, {`"iss":"`, `"iss":"x`}, {`"aud":"`, `"aud":"x`}, {`"azp":"key_`, `"azp":"`},
		{`"environment":"production"`, `"environment":""`}, {`"gen":2`, `"gen":-1`}, {`"gen":2`, `"gen":2,"more":1`}, {`"gen":2`, `"gen":2,"gen":3`}, {`"jti":"`, `"jti":"","x":"`},
	} {
		if _, found := w.OpenUser(sign(key, strings.Replace(header, change[0], change[1], 1), strings.Replace(payload, change[0], change[1], 1)), w.now); found {
			t.Errorf("with %s for %s it is one", change[1], change[0])
		}
	}
}

// Promise: whatever is sent as a user token, nothing but what was made is one.
func FuzzOpenUser(f *testing.F) {
	w := newWorld(f)
	made, err := w.MintUser(f.Context(), someUser(), 10*time.Minute)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(made.Text.Reveal())
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		if _, found := w.OpenUser(text, w.now); found && text != made.Text.Reveal() {
			t.Errorf("%q is one", text)
		}
	})
}
