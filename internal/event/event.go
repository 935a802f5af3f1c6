// Package event owns what happened: reading events from requests, stamping them with who sent them and when, putting
// them in the journal before anybody hears "accepted", and loading the journal into the warehouse.
//
//	request -> Batch -> Record (permit) -> Journal.Append -> Receipt
//	                                       Journal.Read   -> Loader -> Warehouse.Load
//
// It declares the two engines it stands on, Journal and Warehouse, and has no opinion on how they work. It does not own
// who may send what (access, gate), nor asking questions of events (query).
package event

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind is what an event says: that something happened, who somebody is, that two ids are one person, or that a person is
// to be forgotten.
type Kind uint8

// The kinds: the first three by the endpoints of contracts A. A Forget is ours: it takes a person, whom any of their ids
// names, out of what can be asked.
const (
	Track Kind = iota + 1
	Identify
	Alias
	Forget
)

const endOfKinds = byte(Forget) + 1

// String is "track", "identify", "alias" or "forget".
func (k Kind) String() string {
	switch k {
	case Track:
		return "track"
	case Identify:
		return "identify"
	case Alias:
		return "alias"
	case Forget:
		return "forget"
	}
	return "none"
}

// Event is one accepted event, complete with its stamp. Texts are valid UTF-8. Times are UTC, to the microsecond.
type Event struct {
	Kind Kind

	// What the sender said. A field it left out, or sent as null, is empty.
	Name        string // of a Track
	Timestamp   time.Time
	DistinctID  string
	AnonymousID string
	DeviceID    string
	SessionID   string
	NewUserID   string         // of an Alias
	Properties  jsontext.Value // one JSON object; of an Identify, the traits

	// The stamp.
	ID          string // the sender's, or ours
	OwnID       bool   // the sender chose ID, so it may come again and is stored once
	ReceivedAt  time.Time
	Project     string
	Environment string
	KeyID       string
	Source      string // the way in: "track", "identify", "alias", "events", "replay", and others
}

// Space is where events live: one environment of one project. Its events share nothing with another's.
type Space struct {
	Project     string
	Environment string
}

// String is "project/environment", for logs.
func (s Space) String() string { return s.Project + "/" + s.Environment }

// Position is a place in the journal: the number of a record, counted from 1 in the order they were made durable.
// Position 0 is before the first.
type Position uint64

// Record is one event as the journal keeps it.
type Record struct {
	Position Position
	Data     []byte // an event in the encoding of AppendEvent
}

// Journal is the durable log an event is in before its sender hears "accepted".
type Journal interface {
	// Append makes the records durable, in order and next to one another, and returns the position of the last. When it
	// returns an error, the records may or may not be kept; when the journal can take nothing because its disk is full,
	// the error is a storage_full problem. Append may be called from many goroutines, and they share one sync.
	Append(ctx context.Context, records [][]byte) (Position, error)
	// Read returns durable records that come after a position, in order: at least one and at most limit. It waits for
	// one to come when there is none, until ctx is done. What it returns is the caller's to keep.
	Read(ctx context.Context, after Position, limit int) ([]Record, error)
	// Release says that records up to and including a position are no longer needed, and may be deleted.
	Release(upTo Position) error
	// Close waits for appends under way and releases what the journal holds. Append fails afterwards.
	Close() error
}

// Warehouse is where events are loaded to.
type Warehouse interface {
	// Load stores the records of one space, all or none, together with the position of the last. Records at or before
	// the space's stored position are passed over, so that loading the same records again changes nothing. An event with
	// OwnID whose ID is stored already, received within the last 7 days, is passed over too. An error means that nothing
	// was stored, or that it cannot be known: the caller loads again.
	Load(ctx context.Context, space Space, records []Record) error
	// Loaded is the position of the last record stored for a space; 0 for a space that has none.
	Loaded(ctx context.Context, space Space) (Position, error)
}

// RepeatWindow is how long a sender's event id is remembered: the same id in the same space within it is stored once.
const RepeatWindow = 7 * 24 * time.Hour
