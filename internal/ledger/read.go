package ledger

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Limits on one page.
const (
	MaxPage  = 200
	MaxCount = 1000 // of counts
)

// Filter narrows a list of denials. Empty fields do not narrow.
type Filter struct {
	ID     string // one denial, by its decision id
	KeyID  string
	Reason string
	Before string // what the page before gave as next; empty for the newest
	Limit  int    // 1 to MaxPage
}

// DenialQuery is a Filter as the store gets it: within one project, and Before as a place.
type DenialQuery struct {
	Project string
	ID      string
	KeyID   string
	Reason  string
	Before  Place // the zero Place: from the newest
	Limit   int
}

// Place is a denial's place in the order of a list: by time, and by id within the same microsecond.
type Place struct {
	At time.Time
	ID string
}

// Denials lists the denials of the permit's project, newest first. What was decided before the call is in the answer,
// unless the store cannot take it. next is empty after the last page.
func (l *Ledger) Denials(ctx context.Context, permit gate.Permit, f Filter) (list []gate.Denial, next string, err error) {
	q := DenialQuery{Project: permit.Project(), ID: f.ID, KeyID: f.KeyID, Reason: f.Reason, Limit: f.Limit + 1}
	if err := f.check(); err != nil {
		return nil, "", err
	}
	if f.Before != "" {
		var ok bool
		if q.Before.At, ok = readCursor(f.Before, &q.Before.ID); !ok {
			return nil, "", badCursor()
		}
	}
	_ = l.Flush(ctx) // what the store does not take, Stats tells
	list, err = l.store.Denials(ctx, q)
	if err != nil {
		return nil, "", fmt.Errorf("ledger: list denials: %w", err)
	}
	if len(list) > f.Limit {
		list = list[:f.Limit]
		last := list[f.Limit-1]
		next = writeCursor(last.At, last.ID)
	}
	return list, next, nil
}

func (f Filter) check() error {
	if _, ok := access.LookupOf(f.KeyID); f.KeyID != "" && !ok {
		return problem.Invalid("key_id", "is not the id of a key")
	}
	if len(f.ID) > maxText || !printable(f.ID) {
		return problem.Invalid("id", "is not the id of a decision")
	}
	if ok, _ := regexp.MatchString(`^[a-z_]{0,64}$`, f.Reason); !ok {
		return problem.Invalid("reason", "is not a reason")
	}
	if f.Limit < 1 || f.Limit > MaxPage {
		return problem.Invalid("limit", "must be from 1 to %d", MaxPage)
	}
	return nil
}

// Window narrows counts. Hours that begin at From or later and before To are in it.
type Window struct {
	From  time.Time
	To    time.Time // zero: until now
	KeyID string    // empty: every key
	After string    // what the page before gave as next; empty for the first
	Limit int       // 1 to MaxCount
}

// CountQuery is a Window as the store gets it: within one project, and After as the last count of the page before.
type CountQuery struct {
	Project string
	From    time.Time
	To      time.Time
	KeyID   string
	After   CountPlace
	Limit   int
}

// CountPlace is a count's place in the order of a list: by hour, key, and then what is counted, a reason or an action's
// name, and the environment. The zero CountPlace is before the first.
type CountPlace struct {
	Hour        time.Time
	KeyID       string
	What        string
	Environment string
}

// Usage lists the counts of allowed requests of the permit's project, oldest hour first.
func (l *Ledger) Usage(ctx context.Context, permit gate.Permit, w Window) (list []Used, next string, err error) {
	return page(ctx, l, permit, w, l.store.Used, func(u Used) CountPlace {
		return CountPlace{u.Hour, u.KeyID, u.Action.String(), u.Environment}
	})
}

// Denied lists the counts of denials of the permit's project, oldest hour first. They count every denial, also those
// that are no longer, or never were, kept one by one.
func (l *Ledger) Denied(ctx context.Context, permit gate.Permit, w Window) (list []Denied, next string, err error) {
	return page(ctx, l, permit, w, l.store.Denied, func(d Denied) CountPlace {
		return CountPlace{d.Hour, d.KeyID, d.Reason, ""}
	})
}

func page[T any](ctx context.Context, l *Ledger, permit gate.Permit, w Window,
	read func(context.Context, CountQuery) ([]T, error), place func(T) CountPlace,
) (list []T, next string, err error) {
	q := CountQuery{Project: permit.Project(), From: w.From, To: w.To, KeyID: w.KeyID, Limit: w.Limit + 1}
	if _, ok := access.LookupOf(w.KeyID); w.KeyID != "" && !ok {
		return nil, "", problem.Invalid("key_id", "is not the id of a key")
	}
	if w.Limit < 1 || w.Limit > MaxCount {
		return nil, "", problem.Invalid("limit", "must be from 1 to %d", MaxCount)
	}
	if w.After != "" {
		var ok bool
		if q.After.Hour, ok = readCursor(w.After, &q.After.KeyID, &q.After.What, &q.After.Environment); !ok {
			return nil, "", badCursor()
		}
	}
	if q.To.IsZero() {
		q.To = l.cfg.Now().Add(time.Hour)
	}
	_ = l.Flush(ctx) // what the store does not take, Stats tells
	if list, err = read(ctx, q); err != nil {
		return nil, "", fmt.Errorf("ledger: list counts: %w", err)
	}
	if len(list) > w.Limit {
		list = list[:w.Limit]
		last := place(list[w.Limit-1])
		next = writeCursor(last.Hour, last.KeyID, last.What, last.Environment)
	}
	return list, next, nil
}

func badCursor() error { return problem.Invalid("cursor", "is not one that a list gave") }

// maxCursor bounds a cursor, in bytes.
const maxCursor = 1024

// A cursor is the place of the last entry of a page: a time and some texts. Its form is nobody's business but ours.
func writeCursor(at time.Time, texts ...string) string {
	whole := strconv.FormatInt(at.UnixMicro(), 10) + "\n" + strings.Join(texts, "\n")
	return base64.RawURLEncoding.EncodeToString([]byte(whole))
}

// readCursor reads a cursor that is not empty into as many texts as it was written from.
func readCursor(cursor string, texts ...*string) (at time.Time, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	parts := strings.Split(string(raw), "\n")
	if err != nil || len(cursor) > maxCursor || len(parts) != 1+len(texts) {
		return time.Time{}, false
	}
	micros, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	for i, text := range texts {
		if *text = parts[1+i]; !printable(*text) {
			return time.Time{}, false
		}
	}
	return time.UnixMicro(micros).UTC(), true
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}
