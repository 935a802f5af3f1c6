package app_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
)

const verifier = "a-verifier-that-is-long-enough-to-be-one-of-PKCE"

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// free are limits that let all through, and keep no record.
type free struct{}

func (free) Take(context.Context, gate.Charge) gate.Charged           { return gate.Charged{} }
func (free) Settle(context.Context, gate.Charge, int64) (over string) { return "" }
func (free) Hold(context.Context, gate.Charge, string) string         { return "" }
func (free) HoldOnly([]string)                                        {}
func (free) Fail(netip.Addr, time.Time) time.Duration                 { return 0 }
func (free) Deny(gate.Denial)                                         {}
func (free) Allow(gate.Use)                                           {}

// house is a project with a key, and the service.
type house struct {
	t       *testing.T
	ring    *keyring.Ring
	apps    *app.Service
	gate    *gate.Gate
	key     access.Text
	id      string
	project string
	ticks   atomic.Int64
}

func (h *house) now() time.Time { return time.UnixMicro(h.ticks.Add(1)).UTC() }

func build(t *testing.T) *house {
	t.Helper()
	h := &house{t: t}
	h.ticks.Store(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC).UnixMicro())
	shelf, store, flow := openShelf(t)
	if _, _, _, err := org.Setup(t.Context(), shelf, org.FirstProject(), h.now, rand.Text); err != nil {
		t.Fatal(err)
	}
	projects, err := shelf.Projects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.project = projects[0].ID
	if h.ring, err = keyring.Open(t.Context(), shelf, keyring.Config{Now: h.now, NewID: rand.Text}); err != nil {
		t.Fatal(err)
	}
	h.gate = gate.New(h.ring, nil, free{}, free{}, h.now, rand.Text)
	h.apps = app.New(app.Config{Store: store, Flow: flow, Ring: h.ring, Now: h.now, NewID: rand.Text})
	operator, err := h.ring.Operator(h.project)
	if err != nil {
		t.Fatal(err)
	}
	h.key = operator
	rec, secrets, err := h.ring.Create(t.Context(), h.permit(access.WriteKeys), keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes})
	if err != nil {
		t.Fatal(err)
	}
	h.key, h.id = secrets.Key, rec.ID
	return h
}

func (h *house) permit(action access.Action) gate.Permit {
	h.t.Helper()
	caller, err := h.gate.Identify(context.Background(), gate.Credential{Key: h.key, Circumstances: access.Circumstances{Via: access.InHeader}}, action)
	if err != nil {
		h.t.Fatal(err)
	}
	permit, err := h.gate.Admit(context.Background(), caller, access.Attempt{}, gate.Cost{})
	if err != nil {
		h.t.Fatal(err)
	}
	return permit
}

func (h *house) register() app.App {
	h.t.Helper()
	made, _, err := h.apps.Create(context.Background(), h.permit(access.WriteApps), app.Registration{Name: "One", Redirects: []string{"https://one.example/cb"}})
	if err != nil {
		h.t.Fatal(err)
	}
	return made
}

// letIn gives a code for an app.
func (h *house) letIn(one app.App) string {
	h.t.Helper()
	asked := app.Asked{App: one, Redirect: "https://one.example/cb", Scopes: access.EventsRead, Challenge: challenge()}
	key, _ := h.ring.Peek(h.project, h.id)
	code, err := h.apps.Approve(context.Background(), h.permit(access.AuthorizeApps), asked, asked.Grant(key, h.now()))
	if err != nil {
		h.t.Fatal(err)
	}
	return code.Reveal()
}

// show shows a code or a refresh token, and gives the next and whose client it is.
func (h *house) show(one app.App, text string) (next, grant string, err error) {
	ctx := context.Background()
	var shown app.Shown
	if strings.HasPrefix(text, "ac_") {
		shown, err = h.apps.ByCode(ctx, one, text, "https://one.example/cb", verifier)
	} else {
		shown, err = h.apps.ByRefresh(ctx, one, text)
	}
	if err != nil {
		return "", "", err
	}
	refresh, err := h.apps.Redeem(ctx, shown, "", time.Time{})
	return refresh.Reveal(), shown.Grant, err
}

func (h *house) stands(grant string) bool {
	key, found := h.ring.Peek(h.project, grant)
	return found && key.RevokedAt.IsZero()
}

// family is all that there is to know of a grant, as whoever reads the decision in docs/decisions would keep it.
type family struct {
	present string   // what may be shown next
	used    []string // what was shown, and replaced
	grant   string   // known once the code was used
	ended   bool
}

// Promise: whatever is shown in whatever order, and by however many at the same time, one is the first; whoever shows what was
// used before ends the family, and then nothing of it is good; other families are not touched. It is compared with a model.
func TestFamiliesAgainstAModel(t *testing.T) {
	h := build(t)
	one := h.register()
	rapid.Check(t, func(t *rapid.T) {
		families := []*family{{present: h.letIn(one)}, {present: h.letIn(one)}}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			f := rapid.SampledFrom(families).Draw(t, "family")
			if len(f.used) > 0 && rapid.IntRange(0, 3).Draw(t, "again") == 0 {
				text := rapid.SampledFrom(f.used).Draw(t, "used")
				if _, _, err := h.show(one, text); problem.Of(err) != problem.InvalidGrant {
					t.Fatalf("what was used: %v", err)
				}
				f.ended = true
			} else {
				at := rapid.SampledFrom([]int{1, 1, 1, 2, 5}).Draw(t, "at the same time")
				h.together(t, one, f, at)
			}
			for i, f := range families {
				if f.grant != "" && h.stands(f.grant) == f.ended {
					t.Fatalf("family %d ended: %v, and stands: %v", i, f.ended, h.stands(f.grant))
				}
			}
		}
	})
}

// together shows the present one of a family so many times at the same time.
func (h *house) together(t *rapid.T, one app.App, f *family, times int) {
	var (
		mu   sync.Mutex
		all  sync.WaitGroup
		next []string
	)
	for range times {
		all.Go(func() {
			text, grant, err := h.show(one, f.present)
			mu.Lock()
			defer mu.Unlock()
			if grant != "" {
				f.grant = grant
			}
			if err == nil {
				next = append(next, text)
			} else if problem.Of(err) != problem.InvalidGrant {
				t.Errorf("shown: %v", err)
			}
		})
	}
	all.Wait()
	want := 1
	if f.ended {
		want = 0
	}
	if len(next) != want {
		t.Fatalf("%d of %d were first, in a family that had ended: %v", len(next), times, f.ended)
	}
	if want == 1 {
		f.used, f.present = append(f.used, f.present), next[0]
	}
	f.ended = f.ended || times > 1
}

// Promise: what was let in and never fetched ends by itself, and what was fetched does not.
func TestSweep(t *testing.T) {
	h := build(t)
	one := h.register()
	kept, _ := h.letIn(one), h.letIn(one)
	text, grant, err := h.show(one, kept)
	if err != nil {
		t.Fatal(err)
	}
	h.ticks.Add((3 * app.CodeLife).Microseconds())
	h.apps.Sweep(t.Context())
	grants, _, err := h.ring.Grants(t.Context(), h.permit(access.ReadApps), keyring.GrantQuery{Standing: true, Limit: 10})
	if err != nil || len(grants) != 1 || grants[0].ID != grant {
		t.Errorf("left: %d, %v", len(grants), err)
	}
	h.ticks.Add((app.RefreshLife).Microseconds())
	if _, _, err := h.show(one, text); problem.Of(err) != problem.InvalidGrant {
		t.Errorf("after a month: %v", err)
	}
}

// Promise: an app is registered with a name that can be shown and addresses that nobody can mistake, and told about every fault.
func TestRegistration(t *testing.T) {
	h := build(t)
	for _, uri := range []string{
		"https://a.example", "https://a.example/", "https://a.example:8443/x?y=1", "http://127.0.0.1/cb", "http://[::1]:80/cb", "com.example.app:/back",
	} {
		if _, _, err := h.apps.Create(t.Context(), h.permit(access.WriteApps), app.Registration{Name: "Ünï", Redirects: []string{uri}}); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{
		"", "a.example", "/back", "//a.example/", "http://a.example/", "http://localhost/", "https://a.example/#x", "https://a.example/#", "https://u@a.example/", "https://a.example/ x", "https://A.example/",
		"https:///x", "https://a.example\\@b.example", "javascript:alert(1)", "data:text/html,x", "app:/back", "https://*.example/", "https://a.example/?code=1", "https://a.example/?%zz", "https://a.example/;\n", "https://-a.example/",
		"https://a.example/" + strings.Repeat("x", app.MaxRedirect), "com.example.app://evil.example/", "https://a.example/'\"<",
	} {
		if _, _, err := h.apps.Create(t.Context(), h.permit(access.WriteApps), app.Registration{Name: "One", Redirects: []string{uri}}); problem.Of(err) != problem.InvalidField {
			t.Errorf("%q: %v", uri, err)
		}
	}
	for _, name := range []string{"", " a", "a ", "a\nb", "a\u202Eb", "a\u200Bb", "\xff", strings.Repeat("a", app.MaxName+1)} {
		_, _, err := h.apps.Create(t.Context(), h.permit(access.WriteApps), app.Registration{Name: name})
		if p := problem.From(err); p.Code != problem.InvalidField || len(p.Fields) != 2 {
			t.Errorf("%q: %v", name, err)
		}
	}
}
