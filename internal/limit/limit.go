// Package limit counts requests and credits, and says when there are too many. It implements gate.Limits.
//
// A rate is counted by the generic cell rate algorithm, exactly and in whole numbers; a daily limit by UTC day; credits by
// calendar month. A request passes all limits of its key and its project, or is charged to none of them. Counters belong
// to the ids of keys and projects, which never change: no new secret, restoring or renaming begins a budget anew.
//
// Counting is in memory, and never forgets what was let through, also after a kill at any moment: before an account is
// used, the store has it in writing how far it may be used, its lease. After a crash the whole lease counts as used. So
// a request waits for the store only when its account has no lease that suffices; leases are made longer in the
// background, and those of many accounts are written together. Credits are written for each request, since they are
// money. What is not in use costs nothing: an account that has been idle is written back and leaves memory.
//
// The package owns the algorithm, the counters, the leases, and what happens while the store is away. It does not own how
// much is allowed (access has the limits; a Charge carries those of the moment), who asks (gate), nor how counters are
// kept (it declares Store, of which one process at a time is the user).
//
// Problems: it returns none; gate makes them of what it answers.
package limit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
)

// Store keeps what must survive. Texts come back byte for byte. Accounts are named as this package names them.
type Store interface {
	// Begin makes server the one whose batches are taken, and those of any other refused, from now on. Reservations that
	// an earlier server left open are gone with it, unless they are Held. It returns the requests settled latest, at most so
	// many, and with them all that is held, oldest first.
	Begin(ctx context.Context, server string, most int) ([]Reservation, error)
	// Load reads what is written of some accounts. What is not there is not in the answer.
	Load(ctx context.Context, want Wanted) (Written, error)
	// Write stores a batch, all or none; each row takes the place of the one before. A batch with a number that is not
	// higher than that of one stored before changes nothing. The error is ErrSuperseded when another server has begun.
	Write(ctx context.Context, batch Batch) error
	// Trim removes some of what is outside the horizon, and returns how many rows it removed; 0 when there is nothing left
	// to remove.
	Trim(ctx context.Context, h Horizon) (int, error)
}

// ErrSuperseded is the error of a store of which another server has become the user.
var ErrSuperseded = errors.New("limit: another server has taken over the counters")

// Batch is what is stored at once.
type Batch struct {
	Server       string
	Number       int64 // counts the server's batches
	Rates        []Rate
	Days         []Day
	Months       []Month
	Reservations []Reservation
	Released     []Request // reservations that are no more; one of Reservations may be of the same request, and stays
}

// Rate is the debt of an account's rate limit.
type Rate struct {
	Account   string
	Debt      int64     // in billionths of a request; Full: the account is in use, and may owe all that it is allowed to
	At        time.Time // when it owed that; of Full, until when at most
	PerSecond int64     // requests that were paid back in a second
}

// Full is the debt of an account that is in use.
const Full = -1

// Day is how many requests of an account may have been let through in a day.
type Day struct {
	Account  string
	Day      int64 // since 1970, UTC
	Requests int64
}

// Month is how many credits an account has spent in a month.
type Month struct {
	Account string
	Month   int64 // 12 * year + month - 1, UTC
	Spent   int64
}

// Request names a request: by its id, among those of its key.
type Request struct {
	ID  string
	Key string // the account of its key
}

// Reservation is credits that were set aside for a request.
type Reservation struct {
	Request
	Project string // its account
	Month   int64
	Credits int64     // set aside
	Settled bool      // then they are not set aside any more
	Spent   int64     // what the request came to
	Over    string    // what Settle answered
	At      time.Time // when it was made or settled
}

// Wanted is what to read.
type Wanted struct {
	Rates  []string // accounts
	Days   []Day    // without their requests
	Months []Month  // without what was spent
}

// Written is what there is of what was wanted, in any order.
type Written struct {
	Rates  []Rate
	Days   []Day
	Months []Month
}

// Horizon is how much is kept. Days and months are counted by those in which anything was, and not by the clock: a clock
// that was set years ahead for a minute removes nothing of this day.
type Horizon struct {
	Days    int       // the latest days of which anything is written; rates from before them go too
	Months  int       // the latest months
	Settled time.Time // requests settled before it go
}

// How long things take, at most, and are kept.
const (
	patience    = 250 * time.Millisecond // a request waits so long for the store
	storeTime   = 5 * time.Second        // a call of the store may take so long
	firstPause  = 100 * time.Millisecond // before a store that failed is asked again; it doubles
	longestRest = 2 * time.Second
	comeAgain   = time.Second // what a request is told that was denied for want of the store

	useTime      = 10 * time.Minute // a rate is leased for so long at a time
	idleTime     = 10 * time.Minute // an account that was not used for so long is written back
	openTime     = 10 * time.Minute // credits that were set aside for so long without being settled are free again
	sweepEvery   = time.Minute
	trimEvery    = time.Hour
	sayEvery     = time.Minute // a store that stays away is logged so often
	keepDays     = 35
	keepMonths   = 14
	keepRequests = time.Hour // settled ones, for whoever settles them again
)

// bounds is how much is held in memory, at most, and how long a request waits.
type bounds struct {
	patience     time.Duration
	accounts     int // with limits, and used lately
	reservations int // open, and settled but not stored yet
	settled      int // settled and stored
	cycle        int // accounts written together
}

var _ gate.Limits = (*Limiter)(nil)

// Config is what a limiter needs of the world. Every field is required.
type Config struct {
	// Now is the clock. The times of charges must be of the same clock; where they carry a monotonic reading, steps of the
	// wall clock do not touch rates.
	Now    func() time.Time
	Log    *slog.Logger
	Server string // a name that no other start of the program has
	// Patience is how long a request waits for the store; zero: 250 ms.
	Patience time.Duration
}

// Limiter counts. Make one with Open, keep Run running, and end with Close. Its methods may be called from many
// goroutines.
type Limiter struct {
	store  Store
	cfg    Config
	bounds bounds
	base   time.Time // what steady times count from
	seed   maphash.Seed

	keys, projects registry
	accounts       atomic.Int64 // in both
	seen           *recent
	credits        credits
	failures       failures
	queue          queue
	number         int64 // of the last batch; the worker's
	stats          counts
	crowded        chan struct{} // tells Run that there are too many accounts
}

// Open takes over the counters in a store.
func Open(ctx context.Context, store Store, cfg Config) (*Limiter, error) {
	if cfg.Now == nil || cfg.Log == nil || cfg.Server == "" {
		return nil, errors.New("limit: the config lacks a clock, a log or a server's name")
	}
	l := &Limiter{
		store: store, cfg: cfg, base: cfg.Now(), seed: maphash.MakeSeed(), seen: new(recent), crowded: make(chan struct{}, 1),
		bounds: bounds{patience: cmp.Or(cfg.Patience, patience), accounts: 200_000, reservations: 50_000, settled: 10_000, cycle: 1_000},
	}
	l.keys.prefix, l.projects.prefix = "key/", "project/"
	l.queue.worker, l.queue.closing = make(chan struct{}, 1), make(chan struct{})
	l.queue.most, l.queue.work = l.bounds.cycle, l.work
	settled, err := store.Begin(ctx, cfg.Server, l.bounds.settled)
	if err != nil {
		return nil, fmt.Errorf("limit: take over the counters: %w", err)
	}
	l.credits.recall(settled)
	return l, nil
}

// Run writes back what is idle and trims the store, until ctx is done. Counting does not need it; memory does.
func (l *Limiter) Run(ctx context.Context) {
	sweep, trim := time.NewTicker(sweepEvery), time.NewTicker(trimEvery)
	defer sweep.Stop()
	defer trim.Stop()
	l.trim(ctx)
	for {
		select {
		case <-sweep.C:
			l.sweep(ctx, idleTime)
		case <-l.crowded:
			l.sweep(ctx, idleTime/100)
		case <-trim.C:
			l.trim(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Close writes back what is not used of every lease, and exactly what every rate owes, so that the next start goes on
// where this one ended. Requests that come after it find no store. The error says what was not written: that counts as
// used. Run should have ended.
func (l *Limiter) Close(ctx context.Context) error {
	if !l.queue.close() {
		return errors.New("limit: closed already")
	}
	select {
	case l.queue.worker <- struct{}{}: // the worker has ended, and no other begins
	case <-ctx.Done():
		return fmt.Errorf("limit: close: the store is busy: %w", ctx.Err())
	}
	for _, r := range [...]*registry{&l.keys, &l.projects} {
		for a := range r.all() {
			a.mu.Lock()
			a.releasing = true
			l.queue.putAccount(a)
			a.mu.Unlock()
		}
	}
	for c, p := l.begin(); c != nil; c, p = l.begin() {
		if err := l.perform(ctx, p); err != nil {
			return fmt.Errorf("limit: write the counters back: %w", err)
		}
	}
	return nil
}

// trim removes from the store what is old.
func (l *Limiter) trim(ctx context.Context) {
	h := Horizon{Days: keepDays, Months: keepMonths, Settled: l.cfg.Now().Add(-keepRequests)}
	for ctx.Err() == nil {
		removed, err := l.store.Trim(ctx, h)
		if err != nil && ctx.Err() == nil {
			l.cfg.Log.Error("old counters cannot be trimmed", "error", err)
		}
		if err != nil || removed == 0 {
			return
		}
	}
}

// Stats is what the limiter says about itself.
type Stats struct {
	Accounts     int       // in memory
	Reservations int       // of credits, not settled yet
	Addresses    int       // of which failures are counted
	Uncounted    uint64    // requests let through since the start while the store could not be reached
	Unreachable  uint64    // requests denied for that since the start
	Failures     uint64    // calls of the store that failed since the start
	FailingSince time.Time // zero: the last call went well
}

type counts struct {
	uncounted, unreachable, failures atomic.Uint64
	failingSince                     atomic.Pointer[time.Time]
	said                             time.Time // when a failure was last logged; the worker's
}

// Stats gives the present figures.
func (l *Limiter) Stats() Stats {
	s := Stats{
		Accounts: int(l.accounts.Load()), Reservations: l.credits.count(), Addresses: l.failures.count(),
		Uncounted: l.stats.uncounted.Load(), Unreachable: l.stats.unreachable.Load(), Failures: l.stats.failures.Load(),
	}
	if since := l.stats.failingSince.Load(); since != nil {
		s.FailingSince = *since
	}
	return s
}

// steady is a time on the clock that rates are counted by: nanoseconds since the start of the limiter.
func (l *Limiter) steady(t time.Time) int64 {
	const far = 1 << 61 // some 70 years: differences of two fit an int64
	return min(max(int64(t.Sub(l.base)), -far), far)
}

// dayOf numbers the days since 1970.
func dayOf(t time.Time) int64 {
	seconds := t.Unix()
	day := seconds / secondsOfDay
	if seconds%secondsOfDay < 0 {
		day--
	}
	return day
}

const secondsOfDay = 24 * 3600

func endOfDay(day int64) time.Time { return time.Unix((day+1)*secondsOfDay, 0) }

// monthOf numbers the months of the calendar.
func monthOf(t time.Time) int64 {
	year, month, _ := t.UTC().Date()
	return int64(year)*12 + int64(month) - 1
}

func startOfMonth(month int64) time.Time {
	return time.Date(int(month/12), time.Month(month%12+1), 1, 0, 0, 0, 0, time.UTC)
}
