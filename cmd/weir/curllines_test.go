package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
)

// lineRun runs the lines of a file of curl commands against a server, in their order.
type lineRun struct {
	*running
	words  []string          // pairs: a word of the file, and what takes its place
	keep   map[string]string // the members of the next answer to keep, by the words that they take the place of
	status string            // wanted: such as 204, or 2xx for all of them
	text   string            // wanted somewhere in the body
	later  string            // why the next command is not served yet; empty: it is
}

// Promise: the command lines of the other systems' documentation work as they stand, with their host and key changed, and
// what it says of keys holds here. What is not served yet is a problem that says so.
func TestCommandLinesOfOtherSystems(t *testing.T) {
	text, err := os.ReadFile("testdata/curl.txt")
	if err != nil {
		t.Fatal(err)
	}
	r := install(t).serve()
	run := lineRun{running: r, keep: map[string]string{}, words: []string{
		"YOUR_API_KEY", r.public, "SECRET_KEY", r.secret, "SECRET_ID", "key_" + r.secret[len("sk_live_"):][:12],
	}}
	sent := 0
	for i, line := range strings.Split(string(text), "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "", "#":
		case "want":
			run.status, run.text, _ = strings.Cut(rest, " ")
			run.later = ""
		case "later":
			run.status, run.later, _ = strings.Cut(rest, " ")
			run.text = ""
		case "keep":
			word, member, _ := strings.Cut(rest, " ")
			run.keep[word] = member
		case "curl":
			sent++
			run.send(i+1, line)
		default:
			t.Fatalf("line %d begins with %s", i+1, verb)
		}
	}
	if sent < 80 {
		t.Errorf("%d commands are few", sent)
	}
}

// send sends what a command says, and compares the answer with what is wanted of it.
func (r *lineRun) send(at int, line string) {
	r.t.Helper()
	c, err := parseCurl(strings.NewReplacer(r.words...).Replace(line))
	if err != nil {
		r.t.Fatalf("line %d: %v", at, err)
	}
	here, err := url.Parse(r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	c.url.Scheme, c.url.Host = here.Scheme, here.Host
	q, err := http.NewRequestWithContext(r.t.Context(), c.method, c.url.String(), strings.NewReader(c.body))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header = c.header
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	status := strconv.Itoa(answer.StatusCode)
	kind := status[:1] + "xx"
	switch {
	case err != nil:
		r.t.Errorf("line %d: %v", at, err)
	case status != r.status && kind != r.status && r.later != "":
		r.t.Errorf("line %d answers %s: if it is no longer so that %s, say here what it answers\n%s\n%s", at, status, r.later, line, body)
	case status != r.status && kind != r.status, !strings.Contains(string(body), r.text):
		r.t.Errorf("line %d answers %s and not %s %s\n%s\n%s", at, status, r.status, r.text, line, body)
	case r.later != "" && answer.Header.Get("Content-Type") != "application/problem+json":
		r.t.Errorf("line %d is refused by no problem: %s", at, body)
	}
	r.take(at, body)
}

// take keeps the members of an answer that are wanted later.
func (r *lineRun) take(at int, body []byte) {
	r.t.Helper()
	if len(r.keep) == 0 {
		return
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		r.t.Fatalf("line %d: %v", at, err)
	}
	for word, member := range r.keep {
		value, ok := members[member].(string)
		if !ok {
			r.t.Fatalf("line %d: no %s in %s", at, member, body)
		}
		r.words = append(r.words, word, value)
	}
	clear(r.keep)
}

// Promise: the first commands of the documentation of workflows work as they are pasted, and record the event.
func TestFirstWorkflowOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/workflows.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```sh\n")
	block, _, _ = strings.Cut(block, "\n```")
	r := install(t).serve()
	for i, command := range strings.Split(block, "\ncurl ") {
		run := lineRun{running: r, keep: map[string]string{}, words: []string{"$SECRET", r.secret, "\n", " "}, status: "20" + strconv.Itoa(i+1)}
		run.send(i+1, "curl "+strings.TrimPrefix(command, "curl "))
	}
	const question = `SELECT distinct_id, properties->>'text' AS text FROM events WHERE event = 'Order Paid'`
	await(t, "the event", func() bool { return len(r.ask(question)) == 1 })
	if row := r.ask(question)[0]; row[0] != "u_1" || row[1] != "Paid by u_1: 12.5" {
		t.Errorf("it is recorded as %v", row)
	}
}
