package workflow_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/workflow"
)

func values(pairs ...string) map[string]jsontext.Value {
	out := map[string]jsontext.Value{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = jsontext.Value(pairs[i+1])
	}
	return out
}

func fields(err error) (names []string) {
	for _, f := range problem.From(err).Fields {
		names = append(names, f.Name)
	}
	return names
}

// Promise: a placeholder that is a text by itself becomes the value, and one within a text its letters, escaped, so that no
// value ends the text it stands in or is filled in turn.
func TestTemplates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		template string
		values   map[string]jsontext.Value
		want     string
	}{
		{`{}`, nil, `{}`},
		{` [1, "a" ,{ "b" : null}] `, nil, ` [1, "a" ,{ "b" : null}]`},
		{`{"a":"{{x}}"}`, values("x", `{"b":[1,2]}`), `{"a":{"b":[1,2]}}`},
		{`{"a":"{{ x }}","b":"{{x}}"}`, values("x", `null`), `{"a":null,"b":null}`},
		{`"{{x}}"`, values("x", `12`), `12`},
		{`{"a":"Hello {{name}}!"}`, values("name", `"Ada"`), `{"a":"Hello Ada!"}`},
		{`{"a":"{{x}}{{y}}"}`, values("x", `1.50`, "y", `true`), `{"a":"1.50true"}`},
		{`{"a":" {{x}}"}`, values("x", `""`), `{"a":" "}`},
		{`{"a":"<{{x}}>"}`, values("x", `"\"},\"b\":\"\\"`), `{"a":"<\"},\"b\":\"\\>"}`},
		{`{"a":"<{{x}}>"}`, values("x", `"line\nbreak \u0000"`), `{"a":"<line\nbreak \u0000>"}`},
		{`{"a":"<{{x}}>"}`, values("x", `"{{y}}"`), `{"a":"<{{y}}>"}`},
		{`{"a":"\u007b{x}} \"q\" {{x}}"}`, values("x", `"1"`), `{"a":"1 \"q\" 1"}`},
		{`{"a":"}} } {"}`, nil, `{"a":"}} } {"}`},
		{`["{{$user_id}}","by {{$user_id}}"]`, nil, `["u_1","by u_1"]`},
	} {
		tpl, err := workflow.ParseTemplate([]byte(c.template))
		if err != nil {
			t.Errorf("%s: %v", c.template, err)
			continue
		}
		got, err := tpl.Fill(c.values, values("$user_id", `"u_1"`))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.template, got, err, c.want)
		}
	}
}

// Promise: what is no template is refused in words that say what is wrong and where.
func TestWrongTemplates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                           "is not valid JSON",
		`{`:                          "is not valid JSON",
		`{} {}`:                      "is not valid JSON",
		`{"a":1,"a":2}`:              "is not valid JSON",
		"\"\xff\"":                   "is not valid JSON",
		`{"{{x}}":1}`:                "the name of a member",
		`{"a":{"b{{x}}":1}}`:         "the name of a member",
		`{"a":["{{"]}`:               "has {{ without the name of a variable and }} after it (at /a/0)",
		`{"a":"{{}}"}`:               "(at /a)",
		`{"a":"{{1x}}"}`:             "(at /a)",
		`{"a":"{{x y}}"}`:            "(at /a)",
		`{"a":"{{x|js}}"}`:           "(at /a)",
		`{"a":"{{.x}}"}`:             "(at /a)",
		`{"a":"{{{x}}}"}`:            "(at /a)",
		`{"a":"{{$secret}}"}`:        "there are only $user_id",
		strings.Repeat("[", 40):      "deep",
		strings.Repeat(" ", 17_000):  "at most 16384",
		`["{{` + long(65) + `}}"]`:   "(at /0)",
		manyPlaceholders(101, "%d,"): "more than 100",
	} {
		if _, err := workflow.ParseTemplate([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func manyPlaceholders(n int, _ string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"{{v%d}}"`, i)
	}
	return "[" + strings.Join(list, ",") + "]"
}

// Promise: every variable that is missing, that the template does not have, or that cannot stand where it would, is named;
// and nothing is made that is longer than may be.
func TestFaultsOfVariablesAreNamed(t *testing.T) {
	t.Parallel()
	const text = `{"a":"{{x}}","b":"in {{y}} and {{z}}","c":"{{$user_id}}"}`
	tpl, err := workflow.ParseTemplate([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := tpl.Names(); !slices.Equal(got, []string{"x", "y", "z"}) {
		t.Errorf("it has %v", got)
	}
	for _, c := range []struct {
		values map[string]jsontext.Value
		want   []string
	}{
		{nil, []string{"user_id", "variables.x", "variables.y", "variables.z"}},
		{values("x", "1", "y", "[]", "z", "null"), []string{"user_id", "variables.y", "variables.z"}},
		{values("x", "1", "y", "{}", "z", "1", "w", "1"), []string{"user_id", "variables.w", "variables.y"}},
	} {
		if _, err := tpl.Fill(c.values, nil); problem.Of(err) != problem.InvalidField || !slices.Equal(fields(err), c.want) {
			t.Errorf("%v: %v names %v, want %v", c.values, err, fields(err), c.want)
		}
	}
	if _, err := tpl.Fill(values("x", `"`+long(70_000)+`"`, "y", "1", "z", "1"), values("$user_id", `"u"`)); !slices.Equal(fields(err), []string{"variables"}) {
		t.Errorf("what is too long: %v", err)
	}
}

// filled fills a decoded template without knowing how it is done: by walking it.
func filled(v any, with map[string]any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = filled(v[name], with)
		}
	case []any:
		for i := range v {
			v[i] = filled(v[i], with)
		}
	case string:
		if name, ok := strings.CutPrefix(v, "{{"); ok && strings.Count(v, "{{") == 1 && strings.HasSuffix(name, "}}") {
			return with[strings.TrimSuffix(name, "}}")]
		}
		var pairs []string
		for name, value := range with {
			if text, ok := value.(string); ok {
				pairs = append(pairs, "{{"+name+"}}", text)
			}
		}
		return strings.NewReplacer(pairs...).Replace(v)
	}
	return v
}

// Promise: of any template and any values, what is made is the JSON that filling the decoded template makes.
func TestFillingIsFillingWhatIsDecoded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOf(rapid.SampledFrom([]rune(`ab"\/ é😀{}` + "\n\x00")))
		plain := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(strings.FieldsFunc(word.Draw(t, "word"), func(r rune) bool { return r == '{' }), "{") // no two in a row
		})
		text := rapid.Custom(func(t *rapid.T) string {
			out := ""
			for range rapid.IntRange(0, 3).Draw(t, "parts") {
				part := strings.Trim(plain.Draw(t, "plain"), "{}")
				if rapid.Bool().Draw(t, "fill") {
					part = "{{" + rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name") + "}}"
				}
				out += part
			}
			return out
		})
		template := map[string]any{"always": "{{x}}", "and": "a{{y}}"}
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			template[plain.Draw(t, "member")] = []any{text.Draw(t, "text"), 1.5, nil, map[string]any{"in": text.Draw(t, "text")}}
		}
		with := map[string]any{"x": word.Draw(t, "x"), "y": word.Draw(t, "y")}
		written, err := json.Marshal(template)
		if err != nil {
			t.Fatal(err)
		}
		tpl, err := workflow.ParseTemplate(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		given := map[string]jsontext.Value{}
		for name, value := range maps.All(with) {
			given[name], _ = json.Marshal(value)
		}
		body, err := tpl.Fill(given, nil)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		var got, want any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s makes %s: %v", written, body, err)
		}
		if err := json.Unmarshal(written, &want); err != nil {
			t.Fatal(err)
		}
		if want = filled(want, with); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s with %v makes %#v, want %#v", written, with, got, want)
		}
	})
}

// Promise: whatever is given as a template and as a value, nothing panics, and what is made is valid JSON.
func FuzzTemplate(f *testing.F) {
	f.Add([]byte(`{"a":"{{x}}","b":"c {{x}}"}`), []byte(`"v"`))
	f.Add([]byte(`["{{$user_id}}", "\u007b{x}}"]`), []byte(`{"a":1}`))
	f.Add([]byte(`"{{x}} \ud83d\ude00"`), []byte(`"\ud83d\ude00\"\\"`))
	f.Add([]byte(`[[[["{{x}}"]]]] `), []byte(`1e9`))
	f.Fuzz(func(t *testing.T, text, value []byte) {
		tpl, err := workflow.ParseTemplate(text)
		if err != nil || !jsontext.Value(value).IsValid() {
			return
		}
		given := map[string]jsontext.Value{}
		for _, name := range tpl.Names() {
			given[name] = value
		}
		server := values("$user_id", `"u"`, "$timestamp", `"t"`, "$delivery_id", `"d"`, "$workflow_id", `"w"`)
		if body, err := tpl.Fill(given, server); err == nil && !jsontext.Value(body).IsValid() {
			t.Errorf("%q with %q makes %q", text, value, body)
		}
	})
}
