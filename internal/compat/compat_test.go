package compat_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// readers are all there are, by the names that the examples use.
var readers = map[string]compat.Reader{
	"userflux event": compat.UserFluxEvents(false), "userflux batch": compat.UserFluxEvents(true), "userflux profile": compat.UserFluxProfiles(),
	"composite": compat.CompositeEvents(), "segment batch": compat.SegmentBatch(),
	"segment track": compat.SegmentCalls("track"), "segment identify": compat.SegmentCalls("identify"), "segment alias": compat.SegmentCalls("alias"),
	"segment page": compat.SegmentCalls("page"), "segment screen": compat.SegmentCalls("screen"), "segment group": compat.SegmentCalls("group"),
}

// Promise: what testdata/read shows of other systems' items is how they are understood: pairs of a reader with a body, and
// the items that it has, or what is wrong.
func TestItemsAreUnderstood(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/read/*.txtar")
	if err != nil || len(files) < 3 {
		t.Fatalf("there are %d files (%v)", len(files), err)
	}
	used := map[string]bool{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(archive.Files); i += 2 {
			sent, want := archive.Files[i], archive.Files[i+1]
			reader, known := readers[sent.Name]
			if !known || want.Name != "is" {
				t.Fatalf("%s: pair %d is %q and %q", file, i/2+1, sent.Name, want.Name)
			}
			used[sent.Name] = true
			if got := shown(reader.Read(sent.Data)); got != strings.TrimSpace(string(want.Data)) {
				t.Errorf("%s: %s%s\nis\n%s", file, sent.Name+" ", sent.Data, got)
			}
		}
	}
	for name := range readers {
		if !used[name] {
			t.Errorf("nothing shows how %s is understood", name)
		}
	}
}

// shown writes a batch, an item a line.
func shown(batch event.Batch, err error) string {
	if err != nil {
		return "error " + string(problem.Of(err)) + " " + problem.From(err).Detail
	}
	var lines []string
	for _, item := range batch.Items {
		if item.Problem != nil {
			lines = append(lines, "problem "+string(item.Problem.Code)+" "+item.Problem.Detail)
			continue
		}
		e := item.Event
		line := e.Kind.String()
		for _, part := range [][2]string{
			{"name", e.Name}, {"who", e.DistinctID}, {"anonymous", e.AnonymousID}, {"device", e.DeviceID}, {"session", e.SessionID}, {"also", e.NewUserID}, {"id", e.ID},
			{"in", e.Environment}, {"with", string(e.Properties)},
		} {
			if part[1] != "" {
				line += " " + part[0] + "=" + part[1]
			}
		}
		if !e.Timestamp.IsZero() {
			line += " at=" + e.Timestamp.Format("2006-01-02T15:04:05.000Z")
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Promise: an item is kept as it was sent, and read again by itself it is what it was at first, be it right or wrong.
func TestItemsAreReadAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body  string
		items []string
	}{
		"userflux event":   {`{"userId":"u","eventName":"Signup","properties":{"uf":1}}`, []string{`{"userId":"u","eventName":"Signup","properties":{"uf":1}}`}},
		"userflux batch":   {`{"events":[{"name":"a","n":1, "userId":"u"},{"n":[2]},7,null]}`, []string{`{"name":"a","n":1, "userId":"u"}`, `{"n":[2]}`, `7`, `null`}},
		"userflux profile": {`{"who":1,"properties":{"a":1}}`, []string{`{"who":1,"properties":{"a":1}}`}},
		"composite":        {`[{"name":"sys_identify","who":1},{"title":"a","environment":"e"}]`, []string{`{"name":"sys_identify","who":1}`, `{"title":"a","environment":"e"}`}},
		"segment batch":    {`{"batch":[{"kind":"track","environment":"e"},{"type":"alias","from":"a"}]}`, []string{`{"kind":"track","environment":"e"}`, `{"type":"alias","from":"a"}`}},
		"segment track":    {`{"eventName":"a","messageId":"m"}`, []string{`{"eventName":"a","messageId":"m"}`}},
		"segment identify": {`{"id":"u","messageId":"m"}`, []string{`{"id":"u","messageId":"m"}`}},
		"segment alias":    {`{"userId":"u"}`, []string{`{"userId":"u"}`}},
		"segment page":     {`{"userId":[]}`, []string{`{"userId":[]}`}},
		"segment screen":   {`{"userId":"u","name":"n"}`, []string{`{"userId":"u","name":"n"}`}},
		"segment group":    {`{"userId":"u","traits":7}`, []string{`{"userId":"u","traits":7}`}},
	} {
		batch, err := readers[name].Read([]byte(c.body))
		if err != nil || len(batch.Items) != len(c.items) {
			t.Fatalf("%s: %d items, %v", name, len(batch.Items), err)
		}
		for i := range batch.Items {
			item := &batch.Items[i]
			if string(item.Text) != c.items[i] {
				t.Errorf("%s: kept is %s", name, item.Text)
			}
			if again := compat.ReadAgain(batch.Shape.Words, item.Text); !reflect.DeepEqual(again, *item) {
				t.Errorf("%s: %s is read again as %+v %v, and was %+v %v", name, item.Text, again, again.Problem, *item, item.Problem)
			}
			if e := item.Event.Environment; strings.Contains(c.items[i], "environment") && e != "e" {
				t.Errorf("%s: %s is of %q", name, item.Text, e)
			}
		}
	}
	if item := compat.ReadAgain("morse", []byte(`{}`)); item.Problem == nil || item.Problem.Code != problem.InvalidField {
		t.Errorf("in words that nobody knows: %+v", item)
	}
}

// Promise: a batch has a limit, and one that is too long is refused as a whole, whoever's it is.
func TestBatchesHaveALimit(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]string{"userflux batch": `{"events":[%s]}`, "composite": `[%s]`, "segment batch": `{"batch":[%s]}`} {
		many := strings.TrimSuffix(strings.Repeat(`{},`, event.MaxItems+1), ",")
		if _, err := readers[name].Read([]byte(fmt.Sprintf(list, many))); problem.Of(err) != problem.TooManyItems {
			t.Errorf("%s: %v", name, err)
		}
	}
	large := `{"name":"` + strings.Repeat("x", event.MaxEventBytes) + `"}`
	if batch, err := readers["composite"].Read([]byte(large)); err != nil || batch.Items[0].Problem.Code != problem.EventTooLarge {
		t.Errorf("a large event: %v", err)
	}
}

// Promise: what a batch says of all its items takes no more memory than was asked for before, and at most what its items may have
// anyway; an item keeps it when it is not accepted.
func TestWhatABatchSharesIsBounded(t *testing.T) {
	t.Parallel()
	body := func(context, items int) []byte {
		return []byte(`{"context":{"x":"` + strings.Repeat("x", context-len(`{"x":""}`)) + `"},"batch":[` +
			strings.TrimSuffix(strings.Repeat(`{"type":"track","event":"a"},`, items), ",") + `]}`)
	}
	var asked int64
	reader := compat.SegmentBatch().Within(func(bytes int64) error {
		if asked += bytes; asked > 50<<20 {
			return problem.New(problem.Unavailable, "full")
		}
		return nil
	})
	for _, c := range []struct {
		context, items int
		asked          int64
		code, item     problem.Code
	}{
		{100, 10, 2000, "", ""},
		{20_000, 1000, 40_000_000, "", ""},
		{event.MaxEventBytes, 1000, 2 * 1000 * event.MaxEventBytes, problem.Unavailable, ""},
		{event.MaxEventBytes, 2, 4 * event.MaxEventBytes, "", problem.EventTooLarge},
		{event.MaxEventBytes + 1, 1, 0, problem.EventTooLarge, ""},
		{4 << 20, 1000, 0, problem.EventTooLarge, ""},
	} {
		asked = 0
		batch, err := reader.Read(body(c.context, c.items))
		if asked != c.asked || (err == nil) != (c.code == "") || err != nil && problem.Of(err) != c.code {
			t.Errorf("%d bytes for %d items: %d were asked for, and it ends with %v", c.context, c.items, asked, err)
		}
		for i := range batch.Items {
			item := &batch.Items[i]
			if p := item.Problem; (p == nil) != (c.item == "") || p != nil && p.Code != c.item {
				t.Fatalf("%d bytes for %d items: item %d has %v", c.context, c.items, i, p)
			}
			if len(item.Text) <= c.context || len(item.Text) > c.context+100 {
				t.Fatalf("%d bytes for %d items: of item %d %d bytes are kept", c.context, c.items, i, len(item.Text))
			}
		}
	}
	if asked = 0; true {
		if _, err := reader.Read([]byte(`{"batch":[{"type":"track","event":"a"}],"context":"` + strings.Repeat("x", 1000) + `"}`)); err != nil || asked != 0 {
			t.Errorf("for what is shared with nobody %d bytes were asked for: %v", asked, err)
		}
	}
}

// Promise: whatever is sent, each item becomes one item, good or with its problem, and nothing that a problem says is of
// our words where the sender has others; what is stored is what was sent: no text comes from elsewhere.
func FuzzReaders(f *testing.F) {
	names := make([]string, 0, len(readers))
	for name := range readers {
		names = append(names, name)
	}
	slices.Sort(names)
	files, err := filepath.Glob("testdata/read/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		archive := txtar.Parse(text)
		for i := 0; i < len(archive.Files); i += 2 {
			f.Add(uint8(slices.Index(names, archive.Files[i].Name)), archive.Files[i].Data)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		name := names[int(which)%len(names)]
		batch, err := readers[name].Read(body)
		if err != nil {
			if problem.Of(err) == problem.Internal {
				t.Fatalf("%s of %q: %v", name, body, err)
			}
			return
		}
		if len(batch.Items) == 0 || len(batch.Items) > event.MaxItems {
			t.Fatalf("%s of %q has %d items", name, body, len(batch.Items))
		}
		for _, item := range batch.Items {
			if again := compat.ReadAgain(batch.Shape.Words, item.Text); !reflect.DeepEqual(again, item) {
				t.Fatalf("%s of %q: read again it is %+v, and was %+v", name, body, again, item)
			}
			if item.Problem != nil {
				if item.Problem.Code == problem.Internal {
					t.Fatalf("%s of %q: %v", name, body, item.Problem)
				}
				continue
			}
			if p := item.Event.Properties; p != nil && (!json.Valid(p) || p.Kind() != '{') {
				t.Fatalf("%s of %q has the properties %s", name, body, p)
			}
			if item.Event.Kind == event.Track && item.Event.Name == "" {
				t.Fatalf("%s of %q has an event without a name", name, body)
			}
		}
	})
}

// Promise: the texts and statuses that clients compare are these, and every problem has one that is no success.
func TestProblemsInOtherWords(t *testing.T) {
	t.Parallel()
	const quota = "You have exceeded your allotted message quota. Please enable pay-as-you-go to regain access"
	if got := compat.IEXText(problem.CreditsExhausted, "detail"); got != quota {
		t.Errorf("402 is %q", got)
	}
	if got := compat.IEXText(problem.DomainNotAllowed, "detail"); got != "detail" {
		t.Errorf("403 is %q", got)
	}
	for _, row := range problem.Catalogue() {
		if compat.IEXText(row.Code, "detail") == "" || compat.SegmentStatus(row.Code) < 400 {
			t.Errorf("%s has no words", row.Code)
		}
	}
	for code, want := range map[problem.Code]int{
		problem.InvalidField: 400, problem.BodyTooLarge: 400, problem.RateLimited: 429, problem.KeyNotAccepted: 401, problem.EventNotAllowed: 403, problem.StorageFull: 507,
	} {
		if got := compat.SegmentStatus(code); got != want {
			t.Errorf("%s is %d for Segment's clients", code, got)
		}
	}
}

// Promise: a system is known by its name, and no other text is one.
func TestSystemsHaveNames(t *testing.T) {
	t.Parallel()
	for _, s := range compat.Systems() {
		if got, err := compat.ParseSystem(string(s)); err != nil || got != s {
			t.Errorf("%s: %v", s, err)
		}
	}
	if _, err := compat.ParseSystem("mixpanel"); err == nil {
		t.Error("a system that nobody knows is one")
	}
}
