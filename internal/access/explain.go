package access

import (
	"strconv"
	"time"
)

// Step is one rule's verdict on an attempt.
type Step struct {
	Rule     string
	Target   int // the index of the target judged; -1 for a rule about the request as a whole
	Reason   Reason
	Observed bool // the no is only noted: the rule comes of a restriction that the key observes
}

// Explanation is every rule in the order it is asked, and what Decide says. Unlike Decide it does not stop at the
// first no, so that all that is wrong can be mended at once.
type Explanation struct {
	Decision Decision
	Steps    []Step
	Remedies []Remedy // the smallest changes that together would have allowed the attempt; nil when there are none
}

// Remedy is one change that takes away one no.
type Remedy struct {
	Of    string // what to change: "key", "project" or "request"
	Field string // which member of it
	Do    string // "add", "set" or "remove"
	Value string
}

// Explain runs the rules that Decide runs and lists every verdict.
func Explain(key *Key, attempt *Attempt) Explanation {
	e := Explanation{Decision: Decide(key, attempt)}
	mendable := true
	step := func(r *rule, index int, t *Target, reason Reason) {
		s := Step{Rule: r.name, Target: index, Reason: reason, Observed: reason != Allowed && r.observed(key)}
		e.Steps = append(e.Steps, s)
		if reason == Allowed || s.Observed {
			return
		}
		remedy, ok := mend(reason, key, attempt, t)
		mendable = mendable && ok
		e.suggest(remedy)
	}
	for i := range rules {
		if rules[i].judge != nil {
			step(&rules[i], -1, nil, rules[i].judge(key, attempt))
		}
	}
	targets := attempt.Targets
	if len(targets) == 0 && attempt.Action.InEnvironment() {
		targets = []Target{{}}
	}
	for n := range targets {
		for i := range rules {
			if rules[i].target != nil {
				step(&rules[i], n, &targets[n], rules[i].target(key, attempt, &targets[n]))
			}
		}
	}
	if !mendable {
		e.Remedies = nil
	}
	return e
}

// suggest adds a remedy, once.
func (e *Explanation) suggest(r Remedy) {
	for _, have := range e.Remedies {
		if have == r {
			return
		}
	}
	e.Remedies = append(e.Remedies, r)
}

// Rules lists the names of the rules in the order in which they are asked.
func Rules() []string {
	names := make([]string, len(rules))
	for i := range rules {
		names[i] = rules[i].name
	}
	return names
}

// mend is the smallest change that takes a no away. There is none for what has no way back, and for what is not the
// key's to have.
func mend(reason Reason, k *Key, a *Attempt, t *Target) (Remedy, bool) {
	switch reason {
	case KeyDisabled, KeyQuarantined:
		return Remedy{"key", "state", "set", Active.String()}, true
	case KeyNotYetValid:
		return Remedy{"key", "not_before", "set", stamp(a.At)}, !a.At.IsZero()
	case KeyExpired:
		return Remedy{"key", "expires_at", "remove", ""}, true
	case SentInCleartext:
		return Remedy{"request", "scheme", "set", "https"}, true
	case SecretInURL:
		return Remedy{"request", "credential", "set", InHeader.String()}, true
	case SecretInBrowser:
		return Remedy{"request", "browser", "remove", ""}, true
	case NetworkNotAllowed:
		return network("add", a), a.Address.IsValid()
	case NetworksRequired:
		return network("set", a), a.Address.IsValid()
	case DomainNotAllowed:
		return Remedy{"key", "domains", "add", a.Origin.String()}, a.Origin.Host != ""
	case SignatureMissing, SignatureRequired, SignatureInvalid:
		return Remedy{"request", "signature", "set", "a right one"}, true
	case ScopeMissing, ScopeOverCeiling:
		return mendScope(reason, k, a)
	case SecretTooOld:
		return Remedy{"key", "secret", "set", "a new one, by rotation"}, true
	}
	return mendTarget(reason, k, t)
}

func network(do string, a *Attempt) Remedy {
	addr := a.Address.Unmap()
	return Remedy{"key", "networks", do, addr.String() + "/" + strconv.Itoa(addr.BitLen())}
}

func mendScope(reason Reason, k *Key, a *Attempt) (Remedy, bool) {
	need := a.Action.Scope()
	if reason == ScopeOverCeiling {
		return Remedy{"project", "ceilings." + k.Kind.String() + ".scopes", "add", need.String()}, true
	}
	return Remedy{"key", "scopes", "add", (need &^ k.usable()).String()}, k.Kind != Public || ClientScopes.Has(need)
}

func mendTarget(reason Reason, k *Key, t *Target) (Remedy, bool) {
	switch {
	case t == nil:
		return Remedy{}, false
	case reason == EnvironmentNotAllowed && t.Environment != "":
		env, _ := k.named(t.Environment)
		return Remedy{"key", "environments", "add", t.Environment}, k.ofMode(env)
	case reason == EventNotAllowed:
		return Remedy{"key", "events", "add", t.Event}, true
	case reason == DatasetNotAllowed:
		return Remedy{"key", "datasets." + t.Dataset, "add", t.Right.String()}, true
	}
	return Remedy{}, false
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
