package profile

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// condition is a search as SQL, and what is bound in it. What the caller sent is never part of the text. A trait is
// compared with values of its own kind only: text "5" is not the number 5.
func (s Search) condition(columns []string) (where string, named map[string]jsontext.Value, err error) {
	named = map[string]jsontext.Value{}
	if s.Trait == "" {
		if s.Op != "" || s.Value != "" {
			return "", nil, problem.Invalid("trait", "is required with op and value")
		}
		return "true", named, nil
	}
	if !slices.Contains(columns, "traits") {
		return "", nil, problem.Invalid("trait", "may not be seen, and so not be asked for")
	}
	if len(s.Trait) > view.MaxText || len(s.Value) > view.MaxText {
		return "", nil, problem.Invalid("trait", "and its value must be at most %d bytes long", view.MaxText)
	}
	if s.Value == "" { // left out, most often: nobody's trait is compared with nothing
		return "", nil, problem.Invalid("value", `is required with trait; the empty text is written ""`)
	}
	path, err := view.Condition{Property: s.Trait}.Path()
	if err != nil {
		return "", nil, problem.Invalid("trait", "%s", err)
	}
	op := s.Op
	if op == "" {
		op = "="
	}
	if !slices.Contains([]string{"=", "!=", "<", "<=", ">", ">="}, op) {
		return "", nil, problem.Invalid("op", "must be =, !=, <, <=, > or >=")
	}
	named["pointer"] = quoted(view.Pointer(path))
	value := valueOf(s.Value)
	const kind, text = "json_type(traits, $pointer)", "json_extract_string(traits, $pointer)"
	ordered := op != "=" && op != "!="
	switch value.Kind() {
	case 'n':
		if ordered {
			return "", nil, problem.Invalid("op", "must be = or != with null")
		}
		return "coalesce(" + kind + ", 'NULL') " + op + " 'NULL'", named, nil
	case 't', 'f':
		if ordered {
			return "", nil, problem.Invalid("op", "must be = or != with true and false")
		}
		named["value"] = quoted(string(value))
		return kind + " = 'BOOLEAN' AND " + text + " " + op + " $value", named, nil
	case '0':
		named["value"] = quoted(string(value))
		return kind + " IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE') AND TRY_CAST(" + text + " AS DOUBLE) " + op + " TRY_CAST($value AS DOUBLE)", named, nil
	default:
		named["value"] = value
		return kind + " = 'VARCHAR' AND " + text + " " + op + " $value", named, nil
	}
}

// valueOf reads a value of a search: a scalar of JSON, or else a text as it stands.
func valueOf(text string) jsontext.Value {
	if v := jsontext.Value(text); v.IsValid() && v.Kind() != '{' && v.Kind() != '[' && strings.TrimSpace(text) == text {
		return v
	}
	return quoted(text)
}
