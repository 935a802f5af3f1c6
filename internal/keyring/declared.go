package keyring

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
)

// declare puts the keys of the configuration into a snapshot that is not published yet: the clients last, since what they
// come of is declared too. They are read-only, and not stored.
func (r *Ring) declare(all *snapshot, projects []access.Project) error {
	last := func(rec Record) int {
		if rec.Kind == access.Client {
			return 1
		}
		return 0
	}
	for _, rec := range slices.SortedStableFunc(slices.Values(r.cfg.Declared), func(a, b Record) int { return last(a) - last(b) }) {
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
		if err := rec.checkDeclared(project, all.declaredParent(&rec)); err != nil {
			return fmt.Errorf("keyring: the declared key %s: %w", rec.ID, err)
		}
		if err := r.canHash(rec.View); err != nil {
			return fmt.Errorf("keyring: the declared key %s: %w", rec.ID, err)
		}
		epoch, err := rec.declaredEpoch()
		if err != nil {
			return fmt.Errorf("keyring: the declared key %s: %w", rec.ID, err)
		}
		rec.Epoch = epoch
		all.fill(lookup, r.entry(&rec, project))
		all.declared = append(all.declared, rec)
	}
	slices.SortFunc(all.declared, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
	return nil
}

// declaredParent is the declared key of the same project that a declared client names; nil when it names none.
func (s *snapshot) declaredParent(rec *Record) *access.Key {
	at := slices.IndexFunc(s.declared, func(d Record) bool { return d.ID == rec.Parent && d.Project == rec.Project })
	if at < 0 {
		return nil
	}
	lookup, _ := access.LookupOf(rec.Parent)
	parent, _ := s.find(lookup)
	return parent.Key
}

// checkDeclared answers one problem that names every field at fault, or nil, and fills in what was left out.
func (r *Record) checkDeclared(project *access.Project, parent *access.Key) error {
	n := New{Kind: r.Kind, Parent: parent, Mode: r.Mode, Label: r.Label, Steward: r.Steward, Scopes: r.Scopes, Bounds: r.Bounds, PublicKeys: r.Signing.PublicKeys}
	r.Scopes = n.scopes()
	f := n.faults(project, time.Time{})
	switch {
	case r.Parent == "" || parent != nil:
	case r.Kind == access.Client:
		f.add("parent", "is no key that is declared in the project: a declared client comes of a declared key")
	default:
		f.add("parent", "is for clients only")
	}
	if r.Digest == (access.Digest{}) {
		f.add("digest", "must be the SHA-256 of the key")
	}
	if n.signingSecret() {
		f.add("public_keys", "must have one: a signing secret cannot be declared")
	}
	return f.problem()
}

// declaredEpoch stands for what a key is declared to be. It takes the place of a count of changes, which nobody keeps: when
// the file changes what the key may do, or its secret, the tokens from before are dead. It has the 53 bits that a number in
// a token can have.
func (r *Record) declaredEpoch() (int64, error) {
	bare := *r
	bare.Label, bare.Steward, bare.CacheMinutes = "", "", 0
	text, err := json.Marshal(bare.view(), json.Deterministic(true))
	if err != nil {
		return 0, fmt.Errorf("tell it from what it was: %w", err)
	}
	sum := sha256.Sum256(append(text, r.Digest[:]...))
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 11), nil
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
