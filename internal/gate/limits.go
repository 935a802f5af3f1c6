package gate

import (
	"errors"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Limited is a denial by a limit, with the state of the limits for the answer's headers.
type Limited struct {
	Charged Charged
	problem *problem.Error
}

// Error is the problem's text for the log.
func (l *Limited) Error() string { return l.problem.Error() }

// Unwrap gives the problem.
func (l *Limited) Unwrap() error { return l.problem }

// ChargedOf is the state of the limits that a denial carries, if a limit denied.
func ChargedOf(err error) (Charged, bool) {
	if l, ok := errors.AsType[*Limited](err); ok {
		return l.Charged, true
	}
	return Charged{}, false
}

// The names of the limits, as they stand in answers and in the ledger.
const (
	KeyRate        = "key_rate"
	KeyDaily       = "key_daily"
	KeyCredits     = "key_credits"
	ProjectRate    = "project_rate"
	ProjectDaily   = "project_daily"
	ProjectCredits = "project_credits"
	LimitsDown     = "limits_unavailable" // the counters cannot be reached, and the limit denies then
)

// counter is the state of a limit by its name.
func (c *Charged) counter(name string) Counter {
	for _, have := range c.All {
		if have.Name == name {
			return have
		}
	}
	return Counter{Name: name}
}

// limit records a denial by a limit.
func (g *Gate) limit(caller *Caller, attempt *access.Attempt, charged Charged) error {
	p := overLimit(charged)
	entry := g.entry(caller, attempt, charged.Over, "limit "+charged.Over)
	if len(attempt.Targets) > 0 {
		entry.Environment, entry.Event = attempt.Targets[0].Environment, attempt.Targets[0].Event
	}
	p.DecisionID = entry.ID
	g.ledger.Deny(entry)
	return &Limited{Charged: charged, problem: p}
}

func overLimit(c Charged) *problem.Error {
	var p *problem.Error
	switch c.Over {
	case LimitsDown:
		p = problem.New(problem.LimitsUnavailable, "The limits cannot be counted just now, and nothing is let through uncounted.")
		c.Wait = max(c.Wait, time.Second)
	case KeyCredits, ProjectCredits:
		p = problem.New(problem.CreditsExhausted, "The request needs more credits than are left of %d this month (limit %s).", c.Next.Most, c.Over)
	default:
		p = problem.New(problem.RateLimited, "The limit %s of %d in %s is reached.", c.Over, c.Next.Most, c.Next.Window)
		p.Violated = []string{c.Over}
	}
	if p.Code != problem.CreditsExhausted {
		p.RetryAfter = max(c.Wait, 0)
	}
	return p
}
