package apitest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weir-analytics/weir/internal/problem"
)

// most is how much of a body is kept for checking.
const most = 1 << 20

// Exchange is one request and its answer, as they were.
type Exchange struct {
	Request  *http.Request
	Status   int
	Header   http.Header // of the answer
	Sent     []byte      // the request's body, as far as it was read
	Answered []byte
}

// Wrap puts a handler under the contract. Each of watch is shown every exchange, when it has ended.
func (c *Contract) Wrap(h http.Handler, watch ...func(Exchange)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var sent copied
		r = r.WithContext(r.Context()) // the server looks at its own request's body when it is answered
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.TeeReader(r.Body, &sent), r.Body}
		}
		tape := &recorder{ResponseWriter: w}
		broken := true
		defer func() {
			if tape.status == 0 {
				return // the connection was broken off, or taken over
			}
			e := Exchange{Request: r, Status: tape.status, Header: tape.header, Sent: sent.Bytes(), Answered: tape.body.Bytes()}
			partial := broken || sent.over || tape.body.over
			if encoding := tape.header.Get("Content-Encoding"); encoding != "" && !partial && r.Method != http.MethodHead {
				var err error
				if e.Answered, err = unpacked(encoding, e.Answered); err != nil {
					c.fault("%s %s answered something that is not %s: %v", r.Method, r.URL.Path, encoding, err)
				}
			}
			c.check(e, partial)
			for _, see := range watch {
				see(e)
			}
		}()
		h.ServeHTTP(tape, r)
		broken = false
	})
}

// unpacked undoes a Content-Encoding.
func unpacked(encoding string, body []byte) ([]byte, error) {
	if encoding == "zstd" {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		return d.DecodeAll(body, nil)
	}
	d, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(d)
}

// copied keeps the first bytes of what is written to it.
type copied struct {
	bytes.Buffer
	over bool
}

// Write takes everything and keeps what there is room for.
func (c *copied) Write(b []byte) (int, error) {
	if room := most - c.Len(); len(b) > room {
		c.over = true
		c.Buffer.Write(b[:room])
	} else {
		c.Buffer.Write(b)
	}
	return len(b), nil
}

type recorder struct {
	http.ResponseWriter
	status int
	header http.Header
	body   copied
}

func (t *recorder) WriteHeader(status int) {
	if t.status == 0 {
		t.status, t.header = status, t.Header().Clone()
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *recorder) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.WriteHeader(http.StatusOK)
	}
	_, _ = t.body.Write(b)
	return t.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (t *recorder) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// check compares an exchange with the document. Of a partial one the bodies are not compared.
func (c *Contract) check(e Exchange, partial bool) {
	op := c.find(e.Request.Method, e.Request.URL.EscapedPath())
	if one, ok := strings.CutPrefix(e.Request.URL.EscapedPath(), "//"); ok && op == nil && e.Status != http.StatusNotFound {
		op = c.find(e.Request.Method, "/"+one) // a slash too many: what is taken so is answered as without it
	}
	if op == nil {
		c.checkStranger(e, partial)
		return
	}
	name := op.Method + " " + op.Path
	c.mu.Lock()
	c.seen[fmt.Sprintf("%s %d", name, e.Status)]++
	c.mu.Unlock()
	for _, what := range op.faults(e, partial) {
		c.fault("%s answered %d: %s", name, e.Status, what)
	}
	if e.Status < 300 && !partial {
		for _, what := range op.requestFaults(e) {
			c.fault("%s took a request that is not as documented: %s", name, what)
		}
	}
}

// checkStranger checks the answer to a request that is for none of the operations.
func (c *Contract) checkStranger(e Exchange, partial bool) {
	name := e.Request.Method + " outside the document"
	switch {
	case e.Request.Method == http.MethodOptions && e.Status == http.StatusNoContent:
	case e.Status < 300:
		c.fault("%s answered %d at %s", name, e.Status, e.Request.URL.Path)
	case e.Status == http.StatusNotFound && e.Request.URL.Query().Has("token") && e.Header.Get("Weir-Problem") == "not_found": // as IEX Cloud's clients know it
	case e.Status == http.StatusMethodNotAllowed && underVersion(e.Request.URL.Path) && e.Header.Get("Weir-Problem") == "method_not_allowed": // likewise
	case mediaOf(e.Header) != problemType:
		c.fault("%s answered %d as %s", name, e.Status, mediaOf(e.Header))
	case e.Request.Method != http.MethodHead && !partial:
		if err := validate(c.problem, e.Answered); err != nil && !strings.Contains(string(e.Answered), `"task_id"`) {
			c.fault("%s answered %d: %v", name, e.Status, err)
		}
		if err := catalogued(e, ""); err != nil {
			c.fault("%s answered %d: %v", name, e.Status, err)
		}
	}
}

// underVersion reports whether clients of IEX Cloud may mean an address: it is under a version of theirs.
func underVersion(path string) bool {
	return strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/stable/") || strings.HasPrefix(path, "/beta/")
}

// ofNote are the headers that a success has only where the document says so.
var ofNote = [...]string{
	"Accept-Signature", "Deprecation", "Etag", "Ratelimit", "Ratelimit-Fallback", "Ratelimit-Policy", "Retry-After", "Sunset", "Want-Content-Digest",
	"Weir-Warning", "Www-Authenticate", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset",
}

// anywhere reports whether a status may come without being documented for the operation: it is about the connection,
// the host or the server.
func anywhere(status int) bool {
	return status >= 500 || status == http.StatusRequestTimeout || status == http.StatusMisdirectedRequest
}

func (op *operation) faults(e Exchange, partial bool) []string {
	a, documented := op.answers[strconv.Itoa(e.Status)]
	if !documented && anywhere(e.Status) {
		a = op.answers["default"]
	} else if !documented {
		return []string{"the status is not documented: " + clip(e.Answered)}
	}
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(a.headers)) {
		if a.headers[name] && e.Header.Get(name) == "" {
			faults = append(faults, "the documented header "+name+" is missing")
		}
	}
	for _, name := range ofNote {
		if _, known := a.headers[name]; !known && e.Header.Get(name) != "" && e.Status < 300 && op.Action != "anyone" {
			faults = append(faults, "the header "+name+" is not documented")
		}
	}
	kind := mediaOf(e.Header)
	schema, known := a.content[kind]
	switch {
	case len(a.content) == 0:
		if len(e.Answered) > 0 {
			faults = append(faults, "there is a body, and none is documented")
		}
		return faults
	case !known:
		return append(faults, fmt.Sprintf("the content type %q is not documented", kind))
	case partial || e.Request.Method == http.MethodHead || kind != problemType && kind != "application/json":
		return faults
	}
	if err := validate(schema, e.Answered); err != nil {
		faults = append(faults, fmt.Sprintf("the body is not as documented: %v in %s", err, clip(e.Answered)))
	}
	if kind == problemType {
		described := a.description
		if !documented {
			described = ""
		}
		if err := catalogued(e, described); err != nil {
			faults = append(faults, err.Error())
		}
	}
	return faults
}

// catalogued checks that a problem is one of the catalogue's, with its status, and that the document names its code
// among those of the status. An empty description names none.
func catalogued(e Exchange, description string) error {
	var body struct {
		Code   problem.Code `json:"code"`
		Status int          `json:"status"`
		Title  string       `json:"title"`
		Type   string       `json:"type"`
	}
	if err := json.Unmarshal(e.Answered, &body); err != nil {
		return err
	}
	row := body.Code.Row()
	switch {
	case row.Code != body.Code || row.Status != e.Status || body.Status != e.Status || body.Title != row.Title:
		return fmt.Errorf("the problem %q is not the catalogue's", body.Code)
	case !strings.HasSuffix(body.Type, body.Code.Type("/problems/")):
		return fmt.Errorf("the type %q is not registered, nor does it lead to the problem's page", body.Type)
	case description != "" && !strings.Contains(description, "`"+string(body.Code)+"`"):
		return fmt.Errorf("the problem %q is not documented for the status", body.Code)
	}
	return nil
}

// requestFaults compares a request that was taken with what the document says may be sent. Parameters that the document
// does not name are passed over: some operations take no offence at them.
func (op *operation) requestFaults(e Exchange) []string {
	var faults []string
	query := e.Request.URL.Query()
	for _, p := range op.parameters {
		if p.In != "query" {
			continue
		}
		given := query[p.Name]
		if len(given) == 0 {
			if p.Required {
				faults = append(faults, "the parameter "+p.Name+" is missing")
			}
			continue
		}
		if err := p.schema.Validate(p.value(given[0])); err != nil {
			faults = append(faults, fmt.Sprintf("the parameter %s: %v", p.Name, err))
		}
	}
	if len(op.body) == 0 || !op.required && len(e.Sent) == 0 || e.Request.Header.Get("Content-Encoding") != "" || bytes.HasPrefix(e.Sent, []byte{0x1f, 0x8b}) {
		return faults
	}
	kind := mediaOf(e.Request.Header)
	if kind == "" {
		kind = "application/json"
	}
	schema, known := op.body[kind]
	if known && kind == "application/x-www-form-urlencoded" {
		return faults // the schema names its parameters, all of them texts
	}
	if !known {
		return append(faults, fmt.Sprintf("the content type is %q and not one of %v", kind, slices.Sorted(maps.Keys(op.body))))
	}
	if schema == nil {
		return faults // it is a file
	}
	if err := validate(schema, e.Sent); err != nil && !strings.Contains(string(e.Answered), `"rejected":[{`) {
		faults = append(faults, fmt.Sprintf("the body: %v in %s", err, clip(e.Sent)))
	}
	return faults
}

// value is a parameter's text as the JSON value it stands for.
func (p *parameter) value(text string) any {
	switch p.Schema.Type {
	case "integer", "number":
		return json.Number(text)
	case "boolean":
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	}
	return text
}

func validate(schema *jsonschema.Schema, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil || schema == nil {
		return err
	}
	return schema.Validate(value)
}

func mediaOf(h http.Header) string {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind
}

func clip(text []byte) string {
	if len(text) > 400 {
		return string(text[:400]) + "…"
	}
	return string(text)
}
