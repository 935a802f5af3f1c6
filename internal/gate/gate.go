// Package gate is the one door: every request that needs a key passes Identify before its body is read and Admit after.
//
//	credential --Identify--> Caller --Admit(attempt)--> Permit
//
// Identify finds out who asks and screens what can be refused without the body. Admit asks access.Decide, charges the
// limits, writes the ledger, and only then gives a Permit: proof that the answer was yes and has been charged and
// recorded. The operations of the domain take a Permit instead of a tenant's id, so data of another tenant is a value
// they do not have. Watch asks again while a long answer is under way.
//
// The package owns the Permit and the order of the steps. It does not own the policy (access), where keys are kept
// (keyring implements Keys), how is counted (limit implements Limits), what becomes of the records (ledger implements
// Ledger) or the words of an answer beyond the problem's code (problem).
//
// Problems: every one of the statuses 401, 402, 403 and 429 of the catalogue, not_found, environment_not_found,
// over_ceiling, invalid_field, limits_unavailable.
//
// An access token is a credential too: Tokens reads it, and what it may do is what it, its client and their key all may.
package gate

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Keys finds a key by the public part of the credential. The answer is one consistent snapshot; looking up costs the
// same whatever the number of keys. The entry is meaningless when found is false.
type Keys interface {
	Lookup(access.Lookup) (entry Entry, found bool)
	// Expose notes that a secret of a key was seen where others may have seen it too; generation says which secret. It never
	// fails, and waits a second at the most; what could not be noted is noted the next time.
	Expose(ctx context.Context, id string, generation int, how Exposure, at time.Time)
}

// Entry is a key with what is needed to know it again. It is shared and must not be changed.
type Entry struct {
	Key        *access.Key
	Digest     access.Digest // of the present secret
	Generation int           // counts the key's secrets from 1
	Former     []Former      // secrets that were replaced and may still be shown
}

// Former is a secret that was replaced.
type Former struct {
	Digest     access.Digest
	Generation int
	Until      time.Time // it is good until then
	MintedAt   time.Time // zero: when the present one was
}

// Exposure is where a secret was seen.
type Exposure string

// The exposures.
const (
	ExposedInURL       Exposure = "url"
	ExposedInCleartext Exposure = "cleartext"
	ExposedInBrowser   Exposure = "browser"
)

// Limits counts requests and credits. A count is never lost: what was let through before a crash is counted after it.
type Limits interface {
	// Take counts a request against its key and its project, or against neither. Equal request ids count once.
	Take(ctx context.Context, c Charge) Charged
	// Settle replaces the credits set aside for a request by those it came to. When there are not so many, it leaves what
	// was set aside as spent and gives the name of the limit.
	// Of a Charge with Held, that is what was held, and by whichever start of the program: it stays held when what it came to
	// cannot be written down, and where nothing is held, nothing is charged.
	Settle(ctx context.Context, c Charge, credits int64) (over string)
	// Hold keeps the credits set aside for a request under a name, until that is settled and however often the program is
	// started anew meanwhile. When that cannot be written down, they are set aside no more, and it gives the name of a limit.
	Hold(ctx context.Context, c Charge, name string) (over string)
	// HoldOnly frees what an earlier start of the program held under names other than these.
	HoldOnly(names []string)
	// Fail counts a failed authentication from an address, and says how long there are too many of them: 0 when there are not.
	Fail(from netip.Addr, at time.Time) (wait time.Duration)
}

// Charge is what a request is to be charged.
type Charge struct {
	RequestID string
	At        time.Time
	Key       Account
	Project   Account
	Requests  int64
	Credits   int64  // to be set aside now; settled afterwards
	Held      string // the name under which that is held, when it is; a request has none
}

// Account is whose limits are counted. Its id never changes, whatever becomes of secrets and labels.
type Account struct {
	ID     string
	Limits access.Limits
}

// Charged is what came of a Charge.
type Charged struct {
	Over string        // the name of the limit that denied, such as key_rate or project_credits; empty: none did
	Wait time.Duration // until the same request would pass, when a limit denied
	Down string        // not empty: the counters could not be reached, and this, an access.OnFailure, was done instead
	Next Counter       // the limit that would deny next, or the one that did; without a name when there is no limit
	All  [6]Counter    // the limits there are, the shortest window first; unused ones have no name
}

// Counter is the state of one limit.
type Counter struct {
	Name   string
	Most   int64
	Left   int64
	Window time.Duration // that Most is good for
	Reset  time.Duration // until Left is Most again, or for a rate until it grows
}

// Ledger takes the record of decisions. The calls return at once and never fail; what cannot be kept one by one is
// counted.
type Ledger interface {
	Deny(Denial)
	Allow(Use)
}

// Gate is the door. Make one with New.
type Gate struct {
	keys   Keys
	tokens Tokens // nil: there are none
	limits Limits
	ledger Ledger
	now    func() time.Time
	newID  func() string
}

// New makes the gate. tokens may be nil: then there are no access tokens. now is the clock; newID names the entries of the
// ledger.
func New(keys Keys, tokens Tokens, limits Limits, ledger Ledger, now func() time.Time, newID func() string) *Gate {
	return &Gate{keys: keys, tokens: tokens, limits: limits, ledger: ledger, now: now, newID: newID}
}

// Caller is a credential that has been identified and screened. The zero Caller is nobody.
type Caller struct {
	entry      Entry
	generation int // of the secret that was shown, or that a token was made with
	lookup     access.Lookup
	token      *Token // nil: it has shown no token
	credential Credential
	action     access.Action
	diagnosis  string
}

// KeyID is the public name of the caller's key; of a token, that of its client.
func (c Caller) KeyID() string { return c.entry.Key.ID }

// Owner is whose things are that the caller makes, as access.Key.Owner has it: of a token that of nobody else.
func (c Caller) Owner() string { return c.entry.Key.Owner() }

// Project is the id of the caller's project. It is for looking up what an attempt is about; what may be touched is the
// Permit's to say.
func (c Caller) Project() string { return c.entry.Key.Project.ID }

// SecretUntil is when the secret that was shown ends, because it was replaced; the zero time for the present one.
func (c Caller) SecretUntil() time.Time { return c.credential.SecretUntil }

// Signed gives a Caller whose signature has been checked: it is right, or wrong in a way that is told to admins only.
func (c Caller) Signed(right bool, diagnosis string) Caller {
	c.credential.Signed, c.diagnosis = access.SignatureWrong, diagnosis
	if right {
		c.credential.Signed = access.SignatureRight
	}
	return c
}

// Unsigned gives a Caller whose signature is none of ours to check.
func (c Caller) Unsigned() Caller {
	c.credential.Signed = access.Unsigned
	return c
}

// Replaced is when the secret that was shown was replaced by the present one.
func (c Caller) Replaced() time.Time { return c.entry.Key.MintedAt }

// By gives a Caller of which it is known what library it uses.
func (c Caller) By(sdk string) Caller {
	c.credential.Client.SDK = sdk
	return c
}

// Reasons of a denial for which there is no key to ask the policy about.
const (
	noCredential = "no_credential"
	twoKeys      = "two_credentials"
	badForm      = "malformed"
	badChecksum  = "mistyped"
	unknownKey   = "unknown_key"
	unknownToken = "unknown_token"
	badAssertion = "bad_assertion"
	badProof     = "bad_proof"
	badGrant     = "bad_grant"
	badSignIn    = "bad_sign_in"
	badLink      = "bad_link"
)

// Identify finds who holds the credential and refuses what can be refused before the body is read. An unknown key
// costs the same as a known one, and the answer to it is the same as to a revoked or expired one.
func (g *Gate) Identify(ctx context.Context, c Credential, action access.Action) (Caller, error) {
	if c.Key.Empty() && !c.asserted() {
		return Caller{}, g.stranger(c, action, "", noCredential, problem.New(problem.MissingCredential,
			"This address needs an API key: send it as 'X-API-Key: KEY' or 'Authorization: Bearer KEY'."))
	}
	c.SecretUntil, c.SecretMinted = time.Time{}, time.Time{}
	if c.Signed != access.Unsigned {
		c.Signed = access.SignatureClaimed // nobody can have checked it without the key
	}
	caller := Caller{credential: c, action: action}
	reason := g.find(&caller)
	caller.credential.User = g.user(&caller.credential, g.now())
	attempt := access.Attempt{Action: action, At: g.now(), Circumstances: caller.credential.Circumstances}
	if reason == "" {
		g.expose(ctx, &caller)
	}
	if d := access.ScreenCarriage(&attempt); !d.Allowed() {
		return Caller{}, g.carriedBadly(&caller, reason, &attempt, d)
	}
	if reason != "" {
		return Caller{}, g.notFound(&caller, reason)
	}
	if d := access.Screen(caller.entry.Key, &attempt); !d.Allowed() {
		return Caller{}, g.tooMany(c, g.deny(&caller, &attempt, d, access.ExplainScreen))
	}
	return caller, nil
}

// Refuse records a credential that cannot be told from the request: it holds two, or something that is none, or what it was
// signed with is wrong, or it is a password that is. What is answered is p, with the name of the decision.
func (g *Gate) Refuse(c Credential, action access.Action, p *problem.Error) error {
	return g.stranger(c, action, "", refusalOf(p.Code), p)
}

// find looks the caller's credential up. The reason is empty when there is such a key, and the caller is whole.
func (g *Gate) find(caller *Caller) (reason string) {
	if caller.credential.asserted() {
		return g.findAsserted(caller)
	}
	parsed, err := access.ParseKey(caller.credential.Key.Reveal())
	switch {
	case errors.Is(err, access.ErrKeyChecksum):
		return badChecksum
	case err != nil && g.tokens != nil && looksLikeToken(caller.credential.Key.Reveal()):
		return g.findToken(caller)
	case err != nil:
		return badForm
	}
	caller.lookup = parsed.Lookup
	entry, found := g.keys.Lookup(parsed.Lookup)
	same := entry.Digest.Equal(parsed.Digest) // also for an unknown key, so that both take the same time
	caller.entry, caller.generation = entry, entry.Generation
	for i := range entry.Former {
		if f := &entry.Former[i]; f.Digest.Equal(parsed.Digest) {
			same = true
			caller.shown(f)
		}
	}
	if !found || !same || !caller.credential.Of.Empty() && !g.comesOf(entry.Key, caller.credential.Of) {
		return unknownKey
	}
	return ""
}

// shown notes which secret was shown.
func (c *Caller) shown(f *Former) {
	c.generation, c.credential.SecretUntil, c.credential.SecretMinted = f.Generation, f.Until, f.MintedAt
}

// notFound is the answer to a credential for which there is no key.
func (g *Gate) notFound(caller *Caller, reason string) error {
	switch reason {
	case badForm:
		return g.stranger(caller.credential, caller.action, "", reason, malformed(access.ErrKeyForm))
	case badChecksum:
		return g.stranger(caller.credential, caller.action, "", reason, malformed(access.ErrKeyChecksum))
	case unknownToken:
		return g.stranger(caller.credential, caller.action, caller.claims(), reason, tokenNotAccepted())
	}
	return g.stranger(caller.credential, caller.action, caller.lookup.ID(), reason, notAccepted())
}

func malformed(err error) *problem.Error {
	return problem.New(problem.MalformedKey, "What was sent as an API key is not one: %s.", err)
}

// carriedBadly answers a credential that was sent in cleartext: the same, be it good or not, and with the same work.
func (g *Gate) carriedBadly(caller *Caller, unknown string, attempt *access.Attempt, d access.Decision) error {
	if unknown == "" {
		return g.deny(caller, attempt, d, access.ExplainScreen)
	}
	access.ExplainScreen(&access.Key{Kind: access.Secret, Project: &access.Project{}}, attempt)
	return g.refuse(caller.credential, caller.action, caller.claims(), d.Reason.String(), Problem(d.Reason, nil, attempt, nil))
}

// claims is the name of the key that the credential says it is; empty when it says nothing that can be read.
func (c *Caller) claims() string {
	if c.lookup == (access.Lookup{}) {
		return ""
	}
	return c.lookup.ID()
}

// expose notes that a secret was seen where it should not be, whatever becomes of the request. What is public cannot be
// exposed, nor what was replaced and has ended. A URL is in logs on its way also where the project takes secrets from one; what a project lets its own pages
// hold is its own affair.
func (g *Gate) expose(ctx context.Context, caller *Caller) {
	key, c, now := caller.entry.Key, &caller.credential, g.now()
	attempt := access.Attempt{Action: caller.action, Circumstances: c.Circumstances}
	if c.asserted() || key.Kind != access.Secret && key.Kind != access.Client || !c.SecretUntil.IsZero() && !now.Before(c.SecretUntil) {
		return
	}
	for _, seen := range [...]struct {
		how Exposure
		so  bool
	}{
		{ExposedInCleartext, c.Cleartext},
		{ExposedInURL, c.Via == access.InQuery},
		{ExposedInBrowser, c.Browser && !key.Project.Policy.SecretInBrowser && !attempt.Entered() && !attempt.Typed()},
	} {
		if seen.so {
			g.keys.Expose(ctx, key.ID, caller.generation, seen.how, now)
		}
	}
}

// accountOf is whose limits a key is charged to: those of the key that it comes of, so that deriving is no way around them.
func accountOf(key *access.Key) Account {
	root := key.Root()
	return Account{root.ID, root.Limits}
}

// gone is the answer to a caller who is no longer there.
func (g *Gate) gone(caller *Caller) error {
	if caller.token != nil {
		return g.refuse(caller.credential, caller.action, caller.lookup.ID(), unknownToken, tokenNotAccepted())
	}
	return g.refuse(caller.credential, caller.action, caller.lookup.ID(), unknownKey, notAccepted())
}

// again looks a caller up once more.
func (g *Gate) again(caller *Caller) bool {
	if caller.token != nil {
		return g.findToken(caller) == ""
	}
	entry, found := g.keys.Lookup(caller.lookup)
	if !found {
		return false
	}
	caller.entry = entry
	secret, known := entry.secret(caller.generation)
	caller.shown(&secret)
	return known
}

// secret is what there is to know of a secret of the key, be it the present one or one that was replaced, and false when it
// is neither.
func (e *Entry) secret(generation int) (Former, bool) {
	for i := range e.Former {
		if e.Former[i].Generation == generation {
			return e.Former[i], true
		}
	}
	return Former{Generation: generation}, generation == e.Generation
}

// Watch reports whether what was permitted would still be: the key may have been revoked, narrowed or have expired since.
// The attempt is the one that was admitted. It is for answers that take long, and records nothing for a yes.
func (g *Gate) Watch(p Permit, attempt access.Attempt) error {
	p.must()
	caller := p.caller
	if !g.again(&caller) {
		return g.gone(&caller)
	}
	attempt.Action, attempt.Circumstances, attempt.At = caller.action, caller.credential.Circumstances, g.now()
	attempt.Targets = p.named(attempt.Targets)
	d := access.Decide(caller.entry.Key, &attempt)
	if d.Allowed() && d.Data.Environment != p.data.Environment { // named by nobody, and the default is another by now
		attempt.Targets = []access.Target{{Environment: p.data.Environment}}
		d = access.Decide(caller.entry.Key, &attempt)
	}
	for _, r := range d.Refused {
		if d.Allowed() && !slices.ContainsFunc(p.refused, func(before access.Refusal) bool { return before.Index == r.Index }) {
			d.Reason, d.Rule, d.Refused = r.Reason, r.Rule, []access.Refusal{r}
		}
	}
	if d.Allowed() && attempt.Action.Reads() && !p.data.View.Within(d.Data.View) {
		d.Reason, d.Rule = access.ViewNotApplied, access.ViewRule
	}
	if !d.Allowed() {
		return g.deny(&caller, &attempt, d, access.Explain)
	}
	return nil
}

// record writes a yes, and what it does not cover.
func (g *Gate) record(caller *Caller, attempt *access.Attempt, d *access.Decision) {
	g.recordItems(caller, attempt, d.Refused, false)
	g.recordItems(caller, attempt, d.Observed, true)
	unnamed, _ := caller.entry.Key.Default()
	g.ledger.Allow(Use{
		At: attempt.At, Project: d.Data.Project, KeyID: caller.entry.Key.ID, Generation: caller.generation, Action: attempt.Action,
		Environment: d.Data.Environment, Default: unnamed.Name, Items: max(1, len(attempt.Targets)-len(d.Refused)),
		Targets: attempt.Targets, Refused: d.Refused, Sender: caller.sender(),
	})
}

// stranger is refuse for a credential for which there is no key.
func (g *Gate) stranger(c Credential, action access.Action, keyID, reason string, p *problem.Error) error {
	return g.tooMany(c, g.refuse(c, action, keyID, reason, p))
}

// tooMany counts a failed authentication, and tells a network that has too many of them to wait. A key that is no longer
// accepted counts like one that never was, since the answers must not tell them apart. Whoever has shown a good key, and
// used it wrongly, is told what is wrong.
func (g *Gate) tooMany(c Credential, err error) error {
	p := problem.From(err)
	switch p.Code {
	case problem.MissingCredential, problem.MalformedKey, problem.KeyNotAccepted, problem.TokenNotAccepted, problem.InvalidClient, problem.SignInRefused, problem.LinkNotAccepted:
	default:
		return err
	}
	wait := g.limits.Fail(c.Address, g.now())
	if wait <= 0 {
		return err
	}
	many := problem.New(problem.TooManyFailures, "Too many requests with missing or wrong keys came from this network.").After(wait)
	many.DecisionID = p.DecisionID
	return many
}

// refuse records a denial for which the policy was not asked, because there is no key.
func (g *Gate) refuse(c Credential, action access.Action, keyID, reason string, p *problem.Error) error {
	p.DecisionID = g.newID()
	g.ledger.Deny(Denial{
		ID: p.DecisionID, At: g.now(), KeyID: keyID, Action: action, Reason: reason, Count: 1, Sender: (&Caller{credential: c}).sender(),
	})
	return p
}

// explainer is Explain, or ExplainScreen where the body has not been read.
type explainer func(*access.Key, *access.Attempt) access.Explanation

func (g *Gate) deny(caller *Caller, attempt *access.Attempt, d access.Decision, explain explainer) error {
	t := firstRefused(attempt, d)
	p := Problem(d.Reason, caller.entry.Key, attempt, t)
	entry := g.entry(caller, attempt, d.Reason.String(), d.Rule)
	entry.explain(caller.entry.Key, attempt, d.Refused, explain)
	if t != nil {
		entry.Environment, entry.Event = t.Environment, t.Event
	}
	entry.Count = max(1, len(d.Refused))
	p.DecisionID = entry.ID
	g.ledger.Deny(entry)
	return p
}

// recordItems writes the items that were refused while others were allowed, or that restrictions which are only
// observed object to: one entry for each distinct reason, environment and event name.
func (g *Gate) recordItems(caller *Caller, attempt *access.Attempt, items []access.Refusal, observed bool) {
	if len(items) == 0 {
		return
	}
	type shape struct {
		target access.Target
		reason access.Reason
	}
	entries := map[shape]*Denial{}
	var order []*Denial
	for _, r := range items {
		s := shape{reason: r.Reason}
		if r.Index >= 0 {
			s.target = attempt.Targets[r.Index]
		}
		if entries[s] == nil {
			d := g.entry(caller, attempt, r.Reason.String(), r.Rule)
			d.explain(caller.entry.Key, attempt, []access.Refusal{r}, access.Explain)
			d.Environment, d.Event, d.Count, d.Observed = s.target.Environment, s.target.Event, 0, observed
			entries[s] = &d
			order = append(order, &d)
		}
		entries[s].Count++
	}
	for _, d := range order {
		g.ledger.Deny(*d)
	}
}

// explain adds every rule that said no, and what would have made it a yes.
func (d *Denial) explain(key *access.Key, attempt *access.Attempt, faults []access.Refusal, explain explainer) {
	asked, index := *attempt, questionable(attempt, faults)
	if len(index) < len(attempt.Targets) {
		asked.Targets = make([]access.Target, len(index))
		for n, i := range index {
			asked.Targets[n] = attempt.Targets[i]
		}
	}
	e := explain(key, &asked)
	general := len(faults) == 1 && faults[0].Index < 0
	for _, step := range e.Steps {
		if step.Reason == access.Allowed || general && step.Target >= 0 || len(d.Failed) == maxSteps {
			continue
		}
		if step.Target >= 0 {
			step.Target = index[step.Target]
		}
		d.Failed = append(d.Failed, step)
	}
	if len(e.Remedies) <= maxSteps && (attempt.Each || len(index) == len(attempt.Targets)) {
		d.Remedies = e.Remedies
	}
}

// questionable are the targets that an explanation asks about, no more than are kept: of a batch those at fault, and of a
// request that is judged whole all. Of a batch some are enough to know what would let it in; what is judged whole is told
// nothing about its remedies when it has more.
func questionable(attempt *access.Attempt, faults []access.Refusal) []int {
	var index []int
	for _, r := range faults {
		if r.Index >= 0 && len(index) < maxSteps {
			index = append(index, r.Index)
		}
	}
	if len(index) > 0 && (attempt.Each || len(attempt.Targets) > maxSteps) {
		return index
	}
	index = make([]int, min(len(attempt.Targets), maxSteps))
	for i := range index {
		index[i] = i
	}
	return index
}

// maxSteps bounds what is kept of an explanation: a batch can fail in as many ways as it has items.
const maxSteps = 32

func (g *Gate) entry(caller *Caller, attempt *access.Attempt, reason, rule string) Denial {
	key := caller.entry.Key
	return Denial{
		ID: g.newID(), At: attempt.At, Organization: key.Project.Organization, Project: key.Project.ID,
		KeyID: key.ID, Generation: caller.generation, Action: attempt.Action, Reason: reason, Rule: rule, Count: 1,
		Sender: caller.sender(), Detail: caller.diagnosis,
	}
}

func (c *Caller) sender() Sender {
	return Sender{
		Address: c.credential.Address, Origin: c.credential.Origin.String(), Via: c.credential.Via, Signed: c.credential.Signed,
		Client: c.credential.Client, RequestID: c.credential.RequestID,
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
