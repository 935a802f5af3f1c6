package access

// Step is one rule's verdict on an attempt.
type Step struct {
	Rule   string
	Target int // the index of the target judged; -1 for a rule about the request as a whole
	Reason Reason
}

// Explanation is every rule in the order it is asked, and what Decide says. Unlike Decide it does not stop at the
// first no, so that all that is wrong can be mended at once.
type Explanation struct {
	Decision Decision
	Steps    []Step
}

// Explain runs the rules that Decide runs and lists every verdict.
func Explain(key *Key, attempt *Attempt) Explanation {
	e := Explanation{Decision: Decide(key, attempt)}
	for i := range rules {
		if rules[i].judge != nil {
			e.Steps = append(e.Steps, Step{Rule: rules[i].name, Target: -1, Reason: rules[i].judge(key, attempt)})
		}
	}
	targets := attempt.Targets
	if len(targets) == 0 && attempt.Action.InEnvironment() {
		targets = []Target{{}}
	}
	for n, t := range targets {
		for i := range rules {
			if rules[i].target != nil {
				e.Steps = append(e.Steps, Step{Rule: rules[i].name, Target: n, Reason: rules[i].target(key, attempt, t)})
			}
		}
	}
	return e
}
