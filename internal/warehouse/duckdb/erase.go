package duckdb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// What is erased is deleted in a transaction, and then the space's file is written anew without it: the engine leaves the
// bytes of deleted rows in its blocks. The new file is written beside the old one and takes its place by a rename; after a
// crash on the way the old one is there, and the erasure is repeated. Nobody uses the space meanwhile.

// The addresses for erasing.
const (
	pathErase     = "/erase"
	pathErasable  = "/erasable"
	pathPersonIDs = "/person-ids"
	pathTheirs    = "/person-ids/theirs"
)

// eraseLimit is how long an erasure may take. It is as long as a load that waits for it.
const eraseLimit = loadLimit

var errEraseLimit = errors.New("duckdb: an erasure took too long")

// erasing is what a call about erasing says, and erased its answer.
type (
	erasing struct {
		ID        string             `json:"id"`
		Selection deletion.Selection `json:"selection"`
	}
	erased struct {
		Counts deletion.Counts `json:"counts"`
		IDs    []string        `json:"ids"`
	}
)

var _ deletion.Warehouse = (*Warehouse)(nil)

// PersonIDs implements deletion.Warehouse.
func (w *Warehouse) PersonIDs(ctx context.Context, space event.Space, id string) ([]string, error) {
	says, err := w.erasure(ctx, space, pathPersonIDs, erasing{ID: id})
	return says.IDs, err
}

// Theirs implements deletion.Warehouse.
func (w *Warehouse) Theirs(ctx context.Context, space event.Space, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	says, err := w.erasure(ctx, space, pathTheirs, erasing{Selection: deletion.Selection{IDs: ids}})
	return says.IDs, err
}

// CountErasable implements deletion.Warehouse.
func (w *Warehouse) CountErasable(ctx context.Context, space event.Space, s deletion.Selection) (deletion.Counts, error) {
	says, err := w.erasure(ctx, space, pathErasable, erasing{Selection: s})
	return says.Counts, err
}

// Erase implements deletion.Warehouse. It takes as long as the file takes to be written.
func (w *Warehouse) Erase(ctx context.Context, space event.Space, s deletion.Selection) (deletion.Counts, []string, error) {
	says, err := w.erasure(ctx, space, pathErase, erasing{Selection: s})
	return says.Counts, says.IDs, err
}

func (w *Warehouse) erasure(ctx context.Context, space event.Space, path string, e erasing) (says erased, err error) {
	if err := checkSpace(space); err != nil {
		return says, err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return says, err
	}
	p, err := w.live(ctx)
	if err != nil {
		return says, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, eraseLimit, errEraseLimit)
	defer cancel()
	err = p.call(limited, path+spaceQuery(space), body, &says)
	switch {
	case err == nil:
		return says, nil
	case context.Cause(limited) == errEraseLimit: //nolint:errorlint // it is the value itself
		return erased{}, problem.Wrap(err, problem.Unavailable, "The events could not be erased within %s.", eraseLimit).After(time.Minute)
	}
	return erased{}, fmt.Errorf("duckdb: erasing in %s/%s: %w", space.Project, space.Environment, err)
}

// serveErasing adds the addresses for erasing.
func (c *child) serveErasing(mux *http.ServeMux) {
	handle := func(path string, do func(ctx context.Context, space event.Space, e *erasing) (erased, error)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			var e erasing
			space, err := spaceOf(r)
			if err == nil {
				err = json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxStatement), &e)
			}
			var says erased
			if err == nil {
				says, err = do(r.Context(), space, &e)
			}
			if err != nil {
				c.fail(w, err)
				return
			}
			_ = json.MarshalWrite(w, says)
		})
	}
	looking := func(do func(ctx context.Context, conn *native.Conn, e *erasing) (erased, error)) func(context.Context, event.Space, *erasing) (erased, error) {
		return func(ctx context.Context, space event.Space, e *erasing) (erased, error) {
			i, back, err := c.shelf.read(ctx, space)
			if err != nil {
				return erased{}, err
			}
			defer back()
			conn, err := i.db.Connect()
			if err != nil {
				return erased{}, err
			}
			defer conn.Close()
			return do(ctx, conn, e)
		}
	}
	handle(pathPersonIDs, looking(func(ctx context.Context, conn *native.Conn, e *erasing) (erased, error) {
		ids, err := personIDs(ctx, conn, e.ID)
		return erased{IDs: ids}, err
	}))
	handle(pathTheirs, looking(func(ctx context.Context, conn *native.Conn, e *erasing) (erased, error) {
		ids, err := theirs(ctx, conn, e.Selection.IDs)
		return erased{IDs: ids}, err
	}))
	handle(pathErasable, looking(func(ctx context.Context, conn *native.Conn, e *erasing) (erased, error) {
		counts, err := erasable(ctx, conn, &e.Selection)
		return erased{Counts: counts}, err
	}))
	handle(pathErase, func(ctx context.Context, space event.Space, e *erasing) (says erased, err error) {
		err = c.shelf.alone(ctx, space, func(path string) error {
			says, err = c.shelf.erase(ctx, path, space, &e.Selection)
			if err != nil || len(says.IDs) > 0 {
				return err
			}
			return c.shelf.rewrite(ctx, path, space)
		})
		return says, err
	})
}

// optionsOf are those of a space's own database.
func (s *shelf) optionsOf(space event.Space) (native.Options, error) {
	o := s.options
	o.TempDir = tempOf(o.TempDir, space)
	return o, os.MkdirAll(o.TempDir, 0o700)
}

// erase deletes in a file that nobody has open.
func (s *shelf) erase(ctx context.Context, path string, space event.Space, sel *deletion.Selection) (says erased, err error) {
	o, err := s.optionsOf(space)
	if err != nil {
		return says, err
	}
	db, err := openUnlocked(ctx, path, o)
	if err != nil {
		return says, err
	}
	i := &instance{space: space, db: db}
	defer db.Close()
	if err := i.prepare(ctx); err != nil {
		return says, err
	}
	conn, err := db.Connect()
	if err != nil {
		return says, err
	}
	defer conn.Close() // which takes back what is not committed
	if err := conn.Exec(ctx, "BEGIN"); err != nil {
		return says, err
	}
	if says, err = eraseRows(ctx, conn, sel); err != nil || len(says.IDs) > 0 {
		return says, err
	}
	return says, conn.Exec(context.WithoutCancel(ctx), "COMMIT; CHECKPOINT")
}

// rewrite writes a file anew: it holds what it held, and nothing of what was deleted in it.
func (s *shelf) rewrite(ctx context.Context, path string, space event.Space) error {
	o, err := s.optionsOf(space)
	if err != nil {
		return err
	}
	beside := path + besideEnding
	if err := clearBeside(path); err != nil {
		return err
	}
	const events, state = "SELECT count(*)::BIGINT FROM %s.store.event", "SELECT position FROM %s.store.state"
	if err := native.Copy(ctx, path, beside, o, events, state); err != nil {
		return errors.Join(fmt.Errorf("writing the file anew: %w", err), clearBeside(path))
	}
	if err := syncFile(beside); err != nil {
		return err
	}
	if _, err := os.Stat(path + ".wal"); err == nil { // it is of the old file, and would be applied to the new one
		return errors.New("the file has a log that was not written into it")
	}
	if err := os.Rename(beside, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// among is a condition that a column has one of the texts that parameter 1 lists.
func among(column string) string { return column + unnested }

// listed is a list of texts as a parameter.
func listed(texts []string) string {
	text, _ := json.Marshal(texts) // texts always can be
	return string(text)
}

// personIDs finds the ids of a person, the one asked for first.
func personIDs(ctx context.Context, conn *native.Conn, id string) ([]string, error) {
	ids := []string{id}
	add := func(text string) {
		if !slices.Contains(ids, text) {
			ids = append(ids, strings.Clone(text))
		}
	}
	if err := conn.Each(ctx, "SELECT id FROM store.identity WHERE person_id IN (SELECT person_id FROM store.identity WHERE id = $1) ORDER BY id",
		func(r *native.Result, row int) error { add(r.Text(0, row)); return nil }, id); err != nil {
		return nil, err
	}
	err := conn.Each(ctx, `
		WITH gone AS (SELECT unnest(list_append(from_json(distinct_ids, '["VARCHAR"]'), person_id)) AS id FROM store.forgotten
			WHERE list_has_any(list_append(from_json(distinct_ids, '["VARCHAR"]'), person_id), from_json($1, '["VARCHAR"]')))
		SELECT DISTINCT id FROM gone WHERE id NOT IN (SELECT id FROM store.identity) ORDER BY id`,
		func(r *native.Result, row int) error { add(r.Text(0, row)); return nil }, listed(ids))
	return ids, err
}

// ownerOf is the id that says whose an event is.
const ownerOf = "coalesce(distinct_id, anonymous_id, device_id)"

// idColumns are those of an event that may name others than its owner.
func idColumns() []string { return []string{"anonymous_id", "device_id", "new_user_id"} }

// ofPerson is the condition of the events that are a person's: those under their ids, and those that join one of theirs
// with somebody's.
func ofPerson() string {
	return "(" + among(ownerOf) + fmt.Sprintf(" OR kind = %d AND ", event.Alias) + among("coalesce(new_user_id, '')") + ")"
}

// filtered are the conditions of a selection that is no person's, with their parameters.
func filtered(s *deletion.Selection) (where string, args []any, err error) {
	q := &selected{}
	add := func(sql string) { q.where = append(q.where, sql) }
	if s.KeyID != "" {
		add("key_id = " + q.arg(s.KeyID))
	}
	if len(s.Events) > 0 {
		add("event IN (SELECT unnest(" + q.list(s.Events) + "))")
	}
	if !s.From.IsZero() {
		add("received_at >= " + q.time(s.From))
	}
	if !s.Until.IsZero() {
		add("received_at < " + q.time(s.Until))
	}
	if len(q.where) == 0 {
		return "", nil, errors.New("a selection of everything")
	}
	if s.Track || len(s.Events) > 0 {
		add(fmt.Sprintf("kind = %d", event.Track))
	}
	return q.sql(), q.args, nil
}

// counting asks for one number.
func counting(ctx context.Context, conn *native.Conn, sql string, args ...any) (n int64, err error) {
	err = conn.Each(ctx, sql, func(r *native.Result, row int) error {
		n = r.Int(0, row)
		return nil
	}, args...)
	return n, err
}

// erasable counts.
func erasable(ctx context.Context, conn *native.Conn, s *deletion.Selection) (c deletion.Counts, err error) {
	if len(s.IDs) == 0 {
		return erasableFiltered(ctx, conn, s)
	}
	ids := listed(s.IDs)
	if c.Events, err = counting(ctx, conn, "SELECT count(*) FROM store.event WHERE "+ofPerson(), ids); err != nil {
		return c, err
	}
	named := make([]string, 0, len(idColumns()))
	for _, column := range idColumns() {
		named = append(named, among("coalesce("+column+", '')"))
	}
	if c.Changed, err = counting(ctx, conn, "SELECT count(*) FROM store.event WHERE NOT coalesce("+ofPerson()+", false) AND ("+strings.Join(named, " OR ")+")", ids); err != nil {
		return c, err
	}
	c.Persons, err = counting(ctx, conn, "SELECT count(DISTINCT person_id) FROM store.identity WHERE "+among("id"), ids)
	return c, err
}

// erasableFiltered counts what fits, with the persons who are made anew without it.
func erasableFiltered(ctx context.Context, conn *native.Conn, s *deletion.Selection) (c deletion.Counts, err error) {
	where, args, err := filtered(s)
	if err != nil {
		return c, err
	}
	if c.Events, err = counting(ctx, conn, "SELECT count(*) FROM store.event"+where, args...); err != nil {
		return c, err
	}
	if !s.Track && len(s.Events) == 0 {
		if c.Remade, err = toldOf(ctx, conn, where, args); err != nil {
			return c, err
		}
	}
	c.Records, err = countRecordsOf(ctx, conn, s)
	return c, err
}

// eraseRows deletes within the connection's transaction.
func eraseRows(ctx context.Context, conn *native.Conn, s *deletion.Selection) (says erased, err error) {
	if len(s.IDs) == 0 {
		says.Counts, err = eraseFiltered(ctx, conn, s)
		return says, err
	}
	now, err := personIDs(ctx, conn, s.IDs[0])
	if err != nil {
		return says, err
	}
	if slices.ContainsFunc(now, func(id string) bool { return !slices.Contains(s.IDs, id) }) {
		says.IDs = now
		return says, nil
	}
	mine := deletion.Selection{IDs: slices.Clone(now)}
	if mine.IDs, err = unclaimed(ctx, conn, s.IDs, now); err != nil {
		return says, err
	}
	if says.Counts, err = erasable(ctx, conn, &mine); err != nil {
		return says, err
	}
	statements := []string{"DELETE FROM store.event WHERE " + ofPerson()}
	for _, column := range idColumns() {
		statements = append(statements, "UPDATE store.event SET "+column+" = NULL WHERE "+among(column))
	}
	statements = append(
		statements,
		"DELETE FROM store.person WHERE person_id IN (SELECT person_id FROM store.identity WHERE "+among("id")+")",
		"UPDATE store.person SET anonymous_id = NULL, anonymous_at = 0 WHERE "+among("anonymous_id"),
		"DELETE FROM store.identity WHERE "+among("id"),
		"DELETE FROM store.forgotten WHERE "+among("person_id")+` OR list_has_any(from_json(distinct_ids, '["VARCHAR"]'), from_json($1, '["VARCHAR"]'))`,
	)
	for _, sql := range statements {
		if err := conn.Each(ctx, sql, nil, listed(mine.IDs)); err != nil {
			return says, err
		}
	}
	return says, nil
}

// theirs are those of a person's ids that are not somebody else's by now.
func theirs(ctx context.Context, conn *native.Conn, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	now, err := personIDs(ctx, conn, ids[0])
	if err != nil {
		return nil, err
	}
	return unclaimed(ctx, conn, ids, now)
}

// unclaimed are the ids that are the person's, or nobody's: what was theirs may be somebody else's by now.
func unclaimed(ctx context.Context, conn *native.Conn, ids, now []string) (mine []string, err error) {
	taken := map[string]bool{}
	err = conn.Each(ctx, "SELECT id FROM store.identity WHERE "+among("id"), func(r *native.Result, row int) error {
		taken[strings.Clone(r.Text(0, row))] = true
		return nil
	}, listed(ids))
	for _, id := range ids {
		if slices.Contains(now, id) || !taken[id] {
			mine = append(mine, id)
		}
	}
	return mine, err
}

// eraseFiltered deletes what fits. When something of it told of persons, these are made anew of what is left.
func eraseFiltered(ctx context.Context, conn *native.Conn, s *deletion.Selection) (c deletion.Counts, err error) {
	where, args, err := filtered(s)
	if err != nil {
		return c, err
	}
	c, err = erasable(ctx, conn, s)
	if err == nil {
		err = eraseRecordsOf(ctx, conn, s)
	}
	if err != nil || c.Events == 0 {
		return c, err
	}
	told := int64(0)
	if !s.Track {
		told, err = markTold(ctx, conn, where, args)
	}
	if err == nil {
		err = conn.Each(ctx, "DELETE FROM store.event"+where, nil, args...)
	}
	if err != nil || told == 0 {
		return c, err
	}
	before, err := counting(ctx, conn, "SELECT count(*) FROM store.person")
	if err == nil {
		err = relearn(ctx, conn)
	}
	if err != nil {
		return c, err
	}
	after, err := counting(ctx, conn, "SELECT count(*) FROM store.person")
	c.Persons = max(before-after, 0)
	return c, err
}
