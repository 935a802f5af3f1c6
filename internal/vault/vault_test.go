package vault_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/vault"
)

// random is a source of keys that is the same in each run.
func random(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func newKey(t testing.TB, seed byte) (vault.Key, string) {
	t.Helper()
	k, text, err := vault.NewKey(random(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k, text.Reveal()
}

func seal(t testing.TB, v *vault.Vault, plain, about string) string {
	t.Helper()
	sealed, err := v.Seal([]byte(plain), about)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

const about = "key_4f8a/signing"

// Promise: what was sealed is opened again, by the same key and about the same thing, however long it is up to the limit;
// and it is sealed differently each time.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	k, _ := newKey(t, 1)
	v := vault.New(k)
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 0, 4096).Draw(t, "plain")
		about := rapid.StringN(1, 60, 256).Draw(t, "about")
		sealed, err := v.Seal(plain, about)
		again, errAgain := v.Seal(plain, about)
		if err != nil || errAgain != nil || sealed == again || !strings.HasPrefix(sealed, "v1."+k.ID()+".") {
			t.Fatalf("%q, %v and %q, %v", sealed, err, again, errAgain)
		}
		if got, err := v.Open(sealed, about); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%x is opened as %x, %v", plain, got, err)
		}
	})
}

// Promise: a sealed text with any byte changed, with one more or one less, is not opened.
func TestNoByteCanBeChanged(t *testing.T) {
	t.Parallel()
	k, _ := newKey(t, 1)
	v := vault.New(k)
	sealed := seal(t, v, "whsec_0123456789abcdef", about)
	tried := 0
	refused := func(changed string) {
		tried++
		if got, err := v.Open(changed, about); err == nil || got != nil || !errors.Is(err, vault.ErrNotGenuine) && !errors.Is(err, vault.ErrNoKey) {
			t.Errorf("%q is opened as %q, %v", changed, got, err)
		}
	}
	for i := range len(sealed) {
		for b := range 256 {
			if byte(b) != sealed[i] {
				refused(sealed[:i] + string([]byte{byte(b)}) + sealed[i+1:])
			}
		}
		refused(sealed[:i])
		refused(sealed[:i] + sealed[i+1:])
	}
	for i := range len(sealed) + 1 {
		for _, more := range []string{"\n", "\r", " ", "A", "=", "."} {
			refused(sealed[:i] + more + sealed[i:])
		}
	}
	t.Logf("%d changes", tried)
}

// Promise: a sealed text is of no use in another's place, under another key, or in a vault without keys.
func TestASealedTextIsBound(t *testing.T) {
	t.Parallel()
	k, _ := newKey(t, 1)
	other, _ := newKey(t, 2)
	v := vault.New(k)
	sealed := seal(t, v, "secret", about)
	for _, wrong := range []string{"", "key_4f8a/signin", "key_4f8a/signing ", "key_4f8b/signing", "KEY_4f8a/signing", about + "\x00", strings.Repeat("x", 257)} {
		if got, err := v.Open(sealed, wrong); !errors.Is(err, vault.ErrNotGenuine) {
			t.Errorf("about %q it is opened as %q, %v", wrong, got, err)
		}
	}
	if got, err := vault.New(other).Open(sealed, about); !errors.Is(err, vault.ErrNoKey) || !strings.Contains(err.Error(), k.ID()) {
		t.Errorf("another key opens it as %q, %v", got, err)
	}
	// A text that says it was sealed under the other key.
	if got, err := vault.New(other).Open(strings.Replace(sealed, k.ID(), other.ID(), 1), about); !errors.Is(err, vault.ErrNotGenuine) {
		t.Errorf("another key's name opens it as %q, %v", got, err)
	}
	for name, empty := range map[string]*vault.Vault{"zero": {}, "without": vault.New(vault.Key{})} {
		if got, err := empty.Open(sealed, about); !errors.Is(err, vault.ErrNoKey) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if got, err := empty.Seal([]byte("x"), about); !errors.Is(err, vault.ErrNoKey) || got != "" || empty.Stale(sealed) || empty.KeyID() != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// Promise: what is too long is refused, with its length.
func TestLimits(t *testing.T) {
	t.Parallel()
	k, _ := newKey(t, 1)
	v := vault.New(k)
	for _, c := range []struct {
		plain, about int
		want         string
	}{
		{4096, 256, ""}, {0, 1, ""}, {4097, 1, "a secret of 4097 bytes"}, {1, 0, "1 to 256 bytes, not 0"}, {1, 257, "1 to 256 bytes, not 257"},
	} {
		sealed, err := v.Seal(make([]byte, c.plain), strings.Repeat("a", c.about))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || (sealed == "") == (err == nil) {
			t.Errorf("%d about %d: %v", c.plain, c.about, err)
		}
	}
	for _, text := range []string{"", ".", "v1", "v1.", "v1..", "v1." + k.ID(), "v1." + k.ID() + ".", "v1." + k.ID() + ".AAAA", strings.Repeat("v", 1<<20)} {
		if got, err := v.Open(text, about); !errors.Is(err, vault.ErrNotGenuine) || v.Stale(text) {
			t.Errorf("%.20q: %q, %v", text, got, err)
		}
	}
}

// Promise: when the key is changed, what was sealed before is still opened and known to be stale; sealed anew it needs
// the former key no more.
func TestRotation(t *testing.T) {
	t.Parallel()
	first, _ := newKey(t, 1)
	second, _ := newKey(t, 2)
	third, _ := newKey(t, 3)
	old := seal(t, vault.New(first), "secret", about)
	v := vault.New(third, second, first)
	got, err := v.Open(old, about)
	if err != nil || string(got) != "secret" || !v.Stale(old) {
		t.Fatalf("%q, %v, stale %v", got, err, v.Stale(old))
	}
	anew := seal(t, v, string(got), about)
	if v.Stale(anew) || v.KeyID() != third.ID() {
		t.Error("what was sealed anew is stale")
	}
	only := vault.New(third)
	if got, err := only.Open(anew, about); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if only.Stale(old) {
		t.Error("what cannot be opened cannot be sealed anew")
	}
}

// Promise: the form is the one that is documented, so that another program can open what this one sealed; and what was
// sealed by an earlier version of this one is still opened.
func TestTheFormIsTheDocumentedOne(t *testing.T) {
	t.Parallel()
	k, text := newKey(t, 7)
	root, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "mk_"))
	if err != nil {
		t.Fatal(err)
	}
	derive := func(use string) []byte {
		out, err := hkdf.Key(sha256.New, root, nil, use, 32)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	digest := sha256.Sum256(derive("weir/vault/v1/id"))
	if id := hex.EncodeToString(digest[:])[:8]; k.ID() != id {
		t.Errorf("the id is %s, want %s", k.ID(), id)
	}
	block, err := aes.NewCipher(derive("weir/vault/v1/seal"))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	sealed := seal(t, vault.New(k), "secret", about)
	head, body := sealed[:12], sealed[12:]
	box, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := gcm.Open(nil, box[:12], box[12:], []byte(head+about)); err != nil || string(plain) != "secret" {
		t.Errorf("%q, %v", plain, err)
	}
	const kept = "v1.86b490bd.GNyCfyLIVVAfmTTH5YiwV4LMsqE6-D3lz1weYNl6PjBDCxpKDpg9Hd9Y"
	parsed, err := vault.ParseKey(access.SecretText("mk_cbf3pN8UXMb3G6RL79lWyVOqEFnHYDmqMGiWpjKkqV4"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := vault.New(parsed).Open(kept, about); err != nil || string(plain) != "sealed in 2026" {
		t.Errorf("%q, %v; now it would be %s", plain, err, seal(t, vault.New(parsed), "sealed in 2026", about))
	}
}

// Promise: a vault can be used by many at once.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	k, _ := newKey(t, 1)
	former, _ := newKey(t, 2)
	v := vault.New(k, former)
	seen := sync.Map{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				sealed, err := v.Seal([]byte("secret"), about)
				if plain, errOpen := v.Open(sealed, about); err != nil || errOpen != nil || string(plain) != "secret" {
					t.Error(err, errOpen)
				}
				if _, again := seen.LoadOrStore(sealed, true); again {
					t.Error("sealed twice the same")
				}
			}
		})
	}
	all.Wait()
}

// Promise: Zero leaves nothing of a secret.
func TestZero(t *testing.T) {
	t.Parallel()
	secret := []byte("secret")
	vault.Zero(secret)
	vault.Zero(nil)
	if !bytes.Equal(secret, make([]byte, 6)) {
		t.Errorf("%q is left", secret)
	}
}

// Promise: whatever is kept in the place of a sealed text, it is opened only when Seal made it, about this, under a key
// of the vault; and reading it is bounded.
func FuzzOpen(f *testing.F) {
	k, _ := newKey(f, 1)
	former, _ := newKey(f, 2)
	v := vault.New(k, former)
	// As they were once sealed under the two keys: each process of the fuzzer must know the same.
	genuine := map[string]bool{
		"v1.a4401064.jiN6iU6FG4UeXq4IhDF9YWASiXgqnrhwGr4fpSwxLTC66g": true,
		"v1.4f062f76.3gNXfFEzAjDPkcNVia6-8PXxKptJLbpWs179bpkF_b8hNg": true,
	}
	for sealed := range genuine {
		f.Add(sealed, about)
		f.Add(sealed+"\n", about)
		f.Add(strings.ToUpper(sealed), about)
		f.Add(sealed, "other")
		f.Add(sealed[:12], "")
	}
	f.Add("", about)
	f.Fuzz(func(t *testing.T, text, of string) {
		plain, err := v.Open(text, of)
		if opened := err == nil; opened != (genuine[text] && of == about) || opened && string(plain) != "secret" {
			t.Fatalf("%q about %q is %q, %v", text, of, plain, err)
		}
		if err != nil && (len(err.Error()) > 100 || plain != nil || !errors.Is(err, vault.ErrNoKey) && !errors.Is(err, vault.ErrNotGenuine)) {
			t.Fatalf("%q: %q, %v", text, plain, err)
		}
		if v.Stale(text) && !strings.HasPrefix(text, "v1."+former.ID()+".") {
			t.Fatalf("%q is stale", text)
		}
	})
}

// Promise: what is derived is the same for the same key and purpose, and another for another of either; without a key
// nothing is derived.
func TestDerive(t *testing.T) {
	t.Parallel()
	one, _ := newKey(t, 1)
	two, _ := newKey(t, 2)
	derive := func(v *vault.Vault, purpose string) string {
		secret, err := v.Derive(purpose)
		if err != nil || len(secret) != 32 {
			t.Fatalf("%d bytes, %v", len(secret), err)
		}
		return string(secret)
	}
	seen := map[string]bool{
		derive(vault.New(one), "a"): true, derive(vault.New(one), "b"): true, derive(vault.New(two), "a"): true, derive(vault.New(two, one), "b"): true,
	}
	if len(seen) != 4 || !seen[derive(vault.New(one, two), "a")] {
		t.Errorf("%d secrets are different", len(seen))
	}
	if _, err := (&vault.Vault{}).Derive("a"); !errors.Is(err, vault.ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
	for _, purpose := range []string{"", strings.Repeat("x", 257)} {
		if _, err := vault.New(one).Derive(purpose); err == nil {
			t.Errorf("a purpose of %d bytes is taken", len(purpose))
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	k, _ := newKey(b, 1)
	v, secret := vault.New(k), make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = v.Seal(secret, about)
	}
}

func BenchmarkOpen(b *testing.B) {
	k, _ := newKey(b, 1)
	v := vault.New(k)
	sealed := seal(b, v, strings.Repeat("x", 32), about)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = v.Open(sealed, about)
	}
}
