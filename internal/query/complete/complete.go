// Package complete owns what can be suggested to somebody who is writing a statement: the tables, columns and properties
// that they may see, the functions that they may call, and keywords.
//
// It is pure. It does not own what somebody may see (view, query) nor what is allowed (the engine); a suggestion promises
// nothing.
package complete

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/query/metric"
)

// Most bounds the suggestions.
const Most = 50

// Kind is what is suggested.
type Kind string

// The kinds.
const (
	Table    Kind = "table"
	Column   Kind = "column"
	Property Kind = "property"
	Function Kind = "function"
	Keyword  Kind = "keyword"
)

// Suggestion is a text to stand in the place of the characters From to To of the statement, counted from 0.
type Suggestion struct {
	Text string `json:"text" doc:"What to write." example:"distinct_id"`
	Kind Kind   `json:"kind" enum:"table,column,property,function,keyword"`
	From int    `json:"from" doc:"The first character that it replaces, from 0."`
	To   int    `json:"to" doc:"The character after the last one that it replaces."`
}

// Words are what there is to suggest.
type Words struct {
	Columns    map[string][]string // of each table
	Properties map[string][]string // of columns of JSON, by their names
	Functions  []string
}

// keywords are those of a SELECT.
func keywords() []string {
	return strings.Fields("ALL AND AS ASC BETWEEN BY CASE CAST DESC DISTINCT ELSE END EXISTS FALSE FILTER FIRST FROM FULL GROUP HAVING ILIKE IN INNER " +
		"INTERVAL IS JOIN LAST LEFT LIKE LIMIT NOT NULL NULLS OFFSET ON OR ORDER OVER PARTITION QUALIFY RIGHT ROWS SELECT THEN TRUE UNION USING VALUES " +
		"WHEN WHERE WINDOW WITH")
}

// At suggests what can stand at a place of a statement, counted in characters: what begins as the word does that ends
// there, the likeliest first. Inside a text or a comment there is nothing to suggest.
func At(sql string, position int, words Words) []Suggestion {
	before := sql[:byteOf(sql, position)]
	pieces, open := metric.Pieces(before)
	if open {
		return nil
	}
	prefix := ""
	if n := len(pieces); n > 0 && pieces[n-1].Word && pieces[n-1].End == len(before) {
		prefix = before[pieces[n-1].Start:]
		pieces = pieces[:n-1]
	}
	if prefix != "" && '0' <= prefix[0] && prefix[0] <= '9' {
		return nil
	}
	last := func(back int) string {
		if len(pieces) < back {
			return ""
		}
		p := pieces[len(pieces)-back]
		return strings.ToUpper(before[p.Start:p.End])
	}
	var found []Suggestion
	add := func(kind Kind, texts ...string) { found = append(found, matching(kind, texts, prefix)...) }
	switch last(1) {
	case "$", "@":
		return nil
	case ".":
		whole, _ := metric.Pieces(sql)
		add(Column, words.Columns[tableOf(sql, whole, strings.ToLower(last(2)), words)]...)
	case "FROM", "JOIN":
		add(Table, tables(words)...)
	default:
		add(Column, columns(words)...)
		found = append(found, properties(words, prefix)...)
		add(Table, tables(words)...)
		add(Function, words.Functions...)
		add(Keyword, keywords()...)
	}
	to := utf8.RuneCountInString(before)
	from := to - utf8.RuneCountInString(prefix)
	found = found[:min(len(found), Most)]
	for i := range found {
		found[i].From, found[i].To = from, to
	}
	return found
}

// byteOf is the byte that a character begins at.
func byteOf(sql string, character int) int {
	for i := range sql {
		if character <= 0 {
			return i
		}
		character--
	}
	return len(sql)
}

// matching are the texts that begin with a prefix, in order and each once.
func matching(kind Kind, texts []string, prefix string) (found []Suggestion) {
	for _, text := range slices.Compact(slices.Sorted(slices.Values(texts))) {
		if begins(text, prefix) {
			found = append(found, Suggestion{Text: text, Kind: kind})
		}
	}
	return found
}

// begins reports whether a text begins with a prefix, whatever the case of letters.
func begins(text, prefix string) bool {
	return len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix)
}

func tables(words Words) (all []string) {
	for name := range words.Columns {
		all = append(all, name)
	}
	return all
}

func columns(words Words) (all []string) {
	for _, of := range words.Columns {
		all = append(all, of...)
	}
	return all
}

// properties are those whose names begin with a prefix, as SQL reads them.
func properties(words Words, prefix string) (found []Suggestion) {
	for column, names := range words.Properties {
		for _, name := range names {
			if begins(name, prefix) && sayable(name) {
				found = append(found, Suggestion{Text: column + "->>'" + strings.ReplaceAll(name, "'", "''") + "'", Kind: Property})
			}
		}
	}
	slices.SortFunc(found, func(a, b Suggestion) int { return cmp.Compare(a.Text, b.Text) })
	return found
}

// sayable reports whether the name of a property can stand on the right of ->> as it is: what begins with $ or / is taken
// for a path there.
func sayable(name string) bool {
	return name != "" && name[0] != '$' && name[0] != '/' && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' })
}

// Name is the name of a table or a column as a statement has it: in quotation marks, unless it is letters, digits and
// underscores.
func Name(name string) string {
	for i, c := range []byte(name) {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return name
}

// tableOf is the table that a name stands for: its own, or one that it is given after FROM or JOIN.
func tableOf(sql string, pieces []metric.Piece, name string, words Words) string {
	named := func(name string) (string, bool) {
		for table := range words.Columns {
			if strings.EqualFold(table, name) {
				return table, true
			}
		}
		return "", false
	}
	if table, is := named(name); is {
		return table
	}
	text := func(i int) string {
		if i >= len(pieces) {
			return ""
		}
		return strings.ToLower(sql[pieces[i].Start:pieces[i].End])
	}
	for i := range pieces {
		table, is := named(text(i))
		if is && (text(i+1) == name || text(i+1) == "as" && text(i+2) == name) {
			return table
		}
	}
	return ""
}
