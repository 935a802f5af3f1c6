package guard

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/problem"
)

// maxExcerpt is how many characters of a line are shown at the most, and half of them before the caret.
const maxExcerpt = 120

// Excerpt shows a place in a text: a part of its line, and below it a caret under the character. Both are counted from
// 1, and a place behind the text is its end. What would not stay on the line, or would not be seen, is shown as a space;
// tabs are tabs in both lines, and a wide character takes two cells of the lower line.
func Excerpt(text string, line, column int) *problem.Caret {
	caret := &problem.Caret{Line: line, Column: column}
	for range line - 1 {
		_, rest, more := strings.Cut(text, "\n")
		if !more {
			break
		}
		text = rest
	}
	text, _, _ = strings.Cut(text, "\n")
	text = strings.TrimSuffix(text, "\r")
	characters := []rune(text[:min(len(text), boundOf(text, column+maxExcerpt))])
	at := min(max(column-1, 0), len(characters))
	from, to := max(at-maxExcerpt/2, 0), min(max(at-maxExcerpt/2, 0)+maxExcerpt, len(characters))
	var above, below strings.Builder
	if from > 0 {
		above.WriteString("…")
		below.WriteString(" ")
	}
	for i, r := range characters[from:to] {
		above.WriteRune(shown(r))
		if from+i < at {
			below.WriteString(beneath(r))
		}
	}
	if to < len(characters) {
		above.WriteString("…")
	}
	caret.Excerpt = above.String() + "\n" + below.String() + "^"
	return caret
}

// boundOf is the byte that so many characters of a text end at.
func boundOf(text string, characters int) int {
	for i := range text {
		if characters--; characters < 0 {
			return i
		}
	}
	return len(text)
}

// shown is a character as it is shown. Characters that turn the direction of the line would hide what it says.
func shown(r rune) rune {
	if r == utf8.RuneError || r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
		return ' '
	}
	return r
}

// beneath is what stands under a character, to the same width.
func beneath(r rune) string {
	switch s := shown(r); {
	case s == '\t':
		return "\t"
	default:
		return strings.Repeat(" ", cellsOf(s))
	}
}
