package app_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
)

// only is a store of one app.
type only struct {
	app.Store

	one app.App
}

func (s only) App(context.Context, string) (app.App, error) { return s.one, nil }

// Promise: whatever an app asks, a person is sent nowhere but where the app registered, and what is asked of them has rights,
// a challenge, and none of what no app is given.
func FuzzRead(f *testing.F) {
	one := app.App{ID: "app_AAAAAAAAAAAAAAAAAAAAAA", Redirects: []string{"https://one.example/cb"}}
	apps := app.New(app.Config{Store: only{one: one}})
	for _, seed := range []string{
		"response_type=code&redirect_uri=https://one.example/cb&scope=events:read&code_challenge=" + challenge() + "&code_challenge_method=S256&state=x",
		"response_type=token&redirect_uri=https://one.example/cb&state=%00", "redirect_uri=https://one.example/cb&redirect_uri=https://evil.example", "redirect_uri=https://evil.example",
		"redirect_uri=https://one.example/cb&scope=keys:write", "redirect_uri=https://one.example/cb&environment=a&environment=b&environment=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		values["client_id"] = []string{one.ID}
		asked, err := apps.Read(t.Context(), values)
		if refusal, ok := errors.AsType[*app.Refusal](err); ok {
			if refusal.Redirect != one.Redirects[0] || refusal.Code == "" || len(refusal.State) > app.MaxState {
				t.Errorf("sent to %+v", refusal)
			}
			return
		}
		if err != nil {
			return
		}
		if asked.Redirect != one.Redirects[0] || asked.Scopes == 0 || asked.Scopes&(app.Never|^access.AllScopes) != 0 || len(asked.Challenge) != 43 || values.Get("code_challenge_method") != "S256" {
			t.Errorf("asked %+v", asked)
		}
		for _, name := range asked.Environments {
			if name == "" {
				t.Error("an environment without a name")
			}
		}
		back, err := url.Parse(app.Back(asked.Redirect, [2]string{"code", "c"}, [2]string{"state", asked.State}))
		if err != nil || back.Query().Get("state") != asked.State || !strings.HasPrefix(back.String(), asked.Redirect) {
			t.Errorf("back to %v, %v", back, err)
		}
	})
}
