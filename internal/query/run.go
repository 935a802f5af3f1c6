package query

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Run is one running of a question, under way or over. Of the question it has the statement and never the parameters.
type Run struct {
	ID          string
	Project     string
	KeyID       string // the key that asked
	Owner       string // whose run it is, as access.Key.Owner says
	Environment string
	Live        bool   // the key sees live things
	SQL         string // at most 4 KiB of it; empty when statements are not kept
	StartedAt   time.Time
	Elapsed     time.Duration // of one that is over
	Rows        int64
	Bytes       int64
	Credits     int64
	Status      RunStatus
	Code        problem.Code // why it failed or was cancelled
	Cached      bool
	Background  bool // nobody waited for it: its result was to be fetched
}

// RunStatus is what became of a run.
type RunStatus string

// The statuses. A run is lost when the program ended without a word of it.
const (
	Running   RunStatus = "running"
	Succeeded RunStatus = "succeeded"
	Failed    RunStatus = "failed"
	Cancelled RunStatus = "cancelled"
	Lost      RunStatus = "lost"
)

// RunStore keeps runs. Texts come back byte for byte, times to the microsecond and in UTC.
type RunStore interface {
	// KeepRuns stores runs, all or none. One that is there and is over stays as it is; one that is there and runs is replaced.
	KeepRuns(ctx context.Context, runs []Run) error
	// Runs lists runs of one project, the youngest first.
	Runs(ctx context.Context, q RunQuery) ([]Run, error)
	// LoseRuns turns runs that are said to be running into lost ones: whoever ran them is no more.
	LoseRuns(ctx context.Context) error
	// TrimRuns removes some of the runs that began before a time, and some of those of which a project has more than it may,
	// the oldest first. It gives how many; 0 when there is nothing left to do.
	TrimRuns(ctx context.Context, before time.Time, most int) (int, error)
}

// RunQuery says which runs. Empty members do not narrow.
type RunQuery struct {
	Owner   string // whose runs
	Project string
	Live    bool // all; else only those of keys of test mode
	ID      string
	KeyID   string
	Status  RunStatus
	Before  RunPlace // the zero place: from the youngest
	Limit   int
}

// RunPlace is a run's place in the order of a list: by time, and by id within the same microsecond.
type RunPlace struct {
	At time.Time
	ID string
}

// RunFilter narrows a list of runs. Empty members do not narrow.
type RunFilter struct {
	KeyID  string
	Status RunStatus
	Before string // what the page before gave as next
	Limit  int    // 1 to MaxRuns
}

// MaxRuns bounds a page of runs, and keptSQL what is kept of a statement, in bytes.
const (
	MaxRuns = 200
	keptSQL = 4 << 10
)

// newRun is a run that begins.
func newRun(permit gate.Permit, q Asked, now time.Time) Run {
	sql := access.HideKeysIn(q.SQL)
	if q.Name != "" {
		sql = "-- " + q.Name
	}
	sql = beginning(sql)
	return Run{
		ID: q.ID, Project: permit.Project(), KeyID: permit.Key().ID, Owner: permit.Key().Owner(), Environment: permit.Environment(), Live: permit.Live(), SQL: sql,
		StartedAt: now.UTC().Truncate(time.Microsecond), Status: Running,
	}
}

// beginning is what is kept of a statement. It ends before a literal, a name or a word that would be cut in two: in a part of one
// nobody would find who is named there.
func beginning(sql string) string {
	if len(sql) <= keptSQL {
		return sql
	}
	sql = sql[:keptSQL]
	for _, quote := range []string{"'", `"`} {
		if strings.Count(sql, quote)%2 == 1 {
			sql = sql[:strings.LastIndex(sql, quote)]
		}
	}
	return sql[:max(strings.LastIndexAny(sql, " \t\n,()"), 0)]
}

// over is the run with what became of it.
func (r Run) over(answer *Answer, err error, credits int64, now time.Time) Run {
	r.Elapsed, r.Credits = max(now.Sub(r.StartedAt), 0).Truncate(time.Microsecond), credits
	switch code := problem.Of(err); code {
	case "":
		r.Status, r.Rows, r.Bytes, r.Cached = Succeeded, answer.Rows, answer.Size, answer.Cached
	case problem.QueryCancelled:
		r.Status, r.Code = Cancelled, code
	default:
		r.Status, r.Code = Failed, code
	}
	return r
}

// Subject is the run as a thing that an attempt is about.
func (r Run) Subject() *access.Subject {
	mode := access.Test
	if r.Live {
		mode = access.Live
	}
	return &access.Subject{Project: r.Project, Mode: mode, Owner: r.Owner}
}

// maxRunCursor bounds a cursor, in bytes.
const maxRunCursor = 200

// A cursor is the place of the last run of a page. Its form is nobody's business but ours.
func (p RunPlace) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.At.UnixMicro(), 10) + " " + p.ID))
}

func readRunCursor(cursor string) (p RunPlace, err error) {
	wrong := problem.Invalid("cursor", "is not one that a list gave")
	if len(cursor) > maxRunCursor {
		return p, wrong
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	at, id, found := strings.Cut(string(raw), " ")
	micros, notNumber := strconv.ParseInt(at, 10, 64)
	if err != nil || !found || notNumber != nil || !isRunID(id) {
		return p, wrong
	}
	return RunPlace{time.UnixMicro(micros).UTC(), id}, nil
}

// isRunID reports whether a text can be the id of a run.
func isRunID(id string) bool {
	for _, c := range []byte(id) {
		if c != '_' && !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return id != "" && len(id) <= 64
}
