// Package rejected owns the events that were not accepted: it keeps what was sent, with what was wrong with it, for a while
// and within a bound, and sends it again when that is asked for, corrected if need be.
//
// It keeps an item of a sender that was known and let in, and nothing else; what it keeps has no secrets of keys in it. Each
// project has its own files, and in it each key: the newest items stay, and whoever sends much that is wrong puts out its own
// first. What is kept is written before the sender is answered, and synced to disk at most a second later if more comes, and at
// the end: it is no promise, as "accepted" is.
//
// An item in another system's words is kept in these, corrected in these, and then read as it was at first.
//
// It does not own what is right (event), other systems' words (whoever reads them), who may send or see what (access, gate), nor the way in: what is sent again goes
// through the same one as everything else.
//
// Problems: invalid_field, environment_not_allowed.
package rejected

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// The limits on what is kept, and on what is sent again at once.
const (
	MaxItem   = 64 << 10 // bytes of an item's text; of a larger one only what was wrong with it is kept
	MaxReplay = event.MaxItems
	maxText   = 1000 // bytes of a detail, a name, or a field at fault
	maxFields = 20
)

// Entry is an item that was not accepted.
type Entry struct {
	ID          string          `json:"id"`
	At          time.Time       `json:"at"` // when it came
	KeyID       string          `json:"key"`
	Environment string          `json:"env"` // where it is listed: the one it names, or else the sender's default
	Kind        string          `json:"kind"`
	Source      string          `json:"source"`         // the way it came in
	Words       string          `json:"words,omitzero"` // what the item is written in, as Config.Read knows it; empty: as event.ReadBatch reads it
	Event       string          `json:"event,omitzero"`
	Code        string          `json:"code"`
	Detail      string          `json:"detail"`
	Fields      []problem.Field `json:"fields,omitempty"`
	Bytes       int             `json:"bytes"`          // of the item as it was sent
	Tries       int             `json:"tries,omitzero"` // how often it was sent again
	Item        jsontext.Value  `json:"item,omitempty"` // as it was sent; nil: it was too large to be kept
}

// Recorder is the ordinary way in: it gives a verdict on each item.
type Recorder interface {
	Replay(ctx context.Context, permit gate.Permit, batch event.Batch) (event.Receipt, error)
}

// Config is what a Service is made of.
type Config struct {
	Dir   string        // of the files; it is the service's alone
	Bytes int64         // of disk that a project's may take; 0: none are kept
	Keep  time.Duration // how long they are kept; 0: for ever
	Now   func() time.Time
	Log   *slog.Logger

	// Read reads one item in other words than ours, which its batch had in its Shape. What is wrong with it is its problem. It may
	// be nil where nothing comes in other words.
	Read func(words string, item []byte) event.Item
}

// Service keeps and replays what was not accepted. Its methods may be called from many goroutines. Only one Service may have
// the same folder.
type Service struct {
	cfg     Config
	root    *os.Root
	mu      sync.Mutex
	shelves map[string]*shelf // by project
	figures struct{ kept, replayed atomic.Int64 }
}

// Stats is what a Service did since it was made.
type Stats struct{ Kept, Replayed int64 }

// Stats tells what the service did.
func (s *Service) Stats() Stats { return Stats{s.figures.kept.Load(), s.figures.replayed.Load()} }

// Open makes the service, and its folder when it is not there.
func Open(cfg Config) (*Service, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("rejected: %w", err)
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("rejected: %w", err)
	}
	return &Service{cfg: cfg, root: root, shelves: map[string]*shelf{}}, nil
}

// Close syncs what was written. Nothing is kept afterwards.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first error
	for _, shelf := range s.shelves {
		shelf.mu.Lock()
		if err := shelf.sync(); err != nil && first == nil {
			first = err
		}
		shelf.mu.Unlock()
	}
	if err := s.root.Close(); err != nil && first == nil {
		first = err
	}
	return first
}

// Sender is who sent something: a Permit, or whoever was let in but got none.
type Sender interface {
	Project() string
	KeyID() string
	// Space is the environment a name stands for, and false when the sender does not reach it.
	Space(name string) (string, bool)
}

// Take keeps the items of a batch that were rejected. What cannot be kept is not: the sender has its verdict, and hears
// nothing of it.
func (s *Service) Take(from Sender, batch *event.Batch, rejected []event.Rejection) {
	if s.cfg.Bytes <= 0 || len(rejected) == 0 {
		return
	}
	entries := make([]Entry, 0, len(rejected))
	for _, r := range rejected {
		item := &batch.Items[r.Index]
		env, ok := from.Space(item.Event.Environment)
		if !ok {
			if env, ok = from.Space(""); !ok {
				continue // it is nowhere that anybody could list it
			}
		}
		entries = append(entries, entryOf(from.KeyID(), env, batch.Shape, item, r.Problem))
	}
	if err := s.put(from.Project(), from.KeyID(), entries); err != nil {
		s.cfg.Log.Warn("rejected events were not kept", "project", from.Project(), "key", from.KeyID(), "items", len(entries), "error", err)
		return
	}
	s.figures.kept.Add(int64(len(entries)))
}

// entryOf is an item as it is kept.
func entryOf(keyID, environment string, shape event.Shape, item *event.Item, p *problem.Error) Entry {
	kind := item.Event.Kind
	if kind == 0 {
		kind = shape.Kind
	}
	e := Entry{KeyID: keyID, Environment: environment, Kind: kind.String(), Source: shape.Source, Words: shape.Words, Event: clip(access.HideKeysIn(item.Event.Name)), Bytes: len(item.Text)}
	e.blame(p)
	if len(item.Text) > 0 && len(item.Text) <= MaxItem {
		text := jsontext.Value(access.HideKeys(item.Text)).Clone()
		if text.Compact(jsontext.AllowDuplicateNames(true)) == nil {
			e.Item = text
		}
	}
	return e
}

// blame says what is wrong with the entry.
func (e *Entry) blame(p *problem.Error) {
	e.Code, e.Detail, e.Fields = string(p.Code), clip(access.HideKeysIn(p.Detail)), nil
	for _, f := range p.Fields[:min(len(p.Fields), maxFields)] {
		e.Fields = append(e.Fields, problem.Field{Name: clip(access.HideKeysIn(f.Name)), Detail: clip(access.HideKeysIn(f.Detail))})
	}
}

// clip shortens a text that a sender has a say in. What is cut within a character loses it.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	for n := maxText; n > 0; n-- {
		if text[n]&0xc0 != 0x80 {
			return text[:n]
		}
	}
	return ""
}
