package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/metric"
)

// doc is what the OpenAPI document says of a row beyond its address and action.
type doc struct {
	ID       string // the operation's id
	Tag      string
	Summary  string
	Text     string
	In       reflect.Type         // struct with path, query and Body; nil: the row's input
	Out      reflect.Type         // the answer; nil: the row's
	Takes    []string             // content types of the request beside JSON
	Form     bool                 // the request is a form, and not JSON
	File     bool                 // the request is a file of one of Takes
	Types    []string             // content types of a success beside JSON, or instead of it when Out is not set
	Problems []problem.Code       // beyond those that the frame can answer on any row
	Status   int                  // of a success of an open row; 0: 200
	Statuses map[int]reflect.Type // answers beside the success that are no problems; nothing: without a body
	Version  bool                 // the answer has an ETag
	Kept     bool                 // the answer may be a kept one, with what says so
	Parts    bool                 // the answer may be sent in parts, with an ETag of the whole
	Runs     bool                 // the answer names a run of a query
	Basic    bool                 // the key may come with HTTP Basic, as the user name
	Examples []example
}

// example is a request and the answer it gets. A test sends each one.
type example struct {
	Name   string
	Body   string // JSON
	Status int
	Answer string // JSON; what it shows of ids and times differs each time
}

func (d *doc) fill(in, out any) {
	if d.In == nil && in != nil {
		d.In = reflect.TypeOf(in).Elem()
	}
	if d.Out == nil && out != nil && len(d.Types) == 0 {
		d.Out = reflect.TypeOf(out).Elem()
	}
}

// takes reports whether the request has a body.
func (d *doc) takes() bool {
	if d.In == nil {
		return false
	}
	_, ok := d.In.FieldByName("Body")
	return ok
}

const problemType = "application/problem+json"

// tags group the operations, in the order the document shows them.
var tags = [...]huma.Tag{
	{Name: "Ingestion", Description: "Send events, and say who did what. A public key with `events:write` or `users:write` is enough."},
	{Name: "Query", Description: "Read what was sent, with SQL or as a list. Needs a secret key."},
	{Name: "Users", Description: "What is known of people: read it, find it, change it, take it out. Needs a secret key, but for a user's own profile."},
	{Name: "Metrics", Description: "Questions with a name: save them, and run them with variables. Needs a secret key."},
	{Name: datasetsTag, Description: "Tables that you define: records in, rows out, files loaded. Needs a secret key."},
	{Name: "Grafana", Description: "What the JSON data sources of Grafana ask for. Needs a secret key."},
	{Name: "Recordings", Description: "Send what a page tells of a session, and see it again. Sending needs a public key with `recordings:write`, seeing a secret one."},
	{Name: "Rejected", Description: "Events that were not accepted: see them, and send them again. Needs a secret key."},
	{Name: "Workflows", Description: "What is triggered by its name, and becomes a signed webhook or an event. Triggering takes `workflows:run`, which a public key may hold."},
	{Name: "Exports", Description: "Take data out in files. Needs `exports:run`, and for a dataset `datasets:read` as well."},
	{Name: deletionsTag, Description: "Delete what is known of a person, or what a key sent, everywhere, and prove it. Needs a secret key with `data:delete`."},
	{Name: "Keys", Description: "Create, list, change and revoke API keys."},
	{Name: "Tokens", Description: "Exchange the secret of a client for short-lived access tokens (OAuth 2.0), and see and end them."},
	{Name: "Apps", Description: "Programs of third parties: register them, let them in (OAuth 2.0), see which are, and end that."},
	{Name: "Project", Description: "What a project decides for all its keys."},
	{Name: "Members", Description: "People: invite them, give them roles, and sign in."},
	{Name: "Organization", Description: "Projects, their environments and settings, and what is used of them."},
	{Name: "Ledger", Description: "See what was denied and why, how much was used and by whom, and who changed what."},
	{Name: "Compatibility", Description: "What clients of Composite, UserFlux, Segment and IEX Cloud send and ask, in their words, and what Altertable's snippet loads."},
	{Name: "Server", Description: "Whether the server is well, and its documentation."},
}

// document makes the OpenAPI 3.1 document from the rows.
func (a *API) document() *huma.OpenAPI {
	d := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Weir", Version: a.cfg.Version,
			Description: "Self-hosted analytics in which every event in and every row out passes an API key.\n\n" +
				"Send the key as `X-API-Key: KEY` or `Authorization: Bearer KEY`; a public key may also stand in `?apiKey=KEY`. " +
				"Every answer that is not a success is an RFC 9457 problem with a stable `code`.",
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Servers: []*huma.Server{{URL: a.serverURL()}},
		Paths:   map[string]*huma.PathItem{},
		Components: &huma.Components{
			Schemas: a.registry, Headers: headersShown(),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "A key, or an access token (a JWT), as a bearer token."},
				"header": {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "The key in a header of its own."},
				"query":  {Type: "apiKey", In: "query", Name: keyParameter, Description: "A public key in the query string. Secret keys are refused there, unless the project allows it."},
			},
		},
	}
	for _, tag := range tags {
		d.Tags = append(d.Tags, &tag)
	}
	for i := range a.rows {
		a.describe(d, &a.rows[i])
		if a.rows[i].action.ForClients() || a.rows[i].doc.Basic {
			d.Components.SecuritySchemes["basic"] = &huma.SecurityScheme{
				Type: "http", Scheme: "basic", Description: "A client's id and secret (RFC 6749 section 2.3.1), both of which may stand in the body instead; for clients of Segment a key as the user name, and for those of Altertable's lakehouse as that or the password.",
			}
		}
	}
	return d
}

func (a *API) serverURL() string {
	if a.cfg.PublicURL != "" {
		return a.cfg.PublicURL
	}
	return "/" // the server that the document came from
}

func (a *API) describe(d *huma.OpenAPI, r *row) {
	op := &huma.Operation{
		OperationID: r.doc.ID, Summary: r.doc.Summary, Description: r.doc.Text, Tags: []string{r.doc.Tag},
		Extensions: map[string]any{"x-weir-action": r.action.String()},
		Responses:  map[string]*huma.Response{},
		Security:   security(r),
	}
	if scope := r.action.Scope(); scope != 0 {
		op.Extensions["x-weir-scopes"] = scope.Names()
		op.Description = strings.TrimSpace(op.Description + "\n\nNeeds the scope `" + scope.String() + "`" + orElse(r.action.Instead()) + ".")
	}
	if r.slash {
		op.Extensions["x-weir-slash"] = true // the address with a slash at its end is the same one
	}
	if len(r.also) > 0 {
		op.Extensions["x-weir-also"] = r.also // addresses that are the same one
		op.Description += "\n\nAlso at `" + strings.Join(r.also, "`, `") + "`."
	}
	a.describeInput(op, r)
	a.describeAnswers(op, r)
	path := pathOf(r.path)
	item := d.Paths[path]
	if item == nil {
		item = &huma.PathItem{}
		d.Paths[path] = item
	}
	switch r.method {
	case http.MethodGet:
		item.Get = op
	case http.MethodPost:
		item.Post = op
	case http.MethodPut:
		item.Put = op
	case http.MethodPatch:
		item.Patch = op
	case http.MethodDelete:
		item.Delete = op
	default:
		panic("api: no place in the document for the method " + r.method)
	}
}

// orElse names the scope that will do as well.
func orElse(instead access.Scopes) string {
	if instead == 0 {
		return ""
	}
	return ", or `" + instead.String() + "` for what the key asked itself"
}

func security(r *row) []map[string][]string {
	action := r.action
	if action == access.Anyone {
		return []map[string][]string{{}}
	}
	ways := []map[string][]string{{"bearer": {}}, {"header": {}}}
	if action.ForClients() || r.doc.Basic {
		ways = append(ways, map[string][]string{"basic": {}})
	}
	if action.ForClients() {
		return ways
	}
	if access.ClientScopes.Has(action.Scope()) && action != access.RevokeSelf {
		ways = append(ways, map[string][]string{"query": {}})
	}
	return ways
}

func (a *API) describeInput(op *huma.Operation, r *row) {
	for _, p := range paramsOf(a.registry, r.doc.In) {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: p.name, In: p.in, Description: p.doc, Required: p.required, Schema: p.schema, Example: firstOf(p.schema.Examples),
		})
	}
	if r.doc.In == nil {
		return
	}
	field, ok := r.doc.In.FieldByName("Body")
	if !ok {
		return
	}
	media := &huma.MediaType{Schema: a.registry.Schema(field.Type, true, r.doc.In.Name())}
	for _, e := range r.doc.Examples {
		if media.Examples == nil {
			media.Examples = map[string]*huma.Example{}
		}
		media.Examples[e.Name] = &huma.Example{Value: json.RawMessage(e.Body)}
	}
	op.RequestBody = &huma.RequestBody{Required: field.Tag.Get("optional") == "", Content: map[string]*huma.MediaType{"application/json": media}}
	if r.doc.Form {
		op.RequestBody.Content = map[string]*huma.MediaType{formType: media}
	}
	if r.doc.File {
		media.Schema = nil // what it must be is no matter of JSON
		op.RequestBody.Content = map[string]*huma.MediaType{}
	}
	for _, name := range r.doc.Takes {
		op.RequestBody.Content[name] = &huma.MediaType{Schema: media.Schema}
	}
}

func firstOf(examples []any) any {
	if len(examples) == 0 {
		return nil
	}
	return examples[0]
}

func (a *API) describeAnswers(op *huma.Operation, r *row) {
	success := &huma.Response{Description: http.StatusText(r.status), Content: map[string]*huma.MediaType{}, Headers: headersOf(r, r.status)}
	if r.doc.Out != nil && r.doc.Out != reflect.TypeFor[nothing]() {
		success.Content["application/json"] = &huma.MediaType{Schema: a.registry.Schema(r.doc.Out, true, "Answer"), Examples: answersShown(r, r.status)}
	}
	for _, name := range r.doc.Types {
		success.Content[name] = &huma.MediaType{}
		if strings.HasPrefix(name, "text/") {
			success.Content[name].Schema = &huma.Schema{Type: "string"}
		}
	}
	op.Responses[strconv.Itoa(r.status)] = success
	for status, answer := range r.doc.Statuses {
		described := &huma.Response{Description: http.StatusText(status), Headers: headersOf(r, status)}
		switch answer {
		case reflect.TypeFor[nothing]():
		case reflect.TypeFor[part]():
			described.Content = success.Content
		default:
			described.Content = map[string]*huma.MediaType{"application/json": {Schema: a.registry.Schema(answer, true, ""), Examples: answersShown(r, status)}}
		}
		op.Responses[strconv.Itoa(status)] = described
	}
	a.describeProblems(op, r)
}

// answersShown are the examples of answers with a status.
func answersShown(r *row, status int) map[string]*huma.Example {
	shown := map[string]*huma.Example{}
	for _, e := range r.doc.Examples {
		if e.Status == status {
			shown[e.Name] = &huma.Example{Value: json.RawMessage(e.Answer)}
		}
	}
	return shown
}

// describeProblems gathers the problems of an operation under their statuses. What any address may answer at any time,
// such as a fault of the server, stands under "default".
func (a *API) describeProblems(op *huma.Operation, r *row) {
	byStatus := map[int][]problem.Row{}
	for _, code := range a.problemsOf(r) {
		status := r.as.statusOf(code)
		byStatus[status] = append(byStatus[status], code.Row())
	}
	schema := a.registry.Schema(reflect.TypeFor[Problem](), true, "")
	switch {
	case r.as.plain:
		schema = &huma.Schema{Type: huma.TypeString}
	case r.as.shape != nil:
		schema = a.registry.Schema(r.as.shape, true, "")
	}
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		var lines []string
		for _, row := range byStatus[status] {
			lines = append(lines, "`"+string(row.Code)+"`: "+row.Title+".")
		}
		media := &huma.MediaType{Schema: schema, Examples: answersShown(r, status)}
		content := map[string]*huma.MediaType{r.as.contentType(): media}
		if r.as.mute && status == http.StatusUnauthorized {
			content = nil
		}
		if r.as.page {
			content["text/html"] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
		}
		if r.iex {
			content["text/plain"] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
		}
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: strings.Join(lines, "\n"), Content: content, Headers: headersOf(r, status),
		}
	}
	op.Responses["default"] = &huma.Response{
		Description: "Any other problem: the request came too slowly (408) or under a host name that is not the server's (421), or the server is at fault (5xx).",
		Content:     map[string]*huma.MediaType{r.as.contentType(): {Schema: schema}}, Headers: headersOf(r, http.StatusServiceUnavailable),
	}
	if r.iex {
		op.Responses["default"].Content["text/plain"] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
	}
}

// problemsOf lists what a row can answer beside success.
func (a *API) problemsOf(r *row) []problem.Code {
	codes := slices.Clone(r.doc.Problems)
	if r.action != access.Anyone {
		codes = append(codes, problem.TwoCredentials, problem.MissingCredential, problem.MalformedKey, problem.KeyNotAccepted, problem.TokenNotAccepted, problem.SecretKeyInURL, problem.InvalidRequest, problem.InvalidField,
			problem.SignatureRequired, problem.SignatureInvalid, problem.CleartextCredential, problem.WrongCredential, problem.SecretKeyInBrowser, problem.KeyQuarantined, problem.NetworkNotAllowed,
			problem.DomainNotAllowed, problem.ProjectCeiling, problem.RateLimited, problem.TooManyFailures, problem.InvalidDPoPProof)
	}
	if r.action.ForClients() {
		codes = append(codes, problem.InvalidClient)
	}
	if r.action.ForMembers() {
		codes = append(codes, problem.SignInRefused)
	}
	if r.costs {
		codes = append(codes, problem.CreditsExhausted)
	}
	if r.action.SendsEvents() {
		codes = append(codes, problem.EventNotAllowed)
	}
	if r.action.Scope() != 0 {
		codes = append(codes, problem.MissingScope)
	}
	if r.action.InEnvironment() {
		codes = append(codes, problem.EnvironmentNotFound, problem.EnvironmentNotAllowed)
	}
	if r.action.Reads() {
		codes = append(codes, problem.ViewNotApplied, problem.ViewUnbound)
	}
	if r.takes {
		codes = append(codes, problem.InvalidJSON, problem.BodyTooLarge, problem.UnsupportedMediaType, problem.DigestUnsupported, problem.DigestInvalid, problem.DigestMismatched)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// pathOf is a mux pattern's path as OpenAPI writes it.
func pathOf(pattern string) string { return strings.ReplaceAll(pattern, "...}", "}") }

// title names the components of the document after our types. The parts of a metric's definition have names that others
// have too.
func title(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if name == "" {
		return ""
	}
	if t.PkgPath() == reflect.TypeFor[metric.Definition]().PkgPath() {
		name = "Metric" + name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// anyJSON is the schema of a raw JSON value.
type anyJSON struct{}

// Schema allows anything.
func (anyJSON) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

// listsAreLists takes back that every list may be null: ours never are.
func listsAreLists(registry huma.Registry) {
	for _, schema := range registry.Map() {
		for _, property := range schema.Properties {
			if property.Type == huma.TypeArray {
				property.Nullable = false
			}
		}
	}
}

// mayBeNull lets members that are objects be null: tags say so of plain values only.
func mayBeNull(registry huma.Registry, component string, members ...string) {
	properties := registry.Map()[component].Properties
	for _, member := range members {
		object := *properties[member]
		object.Description = ""
		properties[member] = &huma.Schema{Description: properties[member].Description, OneOf: []*huma.Schema{&object, {Type: "null"}}}
	}
}

// shownSchemas are the components that a document shows. The registry has more: what a body is read by may be shown as
// something else.
type shownSchemas struct {
	huma.Registry
	shown map[string]*huma.Schema
}

// MarshalJSON writes the components.
func (s shownSchemas) MarshalJSON() ([]byte, error) { return json.Marshal(s.shown) }

// written is the document as JSON, without the components that nothing in it refers to.
func written(document *huma.OpenAPI) ([]byte, error) {
	shown, err := referred(document)
	if err != nil {
		return nil, err
	}
	document.Components.Schemas = shown
	text, err := json.MarshalIndent(document, "", "  ")
	return append(text, '\n'), err
}

// reference is how one part of a document points at a component.
var reference = regexp.MustCompile(`"#/components/schemas/([^"]+)"`)

// referred are the components that the document's operations refer to, and those that these refer to in turn.
func referred(document *huma.OpenAPI) (shownSchemas, error) {
	s := shownSchemas{document.Components.Schemas, map[string]*huma.Schema{}}
	all := s.Map()
	document.Components.Schemas = s
	for left := []any{document}; len(left) > 0; left = left[1:] {
		text, err := json.Marshal(left[0])
		if err != nil {
			return s, err
		}
		for _, found := range reference.FindAllSubmatch(text, -1) {
			name := string(found[1])
			if component, ok := all[name]; ok && s.shown[name] == nil {
				s.shown[name] = component
				left = append(left, component)
			}
		}
	}
	return s, nil
}
