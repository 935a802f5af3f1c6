package access

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Scopes is a set of rights, each written resource:action. What is not in the set is denied.
type Scopes uint32

// The rights a key can hold (seed 001, with what the other seeds add).
const (
	EventsWrite Scopes = 1 << iota
	EventsRead
	UsersWrite
	UsersRead
	ProjectsWrite
	ProjectsRead
	TeamWrite
	TeamRead
	BillingRead
	BillingWrite
	KeysWrite
	KeysRead
	DatasetsRead
	DatasetsWrite
	DatasetsDelete
	MetricsRead
	SQLRun
	RecordingsWrite
	RecordingsRead
	WorkflowsRun
	ExportsRun
	DataDelete
	AuditRead
	MetricsWrite
	MetricsRun
	RecordingsDelete
	RejectedRead
	RejectedWrite
	WorkflowsRead
	WorkflowsWrite

	endOfScopes
)

// AllScopes is every right there is. ClientScopes is what a public key may hold at the most: it can be read by anybody,
// so it may send and identify, and read the project's public configuration (seed 001, "Public Keys"). Reading one's
// own profile needs proof of who one is, which a public key is not. Datasets it may read (contracts D, publishable tokens): what is in
// them is as public as the key then, and it is not made without saying which. UsualClientScopes is what it holds when nobody
// says: that, and to trigger workflows, whose targets may do anything, is for the keys that are told to.
const (
	AllScopes         = endOfScopes - 1
	ClientScopes      = EventsWrite | UsersWrite | RecordingsWrite | ProjectsRead | WorkflowsRun | DatasetsRead
	UsualClientScopes = ClientScopes &^ (WorkflowsRun | DatasetsRead)
)

var scopeNames = [...]string{
	"events:write", "events:read", "users:write", "users:read", "projects:write", "projects:read", "team:write",
	"team:read", "billing:read", "billing:write", "keys:write", "keys:read", "datasets:read", "datasets:write",
	"datasets:delete", "metrics:read", "sql:run", "recordings:write", "recordings:read", "workflows:run",
	"exports:run", "data:delete", "audit:read", "metrics:write", "metrics:run",
	"recordings:delete",
	"rejected:read", "rejected:write",
	"workflows:read", "workflows:write",
}

// ParseScope reads one scope by its name.
func ParseScope(name string) (Scopes, error) {
	i := slices.Index(scopeNames[:], name)
	if i < 0 {
		return 0, fmt.Errorf("unknown scope %q", name)
	}
	return 1 << i, nil
}

// ScopesOf reads a list of names that are known to be scopes' names, as they come from our own store; names it does
// not know grant nothing.
func ScopesOf(names []string) Scopes {
	var set Scopes
	for _, name := range names {
		if one, err := ParseScope(name); err == nil {
			set |= one
		}
	}
	return set
}

// Has reports whether every right of want is in s.
func (s Scopes) Has(want Scopes) bool { return s&want == want }

// Names lists the scopes in the order of their declaration.
func (s Scopes) Names() []string {
	names := []string{}
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String is the names with a space between, as RFC 6749 section 3.3 writes a scope.
func (s Scopes) String() string { return strings.Join(s.Names(), " ") }

// MarshalJSON writes the list of names.
func (s Scopes) MarshalJSON() ([]byte, error) { return json.Marshal(s.Names()) }

// UnmarshalJSON reads a list of names and refuses one that is unknown.
func (s *Scopes) UnmarshalJSON(data []byte) error {
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return err
	}
	var set Scopes
	for _, name := range names {
		one, err := ParseScope(name)
		if err != nil {
			return err
		}
		set |= one
	}
	*s = set
	return nil
}
