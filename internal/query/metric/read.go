package metric

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// Read reads a definition and checks it. It is strict: members that do not exist, members twice and values of another
// type are faults. All faults are told at once, each by its path.
func Read(text []byte) (Definition, error) {
	var d Definition
	if len(text) > MaxText {
		return d, problem.Invalid("definition", "must be at most %d bytes long, is %d", MaxText, len(text))
	}
	in := jsontext.NewDecoder(bytes.NewReader(text))
	whole, err := in.ReadValue()
	whole = whole.Clone()
	if err == nil {
		if _, err = in.ReadToken(); errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			err = errors.New("there is something after it")
		}
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return d, problem.Wrap(err, problem.InvalidJSON, "The definition has a member twice%s.", placeOf(text, err))
	case err != nil:
		return d, problem.Wrap(err, problem.InvalidJSON, "The definition is not one JSON object%s.", placeOf(text, err))
	}
	if whole.Kind() != '{' {
		return d, problem.Invalid("definition", "must be an object")
	}
	r := reader{}
	r.value(whole, reflect.ValueOf(&d).Elem(), "", "")
	r.merge(d.faults())
	return d, r.problem()
}

func placeOf(text []byte, err error) string {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return problem.Place(text, syntax.ByteOffset)
	}
	return ""
}

// reader fills values from JSON that is known to be valid, and gathers what does not fit.
type reader struct {
	faults
	depth int // of objects
}

// maxNested is how many objects may stand inside one another: those of a form, a filter and its conditions.
const maxNested = 12

// value reads one JSON value. tag is that of the field it goes to.
func (r *reader) value(v jsontext.Value, into reflect.Value, tag reflect.StructTag, path string) {
	if raw, ok := reflect.TypeAssert[*jsontext.Value](into.Addr()); ok {
		*raw = v.Clone()
		_ = raw.Compact() // v is valid
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		r.value(v, into.Elem(), tag, path)
	case reflect.Struct:
		r.object(v, into, path)
	case reflect.Slice:
		r.list(v, into, tag, path)
	case reflect.String:
		r.text(v, into, tag, path)
	case reflect.Bool:
		if k := v.Kind(); k != 't' && k != 'f' {
			r.add(path, "must be true or false")
			return
		}
		into.SetBool(v.Kind() == 't')
	default:
		r.number(v, into, tag, path)
	}
}

func (r *reader) object(v jsontext.Value, into reflect.Value, path string) {
	if v.Kind() != '{' {
		r.add(path, "must be an object")
		return
	}
	if r.depth == maxNested {
		r.add(path, "is nested too deeply")
		return
	}
	r.depth++
	defer func() { r.depth-- }()
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(into.Type()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			fields[name] = f
		}
	}
	given := map[string]bool{}
	in := opened(v)
	for in.PeekKind() != '}' {
		token, _ := in.ReadToken() // v is valid
		name := token.String()
		member, _ := in.ReadValue()
		field, known := fields[name]
		if !known {
			r.add(join(path, clip(name)), "is unknown here")
			continue
		}
		given[name] = true
		r.value(member, into.FieldByIndex(field.Index), field.Tag, join(path, name))
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !given[name] && !strings.Contains(fields[name].Tag.Get("json"), ",omit") {
			r.add(join(path, name), "is required")
		}
	}
}

func (r *reader) list(v jsontext.Value, into reflect.Value, tag reflect.StructTag, path string) {
	if v.Kind() != '[' {
		r.add(path, "must be an array")
		return
	}
	most, _ := strconv.Atoi(tag.Get("maxItems"))
	into.Set(reflect.MakeSlice(into.Type(), 0, 0)) // an empty list is not one left out
	in := opened(v)
	n := 0
	for ; in.PeekKind() != ']'; n++ {
		item, _ := in.ReadValue() // v is valid
		if n >= most {
			continue
		}
		into.Set(reflect.Append(into, reflect.Zero(into.Type().Elem())))
		r.value(item, into.Index(n), "", at(path, n))
	}
	if n > most {
		r.add(path, "must have at most %d items, has %d", most, n)
	}
}

func (r *reader) text(v jsontext.Value, into reflect.Value, tag reflect.StructTag, path string) {
	if v.Kind() != '"' {
		r.add(path, "must be a string")
		return
	}
	text := unquote(v)
	if text == "" && tag.Get("minLength") != "" {
		r.add(path, "must not be empty; leave it out")
	}
	into.SetString(text)
}

// number reads a number. One whose type has a least value that is not zero may not be zero: zero is what stands for a
// number left out.
func (r *reader) number(v jsontext.Value, into reflect.Value, tag reflect.StructTag, path string) {
	if v.Kind() != '0' {
		r.add(path, "must be a number")
		return
	}
	if into.Kind() == reflect.Float64 {
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil || f == 0 {
			r.add(path, "must be more than 0 and less than 1")
			return
		}
		into.SetFloat(f)
		return
	}
	n, err := strconv.ParseInt(string(v), 10, 32)
	if err != nil || n == 0 {
		r.add(path, "must be a whole number from %s to %s", tag.Get("minimum"), tag.Get("maximum"))
		return
	}
	into.SetInt(n)
}

// opened is a decoder behind the first token of an object or array that is known to be valid.
func opened(v jsontext.Value) *jsontext.Decoder {
	in := jsontext.NewDecoder(bytes.NewReader(v))
	_, _ = in.ReadToken()
	return in
}

// unquote is the text of a JSON string that is known to be valid.
func unquote(v jsontext.Value) string {
	text, _ := jsontext.AppendUnquote(nil, v)
	return string(text)
}

// quote is a text of valid UTF-8 as JSON.
func quote(text string) jsontext.Value {
	v, _ := jsontext.AppendQuote(nil, text)
	return v
}
