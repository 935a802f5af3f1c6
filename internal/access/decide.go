package access

import "slices"

// rule is one line of the policy. A rule about the request as a whole has judge; a rule about each thing the request
// touches has target. early rules need nothing of the body.
type rule struct {
	name   string
	early  bool
	judge  func(*Key, *Attempt) Reason
	target func(*Key, *Attempt, Target) Reason
}

// rules is the policy, in the order in which it is asked. The first no is the answer.
var rules = [...]rule{
	{name: "action is declared", early: true, judge: actionDeclared},
	{name: "key is not revoked", early: true, judge: notRevoked},
	{name: "key has not expired", early: true, judge: notExpired},
	{name: "key is of a known kind", early: true, judge: kindKnown},
	{name: "secret key is not in a URL", early: true, judge: secretNotInURL},
	{name: "key holds the scope", early: true, judge: holdsScope},
	{name: "thing is visible to the key", judge: subjectVisible},
	{name: "key grants no more than it holds", judge: grantsWithin},
	{name: "a public key gets client-side scopes only", judge: publicGrantWithin},
	{name: "environment is the key's", target: environmentAllowed},
}

// Decide answers whether key may do what attempt wants. It is pure, and allocates nothing for a yes.
func Decide(key *Key, attempt *Attempt) Decision {
	d := run(key, attempt, false)
	if d.Allowed() {
		d.Data = dataScope(key, attempt)
	}
	return d
}

// Screen is the first half of Decide: the rules that need no body, so that a stranger's body is never read. Its no is
// Decide's no; its yes promises nothing.
func Screen(key *Key, attempt *Attempt) Decision { return run(key, attempt, true) }

func run(key *Key, attempt *Attempt, early bool) Decision {
	for i := range rules {
		r := &rules[i]
		if r.judge == nil || early && !r.early {
			continue
		}
		if reason := r.judge(key, attempt); reason != Allowed {
			return Decision{Reason: reason, Rule: r.name}
		}
	}
	if early {
		return Decision{Reason: Allowed}
	}
	return runTargets(key, attempt)
}

// runTargets judges what the attempt touches. An attempt that names nothing, for an action that happens in an
// environment, touches the key's default environment.
func runTargets(key *Key, attempt *Attempt) Decision {
	targets := attempt.Targets
	if len(targets) == 0 {
		if !attempt.Action.InEnvironment() {
			return Decision{Reason: Allowed}
		}
		reason, name := judgeTarget(key, attempt, Target{})
		return Decision{Reason: reason, Rule: name}
	}
	d := Decision{Reason: Allowed}
	for i, t := range targets {
		reason, name := judgeTarget(key, attempt, t)
		if reason == Allowed {
			continue
		}
		d.Refused = append(d.Refused, Refusal{Index: i, Reason: reason, Rule: name})
		if !attempt.Each {
			d.Reason, d.Rule = reason, name
			return d
		}
	}
	if len(d.Refused) == len(targets) {
		d.Reason, d.Rule = d.Refused[0].Reason, d.Refused[0].Rule
	}
	return d
}

func judgeTarget(key *Key, attempt *Attempt, t Target) (Reason, string) {
	for i := range rules {
		if rules[i].target == nil {
			continue
		}
		if reason := rules[i].target(key, attempt, t); reason != Allowed {
			return reason, rules[i].name
		}
	}
	return Allowed, ""
}

func dataScope(key *Key, attempt *Attempt) DataScope {
	data := DataScope{Organization: key.Project.Organization, Project: key.Project.ID, Live: key.seesLive()}
	if !attempt.Action.InEnvironment() || len(attempt.Targets) > 1 {
		return data
	}
	var name string
	if len(attempt.Targets) == 1 {
		name = attempt.Targets[0].Environment
	}
	if env, reason := key.Resolve(name); reason == Allowed {
		data.Environment = env.Name
	}
	return data
}

func actionDeclared(_ *Key, a *Attempt) Reason {
	// Anyone is not for callers with keys: an open address never comes here.
	if !a.Action.Declared() || a.Action == Anyone {
		return ActionUndeclared
	}
	return Allowed
}

func notRevoked(k *Key, _ *Attempt) Reason {
	if !k.RevokedAt.IsZero() {
		return KeyRevoked
	}
	return Allowed
}

// A key is good until its expiry and not at it. An attempt without a time is after every expiry.
func notExpired(k *Key, a *Attempt) Reason {
	if !k.ExpiresAt.IsZero() && (a.At.IsZero() || !a.At.Before(k.ExpiresAt)) {
		return KeyExpired
	}
	return Allowed
}

func kindKnown(k *Key, _ *Attempt) Reason {
	if k.Kind != Public && k.Kind != Secret && k.Kind != Operator {
		return KeyKindUnknown
	}
	return Allowed
}

func secretNotInURL(k *Key, a *Attempt) Reason {
	if k.Kind != Public && a.Via != InHeader {
		return SecretInURL
	}
	return Allowed
}

func holdsScope(k *Key, a *Attempt) Reason {
	if !k.usable().Has(a.Action.Scope()) {
		return ScopeMissing
	}
	return Allowed
}

// A thing of another project, and for a test key a thing of live mode, might as well not be there.
func subjectVisible(k *Key, a *Attempt) Reason {
	if a.Subject == nil {
		return Allowed
	}
	if a.Subject.Project == "" || a.Subject.Project != k.Project.ID || a.Subject.Mode == Live && !k.seesLive() {
		return NotVisible
	}
	return Allowed
}

// A live key may hand on rights in either mode, a test key only in test mode. A key that expires hands on nothing that
// outlives it.
func grantsWithin(k *Key, a *Attempt) Reason {
	if a.Grants == nil || k.Kind == Operator {
		return Allowed
	}
	if !k.usable().Has(a.Grants.Scopes) || a.Grants.Mode == Live && !k.seesLive() {
		return GrantTooWide
	}
	if !k.ExpiresAt.IsZero() && (a.Grants.ExpiresAt.IsZero() || a.Grants.ExpiresAt.After(k.ExpiresAt)) {
		return GrantTooWide
	}
	if len(k.Environments) == 0 {
		return Allowed
	}
	if len(a.Grants.Environments) == 0 {
		return GrantTooWide
	}
	for _, name := range a.Grants.Environments {
		if !slices.Contains(k.Environments, name) {
			return GrantTooWide
		}
	}
	return Allowed
}

func publicGrantWithin(_ *Key, a *Attempt) Reason {
	if a.Grants != nil && a.Grants.Kind == Public && !ClientScopes.Has(a.Grants.Scopes) {
		return PublicGrantTooWide
	}
	return Allowed
}

func environmentAllowed(k *Key, a *Attempt, t Target) Reason {
	if !a.Action.InEnvironment() {
		return Allowed
	}
	_, reason := k.Resolve(t.Environment)
	return reason
}
