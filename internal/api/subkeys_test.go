package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Promise: where subkeys are named, numbers of records are counted for each combination of a key and a subkey, of records that were
// written as of those that a statement gives; a reading of more than 2,000 combinations of datasets, keys and subkeys is refused.
func TestNumbersCountForEachCombination(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"BARS","schema":{"type":"object","properties":{"k":{"type":"string"},"s":{"type":"string"},
		"d":{"type":"date"},"n":{"type":"integer"}}},"columnMapping":{"key":"k","subkey":"s","date":"d"}}`, 201)
	var list []string
	for n := range 12 { // of a and b, of x, y and z, of two days
		list = append(list, fmt.Sprintf(`{"k":"%c","s":"%c","d":"2026-01-0%d","n":%d}`, "ab"[n%2], "xyz"[n/2%3], n/6+1, n))
	}
	s.ask(s.all, "POST", "/v1/record/CORE/BARS", "["+strings.Join(list, ",")+"]", 200)
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"ASKED","sql":"SELECT * FROM bars","columnMapping":{"key":"k","subkey":"s","date":"d"}}`, 201)
	for ask, want := range map[string]string{
		"a,b/x,y?last=1":          "8 6 9 7",
		"a,b/x,y?first=1":         "2 0 3 1",
		"a,b/x,y?limit=1":         "8 6 9 7",
		"a/x,y?last=1&offset=1":   "2 0",
		"a/x,y,none?last=5":       "8 6 2 0",
		"a/x,y?interval=2":        "8 6",
		"a/x?last=1":              "6",
		"b,a?last=1":              "11 10", // of keys alone, for each key
		"a/x,y?from=2026-01-02":   "8 6",
		"a/x,y?last=1&sort=asc":   "6 8",
		"a/x,y?last=1&filter=n<8": "6 2",
	} {
		for _, dataset := range []string{"BARS", "ASKED"} {
			var rows []struct {
				N int `json:"n"`
			}
			text := s.ask(s.all, "GET", "/v1/data/CORE/"+dataset+"/"+strings.ReplaceAll(ask, "<", "%3C"), "", 200)
			if err := json.Unmarshal([]byte(text), &rows); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			got := make([]string, len(rows))
			for i := range rows {
				got[i] = fmt.Sprint(rows[i].N)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s/%s: %s, want %s", dataset, ask, got, want)
			}
		}
	}
	names := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprint("x", i)
		}
		return strings.Join(list, ",")
	}
	body := s.ask(s.all, "GET", "/v1/data/CORE/BARS/"+names(40)+"/"+names(51)+"?last=1", "", 422)
	if !strings.Contains(body, "2040 combinations") || !strings.Contains(body, `"path.subkey"`) {
		t.Errorf("too many combinations: %s", body)
	}
	s.ask(s.all, "GET", "/v1/data/CORE/BARS/"+names(40)+"/"+names(50)+"?last=1", "", 200)
}
