package duckdb

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// Promise: a file from before there was a graph of ids has one when it is opened: of the events that are in it.
func TestGraphOfOldFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "old.duckdb")
	db, err := native.Open(path, native.Options{Memory: 256 << 20, Threads: 1, TempDir: filepath.Dir(path), TempLimit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Exec(t.Context(), `
		CREATE SCHEMA store;
		CREATE TABLE store.state(version BIGINT NOT NULL, project VARCHAR NOT NULL, environment VARCHAR NOT NULL, position BIGINT NOT NULL);
		INSERT INTO store.state VALUES (2, `+literal(shop.Project)+", "+literal(shop.Environment)+", 50004); "+migrations()[0]+migrations()[1]+`
		INSERT INTO store.event(position, kind, own_id, event, "timestamp", received_at, distinct_id, anonymous_id, new_user_id, properties) VALUES
			(1, 1, false, 'a', TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01', 'anon', NULL, NULL, '{}'),
			(2, 2, false, NULL, TIMESTAMP '2026-01-02', TIMESTAMP '2026-01-02', 'u', 'anon', NULL, '{"plan":"pro"}'),
			(3, 1, false, 'b', TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01', 'w', 'laptop', NULL, '{}'),
			(50004, 3, false, NULL, TIMESTAMP '2026-01-03', TIMESTAMP '2026-01-03', 'u', NULL, 'w', '{}');
		INSERT INTO store.event(position, kind, own_id, event, "timestamp", received_at, distinct_id, anonymous_id, properties)
		SELECT 4 + i, 1, false, 'c', TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01', 'user ' || i // 4, 'anon ' || i, '{}' FROM range(50000) r(i);
		INSERT INTO store.person VALUES ('u', 'anon', 0, '{"plan":"pro"}', '{"plan":1767312000000000}', TIMESTAMP '2026-01-02', TIMESTAMP '2026-01-02')`)
	conn.Close()
	db.Close()
	if err != nil {
		t.Fatal(err)
	}
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	s := &sight{t, g, openShop(t, path, 32)}
	defer func() { s.instance.close() }()
	for sql, want := range map[string]string{
		"SELECT person_id, distinct_ids, traits FROM persons WHERE person_id = 'u'": `[["u",["u","anon","w","laptop"],{"plan":"pro"}]]`,
		"SELECT count(*), sum(json_array_length(distinct_ids)) FROM persons":        `[[12501,62504]]`,
		"SELECT event, person_id FROM events WHERE event <> 'c' ORDER BY event":     `[["a","u"] ["b","u"]]`,
	} {
		if got, err := s.ask(sql, view.Scope{}); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v, want %s", sql, got, err, want)
		}
	}
}
