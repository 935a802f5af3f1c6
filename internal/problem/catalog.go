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
		"The query produced more rows or bytes than the ceiling named in the detail. Aggregate, filter or use LIMIT."},
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
}
