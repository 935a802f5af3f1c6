package guard

import (
	"strings"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/problem"
)

// MaxText is the most bytes that a statement may have.
const MaxText = 64 << 10

const (
	maxNodes = 20_000 // objects in the tree of a statement
	maxDepth = 500    // objects and lists inside one another: about 250 operators inside one another
	// The engine's scanner takes time that grows with the square of the number of comments and the cube of the length of
	// a row of signs, and cannot be interrupted: a statement of nothing but plus signs takes it an hour. These bounds
	// hold wherever the characters stand, in text and names too, so that they need no scanner of their own.
	maxComments = 100
	maxSigns    = 32
)

// checkText holds a text against the limits that need no parser.
func checkText(text string) error {
	switch {
	case len(text) > MaxText:
		return problem.Invalid("sql", "is longer than %d bytes", MaxText)
	case !utf8.ValidString(text):
		return problem.Invalid("sql", "is not valid UTF-8")
	case strings.IndexByte(text, 0) >= 0:
		return problem.Invalid("sql", "holds a NUL character")
	case strings.Count(text, "/*") > maxComments:
		return problem.Invalid("sql", "has more than %d times /*: write comments with --", maxComments)
	case longestSigns(text) > maxSigns:
		return problem.Invalid("sql", "has a row of more than %d + and - signs", maxSigns)
	}
	return nil
}

// longestSigns is the length of the longest row of + and - signs. The second of two - starts a comment, and so ends one.
func longestSigns(text string) int {
	longest, row := 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '+', c == '-' && (i == 0 || text[i-1] != '-'):
			row++
			longest = max(longest, row)
		default:
			row = 0
		}
	}
	return longest
}

func tooManyParts() error {
	return problem.Invalid("sql", "has more than %d parts: use fewer constants, or a parameter", maxNodes)
}

func tooDeep() error {
	return problem.Invalid("sql", "is nested too deeply")
}
