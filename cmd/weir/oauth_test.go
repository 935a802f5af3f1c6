package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/weir-analytics/weir/internal/api"
)

// Promise: clients of OAuth that others wrote complete their flows unmodified: openid-client, oauth4webapi and
// golang.org/x/oauth2.
func TestClientsOfOAuth(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	r := install(t).serve("--listen", address)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var made api.Key
	parent := "key_" + r.secret[len("sk_live_"):][:12]
	body := map[string]any{"kind": "client", "parent": parent, "scopes": []string{"sql:run"}, "public_keys": []string{base64.StdEncoding.EncodeToString(public)}}
	status, answer, err := r.send(t.Context(), r.secret, "/v1/keys", body)
	if err != nil || status != http.StatusCreated || json.Unmarshal(answer, &made) != nil {
		t.Fatalf("the client: %d %s %v", status, answer, err)
	}
	t.Run("golang.org/x/oauth2", func(t *testing.T) {
		for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams, oauth2.AuthStyleAutoDetect} {
			cfg := clientcredentials.Config{ClientID: made.ID, ClientSecret: made.Key, TokenURL: r.url + "/v1/oauth/token", AuthStyle: style, Scopes: []string{"sql:run"}}
			answer, err := cfg.Client(t.Context()).Get(r.url + "/v1/whoami")
			if err != nil {
				t.Fatal(err)
			}
			var who api.WhoAmI
			if err := json.NewDecoder(answer.Body).Decode(&who); err != nil || who.KeyID != made.ID || who.Kind != "token" {
				t.Errorf("with style %d: %d %+v %v", style, answer.StatusCode, who, err)
			}
			_ = answer.Body.Close()
		}
	})
	t.Run("openid-client and oauth4webapi", func(t *testing.T) {
		if _, err := os.Stat("../../tools/oauth/node_modules"); err != nil {
			t.Fatal("the clients are not installed: scripts/test-deps installs them")
		}
		key, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), "node", "check.mjs")
		c.Dir = "../../tools/oauth"
		c.Env = append(os.Environ(), "WEIR="+r.url, "CLIENT_ID="+made.ID, "CLIENT_SECRET="+made.Key, "CLIENT_KEY="+base64.StdEncoding.EncodeToString(key))
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}
