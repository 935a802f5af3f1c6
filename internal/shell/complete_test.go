package shell

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/query/complete"
	"github.com/weir-analytics/weir/internal/view"
)

// fakeServer answers from a table of statements.
type fakeServer struct {
	answers map[string]string
	tables  []view.Table
	asked   []Question
	listed  int
	suggest func(sql string, position int) []complete.Suggestion
}

func (s *fakeServer) Ask(ctx context.Context, q Question) (io.ReadCloser, error) {
	s.asked = append(s.asked, q)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	text, ok := s.answers[q.SQL]
	if !ok {
		return nil, &Refusal{Code: "invalid_sql", Detail: "line 1, column 1: no", Reference: "request req_1"}
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func (s *fakeServer) Tables(context.Context, string) ([]view.Table, error) {
	s.listed++
	if s.tables == nil {
		return nil, errors.New("not found")
	}
	return s.tables, nil
}

func (s *fakeServer) Complete(_ context.Context, _, sql string, position int) ([]complete.Suggestion, error) {
	if s.suggest == nil {
		return nil, errors.New("not found")
	}
	return s.suggest(sql, position), nil
}

// Promise: in a statement the server's suggestions are offered, for all that is typed of it, but none that acts on the
// terminal or stands elsewhere; commands are not asked about, and without an answer the list is what is offered.
func TestServerCompletes(t *testing.T) {
	t.Parallel()
	server := &fakeServer{suggest: func(sql string, position int) []complete.Suggestion {
		found := complete.At(sql, position, complete.Words{
			Columns: map[string][]string{"events": {"event", "é_id"}}, Functions: []string{"even"}, Properties: map[string][]string{"properties": {"page", "pa\x1b[2J", "pa\nge"}},
		})
		return append(found, complete.Suggestion{Text: "elsewhere", From: position + 1, To: position + 1})
	}}
	s := &Shell{Server: server}
	s.split.Add("SELECT 'é',\n")
	for line, want := range map[string][]string{
		"even": {"event", "events", "even("}, "ORDE": {"ORDER"}, "orde": {"order"}, "events.": {"event", "é_id"}, "": nil, "x ": nil, "pag": {"properties->>'page'"},
	} {
		head, got, tail := s.offers(t.Context(), line+"é", len(line))
		if !slices.Equal(got, want) || tail != "é" || !strings.HasPrefix(line, head) {
			t.Errorf("%q: %q %q %q, want %q", line, head, got, tail, want)
		}
	}
	s = &Shell{Server: server}
	if _, got, _ := s.offers(t.Context(), `\f`, 2); !slices.Equal(got, []string{`\format`}) {
		t.Errorf("a command: %q", got)
	}
	s = &Shell{Server: &fakeServer{}}
	if _, got, _ := s.offers(t.Context(), "sel", 3); !slices.Equal(got, []string{"select"}) {
		t.Errorf("without an answer: %q", got)
	}
}

// Promise: commands, tables, columns, functions and keywords are completed where they can stand, in the case that is
// typed, and from what the server lists; without a list, from what every server has.
func TestCompletion(t *testing.T) {
	t.Parallel()
	listed := catalogOf(t.Context(), &fakeServer{tables: []view.Table{
		{Name: "visits", Columns: []Column{{Name: "visit_id"}, {Name: "bad name"}, {Name: "x\x1b[2J"}}}, {Name: "events", Columns: []Column{{Name: "event"}}}, {Name: "bad-name"},
	}}, "")
	fallback := catalogOf(t.Context(), &fakeServer{}, "")
	for _, c := range []struct {
		from catalog
		line string
		want []string
	}{
		{fallback, "SELECT even", []string{"event_id", "event", "events"}},
		{fallback, "sel", []string{"select"}},
		{fallback, "SEL", []string{"SELECT"}},
		{fallback, "SELECT COUN", []string{"count("}},
		{fallback, "SELECT persons.tr", []string{"traits"}},
		{fallback, "SELECT p.tr", []string{"traits"}},
		{fallback, "SELECT persons.", []string{"distinct_id", "anonymous_id", "traits", "first_seen_at", "updated_at", "person_id", "distinct_ids"}},
		{fallback, "SELECT ", nil},
		{fallback, `\f`, []string{`\format`}},
		{fallback, `\format n`, []string{"ndjson"}},
		{fallback, `\d per`, []string{"persons"}},
		{fallback, `\env pro`, nil},
		{listed, "SELECT vis", []string{"visit_id", "visits"}},
		{listed, "SELECT visits.", []string{"visit_id"}},
		{listed, "SELECT trai", nil},
	} {
		head, got, tail := c.from.complete(c.line+"é", len([]rune(c.line)))
		if !slices.Equal(got, c.want) || tail != "é" || !strings.HasPrefix(c.line, head) {
			t.Errorf("%q: %q %q %q, want %q", c.line, head, got, tail, c.want)
		}
	}
}

// Promise: completion never loses what is typed, wherever the cursor is, and offers nothing that acts on the terminal.
func TestCompletionKeepsTheLine(t *testing.T) {
	t.Parallel()
	c := catalogOf(t.Context(), &fakeServer{}, "")
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.OneOf(rapid.String(), rapid.StringMatching(`[\\a-z. ]{0,12}`)).Draw(t, "line")
		pos := rapid.IntRange(-1, len(line)+1).Draw(t, "pos")
		head, offers, tail := c.complete(line, pos)
		if !strings.HasPrefix(string([]rune(line)), head) || !strings.HasSuffix(string([]rune(line)), tail) || len(offers) > maxOffers {
			t.Fatalf("%q at %d: %q %q %q", line, pos, head, offers, tail)
		}
		for _, offer := range offers {
			if Harmless(offer) != offer {
				t.Fatalf("%q", offer)
			}
		}
	})
}
