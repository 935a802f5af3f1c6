package api_test

import (
	"net/http"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/org"
)

// Promise: a member has so many sessions and no more: with one more the oldest ends, and its access token with it.
func TestTheOldestSessionMakesRoom(t *testing.T) {
	t.Parallel()
	p := open(t).project(t)
	email, _ := p.member(access.Viewer, false)
	first, second := p.session(email), p.session(email)
	for range org.MaxSessions - 1 {
		_ = p.session(email)
	}
	for _, c := range []struct {
		of    signedIn
		token int
		renew int
	}{{first, http.StatusUnauthorized, http.StatusUnauthorized}, {second, http.StatusOK, http.StatusOK}} {
		if status, _ := p.w.site.asks(t, c.of.Access, "GET", "/v1/whoami", ""); status != c.token {
			t.Errorf("the token: %d, want %d", status, c.token)
		}
		if status, _ := p.w.site.asks(t, "", "POST", "/v1/members/sessions/renew", `{"refresh_token":"`+c.of.Refresh+`"}`); status != c.renew {
			t.Errorf("renewing: %d, want %d", status, c.renew)
		}
	}
}
