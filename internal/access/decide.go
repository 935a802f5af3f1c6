package access

// rule is one line of the policy. A rule about the request as a whole has judge; a rule about each thing the request
// touches has target. early rules need nothing of the body. A rule that comes of a restriction names it: where the key
// only observes that restriction, a no is noted and the next rule is asked.
type rule struct {
	name   string
	early  bool
	of     Restriction
	judge  func(*Key, *Attempt) Reason
	target func(*Key, *Attempt, *Target) Reason
}

// rules is the policy, in the order in which it is asked. The first no is the answer.
var rules = [...]rule{
	{name: "action is declared", early: true, judge: actionDeclared},
	{name: "credential did not come in cleartext", early: true, judge: notInCleartext},
	{name: "key is not revoked", early: true, judge: notRevoked},
	{name: "key is not disabled", early: true, judge: notDisabled},
	{name: "secret has not been replaced", early: true, judge: notReplaced},
	{name: "key is valid by now", early: true, of: ByTime, judge: validByNow},
	{name: "key has not expired", early: true, of: ByTime, judge: notExpired},
	{name: "secret is no older than the project allows", early: true, judge: notTooOld},
	{name: "key is of a known kind", early: true, judge: kindKnown},
	{name: "key is not in quarantine", early: true, judge: notQuarantined},
	{name: "secret key is not in a URL", early: true, judge: secretNotInURL},
	{name: "secret key is not in a browser", early: true, judge: secretNotInBrowser},
	{name: "address is in the key's networks", early: true, of: ByNetwork, judge: networkAllowed},
	{name: "key has the networks that the project requires", early: true, judge: networksPresent},
	{name: "page is in the key's domains", early: true, of: ByDomain, judge: domainAllowed},
	{name: "key holds the scope", early: true, judge: holdsScope},
	{name: "project allows the scope", early: true, judge: scopeUnderCeiling},
	{name: "action may be a public key's", early: true, judge: notForPublic},
	{name: "request is signed as the key demands", early: true, of: BySignature, judge: signedForKey},
	{name: "request is signed as the project requires", early: true, judge: signedForProject},
	{name: "signature is right", judge: signatureRight},
	{name: "thing is visible to the key", judge: subjectVisible},
	{name: "key grants no more than it holds", judge: grantsWithin},
	{name: "a public key gets client-side scopes only", judge: publicGrantWithin},
	{name: "key grants no more than the project allows", judge: grantsUnderCeiling},
	{name: "environment is of the key's mode", target: environmentOfMode},
	{name: "environment is the key's", of: ByEnvironment, target: environmentAllowed},
	{name: "event is one the key may send", of: ByEvent, target: eventIsAllowed},
	{name: "dataset is one the key may use", of: ByDataset, target: datasetAllowed},
}

// Decide answers whether key may do what attempt wants. It is pure, and allocates nothing for a yes to which no
// observed restriction objects.
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

// ScreenCarriage is the part of Screen that needs no key: it answers the same whether the credential is good or not.
func ScreenCarriage(attempt *Attempt) Decision {
	for i := range rules[:2] {
		if reason := rules[i].judge(nil, attempt); reason != Allowed {
			return Decision{Reason: reason, Rule: rules[i].name}
		}
	}
	return Decision{Reason: Allowed}
}

func run(key *Key, attempt *Attempt, early bool) Decision {
	d := Decision{Reason: Allowed}
	for i := range rules {
		r := &rules[i]
		if r.judge == nil || early && !r.early {
			continue
		}
		reason := r.judge(key, attempt)
		switch {
		case reason == Allowed:
		case r.observed(key):
			d.Observed = append(d.Observed, Refusal{Index: -1, Reason: reason, Rule: r.name})
		default:
			return Decision{Reason: reason, Rule: r.name, Observed: d.Observed}
		}
	}
	if !early {
		runTargets(key, attempt, &d)
	}
	return d
}

func (r *rule) observed(key *Key) bool { return r.of != 0 && key.Observe.Has(r.of) }

// runTargets judges what the attempt touches. An attempt that names nothing, for an action that happens in an
// environment, touches the key's default environment.
func runTargets(key *Key, attempt *Attempt, d *Decision) {
	targets := attempt.Targets
	if len(targets) == 0 {
		if attempt.Action.InEnvironment() {
			d.Reason, d.Rule = judgeTarget(key, attempt, &Target{}, -1, d)
		}
		return
	}
	for i := range targets {
		reason, name := judgeTarget(key, attempt, &targets[i], i, d)
		if reason == Allowed {
			continue
		}
		d.Refused = append(d.Refused, Refusal{Index: i, Reason: reason, Rule: name})
		if !attempt.Each {
			d.Reason, d.Rule = reason, name
			return
		}
	}
	if len(d.Refused) == len(targets) {
		d.Reason, d.Rule = d.Refused[0].Reason, d.Refused[0].Rule
	}
}

func judgeTarget(key *Key, attempt *Attempt, t *Target, index int, d *Decision) (Reason, string) {
	for i := range rules {
		r := &rules[i]
		if r.target == nil {
			continue
		}
		reason := r.target(key, attempt, t)
		switch {
		case reason == Allowed:
		case r.observed(key):
			d.Observed = append(d.Observed, Refusal{Index: index, Reason: reason, Rule: r.name})
		default:
			return reason, r.name
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
