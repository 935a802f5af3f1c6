package token_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/token"
)

// firstKey is the key that a world signs with: the first that comes of its random bytes.
func firstKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(&stream{n: 1 << 32}, seed); err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

func encode(data string) string { return base64.RawURLEncoding.EncodeToString([]byte(data)) }

// sign makes a JWS of any header and payload.
func sign(key ed25519.PrivateKey, header, payload string) string {
	text := encode(header) + "." + encode(payload)
	return text + "." + encode(string(ed25519.Sign(key, []byte(text))))
}

// Promise: a text that is signed with the right key, and is not exactly what is made here, is refused: the header has three
// members with their values, the claims are all there, once each, and there are no others.
func TestOnlyWhatIsMadeIsAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := firstKey(t)
	text := w.mint(t, full()).Text.Reveal()
	header, payload := string(part(t, text, 0)), string(part(t, text, 1))
	if sign(key, header, payload) != text || !w.accepts(text) {
		t.Fatal("the test cannot sign as the server does")
	}
	kid := header[strings.Index(header, `"kid":"`)+7:][:43]
	headers := map[string]string{
		"no type":            strings.Replace(header, `,"typ":"at+jwt"`, "", 1),
		"another type":       strings.Replace(header, "at+jwt", "JWT", 1),
		"the long type":      strings.Replace(header, "at+jwt", "application/at+jwt", 1),
		"the type's case":    strings.Replace(header, "at+jwt", "AT+JWT", 1),
		"no algorithm":       strings.Replace(header, `"alg":"EdDSA",`, "", 1),
		"none":               strings.Replace(header, "EdDSA", "none", 1),
		"Ed25519":            strings.Replace(header, "EdDSA", "Ed25519", 1),
		"another algorithm":  strings.Replace(header, "EdDSA", "ES256", 1),
		"no key id":          strings.Replace(header, kid, "", 1),
		"another key id":     strings.Replace(header, kid, strings.Repeat("A", 43), 1),
		"two algorithms":     strings.Replace(header, `{`, `{"alg":"none",`, 1),
		"two types":          strings.Replace(header, `}`, `,"typ":"at+jwt"}`, 1),
		"crit":               strings.Replace(header, `{`, `{"crit":["exp"],`, 1),
		"empty crit":         strings.Replace(header, `{`, `{"crit":[],`, 1),
		"b64":                strings.Replace(header, `{`, `{"b64":false,"crit":["b64"],`, 1),
		"b64 alone":          strings.Replace(header, `{`, `{"b64":true,`, 1),
		"a key with it":      strings.Replace(header, `{`, `{"jwk":{"kty":"OKP"},`, 1),
		"a key elsewhere":    strings.Replace(header, `{`, `{"jku":"https://rival.example.com",`, 1),
		"compressed":         strings.Replace(header, `{`, `{"zip":"DEF",`, 1),
		"the names' case":    strings.Replace(header, `"alg"`, `"ALG"`, 1),
		"something after it": header + "{}",
		"no object":          `"EdDSA"`,
	}
	for name, h := range headers {
		if h == header || w.accepts(sign(key, h, payload)) {
			t.Errorf("header: %s: accepted", name)
		}
	}
	edit := func(from, to string) string { return strings.Replace(payload, from, to, 1) }
	payloads := map[string]string{
		"no issuer": edit(`"iss":"https://weir.example.com",`, ""), "another issuer": edit("weir.example.com", "rival.example.com"),
		"no audience": edit(`"aud":"https://weir.example.com",`, ""), "many audiences": edit(`"aud":"https://weir.example.com"`, `"aud":["https://weir.example.com"]`),
		"no subject": edit(`"sub":"key_Client000001",`, ""), "another subject": edit(`"sub":"key_Client000001"`, `"sub":"key_Client000002"`),
		"no client": edit(`"client_id":"key_Client000001",`, ""), "no id": edit(`"jti":"`, `"jit":"`), "an empty id": edit(payload[strings.Index(payload, `"jti":"`)+7:][:26], ""),
		"no expiry": edit(`"exp":1795867800,`, ""), "a fraction": edit(`"exp":1795867800`, `"exp":1795867800.5`), "a text": edit(`"exp":1795867800`, `"exp":"1795867800"`),
		"an exponent": edit(`"exp":1795867800`, `"exp":1.7958678e9`), "for ever": edit(`"exp":1795867800`, `"exp":9999999999`),
		"no time of issue": edit(`"iat":1795867200,`, ""), "issued later": edit(`"iat":1795867200`, `"iat":1795867500`),
		"a claim twice": edit(`{`, `{"iss":"https://weir.example.com",`), "the epoch twice": edit(`"key_epoch":9`, `"key_epoch":9,"key_epoch":9`),
		"a claim more": edit(`{`, `{"nbf":0,`), "a narrowing more": edit(`"gen":3`, `"gen":3,"rows":["a"]`), "no generation": edit(`"gen":3,`, ""),
		"no narrowing": payload[:strings.Index(payload, `,"weir"`)] + "}", "another scope": edit("events:read", "events:all"), "no scope": edit("events:read", ""),
		"a space more": edit("events:read", "events:read "), "a right": edit(`"read","write"`, `"read","own"`), "a network": edit("203.0.113.0/24", "anywhere"),
		"a domain": edit("https://*.example.com:8443/app", "https://*"), "another proof": edit("0ZcOCORZ", "0ZcOC"), "no proof": edit(`"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"`, ""),
		"not UTF-8": edit("signup", "\xff"), "something after it": payload + "{}", "a list": "[" + payload + "]", "null": "null", "empty": "{}",
	}
	for name, p := range payloads {
		if p == payload || w.accepts(sign(key, header, p)) {
			t.Errorf("claims: %s: accepted", name)
		}
	}
}

// Promise: nobody without the key makes a token, by none of the tricks that JWTs are known for; nor another text of one.
func TestForgeriesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := w.mint(t, full()).Text.Reveal()
	parts := strings.Split(text, ".")
	header, payload := string(part(t, text, 0)), string(part(t, text, 1))
	public := firstKey(t).Public().(ed25519.PublicKey)
	mac := func(header string) string {
		h := hmac.New(sha256.New, public)
		signed := encode(header) + "." + parts[1]
		h.Write([]byte(signed))
		return signed + "." + encode(string(h.Sum(nil)))
	}
	_, stranger, _ := ed25519.GenerateKey(&stream{n: 5})
	own, _ := json.Marshal(map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(string(stranger.Public().(ed25519.PublicKey)))})
	last := parts[2][len(parts[2])-1]
	sameBits := string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", last)|1])
	for name, forged := range map[string]string{
		"empty": "", "dots": "..", "four parts": text + ".", "two parts": parts[0] + "." + parts[1], "a line end": text + "\n", "a space": " " + text,
		"no signature": parts[0] + "." + parts[1] + ".", "none": encode(strings.Replace(header, "EdDSA", "none", 1)) + "." + parts[1] + ".",
		"a MAC with the public key": mac(strings.Replace(header, "EdDSA", "HS256", 1)), "a MAC that says EdDSA": mac(header),
		"another's key": sign(stranger, header, payload), "another's key in the header": sign(stranger, strings.Replace(header, "{", `{"jwk":`+string(own)+",", 1), payload),
		"padding": text + "==", "unused bits": text[:len(text)-1] + sameBits, "a line end within": parts[0] + "." + parts[1][:8] + "\n" + parts[1][8:] + "." + parts[2],
		"the parts of another": parts[0] + "." + encode(payload+" ") + "." + parts[2], "JSON": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"long": strings.Repeat("A", 1<<20), "long parts": parts[0] + "." + strings.Repeat("A", token.MaxLength) + "." + parts[2],
	} {
		if forged == text || w.accepts(forged) {
			t.Errorf("%s: accepted", name)
		}
	}
	if !w.accepts(text) {
		t.Error("the token itself is refused")
	}
}

func drawBounds(t *rapid.T) access.Bounds {
	some := func(label string, list []string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(list), 0, 3, rapid.ID).Draw(t, label)
	}
	b := access.Bounds{
		Environments: some("environments", []string{"production", "staging", "Staging", "café", "a\"b", "\u2028"}),
		Events:       some("events", []string{"signup", "sign*", "*", "<script>", "checkout_done"}),
	}
	for _, text := range some("networks", []string{"10.0.0.0/8", "10.1.2.3", "::/0", "2001:db8::1"}) {
		prefix, _, _ := access.ParseNetwork(text)
		b.Networks = append(b.Networks, access.Network{Prefix: prefix})
	}
	for _, text := range some("domains", []string{"www.example.com", "https://*.example.com", "http://localhost:8787/app", "[::1]:80"}) {
		d, err := access.ParseDomain(text)
		if err != nil {
			t.Fatal(err)
		}
		b.Domains = append(b.Domains, d)
	}
	if rapid.Bool().Draw(t, "by dataset") {
		b.Datasets = &access.Datasets{Core: rapid.Bool().Draw(t, "core"), Premium: rapid.Bool().Draw(t, "premium")}
		for _, name := range some("datasets", []string{"quotes", "news", "q.\x00"}) {
			b.Datasets.Named = append(b.Datasets.Named, access.NamedDataset{Name: name, Rights: access.Rights(rapid.IntRange(1, 7).Draw(t, "rights"))})
		}
	}
	return b
}

// normal makes empty lists none, as they come back.
func normal(b access.Bounds) access.Bounds {
	if len(b.Environments) == 0 {
		b.Environments = nil
	}
	if len(b.Events) == 0 {
		b.Events = nil
	}
	return b
}

func drawRequest(t *rapid.T) token.Request {
	id := rapid.StringOfN(rapid.RuneFrom([]rune(access.Alphabet)), 12, 12, 12).Draw(t, "client")
	scopes := access.Scopes(rapid.Uint32Range(1, uint32(access.AllScopes)).Draw(t, "scopes"))
	return token.Request{
		Client: token.Client{
			ID: clientID(id), Generation: rapid.IntRange(1, 1<<30).Draw(t, "generation"),
			ClientEpoch: rapid.Int64().Draw(t, "client epoch"), KeyEpoch: rapid.Int64().Draw(t, "key epoch"),
			Own: token.Rights{Scopes: access.AllScopes}, Key: token.Rights{Scopes: scopes},
		},
		Bounds: drawBounds(t), Embedded: rapid.Bool().Draw(t, "embedded"), Lifetime: time.Duration(rapid.Int64Range(60, 3600).Draw(t, "lifetime")) * time.Second,
		Thumbprint: rapid.SampledFrom([]string{"", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}).Draw(t, "thumbprint"),
	}
}

// Promise: whatever is minted comes back as it was; and a text that differs from it by any edit does not come back at all.
func TestMintAndOpenAgree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		r := drawRequest(t)
		m, err := w.Mint(testContext(), r)
		if err != nil {
			t.Fatal(err)
		}
		text := m.Text.Reveal()
		got, found := w.Open(text, w.now)
		want := token.Token{
			ID: m.ID, Client: r.Client.ID, Generation: r.Client.Generation, ClientEpoch: r.Client.ClientEpoch, KeyEpoch: r.Client.KeyEpoch,
			Scopes: r.Client.Key.Scopes, Bounds: normal(r.Bounds), Embedded: r.Embedded, Thumbprint: r.Thumbprint,
		}
		want.Bounds.ExpiresAt = noon().Add(r.Lifetime)
		if !found || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v %+v, want %+v", found, got, want)
		}
		mutant := []byte(text)
		at := rapid.IntRange(0, len(mutant)-1).Draw(t, "at")
		with := rapid.SampledFrom([]byte("Aa0-_.=+/ \n{\"")).Draw(t, "with")
		switch rapid.SampledFrom([]string{"change", "insert", "remove", "swap", "cut"}).Draw(t, "how") {
		case "change":
			mutant[at] = with
		case "insert":
			mutant = slices.Insert(mutant, at, with)
		case "remove":
			mutant = slices.Delete(mutant, at, at+1)
		case "swap":
			other := rapid.IntRange(0, len(mutant)-1).Draw(t, "other")
			mutant[at], mutant[other] = mutant[other], mutant[at]
		case "cut":
			mutant = mutant[:at]
		}
		if string(mutant) != text && w.accepts(string(mutant)) {
			t.Fatalf("accepted %q instead of %q", mutant, text)
		}
	})
}

// Promise: what is minted is never wider than its client or the client's key, whatever each of them is.
func TestMintedIsWithin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		r := drawRequest(t)
		outer := func(label string) access.Bounds {
			switch rapid.IntRange(0, 4).Draw(t, label) {
			case 0:
				return drawBounds(t)
			case 1, 2:
				return r.Bounds
			default:
				return access.Bounds{}
			}
		}
		r.Client.Own.Bounds, r.Client.Key.Bounds = outer("own"), outer("key")
		r.Client.Own.Scopes = rapid.SampledFrom([]access.Scopes{access.AllScopes, access.AllScopes, access.EventsRead, 0}).Draw(t, "own scopes")
		r.Scopes = rapid.SampledFrom([]access.Scopes{0, 0, 0, access.EventsRead, access.EventsRead | access.SQLRun}).Draw(t, "wanted")
		m, err := w.Mint(testContext(), r)
		if err != nil {
			refused++
			return
		}
		made++
		got, _ := w.Open(m.Text.Reveal(), w.now)
		for _, outer := range []token.Rights{r.Client.Own, r.Client.Key} {
			if !outer.Scopes.Has(got.Scopes) || got.Scopes == 0 {
				t.Fatalf("scopes %s of %s", got.Scopes, outer.Scopes)
			}
			narrowed := got.Bounds
			if len(narrowed.Environments) > 0 && len(outer.Bounds.Environments) > 0 && !subset(narrowed.Environments, outer.Bounds.Environments) {
				t.Fatalf("environments %q of %q", narrowed.Environments, outer.Bounds.Environments)
			}
			if d, o := narrowed.Datasets, outer.Bounds.Datasets; d != nil && o != nil && (d.Core && !o.Core || d.Premium && !o.Premium) {
				t.Fatalf("datasets %+v of %+v", d, o)
			}
		}
	})
	if made < 5 || refused < 5 {
		t.Errorf("%d made, %d refused: the property shows nothing", made, refused)
	}
}

func subset(inner, outer []string) bool {
	return !slices.ContainsFunc(inner, func(s string) bool { return !slices.Contains(outer, s) })
}

// Promise: no text makes Open fail otherwise than by saying no, and it says yes only to what was minted.
func FuzzOpen(f *testing.F) {
	w := newWorld(f)
	m, err := w.Mint(testContext(), full())
	if err != nil {
		f.Fatal(err)
	}
	text := m.Text.Reveal()
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add("..")
	f.Add(encode(`{"alg":"EdDSA","kid":"x","typ":"at+jwt"}`) + "." + encode(`{}`) + "." + encode("x"))
	f.Fuzz(func(t *testing.T, fuzzed string) {
		if w.accepts(fuzzed) != (fuzzed == text) {
			t.Errorf("accepted %q", fuzzed)
		}
	})
}
