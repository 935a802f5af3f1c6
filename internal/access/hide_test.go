package access_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: of a key in a text its prefix and public name stay, and nothing of its secret: whole, cut short, glued to
// other words, in capitals, without its prefix or with a wrong one. Other words stay as they are.
func TestHideKeys(t *testing.T) {
	t.Parallel()
	key := sampleKeys()[2] // a secret one
	word, other := key[8:], sampleKeys()[1]
	shown, bare := key[:20]+"…", word[:12]+"…"
	for text, want := range map[string]string{
		key:                                       shown,
		"a key: " + key + ".":                     "a key: " + shown + ".",
		key + key:                                 shown + "_live_" + bare, // the first one's word has the second's "sk"
		key + " " + other:                         shown + " " + other[:20] + "…",
		key + "\n" + key:                          shown + "\n" + shown,
		"mykey" + key + "0and more":               "mykey" + shown + " more",
		"0123456789" + key:                        "0123456789" + shown,
		key[:52]:                                  shown,
		key[:21]:                                  shown,
		key[:20]:                                  key[:20],
		"x" + key[:30] + "-" + key[:30]:           "x" + shown + "-" + shown,
		strings.ToUpper(key):                      strings.ToUpper(key[:20]) + "…",
		word:                                      bare,
		key[1:]:                                   "k_live_" + bare,
		"live_" + word:                            "live_" + bare,
		"sk-live-" + word + "xyz":                 "sk-live-" + bare,
		"sk%5Flive%5F" + word:                     "sk%5Flive%5F" + bare,
		"0" + word + "0":                          "0" + bare,
		word[:44] + "0":                           word[:44] + "0", // no checksum says that it is one
		strings.Repeat("sk_live_", 40):            strings.Repeat("sk_live_", 40),
		"test_" + strings.Repeat("word", 4):       "test_" + strings.Repeat("word", 4),
		"key_" + word[:12] + " of sk_live_ is":    "key_" + word[:12] + " of sk_live_ is",
		"Bearer eyJhbGciOi.eyJpc3M.c2lnbmVk x":    "Bearer eyJhbGciOi.eyJpc3M.… x",
		"eyJh.eyJp.c2ln,eyJh.eyJp.c-_n":           "eyJh.eyJp.…,eyJh.eyJp.…",
		"xeyJh.eyJp.c2ln.more":                    "xeyJh.eyJp.….more",
		"eyJh.." + word + " eyJh.x.sig":           "eyJh..… eyJh.x.…",
		key + ".eyJh.b.sig":                       shown + ".eyJh.b.…",
		"eyJh.eyJp. eyJh.eyJp eyJ key.json.value": "eyJh.eyJp. eyJh.eyJp eyJ key.json.value",
		"":                        "",
		"Ein Schlüssel fehlt, 没有": "Ein Schlüssel fehlt, 没有",
	} {
		if got := access.HideKeysIn(text); got != want {
			t.Errorf("%q\n got %q\nwant %q", text, got, want)
		}
		if got := string(access.HideKeys([]byte(text))); got != want {
			t.Errorf("bytes %q\n got %q\nwant %q", text, got, want)
		}
	}
}

// Promise: no twelve characters of any key's secret are left of a text that the key stands in, wherever it stands.
func TestHideKeysInAnyText(t *testing.T) {
	t.Parallel()
	around := rapid.StringMatching(`([a-zA-Z0-9_ "\\%é-]|sk_|live_|pk_test_){0,12}`)
	rapid.Check(t, func(t *rapid.T) {
		kind, mode, lookup, secret := drawParts(t)
		key := access.WriteKey(kind, mode, lookup, secret)
		text := around.Draw(t, "before") + key + around.Draw(t, "after")
		got := access.HideKeysIn(text)
		for from := range len(secret) - 11 {
			if strings.Contains(got, secret[from:from+12]) {
				t.Fatalf("%q shows characters %d to %d of the secret", got, from, from+12)
			}
		}
		if again := access.HideKeysIn(got); again != got {
			t.Fatalf("%q became %q the second time", got, again)
		}
		if !strings.Contains(got, lookup) {
			t.Fatalf("%q does not say which key it was", got)
		}
	})
}

// Promise: hiding takes nothing from a text but words, for any bytes; a JSON text stays one; bytes and texts agree.
func FuzzHideKeys(f *testing.F) {
	for _, key := range sampleKeys() {
		f.Add(key)
		f.Add(`{"a":"\u0061` + key + `\n","` + key[8:] + `":1}`)
		f.Add("\\" + key[3:] + "\xff" + key[:30])
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := access.HideKeysIn(text)
		if same := string(access.HideKeys([]byte(text))); same != got {
			t.Fatalf("%q and %q", got, same)
		}
		if json.Valid([]byte(text)) && !json.Valid([]byte(got)) {
			t.Fatalf("%q is no JSON any more: %q", text, got)
		}
		rest := text
		for i, part := range strings.Split(got, "…") {
			if i > 0 {
				rest = strings.TrimPrefix(rest, "…")
			}
			at := strings.Index(rest, part)
			if at < 0 {
				t.Fatalf("%q has %q, which %q has not", got, part, text)
			}
			rest = rest[at+len(part):]
		}
	})
}

func BenchmarkHideKeys(b *testing.B) {
	agent := "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	b.ReportAllocs()
	for b.Loop() {
		if access.HideKeysIn(agent) != agent {
			b.Fatal("hidden")
		}
	}
}
