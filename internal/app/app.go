// Package app owns the programs of third parties that people let into a project: registering them, what they ask for, and the
// codes and refresh tokens that they show for it (OAuth 2.0, RFC 6749, with PKCE and what RFC 9700 asks for).
//
//	Create --> App --Read--> Asked --Approve--> code --ByCode, Redeem--> refresh token --ByRefresh, Redeem--> ...
//	                                   |
//	                                   v
//	                           a client in keyring
//
// What an app was let in with is a client under the key of whoever let it in, with a secret that nobody has. So what the app
// may do is decided where all else is: it is narrowed, limited, accounted for and revoked as any client. This package says which
// client a code or a refresh token stands for, and nothing of what it may do.
//
// A code is good for a minute, once. A refresh token is good once: using it gives the next. Whichever is used a second time was
// stolen, or its answer was lost: then all that came of it ends, since nobody can tell which. Of secrets, codes and refresh
// tokens only the SHA-256 is kept.
//
// It does not own access tokens (token), what a grant may do (access), its life as a key (keyring), pages and routes (api), nor
// how all of this is kept (it declares Store and Flow).
//
// Problems: invalid_field, not_found, conflict, invalid_request, invalid_client, invalid_grant, invalid_dpop_proof.
package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// The bounds of an app.
const (
	MaxApps      = 100 // of a project, and as many that are revoked
	MaxName      = 60  // bytes
	MaxRedirects = 10
	MaxRedirect  = 512 // bytes
	MaxFamily    = 256 // refresh tokens of a grant that are remembered, to be known when they come again
)

// App is a program that may ask to be let in.
type App struct {
	ID        string // "app_" and random characters: it is public
	Project   string
	Mode      access.Mode // of the keys that may let it in
	Name      string
	Redirects []string      // where people may be sent back to
	Digest    access.Digest // of its secret; zero: it can keep none, and is public
	DPoP      bool          // its tokens must be bound to a key (RFC 9449)
	CreatedAt time.Time
	CreatedBy string
	RevokedAt time.Time // zero: not revoked
}

// Confidential reports whether the app has a secret.
func (a *App) Confidential() bool { return a.Digest != access.Digest{} }

// Code is what an app is given when somebody lets it in.
type Code struct {
	Digest     access.Digest
	App        string
	Project    string
	Grant      string // the id of the client
	Challenge  string // of PKCE, S256
	Redirect   string // where it was sent
	Resource   string // what the tokens are for; empty: the usual
	Thumbprint string // of the key that must be proved (dpop_jkt); empty: any or none
	ExpiresAt  time.Time
	UsedAt     time.Time // zero: it was not
}

// Refresh is what an app is given beside an access token, to get the next.
type Refresh struct {
	Digest     access.Digest
	App        string
	Project    string
	Grant      string // the id of the client: one grant is one family
	Number     int64  // counts those of the family, from 1
	Resource   string
	Thumbprint string // of the key that it is bound to; empty: none
	ExpiresAt  time.Time
	ReplacedAt time.Time // zero: it was not used
}

// What a Store or a Flow answers.
var (
	ErrNone = errors.New("app: there is none")
	ErrMany = errors.New("app: the project has as many as it may")
)

// Store keeps apps. Times are kept to the microsecond and come back in UTC. A call that fails may or may not have had its effect.
type Store interface {
	// InsertApp stores a new app with the audit of that, unless its project has most already that are not revoked: then the error
	// is ErrMany. Of those that are revoked, the most that were revoked last are kept.
	InsertApp(ctx context.Context, a App, most int, entry audit.Entry) error
	// Apps lists those of a project, oldest first, of live mode too with live.
	Apps(ctx context.Context, project string, live bool) ([]App, error)
	// App finds one of any project. The error is ErrNone when there is none.
	App(ctx context.Context, id string) (App, error)
	// RevokeApp ends one, with the audit of that, unless it is revoked already. The error is ErrNone when the project has none.
	RevokeApp(ctx context.Context, project, id string, at time.Time, entry audit.Entry) error
	// Unused lists codes that expired before a time and were never used, a thousand at the most.
	Unused(ctx context.Context, before time.Time) ([]Code, error)
}

// Flow keeps codes and refresh tokens.
type Flow interface {
	// InsertCode stores a code. The error is ErrNone when its app is revoked.
	InsertCode(ctx context.Context, c Code) error
	// Code finds a code, and Refresh a refresh token. The error is ErrNone when there is none.
	Code(ctx context.Context, digest access.Digest) (Code, error)
	Refresh(ctx context.Context, digest access.Digest) (Refresh, error)
	// Advance uses up a code, or a refresh token, and stores the one that takes its place, both or neither. first is false, and
	// nothing is stored, when it was used before: of many who try, one is the first. The MaxFamily newest of a grant are kept.
	Advance(ctx context.Context, used access.Digest, at time.Time, next Refresh) (first bool, err error)
	// EndFamily removes the refresh tokens of a grant.
	EndFamily(ctx context.Context, grant string) error
	// Forget removes codes, and the refresh tokens and used codes that expired before a time.
	Forget(ctx context.Context, before time.Time, codes []access.Digest) error
}

// Config is what a service needs of the world.
type Config struct {
	Store     Store
	Flow      Flow
	Ring      *keyring.Ring
	Now       func() time.Time
	NewID     func() string // names entries of the audit
	Random    io.Reader     // nil: crypto/rand
	Resources []string      // what tokens may be for, as the parameter resource names it
	Log       *slog.Logger  // nil: nothing is logged
}

// Service is every app there is. Its methods may be called from many goroutines.
type Service struct{ cfg Config }

// New makes the service.
func New(cfg Config) *Service {
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg}
}

// Registration is an app to be.
type Registration struct {
	Name      string
	Redirects []string
	Public    bool // it can keep no secret
	DPoP      bool
}

func (r *Registration) check() error {
	var fields []problem.Field
	add := func(name, detail string) { fields = append(fields, problem.Field{Name: name, Detail: detail}) }
	if r.Name == "" || len(r.Name) > MaxName || !utf8.ValidString(r.Name) || strings.ContainsFunc(r.Name, func(c rune) bool { return !unicode.IsPrint(c) }) || strings.TrimSpace(r.Name) != r.Name {
		add("name", fmt.Sprintf("must be 1 to %d bytes that can be printed, without a space at either end", MaxName))
	}
	if len(r.Redirects) < 1 || len(r.Redirects) > MaxRedirects {
		add("redirect_uris", fmt.Sprintf("must be 1 to %d", MaxRedirects))
	}
	for i, uri := range r.Redirects[:min(len(r.Redirects), MaxRedirects)] {
		if err := checkRedirect(uri); err != nil {
			add(fmt.Sprintf("redirect_uris[%d]", i), err.Error())
		}
	}
	if len(fields) == 0 {
		return nil
	}
	texts := make([]string, len(fields))
	for i, f := range fields {
		texts[i] = f.Name + ": " + f.Detail
	}
	p := problem.New(problem.InvalidField, "%s", strings.Join(texts, "; "))
	p.Fields = fields
	return p
}

// Create registers an app in the permit's project, for keys of the mode of the one that asks. The secret is given here and never
// again; a public app has none.
func (s *Service) Create(ctx context.Context, permit gate.Permit, r Registration) (App, access.Text, error) {
	if err := r.check(); err != nil {
		return App{}, access.Text{}, err
	}
	id, err := s.draw("app_", 16)
	if err != nil {
		return App{}, access.Text{}, err
	}
	a := App{
		ID: id.Reveal(), Project: permit.Project(), Mode: permit.Key().Mode, Name: r.Name, Redirects: append([]string{}, r.Redirects...), DPoP: r.DPoP,
		CreatedAt: micros(s.cfg.Now()), CreatedBy: permit.Key().ID,
	}
	var secret access.Text
	if !r.Public {
		if secret, err = s.draw("as_", 32); err != nil {
			return App{}, access.Text{}, err
		}
		a.Digest = digest(secret.Reveal())
	}
	err = s.cfg.Store.InsertApp(ctx, a, MaxApps, audit.Of(permit, s.cfg.NewID(), "app.create", a.ID, nil, a.view()))
	if errors.Is(err, ErrMany) {
		return App{}, access.Text{}, problem.Wrap(err, problem.Conflict, "The project has %d apps, which is as many as it may have.", MaxApps)
	}
	if err != nil {
		return App{}, access.Text{}, fmt.Errorf("app: store a new app: %w", err)
	}
	return a, secret, nil
}

// shown is an app as the audit has it.
type shown struct {
	ID        string   `json:"id"`
	Mode      string   `json:"mode"`
	Name      string   `json:"name"`
	Redirects []string `json:"redirect_uris"`
	Public    bool     `json:"public"`
	DPoP      bool     `json:"dpop_required"`
}

func (a *App) view() shown {
	return shown{a.ID, a.Mode.String(), a.Name, a.Redirects, !a.Confidential(), a.DPoP}
}

// List gives the apps of the permit's project, oldest first, those that are revoked too: with a test key those of test mode.
func (s *Service) List(ctx context.Context, permit gate.Permit) ([]App, error) {
	return s.cfg.Store.Apps(ctx, permit.Project(), permit.Live())
}

// Revoke ends an app of the permit's project, and all that it was ever let in with: when it returns without an error, none of
// that is accepted. Revoking it again ends what may be left.
func (s *Service) Revoke(ctx context.Context, permit gate.Permit, id string) error {
	a, err := s.cfg.Store.App(ctx, id)
	if errors.Is(err, ErrNone) || err == nil && a.Project != permit.Project() {
		return problem.New(problem.NotFound, "There is no such app in this project.")
	}
	if err != nil {
		return err
	}
	entry := audit.Of(permit, s.cfg.NewID(), "app.revoke", a.ID, a.view(), nil)
	if err := s.cfg.Store.RevokeApp(ctx, a.Project, a.ID, micros(s.cfg.Now()), entry); err != nil {
		return fmt.Errorf("app: revoke an app: %w", err)
	}
	for {
		grants, more, err := s.cfg.Ring.Grants(ctx, permit, keyring.GrantQuery{App: a.ID, Standing: true, Limit: keyring.MaxPage})
		if err != nil {
			return err
		}
		for _, g := range grants {
			if err := s.Disconnect(ctx, permit, g.ID); err != nil {
				return err
			}
		}
		if more == "" {
			return nil
		}
	}
}

// Find gives an app of any project that is not revoked. Which there are is no secret: their ids are in addresses that people
// are sent to.
func (s *Service) Find(ctx context.Context, id string) (App, bool, error) {
	a, found, err := s.Known(ctx, id)
	if !found || !a.RevokedAt.IsZero() {
		return App{}, false, err
	}
	return a, true, nil
}

// Known gives an app of any project, also one that is revoked.
func (s *Service) Known(ctx context.Context, id string) (App, bool, error) {
	if !IsID(id) {
		return App{}, false, nil
	}
	a, err := s.cfg.Store.App(ctx, id)
	if errors.Is(err, ErrNone) {
		return App{}, false, nil
	}
	return a, err == nil, err
}

// Disconnect ends what an app was let in with, in the permit's project.
func (s *Service) Disconnect(ctx context.Context, permit gate.Permit, grant string) error {
	if _, err := s.cfg.Ring.Revoke(ctx, permit, grant, 0); err != nil {
		return err
	}
	return s.cfg.Flow.EndFamily(ctx, grant)
}

// Authenticate finds the app that says it is id and shows secret: a public one shows none.
func (s *Service) Authenticate(ctx context.Context, id, secret string) (App, error) {
	a, found, err := s.Find(ctx, id)
	if err != nil {
		return App{}, err
	}
	shows := digest(secret)
	if !found || a.Confidential() && subtle.ConstantTimeCompare(shows[:], a.Digest[:]) != 1 || !a.Confidential() && secret != "" {
		return App{}, problem.New(problem.InvalidClient, "The app is unknown or revoked, or its secret is not right.")
	}
	return a, nil
}

// IsID reports whether a text has the form of an app's id.
func IsID(text string) bool {
	rest, is := strings.CutPrefix(text, "app_")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(rest) // which passes over line ends
	return is && err == nil && len(raw) == 16 && len(rest) == base64.RawURLEncoding.EncodedLen(16)
}

// draw makes a text that nobody can guess, of so many random bytes.
func (s *Service) draw(prefix string, bytes int) (access.Text, error) {
	raw := make([]byte, bytes)
	if _, err := io.ReadFull(s.cfg.Random, raw); err != nil {
		return access.Text{}, fmt.Errorf("app: random bytes: %w", err)
	}
	return access.SecretText(prefix + base64.RawURLEncoding.EncodeToString(raw)), nil
}

func digest(text string) access.Digest { return sha256.Sum256([]byte(text)) }

func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
