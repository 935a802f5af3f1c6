package api_test

import (
	"strings"
	"testing"
)

// Promise: columns of a statement that cannot be told apart are told at the statement, which is where they are mended.
func TestEqualColumnsAreToldAtTheStatement(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	for _, sql := range []string{
		"SELECT 'k' AS k, 1 AS n, 2 AS n", "SELECT 'k' AS k, 1 AS n, 2 AS N", "SELECT 'k' AS k, 1 AS weir_n",
	} {
		body := s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"TWICE","sql":"`+sql+`","columnMapping":{"key":"k"}}`, 422)
		if !strings.Contains(body, `"field":"sql"`) || strings.Contains(body, `"field":"schema`) {
			t.Errorf("%s: %s", sql, body)
		}
	}
}
