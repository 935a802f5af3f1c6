// Package zone owns the names of time zones: which a caller may give, and what they stand for, the same on every machine.
//
// It does not own what is done with a zone (metric, and the engines), nor the rules of the engine's own copy of the IANA
// database, which may be a few months older or younger. It answers no problems of its own.
package zone

import (
	"fmt"
	"regexp"
	"time"
	_ "time/tzdata" // zones are known on every machine
)

// maxName bounds a name, in bytes.
const maxName = 64

var form = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

// Named finds a time zone by its IANA name. The empty name is UTC.
func Named(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	if len(name) > maxName || name == "Local" || !form.MatchString(name) {
		return nil, fmt.Errorf("%.64q is no time zone", name)
	}
	return time.LoadLocation(name)
}
