package signature

import (
	"bufio"
	"crypto/sha256"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Promise: the worked examples of the documentation are right: the text to be signed, the signature, and that of IEX.
func TestExamplesOfTheDocumentation(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/signatures.md")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := ParseSecret(regexp.MustCompile("`(ss_[^`]{43})`").FindStringSubmatch(string(page))[1])
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(base|http)\n(.*?)\n```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 3 {
		t.Fatalf("%d examples", len(blocks))
	}
	for i, block := range blocks[1:] {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(block[2] + "\n")))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		m := Material{KeyID: "key_3fQ9xT0aLmZk", Secret: secret, Token: sha256.Sum256([]byte(r.URL.Query().Get("token")))}
		v, err := Verify(Of(r), m, start())
		if err == nil {
			err = v.CheckBody(body)
		}
		if err != nil || v.Scheme != []Scheme{Message, IEX}[i] {
			t.Errorf("%s: %v", r.URL, err)
		}
		if v.Scheme != Message {
			continue
		}
		c, err := readClaim(r.Header)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := base(Of(r), c.components, c.list); err != nil || text != blocks[0][2] {
			t.Errorf("%v\n%s\nis not the text of the documentation", err, text)
		}
	}
	if challenge := "Accept-Signature: " + Challenge("key_3fQ9xT0aLmZk") + "\n"; !strings.Contains(string(page), challenge) {
		t.Error("the challenge is another one")
	}
	for kind := Missing; kind <= Full; kind++ {
		if !strings.Contains(string(page), "`"+kind.String()+"`") {
			t.Errorf("what %s means is not said", kind)
		}
	}
}
