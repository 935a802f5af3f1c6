package signature_test

import (
	"crypto/ed25519"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/signature"
)

// Promise: a request that was signed is accepted with either algorithm, and what is said of it is what was signed.
func TestSignedRequestsAreAccepted(t *testing.T) {
	t.Parallel()
	for name, s := range signers(t) {
		for _, life := range []time.Duration{0, time.Minute, signature.Lifetime} {
			s.Lifetime = life
			r, body := signedRequest(t, s)
			v, err := check(r, body, material(t), now())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			until := now().Add(min(signature.Window, life))
			if life == 0 {
				until = now().Add(signature.Window)
			} else if !v.Expires.Equal(now().Add(life)) {
				t.Errorf("%s expires %s", name, v.Expires)
			}
			if v.Scheme != signature.Message || v.KeyID != keyID || v.Nonce != nonce || !v.Digest || !v.Created.Equal(now()) || !v.Until.Equal(until) {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
}

// Promise: an empty body needs no digest, and with one it is checked all the same; a body needs one.
func TestBodiesNeedDigests(t *testing.T) {
	t.Parallel()
	for name, s := range signers(t) {
		r := newRequest(t, http.MethodGet, "http://weir.example.com", "")
		if err := s.Sign(r, nil, now(), nonce); err != nil {
			t.Fatal(err)
		}
		got, body := sent(t, r)
		v, err := check(got, body, material(t), now())
		if err != nil || v.Digest {
			t.Errorf("%s, no body: %v", name, err)
		}
		if err := v.CheckBody([]byte("x")); kind(err) != signature.Uncovered {
			t.Errorf("%s, a body that was not announced: %v", name, err)
		}
		r = newRequest(t, http.MethodGet, "http://weir.example.com", "")
		r.Header.Set("Content-Digest", signature.ContentDigest(nil))
		if err := s.Sign(r, nil, now(), nonce); err != nil {
			t.Fatal(err)
		}
		got, body = sent(t, r)
		if v, err = check(got, body, material(t), now()); err != nil || !v.Digest {
			t.Errorf("%s, the digest of nothing: %v", name, err)
		}
		if err := v.CheckBody([]byte("x")); err == nil {
			t.Errorf("%s: another body than the digest's is accepted", name)
		}
		for _, length := range []int64{-1, 1} { // a body, or there may be one
			got.ContentLength = length
			got.Header.Del("Content-Digest")
			if _, err := check(got, body, material(t), now()); kind(err) != signature.Missing {
				t.Errorf("%s, a body of length %d without a digest: %v", name, length, err)
			}
		}
	}
	if err := (signature.Verified{}).CheckBody(nil); kind(err) != signature.Missing {
		t.Errorf("what was not verified: %v", err)
	}
}

// Promise: whatever of a signed request is changed, it is refused, and the fault says nothing but what is wrong.
func TestTamperedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	swap := func(header, from, to string) func(*http.Request) {
		return func(r *http.Request) {
			value := r.Header.Get(header)
			if !strings.Contains(value, from) {
				panic("the header " + header + " has no " + from)
			}
			r.Header.Set(header, strings.Replace(value, from, to, 1))
		}
	}
	target := func(to string) func(*http.Request) {
		return func(r *http.Request) {
			url, err := r.URL.Parse(to)
			if err != nil {
				panic(err)
			}
			r.URL, r.RequestURI = url, to
		}
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   signature.Kind
	}{
		"the method":                  {func(r *http.Request) { r.Method = "PUT" }, signature.Wrong},
		"the method's case":           {func(r *http.Request) { r.Method = "post" }, signature.Wrong},
		"the host":                    {func(r *http.Request) { r.Host = "weir.example.org" }, signature.Wrong},
		"the host's port":             {func(r *http.Request) { r.Host = "weir.example.com:8080" }, signature.Wrong},
		"the path":                    {target("/tracks?sync=true&a=%20b"), signature.Wrong},
		"a slash":                     {target("/track/?sync=true&a=%20b"), signature.Wrong},
		"another slash":               {target("//track?sync=true&a=%20b"), signature.Wrong},
		"a dot":                       {target("/./track?sync=true&a=%20b"), signature.Wrong},
		"the path's encoding":         {target("/%74rack?sync=true&a=%20b"), signature.Wrong},
		"the query":                   {target("/track?sync=false&a=%20b"), signature.Wrong},
		"the query's encoding":        {target("/track?sync=true&a=+b"), signature.Wrong},
		"the query's order":           {target("/track?a=%20b&sync=true"), signature.Wrong},
		"no query":                    {target("/track"), signature.Wrong},
		"more query":                  {target("/track?sync=true&a=%20b&b=1"), signature.Wrong},
		"the digest":                  {swap("Content-Digest", "sha-256=:", "sha-256=:A"), signature.Wrong},
		"another digest":              {func(r *http.Request) { r.Header.Set("Content-Digest", signature.ContentDigest([]byte("x"))) }, signature.Wrong},
		"a second digest":             {func(r *http.Request) { r.Header.Add("Content-Digest", signature.ContentDigest([]byte("x"))) }, signature.Wrong},
		"no digest":                   {func(r *http.Request) { r.Header.Del("Content-Digest") }, signature.Missing},
		"the content type":            {func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, signature.Wrong},
		"no content type":             {func(r *http.Request) { r.Header.Del("Content-Type") }, signature.Missing},
		"the API key":                 {func(r *http.Request) { r.Header.Set("X-API-Key", "pk_test_other") }, signature.Wrong},
		"a bearer token as well":      {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+apiKey) }, signature.Uncovered},
		"two API keys":                {func(r *http.Request) { r.Header.Add("X-API-Key", apiKey) }, signature.Ambiguous},
		"two content types":           {func(r *http.Request) { r.Header.Add("Content-Type", "text/plain") }, signature.Ambiguous},
		"no API key":                  {func(r *http.Request) { r.Header.Del("X-API-Key") }, signature.Missing},
		"created":                     {swap("Signature-Input", "created=1780315200", "created=1780315201"), signature.Wrong},
		"no created":                  {swap("Signature-Input", ";created=1780315200", ""), signature.Missing},
		"created as text":             {swap("Signature-Input", "created=1780315200", `created="1780315200"`), signature.Malformed},
		"created as a decimal":        {swap("Signature-Input", "created=1780315200", "created=1780315200.0"), signature.Malformed},
		"created as a date":           {swap("Signature-Input", "created=1780315200", "created=@1780315200"), signature.Malformed},
		"expires":                     {swap("Signature-Input", ";nonce", ";expires=1780315300;nonce"), signature.Wrong},
		"the nonce":                   {swap("Signature-Input", nonce, "Zm91cnRlZW4gYnl0ZXMhIR"), signature.Wrong},
		"a short nonce":               {swap("Signature-Input", nonce, nonce[:21]), signature.Malformed},
		"a long nonce":                {swap("Signature-Input", nonce, strings.Repeat(nonce, 6)), signature.TooLarge},
		"no nonce":                    {swap("Signature-Input", `;nonce="`+nonce+`"`, ""), signature.Missing},
		"a nonce that is a token":     {swap("Signature-Input", `"`+nonce+`"`, nonce), signature.Malformed},
		"the key's id":                {swap("Signature-Input", keyID, "key_3fQ9xT0aLmZl"), signature.OtherKey},
		"no key's id":                 {swap("Signature-Input", `;keyid="`+keyID+`"`, ""), signature.Missing},
		"an empty id":                 {swap("Signature-Input", keyID, ""), signature.Missing},
		"the tag":                     {swap("Signature-Input", "weir-v1", "weir-v2"), signature.Foreign},
		"no tag":                      {swap("Signature-Input", `;tag="weir-v1"`, ""), signature.Foreign},
		"the tag as a token":          {swap("Signature-Input", `"weir-v1"`, "weir-v1"), signature.Foreign},
		"another algorithm":           {swap("Signature-Input", `;tag=`, `;alg="rsa-pss-sha512";tag=`), signature.Unsupported},
		"no algorithm":                {swap("Signature-Input", `;tag=`, `;alg="";tag=`), signature.Malformed},
		"an unknown parameter":        {swap("Signature-Input", `;tag=`, `;x=1;tag=`), signature.Unsupported},
		"other order of parameters":   {swap("Signature-Input", `;nonce="`+nonce+`";keyid="`+keyID+`"`, `;keyid="`+keyID+`";nonce="`+nonce+`"`), signature.Wrong},
		"other order of components":   {swap("Signature-Input", `"@method" "@authority"`, `"@authority" "@method"`), signature.Wrong},
		"no method in it":             {swap("Signature-Input", `"@method" `, ""), signature.Uncovered},
		"no authority in it":          {swap("Signature-Input", `"@authority" `, ""), signature.Uncovered},
		"no path in it":               {swap("Signature-Input", `"@path" `, ""), signature.Uncovered},
		"no query in it":              {swap("Signature-Input", `"@query" `, ""), signature.Uncovered},
		"no digest in it":             {swap("Signature-Input", `"content-digest" `, ""), signature.Uncovered},
		"one digest in it":            {swap("Signature-Input", `"content-digest"`, `"content-digest";key="sha-256"`), signature.Uncovered},
		"no content type in it":       {swap("Signature-Input", `"content-type" `, ""), signature.Uncovered},
		"no API key in it":            {swap("Signature-Input", ` "x-api-key"`, ""), signature.Uncovered},
		"the API key of trailers":     {swap("Signature-Input", ` "x-api-key"`, ` "x-api-key";tr`), signature.Unsupported},
		"the method of the request":   {swap("Signature-Input", `"@method"`, `"@method";req`), signature.Unsupported},
		"a header as bytes":           {swap("Signature-Input", `"x-api-key"`, `"x-api-key";bs`), signature.Wrong},
		"a component twice":           {swap("Signature-Input", `"@method"`, `"@method" "@method"`), signature.Malformed},
		"a component that is a token": {swap("Signature-Input", `"@method"`, `"@method" method`), signature.Malformed},
		"an unknown component":        {swap("Signature-Input", `"@method"`, `"@method" "@status"`), signature.Unsupported},
		"the parameters as component": {swap("Signature-Input", `"@method"`, `"@method" "@signature-params"`), signature.Unsupported},
		"a header in capitals":        {swap("Signature-Input", `"content-type"`, `"Content-Type"`), signature.Unsupported},
		"a header that is not there":  {swap("Signature-Input", `"@method"`, `"@method" "date"`), signature.Missing},
		"a stranger's component":      {swap("Signature-Input", `"@method"`, `"@method" "@target-uri"`), signature.Unsupported},
		"33 components":               {swap("Signature-Input", `"@method"`, `"@method" `+many(33)), signature.TooLarge},
		"an item for a list":          {func(r *http.Request) { r.Header.Set("Signature-Input", `sig="x";tag="weir-v1"`) }, signature.Foreign},
		"no input":                    {func(r *http.Request) { r.Header.Del("Signature-Input") }, signature.Missing},
		"no signature":                {func(r *http.Request) { r.Header.Del("Signature") }, signature.Missing},
		"another label":               {swap("Signature", "sig=", "sig1="), signature.Missing},
		"the signature as text":       {func(r *http.Request) { r.Header.Set("Signature", `sig="abc"`) }, signature.Malformed},
		"the signature as a list":     {func(r *http.Request) { r.Header.Set("Signature", `sig=(:YWJj:)`) }, signature.Malformed},
		"a signature with parameters": {func(r *http.Request) { r.Header.Set("Signature", r.Header.Get("Signature")+";x") }, signature.Malformed},
		"a short signature":           {func(r *http.Request) { r.Header.Set("Signature", `sig=:YWJj:`) }, signature.Unsupported},
		"an empty signature":          {func(r *http.Request) { r.Header.Set("Signature", `sig=::`) }, signature.Unsupported},
		"a cut signature":             {func(r *http.Request) { r.Header.Set("Signature", r.Header.Get("Signature")[:20]) }, signature.Malformed},
		"a broken input":              {swap("Signature-Input", ")", ""), signature.Malformed},
		"an empty input":              {func(r *http.Request) { r.Header.Set("Signature-Input", "") }, signature.Foreign},
		"a large input":               {func(r *http.Request) { r.Header.Add("Signature-Input", "x="+many(2000)) }, signature.TooLarge},
		"a large signature":           {func(r *http.Request) { r.Header.Add("Signature", "x=:"+strings.Repeat("A", 4096)+":") }, signature.TooLarge},
		"many lines":                  {func(r *http.Request) { addLines(r, 8) }, signature.TooLarge},
		"five signatures":             {func(r *http.Request) { r.Header.Add("Signature-Input", "a=();tag=\"a\", b=(), c=(), d=()") }, signature.TooLarge},
		"two signatures for us":       {func(r *http.Request) { r.Header.Add("Signature-Input", `other=();tag="weir-v1"`) }, signature.Ambiguous},
		"two schemes":                 {func(r *http.Request) { r.Header.Set("Authorization", "IEX-HMAC-SHA256 Credential=x") }, signature.Ambiguous},
	} {
		for algorithm, s := range signers(t) {
			r, body := signedRequest(t, s)
			c.change(r)
			_, err := check(r, body, material(t), now())
			if kind(err) != c.want {
				t.Errorf("%s, %s: %v (%s), want %s", name, algorithm, err, kind(err), c.want)
			}
			if err != nil && (len(err.Error()) > 400 || strings.Contains(err.Error(), apiKey)) {
				t.Errorf("%s, %s: the fault says too much: %s", name, algorithm, err)
			}
		}
	}
}

func many(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = `"x-` + strconv.Itoa(i) + `"`
	}
	return strings.Join(names, " ")
}

func addLines(r *http.Request, n int) {
	for i := range n {
		r.Header.Add("Signature-Input", "x"+strconv.Itoa(i)+"=()")
	}
}

// Promise: another body is refused, by the digest, however little of it is changed.
func TestTamperedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	for name, s := range signers(t) {
		r, body := signedRequest(t, s)
		v, err := signature.Verify(signature.Of(r), material(t), now())
		if err != nil {
			t.Fatal(err)
		}
		for i := range body {
			for bit := range 8 {
				other := append([]byte{}, body...)
				other[i] ^= 1 << bit
				if v.CheckBody(other) == nil {
					t.Fatalf("%s: byte %d", name, i)
				}
			}
		}
		for _, other := range [][]byte{nil, {}, body[1:], body[:len(body)-1], append(append([]byte{}, body...), ' ')} {
			if v.CheckBody(other) == nil {
				t.Errorf("%s: %q", name, other)
			}
		}
	}
}

// Promise: a signature counts for 300 seconds before and after its creation, to the second, and not after it expires.
func TestWindows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		life time.Duration
		at   time.Duration
		want signature.Kind
	}{
		{0, 0, 0}, {0, 299 * time.Second, 0}, {0, 300 * time.Second, 0}, {0, 300*time.Second + 1, signature.Expired}, {0, 301 * time.Second, signature.Expired},
		{0, -299 * time.Second, 0}, {0, -300 * time.Second, 0}, {0, -300*time.Second - 1, signature.TooEarly}, {0, -301 * time.Second, signature.TooEarly},
		{0, 100 * 365 * 24 * time.Hour, signature.Expired}, {0, -100 * 365 * 24 * time.Hour, signature.TooEarly},
		{10 * time.Second, 9 * time.Second, 0}, {10 * time.Second, 10 * time.Second, 0}, {10 * time.Second, 10*time.Second + 1, signature.Expired}, {10 * time.Second, 11 * time.Second, signature.Expired},
		{10 * time.Second, -300 * time.Second, 0},
		{600 * time.Second, 300 * time.Second, 0}, {600 * time.Second, 301 * time.Second, signature.Expired},
		{601 * time.Second, 0, signature.Malformed}, {1000000 * time.Hour, 0, signature.Malformed},
	} {
		for name, s := range signers(t) {
			s.Lifetime = c.life
			r, body := signedRequest(t, s)
			if v, err := check(r, body, material(t), now().Add(c.at)); kind(err) != c.want || err == nil && now().Add(c.at).After(v.Until) {
				t.Errorf("%s, expiring after %s, at %s: %v, until %s", name, c.life, c.at, err, v.Until)
			}
		}
	}
}

// Promise: a signature cannot expire before it was created, nor be created at a time that is no time.
func TestTimesThatAreNone(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]signature.Kind{
		"created=1780315200;expires=1780315200":      signature.Malformed,
		"created=1780315200;expires=1780315199":      signature.Malformed,
		"created=1780315200;expires=0":               signature.Malformed,
		"created=1780315200;expires=-1":              signature.Malformed,
		"created=1780315200;expires=999999999999999": signature.Malformed,
		"created=0":                    signature.Expired,
		"created=-1780315200":          signature.Expired,
		"created=999999999999999":      signature.TooEarly,
		"created=-999999999999999":     signature.Expired,
		"created=9999999999999999":     signature.Malformed,
		"created=?1":                   signature.Malformed,
		"created":                      signature.Malformed,
		"created=:YWJj:":               signature.Malformed,
		"created=1780315200;expires":   signature.Malformed,
		"created=1;created=1780315200": 0, // RFC 9651: the last one counts, so it is what was signed
	} {
		r, body := signedRequest(t, signers(t)["hmac"])
		r.Header.Set("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), "created=1780315200", input, 1))
		if _, err := check(r, body, material(t), now()); kind(err) != want {
			t.Errorf("%s: %v (%s), want %s", input, err, kind(err), want)
		}
	}
}

// Promise: the algorithm is the key's to say. A signature can name it, but not choose one that the key has nothing for,
// and no material is ever used for another algorithm than its own.
func TestAlgorithmsAgreeWithTheKey(t *testing.T) {
	t.Parallel()
	public := privateKey(7).Public().(ed25519.PublicKey)
	asSecret, err := signature.ParseSecret("ss_" + strings.Repeat("A", 43))
	if err != nil {
		t.Fatal(err)
	}
	onlySecret := signature.Material{KeyID: keyID, Secret: newSecret(t, 7)}
	onlyPublic := signature.Material{KeyID: keyID, PublicKeys: []ed25519.PublicKey{public}}
	for _, c := range []struct {
		name     string
		signer   string
		alg      string
		material signature.Material
		want     signature.Kind
	}{
		{"hmac", "hmac", "", onlySecret, 0},
		{"hmac, no secret", "hmac", "", onlyPublic, signature.NoMaterial},
		{"hmac, nothing", "hmac", "", signature.Material{KeyID: keyID}, signature.NoMaterial},
		{"hmac, another secret", "hmac", "", signature.Material{KeyID: keyID, Secret: asSecret}, signature.Wrong},
		{"ed25519", "ed25519", "", onlyPublic, 0},
		{"ed25519, no key", "ed25519", "", onlySecret, signature.NoMaterial},
		{"ed25519, another key", "ed25519", "", signature.Material{KeyID: keyID, PublicKeys: []ed25519.PublicKey{privateKey(1).Public().(ed25519.PublicKey)}}, signature.Wrong},
		{"ed25519, a key that is none", "ed25519", "", signature.Material{KeyID: keyID, PublicKeys: []ed25519.PublicKey{nil, public[:31]}}, signature.Wrong},
		{"hmac called ed25519", "hmac", signature.Ed25519, material(t), signature.Malformed},
		{"hmac called ed25519, which the key has not", "hmac", signature.Ed25519, onlySecret, signature.NoMaterial},
		{"ed25519 called hmac", "ed25519", signature.HMACSHA256, material(t), signature.Malformed},
		{"ed25519 called hmac, which the key has not", "ed25519", signature.HMACSHA256, onlyPublic, signature.NoMaterial},
	} {
		r, body := signedRequest(t, signers(t)[c.signer])
		if c.alg != "" {
			r.Header.Set("Signature-Input", r.Header.Get("Signature-Input")+`;alg="`+c.alg+`"`)
		}
		if _, err := check(r, body, c.material, now()); kind(err) != c.want {
			t.Errorf("%s: %v (%s), want %s", c.name, err, kind(err), c.want)
		}
	}
}

// Promise: signatures of others beside ours do no harm, wherever they stand, and without ours they are told from none.
func TestForeignSignatures(t *testing.T) {
	t.Parallel()
	others := `a=("@authority");tag="web-bot-auth", b=?0, c=("@unknown";x);created="x"`
	for name, s := range signers(t) {
		r, body := signedRequest(t, s)
		ours := r.Header.Get("Signature-Input")
		for _, lines := range [][]string{{others, ours}, {ours, others}, {others + ", " + ours}, {ours + " ,\t " + others}} {
			r.Header["Signature-Input"] = lines
			if _, err := check(r, body, material(t), now()); err != nil {
				t.Errorf("%s, %q: %v", name, lines, err)
			}
		}
		r.Header["Signature-Input"] = []string{others}
		r.Header["Signature"] = []string{`keyId="other",algorithm="hs2019"`}
		if _, err := check(r, body, material(t), now()); kind(err) != signature.Foreign {
			t.Errorf("%s, others' alone: %v", name, err)
		}
	}
}

// Promise: spaces that a structured field may have on the wire do not matter: what is checked is written anew.
func TestParametersAreWrittenAnew(t *testing.T) {
	t.Parallel()
	for name, s := range signers(t) {
		r, body := signedRequest(t, s)
		input := r.Header.Get("Signature-Input")
		for from, to := range map[string]string{";": ";  ", `" "`: `"    "`, "(": "(  ", ")": "  )"} {
			r.Header.Set("Signature-Input", "  "+strings.ReplaceAll(input, from, to)+" ")
			if _, err := check(r, body, material(t), now()); err != nil {
				t.Errorf("%s, %q: %v", name, to, err)
			}
		}
	}
}

// Promise: the same host, written in another way, is the same: in other case, or with a scheme's default port.
func TestHostsAreNormalised(t *testing.T) {
	t.Parallel()
	for _, hosts := range [][]string{
		{"weir.example.com", "WEIR.example.COM", "weir.example.com:443", "weir.example.com:80", "weir.example.com:"},
		{"[::1]", "[::1]:443", "[::1]:80"},
		{"127.0.0.1", "127.0.0.1:80"},
		{"weir.example.com:8443", "Weir.Example.Com:8443"},
		{"[2001:db8::1]:8443", "[2001:DB8::1]:8443"},
	} {
		for _, signed := range hosts {
			r := newRequest(t, http.MethodGet, "http://x/", "")
			r.Host = signed
			if err := signers(t)["hmac"].Sign(r, nil, now(), nonce); err != nil {
				t.Fatal(err)
			}
			for _, received := range hosts {
				got, body := sent(t, r)
				got.Host = received
				if _, err := check(got, body, material(t), now()); err != nil {
					t.Errorf("signed %s, received %s: %v", signed, received, err)
				}
			}
			for _, other := range []string{"", "weir.example.net", "[::1]:8443", "127.0.0.1:8080", "weir.example.com:8080", "weir.example.com:443:443"} {
				got, body := sent(t, r)
				got.Host = other
				if _, err := check(got, body, material(t), now()); kind(err) != signature.Wrong {
					t.Errorf("signed %s, received %s: %v", signed, other, err)
				}
			}
		}
	}
}

// Promise: how a request says it is signed is found by its headers.
func TestDetect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header http.Header
		want   signature.Scheme
	}{
		{nil, signature.None},
		{http.Header{"Authorization": {"Bearer sk_live_x"}, "X-Api-Key": {"x"}, "X-Iex-Date": {"x"}}, signature.None},
		{http.Header{"Authorization": {"IEX-HMAC-SHA2567 x", "IEX"}}, signature.None},
		{http.Header{"Authorization": {"IEX-HMAC-SHA256 Credential=x"}}, signature.IEX},
		{http.Header{"Authorization": {"Bearer x", " iex-hmac-sha256\tx"}}, signature.IEX},
		{http.Header{"Authorization": {"IEX-HMAC-SHA256"}}, signature.IEX},
		{http.Header{"Signature-Input": {""}}, signature.Message},
		{http.Header{"Signature": {"x"}}, signature.None},
		{http.Header{"Signature-Input": {"x"}, "Authorization": {"IEX-HMAC-SHA256 x"}}, signature.Message},
		{http.Header{"Signature": {"x"}, "Authorization": {"IEX-HMAC-SHA256 x"}}, signature.IEX},
	} {
		if got := signature.Detect(signature.Request{Header: c.header}); got != c.want {
			t.Errorf("%v: %s, want %s", c.header, got, c.want)
		}
	}
	for scheme, want := range map[signature.Scheme]string{signature.None: "none", signature.Message: "rfc9421", signature.IEX: "iex", 9: "none"} {
		if scheme.String() != want {
			t.Errorf("%d is %s", scheme, scheme)
		}
	}
	if _, err := signature.Verify(signature.Request{}, material(t), now()); kind(err) != signature.Missing {
		t.Errorf("an unsigned request: %v", err)
	}
}

// Promise: asking whether a request is signed costs an unsigned one no memory.
func TestDetectDoesNotAllocate(t *testing.T) {
	r := signature.Request{Header: http.Header{"Authorization": {"Bearer " + apiKey}, "X-Api-Key": {apiKey}, "Accept": {"*/*"}}}
	if n := testing.AllocsPerRun(100, func() {
		if signature.Detect(r) != signature.None {
			t.Error("it is not signed")
		}
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

// Promise: the key that a signature names can be read before anything is checked, and what cannot be read names none.
func TestClaimedKey(t *testing.T) {
	t.Parallel()
	r, _ := signedRequest(t, signers(t)["hmac"])
	if got := signature.ClaimedKey(signature.Of(r)); got != keyID {
		t.Errorf("%q", got)
	}
	r.Header.Set("Signature", "x")
	if got := signature.ClaimedKey(signature.Of(r)); got != "" {
		t.Errorf("%q", got)
	}
}

// Promise: the challenge is the profile's, word for word, and no key's id can break out of it.
func TestChallenge(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		keyID:       `sig=("@method" "@authority" "@path" "@query" "content-digest");created;nonce;keyid="` + keyID + `";tag="weir-v1"`,
		"":          `sig=("@method" "@authority" "@path" "@query" "content-digest");created;nonce;tag="weir-v1"`,
		`a";b="`:    `sig=("@method" "@authority" "@path" "@query" "content-digest");created;nonce;keyid="a\";b=\"";tag="weir-v1"`,
		"a\r\nb: c": `sig=("@method" "@authority" "@path" "@query" "content-digest");created;nonce;tag="weir-v1"`,
		"schlüssel": `sig=("@method" "@authority" "@path" "@query" "content-digest");created;nonce;tag="weir-v1"`,
	} {
		if got := signature.Challenge(id); got != want {
			t.Errorf("%q: %s", id, got)
		}
	}
}

// Promise: a new nonce is of 16 random bytes, long enough for the profile, and made of nothing less.
func TestNewNonce(t *testing.T) {
	t.Parallel()
	n, err := signature.NewNonce(reader(7))
	if err != nil || n != "BwcHBwcHBwcHBwcHBwcHBw" {
		t.Errorf("%q, %v", n, err)
	}
	if _, err := signature.NewNonce(strings.NewReader("too few bytes")); err == nil {
		t.Error("13 bytes make a nonce")
	}
}

// Promise: every kind of fault has a name of its own.
func TestKindsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for kind := signature.Missing; kind <= signature.Full; kind++ {
		name := kind.String()
		if seen[name] || name == "" || name == "unknown" || name == "none" {
			t.Errorf("%d is %q", kind, name)
		}
		seen[name] = true
	}
	if signature.Kind(0).String() != "none" || (signature.Full+1).String() != "unknown" {
		t.Error("what is no kind has a kind's name")
	}
}

// Promise: a signer that cannot sign says so, and does not send a request that looks signed.
func TestSignersThatCannotSign(t *testing.T) {
	t.Parallel()
	good := newSecret(t, 7)
	for name, c := range map[string]struct {
		signer signature.Signer
		nonce  string
	}{
		"nothing":         {signature.Signer{KeyID: keyID}, nonce},
		"both":            {signature.Signer{KeyID: keyID, Secret: good, PrivateKey: privateKey(7)}, nonce},
		"a short key":     {signature.Signer{KeyID: keyID, PrivateKey: privateKey(7)[:32]}, nonce},
		"a broken nonce":  {signature.Signer{KeyID: keyID, Secret: good}, "a\nb"},
		"a broken key id": {signature.Signer{KeyID: "\x00", Secret: good}, nonce},
	} {
		r := newRequest(t, http.MethodGet, "http://weir.example.com", "")
		if err := c.signer.Sign(r, nil, now(), c.nonce); err == nil || r.Header.Get("Signature") != "" {
			t.Errorf("%s: %v, %v", name, err, r.Header)
		}
	}
	if err := (signature.Signer{KeyID: keyID, PrivateKey: privateKey(7)}).SignIEX(newRequest(t, http.MethodGet, "http://x", ""), apiKey, nil, now()); err == nil {
		t.Error("an IEX signature without a secret")
	}
}
