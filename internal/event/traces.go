package event

import "time"

// Traces are what somebody left in a space, in all parts of the house: a person, by ids that are nobody else's, or a key, by what it
// sent. Without a key and without ids they are nobody's.
type Traces struct {
	Space

	IDs         []string  // of a person
	KeyID       string    // what this key sent
	From, Until time.Time // when that was received; before Until; zero: no bound
}
