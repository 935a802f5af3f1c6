package limit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

var errFault = errors.New("this call was made to fail")

// failure is how a call of the store goes.
type failure int

const (
	well      failure = iota
	before            // it fails without having done anything
	lostReply         // it does its work, and the reply is lost
)

// memory is a Store that outlives limiters, and whose calls can be made to fail or to hang.
type memory struct {
	mu           sync.Mutex
	server       string
	number       int64
	rates        map[string]Rate
	days         map[Day]int64
	months       map[Month]int64
	reservations map[Request]Reservation
	calls        int
	writes       int
	trims        int
	plan         func(call int) failure
	hang         chan struct{} // calls wait until it is closed
}

func newMemory() *memory {
	return &memory{rates: map[string]Rate{}, days: map[Day]int64{}, months: map[Month]int64{}, reservations: map[Request]Reservation{}}
}

// fail says how calls go from now on; nil is well.
func (m *memory) fail(plan func(call int) failure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plan, m.calls = plan, 0
}

// hangs lets calls wait until the channel is closed; nil lets them through.
func (m *memory) hangs(until chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hang = until
}

func always(f failure) func(int) failure { return func(int) failure { return f } }

// call runs one call.
func (m *memory) call(ctx context.Context, do func() error) error {
	m.mu.Lock()
	hang := m.hang
	m.mu.Unlock()
	if hang != nil {
		<-hang // as a call does that heeds no context
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	how := well
	if m.plan != nil {
		how = m.plan(m.calls)
	}
	if how == before || ctx.Err() != nil {
		return errFault
	}
	err := do()
	if how == lostReply {
		return errFault
	}
	return err
}

func (m *memory) Begin(ctx context.Context, server string, most int) (list []Reservation, err error) {
	err = m.call(ctx, func() error {
		m.server, m.number = server, 0
		var held []Reservation
		for k, r := range m.reservations {
			switch {
			case r.Settled:
				list = append(list, r)
			case strings.HasPrefix(r.ID, Held):
				held = append(held, r)
			default:
				delete(m.reservations, k)
			}
		}
		slices.SortFunc(list, func(a, b Reservation) int { return a.At.Compare(b.At) })
		list = append(list[max(0, len(list)-most):], held...)
		return nil
	})
	return list, err
}

func (m *memory) Load(ctx context.Context, want Wanted) (got Written, err error) {
	err = m.call(ctx, func() error {
		for _, name := range want.Rates {
			if r, ok := m.rates[name]; ok {
				got.Rates = append(got.Rates, r)
			}
		}
		for _, d := range want.Days {
			if n, ok := m.days[d]; ok {
				d.Requests = n
				got.Days = append(got.Days, d)
			}
		}
		for _, c := range want.Months {
			if n, ok := m.months[c]; ok {
				c.Spent = n
				got.Months = append(got.Months, c)
			}
		}
		return nil
	})
	if err != nil {
		return Written{}, err
	}
	return got, nil
}

func (m *memory) Write(ctx context.Context, b Batch) error {
	return m.call(ctx, func() error {
		if b.Server != m.server {
			return ErrSuperseded
		}
		m.writes++
		if b.Number <= m.number {
			return nil
		}
		m.number = b.Number
		for _, r := range b.Released {
			delete(m.reservations, r)
		}
		for _, r := range b.Rates {
			m.rates[r.Account] = r
		}
		for _, d := range b.Days {
			m.days[Day{Account: d.Account, Day: d.Day}] = d.Requests
		}
		for _, c := range b.Months {
			m.months[Month{Account: c.Account, Month: c.Month}] = c.Spent
		}
		for _, r := range b.Reservations {
			m.reservations[r.Request] = r
		}
		return nil
	})
}

func (m *memory) Trim(ctx context.Context, _ Horizon) (int, error) {
	m.mu.Lock()
	m.trims++
	m.mu.Unlock()
	return 0, m.call(ctx, func() error { return nil })
}

// clock is set by its test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

func noon() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

func opened(t testing.TB, m Store, now func() time.Time, server string) *Limiter {
	t.Helper()
	l, err := Open(context.Background(), m, Config{Now: now, Log: slog.New(slog.DiscardHandler), Server: server})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closed(t testing.TB, l *Limiter) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func ofKey(id string, limits access.Limits) gate.Charge {
	return gate.Charge{Key: gate.Account{ID: id, Limits: limits}, Project: gate.Account{ID: "prj_1"}, Requests: 1}
}
