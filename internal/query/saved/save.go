package saved

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/metric"
)

// Wanted is a metric to save.
type Wanted struct {
	Definition   jsontext.Value
	Description  string
	Owner        string
	CacheMinutes int   // 0, or MinCacheMinutes to MaxCacheMinutes
	Draft        bool  // save it without publishing it
	Revision     int64 // of the metric that the change is meant for; 0: whatever it is by now
}

// The actions in the audit. Their subject is "metric." and the id.
const (
	actionSave    = "metric.save"
	actionPublish = "metric.publish"
	actionDelete  = "metric.delete"
)

// Save makes a metric, or adds a version to it: when the definition or the cache differs from the newest version's. The
// version is published at once unless it is to be a draft. created says that the metric was not there. What is saved
// already stays as it is, so that saving it again changes nothing.
//
// Problems: invalid_json and invalid_field for what is wrong with the definition, invalid_sql and sql_not_allowed when its
// statement does not fit the tables that the permit's holder sees, conflict, metrics_full, precondition_failed.
func (s *Service) Save(ctx context.Context, permit gate.Permit, id string, n Wanted) (shown Shown, created bool, err error) {
	if err := n.check(id); err != nil {
		return Shown{}, false, err
	}
	if shown.Statement, err = s.fits(ctx, permit, n.Definition); err != nil {
		return Shown{}, false, err
	}
	_ = n.Definition.Compact() // it is valid
	if len(n.Definition) > MaxDefinition {
		return Shown{}, false, problem.Invalid("definition", "must be at most %d bytes long, is %d", MaxDefinition, len(n.Definition))
	}
	shown.Metric, err = s.cfg.Store.ChangeMetric(ctx, permit.Project(), id, func(c *Change) (*audit.Entry, error) {
		created = c.Revision == 0
		if err := c.expect(n.Revision); err != nil {
			return nil, err
		}
		if created && c.Count >= MaxMetrics {
			return nil, problem.New(problem.Conflict, "The project has %d metrics, which is as many as it can have.", MaxMetrics)
		}
		before := c.view()
		changed := c.save(&n, s.stamp(), actor(permit))
		shown.Version = c.newest()
		if !changed {
			return nil, nil
		}
		if err := s.roomFor(c); err != nil {
			return nil, err
		}
		entry := audit.Of(permit, s.cfg.NewID(), actionSave, subject(id), before, c.view())
		return &entry, nil
	})
	shown.Version.Definition = n.Definition
	return shown, created, told(err, id)
}

// bytesCeiling is the setting of Config.MaxBytes.
const bytesCeiling = "metrics_bytes"

// roomFor refuses a version for which the project's definitions have no room. What the change forgets makes room for the
// next one only.
func (s *Service) roomFor(c *Change) error {
	if c.Add == nil || c.Bytes+int64(len(c.Add.Definition)) <= s.cfg.MaxBytes {
		return nil
	}
	return problem.New(problem.MetricsFull, "The definitions of the project's metrics have %d bytes, all versions together, and with this one they would have more than %d. "+
		"Delete metrics that nobody needs, or have whoever runs the server raise the setting %s.", c.Bytes, s.cfg.MaxBytes, bytesCeiling).Over(bytesCeiling, s.cfg.MaxBytes)
}

// Publish makes a version the one that is run, if its statement fits the tables that the permit's holder sees.
func (s *Service) Publish(ctx context.Context, permit gate.Permit, id string, number, revision int64) (Shown, error) {
	_, v, err := s.find(ctx, permit, id, number)
	if err != nil {
		return Shown{}, err
	}
	shown := Shown{Version: v}
	if shown.Statement, err = s.fits(ctx, permit, v.Definition); err != nil {
		return Shown{}, err
	}
	shown.Metric, err = s.cfg.Store.ChangeMetric(ctx, permit.Project(), id, func(c *Change) (*audit.Entry, error) {
		at := slices.IndexFunc(c.Versions, func(v Version) bool { return v.Number == number })
		switch {
		case c.Revision == 0:
			return nil, ErrNoMetric
		case at < 0:
			return nil, ErrNoVersion
		}
		if err := c.expect(revision); err != nil || c.Published == number {
			return nil, err
		}
		before := c.view()
		c.UpdatedAt, c.UpdatedBy = s.stamp(), actor(permit)
		c.Published, c.Publish = number, number
		if shown.Version.Draft() {
			shown.Version.PublishedAt = c.UpdatedAt
		}
		entry := audit.Of(permit, s.cfg.NewID(), actionPublish, subject(id), before, c.view())
		return &entry, nil
	})
	return shown, told(err, id)
}

// Delete forgets a metric with all its versions.
func (s *Service) Delete(ctx context.Context, permit gate.Permit, id string, revision int64) error {
	_, err := s.cfg.Store.ChangeMetric(ctx, permit.Project(), id, func(c *Change) (*audit.Entry, error) {
		if c.Revision == 0 {
			return nil, ErrNoMetric
		}
		if err := c.expect(revision); err != nil {
			return nil, err
		}
		entry := audit.Of(permit, s.cfg.NewID(), actionDelete, subject(id), c.view(), nil)
		c.Delete = true
		return &entry, nil
	})
	return told(err, id)
}

// fits compiles a definition and holds its statement against the tables.
func (s *Service) fits(ctx context.Context, permit gate.Permit, definition jsontext.Value) (*metric.Statement, error) {
	d, st, err := read(definition)
	if err != nil {
		return nil, err
	}
	_, err = s.cfg.Query.Describe(ctx, permit, query.Question{SQL: st.SQL})
	return st, sourceOf(&d, st).explain(err)
}

func read(definition jsontext.Value) (metric.Definition, *metric.Statement, error) {
	d, err := metric.Read(definition)
	if err != nil {
		return d, nil, within(err)
	}
	st, err := metric.Compile(&d)
	return d, st, within(err)
}

func (s *Service) stamp() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }

// subject is a metric's name in the audit.
func subject(id string) string { return "metric." + id }

// check answers one problem that names every field at fault but those of the definition.
func (n *Wanted) check(id string) error {
	var found []problem.Field
	add := func(name, format string, args ...any) {
		found = append(found, problem.Field{Name: name, Detail: fmt.Sprintf(format, args...)})
	}
	if !validID(id) {
		add("path.id", "must match %s, and not be test", IDPattern)
	}
	for _, text := range []struct {
		name, value string
		most        int
	}{{"description", n.Description, MaxDescription}, {"owner", n.Owner, MaxOwner}} {
		if !utf8.ValidString(text.value) || utf8.RuneCountInString(text.value) > text.most || strings.ContainsFunc(text.value, isControl) {
			add(text.name, "must be at most %d characters, and none of them a control", text.most)
		}
	}
	if m := n.CacheMinutes; m != 0 && (m < MinCacheMinutes || m > MaxCacheMinutes) {
		add("cache_minutes", "must be 0 or from %d to %d", MinCacheMinutes, MaxCacheMinutes)
	}
	if len(found) == 0 {
		return nil
	}
	texts := make([]string, len(found))
	for i, f := range found {
		texts[i] = f.Name + ": " + f.Detail
	}
	return &problem.Error{Code: problem.InvalidField, Detail: strings.Join(texts, "; "), Fields: found}
}

func isControl(c rune) bool { return unicode.IsControl(c) && c != '\n' }

// expect refuses a change that is meant for another revision.
func (c *Change) expect(revision int64) error {
	switch {
	case revision == 0 || revision == c.Revision:
		return nil
	case c.Revision == 0:
		return problem.New(problem.PreconditionFailed, "There is no such metric by now.").At("header.If-Match", "is not the present revision")
	}
	return problem.New(problem.PreconditionFailed, "The metric is at revision %d by now, and not at %d.", c.Revision, revision).
		At("header.If-Match", "is not the present revision")
}

// save makes the metric what it is to be, and reports whether that changes anything.
func (c *Change) save(n *Wanted, now time.Time, by string) bool {
	same := len(c.Versions) > 0 && bytes.Equal(c.Versions[0].Definition, n.Definition) && c.Versions[0].CacheMinutes == n.CacheMinutes
	published := c.Published != 0 && c.Published == c.Latest
	if same && (n.Draft || published) && c.Description == n.Description && c.Owner == n.Owner {
		return false
	}
	if c.Revision == 0 {
		c.CreatedAt, c.CreatedBy = now, by
	}
	c.UpdatedAt, c.UpdatedBy, c.Description, c.Owner = now, by, n.Description, n.Owner
	if !same {
		c.Latest++
		c.Add = &Version{Number: c.Latest, Definition: n.Definition, CacheMinutes: n.CacheMinutes, CreatedAt: now, CreatedBy: by}
	}
	if !n.Draft {
		c.Published, c.Publish = c.Latest, c.Latest
	}
	c.trim()
	return true
}

// newest is the newest version as it will be stored.
func (c *Change) newest() Version {
	v := Version{}
	switch {
	case c.Add != nil:
		v = *c.Add
	case len(c.Versions) > 0:
		v = c.Versions[0]
	}
	if c.Publish != 0 && v.Draft() {
		v.PublishedAt = c.UpdatedAt
	}
	return v
}

// trim forgets the oldest version when there is one too many: of those that were never published, and when there is none
// of them, of all but the published one.
func (c *Change) trim() {
	if c.Add == nil || len(c.Versions) < MaxVersions {
		return
	}
	oldest := func(may func(*Version) bool) int64 {
		for _, v := range slices.Backward(c.Versions) {
			if v.Number != c.Published && may(&v) {
				return v.Number
			}
		}
		return 0
	}
	drop := oldest((*Version).Draft)
	if drop == 0 {
		drop = oldest(func(*Version) bool { return true })
	}
	if drop != 0 {
		c.Drop = append(c.Drop, drop)
	}
}

// view is a metric in the audit.
type view struct {
	Description  string `json:"description"`
	Owner        string `json:"owner"`
	Published    int64  `json:"published"`
	Latest       int64  `json:"latest"`
	CacheMinutes int    `json:"cache_minutes"`
	SHA256       string `json:"definition_sha256"` // of the newest version
}

// view is the metric with its newest version; nil when it is not there.
func (c *Change) view() any {
	if len(c.Versions) == 0 && c.Add == nil {
		return nil
	}
	v := c.newest()
	sum := sha256.Sum256(v.Definition)
	return view{c.Description, c.Owner, c.Published, c.Latest, v.CacheMinutes, hex.EncodeToString(sum[:])}
}
