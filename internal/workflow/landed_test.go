package workflow_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/workflow"
	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// lagging is an outbox whose second look comes back when what was under way at it has ended.
type lagging struct {
	workflow.Outbox

	looks atomic.Int32
	let   chan struct{}
}

func (l *lagging) Due(ctx context.Context, now time.Time, perLane, limit int, except []workflow.Lane) ([]workflow.Delivery, time.Time, error) {
	due, next, err := l.Outbox.Due(ctx, now, perLane, limit, except)
	if l.looks.Add(1) == 2 {
		close(l.let)
		<-time.After(time.Second) // until all else waits
	}
	return due, next, err
}

// Promise: a delivery that ends while the outbox is looked at is not sent once more.
func TestWhatHasJustLandedStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, time.Now)
		defer func() { _ = b.store.Close() }()
		outbox := &lagging{Outbox: b.store.Workflows(), let: make(chan struct{})}
		b.service = workflow.New(workflow.Config{
			Store: b.store.Workflows(), Outbox: outbox, Web: b.web, Vault: b.vault, Random: rand.Reader, Jitter: func() float64 { return 0.5 },
			Now: b.now, NewID: rand.Text, Log: slog.New(slog.DiscardHandler), Agent: "weir/test",
		})
		b.web.answer = func(context.Context, string, int) outbound.Answer {
			<-outbox.let
			return outbound.Answer{Status: 200}
		}
		b.create(workflow.Wanted{ID: "w", URL: "https://w.example/"})
		b.trigger("w")
		defer b.run()()
		synctest.Wait() // the first is under way
		b.trigger("w")
		time.Sleep(time.Minute)
		if n, s := len(b.web.to("https://w.example/")), b.service.Stats(); n != 2 || s.Delivered != 2 {
			t.Errorf("sent %d times, counted %+v", n, s)
		}
	})
}
