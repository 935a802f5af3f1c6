// Package export owns exports: data that is taken out in bulk, as files that are made by jobs and fetched for some time.
//
//	Start (permit, Ask) -> a job -> Work: rows in the view of whoever asked -> a file -> Open (permit): its bytes
//
// What is in a file is what the key saw when it asked: the same scoped relation that its statements run over, narrowed by
// the filter. The statement is this package's own, and nothing of the filter is ever part of its text. A file is fetched by
// the key that asked, as long as it sees as much as then, and by links that the key makes.
//
// A job that was interrupted writes its file anew. Forget deletes the files of a space and has those under way written
// anew, so that what was deleted from the space before is in none.
//
// It does not own who may export what (access, gate), running jobs (job), how rows are written (query), nor reading rows
// (query, dataset).
//
// Problems: invalid_field, not_found, conflict, export_running, export_gone, link_not_accepted, storage_full, unavailable,
// query_timeout, query_queue_full, result_too_large.
package export

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// Kind is what jobs of exports are called.
const Kind = "export"

// Rows runs statements over what a scope lets through.
type Rows interface {
	Walk(ctx context.Context, w query.Walk, columns func([]query.Column) error, row func(jsontext.Value) error) error
}

// Datasets goes through the records of datasets.
type Datasets interface {
	Walk(ctx context.Context, at dataset.Walked, filter string, each func(*dataset.Record) error) error
	// Class is the class that they have now; false: there is no such dataset any more.
	Class(ctx context.Context, at dataset.Walked) (access.Class, bool, error)
}

// Config is what a Service is made of. Zero values of the numbers mean their defaults.
type Config struct {
	Dir      string // of the files; it is the service's alone
	Jobs     *job.Runner
	Rows     Rows
	Datasets Datasets
	Keys     gate.Keys
	Now      func() time.Time
	Log      *slog.Logger

	Sight  func(project string, v *access.View) (view.Scope, error) // what a view lets through; nil: query.Sight(nil)
	Derive func(purpose string) ([]byte, error)                     // gives the secrets of links; nil: there are no links
	Free   func() (int64, error)                                    // bytes of free disk; nil: it is looked up

	Time    time.Duration // an export may take; 1 hour
	Bytes   int64         // the files of a project may have together; 10 GiB
	Keep    time.Duration // a file; 3 days. Jobs must be kept as long
	Reserve int64         // bytes of free disk below which nothing is written
	Prices  query.Prices
}

// Service makes exports. Make one with New; it may be used from many goroutines.
type Service struct {
	cfg Config

	starting sync.RWMutex         // held while a job is submitted whose asker is not noted yet
	mu       sync.Mutex           // guards the rest, and the names of files
	askers   map[string]Asker     // of the exports that this run of the program was asked for and that are not over
	forgot   map[forgotten]int    // how often a space was forgotten, or a dataset in it
	writing  map[string]*progress // what is being written, by job
}

// space is where the data of an export is.
type space struct{ project, environment string }

// forgotten is what was forgotten: all of a space, or the records that are kept there under a uid.
type forgotten struct {
	space

	uid string
}

// age is how often something that an export has in it was forgotten. The caller holds the lock.
func (s *Service) age(of space, uid string) int {
	n := s.forgot[forgotten{of, ""}]
	if uid != "" {
		n += s.forgot[forgotten{of, uid}]
	}
	return n
}

// progress is the part of a file that is written.
type progress struct {
	project string
	bytes   int64
}

// Asker is whoever asked, as long as the program runs.
type Asker struct {
	Still func() error // an error ends the export: the key may not ask for it any more; nil: the key itself is asked about
}

// New makes a service. The work of its jobs is Work, which whoever puts the parts together hands to the runner.
func New(cfg Config) *Service {
	cfg.Time, cfg.Bytes, cfg.Keep = cmp.Or(cfg.Time, time.Hour), cmp.Or(cfg.Bytes, 10<<30), cmp.Or(cfg.Keep, 72*time.Hour)
	if cfg.Sight == nil {
		cfg.Sight = query.Sight(nil)
	}
	s := &Service{cfg: cfg, askers: map[string]Asker{}, forgot: map[forgotten]int{}, writing: map[string]*progress{}}
	if s.cfg.Free == nil {
		s.cfg.Free = s.free
	}
	return s
}

// spec is what the job of an export must know.
type spec struct {
	Ask

	UID   string         `json:"uid,omitzero"` // of the dataset
	Class access.Class   `json:"class,omitzero"`
	Types []string       `json:"types,omitzero"` // of the columns
	Seen  jsontext.Value `json:"seen"`           // the view of whoever asked; null: everything
	View  jsontext.Value `json:"view"`           // that with the filter
	Until time.Time      `json:"until,omitzero"` // the end of a token that asked
}

// result is what an export came to.
type result struct {
	Rows    int64  `json:"rows"`
	Bytes   int64  `json:"bytes"`
	Digest  string `json:"digest"` // SHA-256 of the file, in hexadecimal
	Credits int64  `json:"credits"`
}

// Start begins an export of what the permit's holder sees, and names who asks for as long as the program runs.
//
// Problems: invalid_field, not_found, unavailable.
func (s *Service) Start(ctx context.Context, permit gate.Permit, a Ask, of *dataset.Dataset, who Asker) (Export, error) {
	sp, err := s.specOf(permit, a, of)
	if err != nil {
		return Export{}, err
	}
	text, err := json.Marshal(sp)
	if err != nil {
		return Export{}, fmt.Errorf("export: %w", err)
	}
	if len(text) > job.MaxSpec {
		return Export{}, problem.Invalid("where", "is too long, together with what the key may see")
	}
	s.starting.Lock()
	defer s.starting.Unlock()
	j, err := s.cfg.Jobs.Submit(ctx, permit, job.Wanted{Environment: permit.Environment(), Kind: Kind, About: a.about(), Spec: text, Ended: s.ended})
	if err != nil {
		return Export{}, err
	}
	if person(permit) {
		who.Still = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.askers[j.ID] = who
	return s.view(j)
}

// ended forgets who asked for what is over.
func (s *Service) ended(j job.Job) {
	s.starting.RLock() // the job may be over before whoever asked is noted
	defer s.starting.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.askers, j.ID)
}

// asker is who asked for a job, and false when that was before the program was started.
func (s *Service) asker(id string) (Asker, bool) {
	s.starting.RLock()
	defer s.starting.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	who, found := s.askers[id]
	return who, found
}

// viewText is a view as a spec has it, and readView reads it again.
func viewText(v *access.View) jsontext.Value { return view.Text(v) }

func readView(text jsontext.Value) (*access.View, error) {
	if len(text) == 0 || text.Kind() == 'n' {
		return nil, nil
	}
	var s view.Scope
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("export: a view: %w", err)
	}
	return s.View(), nil
}
