package api_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/weir-analytics/weir/internal/export"
)

// Promise: when records of a dataset are deleted, in whatever way, what was taken out of it before can be fetched no more,
// neither as the file of an export nor as a result that waits; what is of something else can, and so it is when a record only
// took another's place.
func TestDeletedRecordsAreInNoFile(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	const more = `{"schema":{"type":"object","properties":{"symbol":{"type":"string"},"date":{"type":"date"},"open":{"type":"number"}}},"columnMapping":{"key":"symbol","date":"date"}}`
	ways := map[string]func(dataset string){
		"records": func(id string) { s.ask(s.all, "DELETE", "/v1/data/CORE/"+id+"/S1", "", 200) },
		"none":    func(id string) { s.ask(s.all, "DELETE", "/v1/data/CORE/"+id+"/NOBODY", "", 200) }, // of whoever repeats it
		"all": func(id string) {
			s.ask(s.all, "PATCH", "/v1/datasets/CORE/"+id+"?existing=delete", more, 200)
		},
		"dataset": func(id string) { s.ask(s.all, "DELETE", "/v1/datasets/CORE/"+id, "", 204) },
		"replaced": func(id string) {
			s.ask(s.all, "POST", "/v1/record/CORE/"+id+"?duplicateKeyHandling=true", `{"symbol":"S1","date":"2026-01-01","open":2}`, 200)
		},
	}
	s.define("OTHER", "core")
	s.ask(s.all, "POST", "/v1/record/CORE/OTHER", `{"symbol":"S1","date":"2026-01-01","open":1}`, 200)
	for name, way := range ways {
		id := "D_" + name
		s.define(id, "core")
		s.ask(s.all, "POST", "/v1/record/CORE/"+id, `[{"symbol":"S1","date":"2026-01-01","open":1},{"symbol":"S2","date":"2026-01-01","open":1}]`, 200)
		key := s.taker("")
		gone, _ := s.take(key, fmt.Sprintf(`{"of":"dataset","dataset":%q}`, id))
		stays, _ := s.take(key, `{"of":"dataset","dataset":"OTHER"}`)
		result := s.w.site.submit(t, key.text, fmt.Sprintf(`{"sql":"SELECT * FROM \"%s\""}`, id))
		if status, code := s.w.site.status(t, key.text, result); status != "succeeded" {
			t.Fatal(status, code)
		}
		way(id)
		file, waits := 410, 410
		if name == "replaced" {
			file, waits = 200, 200
		}
		s.ask(key.text, "GET", "/v1/exports/"+gone.ID+"/file", "", file)
		s.ask(key.text, "GET", "/v1/exports/"+stays.ID+"/file", "", 200)
		s.ask(key.text, "GET", "/v1/queries/"+result+"/result", "", waits)
		if e := s.awaited(key, gone.ID); (e.GoneReason == export.GoneForgotten) != (file == 410) {
			t.Errorf("%s: %+v", name, e)
		}
	}
	names, err := filepath.Glob(filepath.Join(s.w.dir, "exports", s.id, "*", "*.file"))
	if err != nil || len(names) != len(ways)+1 {
		t.Errorf("there are %q, %v", names, err)
	}
}
