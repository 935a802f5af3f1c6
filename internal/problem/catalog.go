package problem

import "slices"

// Code names a problem. It is the stable value a program compares, and the last part of the problem's type URI.
type Code string

// Row is one problem of the catalogue.
type Row struct {
	Code   Code
	Status int
	Title  string
	Help   string // one paragraph: why it happens and what to do
}

// The problems Weir can answer. Each constant has exactly one row in the catalogue.
const (
	InvalidRequest        Code = "invalid_request"
	InvalidJSON           Code = "invalid_json"
	InvalidSQL            Code = "invalid_sql"
	TwoCredentials        Code = "two_credentials"
	MissingCredential     Code = "missing_credential"
	MalformedKey          Code = "malformed_key"
	KeyNotAccepted        Code = "key_not_accepted"
	SecretKeyInURL        Code = "secret_key_in_url"
	MissingScope          Code = "missing_scope"
	EnvironmentNotAllowed Code = "environment_not_allowed"
	GrantTooWide          Code = "grant_too_wide"
	SQLNotAllowed         Code = "sql_not_allowed"
	NotFound              Code = "not_found"
	MethodNotAllowed      Code = "method_not_allowed"
	RequestTimeout        Code = "request_timeout"
	Conflict              Code = "conflict"
	BodyTooLarge          Code = "body_too_large"
	TooManyItems          Code = "too_many_items"
	EventTooLarge         Code = "event_too_large"
	UnsupportedMediaType  Code = "unsupported_media_type"
	MisdirectedRequest    Code = "misdirected_request"
	InvalidField          Code = "invalid_field"
	EnvironmentNotFound   Code = "environment_not_found"
	ResultTooLarge        Code = "result_too_large"
	QueryTooHeavy         Code = "query_too_heavy"
	Internal              Code = "internal"
	Unavailable           Code = "unavailable"
	QueryQueueFull        Code = "query_queue_full"
	QueryTimeout          Code = "query_timeout"
	StorageFull           Code = "storage_full"
	MetricsFull           Code = "metrics_full"
	DigestUnsupported     Code = "digest_unsupported_algorithms"
	DigestInvalid         Code = "digest_invalid_values"
	DigestMismatched      Code = "digest_mismatched_values"
	SignatureRequired     Code = "signature_required"
	SignatureInvalid      Code = "signature_invalid"
	CreditsExhausted      Code = "credits_exhausted"
	CleartextCredential   Code = "cleartext_credential"
	SecretKeyInBrowser    Code = "secret_key_in_browser"
	KeyQuarantined        Code = "key_quarantined"
	NetworkNotAllowed     Code = "network_not_allowed"
	DomainNotAllowed      Code = "domain_not_allowed"
	ProjectCeiling        Code = "project_ceiling"
	PublicKeyNotEnough    Code = "public_key_not_enough"
	EventNotAllowed       Code = "event_not_allowed"
	DatasetNotAllowed     Code = "dataset_not_allowed"
	ViewNotApplied        Code = "view_not_applied"
	ViewUnbound           Code = "view_unbound"
	OverCeiling           Code = "over_ceiling"
	Lockout               Code = "lockout"
	WouldWiden            Code = "would_widen"
	PreconditionFailed    Code = "precondition_failed"
	RateLimited           Code = "rate_limited"
	TooManyFailures       Code = "too_many_failures"
	LimitsUnavailable     Code = "limits_unavailable"
	TokenNotAccepted      Code = "token_not_accepted"
	WrongCredential       Code = "wrong_credential"
	InvalidClient         Code = "invalid_client"
	InvalidGrant          Code = "invalid_grant"
	UnsupportedGrantType  Code = "unsupported_grant_type"
	InvalidScope          Code = "invalid_scope"
	InvalidTarget         Code = "invalid_target"
	InvalidDPoPProof      Code = "invalid_dpop_proof"
	QueryCancelled        Code = "query_cancelled"
	QueryRunning          Code = "query_running"
	ResultGone            Code = "result_gone"

	SignInRefused     Code = "sign_in_refused"
	OneProjectOnly    Code = "one_project_only"
	RecordingConflict Code = "recording_conflict"
	RecordingsFull    Code = "recordings_full"

	WorkflowsFull       Code = "workflows_full"
	WorkflowDisabled    Code = "workflow_disabled"
	DeliveriesFull      Code = "deliveries_full"
	LinkNotAccepted     Code = "link_not_accepted"
	ExportRunning       Code = "export_running"
	ExportGone          Code = "export_gone"
	RangeNotSatisfiable Code = "range_not_satisfiable"
)

// Row is the catalogue row of c. A code that has none is answered as an internal fault.
func (c Code) Row() Row {
	for i := range catalogue {
		if catalogue[i].Code == c {
			return catalogue[i]
		}
	}
	return Internal.Row()
}

// Catalogue lists every problem, by status and then by code.
func Catalogue() []Row {
	rows := slices.Clone(catalogue[:])
	slices.SortFunc(rows, func(a, b Row) int {
		if a.Status != b.Status {
			return a.Status - b.Status
		}
		if a.Code < b.Code {
			return -1
		}
		return 1
	})
	return rows
}

var catalogue = [...]Row{
	{InvalidRequest, 400, "The request cannot be read",
		"The request is not what this address takes, in a way that is not about one field: a body that is missing, cut short or compressed " +
			"wrongly, or a parameter given twice. The detail says which. Correct the request before sending it again."},
	{InvalidJSON, 400, "The body is not valid JSON",
		"The body must be one JSON text in UTF-8 (RFC 8259), without duplicate member names and nested no deeper than the documented limit. " +
			"The detail gives the byte offset, and the line and column, where reading stopped."},
	{InvalidSQL, 400, "The SQL statement has an error",
		"The query engine could not parse or bind the statement. The detail carries the engine's message, with the line and column where it " +
			"has one. The tables there are: events and persons."},
	{TwoCredentials, 400, "Two different credentials were sent",
		"A request may carry its key in the X-API-Key header, as a bearer token in the Authorization header, or as the apiKey query parameter. " +
			"When more than one is present they must be the same key (RFC 6750 section 2)."},
	{MissingCredential, 401, "No API key was sent",
		"This address needs an API key. Send it as 'X-API-Key: KEY' or 'Authorization: Bearer KEY'; browsers that cannot set headers may use " +
			"'?apiKey=KEY' with a public key."},
	{MalformedKey, 401, "The API key is mistyped",
		"What was sent does not have the form of a key, or its checksum does not match: it was cut short, padded or mistyped. It was not looked " +
			"up. Keys match ^(pk|sk)_(live|test)_[0-9A-Za-z]{45}$ and end in a checksum, see the documentation of keys."},
	{KeyNotAccepted, 401, "The API key is not accepted",
		"The key is well formed, but it is unknown, revoked or expired. Which of these is shown to the project's admins and not to the sender. " +
			"Create a new key or ask the key's steward."},
	{TokenNotAccepted, 401, "The access token is not accepted",
		"The token is unknown or expired, or it was revoked, or its client or their key was revoked or narrowed since it was made (RFC 6750, " +
			"invalid_token). Exchange the client's secret for a new one."},
	{SecretKeyInURL, 401, "A secret key must not be sent in a URL",
		"Addresses are written to logs, histories and referrers, so a secret key is refused in a query string. Send it in a header, and treat " +
			"the key as exposed: create a new one and revoke this one."},
	{MissingScope, 403, "The key lacks the scope this needs",
		"Rights are denied unless granted. The detail and the member 'scope' name the scope needed. Use a key that holds it, or have an admin " +
			"add it; a public key can never hold more than the client-side set."},
	{EnvironmentNotAllowed, 403, "The key may not use this environment",
		"The environment exists, but the key is not allowed to use it: it is restricted to others, or it is a test key used on live data or the " +
			"reverse. Use the key made for that environment."},
	{GrantTooWide, 403, "A key cannot grant more than it holds",
		"A key that creates or changes keys can hand on only scopes and environments that it holds itself, and no longer than it lives. A test key makes " +
			"test keys only. Use a wider key, or the command line on the server."},
	{SQLNotAllowed, 403, "The statement does something that is not allowed",
		"Queries are single read-only SELECT statements over the tables they are offered, using functions from an allow-list. The detail names " +
			"what was refused. Nothing was run."},
	{NotFound, 404, "There is nothing here",
		"The address or the thing it names does not exist, or is not visible to this key."},
	{MethodNotAllowed, 405, "This address does not take that method",
		"The address exists, for other methods: the Allow header lists them."},
	{RequestTimeout, 408, "The request took too long to arrive",
		"The body did not arrive within the time the server waits for it. Nothing was stored. Send it again, perhaps in smaller pieces."},
	{Conflict, 409, "The change conflicts with the present state",
		"What was asked contradicts the present state, for instance changing a key that is revoked. Read it again and decide anew."},
	{MetricsFull, 409, "The project's metrics have no room for another version",
		"The definitions of a project's metrics, all versions together, may have as many bytes as the ceiling that the member 'ceiling' names. Delete " +
			"metrics that nobody needs; whoever runs the server can raise the setting of that name."},
	{BodyTooLarge, 413, "The body is too large",
		"The body, as sent or as unpacked, is over the limit named in the detail. Send smaller batches."},
	{TooManyItems, 413, "The batch has too many items",
		"A batch may have at most the number of items named in the detail. Split it."},
	{EventTooLarge, 413, "The event is too large",
		"One event may be at most as large as the detail says, in bytes of JSON. Shorten its properties."},
	{UnsupportedMediaType, 415, "The body's type or encoding is not supported",
		"Send JSON as application/json (beacons may use text/plain), uncompressed or with Content-Encoding gzip or zstd."},
	{MisdirectedRequest, 421, "This server does not answer to that host name",
		"To withstand DNS rebinding, a server bound to the loopback interface answers only to loopback names and to the hosts it is configured " +
			"for. Add the name to the setting 'hosts', or set 'public_url'."},
	{InvalidField, 422, "A field is not acceptable",
		"The request was understood, but a field is missing, of the wrong type, out of range or unknown. The member 'errors' names every field " +
			"at fault."},
	{EnvironmentNotFound, 422, "The environment does not exist",
		"The project has no environment of that name. New projects have production, staging and development."},
	{ResultTooLarge, 422, "The result is over its ceiling",
		"The query produced more rows or bytes than the ceiling that the member 'ceiling' names. Aggregate, filter or use LIMIT; whoever runs the " +
			"server can raise the setting of that name."},
	{QueryTooHeavy, 422, "The query needs more memory than there is",
		"The query alone brought the query process to its memory limit. It was stopped; ingestion was not affected. Read less at a time: filter " +
			"by timestamp, aggregate earlier, avoid building large lists and strings."},
	{Internal, 500, "Something went wrong on our side",
		"A fault that is not the caller's. It was logged with the request id. Retrying an ingestion request with the same event ids is safe."},
	{Unavailable, 503, "The service cannot answer just now",
		"A part of the server is starting, stopping or recovering. Retry after the time in Retry-After; retrying an ingestion request with the " +
			"same event ids is safe."},
	{QueryQueueFull, 503, "Too many queries are waiting",
		"As many queries as allowed are running and waiting. Retry after the time in Retry-After, or make the queries cheaper."},
	{QueryTimeout, 504, "The query took longer than its ceiling",
		"The query was stopped at the time ceiling named in the detail. Filter by timestamp, or aggregate less at a time."},
	{StorageFull, 507, "The server's disk is full",
		"The request was not stored, because the disk has no room. What was accepted before is kept. Retry later with the same event ids."},

	{InvalidGrant, 400, "What was shown does not give a token",
		"The client is who it says, but what it has does not give an access token any more: it, or its key, has expired; the code or the refresh token of an app " +
			"is unknown, expired, used before, or was got with another redirect_uri or code_verifier (RFC 6749 section 5.2). Let the app ask again, or ask for a new client."},
	{UnsupportedGrantType, 400, "There is no such way to a token here",
		"A client asks for a token in its own name, with the grant_type client_credentials (RFC 6749 section 4.4); an app with authorization_code, and then with refresh_token."},
	{InvalidScope, 400, "The token would be wider than its client",
		"An access token reaches no further than the client it is for and the client's key, in scopes and in what it is narrowed to (RFC 6749 section 5.2). The " +
			"detail names what sticks out. Leave it out to get what there is."},
	{InvalidTarget, 400, "There is no such resource here",
		"The parameter resource (RFC 8707) names what the token is to be for, and this server is not that. The document at " +
			"/.well-known/oauth-protected-resource names what it is."},
	{InvalidClient, 401, "The client is not accepted",
		"The client is unknown, revoked or expired, or what it proved itself with is wrong, too old or was used before (RFC 6749 section 5.2). Of a signed " +
			"assertion, the detail says what is wrong with it; of a secret, only the project's admins can see it."},
	{InvalidDPoPProof, 401, "The proof of possession is not right",
		"The header DPoP (RFC 9449) must hold one JWT, made for this request with the key that the token is bound to, a moment ago, and used once. The detail says " +
			"what is wrong."},
	{DigestUnsupported, 400, "The body's digest uses an algorithm that is not taken",
		"Content-Digest (RFC 9530) must be of sha-256 or sha-512. The header Want-Content-Digest lists what is taken."},
	{DigestInvalid, 400, "The body's digest cannot be read",
		"Content-Digest (RFC 9530) must be a dictionary of byte sequences, each as long as its algorithm's digest, such as sha-256=:…:."},
	{DigestMismatched, 400, "The body is not the one its digest is of",
		"Content-Digest (RFC 9530) is of the bytes as they are sent, before a Content-Encoding is undone. Something changed the body on its way, or the digest " +
			"was taken of another text."},
	{SignatureRequired, 401, "The request must be signed",
		"The key, or its project, takes signed requests only (RFC 9421, or IEX-HMAC-SHA256). The header Accept-Signature says what must be covered; the " +
			"documentation of signatures has examples."},
	{SignatureInvalid, 401, "The signature is not right",
		"The request carries a signature that does not fit it, is too old, or was used before. Each request needs a signature of its own. An admin can see in " +
			"the explanation of the decision which line of the signature base differs."},
	{CreditsExhausted, 402, "The credits are used up",
		"The key's or the project's credits of this calendar month (UTC) do not suffice for what was asked. They begin anew with the next month; an admin can raise the limit."},
	{CleartextCredential, 403, "A credential was sent in cleartext",
		"The request reached the proxy over plain HTTP, where anybody on the way could read the key. Every such request is refused, be the key good or not. Use " +
			"https, and replace the key."},
	{SecretKeyInBrowser, 403, "A secret key was used in a browser",
		"The request has what only a browser adds, so the secret key stands in a page for everybody to read. Use a public key in pages, and replace this one. " +
			"A project may allow it (secret_in_browser)."},
	{KeyQuarantined, 403, "The key is in quarantine",
		"The key is known, and an admin has put it into quarantine: it may do nothing until it is restored. Ask the key's steward."},
	{NetworkNotAllowed, 403, "The key may not be used from this address",
		"The key, or its project, is restricted to networks, and the address the request came from is in none of them. 'whoami' with another key tells the address as the server sees it."},
	{DomainNotAllowed, 403, "The key may not be used from this page",
		"The key is restricted to domains, and the page that the Origin or Referer header names is in none of them."},
	{ProjectCeiling, 403, "The project does not allow this to any key",
		"The project has a ceiling that holds for every key when it is used, whatever the key itself holds. The detail names it."},
	{WrongCredential, 403, "This kind of credential is not for this",
		"A client's secret can be exchanged for access tokens and do nothing else: use a token. What is for clients takes their secret, and " +
			"neither a key nor a token. A token cannot revoke itself as a key can, and only a client's secret, or a public key, may stand in a body."},
	{PublicKeyNotEnough, 403, "A public key is not enough for this",
		"Everybody can have the public key, so it cannot be used for this. Use a secret key."},
	{EventNotAllowed, 403, "The key may not send this event",
		"The key is restricted to some event names, and this is none of them. In a batch only this item is refused."},
	{DatasetNotAllowed, 403, "The key may not do this with the dataset",
		"The key is restricted to some datasets and rights. Use a key that has the right, or have an admin add it."},
	{ViewNotApplied, 403, "This cannot be narrowed to the key's view",
		"The key sees some tables, rows and columns only, and this reads what cannot be narrowed to them. Ask with SQL what the key may see, or use a key without a view."},
	{ViewUnbound, 403, "The key's view needs a value that nobody gave",
		"What the key may see depends on a variable, such as the customer who asks. A token of the key gives its value; the key alone reads nothing."},
	{OverCeiling, 409, "The project does not allow such a key",
		"The project sets a ceiling for its keys: a longest lifetime, some scopes, or networks and signatures that each key must have. The detail names the one."},
	{Lockout, 409, "The change would lock out the key that makes it",
		"After the change, the key that asks for it could not ask again from where it is. Send 'confirm_lockout': true if that is meant."},
	{WouldWiden, 409, "A restored key can only be narrower",
		"Restoring a key gives back what it could do before, or less. Change the key after it is restored, if it is to do more."},
	{PreconditionFailed, 412, "Somebody else changed it in between",
		"The If-Match header names a version that is not the present one. Read it again, and decide anew on what is there now."},
	{RateLimited, 429, "Too many requests",
		"A limit of the key or of its project is reached; 'violated-policies' names it. Retry after the time in Retry-After, and spread requests or send " +
			"larger batches."},
	{TooManyFailures, 429, "Too many failed authentications",
		"Too many requests with missing or wrong keys came from this network. Correct the key, and retry after the time in Retry-After. Requests with a good key are not affected."},
	{LimitsUnavailable, 503, "The limits cannot be counted just now",
		"The counters cannot be reached, and this limit lets nothing through without them. Retry after the time in Retry-After."},

	{QueryCancelled, 409, "The query was cancelled",
		"Somebody who may do so cancelled the query while it ran. What it read until then is not answered. Ask it again if it is wanted."},
	{QueryRunning, 409, "The query is still running",
		"The result of a query that runs in the background is there when the query has succeeded: ask for its status, and come again after the " +
			"time in Retry-After."},
	{ResultGone, 410, "The result is no longer there",
		"Results of queries in the background wait to be fetched for some time, and so many of a project as the server has room for; they do not " +
			"outlive the server, nor what the key that asked may see. Ask the query again."},

	{SignInRefused, 401, "The sign-in is not accepted",
		"The email is not known, the password is wrong, or the session has ended or was used twice: the answer is the same for all of these. " +
			"Sign in again with email and password, or have somebody invite you."},
	{OneProjectOnly, 403, "This is about more than one project",
		"A key is of one project, and so is a role in a project. What is about all projects of an organization takes the token of a member of the " +
			"whole organization, or whoever holds the data folder."},
	{RecordingConflict, 409, "The session has another chunk of that sequence",
		"A chunk of a recording is named by its session and sequence and never changes. This sequence is taken by a chunk with other events; the same chunk " +
			"may be sent again at any time. Two recorders that use the same session count their chunks apart: give each a session of its own."},
	{RecordingsFull, 507, "The project has no room for more recordings",
		"The recordings of the project take as many bytes as the server lets them, and this chunk was not stored. Delete some, or have those who run the " +
			"server raise 'recording-bytes' or lower 'recording-retention-days'."},
	{WorkflowsFull, 409, "The environment has no room for another workflow",
		"An environment has as many workflows as it can have. Delete some that nobody triggers."},
	{WorkflowDisabled, 409, "The workflow is disabled",
		"Nothing is sent or recorded for it: somebody disabled it, or its target answered 410 Gone, which means that it wants nothing more. Enable it by a " +
			"change of the workflow when the reason is gone, and trigger it again."},
	{DeliveriesFull, 429, "Too many deliveries of the workflow wait to be sent",
		"Its target takes them more slowly than they come, or not at all; the list of deliveries says what it answers. Nothing was kept of this trigger: send it " +
			"again when there are fewer."},
	{LinkNotAccepted, 401, "The link is not accepted",
		"A link to a file is good until the time in it, unchanged, and as long as the key that made it has the same secret and the same rights: it ends when the " +
			"key is revoked, narrowed or rotated. Make another with the key, or fetch the file with the key itself."},
	{ExportRunning, 409, "The export is not ready",
		"The file of an export is there when the export has succeeded: ask for its status, and come again after the time in Retry-After."},
	{ExportGone, 410, "The file of the export is not there",
		"Files of exports are kept for some time. They are deleted before that when somebody asks for it, and when data of their environment is deleted; " +
			"an export that failed or was cancelled has none, and one is not given to a key that may see less by now. Export again."},
	{RangeNotSatisfiable, 416, "The file has no such bytes",
		"The header Range asks for bytes behind the end of the file, whose size is in the header Content-Range. A download that goes on where it stopped " +
			"sends the ETag as If-Range, and then gets the whole file when it is another."},
}

// registered are the problems that a standard names: draft-ietf-httpapi-digest-fields-problem-types and
// draft-ietf-httpapi-ratelimit-headers-11.
var registered = map[Code]string{
	DigestUnsupported: "digest-unsupported-algorithms",
	DigestInvalid:     "digest-invalid-values",
	DigestMismatched:  "digest-mismatched-values",
	RateLimited:       "quota-exceeded",
	TooManyFailures:   "abnormal-usage-detected",
	LimitsUnavailable: "temporary-reduced-capacity",
}

// Type is the problem's type URI: the one a standard registers for it, or the help page, which base leads to.
func (c Code) Type(base string) string {
	if name, ok := registered[c]; ok {
		return "https://iana.org/assignments/http-problem-types#" + name
	}
	return base + string(c)
}
