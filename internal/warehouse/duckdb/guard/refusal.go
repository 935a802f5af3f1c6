package guard

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/weir-analytics/weir/internal/problem"
)

// nowhere is the offset of what has no place in the text.
const nowhere = -1

const (
	singleSelect = "A query is a single SELECT statement."
	writePivot   = "PIVOT and UNPIVOT cannot be used. Write a conditional aggregation instead: " +
		"SELECT day, count(*) FILTER (WHERE event = 'signup') AS signups … GROUP BY day."
	noDescribe = "DESCRIBE, SHOW and SUMMARIZE are not allowed: the columns of the tables are in the documentation."
)

// at is a problem with the statement at a byte of its text.
func at(code problem.Code, text string, offset int, detail string) *problem.Error {
	if offset < 0 {
		return problem.New(code, "%s", detail).At("sql", detail)
	}
	line, column := place(text, offset)
	return placed(code, Excerpt(text, line, column), detail)
}

// placed is a problem at a place.
func placed(code problem.Code, caret *problem.Caret, detail string) *problem.Error {
	detail = fmt.Sprintf("line %d, column %d: %s", caret.Line, caret.Column, detail)
	p := problem.New(code, "%s", detail).At("sql", detail)
	p.Caret = caret
	return p
}

// parserProblem is the problem that the parser's answer describes, when it is not a tree.
func parserProblem(text string, answer *value) error {
	message := answer.get("error_message").text
	switch {
	case message == "Only SELECT statements can be serialized to json!":
		return notSelect(text)
	case message == "SELECT INTO not supported!",
		message == "A CTE needs a SELECT",
		message == "SELECT locking clause is not supported!":
		return at(problem.SQLNotAllowed, text, nowhere, singleSelect+" It cannot write or lock.")
	case strings.HasPrefix(message, "memory exhausted"), strings.HasPrefix(message, "Max expression depth"):
		return tooDeep()
	}
	return at(problem.InvalidSQL, text, errorOffset(text, answer), cleaned(message))
}

// errorOffset is the byte that a parser's error is about. The parser counts characters in its errors, and bytes in its
// trees.
func errorOffset(text string, answer *value) int {
	character := number(answer.get("position"))
	if character < 0 {
		return nowhere
	}
	for offset := range text {
		if character == 0 {
			return offset
		}
		character--
	}
	return len(text)
}

// notSelect says what a text is that parses and is not SELECT statements alone. The verb is looked for only to name it.
func notSelect(text string) error {
	if regexp.MustCompile(`(?i)\b(?:un)?pivot(?:_wider|_longer)?\b`).MatchString(text) {
		return at(problem.SQLNotAllowed, text, nowhere, writePivot)
	}
	verb := regexp.MustCompile(`^(?s:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|[(;])*([A-Za-z]+)`).FindStringSubmatchIndex(text)
	if verb == nil {
		return at(problem.SQLNotAllowed, text, nowhere, singleSelect)
	}
	switch word := strings.ToUpper(clip(text[verb[2]:verb[3]], 32)); word {
	case "SELECT", "WITH", "FROM", "VALUES", "TABLE", "DESCRIBE", "SHOW", "SUMMARIZE":
		return at(problem.SQLNotAllowed, text, nowhere, singleSelect+" The text holds other statements too.")
	default:
		return at(problem.SQLNotAllowed, text, verb[2], word+" is not allowed. "+singleSelect)
	}
}

// quote shows a name from the statement, at most 64 bytes of it.
func quote(name string) string { return "'" + clip(name, 64) + "'" }
