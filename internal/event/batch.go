package event

import (
	"slices"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// The limits on what is accepted.
const (
	MaxItems      = 1000     // items a batch
	MaxEventBytes = 32 << 10 // the text of an event's object, as it was sent
	MaxDepth      = 32       // of objects and arrays in one another, counting the properties (or traits) themselves
	MaxMembers    = 1000     // object members and array elements in the properties (or traits), at all depths together
	MaxNameBytes  = 256      // an event's name
	MaxIDBytes    = 200      // each of the ids, and the name of an environment
)

// Shape is how an endpoint's items are to be read.
type Shape struct {
	Kind   Kind
	Source string // the stamp of what comes this way
	Words  string // what the items are written in, as whoever translates them calls it; empty: as ReadBatch reads them
}

// Batch is what a request brought: its items in order, the bad ones with what is wrong with them.
type Batch struct {
	Shape Shape
	Items []Item
	Sync  bool // answer when the events can be queried
}

// Item is one event as it was sent, or the problem with it. The event is not stamped yet: its Environment is the name
// the sender used, or empty.
type Item struct {
	Event   Event
	Problem *problem.Error

	// Text is the item as JSON, in the words that it was sent in. It may be a part of the body, and is lent as long as that.
	Text []byte

	// Called is the member in which the sender named the event; empty: as we call it.
	Called string
}

// Told is a problem of the item with the event's name called as the sender calls it.
func (i *Item) Told(p *problem.Error) *problem.Error {
	at := slices.IndexFunc(p.Fields, func(f problem.Field) bool { return f.Name == memberNames[eventName] })
	if i.Called == "" || at < 0 {
		return p
	}
	told := *p
	told.Fields = slices.Clone(p.Fields)
	told.Fields[at].Name = i.Called
	return &told
}

// Targets is what the batch wants to touch, a target for each good item.
func (b Batch) Targets() []access.Target {
	targets := make([]access.Target, 0, len(b.Items))
	for i := range b.Items {
		if b.Items[i].Problem == nil {
			targets = append(targets, b.Items[i].target())
		}
	}
	return targets
}

func (i *Item) target() access.Target {
	return access.Target{Environment: i.Event.Environment, Event: i.Event.Name}
}

// FirstProblem is the problem of a batch without one good item, and nil when there is a good one.
func (b Batch) FirstProblem() error {
	for i := range b.Items {
		if b.Items[i].Problem == nil {
			return nil
		}
	}
	return b.Items[0].Problem
}

// Receipt is the answer to a batch of which something was accepted: it is durable.
type Receipt struct {
	TaskID    string // names the request in the logs
	Accepted  int
	Rejected  []Rejection
	Sync      bool // as it was asked for
	Queryable bool // with Sync: the events can be queried now
}

// Rejection is the verdict on one item that was not accepted.
type Rejection struct {
	Index   int
	Problem *problem.Error
}
