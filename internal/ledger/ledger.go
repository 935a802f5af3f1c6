// Package ledger owns the record of decisions: keeping what the gate writes without slowing it down, and reading it.
//
//	gate --Deny, Allow--> memory --Run, every 200 ms--> Store --Denials, Usage, Shapes, LastUsed--> readers
//
// Every decision is counted, and the first denials of each key and reason in an hour are kept one by one as well. What
// is counted can be told apart by key, outcome, reason, action, environment, event and network, by minute for two days,
// then by hour for sixty, then by day for four hundred. Beside the counts, the distinct shapes of a key's attempts are
// kept for thirty days, and when, from where and by what client each of its secrets was last used.
//
// Memory and rows are bounded: what does not fit is counted in fewer, wider counts and never dropped. A crash loses what
// came since the last flush: a fraction of a second of counts and denials, ten seconds of shapes and last uses. A store
// that fails delays it until the store is back, which Stats and the log tell.
//
// It does not own deciding (access, gate), who may read the ledger (access), nor how it is kept (it declares Store).
//
// Problems: invalid_field.
package ledger

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
)

// Store keeps the ledger. Texts come back byte for byte, times to the microsecond and in UTC. What is asked for on behalf
// of a caller that does not see live things is about keys of test mode only.
type Store interface {
	// Keep stores a batch, all or none: it adds the denials, adds the counts and shapes to those it has, and replaces the
	// uses that are older. A batch that it has already, by writer and number, changes nothing; a writer's numbers come in
	// order.
	Keep(ctx context.Context, batch Batch) error
	// Denials lists denials of one project, newest first.
	Denials(ctx context.Context, q DenialQuery) ([]gate.Denial, error)
	// Usage adds up counts of one project, oldest first, and within a span of time by what they are about.
	Usage(ctx context.Context, q CountQuery) ([]Count, error)
	// Shapes adds up the shapes of one key, in the order of their ids.
	Shapes(ctx context.Context, q ShapeQuery) ([]Seen, error)
	// LastUsed gives the last use of each of a project's keys that has been used.
	LastUsed(ctx context.Context, project string, keyIDs []string) ([]LastUse, error)
	// Trim removes some of what is older than the horizon or more than it allows, or adds up some counts by a longer span,
	// and returns how many entries that took; 0 when there is nothing left to do. No count goes that is not in one of a
	// longer span, until it is older than Horizon.Days. When there are too many denials, the oldest of the project that
	// has the most go first, so that nobody's flood removes another's.
	Trim(ctx context.Context, h Horizon) (int, error)
}

// Batch is what is stored at once.
type Batch struct {
	Writer  string // names one start of one program
	Number  int64  // counts the writer's batches from 1
	Denials []gate.Denial
	Counts  []Count // of a minute each
	Shapes  []Seen
	Uses    []LastUse
}

// Horizon is how far back the ledger is kept.
type Horizon struct {
	Denials time.Time // denials decided before it go
	Most    int       // and of the others so many stay
	Ended   time.Time // hours and days that end before it are added up
	Minutes time.Time // counts by minute before it go, and are left by hour
	Hours   time.Time // counts by hour before it go, and are left by day
	Days    time.Time // counts of days before it go
	MostDay int       // a day of a project that has more counts is counted without networks, then without events
	Shapes  time.Time // shapes last seen on days before it go
}

// How much is kept, and how often it is written.
const (
	keepDenials = 30 * 24 * time.Hour
	keepMost    = 1_000_000
	minutesKept = 48 * time.Hour
	hoursKept   = 60 * 24 * time.Hour
	daysKept    = 400 * 24 * time.Hour
	keepShapes  = 30 * 24 * time.Hour
	keepMostDay = 4_000
	sumAfter    = 10 * time.Minute // most of what comes late has come by then
	flushEvery  = 200 * time.Millisecond
	holdBack    = 10 * time.Second // of shapes and last uses
	holdMost    = 10_000           // shapes
	trimEvery   = 10 * time.Minute
	storeTime   = 10 * time.Second // one write to the store takes no longer
	sayEvery    = time.Minute      // a store that stays away is logged so often
)

// limits bound what is held in memory, and what is told apart in the store.
type limits struct {
	denials  int // waiting to be stored, one by one
	perShare int // of one project, key and reason in an hour that are kept one by one
	whole    int // and of those, with long texts
	shapes   int // held in memory
	counts   int // told apart of one project in an hour, by each start of the program
	told     int // of all projects together
	perKey   int // shapes told apart of one key in a day, by each start of the program
	allKeys  int // of all keys together
}

func usual() limits {
	return limits{denials: 10_000, perShare: 10_000, whole: 100, shapes: 32_000, counts: 2_000, told: 64_000, perKey: 2_000, allKeys: 100_000}
}

var _ gate.Ledger = (*Ledger)(nil)

// Config is what a ledger needs of the world. Every field is required.
type Config struct {
	Now    func() time.Time
	Log    *slog.Logger
	Writer string // a name that no other start of the program has
}

// Ledger takes the record of decisions. It implements gate.Ledger. Make one with New and start Run.
type Ledger struct {
	store  Store
	cfg    Config
	limits limits

	denials denials
	shards  [shardCount]shard

	flushing sync.Mutex // held while pending is written
	pending  *Batch     // taken from memory and not known to be stored
	number   int64      // of the last batch taken
	sorter   sorter     // held with flushing

	stats stats
}

// New makes a ledger that is empty.
func New(store Store, cfg Config) (*Ledger, error) {
	if cfg.Now == nil || cfg.Log == nil || cfg.Writer == "" {
		return nil, errors.New("ledger: the config lacks a clock, a log or a writer's name")
	}
	l := &Ledger{store: store, cfg: cfg, limits: usual()}
	for i := range l.shards {
		l.shards[i].seed, l.shards[i].cells = maphash.MakeSeed(), map[uint64]*cell{}
	}
	return l, nil
}

// Deny takes one no. It returns at once.
func (l *Ledger) Deny(d gate.Denial) {
	l.anyShard().deny(&d, l.limits.shapes/shardCount)
	if l.denials.add(&d, l.limits) {
		l.stats.kept.Add(1)
	} else {
		l.stats.counted.Add(1)
	}
}

// Allow takes one yes. It returns at once.
func (l *Ledger) Allow(u gate.Use) {
	l.anyShard().allow(&u, l.limits.shapes/shardCount)
	l.stats.allowed.Add(1)
}

// anyShard is a random one, so that one busy key is not one busy lock. Any will do, since they are added up.
func (l *Ledger) anyShard() *shard {
	return &l.shards[rand.Uint32()%shardCount] //nolint:gosec // it only spreads the load
}

// Stats is what the ledger says about itself.
type Stats struct {
	Allowed      uint64    // requests counted since the start
	Kept         uint64    // denials taken one by one since the start
	CountedOnly  uint64    // denials that were counted and not kept one by one, since the start
	Waiting      int       // denials held in memory, one by one
	Failures     uint64    // writes to the store that failed since the start
	FailingSince time.Time // zero: the last write went well
}

type stats struct {
	allowed, kept, counted, failures atomic.Uint64
	pending                          atomic.Int64 // denials in the pending batch
	failingSince                     atomic.Pointer[time.Time]
	said                             time.Time // when a failure was last logged; held with flushing
}

// Stats gives the present figures.
func (l *Ledger) Stats() Stats {
	s := Stats{
		Allowed: l.stats.allowed.Load(), Kept: l.stats.kept.Load(), CountedOnly: l.stats.counted.Load(),
		Waiting:  l.denials.waiting() + int(l.stats.pending.Load()),
		Failures: l.stats.failures.Load(),
	}
	if since := l.stats.failingSince.Load(); since != nil {
		s.FailingSince = *since
	}
	return s
}
