// Package ledger owns the record of decisions: keeping what the gate writes without slowing it down, and reading it.
//
//	gate --Deny, Allow--> memory --Run, every 200 ms--> Store --Denials, Usage, Denied--> readers
//
// Every denial is counted, by project, key, reason and hour, and the first of each in an hour are kept one by one as
// well. Allowed requests are counted by project, key, action, environment and hour. Memory is bounded: what does not
// fit is counted in fewer, wider counts and never dropped. A crash loses what came since the last flush, a fraction of
// a second of counts and denials; a store that fails delays it until the store is back, which Stats and the log tell.
//
// It does not own deciding (access, gate), who may read the ledger (access), nor how it is kept (it declares Store).
//
// Problems: invalid_field.
package ledger

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// Store keeps the ledger. Texts come back byte for byte, times to the microsecond and in UTC.
type Store interface {
	// Keep stores a batch, all or none: it adds the denials, and adds the counts to those it has. A batch that it has
	// already, by writer and number, changes nothing; a writer's numbers come in order.
	Keep(ctx context.Context, batch Batch) error
	// Denials lists denials of one project, newest first.
	Denials(ctx context.Context, q DenialQuery) ([]gate.Denial, error)
	// Denied lists the counts of denials of one project, oldest hour first.
	Denied(ctx context.Context, q CountQuery) ([]Denied, error)
	// Used lists the counts of allowed requests of one project, oldest hour first.
	Used(ctx context.Context, q CountQuery) ([]Used, error)
	// Trim removes some of what is older than the horizon or more than it allows, and returns how many entries it
	// removed; 0 when there is nothing left to remove. When there are too many denials, the oldest of the project that
	// has the most go first, so that nobody's flood removes another's.
	Trim(ctx context.Context, h Horizon) (int, error)
}

// Batch is what is stored at once.
type Batch struct {
	Writer  string // names one start of one program
	Number  int64  // counts the writer's batches from 1
	Denials []gate.Denial
	Denied  []Denied
	Used    []Used
}

// Denied counts the denials of one project, key and reason in one hour. Denials for which no project is known are
// counted with an empty project and key. An empty key in a project stands for keys that were too many to tell apart.
type Denied struct {
	Project string
	KeyID   string
	Reason  string
	Hour    time.Time // its start, UTC
	Denials int64     // decisions
	Items   int64     // things refused: one decision can refuse several events of a batch
}

// Used counts the allowed requests of one project, key, action and environment in one hour. An empty key stands for keys
// that were too many to tell apart.
type Used struct {
	Project     string
	KeyID       string
	Action      access.Action
	Environment string    // empty: not about one environment
	Hour        time.Time // its start, UTC
	Requests    int64
	Items       int64
}

// Horizon is how far back the ledger is kept.
type Horizon struct {
	Denials time.Time // denials decided before it go
	Most    int       // and of the others so many stay
	Counts  time.Time // counts of hours before it go
}

// How much is kept, and how often it is written.
const (
	keepDenials = 30 * 24 * time.Hour
	keepMost    = 1_000_000
	keepCounts  = 400 * 24 * time.Hour
	flushEvery  = 200 * time.Millisecond
	trimEvery   = 10 * time.Minute
	storeTime   = 10 * time.Second // one write to the store takes no longer
	sayEvery    = time.Minute      // a store that stays away is logged so often
)

// limits bound what is held in memory.
type limits struct {
	denials  int // waiting to be stored, one by one
	perShape int // of one project, key and reason in an hour that are kept one by one
	shapes   int // distinct counts of each sort
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
	uses    [useShards]uses

	flushing sync.Mutex // held while pending is written
	pending  *Batch     // taken from memory and not known to be stored
	number   int64      // of the last batch taken

	stats stats
}

// New makes a ledger that is empty.
func New(store Store, cfg Config) (*Ledger, error) {
	if cfg.Now == nil || cfg.Log == nil || cfg.Writer == "" {
		return nil, errors.New("ledger: the config lacks a clock, a log or a writer's name")
	}
	return &Ledger{store: store, cfg: cfg, limits: limits{denials: 10_000, perShape: 10_000, shapes: 64_000}}, nil
}

// Deny takes one no. It returns at once.
func (l *Ledger) Deny(d gate.Denial) {
	clean(&d)
	if l.denials.add(d, l.limits) {
		l.stats.kept.Add(1)
	} else {
		l.stats.counted.Add(1)
	}
}

// Allow takes one yes. It returns at once.
func (l *Ledger) Allow(u gate.Use) {
	// Any shard will do, since they are added up: a random one, so that one busy key is not one busy lock.
	l.uses[rand.Uint32()%useShards].add(u, l.limits.shapes/useShards) //nolint:gosec // it only spreads the load
	l.stats.allowed.Add(1)
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
