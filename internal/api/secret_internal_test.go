package api

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: a request that was read shows none of the secrets in it, however it is printed or logged, and cannot be written again.
func TestRequestsShowNoSecrets(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse-battery"
	read := func(into any, members ...string) any {
		text := "{}"
		for _, name := range members {
			text = strings.TrimSuffix(text, "}") + fmt.Sprintf(`,%q:%q}`, name, secret)
		}
		if err := json.Unmarshal([]byte(strings.Replace(text, "{,", "{", 1)), into, json.RejectUnknownMembers(true)); err != nil {
			t.Fatal(err)
		}
		return into
	}
	var (
		in       signIn
		change   changePassword
		renew    goOn
		accepts  accept
		exchange userFluxExchange
	)
	read(&in.Body, "password")
	read(&change.Body, "password", "new_password")
	read(&renew.Body, "refresh_token")
	read(&accepts.Body, "token", "password")
	read(&exchange.Body, "clientSecret", "environmentApiKey")
	if in.Body.Password.Reveal() != secret || change.Body.NewPassword.Reveal() != secret || renew.Body.RefreshToken.Reveal() != secret || accepts.Body.Token.Reveal() != secret {
		t.Error("a secret was not read")
	}
	text := access.SecretText(secret)
	for _, value := range []any{
		in, &in, change, &change, renew, &renew, accepts, &accepts, exchange, &exchange, tokenOf{text: text},
	} {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("request", "value", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("request", "value", value)
		printed := fmt.Sprintf("%v %+v %#v %s %q %x %d", value, value, value, value, value, value, value)
		if strings.Contains(printed+log.String(), secret) || strings.Contains(printed, fmt.Sprintf("%x", secret)) {
			t.Errorf("%T shows its secret: %s %s", value, printed, log.String())
		}
		if written, err := json.Marshal(value); err == nil && strings.Contains(string(written), secret) {
			t.Errorf("%T is written with its secret: %s", value, written)
		}
	}
}
