package access

import (
	"net/netip"
	"time"
)

// The verdicts of the rules, in the order of the policy. Each is about its own matter only: what it takes for granted,
// another rule says.

func actionDeclared(_ *Key, a *Attempt) Reason {
	// Anyone is not for callers with keys: an open address never comes here.
	if !a.Action.Declared() || a.Action == Anyone {
		return ActionUndeclared
	}
	return Allowed
}

// The answer to a credential that was sent in the clear does not depend on the credential, so it is no test of one.
func notInCleartext(_ *Key, a *Attempt) Reason {
	if a.Cleartext {
		return SentInCleartext
	}
	return Allowed
}

func notRevoked(k *Key, _ *Attempt) Reason {
	if !k.RevokedAt.IsZero() {
		return KeyRevoked
	}
	return Allowed
}

func notDisabled(k *Key, _ *Attempt) Reason {
	if k.State != Active && k.State != Quarantined {
		return KeyDisabled
	}
	return Allowed
}

// A replaced secret is good until its end and not at it.
func notReplaced(_ *Key, a *Attempt) Reason {
	if past(a.At, a.SecretUntil) {
		return SecretReplaced
	}
	return Allowed
}

func validByNow(k *Key, a *Attempt) Reason {
	if a.At.Before(k.NotBefore) {
		return KeyNotYetValid
	}
	return Allowed
}

// A key is good until its expiry and not at it.
func notExpired(k *Key, a *Attempt) Reason {
	if past(a.At, k.ExpiresAt) {
		return KeyExpired
	}
	return Allowed
}

// past reports whether a time has come to an end. An attempt without a time is after every end; a zero end never comes.
func past(at, end time.Time) bool { return !end.IsZero() && (at.IsZero() || !at.Before(end)) }

// What replaced a secret does not make it younger.
func notTooOld(k *Key, a *Attempt) Reason {
	minted := k.MintedAt
	if !a.SecretMinted.IsZero() {
		minted = a.SecretMinted
	} else if k.Kind == Token {
		return Allowed // it has no secret but its client's, who is asked as well
	}
	return k.youngEnough(minted, a)
}

// presentNotTooOld is notTooOld of a key whose secret was not shown.
func presentNotTooOld(k *Key, a *Attempt) Reason { return k.youngEnough(k.MintedAt, a) }

func (k *Key) youngEnough(minted time.Time, a *Attempt) Reason {
	if most := k.ceiling().MaxLifetime; most > 0 && past(a.At, minted.Add(most)) {
		return SecretTooOld
	}
	return Allowed
}

func kindKnown(k *Key, _ *Attempt) Reason {
	if !k.rightly() {
		return KeyKindUnknown
	}
	return Allowed
}

// A token is as good as its client and their key were when it was made, and dies when either is narrowed.
func tokenUpToDate(k *Key, _ *Attempt) Reason {
	if k.Kind != Token || !k.rightly() {
		return Allowed
	}
	above := int64(0) // a member comes of nothing
	if k.Parent.Parent != nil {
		above = k.Parent.Parent.Epoch
	}
	if k.ClientEpoch != k.Parent.Epoch || k.KeyEpoch != above {
		return TokenOutdated
	}
	return Allowed
}

func notQuarantined(k *Key, _ *Attempt) Reason {
	if k.State == Quarantined {
		return KeyQuarantined
	}
	return Allowed
}

func secretNotInURL(k *Key, a *Attempt) Reason {
	if k.Kind != Public && a.Via != InHeader && a.Via != InBody && !a.Linked() && !(!k.derived() && k.Project.Policy.SecretInURL && a.Via == InQuery) {
		return SecretInURL
	}
	return Allowed
}

// A public key is no secret wherever it stands: beacons, which have no headers of their own, carry it in their body.
func clientInBody(k *Key, a *Attempt) Reason {
	if a.Via == InBody && k.Kind != Client && k.Kind != Public && k.Kind != Member && !a.Entered() {
		return CredentialInBody
	}
	return Allowed
}

// A token that is embedded in a page is read by everybody who opens it: whatever it holds, there it can only read.
func secretNotInBrowser(k *Key, a *Attempt) Reason {
	policy := &k.Project.Policy
	embedded := k.Kind == Token && k.Embedded && policy.EmbeddedTokens && a.Action.readsOnly()
	if k.Kind != Public && a.Browser && !policy.SecretInBrowser && !embedded && !a.Entered() && !a.Typed() && !a.Linked() {
		return SecretInBrowser
	}
	return Allowed
}

func networkAllowed(k *Key, a *Attempt) Reason {
	if len(k.Networks) == 0 {
		return Allowed
	}
	if within(k.Networks, sender(a)) {
		return Allowed
	}
	return NetworkNotAllowed
}

// sender is the address of whoever asks, as ranges have it: they know no zone, which only says by which wire a neighbour
// is reached.
func sender(a *Attempt) netip.Addr { return a.Address.Unmap().WithZone("") }

// What comes of another key is within the networks that the other one has.
func networksPresent(k *Key, _ *Attempt) Reason {
	if k.Parent == nil && k.ceiling().RequireNetworks && (len(k.Networks) == 0 || k.Observe.Has(ByNetwork)) {
		return NetworksRequired
	}
	return Allowed
}

func domainAllowed(k *Key, a *Attempt) Reason {
	if len(k.Domains) == 0 {
		return Allowed
	}
	for i := range k.Domains {
		if k.Domains[i].matches(&a.Origin) {
			return Allowed
		}
	}
	return DomainNotAllowed
}

// A client's secret can be exchanged, and do nothing else; and so can a member's password, for whoever signs in. What an app
// is let in with comes of a key that is stored.
func forItsKind(k *Key, a *Attempt) Reason {
	row := a.Action.row()
	wrong := (k.Kind == Client) != row.client || (k.Kind == Member) != row.member
	if wrong && a.Action.Declared() || k.Kind == Token && row.stored || k.Kind == Operator && row.form {
		return WrongCredential
	}
	return Allowed
}

// What is about more than one project of an organization is for whoever is a member of the whole of it.
func reachesWhole(k *Key, a *Attempt) Reason {
	if a.Action.row().wide && !k.wide() {
		return OneProjectOnly
	}
	return Allowed
}

func holdsScope(k *Key, a *Attempt) Reason {
	if held := k.usable(); !self(k, a) && !held.Has(a.Action.needs(held)) {
		return ScopeMissing
	}
	return Allowed
}

func scopeUnderCeiling(k *Key, a *Attempt) Reason {
	held, most := k.usable(), k.ceiling().Scopes
	if !self(k, a) && most != 0 && !most.Has(a.Action.needs(held)) && !most.Has(a.Action.needs(held&most)) {
		return ScopeOverCeiling
	}
	return Allowed
}

func notForPublic(k *Key, a *Attempt) Reason {
	if k.Kind == Public && a.Action.row().secret {
		return PublicKeyUsed
	}
	return Allowed
}

func signedForKey(k *Key, a *Attempt) Reason {
	if k.Signature && a.Signed == Unsigned {
		return SignatureMissing
	}
	return Allowed
}

func signedForProject(k *Key, a *Attempt) Reason {
	if k.ceiling().RequireSignature && a.Signed == Unsigned {
		return SignatureRequired
	}
	return Allowed
}

// A signature that is there must be right, also where none is demanded: somebody changed something on the way. What is
// not known to be right by now is wrong.
func signatureRight(_ *Key, a *Attempt) Reason {
	if a.Signed != Unsigned && a.Signed != SignatureRight {
		return SignatureInvalid
	}
	return Allowed
}

// A thing of another project, for a test key a thing of live mode, and what is another key's own, might as well not be there.
func subjectVisible(k *Key, a *Attempt) Reason {
	if a.Subject == nil {
		return Allowed
	}
	if owner := a.Subject.Owner; owner != "" && owner != k.Owner() && !a.Action.reachesOthers(k) {
		return NotVisible
	}
	if a.Subject.Project == "" || a.Subject.Project != k.Project.ID || a.Subject.Mode == Live && !k.seesLive() {
		return NotVisible
	}
	return Allowed
}

// OwnOnly reports whether of things that are keys' own the key sees only its own, when it does what the action says.
func (k *Key) OwnOnly(a Action) bool { return !a.reachesOthers(k) }

// A live key may hand on rights in either mode, a test key only in test mode, and none of them rights that reach further
// than its own. Nobody makes an operator: that is who holds the data folder.
//
// What all keys of a project run is changed only by a key that could see all of it: else a test key, or one with a view, had
// others ask for it what it may not ask itself. sharedEverywhere says the same of environments, which can be observed.
func grantsWithin(k *Key, a *Attempt) Reason {
	if a.Action.row().shared && !k.seesAll() {
		return GrantTooWide
	}
	if a.Grants == nil {
		return Allowed
	}
	switch a.Grants.Kind {
	case Public, Secret, Client, Member:
	default:
		return GrantTooWide
	}
	if k.BeyondProject(a.Grants) {
		return GrantTooWide
	}
	if k.Kind == Operator {
		return Allowed
	}
	if !k.usable().Has(a.Grants.Scopes) || a.Grants.Mode == Live && !k.seesLive() || a.Grants.Exceeds(k.bounds()) != "" {
		return GrantTooWide
	}
	return Allowed
}

// bounds are those within which the key hands on rights: its own, with the view of a member's role. A member's token ends
// with the session, and the member's rights do not: for how long something is handed on is not bound by it.
func (k *Key) bounds() *Bounds {
	v, session := k.own(), k.Kind == Token && k.person()
	if v == k.View && !session {
		return &k.Bounds
	}
	b := k.Bounds
	b.View = v
	if session {
		b.ExpiresAt = time.Time{}
	}
	return &b
}

// seesAll reports whether nothing keeps the key from any data, in live mode, of the environments it is in.
func (k *Key) seesAll() bool { return k.seesLive() && k.own() == nil }

// What all keys of a project run is changed only by a key that may be in every environment.
func sharedEverywhere(k *Key, a *Attempt) Reason {
	if a.Action.row().shared && len(k.Environments) > 0 {
		return GrantTooWide
	}
	return Allowed
}

func publicGrantWithin(_ *Key, a *Attempt) Reason {
	if a.Grants != nil && a.Grants.Kind == Public && !ClientScopes.Has(a.Grants.Scopes) {
		return PublicGrantTooWide
	}
	return Allowed
}

func grantsUnderCeiling(k *Key, a *Attempt) Reason {
	if a.Grants != nil && k.Project.OverCeiling(a.Grants, a.At) != "" {
		return GrantOverCeiling
	}
	return Allowed
}

// OverCeiling names the first way in which a grant goes beyond what the project allows its keys, and is empty when it
// goes nowhere beyond. What a client's key must have, the client need not have as well.
func (p *Project) OverCeiling(g *Grant, at time.Time) string {
	c := p.ceiling(g.Kind)
	switch {
	case c.Scopes != 0 && !c.Scopes.Has(g.Scopes):
		return "scopes"
	case c.RequireNetworks && g.Kind != Client && (len(g.Networks) == 0 || g.Observe.Has(ByNetwork)):
		return "networks"
	case c.RequireSignature && g.Kind != Client && (!g.Signature || g.Observe.Has(BySignature)):
		return "signature"
	case c.MaxLifetime > 0 && !g.Renewal && (g.ExpiresAt.IsZero() || g.ExpiresAt.After(at.Add(c.MaxLifetime)) || g.Observe.Has(ByTime)):
		return "expires_at"
	}
	return ""
}

func environmentOfMode(k *Key, a *Attempt, t *Target) Reason {
	if !a.Action.InEnvironment() {
		return Allowed
	}
	env, reason := k.named(t.Environment)
	switch {
	case reason == Allowed && !k.ofMode(env):
		return EnvironmentNotAllowed
	case reason == EnvironmentNotAllowed && k.caged():
		return Allowed
	}
	return reason
}

func environmentAllowed(k *Key, a *Attempt, t *Target) Reason {
	if !a.Action.InEnvironment() {
		return Allowed
	}
	env, reason := k.named(t.Environment)
	if reason == Allowed && !k.listed(env) || reason == EnvironmentNotAllowed && k.caged() {
		return EnvironmentNotAllowed
	}
	return Allowed
}

// caged reports whether there are environments of the key's mode, so that it is for its restriction that it has none.
func (k *Key) caged() bool {
	return k.firstOfMode() != nil
}

// An attempt without targets sends nothing. Of items, those that have no name are about persons.
func eventIsAllowed(k *Key, a *Attempt, t *Target) Reason {
	event := a.Action == WriteEvents && len(a.Targets) > 0 || (a.Action == WriteItems || a.Action == ReplayRejected) && t.Event != ""
	if event && !eventAllowed(k.Events, t.Event) {
		return EventNotAllowed
	}
	return Allowed
}

// What is done with records is done with every dataset's where it does not say with which, and is everything where it
// does not say what.
func datasetAllowed(k *Key, a *Attempt, t *Target) Reason {
	if k.Datasets == nil || t.Dataset == "" && !a.Action.row().records {
		return Allowed
	}
	if t.Dataset == "" || t.Right == 0 || !k.Datasets.allows(t.Dataset, t.Class, t.Right) {
		return DatasetNotAllowed
	}
	return Allowed
}

// Who takes out the records of a dataset must be able to read them: a view names tables of events, and lets nothing of a
// dataset through.
func datasetRead(k *Key, a *Attempt, t *Target) Reason {
	if a.Action.row().copies && t.Dataset != "" && (!k.usable().Has(DatasetsRead) || k.own() != nil) {
		return DatasetNotRead
	}
	return Allowed
}

// What writes to a dataset may take away the records there are, and then needs the right to that too.
func datasetDeleted(k *Key, _ *Attempt, t *Target) Reason {
	most := k.ceiling().Scopes
	if t.Dataset != "" && t.Right&DeleteRecords != 0 && (!k.usable().Has(DatasetsDelete) || most != 0 && !most.Has(DatasetsDelete)) {
		return DatasetNotDeleted
	}
	return Allowed
}
