// Package deletion owns that what is to be deleted is gone: everything of a person, or what a key sent, from the
// warehouse, the journal, the recordings, kept answers, the control data, and whatever other part was given; that this goes on
// after a restart until it is done; and the receipt that proves it. It also deletes what is older than an environment keeps.
//
//	permit -> Submit -> a job (package job) -> Work: part after part, each of which may be done twice -> the receipt
//
// It does not own the bytes of any part (it declares Warehouse, Journal, Control, Forgetter), which ids are one person
// (profile/graph), how jobs run (job), nor who may delete (access).
//
// Problems: invalid_field, not_found, unavailable.
package deletion

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/job"
)

// Kind is the kind of the jobs that delete.
const Kind = "deletion"

// The limits on what is asked for.
const (
	MaxEvents = 100 // names of events
	MaxPage   = 200 // deletions on a page of a list
)

// Selection says which events are deleted: those of a person, or else those that fit everything that is not zero.
type Selection struct {
	IDs    []string  `json:"ids,omitempty"`    // every id of a person, the one that was asked for first
	KeyID  string    `json:"key_id,omitzero"`  // that sent them; unless some events are named, the records of datasets that it wrote as well
	Events []string  `json:"events,omitempty"` // names
	From   time.Time `json:"from,omitzero"`    // when they were received
	Until  time.Time `json:"until,omitzero"`   // before it
	Track  bool      `json:"track,omitzero"`   // only events that happened, and not what tells of persons
}

// Counts is what the warehouse deletes.
type Counts struct {
	Events  int64 `json:"events"`  // that are gone
	Changed int64 `json:"changed"` // of others, which lost an id of the person
	Persons int64 `json:"persons"`
	Remade  int64 `json:"remade"`  // persons of whom something of it told: they are made anew of what is left
	Records int64 `json:"records"` // of datasets
}

// atLeast are counts of which none is lower than another's.
func (c *Counts) atLeast(o *Counts) Counts {
	return Counts{max(c.Events, o.Events), max(c.Changed, o.Changed), max(c.Persons, o.Persons), max(c.Remade, o.Remade), max(c.Records, o.Records)}
}

// Warehouse is where events, persons and the records of datasets are.
type Warehouse interface {
	// PersonIDs gives every id of whoever has an id, that id first; also the ids of those who had it and were taken out,
	// unless they are somebody else's by now.
	PersonIDs(ctx context.Context, space event.Space, id string) ([]string, error)
	// Theirs gives those of a person's ids, of which the first is whoever is meant, that are not somebody else's by now.
	Theirs(ctx context.Context, space event.Space, ids []string) ([]string, error)
	// CountErasable counts what Erase would delete.
	CountErasable(ctx context.Context, space event.Space, s Selection) (Counts, error)
	// Erase deletes, and makes sure that no byte is left of it. When a person has got more ids by now, it gives these and
	// deletes nothing.
	Erase(ctx context.Context, space event.Space, s Selection) (counts Counts, more []string, err error)
}

// Journal is where events are before they are in the warehouse.
type Journal interface {
	// Roll ends what is written, so that everything appended before can be released or scrubbed; it gives the last position.
	Roll(ctx context.Context) (event.Position, error)
	Release(upTo event.Position) error
	// Scrub replaces records at or before a position by what each gives for them, unless that is nil.
	Scrub(ctx context.Context, upTo event.Position, each func(data []byte) []byte) (int64, error)
}

// Loader moves the journal into the warehouse.
type Loader interface {
	Await(ctx context.Context, upTo event.Position, spaces ...event.Space) error
	Loaded() event.Position
}

// Forgetter is a part that has something of what is deleted. It is told whose traces to remove, may be told twice, and
// gives how many things it removed. Everything that was made of the environment's events goes in any case.
type Forgetter struct {
	Name   string // in the receipt, such as recordings
	Forget func(ctx context.Context, t event.Traces) (int64, error)
	Count  func(ctx context.Context, t event.Traces) (int64, error) // how many Forget would remove; nil: that is not told beforehand
}

// Record is a deletion, as it is kept.
type Record struct {
	ID          string // the job's
	Project     string
	Environment string
	Live        bool
	KeyID       string
	Of          Of
	CreatedAt   time.Time
	Receipt     jsontext.Value // nil: it is not done
}

// Of is what a deletion is of, in words that name nobody.
type Of struct {
	Person string    `json:"person,omitzero"` // a keyed hash of the id that was asked for
	KeyID  string    `json:"key_id,omitzero"`
	Events []string  `json:"events,omitempty"`
	From   time.Time `json:"from,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Days   int       `json:"retention_days,omitzero"` // of what an environment does not keep any longer
	Found  int64     `json:"found,omitzero"`          // and how many events there were of that when it began
}

// Query narrows a list of deletions.
type Query struct {
	Project, Environment string
	Before               Place // those older than it; zero: from the youngest on
	Limit                int
}

// Place is a place in a list.
type Place struct {
	At time.Time
	ID string
}

// Control keeps deletions, and is the control data in which ids may be.
type Control interface {
	// KeepDeletion keeps a deletion, or the receipt of one that is kept already, and the entry of the audit when there is one.
	KeepDeletion(ctx context.Context, r Record, entry *audit.Entry) error
	FindDeletion(ctx context.Context, project, id string) (Record, bool, error)
	Deletions(ctx context.Context, q Query) ([]Record, error)
	// BlankStatements takes the text from the queries that name one of the ids.
	BlankStatements(ctx context.Context, project, environment string, ids []string) (int64, error)
	// BlankJobs takes from the jobs that have ended whatever names one of the ids, such as the conditions of exports.
	BlankJobs(ctx context.Context, project, environment string, ids []string) (int64, error)
	// Compact leaves no byte of what was deleted.
	Compact(ctx context.Context) error
}

// Config is what a Service is made of.
type Config struct {
	Warehouse Warehouse
	Journal   Journal
	Loader    Loader
	Control   Control
	Parts     []Forgetter // told in their order
	Jobs      *job.Runner
	Projects  func(ctx context.Context) ([]Kept, error)                    // what every environment keeps; nil: everything, for ever
	Known     func(ctx context.Context, project, key string) (bool, error) // whether a project has, or had, a key of an id; nil: that is not asked
	Clock     Clock                                                        // nil: the clock is right
	Derive    func(purpose string) ([]byte, error)                         // secrets of the master key; an error: there is none
	Now       func() time.Time
	NewID     func() string
	NewAudit  func() string
	Log       *slog.Logger
}

// Kept is how long an environment keeps events.
type Kept struct {
	Organization string
	Project      string
	Environment  access.Environment
	Days         int // 0: for ever
}

// Service deletes. Make one with New.
type Service struct {
	cfg     Config
	looking sync.Mutex // held while it is found out how the clock goes
}

// New makes the service, and has its kind of job done.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg}
	cfg.Jobs.Handle(Kind, s.Work)
	cfg.Jobs.Tidy(Kind, dropIDs)
	return s
}
