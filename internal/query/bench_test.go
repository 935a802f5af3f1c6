package query_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/weir-analytics/weir/internal/query"
)

// listed is an answer such as an analyst gets: seven columns of events, about 150 bytes a row.
func listed(n int) *engine {
	e := &engine{columns: []query.Column{
		{Name: "event_id", Type: "VARCHAR"}, {Name: "event", Type: "VARCHAR"}, {Name: "timestamp", Type: "TIMESTAMP"},
		{Name: "distinct_id", Type: "VARCHAR"}, {Name: "n", Type: "BIGINT"}, {Name: "amount", Type: "DECIMAL(18,2)"}, {Name: "properties", Type: "JSON"},
	}}
	for i := range n {
		e.rows = append(e.rows, fmt.Sprintf(`["01938f2e-7b1a-7c3d-9e4f-%012x","page_viewed","2026-11-22T06:%02d:%02d.%06dZ","user_%d",%d,%d.%02d,{"path":"/docs/%d","plan":"pro","ok":true}]`,
			i, i/60%60, i%60, i%1_000_000, i%997, i, i%1000, i%100, i%50))
	}
	return e
}

const benchRows = 20_000

// BenchmarkEncode is a whole Ask of 20,000 rows, the engine's rows being there already; "copy" is the bare copying of
// the same rows, the floor under all of them.
func BenchmarkEncode(b *testing.B) {
	e := listed(benchRows)
	p := permit(b)
	b.Run("copy", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rows, _ := e.Run(b.Context(), e.space, query.Statement{})
			var out bytes.Buffer
			for {
				row, err := rows.Next()
				if err == io.EOF {
					break
				}
				out.Write(row)
			}
		}
		perRow(b)
	})
	for _, f := range []query.Format{query.JSON, query.NDJSON, query.CSV, query.Parquet} {
		b.Run(string(f), func(b *testing.B) {
			s := query.New(query.Config{Engine: e, Now: fixedNow, SpoolMemory: 64 << 20})
			b.ReportAllocs()
			var size int64
			for b.Loop() {
				a, err := s.Ask(b.Context(), p, query.Question{SQL: "SELECT 1", Format: f})
				if err != nil {
					b.Fatal(err)
				}
				size = a.Size
				_ = a.Close()
			}
			perRow(b)
			b.ReportMetric(float64(size)/benchRows, "B/row")
		})
	}
}

// BenchmarkSpool is an answer of 3 MB as JSON that is kept in memory, and one that goes through a file.
func BenchmarkSpool(b *testing.B) {
	e := listed(benchRows)
	p := permit(b)
	for name, memory := range map[string]int{"memory": 64 << 20, "file": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			s := query.New(query.Config{Engine: e, Now: fixedNow, SpoolMemory: memory, TempDir: b.TempDir()})
			for b.Loop() {
				a, err := s.Ask(b.Context(), p, query.Question{SQL: "SELECT 1"})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := a.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
				_ = a.Close()
			}
			perRow(b)
		})
	}
}

func perRow(b *testing.B) {
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}
