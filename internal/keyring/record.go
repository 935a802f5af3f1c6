package keyring

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Limits on what a key carries.
const (
	MaxLabel        = 100 // characters
	MaxSteward      = 200 // characters
	MaxEnvironments = 32
)

// Record is a key as it is kept and listed. It holds nothing secret. Times are UTC, to the microsecond.
type Record struct {
	ID           string // "key_" and the look-up id
	Project      string
	Kind         access.Kind
	Mode         access.Mode
	Label        string // what the key is for
	Steward      string // who answers for it
	Scopes       access.Scopes
	Environments []string      // the names it is restricted to; empty: every environment of its mode
	Hint         string        // what may be shown of it
	Public       string        // the whole key, of a public key only
	Digest       access.Digest // SHA-256 of the whole key
	CreatedAt    time.Time
	UpdatedAt    time.Time
	ExpiresAt    time.Time // zero: never
	RevokedAt    time.Time // zero: not revoked
	CreatedBy    string    // the id of the key that created it, or "operator"
}

// Place is a record's place in the order of a list: by creation, and by id within the same microsecond. The zero Place
// is before the first.
type Place struct {
	CreatedAt time.Time
	ID        string
}

func (r *Record) place() Place { return Place{r.CreatedAt, r.ID} }

// entry is the record as the snapshot holds it.
func (r *Record) entry(project *access.Project) entry {
	return entry{r.key(project), r.Digest}
}

func (r *Record) key(project *access.Project) *access.Key {
	return &access.Key{
		ID: r.ID, Project: project, Kind: r.Kind, Mode: r.Mode, Scopes: r.Scopes,
		Environments: slices.Clone(r.Environments), ExpiresAt: r.ExpiresAt, RevokedAt: r.RevokedAt,
	}
}

// New is a key to create.
type New struct {
	Kind         access.Kind // Public or Secret
	Mode         access.Mode
	Label        string
	Steward      string
	Scopes       access.Scopes // none, for a public key: access.ClientScopes
	Environments []string      // empty: every environment of the mode
	ExpiresAt    time.Time     // zero: never
}

// Grant is what creating the key would hand on: it is for the policy to decide on before Create.
func (n New) Grant() *access.Grant {
	return &access.Grant{Kind: n.Kind, Mode: n.Mode, Scopes: n.scopes(), Environments: n.Environments, ExpiresAt: n.ExpiresAt}
}

func (n New) scopes() access.Scopes {
	if n.Scopes == 0 && n.Kind == access.Public {
		return access.ClientScopes
	}
	return n.Scopes
}

// check answers one problem that names every field at fault, or nil.
func (n New) check(project *access.Project, now time.Time) error {
	var f faults
	if n.Kind != access.Public && n.Kind != access.Secret {
		f.add("kind", "must be public or secret")
	}
	if n.Mode != access.Live && n.Mode != access.Test {
		f.add("mode", "must be live or test")
	}
	f.text("label", n.Label, MaxLabel)
	f.text("steward", n.Steward, MaxSteward)
	f.scopes(n.scopes())
	f.environments(n.Environments, project, n.Mode)
	f.expiry(n.ExpiresAt, now)
	return f.problem()
}

// Change is what to change about a key; what is nil stays as it is.
type Change struct {
	Label        *string
	Steward      *string
	Scopes       *access.Scopes
	Environments *[]string  // an empty list: every environment of the key's mode
	ExpiresAt    *time.Time // the zero time: never

	// Basis is the key as Peek gave it when Grant was decided on. A change that grants anything is refused as a conflict
	// when the key's rights are no longer those of Basis, since the decision was about others. A change that grants
	// nothing needs none.
	Basis *access.Key
}

// Grant is what the change would hand on to the key of Basis: it is for the policy to decide on before Update. It is nil
// for a change that adds nothing: another label, fewer scopes or environments, an earlier expiry.
//
// Added scopes are granted in all the environments the key has then. Added environments, or a later expiry, grant all
// the scopes the key has then.
func (c Change) Grant() *access.Grant {
	if c.Basis == nil {
		return nil
	}
	return c.grantTo(c.Basis)
}

func (c Change) grantTo(k *access.Key) *access.Grant {
	scopes, environments := k.Scopes, k.Environments
	if c.Scopes != nil {
		scopes = *c.Scopes
	}
	if c.Environments != nil {
		environments = *c.Environments
	}
	until := k.ExpiresAt
	if c.ExpiresAt != nil {
		until = *c.ExpiresAt
	}
	added := scopes &^ k.Scopes
	if c.outlives(k) || !within(environments, k.Environments) {
		added = scopes
	}
	if added == 0 {
		return nil
	}
	return &access.Grant{Kind: k.Kind, Mode: k.Mode, Scopes: added, Environments: environments, ExpiresAt: until}
}

func (c Change) outlives(k *access.Key) bool {
	return c.ExpiresAt != nil && !k.ExpiresAt.IsZero() && (c.ExpiresAt.IsZero() || c.ExpiresAt.After(k.ExpiresAt))
}

// within reports whether a restriction to the names of inner allows no more than one to the names of outer.
func within(inner, outer []string) bool {
	if len(outer) == 0 {
		return true
	}
	for _, name := range inner {
		if !slices.Contains(outer, name) {
			return false
		}
	}
	return len(inner) > 0
}

// sameRights reports whether two values of a key may do the same, for the same time.
func sameRights(a, b *access.Key) bool {
	return a.Scopes == b.Scopes && slices.Equal(a.Environments, b.Environments) &&
		a.ExpiresAt.Equal(b.ExpiresAt) && a.RevokedAt.Equal(b.RevokedAt)
}

// check answers one problem that names every field at fault, or nil.
func (c Change) check(rec *Record, project *access.Project, now time.Time) error {
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
	return f.problem()
}

func (c Change) apply(rec *Record) {
	if c.Label != nil {
		rec.Label = *c.Label
	}
	if c.Steward != nil {
		rec.Steward = *c.Steward
	}
	if c.Scopes != nil {
		rec.Scopes = *c.Scopes
	}
	if c.Environments != nil {
		rec.Environments = slices.Clone(*c.Environments)
	}
	if c.ExpiresAt != nil {
		rec.ExpiresAt = micros(*c.ExpiresAt)
	}
}

// micros is a time as it is kept.
func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// faults collects the fields at fault, so that one answer names them all.
type faults []problem.Field

func (f *faults) add(name, format string, args ...any) {
	*f = append(*f, problem.Field{Name: name, Detail: fmt.Sprintf(format, args...)})
}

func (f faults) problem() error {
	if len(f) == 0 {
		return nil
	}
	texts := make([]string, len(f))
	for i, field := range f {
		texts[i] = field.Name + ": " + field.Detail
	}
	p := problem.New(problem.InvalidField, "%s", strings.Join(texts, "; "))
	p.Fields = f
	return p
}

func (f *faults) text(name, text string, most int) {
	switch {
	case !utf8.ValidString(text):
		f.add(name, "is not UTF-8")
	case utf8.RuneCountInString(text) > most:
		f.add(name, "is longer than %d characters", most)
	case strings.ContainsFunc(text, unprintable):
		f.add(name, "has a control character")
	}
}

// unprintable characters could make a list of keys show something that is not there.
func unprintable(c rune) bool {
	return unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

func (f *faults) scopes(set access.Scopes) {
	if set == 0 {
		f.add("scopes", "must name at least one scope")
	}
	if set&^access.AllScopes != 0 {
		f.add("scopes", "has an unknown scope")
	}
}

func (f *faults) environments(names []string, project *access.Project, mode access.Mode) {
	if len(names) > MaxEnvironments {
		f.add("environments", "has more than %d names", MaxEnvironments)
		return
	}
	for i, name := range names {
		field := fmt.Sprintf("environments[%d]", i)
		at := slices.IndexFunc(project.Environments, func(e access.Environment) bool { return e.Name == name })
		switch {
		case at < 0:
			f.add(field, "no such environment")
		case project.Environments[at].Mode != mode:
			f.add(field, "is a %s environment", project.Environments[at].Mode)
		case slices.Contains(names[:i], name):
			f.add(field, "is named twice")
		}
	}
}

// The last year that fits RFC 3339.
const lastYear = 9999

func (f *faults) expiry(at, now time.Time) {
	switch {
	case at.IsZero():
	case !micros(at).After(now):
		f.add("expires_at", "must be in the future")
	case at.UTC().Year() > lastYear:
		f.add("expires_at", "must be before the year %d", lastYear+1)
	}
}
