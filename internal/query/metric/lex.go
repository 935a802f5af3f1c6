package metric

import (
	"strings"
	"unicode/utf8"
)

// kind is what a piece of SQL is. The pieces are those of the engine's scanner as far as they decide where strings,
// names and comments begin and end; everything else is single characters.
type kind uint8

const (
	space       kind = iota
	comment          // -- to the end of the line, or /* */, which nests
	word             // a name or keyword without quotes, or a number
	text             // '…', in which '' is an apostrophe
	escaped          // e'…', in which \ escapes
	dollars          // $$…$$ or $tag$…$tag$
	name             // "…"
	placeholder      // @{name}
	sign             // one character of anything else
	broken           // begins and does not end
)

// token is a piece of SQL, by the bytes it takes.
type token struct {
	kind       kind
	start, end int
}

// scan parts SQL into tokens, which follow one another without a gap.
func scan(sql string) []token {
	var tokens []token
	for at := 0; at < len(sql); {
		k, length := next(sql[at:])
		if k == text && len(tokens) > 0 && tokens[len(tokens)-1].kind == word {
			if before := tokens[len(tokens)-1]; strings.EqualFold(sql[before.start:before.end], "e") {
				k, length = escapedText(sql[at:])
			}
		}
		tokens = append(tokens, token{k, at, at + length})
		at += length
	}
	return tokens
}

// next is the token that a text, which is not empty, begins with.
func next(sql string) (kind, int) {
	switch c := sql[0]; {
	case isSpace(c):
		n := 1
		for n < len(sql) && isSpace(sql[n]) {
			n++
		}
		return space, n
	case strings.HasPrefix(sql, "--"):
		if n := strings.IndexAny(sql, "\r\n"); n >= 0 {
			return comment, n
		}
		return comment, len(sql)
	case strings.HasPrefix(sql, "/*"):
		return blockComment(sql)
	case c == '\'':
		return quoted(sql, text)
	case c == '"':
		return quoted(sql, name)
	case c == '$':
		return dollarText(sql)
	case isWord(c):
		n := 1
		for n < len(sql) && isWord(sql[n]) {
			n++
		}
		return word, n
	case strings.HasPrefix(sql, "@{"):
		if n := placeholderLength(sql); n > 0 {
			return placeholder, n
		}
	}
	return sign, 1
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// isWord reports whether a character can go on a word. A $ cannot begin one.
func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '$' || c >= utf8.RuneSelf
}

func blockComment(sql string) (kind, int) {
	depth := 0
	for i := 0; i+1 < len(sql); i++ {
		switch sql[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
		}
		if depth == 0 {
			return comment, i + 1
		}
	}
	return broken, len(sql)
}

// quoted is a text in the quotes that it begins with; the quote twice stands for itself.
func quoted(sql string, k kind) (kind, int) {
	for i := 1; i < len(sql); i++ {
		if sql[i] != sql[0] {
			continue
		}
		if i+1 < len(sql) && sql[i+1] == sql[0] {
			i++
			continue
		}
		return k, i + 1
	}
	return broken, len(sql)
}

// escapedText is a text in apostrophes in which a backslash takes the meaning from the character after it.
func escapedText(sql string) (kind, int) {
	for i := 1; i < len(sql); i++ {
		switch {
		case sql[i] == '\\':
			i++
		case sql[i] == '\'' && i+1 < len(sql) && sql[i+1] == '\'':
			i++
		case sql[i] == '\'':
			return escaped, i + 1
		}
	}
	return broken, len(sql)
}

// dollarText is a text between $$ or $tag$; a $ that begins none is a sign.
func dollarText(sql string) (kind, int) {
	n := 1
	for n < len(sql) && isWord(sql[n]) && sql[n] != '$' {
		n++
	}
	if n == len(sql) || sql[n] != '$' || n > 1 && '0' <= sql[1] && sql[1] <= '9' {
		return sign, 1
	}
	tag := sql[:n+1]
	if end := strings.Index(sql[n+1:], tag); end >= 0 {
		return dollars, end + 2*len(tag)
	}
	return broken, len(sql)
}

// placeholderLength is the length of the placeholder that a text begins with; 0 when it begins with none.
func placeholderLength(sql string) int {
	rest, ok := strings.CutPrefix(sql, "@{")
	if !ok {
		return 0
	}
	if end := strings.IndexByte(rest, '}'); end > 0 && validName(rest[:end]) {
		return end + 3
	}
	return 0
}

// variableOf is the name in a placeholder.
func variableOf(placeholder string) string { return placeholder[2 : len(placeholder)-1] }

// spaces are the characters that the engine takes for spaces and this scanner does not.
const spaces = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u202f\u205f\u2060\u3000\ufeff"
