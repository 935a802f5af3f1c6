package access

import (
	"slices"
	"time"
)

// Kind says whether a key may be published. The zero Kind is neither, and is denied everything.
type Kind uint8

// A Public key may stand in a page's source; a Secret key belongs on servers only. An Operator is whoever holds the
// data folder: it is never stored and never travels.
const (
	Public Kind = iota + 1
	Secret
	Operator
)

// String is "public", "secret" or "operator".
func (k Kind) String() string {
	switch k {
	case Public:
		return "public"
	case Secret:
		return "secret"
	case Operator:
		return "operator"
	}
	return "none"
}

// Mode says whether a key, or an environment, is for real data or for trying things. A key never touches an
// environment of the other mode.
type Mode uint8

// Live data and test data.
const (
	Live Mode = iota + 1
	Test
)

// String is "live" or "test".
func (m Mode) String() string {
	switch m {
	case Live:
		return "live"
	case Test:
		return "test"
	}
	return "none"
}

// ParseMode reads "live" or "test".
func ParseMode(s string) (Mode, bool) {
	switch s {
	case "live":
		return Live, true
	case "test":
		return Test, true
	}
	return 0, false
}

// Environment is a named data space of a project.
type Environment struct {
	Name string
	Mode Mode
}

// Project is the tenant a key belongs to, with its environments in the order they were made.
type Project struct {
	Organization string // id
	ID           string
	Environments []Environment
}

// Key is a credential as the policy sees it. It holds nothing secret. A Key is shared between requests and never
// changes: a changed key is another value.
type Key struct {
	ID           string
	Project      *Project
	Kind         Kind
	Mode         Mode
	Scopes       Scopes
	Environments []string  // the names it is restricted to; empty: every environment of its mode
	ExpiresAt    time.Time // zero: never
	RevokedAt    time.Time // zero: not revoked
}

// Default is the environment a request that names none is about: the first one the key may use. Clients of ingestion
// keys may leave the environment out (contracts A2).
func (k *Key) Default() (Environment, bool) {
	for _, env := range k.Project.Environments {
		if k.mayUse(env) {
			return env, true
		}
	}
	return Environment{}, false
}

// Reachable lists the environments the key may use, in the project's order.
func (k *Key) Reachable() []Environment {
	var reach []Environment
	for _, env := range k.Project.Environments {
		if k.mayUse(env) {
			reach = append(reach, env)
		}
	}
	return reach
}

// Resolve finds the environment a request means by name, and whether the key may use it.
func (k *Key) Resolve(name string) (Environment, Reason) {
	if name == "" {
		if env, ok := k.Default(); ok {
			return env, Allowed
		}
		return Environment{}, EnvironmentNotAllowed
	}
	for _, env := range k.Project.Environments {
		if env.Name != name {
			continue
		}
		if k.mayUse(env) {
			return env, Allowed
		}
		return env, EnvironmentNotAllowed
	}
	return Environment{}, EnvironmentUnknown
}

// A public key that somehow holds more than the client-side set still cannot use it.
func (k *Key) usable() Scopes {
	if k.Kind == Public {
		return k.Scopes & ClientScopes
	}
	return k.Scopes
}

func (k *Key) seesLive() bool { return k.Mode == Live || k.Kind == Operator }

func (k *Key) mayUse(env Environment) bool {
	if k.Kind != Operator && env.Mode != k.Mode {
		return false
	}
	return len(k.Environments) == 0 || slices.Contains(k.Environments, env.Name)
}
