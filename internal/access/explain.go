package access

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Step is one rule's verdict on an attempt.
type Step struct {
	Rule     string
	Target   int // the index of the target judged; -1 for the request as a whole, and for what it touches without naming it
	Reason   Reason
	Observed bool   // the no is only noted: the rule comes of a restriction that the key observes
	Key      string // the id of the key that was asked, where that is one that the credential comes of; empty: the credential's own
}

// Explanation is every rule in the order it is asked, and what Decide says. Unlike Decide it does not stop at the
// first no, so that all that is wrong can be mended at once.
type Explanation struct {
	Decision Decision
	Steps    []Step
	Remedies []Remedy // the smallest changes that together would have allowed the attempt, or of a batch all that can be; nil: none would
}

// Remedy is one change that takes away one no.
type Remedy struct {
	Of    string // what to change: "key", "client", "token" (by making another), "project" or "request"
	Field string // which member of it
	Do    string // "add", "set" or "remove"
	Value string
}

// Explain runs the rules that Decide runs and lists every verdict.
func Explain(key *Key, attempt *Attempt) Explanation {
	targets, index := attempt.Targets, 0
	if len(targets) == 0 && attempt.Action.touches() {
		targets, index = implied[:], -1
	}
	e := newExplainer(key, attempt, len(targets))
	e.ask(lateRules[:])
	remedies, mendable := e.remedies, e.mendable
	open := len(targets) == 0 // there is a target that may be touched, or could be
	for n := range targets {
		e.remedies, e.mendable = nil, true
		for i := range targetRules {
			r := &targetRules[i]
			e.step(r.name, r.of, index+n, &targets[n], r.judge(key, attempt, &targets[n]))
			if r.above {
				e.stepsAbove(r, index+n, &targets[n])
			}
		}
		switch {
		case e.mendable:
			open, remedies = true, append(remedies, e.remedies...)
		case !attempt.Each:
			mendable = false
		}
	}
	ex := Explanation{Decision: Decide(key, attempt), Steps: e.steps}
	if mendable && open {
		ex.Remedies = distinct(remedies)
	}
	return ex
}

// ExplainScreen runs the rules that Screen runs and lists every verdict. What the others would say is not known yet: they
// need the body.
func ExplainScreen(key *Key, attempt *Attempt) Explanation {
	e := newExplainer(key, attempt, 0)
	ex := Explanation{Decision: Screen(key, attempt), Steps: e.steps}
	if e.mendable {
		ex.Remedies = distinct(e.remedies)
	}
	return ex
}

// explainer gathers the steps of an explanation, and the remedies of what is at hand.
type explainer struct {
	key      *Key
	attempt  *Attempt
	steps    []Step
	remedies []Remedy
	mendable bool // the remedies take away all that is wrong
}

// newExplainer makes an explainer that has asked the rules that need no body, with room for the others.
func newExplainer(key *Key, attempt *Attempt, targets int) explainer {
	e := explainer{key: key, attempt: attempt, mendable: true}
	e.steps = make([]Step, 0, len(carriageRules)+len(earlyRules)+len(lateRules)+len(targetRules)*targets)
	e.ask(carriageRules[:])
	e.ask(earlyRules[:])
	return e
}

func (e *explainer) ask(rules []rule) {
	for i := range rules {
		r := &rules[i]
		e.step(r.name, r.of, -1, nil, r.judge(e.key, e.attempt))
		for up := e.key.Parent; up != nil && r.above != nil; up = up.Parent {
			e.stepOf(up, r.name, r.of, -1, nil, r.above(up, e.attempt))
		}
	}
}

func (e *explainer) stepsAbove(r *targetRule, index int, t *Target) {
	meant := e.key.meant(e.attempt, t)
	for up := e.key.Parent; up != nil; up = up.Parent {
		e.stepOf(up, r.name, r.of, index, meant, r.judge(up, e.attempt, meant))
	}
}

func (e *explainer) step(rule string, of Restriction, index int, t *Target, reason Reason) {
	e.stepOf(e.key, rule, of, index, t, reason)
}

func (e *explainer) stepOf(key *Key, rule string, of Restriction, index int, t *Target, reason Reason) {
	s := Step{Rule: rule, Target: index, Reason: reason, Observed: reason != Allowed && of != 0 && key.Observe.Has(of)}
	attempt := e.attempt
	if key != e.key {
		s.Key = key.ID
		bare := *attempt // what was shown was no secret of this key
		bare.SecretUntil, bare.SecretMinted = time.Time{}, time.Time{}
		attempt = &bare
	}
	e.steps = append(e.steps, s)
	if reason == Allowed || s.Observed {
		return
	}
	remedies, ok := mend(reason, key, attempt, t)
	for i := range remedies {
		if remedies[i].Of == "key" && key.derived() {
			remedies[i].Of = key.Kind.String()
		}
	}
	e.remedies, e.mendable = append(e.remedies, remedies...), e.mendable && ok
}

func distinct(remedies []Remedy) []Remedy {
	var list []Remedy
	seen := map[Remedy]bool{}
	for _, r := range remedies {
		if !seen[r] {
			seen[r] = true
			list = append(list, r)
		}
	}
	return list
}

// Rules lists the names of the rules in the order in which they are asked.
func Rules() []string {
	var names []string
	for _, rules := range [...][]rule{carriageRules[:], earlyRules[:], lateRules[:]} {
		for i := range rules {
			names = append(names, rules[i].name)
		}
	}
	for i := range targetRules {
		names = append(names, targetRules[i].name)
	}
	return names
}

// mend is the smallest change that takes a no away. There is none for what has no way back, and for what is not the
// key's to have.
func mend(reason Reason, k *Key, a *Attempt, t *Target) ([]Remedy, bool) {
	switch reason {
	case KeyDisabled, KeyQuarantined:
		return one("key", "state", "set", Active.String()), true
	case KeyNotYetValid:
		return one("key", "not_before", "set", stamp(a.At)), !a.At.IsZero()
	case KeyExpired:
		return one("key", "expires_at", "remove", ""), true
	case SecretReplaced, SecretTooOld:
		return mendSecret(k, a)
	case TokenOutdated:
		return one("request", "credential", "set", "a new token"), true
	case SentInCleartext:
		return one("request", "scheme", "set", "https"), true
	case SecretInURL, CredentialInBody:
		return one("request", "credential", "set", InHeader.String()), true
	case SecretInBrowser:
		return one("request", "browser", "remove", ""), true
	case NetworkNotAllowed, NetworksRequired:
		return mendNetworks(reason, k, a)
	case DomainNotAllowed:
		return one("key", "domains", "add", a.Origin.String()), a.Origin.Host != ""
	case SignatureMissing, SignatureRequired, SignatureInvalid:
		return one("request", "signature", "set", "a right one"), true
	case ViewUnbound:
		return one("request", "variables", "set", strings.Join(k.Sees().Unbound, " ")), true
	case ScopeMissing, ScopeOverCeiling:
		return mendScope(reason, k, a)
	default:
		return mendTarget(reason, k, t)
	}
}

func one(of, field, do, value string) []Remedy { return []Remedy{{of, field, do, value}} }

// mendSecret takes another secret: the present one, and another for that if it is too old as well.
func mendSecret(k *Key, a *Attempt) ([]Remedy, bool) {
	var list []Remedy
	present := *a
	present.SecretMinted = time.Time{}
	if past(a.At, a.SecretUntil) || !a.SecretMinted.IsZero() {
		list = one("request", "secret", "set", "the present one")
	}
	if notTooOld(k, &present) == Allowed {
		return list, true
	}
	return append(list, Remedy{"key", "secret", "set", "a new one, by rotation"}), !a.At.IsZero()
}

// mendNetworks lets the sender's address in. Where the project requires networks, they must be enforced; a key that gets
// them so may have asked to hand on more than it then has.
func mendNetworks(reason Reason, k *Key, a *Attempt) ([]Remedy, bool) {
	var list []Remedy
	if reason == NetworksRequired && k.Observe.Has(ByNetwork) {
		list = one("key", "observe", "remove", ByNetwork.Names()[0])
	}
	addr := sender(a)
	add := netip.PrefixFrom(addr, addr.BitLen())
	missing := len(k.Networks) == 0 || networkAllowed(k, a) != Allowed
	if missing {
		list = append(list, Remedy{"key", "networks", "add", add.String()})
	}
	if a.Grants == nil || !addr.IsValid() {
		return list, addr.IsValid()
	}
	after := *k
	after.Observe &^= ByNetwork
	if missing {
		after.Networks = append(slices.Clip(k.Networks), Network{Prefix: add})
	}
	return list, grantsWithin(&after, a) == Allowed
}

func mendScope(reason Reason, k *Key, a *Attempt) ([]Remedy, bool) {
	need := a.Action.needs(k.usable())
	if reason == ScopeOverCeiling {
		return one("project", "ceilings."+k.ceilingName()+".scopes", "add", need.String()), true
	}
	return one("key", "scopes", "add", (need &^ k.usable()).String()), k.Kind != Public || ClientScopes.Has(need)
}

// ceilingName is that of the ceiling that a key is under.
func (k *Key) ceilingName() string {
	if k.derived() {
		return Secret.String()
	}
	return k.Kind.String()
}

func mendTarget(reason Reason, k *Key, t *Target) ([]Remedy, bool) {
	switch {
	case t == nil:
		return nil, false
	case reason == EnvironmentNotAllowed && t.Environment == "" && k.Parent != nil:
		return nil, false // which of the keys must be widened depends on what is meant
	case reason == EnvironmentNotAllowed && t.Environment == "":
		if env := k.firstOfMode(); env != nil {
			return one("key", "environments", "add", env.Name), true
		}
	case reason == EnvironmentNotAllowed:
		env, _ := k.named(t.Environment)
		return one("key", "environments", "add", t.Environment), k.ofMode(env)
	case reason == EventNotAllowed:
		return one("key", "events", "add", t.Event), t.Event != ""
	case reason == DatasetNotAllowed:
		return one("key", "datasets."+t.Dataset, "add", t.Right.String()), t.Dataset != "" && t.Right != 0
	case reason == DatasetNotDeleted:
		return mendDeletion(k), k.Kind != Public
	}
	return nil, false
}

// mendDeletion lets a key delete records, and the project let its keys do so.
func mendDeletion(k *Key) (list []Remedy) {
	if most := k.ceiling().Scopes; most != 0 && !most.Has(DatasetsDelete) {
		list = one("project", "ceilings."+k.ceilingName()+".scopes", "add", DatasetsDelete.String())
	}
	if !k.usable().Has(DatasetsDelete) {
		list = append(list, one("key", "scopes", "add", DatasetsDelete.String())...)
	}
	return list
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
