package deletion_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/job"
)

// sentParts are parts that hold what keys sent.
type sentParts struct {
	*parts

	counts  deletion.Counts
	erased  []deletion.Selection
	told    []event.Traces
	held    int64
	counted error
}

func (p *sentParts) CountErasable(_ context.Context, _ event.Space, _ deletion.Selection) (deletion.Counts, error) {
	return p.counts, nil
}

func (p *sentParts) Erase(_ context.Context, _ event.Space, s deletion.Selection) (deletion.Counts, []string, error) {
	p.erased = append(p.erased, s)
	c := p.counts
	p.counts = deletion.Counts{}
	return c, nil, nil
}

func (p *sentParts) Forget(_ context.Context, t event.Traces) (int64, error) {
	p.told = append(p.told, t)
	n := p.held
	p.held = 0
	return n, nil
}

func (p *sentParts) Count(_ context.Context, t event.Traces) (int64, error) {
	p.told = append(p.told, t)
	return p.held, p.counted
}

// undoing serves with such parts.
func (y *yard) undoing(p *sentParts) (end func()) {
	end = y.serve()
	y.service = deletion.New(deletion.Config{
		Warehouse: p, Journal: y.parts, Loader: y.parts, Control: y.store, Jobs: y.jobs, Derive: y.derive, Now: y.world.Clock.Now,
		NewID: func() string { y.ids++; return fmt.Sprint("id", y.ids) }, NewAudit: func() string { return "aud" }, Log: slog.New(slog.DiscardHandler),
		Parts: []deletion.Forgetter{{Name: "recordings", Forget: p.Forget, Count: p.Count}, {Name: "uncounted", Forget: p.parts.forget}},
	})
	return end
}

// Promise: what a key sent is counted part by part beforehand and nothing is removed by that; then every part is told the key and the
// time, and the receipt counts each. Of a deletion of some events of a key, and of a person, no part is told of the key.
func TestWhatAKeySentIsCountedAndRemoved(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	p := &sentParts{parts: y.parts, counts: deletion.Counts{Events: 5, Persons: 1, Remade: 2, Records: 7}, held: 3}
	defer y.undoing(p)()
	from, until := y.world.Clock.Now().Add(-time.Hour).UTC(), y.world.Clock.Now().UTC()
	of := deletion.Of{KeyID: "key_1", From: from, Until: until}
	want := event.Traces{Space: event.Space{Project: y.permit("production").Project(), Environment: "production"}, KeyID: "key_1", From: from, Until: until}

	found, err := y.service.Preview(t.Context(), y.permit("production"), deletion.Wish{Of: of})
	if err != nil || found.Counts != p.counts || fmt.Sprint(found.Parts) != "[{recordings 3}]" || len(p.erased) != 0 || p.held != 3 {
		t.Fatalf("%+v, %v", found, err)
	}
	if fmt.Sprint(p.told) != fmt.Sprint([]event.Traces{want}) {
		t.Errorf("told %+v, want %+v", p.told, want)
	}
	p.told = nil
	r, err := y.service.Submit(t.Context(), y.permit("production"), deletion.Wish{Of: of})
	if err != nil {
		t.Fatal(err)
	}
	shown := y.done(r.ID)
	if shown.Status != job.Succeeded || len(p.erased) != 1 || p.erased[0].KeyID != "key_1" {
		t.Fatalf("%+v, erased %+v", shown, p.erased)
	}
	if got := fmt.Sprint(shown.Signed.Receipt.Removed); got != "[{recordings 3} {uncounted 0} {events 5} {events_changed 0} {persons 1} {persons_changed 2} {records 7} {journal 0}]" {
		t.Error(got)
	}
	if fmt.Sprint(p.told) != fmt.Sprint([]event.Traces{want, want}) {
		t.Errorf("told %+v, want %+v twice", p.told, want)
	}
	for name, w := range map[string]deletion.Wish{"some events": {Of: deletion.Of{KeyID: "key_1", Events: []string{"spam"}}}, "a person": {Person: "u"}} {
		p.told = nil
		if _, err := y.service.Preview(t.Context(), y.permit("production"), w); err != nil || len(p.told) != 1 || p.told[0].KeyID != "" {
			t.Errorf("%s: told %+v, %v", name, p.told, err)
		}
	}
	p.counted = errors.New("it cannot be read")
	if _, err := y.service.Preview(t.Context(), y.permit("production"), deletion.Wish{Of: of}); !errors.Is(err, p.counted) {
		t.Error(err)
	}
}
