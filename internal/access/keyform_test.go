package access_test

import (
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: a key that is written reads back as what it was made of, and matches the published pattern.
func TestKeysReadBack(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(access.KeyPattern)
	rapid.Check(t, func(t *rapid.T) {
		kind, mode, lookup, secret := drawParts(t)
		text := access.WriteKey(kind, mode, lookup, secret)
		got, err := access.ParseKey(text)
		want := access.Parsed{Kind: kind, Mode: mode, Lookup: access.Lookup([]byte(lookup)), Digest: sha256.Sum256([]byte(text))}
		if err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
		if !pattern.MatchString(text) || len(text) != access.KeyLength {
			t.Fatalf("a key of %d characters does not match the pattern", len(text))
		}
		if id := got.Lookup.ID(); id != "key_"+lookup {
			t.Fatalf("id %s", id)
		}
		if back, ok := access.LookupOf(got.Lookup.ID()); !ok || back != got.Lookup {
			t.Fatalf("the id reads back as %s, %v", back, ok)
		}
	})
}

// Promise: WriteKey makes nothing out of wrong parts.
func TestWrongPartsMakeNoKey(t *testing.T) {
	t.Parallel()
	lookup, secret := strings.Repeat("a", access.LookupLength), strings.Repeat("b", access.SecretLength)
	for _, parts := range [][2]string{
		{"", ""}, {lookup[1:], secret}, {lookup + "a", secret}, {lookup, secret[1:]}, {lookup, secret + "b"},
		{lookup + "b", secret[1:]}, {"-" + lookup[1:], secret}, {lookup, " " + secret[1:]}, {lookup, "\xff" + secret[1:]},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("WriteKey made a key of %q", parts)
				}
			}()
			access.WriteKey(access.Secret, access.Live, parts[0], parts[1])
		}()
	}
}

// Promise: every single wrong character and every two neighbours exchanged are noticed, at every place of a key, and the
// reason is the checksum where the form is right and the form where it is not.
func TestEveryTypoIsRefused(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(access.KeyPattern)
	wrong := map[error]int{}
	refused := func(text string) {
		want := access.ErrKeyForm
		if pattern.MatchString(text) {
			want = access.ErrKeyChecksum
		}
		if _, err := access.ParseKey(text); err != want {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
		wrong[want]++
	}
	for _, key := range sampleKeys() {
		for i := range len(key) {
			for c := range 256 {
				if byte(c) != key[i] {
					refused(key[:i] + string([]byte{byte(c)}) + key[i+1:])
				}
			}
			refused(key[:i] + key[i+1:])
			refused(key[:i] + "0" + key[i:])
			if i > 0 && key[i-1] != key[i] {
				refused(key[:i-1] + key[i:i+1] + key[i-1:i] + key[i+1:])
			}
		}
		refused(key + "\n")
		refused(" " + key)
		refused(key + key)
		refused(strings.ToUpper(key))
	}
	t.Logf("%d texts refused for their form, %d for their checksum", wrong[access.ErrKeyForm], wrong[access.ErrKeyChecksum])
}

// Promise: neighbours exchanged are noticed in every key, not only in those above.
func TestExchangedNeighboursAreRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kind, mode, lookup, secret := drawParts(t)
		key := []byte(access.WriteKey(kind, mode, lookup, secret))
		i := rapid.IntRange(1, len(key)-1).Draw(t, "at")
		if key[i-1] == key[i] {
			return
		}
		key[i-1], key[i] = key[i], key[i-1]
		if _, err := access.ParseKey(string(key)); err == nil {
			t.Fatalf("%s is taken", key)
		}
	})
}

// Promise: what is not a key is refused for what is wrong with it, and the words of the refusal hold nothing of it.
func TestWhatIsNotAKey(t *testing.T) {
	t.Parallel()
	key := sampleKeys()[0]
	body := key[len("pk_live_"):]
	for _, text := range []string{
		"", " ", "pk", "pk_live_", "Bearer " + key, key[:len(key)-1], key + "0", "PK_LIVE_" + body, "rk_live_" + body, "pk_prod_" + body,
		"pk_live-" + body, "pklive__" + body, "pk_live_" + body[:44] + "_", "pk_live_" + body[:43] + "\u00e9", "pk_live_" + strings.Repeat("\x00", 45),
		strings.Repeat("pk_live_", 1<<16), "Tsk_" + body, "key_" + body[:12],
	} {
		_, err := access.ParseKey(text)
		if err != access.ErrKeyForm {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	for _, err := range []error{access.ErrKeyForm, access.ErrKeyChecksum} {
		if errors.Unwrap(err) != nil || strings.ContainsAny(err.Error(), "%_0123456789") {
			t.Errorf("%q is not a plain sentence", err)
		}
	}
}

// Promise: a key's public name is read only in the one form it is written in.
func TestLookupOf(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"key_3fQ9xT0aLmZk": true, "key_000000000000": true,
		"": false, "key_": false, "3fQ9xT0aLmZk": false, "KEY_3fQ9xT0aLmZk": false, "key_3fQ9xT0aLmZ": false, "key_3fQ9xT0aLmZkk": false,
		"key_3fQ9xT0aLmZ-": false, "key_3fQ9xT0aLm\u00e9": false, "key_3fQ9xT0aLmZ\n": false, " key_3fQ9xT0aLmZk": false, "key_key_3fQ9xT0a": false,
	} {
		lookup, ok := access.LookupOf(id)
		if ok != want || ok && lookup.ID() != id || !ok && lookup != (access.Lookup{}) {
			t.Errorf("%q: %q, %v", id, lookup, ok)
		}
	}
}

// Promise: a hint shows the prefix, four characters of the public name and the last four of the checksum, and is the
// same for every secret that ends in those.
func TestHintShowsNoSecret(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kind, mode, lookup, secret := drawParts(t)
		key := access.WriteKey(kind, mode, lookup, secret)
		if got, want := access.Hint(key), key[:8]+lookup[:4]+"…"+key[49:]; got != want {
			t.Fatalf("hint %s, want %s", got, want)
		}
		other := key[:12] + rapid.StringMatching(`[0-9A-Za-z]{37}`).Draw(t, "other") + key[49:]
		if access.Hint(other) != access.Hint(key) {
			t.Fatal("the hint depends on more than it may show")
		}
	})
}

// Promise: digests are equal only when every byte is.
func TestDigestEqual(t *testing.T) {
	t.Parallel()
	d := access.Digest(sha256.Sum256([]byte("a")))
	if !d.Equal(d) || (access.Digest{}).Equal(d) {
		t.Fatal("equality is wrong")
	}
	for i := range d {
		other := d
		other[i] ^= 1
		if d.Equal(other) || other.Equal(d) {
			t.Errorf("byte %d does not count", i)
		}
	}
}

// Promise: ParseKey takes exactly the texts that match the pattern and whose last six characters are the checksum, for
// any input, and says which of the two is wrong.
func FuzzParseKey(f *testing.F) {
	for _, key := range sampleKeys() {
		f.Add(key)
		f.Add(key[:len(key)-1] + "0")
		f.Add(key[1:])
	}
	f.Add("")
	f.Add("pk_live_" + strings.Repeat("\xff", 45))
	f.Add("sk_test_" + strings.Repeat("z", 45))
	pattern := regexp.MustCompile(access.KeyPattern)
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := access.ParseKey(text)
		form := pattern.MatchString(text)
		switch {
		case form == (err == access.ErrKeyForm):
			t.Fatalf("%q: the pattern says %v, ParseKey %v", text, form, err)
		case form && (err == nil) != (base62OfCRC(text[:47]) == text[47:]):
			t.Fatalf("%q: ParseKey says %v", text, err)
		case err != nil && parsed != (access.Parsed{}):
			t.Fatal("a refused key has parts")
		case err == nil && access.WriteKey(parsed.Kind, parsed.Mode, text[8:20], text[20:47]) != text:
			t.Fatalf("%q is not written as it was read", text)
		}
	})
}

func BenchmarkParseKey(b *testing.B) {
	key := sampleKeys()[0]
	mistyped := key[:20] + "0" + key[21:]
	b.Run("valid", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := access.ParseKey(key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("mistyped", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := access.ParseKey(mistyped); err == nil {
				b.Fatal("taken")
			}
		}
	})
}

// base62OfCRC is the checksum worked out another way: as a number written in base 62.
func base62OfCRC(body string) string {
	const bigAlphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits := big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))).Text(62)
	digits = strings.Map(func(r rune) rune { return rune(access.Alphabet[strings.IndexRune(bigAlphabet, r)]) }, digits)
	return strings.Repeat("0", 6-len(digits)) + digits
}

func drawParts(t *rapid.T) (access.Kind, access.Mode, string, string) {
	return rapid.SampledFrom([]access.Kind{access.Public, access.Secret}).Draw(t, "kind"),
		rapid.SampledFrom([]access.Mode{access.Live, access.Test}).Draw(t, "mode"),
		rapid.StringMatching(`[0-9A-Za-z]{12}`).Draw(t, "lookup"),
		rapid.StringMatching(`[0-9A-Za-z]{27}`).Draw(t, "secret")
}

// sampleKeys are keys of every kind and mode, with plain and with motley characters.
func sampleKeys() []string {
	var keys []string
	for _, parts := range [][2]string{
		{"3fQ9xT0aLmZk", "ThisIsAnExampleNotASecret00"}, {strings.Repeat("0", 12), strings.Repeat("0", 27)}, {strings.Repeat("z", 12), strings.Repeat("Z", 27)},
	} {
		for _, kind := range []access.Kind{access.Public, access.Secret} {
			for _, mode := range []access.Mode{access.Live, access.Test} {
				keys = append(keys, access.WriteKey(kind, mode, parts[0], parts[1]))
			}
		}
	}
	return keys
}
