package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// onlyNarrower refuses to give what an app was let in with a way in of its own, or more than somebody agreed to.
func onlyNarrower() error {
	return problem.New(problem.Conflict, "An app was let in with this key: it has no secret, and can only be narrowed or revoked. For more, the app must ask again.")
}

// GrantQuery narrows a list of what apps were let in with.
type GrantQuery struct {
	App      string // only this app's; empty: all
	After    string // what the page before gave as next; empty: the first page
	Limit    int    // 1 to MaxPage
	Standing bool   // only those that have not been revoked
}

// Grants lists what apps were let in with in the permit's project, as List does.
func (r *Ring) Grants(ctx context.Context, permit gate.Permit, q GrantQuery) (keys []Record, next string, err error) {
	var f faults
	place, ok := readCursor(q.After)
	if !ok {
		f.add("cursor", "is not one that a list gave")
	}
	if q.Limit < 1 || q.Limit > MaxPage {
		f.add("limit", "must be from 1 to %d", MaxPage)
	}
	if err := f.problem(); err != nil {
		return nil, "", err
	}
	keys, err = r.store.Keys(ctx, Query{
		Project: permit.Project(), Live: permit.Live(), Grants: true, App: q.App, Standing: q.Standing, After: place, Limit: q.Limit + 1,
	})
	if err != nil {
		return nil, "", fmt.Errorf("keyring: list what apps were let in with: %w", err)
	}
	if len(keys) > q.Limit {
		keys = keys[:q.Limit]
		next = writeCursor(keys[q.Limit-1].place())
	}
	return keys, next, nil
}

// EndGrant revokes what an app was let in with, because of something that the program found out by itself; action names it
// in the audit. When it returns without an error, the key and all that was made with it is refused. What is revoked already,
// or is no grant, stays as it is.
func (r *Ring) EndGrant(ctx context.Context, project, id, action string) error {
	if err := r.beginOwn(ctx); err != nil {
		return err
	}
	defer r.changing.give()
	owner := r.live.Load().projects[project]
	if owner == nil {
		return notFound()
	}
	by := func(before, after shown) audit.Entry {
		return audit.Own(r.cfg.Now(), owner.Organization, project, r.cfg.NewID(), action, id, before, after)
	}
	_, err := r.changeNow(ctx, project, id, 0, by, func(rec *Record, _ *access.Project, now time.Time) error {
		if rec.App == "" {
			return errUnchanged
		}
		rec.RevokedAt = now
		return nil
	})
	if errors.Is(err, errRevoked) {
		return nil
	}
	return err
}
