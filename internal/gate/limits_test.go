package gate_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// identified is a caller of a new key.
func identified(t *testing.T, w *gatetest.World, key access.Key, action access.Action) gate.Caller {
	t.Helper()
	caller, err := w.Gate.Identify(t.Context(), w.Credential(w.Mint(key)), action)
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

// Promise: what is admitted is charged once, to its key and to its project, by ids that never change and with the limits
// they have now; what is refused is charged nothing. An operator is not charged.
func TestWhatIsCharged(t *testing.T) {
	t.Parallel()
	limits := access.Limits{Rate: access.Rate{PerSecond: 5, Burst: 9}, Credits: access.Quota{Most: 100, OnFailure: access.FailAllow}}
	projectLimits := access.Limits{Daily: access.Quota{Most: 7}}
	world := func() *gatetest.World {
		w := gatetest.New(t)
		w.Project.Policy.Limits = projectLimits
		return w
	}
	t.Run("a yes", func(t *testing.T) {
		t.Parallel()
		w := world()
		w.Limits.Over = gate.Charged{Next: gate.Counter{Name: gate.KeyRate, Most: 5, Left: 4}}
		caller := identified(t, w, access.Key{Scopes: access.EventsWrite, Bounds: access.Bounds{Limits: limits}}, access.WriteEvents)
		if w.Limits.Charges != nil {
			t.Error("charged before it was admitted")
		}
		w.Clock.Advance(time.Second)
		permit, err := w.Gate.Admit(t.Context(), caller, access.Attempt{Each: true, Targets: targets("production", "moon")}, gate.Cost{Requests: 2, Credits: 3})
		if err != nil {
			t.Fatal(err)
		}
		want := []gate.Charge{{
			RequestID: "req_1", At: w.Clock.Now(), Key: gate.Account{ID: "key_000000000001", Limits: limits},
			Project: gate.Account{ID: "prj_1", Limits: projectLimits}, Requests: 2, Credits: 3,
		}}
		if !reflect.DeepEqual(w.Limits.Charges, want) || permit.Charged() != w.Limits.Over {
			t.Errorf("charged %+v, the permit has %+v", w.Limits.Charges, permit.Charged())
		}
	})
	for name, attempt := range map[string]access.Attempt{
		"a no":               {Targets: targets("moon")},
		"a no to each":       {Each: true, Targets: targets("moon", "development")},
		"a no to the second": {Targets: targets("production", "moon")},
		"an invisible thing": {Subject: &access.Subject{Project: "prj_2", Mode: access.Live}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world()
			caller := identified(t, w, access.Key{Scopes: access.EventsWrite}, access.WriteEvents)
			if _, err := w.Gate.Admit(t.Context(), caller, attempt, gate.Cost{Requests: 1, Credits: 1}); err == nil || w.Limits.Charges != nil {
				t.Errorf("%v, charged %+v", err, w.Limits.Charges)
			}
			if _, uses := w.Ledger.Take(); uses != nil {
				t.Errorf("recorded as used %+v", uses)
			}
		})
	}
	t.Run("an operator", func(t *testing.T) {
		t.Parallel()
		w := world()
		w.Limits.Over, w.Limits.Short = gate.Charged{Over: gate.ProjectDaily}, gate.KeyCredits
		caller := identified(t, w, access.Key{Kind: access.Operator, Scopes: access.AllScopes}, access.WriteKeys)
		permit, err := w.Gate.Admit(t.Context(), caller, access.Attempt{}, gate.Cost{Requests: 1, Credits: 1})
		if err != nil || w.Limits.Charges != nil || permit.Charged() != (gate.Charged{}) {
			t.Fatalf("%v, charged %+v", err, w.Limits.Charges)
		}
		if err := w.Gate.Settle(t.Context(), permit, 9); err != nil || w.Limits.Settled != nil {
			t.Errorf("%v, settled %v", err, w.Limits.Settled)
		}
		if _, uses := w.Ledger.Take(); len(uses) != 1 {
			t.Errorf("recorded %+v", uses)
		}
	})
}

// Promise: a key that is changed, rotated or labelled anew between two requests is charged on the same account.
func TestAccountsOutliveSecrets(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	text := w.Key(access.Secret, access.EventsWrite)
	for _, change := range []func(){
		func() {},
		func() { text = rotate(w, text, 2, w.Clock.Now()) },
		func() { w.Keys.Change(text, func(k *access.Key) { k.Limits.Daily.Most = 5 }) },
		func() { text = rotate(w, text, 3, w.Clock.Now().Add(time.Hour)) },
	} {
		change()
		if _, err := w.Ask(text, access.Attempt{Action: access.WriteEvents}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range w.Limits.Charges {
		if c.Key.ID != "key_000000000001" || c.Project.ID != "prj_1" {
			t.Errorf("charged to %s and %s", c.Key.ID, c.Project.ID)
		}
	}
	if len(w.Limits.Charges) != 4 || w.Limits.Charges[3].Key.Limits.Daily.Most != 5 {
		t.Errorf("charged %+v", w.Limits.Charges)
	}
}

// Promise: a denial by a limit has the limit's problem, says when to come again, carries the state of the limits, is
// recorded once by the limit's name, and gives no permit.
func TestDenialsByLimits(t *testing.T) {
	t.Parallel()
	next := func(name string, most int64, window time.Duration) gate.Charged {
		return gate.Charged{Over: name, Wait: 1500 * time.Millisecond, Next: gate.Counter{Name: name, Most: most, Window: window}}
	}
	month := 30 * 24 * time.Hour
	for name, c := range map[string]struct {
		charged  gate.Charged
		code     problem.Code
		status   int
		says     string
		wait     time.Duration
		violated []string
	}{
		"key's rate":             {next(gate.KeyRate, 100, time.Second), problem.RateLimited, 429, "key_rate of 100 in 1s", 1500 * time.Millisecond, []string{"key_rate"}},
		"key's day":              {next(gate.KeyDaily, 7, 24*time.Hour), problem.RateLimited, 429, "key_daily of 7 in 24h", 1500 * time.Millisecond, []string{"key_daily"}},
		"project's rate":         {next(gate.ProjectRate, 100, time.Second), problem.RateLimited, 429, "project_rate", 1500 * time.Millisecond, []string{"project_rate"}},
		"project's day":          {next(gate.ProjectDaily, 100, 24*time.Hour), problem.RateLimited, 429, "project_daily", 1500 * time.Millisecond, []string{"project_daily"}},
		"key's credits":          {next(gate.KeyCredits, 50, month), problem.CreditsExhausted, 402, "of 50 this month (limit key_credits)", 0, nil},
		"project's credits":      {next(gate.ProjectCredits, 50, month), problem.CreditsExhausted, 402, "limit project_credits", 0, nil},
		"counters gone":          {gate.Charged{Over: gate.LimitsDown, Down: "deny"}, problem.LimitsUnavailable, 503, "uncounted", time.Second, nil},
		"counters gone for long": {gate.Charged{Over: gate.LimitsDown, Down: "deny", Wait: time.Minute}, problem.LimitsUnavailable, 503, "uncounted", time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := gatetest.New(t)
			w.Limits.Over = c.charged
			caller := identified(t, w, access.Key{Scopes: access.EventsWrite}, access.WriteEvents)
			permit, err := w.Gate.Admit(t.Context(), caller, access.Attempt{Targets: []access.Target{{Environment: "staging", Event: "signup"}}}, gate.Cost{Requests: 1})
			p := problem.From(err)
			if p.Code != c.code || p.Status() != c.status || !strings.Contains(p.Detail, c.says) || p.RetryAfter != c.wait || !reflect.DeepEqual(p.Violated, c.violated) {
				t.Errorf("%+v", *p)
			}
			limited, ok := errors.AsType[*gate.Limited](err)
			if charged, has := gate.ChargedOf(err); !ok || limited.Charged != c.charged || !has || charged != c.charged || err.Error() != p.Error() {
				t.Errorf("the denial carries %+v, %v", charged, has)
			}
			if said := panics(func() { permit.Project() }); said == nil {
				t.Error("a permit was given")
			}
			denials, uses := w.Ledger.Take()
			if len(uses) != 0 || len(denials) != 1 {
				t.Fatalf("recorded %+v and %+v", denials, uses)
			}
			want := gate.Denial{
				ID: p.DecisionID, At: w.Clock.Now(), Organization: "org_1", Project: "prj_1", KeyID: "key_000000000001", Generation: 1, Action: access.WriteEvents,
				Reason: c.charged.Over, Rule: "limit " + c.charged.Over, Environment: "staging", Event: "signup", Count: 1, Sender: sender(w.Credential("")),
			}
			if !reflect.DeepEqual(denials[0], want) {
				t.Errorf("recorded %+v\nwant     %+v", denials[0], want)
			}
		})
	}
	if _, has := gate.ChargedOf(problem.New(problem.MissingScope, "")); has {
		t.Error("a denial by the policy carries the state of limits")
	}
}

// Promise: settling replaces the credits set aside; where there are not so many the answer is refused, with the numbers of
// the limit that lacked them and of no other. A request that sets none aside and needs none settles nothing.
func TestSettle(t *testing.T) {
	t.Parallel()
	credits := gate.Counter{Name: gate.KeyCredits, Most: 50, Left: 2, Window: 30 * 24 * time.Hour}
	rate := gate.Counter{Name: gate.KeyRate, Most: 9, Left: 1, Window: time.Second}
	admitted := func(cost gate.Cost) (*gatetest.World, gate.Permit) {
		w := gatetest.New(t)
		w.Limits.Over = gate.Charged{Next: rate, All: [6]gate.Counter{rate, credits}}
		permit, err := w.Gate.Admit(t.Context(), identified(t, w, access.Key{Scopes: access.SQLRun}, access.RunSQL), access.Attempt{}, cost)
		if err != nil {
			t.Fatal(err)
		}
		w.Ledger.Take()
		return w, permit
	}
	for _, c := range []struct {
		aside, spent int64
		settled      []int64
	}{{5, 3, []int64{3}}, {5, 0, []int64{0}}, {0, 4, []int64{4}}, {0, 0, nil}} {
		w, permit := admitted(gate.Cost{Requests: 1, Credits: c.aside})
		if err := w.Gate.Settle(t.Context(), permit, c.spent); err != nil || !reflect.DeepEqual(w.Limits.Settled, c.settled) {
			t.Errorf("%d set aside and %d spent: %v, settled %v", c.aside, c.spent, err, w.Limits.Settled)
		}
		if denials, uses := w.Ledger.Take(); denials != nil || uses != nil {
			t.Errorf("recorded %+v and %+v", denials, uses)
		}
	}
	w, permit := admitted(gate.Cost{Requests: 1, Credits: 5})
	w.Limits.Short = gate.KeyCredits
	w.Clock.Advance(time.Minute)
	err := w.Gate.Settle(t.Context(), permit, 99)
	p := problem.From(err)
	if p.Code != problem.CreditsExhausted || !strings.Contains(p.Detail, "of 50 this month (limit key_credits)") || p.RetryAfter != 0 {
		t.Errorf("%+v", *p)
	}
	if charged, ok := gate.ChargedOf(err); !ok || charged.Over != gate.KeyCredits || charged.Next != credits || charged.All != permit.Charged().All {
		t.Errorf("the denial carries %+v", charged)
	}
	denials, _ := w.Ledger.Take()
	if len(denials) != 1 || denials[0].Reason != gate.KeyCredits || denials[0].ID != p.DecisionID || !denials[0].At.Equal(w.Clock.Now()) {
		t.Errorf("recorded %+v", denials)
	}
	w.Limits.Short = gate.ProjectCredits
	if charged, _ := gate.ChargedOf(w.Gate.Settle(t.Context(), permit, 99)); charged.Next != (gate.Counter{Name: gate.ProjectCredits}) {
		t.Errorf("another limit's numbers: %+v", charged.Next)
	}
}
