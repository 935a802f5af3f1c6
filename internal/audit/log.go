package audit

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Store keeps the record. Texts come back byte for byte, times to the microsecond and in UTC.
type Store interface {
	// Append adds an entry that is about nothing else that is stored. One whose id is there already changes nothing.
	Append(ctx context.Context, e Entry) error
	// Entries lists entries of one project, newest first.
	Entries(ctx context.Context, q Query) ([]Entry, error)
}

// Query says which entries. Empty members do not narrow.
type Query struct {
	Project string
	Live    bool // all entries; else only those about keys of test mode
	Actor   string
	Subject string
	Action  string
	From    time.Time
	To      time.Time // zero: no end
	Before  Place     // the zero Place: from the newest
	Limit   int
}

// Place is an entry's place in the order of a list: by time, and by id within the same microsecond.
type Place struct {
	At time.Time
	ID string
}

// MaxPage bounds a page.
const MaxPage = 200

// Filter narrows a list of entries. Empty members do not narrow.
type Filter struct {
	Actor   string // the id of a key, "operator" or "system"
	Subject string
	Action  string
	From    time.Time // made at it or later
	To      time.Time // made before it
	Before  string    // what the page before gave as next; empty for the newest
	Limit   int       // 1 to MaxPage
}

// Log reads the record. Make one with New.
type Log struct {
	store Store
	newID func() string
}

// New makes a log. newID names the entries about reading.
func New(store Store, newID func() string) *Log { return &Log{store: store, newID: newID} }

// Read is the action of reading the record.
const Read = "audit.read"

// List lists the entries of the permit's project, newest first. That they were read is in the record before they are
// given, and not among them. A caller that does not see live things sees only the entries about keys of test mode: of the
// others, those about reading and about the project too, it is not known that they tell nothing of live things. next is
// empty after the last page.
func (l *Log) List(ctx context.Context, permit gate.Permit, f Filter) (list []Entry, next string, err error) {
	q := Query{
		Project: permit.Project(), Live: permit.Live(), Actor: f.Actor, Subject: f.Subject, Action: f.Action, From: f.From, To: f.To, Limit: f.Limit + 1,
	}
	if err := f.check(); err != nil {
		return nil, "", err
	}
	if f.Before != "" {
		var ok bool
		if q.Before, ok = readCursor(f.Before); !ok {
			return nil, "", problem.Invalid("cursor", "is not one that a list gave")
		}
	}
	if list, err = l.store.Entries(ctx, q); err != nil {
		return nil, "", fmt.Errorf("audit: list entries: %w", err)
	}
	if err := l.store.Append(ctx, Of(permit, l.newID(), Read, permit.Project(), nil, f.view())); err != nil {
		return nil, "", fmt.Errorf("audit: record that the record was read: %w", err)
	}
	if len(list) > f.Limit {
		list = list[:f.Limit]
		last := list[f.Limit-1]
		next = writeCursor(Place{last.At, last.ID})
	}
	return list, next, nil
}

// filterView is a Filter as it stands in an entry.
type filterView struct {
	Actor   string     `json:"actor,omitempty"`
	Subject string     `json:"subject,omitempty"`
	Action  string     `json:"action,omitempty"`
	From    *time.Time `json:"from,omitempty"`
	To      *time.Time `json:"to,omitempty"`
	Before  *time.Time `json:"before,omitempty"`
	Limit   int        `json:"limit"`
}

// view is what of a filter is kept: without a key that somebody took for the id of one.
func (f *Filter) view() filterView {
	v := filterView{Actor: f.Actor, Subject: access.HideKeysIn(f.Subject), Action: f.Action, From: orNil(f.From), To: orNil(f.To), Limit: f.Limit}
	if place, ok := readCursor(f.Before); ok {
		v.Before = orNil(place.At)
	}
	return v
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (f *Filter) check() error {
	if _, ok := access.LookupOf(f.Actor); f.Actor != "" && f.Actor != System && f.Actor != access.Operator.String() && !ok {
		return problem.Invalid("actor", "must be the id of a key, operator or system")
	}
	if ok, _ := regexp.MatchString(`^[0-9A-Za-z_.-]{0,100}$`, f.Subject); !ok {
		return problem.Invalid("subject", "is not the id of anything")
	}
	if ok, _ := regexp.MatchString(`^[a-z_.]{0,64}$`, f.Action); !ok {
		return problem.Invalid("action", "is not an action such as key.update")
	}
	if f.Limit < 1 || f.Limit > MaxPage {
		return problem.Invalid("limit", "must be from 1 to %d", MaxPage)
	}
	return nil
}

// maxCursor bounds a cursor, in bytes.
const maxCursor = 500

// A cursor is the place of the last entry of a page. Its form is nobody's business but ours.
func writeCursor(p Place) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.At.UnixMicro(), 10) + " " + p.ID))
}

func readCursor(cursor string) (p Place, ok bool) {
	if len(cursor) > maxCursor {
		return Place{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	at, id, found := strings.Cut(string(raw), " ")
	micros, notNumber := strconv.ParseInt(at, 10, 64)
	if ok, _ := regexp.MatchString(`^[0-9A-Za-z_-]{1,100}$`, id); err != nil || !found || notNumber != nil || !ok {
		return Place{}, false
	}
	return Place{time.UnixMicro(micros).UTC(), id}, true
}
