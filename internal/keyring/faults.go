package keyring

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
	"github.com/weir-analytics/weir/internal/view"
)

// Limits on what a key carries.
const (
	MaxLabel        = 100 // characters
	MaxSteward      = 200 // characters
	MaxEnvironments = 32
	MaxNetworks     = 100
	MaxDomains      = 100
	MaxEvents       = 200
	MaxDatasets     = 200
	MaxPublicKeys   = 4
	MaxDescription  = 200 // characters
	MaxName         = 256 // bytes of an event's or a dataset's name
	MaxLimit        = 1_000_000_000_000
	MinCacheMinutes = 5 // when a client says it at all
	MaxCacheMinutes = 1440
	maxObserve      = 16 // names in the list, the same ones again too
	maxRights       = 8
)

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

// parent checks what a client comes of: a secret key that is there for good.
func (f *faults) parent(n *New) {
	up := n.Parent
	switch {
	case n.Kind != access.Client:
		if up != nil {
			f.add("parent", "is for clients only")
		}
	case up == nil || up.Kind != access.Secret:
		f.add("parent", "must be the id of a secret key, which the client comes of")
	case !up.RevokedAt.IsZero():
		f.add("parent", "is revoked")
	default:
		if n.mode() != up.Mode {
			f.add("mode", "must be that of its parent, %s", up.Mode)
		}
		f.scopesUnder(n.scopes(), up)
	}
}

// app is about what an app is let in with.
func (f *faults) app(n *New) {
	if n.App != "" && (n.Kind != access.Client || n.Signature || len(n.PublicKeys) > 0) {
		f.add("app", "is let in with a client that nothing can be signed for")
	}
}

func (f *faults) scopesUnder(set access.Scopes, up *access.Key) {
	if more := set &^ up.Scopes; more != 0 {
		f.add("scopes", "has some that its parent does not hold: %s", more)
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

// bounds checks what depends on nothing but the bounds themselves and the key's kind.
func (f *faults) bounds(b *access.Bounds, kind access.Kind) {
	if !f.many("networks", len(b.Networks), MaxNetworks) {
		for i, n := range b.Networks {
			f.text(fmt.Sprintf("networks[%d].description", i), n.Description, MaxDescription)
		}
	}
	f.many("domains", len(b.Domains), MaxDomains)
	if len(b.Domains) > 0 && kind != access.Public {
		f.add("domains", "are for public keys: a secret key has no business in a page")
	}
	if !f.many("events", len(b.Events), MaxEvents) {
		for i, pattern := range b.Events {
			f.pattern(fmt.Sprintf("events[%d]", i), pattern, b.Events[:i])
		}
	}
	if b.Datasets != nil && !f.many("datasets.named", len(b.Datasets.Named), MaxDatasets) {
		for i, d := range b.Datasets.Named {
			f.dataset(fmt.Sprintf("datasets.named[%d]", i), d, b.Datasets.Named[:i])
		}
	}
	if err := view.Check(b.View, "view"); err != nil {
		*f = append(*f, problem.From(err).Fields...)
	}
	f.begin(b.NotBefore, b.ExpiresAt)
	f.limits(b.Limits)
	f.cache(b.CacheMinutes, kind)
	if kind == access.Client && b.Limits != (access.Limits{}) {
		f.add("limits", "are those of its parent: what a client does is counted there")
	}
}

// readsSome refuses a public key that reads datasets and does not say which.
func (f *faults) readsSome(scopes access.Scopes, b *access.Bounds, kind access.Kind) {
	if kind == access.Public && scopes.Has(access.DatasetsRead) && (b.Datasets == nil || b.Observe.Has(access.ByDataset)) {
		f.add("datasets", "must say which: what a public key reads, everybody does")
	}
}

func (f *faults) cache(minutes int, kind access.Kind) {
	switch {
	case minutes == 0:
	case kind != access.Client:
		f.add("cache_minutes", "is for clients only")
	case minutes < MinCacheMinutes || minutes > MaxCacheMinutes:
		f.add("cache_minutes", "must be 0, for what each metric says, or from %d to %d", MinCacheMinutes, MaxCacheMinutes)
	}
}

// many refuses a list that is too long, and reports whether it did.
func (f *faults) many(name string, count, most int) bool {
	if count > most {
		f.add(name, "has more than %d entries", most)
	}
	return count > most
}

// pattern is an event's name, or the beginning of one and a *.
func (f *faults) pattern(field, pattern string, before []string) {
	f.text(field, pattern, MaxName)
	switch {
	case pattern == "" || len(pattern) > MaxName:
		f.add(field, "must have 1 to %d bytes", MaxName)
	case strings.Contains(strings.TrimSuffix(pattern, "*"), "*"):
		f.add(field, "may have a * at its end only")
	case slices.Contains(before, pattern):
		f.add(field, "is named twice")
	}
}

func (f *faults) dataset(field string, d access.NamedDataset, before []access.NamedDataset) {
	f.text(field+".dataset", d.Name, MaxName)
	switch {
	case d.Name == "" || len(d.Name) > MaxName:
		f.add(field+".dataset", "must have 1 to %d bytes", MaxName)
	case slices.ContainsFunc(before, func(b access.NamedDataset) bool { return b.Name == d.Name }):
		f.add(field+".dataset", "is named twice")
	}
	if d.Rights == 0 {
		f.add(field+".rights", "must name at least one of read, write and delete")
	}
}

func (f *faults) limits(l access.Limits) {
	for _, n := range [...]struct {
		name  string
		value int64
	}{
		{"limits.rate.per_second", l.Rate.PerSecond}, {"limits.rate.burst", l.Rate.Burst}, {"limits.daily.most", l.Daily.Most}, {"limits.credits.most", l.Credits.Most},
	} {
		if n.value < 0 || n.value > MaxLimit {
			f.add(n.name, "must be from 0, for none, to %d", int64(MaxLimit))
		}
	}
	if l.Rate.PerSecond > 1_000_000 {
		f.add("limits.rate.per_second", "must be at most 1000000")
	}
	if (l.Rate.PerSecond == 0) != (l.Rate.Burst == 0) {
		f.add("limits.rate.burst", "goes with per_second: both are 0, for none, or neither")
	}
}

func (f *faults) publicKeys(keys []ed25519.PublicKey) {
	if f.many("public_keys", len(keys), MaxPublicKeys) {
		return
	}
	for i, key := range keys {
		field := fmt.Sprintf("public_keys[%d]", i)
		if _, err := signature.ParsePublicKey(signature.FormatPublicKey(key)); err != nil {
			f.add(field, "%s", err)
		}
		if slices.ContainsFunc(keys[:i], func(before ed25519.PublicKey) bool { return before.Equal(key) }) {
			f.add(field, "is named twice")
		}
	}
}

// The years that fit RFC 3339, but for the one that is no time at all here.
const (
	firstYear = 1
	lastYear  = 9999
)

// moment refuses a time that cannot be written, and reports whether there is one that can.
func (f *faults) moment(name string, at time.Time) bool {
	if at.IsZero() {
		return false
	}
	if year := at.UTC().Year(); year < firstYear || year > lastYear {
		f.add(name, "must be in the years %d to %d", firstYear, lastYear)
		return false
	}
	return true
}

func (f *faults) begin(at, end time.Time) {
	if f.moment("not_before", at) && !end.IsZero() && !at.Before(end) {
		f.add("not_before", "must be before expires_at")
	}
}

func (f *faults) expiry(at, now time.Time) {
	if f.moment("expires_at", at) && !micros(at).After(now) {
		f.add("expires_at", "must be in the future")
	}
}
