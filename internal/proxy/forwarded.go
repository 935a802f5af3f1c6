package proxy

import (
	"net/netip"
	"strconv"
	"strings"
)

// trail gives the elements of a header's list from the last to the first. Its lines count as one list, in their order.
//
// It begins at the right because that is what a trusted proxy appended. An element is found without a look at what is
// to the left of its comma, where the caller may have written anything: an open quotation mark, too, that reading from
// the left would take for the beginning of a text that hides the proxy's own word.
type trail struct {
	lines  []string // not yet begun
	rest   string   // what is left of the line begun
	begun  bool
	quoted bool // a comma between quotation marks does not separate
}

// next gives the next element, without the spaces around it. It is not ok when the element is longer than the limit; no
// more when the list has ended.
func (t *trail) next() (element string, ok, more bool) {
	if !t.begun {
		if len(t.lines) == 0 {
			return "", false, false
		}
		last := len(t.lines) - 1
		t.rest, t.lines, t.begun = t.lines[last], t.lines[:last], true
	}
	window := max(0, len(t.rest)-maxElement-1)
	at := t.lastComma(t.rest[window:])
	if at < 0 && len(t.rest) > maxElement {
		return "", false, true
	}
	element = t.rest[window+at+1:]
	if at < 0 {
		t.begun = false
	} else {
		t.rest = t.rest[:window+at]
	}
	return strings.Trim(element, " \t"), true, true
}

// lastComma finds the comma before the last element; -1 when it is the only one.
func (t *trail) lastComma(text string) int {
	if !t.quoted {
		return strings.LastIndexByte(text, ',')
	}
	inside := false
	for i := len(text) - 1; i >= 0; i-- {
		switch {
		case text[i] == ',' && !inside:
			return i
		case text[i] == '"' && (!inside || !escaped(text[:i])):
			inside = !inside
		}
	}
	return -1
}

// escaped reports whether what comes after text is escaped by the backslashes it ends with.
func escaped(text string) bool {
	return (len(text)-len(strings.TrimRight(text, `\`)))%2 == 1
}

// element is what one proxy says in Forwarded: the one before it, and how the request came from there. Both may be
// missing.
type element struct {
	node  string
	proto string
}

// readElement reads an element of Forwarded: name=value, separated by semicolons. It is strict where two readers could
// differ, in quotation marks and in names that occur twice, and takes the addresses with colons and brackets that some
// proxies forget to quote.
func readElement(text string) (e element, ok bool) {
	var named, spoken bool
	for rest := text; ; rest = rest[1:] {
		rest = strings.TrimLeft(rest, " \t")
		name := rest[:run(rest, "")]
		if name == "" {
			// Between semicolons there may be nothing, but not everywhere.
			if rest == "" {
				return e, text != ""
			}
			if rest[0] != ';' {
				return e, false
			}
			continue
		}
		var value string
		if value, rest, ok = readValue(rest[len(name):]); !ok {
			return e, false
		}
		var twice bool
		switch {
		case strings.EqualFold(name, "for"):
			e.node, twice, named = value, named, true
		case strings.EqualFold(name, "proto"):
			e.proto, twice, spoken = value, spoken, true
		}
		if twice || rest != "" && rest[0] != ';' {
			return e, false
		}
		if rest == "" {
			return e, true
		}
	}
}

// readValue reads an equals sign and the value behind it, which is not empty, and gives what comes after the spaces
// behind that.
func readValue(text string) (value, rest string, ok bool) {
	if text == "" || text[0] != '=' {
		return "", "", false
	}
	text = text[1:]
	if !strings.HasPrefix(text, `"`) {
		n := run(text, ":[]")
		return text[:n], strings.TrimLeft(text[n:], " \t"), n > 0
	}
	end := 1
	for end < len(text) && (text[end] != '"' || escaped(text[1:end])) {
		end++
	}
	if end == len(text) || end == 1 {
		return "", "", false
	}
	return unquote(text[1:end]), strings.TrimLeft(text[end+1:], " \t"), true
}

// unquote takes the backslashes away that escape something.
func unquote(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// run is the length of the token that text begins with, in which the characters in also count.
func run(text, also string) int {
	for i := range len(text) {
		c := text[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 && strings.IndexByte(also, c) < 0 {
			return i
		}
	}
	return len(text)
}

// readNode reads what a proxy says of the one before it: an address, with or without a port, an IPv6 address with a port
// in brackets. It is the zero Addr when the proxy does not tell: "unknown", or a name of its own that begins with _.
// Zones are not ok, for they are about another machine.
func readNode(text string) (a netip.Addr, ok bool) {
	host := text
	switch colon := strings.LastIndexByte(text, ':'); {
	case text == "":
		return a, false
	case text[0] == '[':
		end := strings.IndexByte(text, ']')
		if end < 0 || end+1 < len(text) && text[end+1] != ':' {
			return a, false
		}
		if a, ok = readAddress(text[1:end]); !ok || strings.IndexByte(text[:end], ':') < 0 {
			return netip.Addr{}, false
		}
		if end+1 == len(text) {
			return a, true
		}
		return a, isPort(text[end+2:])
	case colon >= 0 && strings.IndexByte(text, ':') == colon:
		host = text[:colon]
		if !isPort(text[colon+1:]) {
			return a, false
		}
	}
	if strings.EqualFold(host, "unknown") || isHidden(host) {
		return a, true
	}
	return readAddress(host)
}

func readAddress(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// isPort also knows a port that the proxy keeps to itself.
func isPort(text string) bool {
	if isHidden(text) {
		return true
	}
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil && len(text) <= 5
}

// isHidden knows a name that a proxy gives in place of what it does not tell.
func isHidden(text string) bool {
	return len(text) > 1 && text[0] == '_' && run(text, "") == len(text)
}
