// Package mention finds out whether a text names one of some ids, in whatever form it stands there: as it is, quoted in a
// statement of SQL, escaped in JSON, or encoded in an address. It owns these forms, and what counts as naming somebody: of a
// short id, that it stands alone, since it is a part of many words.
//
// It does not own what becomes of what names somebody (deletion, and whoever keeps it), nor which ids are one person
// (profile/graph). What was hashed, encrypted, or put together by a statement is not found.
//
// Problems: none.
package mention

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The lengths, in bytes, from which an id is looked for as a word within other texts, and as a part of words.
const (
	wordID = 4
	partID = 8
)

// IDs are the ids that are looked for. The zero IDs are in no text.
type IDs struct{ list []string }

// Of are some ids. An empty one is left out.
func Of(ids []string) IDs {
	return IDs{slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })}
}

// None reports whether there are no ids.
func (ids IDs) None() bool { return len(ids.list) == 0 }

// Telling are those that stand in no text by chance: of at least 8 bytes, with a digit or an @ in them. Others may be words.
func (ids IDs) Telling() IDs {
	return IDs{slices.DeleteFunc(slices.Clone(ids.list), func(id string) bool { return len(id) < partID || !strings.ContainsAny(id, "0123456789@") })}
}

// Is reports whether a text is one of the ids.
func (ids IDs) Is(text string) bool { return slices.Contains(ids.list, text) }

// InStatement reports whether a statement, or another text in which it does no harm to find too much, names one of the ids: a
// shorter one than 4 bytes must stand between quotation marks.
func (ids IDs) InStatement(text string) bool {
	return ids.in(text, func(form, id string) bool {
		if len(id) < wordID {
			return strings.Contains(form, "'"+id+"'") || strings.Contains(form, `"`+id+`"`)
		}
		return strings.Contains(form, id)
	})
}

// InText reports whether a text is one of the ids, has one of at least 4 bytes as a word, or one of at least 8 bytes anywhere. A
// time has none in it: its year is a number that is many an id.
func (ids IDs) InText(text string) bool {
	if isTime(text) {
		return slices.Contains(ids.list, text)
	}
	return ids.in(text, func(form, id string) bool {
		return form == id || len(id) >= partID && strings.Contains(form, id) || len(id) >= wordID && hasWord(form, id)
	})
}

// in reports whether something is so of one of the forms of a text and one of the ids.
func (ids IDs) in(text string, is func(form, id string) bool) bool {
	if len(text) == 0 || ids.None() {
		return false
	}
	return slices.ContainsFunc(forms(text), func(form string) bool {
		return slices.ContainsFunc(ids.list, func(id string) bool { return is(form, id) })
	})
}

// InJSON reports whether a value, or anything in it, names one of the ids as a text does, also as the name of a member. What
// is not JSON is looked through as a statement is.
func (ids IDs) InJSON(v jsontext.Value) bool {
	return ids.inJSON(v, func(jsontext.Token, *jsontext.Decoder) bool { return true })
}

// InSent is InJSON for what others sent: texts that stand in it whoever it is about name nobody, and nor does a number of less
// than 8 digits that is called no id, as it is an amount that somebody's id happens to equal.
func (ids IDs) InSent(v jsontext.Value, known map[string]bool) bool {
	return ids.inJSON(v, func(token jsontext.Token, in *jsontext.Decoder) bool {
		return !known[token.String()] && (token.Kind() != '0' || meantAsID(token.String(), in))
	})
}

// InMembers is InJSON for the values that members of some names have, wherever these are.
func (ids IDs) InMembers(v jsontext.Value, names ...string) bool {
	return ids.inJSON(v, func(_ jsontext.Token, in *jsontext.Decoder) bool {
		if in, n := in.StackIndex(in.StackDepth()); in == '{' && n%2 == 1 { // it is a name
			return false
		}
		for name := range in.StackPointer().Tokens() {
			if slices.Contains(names, name) {
				return true
			}
		}
		return false
	})
}

// InIDsOf reports whether what is called an id, anywhere in a member of some name, is one of the ids.
func (ids IDs) InIDsOf(v jsontext.Value, member string) bool {
	return ids.inJSON(v, func(token jsontext.Token, in *jsontext.Decoder) bool {
		if in, n := in.StackIndex(in.StackDepth()); in == '{' && n%2 == 1 { // it is a name
			return false
		}
		return ids.Is(token.String()) && calledID(in) && slices.Contains(slices.Collect(in.StackPointer().Tokens()), member)
	})
}

// inJSON looks at those texts and numbers that count.
func (ids IDs) inJSON(v jsontext.Value, counts func(token jsontext.Token, in *jsontext.Decoder) bool) bool {
	if len(v) == 0 || ids.None() {
		return false
	}
	in := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		token, err := in.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return false
		case err != nil:
			return ids.InStatement(string(v))
		}
		kind, named := token.Kind(), false
		if kind == '"' {
			named = ids.InText(token.String())
		} else if kind == '0' { // a part of a number is no id
			named = ids.Is(token.String())
		}
		if named && counts(token, in) {
			return true
		}
	}
}

// meantAsID reports whether a number may be an id: it is long, or what it is the value of is called one, as `user_id` and `ids`
// are.
func meantAsID(number string, in *jsontext.Decoder) bool {
	return len(number) >= partID || calledID(in)
}

// calledID reports whether what was read, or what it is in, is called an id.
func calledID(in *jsontext.Decoder) bool {
	for name := range in.StackPointer().Tokens() {
		if name = strings.ToLower(name); strings.HasSuffix(name, "id") || strings.HasSuffix(name, "ids") {
			return true
		}
	}
	return false
}

// Texts are the texts in a value, names of members among them.
func Texts(v jsontext.Value) map[string]bool {
	list := map[string]bool{}
	in := jsontext.NewDecoder(bytes.NewReader(v))
	for {
		token, err := in.ReadToken()
		if err != nil {
			return list
		}
		if token.Kind() == '"' {
			list[token.String()] = true
		}
	}
}

// Without is an object without the members whose values name one of the ids, and whether there were any. The names of its
// members, and numbers that are values of these, are whoever's who wrote it down. What is no object and names one becomes nothing.
func (ids IDs) Without(v jsontext.Value) (rest jsontext.Value, changed bool) {
	if !ids.InJSON(v) {
		return v, false
	}
	in := jsontext.NewDecoder(bytes.NewReader(v))
	if start, err := in.ReadToken(); err != nil || start.Kind() != '{' {
		return nil, true
	}
	rest = jsontext.Value("{")
	for in.PeekKind() == '"' {
		name, err := in.ReadValue()
		if err != nil {
			return nil, true
		}
		name = name.Clone()
		value, err := in.ReadValue()
		if err != nil {
			return nil, true
		}
		if value.Kind() != '0' && ids.InJSON(value) {
			changed = true
			continue
		}
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		rest = append(append(append(rest, name...), ':'), value...)
	}
	if _, err := in.ReadToken(); err != nil {
		return nil, true
	}
	if !changed {
		return v, false
	}
	return append(rest, '}'), true
}

// isTime reports whether a text is a time, or a date, as this server writes them, and nothing else.
func isTime(text string) bool {
	if len(text) < len(time.DateOnly) || text[4] != '-' {
		return false
	}
	_, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		_, err = time.Parse(time.DateOnly, text)
	}
	return err == nil
}

// hasWord reports whether a text has a word in it, with no letter or digit on either side.
func hasWord(text, word string) bool {
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 {
			return false
		}
		at += from
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at+len(word):])
		if !inWord(before) && !inWord(after) {
			return true
		}
		from = at + 1
	}
}

func inWord(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// forms are a text and what it is without the escapes that may be in it, one kind after the other.
func forms(text string) []string {
	list := []string{text}
	add := func(form string) {
		if !slices.Contains(list, form) {
			list = append(list, form)
		}
	}
	for i := 0; i < len(list) && len(list) <= maxForms; i++ {
		form := list[i]
		if strings.Contains(form, "''") {
			add(strings.ReplaceAll(form, "''", "'"))
		}
		if strings.Contains(form, `\`) {
			add(unescaped(form))
		}
		if strings.Contains(form, "%") {
			add(decoded(form))
		}
		if strings.Contains(form, "+") {
			add(strings.ReplaceAll(form, "+", " ")) // before its codes are read, which may be of a plus
		}
	}
	return list
}

// maxForms bounds them: what is escaped over and over is looked at that often.
const maxForms = 16

// unescaped is a text without the escapes of JSON. What is none stays.
func unescaped(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := escape(text[i:])
		if n == 0 {
			b.WriteByte(text[i])
			i++
			continue
		}
		b.WriteRune(r)
		i += n
	}
	return b.String()
}

// escape reads an escape that a text begins with, of n bytes; 0: it begins with none.
func escape(text string) (r rune, n int) {
	if len(text) < 2 || text[0] != '\\' {
		return 0, 0
	}
	if at := strings.IndexByte(`"\/bfnrt`, text[1]); at >= 0 {
		return rune("\"\\/\b\f\n\r\t"[at]), 2
	}
	r, ok := unit(text)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		if low, ok := unit(text[6:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
			return utf16.DecodeRune(r, low), 12
		}
	}
	return r, 6
}

// unit reads the number of an escape such as \u00e9.
func unit(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(v), err == nil
}

// decoded is a text without what addresses encode. What is no code stays.
func decoded(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if v, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
