package guard

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// maxMessage is the most bytes of the engine's words that a caller is shown.
const maxMessage = 500

// Where reads an error message of the engine about the statement text. It returns the line and the column that the
// caret in the message points at, both counted from 1 and columns in characters, and the message for a caller: without
// the excerpt, the kind of error, a stack trace and paths of files, and cut to 500 bytes. A message that points nowhere
// has line 0 and column 0.
func Where(message, text string) (line, column int, clean string) {
	head, excerpt, found := cutLast(message, "\nLINE ")
	if found {
		if offset, ok := caret(excerpt, text); ok {
			line, column = place(text, offset)
		}
	} else {
		head = message
	}
	return line, column, cleaned(head)
}

// caret is the byte of text that an excerpt points at. The excerpt is what follows "LINE ": the number of the line, a
// part of it with "..." at the ends that are cut, and below it the caret, set by the width that characters have on a
// screen.
func caret(excerpt, text string) (int, bool) {
	shown, below, _ := strings.Cut(excerpt, "\n")
	digits, part, _ := strings.Cut(shown, ": ")
	number, err := strconv.Atoi(digits)
	spaces := strings.IndexByte(below, '^')
	cells := spaces - len("LINE ") - len(digits) - len(": ")
	if err != nil || spaces < 0 || cells < 0 {
		return 0, false
	}
	start, full := lineOf(text, number)
	if core, cut := strings.CutPrefix(part, "..."); cut && !strings.HasPrefix(full, part) {
		at := strings.Index(full, strings.TrimSuffix(core, "..."))
		if at < 0 {
			return 0, false
		}
		start, full, cells = start+at, full[at:], cells-len("...")
	}
	for i, r := range full {
		wide := cellsOf(r)
		if cells <= 0 && wide > 0 {
			return start + i, true
		}
		cells -= wide
	}
	return start + len(full), cells <= 0
}

// lineOf is the line of text with a number as the engine counts it, and the byte that it starts at: a line feed ends a
// line, and so does a carriage return that no line feed follows.
func lineOf(text string, number int) (start int, line string) {
	for i := range len(text) {
		if text[i] != '\n' && (text[i] != '\r' || strings.HasPrefix(text[i+1:], "\n")) {
			continue
		}
		if number--; number == 0 {
			return start, text[start:i]
		}
		start = i + 1
	}
	if number != 1 {
		return len(text), ""
	}
	return start, text[start:]
}

// cellsOf is how many cells of a screen a character takes.
func cellsOf(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Cc):
		return 0
	case width.LookupRune(r).Kind() == width.EastAsianWide, width.LookupRune(r).Kind() == width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// place is the line and the column of a byte of text, both counted from 1 and columns in characters.
func place(text string, offset int) (line, column int) {
	before := text[:min(offset, len(text))]
	line = 1 + strings.Count(before, "\n")
	return line, 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// cleaned is the engine's message without what is not for a caller.
func cleaned(message string) string {
	message, _, _ = strings.Cut(message, "\n\nStack Trace:")
	message = regexp.MustCompile(`^[A-Z][A-Za-z ]* Error: `).ReplaceAllString(message, "")
	message = regexp.MustCompile(`(?:[A-Za-z]:)?[/\\](?:[^\s/\\'"]+[/\\])+[^\s'",:]*`).ReplaceAllString(message, "(path)")
	return clip(strings.TrimSpace(message), maxMessage)
}

// clip cuts a text to at most n bytes, at a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// cutLast is strings.Cut at the last place of a separator.
func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}
