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
	"github.com/weir-analytics/weir/internal/problem"
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

// Promise: of a key of which there is no record any more, as of one that the configuration no longer has, what it sent is deleted all
// the same; of one that sent nothing it is said that there is none, whatever else is named, and nothing is counted as unknown when that
// cannot be found out.
func TestWhatAKeyWithoutARecordSentIsDeleted(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	p := &sentParts{parts: y.parts}
	defer y.undoing(p)()
	var asked []string
	var fault error
	y.service = deletion.New(deletion.Config{
		Warehouse: p, Journal: y.parts, Loader: y.parts, Control: y.store, Derive: y.derive, Now: y.world.Clock.Now, NewID: func() string { return "one" }, NewAudit: func() string { return "aud" },
		Jobs: job.New(job.Config{Store: y.store, Dir: t.TempDir(), Now: y.world.Clock.Now, NewID: func() string { return "gone" }, Log: slog.New(slog.DiscardHandler)}),
		Log:  slog.New(slog.DiscardHandler), Parts: []deletion.Forgetter{{Name: "recordings", Forget: p.Forget, Count: p.Count}},
		Known: func(_ context.Context, project, id string) (bool, error) {
			asked = append(asked, project+" "+id)
			return false, fault
		},
	})
	permit := y.permit("production")
	wish := deletion.Wish{Of: deletion.Of{KeyID: "key_1", Events: []string{"A"}, Until: y.world.Clock.Now()}}
	submit := func() error { _, err := y.service.Submit(t.Context(), permit, wish); return err }
	preview := func() error { _, err := y.service.Preview(t.Context(), permit, wish); return err }
	for name, ask := range map[string]func() error{"submit": submit, "preview": preview} {
		asked, p.told = nil, nil
		if err := ask(); problem.Of(err) != problem.InvalidField || len(asked) != 1 || asked[0] != permit.Project()+" key_1" || len(p.told) != 1 || p.told[0].KeyID != "key_1" || !p.told[0].Until.IsZero() {
			t.Errorf("%s of nothing: %v, asked %q, told %+v", name, err, asked, p.told)
		}
	}
	fault = errors.New("the store cannot be read")
	if err := submit(); !errors.Is(err, fault) {
		t.Errorf("when it cannot be found out: %v", err)
	}
	fault = nil
	for name, has := range map[string]sentParts{"events": {counts: deletion.Counts{Events: 1}}, "records": {counts: deletion.Counts{Records: 1}}, "recordings": {held: 1}} {
		p.counts, p.held = has.counts, has.held
		if err := preview(); err != nil {
			t.Errorf("preview with %s: %v", name, err)
		}
	}
	if err := submit(); err != nil {
		t.Error(err)
	}
}
