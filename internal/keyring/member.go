package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Membership is whose key a member's is, and what the member may do in its project.
type Membership struct {
	ID   string // of the member
	Role access.Role
	Wide bool // the role is one in all projects of the organization
}

// hasSecret reports whether the key has a secret that somebody answers for.
func (r *Record) hasSecret() bool { return r.Kind != access.Public && r.Kind != access.Member }

// MemberKeys lists the keys that a member acts through: one for each project in which there is one. They are shared and
// must not be changed. A revoked one is not among them.
func (r *Ring) MemberKeys(member string) []*access.Key {
	live := r.live.Load()
	var keys []*access.Key
	for _, lookup := range live.members[member] {
		if e, found := live.find(lookup); found && e.Key.RevokedAt.IsZero() {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

// MemberOf is whose key a key is; empty when it is no member's.
func (r *Ring) MemberOf(id string) string {
	lookup, ok := access.LookupOf(id)
	if !ok {
		return ""
	}
	e, _ := r.live.Load().find(lookup)
	return e.member
}

// Join makes the key that a member acts through in a project, if there is none, and gives its id. Nobody gets to know a
// secret of it. by makes the entry of the audit of what it is given. Whether whoever asks may give the role was decided
// before. The problem is not_found when there is no such project, and conflict when the member is gone.
func (r *Ring) Join(ctx context.Context, project, member string, role access.Role, wide bool, by func(subject string, after any) audit.Entry) (string, error) {
	m := Membership{ID: member, Role: role, Wide: wide}
	if err := r.beginOwn(ctx); err != nil {
		return "", err
	}
	defer r.changing.give()
	if r.live.Load().projects[project] == nil {
		return "", problem.New(problem.NotFound, "There is no such project.")
	}
	for _, k := range r.MemberKeys(m.ID) {
		if k.Project.ID == project {
			return k.ID, nil
		}
	}
	for range mintAttempts {
		id, err := r.join(ctx, project, m, by)
		switch {
		case errors.Is(err, ErrTaken):
			continue
		case errors.Is(err, ErrNoMember):
			return "", problem.Wrap(err, problem.Conflict, "The member was removed just now.")
		}
		return id, err
	}
	return "", errNoFreeID
}

func (r *Ring) join(ctx context.Context, project string, m Membership, by func(string, any) audit.Entry) (string, error) {
	lookup, text, err := r.mint(access.Secret, access.Live) // nobody sees the text: what it digests to fits nothing
	if err != nil {
		return "", err
	}
	if _, taken := r.live.Load().find(lookup); taken {
		return "", ErrTaken
	}
	now := micros(r.cfg.Now())
	rec := Record{
		ID: lookup.ID(), Project: project, Kind: access.Member, Mode: access.Live, Label: "member " + m.ID, Scopes: m.Role.Scopes(), Member: m,
		Bounds: access.Bounds{Limits: access.DefaultLimits(access.Secret)}, CreatedAt: now, UpdatedAt: now, CreatedBy: audit.System, Revision: 1,
	}
	if err := rec.take(text, now); err != nil {
		return "", err
	}
	rec.Hint = ""
	err = r.store.InsertKey(ctx, rec, by(rec.ID, rec.view()))
	switch {
	case errors.Is(err, ErrTaken), errors.Is(err, ErrNoMember):
		return "", err
	case err != nil:
		r.unsure(ctx, &rec, now)
		return "", fmt.Errorf("keyring: store a member's key: %w", err)
	}
	r.publish(rec)
	return rec.ID, nil
}

// SetRole gives the member of a key another role. When it returns, no token from before is good. Whether whoever asks may
// give it was decided before.
func (r *Ring) SetRole(ctx context.Context, permit gate.Permit, project, id string, role access.Role, wide bool) error {
	return r.changeMember(ctx, permit, project, id, "member.role", func(rec *Record, _ *access.Project, _ time.Time) error {
		if rec.Member.Role == role && rec.Member.Wide == wide {
			return errUnchanged
		}
		rec.Member.Role, rec.Member.Wide, rec.Scopes = role, wide, role.Scopes()
		return nil
	})
}

// EndMember revokes the key of a member. When it returns, no token of it is good.
func (r *Ring) EndMember(ctx context.Context, permit gate.Permit, project, id string) error {
	err := r.changeMember(ctx, permit, project, id, "member.end", func(rec *Record, _ *access.Project, now time.Time) error {
		rec.RevokedAt = now
		return nil
	})
	if errors.Is(err, errRevoked) {
		return nil
	}
	return err
}

// changeMember edits the key of a member, which may be of another project than the permit.
func (r *Ring) changeMember(ctx context.Context, permit gate.Permit, project, id, action string, edit edit) error {
	if err := r.begin(ctx, permit); err != nil {
		return err
	}
	defer r.changing.give()
	if k, found := r.Peek(project, id); !found || k.Kind != access.Member || k.Project.Organization != permit.Organization() {
		return notFound()
	}
	by := func(before, after shown) audit.Entry {
		entry := audit.Of(permit, r.cfg.NewID(), action, id, before, after)
		entry.Project = project
		return entry
	}
	_, err := r.changeNow(ctx, project, id, 0, by, edit)
	return err
}

// Bound counts the keys of a project that are restricted to an environment, and are not revoked.
func (r *Ring) Bound(project, environment string) (count int) {
	for _, shard := range r.live.Load().shards {
		for _, e := range shard {
			k := e.Key
			if k.Project.ID == project && k.RevokedAt.IsZero() && slices.Contains(k.Environments, environment) {
				count++
			}
		}
	}
	return count
}
