// Package gate is the one door: every request that needs a key passes Identify before its body is read and Admit after.
//
//	credential --Identify--> Caller --Admit(attempt)--> Permit
//
// Identify finds out who asks and screens what can be refused without the body. Admit asks access.Decide, writes the
// ledger, and only then gives a Permit: proof that the answer was yes and has been recorded. The operations of the
// domain take a Permit instead of a tenant's id, so data of another tenant is a value they do not have.
//
// The package owns the Permit and the order of the steps. It does not own the policy (access), where keys are kept
// (keyring implements Keys), what becomes of the records (ledger implements Ledger) or the words of an answer beyond
// the problem's code (problem).
//
// Problems: missing_credential, malformed_key, key_not_accepted, secret_key_in_url, missing_scope,
// not_found, environment_not_found, environment_not_allowed, grant_too_wide, invalid_field.
package gate

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Keys finds a key by the public part of the credential. The answer is one consistent snapshot; looking up costs the
// same whatever the number of keys. digest is meaningless when found is false.
type Keys interface {
	Lookup(access.Lookup) (key *access.Key, digest access.Digest, found bool)
}

// Ledger takes the record of decisions. Both calls return at once and never fail; what cannot be kept one by one is
// counted.
type Ledger interface {
	Deny(Denial)
	Allow(Use)
}

// Credential is what the sender showed, and the facts of the request that the ledger keeps beside it.
type Credential struct {
	Key       access.Text
	Via       access.Via
	Address   netip.Addr // who sent it, as far as the server can tell
	RequestID string
}

// Denial is one no.
type Denial struct {
	ID           string
	At           time.Time
	Organization string // empty when the key is not known
	Project      string
	KeyID        string // the key's public name; of an unknown key, the name it claims
	Action       access.Action
	Reason       string // an access.Reason, or why no key was found
	Rule         string
	Environment  string
	Event        string
	Count        int // how many items of one request it stands for
	Address      netip.Addr
	RequestID    string
}

// Use is one yes.
type Use struct {
	At          time.Time
	Project     string
	KeyID       string
	Action      access.Action
	Environment string
	Items       int
}

// Gate is the door. Make one with New.
type Gate struct {
	keys   Keys
	ledger Ledger
	now    func() time.Time
	newID  func() string
}

// New makes the gate. now is the clock; newID names the entries of the ledger.
func New(keys Keys, ledger Ledger, now func() time.Time, newID func() string) *Gate {
	return &Gate{keys: keys, ledger: ledger, now: now, newID: newID}
}

// Caller is a credential that has been identified and screened. The zero Caller is nobody.
type Caller struct {
	key        *access.Key
	lookup     access.Lookup
	credential Credential
	action     access.Action
}

// KeyID is the public name of the caller's key.
func (c Caller) KeyID() string { return c.key.ID }

// Project is the id of the caller's project. It is for looking up what an attempt is about; what may be touched is the
// Permit's to say.
func (c Caller) Project() string { return c.key.Project.ID }

// Reasons of a denial for which there is no key to ask the policy about.
const (
	noCredential = "no_credential"
	badForm      = "malformed"
	badChecksum  = "mistyped"
	unknownKey   = "unknown_key"
)

// Identify finds who holds the credential and refuses what can be refused before the body is read. An unknown key
// costs the same as a known one, and the answer to it is the same as to a revoked or expired one.
func (g *Gate) Identify(_ context.Context, c Credential, action access.Action) (Caller, error) {
	if c.Key.Empty() {
		return Caller{}, g.refuse(c, action, "", noCredential, problem.New(problem.MissingCredential,
			"This address needs an API key: send it as 'X-API-Key: KEY' or 'Authorization: Bearer KEY'."))
	}
	parsed, err := access.ParseKey(c.Key.Reveal())
	if err != nil {
		reason := badForm
		if errors.Is(err, access.ErrKeyChecksum) {
			reason = badChecksum
		}
		return Caller{}, g.refuse(c, action, "", reason,
			problem.New(problem.MalformedKey, "What was sent as an API key is not one: %s.", err))
	}
	key, digest, found := g.keys.Lookup(parsed.Lookup)
	same := digest.Equal(parsed.Digest) // also for an unknown key, so that both take the same time
	if !found || !same {
		return Caller{}, g.refuse(c, action, parsed.Lookup.ID(), unknownKey, notAccepted())
	}
	caller := Caller{key: key, lookup: parsed.Lookup, credential: c, action: action}
	attempt := access.Attempt{Action: action, At: g.now(), Via: c.Via}
	if d := access.Screen(key, &attempt); !d.Allowed() {
		return Caller{}, g.deny(caller, &attempt, d)
	}
	return caller, nil
}

// Admit decides the attempt, records the decision and gives the Permit. The attempt's action, time and the place of
// its credential are the caller's, whatever the attempt says. The key is looked up again: while a body came in slowly, it
// may have been revoked.
func (g *Gate) Admit(_ context.Context, caller Caller, attempt access.Attempt) (Permit, error) {
	if caller.key == nil {
		panic("gate: Admit without a caller from Identify")
	}
	key, _, found := g.keys.Lookup(caller.lookup)
	if !found {
		return Permit{}, g.refuse(caller.credential, caller.action, caller.lookup.ID(), unknownKey, notAccepted())
	}
	caller.key = key
	attempt.Action, attempt.Via, attempt.At = caller.action, caller.credential.Via, g.now()
	d := access.Decide(caller.key, &attempt)
	if !d.Allowed() {
		return Permit{}, g.deny(caller, &attempt, d)
	}
	g.recordRefusals(caller, &attempt, d.Refused)
	g.ledger.Allow(Use{
		At: attempt.At, Project: d.Data.Project, KeyID: caller.key.ID, Action: attempt.Action,
		Environment: d.Data.Environment, Items: max(1, len(attempt.Targets)-len(d.Refused)),
	})
	return Permit{key: caller.key, data: d.Data, refused: d.Refused, at: attempt.At}, nil
}

// refuse records a denial for which the policy was not asked, because there is no key.
func (g *Gate) refuse(c Credential, action access.Action, keyID, reason string, p *problem.Error) error {
	p.DecisionID = g.newID()
	g.ledger.Deny(Denial{
		ID: p.DecisionID, At: g.now(), KeyID: keyID, Action: action, Reason: reason, Count: 1,
		Address: c.Address, RequestID: c.RequestID,
	})
	return p
}

func (g *Gate) deny(caller Caller, attempt *access.Attempt, d access.Decision) error {
	p := Problem(d.Reason, caller.key, attempt, firstRefused(attempt, d))
	entry := g.denial(caller, attempt, d.Reason, d.Rule)
	if t := firstRefused(attempt, d); t != nil {
		entry.Environment, entry.Event = t.Environment, t.Event
	}
	entry.Count = max(1, len(d.Refused))
	p.DecisionID = entry.ID
	g.ledger.Deny(entry)
	return p
}

// recordRefusals writes the items that were refused while others were allowed: one entry for each distinct reason,
// environment and event name.
func (g *Gate) recordRefusals(caller Caller, attempt *access.Attempt, refused []access.Refusal) {
	if len(refused) == 0 {
		return
	}
	type shape struct {
		target access.Target
		reason access.Reason
	}
	entries := map[shape]*Denial{}
	var order []*Denial
	for _, r := range refused {
		s := shape{attempt.Targets[r.Index], r.Reason}
		if entries[s] == nil {
			d := g.denial(caller, attempt, r.Reason, r.Rule)
			d.Environment, d.Event, d.Count = s.target.Environment, s.target.Event, 0
			entries[s] = &d
			order = append(order, &d)
		}
		entries[s].Count++
	}
	for _, d := range order {
		g.ledger.Deny(*d)
	}
}

func (g *Gate) denial(caller Caller, attempt *access.Attempt, reason access.Reason, rule string) Denial {
	return Denial{
		ID: g.newID(), At: attempt.At, Organization: caller.key.Project.Organization, Project: caller.key.Project.ID,
		KeyID: caller.key.ID, Action: attempt.Action, Reason: reason.String(), Rule: rule, Count: 1,
		Address: caller.credential.Address, RequestID: caller.credential.RequestID,
	}
}

func firstRefused(attempt *access.Attempt, d access.Decision) *access.Target {
	switch {
	case len(d.Refused) > 0:
		return &attempt.Targets[d.Refused[0].Index]
	case len(attempt.Targets) > 0:
		return &attempt.Targets[0]
	}
	return nil
}
