package gate_test

import (
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a member who has proved to be one is let in to sign in and to nothing else; a token that is made then acts as the
// member does, and dies with the member and with another role.
func TestMembersActThroughTokens(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	text := w.Mint(access.Key{Kind: access.Member, Role: access.Analyst, Scopes: access.Analyst.Scopes()})
	member := gatetest.Parse(text).Lookup
	asserted := w.Credential("")
	asserted.Key, asserted.Asserted, asserted.Via = access.SecretText(""), member, access.InBody
	enter := func(c gate.Credential, action access.Action) (gate.Permit, error) {
		caller, err := w.Gate.Identify(t.Context(), c, action)
		if err != nil {
			return gate.Permit{}, err
		}
		return w.Gate.Admit(t.Context(), caller, access.Attempt{}, gate.Cost{Requests: 1})
	}
	permit, err := enter(asserted, access.SignIn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enter(asserted, access.RunSQL); problem.From(err).Code != problem.WrongCredential {
		t.Errorf("the member runs SQL without a token: %v", err)
	}
	made := permit.Token()
	if made.Client != member || made.Scopes != access.Analyst.Scopes() || made.KeyEpoch != 0 {
		t.Errorf("the token is %+v", made)
	}
	token := w.Token(text, gate.Token{})
	if _, err := enter(w.Credential(token), access.RunSQL); err != nil {
		t.Error(err)
	}
	if _, err := enter(w.Credential(token), access.WriteKeys); problem.From(err).Code != problem.MissingScope {
		t.Errorf("an analyst makes keys: %v", err)
	}
	w.Keys.Change(text, func(k *access.Key) { k.Role, k.Epoch = access.Viewer, k.Epoch+1 })
	if _, err := enter(w.Credential(token), access.RunSQL); problem.From(err).Code != problem.TokenNotAccepted {
		t.Errorf("a token from before the role was changed: %v", err)
	}
}

// Promise: a wrong password is recorded as a denial of its own kind, and counts as a failed authentication.
func TestWrongPasswordsAreCounted(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	w.Ledger.Take()
	c := w.Credential("")
	err := w.Gate.Refuse(c, access.SignIn, problem.New(problem.SignInRefused, "The email or the password is not accepted."))
	if p := problem.From(err); p.Code != problem.SignInRefused || p.DecisionID == "" {
		t.Errorf("%v", err)
	}
	denials, _ := w.Ledger.Take()
	if len(denials) != 1 || denials[0].Reason != "bad_sign_in" || denials[0].Action != access.SignIn {
		t.Errorf("%+v", denials)
	}
}
