// Package keyring owns the life of keys: minting them, showing a secret once, listing, changing and revoking them, and
// the live snapshot in which the gate finds a key.
//
//	Create, Update, Revoke --> Store --> snapshot --Lookup--> gate
//
// The store is changed first and the snapshot before the call returns, so a key that was revoked is refused from then
// on. When the store fails in a way that leaves open what it kept, the ring asks it again, and refuses a key whose
// rights it cannot know.
//
// It does not own what a key may do or who may grant what (access), who asks (gate), nor how keys are kept (it declares
// Store). Of a secret key it knows the SHA-256 only; a public key is kept whole, so that it can be copied again.
//
// Problems: invalid_field, not_found, conflict, unavailable.
package keyring

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// Store keeps keys. Texts come back byte for byte, times to the microsecond and in UTC. A call that fails may or may
// not have had its effect.
type Store interface {
	// Projects lists every project with its environments in the order they were made.
	Projects(ctx context.Context) ([]access.Project, error)
	// EachKey calls visit for every key of every project, in no order, and stops at visit's first error.
	EachKey(ctx context.Context, visit func(Record) error) error
	// InsertKey stores a new key. The error is ErrTaken when its id exists.
	InsertKey(ctx context.Context, key Record) error
	// Key reads one key of a project. The error is ErrNoKey when the project has none of that id.
	Key(ctx context.Context, project, id string) (Record, error)
	// Keys lists at most limit keys of a project that come after a place, oldest first; those of live mode only if live.
	Keys(ctx context.Context, project string, live bool, after Place, limit int) ([]Record, error)
	// ChangeKey applies change to the key as it is stored and stores the outcome, with no other change in between; it
	// may call change again, with a newer key, when there was one. An error of change comes back in the chain, and
	// nothing is stored. The error is ErrNoKey when the project has none of that id.
	ChangeKey(ctx context.Context, project, id string, change func(*Record) error) (Record, error)
}

// What a Store answers.
var (
	ErrTaken = errors.New("keyring: the key's id is taken")
	ErrNoKey = errors.New("keyring: the project has no such key")
)

var _ gate.Keys = (*Ring)(nil)

// Config is what a ring needs of the world.
type Config struct {
	Now    func() time.Time // the clock; required
	Random io.Reader        // where keys come from; nil: crypto/rand
}

// Ring is every key there is. It implements gate.Keys. Its methods may be called from many goroutines.
type Ring struct {
	store  Store
	now    func() time.Time
	random io.Reader
	live   atomic.Pointer[snapshot]

	changing sync.Mutex // held by whoever changes the store or the snapshot
	doubt    *doubt
}

// doubt is a key whose state in the store is not known, because the store failed while it was changed. There is one at
// the most: nothing more is changed before it is settled.
type doubt struct{ project, id string }

// Open loads every project and key into the snapshot.
func Open(ctx context.Context, store Store, cfg Config) (*Ring, error) {
	if cfg.Now == nil {
		return nil, errors.New("keyring: the config has no clock")
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	r := &Ring{store: store, now: cfg.Now, random: cfg.Random}
	projects, err := store.Projects(ctx)
	if err != nil {
		return nil, fmt.Errorf("keyring: load projects: %w", err)
	}
	all := newSnapshot(projects)
	err = store.EachKey(ctx, func(rec Record) error {
		lookup, ok := access.LookupOf(rec.ID)
		project := all.projects[rec.Project]
		if !ok || project == nil {
			return fmt.Errorf("key %q of project %q is not one this program stored", rec.ID, rec.Project)
		}
		all.fill(lookup, rec.entry(project))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keyring: load keys: %w", err)
	}
	r.live.Store(all)
	return r, nil
}

// Lookup finds a key by the public part of the credential. It takes no lock and allocates nothing, and does the same for
// an id that is unknown, to within a fraction of a microsecond. digest is meaningless when found is false.
func (r *Ring) Lookup(lookup access.Lookup) (key *access.Key, digest access.Digest, found bool) {
	e, found := r.live.Load().find(lookup)
	return e.key, e.digest, found
}

// Peek gives a project's key as the policy sees it now, without asking the store. It is for finding out what a Change
// would grant, before that is decided; see Change.Basis. The key is shared and must not be changed.
func (r *Ring) Peek(project, id string) (*access.Key, bool) {
	lookup, ok := access.LookupOf(id)
	if !ok {
		return nil, false
	}
	e, found := r.live.Load().find(lookup)
	if !found || e.key.Project.ID != project || e.key.Kind == access.Operator {
		return nil, false
	}
	return e.key, true
}

// SetProject puts a project, new or changed, into the snapshot, for all its keys at once. It costs a look at every key.
func (r *Ring) SetProject(p access.Project) {
	p.Environments = slices.Clone(p.Environments)
	r.changing.Lock()
	defer r.changing.Unlock()
	r.live.Store(r.live.Load().withProject(&p))
}

// Operator mints a key that holds every right in a project and is kept in the snapshot only: it is gone with the
// process, is never stored and never listed. It is for the command line on the data folder of a stopped server.
func (r *Ring) Operator(project string) (access.Text, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	live := r.live.Load()
	owner := live.projects[project]
	if owner == nil {
		return access.Text{}, fmt.Errorf("keyring: there is no project %q", project)
	}
	for range mintAttempts {
		lookup, text, err := r.mint(access.Secret, access.Live)
		if err != nil {
			return access.Text{}, err
		}
		if _, taken := live.find(lookup); taken {
			continue
		}
		parsed, err := access.ParseKey(text.Reveal())
		if err != nil {
			return access.Text{}, fmt.Errorf("keyring: read back a minted key: %w", err)
		}
		key := &access.Key{ID: lookup.ID(), Project: owner, Kind: access.Operator, Mode: access.Live, Scopes: access.AllScopes}
		r.live.Store(live.with(lookup, entry{key, parsed.Digest}))
		return text, nil
	}
	return access.Text{}, errNoFreeID
}
