package recording

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Page is one page of a list of recordings.
type Page struct {
	Sessions []Session
	Next     string // the cursor of the next page; empty on the last
}

// Gap is a run of sequences of which no chunk came.
type Gap struct {
	From int64 `json:"from" doc:"The first sequence that is missing."`
	To   int64 `json:"to" doc:"The last one."`
}

// List lists the recordings of the permit's environment, the latest first by when they began to come. Of the filter, the
// project and the environment are the permit's.
//
// Problems: invalid_field of a cursor that is none.
func (s *Service) List(ctx context.Context, permit gate.Permit, f Filter, cursor string) (Page, error) {
	f.Project, f.Environment = permit.Project(), permit.Environment()
	limit := min(max(f.Limit, 1), MaxList)
	f.Limit = limit + 1
	if cursor != "" {
		var ok bool
		if f.After, ok = readCursor(cursor); !ok {
			return Page{}, problem.Invalid("query.cursor", "is not one that this list gave")
		}
	}
	list, err := s.cfg.Store.Sessions(ctx, f)
	if err != nil || len(list) <= limit {
		return Page{Sessions: list}, err
	}
	last := &list[limit-1]
	next := writeCursor(Mark{last.StartedAt, nameOf(last.Project, last.Environment, last.ID)})
	return Page{Sessions: list[:limit], Next: next}, nil
}

func writeCursor(m Mark) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(m.StartedAt.UnixMicro(), 36) + "." + m.Name))
}

func readCursor(text string) (Mark, bool) {
	plain, err := base64.RawURLEncoding.DecodeString(text)
	at, name, ok := strings.Cut(string(plain), ".")
	micros, wrong := strconv.ParseInt(at, 36, 64)
	return Mark{time.UnixMicro(micros).UTC(), name}, err == nil && ok && wrong == nil && len(name) <= 64
}

// Playback is a recording that can be played.
type Playback struct {
	Session Session
	Missing []Gap // at most 1,000 of them

	service *Service
	name    string
	pieces  []Piece
}

// Find gives a recording of the permit's environment.
//
// Problems: not_found.
func (s *Service) Find(ctx context.Context, permit gate.Permit, session string) (*Playback, error) {
	if !goodSession(session) {
		return nil, notFound()
	}
	name := nameOf(permit.Project(), permit.Environment(), session)
	seen, err := s.cfg.Store.Look(ctx, name, permit.Project(), -1)
	if err != nil {
		return nil, err
	}
	if seen.Session.Chunks == 0 {
		return nil, notFound()
	}
	pieces, err := s.cfg.Store.Pieces(ctx, name)
	if err != nil {
		return nil, err
	}
	return &Playback{Session: seen.Session, Missing: gapsOf(pieces), service: s, name: name, pieces: pieces}, nil
}

// gapsOf finds what is missing before the last chunk.
func gapsOf(pieces []Piece) []Gap {
	gaps, next := []Gap{}, int64(0)
	for i := range pieces {
		if at := pieces[i].Sequence; at > next && len(gaps) < maxGaps {
			gaps = append(gaps, Gap{next, at - 1})
		}
		next = pieces[i].Sequence + 1
	}
	return gaps
}

// Lines gives the events of one chunk after the other to each, one event a line, in the order of their sequence. A chunk that
// has been deleted meanwhile is an error, as is one that is not as it was kept.
func (p *Playback) Lines(ctx context.Context, each func(lines []byte) error) error {
	var unpacked []byte
	for i := range p.pieces {
		packed, err := p.service.cfg.Files.Get(ctx, fileOf(p.name, &p.pieces[i]))
		if err != nil {
			return err
		}
		if unpacked, err = p.service.unpack.DecodeAll(packed, unpacked[:0]); err != nil {
			return fmt.Errorf("recording: the chunk %d of %s cannot be unpacked: %w", p.pieces[i].Sequence, p.name, err)
		}
		c := Chunk{DistinctID: p.pieces[i].DistinctID, lines: unpacked}
		if c.digest() != p.pieces[i].Digest {
			return fmt.Errorf("recording: the chunk %d of %s is not as it was kept", p.pieces[i].Sequence, p.name)
		}
		if err := each(unpacked); err != nil {
			return err
		}
	}
	return nil
}

// JSON gives the recording as one JSON object, in parts: session_id, what is missing, and the events.
func (p *Playback) JSON(ctx context.Context, each func(part []byte) error) error {
	head, err := json.Marshal(struct {
		Session string `json:"session_id"`
		Missing []Gap  `json:"missing"`
	}{p.Session.ID, p.Missing})
	if err != nil {
		return err
	}
	part := append(bytes.TrimSuffix(head, []byte("}")), `,"events":[`...)
	first := true
	err = p.Lines(ctx, func(lines []byte) error {
		for line := range bytes.Lines(lines) {
			if !first {
				part = append(part, ',')
			}
			first = false
			part = append(append(part, '\n'), bytes.TrimSuffix(line, []byte("\n"))...)
		}
		err := each(part)
		part = part[:0]
		return err
	})
	if err != nil {
		return err
	}
	return each(append(part, "]}\n"...))
}
