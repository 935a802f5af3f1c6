package recording

import (
	"bytes"
	"context"
	"errors"
	"io/fs"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/mention"
)

// forgetNaming deletes the sessions in which one of a person's ids stands, though no chunk is told to be theirs.
func (s *Service) forgetNaming(ctx context.Context, t event.Traces) (sessions int64, err error) {
	who, f := mention.Of(t.IDs), Filter{Project: t.Project, Environment: t.Environment, Limit: forgetStep}
	for !who.None() {
		list, err := s.cfg.Store.Sessions(ctx, f)
		if err != nil || len(list) == 0 {
			return sessions, err
		}
		for i := range list {
			name := nameOf(t.Project, t.Environment, list[i].ID)
			f.After = Mark{list[i].StartedAt, name}
			named, err := s.names(ctx, list[i].ID, name, who)
			if err == nil && named {
				err = s.take(ctx, name, Sent{})
			}
			switch {
			case errors.Is(err, ErrNone): // somebody else was faster
			case err != nil:
				return sessions, err
			case named:
				sessions++
			}
		}
	}
	return sessions, nil
}

// names reports whether a session names somebody: what it is called, an address that it tells, or what was recorded. A chunk that
// cannot be read may name anybody.
func (s *Service) names(ctx context.Context, session, name string, who mention.IDs) (bool, error) {
	pieces, err := s.cfg.Store.Pieces(ctx, name)
	telling := who.Telling()
	if err != nil || who.Is(session) || telling.InText(session) {
		return err == nil, err
	}
	var unpacked []byte
	for i := range pieces {
		if telling.InText(pieces[i].Page) {
			return true, nil
		}
		packed, err := s.cfg.Files.Get(ctx, fileOf(name, &pieces[i]))
		if errors.Is(err, fs.ErrNotExist) { // it was deleted meanwhile
			continue
		}
		if err != nil {
			return false, err
		}
		if unpacked, err = s.unpack.DecodeAll(packed, unpacked[:0]); err != nil {
			return true, nil
		}
		for line := range bytes.Lines(unpacked) {
			if recorded(line, who) {
				return true, nil
			}
		}
	}
	return false, ctx.Err()
}

// recorded reports whether a recorded event names somebody. An id that may be a word is looked for only where an application tells an
// id of its own: elsewhere it is what many pages say and are made of, whoever looks at them.
func recorded(line jsontext.Value, who mention.IDs) bool {
	return who.Telling().InJSON(line) || who.InIDsOf(line, "payload")
}
