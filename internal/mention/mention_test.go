package mention_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/mention"
)

// quoted is a text as JSON, with every character escaped that may be, or only those that must be.
func quoted(t *rapid.T, text string) string {
	v, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "escaped") {
		value := jsontext.Value(v)
		if err := value.Format(jsontext.EscapeForHTML(true), jsontext.EscapeForJS(true)); err != nil {
			t.Fatal(err)
		}
		v = value
	}
	return string(v)
}

// Promise: an id is found in whatever form it stands in a statement, in JSON and in an address, and in one form within
// another.
func TestEveryFormIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringOfN(rapid.RuneFrom([]rune(`abcé€😀'"\/<>&%+ @.-_:`)), 8, 20, -1).Draw(t, "id")
		ids := mention.Of([]string{"", "another one", id})
		sql := func(text string) string { return "SELECT '" + strings.ReplaceAll(text, "'", "''") + "' AS x" }
		inJSON := `{"a":[1,{"b":` + quoted(t, "for "+id) + `}]}`
		for name, text := range map[string]string{
			"plain": id, "a statement": sql(id), "JSON in a statement": sql(quoted(t, id)), "an address": "https://example.com/?u=" + url.QueryEscape(id),
			"a path": "https://example.com/" + url.PathEscape(id),
		} {
			if !ids.InStatement(text) || !ids.InText(text) {
				t.Fatalf("%s: %q is not found in %q", name, id, text)
			}
			v, _ := json.Marshal(map[string]any{"a": []any{text}})
			if !ids.InJSON(v) {
				t.Fatalf("%s: %q is not found in %s", name, id, v)
			}
		}
		if !ids.InJSON(jsontext.Value(inJSON)) || !ids.InStatement(sql(inJSON)) {
			t.Fatalf("%q is not found in %s", id, inJSON)
		}
	})
}

// Promise: a short id is found where it stands alone, and not in every word that it is a part of.
func TestShortIDsStandAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id, said               string
		statement, text, value bool
	}{
		{"u", "SELECT user FROM events", false, false, false},
		{"u", "WHERE distinct_id = 'u'", true, false, false},
		{"u", `WHERE properties = '{"id":"u"}'`, true, false, false},
		{"u", "u", false, true, true},
		{"anna", "hannah", true, false, false},
		{"anna", "Dear Anna, anna!", true, true, true},
		{"42", "42", false, true, true},
		{"4711", "you owe 4711.", true, true, true},
		{"u_123456", "xu_1234567", true, true, true},
		{"", "", false, false, false},
	} {
		ids := mention.Of([]string{c.id})
		v, _ := json.Marshal([]string{c.said})
		if ids.InStatement(c.said) != c.statement || ids.InText(c.said) != c.text || ids.InJSON(v) != c.value {
			t.Errorf("%q in %q: %v %v %v", c.id, c.said, ids.InStatement(c.said), ids.InText(c.said), ids.InJSON(v))
		}
	}
	if !mention.Of([]string{"4711"}).InJSON(jsontext.Value(`{"a":4711}`)) || !mention.Of([]string{"bob"}).InJSON(jsontext.Value(`{"bob":1}`)) {
		t.Error("a number, or a name, is not found")
	}
}

// Promise: of an object the members go whose values name somebody, whole, and the others stay as they are; what cannot be taken apart
// goes whole.
func TestWithout(t *testing.T) {
	t.Parallel()
	ids := mention.Of([]string{"it's me"})
	for from, want := range map[string]string{
		`{"of":"events","where":[{"value":"it\u0027s me"}],"limit":1.50}`: `{"of":"events","limit":1.50}`,
		`{"filter":"name = 'it''s me'"}`:                                  `{}`,
		`{"it's me":1,"b":["it's me"],"c":[ 2 ]}`:                         `{"it's me":1,"c":[ 2 ]}`,
		`["it's me"]`:      ``,
		`{"a":"it's me"`:   ``,
		`{"a":"it's you"}`: `{"a":"it's you"}`,
	} {
		rest, changed := ids.Without(jsontext.Value(from))
		if string(rest) != want || changed != (from != want) {
			t.Errorf("%s: %s, %v", from, rest, changed)
		}
	}
}

// Promise: no text breaks the search, and one that is there as it is, is found.
func FuzzMention(f *testing.F) {
	f.Add("u_12345678", `\ud83d\`)
	f.Add("a''b_c''d", "%4")
	f.Add(`\u0061bcdefg`, "%+%zz\\u12")
	f.Fuzz(func(t *testing.T, id, text string) {
		ids := mention.Of([]string{id})
		ids.InText(text)
		ids.InJSON(jsontext.Value(text))
		ids.Without(jsontext.Value(text))
		if len(id) >= 8 && !ids.InStatement(text+id+text) {
			t.Errorf("%q is not found", id)
		}
	})
}
