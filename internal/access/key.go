package access

import (
	"slices"
	"time"
)

// Kind says whether a key may be published. The zero Kind is neither, and is denied everything.
type Kind uint8

// A Public key may stand in a page's source; a Secret key belongs on servers only. An Operator is whoever holds the
// data folder: it is never stored and never travels. A Client is a secret that comes of a Secret key and can be exchanged
// for access tokens, and do nothing else; a Token is such an access token, and is never stored. A Member is what a person
// acts through: it has no secret at all, and there are tokens of it for whoever signs in.
const (
	Public Kind = iota + 1
	Secret
	Operator
	Client
	Token
	Member
)

// String is "public", "secret", "operator", "client", "token" or "member".
func (k Kind) String() string {
	switch k {
	case Public:
		return "public"
	case Secret:
		return "secret"
	case Operator:
		return "operator"
	case Client:
		return "client"
	case Token:
		return "token"
	case Member:
		return "member"
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

// State says whether a key may be used at all. The zero State is Active. Revocation is not a state: it has no way back.
type State uint8

// A Disabled key is refused as if it were unknown; a Quarantined one is told who it is and may do nothing.
const (
	Active State = iota
	Disabled
	Quarantined
)

var stateNames = [...]string{"active", "disabled", "quarantined"}

// String is "active", "disabled" or "quarantined".
func (s State) String() string {
	if int(s) >= len(stateNames) {
		return "unknown"
	}
	return stateNames[s]
}

// ParseState reads what String writes.
func ParseState(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(max(i, 0)), i >= 0
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
	Policy       Policy
}

// Policy is what a project decides for all its keys. The zero Policy has no ceilings and is the stricter one.
type Policy struct {
	SecretInBrowser bool // a secret key may come from a page
	SecretInURL     bool // a secret key may stand in a query string; a client's secret or a token never
	EmbeddedTokens  bool // an access token that is meant for it may come from a page
	Public          Ceiling
	Secret          Ceiling
	Limits          Limits // of all the project's keys together
	Views           RoleViews
}

// Ceiling is what no key of a kind may go beyond: not when it is made, and not when it is used. The zero Ceiling has none.
type Ceiling struct {
	MaxLifetime      time.Duration // of a secret, from its making; 0: none
	Scopes           Scopes        // empty: all
	RequireNetworks  bool          // a key must be restricted to networks
	RequireSignature bool          // requests must be signed
}

// Key is a credential as the policy sees it. It holds nothing secret. A Key is shared between requests and never
// changes: a changed key is another value.
//
// What comes of another key has it as its Parent: a Client a Secret key, a Token its Client, whose id it has. All that
// narrows a parent narrows what comes of it. A Token of a Member has that as its Parent.
type Key struct {
	ID      string
	Parent  *Key // nil: it comes of none
	Project *Project
	Kind    Kind
	Mode    Mode
	Scopes  Scopes
	State   State
	Bounds
	MintedAt  time.Time // when its present secret was made
	RevokedAt time.Time // zero: not revoked
	Epoch     int64     // counts how often the key was narrowed
	App       string    // of a Client: the app that was let in with it; then nobody has its secret

	// Of a Member only: what may be done is the role's to say, whatever scopes there are besides. Wide: the role is one in all
	// projects of the organization.
	Role Role
	Wide bool

	// Of a Token only: the epochs that its client and their key were in when it was made, and whether it may be used from a
	// page.
	ClientEpoch int64
	KeyEpoch    int64
	Embedded    bool
	TokenID     string // its own name
}

// Owner names whoever holds the key, as the owner of what it makes. Tokens of a client may be different people's: each is
// an owner of its own. Those of a member are one person's.
func (k *Key) Owner() string {
	if k.Kind == Token && !k.person() {
		return k.ID + "/" + k.TokenID
	}
	return k.ID
}

// Root is the key that everything comes of: the last of the chain of parents. What is done with a key is charged to it.
func (k *Key) Root() *Key {
	for k.Parent != nil {
		k = k.Parent
	}
	return k
}

// Stored is the key that is kept: of a Token its client, else the key itself.
func (k *Key) Stored() *Key {
	if k.Kind == Token && k.Parent != nil {
		return k.Parent
	}
	return k
}

// Effective are the scopes that the key can use: those that it and all its parents hold.
func (k *Key) Effective() Scopes {
	scopes := k.usable()
	for up := k.Parent; up != nil; up = up.Parent {
		scopes &= up.usable()
	}
	return scopes
}

// Granted are the bounds within which whoever gets the key gets its rights: its own, within those of what it comes of.
func (k *Key) Granted() Bounds {
	b := k.Bounds
	for up := k.Parent; up != nil; up = up.Parent {
		b = b.Under(&up.Bounds)
	}
	return b
}

// In is the key, and all that it comes of, in another state of their project.
func (k *Key) In(p *Project) *Key {
	in := *k
	in.Project = p
	if k.Parent != nil {
		in.Parent = k.Parent.In(p)
	}
	return &in
}

// rightly reports whether a key comes of what its kind may come of.
func (k *Key) rightly() bool {
	up := k.Parent
	switch k.Kind {
	case Public, Secret, Operator:
		return up == nil
	case Member:
		return up == nil && k.Role.Defined() && (k.Wide || !k.Role.Whole())
	case Client:
		return up != nil && up.Kind == Secret && k.under(up)
	case Token:
		return up != nil && (up.Kind == Client || up.Kind == Member) && k.under(up) && up.rightly()
	}
	return false
}

// derived reports whether a key is of a kind that comes of another.
func (k *Key) derived() bool { return k.Kind == Client || k.Kind == Token }

func (k *Key) under(up *Key) bool { return k.Project.ID == up.Project.ID && k.Mode == up.Mode }

// ceiling is what the project sets for the key.
func (k *Key) ceiling() Ceiling {
	if k.person() {
		return Ceiling{}
	}
	return k.Project.ceiling(k.Kind)
}

// ceiling is what the project sets for keys of the kind. Nobody sets any for whoever holds the data folder; and what a member
// may do is the role's to say, who has no secret that could grow old or sign.
func (p *Project) ceiling(kind Kind) Ceiling {
	switch kind {
	case Public:
		return p.Policy.Public
	case Operator, Member:
		return Ceiling{}
	default:
		return p.Policy.Secret
	}
}

// Default is the environment a request that names none is about: the first one the key may use. Clients of ingestion
// keys may leave the environment out (contracts A2). A restriction that is only observed leaves the default where it
// would be if it were enforced, as long as there is one: enforcing it then moves no data.
func (k *Key) Default() (Environment, bool) {
	if env := k.first(); env != nil {
		return *env, true
	}
	return Environment{}, false
}

func (k *Key) first() *Environment {
	observed := false
	for up := k; up != nil; up = up.Parent {
		observed = observed || up.Observe.Has(ByEnvironment)
	}
	for i := range k.Project.Environments {
		if env := &k.Project.Environments[i]; k.ofMode(env) && k.listedByAll(env) {
			return env
		}
	}
	for i := range k.Project.Environments {
		if env := &k.Project.Environments[i]; observed && k.mayUse(env) {
			return env
		}
	}
	return nil
}

func (k *Key) firstOfMode() *Environment {
	for i := range k.Project.Environments {
		if env := &k.Project.Environments[i]; k.ofMode(env) {
			return env
		}
	}
	return nil
}

// Reachable lists the environments the key may use, in the project's order.
func (k *Key) Reachable() []Environment {
	var reach []Environment
	for i := range k.Project.Environments {
		if env := &k.Project.Environments[i]; k.mayUse(env) {
			reach = append(reach, *env)
		}
	}
	return reach
}

// Resolve finds the environment a request means by name, and whether the key may use it.
func (k *Key) Resolve(name string) (Environment, Reason) {
	env, reason := k.named(name)
	if env == nil {
		return Environment{}, reason
	}
	if !k.mayUse(env) {
		reason = EnvironmentNotAllowed
	}
	return *env, reason
}

// named finds the environment a request means, among all that the project has. It is nil when there is none.
func (k *Key) named(name string) (*Environment, Reason) {
	if name == "" {
		if env := k.first(); env != nil {
			return env, Allowed
		}
		return nil, EnvironmentNotAllowed
	}
	for i := range k.Project.Environments {
		if env := &k.Project.Environments[i]; env.Name == name {
			return env, Allowed
		}
	}
	return nil, EnvironmentUnknown
}

// A public key that somehow holds more than the client-side set still cannot use it.
func (k *Key) usable() Scopes {
	switch k.Kind {
	case Public:
		return k.Scopes & ClientScopes
	case Member:
		return k.Scopes & k.Role.Scopes()
	default:
		return k.Scopes
	}
}

func (k *Key) seesLive() bool { return k.Mode == Live || k.anyMode() }

func (k *Key) ofMode(env *Environment) bool { return k.anyMode() || env.Mode == k.Mode }

// anyMode reports whether the key is for data of both modes: people are not parted from the data they try things with.
func (k *Key) anyMode() bool { return k.Kind == Operator || k.person() }

func (k *Key) listed(env *Environment) bool {
	return len(k.Environments) == 0 || slices.Contains(k.Environments, env.Name)
}

func (k *Key) listedByAll(env *Environment) bool {
	for ; k != nil; k = k.Parent {
		if !k.listed(env) {
			return false
		}
	}
	return true
}

func (k *Key) mayUse(env *Environment) bool {
	for ; k != nil; k = k.Parent {
		if !k.ofMode(env) || !k.Observe.Has(ByEnvironment) && !k.listed(env) {
			return false
		}
	}
	return true
}
