package rejected

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Wanted is what to send again, and how.
type Wanted struct {
	Project     string
	Environment string   // where the entries are listed, and go, by its name
	IDs         []string // these; else what the filter means
	Filter      Filter
	Cursor      string
	Limit       int // of what the filter means, at the most MaxReplay
	Correction  Correction
}

// Correction is what to change in each item before it is sent again, in the words that it is written in: members of it get other
// names, and then it is merged with a patch (RFC 7396). The zero Correction changes nothing.
type Correction struct {
	Rename map[string]string
	Patch  jsontext.Value // an object; nil: none
}

// Prepared is what is going to be sent again. It says what that touches, and shows nothing.
type Prepared struct {
	wanted  Wanted
	entries []Entry
	missing []string
	batch   event.Batch
	next    string
}

// Failure is an entry that was not accepted this time either.
type Failure struct {
	ID      string
	Problem *problem.Error
}

// Outcome is what came of sending again.
type Outcome struct {
	Accepted int
	Failed   []Failure
	Next     string // where to go on with what the filter means; empty: that was all
}

// Check finds what is wrong with a correction. Problems: invalid_field.
func (c Correction) Check() error {
	if c.Patch != nil && c.Patch.Kind() != '{' {
		return problem.Invalid("patch", "must be an object, whose members go over those of each item")
	}
	for from, to := range c.Rename {
		if from == "" || to == "" {
			return problem.Invalid("rename", "must give each name another")
		}
	}
	return nil
}

// Prepare reads what is wanted and corrects it. It is for whoever asks the gate next: what comes of it is Replay's to say.
//
// Problems: invalid_field.
func (s *Service) Prepare(w Wanted) (Prepared, error) {
	p := Prepared{wanted: w, batch: event.Batch{Shape: event.Shape{Kind: event.Track, Source: "replay"}}}
	if err := w.Correction.Check(); err != nil {
		return p, err
	}
	var err error
	if len(w.IDs) > 0 {
		if p.entries, err = s.byID(w.Project, w.Environment, w.IDs); err != nil {
			return p, err
		}
		for _, id := range w.IDs {
			if !slices.ContainsFunc(p.entries, func(e Entry) bool { return e.ID == id }) {
				p.missing = append(p.missing, id)
			}
		}
	} else {
		page, err := s.page(w.Project, w.Environment, w.Filter, w.Cursor, w.Limit)
		if err != nil {
			return p, err
		}
		p.entries, p.next = page.Entries, page.Next
	}
	for i := range p.entries {
		p.batch.Items = append(p.batch.Items, s.again(&p.entries[i], w.Correction, w.Environment))
	}
	return p, nil
}

// Targets are what sending it again touches.
func (p *Prepared) Targets() []access.Target {
	if targets := p.batch.Targets(); len(targets) > 0 {
		return targets
	}
	return []access.Target{{Environment: p.wanted.Environment}}
}

// Replay sends again what was prepared, through the ordinary way in. What is accepted is in the list no more; what is not
// stays, with what is wrong with it now. An entry that is sent again twice is stored once: it has its sender's id, or else its
// own. The permit is one whose attempt had the Targets.
//
// Problems: environment_not_allowed, and those of recording events.
func (s *Service) Replay(ctx context.Context, permit gate.Permit, to Recorder, p Prepared) (Outcome, error) {
	if _, ok := permit.Space(p.wanted.Environment); !ok || permit.Project() != p.wanted.Project {
		return Outcome{}, problem.New(problem.EnvironmentNotAllowed, "The key may not use the environment any more.").At("environment", "not allowed for this key")
	}
	out := Outcome{Next: p.next}
	for _, id := range p.missing {
		out.Failed = append(out.Failed, Failure{id, problem.New(problem.NotFound, "No such item is kept in the environment.")})
	}
	if len(p.entries) == 0 {
		return out, nil
	}
	receipt, err := to.Replay(ctx, permit, p.batch)
	if err != nil {
		return Outcome{}, err
	}
	verdicts := make(map[string]*event.Rejection, len(p.entries))
	for i := range p.entries {
		verdicts[p.entries[i].ID] = nil
	}
	for i := range receipt.Rejected {
		r := &receipt.Rejected[i]
		verdicts[p.entries[r.Index].ID] = r
		out.Failed = append(out.Failed, Failure{p.entries[r.Index].ID, r.Problem})
	}
	out.Accepted = receipt.Accepted
	s.figures.replayed.Add(int64(receipt.Accepted))
	// Whoever hung up has sent them all the same.
	if err := s.settle(context.WithoutCancel(ctx), p.wanted.Project, verdicts); err != nil {
		return Outcome{}, fmt.Errorf("rejected: take out what was sent again: %w", err)
	}
	return out, nil
}

// again is an entry as it is sent again, or what is wrong with it. It goes to an environment by its name, and where its sender said
// nothing of it, has the time at which it came and an id by which it is known again.
func (s *Service) again(e *Entry, c Correction, environment string) event.Item {
	kind := event.Track
	switch e.Kind {
	case event.Identify.String():
		kind = event.Identify
	case event.Alias.String():
		kind = event.Alias
	}
	text, err := c.corrected(e)
	if err != nil {
		return event.Item{Event: event.Event{Kind: kind}, Problem: problem.From(err)}
	}
	item := s.read(e.Words, text, kind)
	item.Event.Environment = environment
	if item.Event.Timestamp.IsZero() {
		item.Event.Timestamp = e.At
	}
	if item.Event.ID == "" {
		item.Event.ID, item.Event.OwnID = e.ID, true
	}
	return item
}

// read reads an item in the words that it is written in.
func (s *Service) read(words string, text []byte, kind event.Kind) event.Item {
	if words != "" && s.cfg.Read != nil {
		return s.cfg.Read(words, text)
	}
	batch, err := event.ReadBatch(text, event.Shape{Kind: kind})
	if err == nil && len(batch.Items) != 1 {
		err = problem.Invalid("events", "makes a batch of the item: only one can come of it")
	}
	if err != nil {
		return event.Item{Event: event.Event{Kind: kind}, Problem: problem.From(err)}
	}
	return batch.Items[0]
}

// corrected is the text of an item as it is sent again. It names no environment: where it goes is not its to say.
func (c Correction) corrected(e *Entry) ([]byte, error) {
	if e.Item == nil {
		return nil, problem.New(problem.EventTooLarge, "The event was %d bytes of JSON, and its text was not kept: it cannot be sent again from here.", e.Bytes)
	}
	var item map[string]jsontext.Value
	if e.Item.Kind() != '{' || json.Unmarshal(e.Item, &item, jsontext.AllowDuplicateNames(true)) != nil {
		return nil, problem.Invalid("item", "must be a JSON object")
	}
	if err := c.renamed(item); err != nil {
		return nil, err
	}
	if c.Patch != nil {
		merged, err := merge(item, c.Patch)
		if err != nil {
			return nil, err
		}
		item = merged
	}
	delete(item, "environment")
	text, err := json.Marshal(item, json.Deterministic(true), jsontext.AllowDuplicateNames(true))
	if err != nil {
		return nil, fmt.Errorf("rejected: write an item: %w", err)
	}
	return text, nil
}

// renamed gives members their other names, all at once. None takes the place of a member that has a value, which would be lost.
//
// Problems: invalid_field.
func (c Correction) renamed(item map[string]jsontext.Value) error {
	moved := make(map[string]jsontext.Value, len(c.Rename))
	for _, from := range slices.Sorted(maps.Keys(c.Rename)) {
		value, there := item[from]
		if !there {
			continue
		}
		to := c.Rename[from]
		if given(moved[to]) && given(value) {
			return problem.Invalid("rename", "gives two members of the item the name %.40q", to)
		}
		if moved[to] = value; !given(value) {
			delete(moved, to)
		}
		delete(item, from)
	}
	for _, to := range slices.Sorted(maps.Keys(moved)) {
		if given(item[to]) {
			return problem.Invalid("rename", "gives a member the name %.40q, and the item has one of that name: rename that one too", to)
		}
		item[to] = moved[to]
	}
	return nil
}

func given(value jsontext.Value) bool { return value != nil && value.Kind() != 'n' }

// merge puts a patch over an object, as RFC 7396 says. The patch is an object, no deeper than a body may be.
func merge(into map[string]jsontext.Value, patch jsontext.Value) (map[string]jsontext.Value, error) {
	var changes map[string]jsontext.Value
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, problem.Invalid("patch", "cannot be read")
	}
	if into == nil {
		into = map[string]jsontext.Value{}
	}
	for name, value := range changes {
		if value.Kind() == 'n' {
			delete(into, name)
			continue
		}
		if value.Kind() == '{' {
			var inner map[string]jsontext.Value
			if before := into[name]; before != nil && before.Kind() == '{' {
				if err := json.Unmarshal(before, &inner, jsontext.AllowDuplicateNames(true)); err != nil {
					return nil, fmt.Errorf("rejected: read an item: %w", err)
				}
			}
			inner, err := merge(inner, value)
			if err != nil {
				return nil, err
			}
			if value, err = json.Marshal(inner, json.Deterministic(true), jsontext.AllowDuplicateNames(true)); err != nil {
				return nil, fmt.Errorf("rejected: write an item: %w", err)
			}
		}
		into[name] = value
	}
	return into, nil
}
