package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
)

// pages goes through a list two by two, and gives the ids.
func (p *project) pages(key, path string) (ids []string) {
	p.t.Helper()
	for query := (url.Values{"limit": {"2"}}); ; {
		_, body := p.w.site.call(p.t, "GET", path+"?"+query.Encode(), nil, "X-API-Key", key)
		var page struct {
			Data       []struct{ ID string }
			NextCursor *string `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Data) > 2 {
			p.t.Fatalf("%s: %s, %v", path, body, err)
		}
		for _, one := range page.Data {
			ids = append(ids, one.ID)
		}
		if page.NextCursor == nil {
			return ids
		}
		if url.QueryEscape(*page.NextCursor) != *page.NextCursor {
			p.t.Errorf("%s gave a cursor that means something else in an address: %s", path, *page.NextCursor)
		}
		query.Set("cursor", *page.NextCursor)
	}
}

// Promise: pages of members and of invitations have each of the project once and in order, and nobody of another; a cursor that no
// list gave is refused.
func TestMembersAndInvitationsArePaged(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p, other := w.project(t), w.project(t)
	key := p.key("secret live all").text
	byEmail := map[string]string{}
	for n := range 5 {
		email, one := p.member(access.Analyst, n == 0)
		byEmail[email] = one.ID
		other.member(access.Analyst, false)
	}
	var want []string
	emails := make([]string, 0, len(byEmail))
	for email := range byEmail {
		emails = append(emails, email)
	}
	slices.Sort(emails)
	for _, email := range emails {
		want = append(want, byEmail[email])
	}
	if got := p.pages(key, "/v1/members"); !slices.Equal(got, want) {
		t.Errorf("members are %q, want %q", got, want)
	}
	invited := p.pages(key, "/v1/invitations")
	if unlike := slices.Compact(slices.Sorted(slices.Values(invited))); len(invited) != 5 || len(unlike) != 5 {
		t.Errorf("invitations are %q", invited)
	}
	for _, query := range []string{"/v1/members?cursor=x", "/v1/members?limit=201", "/v1/invitations?cursor=x", "/v1/invitations?cursor=eA", "/v1/invitations?limit=0"} {
		if status, code := w.site.asks(t, key, "GET", query, ""); status != 422 || code != problem.InvalidField {
			t.Errorf("%s answered %d %s", query, status, code)
		}
	}
}

// Promise: so it is of deletions, jobs and exports: a cursor can be put into an address as it is, and the next page begins there.
func TestListsByTimeArePaged(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	for range 3 {
		s.ask(s.all, "POST", "/v1/deletions", `{"events":["none"]}`, 202)
		s.ask(s.all, "POST", "/v1/exports", `{"of":"events"}`, 202)
	}
	for _, path := range []string{"/v1/deletions", "/v1/exports"} {
		if ids := s.pages(s.all, path); len(ids) != 3 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 3 {
			t.Errorf("%s has %q", path, ids)
		}
		if status, code := s.w.site.asks(t, s.all, "GET", path+"?cursor=eA", ""); status != 422 || code != problem.InvalidField {
			t.Errorf("%s answered a strange cursor %d %s", path, status, code)
		}
	}
}

// strangers is a store with members of other projects without end.
type strangers struct {
	org.People

	asked int
}

func (s *strangers) Members(_ context.Context, _, _ string, limit int) (list []org.Member, err error) {
	for range limit {
		s.asked++
		list = append(list, org.Member{ID: fmt.Sprint("mem_", s.asked)})
	}
	return list, nil
}

// Promise: looking for the members of a project among those of others ends, with a place to go on.
func TestAPageOfMembersEnds(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	s := &strangers{People: w.store}
	members := org.NewMembers(org.PeopleConfig{People: s, Keys: w.ring, Now: w.clock.Now})
	list, next, err := members.List(t.Context(), p.permit(access.ReadMembers), "", 10)
	if err != nil || len(list) != 0 || next != fmt.Sprint("mem_", s.asked) || s.asked != 10_000 {
		t.Errorf("%d members, then %q, after %d (%v)", len(list), next, s.asked, err)
	}
}
