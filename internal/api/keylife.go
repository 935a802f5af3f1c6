package api

import (
	"context"
	"reflect"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

type rotateKey struct {
	ID      string `path:"id" doc:"The key's public name." example:"key_3fQ9xT0aLmZk"`
	IfMatch string `header:"If-Match" maxLength:"100" doc:"The version that the change is meant for, as in the ETag."`
	Body    struct {
		ExpiresIn int64 `json:"expires_in,omitzero" minimum:"0" maximum:"7776000" doc:"For how many seconds older secrets still work; 0, the default: they end at once."`
	} `optional:"true"`
	current  *access.Key
	revision int64
}

type restoreKey struct {
	ID      string    `path:"id" doc:"The key's public name." example:"key_3fQ9xT0aLmZk"`
	IfMatch string    `header:"If-Match" maxLength:"100" doc:"The version that the change is meant for, as in the ETag."`
	Body    keyChange `optional:"true"`
	current *access.Key
	change  keyring.Change
}

type handOver struct {
	Body struct {
		From string `json:"from" minLength:"1" maxLength:"200" doc:"The steward who leaves." example:"ana@example.com"`
		To   string `json:"to" maxLength:"200" doc:"Who answers for the keys from now on." example:"ben@example.com"`
	}
}

// HandedOver are the keys that have another steward now.
type HandedOver struct {
	Data []Key `json:"data"`
	More bool  `json:"more" doc:"Whether there are more: ask again."`
}

func mountKeyLife(a *API) {
	ring := a.cfg.Keys
	mount(a, endpoint[rotateKey, Key]{
		Method: "POST", Path: "/v1/keys/{id}/rotate", Action: access.WriteKeys, Read: readRotation(a),
		Wants: func(in rotateKey) access.Attempt {
			return access.Attempt{Subject: subject(in.current), Grants: keyring.Renewal(in.current)}
		},
		Do: func(ctx context.Context, permit gate.Permit, in rotateKey) (Key, error) {
			record, secrets, err := ring.Rotate(ctx, permit, in.ID, time.Duration(in.Body.ExpiresIn)*time.Second, in.revision)
			return a.withSecrets(record, secrets), err
		},
		Write: writeKey(200),
		Doc: doc{
			ID: "rotateKey", Tag: "Keys", Version: true, Summary: "Give a key a new secret",
			Text: "The id and all settings stay, and so does what was counted. The new secret is in this answer; older ones work for expires_in seconds more. " +
				"Who still uses an old one is in /v1/keys/{id}/clients. Its answers carry Deprecation and Sunset headers.",
			Problems: []problem.Code{problem.NotFound, problem.Conflict, problem.GrantTooWide, problem.OverCeiling, problem.PreconditionFailed},
		},
	})
	for _, state := range [...]struct {
		name, id, summary, text string
		set                     func(context.Context, gate.Permit, string, int64) (keyring.Record, error)
	}{
		{"disable", "disableKey", "Switch a key off", "It is refused as if it were unknown, until it is restored.", ring.Disable},
		{"quarantine", "quarantineKey", "Put a key into quarantine", "It is told that it is in quarantine and may do nothing, until it is restored.", ring.Quarantine},
	} {
		mount(a, endpoint[keyAt, Key]{
			Method: "POST", Path: "/v1/keys/{id}/" + state.name, Action: access.WriteKeys, Read: readKeyAt(a), Wants: keyAt.wants,
			Do: func(ctx context.Context, permit gate.Permit, in keyAt) (Key, error) {
				record, err := state.set(ctx, permit, in.ID, in.revision)
				return a.keyView(record), err
			},
			Write: writeKey(200),
			Doc: doc{
				ID: state.id, Tag: "Keys", Version: true, Summary: state.summary, Text: state.text + " Takes effect before the answer.",
				Problems: []problem.Code{problem.NotFound, problem.Conflict, problem.PreconditionFailed},
			},
		})
	}
	mountRestore(a)
	mountSigningSecret(a)
	mountHandOver(a)
	mountRevokeSelf(a)
}

func mountRestore(a *API) {
	mount(a, endpoint[restoreKey, Key]{
		Method: "POST", Path: "/v1/keys/{id}/restore", Action: access.WriteKeys, Read: readRestore(a),
		Wants: func(in restoreKey) access.Attempt {
			return access.Attempt{Subject: subject(in.current), Grants: in.change.Restoring()}
		},
		Do: func(ctx context.Context, permit gate.Permit, in restoreKey) (Key, error) {
			record, err := a.cfg.Keys.Restore(ctx, permit, in.ID, in.change)
			return a.keyView(record), err
		},
		Write: writeKey(200),
		Doc: doc{
			ID: "restoreKey", Tag: "Keys", Version: true, Summary: "Switch a key on again",
			Text:     "A disabled or quarantined key works again, with the settings it had or with the narrower ones in the body. A revoked key stays revoked.",
			Problems: []problem.Code{problem.NotFound, problem.Conflict, problem.GrantTooWide, problem.OverCeiling, problem.WouldWiden, problem.PreconditionFailed},
		},
	})
}

func mountSigningSecret(a *API) {
	mount(a, endpoint[keyAt, Key]{
		Method: "POST", Path: "/v1/keys/{id}/signing-secret", Action: access.WriteKeys, Read: readKeyAt(a),
		Wants: func(in keyAt) access.Attempt {
			return access.Attempt{Subject: subject(in.current), Grants: keyring.Renewal(in.current)}
		},
		Do: func(ctx context.Context, permit gate.Permit, in keyAt) (Key, error) {
			record, secrets, err := a.cfg.Keys.NewSigningSecret(ctx, permit, in.ID, in.revision)
			return a.withSecrets(record, secrets), err
		},
		Write: writeKey(200),
		Doc: doc{
			ID: "makeSigningSecret", Tag: "Keys", Version: true, Summary: "Make a signing secret for a key",
			Text: "It is in this answer as signing_secret, and never shown again. The one before is wrong from then on. An Ed25519 public key, registered with the " +
				"key, needs no secret here at all.",
			Problems: []problem.Code{problem.NotFound, problem.Conflict, problem.GrantTooWide, problem.OverCeiling, problem.PreconditionFailed},
		},
	})
}

func mountHandOver(a *API) {
	mount(a, endpoint[handOver, HandedOver]{
		Method: "POST", Path: "/v1/keys/hand-over", Action: access.WriteKeys, Read: bound[handOver](a), Wants: wantsNothing[handOver],
		Do: func(ctx context.Context, permit gate.Permit, in handOver) (HandedOver, error) {
			records, more, err := a.cfg.Keys.HandOver(ctx, permit, in.Body.From, in.Body.To)
			out := HandedOver{Data: make([]Key, len(records)), More: more}
			for i, r := range records {
				out.Data[i] = a.keyView(r)
			}
			return out, err
		},
		Doc: doc{
			ID: "handOverKeys", Tag: "Keys", Summary: "Hand the keys of a steward over", Problems: []problem.Code{problem.Conflict},
			Text: "For when somebody leaves: another steward answers for all their keys. GET /v1/keys?steward= lists them first.",
		},
	})
}

func mountRevokeSelf(a *API) {
	mount(a, endpoint[nothing, nothing]{
		Method: "DELETE", Path: "/v1/whoami", Action: access.RevokeSelf, Status: 204, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (nothing, error) {
			_, err := a.cfg.Keys.Revoke(ctx, permit, permit.Key().ID, 0)
			return nothing{}, err
		},
		Doc: doc{
			ID: "revokeSelf", Tag: "Keys", Summary: "Revoke the key that asks", In: reflect.TypeFor[nothing](),
			Text:     "For whoever finds that the key has leaked: it needs no scope. A public key cannot, since everybody has it.",
			Problems: []problem.Code{problem.PublicKeyNotEnough, problem.NotFound, problem.Conflict},
		},
	})
}

func readRotation(a *API) func(*request) (rotateKey, error) {
	read := bound[rotateKey](a)
	return func(rq *request) (rotateKey, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		in.current, _ = a.cfg.Keys.Peek(rq.caller.Project(), in.ID)
		in.revision, err = versionOf(in.IfMatch)
		return in, err
	}
}

func readRestore(a *API) func(*request) (restoreKey, error) {
	read := bound[restoreKey](a)
	return func(rq *request) (restoreKey, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		in.current, _ = a.cfg.Keys.Peek(rq.caller.Project(), in.ID)
		in.change, err = in.Body.read(in.current, in.IfMatch)
		return in, err
	}
}
