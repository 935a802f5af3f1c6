package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/workflow"
)

// Promise: what a key triggered in a time is counted and dropped, and nothing else is.
func deliveriesOfAKeyAreDropped(t *testing.T, open Open) {
	s := plain(t, open)
	for i, text := range hostile() {
		w := makeWorkflow(t, s, plainWorkflow(fmt.Sprint("prj_", i), "e", "w"))
		other := makeWorkflow(t, s, plainWorkflow(fmt.Sprint("prj_", i), "f", "w"))
		for n, of := range []*workflow.Workflow{&w, &w, &w, &other} {
			d := sent(of, n)
			d.ID, d.KeyID = fmt.Sprint("d", i, "-", n), text
			d.CreatedAt = start().Add(time.Duration(n%3) * time.Hour)
			addDelivery(t, s, d)
		}
		d := sent(&w, 9)
		d.ID, d.KeyID, d.CreatedAt = fmt.Sprint("other", i), text+"2", start().Add(time.Hour)
		addDelivery(t, s, d)
		by := event.Traces{Space: event.Space{Project: w.Project, Environment: "e"}, KeyID: text, From: start().Add(time.Hour), Until: start().Add(2 * time.Hour)}
		drop := func(dry bool, want int64) {
			if text == "" {
				want = 0
			}
			if n, err := s.Outbox.DropDeliveries(t.Context(), by, dry); err != nil || n != want {
				t.Errorf("%.40q: %d, %v, want %d", text, n, err, want)
			}
		}
		drop(true, 1)
		drop(false, 1)
		drop(false, 0)
		by.From, by.Until = time.Time{}, time.Time{}
		drop(true, 2)
		list, err := s.Outbox.Deliveries(t.Context(), workflow.Filter{At: workflow.At{Project: w.Project, Environment: "f", ID: "w"}, Limit: 5})
		if err != nil || len(list) != 1 {
			t.Errorf("%.40q: elsewhere there are %+v, %v", text, list, err)
		}
	}
}
