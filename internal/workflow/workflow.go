// Package workflow owns what a project lets others start by a name: a trigger fills a template, and what comes of it is sent
// to an address as a signed webhook (Standard Webhooks), or recorded as an event of the project. It keeps a delivery before
// the trigger is answered, sends it until it is taken or given up, shows what became of it, and sends it again when asked.
//
// A delivery is sent at least once: a receiver tells by webhook-id what it has already. Attempts are further and further
// apart; a target that fails is left alone for a while, and takes neither the turn of another target nor time of any request.
//
// It does not own where requests of this server may go (outbound), how an event gets in (its caller records it), who may do
// what (access), nor how it is all kept (it declares Store and Outbox).
//
// Problems: invalid_field, not_found, precondition_failed, conflict, workflows_full, workflow_disabled, deliveries_full, unavailable, storage_full.
package workflow

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// The limits on workflows.
const (
	MaxWorkflows = 200   // of an environment
	MaxPending   = 5_000 // deliveries of a workflow that are still to be sent
	MaxEnded     = 5_000 // deliveries of a workflow that are kept when they have ended
	MaxID        = 64    // bytes of a workflow's id
	MaxTitle     = 200   // bytes of its name
	MaxEventName = 256   // bytes of the event it records
	MaxUserID    = 200   // bytes
	MaxKey       = 200   // bytes of an idempotency key
	MaxList      = 200   // on a page of a list

	keepEnded = 30 * 24 * time.Hour // how long a delivery is kept that has ended
)

// The bounds on how long a former secret goes on signing.
const (
	UsualOverlap = 24 * time.Hour
	MaxOverlap   = 7 * 24 * time.Hour
)

// Workflow is one as it is kept. It has either a URL or an Event. Its secrets are sealed.
type Workflow struct {
	Organization, Project, Environment string

	ID       string
	Name     string
	URL      string // where deliveries are sent
	Target   string // its host and port, and a digest of the whole and of the project
	Event    string // the name of the event that is recorded instead
	Template string // JSON with placeholders; empty: the standard one
	Enabled  bool
	Why      string // of one that the server disabled: why

	Sealed      string // the secret that deliveries are signed with
	Hint        string // its last characters
	Former      string // the one before it, sealed; empty: none
	FormerUntil time.Time

	Revision  int64 // counts the changes; 0: it is not there
	CreatedAt time.Time
	CreatedBy string
	UpdatedAt time.Time
	UpdatedBy string
	Deleted   bool // set by a change that deletes it
}

// Webhook reports whether it sends what it makes, and does not record it.
func (w *Workflow) Webhook() bool { return w.URL != "" }

// State is what has become of a delivery.
type State string

// The states there are.
const (
	Pending   State = "pending"
	Delivered State = "delivered"
	Failed    State = "failed"
)

// NoEnvironment is the fault of a delivery whose environment, or project, was deleted.
const NoEnvironment outbound.Fault = "no_environment"

// Delivery is what came of one trigger.
type Delivery struct {
	Project, Environment, Workflow string

	ID       string // the webhook-id, or the event's id
	Digest   string // of what was asked for
	UserID   string // whom it is about; empty: nobody
	KeyID    string // the key that triggered it; empty: it was triggered before that was kept
	Target   string // where it goes, as its workflow has it; empty: it was an event
	Body     string // what is sent
	State    State
	Attempts int64 // all there were
	Tries    int64 // those since it was triggered, or replayed

	CreatedAt time.Time
	Since     time.Time // when it was triggered, or replayed
	NextAt    time.Time // of one that is pending: not before
	LastAt    time.Time // of the last attempt; zero: there was none
	EndedAt   time.Time // zero: it is pending

	Status  int            // of the last answer; 0: there was none
	Excerpt string         // the beginning of the last answer
	Fault   outbound.Fault // of the last attempt; empty: it had none
}

// Mark is a place in a list of deliveries, which has the latest first.
type Mark struct {
	CreatedAt time.Time
	ID        string
}

// At says where a workflow is.
type At struct{ Project, Environment, ID string }

// Filter says which deliveries are listed.
type Filter struct {
	At

	Delivery string // only this one
	State    State  // only those; empty: any
	After    Mark   // where the list goes on; the zero Mark is its beginning
	Limit    int
}

// Store keeps workflows. Workflows lists those of an environment by their ids. Find tells ErrNone when there is none.
//
// Change runs change on a workflow, of revision 0 when there is none, and on how many others the environment has. What it
// makes of it is stored with the entry for the audit, with the next revision; without an entry nothing is. An error of change
// comes back in the chain, and nothing is stored. With a workflow its deliveries are deleted. Each calls do for every workflow
// there is.
type Store interface {
	Workflows(ctx context.Context, project, environment, after string, limit int) ([]Workflow, error)
	FindWorkflow(ctx context.Context, at At) (Workflow, error)
	ChangeWorkflow(ctx context.Context, at At, change func(w *Workflow, others int) (*audit.Entry, error)) (Workflow, error)
	EachWorkflow(ctx context.Context, do func(Workflow) error) error
}

// Lane is what a project sends to one target. What becomes of it is no other project's affair, also where many send to the same.
type Lane struct {
	Project string
	Target  string
}

// Lane is the one that a delivery takes.
func (d *Delivery) Lane() Lane { return Lane{d.Project, d.Target} }

// Outbox keeps deliveries.
//
// AddDelivery adds one, unless there is one of its id, which it gives then; it tells ErrFull when as many of the workflow are
// pending as may be, and ErrNone when there is no such workflow. Due gives deliveries of enabled workflows that are pending
// and whose time has come, of no lane more than perLane and of none that is named, those of the projects in turn, and when the next
// one's time comes; zero: there is none. Settle stores what came of an attempt,
// or of a replay, unless the delivery is gone or has other Tries or State than from says, which it reports. TrimDeliveries
// removes some of what ended before a time or is more than most of a workflow, and tells how many. DropDeliveries
// removes what a deletion is of, or with dry only counts it: what a key triggered, or what is about one of a person's ids or names one
// in its body, and answers of targets that name one; it tells how many of all.
type Outbox interface {
	AddDelivery(ctx context.Context, d Delivery, most int) (there Delivery, added bool, err error)
	Deliveries(ctx context.Context, f Filter) ([]Delivery, error)
	Due(ctx context.Context, now time.Time, perLane, limit int, except []Lane) (due []Delivery, next time.Time, err error)
	Settle(ctx context.Context, from, to *Delivery) (bool, error)
	TrimDeliveries(ctx context.Context, before time.Time, most int) (int, error)
	DropDeliveries(ctx context.Context, t event.Traces, dry bool) (int64, error)
}

// What a Store or an Outbox can say.
var (
	ErrNone = errors.New("there is no such workflow")
	ErrFull = errors.New("the workflow has no room for another delivery")
)

// Web sends messages, and judges where they may be sent.
type Web interface {
	Check(ctx context.Context, url string) (target string, err error)
	Post(ctx context.Context, m *outbound.Message) outbound.Answer
}

// Vault encrypts secrets. about binds a text to its place.
type Vault interface {
	Seal(plain []byte, about string) (string, error)
	Open(sealed, about string) ([]byte, error)
	Stale(sealed string) bool
}

// Config is what a Service is made of.
type Config struct {
	Store  Store
	Outbox Outbox
	Web    Web
	Vault  Vault // nil: no webhooks can be made
	Random io.Reader
	Jitter func() float64 // from 0 to below 1, by chance
	Now    func() time.Time
	NewID  func() string // of an entry of the audit
	Log    *slog.Logger
	Agent  string // what deliveries say that they are sent by

	Stands func(project, environment string) bool // it has not been deleted; nil: it never is
}

// Service keeps workflows and sends deliveries. Its methods may be called from many goroutines. Only one Service may send
// what an Outbox keeps.
type Service struct {
	cfg  Config
	wake chan struct{} // there may be something to send

	mu      sync.Mutex
	lanes   map[Lane]*lane  // those with something under way, or that failed last
	flying  map[string]bool // deliveries under way
	landed  map[string]bool // those that were, since the outbox was looked at last: what it gave may be of before
	perProj map[string]int  // how many of a project are
	figures Stats
	down    error // why nothing can be sent just now; nil: it can
}

// New makes the service. Nothing is sent before Run is called.
func New(cfg Config) *Service {
	if cfg.Stands == nil {
		cfg.Stands = func(string, string) bool { return true }
	}
	return &Service{cfg: cfg, wake: make(chan struct{}, 1), lanes: map[Lane]*lane{}, flying: map[string]bool{}, landed: map[string]bool{}, perProj: map[string]int{}}
}

// Event is what a workflow records.
type Event struct {
	ID          string
	Environment string
	Name        string
	UserID      string // empty: nobody
	Properties  []byte // a JSON object
}

// Recorder records an event as the senders of events do, with the same permit.
type Recorder func(ctx context.Context, permit gate.Permit, e Event) error

func (s *Service) at(permit gate.Permit, id string) At {
	return At{permit.Project(), permit.Environment(), id}
}

// find is a workflow of the permit's environment.
func (s *Service) find(ctx context.Context, permit gate.Permit, id string) (Workflow, error) {
	w, err := s.cfg.Store.FindWorkflow(ctx, s.at(permit, id))
	if errors.Is(err, ErrNone) {
		return Workflow{}, notFound()
	}
	return w, err
}

func notFound() error { return problem.New(problem.NotFound, "There is no workflow of that id here.") }

func noDelivery() error {
	return problem.New(problem.NotFound, "There is no delivery of that id of this workflow.")
}
