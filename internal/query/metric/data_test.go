package metric_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
)

// value is a value that a property can have: as JSON, as the text that it is read as, and as a number.
type value struct {
	json   string // empty: the property is missing
	text   string
	null   bool // there is nothing to read
	number float64
}

var values = func() []value {
	not := math.NaN()
	return []value{
		{"", "", true, not}, {"null", "", true, not}, {`"a"`, "a", false, not}, {`"b"`, "b", false, not}, {`"A"`, "A", false, not}, {`""`, "", false, not},
		{`"5"`, "5", false, 5}, {"5", "5", false, 5}, {"2.5", "2.5", false, 2.5}, {"-1", "-1", false, -1}, {`"1e3"`, "1e3", false, 1000},
		{"true", "true", false, not}, {`"false"`, "false", false, not}, {`"NaN"`, "NaN", false, not}, {`"Infinity"`, "Infinity", false, math.Inf(1)},
		{`"-inf"`, "-inf", false, math.Inf(-1)}, {"[1,2]", "[1,2]", false, not}, {`{"x":1}`, `{"x":1}`, false, not}, {`"é%_"`, "é%_", false, not},
		{`"it's"`, "it's", false, not}, {`"2026-03-29T01:30:00+01:00"`, "2026-03-29T01:30:00+01:00", false, not},
	}
}()

var (
	eventNames = []string{"view", "buy", "open", "it's"}
	properties = []string{"p", "q", "$r", "deep.key", "/a.b"}
	zones      = []string{"", "Europe/Paris", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana", "America/Santiago", "Pacific/Apia"}
)

// placed is a property's value where the property says that it is.
func placed(property string, v value) string {
	if v.json == "" {
		return ""
	}
	switch property {
	case "deep.key":
		return `"deep":{"key":` + v.json + `}`
	case "/a.b":
		return `"a.b":` + v.json
	}
	return fmt.Sprintf("%q:%s", property, v.json)
}

// fact is an event as the tests compute with it.
type fact struct {
	event.Event
	values map[string]value
	owner  string // of the anonymous id, as far as somebody claims it
}

// person is who an event is of.
func (f *fact) person() string {
	if f.DistinctID != "" {
		return f.DistinctID
	}
	if f.owner != "" {
		return f.owner
	}
	return f.AnonymousID
}

// moment is a time that an event has: near a change of clocks, often the same as another event's, or a microsecond beside
// the edge of an hour or a day.
func moment(r *rand.Rand) time.Time {
	bases := []time.Time{
		time.Date(2026, 3, 8, 4, 0, 0, 0, time.UTC), time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 13, 0, 0, 0, time.UTC),
		time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC),
	}
	if r.IntN(2) == 0 {
		return bases[r.IntN(len(bases))].Add(time.Duration(r.IntN(5)) * 30 * time.Minute)
	}
	at := bases[r.IntN(len(bases))].Add(time.Duration(r.IntN(7*48)-48) * 30 * time.Minute)
	switch r.IntN(6) {
	case 0:
		at = at.Add(time.Microsecond)
	case 1:
		at = at.Add(-time.Microsecond)
	case 2:
		at = at.Add(time.Duration(r.IntN(3600)) * time.Second)
	}
	return at
}

// facts makes events of a few people, with properties of every kind, and what was told of some of the people.
func facts(seed uint64, n int) (events []fact, persons map[string]map[string]value) {
	r := rand.New(rand.NewPCG(seed, 17))
	people := 2 + n/12
	for i := range n {
		f := fact{values: map[string]value{}}
		var members []string
		for _, p := range properties {
			v := values[r.IntN(len(values))]
			f.values[p] = v
			if m := placed(p, v); m != "" {
				members = append(members, m)
			}
		}
		f.Event = event.Event{
			Kind: event.Track, Name: eventNames[r.IntN(len(eventNames))], Timestamp: moment(r), ReceivedAt: now.Add(time.Duration(r.IntN(3)) * time.Second),
			ID: fmt.Sprintf("%08x", r.Uint32()), Properties: jsontext.Value("{" + strings.Join(members, ",") + "}"), Source: []string{"track", "events"}[r.IntN(2)],
		}
		f.Event.ID += fmt.Sprint(i)
		if r.IntN(8) > 0 {
			f.DistinctID = fmt.Sprintf("u%d", r.IntN(people))
		}
		if r.IntN(3) == 0 {
			f.AnonymousID = fmt.Sprintf("a%d", r.IntN(people))
		}
		events = append(events, f)
	}
	claims := map[string]string{} // whoever comes first with an anonymous id has it, for what came before too
	for _, f := range events {
		if _, taken := claims[f.AnonymousID]; f.DistinctID != "" && f.AnonymousID != "" && !taken {
			claims[f.AnonymousID] = f.DistinctID
		}
	}
	for i := range events {
		events[i].owner = claims[events[i].AnonymousID]
	}
	persons = map[string]map[string]value{}
	for i := range people {
		if r.IntN(4) > 0 {
			persons[fmt.Sprintf("u%d", i)] = map[string]value{"t": values[r.IntN(len(values))]}
		}
	}
	return events, persons
}

// stored are the events that a warehouse is given for facts.
func stored(space event.Space, events []fact, persons map[string]map[string]value) []event.Event {
	var all []event.Event
	for _, f := range events {
		all = append(all, f.Event)
	}
	for id, traits := range persons {
		all = append(all, event.Event{
			Kind: event.Identify, DistinctID: id, Timestamp: now, ReceivedAt: now, ID: "identify-" + id, Source: "identify",
			Properties: jsontext.Value("{" + placed("t", traits["t"]) + "}"),
		})
	}
	for i := range all {
		all[i].Project, all[i].Environment, all[i].KeyID = space.Project, space.Environment, "key_1"
	}
	return all
}
