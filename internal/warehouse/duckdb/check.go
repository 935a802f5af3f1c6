package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// Report is what Check found out about the file of one space.
type Report struct {
	Space    event.Space
	Bytes    int64 // of the file and its write-ahead log
	Version  int64 // of the file's contents
	Position event.Position
	Events   int64 // records stored, of every kind
	Persons  int64
	Fault    string // empty: none found
}

// checkMemory is what the engine may take for a check.
const checkMemory = 512 << 20

// Check reads every file of a warehouse's folder from end to end, in this process, and changes nothing. No server may
// have the folder: the caller holds its lock. A fault of a file is in its report; the error is of the folder itself.
func Check(ctx context.Context, dir string) ([]Report, error) {
	var reports []Report
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path == dir:
			return fs.SkipAll
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != fileEnding:
			return ctx.Err()
		}
		report := Report{Space: event.Space{
			Project: filepath.Base(filepath.Dir(path)), Environment: strings.TrimSuffix(entry.Name(), fileEnding),
		}}
		if err := report.read(ctx, path); err != nil {
			report.Fault = err.Error()
		}
		reports = append(reports, report)
		return ctx.Err()
	})
	slices.SortFunc(reports, func(a, b Report) int {
		return strings.Compare(a.Space.Project+"/"+a.Space.Environment, b.Space.Project+"/"+b.Space.Environment)
	})
	return reports, err
}

func (r *Report) read(ctx context.Context, path string) error {
	for _, name := range []string{path, path + ".wal"} {
		if info, err := os.Stat(name); err == nil {
			r.Bytes += info.Size()
		}
	}
	db, err := native.Open(path, native.Options{ReadOnly: true, Memory: checkMemory, Threads: 1})
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	state, err := readState(ctx, conn)
	if err != nil {
		return err
	}
	r.Version, r.Position = state.version, state.position
	if state.space != r.Space {
		return fmt.Errorf("the file holds another space, %s/%s", state.space.Project, state.space.Environment)
	}
	if newest := int64(len(migrations())); r.Version > newest {
		return fmt.Errorf("the file has version %d, and this program knows up to %d", r.Version, newest)
	}
	return r.count(ctx, conn)
}

// count reads every value of every table, so that the engine verifies each block's checksum.
func (r *Report) count(ctx context.Context, conn *native.Conn) error {
	last := int64(0)
	err := conn.Each(ctx, "SELECT count(*), coalesce(max(position), 0), bit_xor(hash(e)) FROM store.event e", func(rows *native.Result, row int) error {
		r.Events, last = rows.Int(0, row), rows.Int(1, row)
		return nil
	})
	if err != nil {
		return err
	}
	err = conn.Each(ctx, "SELECT count(*), bit_xor(hash(p)) FROM store.person p", func(rows *native.Result, row int) error {
		r.Persons = rows.Int(0, row)
		return nil
	})
	if err == nil && last > int64(r.Position) {
		err = fmt.Errorf("the file holds record %d, after its position", last)
	}
	return err
}
