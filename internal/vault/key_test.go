package vault_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/vault"
)

// theKey is a master key in both forms.
const (
	theKey = "mk_cbf3pN8UXMb3G6RL79lWyVOqEFnHYDmqMGiWpjKkqV4"
	theHex = "71b7f7a4df145cc6f71ba44befd956c953aa1059c76039aa306896a632a4a95e"
)

// Promise: a master key is read in either form, as the same key; and its id is stable, for sealed texts name it.
func TestParseKey(t *testing.T) {
	t.Parallel()
	for _, text := range []string{theKey, theHex, strings.ToUpper(theHex), " \t" + theKey + "\r\n", "\n" + theHex} {
		k, err := vault.ParseKey(access.SecretText(text))
		if err != nil || k.ID() != "86b490bd" || k.IsZero() {
			t.Errorf("%q is %v, %v", text, k, err)
		}
	}
	for _, text := range wrongKeys() {
		k, err := vault.ParseKey(access.SecretText(text))
		if err == nil || !k.IsZero() || k.ID() != "" {
			t.Errorf("%q is %v", text, k)
		}
	}
	if k, err := vault.ParseKey(access.Text{}); err == nil {
		t.Error(k)
	}
}

// wrongKeys are near a key, each in its own way.
func wrongKeys() []string {
	return []string{
		"", "mk_", theKey[:45], theKey + "A", theKey + "=", theKey[3:], "MK_" + theKey[3:], "mk-" + theKey[3:], theHex[:63], theHex + "0", theHex[:62],
		"mk_" + theHex, "0x" + theHex[2:], theKey[:45] + "9", theKey[:20] + "+" + theKey[21:], theKey[:20] + "\n" + theKey[20:], theKey[:20] + "\n" + theKey[21:],
		theHex[:20] + " " + theHex[21:], theHex[:63] + "g", theKey + " " + theKey, strings.Repeat("0", 64), strings.Repeat("f", 64),
		"mk_" + strings.Repeat("A", 43), "mk_" + strings.Repeat("_", 42) + "8", strings.Repeat("x", 1<<20),
	}
}

// Promise: several keys are read in their order, none twice, eight at most; an error says which is wrong.
func TestParseKeys(t *testing.T) {
	t.Parallel()
	_, second := newKey(t, 2)
	keys, err := vault.ParseKeys(access.SecretText("\n" + second + "\r\n\n  " + theHex + " "))
	if err != nil || len(keys) != 2 || keys[1].ID() != "86b490bd" {
		t.Fatal(keys, err)
	}
	var many []string
	for seed := range 9 {
		_, text := newKey(t, byte(seed))
		many = append(many, text)
	}
	if keys, err := vault.ParseKeys(access.SecretText(strings.Join(many[:8], "\n"))); err != nil || len(keys) != 8 {
		t.Error(keys, err)
	}
	for text, want := range map[string]string{
		"":                              "there is no master key",
		" \n\t":                         "there is no master key",
		strings.Join(many, "\n"):        "9 words, where at most 8",
		second + "\n" + theKey[:40]:     "key 2: vault: a master key is mk_",
		theKey + "\n" + theHex + "\n":   "key 2: vault: [master key 86b490bd] is there twice",
		"# my key\n" + theKey:           "key 1: vault: a master key is mk_",
		strings.Repeat("x ", 1<<19)[1:]: "524287 words",
	} {
		if keys, err := vault.ParseKeys(access.SecretText(text)); err == nil || !strings.Contains(err.Error(), want) || keys != nil {
			t.Errorf("%.60q: %v, %v", text, keys, err)
		}
	}
}

// Promise: a new key is as random as its source, and is read again from its text; a source that ends makes no key.
func TestNewKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range 100 {
		k, text := newKey(t, byte(seed))
		again, err := vault.ParseKey(access.SecretText(text))
		if err != nil || again.ID() != k.ID() || seen[text] || len(text) != 46 {
			t.Fatalf("%v, %v, %v", k, again, err)
		}
		seen[text] = true
	}
	k, text, err := vault.NewKey(io.LimitReader(random(1), 31))
	if !errors.Is(err, io.ErrUnexpectedEOF) || !k.IsZero() || !text.Empty() {
		t.Errorf("%v, %v", k, err)
	}
}

type open struct {
	Name string
	Key  vault.Key
}

type closed struct {
	key  vault.Key
	text access.Text
	v    *vault.Vault
}

// carriers are ways in which a key may lie in a value that somebody prints.
func carriers(t testing.TB) map[string]any {
	k, err := vault.ParseKey(access.SecretText(theKey))
	if err != nil {
		t.Fatal(err)
	}
	_, _, failed := vault.NewKey(strings.NewReader(theKey[:20]))
	return map[string]any{
		"itself": k, "pointer": &k, "open": open{"n", k}, "pointer to open": &open{"n", k}, "slice": []vault.Key{k}, "map": map[string]vault.Key{"k": k},
		"closed": closed{k, access.SecretText(theKey), vault.New(k, k)}, "vault": vault.New(k, k), "vault by value": *vault.New(k, k), "in any": []any{k, &k},
		"error": fmt.Errorf("failed: %v %+v %w", k, closed{key: k}, failed), "zero": vault.Key{}, "method": k.ID,
	}
}

// traces are what a leak would show of the key: its bytes in a row as they are written, or what is derived of it.
func traces() []string {
	var found []string
	raw, _ := hex.DecodeString(theHex)
	for i := range len(theHex) - 8 {
		found = append(found, theHex[i:i+8])
	}
	for i := 3; i < len(theKey)-6; i++ {
		found = append(found, theKey[i:i+6])
	}
	for i := range len(raw) - 4 {
		found = append(found, strings.Trim(fmt.Sprint(raw[i:i+4]), "[]"), string(raw[i:i+4]))
	}
	return found
}

func leaks(out string) bool {
	for _, trace := range traces() {
		if strings.Contains(out, trace) {
			return true
		}
	}
	return false
}

// Promise: no verb of fmt, no log and no encoding shows anything of a master key but its id.
func TestNothingShowsAKey(t *testing.T) {
	t.Parallel()
	for name, value := range carriers(t) {
		var out bytes.Buffer
		for verb := 'A'; verb <= 'z'; verb++ {
			for _, flag := range []string{"", "+", "#", "+#", "60", " ", "*"} {
				fmt.Fprintf(&out, "%"+flag+string(verb)+"\n", value)
			}
		}
		fmt.Fprintln(&out, value)
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(handler).With("k", value).Info("m", "v", value, slog.Group("g", "k", value))
		}
		for how, marshal := range map[string]func(any) ([]byte, error){
			"encoding/json": stdjson.Marshal,
			"json":          func(v any) ([]byte, error) { return json.Marshal(v) },
			"gob": func(v any) ([]byte, error) {
				var b bytes.Buffer
				err := gob.NewEncoder(&b).Encode(v)
				return b.Bytes(), err
			},
		} {
			text, err := marshal(value)
			out.Write(text)
			fmt.Fprintln(&out, err)
			if carried := name == "itself" || name == "pointer" || name == "open" || name == "slice" || name == "map" || name == "in any"; carried && err == nil {
				t.Errorf("%s of %s is not refused: %s", how, name, text)
			}
		}
		if leaks(out.String()) {
			t.Errorf("%s is shown:\n%s", name, out.String())
		}
	}
	k := carriers(t)["itself"]
	if out := fmt.Sprintf("%v %s %d %#v %v", k, k, k, k, vault.Key{}); out != strings.Repeat("[master key 86b490bd] ", 4)+"[no master key]" {
		t.Error(out)
	}
	if !leaks(theKey[10:20]) || !leaks("x"+theHex[20:30]) || !leaks(fmt.Sprint([]byte{113, 183, 247, 164, 223, 20})) {
		t.Error("a leak would not be seen")
	}
}

// Promise: no error about a text that is no key shows anything of it, nor is long.
func TestNoErrorShowsAKey(t *testing.T) {
	t.Parallel()
	for _, text := range wrongKeys() {
		for _, whole := range []string{text, text + "\n" + theKey[:44], theKey + " " + text, theKey + theKey} {
			_, err := vault.ParseKey(access.SecretText(whole))
			_, errs := vault.ParseKeys(access.SecretText(whole))
			if out := fmt.Sprintf("%v %+v %#v %v %+v %#v", err, err, err, errs, errs, errs); leaks(out) || len(out) > 1000 {
				t.Errorf("%.100q: %s", whole, out)
			}
		}
	}
}

// Promise: a text is a key in one of the two forms or is none; what is one is the same key in the other; and no error
// repeats it.
func FuzzParseKey(f *testing.F) {
	for _, text := range append(wrongKeys()[:20], theKey, theHex, " "+theKey+"\n") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := vault.ParseKey(access.SecretText(text))
		if err != nil {
			if !k.IsZero() || len(err.Error()) > 120 {
				t.Fatalf("%q is %v, %v", text, k, err)
			}
			return
		}
		trimmed := strings.TrimSpace(text)
		if len(trimmed) != 46 && len(trimmed) != 64 || len(k.ID()) != 8 || strings.Contains(trimmed, k.String()) {
			t.Fatalf("%q is %v", text, k)
		}
		if again, err := vault.ParseKeys(access.SecretText(trimmed)); err != nil || len(again) != 1 || again[0].ID() != k.ID() {
			t.Fatalf("%q is %v, then %v, %v", text, k, again, err)
		}
		if other, err := vault.ParseKey(access.SecretText(strings.ToLower(trimmed))); len(trimmed) == 64 && (err != nil || other.ID() != k.ID()) {
			t.Fatalf("%q is %v, in small letters %v, %v", text, k, other, err)
		}
	})
}
