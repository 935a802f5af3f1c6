package workflow_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/workflow"
)

// verified checks a signature as the text of Standard Webhooks tells a receiver to: it knows nothing of how it was made.
func verified(secret, id, timestamp string, body []byte, header string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join([]string{id, timestamp, string(body)}, ".")))
	want := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for one := range strings.SplitSeq(header, " ") {
		if version, signature, ok := strings.Cut(one, ","); ok && version == "v1" && hmac.Equal([]byte(signature), []byte(want)) {
			return true
		}
	}
	return false
}

// The published example of Standard Webhooks and its libraries.
const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

// Promise: a signature is that of the standard's own example; with two secrets there are two, each good by itself.
func TestSignatureOfTheStandard(t *testing.T) {
	t.Parallel()
	secret := access.SecretText(vectorSecret)
	got, err := workflow.Sign(vectorID, time.Unix(vectorTime, 0), []byte(vectorBody), secret)
	if err != nil || got != vectorSignature {
		t.Errorf("signed %s, %v", got, err)
	}
	other := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	both, err := workflow.Sign(vectorID, time.Unix(vectorTime, 0), []byte(vectorBody), access.SecretText(other), secret)
	if err != nil || !strings.HasSuffix(both, " "+vectorSignature) {
		t.Errorf("signed %s, %v", both, err)
	}
	for _, one := range []string{vectorSecret, other} {
		if !verified(one, vectorID, "1614265330", []byte(vectorBody), both) {
			t.Errorf("the signature of one of two secrets is not good: %s", both)
		}
	}
	for name, bad := range map[string]string{
		"no prefix": strings.TrimPrefix(vectorSecret, "whsec_"), "short": "whsec_" + base64.StdEncoding.EncodeToString([]byte("short")),
		"not base64": "whsec_!!!!", "empty": "", "long": "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 65))),
	} {
		if _, err := workflow.Sign("i", time.Unix(vectorTime, 0), nil, access.SecretText(bad)); err == nil {
			t.Errorf("%s: it signs", name)
		}
	}
}
