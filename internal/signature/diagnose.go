package signature

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"
)

// guess is a mistake that signers make: what they signed instead of the text.
type guess struct {
	text string
	key  []byte // of an HMAC, when it is that which differs
	says string // what the mistake is, when no line shows it
}

// wrong is the fault of a signature that does not match. To find out why, the mistakes that are known to be made are
// tried, one by one; the number of tries is bounded, since each costs as much as a check.
func (c *claim) wrong(r Request, m Material, alg, text string) *Fault {
	fault := faultf(Wrong, "The signature does not match the request, or was made with another key.")
	fault.Base = redact(text)
	guesses := c.guesses(r, m, alg, text)
	for _, g := range guesses[:min(len(guesses), tries(m, alg))] {
		if g.key != nil && matchesHMAC(g.key, g.text, c.signature) || g.key == nil && m.matches(alg, g.text, c.signature) {
			fault.Differs = g.describe(text)
			break
		}
	}
	return fault
}

// tries is how many guesses may be tried. Ed25519 costs much more than an HMAC, and with several public keys each guess
// costs as many checks.
func tries(m Material, alg string) int {
	if alg == Ed25519 {
		return maxTries / 2 / max(len(m.PublicKeys), 1)
	}
	return maxTries
}

// describe says what the guess found: the first line that differs, with the credentials in it replaced.
func (g *guess) describe(text string) string {
	if g.says != "" {
		return g.says
	}
	_, ours, theirs := FirstDifference(text, g.text)
	return "we have:    " + ours + "\nwas signed: " + theirs
}

// FirstDifference compares two signature bases, ours and one that a client says it has signed. It gives the number of
// the first line that differs, counted from 1, and both lines, with the credentials in them replaced; 0 when there is
// none. A line that only one of them has is empty in the other.
func FirstDifference(ours, theirs string) (line int, our, their string) {
	a, b := strings.Split(redact(ours), "\n"), strings.Split(redact(theirs), "\n")
	for i := range max(len(a), len(b)) {
		our, their = lineAt(a, i), lineAt(b, i)
		if our != their || i >= len(a) || i >= len(b) {
			return i + 1, our, their
		}
	}
	return 0, "", ""
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// guesses are the well-known mistakes that apply to a text, the likeliest first.
func (c *claim) guesses(r Request, m Material, alg, text string) []guess {
	var found []guess
	instead := func(name, value string) {
		if other := c.replaced(text, name, value); other != text {
			found = append(found, guess{text: other})
		}
	}
	instead("@query", r.Query) // without its '?'
	for _, host := range otherHosts(r.Authority) {
		instead("@authority", host)
	}
	found = append(found, guess{text: text + "\n", says: "What was signed ends with a newline; a signature base has none at its end."})
	if raw := m.Secret.raw(); alg == HMACSHA256 && raw != nil {
		found = append(found, guess{text: text, key: raw, says: "The text is right. The key was the decoded bytes of the secret; it is the secret's text, with its prefix."})
	}
	instead("@path", otherSlash(r.path()))
	if kind, _, ok := strings.Cut(r.Header.Get("Content-Type"), ";"); ok {
		instead("content-type", strings.TrimSpace(kind))
	}
	if plain, err := url.PathUnescape(r.path()); err == nil {
		instead("@path", plain)
	}
	instead("@method", strings.ToLower(r.Method))
	for _, params := range c.otherParameters() {
		head, _, _ := strings.Cut(text, paramsLine)
		if other := head + paramsLine + params; other != text {
			found = append(found, guess{text: other})
		}
	}
	return found
}

// replaced gives the text with another value of a component.
func (c *claim) replaced(text, name, value string) string {
	lines := strings.Split(text, "\n")
	for i := range c.components {
		if c.components[i].name == name && i < len(lines) {
			lines[i] = c.components[i].id() + ": " + value
		}
	}
	return strings.Join(lines, "\n")
}

// otherHosts are forms of the host that clients sign instead of the right one: as they sent it, and with or without
// its port.
func otherHosts(authority string) []string {
	bare := bareHost(authority)
	if hostOnly(bare) {
		return []string{authority, bare + ":443"}
	}
	return []string{authority, bare[:strings.LastIndexByte(bare, ':')]}
}

func otherSlash(path string) string {
	if without, ok := strings.CutSuffix(path, "/"); ok {
		return without
	}
	return path + "/"
}

// otherParameters writes the list of components with its parameters in other ways: in the order of the RFC, and with a
// time that is text.
func (c *claim) otherParameters() []string {
	written := func(names []string, change func(name string, value any) any) string {
		params := httpsfv.NewParams()
		for _, name := range names {
			if value, ok := c.list.Params.Get(name); ok {
				params.Add(name, change(name, value))
			}
		}
		text, _ := httpsfv.Marshal(httpsfv.InnerList{Items: c.list.Items, Params: params})
		return text
	}
	same := func(_ string, value any) any { return value }
	asText := func(name string, value any) any {
		if n, ok := value.(int64); ok && name == "created" {
			return strconv.FormatInt(n, 10)
		}
		return value
	}
	return []string{written([]string{"created", "expires", "nonce", "alg", "keyid", "tag"}, same), written(c.list.Params.Names(), asText)}
}

// wrong is the fault of an IEX signature that does not match.
func (c *iexClaim) wrong(parts *iexParts, key []byte) *Fault {
	fault := faultf(Wrong, "The signature does not match the request, or was made with another secret.")
	fault.Base = redact(parts.canonical())
	raw := hmacSHA256(hmacSHA256(c.secret.key(), parts.date[:iexDay]), iexScope)
	tries := []struct {
		key    []byte
		says   string
		change func(*iexParts)
	}{
		{raw, "The text is right. Each step's key is the hexadecimal text of the step before, not its bytes.", func(*iexParts) {}},
		{iexKey(c.secret.raw(), c.date), "The text is right. The key was the decoded bytes of the secret; it is the secret's text, with its prefix.", func(*iexParts) {}},
		{key, "", func(p *iexParts) { p.host = otherHosts(p.host)[1] }},
		{key, "", func(p *iexParts) { p.path = "https://" + p.host + p.path }},
		{key, "", func(p *iexParts) { p.query = "?" + p.query }},
		{key, "", func(p *iexParts) { p.query = "" }},
		{key, "", func(p *iexParts) { p.payload = hexSHA256(nil) }},
		{key, "", func(p *iexParts) { p.path = otherSlash(p.path) }},
	}
	for _, try := range tries[:min(len(tries), maxTries)] {
		other := *parts
		try.change(&other)
		if string(other.sign(try.key)) == string(c.signature) {
			g := guess{text: other.canonical(), says: try.says}
			fault.Differs = g.describe(parts.canonical())
			break
		}
	}
	return fault
}

// redact replaces the credentials in a signature base: the values of headers that carry them, and of query parameters.
func redact(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = redactLine(line)
	}
	return strings.Join(lines, "\n")
}

// redactLine replaces the credentials in a line. A line of a signature base begins with an identifier in quotes.
func redactLine(line string) string {
	if strings.HasPrefix(line, paramsLine) {
		return line
	}
	id, _, ok := strings.Cut(line, ": ")
	if !ok || !strings.HasPrefix(id, `"`) {
		return redactPairs(line)
	}
	name, params, _ := strings.Cut(id[1:], `"`)
	if secretHeader(name) {
		return id + ": " + hidden
	}
	if value, ok := strings.CutPrefix(params, `;name="`); ok && name == "@query-param" {
		if secretParameter(strings.TrimSuffix(value, `"`)) {
			return id + ": " + hidden
		}
		return line
	}
	if strings.HasPrefix(name, "@") {
		return id + ": " + redactPairs(line[len(id)+2:])
	}
	return line
}

// redactPairs replaces the values of secret parameters in a query, or in anything that has one.
func redactPairs(text string) string {
	var b strings.Builder
	for text != "" {
		end := strings.IndexAny(text, "?&; ")
		pair, separator, rest := text, "", ""
		if end >= 0 {
			pair, separator, rest = text[:end], text[end:end+1], text[end+1:]
		}
		if name, _, ok := strings.Cut(pair, "="); ok && secretParameter(name) {
			pair = name + "=" + hidden
		}
		b.WriteString(pair)
		b.WriteString(separator)
		text = rest
	}
	return b.String()
}

func secretHeader(name string) bool {
	switch strings.ToLower(name) {
	case "authorization", "proxy-authorization", "x-api-key", "cookie":
		return true
	}
	return false
}

// secretParameter reports whether a query parameter carries a credential, in whatever case and encoding its name comes.
func secretParameter(name string) bool {
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	switch strings.ToLower(name) {
	case "apikey", "api_key", "token", "key", "access_token":
		return true
	}
	return false
}
