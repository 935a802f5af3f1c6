package signature

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Promise: no form in which a credential stands in a signature base survives, and the rest of the base does.
func TestCredentialsAreReplaced(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`"authorization": Bearer sk_live_x`:          `"authorization": [secret]`,
		`"authorization";bs: :c2tfbGl2ZV94:`:         `"authorization";bs: [secret]`,
		`"x-api-key": sk_live_x`:                     `"x-api-key": [secret]`,
		`"X-API-Key": sk_live_x`:                     `"X-API-Key": [secret]`,
		`"cookie": a=b`:                              `"cookie": [secret]`,
		`"proxy-authorization": Basic x`:             `"proxy-authorization": [secret]`,
		`"@query": ?apiKey=sk&a=1`:                   `"@query": ?apiKey=[secret]&a=1`,
		`"@query": ?a=1&APIKEY=sk&token=x;key=y`:     `"@query": ?a=1&APIKEY=[secret]&token=[secret];key=[secret]`,
		`"@query": ?api%4Bey=sk&api_key=x&keys=1`:    `"@query": ?api%4Bey=[secret]&api_key=[secret]&keys=1`,
		`"@query": ?access_token=a=b`:                `"@query": ?access_token=[secret]`,
		`"@query": ?token`:                           `"@query": ?token`,
		`"@target-uri": https://h/p?token=x&y=1`:     `"@target-uri": https://h/p?token=[secret]&y=1`,
		`"@request-target": /p?token=x`:              `"@request-target": /p?token=[secret]`,
		`"@query-param";name="token": x`:             `"@query-param";name="token": [secret]`,
		`"@query-param";name="api%5fkey": x`:         `"@query-param";name="api%5fkey": [secret]`,
		`"@query-param";name="other": token=x`:       `"@query-param";name="other": token=x`,
		`"@path": /token=x`:                          `"@path": /token=x`,
		`"content-type": text/plain; token=x`:        `"content-type": text/plain; token=x`,
		`"@signature-params": ("x-api-key");tag="a"`: `"@signature-params": ("x-api-key");tag="a"`,
		`token=x`:          `token=[secret]`,
		`?token=x&a=1`:     `?token=[secret]&a=1`,
		`host:example.com`: `host:example.com`,
		`"broken`:          `"broken`,
		``:                 ``,
	} {
		if got := redactLine(line); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// Promise: a credential in the query is replaced wherever it stands among whatever parameters.
func TestCredentialsInQueriesAreReplaced(t *testing.T) {
	t.Parallel()
	part := rapid.SampledFrom([]string{"a=1", "b", "c=%20", "=", "x=y=z", ""})
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(part, 0, 5).Draw(t, "parts")
		name := rapid.SampledFrom([]string{"apiKey", "api_key", "token", "key", "access_token", "Token", "%74oken"}).Draw(t, "name")
		at := rapid.IntRange(0, len(parts)).Draw(t, "at")
		all := append(append(append([]string{}, parts[:at]...), name+"=sk_live_secret"), parts[at:]...)
		query := "?" + strings.Join(all, "&")
		if got := redactLine(`"@query": ` + query); got != strings.Replace(`"@query": `+query, "sk_live_secret", hidden, 1) {
			t.Fatalf("%s", got)
		}
	})
}

// Promise: finding out why a signature is wrong costs a bounded number of checks, however many keys there are.
func TestDiagnosisIsBounded(t *testing.T) {
	t.Parallel()
	for keys, want := range map[int]int{0: 4, 1: 4, 2: 2, 4: 1, 5: 0} {
		m := Material{PublicKeys: make([]ed25519.PublicKey, keys)}
		if got := tries(m, Ed25519) * max(keys, 1); got > maxTries/2 || tries(m, Ed25519) != want {
			t.Errorf("%d keys: %d checks", keys, got)
		}
	}
}
