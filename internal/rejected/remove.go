package rejected

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
)

// looseID is how long an id must be to be looked for within other texts too: a shorter one would be found everywhere.
const looseID = 8

// tellsOf reports whether an entry has one of the ids in it.
func (e *Entry) tellsOf(ids []string) bool {
	said := []string{e.Event, e.Detail}
	for _, f := range e.Fields {
		said = append(said, f.Name, f.Detail)
	}
	if slices.ContainsFunc(said, func(text string) bool { return has(text, ids) }) {
		return true
	}
	dec := jsontext.NewDecoder(bytes.NewReader(e.Item), jsontext.AllowDuplicateNames(true))
	for {
		token, err := dec.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return false
		case err != nil:
			return true // nobody can say what it tells of
		}
		if kind := token.Kind(); kind != '"' && kind != '0' {
			continue
		}
		if has(token.String(), ids) {
			return true
		}
	}
}

// has reports whether a text is one of the ids, or has a long one in it.
func has(text string, ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return text == id || len(id) >= looseID && strings.Contains(text, id) })
}

// each goes through the entries of a project's files that are meant, and keeps what keep says to, which it may change.
func (s *Service) each(ctx context.Context, project string, meant func(*file) bool, keep func(*Entry) bool) (removed int, err error) {
	shelf, err := s.shelf(project)
	if err != nil {
		return 0, err
	}
	shelf.mu.Lock()
	defer shelf.mu.Unlock()
	for _, f := range slices.Clone(shelf.files) {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		if !meant(f) {
			continue
		}
		n, err := shelf.change(f, keep)
		if err != nil {
			return removed, err
		}
		removed += n
	}
	return removed, nil
}

// settle takes out what was accepted, and writes down of the rest what is wrong with it now.
func (s *Service) settle(ctx context.Context, project string, verdicts map[string]*event.Rejection) error {
	_, err := s.each(ctx, project, func(f *file) bool {
		for id := range verdicts {
			if n := numberOf(id); n >= f.first && n <= f.last {
				return true
			}
		}
		return false
	}, func(e *Entry) bool {
		verdict, meant := verdicts[e.ID]
		if meant && verdict != nil {
			e.blame(verdict.Problem)
			e.Tries++
		}
		return !meant || verdict != nil
	})
	return err
}

// Sweep deletes what has become too old. It is to be called now and then.
func (s *Service) Sweep(ctx context.Context) (removed int, err error) {
	if s.cfg.Keep <= 0 {
		return 0, nil
	}
	projects, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return 0, err
	}
	low := numberAt(s.oldest())
	for _, project := range projects {
		n, err := s.each(ctx, project.Name(), func(f *file) bool { return f.first < low }, func(e *Entry) bool { return numberOf(e.ID) >= low })
		if err != nil {
			return removed, err
		}
		removed += n
	}
	return removed, nil
}

// sweepEvery is how often Run looks for what has become too old.
const sweepEvery = time.Hour

// Run sweeps now and then, until ctx is done.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("sweeping rejected events", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
