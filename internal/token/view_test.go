package token_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
	"github.com/weir-analytics/weir/internal/view"
)

func readView(t testing.TB, text string) *access.View {
	t.Helper()
	if text == "" {
		return nil
	}
	v, err := view.Read(jsontext.Value(text), "view")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Promise: a token sees no more than its client and the client's key do: it can see less, and it can have the values of their
// variables, and then carries all that they see, with the values in place; what it asks about must be what they show.
func TestTokensSeeNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const (
		ofOrg    = `{"events":{"where":[{"column":"properties.org","op":"=","value":"@{org}"}]}}`
		ofOne    = `{"events":{"where":[{"column":"properties.org","op":"=","value":"one"}]}}`
		hidden   = `{"events":{"hide":["properties.email"]},"persons":{}}`
		signups  = `{"events":{"where":[{"column":"event","op":"=","value":"signup"}]}}`
		byEmail  = `{"events":{"where":[{"column":"properties.email","op":"=","value":"a"}]}}`
		oneOfOrg = `{"events":{"where":[{"column":"properties.org","op":"=","value":"one"},{"column":"event","op":"=","value":"signup"}]}}`
	)
	one := token.Variables{"org": jsontext.Value(`"one"`)}
	for name, c := range map[string]struct {
		own, key, narrowed string
		variables          token.Variables
		want               string // the view of the token
		problem            problem.Code
	}{
		"as the client":               {own: hidden},
		"less":                        {narrowed: signups, want: signups},
		"less than the client":        {own: hidden, narrowed: signups, want: `{"events":{"where":[{"column":"event","op":"=","value":"signup"}],"hide":["properties.email"]}}`},
		"another table":               {own: signups, narrowed: `{"persons":{}}`, problem: problem.InvalidScope},
		"what the client hides":       {own: hidden, narrowed: byEmail, problem: problem.InvalidScope},
		"what the key hides":          {key: hidden, narrowed: byEmail, problem: problem.InvalidScope},
		"a value":                     {own: ofOrg, variables: one, want: ofOne},
		"a value for the key's":       {key: ofOrg, variables: one, want: ofOne},
		"a value and less":            {own: ofOrg, variables: one, narrowed: signups, want: oneOfOrg},
		"a value of what is hidden":   {own: ofOrg, key: `{"events":{"hide":["properties.org"]}}`, variables: one, want: `{"events":{"where":[{"column":"properties.org","op":"=","value":"one"}],"hide":["properties.org"]}}`},
		"no value":                    {own: ofOrg, problem: problem.InvalidRequest},
		"no value, and less":          {key: ofOrg, narrowed: signups, problem: problem.InvalidRequest},
		"a value for nobody":          {own: hidden, variables: one, problem: problem.InvalidRequest},
		"a value without a view":      {variables: one, problem: problem.InvalidRequest},
		"a value of another type":     {own: ofOrg, variables: token.Variables{"org": jsontext.Value(`{}`)}, problem: problem.InvalidRequest},
		"variables in what is wanted": {narrowed: ofOrg, problem: problem.InvalidRequest},
	} {
		r := token.Request{Client: client(), Variables: c.variables}
		r.Client.Own.Bounds.View, r.Client.Key.Bounds.View, r.Bounds.View = readView(t, c.own), readView(t, c.key), readView(t, c.narrowed)
		m, err := w.Mint(t.Context(), r)
		wantProblem(t, name, err, c.problem)
		if err != nil {
			continue
		}
		if got := w.opened(t, m).Bounds.View; !got.Same(readView(t, c.want)) {
			t.Errorf("%s: it sees %s", name, view.Text(got))
		}
	}
}

// Promise: a view in a token that is no view is refused, and does not become everything.
func TestBrokenViewsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := token.Request{Client: client()}
	r.Bounds.View = readView(t, `{"events":{"hide":["properties.a"]}}`)
	text := w.mint(t, r).Text.Reveal()
	header, payload := string(part(t, text, 0)), string(part(t, text, 1))
	const written = `"view":{"events":{"hide":["properties.a"]}}`
	if !strings.Contains(payload, written) {
		t.Fatalf("it is written as %s", payload)
	}
	for _, broken := range []string{`null`, `{}`, `[]`, `""`, `{"events":null}`, `{"events":{"hidden":["properties.a"]}}`, `{"nowhere":{}}`, `{"events":{},"events":{}}`} {
		if w.accepts(sign(firstKey(t), header, strings.Replace(payload, written, `"view":`+broken, 1))) {
			t.Errorf("accepted with %s", broken)
		}
	}
}
