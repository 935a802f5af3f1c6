package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/signature"
)

// event is the body of every request: about 300 bytes.
const event = `{"environment":"production","event":"Button Clicked","distinct_id":"user-8123","anonymous_id":null,` +
	`"session_id":"session-0191b3a2","device_id":"device-77aa","timestamp":"2026-11-22T03:38:30.319Z",` +
	`"properties":{"page":"pricing","plan":"pro","$lib":"bench","$url":"https://example.com/pricing","value":12.5}}`

// variant is one key that the same requests are sent with. A new one is a row in variants.
type variant struct {
	name string
	key  []string                              // arguments of 'weir keys create' that make it; nil: the bare handler
	head func(key made, address string) header // dresses the requests of one connection
}

// variants are what is measured beside the floor. Their limits are counted and never reached.
func variants() []variant {
	return []variant{
		{name: "public key", key: []string{"--kind", "public", "--rate", "1000000:1000000000"}, head: inHeader},
		{name: "restricted key", key: []string{
			"--kind", "secret", "--scopes", "events:write", "--environments", "staging,production", "--networks", "192.0.2.0/24", "--networks", "127.0.0.0/8",
			"--events", "Page Viewed", "--events", "Button *", "--not-before", "2026-01-01T00:00:00Z", "--expires", "24h",
			"--rate", "1000000:1000000000", "--daily", "1000000000000", "--credits", "1000000000000",
		}, head: inHeader},
		{name: "signed key", key: []string{
			"--kind", "secret", "--scopes", "events:write", "--signature", "--rate", "1000000:1000000000",
		}, head: signed},
	}
}

// bare is the floor: the least that a server in net/http can do with the requests.
func bare() variant { return variant{name: "bare handler", head: inHeader} }

func names() []string {
	var all []string
	for _, v := range variants() {
		all = append(all, v.name)
	}
	return all
}

// made is what 'weir keys create' prints of a key.
type made struct {
	ID            string `json:"id"`
	Key           string `json:"key"`
	SigningSecret string `json:"signing_secret"`
}

// makeKey makes a variant's key in a data folder that no server uses yet: there it is the operator who asks.
func (b *bench) makeKey(data string, v variant) (key made, err error) {
	args := append([]string{"keys", "create", "--data", data, "--json"}, v.key...)
	out, err := exec.Command(filepath.Join(b.folder, "weir"), args...).CombinedOutput()
	if err == nil {
		err = json.Unmarshal(out, &key)
	}
	if err != nil {
		return key, fmt.Errorf("making the key: %w: %s", err, out)
	}
	return key, nil
}

// header gives the lines, each with its end, that carry the key of the next request with the body event.
type header func() string

// inHeader sends the key in X-API-Key, the same in every request.
func inHeader(key made, _ string) header {
	line := "X-API-Key: " + key.Key + "\r\n"
	return func() string { return line }
}

// signed signs each request anew (RFC 9421, HMAC-SHA256), which the load's core pays for too.
func signed(key made, address string) header {
	secret, err := signature.ParseSecret(key.SigningSecret)
	if err != nil {
		panic(err) // the server made it
	}
	signer := signature.Signer{KeyID: key.ID, Secret: secret}
	return func() string {
		r, err := http.NewRequest(http.MethodPost, "http://"+address+"/track", nil)
		if err != nil {
			panic(err)
		}
		r.Header = http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {key.Key}}
		nonce, err := signature.NewNonce(rand.Reader)
		if err == nil {
			err = signer.Sign(r, []byte(event), time.Now(), nonce)
		}
		if err != nil {
			panic(err)
		}
		var lines strings.Builder
		for _, name := range [...]string{"X-Api-Key", "Content-Digest", "Signature-Input", "Signature"} {
			fmt.Fprintf(&lines, "%s: %s\r\n", name, r.Header.Get(name))
		}
		return lines.String()
	}
}
