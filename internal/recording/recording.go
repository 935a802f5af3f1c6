// Package recording owns the recordings of sessions: what a page tells of itself, as rrweb writes it, in chunks that are
// numbered within their session. It reads and bounds a chunk, makes it durable before it is answered, keeps each chunk once
// however often it is sent, and gives the events of a session back in their order. It deletes sessions: one, all of a person's,
// and those that have become old.
//
// It does not own where the files are (files), what is known of them beside their bytes (store), who may do what (access),
// nor what the events say: it looks at the type and the time of each, and at the address of a page.
//
// Problems: invalid_request, invalid_json, invalid_field, too_many_items, not_found, recording_conflict, recordings_full, storage_full.
package recording

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-analytics/weir/internal/problem"
)

// The limits on recordings.
const (
	MaxEvents       = 5_000     // in a chunk
	MaxSequence     = 999_999   // of a chunk
	MaxChunks       = 20_000    // of a session
	MaxSessionBytes = 1 << 30   // of a session, as they are kept
	MaxSessionID    = 200       // bytes
	MaxDistinctID   = 200       // bytes
	MaxPage         = 2_048     // bytes that are kept of an address
	MaxUnpacked     = 16 << 20  // bytes of a chunk
	MaxList         = 1_000     // recordings on a page of a list
	maxGaps         = 1_000     // gaps that are told one by one
	maxForgotten    = 1_000_000 // sessions of one call of Forget
)

// Session is what is known of a recording beside its events.
type Session struct {
	Project, Environment string
	ID                   string // as the sender named it
	DistinctID           string // of the latest chunk that names one; empty: none does
	Page                 string // the address that the earliest chunk with one tells
	Chunks, Events       int64
	Bytes                int64     // as they are kept
	Last                 int64     // the highest sequence
	FirstAt, LastAt      time.Time // of its events, by the sender's clock
	StartedAt            time.Time // when its first chunk came
	UpdatedAt            time.Time // when its latest chunk came
}

// Piece is what is known of one chunk.
type Piece struct {
	Sequence   int64
	Digest     string // of what was sent
	DistinctID string // empty: none was named
	Page       string // empty: it tells none
	Events     int64
	Bytes      int64 // as they are kept
	FirstAt    time.Time
	LastAt     time.Time
	ReceivedAt time.Time
	KeyID      string // that sent it; empty: it came before that was kept
}

// Sent says which chunks are meant: those that a key sent, and that came From a time, and before Until. The zero Sent is all.
type Sent struct {
	KeyID       string
	From, Until time.Time // zero: no bound
}

// Seen is what there is before a chunk is added.
type Seen struct {
	Session Session // the zero Session when there is none
	Digest  string  // of the chunk of the sequence that was asked for; empty when there is none
	Used    int64   // bytes of all recordings of the project
}

// Filter says which sessions are listed: those that began to come From a time, and before To.
type Filter struct {
	Project, Environment string
	DistinctID           string    // that one of its chunks names; empty: any
	Sent                 Sent      // as one of its chunks was; zero: any
	From, To             time.Time // zero: no bound
	After                Mark      // where the list goes on; the zero Mark is its beginning
	Limit                int
}

// Mark is a place in a list of sessions, which has the latest first.
type Mark struct {
	StartedAt time.Time
	Name      string // of the session's folder
}

// Limits are what a project may have of recordings.
type Limits struct {
	Bytes  int64 // as they are kept
	Chunks int64 // of one session
}

// Store keeps what is known of recordings. A session is named by the name of its folder, which no two sessions share.
//
// AddPiece adds a chunk and tells ErrPresent when there is one of its sequence, ErrFull when the project and ErrLong when
// the session would have more than it may; then it changes nothing. Look tells of a session, and of its chunk of a sequence.
// Pieces lists the chunks of a session by their sequence. Drop forgets the chunks of a session that were sent so, and the session
// when none is left; it tells how many chunks, events and bytes these were, and ErrNone when there is none. Old names some sessions whose latest chunk came before a time, the oldest first.
type Store interface {
	AddPiece(ctx context.Context, name string, s Session, p Piece, most Limits) error
	Look(ctx context.Context, name, project string, sequence int64) (Seen, error)
	Sessions(ctx context.Context, f Filter) ([]Session, error)
	Pieces(ctx context.Context, name string) ([]Piece, error)
	Drop(ctx context.Context, name string, which Sent) (Session, error)
	Old(ctx context.Context, before time.Time, limit int) ([]string, error)
}

// What a Store can say.
var (
	ErrPresent = errors.New("there is a chunk of that sequence")
	ErrFull    = errors.New("the project has no room for more recordings")
	ErrLong    = errors.New("the session has no room for more chunks")
	ErrNone    = errors.New("there is no such recording")
)

// Files keeps the bytes of chunks. A name is one or more parts of letters, digits, '-' and '.', with '/' between them.
//
// When Put has returned, the file is durable and whole; before that it is not there under its name. Get gives a file, and an
// fs.ErrNotExist when there is none. List names what is directly in a folder, "" being the root; an empty list is no error.
// Delete removes a file, or a folder with all that is in it, durably; what is not there is no error.
type Files interface {
	Put(ctx context.Context, name string, data []byte) error
	Get(ctx context.Context, name string) ([]byte, error)
	List(ctx context.Context, folder string) ([]string, error)
	Delete(ctx context.Context, name string) error
}

// Config is what a Service is made of.
type Config struct {
	Store Store
	Files Files
	Now   func() time.Time
	Log   *slog.Logger
	Bytes int64         // that a project may have, as they are kept; 0: none
	Keep  time.Duration // how long a recording is kept after its latest chunk; 0: for ever

	Even func(ctx context.Context) (bool, error) // whether the clock can be trusted with what has become old; nil: always
}

// Service keeps recordings. Its methods may be called from many goroutines. Only one Service may have the same files.
type Service struct {
	cfg     Config
	pack    *zstd.Encoder
	unpack  *zstd.Decoder
	seed    maphash.Seed
	locks   [64]sync.Mutex // of sessions, by their names: what is added is not deleted at the same time
	left    atomic.Bool    // there may be files of which nothing is known, of an earlier process or of what failed
	tidying sync.Mutex     // held while these are looked for
	figures counted
}

// New makes the service.
func New(cfg Config) (*Service, error) {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(2*MaxUnpacked))
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	s := &Service{cfg: cfg, pack: pack, unpack: unpack, seed: maphash.MakeSeed()}
	s.left.Store(true)
	return s, nil
}

// lock lets one at a time change a session. It returns what ends that.
func (s *Service) lock(name string) (unlock func()) {
	return hold(&s.locks[maphash.String(s.seed, name)%uint64(len(s.locks))])
}

func hold(lock *sync.Mutex) (release func()) {
	lock.Lock()
	return lock.Unlock
}

// settle waits until whatever is being changed now has been, or has failed.
func (s *Service) settle() {
	for i := range s.locks {
		hold(&s.locks[i])()
	}
}

// nameOf is the name of a session's folder. Whatever a sender calls a session, it is digits and letters, and no other session
// has it.
func nameOf(project, environment, session string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s,%d:%s,%s", len(project), project, len(environment), environment, session))
	return hex.EncodeToString(sum[:20])
}

// folderOf is where the files of a session are. Few folders share a beginning, so that no folder has very many entries.
func folderOf(name string) string { return name[:2] + "/" + name }

// fileOf is the file of a chunk. Another chunk of the same sequence has another one, so that none is ever overwritten.
func fileOf(name string, p *Piece) string { return folderOf(name) + "/" + pieceName(p) }

func pieceName(p *Piece) string { return fmt.Sprintf("%07d-%s.zst", p.Sequence, p.Digest) }

func notFound() error { return problem.New(problem.NotFound, "There is no recording of that session.") }
