package access

import (
	"slices"
	"time"
)

// Role is what a person is in a project, or in all projects of an organization. The zero Role is none, and may do nothing.
type Role uint8

// The roles there are, the one that may do most first.
const (
	Owner Role = iota + 1
	Admin
	Developer
	Analyst
	Billing
	Viewer

	endOfRoles
)

// RoleViews are what a project lets the members of each role read: a nil one is everything.
type RoleViews [endOfRoles]*View

type roleRow struct {
	name   string
	scopes Scopes
	whole  bool // it is of a whole organization, and of no single project
	says   string
}

// roles is what each role may do. What is not in a row is denied. Nobody but an owner has the right to spend money and all
// others besides, so that nobody else can hand on, change or take away what an owner has.
var roles = [endOfRoles]roleRow{
	{name: "none"},
	Owner: {name: "owner", scopes: AllScopes, whole: true, says: "Everything, in every project of the organization."},
	Admin: {
		name: "admin", scopes: AllScopes &^ BillingWrite,
		says: "Everything but what things cost: keys, members, settings, and deleting.",
	},
	Developer: {
		name: "developer",
		scopes: EventsWrite | EventsRead | UsersWrite | UsersRead | ProjectsRead | TeamRead | KeysWrite | KeysRead | DatasetsRead | DatasetsWrite |
			DatasetsDelete | MetricsRead | MetricsWrite | MetricsRun | SQLRun | RecordingsWrite | RecordingsRead | WorkflowsRun | WorkflowsRead | WorkflowsWrite |
			ExportsRun | AuditRead | RejectedRead | RejectedWrite,
		says: "All data, and keys that can do no more than that; not members, settings or billing, nor deleting persons, events and recordings.",
	},
	Analyst: {
		name: "analyst",
		scopes: EventsRead | UsersRead | ProjectsRead | DatasetsRead | MetricsRead | MetricsWrite | MetricsRun | SQLRun | RecordingsRead | WorkflowsRead | ExportsRun |
			RejectedRead,
		says: "Reads all data, and saves metrics; sends and deletes nothing.",
	},
	Billing: {name: "billing", scopes: ProjectsRead | TeamRead | BillingRead | BillingWrite, says: "What is used, and budgets; no data."},
	Viewer:  {name: "viewer", scopes: ProjectsRead | DatasetsRead | MetricsRead | MetricsRun, says: "Runs what metrics there are, and reads datasets."},
}

// Roles lists them, the one that may do most first.
func Roles() []Role {
	list := make([]Role, 0, endOfRoles)
	for r := Owner; r < endOfRoles; r++ {
		list = append(list, r)
	}
	return list
}

// ParseRole reads what String writes; "none" is no role.
func ParseRole(name string) (Role, bool) {
	i := slices.IndexFunc(roles[:], func(r roleRow) bool { return r.name == name })
	return Role(max(i, 0)), i > 0
}

// String is the role's name, such as "owner".
func (r Role) String() string { return r.row().name }

// Scopes are the rights of whoever has the role.
func (r Role) Scopes() Scopes { return r.row().scopes }

// Whole reports whether the role is of a whole organization only.
func (r Role) Whole() bool { return r.row().whole }

// Says is what the role is for, in words.
func (r Role) Says() string { return r.row().says }

// Defined reports whether it is one of the roles.
func (r Role) Defined() bool { return r > 0 && r < endOfRoles }

func (r Role) row() roleRow {
	if r >= endOfRoles {
		r = 0
	}
	return roles[r]
}

// person reports whether a key is a member's, or a token that a member has.
func (k *Key) person() bool {
	return k.Kind == Member || k.Kind == Token && k.Parent != nil && k.Parent.Kind == Member
}

// wide reports whether a key reaches all projects of its organization: it is of a member of the whole of it, or of whoever
// holds the data folder.
func (k *Key) wide() bool {
	return k.Kind == Operator || k.person() && k.Root().Wide
}

// BeyondProject reports whether a grant is good in all projects of the organization, and the key hands on nothing that is.
func (k *Key) BeyondProject(g *Grant) bool {
	return g != nil && g.Kind == Member && g.Wide && !k.wide()
}

// own is the view that a key has by itself: a member's is that of the role as well.
func (k *Key) own() *View {
	if k.Kind != Member || !k.Role.Defined() {
		return k.View
	}
	return k.View.And(k.Project.Policy.Views[k.Role])
}

// ViewOfRole is what a member reads: all that is to be said of what a token of the member may see.
func (k *Key) ViewOfRole() *View { return k.own() }

// ReachesAll reports whether a key is about all projects of its organization.
func (k *Key) ReachesAll() bool { return k.wide() }

// ReadsPrivate reports whether the key may read the part of a project's config that is not meant for everybody: whoever has
// found a public key in a page may not.
func (k *Key) ReadsPrivate() bool {
	switch k.Kind {
	case Secret, Operator, Token, Member:
		return true
	default:
		return false
	}
}

// invitingRules are those of an invitation that hold until it is accepted: not how the one request came, but what whoever
// made it may hand on.
var invitingRules = [...]rule{
	{judge: kindKnown},
	{judge: holdsScope, above: holdsScope},
	{judge: scopeUnderCeiling},
	{of: ByEnvironment, judge: sharedEverywhere, above: sharedEverywhere},
	{judge: grantsWithin, above: grantsWithin},
	{judge: grantsUnderCeiling},
}

// StillInvites reports whether the key that made an invitation is good at a time, and may still hand on what the invitation
// does. It is what Decide says of inviting, without what is about the one request.
func StillInvites(k *Key, g *Grant, at time.Time) bool {
	d := Decision{Reason: Allowed}
	return Stands(k, at, time.Time{}, time.Time{}) == Allowed && d.ask(invitingRules[:], k, &Attempt{Action: WriteMembers, At: at, Grants: g})
}
