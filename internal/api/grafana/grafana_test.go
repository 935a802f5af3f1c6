package grafana

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/problem"
)

// shape reads an answer and writes what becomes of it as JSON.
func shape(t testing.TB, columns, rows string, into func(Result) (any, error)) string {
	t.Helper()
	r, err := Read(strings.NewReader(`{"columns":[` + columns + `],"rows":[` + rows + `],"row_count":1,"elapsed_ms":1}`))
	if err != nil {
		t.Fatal(err)
	}
	out, err := into(r)
	if err != nil {
		return err.Error()
	}
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Promise: rows become series and tables as Grafana reads them: numbers exact, times in milliseconds, nulls as gaps.
func TestShapes(t *testing.T) {
	t.Parallel()
	const at, day, n, big, who, nested = `{"name":"t","type":"TIMESTAMP"}`, `{"name":"d","type":"DATE"}`, `{"name":"n","type":"BIGINT"}`,
		`{"name":"big","type":"DECIMAL(38,2)"}`, `{"name":"who","type":"VARCHAR"}`, `{"name":"nested","type":"STRUCT(a INTEGER)"}`
	series := func(r Result) (any, error) { return r.Series() }
	table := func(r Result) (any, error) { return r.Table(), nil }
	options := func(r Result) (any, error) { return r.Options(), nil }
	annotations := func(r Result) (any, error) { return r.Annotations(nil) }
	for _, c := range []struct {
		columns, rows string
		into          func(Result) (any, error)
		want          string
	}{
		{at + "," + n, `["1970-01-01T00:00:02.500000Z",2],["1970-01-01T00:00:01.000000Z",null],[null,3]`, series,
			`[{"target":"n","datapoints":[[null,1000],[2,2500]]}]`},
		{who + "," + day + "," + big, `["a","1970-01-02",12345678901234567890.12],[null,"1970-01-02",1]`, series,
			`[{"target":"a","datapoints":[[12345678901234567890.12,86400000]]},{"target":"null","datapoints":[[1,86400000]]}]`},
		{at + "," + n + "," + big + "," + who, `["1970-01-01T00:00:00Z",1,2,"x"]`, series, `[{"target":"n x","datapoints":[[1,0]]},{"target":"big x","datapoints":[[2,0]]}]`},
		{at + "," + n, ``, series, `[]`},
		{at + "," + nested + "," + n, `["1970-01-01T00:00:00Z",{"a":1},5]`, series, `[{"target":"{\"a\":1}","datapoints":[[5,0]]}]`},
		{at + "," + nested, `["nonsense",{"a":1}],[null,null]`, table,
			`{"type":"table","columns":[{"text":"t","type":"time"},{"text":"nested","type":"string"}],"rows":[[null,"{\"a\":1}"],[null,null]]}`},
		{who, ``, table, `{"type":"table","columns":[{"text":"who","type":"string"}],"rows":[]}`},
		{who + "," + n, `["a",1],[null,2],["b",null]`, options, `[{"__text":"a","__value":"1"},{"__text":"b","__value":"null"}]`},
		{``, ``, options, `[]`},
		{who, `["a"]`, annotations, "invalid_field: annotation.query: has no column of times"},
		{at + `,{"name":"TIME","type":"DATE"},{"name":"Title","type":"VARCHAR"}`, `["1970-01-01T00:00:05Z","1970-01-02","hot"],["1970-01-01T00:00:05Z",null,""]`, annotations,
			`[{"annotation":null,"time":86400000,"title":"hot"}]`},
	} {
		if got := shape(t, c.columns, c.rows, c.into); got != c.want && !strings.HasSuffix(got, c.want) {
			t.Errorf("%s %s\ngives %s\nwant  %s", c.columns, c.rows, got, c.want)
		}
	}
}

// Promise: every value with a time is drawn once, in the order of time, in the series that its words name.
func TestSeriesLoseNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type point struct{ second, who, n int }
		points := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) point {
			return point{rapid.IntRange(0, 59).Draw(t, "second"), rapid.IntRange(0, 3).Draw(t, "who"), rapid.IntRange(0, 9).Draw(t, "n")}
		}), 0, 30).Draw(t, "points")
		rows, sum := []string{}, 0
		for _, p := range points {
			rows = append(rows, fmt.Sprintf(`["1970-01-01T00:00:%02dZ","%d, %d",%d]`, p.second, p.who, p.who, p.n))
			sum += p.n
		}
		r, err := Read(strings.NewReader(`{"columns":[{"name":"t","type":"TIMESTAMP"},{"name":"w","type":"VARCHAR"},{"name":"n","type":"INTEGER"}],"rows":[` + strings.Join(rows, ",") + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		frames, err := r.Series()
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, f := range frames {
			last := -1
			for _, p := range f.Datapoints {
				var n, at int
				if _, err := fmt.Sscan(string(p[0])+" "+string(p[1]), &n, &at); err != nil || at < last {
					t.Fatalf("%v behind %d (%v)", p, last, err)
				}
				last, sum, count = at, sum-n, count+1
			}
		}
		if sum != 0 || count != len(points) {
			t.Fatalf("%d points of %d, and %d is missing", count, len(points), sum)
		}
	})
}

// Promise: what is too much for a chart is a problem of the caller's, and what is no answer an error.
func TestBounds(t *testing.T) {
	t.Parallel()
	const head = `{"columns":[{"name":"t","type":"TIMESTAMP"},{"name":"n","type":"INTEGER"},{"name":"w","type":"VARCHAR"}],"rows":[`
	many := make([]string, MaxRows+1)
	for i := range many {
		many[i] = fmt.Sprintf(`["1970-01-01T00:00:00Z",1,"%d"]`, i)
	}
	_, err := Read(strings.NewReader(head + strings.Join(many, ",") + `]}`))
	if p, ok := errors.AsType[*problem.Error](err); !ok || p.Code != problem.ResultTooLarge {
		t.Error(err)
	}
	for n, good := range map[int]bool{MaxSeries: true, MaxSeries + 1: false} {
		r, err := Read(strings.NewReader(head + strings.Join(many[:n], ",") + `]}`))
		if err != nil || r.Len() != n {
			t.Fatal(r.Len(), err)
		}
		if _, err := r.Series(); (err == nil) != good {
			t.Errorf("%d series: %v", n, err)
		}
	}
	for _, text := range []string{"", "{", head, head + `[1]]}`, `{"columns":1}`, `{"rows":1}`, head + `{}]}`} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q is an answer", text)
		}
	}
}
