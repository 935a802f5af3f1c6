package access

import (
	"net/netip"
	"slices"
	"time"
)

// Via is where in a request its credential stood.
type Via uint8

// A header is the place for a key; a query string is written to logs and histories on its way. In a body only a client's
// secret may stand, as RFC 6749 section 2.3.1 has it, what a person entered into a form of this server's own, and a public
// key, which is no secret.
const (
	InHeader Via = iota + 1
	InQuery
	InBody
	InLink // none stood there: it is a link that a key has made, which the gate takes for that key
)

// String is "header", "query" or "body".
func (v Via) String() string {
	switch v {
	case InHeader:
		return "header"
	case InQuery:
		return "query"
	case InBody:
		return "body"
	case InLink:
		return "link"
	}
	return "none"
}

// Circumstances are how a request came, as far as it is known without its body, and what came of checking its signature.
// The zero Circumstances are those of a credential that stood nowhere.
type Circumstances struct {
	Via          Via
	Cleartext    bool       // the request crossed a network in the clear
	Address      netip.Addr // of the sender; of IPv4 as such
	Origin       Origin     // the page it comes from
	Browser      bool       // it has what only a browser adds
	OwnPage      bool       // the page it comes from is this server's own
	Signed       Signed
	SecretUntil  time.Time // when the secret that was shown ends, having been replaced; zero: it is the present one
	SecretMinted time.Time // when it was made; zero: when the present one was
	User         User      // whose user token came beside the credential
}

// Signed is what is known of a request's signature.
type Signed uint8

// Before the body is read a signature can only be Claimed.
const (
	Unsigned Signed = iota
	SignatureClaimed
	SignatureRight
	SignatureWrong
)

var signedNames = [...]string{"unsigned", "claimed", "right", "wrong"}

// String is "unsigned", "claimed", "right" or "wrong".
func (s Signed) String() string {
	if int(s) >= len(signedNames) {
		s = SignatureWrong
	}
	return signedNames[s]
}

// ParseSigned reads what String writes.
func ParseSigned(name string) (Signed, bool) {
	i := slices.Index(signedNames[:], name)
	return Signed(max(i, 0)), i >= 0
}

// Attempt is what one request wants, as plain values. The zero Attempt is denied.
type Attempt struct {
	Action Action
	At     time.Time
	Circumstances
	Targets []Target
	Each    bool     // the targets are judged one by one: one that is refused does not refuse the others
	Subject *Subject // the stored thing the request reads or changes
	Grants  *Grant   // rights the request would hand on to a key
}

// Entered reports whether the key was entered into a form of this server's own, for an action that takes one there. There
// it is seen by nobody but whoever entered it.
func (a *Attempt) Entered() bool { return a.OwnPage && a.Via == InBody && a.Action.row().form }

// Typed reports whether the key was typed into a page of this server's own that sends it in a header, for an action of
// which there is such a page. There it is seen by nobody but whoever typed it.
func (a *Attempt) Typed() bool { return a.OwnPage && a.Via == InHeader && a.Action.row().typed }

// Linked reports whether the request is a link that a key has made, for an action that may be done by one. No secret of the
// key stands in it, and it is good for that one thing only.
func (a *Attempt) Linked() bool { return a.Via == InLink && a.Action.row().linked }

// Subject is a stored thing an attempt is about, such as a key. A thing that does not exist is the zero Subject, so that
// the answer to it is the same as to one that may not be known about.
type Subject struct {
	Project string
	Mode    Mode
	Owner   string // whose it is, as Key.Owner names them; empty: the project's
}

// Target is one thing an attempt touches. An empty Environment means the key's default. An attempt without targets, for
// an action that happens in an environment or is about records, touches the default environment, and every dataset.
type Target struct {
	Environment string
	Event       string // the event's name, for a write
	Dataset     string // the dataset's name, with its class and what is to be done; empty: none
	Class       Class
	Right       Rights
	User        string // the id by which a person is asked for
}

// Grant is what an attempt would give to the key it creates or changes: what the key could do afterwards and could not
// before, within the bounds it would have then.
type Grant struct {
	Kind   Kind
	Mode   Mode
	Scopes Scopes
	Bounds
	Renewal bool // it is a new secret for a key that is there: it lives as long as it would have
	Wide    bool // of a member: it is good in all projects of the organization
}

// Decision is the answer: yes with the data it is about, or no with one reason.
type Decision struct {
	Reason   Reason
	Rule     string    // the rule that denied; empty for a yes
	Refused  []Refusal // the targets that may not be touched, in order; without Each only the first
	Observed []Refusal // what of a yes would be a no if observed restrictions were enforced; Index -1: the request as a whole
	Data     DataScope // for a yes
}

// Allowed reports whether the answer is yes.
func (d Decision) Allowed() bool { return d.Reason == Allowed }

// Refusal is the no for one target of an attempt.
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
	Live         bool  // things of live mode are in it; a test key sees only things of test mode
	View         *View // what is read of it is narrowed to; nil: nothing is left out
	Own          bool  // it is what was told under the target's user id, and nothing of whoever else that id was joined with
}

// Reason is why an attempt was denied, from a closed set. The zero Reason is not a yes.
type Reason uint8

// The reasons. A Decision has Allowed or exactly one of the others.
const (
	undecided Reason = iota
	Allowed
	ActionUndeclared
	SentInCleartext
	KeyRevoked
	KeyDisabled
	SecretReplaced
	KeyNotYetValid
	KeyExpired
	SecretTooOld
	KeyKindUnknown
	TokenOutdated
	KeyQuarantined
	SecretInURL
	CredentialInBody
	SecretInBrowser
	NetworkNotAllowed
	NetworksRequired
	DomainNotAllowed
	WrongCredential
	OneProjectOnly
	ScopeMissing
	ScopeOverCeiling
	PublicKeyUsed
	UserTokenMissing
	UserTokenWrong
	SignatureMissing
	SignatureRequired
	ViewNotApplied
	ViewUnbound

	SignatureInvalid // from here on the rules need the body
	NotVisible
	GrantTooWide
	PublicGrantTooWide
	GrantOverCeiling
	EnvironmentUnknown
	EnvironmentNotAllowed
	EventNotAllowed
	DatasetNotAllowed
	DatasetNotRead
	DatasetNotDeleted
	UserTokenOther

	endOfReasons
)

var reasonNames = [endOfReasons]string{
	undecided:             "undecided",
	Allowed:               "allowed",
	ActionUndeclared:      "action_undeclared",
	SentInCleartext:       "sent_in_cleartext",
	KeyRevoked:            "key_revoked",
	KeyDisabled:           "key_disabled",
	SecretReplaced:        "secret_replaced",
	KeyNotYetValid:        "key_not_yet_valid",
	KeyExpired:            "key_expired",
	SecretTooOld:          "secret_too_old",
	KeyKindUnknown:        "key_kind_unknown",
	TokenOutdated:         "token_outdated",
	KeyQuarantined:        "key_quarantined",
	SecretInURL:           "secret_in_url",
	CredentialInBody:      "credential_in_body",
	SecretInBrowser:       "secret_in_browser",
	NetworkNotAllowed:     "network_not_allowed",
	NetworksRequired:      "networks_required",
	DomainNotAllowed:      "domain_not_allowed",
	WrongCredential:       "wrong_credential",
	OneProjectOnly:        "one_project_only",
	ScopeMissing:          "scope_missing",
	ScopeOverCeiling:      "scope_over_ceiling",
	PublicKeyUsed:         "public_key_used",
	UserTokenMissing:      "user_token_missing",
	UserTokenWrong:        "user_token_wrong",
	SignatureMissing:      "signature_missing",
	SignatureRequired:     "signature_required",
	ViewNotApplied:        "view_not_applied",
	ViewUnbound:           "view_unbound",
	SignatureInvalid:      "signature_invalid",
	NotVisible:            "not_visible",
	GrantTooWide:          "grant_too_wide",
	PublicGrantTooWide:    "public_grant_too_wide",
	GrantOverCeiling:      "grant_over_ceiling",
	EnvironmentUnknown:    "environment_unknown",
	EnvironmentNotAllowed: "environment_not_allowed",
	EventNotAllowed:       "event_not_allowed",
	DatasetNotAllowed:     "dataset_not_allowed",
	DatasetNotRead:        "dataset_not_read",
	DatasetNotDeleted:     "dataset_not_deleted",
	UserTokenOther:        "user_token_other",
}

// NeedsBody reports whether the reason can be found only once the body is known. Others are found by Screen.
func (r Reason) NeedsBody() bool { return r >= SignatureInvalid && r < endOfReasons }

// String is the reason's name in the ledger.
func (r Reason) String() string {
	if r >= endOfReasons {
		r = undecided
	}
	return reasonNames[r]
}
