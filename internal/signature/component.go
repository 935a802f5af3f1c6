package signature

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/dunglas/httpsfv"
)

// component is one signed part of a request: the name of a header, or a derived part that begins with '@', and how its
// value is written.
type component struct {
	name   string
	params string // its parameters as they stand in the signature base
	strict bool   // sf: the structured field is written anew
	binary bool   // bs: each line of the header is a byte sequence
	member bool   // key: one member of a dictionary
	key    string // which
	param  string // of @query-param: which
}

// readComponents reads the list of what a signature covers.
func readComponents(items []httpsfv.Item) ([]component, error) {
	if len(items) > maxComponents {
		return nil, faultf(TooLarge, "The signature covers %d components; at most %d are read.", len(items), maxComponents)
	}
	components := make([]component, 0, len(items))
	for _, item := range items {
		c, err := readComponent(item)
		if err != nil {
			return nil, err
		}
		for i := range components {
			if components[i].same(&c) {
				return nil, faultf(Malformed, "The signature names the component %s twice.", clip(c.id()))
			}
		}
		components = append(components, c)
	}
	return components, nil
}

// id is the component's identifier as it stands in the signature base.
func (c *component) id() string { return `"` + c.name + `"` + c.params }

// same reports whether two identifiers mean the same, in whatever order their parameters stand.
func (c *component) same(other *component) bool {
	a, b := *c, *other
	a.params, b.params = "", ""
	return a == b
}

func readComponent(item httpsfv.Item) (component, error) {
	name, ok := item.Value.(string)
	if !ok {
		return component{}, faultf(Malformed, "The list of a signature's components must hold strings.")
	}
	c := component{name: name}
	derived := strings.HasPrefix(name, "@")
	if derived && !knownDerived(name) || !derived && !fieldName(name) {
		return component{}, faultf(Unsupported, "The component %q is not known here. Names of headers are in lower case.", clip(name))
	}
	params := item.Params.Names()
	if err := c.readParameters(item.Params, derived); err != nil {
		return component{}, err
	}
	if len(params) > 0 {
		id, err := httpsfv.Marshal(item)
		if err != nil {
			return component{}, faultf(Malformed, "The parameters of the component %q cannot be written.", clip(name))
		}
		c.params = id[len(c.id()):] // a name has nothing that would have to be escaped
	}
	if name == "@query-param" && len(params) == 0 {
		return component{}, faultf(Malformed, "The component \"@query-param\" needs the parameter name.")
	}
	return c, nil
}

// readParameters reads how a component's value is to be written. tr (trailers) and req (of a response) have no place in
// a request whose signature is checked before its body.
func (c *component) readParameters(params *httpsfv.Params, derived bool) error {
	for _, name := range params.Names() {
		value, _ := params.Get(name)
		var ok bool
		switch {
		case name == "name" && c.name == "@query-param":
			c.param, ok = value.(string)
		case derived:
			return faultf(Unsupported, "The component %q takes no parameter %q.", c.name, clip(name))
		case name == "sf":
			c.strict, ok = true, value == true
		case name == "bs":
			c.binary, ok = true, value == true
		case name == "key":
			c.member = true
			c.key, ok = value.(string)
		default:
			return faultf(Unsupported, "The parameter %q of the component %q is not known here.", clip(name), clip(c.name))
		}
		if !ok {
			return faultf(Malformed, "The parameter %q of the component %q has a value of the wrong kind.", name, clip(c.name))
		}
	}
	if c.binary && (c.strict || c.member) {
		return faultf(Malformed, "The component %q cannot have bs together with sf or key.", clip(c.name))
	}
	if (c.strict || c.member) && !dictionary(c.name) {
		return faultf(Unsupported, "The header %q is not known here as a dictionary, so sf and key do not apply to it.", clip(c.name))
	}
	return nil
}

func knownDerived(name string) bool {
	switch name {
	case "@method", "@authority", "@path", "@query", "@query-param", "@request-target", "@scheme", "@target-uri":
		return true
	}
	return false
}

// fieldName reports whether name is the name of a header in lower case.
func fieldName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

// dictionary reports whether a header of a request is known to be a dictionary.
func dictionary(name string) bool {
	switch name {
	case "accept-signature", "content-digest", "priority", "repr-digest", "signature", "signature-input", "want-content-digest", "want-repr-digest":
		return true
	}
	return false
}

// base is the text that a signature is made of (RFC 9421 section 2.5).
func base(r Request, components []component, list httpsfv.InnerList) (string, error) {
	var b strings.Builder
	b.Grow(512)
	for i := range components {
		value, err := components[i].value(r)
		if err != nil {
			return "", err
		}
		b.WriteByte('"')
		b.WriteString(components[i].name)
		b.WriteByte('"')
		b.WriteString(components[i].params)
		b.WriteString(": ")
		b.WriteString(value)
		b.WriteByte('\n')
		if b.Len() > maxBase {
			return "", faultf(TooLarge, "The signed parts of the request have more than %d bytes.", maxBase)
		}
	}
	params, err := httpsfv.Marshal(list)
	if err != nil {
		return "", faultf(Malformed, "The signature's parameters cannot be written.")
	}
	b.WriteString(paramsLine)
	b.WriteString(params)
	return b.String(), nil
}

const paramsLine = `"@signature-params": `

// value is the component's value in a request.
func (c *component) value(r Request) (string, error) {
	var value string
	var err error
	if c.name[0] == '@' {
		value, err = c.derived(r)
	} else {
		value, err = c.field(r)
	}
	if err != nil {
		return "", err
	}
	if len(value) > maxValue {
		return "", faultf(TooLarge, "The component %s has %d bytes; at most %d are read.", clip(c.id()), len(value), maxValue)
	}
	for i := range len(value) {
		if b := value[i]; b >= 0x7f || b < ' ' && (b != '\t' || c.name[0] == '@') {
			return "", faultf(Malformed, "The value of %s has a byte outside printable ASCII. A header can be signed with the parameter bs.", clip(c.id()))
		}
	}
	return value, nil
}

// derived is the value of a component that is no header (RFC 9421 section 2.2).
func (c *component) derived(r Request) (string, error) {
	switch c.name {
	case "@method":
		return r.Method, nil
	case "@authority":
		return bareHost(r.Authority), nil
	case "@path":
		return r.path(), nil
	case "@query":
		return "?" + r.Query, nil
	case "@query-param":
		return c.queryParam(r.Query)
	case "@request-target":
		return r.target(), nil
	}
	if r.Scheme == "" {
		return "", faultf(Unsupported, "The server cannot tell which scheme the client used, so %q cannot be checked. Sign @authority, @path and @query.", c.name)
	}
	if c.name == "@scheme" {
		return strings.ToLower(r.Scheme), nil
	}
	return strings.ToLower(r.Scheme) + "://" + bareHost(r.Authority) + strings.TrimPrefix(r.originTarget(), "*"), nil
}

// path is the path in the form in which it is signed: as it was sent, but never empty.
func (r Request) path() string {
	if r.Path == "" {
		return "/"
	}
	return r.Path
}

func (r Request) originTarget() string {
	if r.Query == "" && !strings.HasSuffix(r.Target, "?") {
		return r.path()
	}
	return r.path() + "?" + r.Query
}

func (r Request) target() string {
	if r.Target != "" {
		return r.Target
	}
	return r.originTarget()
}

// queryParam is the value of the one parameter of that name (RFC 9421 section 2.2.8): decoded, and encoded again in one
// way. The name in the identifier is encoded so too.
func (c *component) queryParam(query string) (string, error) {
	found, count := "", 0
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if pair == "" {
			continue
		}
		if encoded, ok := reencode(name); !ok || encoded != c.param {
			continue
		}
		encoded, ok := reencode(value)
		if !ok {
			return "", faultf(Malformed, "The value of the query parameter %q is not UTF-8 in percent encoding.", clip(c.param))
		}
		found = encoded
		count++
	}
	switch count {
	case 0:
		return "", faultf(Missing, "The signature covers the query parameter %q, which the request does not have.", clip(c.param))
	case 1:
		return found, nil
	}
	return "", faultf(Ambiguous, "The signature covers the query parameter %q, which the request has %d times.", clip(c.param), count)
}

// reencode decodes a name or value of a form and encodes it with the set of application/x-www-form-urlencoded, a space
// as %20.
func reencode(text string) (string, bool) {
	plain, err := url.QueryUnescape(text)
	if err != nil || !utf8.ValidString(plain) {
		return "", false
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(plain) {
		switch c := plain[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '*', c == '-', c == '.', c == '_':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String(), true
}

// field is the value of a header (RFC 9421 section 2.1).
func (c *component) field(r Request) (string, error) {
	lines := headerLines(r, c.name)
	if len(lines) == 0 {
		return "", faultf(Missing, "The signature covers the header %q, which the request does not have.", clip(c.name))
	}
	if len(lines) > maxComponents {
		return "", faultf(TooLarge, "The header %q comes in %d lines; at most %d are read.", clip(c.name), len(lines), maxComponents)
	}
	switch {
	case c.binary:
		return binaryField(lines)
	case c.strict, c.member:
		return c.dictionaryField(lines)
	case len(lines) == 1:
		return trimSpace(lines[0]), nil
	}
	trimmed := make([]string, len(lines))
	for i, line := range lines {
		trimmed[i] = trimSpace(line)
	}
	return strings.Join(trimmed, ", "), nil
}

// headerLines are the lines of a header. net/http keeps the Host header apart.
func headerLines(r Request, name string) []string {
	if name == "host" && r.Authority != "" {
		return []string{r.Authority}
	}
	return r.Header[textproto.CanonicalMIMEHeaderKey(name)]
}

func trimSpace(line string) string { return strings.Trim(line, " \t") }

func binaryField(lines []string) (string, error) {
	list := make(httpsfv.List, 0, len(lines))
	size := 0
	for _, line := range lines {
		size += len(line)
		list = append(list, httpsfv.NewItem([]byte(trimSpace(line))))
	}
	if size > maxValue {
		return "", faultf(TooLarge, "A signed header has %d bytes; at most %d are read.", size, maxValue)
	}
	text, err := httpsfv.Marshal(list)
	if err != nil {
		return "", faultf(Malformed, "A signed header cannot be written as byte sequences.")
	}
	return text, nil
}

// dictionaryField writes a dictionary anew, the whole of it or one member.
func (c *component) dictionaryField(lines []string) (string, error) {
	if err := withinLimits(lines, http.CanonicalHeaderKey(c.name), maxInput); err != nil {
		return "", err
	}
	d, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return "", faultf(Malformed, "The header %q is signed as a dictionary, and is none: %s.", c.name, err)
	}
	written := httpsfv.StructuredFieldValue(d)
	if c.member {
		member, ok := d.Get(c.key)
		if !ok {
			return "", faultf(Missing, "The signature covers the member %q of the header %q, which has none.", clip(c.key), c.name)
		}
		written = member
	}
	text, err := httpsfv.Marshal(written)
	if err != nil {
		return "", faultf(Malformed, "The header %q cannot be written as a dictionary.", c.name)
	}
	return text, nil
}
