package weir

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Signing is what requests are signed with, by RFC 9421: the secret, or the private key.
type Signing struct {
	KeyID      string             // the key's public name, key_…
	Secret     string             // the signing secret, ss_…, for HMAC-SHA256
	PrivateKey ed25519.PrivateKey // for Ed25519
}

// String hides the secret and the private key.
func (s *Signing) String() string { return "signing for " + s.KeyID }

// GoString hides them too.
func (s *Signing) GoString() string { return s.String() }

func (s *Signing) valid() error {
	switch {
	case s == nil:
		return nil
	case s.KeyID == "":
		return errors.New("weir: signing needs the key's id")
	case (s.Secret == "") == (len(s.PrivateKey) != ed25519.PrivateKeySize):
		return errors.New("weir: signing needs a secret or a private key, and not both")
	}
	return nil
}

// covered are the headers that a signature covers when they are there.
var covered = [...]string{"Content-Type", "Authorization", "X-API-Key"}

// Sign adds a signature to a request whose body is body. Its method, URL and headers must not change afterwards.
func (s *Signing) Sign(q *http.Request, body []byte, now time.Time) error {
	if err := s.valid(); err != nil {
		return err
	}
	host := q.Host
	if host == "" {
		host = q.URL.Host
	}
	path := q.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	host = strings.TrimSuffix(strings.ToLower(host), map[string]string{"http": ":80", "https": ":443"}[q.URL.Scheme])
	parts := [][2]string{{"@method", q.Method}, {"@authority", host}, {"@path", path}, {"@query", "?" + q.URL.RawQuery}}
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		q.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
		parts = append(parts, [2]string{"content-digest", q.Header.Get("Content-Digest")})
	}
	for _, name := range covered {
		if value := q.Header.Get(name); value != "" {
			parts = append(parts, [2]string{strings.ToLower(name), value})
		}
	}
	var names, text strings.Builder
	for i, part := range parts {
		if i > 0 {
			names.WriteByte(' ')
		}
		fmt.Fprintf(&names, "%q", part[0])
		fmt.Fprintf(&text, "%q: %s\n", part[0], part[1])
	}
	params := fmt.Sprintf(`(%s);created=%d;nonce="%s";keyid="%s";tag="weir-v1"`, names.String(), now.Unix(), rand.Text(), s.KeyID)
	fmt.Fprintf(&text, `"@signature-params": %s`, params)
	q.Header.Set("Signature-Input", "sig="+params)
	q.Header.Set("Signature", "sig=:"+base64.StdEncoding.EncodeToString(s.sum([]byte(text.String())))+":")
	return nil
}

func (s *Signing) sum(text []byte) []byte {
	if s.Secret == "" {
		return ed25519.Sign(s.PrivateKey, text)
	}
	mac := hmac.New(sha256.New, []byte(s.Secret))
	mac.Write(text)
	return mac.Sum(nil)
}
