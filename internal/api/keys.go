package api

import (
	"context"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// Key is a key as the API shows it.
type Key struct {
	ID           string     `json:"id" doc:"The key's public name." example:"key_3fQ9xT0aLmZk"`
	Kind         string     `json:"kind" enum:"public,secret"`
	Mode         string     `json:"mode" enum:"live,test"`
	Label        string     `json:"label" doc:"What the key is for." example:"web shop"`
	Steward      string     `json:"steward" doc:"Who answers for it." example:"ana@example.com"`
	Scopes       []string   `json:"scopes" doc:"The rights it holds."`
	Environments []string   `json:"environments" doc:"The environments it is restricted to; empty: all of its mode."`
	Prefix       string     `json:"prefix" doc:"How the key begins." example:"pk_live_3fQ9"`
	LastFour     string     `json:"last_four" doc:"How the key ends." example:"a1B2"`
	Key          string     `json:"key,omitzero" doc:"The whole key: always of a public key; of a secret key only in the answer that creates it."`
	Status       string     `json:"status" enum:"active,expired,revoked"`
	CreatedAt    time.Time  `json:"created_at"`
	CreatedBy    string     `json:"created_by" doc:"The id of the key that created it, or 'operator'."`
	UpdatedAt    time.Time  `json:"updated_at"`
	ExpiresAt    *time.Time `json:"expires_at" doc:"When it stops working; null: never."`
	RevokedAt    *time.Time `json:"revoked_at" doc:"When it was revoked; null: it was not."`
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

type createKey struct {
	Body struct {
		Kind         string      `json:"kind" enum:"public,secret" doc:"A public key may be published; a secret key belongs on servers."`
		Mode         string      `json:"mode,omitzero" enum:"live,test" doc:"By default live."`
		Label        string      `json:"label,omitzero" maxLength:"100" doc:"What the key is for."`
		Steward      string      `json:"steward,omitzero" maxLength:"200" doc:"Who answers for it."`
		Scopes       []scopeName `json:"scopes,omitempty" maxItems:"64" doc:"The rights it holds. A public key gets the client-side set by default and cannot hold more; a secret key needs at least one."`
		Environments []string    `json:"environments,omitempty" maxItems:"32" doc:"The environments it is restricted to; empty: all of its mode."`
		ExpiresAt    *time.Time  `json:"expires_at,omitempty" doc:"When it stops working; by default never."`
	}
}

type updateKey struct {
	ID      string `path:"id" doc:"The key's public name." example:"key_3fQ9xT0aLmZk"`
	Body    keyChange
	current *access.Key
}

// keyChange has what it changes; a member left out stays as it is.
type keyChange struct {
	Label        *string      `json:"label,omitempty" maxLength:"100" nullable:"false"`
	Steward      *string      `json:"steward,omitempty" maxLength:"200" nullable:"false"`
	Scopes       *[]scopeName `json:"scopes,omitempty" maxItems:"64" nullable:"false"`
	Environments *[]string    `json:"environments,omitempty" maxItems:"32" doc:"An empty list: every environment of the key's mode." nullable:"false"`
	ExpiresAt    *time.Time   `json:"expires_at,omitempty" doc:"A new time to stop working; cannot be combined with never_expires." nullable:"false"`
	NeverExpires bool         `json:"never_expires,omitzero" doc:"Takes the expiry away."`
}

type oneKey struct {
	ID      string `path:"id" doc:"The key's public name." example:"key_3fQ9xT0aLmZk"`
	current *access.Key
}

type listKeys struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor string `query:"cursor" maxLength:"500" doc:"Where to go on, from the page before."`
}

func mountKeys(a *API) {
	ring := a.cfg.Keys
	mount(a, endpoint[createKey, Key]{
		Method: "POST", Path: "/v1/keys", Action: access.WriteKeys, Status: 201,
		Read:  readNewKey(a),
		Wants: func(in createKey) access.Attempt { return access.Attempt{Grants: in.key().Grant()} },
		Do: func(ctx context.Context, permit gate.Permit, in createKey) (Key, error) {
			record, key, err := ring.Create(ctx, permit, in.key())
			if err != nil {
				return Key{}, err
			}
			return a.withKey(record, key), nil
		},
		Doc: doc{
			ID: "createKey", Tag: "Keys", Summary: "Create a key", Problems: []problem.Code{problem.GrantTooWide},
			Text:     "A secret key is shown in this answer and never again. A key can hand on only scopes and environments it holds itself.",
			Examples: []example{createKeyExample},
		},
	})
	mount(a, endpoint[listKeys, KeyPage]{
		Method: "GET", Path: "/v1/keys", Action: access.ReadKeys,
		Read: bound[listKeys](a), Wants: wantsNothing[listKeys],
		Do: func(ctx context.Context, permit gate.Permit, in listKeys) (KeyPage, error) {
			records, next, err := ring.List(ctx, permit, in.Cursor, orDefault(in.Limit, 50))
			if err != nil {
				return KeyPage{}, err
			}
			page := KeyPage{Data: make([]Key, len(records)), NextCursor: cursor(next)}
			for i, r := range records {
				page.Data[i] = a.keyView(r)
			}
			return page, nil
		},
		Doc: doc{ID: "listKeys", Tag: "Keys", Summary: "List keys", Text: "Oldest first, revoked ones too. A test key sees test keys only."},
	})
	mount(a, endpoint[oneKey, Key]{
		Method: "GET", Path: "/v1/keys/{id}", Action: access.ReadKeys,
		Read: readKey(a), Wants: oneKey.wants,
		Do: func(ctx context.Context, permit gate.Permit, in oneKey) (Key, error) {
			record, err := ring.Get(ctx, permit, in.ID)
			return a.keyView(record), err
		},
		Doc: doc{ID: "readKey", Tag: "Keys", Summary: "Read a key", Problems: []problem.Code{problem.NotFound}},
	})
	mount(a, endpoint[updateKey, Key]{
		Method: "PATCH", Path: "/v1/keys/{id}", Action: access.WriteKeys,
		Read: readKeyChange(a),
		Wants: func(in updateKey) access.Attempt {
			return access.Attempt{Subject: subject(in.current), Grants: in.change().Grant()}
		},
		Do: func(ctx context.Context, permit gate.Permit, in updateKey) (Key, error) {
			record, err := ring.Update(ctx, permit, in.ID, in.change())
			return a.keyView(record), err
		},
		Doc: doc{
			ID: "updateKey", Tag: "Keys", Summary: "Change a key", Text: "Takes effect before the answer. What is left out stays as it is.",
			Problems: []problem.Code{problem.NotFound, problem.Conflict, problem.GrantTooWide},
		},
	})
	mount(a, endpoint[oneKey, nothing]{
		Method: "DELETE", Path: "/v1/keys/{id}", Action: access.WriteKeys, Status: 204,
		Read: readKey(a), Wants: oneKey.wants,
		Do: func(ctx context.Context, permit gate.Permit, in oneKey) (nothing, error) {
			_, err := ring.Revoke(ctx, permit, in.ID)
			return nothing{}, err
		},
		Doc: doc{
			ID: "revokeKey", Tag: "Keys", Summary: "Revoke a key", Problems: []problem.Code{problem.NotFound},
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

func readNewKey(a *API) func(*request) (createKey, error) {
	read := bound[createKey](a)
	return func(rq *request) (createKey, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		return in, checkExpiry(in.Body.ExpiresAt)
	}
}

// checkExpiry refuses the year 1, which to the keyring means never.
func checkExpiry(at *time.Time) error {
	if at != nil && at.IsZero() {
		return problem.Invalid("expires_at", "must be in the future")
	}
	return nil
}

func readKeyChange(a *API) func(*request) (updateKey, error) {
	read := bound[updateKey](a)
	return func(rq *request) (updateKey, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		if in.Body.NeverExpires && in.Body.ExpiresAt != nil {
			return in, problem.Invalid("never_expires", "cannot be combined with expires_at")
		}
		in.current, _ = a.cfg.Keys.Peek(rq.caller.Project(), in.ID)
		return in, checkExpiry(in.Body.ExpiresAt)
	}
}

func (in oneKey) wants() access.Attempt { return access.Attempt{Subject: subject(in.current)} }

// subject is a key as a thing that an attempt is about; one that is not there is the zero Subject.
func subject(k *access.Key) *access.Subject {
	if k == nil {
		return &access.Subject{}
	}
	return &access.Subject{Project: k.Project.ID, Mode: k.Mode}
}

func (in createKey) key() keyring.New {
	n := keyring.New{
		Kind: access.Public, Mode: access.Live, Label: in.Body.Label, Steward: in.Body.Steward,
		Scopes: scopes(in.Body.Scopes), Environments: in.Body.Environments,
	}
	if in.Body.Kind == "secret" {
		n.Kind = access.Secret
	}
	if in.Body.Mode == "test" {
		n.Mode = access.Test
	}
	if in.Body.ExpiresAt != nil {
		n.ExpiresAt = *in.Body.ExpiresAt
	}
	return n
}

func (in updateKey) change() keyring.Change {
	c := keyring.Change{Label: in.Body.Label, Steward: in.Body.Steward, Environments: in.Body.Environments, ExpiresAt: in.Body.ExpiresAt, Basis: in.current}
	if in.Body.Scopes != nil {
		set := scopes(*in.Body.Scopes)
		c.Scopes = &set
	}
	if in.Body.NeverExpires {
		c.ExpiresAt = &time.Time{}
	}
	return c
}

func scopes(names []scopeName) access.Scopes {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	return access.ScopesOf(texts)
}

func (a *API) keyView(r keyring.Record) Key {
	k := Key{
		ID: r.ID, Kind: r.Kind.String(), Mode: r.Mode.String(), Label: r.Label, Steward: r.Steward, Scopes: r.Scopes.Names(),
		Environments: append([]string{}, r.Environments...), Key: r.Public, Status: "active",
		CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy, UpdatedAt: r.UpdatedAt, ExpiresAt: timeOrNull(r.ExpiresAt), RevokedAt: timeOrNull(r.RevokedAt),
	}
	k.Prefix, k.LastFour, _ = strings.Cut(r.Hint, "…")
	switch {
	case !r.RevokedAt.IsZero():
		k.Status = "revoked"
	case !r.ExpiresAt.IsZero() && !a.cfg.Now().Before(r.ExpiresAt):
		k.Status = "expired"
	}
	return k
}

// withKey is the answer that creates a key: the one place where a secret key is shown.
func (a *API) withKey(r keyring.Record, key access.Text) Key {
	k := a.keyView(r)
	k.Key = key.Reveal()
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
