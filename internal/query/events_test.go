package query_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

const micros = "2006-01-02T15:04:05.000000Z"

// stream is an engine that holds events. It understands the listing by the statement's parameters; what the statement
// itself says is in a golden file.
type stream struct {
	engine
	events []query.Event
}

func (s *stream) Run(ctx context.Context, space event.Space, st query.Statement) (query.Rows, error) {
	text := func(name string) string {
		var v string
		if st.Named[name] != nil {
			_ = json.Unmarshal(st.Named[name], &v)
		}
		return v
	}
	limit, err := strconv.Atoi(string(st.Named["limit"]))
	if err != nil {
		return nil, err
	}
	all := slices.Clone(s.events)
	slices.SortFunc(all, func(a, b query.Event) int {
		return cmp.Or(b.ReceivedAt.Compare(a.ReceivedAt), cmp.Compare(b.EventID, a.EventID))
	})
	s.rows = nil
	for _, e := range all {
		at, received := e.Timestamp.Format(micros), e.ReceivedAt.Format(micros)
		if text("event") != "" && text("event") != e.Event || text("distinct_id") != "" && text("distinct_id") != e.DistinctID ||
			at < text("after") || text("before") != "" && at >= text("before") ||
			text("received_at") != "" && (received > text("received_at") || received == text("received_at") && e.EventID >= text("event_id")) {
			continue
		}
		if len(s.rows) < limit {
			row, _ := json.Marshal([]any{e.EventID, e.Event, at, received, e.DistinctID, nil, nil, e.SessionID, e.Properties, e.KeyID, e.Source})
			s.rows = append(s.rows, string(row))
		}
	}
	return s.engine.Run(ctx, space, st)
}

// add puts an event in that was received at a number of microseconds.
func (s *stream) add(micro int64, id, name string) {
	at := time.UnixMicro(1_800_000_000_000_000 + micro).UTC()
	s.events = append(s.events, query.Event{
		EventID: id, Event: name, Timestamp: at, ReceivedAt: at, DistinctID: "u", Properties: jsontext.Value(`{"a":1}`), KeyID: "key_1", Source: "track",
	})
}

// Promise: what is listed is what was stored; what the sender left out is left out.
func TestEventsAreListedAsStored(t *testing.T) {
	t.Parallel()
	e := &engine{rows: []string{
		`["1","a b","2026-11-22T06:00:00.123456Z","2026-11-22T06:00:01.000000Z","d\n",null,"dev","s",{"x":[1.50]},"key_1","track"]`,
		`["2","b","2026-11-22T06:00:00.000000Z","2026-11-22T06:00:00.000000Z",null,"anon",null,null,null,"key_1","alias"]`,
	}}
	page, err := service(t, e).Events(t.Context(), permit(t), query.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(page)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"events":[{"event_id":"1","event":"a b","timestamp":"2026-11-22T06:00:00.123456Z","received_at":"2026-11-22T06:00:01Z",` +
		`"distinct_id":"d\n","device_id":"dev","session_id":"s","properties":{"x":[1.50]},"key_id":"key_1","source":"track"},` +
		`{"event_id":"2","event":"b","timestamp":"2026-11-22T06:00:00Z","received_at":"2026-11-22T06:00:00Z","anonymous_id":"anon",` +
		`"properties":{},"key_id":"key_1","source":"alias"}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if want := (event.Space{Project: "prj_1", Environment: "production"}); e.space != want || e.closed.Load() != 1 {
		t.Errorf("read in %v, closed %d times", e.space, e.closed.Load())
	}
	if empty, err := service(t, &engine{}).Events(t.Context(), permit(t), query.EventFilter{}); err != nil || empty.Events == nil || empty.NextCursor != "" {
		t.Errorf("no events: %+v, %v", empty, err)
	}
}

// Promise: the listing's statement is as documented, and nothing the caller sent is in its text.
func TestListingStatement(t *testing.T) {
	t.Parallel()
	first := &stream{}
	first.add(1, "id'1", "e")
	first.add(0, "id'0", "e")
	page, err := service(t, first).Events(t.Context(), permit(t), query.EventFilter{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range []query.EventFilter{
		{},
		{Event: "x' OR '1'='1", DistinctID: `"; DROP`, Limit: 7},
		{After: fixedNow().Add(time.Nanosecond), Before: fixedNow().Add(time.Hour).In(time.FixedZone("", 3600)), Cursor: page.NextCursor, Limit: query.MaxPage},
	} {
		e := &engine{}
		if _, err := service(t, e).Events(t.Context(), permit(t), f); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%s\n", e.ran.SQL)
		for _, name := range slices.Sorted(maps.Keys(e.ran.Named)) {
			fmt.Fprintf(&got, "  %s = %s\n", name, e.ran.Named[name])
		}
		fmt.Fprintf(&got, "  %+v\n", e.ran.Ceilings)
	}
	path := filepath.Join("testdata", "listing.sql.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the statement differs from its golden file:\n%s", got.String())
	}
}

// Promise: following the cursors gives every event that was there at the first page exactly once and in order, while
// newer events arrive, whatever the size of the pages and however many events share a time.
func TestPagingIsStable(t *testing.T) {
	t.Parallel()
	p := permit(t)
	rapid.Check(t, func(r *rapid.T) {
		s := &stream{}
		ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Z0-9é'\-]{1,4}`), 0, 30, func(id string) string { return id }).Draw(r, "ids")
		want := map[string]bool{}
		for _, id := range ids {
			name := rapid.SampledFrom([]string{"e", "f"}).Draw(r, "event")
			s.add(rapid.Int64Range(0, 5).Draw(r, "micro"), id, name)
			want[id] = name == "e"
		}
		maps.DeleteFunc(want, func(_ string, listed bool) bool { return !listed })
		f := query.EventFilter{Event: "e", Limit: rapid.IntRange(1, 6).Draw(r, "limit")}
		var seen []query.Event
		for n := 0; ; n++ {
			page, err := service(t, s).Events(t.Context(), p, f)
			if err != nil {
				r.Fatal(err)
			}
			seen = append(seen, page.Events...)
			if page.NextCursor == "" {
				break
			}
			if len(page.Events) != f.Limit {
				r.Fatalf("a page of %d that is not the last, at a limit of %d", len(page.Events), f.Limit)
			}
			f.Cursor = page.NextCursor
			s.add(6+int64(n), "new"+strconv.Itoa(n), "e")
		}
		for i, e := range seen {
			if !want[e.EventID] {
				r.Fatalf("%s is listed twice, or was not there", e.EventID)
			}
			delete(want, e.EventID)
			if i > 0 && cmp.Or(e.ReceivedAt.Compare(seen[i-1].ReceivedAt), cmp.Compare(e.EventID, seen[i-1].EventID)) >= 0 {
				r.Fatalf("%s comes after %s", e.EventID, seen[i-1].EventID)
			}
		}
		if len(want) != 0 {
			r.Fatalf("not listed: %v", want)
		}
	})
}

// Promise: a page of large events ends early instead of failing, and the next page goes on where it ended.
func TestLargeEventsMakeShortPages(t *testing.T) {
	t.Parallel()
	s := &stream{}
	for i := range 12 {
		s.add(int64(i), strconv.Itoa(i), "e")
		s.events[i].Properties = jsontext.Value(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`)
	}
	f := query.EventFilter{Limit: 1000}
	for total, pages := 0, 0; ; pages++ {
		page, err := service(t, s).Events(t.Context(), permit(t), f)
		if err != nil || len(page.Events) == 0 || len(page.Events) > 8 {
			t.Fatalf("a page of %d MiB, %v", len(page.Events), err)
		}
		total += len(page.Events)
		if f.Cursor = page.NextCursor; f.Cursor == "" {
			if total != 12 {
				t.Fatalf("%d events of 12", total)
			}
			return
		}
	}
}

// Promise: a filter that makes no sense is refused by the field at fault, and the engine is not asked.
func TestFiltersAreChecked(t *testing.T) {
	t.Parallel()
	far := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		filter query.EventFilter
		field  string
	}{
		{query.EventFilter{Limit: -1}, "limit"}, {query.EventFilter{Limit: 1001}, "limit"},
		{query.EventFilter{Event: strings.Repeat("x", event.MaxNameBytes+1)}, "event"}, {query.EventFilter{Event: "\xff"}, "event"},
		{query.EventFilter{DistinctID: strings.Repeat("x", event.MaxIDBytes+1)}, "distinct_id"}, {query.EventFilter{DistinctID: "\x00"}, "distinct_id"},
		{query.EventFilter{After: far}, "after"}, {query.EventFilter{Before: far}, "before"},
		{query.EventFilter{After: fixedNow(), Before: fixedNow()}, "before"},
		{query.EventFilter{Cursor: "x"}, "cursor"}, {query.EventFilter{Cursor: strings.Repeat("A", 1000)}, "cursor"},
		{query.EventFilter{Cursor: base64.RawURLEncoding.EncodeToString([]byte("\x02\x00\x06\x44\x00\x00\x00\x00\x00id"))}, "cursor"},
		{query.EventFilter{Cursor: base64.RawURLEncoding.EncodeToString([]byte("\x01\x7f\xff\xff\xff\xff\xff\xff\xffid"))}, "cursor"},
		{query.EventFilter{Cursor: base64.RawURLEncoding.EncodeToString([]byte("\x01\x00\x06\x44\x00\x00\x00\x00\x00"))}, "cursor"},
	} {
		e := &engine{}
		_, err := service(t, e).Events(t.Context(), permit(t), c.filter)
		wantField(t, err, c.field)
		if e.ran.SQL != "" {
			t.Errorf("%+v was run", c.filter)
		}
	}
}

// Promise: what the engine says is wrong with a listing is treated as with a question, and rows that are not the
// listing's are our fault.
func TestListingErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		engine *engine
		want   problem.Code
	}{
		{&engine{err: problem.New(problem.Unavailable, "x")}, problem.Unavailable},
		{&engine{after: errors.New("broken")}, problem.Internal},
		{&engine{rows: []string{`["1"]`}}, problem.Internal},
		{&engine{rows: []string{`[1,2,3,4,5,6,7,8,9,10,11]`}}, problem.Internal},
		{&engine{rows: []string{`["1","e","yesterday","2026-11-22T06:00:00Z",null,null,null,null,{},"k","s"]`}}, problem.Internal},
	} {
		if page, err := service(t, c.engine).Events(t.Context(), permit(t), query.EventFilter{}); problem.Of(err) != c.want || len(page.Events) != 0 {
			t.Errorf("got %v, %v, want %q", page, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := service(t, &engine{}).Events(ctx, permit(t), query.EventFilter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who left: %v", err)
	}
}

// Promise: a cursor that is accepted has one meaning and one spelling: a time that can be said and an id that can be
// stored. Nothing else is accepted.
func FuzzCursor(f *testing.F) {
	s := &stream{}
	s.add(1, "a", "e")
	s.add(0, "b", "e")
	page, err := service(f, s).Events(f.Context(), permit(f), query.EventFilter{Limit: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(page.NextCursor)
	f.Add(page.NextCursor + "\n")
	f.Add(page.NextCursor + "=")
	f.Add("AQAGZQAAAAAAYQ")
	p := permit(f)
	f.Fuzz(func(t *testing.T, cursor string) {
		e := &engine{}
		_, err := query.New(query.Config{Engine: e, Now: fixedNow}).Events(t.Context(), p, query.EventFilter{Cursor: cursor})
		if err != nil {
			wantField(t, err, "cursor")
			return
		}
		if cursor == "" {
			return
		}
		var at, id string
		if json.Unmarshal(e.ran.Named["received_at"], &at) != nil || json.Unmarshal(e.ran.Named["event_id"], &id) != nil {
			t.Fatalf("%q was bound as %s, %s", cursor, e.ran.Named["received_at"], e.ran.Named["event_id"])
		}
		when, err := time.Parse(micros, at)
		if err != nil || !utf8.ValidString(id) || id == "" || len(id) > event.MaxIDBytes {
			t.Fatalf("%q is %q, %q: %v", cursor, at, id, err)
		}
		again := &stream{}
		again.add(when.UnixMicro()-1_800_000_000_000_000, id, "e")
		again.add(when.UnixMicro()-1_800_000_000_000_001, id, "e")
		page, err := query.New(query.Config{Engine: again, Now: fixedNow}).Events(t.Context(), p, query.EventFilter{Limit: 1})
		if err != nil || page.NextCursor != cursor {
			t.Fatalf("%q is also written %q (%v)", cursor, page.NextCursor, err)
		}
	})
}
