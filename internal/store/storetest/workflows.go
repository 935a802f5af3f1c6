package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/workflow"
	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

func makeWorkflow(t *testing.T, s Stores, want workflow.Workflow) workflow.Workflow {
	t.Helper()
	at := workflow.At{Project: want.Project, Environment: want.Environment, ID: want.ID}
	made, err := s.Workflows.ChangeWorkflow(t.Context(), at, func(w *workflow.Workflow, _ int) (*audit.Entry, error) {
		*w = want
		return &audit.Entry{ID: fmt.Sprint("make ", at), At: start()}, nil
	})
	if err != nil {
		t.Fatalf("make %.80q: %v", want.ID, err)
	}
	return made
}

// plainWorkflow is one that sends.
func plainWorkflow(project, environment, id string) workflow.Workflow {
	return workflow.Workflow{
		Project: project, Environment: environment, ID: id, URL: "https://h/", Target: "h:443", Enabled: true, CreatedAt: start(), UpdatedAt: start(),
	}
}

// sent is the n-th delivery of a workflow, which is pending.
func sent(w *workflow.Workflow, n int) workflow.Delivery {
	at := start().Add(time.Duration(n) * time.Minute)
	return workflow.Delivery{
		Project: w.Project, Environment: w.Environment, Workflow: w.ID, ID: fmt.Sprintf("%s/%s/%s/%03d", w.Project, w.Environment, w.ID, n),
		Target: w.Target, Body: "{}", State: workflow.Pending, CreatedAt: at, Since: at, NextAt: at,
	}
}

func addDelivery(t *testing.T, s Stores, d workflow.Delivery) {
	t.Helper()
	if _, added, err := s.Outbox.AddDelivery(t.Context(), d, 1000); err != nil || !added {
		t.Fatalf("add %.80q: %v, %v", d.ID, added, err)
	}
}

// Promise: a workflow comes back byte for byte, whatever its texts are, and only where it was made; what is not there is
// said to be so; a change that fails, and one that makes no entry, changes nothing.
func workflowsAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	for i, text := range hostile() {
		want := workflow.Workflow{
			Organization: "org" + text, Project: "prj_" + text, Environment: "env" + text, ID: "id" + text, Name: text, URL: text + "u", Target: text + "t",
			Event: text + "e", Template: text + "p", Enabled: i%2 == 0, Why: text + "w", Sealed: text + "s", Hint: text + "h", Former: text + "f",
			CreatedAt: start(), CreatedBy: text + "c", UpdatedAt: start().Add(time.Hour), UpdatedBy: text + "b",
		}
		if i%3 == 0 {
			want.FormerUntil = start().Add(time.Minute)
		}
		at := workflow.At{Project: want.Project, Environment: want.Environment, ID: want.ID}
		made := makeWorkflow(t, s, want)
		want.Revision = 1
		got, err := s.Workflows.FindWorkflow(t.Context(), at)
		if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(made, want) {
			t.Fatalf("%.40q: got %+v, %v", text, got, err)
		}
		listed, err := s.Workflows.Workflows(t.Context(), at.Project, at.Environment, "", 10)
		if err != nil || !reflect.DeepEqual(listed, []workflow.Workflow{want}) {
			t.Fatalf("%.40q: listed are %+v, %v", text, listed, err)
		}
		_, err = s.Workflows.ChangeWorkflow(t.Context(), at, func(w *workflow.Workflow, _ int) (*audit.Entry, error) {
			w.Name = "other"
			return nil, errors.New("no")
		})
		if err == nil {
			t.Fatal("the error of a change is lost")
		}
		if again, err := s.Workflows.FindWorkflow(t.Context(), at); err != nil || !reflect.DeepEqual(again, want) {
			t.Fatalf("%.40q: after a change that failed there is %+v, %v", text, again, err)
		}
	}
	if _, err := s.Workflows.FindWorkflow(t.Context(), workflow.At{Project: "prj_a", Environment: "enva", ID: "idb"}); !errors.Is(err, workflow.ErrNone) {
		t.Errorf("what is not there: %v", err)
	}
	count := 0
	err := s.Workflows.EachWorkflow(t.Context(), func(workflow.Workflow) error { count++; return nil })
	if err != nil || count != len(hostile()) {
		t.Errorf("each is %d, %v", count, err)
	}
}

// Promise: changes that are made at once are all made; a workflow that is deleted is gone with its deliveries, and one that
// sends elsewhere takes what waits along.
func workflowChangesAreNotLost(t *testing.T, open Open) {
	s := plain(t, open)
	at := workflow.At{Project: "prj_1", Environment: "e", ID: "w"}
	const writers, times = 4, 5
	each(writers, func(n int) {
		for i := range times {
			_, err := s.Workflows.ChangeWorkflow(t.Context(), at, func(w *workflow.Workflow, _ int) (*audit.Entry, error) {
				w.URL, w.Target, w.Enabled, w.CreatedAt, w.UpdatedAt = "https://h/", "h:443", true, start(), start()
				w.Name += "x"
				return &audit.Entry{ID: fmt.Sprint(n, " ", i), At: start()}, nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	w, err := s.Workflows.FindWorkflow(t.Context(), at)
	if err != nil || w.Revision != writers*times || len(w.Name) != writers*times {
		t.Fatalf("there is %+v, %v", w, err)
	}
	other := makeWorkflow(t, s, plainWorkflow("prj_1", "e", "other"))
	addDelivery(t, s, sent(&w, 1))
	addDelivery(t, s, sent(&other, 1))
	change := func(do func(w *workflow.Workflow)) {
		t.Helper()
		_, err := s.Workflows.ChangeWorkflow(t.Context(), at, func(w *workflow.Workflow, others int) (*audit.Entry, error) {
			do(w)
			if others != 1 {
				t.Errorf("there are %d others", others)
			}
			return &audit.Entry{ID: fmt.Sprint(w.Revision), At: start()}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	change(func(w *workflow.Workflow) { w.Target = "elsewhere:443" })
	if list, err := s.Outbox.Deliveries(t.Context(), workflow.Filter{At: at, Limit: 10}); err != nil || len(list) != 1 || list[0].Target != "elsewhere:443" {
		t.Errorf("what waits is %+v, %v", list, err)
	}
	change(func(w *workflow.Workflow) { w.Deleted = true })
	if _, err := s.Workflows.FindWorkflow(t.Context(), at); !errors.Is(err, workflow.ErrNone) {
		t.Errorf("what was deleted: %v", err)
	}
	due, _, err := s.Outbox.Due(t.Context(), start().Add(time.Hour), 10, 10, nil)
	if err != nil || len(due) != 1 || due[0].Workflow != "other" {
		t.Errorf("due are %+v, %v", due, err)
	}
	if _, _, err := s.Outbox.AddDelivery(t.Context(), sent(&w, 2), 10); !errors.Is(err, workflow.ErrNone) {
		t.Errorf("a delivery of what was deleted: %v", err)
	}
}

// Promise: a delivery comes back byte for byte; one of the same id is not added but given; no more are pending than may be;
// lists have the latest first, each once over all pages, and none of another workflow.
func deliveriesAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	for i, text := range hostile() {
		w := makeWorkflow(t, s, plainWorkflow("prj_"+text, "env"+text, "w"+text))
		d := sent(&w, i)
		d.Digest, d.UserID, d.Target, d.Body, d.Excerpt, d.Fault = text+"d", text, text+"t", text+"b", text+"x", outbound.Fault(text)
		d.KeyID = text + "k"
		d.Attempts, d.Tries, d.Status, d.LastAt = 7, 3, 503, start()
		if i%2 == 0 {
			d.State, d.EndedAt = workflow.Failed, start().Add(time.Hour)
		}
		addDelivery(t, s, d)
		list, err := s.Outbox.Deliveries(t.Context(), workflow.Filter{At: workflow.At{Project: d.Project, Environment: d.Environment, ID: d.Workflow}, Limit: 5})
		if err != nil || !reflect.DeepEqual(list, []workflow.Delivery{d}) {
			t.Fatalf("%.40q: listed are %+v, %v", text, list, err)
		}
		other := d
		other.Body = "other"
		if there, added, err := s.Outbox.AddDelivery(t.Context(), other, 0); err != nil || added || !reflect.DeepEqual(there, d) {
			t.Fatalf("%.40q: again: %+v, %v, %v", text, there, added, err)
		}
		if n, err := s.Outbox.DropDeliveries(t.Context(), event.Traces{Space: event.Space{Project: d.Project, Environment: d.Environment}, IDs: []string{text}}, false); err != nil || (n == 1) != (text != "") {
			t.Fatalf("%.40q: dropped %d, %v", text, n, err)
		}
	}
	w := makeWorkflow(t, s, plainWorkflow("prj_1", "e", "w"))
	for n := range 10 {
		d := sent(&w, n/2)
		d.ID = fmt.Sprint("d", n)
		addDelivery(t, s, d)
	}
	if _, _, err := s.Outbox.AddDelivery(t.Context(), sent(&w, 99), 10); !errors.Is(err, workflow.ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	var ids []string
	q := workflow.Filter{At: workflow.At{Project: "prj_1", Environment: "e", ID: "w"}, Limit: 3}
	for {
		page, err := s.Outbox.Deliveries(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			ids = append(ids, d.ID)
			q.After = workflow.Mark{CreatedAt: d.CreatedAt, ID: d.ID}
		}
		if len(page) < q.Limit {
			break
		}
	}
	if want := []string{"d9", "d8", "d7", "d6", "d5", "d4", "d3", "d2", "d1", "d0"}; !slices.Equal(ids, want) {
		t.Errorf("listed are %v", ids)
	}
}

// Promise: a project that has much to send, to one target or to many, leaves others their turn: also to the same target, and also
// where nothing of its own is to be sent there just now.
func deliveriesComeDueInTurn(t *testing.T, open Open) {
	s := plain(t, open)
	for n := range 6 {
		w := plainWorkflow("greedy", "e", fmt.Sprint("w", n))
		w.Target = fmt.Sprintf("h%d:443", n)
		makeWorkflow(t, s, w)
		for i := range 3 {
			addDelivery(t, s, sent(&w, i))
		}
	}
	late := plainWorkflow("late", "e", "w")
	late.Target = "h0:443"
	makeWorkflow(t, s, late)
	addDelivery(t, s, sent(&late, 50))
	for name, except := range map[string][]workflow.Lane{"all": nil, "but for what rests": {{Project: "greedy", Target: "h0:443"}}} {
		due, _, err := s.Outbox.Due(t.Context(), start().Add(24*time.Hour), 1, 2, except)
		if err != nil || len(due) != 2 || due[0].Project != "greedy" || due[1].Project != "late" {
			t.Errorf("%s: %+v, %v", name, due, err)
		}
	}
}

// Promise: due is what is pending, whose time has come, whose workflow is enabled and whose target is not left out, and of no
// target more than asked for; what is settled is as it says, and only when nobody else has settled it.
func deliveriesComeDue(t *testing.T, open Open) {
	s := plain(t, open)
	one, two, off := plainWorkflow("p", "e", "one"), plainWorkflow("p", "e", "two"), plainWorkflow("q", "e", "off")
	two.Target, off.Enabled = "two:443", false
	for _, w := range []*workflow.Workflow{&one, &two, &off} {
		makeWorkflow(t, s, *w)
		for n := range 5 {
			addDelivery(t, s, sent(w, n))
		}
	}
	due := func(after time.Duration, perLane, limit int, except ...workflow.Lane) (ids []string) {
		t.Helper()
		list, next, err := s.Outbox.Due(t.Context(), start().Add(after), perLane, limit, except)
		if err != nil {
			t.Fatal(err)
		}
		if want := start().Add(after.Truncate(time.Minute) + time.Minute); after < 4*time.Minute && after > 0 && !next.Equal(want) || after == time.Hour && !next.IsZero() {
			t.Errorf("after %v the next is due at %v", after, next)
		}
		for _, d := range list {
			ids = append(ids, d.ID)
		}
		return ids
	}
	for _, c := range []struct{ got, want []string }{
		{due(-time.Second, 9, 99), nil},
		{due(time.Minute, 9, 99), []string{"p/e/one/000", "p/e/two/000", "p/e/one/001", "p/e/two/001"}},
		{due(time.Hour, 1, 99), []string{"p/e/one/000", "p/e/two/000"}},
		{due(time.Hour, 9, 3, workflow.Lane{Project: "p", Target: "h:443"}), []string{"p/e/two/000", "p/e/two/001", "p/e/two/002"}},
		{due(time.Hour, 9, 99, workflow.Lane{Project: "p", Target: "h:443"}, workflow.Lane{Project: "p", Target: "two:443"}), nil},
		{due(time.Hour, 1, 99, workflow.Lane{Project: "q", Target: "h:443"}), []string{"p/e/one/000", "p/e/two/000"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("due are %v, want %v", c.got, c.want)
		}
	}
	before := sent(&one, 0)
	after := before
	after.State, after.Attempts, after.Tries, after.LastAt, after.EndedAt, after.Status, after.Excerpt = workflow.Delivered, 1, 1, start(), start(), 200, "ok"
	if changed, err := s.Outbox.Settle(t.Context(), &before, &after); err != nil || !changed {
		t.Errorf("settled: %v, %v", changed, err)
	}
	if changed, err := s.Outbox.Settle(t.Context(), &before, &after); err != nil || changed {
		t.Errorf("settled again: %v, %v", changed, err)
	}
	list, err := s.Outbox.Deliveries(t.Context(), workflow.Filter{At: workflow.At{Project: "p", Environment: "e", ID: "one"}, State: workflow.Delivered, Limit: 9})
	if err != nil || !reflect.DeepEqual(list, []workflow.Delivery{after}) {
		t.Errorf("there is %+v, %v", list, err)
	}
	if got := due(time.Hour, 1, 99); !slices.Equal(got, []string{"p/e/two/000", "p/e/one/001"}) {
		t.Errorf("then due are %v", got)
	}
}

// Promise: only what has ended is trimmed: what ended before a time, and of each workflow what is more than may be kept, the
// oldest first.
func endedDeliveriesAreTrimmed(t *testing.T, open Open) {
	s := plain(t, open)
	w := makeWorkflow(t, s, plainWorkflow("p", "e", "w"))
	for n := range 10 {
		d := sent(&w, n)
		if n%2 == 0 {
			d.State, d.EndedAt = workflow.Delivered, d.CreatedAt
		}
		addDelivery(t, s, d)
	}
	trim := func(before time.Duration, most int) {
		t.Helper()
		for {
			n, err := s.Outbox.TrimDeliveries(t.Context(), start().Add(before), most)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				return
			}
		}
	}
	left := func() (ids []string) {
		list, err := s.Outbox.Deliveries(t.Context(), workflow.Filter{At: workflow.At{Project: "p", Environment: "e", ID: "w"}, Limit: 99})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			ids = append(ids, d.ID[len(d.ID)-1:])
		}
		return ids
	}
	trim(2*time.Minute, 99)
	if got := left(); !slices.Equal(got, []string{"9", "8", "7", "6", "5", "4", "3", "2", "1"}) {
		t.Errorf("left are %v", got)
	}
	trim(0, 2)
	if got := left(); !slices.Equal(got, []string{"9", "8", "7", "6", "5", "3", "1"}) {
		t.Errorf("left are %v", got)
	}
}

// Promise: deliveries that are about somebody, or name them in what is sent, however it is written there, are dropped, and answers
// that name them taken away, in their own space only, and no others; also when there are many. What every delivery says, and
// when, names nobody.
func deliveriesThatNameAreDropped(t *testing.T, open Open) {
	s := plain(t, open)
	w, away := makeWorkflow(t, s, plainWorkflow("prj_1", "e", "w")), makeWorkflow(t, s, plainWorkflow("prj_1", "other", "w"))
	add := func(id string, w *workflow.Workflow, change func(*workflow.Delivery)) {
		d := sent(w, len(id))
		d.ID, d.UserID, d.Body, d.Excerpt = id, "somebody else", `{"to":"user_124"}`, ""
		change(&d)
		addDelivery(t, s, d)
	}
	for n := range 120 {
		add(fmt.Sprintf("kept%03d", n), &w, func(*workflow.Delivery) {})
	}
	for id, change := range map[string]func(*workflow.Delivery){
		"about": func(d *workflow.Delivery) { d.UserID = "o'brian-1" },
		"sent":  func(d *workflow.Delivery) { d.Body = `{"a":[{"to":"o\u0027brian-1"}]}` },
		"link":  func(d *workflow.Delivery) { d.Body = `{"a":"https://a.example/?of=o%27brian-1&x"}` },
		"said":  func(d *workflow.Delivery) { d.Excerpt = "thank you, o'brian-1" },
	} {
		add(id, &w, change)
		add(id+"-away", &away, change)
	}
	add("standard", &w, func(d *workflow.Delivery) {
		d.Body = `{"type":"workflow.triggered","timestamp":"2026-11-28T14:38:56Z","data":{"workflow_id":"w","user_id":"john@mail.example","variables":{"a":"x"}}}`
	})
	of := event.Traces{Space: event.Space{Project: "prj_1", Environment: "e"}, IDs: []string{"", "o'brian-1", "2026", "data", "timestamp", "workflow", "variables", "john"}}
	for _, do := range []struct {
		dry  bool
		want int64
	}{{true, 4}, {true, 4}, {false, 4}, {true, 0}, {false, 0}} {
		if n, err := s.Outbox.DropDeliveries(t.Context(), of, do.dry); err != nil || n != do.want {
			t.Fatalf("%+v: %d, %v", do, n, err)
		}
	}
	for _, c := range []struct {
		at   workflow.At
		want int
	}{{workflow.At{Project: "prj_1", Environment: "e", ID: "w"}, 122}, {workflow.At{Project: "prj_1", Environment: "other", ID: "w"}, 4}} {
		if list, err := s.Outbox.Deliveries(t.Context(), workflow.Filter{At: c.at, Limit: 500}); err != nil || len(list) != c.want {
			t.Errorf("%+v: %d, %v", c.at, len(list), err)
		}
	}
}
