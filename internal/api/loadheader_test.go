package api_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// Promise: a file whose header lacks the column of the dataset's key, or of a required property, is refused at once, in every
// format that has one, and each column is named; one that lacks others is loaded, and so are objects, each on its own.
func TestFilesWithoutTheKeyAreRefused(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"QUOTES","schema":{"type":"object","properties":{"symbol":{"type":"string"},"date":{"type":"date"},
		"venue":{"type":"string"},"open":{"type":"number"}},"required":["venue"]},"columnMapping":{"key":"symbol","date":"date"}}`, 201)
	type row struct {
		Open float64 `parquet:"open"`
	}
	var file bytes.Buffer
	if err := parquet.Write(&file, []row{{1}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file  string
		lacks string
	}{
		"csv":            {"date,open\n2026-01-02,1\n", "symbol venue"},
		"tsv":            {"date\topen\n2026-01-02\t1\n", "symbol venue"},
		"psv":            {"date|open\n2026-01-02|1\n", "symbol venue"},
		"parquet":        {file.String(), "symbol venue"},
		"another case":   {"Symbol,venue\nA,X\n", "symbol"},
		"header alone":   {"venue\n", "symbol"},
		"a required one": {"symbol,open\nA,1\n", "venue"},
		"no date":        {"symbol,venue\nA,X\n", ""},
		"objects":        {`{"open":1}` + "\n" + `{"symbol":"B","venue":"X"}`, ""},
	} {
		status := 202
		if c.lacks != "" {
			status = 422
		}
		for _, query := range []string{"?wait=true", "?overwrite=true&wait=true"} {
			body := s.ask(s.all, "POST", "/v1/data/CORE/QUOTES"+query, c.file, status)
			for column := range strings.FieldsSeq(c.lacks) {
				if !strings.Contains(body, `"field":"`+column+`"`) {
					t.Errorf("%s: %s is not named in %s", name, column, body)
				}
			}
			if strings.Contains(body, `"field":"date"`) {
				t.Errorf("%s: %s", name, body)
			}
		}
	}
}
