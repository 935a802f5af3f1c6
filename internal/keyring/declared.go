package keyring

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// declare puts the keys of the configuration into a snapshot that is not published yet. They are read-only, and not
// stored.
func (r *Ring) declare(all *snapshot, projects []access.Project) error {
	for _, rec := range r.cfg.Declared {
		if rec.Project == "" && len(projects) > 0 {
			rec.Project = projects[0].ID
		}
		lookup, ok := access.LookupOf(rec.ID)
		project := all.projects[rec.Project]
		if !ok || project == nil {
			return fmt.Errorf("keyring: the declared key %q has no id of a key, or is of no project there is", rec.ID)
		}
		if _, taken := all.find(lookup); taken {
			return fmt.Errorf("keyring: the declared key %s is stored, or declared twice", rec.ID)
		}
		rec.Declared, rec.Generation, rec.Revision, rec.Bounds = true, 1, 1, kept(rec.Bounds)
		rec.CreatedAt, rec.UpdatedAt, rec.CreatedBy = declaredAt(), declaredAt(), "configuration"
		if err := rec.checkDeclared(project); err != nil {
			return fmt.Errorf("keyring: the declared key %s: %w", rec.ID, err)
		}
		if err := r.canHash(rec.View); err != nil {
			return fmt.Errorf("keyring: the declared key %s: %w", rec.ID, err)
		}
		all.fill(lookup, r.entry(&rec, project))
		all.declared = append(all.declared, rec)
	}
	slices.SortFunc(all.declared, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
	return nil
}

// checkDeclared answers one problem that names every field at fault, or nil, and fills in what was left out.
func (r *Record) checkDeclared(project *access.Project) error {
	n := New{Kind: r.Kind, Mode: r.Mode, Label: r.Label, Steward: r.Steward, Scopes: r.Scopes, Bounds: r.Bounds, PublicKeys: r.Signing.PublicKeys}
	r.Scopes = n.scopes()
	f := n.faults(project, time.Time{})
	if r.Digest == (access.Digest{}) {
		f.add("digest", "must be the SHA-256 of the key")
	}
	if n.signingSecret() {
		f.add("public_keys", "must have one: a signing secret cannot be declared")
	}
	return f.problem()
}

// declaredAt is what a list shows as the creation of declared keys.
func declaredAt() time.Time { return time.Unix(0, 0).UTC() }

func (r *Ring) declaredKey(project, id string) (Record, bool) {
	for _, rec := range r.live.Load().declared {
		if rec.ID == id && rec.Project == project {
			return rec, true
		}
	}
	return Record{}, false
}

// declaredAfter lists the declared keys that a query asks for.
func (r *Ring) declaredAfter(q Query) []Record {
	var list []Record
	for _, rec := range r.live.Load().declared {
		later := q.After == Place{} || q.After.CreatedAt.IsZero() && rec.ID > q.After.ID
		wanted := rec.Project == q.Project && (q.Live || rec.Mode == access.Test) && (q.Steward == "" || rec.Steward == q.Steward)
		if later && wanted && len(list) < q.Limit {
			list = append(list, rec)
		}
	}
	return list
}
