package saved

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/metric"
)

// within puts the fields of a problem with a definition where it stands in a request.
func within(err error) error {
	const field = "definition"
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || len(p.Fields) == 0 {
		return err
	}
	moved := *p
	moved.Fields = make([]problem.Field, len(p.Fields))
	texts := make([]string, len(p.Fields))
	for i, f := range p.Fields {
		if f.Name != field {
			f.Name = field + "." + f.Name
		}
		moved.Fields[i], texts[i] = f, f.Name+": "+f.Detail
	}
	if p.Code == problem.InvalidField {
		moved.Detail = strings.Join(texts, "; ")
	}
	return &moved
}

// source maps a place in a statement that was run to the place in the text that somebody wrote.
type source struct {
	field string // where in the request that text is
	text  string // empty: it must not be shown
	place func(line, column int) (int, int)
}

// of is the source of a statement: the SQL of a definition, or what was made of a form.
func sourceOf(d *metric.Definition, st *metric.Statement) source {
	if d.SQL != "" {
		return source{"definition.sql", d.SQL, st.Source}
	}
	return source{"definition", st.SQL, st.Source}
}

// explain gives a problem with a statement the place in its source, in the place of the one in the statement.
func (s source) explain(err error) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Code != problem.InvalidSQL && p.Code != problem.SQLNotAllowed {
		return err
	}
	told := *p
	if p.Caret != nil {
		line, column := s.place(p.Caret.Line, p.Caret.Column)
		told.Caret = &problem.Caret{Line: line, Column: column, Excerpt: excerpt(s.text, line, column)}
		told.Detail = at(line, column) + strings.TrimPrefix(p.Detail, at(p.Caret.Line, p.Caret.Column))
	}
	told.Fields = []problem.Field{{Name: s.field, Detail: told.Detail}}
	return query.Costing(&told, query.Spent(err))
}

// at is how the detail of a problem with a place begins.
func at(line, column int) string { return fmt.Sprintf("line %d, column %d: ", line, column) }

// maxExcerpt is how many characters of a line are shown.
const maxExcerpt = 80

// excerpt is a line of a text, from 1, and below it a caret under a column, from 1. It is empty when there is no such line.
func excerpt(text string, line, column int) string {
	lines := strings.Split(text, "\n")
	if text == "" || line < 1 || line > len(lines) {
		return ""
	}
	shown := []rune(strings.Map(visible, strings.TrimSuffix(lines[line-1], "\r")))
	at := min(max(column-1, 0), len(shown))
	if from := at - maxExcerpt/2; from > 0 && len(shown) > maxExcerpt {
		shown, at = shown[from:], at-from
	}
	if len(shown) > maxExcerpt {
		shown = shown[:maxExcerpt]
	}
	return string(shown) + "\n" + strings.Repeat(" ", at) + "^"
}

// visible is a character that takes one place in a line.
func visible(c rune) rune {
	if c < ' ' || c == '\u007f' || c == utf8.RuneError {
		return ' '
	}
	return c
}
