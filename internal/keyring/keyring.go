// Package keyring owns the life of keys: minting them, showing a secret once, listing, changing, rotating, disabling,
// restoring and revoking them, what their signatures are checked with, and the live snapshot in which the gate finds a
// key.
//
//	Create, Update, Rotate, Revoke --> Store --> snapshot --Lookup--> gate
//
// The store is changed first and the snapshot before the call returns, so a key that was revoked is refused from then
// on. When the store fails in a way that leaves open what it kept, the ring asks it again, and refuses a key whose
// rights it cannot know.
//
// It does not own what a key may do or who may grant what (access), who asks (gate), nor how keys are kept (it declares
// Store). Of a secret key it knows the SHA-256 only; a public key is kept whole, so that it can be copied again.
//
// Problems: invalid_field, not_found, conflict, precondition_failed, would_widen, grant_too_wide, over_ceiling, lockout,
// unavailable.
package keyring

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
)

// Store keeps keys. Texts come back byte for byte, times to the microsecond and in UTC. A call that fails may or may
// not have had its effect.
type Store interface {
	// Projects lists every project with its environments in the order they were made.
	Projects(ctx context.Context) ([]access.Project, error)
	// EachKey calls visit for every key of every project, in no order, and stops at visit's first error.
	EachKey(ctx context.Context, visit func(Record) error) error
	// InsertKey stores a new key and the audit of its making, both or neither. The error is ErrTaken when its id exists, and
	// ErrNoMember when it is of a member who does not.
	InsertKey(ctx context.Context, key Record, entry audit.Entry) error
	// Keys lists keys of a project, oldest first.
	Keys(ctx context.Context, q Query) ([]Record, error)
	// ChangeKey applies change to the key as it is stored, and stores the outcome with its revision counted up and the
	// audit that change gives, with no other change in between; it may call change again, with a newer key, when there was
	// one. An error of change comes back in the chain, and nothing is stored. A change that gives no audit stores nothing.
	// The error is ErrNoKey when the project has none of that id.
	ChangeKey(ctx context.Context, project, id string, change func(*Record) (*audit.Entry, error)) (Record, error)
	// ChangePolicy does to a project's policy what ChangeKey does to a key.
	ChangePolicy(ctx context.Context, project string, change func(*PolicyRecord) (*audit.Entry, error)) (PolicyRecord, error)
}

// Query narrows a list of keys.
type Query struct {
	Project  string
	ID       string // only this key; empty: all
	Live     bool   // those of live mode too
	Steward  string // only this steward's; empty: all
	Grants   bool   // only those that apps were let in with
	App      string // only those that this app was let in with; empty: all
	Standing bool   // only those that have not been revoked
	After    Place
	Limit    int
}

// Vault encrypts signing secrets. about binds a text to its place, so that it cannot be read in another.
type Vault interface {
	Seal(plain []byte, about string) (string, error)
	Open(sealed, about string) ([]byte, error)
	Stale(sealed string) bool // it should be sealed anew, under the present master key
}

// What a Store answers.
var (
	ErrNoMember = errors.New("keyring: there is no such member")
	ErrTaken    = errors.New("keyring: the key's id is taken")
	ErrNoKey    = errors.New("keyring: the project has no such key")
)

var _ gate.Keys = (*Ring)(nil)

// Config is what a ring needs of the world.
type Config struct {
	Now      func() time.Time // the clock; required
	NewID    func() string    // names entries of the audit; required
	Random   io.Reader        // where keys come from; nil: crypto/rand
	Vault    Vault            // nil: there are no signing secrets
	Declared []Record         // keys of the configuration
	Log      *slog.Logger     // nil: nothing is logged
	// IgnoreCleartext does not note that a secret came in cleartext.
	IgnoreCleartext bool
	// RevokeInCleartext ends a secret that came in cleartext, instead of only noting it.
	RevokeInCleartext bool
}

// Ring is every key there is. It implements gate.Keys. Its methods may be called from many goroutines.
type Ring struct {
	store Store
	cfg   Config
	live  atomic.Pointer[snapshot]

	changing turn // of whoever changes the store or the snapshot
	doubt    *doubt
	noting   sync.Map // the sightings that are being noted
}

// turn is a lock that one can stop waiting for.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// Open loads every project and key into the snapshot.
func Open(ctx context.Context, store Store, cfg Config) (*Ring, error) {
	if cfg.Now == nil || cfg.NewID == nil {
		return nil, errors.New("keyring: the config has no clock, or nothing that names entries")
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Ring{store: store, cfg: cfg, changing: make(turn, 1)}
	projects, err := store.Projects(ctx)
	if err != nil {
		return nil, fmt.Errorf("keyring: load projects: %w", err)
	}
	all := newSnapshot(projects)
	load := func(rec Record) error {
		lookup, ok := access.LookupOf(rec.ID)
		project := all.projects[rec.Project]
		if !ok || project == nil {
			return fmt.Errorf("key %q of project %q is not one this program stored", rec.ID, rec.Project)
		}
		all.fill(lookup, r.entry(&rec, project))
		return nil
	}
	if err := store.EachKey(ctx, load); err != nil {
		return nil, fmt.Errorf("keyring: load keys: %w", err)
	}
	if err := r.declare(all, projects); err != nil {
		return nil, err
	}
	all.link()
	r.live.Store(all)
	return r, nil
}

// Lookup finds a key by the public part of the credential. It takes no lock and allocates nothing, and does the same for
// an id that is unknown, to within a fraction of a microsecond. The entry is meaningless when found is false.
func (r *Ring) Lookup(lookup access.Lookup) (gate.Entry, bool) {
	e, found := r.live.Load().find(lookup)
	return e.Entry, found
}

// Peek gives a project's key as the policy sees it now, without asking the store. It is for finding out what a Change
// would grant, before that is decided; see Change.Basis. The key is shared and must not be changed.
func (r *Ring) Peek(project, id string) (*access.Key, bool) {
	lookup, ok := access.LookupOf(id)
	if !ok {
		return nil, false
	}
	e, found := r.live.Load().find(lookup)
	if !found || e.Key.Project.ID != project || e.Key.Kind == access.Operator {
		return nil, false
	}
	return e.Key, true
}

// Project gives a project as the policy sees it now. It is shared and must not be changed.
func (r *Ring) Project(id string) (*access.Project, bool) {
	p, ok := r.live.Load().projects[id]
	return p, ok
}

// DropProject takes a project out of the snapshot: when it returns, every key of it is unknown.
func (r *Ring) DropProject(id string) {
	r.changing <- struct{}{}
	defer r.changing.give()
	r.live.Store(r.live.Load().withoutProject(id))
}

// SetProject puts a project, new or changed, into the snapshot, for all its keys at once. It costs a look at every key. The
// policy of a project that is there already stays as it is: SetPolicy changes that.
func (r *Ring) SetProject(p access.Project) {
	p.Environments = slices.Clone(p.Environments)
	r.changing <- struct{}{}
	defer r.changing.give()
	live := r.live.Load()
	if known := live.projects[p.ID]; known != nil {
		p.Policy = known.Policy
	}
	r.live.Store(live.withProject(&p))
}

// Operator mints a key that holds every right in a project and is kept in the snapshot only: it is gone with the
// process, is never stored and never listed. It is for the command line on the data folder of a stopped server.
func (r *Ring) Operator(project string) (access.Text, error) {
	r.changing <- struct{}{}
	defer r.changing.give()
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
		r.live.Store(live.with(lookup, entry{Entry: gate.Entry{Key: key, Digest: parsed.Digest, Generation: 1}}))
		return text, nil
	}
	return access.Text{}, errNoFreeID
}
