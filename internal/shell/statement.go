package shell

import (
	"strings"
	"unicode/utf8"
)

// MaxStatement bounds a statement, in bytes. The server takes less.
const MaxStatement = 1 << 20

// Splitter takes text apart into statements, which end with a semicolon outside of quotes and comments. It knows no
// grammar: quoted text ('…', E'…', "…", $tag$…$tag$) and comments (-- …, /* … */, which nest) are all that it looks
// at. The zero Splitter is ready.
type Splitter struct {
	text   strings.Builder // of the statement that has begun, with all that was read of it
	open   string          // what is open: ' or E' or " or $tag$ or -- or /*; empty outside of them
	depth  int             // of nested comments
	filled bool            // something other than blanks and comments has been read
	carry  string          // an end of the text so far that can only be understood with what follows
	word   bool            // what was read last is part of a word: no quote of another kind begins there
	escape bool            // what was read last is E or e and no word before it: a quote takes backslashes
}

// Add takes in text and gives the statements that it ends, without their semicolons. Where the text is cut makes no
// difference.
func (s *Splitter) Add(text string) (statements []string) {
	text = s.carry + text
	s.carry = ""
	for text != "" {
		n, end := s.step(text)
		if n == 0 {
			s.carry = text
			return statements
		}
		if end {
			if s.filled {
				statements = append(statements, strings.TrimSpace(s.text.String()))
			}
			s.reset()
		} else {
			s.text.WriteString(text[:n])
		}
		text = text[n:]
	}
	return statements
}

// Rest ends the text and gives the last statement when it has no semicolon; empty when there is none.
func (s *Splitter) Rest() string {
	s.text.WriteString(s.carry)
	rest := ""
	if s.filled || strings.TrimSpace(s.carry) != "" {
		rest = strings.TrimSpace(s.text.String())
	}
	s.reset()
	s.carry = ""
	return rest
}

// Begun reports whether a statement has begun and not ended, and what of it is open: a quote, a comment, or nothing.
func (s *Splitter) Begun() (begun bool, open string) {
	return s.filled || s.open != "" || strings.TrimSpace(s.carry) != "", s.open
}

// Size is how many bytes the statement has so far.
func (s *Splitter) Size() int { return s.text.Len() + len(s.carry) }

func (s *Splitter) reset() {
	s.text.Reset()
	s.open, s.depth, s.filled, s.word, s.escape = "", 0, false, false, false
}

// step reads one piece of the text: n is its length, 0 when more is needed to tell. end says that it is a semicolon
// that ends the statement.
func (s *Splitter) step(text string) (n int, end bool) {
	switch s.open {
	case "":
		return s.outside(text)
	case "--":
		return s.until(text, "\n"), false
	case "/*":
		return s.comment(text), false
	case "E'":
		return s.escaped(text), false
	case "'", `"`:
		// A doubled quote closes and opens again, which comes to the same.
		return s.until(text, s.open), false
	}
	return s.until(text, s.open), false
}

// until reads up to the end of what is open and behind it, or as far as no end can have begun.
func (s *Splitter) until(text, closing string) int {
	if i := strings.Index(text, closing); i >= 0 {
		s.open = ""
		return i + len(closing)
	}
	for keep := min(len(closing)-1, len(text)); keep > 0; keep-- {
		if strings.HasSuffix(text, closing[:keep]) {
			return len(text) - keep
		}
	}
	return len(text)
}

func (s *Splitter) comment(text string) int {
	switch {
	case len(text) == 1 && (text[0] == '*' || text[0] == '/'):
		return 0
	case strings.HasPrefix(text, "/*"):
		s.depth++
		return 2
	case strings.HasPrefix(text, "*/"):
		if s.depth--; s.depth == 0 {
			s.open = ""
		}
		return 2
	}
	if i := strings.IndexAny(text[1:], "*/"); i >= 0 {
		return i + 1
	}
	return len(text)
}

// escaped reads in an E'…' text, where a backslash takes the next character with it.
func (s *Splitter) escaped(text string) int {
	switch {
	case len(text) == 1 && (text[0] == '\'' || text[0] == '\\'):
		return 0
	case strings.HasPrefix(text, "''"):
		return 2
	case text[0] == '\'':
		s.open = ""
		return 1
	case text[0] == '\\':
		return 2
	}
	if i := strings.IndexAny(text, `'\`); i >= 0 {
		return i
	}
	return len(text)
}

// outside reads one piece of what is neither quoted nor a comment.
func (s *Splitter) outside(text string) (n int, end bool) {
	b := text[0]
	word, escape := s.word, s.escape
	s.word, s.escape = false, false
	switch {
	case b == ';':
		return 1, true
	case b == '-' || b == '/':
		return s.slash(text), false
	case b == '\'' && escape:
		s.open = "E'"
	case b == '\'' || b == '"':
		s.open, s.filled = string(b), true
	case b == '$' && !word:
		return s.dollar(text), false
	case wordByte(b) || b == '$':
		s.word, s.filled = true, true
		s.escape = !word && (b == 'e' || b == 'E')
	case b != ' ' && b != '\t' && b != '\n' && b != '\r' && b != '\f' && b != '\v':
		s.filled = true
	}
	return 1, false
}

// slash reads what may be the beginning of a comment.
func (s *Splitter) slash(text string) int {
	switch {
	case len(text) == 1:
		return 0
	case strings.HasPrefix(text, "--"):
		s.open = "--"
		return 2
	case strings.HasPrefix(text, "/*"):
		s.open, s.depth = "/*", 1
		return 2
	}
	s.filled = true
	return 1
}

// dollar reads a $, which begins a parameter such as $1 or $name, or a text such as $tag$…$tag$.
func (s *Splitter) dollar(text string) int {
	i := 1
	for i < len(text) && wordByte(text[i]) {
		i++
	}
	digit := len(text) > 1 && text[1] >= '0' && text[1] <= '9'
	switch {
	case i == len(text) && !digit && i < maxTag:
		return 0
	case i < len(text) && text[i] == '$' && !digit:
		s.open = text[:i+1]
		i++
	default:
		s.word = i > 1
	}
	s.filled = true
	return i
}

// maxTag bounds the tag of a quoted text, in bytes.
const maxTag = 64

func wordByte(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= utf8.RuneSelf
}
