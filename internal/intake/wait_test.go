package intake

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// Promise: a limit is waited for, whichever it is, and no row is lost or told twice by it; credits that are used up are not.
func TestLimitsAreWaitedFor(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	kept, err := Keep(Place{State: filepath.Join(folder, "s"), Rejected: filepath.Join(folder, "l"), File: "f"})
	if err != nil {
		t.Fatal(err)
	}
	answers := []Answer{
		{Status: 429, RetryAfter: time.Hour, Body: []byte(`{"code":"rate_limited","detail":"the requests of the day are used up"}`)},
		{Status: 429, Body: []byte(`{"code":"rate_limited","detail":"too many in a second"}`)},
		{Status: 200, Body: []byte(`{"rejected":[]}`)},
		{Status: 402, Body: []byte(`{"code":"credits_exhausted","detail":"no"}`)},
	}
	var waited []time.Duration
	m := &Import{
		Source: rowsOf("{}\n{}\n{}\n"), Mapping: &Mapping{Kind: Track}, File: "f", Kept: kept, Told: func(Progress) {}, batch: 2,
		Send: func(context.Context, string, []byte) (a Answer, err error) {
			a, answers = answers[0], answers[1:]
			return a, nil
		},
		Pause: func(_ context.Context, _ string, wait time.Duration) error {
			waited = append(waited, wait)
			return nil
		},
	}
	var refused *Refusal
	if err := m.Run(t.Context()); !errors.As(err, &refused) || refused.Status != 402 || len(answers) > 0 {
		t.Errorf("%v; there are still %v", err, answers)
	}
	if p := kept.Progress(); p != (Progress{Rows: 2, Accepted: 2}) || len(waited) != 2 || waited[0] != time.Hour || waited[1] != 2*time.Second {
		t.Errorf("%+v, waited %v", p, waited)
	}
	if err := kept.Close(); err != nil {
		t.Error(err)
	}
}
