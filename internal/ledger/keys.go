package ledger

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// ShapeFilter narrows a list of shapes. Empty fields do not narrow.
type ShapeFilter struct {
	Outcome    Outcome
	Generation int
	From       time.Time // of the days on which they were seen: those that end after it
	To         time.Time // and that begin before it
	After      string    // what the page before gave as next; empty for the first
	Limit      int       // 1 to MaxCount
}

// ShapeQuery is a ShapeFilter as the store gets it. From and To are starts of days.
type ShapeQuery struct {
	Project    string
	KeyID      string
	Live       bool // a key of live mode is found
	Outcome    Outcome
	Generation int // 0: any
	From       time.Time
	To         time.Time
	Clients    bool        // tell only clients apart: by generation, network, agent and SDK, in this order
	AfterID    string      // of the last shape of the page before
	After      ClientPlace // or of the last client
	Limit      int
}

// Client is who used a key: a program in a network, with one of the key's secrets.
type Client struct {
	Generation int
	Network    netip.Prefix
	Agent      string // its family, such as curl/8 or Firefox
	SDK        string
	First      time.Time
	Last       time.Time
	Requests   int64
	Refused    int64 // of Requests
}

// ClientPlace is a client's place in the order of a list, its network as text.
type ClientPlace struct {
	Generation          int
	Network, Agent, SDK string
}

// Shapes lists the distinct shapes of a key's attempts, in an order that does not change, with how often and when each
// was seen. A key of another project has none. next is empty after the last page.
func (l *Ledger) Shapes(ctx context.Context, permit gate.Permit, keyID string, f ShapeFilter) (list []Seen, next string, err error) {
	q, err := l.shapeQuery(permit, keyID, f)
	if err != nil {
		return nil, "", err
	}
	if f.After != "" {
		if _, ok := readCursor(f.After, &q.AfterID); !ok {
			return nil, "", badCursor()
		}
	}
	_ = l.Flush(ctx) // what the store does not take, Stats tells
	if list, err = l.store.Shapes(ctx, q); err != nil {
		return nil, "", fmt.Errorf("ledger: list shapes: %w", err)
	}
	if len(list) > f.Limit {
		list = list[:f.Limit]
		next = writeCursor(time.Time{}, list[f.Limit-1].ID)
	}
	return list, next, nil
}

// Clients lists who used a key, sorted by the secret they used, their network and their program. A key of another
// project has none. next is empty after the last page.
func (l *Ledger) Clients(ctx context.Context, permit gate.Permit, keyID string, f ShapeFilter) (list []Client, next string, err error) {
	q, err := l.shapeQuery(permit, keyID, f)
	if err != nil {
		return nil, "", err
	}
	q.Clients = true
	if f.After != "" {
		var generation string
		_, ok := readCursor(f.After, &generation, &q.After.Network, &q.After.Agent, &q.After.SDK)
		if q.After.Generation, err = strconv.Atoi(generation); !ok || err != nil {
			return nil, "", badCursor()
		}
	}
	_ = l.Flush(ctx) // what the store does not take, Stats tells
	shapes, err := l.store.Shapes(ctx, q)
	if err != nil {
		return nil, "", fmt.Errorf("ledger: list clients: %w", err)
	}
	if len(shapes) > f.Limit {
		shapes = shapes[:f.Limit]
		last := shapes[f.Limit-1]
		next = writeCursor(time.Time{}, strconv.Itoa(last.Generation), writeNetwork(last.Network), last.Agent, last.SDK)
	}
	list = make([]Client, len(shapes))
	for i, s := range shapes {
		list[i] = Client{
			Generation: s.Generation, Network: s.Network, Agent: s.Agent, SDK: s.SDK, First: s.First, Last: s.Last,
			Requests: s.Requests, Refused: s.Refused,
		}
	}
	return list, next, nil
}

func (l *Ledger) shapeQuery(permit gate.Permit, keyID string, f ShapeFilter) (ShapeQuery, error) {
	q := ShapeQuery{
		Project: permit.Project(), KeyID: keyID, Live: permit.Live(), Outcome: f.Outcome, Generation: f.Generation,
		From: floor(f.From), To: ceil(f.To, day*time.Second), Limit: f.Limit + 1,
	}
	if f.To.IsZero() {
		q.To = ceil(l.cfg.Now().Add(day*time.Second), day*time.Second)
	}
	switch _, ok := access.LookupOf(keyID); {
	case !ok:
		return q, problem.Invalid("key_id", "is not the id of a key")
	case f.Outcome > Limited:
		return q, problem.Invalid("outcome", "is not an outcome")
	case f.Generation < 0:
		return q, problem.Invalid("generation", "must be 1 or more")
	case f.Limit < 1 || f.Limit > MaxCount:
		return q, problem.Invalid("limit", "must be from 1 to %d", MaxCount)
	}
	return q, nil
}

// floor is the start of the day of a time.
func floor(t time.Time) time.Time { return startOf(numberOf(t.UnixMicro(), day), day) }

// LastUsed gives, for those of the permit's project's keys that were used, the last use by any of their secrets. It
// takes at most MaxPage ids.
func (l *Ledger) LastUsed(ctx context.Context, permit gate.Permit, keyIDs []string) (map[string]LastUse, error) {
	last := map[string]LastUse{}
	if len(keyIDs) > MaxPage {
		return nil, problem.Invalid("key_id", "more than %d keys at once", MaxPage)
	}
	if len(keyIDs) == 0 {
		return last, nil
	}
	_ = l.Flush(ctx) // what the store does not take, Stats tells
	uses, err := l.store.LastUsed(ctx, permit.Project(), keyIDs)
	if err != nil {
		return nil, fmt.Errorf("ledger: find last uses: %w", err)
	}
	for _, u := range uses {
		if have, ok := last[u.KeyID]; !ok || u.At.After(have.At) {
			last[u.KeyID] = u
		}
	}
	return last, nil
}
