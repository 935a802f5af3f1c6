package access_test

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: docs/keys.md describes the keys that the program makes. Its worked example is worked out here anew, step by
// step, and every key in it is the example or the one that is shown as mistyped.
func TestKeyDocument(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/keys.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	key := access.WriteKey(access.Public, access.Test, "3fQ9xT0aLmZk", "ThisIsAnExampleNotASecret00")
	body, check := key[:len(key)-6], key[len(key)-6:]
	mistyped := strings.Replace(key, "Zk", "kZ", 1)
	sum := crc32.ChecksumIEEE([]byte(body))
	digits := make([]string, len(check))
	for i := range check {
		digits[i] = fmt.Sprint(strings.IndexByte(access.Alphabet, check[i]))
	}
	for what, text := range map[string]string{
		"the expression":  "\n" + access.KeyPattern + "\n",
		"the alphabet":    "`" + access.Alphabet + "`",
		"the body":        "| `" + body + "` |",
		"the CRC":         fmt.Sprintf("`0x%08x`, that is %d |", sum, sum),
		"the digits":      "| " + strings.Join(digits, ", ") + " |",
		"the check":       "| the check | `" + check + "` |",
		"the key":         "| the key | `" + key + "` |",
		"the wrong key":   "exchanged | `" + mistyped + "` |",
		"the public name": "`" + parse(t, key).Lookup.ID() + "`",
		"the hint":        "`" + access.Hint(key) + "`",
		"the digest":      fmt.Sprintf("\n%x\n", sha256.Sum256([]byte(key))),
	} {
		if !strings.Contains(doc, text) {
			t.Errorf("%s is not in the document as %q", what, text)
		}
	}
	for _, scope := range access.ClientScopes.Names() {
		if !strings.Contains(doc, "`"+scope+"`") {
			t.Errorf("the document does not say that a public key can hold %s", scope)
		}
	}
	for _, text := range regexp.MustCompile(`(pk|sk)_(live|test)_[0-9A-Za-z]{45}`).FindAllString(doc, -1) {
		if _, err := access.ParseKey(text); text != key && (text != mistyped || err != access.ErrKeyChecksum) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func parse(t *testing.T, key string) access.Parsed {
	t.Helper()
	parsed, err := access.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
