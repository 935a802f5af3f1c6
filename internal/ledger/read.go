package ledger

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Limits on one page.
const (
	MaxPage  = 200
	MaxCount = 1000 // of counts, shapes and clients
)

// Filter narrows a list of denials. Empty fields do not narrow.
type Filter struct {
	ID      string // one denial, by its decision id
	KeyID   string
	Reason  string
	Action  access.Action
	Outcome Outcome   // Denied, Observed or Limited
	From    time.Time // decided at it or later
	To      time.Time // decided before it
	Before  string    // what the page before gave as next; empty for the newest
	Limit   int       // 1 to MaxPage
}

// DenialQuery is a Filter as the store gets it: within one project, and Before as a place.
type DenialQuery struct {
	Project string
	Live    bool // denials of keys of live mode are in it
	ID      string
	KeyID   string
	Reason  string
	Action  access.Action
	Outcome Outcome
	From    time.Time
	To      time.Time // zero: no end
	Before  Place     // the zero Place: from the newest
	Limit   int
}

// Place is a denial's place in the order of a list: by time, and by id within the same microsecond.
type Place struct {
	At time.Time
	ID string
}

// Denials lists the denials of the permit's project, newest first. What was decided before the call is in the answer,
// unless the store cannot take it. next is empty after the last page.
func (l *Ledger) Denials(ctx context.Context, permit gate.Permit, f Filter) (list []gate.Denial, next string, err error) {
	q := DenialQuery{
		Project: permit.Project(), Live: permit.Live(), ID: f.ID, KeyID: f.KeyID, Reason: f.Reason, Action: f.Action, Outcome: f.Outcome,
		From: f.From, To: f.To, Limit: f.Limit + 1,
	}
	if err := f.check(); err != nil {
		return nil, "", err
	}
	if f.Before != "" {
		var ok bool
		if q.Before.At, ok = readCursor(f.Before, &q.Before.ID); !ok {
			return nil, "", badCursor()
		}
	}
	_ = l.flush(ctx, false) // what the store does not take, Stats tells
	list, err = l.store.Denials(ctx, q)
	if err != nil {
		return nil, "", fmt.Errorf("ledger: list denials: %w", err)
	}
	if len(list) > f.Limit {
		list = list[:f.Limit]
		last := list[f.Limit-1]
		next = writeCursor(last.At, last.ID)
	}
	return list, next, nil
}

// Decision is the denial of an id, in the permit's project. Denials of keys that are not known belong to no project, and
// are not found.
func (l *Ledger) Decision(ctx context.Context, permit gate.Permit, id string) (d gate.Denial, found bool, err error) {
	if id == "" {
		return d, false, problem.Invalid("id", "is not the id of a decision")
	}
	list, _, err := l.Denials(ctx, permit, Filter{ID: id, Limit: 1})
	if err != nil || len(list) == 0 {
		return d, false, err
	}
	return list[0], true, nil
}

func (f Filter) check() error {
	if len(f.ID) > maxText || !printable(f.ID) {
		return problem.Invalid("id", "is not the id of a decision")
	}
	if f.Outcome == Allowed || f.Outcome > Limited {
		return problem.Invalid("outcome", "is not one of a denial")
	}
	if f.Limit < 1 || f.Limit > MaxPage {
		return problem.Invalid("limit", "must be from 1 to %d", MaxPage)
	}
	return checkAbout(About{KeyID: f.KeyID, Reason: f.Reason, Action: f.Action})
}

// checkAbout refuses what no count can be about. Empty members are not looked at.
func checkAbout(a About) error {
	switch _, ok := access.LookupOf(a.KeyID); {
	case a.KeyID != "" && !ok:
		return problem.Invalid("key_id", "is not the id of a key")
	case a.Action != 0 && !a.Action.Declared():
		return problem.Invalid("action", "is not an action")
	case a.Outcome > Limited:
		return problem.Invalid("outcome", "is not an outcome")
	case !storable(a.Environment):
		return problem.Invalid("environment", "is no name, or one of more than %d bytes", maxText)
	case !storable(a.Event):
		return problem.Invalid("event", "is no name, or one of more than %d bytes", maxText)
	case a.Network.IsValid() && NetworkOf(a.Network.Addr()) != a.Network:
		return problem.Invalid("network", "is none that is counted: those are /24 of IPv4 and /48 of IPv6")
	}
	if ok, _ := regexp.MatchString(`^[a-z_]{0,64}$`, a.Reason); !ok {
		return problem.Invalid("reason", "is not a reason")
	}
	return nil
}
