package recording

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Receipt says what became of a chunk.
type Receipt struct {
	Session   string
	Sequence  int64
	Events    int64
	Bytes     int64 // as they are kept
	Duplicate bool  // it was there already
}

// counted is what the service did since it was made.
type counted struct{ chunks, duplicates, bytes atomic.Int64 }

// Stats is what the service did since it was made.
type Stats struct{ Chunks, Duplicates, Bytes int64 }

// Stats tells what the service did.
func (s *Service) Stats() Stats {
	return Stats{s.figures.chunks.Load(), s.figures.duplicates.Load(), s.figures.bytes.Load()}
}

// settleTime is how long entering a chunk may take whose file is there: it goes on when the sender has hung up.
const settleTime = 10 * time.Second

// Add makes a chunk durable, in the environment of the permit. The same chunk again is kept once; another one of the same
// sequence is refused. Of a chunk that was not answered nothing is seen, or all of it.
//
// Problems: recording_conflict, recordings_full, storage_full.
func (s *Service) Add(ctx context.Context, permit gate.Permit, c Chunk) (Receipt, error) {
	project, environment := permit.Project(), permit.Environment()
	name := nameOf(project, environment, c.Session)
	defer s.lock(name)()
	seen, err := s.cfg.Store.Look(ctx, name, project, c.Sequence)
	if err != nil {
		return Receipt{}, err
	}
	p := Piece{
		Sequence: c.Sequence, Digest: c.digest(), DistinctID: c.DistinctID, Page: c.Page, Events: c.Events,
		FirstAt: c.FirstAt, LastAt: c.LastAt, ReceivedAt: permit.At(), KeyID: permit.KeyID(),
	}
	if seen.Digest != "" {
		return s.again(c, &p, seen.Digest)
	}
	packed := s.pack.EncodeAll(c.lines, nil)
	p.Bytes = int64(len(packed))
	if seen.Used+p.Bytes > s.cfg.Bytes {
		return Receipt{}, s.full()
	}
	if seen.Session.Chunks >= MaxChunks || seen.Session.Bytes+p.Bytes > MaxSessionBytes {
		return Receipt{}, tooLong()
	}
	file := fileOf(name, &p)
	if err := s.cfg.Files.Put(ctx, file, packed); err != nil {
		s.left.Store(true)
		return Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	session := Session{Project: project, Environment: environment, ID: c.Session}
	if err := s.cfg.Store.AddPiece(ctx, name, session, p, Limits{Bytes: s.cfg.Bytes, Chunks: MaxChunks}); err != nil {
		// What happened to the row is not known when the answer of the store was lost. Sweep removes what has none.
		return Receipt{}, s.refused(ctx, file, err)
	}
	s.figures.chunks.Add(1)
	s.figures.bytes.Add(p.Bytes)
	return Receipt{Session: c.Session, Sequence: c.Sequence, Events: c.Events, Bytes: p.Bytes}, nil
}

// again answers a chunk of a sequence that is there.
func (s *Service) again(c Chunk, p *Piece, digest string) (Receipt, error) {
	if digest != p.Digest {
		return Receipt{}, conflict(c.Sequence)
	}
	s.figures.duplicates.Add(1)
	return Receipt{Session: c.Session, Sequence: c.Sequence, Events: c.Events, Duplicate: true}, nil
}

// refused gives back the file of a chunk that the store did not take, and says why.
func (s *Service) refused(ctx context.Context, file string, err error) error {
	known := true
	switch {
	case errors.Is(err, ErrFull):
		err = s.full()
	case errors.Is(err, ErrLong):
		err = tooLong()
	default:
		known = false
	}
	if !known {
		s.left.Store(true)
		return err
	}
	if gone := s.cfg.Files.Delete(context.WithoutCancel(ctx), file); gone != nil {
		s.left.Store(true)
		s.cfg.Log.Warn("a file of a recording that was not taken stays until the next sweep", "error", gone)
	}
	return err
}

func conflict(sequence int64) error {
	return problem.New(problem.RecordingConflict, "The session has another chunk of the sequence %d.", sequence).
		At("sequence", fmt.Sprintf("%d is taken by a chunk with other events", sequence))
}

func (s *Service) full() error {
	return problem.New(problem.RecordingsFull, "The project's recordings may take %d bytes, and there is no room for this chunk.", s.cfg.Bytes)
}

func tooLong() error {
	return problem.New(problem.TooManyItems, "A session may have at most %d chunks and %d bytes. Begin another session.", MaxChunks, MaxSessionBytes).
		At("session_id", "has as much as a session may have")
}
