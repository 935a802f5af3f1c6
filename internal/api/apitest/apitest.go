// Package apitest holds HTTP traffic to an OpenAPI document: every answer of a handler, and every request that the
// handler took, must be as the document says.
//
//	contract, err := apitest.Load(document)       // of api.OpenAPI()
//	handler := contract.Wrap(api)                 // use it in tests
//	contract.Faults(), contract.Unseen()          // at the end: what was not as documented, and what never happened
//
// It does not know what the right answer to a request is: that is for the tests themselves.
package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	documentURL = "https://openapi.example/openapi.json"
	problemType = "application/problem+json"
)

// Contract is a document and what was observed of it. Its methods may be called from many goroutines.
type Contract struct {
	operations []*operation
	problem    *jsonschema.Schema

	mu     sync.Mutex
	seen   map[string]int // by operation and status
	faults []string
}

// Operation is one method of one path, as the document names it.
type Operation struct {
	ID, Method, Path string
	Action           string // x-weir-action
	Statuses         []int
	Body             bool // it takes one
	Examples         []Example
}

// Example is an example of the document: a request's body and, where the document shows one under the same name, the
// answer and its status.
type Example struct {
	Name   string
	Body   json.RawMessage
	Status int
	Answer json.RawMessage
}

type operation struct {
	Operation
	slash      bool     // the address with a slash at its end is the same one
	also       []string // other addresses that are the same one
	parameters []parameter
	body       map[string]*jsonschema.Schema // by content type; nil: no body
	required   bool                          // the body
	answers    map[string]answer             // by status, or "default"
}

type parameter struct {
	Name     string `json:"name"`
	In       string `json:"in"`
	Required bool   `json:"required"`
	Schema   struct {
		Type any `json:"type"`
	} `json:"schema"`
	schema *jsonschema.Schema
}

type answer struct {
	description string
	headers     map[string]bool // those it may have, and whether it must
	content     map[string]*jsonschema.Schema
}

// The parts of a document that are read here.
type (
	document struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	operationText struct {
		ID          string      `json:"operationId"`
		Action      string      `json:"x-weir-action"`
		Slash       bool        `json:"x-weir-slash"`
		Also        []string    `json:"x-weir-also"`
		Parameters  []parameter `json:"parameters"`
		RequestBody struct {
			Required bool             `json:"required"`
			Content  map[string]media `json:"content"`
		} `json:"requestBody"`
		Responses map[string]struct {
			Description string            `json:"description"`
			Headers     map[string]header `json:"headers"`
			Content     map[string]media  `json:"content"`
		} `json:"responses"`
	}
	header struct {
		Required bool `json:"required"`
	}
	media struct {
		Schema   json.RawMessage `json:"schema"`
		Examples map[string]struct {
			Value json.RawMessage `json:"value"`
		} `json:"examples"`
	}
)

// Load reads a document. It fails when the document is not OpenAPI 3.1 or a schema in it is not one.
func Load(text []byte) (*Contract, error) {
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		return nil, fmt.Errorf("apitest: the document is OpenAPI %q and not 3.1", doc.OpenAPI)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(documentURL, tree); err != nil {
		return nil, err
	}
	c := &Contract{seen: map[string]int{}}
	if c.problem, err = compiler.Compile(documentURL + "#/components/schemas/Problem"); err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			op, err := load(compiler, path, method, doc.Paths[path][method])
			if err != nil {
				return nil, fmt.Errorf("apitest: %s %s: %w", method, path, err)
			}
			c.operations = append(c.operations, op)
		}
	}
	return c, nil
}

func load(compiler *jsonschema.Compiler, path, method string, raw json.RawMessage) (*operation, error) {
	var text operationText
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, err
	}
	at := documentURL + "#/paths/" + escape(path) + "/" + method
	op := &operation{
		Operation: Operation{ID: text.ID, Method: strings.ToUpper(method), Path: path, Action: text.Action}, slash: text.Slash, also: text.Also,
		parameters: text.Parameters, required: text.RequestBody.Required, answers: map[string]answer{},
	}
	var err error
	for i := range op.parameters {
		if op.parameters[i].schema, err = compiler.Compile(at + "/parameters/" + strconv.Itoa(i) + "/schema"); err != nil {
			return nil, err
		}
	}
	if op.body, err = contents(compiler, at+"/requestBody/content/", text.RequestBody.Content); err != nil {
		return nil, err
	}
	for status, response := range text.Responses {
		a := answer{description: response.Description, headers: map[string]bool{}}
		for name, h := range response.Headers {
			a.headers[http.CanonicalHeaderKey(name)] = h.Required
		}
		if a.content, err = contents(compiler, at+"/responses/"+status+"/content/", response.Content); err != nil {
			return nil, err
		}
		op.answers[status] = a
		if code, err := strconv.Atoi(status); err == nil {
			op.Statuses = append(op.Statuses, code)
		}
	}
	slices.Sort(op.Statuses)
	op.Examples, op.Body = examples(text), len(op.body) > 0
	return op, nil
}

func contents(compiler *jsonschema.Compiler, at string, all map[string]media) (map[string]*jsonschema.Schema, error) {
	schemas := map[string]*jsonschema.Schema{}
	for kind, m := range all {
		schemas[kind] = nil
		if m.Schema == nil {
			continue
		}
		schema, err := compiler.Compile(at + escape(kind) + "/schema")
		if err != nil {
			return nil, err
		}
		schemas[kind] = schema
	}
	return schemas, nil
}

// examples pairs the requests' examples with the answers' of the same name.
func examples(text operationText) []Example {
	var all []Example
	bodies := text.RequestBody.Content["application/json"].Examples
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		e := Example{Name: name, Body: bodies[name].Value}
		for _, status := range slices.Sorted(maps.Keys(text.Responses)) {
			for _, m := range text.Responses[status].Content {
				if shown, ok := m.Examples[name]; ok {
					e.Answer = shown.Value
					e.Status, _ = strconv.Atoi(status)
				}
			}
		}
		all = append(all, e)
	}
	return all
}

// escape writes a name as one step of a JSON pointer in a URL's fragment.
func escape(name string) string {
	return url.PathEscape(strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"))
}

// Operations lists the operations of the document, by path and method.
func (c *Contract) Operations() []Operation {
	all := make([]Operation, len(c.operations))
	for i, op := range c.operations {
		all[i] = op.Operation
	}
	return all
}

// Seen is how many answers were checked.
func (c *Contract) Seen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, count := range c.seen {
		n += count
	}
	return n
}

// Unseen lists the documented statuses that no answer had.
func (c *Contract) Unseen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var unseen []string
	for _, op := range c.operations {
		for _, status := range op.Statuses {
			if name := fmt.Sprintf("%s %s %d", op.Method, op.Path, status); c.seen[name] == 0 {
				unseen = append(unseen, name)
			}
		}
	}
	return unseen
}

// Faults lists what was not as documented, each once.
func (c *Contract) Faults() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.faults)
}

func (c *Contract) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.faults, text) {
		c.faults = append(c.faults, text)
	}
}

// find is the operation that a request is for.
func (c *Contract) find(method, sent string) *operation {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var best *operation
	for _, op := range c.operations {
		path := sent
		if op.slash {
			path = strings.TrimSuffix(path, "/")
		}
		if op.Method == method && op.at(path) && (best == nil || strings.Contains(best.Path, "{")) {
			best = op
		}
	}
	return best
}

// at reports whether a path is one of the operation's.
func (op *operation) at(path string) bool {
	return matches(op.Path, path) || slices.ContainsFunc(op.also, func(also string) bool { return matches(also, path) })
}

// matches compares a path with a template. A parameter stands for one step.
func matches(template, path string) bool {
	steps, given := strings.Split(template, "/"), strings.Split(path, "/")
	if len(steps) != len(given) {
		return false
	}
	for i, step := range steps {
		if step != given[i] && !strings.HasPrefix(step, "{") {
			return false
		}
	}
	return true
}
