package shell

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// Harmless gives a text that a terminal only shows: control characters, characters without a width of their own, those
// that turn the direction of writing, line ends and bytes that are no text become escapes such as \u001b. It is one line.
func Harmless(text string) string {
	if plain(text) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && strings.HasPrefix(text[i:], "\uFFFD"):
			b.WriteRune(r)
		case r == utf8.RuneError:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case acts(r), i == 0 && unicode.Is(unicode.M, r): // which would stand on what is before the text
			b.WriteString(escape(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

// acts reports whether a terminal does more with a character than show it, or shows nothing.
func acts(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp)
}

// escape is a character as JSON would write it.
func escape(r rune) string {
	switch r {
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// width is how many cells of a terminal a harmless text takes, character by character.
func width(text string) int {
	if plain(text) {
		return len(text)
	}
	cells := 0
	for _, r := range text {
		cells += runeCells(r)
	}
	return cells
}

func runeCells(r rune) int {
	condition := runewidth.Condition{StrictEmojiNeutral: true} // not what the environment says of East Asian terminals
	return condition.RuneWidth(r)
}

// clip cuts a harmless text to a width and says with an ellipsis that it did.
func clip(text string, cells int) string {
	if width(text) <= cells {
		return text
	}
	taken := 0
	for i, r := range text {
		if taken += runeCells(r); taken > cells-1 {
			return text[:i] + "…"
		}
	}
	return text
}

// screen writes texts of many lines to a terminal, harmless but for their line ends and tabs. A text that is JSON stays
// the same JSON.
type screen struct {
	out   io.Writer
	carry []byte // the beginning of a character, or a carriage return
}

// Write takes p in whole.
func (s *screen) Write(p []byte) (int, error) {
	text := slices.Concat(s.carry, p)
	s.carry = nil
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case !utf8.FullRune(text), r == '\r' && len(text) == 1:
			s.carry = text
			n = len(text)
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case r == '\n', r == '\t', r == '\r' && text[1] == '\n':
			b.WriteRune(r)
		case acts(r):
			b.WriteString(escape(r))
		default:
			b.WriteRune(r)
		}
		text = text[n:]
	}
	if _, err := io.WriteString(s.out, b.String()); err != nil {
		return 0, err
	}
	return len(p), nil
}
