package gate_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

func inURL(c gate.Credential) gate.Credential {
	c.Via = access.InQuery
	return c
}

// Promise: a secret that was replaced is good until its deadline and not at it; the present one has none. Each is known by
// its generation, in the permit's uses and in the denials; the two share the key's name and its account.
func TestReplacedSecrets(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	first := w.Key(access.Secret, access.EventsWrite)
	until := w.Clock.Now().Add(time.Hour)
	second := rotate(w, first, 2, until.Add(-time.Minute))
	third := rotate(w, first, 3, until)
	ask := func(text string) (until time.Time, generation int, err error) {
		caller, err := w.Gate.Identify(t.Context(), w.Credential(text), access.WriteEvents)
		if err == nil {
			_, err = w.Gate.Admit(t.Context(), caller, access.Attempt{}, gate.Cost{Requests: 1})
		}
		denials, uses := w.Ledger.Take()
		switch {
		case err == nil:
			return caller.SecretUntil(), uses[0].Generation, nil
		default:
			return time.Time{}, denials[0].Generation, err
		}
	}
	for _, step := range []struct {
		wait               time.Duration
		first, second      bool
		untilOf1, untilOf2 time.Time
	}{
		{0, true, true, until.Add(-time.Minute), until},
		{time.Hour - time.Minute - 1, true, true, until.Add(-time.Minute), until},
		{1, false, true, time.Time{}, until},
		{time.Minute - 1, false, true, time.Time{}, until},
		{1, false, false, time.Time{}, time.Time{}},
	} {
		w.Clock.Advance(step.wait)
		for i, c := range []struct {
			text  string
			good  bool
			until time.Time
		}{{first, step.first, step.untilOf1}, {second, step.second, step.untilOf2}, {third, true, time.Time{}}} {
			until, generation, err := ask(c.text)
			if (err == nil) != c.good || !until.Equal(c.until) || generation != i+1 {
				t.Errorf("at %s, secret %d: until %s, generation %d, %v", w.Clock.Now(), i+1, until, generation, err)
			}
			if err != nil && problem.Of(err) != problem.KeyNotAccepted {
				t.Errorf("secret %d: %v", i+1, err)
			}
		}
	}
	for _, c := range w.Limits.Charges {
		if c.Key.ID != "key_000000000001" {
			t.Errorf("charged to %s", c.Key.ID)
		}
	}
}

// Promise: that a secret was seen where others may see it is noted when it is a good secret, whatever becomes of the
// request, and never of a key that is public, unknown or guessed.
func TestExposedSecrets(t *testing.T) {
	t.Parallel()
	secret := func(k access.Key) func(*gatetest.World) string {
		k.Scopes |= access.EventsWrite
		return func(w *gatetest.World) string { return w.Mint(k) }
	}
	policy := func(p access.Policy) func(*gatetest.World) string {
		return func(w *gatetest.World) string { w.Project.Policy = p; return secret(access.Key{})(w) }
	}
	replaced := func(until time.Duration) func(*gatetest.World) string {
		return func(w *gatetest.World) string {
			text := secret(access.Key{})(w)
			rotate(w, text, 2, w.Clock.Now().Add(until))
			return text
		}
	}
	guessed := func(w *gatetest.World) string {
		text := secret(access.Key{})(w)
		return access.WriteKey(access.Secret, access.Live, text[8:20], strings.Repeat("x", access.SecretLength))
	}
	plain, url, browser := access.Circumstances{Via: access.InHeader, Cleartext: true}, access.Circumstances{Via: access.InQuery}, access.Circumstances{Via: access.InHeader, Browser: true}
	everywhere := access.Circumstances{Via: access.InQuery, Cleartext: true, Browser: true}
	for name, c := range map[string]struct {
		text func(*gatetest.World) string
		came access.Circumstances
		want []string
	}{
		"in a header":                {secret(access.Key{}), access.Circumstances{Via: access.InHeader}, nil},
		"in the URL":                 {secret(access.Key{}), url, []string{"url"}},
		"in cleartext":               {secret(access.Key{}), plain, []string{"cleartext"}},
		"in a browser":               {secret(access.Key{}), browser, []string{"browser"}},
		"everywhere":                 {secret(access.Key{}), everywhere, []string{"cleartext", "url", "browser"}},
		"nowhere":                    {secret(access.Key{}), access.Circumstances{}, nil},
		"in the URL, allowed":        {policy(access.Policy{SecretInURL: true}), url, []string{"url"}},
		"in a browser, allowed":      {policy(access.Policy{SecretInBrowser: true}), browser, nil},
		"revoked":                    {secret(access.Key{RevokedAt: time.Unix(0, 0)}), url, []string{"url"}},
		"in quarantine":              {secret(access.Key{State: access.Quarantined}), browser, []string{"browser"}},
		"from another network":       {secret(access.Key{Bounds: access.Bounds{Networks: networks("203.0.113.0/24")}}), url, []string{"url"}},
		"replaced, still good":       {replaced(1), url, []string{"url"}},
		"replaced, at its end":       {replaced(0), url, nil},
		"public, in the URL":         {secret(access.Key{Kind: access.Public}), url, nil},
		"public, everywhere":         {secret(access.Key{Kind: access.Public}), everywhere, nil},
		"operator's":                 {secret(access.Key{Kind: access.Operator}), everywhere, nil},
		"guessed, in the URL":        {guessed, url, nil},
		"guessed, everywhere":        {guessed, everywhere, nil},
		"unknown, everywhere":        {func(*gatetest.World) string { return gatetest.Text(access.Secret, access.Live, 9) }, everywhere, nil},
		"mistyped, everywhere":       {func(w *gatetest.World) string { return secret(access.Key{})(w) + "x" }, everywhere, nil},
		"no credential in the clear": {func(*gatetest.World) string { return "" }, everywhere, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := gatetest.New(t)
			credential := w.Credential(c.text(w))
			credential.Circumstances = c.came
			_, _ = w.Gate.Identify(t.Context(), credential, access.WriteEvents)
			var want []string
			for _, how := range c.want {
				want = append(want, "key_000000000001 in "+how)
			}
			if !slices.Equal(w.Keys.Exposed, want) {
				t.Errorf("noted %q, want %q", w.Keys.Exposed, want)
			}
		})
	}
}

// Promise: the answer to a credential that came in cleartext is one and the same, be the key good, revoked, unknown or no
// key at all, public or secret: its status, its words, its fields. Only the name of the ledger's entry differs, and the
// ledger tells them apart. It does not count as a failed authentication.
func TestCleartextAnswersAreOne(t *testing.T) {
	t.Parallel()
	var like *problem.Error
	for name, c := range map[string]struct {
		text  func(*gatetest.World) string
		known bool
		keyID string
	}{
		"good":      {func(w *gatetest.World) string { return w.Key(access.Secret, access.EventsWrite) }, true, "key_000000000001"},
		"public":    {func(w *gatetest.World) string { return w.Key(access.Public, access.EventsWrite) }, true, "key_000000000001"},
		"scopeless": {func(w *gatetest.World) string { return w.Key(access.Secret) }, true, "key_000000000001"},
		"revoked":   {func(w *gatetest.World) string { return w.Mint(access.Key{RevokedAt: w.Clock.Now()}) }, true, "key_000000000001"},
		"disabled":  {func(w *gatetest.World) string { return w.Mint(access.Key{State: access.Disabled}) }, true, "key_000000000001"},
		"unknown":   {func(*gatetest.World) string { return gatetest.Text(access.Secret, access.Live, 9) }, false, "key_000000000009"},
		"guessed": {func(w *gatetest.World) string {
			return access.WriteKey(access.Secret, access.Live, w.Key(access.Secret)[8:20], strings.Repeat("x", access.SecretLength))
		}, false, "key_000000000001"},
		"mistyped":   {func(w *gatetest.World) string { s := w.Key(access.Secret); return s[:30] + "x" + s[31:] }, false, ""},
		"no key":     {func(*gatetest.World) string { return "hunter2" }, false, ""},
		"a megabyte": {func(*gatetest.World) string { return strings.Repeat("x", 1<<20) }, false, ""},
	} {
		w := gatetest.New(t)
		w.Limits.Wait = time.Minute
		credential := w.Credential(c.text(w))
		credential.Cleartext = true
		caller, err := w.Gate.Identify(t.Context(), credential, access.WriteEvents)
		p := *problem.From(err)
		denials, uses := w.Ledger.Take()
		if len(denials) != 1 || len(uses) != 0 || denials[0].ID != p.DecisionID || p.DecisionID == "" || denials[0].Reason != "sent_in_cleartext" ||
			denials[0].KeyID != c.keyID || (denials[0].Project != "") != c.known {
			t.Errorf("%s: recorded %+v, the answer names %q", name, denials, p.DecisionID)
		}
		p.DecisionID = ""
		if like == nil {
			like = &p
		}
		if p.Code != problem.CleartextCredential || p.Status() != 403 || !reflect.DeepEqual(p, *like) || !reflect.DeepEqual(caller, gate.Caller{}) {
			t.Errorf("%s: %+v, others %+v", name, p, *like)
		}
		if w.Limits.Failed != nil || w.Limits.Charges != nil {
			t.Errorf("%s: counted as failed %v, charged %v", name, w.Limits.Failed, w.Limits.Charges)
		}
	}
}

// Promise: failed authentications are counted by the sender's address, and when there are too many the answer is to wait:
// the same for a key that is missing, malformed, unknown, revoked, expired or replaced. Whoever shows a good key is never
// told to wait, nor counted, also when it is refused for another reason.
func TestTooManyFailures(t *testing.T) {
	t.Parallel()
	var like *problem.Error
	met := map[problem.Code]int{}
	for _, o := range outcomes() {
		for _, wait := range []time.Duration{0, 90 * time.Second} {
			w := gatetest.New(t)
			w.Limits.Wait = wait
			c := o.credential(w, o.text(w))
			_, err := w.Gate.Identify(t.Context(), c, o.actionOf())
			failed := o.code == problem.MissingCredential || o.code == problem.MalformedKey || o.code == problem.KeyNotAccepted && o.reason != "action_undeclared"
			if got := len(w.Limits.Failed); (got == 1) != failed || got > 1 || failed && w.Limits.Failed[0] != c.Address {
				t.Errorf("%s: counted as failed %v", o.name, w.Limits.Failed)
			}
			if wait == 0 || !failed {
				if problem.Of(err) != o.code {
					t.Errorf("%s: %v, want %s", o.name, err, o.code)
				}
				continue
			}
			p := *problem.From(err)
			denials, _ := w.Ledger.Take()
			if len(denials) != 1 || denials[0].ID != p.DecisionID || denials[0].Reason != o.reason {
				t.Errorf("%s: recorded %+v, the answer names %q", o.name, denials, p.DecisionID)
			}
			p.DecisionID = ""
			if like == nil {
				like = &p
			}
			if p.Code != problem.TooManyFailures || p.Status() != 429 || p.RetryAfter != wait || !reflect.DeepEqual(p, *like) {
				t.Errorf("%s: %+v, others %+v", o.name, p, *like)
			}
			met[o.code]++
		}
	}
	for _, code := range []problem.Code{problem.MissingCredential, problem.MalformedKey, problem.KeyNotAccepted} {
		if met[code] == 0 {
			t.Errorf("no %s was met", code)
		}
	}
}

// Promise: before the body is read nobody can have checked a signature, and nobody but the keys says when a secret ends.
func TestIdentifyTakesNobodysWord(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	text := w.Mint(access.Key{Scopes: access.EventsWrite, Bounds: access.Bounds{Signature: true}})
	c := w.Credential(text)
	c.Signed, c.SecretUntil = access.SignatureRight, time.Unix(0, 0)
	caller, err := w.Gate.Identify(t.Context(), c, access.WriteEvents)
	if err != nil || !caller.SecretUntil().IsZero() {
		t.Fatalf("until %s, %v", caller.SecretUntil(), err)
	}
	if _, err := w.Gate.Admit(t.Context(), caller, access.Attempt{}, gate.Cost{}); problem.Of(err) != problem.SignatureInvalid {
		t.Errorf("admitted on its own word: %v", err)
	}
}

// Promise: a signature that is right lets in, one that is wrong does not, and what was wrong with it is for the ledger: it
// never is in the answer.
func TestSignedCallers(t *testing.T) {
	t.Parallel()
	const diagnosis = "line 3 of the base: the diagnosis"
	for name, c := range map[string]struct {
		demanded, claimed bool
		signed            func(gate.Caller) gate.Caller
		code              problem.Code
		reason            string
	}{
		"right":               {true, true, func(c gate.Caller) gate.Caller { return c.Signed(true, "") }, "", ""},
		"wrong":               {true, true, func(c gate.Caller) gate.Caller { return c.Signed(false, diagnosis) }, problem.SignatureInvalid, "signature_invalid"},
		"not checked":         {true, true, func(c gate.Caller) gate.Caller { return c }, problem.SignatureInvalid, "signature_invalid"},
		"right, not asked":    {false, true, func(c gate.Caller) gate.Caller { return c.Signed(true, "") }, "", ""},
		"wrong, not asked":    {false, true, func(c gate.Caller) gate.Caller { return c.Signed(false, diagnosis) }, problem.SignatureInvalid, "signature_invalid"},
		"none, and not asked": {false, false, func(c gate.Caller) gate.Caller { return c }, "", ""},
		"wrong, then right":   {true, true, func(c gate.Caller) gate.Caller { return c.Signed(false, diagnosis).Signed(true, "") }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := gatetest.New(t)
			credential := w.Credential(w.Mint(access.Key{Scopes: access.EventsWrite, Bounds: access.Bounds{Signature: c.demanded}}))
			if c.claimed {
				credential.Signed = access.SignatureClaimed
			}
			caller, err := w.Gate.Identify(t.Context(), credential, access.WriteEvents)
			if err != nil {
				t.Fatal(err)
			}
			signed := c.signed(caller)
			_, err = w.Gate.Admit(t.Context(), signed, access.Attempt{}, gate.Cost{Requests: 1})
			denials, uses := w.Ledger.Take()
			if problem.Of(err) != c.code {
				t.Fatalf("%v, want %s", err, c.code)
			}
			if c.code == "" {
				if len(denials) != 0 || len(uses) != 1 || (uses[0].Signed == access.SignatureRight) != c.claimed {
					t.Errorf("recorded %+v and %+v", denials, uses)
				}
				return
			}
			p := problem.From(err)
			if strings.Contains(fmt.Sprintf("%+v %s", *p, err), "diagnosis") {
				t.Errorf("the answer says what only admins may know: %+v", *p)
			}
			wrong := name != "not checked"
			if len(denials) != 1 || denials[0].Reason != c.reason || (denials[0].Detail == diagnosis) != wrong || w.Limits.Charges != nil {
				t.Errorf("recorded %+v, charged %v", denials, w.Limits.Charges)
			}
		})
	}
}
