package gate_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// outcome is one credential and what becomes of it.
type outcome struct {
	name   string
	text   func(*gatetest.World) string
	came   func(*access.Circumstances) // how it came, if not plainly in a header
	action access.Action               // write_events, if not said
	code   problem.Code                // empty: identified
	status int
	reason string // in the ledger
	known  bool   // the ledger knows whose key it is
	keyID  string // in the ledger; of a key that is not known, the name it claims
}

func outcomes() []outcome {
	key := func(k access.Key) func(*gatetest.World) string {
		k.Scopes |= access.EventsWrite
		return func(w *gatetest.World) string { return w.Mint(k) }
	}
	policy := func(k access.Key, p access.Policy) func(*gatetest.World) string {
		return func(w *gatetest.World) string {
			w.Project.Policy = p
			return key(k)(w)
		}
	}
	inQuery := func(c *access.Circumstances) { c.Via = access.InQuery }
	inBrowser := func(c *access.Circumstances) { c.Browser = true }
	inCleartext := func(c *access.Circumstances) { c.Cleartext = true }
	altered := func(alter func(string) string) func(*gatetest.World) string {
		return func(w *gatetest.World) string { return alter(w.Key(access.Secret, access.EventsWrite)) }
	}
	past := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	first := "key_000000000001"
	return []outcome{
		{name: "secret key", text: key(access.Key{})},
		{name: "test key", text: key(access.Key{Mode: access.Test})},
		{name: "public key", text: key(access.Key{Kind: access.Public})},
		{name: "public key in the URL", text: key(access.Key{Kind: access.Public}), came: inQuery},
		{name: "public key in a browser", text: key(access.Key{Kind: access.Public}), came: inBrowser},
		{name: "not yet expired", text: key(access.Key{Bounds: access.Bounds{ExpiresAt: noon.Add(time.Nanosecond)}})},
		{name: "just begun", text: key(access.Key{Bounds: access.Bounds{NotBefore: noon}})},
		{name: "from its network", text: key(access.Key{Bounds: access.Bounds{Networks: networks("192.0.2.0/24")}})},
		{name: "with a signature to check", text: key(access.Key{Bounds: access.Bounds{Signature: true}}),
			came: func(c *access.Circumstances) { c.Signed = access.SignatureClaimed }},
		{name: "secret key in the URL, where that is allowed", text: policy(access.Key{}, access.Policy{SecretInURL: true}), came: inQuery},
		{name: "secret key in a browser, where that is allowed", text: policy(access.Key{}, access.Policy{SecretInBrowser: true}), came: inBrowser},

		{name: "nothing", text: altered(func(string) string { return "" }),
			code: problem.MissingCredential, status: 401, reason: "no_credential"},
		{name: "a password", text: altered(func(string) string { return "hunter2" }),
			code: problem.MalformedKey, status: 401, reason: "malformed"},
		{name: "cut short", text: altered(func(s string) string { return s[:len(s)-1] }),
			code: problem.MalformedKey, status: 401, reason: "malformed"},
		{name: "padded", text: altered(func(s string) string { return s + " " }),
			code: problem.MalformedKey, status: 401, reason: "malformed"},
		{name: "a megabyte", text: altered(func(s string) string { return strings.Repeat(s, 1<<20/len(s)) }),
			code: problem.MalformedKey, status: 401, reason: "malformed"},
		{name: "mistyped", text: altered(func(s string) string { return s[:30] + "x" + s[31:] }),
			code: problem.MalformedKey, status: 401, reason: "mistyped"},

		{name: "unknown", text: altered(func(string) string { return gatetest.Text(access.Secret, access.Live, 99) }),
			code: problem.KeyNotAccepted, status: 401, reason: "unknown_key", keyID: "key_000000000099"},
		{name: "another secret", text: altered(func(s string) string {
			return access.WriteKey(access.Secret, access.Live, s[8:20], strings.Repeat("x", access.SecretLength))
		}), code: problem.KeyNotAccepted, status: 401, reason: "unknown_key", keyID: first},
		{name: "another kind", text: altered(func(s string) string { return access.WriteKey(access.Public, access.Live, s[8:20], s[20:47]) }),
			code: problem.KeyNotAccepted, status: 401, reason: "unknown_key", keyID: first},
		{name: "another mode", text: altered(func(s string) string { return access.WriteKey(access.Secret, access.Test, s[8:20], s[20:47]) }),
			code: problem.KeyNotAccepted, status: 401, reason: "unknown_key", keyID: first},
		{name: "revoked", text: key(access.Key{RevokedAt: past}),
			code: problem.KeyNotAccepted, status: 401, reason: "key_revoked", known: true, keyID: first},
		{name: "revoked, in the URL", text: key(access.Key{RevokedAt: past}), came: inQuery,
			code: problem.KeyNotAccepted, status: 401, reason: "key_revoked", known: true, keyID: first},
		{name: "expired", text: key(access.Key{Bounds: access.Bounds{ExpiresAt: past}}),
			code: problem.KeyNotAccepted, status: 401, reason: "key_expired", known: true, keyID: first},
		{name: "expiring now", text: key(access.Key{Bounds: access.Bounds{ExpiresAt: noon}}),
			code: problem.KeyNotAccepted, status: 401, reason: "key_expired", known: true, keyID: first},
		{name: "not yet valid", text: key(access.Key{Bounds: access.Bounds{NotBefore: noon.Add(time.Nanosecond)}}),
			code: problem.KeyNotAccepted, status: 401, reason: "key_not_yet_valid", known: true, keyID: first},
		{name: "disabled", text: key(access.Key{State: access.Disabled}),
			code: problem.KeyNotAccepted, status: 401, reason: "key_disabled", known: true, keyID: first},
		{name: "replaced", text: func(w *gatetest.World) string {
			text := w.Key(access.Secret, access.EventsWrite)
			rotate(w, text, 2, w.Clock.Now())
			return text
		}, code: problem.KeyNotAccepted, status: 401, reason: "secret_replaced", known: true, keyID: first},
		{name: "older than the project allows", text: policy(access.Key{MintedAt: past}, access.Policy{Secret: access.Ceiling{MaxLifetime: time.Hour}}),
			code: problem.KeyNotAccepted, status: 401, reason: "secret_too_old", known: true, keyID: first},
		{name: "of no kind", text: key(access.Key{Kind: 9}),
			code: problem.KeyNotAccepted, status: 401, reason: "key_kind_unknown", known: true, keyID: first},
		{name: "for no action", text: key(access.Key{}), action: 200,
			code: problem.KeyNotAccepted, status: 401, reason: "action_undeclared", known: true, keyID: first},

		{name: "secret key in the URL", text: key(access.Key{}), came: inQuery,
			code: problem.SecretKeyInURL, status: 401, reason: "secret_in_url", known: true, keyID: first},
		{name: "secret key in a browser", text: key(access.Key{}), came: inBrowser,
			code: problem.SecretKeyInBrowser, status: 403, reason: "secret_in_browser", known: true, keyID: first},
		{name: "in quarantine", text: key(access.Key{State: access.Quarantined}),
			code: problem.KeyQuarantined, status: 403, reason: "key_quarantined", known: true, keyID: first},
		{name: "from another network", text: key(access.Key{Bounds: access.Bounds{Networks: networks("203.0.113.0/24")}}),
			code: problem.NetworkNotAllowed, status: 403, reason: "network_not_allowed", known: true, keyID: first},
		{name: "without the networks the project requires", text: policy(access.Key{}, access.Policy{Secret: access.Ceiling{RequireNetworks: true}}),
			code: problem.ProjectCeiling, status: 403, reason: "networks_required", known: true, keyID: first},
		{name: "from another page", text: key(access.Key{Kind: access.Public, Bounds: access.Bounds{Domains: []access.Domain{{Host: "www.example.com"}}}}),
			came: func(c *access.Circumstances) { c.Origin = access.ParseOrigin("https://evil.org", "") },
			code: problem.DomainNotAllowed, status: 403, reason: "domain_not_allowed", known: true, keyID: first},
		{name: "over the project's scopes", text: policy(access.Key{}, access.Policy{Secret: access.Ceiling{Scopes: access.EventsRead}}),
			code: problem.ProjectCeiling, status: 403, reason: "scope_over_ceiling", known: true, keyID: first},
		{name: "public key where it is not enough", text: key(access.Key{Kind: access.Public}), action: access.RevokeSelf,
			code: problem.PublicKeyNotEnough, status: 403, reason: "public_key_used", known: true, keyID: first},
		{name: "unsigned", text: key(access.Key{Bounds: access.Bounds{Signature: true}}),
			code: problem.SignatureRequired, status: 401, reason: "signature_missing", known: true, keyID: first},
		{name: "unsigned, by the project", text: policy(access.Key{}, access.Policy{Secret: access.Ceiling{RequireSignature: true}}),
			code: problem.SignatureRequired, status: 401, reason: "signature_required", known: true, keyID: first},
		{name: "in cleartext", text: key(access.Key{}), came: inCleartext,
			code: problem.CleartextCredential, status: 403, reason: "sent_in_cleartext", known: true, keyID: first},
		{name: "without the scope", text: key(access.Key{}), action: access.ReadEvents,
			code: problem.MissingScope, status: 403, reason: "scope_missing", known: true, keyID: first},
	}
}

// identify does what the outcome says in a world of its own.
func (o outcome) identify(t *testing.T) (w *gatetest.World, text string, caller gate.Caller, err error) {
	t.Helper()
	w = gatetest.New(t)
	text = o.text(w)
	caller, err = w.Gate.Identify(t.Context(), o.credential(w, text), o.actionOf())
	return w, text, caller, err
}

func (o outcome) credential(w *gatetest.World, text string) gate.Credential {
	c := w.Credential(text)
	c.Client = gate.Client{Agent: "curl/8", SDK: "weir-go/1"}
	if o.came != nil {
		o.came(&c.Circumstances)
	}
	return c
}

func (o outcome) actionOf() access.Action {
	if o.action != 0 {
		return o.action
	}
	return access.WriteEvents
}

// Promise: every credential gets the answer it should, the ledger has one entry that says why, and the answer names that
// entry. A credential that is taken writes nothing yet.
func TestIdentify(t *testing.T) {
	t.Parallel()
	for _, o := range outcomes() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			w, text, caller, err := o.identify(t)
			denials, uses := w.Ledger.Take()
			if len(uses) != 0 {
				t.Errorf("recorded as used: %+v", uses)
			}
			if o.code == "" {
				if err != nil || len(denials) != 0 || caller.KeyID() != "key_000000000001" || caller.Project() != "prj_1" {
					t.Fatalf("%v, %+v, %+v", err, caller, denials)
				}
				return
			}
			p := problem.From(err)
			if p.Code != o.code || p.Status() != o.status || !reflect.DeepEqual(caller, gate.Caller{}) {
				t.Errorf("%v with status %d, want %s with %d", p, p.Status(), o.code, o.status)
			}
			want := gate.Denial{
				ID: "dec_1", At: w.Clock.Now(), KeyID: o.keyID, Action: o.actionOf(), Reason: o.reason, Count: 1,
				Sender: sender(o.credential(w, text)),
			}
			if o.known {
				want.Organization, want.Project, want.Generation = "org_1", "prj_1", 1
			}
			if len(denials) != 1 {
				t.Fatalf("recorded %d times", len(denials))
			}
			got := denials[0]
			if known := got.Rule != ""; known != o.known {
				t.Errorf("the rule is %q", got.Rule)
			}
			if o.known && (len(got.Failed) == 0 || got.Failed[0].Rule != got.Rule || got.Failed[0].Reason.String() != o.reason) {
				t.Errorf("failed %+v", got.Failed)
			}
			want.Rule, want.Failed, want.Remedies = got.Rule, got.Failed, got.Remedies
			if !reflect.DeepEqual(got, want) {
				t.Errorf("recorded %+v\nwant     %+v", got, want)
			}
			if charges := w.Limits.Charges; charges != nil {
				t.Errorf("charged %+v", charges)
			}
			if p.DecisionID != denials[0].ID {
				t.Errorf("the answer names %q", p.DecisionID)
			}
			if secret := text[min(20, len(text)):]; secret != "" && strings.Contains(fmt.Sprintf("%+v %+v", *p, denials), secret) {
				t.Error("the secret is in the answer or in the ledger")
			}
		})
	}
}

// Promise: a stranger cannot tell an unknown key from a revoked or an expired one. The answers are the same in every
// field but the name of the ledger's entry, and the ledger tells them apart.
func TestRefusedKeysLookAlike(t *testing.T) {
	t.Parallel()
	var like *problem.Error
	reasons := map[string]int{}
	for _, o := range outcomes() {
		if o.code != problem.KeyNotAccepted {
			continue
		}
		w, _, _, err := o.identify(t)
		p := *problem.From(err)
		p.DecisionID = ""
		if like == nil {
			like = &p
		}
		if !reflect.DeepEqual(p, *like) || err.Error() != like.Error() {
			t.Errorf("%s: %+v\nothers: %+v", o.name, p, *like)
		}
		denials, _ := w.Ledger.Take()
		reasons[denials[0].Reason]++
	}
	for _, reason := range []string{
		"unknown_key", "key_revoked", "key_expired", "key_not_yet_valid", "key_disabled", "secret_replaced", "secret_too_old", "key_kind_unknown",
	} {
		if reasons[reason] == 0 {
			t.Errorf("no entry of the ledger says %s: %v", reason, reasons)
		}
	}
}

// Promise: a credential that cannot be told from its request is refused with what is wrong with the request, and recorded.
// One that is none counts as a failed authentication; two of them are a mistake of whoever has both.
func TestCredentialsThatCannotBeTold(t *testing.T) {
	t.Parallel()
	for code, c := range map[problem.Code]struct {
		reason string
		counts bool
	}{problem.MalformedKey: {"malformed", true}, problem.TwoCredentials: {"two_credentials", false}} {
		for _, wait := range []time.Duration{0, time.Minute} {
			w := gatetest.New(t)
			w.Limits.Wait = wait
			credential := w.Credential("")
			err := w.Gate.Refuse(credential, access.WriteEvents, problem.New(code, "what is wrong"))
			p := problem.From(err)
			if c.counts && wait > 0 {
				if p.Code != problem.TooManyFailures || p.RetryAfter != wait {
					t.Errorf("%s: %+v", code, p)
				}
			} else if p.Code != code || p.Detail != "what is wrong" {
				t.Errorf("%s: %+v", code, p)
			}
			want := gate.Denial{
				ID: p.DecisionID, At: w.Clock.Now(), Action: access.WriteEvents, Reason: c.reason, Count: 1, Sender: sender(credential),
			}
			if denials, uses := w.Ledger.Take(); len(uses) != 0 || len(denials) != 1 || !reflect.DeepEqual(denials[0], want) {
				t.Errorf("%s: recorded %+v and %+v", code, denials, uses)
			}
			if (len(w.Limits.Failed) == 1) != c.counts {
				t.Errorf("%s: counted as failed %v", code, w.Limits.Failed)
			}
		}
	}
}

// Promise: a key of another tenant is that tenant's, whoever shares the gate with it.
func TestTenantsShareAGate(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	mine := w.Key(access.Secret, access.ReadEvents.Scope())
	theirs := w.Mint(access.Key{Project: gatetest.NewProject("org_2", "prj_2"), Scopes: access.EventsRead})
	for text, want := range map[string][2]string{mine: {"org_1", "prj_1"}, theirs: {"org_2", "prj_2"}} {
		permit, err := w.Ask(text, access.Attempt{Action: access.ReadEvents})
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{permit.Organization(), permit.Project()}; got != want {
			t.Errorf("the permit is for %v, want %v", got, want)
		}
		if _, uses := w.Ledger.Take(); len(uses) != 1 || uses[0].Project != want[1] {
			t.Errorf("recorded %+v", uses)
		}
	}
}

// unsure finds no key, and says the digest of the one that was asked for.
type unsure struct{ *gatetest.Keys }

func (u unsure) Lookup(l access.Lookup) (gate.Entry, bool) {
	entry, _ := u.Keys.Lookup(l)
	return entry, false
}

// Promise: what was not found is not let in, whatever else the keys say of it.
func TestNotFoundIsNotFound(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	text := w.Key(access.Secret, access.EventsWrite)
	door := gate.New(unsure{w.Keys}, nil, w.Limits, w.Ledger, w.Clock.Now, func() string { return "id" })
	for _, c := range []gate.Credential{w.Credential(text), inURL(w.Credential(text))} {
		if _, err := door.Identify(t.Context(), c, access.WriteEvents); problem.Of(err) != problem.KeyNotAccepted {
			t.Errorf("%v", err)
		}
	}
	if w.Keys.Exposed != nil {
		t.Errorf("exposed %v", w.Keys.Exposed)
	}
}
