package metric

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// rewriter turns SQL with placeholders into SQL with numbered parameters. What is no placeholder stays as it is, to the
// byte.
type rewriter struct {
	sql       string
	tokens    []token
	variables map[string]*Variable
	parameter func(Parameter) int // the number of a parameter
	out       strings.Builder
	edits     []edit
	faults    faults
	copied    int // how much of sql is in out
}

// edit is a place where the rewritten text is not the source: from source[at:end] came out[outAt:outEnd].
type edit struct {
	at, end, outAt, outEnd int
}

// rewrite puts parameters in the place of placeholders. The variables must be checked; a placeholder of one that is not
// there is a fault.
func rewrite(sql string, variables map[string]*Variable, parameter func(Parameter) int) (string, []edit, faults) {
	r := rewriter{sql: sql, tokens: scan(sql), variables: variables, parameter: parameter}
	for i := range r.tokens {
		r.token(i)
	}
	r.out.WriteString(sql[r.copied:])
	return r.out.String(), r.edits, r.faults
}

// Placeholders are the names of the variables that SQL has placeholders of, each once, in order of appearance. It is for
// SQL whose variables are not declared. Problems: invalid_field, for placeholders where none can be.
func Placeholders(sql string) ([]string, error) {
	var found faults
	checkText(&found, "sql", sql, MaxSQL)
	if len(found.fields) > 0 {
		return nil, found.problem()
	}
	all := map[string]*Variable{}
	for at := range len(sql) {
		if n := placeholderLength(sql[at:]); n > 0 {
			name := variableOf(sql[at : at+n])
			all[name] = &Variable{Name: name, Type: String, Required: true}
		}
	}
	var names []string
	number := map[string]int{} // a text may have thousands of names
	_, _, found = rewrite(sql, all, func(p Parameter) int {
		if number[p.Variable] == 0 {
			names = append(names, p.Variable)
			number[p.Variable] = len(names)
		}
		return number[p.Variable]
	})
	return names, found.problem()
}

// Undeclared is the definition of SQL whose variables are declared nowhere: each has the type of the value that is given
// for it. Every placeholder needs a value. Problems: invalid_field.
func Undeclared(sql string, values map[string]jsontext.Value) (Definition, error) {
	d := Definition{SQL: sql}
	names, err := Placeholders(sql)
	if err != nil {
		return d, err
	}
	var found faults
	if len(names) > MaxVariables {
		found.add("sql", "must have at most %d variables, has %d", MaxVariables, len(names))
		return d, found.problem()
	}
	for _, name := range names {
		t, ok := typeOf(values[name])
		if !ok {
			found.add("variables."+name, "is required: a string, a number, a boolean, or an array of strings or of whole numbers")
		}
		d.Variables = append(d.Variables, Variable{Name: name, Type: t, Required: true})
	}
	return d, found.problem()
}

// typeOf is the type of variable that a value is of.
func typeOf(v jsontext.Value) (VariableType, bool) {
	if !v.IsValid() {
		return "", false
	}
	for _, t := range []VariableType{String, Integer, Number, Boolean, Integers, Strings} {
		single := Variable{Type: t}
		if _, err := single.value(v, time.UTC); err == nil {
			return t, true
		}
	}
	// What is too long is a text or a list all the same; binding it says so.
	return String, v.Kind() == '"'
}

func (r *rewriter) token(i int) {
	t := r.tokens[i]
	piece := r.sql[t.start:t.end]
	switch t.kind {
	case broken:
		r.refuse(t.start, "this begins and does not end")
	case sign:
		r.sign(t, piece)
	case placeholder:
		r.placeholder(i)
	case text:
		r.text(i)
	case word:
		if at := strings.IndexAny(piece, spaces); at >= 0 {
			r.refuse(t.start+at, "this is a space of another kind: write a plain one")
		}
		quoted := t.end < len(r.sql) && r.sql[t.end] == '\''
		if '0' <= piece[0] && piece[0] <= '9' && (quoted || strings.Contains(piece, "$")) {
			r.refuse(t.start, "this is no number")
		}
	case comment, name, dollars, escaped:
		where := map[kind]string{comment: "a comment", name: "a name in double quotes", dollars: "a text in dollars", escaped: "a text with escapes"}[t.kind]
		for at := range len(piece) {
			if placeholderLength(piece[at:]) > 0 {
				r.refuse(t.start+at, "a variable cannot stand in %s", where)
			}
		}
	case space:
	}
}

// sign refuses what would be a parameter of another kind, or a placeholder that is none.
func (r *rewriter) sign(t token, piece string) {
	switch {
	case piece == "$" || piece == "?":
		r.refuse(t.start, "a metric has variables, written @{name}, and no other parameters")
	case strings.HasPrefix(r.sql[t.start:], "@{"):
		r.refuse(t.start, "after @{ comes the name of a variable and then }")
	}
}

// placeholder rewrites @{name} outside of quotes.
func (r *rewriter) placeholder(i int) {
	t := r.tokens[i]
	v := r.variable(t.start, t.end)
	if v == nil {
		return
	}
	touches := func(k kind) bool { return k == word || k == placeholder || k == dollars }
	if i > 0 && touches(r.tokens[i-1].kind) || i+1 < len(r.tokens) && touches(r.tokens[i+1].kind) {
		r.refuse(t.start, "a variable cannot be part of a name or a number")
		return
	}
	value := v.expression(r.parameter(Parameter{Variable: v.Name}))
	if v.Type.item() != "" && r.isOnlyOneOfIn(i) {
		value = "SELECT unnest(" + value + ")"
	}
	r.replace(t.start, t.end, value)
}

// isOnlyOneOfIn reports whether a token stands as in: IN (token).
func (r *rewriter) isOnlyOneOfIn(i int) bool {
	open := r.neighbour(i, -1)
	in, end := r.neighbour(open, -1), r.neighbour(i, 1)
	return r.is(open, "(") && r.is(in, "IN") && r.is(end, ")")
}

// neighbour is the number of the nearest token before or after one that is neither space nor comment; -1 when there is
// none.
func (r *rewriter) neighbour(i, step int) int {
	if i < 0 {
		return -1
	}
	for i += step; i >= 0 && i < len(r.tokens); i += step {
		if k := r.tokens[i].kind; k != space && k != comment {
			return i
		}
	}
	return -1
}

func (r *rewriter) is(i int, piece string) bool {
	return i >= 0 && i < len(r.tokens) && strings.EqualFold(r.sql[r.tokens[i].start:r.tokens[i].end], piece)
}

// text rewrites the placeholders in a text in apostrophes: '@{name}' is the variable itself, and in a longer text the
// variable is joined to what stands before and after it.
func (r *rewriter) text(i int) {
	t := r.tokens[i]
	if before := r.neighbour(i, -1); before >= 0 && (r.tokens[before].kind == text || r.tokens[before].kind == escaped) {
		r.refuse(t.start, "a text cannot follow a text: join them with ||")
	}
	inner := r.sql[t.start+1 : t.end-1]
	var parts []string
	last, whole := 0, false
	for at := 0; at < len(inner); at++ {
		n := placeholderLength(inner[at:])
		if n == 0 {
			continue
		}
		v := r.variable(t.start+1+at, t.start+1+at+n)
		if v == nil {
			continue
		}
		value := v.expression(r.parameter(Parameter{Variable: v.Name}))
		whole = n == len(inner)
		if !whole {
			value = r.joined(v, t.start+1+at)
		}
		if last < at {
			parts = append(parts, "'"+inner[last:at]+"'")
		}
		parts = append(parts, value)
		last = at + n
		at = last - 1
	}
	if len(parts) == 0 {
		return
	}
	if last < len(inner) {
		parts = append(parts, "'"+inner[last:]+"'")
	}
	if !r.replaceable(i) {
		return
	}
	value := strings.Join(parts, " || ")
	if !whole || r.is(r.neighbour(i, -1), "INTERVAL") {
		value = "(" + value + ")"
	}
	r.replace(t.start, t.end, value)
}

// joined is a variable as a part of a longer text.
func (r *rewriter) joined(v *Variable, at int) string {
	if v.Type.item() != "" {
		r.refuse(at, "a list cannot be part of a text")
	}
	return fmt.Sprintf("CAST($%d AS VARCHAR)", r.parameter(Parameter{Variable: v.Name}))
}

// replaceable refuses texts in whose place no expression can stand.
func (r *rewriter) replaceable(i int) bool {
	t := r.tokens[i]
	if i > 0 && r.tokens[i-1].kind == word || i+1 < len(r.tokens) && (r.tokens[i+1].kind == word || r.tokens[i+1].kind == placeholder) {
		r.refuse(t.start, "a text with a variable needs a space before and after it")
		return false
	}
	before := r.neighbour(i, -1)
	for _, typed := range []string{"DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "DATETIME", "JSON", "UUID", "BLOB"} {
		if r.is(before, typed) {
			r.refuse(t.start, "%s '…' takes a constant only: write CAST(… AS %s)", typed, typed)
			return false
		}
	}
	return true
}

// variable finds the variable of the placeholder in sql[start:end].
func (r *rewriter) variable(start, end int) *Variable {
	name := variableOf(r.sql[start:end])
	v := r.variables[name]
	if v == nil {
		r.refuse(start, "the variable %q is not declared", name)
	}
	return v
}

func (r *rewriter) refuse(at int, format string, args ...any) {
	if r.faults.full() { // finding a place reads all that is before it
		r.faults.more++
		return
	}
	line, column := place(r.sql, at)
	r.faults.add("sql", "line %d, column %d: %s", line, column, fmt.Sprintf(format, args...))
}

func (r *rewriter) replace(start, end int, by string) {
	r.out.WriteString(r.sql[r.copied:start])
	from := r.out.Len()
	r.out.WriteString(by)
	r.edits = append(r.edits, edit{start, end, from, r.out.Len()})
	r.copied = end
}

// place is the line and the column in characters, both from 1, of a byte of a text.
func place(text string, at int) (line, column int) {
	before := text[:at]
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

// offset is the byte at a line and a column of a text; its end when there is no such place.
func offset(text string, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		n := strings.IndexByte(text[at:], '\n')
		if n < 0 {
			return len(text)
		}
		at += n + 1
	}
	for ; column > 1 && at < len(text); column-- {
		_, n := utf8.DecodeRuneInString(text[at:])
		at += n
	}
	return at
}
