package warehousetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/query"
)

// Promise: a caller who goes away gets its context's error, at once, before the first row and between rows; rows may be
// left half read; and none of it hinders the next caller.
func cancel(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("cancel")
	crowd(t, w, s)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := ask(ctx, w, s, query.Statement{SQL: product}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline passed before the first row: %v", err)
	}
	gone, leave := context.WithCancelCause(t.Context())
	leave(errors.New("gone before it began"))
	if _, err := ask(gone, w, s, query.Statement{SQL: "SELECT 1"}); err == nil {
		t.Error("a statement of a caller who is gone was answered")
	}
	ctx, stop = context.WithCancel(t.Context())
	defer stop()
	answer, err := w.Run(ctx, s, query.Statement{SQL: "SELECT a.event, b.event FROM events a, events b, events c"})
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		if _, err := answer.Next(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	for err == nil {
		_, err = answer.Next()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled between rows: %v", err)
	}
	if err := answer.Close(); err != nil {
		t.Error(err)
	}
	for range 20 { // more than can run at a time
		answer, err := w.Run(t.Context(), s, query.Statement{SQL: "SELECT a.event, b.event FROM events a, events b, events c"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := answer.Next(); err != nil {
			t.Fatal(err)
		}
		if err := answer.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := answer.Next(); err == nil {
			t.Fatal("closed rows give rows")
		}
	}
	wantRows(t, w, s, "SELECT count(*) FROM events", "[4000]")
}
