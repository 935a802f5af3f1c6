package query_test

import (
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Promise: of an answer in part there are the rows that are wanted and no others, in their order, and the ceilings do not hold for what
// comes behind it; a question for a part is never answered from what is kept.
func TestAPartOfAnAnswer(t *testing.T) {
	t.Parallel()
	rows := []string{"[0]", "[1]", "[2]", "[\n3 ]", "[4]"}
	for name, c := range map[string]struct {
		part    *query.Part
		ceiling int64
		want    string
		code    problem.Code
	}{
		"all":              {nil, 5, "[0]\n[1]\n[2]\n[3]\n[4]\n", ""},
		"the first":        {&query.Part{Most: 2}, 2, "[0]\n[1]\n", ""},
		"from the middle":  {&query.Part{From: 2, Most: 2}, 4, "[2]\n[3]\n", ""},
		"to the end":       {&query.Part{From: 3, Most: -1}, 5, "[3]\n[4]\n", ""},
		"more than are":    {&query.Part{From: 4, Most: 10}, 10, "[4]\n", ""},
		"behind the end":   {&query.Part{From: 9, Most: -1}, 10, "", ""},
		"none":             {&query.Part{}, 1, "", ""},
		"over the ceiling": {&query.Part{From: 2, Most: 2}, 3, "", problem.ResultTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &engine{columns: numbers(0).columns, rows: rows}
			s := query.New(query.Config{Engine: e, Now: fixedNow, TempDir: t.TempDir(), Rows: c.ceiling})
			q := query.Question{SQL: "SELECT 1", Format: query.Lines, Part: c.part, CacheMinutes: 5}
			a, err := s.Ask(t.Context(), permit(t), q)
			if problem.Of(err) != c.code {
				t.Fatalf("got %v, want %q", err, c.code)
			}
			if err != nil {
				return
			}
			if c.part != nil && !a.ExpiresAt.IsZero() {
				t.Error("the answer is kept")
			}
			if got, want := read(t, a), `[{"name":"n","type":"BIGINT"}]`+"\n"+c.want; got != want || a.Rows != int64(strings.Count(c.want, "\n")) {
				t.Errorf("%d rows\n%s\nwant\n%s", a.Rows, got, want)
			}
		})
	}
}
