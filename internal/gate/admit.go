package gate

import (
	"context"

	"github.com/weir-analytics/weir/internal/access"
)

// Admit decides the attempt, charges and records it, and gives the Permit. The attempt's action, time and circumstances
// are the caller's, whatever the attempt says. The key is looked up again: while a body came in slowly, it may have been
// revoked. cost is what the request is to be charged. A denial by a limit is a *Limited.
func (g *Gate) Admit(ctx context.Context, caller Caller, attempt access.Attempt, cost Cost) (Permit, error) {
	p, d, err := g.admit(ctx, caller, &attempt, cost, caller.credential.RequestID)
	if err != nil {
		return Permit{}, err
	}
	g.record(&p.caller, &attempt, &d)
	return p, nil
}

// Foresee decides on what is known of a request before the rest of it is read, and charges the cost. It is for a request whose
// reading costs so much that whoever may not make it, or makes too many, must hear so before. A denial is recorded as one of
// Admit is. A yes is not, and is worth nothing: Admit decides anew, on all of the request, and charges what this did not.
//
// A signature of which only the body is not seen yet counts as right here.
func (g *Gate) Foresee(ctx context.Context, caller Caller, attempt access.Attempt, cost Cost) error {
	if caller.credential.Signed == access.SignatureClaimed {
		caller.credential.Signed = access.SignatureRight
	}
	_, _, err := g.admit(ctx, caller, &attempt, cost, "foreseen "+caller.credential.RequestID) // counted besides what Admit charges
	return err
}

// admit decides and charges.
func (g *Gate) admit(ctx context.Context, caller Caller, attempt *access.Attempt, cost Cost, id string) (p Permit, d access.Decision, err error) {
	if caller.entry.Key == nil {
		panic("gate: Admit without a caller from Identify")
	}
	if !g.again(&caller) {
		return p, d, g.gone(&caller)
	}
	key := caller.entry.Key
	caller.credential.User = g.user(&caller.credential, g.now())
	attempt.Action, attempt.Circumstances, attempt.At = caller.action, caller.credential.Circumstances, g.now()
	if d = access.Decide(key, attempt); !d.Allowed() {
		return p, d, g.deny(&caller, attempt, d, access.Explain)
	}
	charge := Charge{
		RequestID: id, At: attempt.At, Requests: cost.Requests, Credits: cost.Credits,
		Key: accountOf(key), Project: Account{key.Project.ID, key.Project.Policy.Limits},
	}
	var charged Charged
	if key.Kind != access.Operator {
		if charged = g.limits.Take(ctx, charge); charged.Over != "" {
			return p, d, g.limit(&caller, attempt, charged)
		}
	}
	return Permit{caller: caller, data: d.Data, refused: d.Refused, at: attempt.At, charge: charge, charged: charged, gate: g}, d, nil
}

// Cost is what a request is to be charged: requests against the rate and the daily quota, and the credits that are set
// aside until it is known how many it came to.
type Cost struct {
	Requests int64
	Credits  int64
}
