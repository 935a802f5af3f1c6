package access

import "time"

// rule is one line of the policy. A rule that comes of a restriction names it: where the key only observes that
// restriction, a no is noted and the next rule is asked.
type rule struct {
	name  string
	of    Restriction
	judge func(*Key, *Attempt) Reason
	above func(*Key, *Attempt) Reason // the same of every key that the key comes of; nil: that is not asked
	alone bool                        // it is about the credential alone, whoever sends it and for what
}

// targetRule is a line of the policy about each thing that a request touches. Where it is above, it is asked of every key
// that the key comes of as well.
type targetRule struct {
	name  string
	of    Restriction
	judge func(*Key, *Attempt, *Target) Reason
	above bool
}

// The policy, in the order in which it is asked. The first no is the answer.
var (
	// carriageRules need nothing but the attempt.
	carriageRules = [...]rule{
		{name: "action is declared", judge: actionDeclared},
		{name: "credential did not come in cleartext", judge: notInCleartext},
	}

	// earlyRules need nothing of the body.
	earlyRules = [...]rule{
		{name: "key is not revoked", judge: notRevoked, above: notRevoked, alone: true},
		{name: "key is not disabled", judge: notDisabled, above: notDisabled, alone: true},
		{name: "secret has not been replaced", judge: notReplaced, alone: true},
		{name: "key is valid by now", of: ByTime, judge: validByNow, above: validByNow, alone: true},
		{name: "key has not expired", of: ByTime, judge: notExpired, above: notExpired, alone: true},
		{name: "secret is no older than the project allows", judge: notTooOld, above: presentNotTooOld, alone: true},
		{name: "key is of a known kind", judge: kindKnown, alone: true},
		{name: "token is no older than the last narrowing", judge: tokenUpToDate, alone: true},
		{name: "key is not in quarantine", judge: notQuarantined, above: notQuarantined, alone: true},
		{name: "secret key is not in a URL", judge: secretNotInURL},
		{name: "credential in a body is a client's", judge: clientInBody},
		{name: "secret key is not in a browser", judge: secretNotInBrowser},
		{name: "address is in the key's networks", of: ByNetwork, judge: networkAllowed, above: networkAllowed},
		{name: "key has the networks that the project requires", judge: networksPresent, above: networksPresent},
		{name: "page is in the key's domains", of: ByDomain, judge: domainAllowed, above: domainAllowed},
		{name: "action is for this kind of credential", judge: forItsKind},
		{name: "key reaches the whole organization", judge: reachesWhole},
		{name: "a public key comes with a user token", judge: userProven},
		{name: "key holds the scope", judge: holdsScope, above: holdsScope},
		{name: "project allows the scope", judge: scopeUnderCeiling},
		{name: "action may be a public key's", judge: notForPublic},
		{name: "request is signed as the key demands", of: BySignature, judge: signedForKey, above: signedForKey},
		{name: "request is signed as the project requires", judge: signedForProject},
		{name: ViewRule, judge: viewApplies, above: viewApplies},
		{name: "key's view has a value for each variable", judge: viewBound},
	}

	// lateRules are about the request as a whole.
	lateRules = [...]rule{
		{name: "signature is right", judge: signatureRight},
		{name: "thing is visible to the key", judge: subjectVisible},
		{name: "what all keys run is changed from all environments", of: ByEnvironment, judge: sharedEverywhere, above: sharedEverywhere},
		{name: "key grants no more than it holds", judge: grantsWithin, above: grantsWithin},
		{name: "a public key gets client-side scopes only", judge: publicGrantWithin},
		{name: "key grants no more than the project allows", judge: grantsUnderCeiling},
	}

	targetRules = [...]targetRule{
		{name: "environment is of the key's mode", judge: environmentOfMode},
		{name: "environment is the key's", of: ByEnvironment, judge: environmentAllowed, above: true},
		{name: "event is one the key may send", of: ByEvent, judge: eventIsAllowed, above: true},
		{name: "dataset is one the key may use", of: ByDataset, judge: datasetAllowed, above: true},
		{name: "dataset that is taken out is one the key reads", judge: datasetRead, above: true},
		{name: "dataset that loses records is one the key deletes from", judge: datasetDeleted, above: true},
		{name: "user is the token's own", judge: userIsOneself},
	}
)

// Decide answers whether key may do what attempt wants. It is pure, and allocates nothing for a yes to which no
// observed restriction objects.
func Decide(key *Key, attempt *Attempt) Decision {
	d := Decision{Reason: Allowed}
	if d.ask(carriageRules[:], key, attempt) && d.ask(earlyRules[:], key, attempt) && d.ask(lateRules[:], key, attempt) {
		d.askOfTargets(key, attempt)
	}
	if d.Reason == Allowed {
		d.setData(key, attempt)
	}
	if d.Reason != Allowed || len(d.Observed) == 0 {
		d.Observed = nil
	}
	return d
}

// Screen is the first half of Decide: the rules that need no body, so that a stranger's body is never read. Its no is
// Decide's no; its yes promises nothing.
func Screen(key *Key, attempt *Attempt) Decision {
	d := Decision{Reason: Allowed}
	if !d.ask(carriageRules[:], key, attempt) || !d.ask(earlyRules[:], key, attempt) {
		d.Observed = nil
	}
	return d
}

// Stands is the part of Screen that is about the credential alone: whether it, and all that it comes of, is good at a time,
// whoever may send it. until and minted are of the secret that was shown, as in Circumstances.
func Stands(key *Key, at, until, minted time.Time) Reason {
	d := Decision{Reason: Allowed}
	attempt := Attempt{At: at, Circumstances: Circumstances{SecretUntil: until, SecretMinted: minted}}
	for i := range earlyRules {
		if earlyRules[i].alone && !d.ask(earlyRules[i:i+1], key, &attempt) {
			break
		}
	}
	return d.Reason
}

// ScreenCarriage is the part of Screen that needs no key: it answers the same whether the credential is good or not.
func ScreenCarriage(attempt *Attempt) Decision {
	d := Decision{Reason: Allowed}
	d.ask(carriageRules[:], nil, attempt)
	return d
}

// ask asks rules about the request as a whole, up to the first no.
func (d *Decision) ask(rules []rule, key *Key, attempt *Attempt) bool {
	for i := range rules {
		r := &rules[i]
		reason := r.judge(key, attempt)
		if reason != Allowed && !d.notes(key, r.of, -1, reason, r.name) {
			d.Reason, d.Rule = reason, r.name
			return false
		}
		if r.above == nil || key.Parent == nil {
			continue
		}
		if reason = d.askAbove(r, key, attempt); reason != Allowed {
			d.Reason, d.Rule = reason, r.name
			return false
		}
	}
	return true
}

// askAbove asks a rule of what the key comes of.
func (d *Decision) askAbove(r *rule, key *Key, attempt *Attempt) Reason {
	for up := key.Parent; up != nil; up = up.Parent {
		if reason := r.above(up, attempt); reason != Allowed && !d.notes(up, r.of, -1, reason, r.name) {
			return reason
		}
	}
	return Allowed
}

// notes keeps a no that comes of a restriction which the key only observes, and reports whether it was that.
func (d *Decision) notes(key *Key, of Restriction, index int, reason Reason, rule string) bool {
	if of == 0 || !key.Observe.Has(of) {
		return false
	}
	d.Observed = append(d.Observed, Refusal{Index: index, Reason: reason, Rule: rule})
	return true
}

// askOfTargets judges what the attempt touches.
func (d *Decision) askOfTargets(key *Key, attempt *Attempt) {
	targets := attempt.Targets
	if len(targets) == 0 && attempt.Action.touches() {
		none := implied[:]
		d.Reason, d.Rule = d.askOf(key, attempt, &none[0], -1)
	}
	for i := range targets {
		reason, name := d.askOf(key, attempt, &targets[i], i)
		if reason == Allowed {
			continue
		}
		d.Refused = append(d.Refused, Refusal{Index: i, Reason: reason, Rule: name})
		if !attempt.Each {
			break
		}
	}
	if n := len(d.Refused); n > 0 && (n == len(targets) || !attempt.Each) {
		d.Reason, d.Rule = d.Refused[0].Reason, d.Refused[0].Rule
	}
}

// implied is what is touched by an attempt that names nothing.
var implied = [...]Target{{}}

// askOf asks the rules about one target, up to the first no. What was noted of a target that is refused is forgotten.
func (d *Decision) askOf(key *Key, attempt *Attempt, t *Target, index int) (Reason, string) {
	before := len(d.Observed)
	for i := range targetRules {
		r := &targetRules[i]
		reason := r.judge(key, attempt, t)
		if reason != Allowed && d.notes(key, r.of, index, reason, r.name) {
			reason = Allowed
		}
		if reason == Allowed && r.above && key.Parent != nil {
			reason = d.askOfAbove(r, key, attempt, t, index)
		}
		if reason != Allowed {
			d.Observed = d.Observed[:before]
			return reason, r.name
		}
	}
	return Allowed, ""
}

// askOfAbove asks a rule about a target of what the key comes of.
func (d *Decision) askOfAbove(r *targetRule, key *Key, attempt *Attempt, t *Target, index int) Reason {
	t = key.meant(attempt, t)
	for up := key.Parent; up != nil; up = up.Parent {
		if reason := r.judge(up, attempt, t); reason != Allowed && !d.notes(up, r.of, index, reason, r.name) {
			return reason
		}
	}
	return Allowed
}

// meant is a target with the environment that the key means by it: what the key comes of may have another default.
func (k *Key) meant(a *Attempt, t *Target) *Target {
	if t.Environment != "" || !a.Action.InEnvironment() {
		return t
	}
	env := k.first()
	if env == nil {
		return t
	}
	named := *t
	named.Environment = env.Name
	return &named
}

// setData names the data that a yes is about.
func (d *Decision) setData(key *Key, attempt *Attempt) {
	d.Data.Organization, d.Data.Project, d.Data.Live = key.Project.Organization, key.Project.ID, key.seesLive()
	d.Data.View, d.Data.Own = key.sees(attempt), self(key, attempt)
	if !attempt.Action.InEnvironment() || len(attempt.Targets) > 1 {
		return
	}
	name := ""
	if len(attempt.Targets) == 1 {
		name = attempt.Targets[0].Environment
	}
	if env, _ := key.named(name); env != nil {
		d.Data.Environment = env.Name
	}
}
