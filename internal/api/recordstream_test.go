package api_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a stream of records ends when the credits that were set aside for it are used up, has no record that is not paid, and gives
// back the rest.
func TestAStreamEndsWithItsCredits(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t).apart(t))
	s.define("QUOTES", "core")
	key := s.limited(access.Limits{Credits: access.Quota{Most: 150}})
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.w.site.server.URL+"/v1/stream/CORE/QUOTES?nosnapshot=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-API-Key", key.text)
	answer, err := s.w.site.send(q)
	if err != nil || answer.StatusCode != 200 {
		t.Fatal(answer, err)
	}
	defer func() { _ = answer.Body.Close() }()
	records := func(day, n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`{"symbol":"A%d","date":"2026-01-%02d"}`, i, day))
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	lines, sent, said := bufio.NewScanner(answer.Body), 0, false
	lines.Scan() // it is followed
	for day := range 3 {
		s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", records(day+1, 40), 200)
	}
	for lines.Scan() {
		sent += strings.Count(lines.Text(), `"symbol"`)
		said = said || strings.Contains(lines.Text(), "used up")
	}
	if sent != 80 || !said {
		t.Errorf("the stream had %d records, and said that it ends: %v", sent, said)
	}
	if left := s.left(key); left != 150-80 {
		t.Errorf("%d credits are left of 150", left)
	}
}

// Promise: a key has only so many streams of records at a time, and another key of the project still finds room.
func TestAKeyHasSoManyStreamsOfRecords(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t).apart(t))
	s.define("QUOTES", "core")
	live := new(dataset.Live)
	datasets := dataset.New(dataset.Config{Store: s.w.store, Records: s.w.warehouse, Jobs: s.w.jobs, Live: live, Now: s.w.clock.Now, NewID: newSuffix, Statements: lateStatements{s.w}})
	site := s.w.variant(t, func(cfg *api.Config) { cfg.Datasets = datasets }, nil)
	permit := s.permit(access.ReadDatasets)
	follow := func() error {
		_, err := datasets.Follow(t.Context(), permit, dataset.At{Workspace: "production", ID: "QUOTES"}, dataset.Following{})
		return err
	}
	n := 0
	for ; follow() == nil; n++ {
		if n > 1000 {
			t.Fatal("there is no limit")
		}
	}
	if err := follow(); n != 64 || problem.Of(err) != problem.Unavailable {
		t.Errorf("after %d: %v", n, err)
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, site.server.URL+"/v1/stream/CORE/QUOTES", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-API-Key", s.all)
	answer, err := site.send(q)
	if err != nil || answer.StatusCode != 200 {
		t.Fatal(answer, err)
	}
	_ = answer.Body.Close()
}
