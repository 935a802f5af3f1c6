package shell

import (
	"io"
	"strings"
)

// The limits on a table. Whoever wants all of an answer asks for another format.
const (
	maxTableRows = 10_000 // rows shown
	maxCell      = 120    // the width of a cell
)

// cell is one value of a row: its text, or that there is none.
type cell struct {
	text string
	null bool
}

// writeTable writes rows under their columns, every line equally wide. What is in them is made harmless; a null is NULL,
// and the text NULL stands in quotes.
func writeTable(out io.Writer, columns []Column, rows [][]cell) error {
	shown := make([][]string, 0, len(rows)+1)
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = clip(Harmless(c.Name), maxCell)
	}
	shown = append(shown, head)
	for _, row := range rows {
		line := make([]string, len(columns))
		for i := range columns {
			line[i] = cellText(row[i])
		}
		shown = append(shown, line)
	}
	widths := make([]int, len(columns))
	for _, line := range shown {
		for i, text := range line {
			widths[i] = max(widths[i], width(text))
		}
	}
	var w strings.Builder
	for n, line := range shown {
		for i, text := range line {
			if i > 0 {
				w.WriteString("│")
			}
			blank := strings.Repeat(" ", widths[i]-width(text))
			if n > 0 && numeric(columns[i].Type) {
				text, blank = blank+text, ""
			}
			w.WriteString(" " + text + blank + " ")
		}
		w.WriteByte('\n')
		if n == 0 {
			rule(&w, widths)
		}
	}
	_, err := io.WriteString(out, w.String())
	return err
}

func rule(w *strings.Builder, widths []int) {
	for i, cells := range widths {
		if i > 0 {
			w.WriteString("┼")
		}
		w.WriteString(strings.Repeat("─", cells+2))
	}
	w.WriteByte('\n')
}

func cellText(c cell) string {
	switch {
	case c.null:
		return "NULL"
	case c.text == "NULL":
		return `"NULL"`
	}
	if len(c.text) > 8*maxCell { // long enough, however it is escaped
		c.text = strings.ToValidUTF8(c.text[:8*maxCell], "") + "…"
	}
	return clip(Harmless(c.text), maxCell)
}

// numeric reports whether the values of a type line up at the right.
func numeric(kind string) bool {
	kind, _, _ = strings.Cut(kind, "(")
	switch kind {
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "BIGNUM", "FLOAT", "DOUBLE", "DECIMAL":
		return true
	}
	return false
}
