package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// migrations bring a file's contents from each version to the next: migrations[n] from n to n+1. Statements of users
// name the views; the tables are in a schema of their own, where unqualified names do not reach.
func migrations() []string {
	return []string{
		`CREATE TABLE store.event(
			position BIGINT NOT NULL, kind UTINYINT NOT NULL, own_id BOOLEAN NOT NULL,
			event_id VARCHAR, event VARCHAR, "timestamp" TIMESTAMP NOT NULL, received_at TIMESTAMP NOT NULL,
			distinct_id VARCHAR, anonymous_id VARCHAR, device_id VARCHAR, session_id VARCHAR, new_user_id VARCHAR,
			properties JSON NOT NULL, key_id VARCHAR, source VARCHAR);
		CREATE TABLE store.person(
			distinct_id VARCHAR NOT NULL, anonymous_id VARCHAR, anonymous_at BIGINT NOT NULL,
			traits JSON NOT NULL, trait_times JSON NOT NULL, first_seen_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL);
		CREATE VIEW main.events AS
			SELECT event_id, event, "timestamp", received_at, distinct_id, anonymous_id, device_id, session_id, properties, key_id, source
			FROM store.event WHERE kind = 1;
		CREATE VIEW main.persons AS
			SELECT distinct_id, anonymous_id, traits, first_seen_at, updated_at FROM store.person;`,
		// The columns themselves are added when properties are asked for (promote.go). A program that knows version 1 only
		// would append to the table without them, and so refuses the file.
		`CREATE TABLE store.promoted(name VARCHAR NOT NULL, path VARCHAR NOT NULL, kind VARCHAR NOT NULL, until BIGINT NOT NULL, done BIGINT NOT NULL);
		CREATE TABLE store.misfit(name VARCHAR NOT NULL);`,
		// The events make the persons anew: see learnPersons.
		`DROP VIEW main.persons; DROP TABLE store.person;
		CREATE TABLE store.identity(id VARCHAR NOT NULL, person_id VARCHAR NOT NULL);
		CREATE TABLE store.person(
			person_id VARCHAR NOT NULL, distinct_ids JSON NOT NULL, anonymous_id VARCHAR, anonymous_at BIGINT NOT NULL,
			traits JSON NOT NULL, trait_state JSON NOT NULL, first_seen_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL);
		CREATE TABLE store.forgotten(person_id VARCHAR NOT NULL, distinct_ids JSON NOT NULL, forgotten_at TIMESTAMP NOT NULL);
		CREATE VIEW main.persons AS
			SELECT person_id AS distinct_id, anonymous_id, traits, first_seen_at, updated_at, person_id, distinct_ids FROM store.person;`,
		// The tables of records get a column, as they are made with: see keyRecords.
		`DROP TABLE IF EXISTS records.incoming`,
	}
}

// graphVersion is the first version whose files have the graph of ids.
const graphVersion = 3

// keyedVersion is the first version whose tables of records say which key wrote each.
const keyedVersion = 4

// instance is the open database of one space.
type instance struct {
	space event.Space
	db    *native.DB

	promoter *promoter // nil: properties stay what they are

	mu     sync.Mutex   // held by the one who writes
	writer *native.Conn // nil before the first load and after a failed one
	seen   *seen        // nil when writer is
	told   *told        // nil when writer is
}

// openInstance opens a space's file, and makes it or brings it up to date when it must; with an empty path, it makes an
// empty space in memory.
func openInstance(ctx context.Context, path string, space event.Space, o native.Options, p *promotion) (*instance, error) {
	o.TempDir = tempOf(o.TempDir, space)
	if err := os.MkdirAll(o.TempDir, 0o700); err != nil {
		return nil, err
	}
	db, err := openUnlocked(ctx, path, o)
	if err != nil {
		return nil, err
	}
	i := &instance{space: space, db: db, promoter: newPromoter(p)}
	if err := errors.Join(i.prepare(ctx), i.resume(ctx)); err != nil {
		i.close()
		return nil, fmt.Errorf("space %s/%s: %w", space.Project, space.Environment, err)
	}
	return i, nil
}

// tempOf is where a space's database spills to: a folder of its own, also for the empty space.
func tempOf(dir string, space event.Space) string {
	return filepath.Join(dir, "-"+space.Project, space.Environment)
}

// Another process may hold a file's lock for a moment while it dies.
const (
	lockTries = 50
	lockPause = 100 * time.Millisecond
)

func openUnlocked(ctx context.Context, path string, o native.Options) (*native.DB, error) {
	for try := 1; ; try++ {
		db, err := native.Open(path, o)
		if err == nil || try == lockTries || !strings.Contains(err.Error(), "Could not set lock on file") {
			return db, err
		}
		pause := time.NewTimer(lockPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

// prepare makes the tables or brings them up to date, and refuses a file that belongs to another space or a newer
// program.
func (i *instance) prepare(ctx context.Context) error {
	conn, err := i.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Exec(ctx, `
		CREATE SCHEMA IF NOT EXISTS store;
		CREATE TABLE IF NOT EXISTS store.state(
			version BIGINT NOT NULL, project VARCHAR NOT NULL, environment VARCHAR NOT NULL, position BIGINT NOT NULL)`); err != nil {
		return err
	}
	state, err := readState(ctx, conn)
	if errors.Is(err, errNoState) {
		err = conn.Each(ctx, "INSERT INTO store.state VALUES (0, $1, $2, 0)", nil, i.space.Project, i.space.Environment)
		state = fileState{space: i.space}
	}
	if err != nil {
		return err
	}
	if state.space != i.space {
		return fmt.Errorf("its file holds another space, %s/%s", state.space.Project, state.space.Environment)
	}
	steps := migrations()
	if state.version > int64(len(steps)) {
		return fmt.Errorf("its file has version %d, and this program knows up to %d", state.version, len(steps))
	}
	for v := state.version; v < int64(len(steps)); v++ {
		err := conn.Exec(ctx, fmt.Sprintf("BEGIN; %s; UPDATE store.state SET version = %d", steps[v], v+1))
		if err == nil && v+1 == graphVersion {
			err = learnPersons(ctx, conn, "")
		}
		if err == nil && v+1 == keyedVersion {
			err = keyRecords(ctx, conn)
		}
		if err == nil {
			err = conn.Exec(ctx, "COMMIT")
		}
		if err != nil {
			return fmt.Errorf("bringing it to version %d: %w", v+1, err)
		}
	}
	return nil
}

// fileState is what a file says of itself.
type fileState struct {
	version  int64
	space    event.Space
	position event.Position
}

var errNoState = errors.New("the file does not say what it is")

func readState(ctx context.Context, conn *native.Conn) (fileState, error) {
	var s fileState
	found := false
	err := conn.Each(ctx, "SELECT version, project, environment, position FROM store.state", func(r *native.Result, row int) error {
		s = fileState{r.Int(0, row), event.Space{Project: r.Text(1, row), Environment: r.Text(2, row)}, event.Position(r.Int(3, row))}
		found = true
		return nil
	})
	if err == nil && !found {
		err = errNoState
	}
	return s, err
}

// loaded is the position of the last record stored.
func (i *instance) loaded(ctx context.Context) (event.Position, error) {
	conn, err := i.db.Connect()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	state, err := readState(ctx, conn)
	return state.position, err
}

// memory is how many bytes the engine holds for this instance.
func (i *instance) memory() int64 {
	conn, err := i.db.Connect()
	if err != nil {
		return 0
	}
	defer conn.Close()
	var held int64
	_ = conn.Each(context.Background(), "SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory()", func(r *native.Result, row int) error {
		held = r.Int(0, row)
		return nil
	})
	return held
}

// close writes a checkpoint and closes the file. Nobody may use the instance any more.
func (i *instance) close() {
	if i.promoter != nil {
		i.promoter.end()
	}
	i.dropWriter()
	i.db.Close()
}

// fileEnding is how the files are called.
const fileEnding = ".duckdb"

// filePath is where a space's file is.
func filePath(dir string, s event.Space) string {
	return filepath.Join(dir, s.Project, s.Environment+fileEnding)
}

// hasFile reports whether a space has a file.
func hasFile(dir string, s event.Space) (bool, error) {
	_, err := os.Stat(filePath(dir, s))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
