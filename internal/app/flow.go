package app

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// How long things are good for.
const (
	CodeLife    = time.Minute
	RefreshLife = 30 * 24 * time.Hour // without being used
	GrantLife   = 90 * 24 * time.Hour // then somebody must let the app in anew
	keepUsed    = 24 * time.Hour      // what was used and has expired, so that it is known when it comes again
)

// Until is when what an app is let in with ends, in a project and under a key: nil, when the key is not known yet.
func Until(p *access.Project, key *access.Key, now time.Time) time.Time {
	end := now.Add(GrantLife)
	if most := p.Policy.Secret.MaxLifetime; most > 0 && now.Add(most).Before(end) {
		end = now.Add(most)
	}
	if key != nil && !key.ExpiresAt.IsZero() && key.ExpiresAt.Before(end) {
		end = key.ExpiresAt
	}
	return end.Truncate(time.Second)
}

// Grant is the client to be that lets an app in under a key: for the policy to decide on, and then for Approve.
func (asked *Asked) Grant(key *access.Key, now time.Time) keyring.New {
	return keyring.New{
		Kind: access.Client, Parent: key, App: asked.App.ID, Mode: asked.App.Mode, Label: asked.App.Name, Scopes: asked.Scopes,
		Bounds: access.Bounds{Environments: asked.Environments, ExpiresAt: Until(key.Project, key, now)},
	}
}

// Approve lets an app in, and gives the code that it is to be sent. What it is let in with was decided on before.
func (s *Service) Approve(ctx context.Context, permit gate.Permit, asked Asked, made keyring.New) (access.Text, error) {
	code, err := s.draw("ac_", 32)
	if err != nil {
		return access.Text{}, err
	}
	client, _, err := s.cfg.Ring.Create(ctx, permit, made)
	if err != nil {
		return access.Text{}, err
	}
	err = s.cfg.Flow.InsertCode(ctx, Code{
		Digest: digest(code.Reveal()), App: asked.App.ID, Project: client.Project, Grant: client.ID, Challenge: asked.Challenge, Redirect: asked.Redirect,
		Resource: asked.Resource, Thumbprint: asked.Thumbprint, ExpiresAt: micros(s.cfg.Now().Add(CodeLife)),
	})
	if err == nil {
		return code, nil
	}
	if failed := s.cfg.Ring.EndGrant(context.WithoutCancel(ctx), client.Project, client.ID, "grant.unused"); failed != nil {
		s.cfg.Log.Error("what no app was told that it is let in with cannot be revoked", "key_id", client.ID, "error", failed)
	}
	if errors.Is(err, ErrNone) {
		return access.Text{}, problem.Wrap(err, problem.Conflict, "The app was revoked just now.")
	}
	return access.Text{}, fmt.Errorf("app: store a code: %w", err)
}

// Shown is a code or a refresh token that an app has shown and that is its own.
type Shown struct {
	App      App
	Project  string
	Grant    string // the id of the client that it stands for
	Resource string // what its tokens are for; empty: the usual

	digest     access.Digest
	number     int64  // of the refresh token; 0: it is a code
	thumbprint string // of the key that it is bound to; empty: none
}

// ByCode reads a code that an app shows, with where it was sent to and the verifier of PKCE. One that was used before ends
// what the app was let in with.
func (s *Service) ByCode(ctx context.Context, a App, code, redirect, verifier string) (Shown, error) {
	c, err := s.cfg.Flow.Code(ctx, digest(code))
	if err != nil && !errors.Is(err, ErrNone) {
		return Shown{}, err
	}
	if err != nil || c.App != a.ID {
		return Shown{}, notGood("code")
	}
	if !c.UsedAt.IsZero() {
		return Shown{}, s.usedAgain(ctx, c.Project, c.Grant, "code")
	}
	hash := sha256.Sum256([]byte(verifier))
	right := isVerifier(verifier) && subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(hash[:])), []byte(c.Challenge)) == 1
	if !s.cfg.Now().Before(c.ExpiresAt) || redirect != c.Redirect || !right {
		return Shown{}, notGood("code")
	}
	return Shown{App: a, Project: c.Project, Grant: c.Grant, Resource: c.Resource, digest: c.Digest, thumbprint: c.Thumbprint}, nil
}

// isVerifier reports whether a text is what RFC 7636 section 4.1 has for a verifier.
func isVerifier(text string) bool {
	for _, c := range []byte(text) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~') {
			return false
		}
	}
	return len(text) >= 43 && len(text) <= 128
}

// ByRefresh reads a refresh token that an app shows. One that was used before ends what the app was let in with.
func (s *Service) ByRefresh(ctx context.Context, a App, text string) (Shown, error) {
	r, err := s.cfg.Flow.Refresh(ctx, digest(text))
	if err != nil && !errors.Is(err, ErrNone) {
		return Shown{}, err
	}
	if err != nil || r.App != a.ID || !s.cfg.Now().Before(r.ExpiresAt) {
		return Shown{}, notGood("refresh token")
	}
	if !r.ReplacedAt.IsZero() {
		return Shown{}, s.usedAgain(ctx, r.Project, r.Grant, "refresh token")
	}
	return Shown{App: a, Project: r.Project, Grant: r.Grant, Resource: r.Resource, digest: r.Digest, number: r.Number, thumbprint: r.Thumbprint}, nil
}

// Described is what there is to know about a refresh token of an app: false when it is not good.
func (s *Service) Described(ctx context.Context, a App, text string) (Refresh, bool, error) {
	r, err := s.cfg.Flow.Refresh(ctx, digest(text))
	if errors.Is(err, ErrNone) {
		return Refresh{}, false, nil
	}
	return r, err == nil && r.App == a.ID && r.ReplacedAt.IsZero() && s.cfg.Now().Before(r.ExpiresAt), err
}

// Bound refuses to go on when the app must prove a key and has not, or has proved another. thumbprint is of the one that it has
// proved; empty: none.
func (sh *Shown) Bound(thumbprint string) error {
	switch {
	case sh.App.DPoP && thumbprint == "":
		return problem.New(problem.InvalidDPoPProof, "The app's tokens must be bound to a key: the request needs a header DPoP.")
	case sh.thumbprint != "" && thumbprint != sh.thumbprint:
		return problem.New(problem.InvalidGrant, "What was shown is bound to another key.")
	}
	return nil
}

// Redeem uses up what was shown, and gives the refresh token that takes its place. Whoever gets one has been the first. end is
// when what the app was let in with ends; zero: never. A refresh token of an app without a secret stays bound to the key that was
// proved.
func (s *Service) Redeem(ctx context.Context, sh Shown, thumbprint string, end time.Time) (access.Text, error) {
	text, err := s.draw("ar_", 32)
	if err != nil {
		return access.Text{}, err
	}
	now := micros(s.cfg.Now())
	next := Refresh{
		Digest: digest(text.Reveal()), App: sh.App.ID, Project: sh.Project, Grant: sh.Grant, Number: sh.number + 1, Resource: sh.Resource, ExpiresAt: now.Add(RefreshLife),
	}
	if !end.IsZero() && end.Before(next.ExpiresAt) {
		next.ExpiresAt = micros(end)
	}
	if !sh.App.Confidential() {
		next.Thumbprint = thumbprint
	}
	first, err := s.cfg.Flow.Advance(ctx, sh.digest, now, next)
	switch {
	case err != nil:
		return access.Text{}, fmt.Errorf("app: use up what was shown: %w", err)
	case !first:
		return access.Text{}, s.usedAgain(ctx, sh.Project, sh.Grant, "code or refresh token")
	}
	return text, nil
}

// End ends what a client of an app was let in with, for whoever revokes a refresh token.
func (s *Service) End(ctx context.Context, project, grant, action string) error {
	ctx = context.WithoutCancel(ctx)
	if err := s.cfg.Ring.EndGrant(ctx, project, grant, action); err != nil {
		return err
	}
	return s.cfg.Flow.EndFamily(ctx, grant)
}

// usedAgain ends what came of something that was used a second time.
func (s *Service) usedAgain(ctx context.Context, project, grant, what string) error {
	s.cfg.Log.Warn("a "+what+" of an app was used a second time: all that came of it has ended", "key_id", grant, "project", project)
	if err := s.End(ctx, project, grant, "grant.reused"); err != nil {
		return err
	}
	return problem.New(problem.InvalidGrant, "The %s was used before. All that came of it has ended, since it may have been stolen: the app must ask to be let in again.", what)
}

func notGood(what string) error {
	return problem.New(problem.InvalidGrant, "The %s is not good: it is unknown, another's, expired, or was got with something else.", what)
}

// Run forgets what has expired, and ends what was never redeemed, until ctx is done. Nothing else needs it.
func (s *Service) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.Sweep(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Sweep does once what Run does.
func (s *Service) Sweep(ctx context.Context) {
	now := micros(s.cfg.Now())
	unused, err := s.cfg.Store.Unused(ctx, now.Add(-CodeLife)) // nobody is about to use them by now
	var ended []access.Digest
	for _, c := range unused {
		if failed := s.cfg.Ring.EndGrant(ctx, c.Project, c.Grant, "grant.unused"); failed != nil {
			err = failed
			continue
		}
		ended = append(ended, c.Digest)
	}
	if failed := s.cfg.Flow.Forget(ctx, now.Add(-keepUsed), ended); failed != nil {
		err = failed
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Error("codes and refresh tokens that have expired cannot be removed", "error", err)
	}
}
