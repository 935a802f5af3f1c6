package signature

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"
	"time"
)

// Promise: IEX-HMAC-SHA256 is computed as IEX's own samples compute it: each step has the value that was taken from a
// real client.
func TestIEXVector(t *testing.T) {
	t.Parallel()
	const date, token, secret = "20240102T030405Z", "pk_example", "sk_example"
	parts := iexParts{
		method: "GET", path: "/v1/stock/aapl/company", query: "token=" + token, host: "127.0.0.1:8080", date: date, payload: hexSHA256(nil),
	}
	for _, c := range []struct{ what, got, want string }{
		{"canonical request", hexSHA256([]byte(parts.canonical())), "9f94c10403762a382e9b5c4f5fb128bd613870761503a7534b1d866d4795ff65"},
		{"key", string(iexKey([]byte(secret), date)), "36d7c51c23589696e87d7c043def4238a8d99cc16c501096d8250d19ad4096d8"},
		{"signature", hex.EncodeToString(parts.sign(iexKey([]byte(secret), date))), "61f9d38cb6f1a7bcefbc79476013a222bcdb8d4e32a058a22ec956d50fae94b2"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
		}
	}
	r := Request{Method: "GET", Authority: "127.0.0.1:8080", Path: "/v1/stock/aapl/company", Query: "token=" + token, Header: http.Header{
		"X-Iex-Date":    {date},
		"Authorization": {"IEX-HMAC-SHA256 Credential=pk_example/20240102/iex_request, SignedHeaders=host;x-iex-date, Signature=61f9d38cb6f1a7bcefbc79476013a222bcdb8d4e32a058a22ec956d50fae94b2"},
	}}
	m := Material{KeyID: "key_example", Token: sha256.Sum256([]byte(token)), Secret: secretText(secret)}
	v, err := Verify(r, m, time.Date(2024, 1, 2, 3, 8, 0, 0, time.UTC))
	if err == nil {
		err = v.CheckBody(nil)
	}
	if err != nil {
		t.Error(err)
	}
}
