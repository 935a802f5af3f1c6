package saved

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/audit"
)

// Metric is a saved metric, as it is kept and listed. Times are UTC, to the microsecond.
type Metric struct {
	Project     string
	ID          string // as in its address
	Description string
	Owner       string // who answers for it
	Published   int64  // the version that is run; 0: none
	Latest      int64  // the newest version
	Revision    int64  // counts the changes, from 1; 0: it is not there
	CreatedAt   time.Time
	CreatedBy   string // the id of the key that made it, or "operator"
	UpdatedAt   time.Time
	UpdatedBy   string
}

// Version is one definition of a metric. But for PublishedAt it never changes.
type Version struct {
	Number       int64          // from 1
	Definition   jsontext.Value // as package metric reads it, without spaces
	CacheMinutes int            // how old an answer may be; 0: made anew each time
	CreatedAt    time.Time
	CreatedBy    string
	PublishedAt  time.Time // when it was first published; zero: never, it is a draft
}

// Change is a change of one metric under way. It begins with the metric as it is, and what is set is stored together or
// not at all.
type Change struct {
	Metric             // of Revision 0 when there is none; the store counts Revision
	Versions []Version // as they are, newest first, without their definitions but for the first
	Count    int       // metrics of the project, this one left out
	Bytes    int64     // of all definitions of the project, this metric's among them

	Add     *Version // a version to add
	Publish int64    // a version that is published now, when PublishedAt is zero until now
	Drop    []int64  // versions to forget
	Delete  bool     // forget all of it
}

// Store keeps metrics. Texts come back byte for byte. Metrics of different projects know nothing of one another.
type Store interface {
	// Metrics lists a project's metrics by their ids, byte by byte, those behind the id after.
	Metrics(ctx context.Context, project, after string, limit int) ([]Metric, error)
	// FindMetric gives a metric with one of its versions: that of the number, or with 0 the published one, or the newest
	// when none is. ErrNoMetric, ErrNoVersion.
	FindMetric(ctx context.Context, project, id string, number int64) (Metric, Version, error)
	// MetricVersions lists the versions that are kept of a metric, newest first, without their definitions. ErrNoMetric.
	MetricVersions(ctx context.Context, project, id string) ([]Version, error)
	// ChangeMetric lets change decide what becomes of a metric, and stores that together with the entry, in one
	// transaction. Nothing is stored when change gives an error or no entry. change may be called again when another
	// program changed the metric meanwhile, and must not call the store.
	ChangeMetric(ctx context.Context, project, id string, change func(*Change) (*audit.Entry, error)) (Metric, error)
}

// What a Store answers when there is no such thing.
var (
	ErrNoMetric  = errors.New("saved: there is no such metric")
	ErrNoVersion = errors.New("saved: there is no such version")
)

// The limits on saved metrics.
const (
	MaxMetrics      = 1000     // of a project
	MaxVersions     = 100      // kept of a metric
	MaxDefinition   = 64 << 10 // bytes of a definition as JSON, without spaces
	DefaultMaxBytes = 64 << 20 // of all definitions of a project, where a Config does not say
	MaxDescription  = 1000     // characters
	MaxOwner        = 200      // characters
	MaxPage         = 200      // metrics in a page of a list
	MinCacheMinutes = 5        // when answers are kept at all
	MaxCacheMinutes = 1440
)

// IDPattern is what a metric may be called; besides, not "test", which is an address of its own.
const IDPattern = `^[a-z0-9][a-z0-9_-]{0,62}$`

func validID(id string) bool {
	ok, _ := regexp.MatchString(IDPattern, id)
	return ok && id != "test"
}

// Draft reports whether the version was never published.
func (v *Version) Draft() bool { return v.PublishedAt.IsZero() }
