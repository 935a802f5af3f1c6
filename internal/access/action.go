package access

// Action is what a request does, as declared by its endpoint. The zero Action is "not declared": no endpoint may have
// it, and Decide denies it.
type Action uint8

// The actions of the product. Anyone needs no credential at all; HoldKey needs a key and no particular right.
const (
	undeclared Action = iota
	Anyone
	HoldKey
	WriteEvents
	IdentifyUsers
	ReadEvents
	RunSQL
	ReadKeys
	WriteKeys
	ReadLedger
	ReadAudit
	ExplainAccess
	ReadPolicy
	WritePolicy
	RevokeSelf
	ReadDatasets
	WriteDatasets
	DeleteDatasets
	ReadQueries
	CancelQueries
	FollowEvents
	ExchangeTokens
	IntrospectTokens
	RevokeTokens
	ReadMetrics
	WriteMetrics
	RunMetrics
	TestMetrics
	AuthorizeApps
	ReadApps
	WriteApps
	WriteItems
	ReadProfile
	ReadUsers
	ReadTimeline
	DeleteUsers
	MintUserTokens
	SignIn
	RenewSession
	SignOut
	ChangePassword
	ReadMembers
	WriteMembers
	ReadProject
	WriteProject
	ReadConfig
	WriteConfig
	WriteOrganization
	ReadBilling
	WriteBilling
	WriteRecordings
	ReadRecordings
	DeleteRecordings
	ReadRejected
	ReplayRejected
	ReadWorkflows
	WriteWorkflows
	TriggerWorkflows
	WriteExports
	ReadExports
	DeleteExports
	LinkExports
	FetchExports
	AskDatasets
	ReadDeletions
	WriteDeletions

	endOfActions
)

type actionRow struct {
	name    string
	scope   Scopes // the rights it needs, all of them
	instead Scopes // the rights that will do in their place for what is the key's own; empty: none
	space   bool   // it happens in an environment
	records bool   // it is about the records of a dataset
	secret  bool   // a public key may not, whatever it holds: everybody has it
	others  Scopes // the right that it takes besides to do it to what is another key's; empty: nobody may
	reads   reads  // what it reads of an environment
	changes bool   // it changes what it reads
	shared  bool   // it changes what keys run that may see more than this one
	stored  bool   // an access token may not: there is no such key to do it to
	own     bool   // a public key may do it with a user token, to that user
	client  bool   // a client may, and nobody else; it may do nothing else
	form    bool   // a secret key may be entered for it into a form of this server's own; an operator may not do it
	member  bool   // a member's password may, and nobody else; it may do nothing else
	wide    bool   // it is about all projects of an organization
	typed   bool   // a secret key may be sent for it by a page of this server's own, into which it was typed
	linked  bool   // it may be done by a link that a key has made, in the name of that key
	copies  bool   // it takes out a table, or the records of a dataset
}

// reads says what an action reads of an environment, and whether that is narrowed to the key's view.
type reads uint8

const (
	readsNothing reads = iota
	readsView          // what the key's view lets through
	readsWhole         // what cannot be narrowed
)

var actions = [endOfActions]actionRow{
	undeclared:    {name: "undeclared"},
	Anyone:        {name: "anyone"},
	HoldKey:       {name: "hold_key"},
	WriteEvents:   {name: "write_events", scope: EventsWrite, space: true},
	IdentifyUsers: {name: "identify_users", scope: UsersWrite, space: true},
	ReadEvents:    {name: "read_events", scope: EventsRead, space: true, reads: readsView},
	RunSQL:        {name: "run_sql", scope: SQLRun, space: true, reads: readsView},
	ReadKeys:      {name: "read_keys", scope: KeysRead},
	WriteKeys:     {name: "write_keys", scope: KeysWrite},
	ReadLedger:    {name: "read_ledger", scope: AuditRead},
	ReadAudit:     {name: "read_audit", scope: AuditRead},
	ExplainAccess: {name: "explain_access", scope: AuditRead},
	ReadPolicy:    {name: "read_policy", scope: KeysRead},
	WritePolicy:   {name: "write_policy", scope: ProjectsWrite},
	RevokeSelf:    {name: "revoke_self", secret: true, stored: true},

	ReadDatasets:   {name: "read_datasets", scope: DatasetsRead, space: true, records: true, reads: readsWhole},
	WriteDatasets:  {name: "write_datasets", scope: DatasetsWrite, space: true, records: true},
	DeleteDatasets: {name: "delete_datasets", scope: DatasetsDelete, space: true, records: true},

	// A statement over records is narrowed to the key's view, which reading them otherwise is not.
	AskDatasets: {name: "ask_datasets", scope: DatasetsRead, space: true, records: true, reads: readsView},

	ReadQueries:      {name: "read_queries", scope: SQLRun, instead: MetricsRun, others: AuditRead},
	CancelQueries:    {name: "cancel_queries", scope: SQLRun, instead: MetricsRun, others: AuditRead | ProjectsWrite},
	FollowEvents:     {name: "follow_events", scope: EventsRead, space: true, reads: readsWhole},
	ExchangeTokens:   {name: "exchange_tokens", client: true},
	IntrospectTokens: {name: "introspect_tokens", client: true},
	RevokeTokens:     {name: "revoke_tokens", client: true},

	// Metrics are the project's, and what a metric is must fit the tables of an environment. Whoever may test a metric may
	// ask what they like.
	ReadMetrics:  {name: "read_metrics", scope: MetricsRead},
	WriteMetrics: {name: "write_metrics", scope: MetricsWrite, space: true, reads: readsView, shared: true},
	RunMetrics:   {name: "run_metrics", scope: MetricsRun, space: true, reads: readsView},
	TestMetrics:  {name: "test_metrics", scope: MetricsWrite | MetricsRun, space: true, reads: readsView},

	// Whoever lets an app in makes a key under their own, which a person does on a page.
	AuthorizeApps: {name: "authorize_apps", scope: KeysWrite, stored: true, form: true},
	ReadApps:      {name: "read_apps", scope: KeysRead},
	WriteApps:     {name: "write_apps", scope: KeysWrite},

	// What other systems send as one batch may have events and persons in it.
	WriteItems: {name: "write_items", scope: EventsWrite | UsersWrite, space: true},

	ReadProfile:  {name: "read_profile", scope: UsersRead, space: true, reads: readsView, own: true},
	ReadUsers:    {name: "read_users", scope: UsersRead, space: true, reads: readsView},
	ReadTimeline: {name: "read_timeline", scope: UsersRead | EventsRead, space: true, reads: readsView},
	DeleteUsers:  {name: "delete_users", scope: DataDelete, space: true, reads: readsView, changes: true},

	MintUserTokens: {name: "mint_user_token", scope: UsersRead, space: true, reads: readsView, changes: true, secret: true, stored: true},

	// What a project is made of is everybody's who works in it: a key that may see only a part of it does not change it.
	SignIn:            {name: "sign_in", member: true},
	RenewSession:      {name: "renew_session", member: true},
	SignOut:           {name: "sign_out", member: true},
	ChangePassword:    {name: "change_password", member: true},
	ReadMembers:       {name: "read_members", scope: TeamRead},
	WriteMembers:      {name: "write_members", scope: TeamWrite, shared: true},
	ReadProject:       {name: "read_project", scope: ProjectsRead, secret: true},
	WriteProject:      {name: "write_project", scope: ProjectsWrite, shared: true},
	ReadConfig:        {name: "read_config", scope: ProjectsRead},
	WriteConfig:       {name: "write_config", scope: ProjectsWrite, shared: true},
	WriteOrganization: {name: "write_organization", scope: ProjectsWrite, shared: true, wide: true},
	ReadBilling:       {name: "read_billing", scope: BillingRead},
	WriteBilling:      {name: "write_billing", scope: BillingWrite, shared: true},

	// A recording is seen whole or not at all, and whoever may not see it does not delete it either. The player is a page of
	// this server.
	WriteRecordings:  {name: "write_recordings", scope: RecordingsWrite, space: true},
	ReadRecordings:   {name: "read_recordings", scope: RecordingsRead, space: true, reads: readsWhole, typed: true},
	DeleteRecordings: {name: "delete_recordings", scope: RecordingsDelete, space: true, reads: readsWhole, changes: true},

	// What was not accepted may say anything: it is seen whole or not at all. Whoever sends it again sends events and persons.
	ReadRejected:   {name: "read_rejected", scope: RejectedRead, space: true, reads: readsWhole},
	ReplayRejected: {name: "replay_rejected", scope: RejectedWrite | EventsWrite | UsersWrite, space: true, reads: readsWhole, changes: true},
	// What the targets of workflows answered may be about anybody: it cannot be narrowed. Triggering shows nothing.
	ReadWorkflows:    {name: "read_workflows", scope: WorkflowsRead, space: true, reads: readsWhole},
	WriteWorkflows:   {name: "write_workflows", scope: WorkflowsWrite, space: true, reads: readsWhole, changes: true},
	TriggerWorkflows: {name: "trigger_workflows", scope: WorkflowsRun, space: true},
	// An export has what its key's view lets through, and is fetched by its key alone, or by a link that this has made. Of
	// those of others a key may know that there are some, and delete them.
	WriteExports:  {name: "write_exports", scope: ExportsRun, space: true, reads: readsView, changes: true, copies: true},
	ReadExports:   {name: "read_exports", scope: ExportsRun, others: AuditRead},
	DeleteExports: {name: "delete_exports", scope: ExportsRun, others: AuditRead | ProjectsWrite},
	LinkExports:   {name: "link_exports", scope: ExportsRun, space: true, reads: readsView, changes: true, stored: true, copies: true},
	FetchExports:  {name: "fetch_exports", scope: ExportsRun, space: true, reads: readsView, linked: true, copies: true},

	// What is deleted is deleted whole, also what a key with a view would not see of it, and records of every dataset. Whoever may
	// not delete so is not told what was.
	ReadDeletions:  {name: "read_deletions", scope: DataDelete, space: true, reads: readsWhole, changes: true},
	WriteDeletions: {name: "write_deletions", scope: DataDelete, space: true, records: true, reads: readsWhole, changes: true},
}

// Declared reports whether a is an action of the product.
func (a Action) Declared() bool { return a > undeclared && a < endOfActions }

// Scope is the right the action needs; empty for Anyone and HoldKey.
func (a Action) Scope() Scopes { return a.row().scope }

// Instead is the right that will do in the place of Scope for what is the key's own; empty: none will.
func (a Action) Instead() Scopes { return a.row().instead }

// needs is the right that an action needs of whoever holds some: Instead when that is held and Scope is not.
func (a Action) needs(held Scopes) Scopes {
	row := a.row()
	if row.instead != 0 && held.Has(row.instead) && !held.Has(row.scope) {
		return row.instead
	}
	return row.scope
}

// InEnvironment reports whether the action happens in an environment, so that an attempt must name one or get the
// key's default.
func (a Action) InEnvironment() bool { return a.row().space }

// readsOnly reports whether the action changes nothing.
func (a Action) readsOnly() bool {
	return a == HoldKey || a.Reads() && !a.row().shared && !a.row().changes
}

// Reads reports whether the action reads an environment, so that a key's view is about it.
func (a Action) Reads() bool { return a.row().reads != readsNothing }

// SendsEvents reports whether what the action sends has events in it.
func (a Action) SendsEvents() bool { return a == WriteEvents || a == WriteItems || a == ReplayRejected }

// ByItem reports whether what the action sends is judged item by item, so that what is refused of it leaves the rest.
func (a Action) ByItem() bool { return a.SendsEvents() || a == IdentifyUsers }

// ForClients reports whether the action is for clients, and for nobody else.
func (a Action) ForClients() bool { return a.row().client }

// ForMembers reports whether the action is for whoever signs in, and for nobody else.
func (a Action) ForMembers() bool { return a.row().member }

// touches reports whether the action is about data, so that an attempt that names nothing is still about something: the
// default environment, or every dataset.
func (a Action) touches() bool { return a.row().space || a.row().records }

// reachesOthers reports whether the key may do it to what is another key's.
func (a Action) reachesOthers(k *Key) bool {
	row, most := a.row(), k.ceiling().Scopes
	beyond := row.others | row.scope // what comes instead is for the key's own
	return row.others != 0 && k.usable().Has(beyond) && (most == 0 || most.Has(beyond))
}

// String is the action's name in the ledger and in the OpenAPI document.
func (a Action) String() string { return a.row().name }

func (a Action) row() actionRow {
	if a >= endOfActions {
		a = undeclared
	}
	return actions[a]
}

// Actions lists every declared action.
func Actions() []Action {
	all := make([]Action, 0, endOfActions)
	for a := undeclared + 1; a < endOfActions; a++ {
		all = append(all, a)
	}
	return all
}
