package api

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/weir-analytics/weir/internal/problem"
)

// formType is how OAuth's requests are written.
const formType = "application/x-www-form-urlencoded"

// oauthBody is a problem as clients of OAuth read it (RFC 6749 section 5.2).
type oauthBody struct {
	Problem
	Error       string `json:"error" enum:"invalid_request,invalid_client,invalid_grant,unauthorized_client,unsupported_grant_type,invalid_scope,invalid_target,invalid_dpop_proof,temporarily_unavailable,server_error" doc:"The problem as OAuth names it."`
	Description string `json:"error_description" doc:"The detail, in ASCII."`
}

// asOAuth tells of problems as OAuth has it.
var asOAuth = speech{
	content: "application/json", shape: reflect.TypeFor[oauthBody](), basic: true, status: oauthStatus,
	body: func(body Problem, p *problem.Error) any {
		return oauthBody{Problem: body, Error: oauthError(p.Code), Description: describable(p.Detail)}
	},
}

// oauthStatus is the status of a problem in OAuth: 401 for a client that is not known by what it showed, and 400 for all else
// that is the client's fault; what is about HTTP, or about when to come again, stays what it is.
func oauthStatus(code problem.Code) int {
	switch code {
	case problem.WrongCredential:
		return http.StatusUnauthorized
	case problem.InvalidDPoPProof:
		return http.StatusBadRequest
	default:
	}
	switch status := code.Row().Status; status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity:
		return http.StatusBadRequest
	default:
		return status
	}
}

// oauthError is a problem's name in OAuth.
func oauthError(code problem.Code) string {
	switch code {
	case problem.InvalidScope, problem.InvalidTarget, problem.InvalidGrant, problem.UnsupportedGrantType, problem.InvalidDPoPProof:
		return string(code)
	case problem.WrongCredential:
		return "invalid_client"
	default:
	}
	switch status := code.Row().Status; {
	case status == http.StatusUnauthorized:
		return "invalid_client"
	case status == http.StatusForbidden:
		return "unauthorized_client"
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return "temporarily_unavailable"
	case status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request"
}

// describable is a text with the characters that error_description may have.
func describable(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c == '\\':
			return '/'
		case c < ' ' || c > '~':
			return '?'
		}
		return c
	}, text)
}
