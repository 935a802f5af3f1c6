package workflow_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/store"
	"github.com/weir-analytics/weir/internal/vault"
	"github.com/weir-analytics/weir/internal/workflow"
	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// posted is a message that a target got, and when.
type posted struct {
	at                       time.Time
	url, id, stamp, sign, by string
	body                     string
}

// web is the targets: answer says what one of them answers, and may take its time.
type web struct {
	now     func() time.Time
	mu      sync.Mutex
	got     []posted
	refused []string                                                     // hosts
	answer  func(ctx context.Context, url string, n int) outbound.Answer // n counts the messages to the url, from 1
}

// Check takes the host of an address for its target, and refuses those that are called inside.
func (w *web) Check(_ context.Context, url string) (string, error) {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(host, "inside") || slices.Contains(w.refused, host) {
		return "", errors.New("leads inside")
	}
	return host + ":443", nil
}

// refuse takes addresses at a host no longer.
func (w *web) refuse(host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = append(w.refused, host)
}

// Post notes a message, and answers it.
func (w *web) Post(ctx context.Context, m *outbound.Message) outbound.Answer {
	header := func(name string) string { return m.Header[name][0] }
	w.mu.Lock()
	w.got = append(w.got, posted{
		w.now(), m.URL, header(workflow.HeaderID), header(workflow.HeaderTimestamp), header(workflow.HeaderSignature), header("User-Agent"), string(m.Body),
	})
	n := 0
	for _, p := range w.got {
		if p.url == m.URL {
			n++
		}
	}
	answer := w.answer
	w.mu.Unlock()
	if answer == nil {
		return outbound.Answer{Status: 200, Excerpt: "ok"}
	}
	return answer(ctx, m.URL, n)
}

// to is what was sent to an address.
func (w *web) to(url string) (list []posted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.got {
		if p.url == url {
			list = append(list, p)
		}
	}
	return list
}

// bench is a service with what it is made of. Its clock is the bubble's, where there is one.
type bench struct {
	t       *testing.T
	world   *gatetest.World
	web     *web
	real    *outbound.Client // in the place of web; nil: web
	store   *store.Store
	master  vault.Key
	vault   *vault.Vault
	stands  bool
	now     func() time.Time
	service *workflow.Service
}

func newBench(t *testing.T, now func() time.Time) *bench {
	t.Helper()
	b := &bench{t: t, world: gatetest.New(t), web: &web{now: now}, now: now, stands: true}
	master, _, err := vault.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b.master, b.vault = master, vault.New(master)
	b.store = openStore(t)
	b.restart()
	return b
}

// restart makes another service over what is kept.
func (b *bench) restart() {
	var to workflow.Web = b.web
	if b.real != nil {
		to = b.real
	}
	b.service = workflow.New(workflow.Config{
		Store: b.store.Workflows(), Outbox: b.store.Workflows(), Web: to, Vault: b.vault, Random: rand.Reader, Jitter: func() float64 { return 0.5 },
		Now: b.now, NewID: rand.Text, Log: slog.New(slog.DiscardHandler), Agent: "weir/test", Stands: func(string, string) bool { return b.stands },
	})
}

// run sends until the test calls what it returns.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.service.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

const triggering = access.TriggerWorkflows

// permit is one for an action in production, at the time that it is.
func (b *bench) permit(action access.Action) gate.Permit {
	b.world.Clock.Advance(b.now().Sub(b.world.Clock.Now()))
	return b.world.PermitOf(access.Key{Scopes: access.AllScopes}, access.Attempt{Action: action, Targets: []access.Target{{Environment: "production"}}})
}

func (b *bench) create(n workflow.Wanted) (workflow.Workflow, access.Text) {
	b.t.Helper()
	n.Enabled = true
	w, secret, err := b.service.Create(b.t.Context(), b.permit(access.WriteWorkflows), n)
	if err != nil {
		b.t.Fatal(err)
	}
	return w, secret
}

func (b *bench) trigger(id string, pairs ...string) workflow.Delivery {
	b.t.Helper()
	d, err := b.service.Trigger(b.t.Context(), b.permit(access.TriggerWorkflows), workflow.Trigger{Workflow: id, Variables: values(pairs...)}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bench) delivery(id, delivery string) workflow.Delivery {
	b.t.Helper()
	page, err := b.service.Deliveries(b.t.Context(), b.permit(access.ReadWorkflows), id, workflow.Filter{Delivery: delivery, Limit: 1})
	if err != nil || len(page.Deliveries) != 1 {
		b.t.Fatalf("there is %+v, %v", page, err)
	}
	return page.Deliveries[0]
}

// Promise: what was triggered is sent though the process ends in between: the next one sends it, with the same id and body,
// and both attempts verify by the secret that was shown.
func TestDeliveriesOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, time.Now)
		defer func() { _ = b.store.Close() }()
		const url = "https://a.example/hook"
		_, secret := b.create(workflow.Wanted{ID: "w", URL: url, Template: jsontext.Value(`{"n":"{{n}}"}`)})
		d := b.trigger("w", "n", "1") // nothing runs yet
		b.restart()
		b.web.answer = func(ctx context.Context, _ string, n int) outbound.Answer {
			if n == 1 {
				<-ctx.Done() // the process ends while it is sent
				return outbound.Answer{Fault: outbound.TooSlow}
			}
			return outbound.Answer{Status: 204}
		}
		stop := b.run()
		synctest.Wait()
		stop()
		if got := b.delivery("w", d.ID); got.State != workflow.Pending || got.Attempts != 0 {
			t.Errorf("when it was cut short it is %+v", got)
		}
		b.restart()
		defer b.run()()
		synctest.Wait()
		got := b.web.to(url)
		if len(got) != 2 || got[1].id != d.ID || got[0].id != d.ID || got[1].body != `{"n":1}` || got[1].by != "weir/test" {
			t.Fatalf("sent were %+v", got)
		}
		for _, p := range got {
			if !verified(secret.Reveal(), p.id, p.stamp, []byte(p.body), p.sign) {
				t.Errorf("the signature is not right: %+v", p)
			}
		}
		if done := b.delivery("w", d.ID); done.State != workflow.Delivered || done.Attempts != 1 || done.Status != 204 || done.EndedAt.IsZero() {
			t.Errorf("it ended as %+v", done)
		}
	})
}

// Promise: a delivery that fails is tried again further and further apart, 12 times in less than 72 hours, and then given up;
// each attempt has a timestamp and a signature of its own, and the same id.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, time.Now)
		defer func() { _ = b.store.Close() }()
		const url = "https://a.example/hook"
		_, secret := b.create(workflow.Wanted{ID: "w", URL: url})
		b.web.answer = func(context.Context, string, int) outbound.Answer {
			return outbound.Answer{Status: 500, Excerpt: "no", Fault: outbound.Status}
		}
		d := b.trigger("w")
		defer b.run()()
		time.Sleep(5 * 24 * time.Hour)
		got := b.web.to(url)
		if len(got) < 10 || len(got) > workflow.MaxTries {
			t.Fatalf("it was sent %d times", len(got))
		}
		last, age := time.Duration(0), got[len(got)-1].at.Sub(got[0].at)
		for i := 1; i < len(got); i++ {
			wait := got[i].at.Sub(got[i-1].at)
			if wait < last || wait < 5*time.Second || wait > 13*time.Hour {
				t.Errorf("attempt %d came after %v, the one before after %v", i+1, wait, last)
			}
			last = wait
			if got[i].id != got[0].id || got[i].stamp == got[i-1].stamp || !verified(secret.Reveal(), got[i].id, got[i].stamp, []byte(got[i].body), got[i].sign) {
				t.Errorf("attempt %d is %+v", i+1, got[i])
			}
		}
		if age > workflow.MaxAge || age < 12*time.Hour {
			t.Errorf("it was tried for %v", age)
		}
		end := b.delivery("w", d.ID)
		if end.State != workflow.Failed || end.Attempts != int64(len(got)) || end.Status != 500 || end.Excerpt != "no" || end.Fault != outbound.Status {
			t.Errorf("it ended as %+v", end)
		}
		b.web.answer = nil
		again, err := b.service.Replay(t.Context(), b.permit(access.WriteWorkflows), "w", d.ID)
		if err != nil || again.State != workflow.Pending || again.ID != d.ID {
			t.Fatalf("replayed it is %+v, %v", again, err)
		}
		time.Sleep(10 * time.Minute)
		if end := b.delivery("w", d.ID); end.State != workflow.Delivered || end.Attempts != int64(len(got))+1 || end.Fault != "" {
			t.Errorf("replayed it ended as %+v", end)
		}
		if all := b.web.to(url); all[len(all)-1].id != d.ID || all[len(all)-1].body != all[0].body {
			t.Errorf("replayed was %+v", all[len(all)-1])
		}
	})
}

// Promise: a target is left alone for as long as it asks; one that answers 410 is sent nothing more, and its workflow is
// disabled, says why, and takes no trigger until somebody enables it.
func TestTargetsAreHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, time.Now)
		defer func() { _ = b.store.Close() }()
		b.create(workflow.Wanted{ID: "later", URL: "https://later.example/"})
		b.create(workflow.Wanted{ID: "gone", URL: "https://gone.example/"})
		b.web.answer = func(_ context.Context, url string, n int) outbound.Answer {
			switch {
			case url == "https://gone.example/":
				return outbound.Answer{Status: 410, Fault: outbound.Status}
			case n == 1:
				return outbound.Answer{Status: 503, RetryAfter: 2 * time.Hour, Fault: outbound.Status}
			}
			return outbound.Answer{Status: 200}
		}
		b.trigger("later")
		gone := b.trigger("gone")
		defer b.run()()
		time.Sleep(time.Hour)
		if n := len(b.web.to("https://later.example/")); n != 1 {
			t.Errorf("within the hour it was sent %d times", n)
		}
		time.Sleep(62 * time.Minute)
		if n := len(b.web.to("https://later.example/")); n != 2 {
			t.Errorf("after two hours it was sent %d times", n)
		}
		if d := b.delivery("gone", gone.ID); d.State != workflow.Failed || d.Attempts != 1 {
			t.Errorf("what is gone is %+v", d)
		}
		w, err := b.service.Find(t.Context(), b.permit(access.ReadWorkflows), "gone")
		if err != nil || w.Enabled || !strings.Contains(w.Why, "410") || w.UpdatedBy != "system" {
			t.Errorf("the workflow is %+v, %v", w, err)
		}
		_, err = b.service.Trigger(t.Context(), b.permit(access.TriggerWorkflows), workflow.Trigger{Workflow: "gone"}, nil)
		if problem.Of(err) != problem.WorkflowDisabled || !strings.Contains(err.Error(), "410") {
			t.Errorf("triggered it says %v", err)
		}
		yes := true
		if w, err = b.service.Update(t.Context(), b.permit(access.WriteWorkflows), "gone", workflow.Patch{Enabled: &yes}); err != nil || !w.Enabled || w.Why != "" {
			t.Errorf("enabled it is %+v, %v", w, err)
		}
		b.trigger("gone")
		if s := b.service.Stats(); s.Disabled != 1 || s.Failed != 1 || s.Delivered != 1 || s.Triggered != 3 {
			t.Errorf("counted are %+v", s)
		}
	})
}

// Promise: a target that hangs holds up no other, however much waits for it; no more than four are under way to one target,
// and triggers are taken meanwhile.
func TestATargetThatHangsBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, time.Now)
		defer func() { _ = b.store.Close() }()
		var flying, most int
		b.web.answer = func(ctx context.Context, url string, _ int) outbound.Answer {
			if url != "https://hangs.example/" {
				return outbound.Answer{Status: 200}
			}
			b.web.mu.Lock()
			flying++
			most = max(most, flying)
			b.web.mu.Unlock()
			defer func() {
				b.web.mu.Lock()
				flying--
				b.web.mu.Unlock()
			}()
			select {
			case <-time.After(15 * time.Second):
			case <-ctx.Done():
			}
			return outbound.Answer{Fault: outbound.TooSlow}
		}
		b.create(workflow.Wanted{ID: "hangs", URL: "https://hangs.example/"})
		b.create(workflow.Wanted{ID: "well", URL: "https://well.example/"})
		for range 50 {
			b.trigger("hangs")
		}
		defer b.run()()
		synctest.Wait()
		for n := range 20 {
			b.trigger("well")
			time.Sleep(10 * time.Millisecond)
			if got := len(b.web.to("https://well.example/")); got != n+1 {
				t.Fatalf("after %d triggers of another, %d were sent", n+1, got)
			}
		}
		time.Sleep(time.Hour)
		b.web.mu.Lock()
		atMost := most
		b.web.mu.Unlock()
		if atMost != 4 {
			t.Errorf("as many as %d were under way to one target", atMost)
		}
		if got := len(b.web.to("https://hangs.example/")); got > 60 {
			t.Errorf("a target that never answers was asked %d times in an hour", got)
		}
	})
}

// Promise: an address that fails holds up no other one, though it be of the same host, which takes webhooks for many.
func TestAnAddressThatFailsBlocksNobodyAtItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, time.Now)
		defer func() { _ = b.store.Close() }()
		b.web.answer = func(_ context.Context, url string, _ int) outbound.Answer {
			switch url {
			case "https://hub.example/moved":
				return outbound.Answer{Status: 302, Fault: outbound.Redirected}
			case "https://hub.example/full":
				return outbound.Answer{Status: 429, Fault: outbound.Status, RetryAfter: time.Hour}
			}
			return outbound.Answer{Status: 200}
		}
		for _, id := range []string{"moved", "full", "well"} {
			b.create(workflow.Wanted{ID: id, URL: "https://hub.example/" + id})
		}
		for range 10 {
			b.trigger("moved")
			b.trigger("full")
		}
		defer b.run()()
		time.Sleep(time.Minute)
		for n := range 20 {
			b.trigger("well")
			time.Sleep(10 * time.Millisecond)
			if got := len(b.web.to("https://hub.example/well")); got != n+1 {
				t.Fatalf("after %d triggers, %d were sent", n+1, got)
			}
		}
	})
}

// Promise: a secret is shown when it is made and never again; after a rotation deliveries verify by both until the overlap is
// over, and then by the new one alone; under a new master key they still do.
func TestSecretsAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, time.Now)
		defer func() { _ = b.store.Close() }()
		made, first := b.create(workflow.Wanted{ID: "w", URL: "https://a.example/"})
		if text := fmt.Sprintf("%+v", made); strings.Contains(text, strings.TrimPrefix(first.Reveal(), "whsec_")) {
			t.Error("the secret is in what is kept")
		}
		rotated, second, err := b.service.Rotate(t.Context(), b.permit(access.WriteWorkflows), "w", time.Hour)
		if err != nil || first.Reveal() == second.Reveal() || rotated.FormerUntil.IsZero() {
			t.Fatalf("rotated it is %+v, %v", rotated, err)
		}
		master, _, err := vault.NewKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		stop := b.run()
		check := func(old, present bool) {
			t.Helper()
			b.trigger("w")
			synctest.Wait()
			all := b.web.to("https://a.example/")
			p := all[len(all)-1]
			for secret, want := range map[string]bool{first.Reveal(): old, second.Reveal(): present} {
				if got := verified(secret, p.id, p.stamp, []byte(p.body), p.sign); got != want {
					t.Errorf("by one secret it verifies: %v, want %v", got, want)
				}
			}
		}
		check(true, true)
		time.Sleep(time.Hour)
		check(false, true)
		stop()
		b.vault = vault.New(master, b.master)
		b.restart()
		for want := 1; want >= 0; want-- {
			if n, err := b.service.Reseal(t.Context()); err != nil || n != want {
				t.Errorf("sealed anew were %d, %v, want %d", n, err, want)
			}
		}
		b.vault = vault.New(master) // the former one is forgotten
		b.restart()
		defer b.run()()
		check(false, true)
	})
}

// Promise: what is wrong with a workflow is named, of an event a permit is asked for, and what would be recorded is what the
// template makes.
func TestEventsOfWorkflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, time.Now)
		defer func() { _ = b.store.Close() }()
		few := b.world.PermitOf(access.Key{Scopes: access.WorkflowsWrite}, access.Attempt{Action: access.WriteWorkflows, Targets: []access.Target{{Environment: "production"}}})
		if _, _, err := b.service.Create(t.Context(), few, workflow.Wanted{ID: "e", Event: "paid"}); problem.Of(err) != problem.MissingScope {
			t.Errorf("without the right to send events: %v", err)
		}
		for name, n := range map[string]workflow.Wanted{
			"url":      {ID: "x"},
			"id":       {ID: "-x", Event: "e"},
			"template": {ID: "x", Event: "e", Template: jsontext.Value(`["a"]`)},
		} {
			if _, _, err := b.service.Create(t.Context(), b.permit(access.WriteWorkflows), n); !slices.Equal(fields(err), []string{name}) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, _, err := b.service.Create(t.Context(), b.permit(access.WriteWorkflows), workflow.Wanted{ID: "x", URL: "https://inside.example/"}); !slices.Equal(fields(err), []string{"url"}) {
			t.Errorf("where may not be sent: %v", err)
		}
		b.create(workflow.Wanted{ID: "e", Event: "paid", Template: jsontext.Value(`{"sum":"{{sum}}"}`)})
		var recorded []workflow.Event
		record := func(_ context.Context, _ gate.Permit, e workflow.Event) error {
			recorded = append(recorded, e)
			return nil
		}
		in := workflow.Trigger{Workflow: "e", UserID: "u", Variables: values("sum", "7"), Key: "once"}
		var ids []string
		for range 3 {
			d, err := b.service.Trigger(t.Context(), b.permit(access.TriggerWorkflows), in, record)
			if err != nil || d.State != workflow.Delivered {
				t.Fatalf("triggered it is %+v, %v", d, err)
			}
			ids = append(ids, d.ID)
		}
		if len(recorded) != 1 || recorded[0].Name != "paid" || string(recorded[0].Properties) != `{"sum":7}` || recorded[0].UserID != "u" || recorded[0].Environment != "production" {
			t.Errorf("recorded are %+v", recorded)
		}
		if ids[0] != ids[1] || ids[0] != ids[2] || ids[0] != recorded[0].ID {
			t.Errorf("the same trigger has the ids %v", ids)
		}
		failing := errors.New("no room")
		in.Key = ""
		_, err := b.service.Trigger(t.Context(), b.permit(access.TriggerWorkflows), in, func(context.Context, gate.Permit, workflow.Event) error { return failing })
		if !errors.Is(err, failing) {
			t.Errorf("what refuses an event is lost: %v", err)
		}
		if n, err := b.service.Forget(t.Context(), event.Traces{Space: event.Space{Project: "prj_1", Environment: "production"}, IDs: []string{"u"}}); err != nil || n != 1 {
			t.Errorf("of the person %d were removed, %v", n, err)
		}
	})
}

// Promise: nothing is sent for an environment that was deleted.
func TestNothingIsSentForWhatWasDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, time.Now)
		defer func() { _ = b.store.Close() }()
		b.create(workflow.Wanted{ID: "w", URL: "https://a.example/"})
		d := b.trigger("w")
		b.stands = false
		defer b.run()()
		synctest.Wait()
		if got := b.delivery("w", d.ID); got.State != workflow.Failed || got.Fault != workflow.NoEnvironment || len(b.web.to("https://a.example/")) != 0 {
			t.Errorf("it is %+v", got)
		}
	})
}
