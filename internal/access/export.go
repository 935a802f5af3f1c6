package access

import "time"

// exportRules are those of an export that hold until it is over: not how the one request came, but what whoever asked for
// it may have taken out.
var exportRules = [...]rule{
	{judge: kindKnown},
	{judge: holdsScope, above: holdsScope},
	{judge: scopeUnderCeiling},
}

// StillExports reports whether a key that asked for an export is good at a time, may still have the target taken out, and
// still sees all of what a view lets through. It is what Decide says of asking, without what is about the one request.
func StillExports(k *Key, t *Target, seen *View, at time.Time) bool {
	attempt := Attempt{Action: WriteExports, At: at}
	d := Decision{Reason: Allowed}
	if Stands(k, at, time.Time{}, time.Time{}) != Allowed || !d.ask(exportRules[:], k, &attempt) {
		return false
	}
	attempt.Targets = []Target{*t}
	d.askOfTargets(k, &attempt)
	return d.Reason == Allowed && len(d.Refused) == 0 && seen.Within(k.Sees())
}
