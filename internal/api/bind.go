package api

import (
	"cmp"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// bound makes the Read of an endpoint whose input is described by struct tags: path:"id" and query:"limit" for
// parameters, and a field named Body for a JSON body. What the tags say (doc, minimum, enum, …) is in the OpenAPI
// document and is checked here, from the same schema. Every fault is reported at once. A Body that is optional may be
// left out; one that is loose has members that nobody here knows, and they are passed over.
func bound[I any](a *API) func(*request) (I, error) {
	in := reflect.TypeFor[I]()
	params := paramsOf(a.registry, in)
	var body *huma.Schema
	optional, loose := false, false
	if field, ok := in.FieldByName("Body"); ok {
		body, optional, loose = a.registry.Schema(field.Type, true, in.Name()), field.Tag.Get("optional") != "", field.Tag.Get("loose") != ""
	}
	return func(rq *request) (I, error) {
		var out I
		value := reflect.ValueOf(&out).Elem()
		names := make([]string, 0, len(params))
		for _, p := range params {
			if p.in == "query" {
				names = append(names, p.name)
			}
		}
		if err := rq.onlyQuery(names...); err != nil {
			return out, err
		}
		faults := &huma.ValidateResult{}
		for _, p := range params {
			p.read(rq, a.registry, value, faults)
		}
		if body != nil {
			if err := rq.readBody(body, optional, loose, value.FieldByName("Body").Addr().Interface(), faults); err != nil {
				return out, err
			}
		}
		return out, faultsOf(faults)
	}
}

// param is one path, query or header parameter of an input.
type param struct {
	name, in string
	field    []int // also of a struct that is embedded
	schema   *huma.Schema
	doc      string
	required bool
}

func paramsOf(registry huma.Registry, in reflect.Type) []param {
	var params []param
	if in == nil || in.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range reflect.VisibleFields(in) {
		for _, where := range [...]string{"path", "query", "header"} {
			if name := f.Tag.Get(where); name != "" {
				params = append(params, param{
					name: name, in: where, field: f.Index, schema: huma.SchemaFromField(registry, f, ""), doc: f.Tag.Get("doc"), required: where == "path",
				})
			}
		}
	}
	return params
}

// read takes the parameter from the request into its field. A parameter that is not there leaves the field at zero.
func (p *param) read(rq *request, registry huma.Registry, into reflect.Value, faults *huma.ValidateResult) {
	at := huma.NewPathBuffer(nil, 0)
	at.Push(p.in)
	at.Push(p.name)
	text, ok := p.text(rq)
	if !ok {
		return
	}
	field := into.FieldByIndex(p.field)
	var value any = text
	switch field.Interface().(type) {
	case string:
		field.SetString(text)
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			faults.Add(at, nil, "must be a whole number")
			return
		}
		field.SetInt(int64(n))
		value = float64(n)
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			faults.Add(at, nil, "must be true or false")
			return
		}
		field.SetBool(b)
		value = b
	case time.Time:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			faults.Add(at, nil, "must be a time such as 2026-01-31T12:00:00Z")
			return
		}
		field.Set(reflect.ValueOf(t.UTC()))
	default:
		panic("api: a parameter of a type that cannot be read: " + field.Type().String())
	}
	huma.Validate(registry, p.schema, at, huma.ModeWriteToServer, value, faults)
}

// text is the parameter as it was sent, and false when it was not.
func (p *param) text(rq *request) (string, bool) {
	switch p.in {
	case "query":
		if given := rq.values[p.name]; len(given) > 0 {
			return given[0], true
		}
		return "", false
	case "header":
		value := rq.r.Header.Get(p.name)
		return value, value != ""
	}
	return rq.nameAt(p.name), true
}

// readBody reads a JSON body into a value and checks it against its schema. One that is optional may be left out.
func (rq *request) readBody(schema *huma.Schema, optional, loosely bool, into any, faults *huma.ValidateResult) error {
	text, err := rq.body(managementSize, "application/json")
	if err != nil || optional && len(text) == 0 {
		return err
	}
	var loose any
	if err := json.Unmarshal(text, &loose); err != nil {
		return badJSON(text, err)
	}
	huma.Validate(rq.a.registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, loose, faults)
	refuseNulls(rq.a.registry, schema, huma.NewPathBuffer(nil, 0), loose, faults)
	if len(faults.Errors) > 0 {
		return nil
	}
	if err := json.Unmarshal(text, into, json.RejectUnknownMembers(!loosely)); err != nil {
		var semantic *json.SemanticError
		if errors.As(err, &semantic) && semantic.Err != nil {
			return problem.Invalid(memberAt(semantic.JSONPointer), "%s", semantic.Err)
		}
		return problem.Invalid("", "does not fit: %s", clip(err.Error(), 120))
	}
	return nil
}

// refuseNulls finds the members that are null and may not be, at every depth. The validator takes such a member for one
// left out; whoever sends it means more than that.
func refuseNulls(registry huma.Registry, schema *huma.Schema, at *huma.PathBuffer, value any, faults *huma.ValidateResult) {
	if schema.Ref != "" {
		schema = registry.SchemaFromRef(schema.Ref)
	}
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			p := schema.Properties[name]
			if p == nil {
				continue
			}
			at.Push(name)
			if value[name] == nil && (p.Type != "" || p.Ref != "") && !p.Nullable {
				faults.Add(at, nil, "must not be null; leave it out")
			}
			refuseNulls(registry, p, at, value[name], faults)
			at.Pop()
		}
	case []any:
		for i, item := range value {
			if schema.Items == nil {
				return
			}
			at.PushIndex(i)
			refuseNulls(registry, schema.Items, at, item, faults)
			at.Pop()
		}
	}
}

// faultsOf makes one problem of all that is wrong with the fields. The values at fault are not repeated.
func faultsOf(faults *huma.ValidateResult) error {
	if len(faults.Errors) == 0 {
		return nil
	}
	p := problem.New(problem.InvalidField, "")
	for _, err := range faults.Errors {
		if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			p.At(faultAt(detail.Location, detail.Message))
		}
	}
	texts := make([]string, len(p.Fields))
	for i, f := range p.Fields {
		texts[i] = f.Name + ": " + f.Detail
	}
	p.Detail = strings.Join(texts, "; ") + "."
	return p
}

// faultAt gives the field that the validator means, and what is wrong with it. The validator says of the object around it
// that a member is missing.
func faultAt(location, message string) (field, detail string) {
	if m := missing.FindStringSubmatch(message); m != nil {
		return strings.TrimPrefix(location+"."+m[1], "."), "is required"
	}
	return cmp.Or(location, "body"), exponent.ReplaceAllStringFunc(message, plainly)
}

var missing = regexp.MustCompile(`^expected required property (.+) to be present$`)

// exponent is a number as the validator writes large ones.
var exponent = regexp.MustCompile(`\d(\.\d+)?e\+\d+`)

// plainly writes such a number without an exponent.
func plainly(number string) string {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return number
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// memberAt is a place in a body as fields are named.
func memberAt(at jsontext.Pointer) string {
	return cmp.Or(strings.ReplaceAll(strings.TrimPrefix(string(at), "/"), "/", "."), "body")
}

// badJSON says what is wrong with a text and where.
func badJSON(text []byte, err error) error {
	if len(strings.TrimSpace(string(text))) == 0 {
		return problem.New(problem.InvalidRequest, "The body is empty; a JSON object is expected.")
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok && errors.Is(err, strconv.ErrRange) {
		return problem.Invalid(memberAt(semantic.JSONPointer), "the number is too large: it must be below 1.8e308")
	}
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return problem.Wrap(err, problem.InvalidJSON, "The body is not valid JSON.")
	}
	return problem.Wrap(err, problem.InvalidJSON, "The body is not valid JSON: %s%s.", clip(reasonOf(syntax), 120), problem.Place(text, syntax.ByteOffset))
}

func reasonOf(err *jsontext.SyntacticError) string {
	if err.Err == nil {
		return "the text ends in the middle"
	}
	return strings.TrimPrefix(err.Err.Error(), "jsontext: ")
}
