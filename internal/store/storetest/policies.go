package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/keyring"
)

func fullPolicy() access.Policy {
	return access.Policy{
		SecretInBrowser: true, SecretInURL: true,
		Public: access.Ceiling{MaxLifetime: 24 * time.Hour, Scopes: access.ClientScopes, RequireNetworks: true},
		Secret: access.Ceiling{MaxLifetime: 36_500 * 24 * time.Hour, Scopes: access.AllScopes, RequireSignature: true},
		Limits: access.DefaultLimits(access.Secret),
	}
}

func setPolicy(t *testing.T, s Stores, project string, policy access.Policy) (keyring.PolicyRecord, error) {
	return s.Keys.ChangePolicy(t.Context(), project, func(p *keyring.PolicyRecord) (*audit.Entry, error) {
		p.Policy = policy
		return &audit.Entry{ID: rand.Text(), At: start(), Project: project}, nil
	})
}

// Promise: a project begins with the policy that sets nothing, and has what was set from then on, by each of the ways to
// read it; no other project is touched, whatever its name, and a change that is refused or not audited changes nothing.
func policiesAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	for _, name := range hostile() {
		addProject(t, s, "prj_"+name)
	}
	read := func(project string) (rec keyring.PolicyRecord) {
		t.Helper()
		rec, err := s.Keys.ChangePolicy(t.Context(), project, func(*keyring.PolicyRecord) (*audit.Entry, error) { return nil, nil })
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	if rec := read("prj_1"); rec.Policy != (access.Policy{}) || rec.Revision != 1 {
		t.Errorf("it begins with %+v", rec)
	}
	for i, name := range hostile() {
		policy := fullPolicy()
		policy.Limits.Daily.Most = int64(i)
		if rec, err := setPolicy(t, s, "prj_"+name, policy); err != nil || rec.Policy != policy || rec.Revision != 2 {
			t.Fatalf("set to %+v, %v", rec, err)
		}
	}
	if _, err := s.Keys.ChangePolicy(t.Context(), "prj_1", func(p *keyring.PolicyRecord) (*audit.Entry, error) {
		p.Policy = fullPolicy()
		return &audit.Entry{ID: "refused"}, ErrFault
	}); !errors.Is(err, ErrFault) {
		t.Errorf("refused: %v", err)
	}
	if _, err := setPolicy(t, s, "prj_none", fullPolicy()); !errors.Is(err, keyring.ErrNoProject) {
		t.Errorf("of no project: %v", err)
	}
	list, err := s.Keys.Projects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]access.Policy{}
	for _, p := range list {
		found[p.ID] = p.Policy
	}
	for i, name := range hostile() {
		want := fullPolicy()
		want.Limits.Daily.Most = int64(i)
		if rec := read("prj_" + name); rec.Policy != want || rec.Revision != 2 || found["prj_"+name] != want {
			t.Errorf("of %.40q: %+v", name, rec)
		}
	}
	if rec := read("prj_1"); rec.Policy != (access.Policy{}) || rec.Revision != 1 || found["prj_1"] != (access.Policy{}) {
		t.Errorf("another one is %+v", rec)
	}
}

// Promise: changes of one policy at the same time are made one after the other, and none is lost.
func policyChangesAreNotLost(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	const writers, times = 4, 10
	each(writers, func(w int) {
		for n := range times {
			_, err := s.Keys.ChangePolicy(t.Context(), "prj_1", func(p *keyring.PolicyRecord) (*audit.Entry, error) {
				p.Limits.Daily.Most++
				return &audit.Entry{ID: fmt.Sprint(w, " ", n), At: start()}, nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	rec, err := setPolicy(t, s, "prj_1", access.Policy{})
	if err != nil || rec.Revision != 2+writers*times {
		t.Errorf("it is of revision %d, %v", rec.Revision, err)
	}
}
