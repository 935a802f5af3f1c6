// Package compat owns the words of other systems: how the clients of Composite, UserFlux, Segment and IEX Cloud write what
// they send, and how they expect to be told of a problem. It translates, and does nothing else: the items become those of
// package event, and a problem becomes the text or status that a client of the system knows. Every function here is pure.
//
// The package does not own the routes (package api has them, as rows like any other), nor who may do what, nor the limits
// on events: what it has translated is read by event.ReadBatch, as if it had been sent that way. The problems of a
// translation are those of event.ReadBatch, and they name the members that the sender wrote.
package compat

import (
	"fmt"
	"slices"
	"strings"
)

// System is another system whose clients are understood.
type System string

// The systems. What Altertable's clients speak is what Weir speaks by itself: it needs no translation.
const (
	Altertable System = "altertable"
	Composite  System = "composite"
	UserFlux   System = "userflux"
	Segment    System = "segment"
	IEX        System = "iex"
)

// Systems lists every system.
func Systems() []System { return []System{Altertable, Composite, UserFlux, Segment, IEX} }

// ParseSystem reads the name of a system.
func ParseSystem(name string) (System, error) {
	if s := System(name); slices.Contains(Systems(), s) {
		return s, nil
	}
	names := make([]string, 0, len(Systems()))
	for _, s := range Systems() {
		names = append(names, string(s))
	}
	return "", fmt.Errorf("must be %s, is %q", strings.Join(names, " or "), name)
}
