package event_test

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: whatever a sender sends, it gets items within the documented limits or a problem that it can read; the same
// body is always read the same; and what is accepted survives the journal.
func FuzzReadBatch(f *testing.F) {
	files, err := filepath.Glob("testdata/read/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatal("no testdata", err)
	}
	kinds := []string{"track", "identify", "alias"}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, section := range txtar.Parse(data).Files {
			body, _, _ := strings.Cut(string(section.Data), "\n=>\n")
			for i, kind := range kinds {
				if strings.HasPrefix(section.Name, kind) {
					f.Add([]byte(body), byte(i))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, kind byte) {
		shape := event.Shape{Kind: event.Track + event.Kind(kind%3), Source: "test"}
		batch, err := event.ReadBatch(body, shape)
		again, errAgain := event.ReadBatch(body, shape)
		if !reflect.DeepEqual(batch, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("read twice: %+v, %v and %+v, %v", batch, err, again, errAgain)
		}
		if err != nil {
			checkRefusal(t, body, err)
			return
		}
		if !stdjson.Valid(body) || len(batch.Items) < 1 || len(batch.Items) > event.MaxItems || batch.Shape != shape || batch.Sync {
			t.Fatalf("accepted as %+v", batch)
		}
		for _, item := range batch.Items {
			if item.Problem != nil {
				checkProblem(t, item.Problem)
				continue
			}
			if err := withinLimits(item.Event, shape.Kind); err != nil {
				t.Fatalf("%v: %+v", err, item.Event)
			}
			checkJournal(t, item.Event)
		}
	})
}

// checkRefusal checks the problem of a whole body. Only what is really not JSON, by the looser measure of the standard
// library, may be called so, but for what we refuse on purpose: duplicates, invalid text, great depth.
func checkRefusal(t *testing.T, body []byte, err error) {
	var p *problem.Error
	if !errors.As(err, &p) {
		t.Fatalf("no problem: %v", err)
	}
	checkProblem(t, p)
	if p.Code != problem.InvalidJSON {
		return
	}
	var at, line, column int
	_, place, _ := strings.Cut(p.Detail, " at byte ")
	if _, err := fmt.Sscanf(place, "%d (line %d, column %d).", &at, &line, &column); err != nil || at < 0 || at > len(body) || line < 1 || column < 1 {
		t.Fatalf("the place is wrong: %s", p.Detail)
	}
	purpose := strings.Contains(p.Detail, "duplicate") || strings.Contains(p.Detail, "surrogate") || strings.Contains(p.Detail, "UTF-8") || strings.Contains(p.Detail, "depth")
	if stdjson.Valid(body) && !purpose {
		t.Fatalf("JSON is refused: %s", p.Detail)
	}
}

func checkProblem(t *testing.T, p *problem.Error) {
	if p.Status() < 400 || p.Status() > 499 || p.Detail == "" || len(p.Detail) > 250 || !utf8.ValidString(p.Detail) || strings.Contains(p.Detail, "%!") {
		t.Fatalf("not fit for a sender: %v", p)
	}
	seen := map[string]bool{}
	for _, field := range p.Fields {
		if field.Name == "" || field.Detail == "" || seen[field.Name] {
			t.Fatalf("not fit for a sender: %+v", p.Fields)
		}
		seen[field.Name] = true
	}
}

// withinLimits is the documentation of what is accepted, in the plainest words.
func withinLimits(e event.Event, kind event.Kind) error {
	for name, text := range map[string]string{
		"environment": e.Environment, "distinct id": e.DistinctID, "anonymous id": e.AnonymousID, "device id": e.DeviceID,
		"session id": e.SessionID, "new user id": e.NewUserID, "id": e.ID, "name": e.Name,
	} {
		limit := 200
		if name == "name" {
			limit = 256
		}
		if len(text) > limit || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return fmt.Errorf("the %s is %q", name, text)
		}
	}
	switch {
	case e.Kind != kind, e.OwnID != (e.ID != ""):
		return errors.New("the kind or OwnID is wrong")
	case kind == event.Track && e.Name == "", kind != event.Track && (e.Name != "" || e.DistinctID == ""), (kind == event.Alias) != (e.NewUserID != ""):
		return errors.New("what the kind must have is missing, or it has what it cannot have")
	case !e.Timestamp.IsZero() && (e.Timestamp.Year() < 1970 || e.Timestamp.Year() > 2199 || e.Timestamp.Location() != time.UTC || e.Timestamp.Nanosecond()%1000 != 0):
		return errors.New("the timestamp is out of range")
	case e.Properties == nil:
		return nil
	case len(e.Properties) > 32<<10 || !utf8.Valid(e.Properties):
		return errors.New("the properties are too large, or not UTF-8")
	}
	var object map[string]any
	decoder := stdjson.NewDecoder(strings.NewReader(string(e.Properties)))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil || object == nil {
		return fmt.Errorf("the properties are no object: %w", err)
	}
	if depth, members, nul := weigh(object); depth > 32 || members > 1000 || nul {
		return fmt.Errorf("the properties are %d deep, have %d members, NUL %v", depth, members, nul)
	}
	return nil
}

// weigh is measure, of decoded JSON.
func weigh(v any) (depth, members int, nul bool) {
	add := func(v any) {
		d, m, n := weigh(v)
		depth, members, nul = max(depth, d+1), members+m+1, nul || n
	}
	switch v := v.(type) {
	case map[string]any:
		depth = 1
		for name, value := range v {
			nul = nul || strings.Contains(name, "\x00")
			add(value)
		}
	case []any:
		depth = 1
		for _, value := range v {
			add(value)
		}
	case string:
		nul = strings.Contains(v, "\x00")
	}
	return depth, members, nul
}

// checkJournal stamps an event as Record does, and reads back what the journal would keep.
func checkJournal(t *testing.T, e event.Event) {
	e.Project, e.KeyID, e.Source, e.ReceivedAt = "prj_1", "key_000000000001", "test", time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	if e.Timestamp.IsZero() {
		e.Timestamp = e.ReceivedAt
	}
	if e.Properties == nil {
		e.Properties = []byte("{}")
	}
	data := event.AppendEvent(nil, &e)
	back, err := event.DecodeEvent(data)
	if err != nil || !reflect.DeepEqual(back, e) || len(data) > event.MaxEncoded {
		t.Fatalf("%+v came back from %d bytes as %+v, %v", e, len(data), back, err)
	}
}
