package graph

import (
	"cmp"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
)

// maxTraits bounds the traits of one person, names and values, in bytes. What would pass it is not taken.
const maxTraits = 256 << 10

// Traits are what is known of a person. For each name, the newest $set or $unset counts, by the timestamps of the events
// and not by their order; of two with the same timestamp, the later in the order, and of two persons that become one, the
// one whose name stays. Where that is no value, the oldest $set_once since the newest $unset counts.
//
// A $set_once that an older one has kept out is not remembered: when an $unset comes late, and takes the older away, the
// newer does not come back.
type Traits struct {
	known map[string]*trait
	size  int
}

// trait is all there is of one name. A moment is one where something was said; Said is false for none.
type trait struct {
	At    int64          `json:"at,omitzero"`
	Said  bool           `json:"said,omitzero"`  // there was a $set or $unset, and the newest was at At
	Value jsontext.Value `json:"value,omitzero"` // of the $set; nil for an $unset

	OnceAt int64          `json:"once_at,omitzero"`
	Once   jsontext.Value `json:"once,omitzero"` // nil for none
}

// shown is the value that counts; nil for none.
func (t *trait) shown() jsontext.Value {
	if t.Value != nil {
		return t.Value
	}
	return t.Once
}

func (t *trait) set(v jsontext.Value, at int64) {
	if t.Said && at < t.At {
		return
	}
	t.Said, t.At, t.Value = true, at, v
}

func (t *trait) unset(at int64) {
	t.set(nil, at)
	if t.OnceAt <= at {
		t.Once, t.OnceAt = nil, 0
	}
}

func (t *trait) once(v jsontext.Value, at int64) {
	if t.Said && t.Value == nil && at <= t.At || t.Once != nil && t.OnceAt <= at {
		return
	}
	t.Once, t.OnceAt = v, at
}

// merge takes what other says where that is newer, and a $set_once where it is older.
func (t *trait) merge(other *trait) {
	if other.Said && (!t.Said || other.At > t.At) {
		if other.Value == nil {
			t.unset(other.At)
		} else {
			t.set(other.Value, other.At)
		}
	}
	if other.Once != nil {
		t.once(other.Once, other.OnceAt)
	}
}

// tell takes what an event says. Of one name, what is said with $unset comes after the rest.
func (ts *Traits) tell(told event.Traits, at int64) {
	for _, name := range slices.Sorted(maps.Keys(told.SetOnce)) {
		ts.change(name, func(t *trait) { t.once(told.SetOnce[name], at) })
	}
	for _, name := range slices.Sorted(maps.Keys(told.Set)) {
		ts.change(name, func(t *trait) { t.set(told.Set[name], at) })
	}
	for _, name := range told.Unset {
		ts.change(name, func(t *trait) { t.unset(at) })
	}
}

func (ts *Traits) merge(other *Traits) {
	for _, name := range slices.Sorted(maps.Keys(other.known)) {
		ts.change(name, func(t *trait) { t.merge(other.known[name]) })
	}
}

// change changes what is known of a name, within the bounds.
func (ts *Traits) change(name string, how func(*trait)) {
	old := ts.known[name]
	next := trait{}
	if old != nil {
		next = *old
	}
	how(&next)
	size := ts.size - old.bytes(name) + next.bytes(name)
	if size > maxTraits && size > ts.size {
		return
	}
	if ts.known == nil {
		ts.known = map[string]*trait{}
	}
	ts.known[name], ts.size = &next, size
}

func (t *trait) bytes(name string) int {
	if t == nil {
		return 0
	}
	return len(name) + len(t.Value) + len(t.Once)
}

// Shown are the traits that count, as one JSON object with its names in order.
func (ts *Traits) Shown() (jsontext.Value, error) {
	values := map[string]jsontext.Value{}
	for name, t := range ts.known {
		if v := t.shown(); v != nil {
			values[name] = v
		}
	}
	return json.Marshal(values, json.Deterministic(true), jsontext.AllowDuplicateNames(true))
}

// State is all there is of the traits, as JSON for Restore.
func (ts *Traits) State() (jsontext.Value, error) {
	return json.Marshal(ts.known, json.Deterministic(true), jsontext.AllowDuplicateNames(true), json.FormatNilMapAsNull(false))
}

// Restore reads what State wrote.
func (ts *Traits) Restore(state jsontext.Value) error {
	if err := json.Unmarshal(state, &ts.known, jsontext.AllowDuplicateNames(true)); err != nil {
		return err
	}
	for name, t := range ts.known {
		ts.size += t.bytes(name)
	}
	return nil
}

func compare(a, b string) int { return cmp.Compare(a, b) }
