package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

// A conversation is a txtar file: what it protects, the keys it needs ("key NAME: DESCRIPTION", see project.key), and
// pairs of a request and its answer.
//
// A request is a method and path, headers, an empty line and a body. It is sent as it stands, byte for byte, with the
// headers a client cannot do without; a "request proxied" or "request forwarded" is sent by a proxy that is trusted. ${name} stands for a key or for something an earlier answer named.
//
// An answer is a status, headers ("Name: -" for one that must not be there), an empty line and a body. JSON is compared
// by value, other text as it is, "(nothing)" is no body at all. In texts, <kind> stands for anything of a kind, and <name=kind> names it as well;
// a string that is only <kind> stands for a JSON value of any type. A member "..." allows members that are not shown.
// Lines that begin with "# " are for the reader.
func TestConversations(t *testing.T) {
	// Promise: what is written in testdata/conversations is what a client gets, to the header and the member.
	t.Parallel()
	files, err := filepath.Glob("testdata/conversations/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("there are %d conversations (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			converse(t, file)
		})
	}
}

func converse(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	archive := txtar.Parse(remark.ReplaceAll(text, nil))
	w := open(t)
	own, other := w.project(t), w.project(t)
	names := map[string]string{"project": own.id, "organization": w.organization.ID, "host": w.site.address}
	promise := false
	for line := range strings.Lines(string(archive.Comment)) {
		promise = promise || strings.HasPrefix(line, "Promise: ")
		name, description, ok := strings.Cut(strings.TrimPrefix(line, "key "), ":")
		if !ok || !strings.HasPrefix(line, "key ") {
			continue
		}
		of := own
		if name, ok = strings.CutSuffix(name, " elsewhere"); ok {
			of = other
		}
		made := of.key(strings.TrimSpace(description))
		names[name], names[name+"_id"] = made.text, made.id
	}
	if !promise || len(archive.Files) == 0 || len(archive.Files)%2 != 0 {
		t.Fatal("a conversation has a promise, and pairs of a request and an answer")
	}
	for i := 0; i < len(archive.Files); i += 2 {
		request, answer := archive.Files[i], archive.Files[i+1]
		site := map[string]*site{"request": w.site, "request proxied": w.proxied, "request forwarded": w.forwarded}[request.Name]
		if site == nil || answer.Name != "answer" {
			t.Fatalf("pair %d is %q and %q", i/2+1, request.Name, answer.Name)
		}
		raw := rawRequest(expand(t, string(request.Data), names), site.address)
		got, body := site.exchange(t, raw)
		if err := compareAnswer(string(answer.Data), got, body, names); err != nil {
			t.Fatalf("pair %d\n%s\nanswered %d\n%v\n%s\n%v", i/2+1, request.Data, got.StatusCode, got.Header, body, err)
		}
	}
}

var remark = regexp.MustCompile(`(?m)^# .*\n`)

var variable = regexp.MustCompile(`\$\{([a-z0-9_]+)\}`)

func expand(t *testing.T, text string, names map[string]string) string {
	return variable.ReplaceAllStringFunc(text, func(v string) string {
		name := v[2 : len(v)-1]
		if names[name] == "" {
			t.Fatalf("there is no %s among %v", v, slices.Sorted(maps.Keys(names)))
		}
		return names[name]
	})
}

// rawRequest writes a request as it goes over the wire.
func rawRequest(text, host string) string {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	body = strings.TrimSuffix(body, "\n")
	lines[0] += " HTTP/1.1"
	given := strings.ToLower(head)
	if !strings.Contains(given, "\nhost:") {
		lines = append(lines, "Host: "+host)
	}
	if !strings.Contains(given, "\ncontent-length:") && !strings.Contains(given, "\ntransfer-encoding:") && body != "" {
		lines = append(lines, "Content-Length: "+strconv.Itoa(len(body)))
	}
	return strings.Join(append(lines, "Connection: close"), "\r\n") + "\r\n\r\n" + body
}

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// exchange sends bytes on a connection of their own and reads the answer.
func (s *site) exchange(t testing.TB, raw string) (*http.Response, string) {
	t.Helper()
	conn := s.dial(t)
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.WriteString(conn, raw) }() // the answer may come before all is sent
	method, _, _ := strings.Cut(raw, " ")
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("the answer broke off: %v", err)
	}
	return answer, string(body)
}

func compareAnswer(want string, got *http.Response, body string, names map[string]string) error {
	head, text, _ := strings.Cut(want, "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	if lines[0] != strconv.Itoa(got.StatusCode) {
		return fmt.Errorf("the status is not %s", lines[0])
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		values := got.Header.Values(name)
		if value == "-" && len(values) == 0 {
			continue
		}
		if err := compareText(value, strings.Join(values, "; "), names); err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	switch text = strings.TrimSpace(text); text {
	case "":
		return nil
	case "(nothing)":
		text = ""
	}
	if !strings.HasPrefix(text, "{") || strings.Contains(got.Header.Get("Content-Type"), "ndjson") {
		return compareText(text, strings.TrimSpace(strings.ReplaceAll(body, "\r\n", "\n")), names)
	}
	var wanted, answered any
	if err := json.Unmarshal([]byte(text), &wanted); err != nil {
		return fmt.Errorf("the conversation's JSON: %w", err)
	}
	if err := json.Unmarshal([]byte(body), &answered); err != nil {
		return err
	}
	return compareJSON("", wanted, answered, names)
}

func compareJSON(at string, want, got any, names map[string]string) error {
	switch want := want.(type) {
	case string:
		text, ok := got.(string)
		if !ok && kindOnly.MatchString(want) {
			raw, err := json.Marshal(got)
			if err != nil {
				return err
			}
			text, ok = string(raw), true
		}
		if !ok {
			return fmt.Errorf("%s is %v and not the text %q", at, got, want)
		}
		if err := compareText(want, text, names); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		return nil
	case map[string]any:
		return compareObject(at, want, got, names)
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("%s has %d elements and not %d", at, len(list), len(want))
		}
		for i := range want {
			if err := compareJSON(fmt.Sprintf("%s[%d]", at, i), want[i], list[i], names); err != nil {
				return err
			}
		}
		return nil
	}
	if want != got {
		return fmt.Errorf("%s is %v and not %v", at, got, want)
	}
	return nil
}

func compareObject(at string, want map[string]any, got any, names map[string]string) error {
	object, ok := got.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is %v and not an object", at, got)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if name == "..." {
			continue
		}
		value, there := object[name]
		if !there {
			return fmt.Errorf("%s.%s is not there", at, name)
		}
		if err := compareJSON(at+"."+name, want[name], value, names); err != nil {
			return err
		}
	}
	if _, more := want["..."]; more {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if _, shown := want[name]; !shown {
			return fmt.Errorf("%s.%s is there and not shown", at, name)
		}
	}
	return nil
}

// kinds are what a placeholder may stand for.
var kinds = map[string]string{
	"any":      `(?s:.*)`,
	"text":     `(?s:.+)`,
	"uuid":     `[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`,
	"time":     `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z`,
	"key_id":   `key_[0-9A-Za-z]{12}`,
	"public":   `pk_(?:live|test)_[0-9A-Za-z]{45}`,
	"secret":   `sk_(?:live|test)_[0-9A-Za-z]{45}`,
	"job":      `job_[0-9A-Z]+`,
	"request":  `req_[0-9A-Z]{20}`,
	"query":    `qry_[0-9A-Z]{20}`,
	"decision": `dec_[0-9A-Z]{20}`,
	"number":   `-?[0-9.]+(?:e[+-]?\d+)?`,
	"four":     `[0-9A-Za-z]{4}`,
	"member":   `mem_[0-9A-Z]{16}`,
	"invite":   `inv_[0-9A-Z]{16}`,
	"invited":  `wi_[0-9A-Z]{16}_[0-9a-f]{40}`,
	"refresh":  `ws_[0-9A-Z]{16}_[0-9a-f]{40}`,
	"jwt":      `eyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+`,
	"prj":      `prj_[0-9A-Z]{16}`,
	"org":      `org_[0-9A-Z]{16}`,
	"date":     `[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT`,
	"seconds":  `\d+`,
	"address":  `198\.1[89]\.\d+\.\d+`,
}

var (
	placeholder = regexp.MustCompile(`<(?:([a-z0-9_]+)=)?([a-z_]+)>`)
	kindOnly    = regexp.MustCompile(`^<(?:[a-z0-9_]+=)?[a-z_]+>$`)
)

// compareText compares a text with one that may have placeholders, and keeps what the named ones stood for.
func compareText(want, got string, names map[string]string) error {
	want = variable.ReplaceAllStringFunc(want, func(v string) string { return names[v[2:len(v)-1]] })
	var pattern bytes.Buffer
	pattern.WriteString("^")
	end := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(want, -1) {
		kind, known := kinds[want[m[4]:m[5]]]
		if !known {
			continue // such as a tag of HTML
		}
		pattern.WriteString(regexp.QuoteMeta(want[end:m[0]]))
		if m[2] >= 0 {
			kind = "(?P<" + want[m[2]:m[3]] + ">" + kind + ")"
		}
		pattern.WriteString(kind)
		end = m[1]
	}
	pattern.WriteString(regexp.QuoteMeta(want[end:]) + "$")
	expression, err := regexp.Compile(pattern.String())
	if err != nil {
		return err
	}
	found := expression.FindStringSubmatch(got)
	if found == nil {
		return fmt.Errorf("%q is not %q", got, want)
	}
	for i, name := range expression.SubexpNames() {
		if name != "" {
			names[name] = found[i]
		}
	}
	return nil
}
