// Package job owns work that outlives the request that asked for it: that it is written down before it is promised, that
// it goes on after a restart, how far it is, that it can be cancelled, that it is charged once, and what became of it.
//
//	Submit (permit) -> a row in the store and a folder -> Run: one worker -> Work (a function of its kind) -> the row
//
// A kind of work is a function. It is called again from the start when the server was stopped in the middle, with the
// place that it kept last: what it does must be the same when a part of it is done twice.
//
// Each job has a folder of its own for what it reads and what it makes. The folder goes when the job is forgotten.
//
// It does not own what any kind of work does (package dataset, among others), who may ask for it or see it (access), nor
// how jobs are kept (it declares Store),
// nor how credits are counted (it declares Charges).
//
// Problems: invalid_field, unavailable, limits_unavailable.
package job

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Job is one piece of work. Times are UTC, to the microsecond.
type Job struct {
	ID          string
	Project     string
	Environment string // the space it works on; empty: none
	Live        bool   // of live mode: a test key does not see it
	KeyID       string // the key that asked
	Owner       string // whose it is, as access.Key.Owner names them
	Kind        string
	About       string         // what it is about, such as a dataset's id
	Spec        jsontext.Value // what its kind must know to do it

	State    State
	Starts   int // how often it was begun
	Progress Progress
	Place    jsontext.Value // where its kind goes on after a restart; nil: at the start
	Result   jsontext.Value // of its kind; nil: none
	Code     problem.Code   // what it failed with
	Detail   string

	CreatedAt time.Time
	StartedAt time.Time // for the first time; zero: not yet
	EndedAt   time.Time // zero: it is not over
}

// Progress is how far a job is, in the units of its kind. Total is 0 when it is not known.
type Progress struct {
	Done    int64
	Total   int64
	Good    int64 // of what is done, what came to something
	Refused int64 // and what did not
}

// State is what a job is doing.
type State string

// The states. The last three are for ever.
const (
	Queued    State = "queued"
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Over reports whether a job of the state does nothing any more.
func (s State) Over() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Subject is the job as what an attempt is about.
func (j *Job) Subject() *access.Subject {
	mode := access.Test
	if j.Live {
		mode = access.Live
	}
	return &access.Subject{Project: j.Project, Mode: mode}
}

// Query narrows a list of jobs.
type Query struct {
	Project     string
	Environment string    // empty: all
	Live        bool      // those of live mode as well
	Kind        string    // empty: all
	About       string    // empty: all
	Owner       string    // empty: everybody's
	From        time.Time // asked for at this time or later; zero: from the beginning
	Until       time.Time // asked for before it; zero: to the end
	Oldest      bool      // the oldest come first, and not the youngest
	After       Place     // those behind it; zero: from the first on
	Limit       int
}

// Place is a place in a list of jobs.
type Place struct {
	At time.Time
	ID string
}

// Store keeps jobs.
type Store interface {
	// InsertJob keeps a new job.
	InsertJob(ctx context.Context, j Job) error
	// SaveJob keeps what changed of a job, unless it is over by now.
	SaveJob(ctx context.Context, j Job) error
	// FindJob gives a job of a project, and false when there is none.
	FindJob(ctx context.Context, project, id string) (Job, bool, error)
	// Jobs lists jobs, in the order that the query says.
	Jobs(ctx context.Context, q Query) ([]Job, error)
	// OpenJobs lists the jobs of all projects that are not over, the oldest first.
	OpenJobs(ctx context.Context) ([]Job, error)
	// TrimJobs forgets jobs that ended before a time, and of each project those that are over beyond the youngest most. It
	// gives the ids of some that it forgot, and none when there are no more.
	TrimJobs(ctx context.Context, before time.Time, most int) ([]string, error)
}
