package api

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

// Key is a key as the API shows it.
type Key struct {
	ID       string   `json:"id" doc:"The key's public name." example:"key_3fQ9xT0aLmZk"`
	Kind     string   `json:"kind" enum:"public,secret,client,member"`
	Parent   string   `json:"parent,omitzero" doc:"Of a client, the key that it comes of." example:"key_3fQ9xT0aLmZk"`
	Mode     string   `json:"mode" enum:"live,test"`
	Label    string   `json:"label" doc:"What the key is for." example:"web shop"`
	Steward  string   `json:"steward" doc:"Who answers for it." example:"ana@example.com"`
	Scopes   []string `json:"scopes" doc:"The rights it holds."`
	Status   string   `json:"status" enum:"active,disabled,quarantined,not_yet_valid,expired,revoked" doc:"A client that is active by itself has the status of its parent."`
	Prefix   string   `json:"prefix" doc:"How the key begins." example:"pk_live_3fQ9"`
	LastFour string   `json:"last_four" doc:"How the key ends." example:"a1B2"`
	Key      string   `json:"key,omitzero" doc:"The whole key: always of a public key; of a secret key only in the answer that makes it."`
	keyring.Settings
	SigningSecret string           `json:"signing_secret,omitzero" doc:"Only in the answer that makes it."`
	SigningHint   string           `json:"signing_hint,omitzero" doc:"How the signing secret ends, if there is one."`
	PublicKeys    []string         `json:"public_keys" doc:"Ed25519 public keys that signatures are checked with, in base64."`
	Generation    int              `json:"generation" doc:"Counts the key's secrets from 1."`
	MintedAt      time.Time        `json:"minted_at" doc:"When the present secret was made."`
	Former        []FormerSecret   `json:"former" doc:"Secrets that were replaced and still work, the oldest first."`
	Exposed       string           `json:"exposed,omitzero" enum:"url,cleartext,browser" doc:"Where the present secret was seen, when others may have seen it too."`
	ExposedAt     *time.Time       `json:"exposed_at,omitempty" nullable:"false"`
	LastUsed      *KeyUse          `json:"last_used,omitempty" nullable:"false" doc:"In lists and when the key is read: its last use with success; left out when it was never used."`
	Advice        []keyring.Advice `json:"advice" doc:"What should be done about the key."`
	Source        string           `json:"source" enum:"stored,configuration" doc:"Keys of the server's configuration cannot be changed here."`
	CreatedAt     time.Time        `json:"created_at"`
	CreatedBy     string           `json:"created_by" doc:"The id of the key that created it, 'operator' or 'configuration'."`
	UpdatedAt     time.Time        `json:"updated_at"`
	RevokedAt     *time.Time       `json:"revoked_at" doc:"When it was revoked; null: it was not." nullable:"true"`
	Version       int64            `json:"version" doc:"Counts the changes. It is in the ETag, for If-Match."`
}

// FormerSecret is a secret that was replaced and still works.
type FormerSecret struct {
	Prefix     string    `json:"prefix"`
	LastFour   string    `json:"last_four"`
	Generation int       `json:"generation"`
	Until      time.Time `json:"until" doc:"When it stops working."`
}

// KeyPage is one page of a list of keys.
type KeyPage struct {
	Data       []Key   `json:"data" doc:"Oldest first."`
	NextCursor *string `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// scopeName is a scope in an input: one of a closed set.
type scopeName string

// Schema lists the scopes.
func (scopeName) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: "string"}
	for _, name := range access.AllScopes.Names() {
		s.Enum = append(s.Enum, name)
	}
	s.PrecomputeMessages()
	return s
}

// Bounds are what an input says of a key's restrictions and limits; what is left out stays as it is, or is none.
type Bounds struct {
	Environments *[]string          `json:"environments,omitempty" maxItems:"32" doc:"The environments it is restricted to; an empty list: all of its mode." nullable:"false"`
	Networks     *[]keyring.Network `json:"networks,omitempty" maxItems:"100" doc:"The networks it may be used from; an empty list: anywhere." nullable:"false"`
	Domains      *[]string          `json:"domains,omitempty" maxItems:"100" doc:"For a public key: the pages it may be used from; an empty list: any." nullable:"false"`
	Events       *[]string          `json:"events,omitempty" maxItems:"200" doc:"The events it may send, each a name or the beginning of one and a *; an empty list: all." nullable:"false"`
	Datasets     *keyring.Datasets  `json:"datasets,omitempty" doc:"The datasets it may use." nullable:"false"`
	AllDatasets  bool               `json:"all_datasets,omitzero" doc:"Takes the restriction to datasets away."`
	View         *keyring.View      `json:"view,omitempty" doc:"What it sees where it reads: a member for each table, with conditions on its rows, and names hidden or hashed." nullable:"false"`
	NoView       bool               `json:"no_view,omitzero" doc:"Takes the view away."`
	Signature    *bool              `json:"signature,omitempty" doc:"Whether its requests must be signed." nullable:"false"`
	NotBefore    *time.Time         `json:"not_before,omitempty" doc:"When it begins to work." nullable:"false"`
	ExpiresAt    *time.Time         `json:"expires_at,omitempty" doc:"When it stops working; cannot be combined with never_expires." nullable:"false"`
	NeverExpires bool               `json:"never_expires,omitzero" doc:"Takes the expiry away."`
	Observe      *[]string          `json:"observe,omitempty" maxItems:"16" doc:"The restrictions that are only observed: what they would deny is allowed and recorded." nullable:"false"`
	Limits       *limitChange       `json:"limits,omitempty" doc:"How much it may be used; by default as its kind is. What is left out stays as it is." nullable:"false"`
	CacheMinutes *int               `json:"cache_minutes,omitempty" minimum:"0" maximum:"1440" doc:"For a client: how many minutes old answers of metrics may be that it gets, at least 5, whatever a metric says that keeps its answers; 0: as each metric says." nullable:"false"`
	PublicKeys   *[]string          `json:"public_keys,omitempty" maxItems:"4" doc:"Ed25519 public keys to check signatures with: base64 of 32 bytes, or PEM." nullable:"false"`
}

// limitChange has the limits that it changes.
type limitChange struct {
	Rate    *keyring.Rate  `json:"rate,omitempty" doc:"Requests a second." nullable:"false"`
	Daily   *keyring.Quota `json:"daily,omitempty" doc:"Requests a day, UTC." nullable:"false"`
	Credits *keyring.Quota `json:"credits,omitempty" doc:"Credits a calendar month, UTC." nullable:"false"`
}

// over puts the change over the limits there are.
func (c *limitChange) over(l keyring.Limits) keyring.Limits {
	put(&l.Rate, c.Rate)
	put(&l.Daily, c.Daily)
	put(&l.Credits, c.Credits)
	return l
}

type createKey struct {
	Body struct {
		Kind    string      `json:"kind" enum:"public,secret,client" doc:"A public key may be published; a secret key belongs on servers; a client's secret can be exchanged for access tokens and do nothing else."`
		Parent  string      `json:"parent,omitzero" maxLength:"64" doc:"For a client: the secret key that it comes of." example:"key_3fQ9xT0aLmZk"`
		Mode    string      `json:"mode,omitzero" enum:"live,test" doc:"By default live; a client has its parent's."`
		Label   string      `json:"label,omitzero" maxLength:"100" doc:"What the key is for."`
		Steward string      `json:"steward,omitzero" maxLength:"200" doc:"Who answers for it."`
		Scopes  []scopeName `json:"scopes,omitempty" maxItems:"64" doc:"The rights it holds. A public key gets the client-side set by default and cannot hold more; a secret key needs at least one; a client, whose tokens can have these, gets its parent's by default and cannot hold more."`
		DryRun  bool        `json:"dry_run,omitzero" doc:"Says what would be made, and makes nothing."`
		Bounds
	}
	parent *access.Key
	made   keyring.New
}

// wants is about the key that a client comes of, too: what one may not see, one cannot make clients of.
func (in createKey) wants() access.Attempt {
	a := access.Attempt{Grants: in.made.Grant()}
	if in.Body.Parent != "" {
		a.Subject = subject(in.parent)
	}
	return a
}

// keyChange has what it changes; a member left out stays as it is.
type keyChange struct {
	Label   *string      `json:"label,omitempty" maxLength:"100" nullable:"false"`
	Steward *string      `json:"steward,omitempty" maxLength:"200" nullable:"false"`
	Scopes  *[]scopeName `json:"scopes,omitempty" maxItems:"64" nullable:"false"`
	Bounds
	ConfirmLockout bool `json:"confirm_lockout,omitzero" doc:"Lets a key lock itself out."`
}

type updateKey struct {
	ID      string `path:"id" doc:"The key's public name." example:"key_3fQ9xT0aLmZk"`
	IfMatch string `header:"If-Match" maxLength:"100" doc:"The version that the change is meant for, as in the ETag."`
	Body    keyChange
	current *access.Key
	change  keyring.Change
}

type oneKey struct {
	ID      string `path:"id" doc:"The key's public name." example:"key_3fQ9xT0aLmZk"`
	current *access.Key
}

// keyAt is a key to do something with, and the version that is meant.
type keyAt struct {
	ID       string `path:"id" doc:"The key's public name." example:"key_3fQ9xT0aLmZk"`
	IfMatch  string `header:"If-Match" maxLength:"100" doc:"The version that the change is meant for, as in the ETag."`
	current  *access.Key
	revision int64
}

type listKeys struct {
	Steward string `query:"steward" maxLength:"200" doc:"Only keys that this steward answers for."`
	Limit   int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor  string `query:"cursor" maxLength:"500" doc:"Where to go on, from the page before."`
}

func mountKeys(a *API) {
	ring := a.cfg.Keys
	mount(a, endpoint[createKey, Key]{
		Method: "POST", Path: "/v1/keys", Action: access.WriteKeys, Status: 201,
		Read:  readNewKey(a),
		Wants: createKey.wants,
		Do: func(ctx context.Context, permit gate.Permit, in createKey) (Key, error) {
			record, secrets, err := ring.Create(ctx, permit, in.made)
			if in.made.DryRun {
				record.MintedAt = record.CreatedAt
			}
			return a.withSecrets(record, secrets), err
		},
		Write: writeKey(201),
		Doc: doc{
			ID: "createKey", Tag: "Keys", Summary: "Create a key", Problems: []problem.Code{problem.NotFound, problem.GrantTooWide, problem.OverCeiling, problem.Conflict, problem.Unavailable},
			Text: "A secret key is shown in this answer and never again. A key can hand on only scopes and bounds it has itself. " +
				"With dry_run, the answer is 200 and shows what would have been made, without an id and a key.",
			Examples: []example{createKeyExample, dryRunExample}, Version: true, Statuses: map[int]reflect.Type{200: reflect.TypeFor[Key]()},
		},
	})
	mount(a, endpoint[listKeys, KeyPage]{
		Method: "GET", Path: "/v1/keys", Action: access.ReadKeys,
		Read: bound[listKeys](a), Wants: wantsNothing[listKeys],
		Do: func(ctx context.Context, permit gate.Permit, in listKeys) (KeyPage, error) {
			records, next, err := ring.List(ctx, permit, in.Steward, in.Cursor, orDefault(in.Limit, 50))
			if err != nil {
				return KeyPage{}, err
			}
			page := KeyPage{Data: make([]Key, len(records)), NextCursor: cursor(next)}
			for i, r := range records {
				page.Data[i] = a.keyView(r)
			}
			return page, a.addLastUses(ctx, permit, page.Data)
		},
		Doc: doc{ID: "listKeys", Tag: "Keys", Summary: "List keys", Text: "Oldest first, revoked ones too. A test key sees test keys only."},
	})
	mount(a, endpoint[oneKey, Key]{
		Method: "GET", Path: "/v1/keys/{id}", Action: access.ReadKeys,
		Read: readKey(a), Wants: oneKey.wants,
		Do: func(ctx context.Context, permit gate.Permit, in oneKey) (Key, error) {
			record, err := ring.Get(ctx, permit, in.ID)
			if err != nil {
				return Key{}, err
			}
			one := []Key{a.keyView(record)}
			err = a.addLastUses(ctx, permit, one)
			return one[0], err
		},
		Write: writeKey(200),
		Doc:   doc{ID: "readKey", Tag: "Keys", Summary: "Read a key", Problems: []problem.Code{problem.NotFound}, Version: true},
	})
	mount(a, endpoint[updateKey, Key]{
		Method: "PATCH", Path: "/v1/keys/{id}", Action: access.WriteKeys,
		Read: readKeyChange(a),
		Wants: func(in updateKey) access.Attempt {
			return access.Attempt{Subject: subject(in.current), Grants: in.change.Grant()}
		},
		Do: func(ctx context.Context, permit gate.Permit, in updateKey) (Key, error) {
			record, err := ring.Update(ctx, permit, in.ID, in.change)
			return a.keyView(record), err
		},
		Write: writeKey(200),
		Doc: doc{
			ID: "updateKey", Tag: "Keys", Summary: "Change a key", Version: true, Text: "Takes effect before the answer. What is left out stays as it is.",
			Problems: []problem.Code{problem.NotFound, problem.Conflict, problem.GrantTooWide, problem.OverCeiling, problem.Lockout, problem.PreconditionFailed},
		},
	})
	mount(a, endpoint[keyAt, nothing]{
		Method: "DELETE", Path: "/v1/keys/{id}", Action: access.WriteKeys, Status: 204,
		Read: readKeyAt(a), Wants: keyAt.wants,
		Do: func(ctx context.Context, permit gate.Permit, in keyAt) (nothing, error) {
			_, err := ring.Revoke(ctx, permit, in.ID, in.revision)
			return nothing{}, err
		},
		Doc: doc{
			ID: "revokeKey", Tag: "Keys", Summary: "Revoke a key", Problems: []problem.Code{problem.NotFound, problem.Conflict, problem.PreconditionFailed},
			Text: "When this has answered, the key is refused everywhere. Revoking it again changes nothing.",
		},
	})
}

// readKey reads the id, and looks at what the key is now, for the policy to judge.
func readKey(a *API) func(*request) (oneKey, error) {
	read := bound[oneKey](a)
	return func(rq *request) (oneKey, error) {
		in, err := read(rq)
		in.current, _ = a.cfg.Keys.Peek(rq.caller.Project(), in.ID)
		return in, err
	}
}

// readKeyAt reads the id and the version, and looks at what the key is now.
func readKeyAt(a *API) func(*request) (keyAt, error) {
	read := bound[keyAt](a)
	return func(rq *request) (keyAt, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		in.current, _ = a.cfg.Keys.Peek(rq.caller.Project(), in.ID)
		in.revision, err = versionOf(in.IfMatch)
		return in, err
	}
}

func readNewKey(a *API) func(*request) (createKey, error) {
	read := bound[createKey](a)
	return func(rq *request) (createKey, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		if in.Body.Parent != "" {
			in.parent, _ = a.cfg.Keys.Peek(rq.caller.Project(), in.Body.Parent)
		}
		in.made, err = in.key()
		return in, err
	}
}

// checkTimes refuses the year 1, which to the keyring means never.
func (b *Bounds) checkTimes() (faults []problem.Field) {
	if b.ExpiresAt != nil && b.ExpiresAt.IsZero() {
		faults = append(faults, problem.Field{Name: "expires_at", Detail: "must be in the future"})
	}
	if b.NeverExpires && b.ExpiresAt != nil {
		faults = append(faults, problem.Field{Name: "never_expires", Detail: "cannot be combined with expires_at"})
	}
	if b.AllDatasets && b.Datasets != nil {
		faults = append(faults, problem.Field{Name: "all_datasets", Detail: "cannot be combined with datasets"})
	}
	if b.NoView && b.View != nil {
		faults = append(faults, problem.Field{Name: "no_view", Detail: "cannot be combined with view"})
	}
	return faults
}

func readKeyChange(a *API) func(*request) (updateKey, error) {
	read := bound[updateKey](a)
	return func(rq *request) (updateKey, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		in.current, _ = a.cfg.Keys.Peek(rq.caller.Project(), in.ID)
		in.change, err = in.Body.read(in.current, in.IfMatch)
		return in, err
	}
}

// versionOf reads the version in an If-Match; 0 when there is none, or any will do.
func versionOf(ifMatch string) (int64, error) {
	if ifMatch == "" || ifMatch == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(ifMatch, `"`), 10, 64)
	if err != nil || n < 1 || etag(n) != ifMatch {
		return 0, problem.New(problem.PreconditionFailed, "The If-Match header names no version there could be.").At("header.If-Match", "is not an ETag of this address")
	}
	return n, nil
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// writeKey answers with a key and its version.
func writeKey(status int) func(*request, Key) error {
	return func(rq *request, k Key) error {
		if k.ID == "" { // of a dry run
			return rq.writeJSON(http.StatusOK, k)
		}
		rq.reply.Header().Set("ETag", etag(k.Version))
		return rq.writeJSON(status, k)
	}
}

func (in oneKey) wants() access.Attempt { return access.Attempt{Subject: subject(in.current)} }

func (in keyAt) wants() access.Attempt { return access.Attempt{Subject: subject(in.current)} }

// subject is a key as a thing that an attempt is about; one that is not there is the zero Subject.
func subject(k *access.Key) *access.Subject {
	if k == nil {
		return &access.Subject{}
	}
	return &access.Subject{Project: k.Project.ID, Mode: k.Mode}
}

func (in createKey) key() (keyring.New, error) {
	n := keyring.New{
		Kind: access.Public, Mode: access.Live, Label: in.Body.Label, Steward: in.Body.Steward, Scopes: scopes(in.Body.Scopes), DryRun: in.Body.DryRun,
	}
	n.Limits = access.DefaultLimits(n.Kind)
	switch n.Parent = in.parent; in.Body.Kind {
	case "secret":
		n.Kind, n.Limits = access.Secret, access.DefaultLimits(access.Secret)
	case "client":
		n.Kind, n.Limits = access.Client, access.Limits{}
	}
	switch {
	case in.Body.Mode == "test":
		n.Mode = access.Test
	case in.Body.Mode == "" && in.parent != nil:
		n.Mode = in.parent.Mode
	}
	c, faults := in.Body.change(n.Limits)
	c.EditBounds(&n.Bounds)
	if c.PublicKeys != nil {
		n.PublicKeys = *c.PublicKeys
	}
	return n, keyring.Invalid(faults)
}

func (in *keyChange) read(current *access.Key, ifMatch string) (keyring.Change, error) {
	var limits access.Limits
	if current != nil {
		limits = current.Limits
	}
	c, faults := in.change(limits)
	c.Label, c.Steward, c.Basis, c.ConfirmLockout = in.Label, in.Steward, current, in.ConfirmLockout
	if in.Scopes != nil {
		set := scopes(*in.Scopes)
		c.Scopes = &set
	}
	if err := keyring.Invalid(faults); err != nil {
		return c, err
	}
	var err error
	c.Revision, err = versionOf(ifMatch)
	return c, err
}

// change reads what an input says of bounds. limits are those there are.
func (b *Bounds) change(limits access.Limits) (c keyring.Change, faults []problem.Field) {
	faults = b.checkTimes()
	c = keyring.Change{Environments: b.Environments, Events: b.Events, Signature: b.Signature, NotBefore: b.NotBefore, ExpiresAt: b.ExpiresAt, CacheMinutes: b.CacheMinutes}
	if b.NeverExpires {
		c.ExpiresAt = &time.Time{}
	}
	c.Networks = parsed(b.Networks, keyring.ParseNetworks, &faults)
	c.Domains = parsed(b.Domains, keyring.ParseDomains, &faults)
	c.Observe = parsed(b.Observe, keyring.ParseObserve, &faults)
	if b.Limits != nil {
		whole := b.Limits.over(keyring.LimitsOf(limits))
		c.Limits = parsed(&whole, keyring.ParseLimits, &faults)
	}
	c.PublicKeys = parsed(b.PublicKeys, parsePublicKeys, &faults)
	if b.Datasets != nil || b.AllDatasets {
		c.Datasets = parsed(&b.Datasets, keyring.ParseDatasets, &faults)
	}
	if c.View = parsed(b.View, keyring.ParseView, &faults); b.NoView {
		c.View = new(*access.View)
	}
	return c, faults
}

// parsed reads a member, if it is there.
func parsed[I, O any](in *I, parse func(I) (O, []problem.Field), faults *[]problem.Field) *O {
	if in == nil {
		return nil
	}
	out, wrong := parse(*in)
	*faults = append(*faults, wrong...)
	return &out
}

func parsePublicKeys(texts []string) (keys []ed25519.PublicKey, faults []problem.Field) {
	for i, text := range texts {
		key, err := signature.ParsePublicKey(text)
		if err != nil {
			faults = append(faults, problem.Field{Name: fmt.Sprintf("public_keys[%d]", i), Detail: err.Error()})
		}
		keys = append(keys, key)
	}
	return keys, faults
}

func scopes(names []scopeName) access.Scopes {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	return access.ScopesOf(texts)
}

func (a *API) keyView(r keyring.Record) Key {
	now := a.cfg.Now()
	k := Key{
		ID: r.ID, Kind: r.Kind.String(), Parent: r.Parent, Mode: r.Mode.String(), Label: r.Label, Steward: r.Steward, Scopes: r.Scopes.Names(), Status: a.statusOf(&r, now),
		Key: r.Public, Settings: keyring.SettingsOf(&r.Bounds), SigningHint: r.Signing.Hint, PublicKeys: []string{}, Generation: r.Generation, MintedAt: r.MintedAt,
		Former: []FormerSecret{}, Exposed: string(r.Exposed), ExposedAt: timeOrNull(r.ExposedAt), Advice: a.cfg.Keys.Advice(&r), Source: "stored",
		CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy, UpdatedAt: r.UpdatedAt, RevokedAt: timeOrNull(r.RevokedAt), Version: r.Revision,
	}
	if r.Declared {
		k.Source = "configuration"
	}
	k.Prefix, k.LastFour, _ = strings.Cut(r.Hint, "…")
	for _, f := range r.Former {
		if f.Until.After(now) {
			prefix, last, _ := strings.Cut(f.Hint, "…")
			k.Former = append(k.Former, FormerSecret{prefix, last, f.Generation, f.Until})
		}
	}
	for _, key := range r.Signing.PublicKeys {
		k.PublicKeys = append(k.PublicKeys, signature.FormatPublicKey(key))
	}
	return k
}

// statusOf is what has become of a key, and of a client what has become of its parent, if nothing of itself.
func (a *API) statusOf(r *keyring.Record, now time.Time) string {
	status := statusAt(now, r.RevokedAt, r.State, &r.Bounds)
	if r.Parent == "" || status != "active" {
		return status
	}
	parent, found := a.cfg.Keys.Peek(r.Project, r.Parent)
	if !found {
		return "revoked"
	}
	return statusAt(now, parent.RevokedAt, parent.State, &parent.Bounds)
}

// statusAt tells what ends a key before what holds it up.
func statusAt(now, revoked time.Time, state access.State, b *access.Bounds) string {
	switch {
	case !revoked.IsZero():
		return "revoked"
	case !b.ExpiresAt.IsZero() && !now.Before(b.ExpiresAt):
		return "expired"
	case state != access.Active:
		return state.String()
	case now.Before(b.NotBefore):
		return "not_yet_valid"
	}
	return "active"
}

// withSecrets is the answer that makes a secret: the one place where it is shown.
func (a *API) withSecrets(r keyring.Record, made keyring.Secrets) Key {
	k := a.keyView(r)
	if !made.Key.Empty() {
		k.Key = made.Key.Reveal()
	}
	k.SigningSecret = made.Signing.Reveal()
	return k
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func cursor(next string) *string {
	if next == "" {
		return nil
	}
	return &next
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}
