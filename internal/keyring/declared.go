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
		n := New{Kind: rec.Kind, Mode: rec.Mode, Label: rec.Label, Steward: rec.Steward, Scopes: rec.Scopes, Bounds: rec.Bounds, PublicKeys: rec.Signing.PublicKeys}
		if err := n.check(project, time.Time{}); err != nil {
			return fmt.Errorf("keyring: the declared key %s: %w", rec.ID, err)
		}
		rec.Scopes = n.scopes()
		all.fill(lookup, r.entry(&rec, project))
		r.declared = append(r.declared, rec)
	}
	slices.SortFunc(r.declared, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
	return nil
}

// declaredAt is the time that declared keys are listed under: before all others.
func declaredAt() time.Time { return time.Unix(0, 0).UTC() }

func (r *Ring) declaredKey(project, id string) (Record, bool) {
	for _, rec := range r.declared {
		if rec.ID == id && rec.Project == project {
			return rec, true
		}
	}
	return Record{}, false
}

// declaredAfter lists the declared keys that a query asks for.
func (r *Ring) declaredAfter(q Query) []Record {
	var list []Record
	for _, rec := range r.declared {
		later := rec.CreatedAt.After(q.After.CreatedAt) || rec.CreatedAt.Equal(q.After.CreatedAt) && rec.ID > q.After.ID
		wanted := rec.Project == q.Project && (q.Live || rec.Mode == access.Test) && (q.Steward == "" || rec.Steward == q.Steward)
		if later && wanted && len(list) < q.Limit {
			list = append(list, rec)
		}
	}
	return list
}
