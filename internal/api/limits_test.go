package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/limit"
	"github.com/weir-analytics/weir/internal/problem"
)

// limited is a key with limits.
func (p *project) limited(l access.Limits) madeKey {
	p.t.Helper()
	return p.make(everything(access.Bounds{Limits: l}))
}

// counters are the headers that tell of limits.
type counters struct{ policy, left, limit, remaining, reset string }

func countersOf(h http.Header) counters {
	return counters{h.Get("RateLimit-Policy"), h.Get("RateLimit"), h.Get("X-RateLimit-Limit"), h.Get("X-RateLimit-Remaining"), h.Get("X-RateLimit-Reset")}
}

// Promise: an answer tells the limit that would deny next, by the figures of the very counter that denies in the end; a
// denial says by how much one has to wait, to the second, and which limit it was, in the registered words.
func TestLimitsAreTold(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	key := p.limited(access.Limits{Rate: access.Rate{PerSecond: 2, Burst: 3}, Daily: access.Quota{Most: 5}})
	ask := func() (*http.Response, string) {
		return w.site.call(t, "GET", "/v1/whoami", nil, "X-API-Key", key.text)
	}
	const policy = `"key_rate";q=3;w=2, "key_daily";q=5;w=86400`
	midnight := time.Date(2099, 6, 2, 0, 0, 0, 0, time.UTC)
	toMidnight := func() int64 { return (midnight.UnixMicro() - w.clock.ticks.Load() + 999_999) / 1_000_000 }
	epoch := func(wait time.Duration) string {
		return strconv.FormatInt((w.clock.ticks.Load()+wait.Microseconds()+999_999)/1_000_000, 10)
	}
	for left := range 3 {
		answer, _ := ask()
		want := counters{policy, fmt.Sprintf(`"key_rate";r=%d;t=1`, 2-left), "3", strconv.Itoa(2 - left), epoch(500 * time.Millisecond)}
		if got := countersOf(answer.Header); answer.StatusCode != 200 || got != want {
			t.Errorf("request %d: %d %+v, want %+v", left+1, answer.StatusCode, got, want)
		}
	}
	answer, body := ask()
	want := counters{policy, `"key_rate";r=0;t=1`, "3", "0", epoch(500 * time.Millisecond)}
	if got := countersOf(answer.Header); answer.StatusCode != 429 || got != want || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("over the rate: %d %+v Retry-After %s", answer.StatusCode, got, answer.Header.Get("Retry-After"))
	}
	var told struct {
		Type       string
		Code       problem.Code
		Violated   []string `json:"violated-policies"`
		RetryAfter int      `json:"retry_after"`
		DecisionID string   `json:"decision_id"`
	}
	if err := json.Unmarshal([]byte(body), &told); err != nil {
		t.Fatal(err)
	}
	if told.Type != "https://iana.org/assignments/http-problem-types#quota-exceeded" || told.Code != problem.RateLimited || len(told.Violated) != 1 ||
		told.Violated[0] != gate.KeyRate || told.RetryAfter != 1 || told.DecisionID == "" {
		t.Errorf("over the rate: %s", body)
	}

	w.clock.Advance(time.Second)
	for left := range 2 {
		answer, _ := ask()
		want := counters{policy, fmt.Sprintf(`"key_daily";r=%d;t=%d`, 1-left, toMidnight()), "5", strconv.Itoa(1 - left), strconv.FormatInt(midnight.Unix(), 10)}
		if got := countersOf(answer.Header); answer.StatusCode != 200 || got != want {
			t.Errorf("request %d: %d %+v, want %+v", left+4, answer.StatusCode, got, want)
		}
	}
	w.clock.Advance(time.Hour)
	answer, body = ask()
	if wait := answer.Header.Get("Retry-After"); answer.StatusCode != 429 || wait != strconv.FormatInt(toMidnight(), 10) || !strings.Contains(body, `"violated-policies":["key_daily"]`) {
		t.Errorf("over the day: %d Retry-After %s, want %d: %s", answer.StatusCode, wait, toMidnight(), body)
	}
	w.clock.Advance(midnight.Add(-time.Millisecond).Sub(w.clock.Now()))
	if answer, _ := ask(); answer.StatusCode != 429 || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("a moment before midnight: %d Retry-After %s", answer.StatusCode, answer.Header.Get("Retry-After"))
	}
	w.clock.Advance(time.Millisecond)
	if answer, _ := ask(); answer.StatusCode != 200 {
		t.Errorf("at midnight: %d", answer.StatusCode)
	}
}

// Promise: limits of the project hold for all its keys together; a key without limits, in a project without, is told of
// none, and neither is whoever is refused before being counted.
func TestLimitsOfProjects(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	one, two := p.key("secret live all"), p.limited(access.Limits{Daily: access.Quota{Most: 100}})
	ask := func(key madeKey, path string) (*http.Response, string) {
		return w.site.call(t, "GET", path, nil, "X-API-Key", key.text)
	}
	if answer, _ := ask(one, "/v1/whoami"); countersOf(answer.Header) != (counters{}) {
		t.Errorf("without limits: %v", answer.Header)
	}
	p.policy(access.Policy{Limits: access.Limits{Daily: access.Quota{Most: 3}}})
	for _, key := range []madeKey{one, two, one} {
		if answer, body := ask(key, "/v1/whoami"); answer.StatusCode != 200 || answer.Header.Get("X-RateLimit-Limit") != "3" {
			t.Errorf("%d %v %s", answer.StatusCode, answer.Header, body)
		}
	}
	answer, body := ask(two, "/v1/whoami")
	if answer.StatusCode != 429 || !strings.Contains(body, `"violated-policies":["project_daily"]`) || answer.Header.Get("RateLimit-Policy") != `"key_daily";q=100;w=86400, "project_daily";q=3;w=86400` {
		t.Errorf("%d %v %s", answer.StatusCode, answer.Header, body)
	}
	for _, path := range []string{"/v1/keys?limit=0", "/v1/keys/key_000000000000"} {
		answer, _ := ask(one, path)
		if told := countersOf(answer.Header); (answer.StatusCode == 422 || answer.StatusCode == 404) && told != (counters{}) {
			t.Errorf("%s: %d %+v", path, answer.StatusCode, told)
		}
	}
}

// Promise: a limit is the key's and not its secret's: a rotation begins no budget anew, nor does disabling and restoring.
func TestRotationResetsNoLimit(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	key := p.limited(access.Limits{Daily: access.Quota{Most: 3}})
	ask := func(key madeKey) string {
		answer, _ := w.site.call(t, "GET", "/v1/whoami", nil, "X-API-Key", key.text)
		return strconv.Itoa(answer.StatusCode) + " " + answer.Header.Get("X-RateLimit-Remaining")
	}
	if got := ask(key); got != "200 2" {
		t.Error(got)
	}
	next := p.rotate(key, time.Hour)
	if got := ask(next); got != "200 1" {
		t.Error(got)
	}
	p.end(key, "disabled")
	if _, err := w.ring.Restore(t.Context(), p.permit(access.WriteKeys), key.id, keyring.Change{Basis: p.peek(key)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200 0", "429 0"} {
		if got := ask(key); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := ask(next); got != "429 0" {
		t.Error(got)
	}
}

func (p *project) peek(key madeKey) *access.Key {
	p.t.Helper()
	k, ok := p.w.ring.Peek(p.id, key.id)
	if !ok {
		p.t.Fatal("there is no such key")
	}
	return k
}

// Promise: an answer costs a credit, and one more for each thousand rows and each MiB; what fails by our fault costs none,
// and when there are not enough the question is answered 402, before it is run or after.
func TestCredits(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	key := p.limited(access.Limits{Credits: access.Quota{Most: 8}})
	ask := func(sql string) (*http.Response, string) {
		return w.site.call(t, "POST", "/v1/query", strings.NewReader(`{"sql":"`+sql+`"}`), "X-API-Key", key.text)
	}
	left := func(sql, want string) {
		t.Helper()
		answer, _ := w.site.call(t, "GET", "/v1/whoami", nil, "X-API-Key", key.text)
		if got := answer.Header.Get("X-RateLimit-Remaining"); got != want {
			t.Errorf("after %.40s there are %s credits left, want %s", sql, got, want)
		}
	}
	for _, c := range []struct {
		sql    string
		status int
		left   string
	}{
		{"SELECT 1", 200, "7"},
		{"SELECT 1 FROM range(1999)", 200, "5"},
		{"SELECT '" + strings.Repeat("x", 1200) + "' FROM range(900)", 200, "3"},
		{"SELEC 1", 400, "3"}, // nothing was set aside: the statement is read before
		{"SELECT CAST(CASE WHEN range > 1 THEN 'x' ELSE '1' END AS INTEGER) FROM range(5)", 400, "2"},
		{"SELECT 1 FROM range(5000)", 402, "1"}, // what was set aside is spent
		{"SELECT 1", 200, "0"},
		{"SELECT 1", 402, "0"},
	} {
		answer, body := ask(c.sql)
		if answer.StatusCode != c.status || c.status == 402 && codeOf(body) != problem.CreditsExhausted {
			t.Errorf("%s: %d %s", c.sql, answer.StatusCode, body)
		}
		left(c.sql, c.left)
	}
	w.clock.Advance(31 * 24 * time.Hour)
	if answer, body := ask("SELECT 1"); answer.StatusCode != 200 {
		t.Errorf("in the next month: %d %s", answer.StatusCode, body)
	}
}

// Promise: failed authentications are counted by the network they come from, whatever key they claim: when there are too
// many, more of them are told to wait, and a good key from there is let in all the same. Others are not held up.
func TestTooManyFailures(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	good, revoked := p.key("secret live all"), p.key("secret live all, revoked")
	from := func(address, key string) (*http.Response, string) {
		return w.proxied.call(t, "GET", "/v1/whoami", nil, "X-API-Key", key, "X-Forwarded-For", address, "X-Forwarded-Proto", "https")
	}
	bad := []string{unknownKey, "nonsense", revoked.text, ""}
	for i := range 100 {
		if answer, body := from(fmt.Sprintf("2001:db8:0:1::%x", i), bad[i%len(bad)]); answer.StatusCode != 401 {
			t.Fatalf("failure %d was answered %d %s", i+1, answer.StatusCode, body)
		}
	}
	for _, key := range bad {
		answer, body := from("2001:db8:0:1:ffff::1", key)
		if answer.StatusCode != 429 || codeOf(body) != problem.TooManyFailures || answer.Header.Get("Retry-After") != "1" ||
			!strings.Contains(body, `"type":"https://iana.org/assignments/http-problem-types#abnormal-usage-detected"`) || strings.Contains(body, "violated") {
			t.Errorf("one more was answered %d %v %s", answer.StatusCode, answer.Header, body)
		}
	}
	if answer, body := from("2001:db8:0:1::1", good.text); answer.StatusCode != 200 {
		t.Errorf("a good key was answered %d %s", answer.StatusCode, body)
	}
	for _, address := range []string{"2001:db8:0:2::1", "192.0.2.1"} {
		if answer, body := from(address, unknownKey); answer.StatusCode != 401 {
			t.Errorf("another network was answered %d %s", answer.StatusCode, body)
		}
	}
	w.clock.Advance(time.Second)
	for _, want := range []int{401, 429} {
		if answer, body := from("2001:db8:0:1::1", unknownKey); answer.StatusCode != want {
			t.Errorf("a second later: %d %s, want %d", answer.StatusCode, body, want)
		}
	}
}

// failing is a store of counters that can be taken away.
type failing struct {
	limit.Store
	gone atomic.Bool
}

var errGone = errors.New("the secret reason: the disk is gone")

func (f *failing) Load(ctx context.Context, want limit.Wanted) (limit.Written, error) {
	if f.gone.Load() {
		return limit.Written{}, errGone
	}
	return f.Store.Load(ctx, want)
}

func (f *failing) Write(ctx context.Context, b limit.Batch) error {
	if f.gone.Load() {
		return errGone
	}
	return f.Store.Write(ctx, b)
}

// Promise: while the counters cannot be reached, each limit does what it says: it denies, with a time to come again, or
// lets through, and the answer tells which.
func TestLimitsWithoutTheirStore(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	beside, err := openStore(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = beside.Close() })
	counts := &failing{Store: beside.Counters()}
	counter, err := openLimits(t.Context(), counts, w.clock.Now, w.log)
	if err != nil {
		t.Fatal(err)
	}
	s := w.variant(t, func(cfg *api.Config) {
		cfg.Gate, cfg.Counts = gate.New(w.ring, nil, counter, w.ledger, w.clock.Now, newDecision), counter
	}, nil)
	counts.gone.Store(true)
	lenient := p.limited(access.Limits{Daily: access.Quota{Most: 1000, OnFailure: access.FailAllow}})
	answer, body := s.call(t, "GET", "/v1/limits", nil, "X-API-Key", lenient.text)
	if answer.StatusCode != 503 || codeOf(body) != problem.LimitsUnavailable || strings.Contains(body, "secret") {
		t.Errorf("what has been used: %d %s", answer.StatusCode, body)
	}
	for failure, want := range map[access.OnFailure]struct {
		status   int
		fallback string
	}{
		access.FailDeny: {503, "deny"}, access.FailLocalShare: {200, "local_share"}, access.FailAllow: {200, "allow"},
	} {
		key := p.limited(access.Limits{Daily: access.Quota{Most: 1000, OnFailure: failure}})
		answer, body := s.call(t, "GET", "/v1/whoami", nil, "X-API-Key", key.text)
		if answer.StatusCode != want.status || answer.Header.Get("RateLimit-Fallback") != want.fallback {
			t.Errorf("%s: %d %v %s", failure, answer.StatusCode, answer.Header, body)
		}
		if want.status == 503 && (codeOf(body) != problem.LimitsUnavailable || answer.Header.Get("Retry-After") != "1" || strings.Contains(body, "secret") ||
			!strings.Contains(body, `"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"`)) {
			t.Errorf("%s: %v %s", failure, answer.Header, body)
		}
	}
}
