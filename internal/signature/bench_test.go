package signature_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/signature"
)

func BenchmarkDetectUnsigned(b *testing.B) {
	r := signature.Request{Header: http.Header{"Authorization": {"Bearer " + apiKey}, "X-Api-Key": {apiKey}, "Accept": {"*/*"}}}
	b.ReportAllocs()
	for b.Loop() {
		if signature.Detect(r) != signature.None {
			b.Fatal("it is not signed")
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	m := material(b)
	m.PublicKeys = m.PublicKeys[1:]
	benchmark := func(name string, r *http.Request, body []byte) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := check(r, body, m, now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for name, s := range signers(b) {
		r, body := signedRequest(b, s)
		benchmark(name, r, body)
	}
	r, body := iexRequest(b, iexAddress, payload)
	benchmark("iex", r, body)
}

func BenchmarkVerifyWrong(b *testing.B) {
	m := material(b)
	for name, s := range signers(b) {
		b.Run(name, func(b *testing.B) {
			r, body := signedRequest(b, s)
			r.Method = "PUT"
			b.ReportAllocs()
			for b.Loop() {
				if _, err := check(r, body, m, now()); err == nil {
					b.Fatal("it is right")
				}
			}
		})
	}
}

func BenchmarkNonces(b *testing.B) {
	memory := signature.NewNonces(now())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := now().Add(signature.Window * time.Duration(i/1000)) // a thousand of them pass at a time
		if err := memory.Use(used(keyID, strconv.Itoa(i), at), at); err != nil {
			b.Fatal(err)
		}
	}
}
