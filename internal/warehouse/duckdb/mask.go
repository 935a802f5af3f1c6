package duckdb

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/view"
)

// mask says what becomes of a JSON value and what is in it: it is taken away, hashed, or looked into. A nil mask leaves
// it as it is.
type mask struct {
	hide, hash bool
	members    map[string]*mask
}

// at is the mask for what a path leads to, made when there is none.
func (m *mask) at(path []string) *mask {
	for _, name := range path {
		if m.members == nil {
			m.members = map[string]*mask{}
		}
		if m.members[name] == nil {
			m.members[name] = &mask{}
		}
		m = m.members[name]
	}
	return m
}

// masker rewrites JSON by a mask.
type masker struct {
	mask *mask
	key  view.HashKey
}

// rewrite is a native.Rewriter. Members are matched by their unescaped names, each time that an object has one, and a
// path leads through every element of an array. What is not masked keeps its text, but for spaces beside masked members.
// A text that is not JSON is not shown at all.
func (r *masker) rewrite(dst, text []byte) ([]byte, bool) {
	s := scan{in: text}
	dst, ok := r.value(dst, &s, r.mask)
	s.space()
	return dst, ok && s.at == len(text)
}

func (r *masker) value(dst []byte, s *scan, m *mask) ([]byte, bool) {
	s.space()
	start := s.at
	switch first := s.peek(); {
	case m == nil || len(m.members) == 0 || first != '{' && first != '[':
		if !s.skip() {
			return dst, false
		}
		if m != nil && m.hash {
			return r.hashed(dst, s.in[start:s.at])
		}
		return append(dst, s.in[start:s.at]...), true
	case m.hash: // of what is left when the hidden parts are gone
		left, ok := r.value(nil, s, m.onlyHiding())
		if !ok {
			return dst, false
		}
		return r.hashed(dst, left)
	case first == '{':
		return r.object(dst, s, m)
	}
	return r.array(dst, s, m)
}

// onlyHiding is the mask without its hashes.
func (m *mask) onlyHiding() *mask {
	out := &mask{hide: m.hide, members: map[string]*mask{}}
	for name, inner := range m.members {
		out.members[name] = inner.onlyHiding()
	}
	return out
}

func (r *masker) object(dst []byte, s *scan, m *mask) ([]byte, bool) {
	dst = append(dst, '{')
	written := false
	for first := true; ; first = false {
		more, ok := s.next('}', first)
		if !ok || !more {
			return append(dst, '}'), ok
		}
		start := s.at
		if s.peek() != '"' || !s.skip() {
			return dst, false
		}
		name := s.in[start:s.at]
		inner, ok := m.member(name)
		if s.space(); !ok || s.peek() != ':' {
			return dst, false
		}
		s.at++
		if inner != nil && inner.hide {
			if s.space(); !s.skip() {
				return dst, false
			}
			continue
		}
		if written {
			dst = append(dst, ',')
		}
		written = true
		if dst, ok = r.value(append(append(dst, name...), ':'), s, inner); !ok {
			return dst, false
		}
	}
}

func (r *masker) array(dst []byte, s *scan, m *mask) ([]byte, bool) {
	dst = append(dst, '[')
	for first := true; ; first = false {
		more, ok := s.next(']', first)
		if !ok || !more {
			return append(dst, ']'), ok
		}
		if !first {
			dst = append(dst, ',')
		}
		if dst, ok = r.value(dst, s, m); !ok {
			return dst, false
		}
	}
}

// member is the mask of a member by its name as it is written.
func (m *mask) member(written []byte) (*mask, bool) {
	bare := written[1 : len(written)-1]
	if bytes.IndexByte(bare, '\\') < 0 {
		return m.members[string(bare)], true
	}
	name, err := jsontext.AppendUnquote(nil, written)
	return m.members[string(name)], err == nil
}

// hashed appends the hash of a value: of what a text says, of the JSON of anything else; null has none.
func (r *masker) hashed(dst, value []byte) ([]byte, bool) {
	if string(value) == "null" {
		return append(dst, value...), true
	}
	if value[0] == '"' {
		said, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return dst, false
		}
		value = said
	}
	return append(r.key.AppendHash(append(dst, '"'), value), '"'), true
}

// scan goes through JSON that is known to be well formed; where it is not, it says so or passes over it, and never goes
// beyond its end.
type scan struct {
	in []byte
	at int
}

// peek is the byte at hand; 0 at the end.
func (s *scan) peek() byte {
	if s.at < len(s.in) {
		return s.in[s.at]
	}
	return 0
}

func (s *scan) space() {
	for s.at < len(s.in) && (s.in[s.at] == ' ' || s.in[s.at] == '\n' || s.in[s.at] == '\t' || s.in[s.at] == '\r') {
		s.at++
	}
}

// next goes to the next member or element of what ends in a byte; more is false when it has ended.
func (s *scan) next(end byte, first bool) (more, ok bool) {
	if first {
		s.at++ // the bracket that opens it
	}
	s.space()
	switch c := s.peek(); {
	case c == end:
		s.at++
		return false, true
	case first:
		return true, c != 0
	case c != ',':
		return false, false
	}
	s.at++
	s.space()
	return true, s.peek() != 0
}

// skip goes behind the value at hand.
func (s *scan) skip() bool {
	start, depth := s.at, 0
	for s.at < len(s.in) {
		switch c := s.in[s.at]; c {
		case '"':
			if !s.text() {
				return false
			}
			s.at--
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return s.at > start
			}
		default:
			if depth == 0 {
				s.word()
				return true
			}
		}
		s.at++
		if depth == 0 {
			return true
		}
		if depth < 0 {
			s.at--
			return false
		}
	}
	return false
}

// word goes behind a number, true, false or null.
func (s *scan) word() {
	n := bytes.IndexAny(s.in[s.at:], "{}[]\",: \n\t\r")
	if n < 0 {
		n = len(s.in) - s.at
	}
	s.at += n
}

// text goes behind the string at hand.
func (s *scan) text() bool {
	for s.at++; s.at < len(s.in); s.at++ {
		switch s.in[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return true
		}
	}
	return false
}
