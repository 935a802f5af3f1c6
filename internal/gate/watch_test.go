package gate_test

import (
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a long answer is stopped when what was permitted no longer would be: the key was revoked, disabled, narrowed,
// has expired, or the secret that was shown has ended. What changes otherwise does not stop it. A yes records and charges
// nothing.
func TestWatch(t *testing.T) {
	t.Parallel()
	change := func(edit func(*access.Key)) func(*gatetest.World, string) {
		return func(w *gatetest.World, text string) { w.Keys.Change(text, edit) }
	}
	for name, c := range map[string]struct {
		change func(*gatetest.World, string)
		code   problem.Code
		reason string
	}{
		"nothing":    {func(*gatetest.World, string) {}, "", ""},
		"relabelled": {change(func(k *access.Key) { k.Limits.Daily.Most = 1 }), "", ""},
		"widened":    {change(func(k *access.Key) { k.Scopes = access.AllScopes }), "", ""},
		"time":       {func(w *gatetest.World, _ string) { w.Clock.Advance(time.Hour - 1) }, "", ""},
		"rotated":    {func(w *gatetest.World, text string) { rotate(w, text, 2, w.Clock.Now().Add(1)) }, "", ""},
		"rotated back": {func(w *gatetest.World, text string) {
			w.Keys.Edit(text, func(e *gate.Entry) { e.Former = []gate.Former{{Generation: 2, Until: w.Clock.Now()}} })
		}, "", ""},
		"still in it":  {change(func(k *access.Key) { k.Environments = []string{"staging", "production"} }), "", ""},
		"other events": {change(func(k *access.Key) { k.Events = []string{"signup"} }), "", ""},

		"seen more": {change(func(k *access.Key) { k.View = nil }), "", ""},
		"seen less": {change(func(k *access.Key) { k.View = &access.View{} }), problem.ViewNotApplied, "view_not_applied"},
		"unbound":   {change(func(k *access.Key) { k.View = &access.View{Unbound: []string{"org"}} }), problem.ViewUnbound, "view_unbound"},

		"revoked":      {change(func(k *access.Key) { k.RevokedAt = time.Unix(1, 0) }), problem.KeyNotAccepted, "key_revoked"},
		"disabled":     {change(func(k *access.Key) { k.State = access.Disabled }), problem.KeyNotAccepted, "key_disabled"},
		"quarantined":  {change(func(k *access.Key) { k.State = access.Quarantined }), problem.KeyQuarantined, "key_quarantined"},
		"expired":      {func(w *gatetest.World, _ string) { w.Clock.Advance(time.Hour) }, problem.KeyNotAccepted, "key_expired"},
		"put off":      {change(func(k *access.Key) { k.NotBefore = k.ExpiresAt }), problem.KeyNotAccepted, "key_not_yet_valid"},
		"scopeless":    {change(func(k *access.Key) { k.Scopes = access.EventsWrite }), problem.MissingScope, "scope_missing"},
		"narrowed":     {change(func(k *access.Key) { k.Environments = []string{"staging"} }), problem.EnvironmentNotAllowed, "environment_not_allowed"},
		"moved away":   {change(func(k *access.Key) { k.Networks = networks("203.0.113.0/24") }), problem.NetworkNotAllowed, "network_not_allowed"},
		"made to sign": {change(func(k *access.Key) { k.Signature = true }), problem.SignatureRequired, "signature_missing"},
		"replaced":     {func(w *gatetest.World, text string) { rotate(w, text, 2, w.Clock.Now()) }, problem.KeyNotAccepted, "secret_replaced"},
		"overlap over": {func(w *gatetest.World, text string) {
			rotate(w, text, 2, w.Clock.Now().Add(time.Minute))
			w.Clock.Advance(time.Minute)
		}, problem.KeyNotAccepted, "secret_replaced"},
		"secret forgotten": {func(w *gatetest.World, text string) {
			rotate(w, text, 2, w.Clock.Now())
			w.Keys.Edit(text, func(e *gate.Entry) { e.Former = nil })
		}, problem.KeyNotAccepted, "unknown_key"},
		"gone": {func(w *gatetest.World, text string) { w.Keys.Remove(text) }, problem.KeyNotAccepted, "unknown_key"},
		"ceiling lowered": {func(w *gatetest.World, text string) {
			w.Keys.Change(text, func(k *access.Key) {
				project := *k.Project
				project.Policy.Secret.Scopes = access.EventsWrite
				k.Project = &project
			})
		}, problem.ProjectCeiling, "scope_over_ceiling"},
	} {
		for how, attempt := range map[string]access.Attempt{
			"named":   {Targets: targets("production")},
			"default": {Targets: targets("")},
			"unnamed": {},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				w := gatetest.New(t)
				text := w.Mint(access.Key{Scopes: access.EventsRead, Bounds: access.Bounds{
					ExpiresAt: w.Clock.Now().Add(time.Hour), View: &access.View{Tables: []access.ViewTable{{Name: "events"}}},
				}})
				attempt.Action = access.ReadEvents
				permit, err := w.Ask(text, attempt)
				if err != nil {
					t.Fatal(err)
				}
				w.Ledger.Take()
				c.change(w, text)
				err = w.Gate.Watch(permit, attempt)
				if problem.Of(err) != c.code {
					t.Errorf("%v, want %s", err, c.code)
				}
				denials, uses := w.Ledger.Take()
				if len(uses) != 0 || len(w.Limits.Charges) != 1 || (len(denials) == 1) != (c.code != "") {
					t.Fatalf("recorded %+v and %+v, charged %v", denials, uses, w.Limits.Charges)
				}
				if c.code != "" && (denials[0].Reason != c.reason || denials[0].ID != problem.From(err).DecisionID) {
					t.Errorf("recorded %+v", denials[0])
				}
			})
		}
	}
}

// Promise: where a batch was let through in part, it is watched in that part: what was refused stays refused and stops
// nothing, what was allowed must stay allowed.
func TestWatchOfABatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit   func(*access.Key)
		code   problem.Code
		reason string
	}{
		"nothing":        {func(*access.Key) {}, "", ""},
		"all still":      {func(k *access.Key) { k.Environments = []string{"production", "staging"} }, "", ""},
		"one less":       {func(k *access.Key) { k.Environments = []string{"production"} }, problem.EnvironmentNotAllowed, "environment_not_allowed"},
		"the default":    {func(k *access.Key) { k.Environments = []string{"staging"} }, problem.EnvironmentNotAllowed, "environment_not_allowed"},
		"all of it gone": {func(k *access.Key) { k.Scopes = 0 }, problem.MissingScope, "scope_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := gatetest.New(t)
			text := w.Key(access.Secret, access.EventsRead)
			attempt := access.Attempt{Action: access.ReadEvents, Each: true, Targets: targets("moon", "", "staging", "development")}
			permit, err := w.Ask(text, attempt)
			if err != nil {
				t.Fatal(err)
			}
			w.Ledger.Take()
			w.Keys.Change(text, c.edit)
			if err := w.Gate.Watch(permit, attempt); problem.Of(err) != c.code {
				t.Errorf("%v, want %s", err, c.code)
			}
			if attempt.Targets[1].Environment != "" {
				t.Error("the attempt was changed")
			}
			if denials, _ := w.Ledger.Take(); c.code != "" && (len(denials) != 1 || denials[0].Reason != c.reason) {
				t.Errorf("recorded %+v", denials)
			}
		})
	}
}
