package keyring

import (
	"crypto/ed25519"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// Record is a key as it is kept and listed. It holds nothing secret, but for a signing secret that is sealed. Times are
// UTC, to the microsecond.
type Record struct {
	ID      string // "key_" and the look-up id
	Project string
	Parent  string // of a client, the id of the key that it comes of
	App     string // of a client, the app that was let in with it: then nobody has its secret, and it can only be narrowed
	Kind    access.Kind
	Mode    access.Mode
	Label   string // what the key is for
	Steward string // who answers for it
	Scopes  access.Scopes
	State   access.State
	Member  Membership // of a member
	access.Bounds

	Hint       string        // what may be shown of the present secret
	Public     string        // the whole key, of a public key only
	Digest     access.Digest // SHA-256 of the whole key
	Generation int           // counts the secrets the key has had, from 1
	MintedAt   time.Time     // when the present secret was made
	Former     []Former      // secrets that were replaced and have not ended, oldest first
	Signing    Signing

	CreatedAt time.Time
	UpdatedAt time.Time
	RevokedAt time.Time // zero: not revoked
	CreatedBy string    // the id of the key that created it, or "operator"
	Exposed   gate.Exposure
	ExposedAt time.Time // when the present secret was first seen where others may have seen it; zero: never
	Revision  int64     // counts the changes, from 1
	Epoch     int64     // counts how often it was narrowed: tokens from before are dead
	Declared  bool      // in the configuration: it cannot be changed here
}

// Former is a secret that was replaced, and is good for a while longer.
type Former struct {
	Hint       string        `json:"hint"`
	Digest     access.Digest `json:"digest"`
	Generation int           `json:"generation"`
	MintedAt   time.Time     `json:"minted_at,omitzero"`
	Until      time.Time     `json:"until"`
}

// Signing is what signatures are checked with. The zero Signing is nothing: then none is right.
type Signing struct {
	Sealed     string              `json:"sealed,omitempty"` // the secret, encrypted under the master key
	Hint       string              `json:"hint,omitempty"`   // the secret's last four characters
	PublicKeys []ed25519.PublicKey `json:"public_keys,omitempty"`
}

// Place is a record's place in the order of a list: by creation, and by id within the same microsecond. The zero Place
// is before the first.
type Place struct {
	CreatedAt time.Time
	ID        string
}

// place puts declared keys before all that are stored, whatever the clock said when those were made.
func (r *Record) place() Place {
	if r.Declared {
		return Place{ID: r.ID}
	}
	return Place{r.CreatedAt, r.ID}
}

// key is the record as the policy sees it.
func (r *Record) key(project *access.Project) *access.Key {
	k := &access.Key{
		ID: r.ID, Project: project, Kind: r.Kind, Mode: r.Mode, Scopes: r.Scopes, State: r.State,
		Bounds: r.Bounds, MintedAt: r.MintedAt, RevokedAt: r.RevokedAt, Epoch: r.Epoch, App: r.App, Role: r.Member.Role, Wide: r.Member.Wide,
	}
	if r.Kind == access.Member {
		k.Scopes = k.Role.Scopes() // as the table of roles has it by now
	}
	return k
}

// key is a record as the policy sees it, under the key that it comes of as that is now.
func (r *Ring) key(rec *Record, project *access.Project) *access.Key {
	k := rec.key(project)
	if lookup, ok := access.LookupOf(rec.Parent); ok {
		parent, _ := r.live.Load().find(lookup)
		k.Parent = parent.Key
	}
	return k
}

// New is a key to create.
type New struct {
	Kind    access.Kind // Public, Secret or Client
	Parent  *access.Key // of a client, the key that it comes of, as Peek gave it
	App     string      // of a client, the app that is let in with it; empty: it has a secret
	Mode    access.Mode // none, for a client: its parent's
	Label   string
	Steward string
	Scopes  access.Scopes // none, for a public key: access.UsualClientScopes; for a client: its parent's
	access.Bounds
	PublicKeys []ed25519.PublicKey // that signatures are checked with
	DryRun     bool                // say what would be made, and make nothing
}

// Grant is what creating the key would hand on: it is for the policy to decide on before Create.
func (n New) Grant() *access.Grant {
	g := &access.Grant{Kind: n.Kind, Mode: n.mode(), Scopes: n.scopes(), Bounds: n.Bounds}
	if n.Parent != nil {
		g.Bounds = n.Under(&n.Parent.Bounds)
	}
	return g
}

func (n New) scopes() access.Scopes {
	switch {
	case n.Scopes == 0 && n.Kind == access.Public:
		return access.UsualClientScopes
	case n.Scopes == 0 && n.Kind == access.Client && n.Parent != nil:
		return n.Parent.Scopes
	}
	return n.Scopes
}

func (n New) mode() access.Mode {
	if n.Mode == 0 && n.Parent != nil {
		return n.Parent.Mode
	}
	return n.Mode
}

// check answers one problem that names every field at fault, or nil.
func (n New) check(project *access.Project, now time.Time) error {
	return n.faults(project, now).problem()
}

func (n New) faults(project *access.Project, now time.Time) (f faults) {
	if n.Kind != access.Public && n.Kind != access.Secret && n.Kind != access.Client {
		f.add("kind", "must be public, secret or client")
	}
	if n.mode() != access.Live && n.mode() != access.Test {
		f.add("mode", "must be live or test")
	}
	f.parent(&n)
	f.app(&n)
	f.text("label", n.Label, MaxLabel)
	f.text("steward", n.Steward, MaxSteward)
	f.scopes(n.scopes())
	f.bounds(&n.Bounds, n.Kind)
	f.readsSome(n.scopes(), &n.Bounds, n.Kind)
	f.environments(n.Environments, project, n.mode())
	f.expiry(n.ExpiresAt, now)
	f.publicKeys(n.PublicKeys)
	return f
}

// Change is what to change about a key; what is nil stays as it is.
type Change struct {
	Label        *string
	Steward      *string
	Scopes       *access.Scopes
	Environments *[]string // an empty list: every environment of the key's mode
	Networks     *[]access.Network
	Domains      *[]access.Domain
	Events       *[]string
	Datasets     **access.Datasets // nil: every dataset
	Signature    *bool
	NotBefore    *time.Time    // the zero time: from the beginning
	ExpiresAt    *time.Time    // the zero time: never
	View         **access.View // nil: everything there is to read
	Observe      *access.Restriction
	Limits       *access.Limits
	CacheMinutes *int // 0: as each metric says
	PublicKeys   *[]ed25519.PublicKey

	// Basis is the key as Peek gave it when Grant was decided on. A change that grants anything is refused as a conflict
	// when the key's rights are no longer those of Basis, since the decision was about others. A change that grants
	// nothing needs none.
	Basis *access.Key
	// Revision is the record's, when the change is meant for that alone; 0: for whatever it is by now.
	Revision int64
	// ConfirmLockout lets a key lock itself out.
	ConfirmLockout bool
}

// Grant is what the change would hand on to the key of Basis: it is for the policy to decide on before Update. It is nil
// for a change that adds nothing: another label, fewer scopes or environments, an earlier expiry.
//
// Added scopes are granted within all the bounds the key has then. Wider bounds grant all the scopes the key has then.
func (c Change) Grant() *access.Grant {
	if c.Basis == nil {
		return nil
	}
	return c.grantTo(c.Basis)
}

func (c Change) grantTo(k *access.Key) *access.Grant {
	scopes, after := k.Scopes, *k
	set(&scopes, c.Scopes)
	c.EditBounds(&after.Bounds)
	bounds := after.Bounds
	added := scopes &^ k.Scopes
	if widens(&bounds, &k.Bounds) {
		added = scopes
	}
	if added == 0 {
		return nil
	}
	return &access.Grant{Kind: k.Kind, Mode: k.Mode, Scopes: added, Bounds: after.Granted()}
}

// widens reports whether a key with the bounds after may do more than with those before.
func widens(after, before *access.Bounds) bool {
	earlier := after.NotBefore.Before(before.NotBefore) || after.Observe.Has(access.ByTime) && !before.Observe.Has(access.ByTime) && !before.NotBefore.IsZero()
	return earlier || after.Exceeds(before) != ""
}

// narrows reports whether a change from before takes anything away: tokens that were made before are dead then. A public key
// that signatures are checked with no more takes away the tokens that were got with its signatures; so does another role. Limits are not a token's,
// and are counted as they are.
func (r *Record) narrows(before *Record) bool {
	had, has := before.Bounds, r.Bounds
	had.Limits, has.Limits = access.Limits{}, access.Limits{}
	dropped := slices.ContainsFunc(before.Signing.PublicKeys, func(k ed25519.PublicKey) bool {
		return !slices.ContainsFunc(r.Signing.PublicKeys, func(still ed25519.PublicKey) bool { return still.Equal(k) })
	})
	return dropped || before.Scopes&^r.Scopes != 0 || before.Member != r.Member || before.State == access.Active && r.State != access.Active || widens(&had, &has)
}

// set puts a value where one is given.
func set[T any](into, value *T) {
	if value != nil {
		*into = *value
	}
}

// EditBounds puts what the change says into bounds.
func (c Change) EditBounds(b *access.Bounds) {
	set(&b.Environments, c.Environments)
	set(&b.Networks, c.Networks)
	set(&b.Domains, c.Domains)
	set(&b.Events, c.Events)
	set(&b.Datasets, c.Datasets)
	set(&b.Signature, c.Signature)
	set(&b.NotBefore, c.NotBefore)
	set(&b.ExpiresAt, c.ExpiresAt)
	set(&b.View, c.View)
	set(&b.Observe, c.Observe)
	set(&b.Limits, c.Limits)
	set(&b.CacheMinutes, c.CacheMinutes)
}

// sameRights reports whether two values of a key may do the same, for the same time.
func sameRights(a, b *access.Key) bool {
	return a.Scopes == b.Scopes && a.State == b.State && slices.Equal(a.Environments, b.Environments) && slices.Equal(a.Networks, b.Networks) &&
		slices.Equal(a.Domains, b.Domains) && slices.Equal(a.Events, b.Events) && sameDatasets(a.Datasets, b.Datasets) &&
		a.Signature == b.Signature && a.NotBefore.Equal(b.NotBefore) && a.ExpiresAt.Equal(b.ExpiresAt) && a.RevokedAt.Equal(b.RevokedAt) &&
		a.View.Same(b.View) && a.Observe == b.Observe && a.Limits == b.Limits && a.Role == b.Role && a.Wide == b.Wide
}

// sameChain is sameRights of two keys and of all that they come of.
func sameChain(a, b *access.Key) bool {
	for a != nil && b != nil {
		if !sameRights(a, b) {
			return false
		}
		a, b = a.Parent, b.Parent
	}
	return a == b
}

func sameDatasets(a, b *access.Datasets) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Core == b.Core && a.Premium == b.Premium && slices.Equal(a.Named, b.Named)
}

// check answers one problem that names every field at fault, or nil.
func (c Change) check(rec *Record, parent *access.Key, project *access.Project, now time.Time) error {
	var f faults
	if c.Label != nil {
		f.text("label", *c.Label, MaxLabel)
	}
	if c.Steward != nil {
		f.text("steward", *c.Steward, MaxSteward)
	}
	if c.Scopes != nil {
		f.scopes(*c.Scopes)
	}
	if c.Environments != nil {
		f.environments(*c.Environments, project, rec.Mode)
	}
	if c.ExpiresAt != nil {
		f.expiry(*c.ExpiresAt, now)
	}
	if c.PublicKeys != nil {
		f.publicKeys(*c.PublicKeys)
	}
	after := rec.Bounds
	c.EditBounds(&after)
	f.bounds(&after, rec.Kind)
	scopes := rec.Scopes
	set(&scopes, c.Scopes)
	f.readsSome(scopes, &after, rec.Kind)
	if c.Scopes != nil && parent != nil {
		f.scopesUnder(*c.Scopes, parent)
	}
	return f.problem()
}

func (c Change) apply(rec *Record) {
	set(&rec.Label, c.Label)
	set(&rec.Steward, c.Steward)
	set(&rec.Scopes, c.Scopes)
	set(&rec.Signing.PublicKeys, c.PublicKeys)
	c.EditBounds(&rec.Bounds)
	rec.Bounds = kept(rec.Bounds)
}

// kept is bounds as they are kept: with lists of their own, and times to the microsecond.
func kept(b access.Bounds) access.Bounds {
	b.Environments, b.Networks, b.Domains, b.Events = own(b.Environments), own(b.Networks), own(b.Domains), own(b.Events)
	if b.Datasets != nil {
		datasets := *b.Datasets
		datasets.Named = own(datasets.Named)
		b.Datasets = &datasets
	}
	if !b.ExpiresAt.IsZero() {
		b.ExpiresAt = micros(b.ExpiresAt)
	}
	if !b.NotBefore.IsZero() {
		b.NotBefore = micros(b.NotBefore)
	}
	return b
}

// own is a list of its own, nil when it is empty.
func own[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}

// micros is a time as it is kept.
func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
