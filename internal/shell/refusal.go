package shell

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// complain says what is wrong with a statement, and shows the place when the server names one.
func complain(statement string, err error) string {
	var r *Refusal
	if !errors.As(err, &r) {
		return "error: " + Harmless(err.Error()) + "\n"
	}
	text := "error: " + Harmless(r.Error()) + "\n"
	line, column, ok := place(r.Detail)
	if !ok {
		return text
	}
	return text + caret(statement, line, column)
}

// place finds the "line 2, column 4" that a detail begins with.
func place(detail string) (line, column int, ok bool) {
	head, _, ok := strings.Cut(detail, ":")
	lineText, columnText, both := strings.Cut(head, ", column ")
	number, named := strings.CutPrefix(lineText, "line ")
	line, lineErr := strconv.Atoi(number)
	column, columnErr := strconv.Atoi(columnText)
	return line, column, ok && both && named && lineErr == nil && columnErr == nil && line > 0 && column > 0
}

// caretContext is how many cells of a line are shown before the caret, and behind it.
const caretContext = 60

// caret shows the place in a statement: the line, and a mark below the character. Both count from 1; nothing is shown of
// a place that is not there.
func caret(statement string, line, column int) string {
	lines := strings.Split(statement, "\n")
	if line > len(lines) {
		return ""
	}
	text := []rune(lines[line-1])
	at := min(column-1, len(text))
	head := fmt.Sprintf("line %d: ", line)
	from := at
	for cells := 0; from > 0 && cells < caretContext; from-- {
		cells += width(Harmless(string(text[from-1])))
	}
	before, behind := shownText(text[from:at]), clip(shownText(text[at:]), caretContext)
	if from > 0 {
		head += "…"
	}
	return head + before + behind + "\n" + strings.Repeat(" ", width(head+before)) + "^\n"
}

// shownText is a part of a line; tabs are blanks.
func shownText(text []rune) string { return Harmless(strings.ReplaceAll(string(text), "\t", " ")) }
