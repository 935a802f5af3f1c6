package gate

import (
	"errors"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// ownRule is the rule that a user token reads what is its user's alone. The policy cannot ask it: which ids were joined with
// the user's is in the data.
const ownRule = "profile is that of no other id than the user token's"

// Withhold records that what was permitted turned out to be what its holder may not have, as only the data can say: what it
// is found by is hidden, or a profile is not its user's alone. It returns err, with the name of the decision. An error of
// another kind, or that names a decision already, comes back as it is.
func (p Permit) Withhold(err error) error {
	p.must()
	no, is := errors.AsType[*problem.Error](err)
	if !is || no.DecisionID != "" {
		return err
	}
	step := access.Step{Target: -1}
	switch {
	case no.Code == problem.ViewNotApplied:
		step.Rule, step.Reason = access.ViewRule, access.ViewNotApplied
	case no.Code == problem.PublicKeyNotEnough && p.data.Own:
		step.Rule, step.Reason = ownRule, access.UserTokenOther
	default:
		return err
	}
	caller := p.caller
	entry := p.gate.entry(&caller, &access.Attempt{Action: caller.action, At: p.at}, step.Reason.String(), step.Rule)
	entry.Environment, entry.Failed = p.data.Environment, []access.Step{step}
	p.gate.ledger.Deny(entry)
	no.DecisionID = entry.ID
	return err
}
