package workflow

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// This file signs deliveries as Standard Webhooks 1.0.0 says.

const (
	secretPrefix = "whsec_"
	secretBytes  = 32 // that are drawn
	leastSecret  = 24 // bytes; the standard's bounds
	mostSecret   = 64
)

// The headers of a delivery.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// newSecret draws a secret: whsec_ and base64.
func newSecret(random io.Reader) (access.Text, error) {
	key := make([]byte, secretBytes)
	if _, err := io.ReadFull(random, key); err != nil {
		return access.Text{}, fmt.Errorf("workflow: draw a secret: %w", err)
	}
	return access.SecretText(secretPrefix + base64.StdEncoding.EncodeToString(key)), nil
}

var errSecret = errors.New("workflow: what is kept is no secret of a webhook")

// keyOf is what a secret signs with.
func keyOf(secret access.Text) ([]byte, error) {
	text, ok := strings.CutPrefix(secret.Reveal(), secretPrefix)
	if !ok {
		return nil, errSecret
	}
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(key) < leastSecret || len(key) > mostSecret {
		return nil, errSecret
	}
	return key, nil
}

// Sign is the value of the header webhook-signature: one signature for each secret, in their order.
func Sign(id string, at time.Time, body []byte, secrets ...access.Text) (string, error) {
	signed := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		key, err := keyOf(secret)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(id + "." + stampOf(at) + "."))
		_, _ = mac.Write(body)
		signed = append(signed, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(signed, " "), nil
}

// stampOf is the value of the header webhook-timestamp.
func stampOf(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
