package event_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: bodies are read as testdata/read/*.txtar says. A section is a kind and a title, the body, a line =>, and a
// line for each item: what was read, or the problem. Bodies refused whole have one line.
func TestReadBatch(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/read/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range archive.Files {
			t.Run(filepath.Base(file)+"/"+section.Name, func(t *testing.T) {
				kind, _, titled := strings.Cut(section.Name, ": ")
				body, want, parted := strings.Cut("\n"+string(section.Data), "\n=>\n")
				if !titled || !parted {
					t.Fatal("the section is not KIND: TITLE, or has no =>")
				}
				if got := describe([]byte(strings.TrimPrefix(body, "\n")), kind); got != strings.TrimSpace(want) {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

// describe says in a line for each item what ReadBatch makes of a body.
func describe(body []byte, kind string) string {
	kinds := map[string]event.Kind{"track": event.Track, "identify": event.Identify, "alias": event.Alias}
	batch, err := event.ReadBatch(body, event.Shape{Kind: kinds[kind], Source: "test"})
	if err != nil {
		p := problem.From(err)
		return fmt.Sprintf("whole %s %s", p.Code, p.Detail)
	}
	lines := make([]string, len(batch.Items))
	for i, item := range batch.Items {
		if lines[i] = describeEvent(item.Event); item.Problem != nil {
			lines[i] = describeProblem(item.Problem)
		}
	}
	return strings.Join(lines, "\n")
}

func describeEvent(e event.Event) string {
	words := []string{e.Kind.String()}
	if e.Name != "" {
		words = append(words, fmt.Sprintf("%q", e.Name))
	}
	say := func(name, value string) {
		if value != "" {
			words = append(words, fmt.Sprintf("%s %q", name, value))
		}
	}
	say("environment", e.Environment)
	if !e.Timestamp.IsZero() {
		words = append(words, "at "+e.Timestamp.Format(time.RFC3339Nano))
	}
	say("distinct_id", e.DistinctID)
	say("anonymous_id", e.AnonymousID)
	say("device_id", e.DeviceID)
	say("session_id", e.SessionID)
	say("new_user_id", e.NewUserID)
	say("id", e.ID)
	if e.OwnID != (e.ID != "") {
		words = append(words, "OwnID is wrong")
	}
	if e.Properties != nil {
		words = append(words, "properties "+string(e.Properties))
	}
	return strings.Join(words, " ")
}

func describeProblem(p *problem.Error) string {
	fields := make([]string, len(p.Fields))
	for i, f := range p.Fields {
		fields[i] = f.Name + ": " + f.Detail
	}
	if len(fields) == 0 {
		fields = []string{p.Detail}
	}
	return fmt.Sprintf("%s %s", p.Code, strings.Join(fields, " | "))
}

// Promise: bytes that are not UTF-8 are refused whole, wherever they stand and whether we would have kept them or not.
func TestReadBatchRefusesInvalidUTF8(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"{\"event\":\"a\xff\"}":                             "byte 11 (line 1, column 12)",
		"{\"event\":\"a\",\n\"properties\":{\"é\xc3\":1}}":  "byte 31 (line 2, column 17)",
		"{\"event\":\"a\",\"unknown\":[\"\xed\xa0\x80\"]}":  "byte 25 (line 1, column 26)", // half a surrogate pair
		"{\"event\":\"a\",\"\xc0\xaf\":1}":                  "byte 14 (line 1, column 15)", // an overlong slash
		"[null,{\"event\":\"\xf4\x90\x80\x80\"}]":           "byte 16 (line 1, column 17)", // beyond U+10FFFF
		"{\"event\":\"a\",\"properties\":{\"x\":\"\xe2\x82": "it ends in the middle at byte 34",
	} {
		if got := describe([]byte(body), "track"); !strings.HasPrefix(got, "whole invalid_json") || !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %s", body, got, want)
		}
	}
}

// Promise: each limit holds exactly: what is at it is accepted, one more is refused, and only the item that is over it.
func TestReadBatchLimits(t *testing.T) {
	t.Parallel()
	track := func(member string, value string) string { return fmt.Sprintf(`{"event":"e",%q:%s}`, member, value) }
	text := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	for name, c := range map[string]struct {
		build func(int) string
		limit int
		want  string
	}{
		"bytes of an event": {func(n int) string {
			return `{"event":"e","ignored":"` + strings.Repeat("x", n-26) + `"}`
		}, event.MaxEventBytes, "event_too_large The event is 32769 bytes of JSON; at most 32768 are accepted."},
		"bytes of an event, white space too": {func(n int) string {
			return `{"event":"e"` + strings.Repeat(" ", n-13) + `}`
		}, event.MaxEventBytes, "event_too_large The event is 32769 bytes of JSON; at most 32768 are accepted."},
		"name":           {func(n int) string { return `{"event":` + text(n) + `}` }, event.MaxNameBytes, "event: must be at most 256 bytes long, is 257"},
		"name as alias":  {func(n int) string { return `{"name":` + text(n) + `}` }, event.MaxNameBytes, "name: must be at most 256 bytes long, is 257"},
		"name in bytes":  {func(n int) string { return `{"event":"` + strings.Repeat("é", n/2) + strings.Repeat("x", n%2) + `"}` }, event.MaxNameBytes, "is 257"},
		"name unescaped": {func(n int) string { return `{"event":"` + strings.Repeat(`\u0041`, n) + `"}` }, event.MaxNameBytes, "is 257"},
		"environment":    {func(n int) string { return track("environment", text(n)) }, event.MaxIDBytes, "environment: must be at most 200 bytes long, is 201"},
		"distinct_id":    {func(n int) string { return track("distinct_id", text(n)) }, event.MaxIDBytes, "distinct_id: must be at most 200 bytes long, is 201"},
		"anonymous_id":   {func(n int) string { return track("anonymous_id", text(n)) }, event.MaxIDBytes, "anonymous_id: must be at most 200 bytes long, is 201"},
		"device_id":      {func(n int) string { return track("device_id", text(n)) }, event.MaxIDBytes, "device_id: must be at most 200 bytes long, is 201"},
		"session_id":     {func(n int) string { return track("session_id", text(n)) }, event.MaxIDBytes, "session_id: must be at most 200 bytes long, is 201"},
		"event_id":       {func(n int) string { return track("event_id", text(n)) }, event.MaxIDBytes, "event_id: must be at most 200 bytes long, is 201"},
		"numeric id":     {func(n int) string { return track("distinct_id", strings.Repeat("9", n)) }, event.MaxIDBytes, "distinct_id: must be at most 200 bytes long, is 201"},
		"depth":          {func(n int) string { return track("properties", strings.Repeat(`{"a":`, n)+"1"+strings.Repeat("}", n)) }, event.MaxDepth, "properties: is nested 33 deep, at most 32 is accepted"},
		"depth of arrays": {func(n int) string {
			return track("properties", `{"a":`+strings.Repeat("[", n-1)+strings.Repeat("]", n-1)+`}`)
		}, event.MaxDepth, "is nested 33 deep"},
		"members":  {func(n int) string { return track("properties", object(n)) }, event.MaxMembers, "properties: has 1001 members, at most 1000 are accepted"},
		"elements": {func(n int) string { return track("properties", `{"a":[1`+strings.Repeat(",1", n-2)+`]}`) }, event.MaxMembers, "has 1001 members"},
		"members at all depths": {func(n int) string {
			return track("properties", `{"a":`+object(400)+`,"b":[`+object(300)+`,{},[],`+object(n-706)+`]}`)
		}, event.MaxMembers, "has 1001 members"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := describe([]byte(c.build(c.limit)), "track"); !strings.HasPrefix(got, "track ") {
				t.Errorf("at the limit: %.200s", got)
			}
			if got := describe([]byte(c.build(c.limit+1)), "track"); !strings.Contains(got, c.want) || !strings.Contains(got, "invalid_field") && !strings.Contains(got, "too_large") {
				t.Errorf("over the limit: %.200s", got)
			}
			batch := "[" + c.build(c.limit+1) + " , \n" + c.build(c.limit) + "\t,{\"event\":\"e\"}]"
			lines := strings.Split(describe([]byte(batch), "track"), "\n")
			if len(lines) != 3 || !strings.Contains(lines[0], c.want) || !strings.HasPrefix(lines[1], "track ") || lines[2] != `track "e"` {
				t.Errorf("in a batch: %.200q", lines)
			}
		})
	}
}

// object is a JSON object of n members.
func object(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// Promise: a batch has at most 1,000 items, bad ones counted, and one more refuses it whole before the rest is read.
func TestReadBatchCountsItems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, item, after string }{
		"array":   {"[", `{"event":"e"}`, "]"},
		"nulls":   {"[", "null", "]"},
		"wrapper": {`{"events":[`, `{"event":"e"}`, "]}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			build := func(n int) []byte {
				return []byte(c.before + strings.Repeat(c.item+",", n-1) + c.item + c.after)
			}
			batch, err := event.ReadBatch(build(event.MaxItems), track)
			if err != nil || len(batch.Items) != 1000 {
				t.Fatalf("1,000 items: %d, %v", len(batch.Items), err)
			}
			_, err = event.ReadBatch(append(build(event.MaxItems), '}'), track)
			if problem.Of(err) != problem.InvalidJSON {
				t.Fatalf("1,000 items and more text: %v", err)
			}
			_, err = event.ReadBatch(bytes.TrimSuffix(build(event.MaxItems), []byte(c.after)), track)
			if problem.Of(err) != problem.InvalidJSON {
				t.Fatalf("1,000 items, cut off: %v", err)
			}
			_, err = event.ReadBatch(build(event.MaxItems+1), track)
			if p := problem.From(err); p.Code != problem.TooManyItems || p.Status() != 413 || p.Detail != "A batch may have at most 1000 items." {
				t.Fatalf("1,001 items: %v", err)
			}
		})
	}
}

// Promise: a body nested too deep for the JSON reader is a bad body, and not a fault of ours.
func TestReadBatchSurvivesDepth(t *testing.T) {
	t.Parallel()
	for _, body := range []string{strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000), `{"event":"e","x":` + strings.Repeat("[", 100_000)} {
		if _, err := event.ReadBatch([]byte(body), track); problem.Of(err) != problem.InvalidJSON {
			t.Errorf("%.20s…: %v", body, err)
		}
	}
	deep := `{"event":"e","ignored":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`
	if got := describe([]byte(deep), "track"); got != `track "e"` {
		t.Errorf("depth in an unknown member: %.200s", got)
	}
}

// Promise: a batch keeps nothing of the body, whose memory is used again for the next request.
func TestReadBatchCopies(t *testing.T) {
	t.Parallel()
	body := []byte(typical)
	batch, err := event.ReadBatch(body, track)
	if err != nil {
		t.Fatal(err)
	}
	before := describeEvent(batch.Items[0].Event)
	clear(body)
	if after := describeEvent(batch.Items[0].Event); after != before {
		t.Errorf("the event changed with the body:\n%s\n%s", before, after)
	}
}

// Promise: the gate is asked about the good items and only those, and a batch without one answers with its first problem.
func TestTargetsAndFirstProblem(t *testing.T) {
	t.Parallel()
	batch, err := event.ReadBatch([]byte(`[{"event":3},{"event":"a","environment":"staging"},null,{"event":"b"}]`), track)
	if err != nil {
		t.Fatal(err)
	}
	if got := batch.Targets(); !slices.Equal(got, []access.Target{{Environment: "staging", Event: "a"}, {Event: "b"}}) {
		t.Errorf("Targets = %v", got)
	}
	if err := batch.FirstProblem(); err != nil {
		t.Errorf("FirstProblem with good items = %v", err)
	}
	batch, err = event.ReadBatch([]byte(`[{"event":3},null]`), track)
	if err != nil {
		t.Fatal(err)
	}
	if p := problem.From(batch.FirstProblem()); p != batch.Items[0].Problem || p.Status() != 422 {
		t.Errorf("FirstProblem = %v", p)
	}
	if got := batch.Targets(); len(got) != 0 {
		t.Errorf("Targets of bad items = %v", got)
	}
}
