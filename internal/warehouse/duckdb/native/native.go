// Package native owns calling the engine's C interface: opening databases, running statements whose rows stream, writing
// rows in bulk, and turning values into JSON without losing a digit.
//
// It goes below the engine's database/sql driver, which holds whole results in memory, reads JSON into maps and so
// rounds large numbers, and takes the end of a failed stream for the end of its rows.
//
// It does not own what is stored or who may ask for it (package duckdb), nor which statements are allowed (guard).
package native

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	b "github.com/duckdb/duckdb-go-bindings"
)

// Options say how a database is opened.
type Options struct {
	ReadOnly  bool
	Memory    int64  // bytes that the engine's own accounting allows; not everything is accounted for
	Threads   int    // worker threads
	TempDir   string // where to spill to, this database alone: the names of the files are the same for all; empty: nowhere
	TempLimit int64  // bytes spilled at most

	reach bool // other files can be attached
}

// DB is an open database: a file, or memory when the path is empty. It reads and writes no other file than its own and
// its temporary ones, loads no extension, and its settings cannot be changed.
type DB struct {
	db        b.Database
	rewriters *rewriters
}

// Open opens the database at path, and makes it when there is none and it is not to be read only.
func Open(path string, o Options) (*DB, error) {
	settings := [][2]string{
		{"access_mode", "automatic"},
		{"threads", strconv.Itoa(o.Threads)},
		{"memory_limit", strconv.FormatInt(o.Memory, 10) + "B"},
		{"temp_directory", o.TempDir},
		{"max_temp_directory_size", strconv.FormatInt(o.TempLimit, 10) + "B"},
		{"checkpoint_threshold", checkpointAt},
		{"allow_persistent_secrets", "false"},
		{"allow_community_extensions", "false"},
		{"autoinstall_known_extensions", "false"},
		{"autoload_known_extensions", "false"},
		{"enable_external_access", "false"},
	}
	if o.ReadOnly {
		settings[0][1] = "read_only"
	}
	if o.reach {
		settings[len(settings)-1][1] = "true"
	}
	var config b.Config
	if b.CreateConfig(&config) == b.StateError {
		return nil, &Error{Kind: Fault, Message: "the engine's configuration could not be made"}
	}
	defer b.DestroyConfig(&config)
	for _, s := range settings {
		if b.SetConfig(config, s[0], s[1]) == b.StateError {
			return nil, &Error{Kind: Fault, Message: fmt.Sprintf("the engine does not take the setting %s=%s", s[0], s[1])}
		}
	}
	db, message := &DB{}, ""
	if b.OpenExt(path, &db.db, config, &message) == b.StateError {
		b.Close(&db.db)
		return nil, newError(message)
	}
	if err := db.lock(); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// checkpointAt is the size of the write-ahead log at which a commit also writes a checkpoint. The engine's own 16 MiB
// makes every few loads wait for one; much more makes opening after a crash slow.
const checkpointAt = "64MiB"

// lock adds what there is to add, fixes the time zone, whatever the system's is, and then every setting but the time zone
// of a connection, which SetTimeZone sets.
func (db *DB) lock() error {
	conn, err := db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := db.addRewriters(conn); err != nil {
		return err
	}
	return conn.Exec(context.Background(), "SET GLOBAL TimeZone = 'UTC'; SET GLOBAL allowed_configs = ['TimeZone']; SET GLOBAL lock_configuration = true")
}

// Close closes the database, writing a checkpoint when it may. Its connections must be closed before.
func (db *DB) Close() { b.Close(&db.db) }

// Connect opens a connection. A connection is for one goroutine at a time.
func (db *DB) Connect() (*Conn, error) {
	c := &Conn{}
	if b.Connect(db.db, &c.conn) == b.StateError {
		return nil, &Error{Kind: Fault, Message: "the engine gave no connection"}
	}
	return c, nil
}

// Conn is a connection.
type Conn struct {
	conn b.Connection
}

// Close closes the connection and rolls back what it has not committed. Its statements and results must be closed
// before.
func (c *Conn) Close() { b.Disconnect(&c.conn) }

// Exec runs statements, parted by semicolons, that take no parameters, and drops their rows. It is interrupted when ctx
// is done.
func (c *Conn) Exec(ctx context.Context, sql string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	c.interruptible(ctx, func() {
		var res b.Result
		if b.Query(c.conn, sql, &res) == b.StateError {
			err = newError(b.ResultError(&res))
		}
		b.DestroyResult(&res)
	})
	return err
}

// interruptAgain is how often an interrupt is repeated: the engine forgets one that comes between two steps.
const interruptAgain = 50 * time.Millisecond

// interruptible makes a call, and interrupts the connection's work from the moment ctx is done until the call returns.
func (c *Conn) interruptible(ctx context.Context, call func()) {
	returned, over := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		again := time.NewTicker(interruptAgain)
		defer again.Stop()
		for {
			b.Interrupt(c.conn)
			select {
			case <-returned:
				return
			case <-again.C:
			}
		}
	})
	call()
	close(returned)
	if !stop() {
		<-over
	}
}

// Kind says whose matter an error is.
type Kind uint8

// The kinds of errors.
const (
	Statement   Kind = iota // the statement, or the data it met, is at fault
	Memory                  // it needed more memory, or room to spill, than it may have
	Interrupted             // it was interrupted
	Fault                   // the engine or the disk is at fault
	Broken                  // the database is unusable until it is opened again
)

// Error is an error of the engine, with its message as it is, several lines long.
type Error struct {
	Kind    Kind
	Message string
}

// Error is the engine's message.
func (e *Error) Error() string { return e.Message }

func newError(message string) *Error {
	kind := Statement
	class, _, _ := strings.Cut(message, " Error:")
	switch class {
	case "Out of Memory":
		kind = Memory
	case "INTERRUPT":
		kind = Interrupted
	case "IO", "INTERNAL", "TransactionContext", "Connection", "Scheduler", "Serialization":
		kind = Fault
	case "FATAL":
		kind = Broken
	}
	return &Error{Kind: kind, Message: message}
}
