package query_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/query"
)

// readArrow gives the schema of a stream, and its values as the engine wrote them; nil is null.
func readArrow(tb testing.TB, data string) (schema *arrow.Schema, batches int, rows [][]*string) {
	tb.Helper()
	r, err := ipc.NewReader(strings.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Release()
	for r.Next() {
		batches++
		batch := r.RecordBatch()
		for i := range int(batch.NumRows()) {
			row := make([]*string, batch.NumCols())
			for j := range row {
				if column := batch.Column(j); !column.IsNull(i) {
					text := showArrow(column, i)
					row[j] = &text
				}
			}
			rows = append(rows, row)
		}
	}
	if err := r.Err(); err != nil {
		tb.Fatal(err)
	}
	return r.Schema(), batches, rows
}

// showArrow writes a stored value as the engine would have.
func showArrow(column arrow.Array, i int) string {
	switch c := column.(type) {
	case *array.Boolean:
		return strconv.FormatBool(c.Value(i))
	case *array.Float64:
		return jsontext.Float(c.Value(i)).String()
	case *array.Float32:
		return strconv.FormatFloat(float64(c.Value(i)), 'e', -1, 32)
	case *array.Date32:
		return time.Unix(int64(c.Value(i))*86400, 0).UTC().Format(time.DateOnly)
	case *array.Timestamp:
		return time.UnixMicro(int64(c.Value(i))).UTC().Format("2006-01-02T15:04:05.000000Z")
	case *array.Decimal128:
		return point(c.Value(i).BigInt(), int(c.DataType().(*arrow.Decimal128Type).Scale))
	case *array.String:
		return c.Value(i)
	}
	return column.ValueStr(i)
}

func checkArrow(r *rapid.T, t *testing.T, e *engine, names []string, cells [][]cell) {
	schema, _, rows := readArrow(t, ask(t, e, query.Question{Format: query.Arrow}))
	if len(rows) != len(cells) || schema.NumFields() != len(e.columns) {
		r.Fatalf("arrow: %d rows of %d columns", len(rows), schema.NumFields())
	}
	for j, f := range schema.Fields() {
		if typ, _ := f.Metadata.GetValue("weir.type"); !f.Nullable || typ != e.columns[j].Type || len(cells) > 0 && f.Name != names[j] {
			r.Fatalf("arrow: the field %v is for %+v", f, e.columns[j])
		}
	}
	for i, row := range cells {
		for j, want := range row {
			if got := rows[i][j]; (got == nil) != want.null || got != nil && *got != want.text {
				r.Fatalf("arrow row %d column %d (%s): %s, want %s", i, j, e.columns[j].Type, show2(got), want.text)
			}
		}
	}
}

func show2(text *string) string {
	if text == nil {
		return "null"
	}
	return strconv.Quote(*text)
}

func checkObjects(r *rapid.T, t *testing.T, e *engine, names []string, cells [][]cell) {
	var doc struct {
		Columns  []query.Column
		Data     []jsontext.Value
		RowCount int `json:"row_count"`
	}
	text := ask(t, e, query.Question{Format: query.Objects})
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.RowCount != len(cells) || len(doc.Data) != len(cells) {
		r.Fatalf("objects: %v in %s", err, text)
	}
	lines := strings.SplitAfter(ask(t, e, query.Question{Format: query.NDJSON}), "\n")
	for i, row := range doc.Data {
		if string(row) != strings.TrimSuffix(lines[i], "\n") {
			r.Fatalf("objects row %d: %s, as a line %s", i, row, lines[i])
		}
	}
	for j, name := range names {
		if doc.Columns[j].Name != name || doc.Columns[j].Type != e.columns[j].Type {
			r.Fatalf("objects: the column %q is called %q", name, doc.Columns[j].Name)
		}
	}
}

// describeArrow is a stream's schema and values as text.
func describeArrow(tb testing.TB, data string) string {
	tb.Helper()
	var b strings.Builder
	schema, _, rows := readArrow(tb, data)
	for _, f := range schema.Fields() {
		fmt.Fprintf(&b, "%q %v nullable=%v\n", f.Name, f.Type, f.Nullable)
	}
	for _, row := range rows {
		for j, value := range row {
			b.WriteString(strings.Repeat(" ", min(j, 1)) + show2(value))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Promise: a large answer as Arrow comes in several batches and is all there; one without rows has its schema; one of too
// many columns is refused.
func TestLargeArrow(t *testing.T) {
	t.Parallel()
	tall := &engine{columns: []query.Column{{Name: "n", Type: "BIGINT"}, {Name: "s", Type: "VARCHAR"}}}
	for i := range 40_000 {
		tall.rows = append(tall.rows, fmt.Sprintf(`[%d,%q]`, i, strings.Repeat("x", i%100)))
	}
	_, batches, rows := readArrow(t, ask(t, tall, query.Question{Format: query.Arrow}))
	if batches != 3 || len(rows) != len(tall.rows) {
		t.Fatalf("%d batches, %d rows", batches, len(rows))
	}
	for i, row := range rows {
		if *row[0] != strconv.Itoa(i) || len(*row[1]) != i%100 {
			t.Fatalf("row %d is %s, %s", i, *row[0], *row[1])
		}
	}
	schema, batches, rows := readArrow(t, ask(t, numbers(0), query.Question{Format: query.Arrow}))
	if schema.NumFields() != 1 || batches != 0 || len(rows) != 0 {
		t.Errorf("%v, %d batches", schema, batches)
	}
	wide := &engine{columns: make([]query.Column, 1001)}
	_, err := service(t, wide).Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", Format: query.Arrow})
	wantField(t, err, "format")
}
