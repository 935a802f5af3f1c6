package duckdb

import (
	"time"

	"github.com/bits-and-blooms/bloom/v3"

	"github.com/weir-analytics/weir/internal/event"
)

// Sizes of the filters: the first holds a small site's week, and each next one twice as many, up to some 15 MB.
const (
	firstRoom  = 1 << 14
	mostRoom   = 1 << 22
	falseMaybe = 1e-6 // how often a filter takes a new id for one it has
	hashes     = 20   // bits set for an id, as many as this rate needs; the same in every filter
)

// seen remembers which ids senders chose in the last days, in little memory, and not quite: it says of nearly all new
// ids that they are surely new, and the rest must be looked up. It never says so of an id that is there.
type seen struct {
	filters []*filter // oldest first; only the last grows
	horizon time.Time // ids received at or before it may be in no filter
	newest  time.Time
	room    uint // of the next filter
}

// filter holds the ids of a run of records.
type filter struct {
	bloom  *bloom.BloomFilter
	left   uint // ids it can still take
	from   event.Position
	newest time.Time
}

func newSeen(room uint) *seen { return &seen{room: room} }

// maybe reports whether an id may have been received since a time, and then from which position on to look for it.
func (s *seen) maybe(id string, since time.Time) (from event.Position, maybe bool) {
	if !since.After(s.horizon) {
		return 0, true
	}
	if len(s.filters) == 0 {
		return 0, false
	}
	places := bloom.Locations([]byte(id), hashes)
	for _, f := range s.filters {
		if !f.newest.Before(since) && f.bloom.TestLocations(places) {
			return f.from, true
		}
	}
	return 0, false
}

// add remembers an id of a stored record.
func (s *seen) add(id string, position event.Position, received time.Time) {
	if n := len(s.filters); n == 0 || s.filters[n-1].left == 0 {
		bits, _ := bloom.EstimateParameters(s.room, falseMaybe)
		s.filters = append(s.filters, &filter{bloom: bloom.New(bits, hashes), left: s.room, from: position, newest: received})
		s.room = min(2*s.room, mostRoom)
	}
	f := s.filters[len(s.filters)-1]
	f.bloom.AddString(id)
	f.left--
	f.from = min(f.from, position)
	f.newest = later(f.newest, received)
	s.newest = later(s.newest, received)
}

// forget drops the filters whose ids are all out of the window that ends with the newest. When the clock steps back,
// the window may reach behind them again; horizon says so.
func (s *seen) forget() {
	for len(s.filters) > 0 && s.filters[0].newest.Before(s.newest.Add(-event.RepeatWindow)) {
		s.horizon = later(s.horizon, s.filters[0].newest)
		s.filters = s.filters[1:]
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
