package access

import "time"

// Via is where in a request its credential stood.
type Via uint8

// A header is the place for a key; a query string is written to logs and histories on its way.
const (
	InHeader Via = iota + 1
	InQuery
)

// String is "header" or "query".
func (v Via) String() string {
	switch v {
	case InHeader:
		return "header"
	case InQuery:
		return "query"
	}
	return "none"
}

// Attempt is what one request wants, as plain values. The zero Attempt is denied.
type Attempt struct {
	Action  Action
	At      time.Time
	Via     Via
	Targets []Target
	Each    bool     // the targets are judged one by one: one that is refused does not refuse the others
	Subject *Subject // the stored thing the request reads or changes
	Grants  *Grant   // rights the request would hand on to a key
}

// Subject is a stored thing an attempt is about, such as a key. A thing that does not exist is the zero Subject, so that
// the answer to it is the same as to one that may not be known about.
type Subject struct {
	Project string
	Mode    Mode
}

// Target is one thing an attempt touches. An empty Environment means the key's default.
type Target struct {
	Environment string
	Event       string // the event's name, for a write
}

// Grant is what an attempt would give to the key it creates or changes.
type Grant struct {
	Kind         Kind
	Mode         Mode
	Scopes       Scopes
	Environments []string  // empty: every environment of the mode
	ExpiresAt    time.Time // until when; zero: for ever
}

// Decision is the answer: yes with the data it is about, or no with one reason.
type Decision struct {
	Reason  Reason
	Rule    string    // the rule that denied; empty for a yes
	Refused []Refusal // the targets that may not be touched, in order; without Each only the first
	Data    DataScope // for a yes
}

// Allowed reports whether the answer is yes.
func (d Decision) Allowed() bool { return d.Reason == Allowed }

// Refusal is the no for one target of an attempt whose targets are judged one by one.
type Refusal struct {
	Index  int
	Reason Reason
	Rule   string
}

// DataScope is the data a yes is about: one tenant, and the environment when the attempt has a single target.
type DataScope struct {
	Organization string
	Project      string
	Environment  string
	Live         bool // things of live mode are in it; a test key sees only things of test mode
}

// Reason is why an attempt was denied, from a closed set. The zero Reason is not a yes.
type Reason uint8

// The reasons. A Decision has Allowed or exactly one of the others.
const (
	undecided Reason = iota
	Allowed
	ActionUndeclared
	KeyRevoked
	KeyExpired
	KeyKindUnknown
	SecretInURL
	ScopeMissing
	EnvironmentUnknown
	EnvironmentNotAllowed
	NotVisible
	GrantTooWide
	PublicGrantTooWide

	endOfReasons
)

var reasonNames = [endOfReasons]string{
	undecided:             "undecided",
	Allowed:               "allowed",
	ActionUndeclared:      "action_undeclared",
	KeyRevoked:            "key_revoked",
	KeyExpired:            "key_expired",
	KeyKindUnknown:        "key_kind_unknown",
	SecretInURL:           "secret_in_url",
	ScopeMissing:          "scope_missing",
	EnvironmentUnknown:    "environment_unknown",
	EnvironmentNotAllowed: "environment_not_allowed",
	NotVisible:            "not_visible",
	GrantTooWide:          "grant_too_wide",
	PublicGrantTooWide:    "public_grant_too_wide",
}

// String is the reason's name in the ledger.
func (r Reason) String() string {
	if r >= endOfReasons {
		r = undecided
	}
	return reasonNames[r]
}
