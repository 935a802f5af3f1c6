package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

// Problem is the body of every answer that is not a success: RFC 9457 problem details with our extension members.
type Problem struct {
	Type       string          `json:"type" doc:"Address of this problem's help page." format:"uri-reference" example:"/problems/missing_scope"`
	Title      string          `json:"title" doc:"What kind of problem it is."`
	Status     int             `json:"status" doc:"The HTTP status." example:"403"`
	Detail     string          `json:"detail" doc:"What happened this time."`
	Code       string          `json:"code" doc:"The problem's stable name, to compare in programs." example:"missing_scope"`
	RequestID  string          `json:"request_id" doc:"Finds this request in the server's log."`
	Errors     []problem.Field `json:"errors,omitempty" doc:"Every input at fault."`
	Scope      string          `json:"scope,omitzero" doc:"The scope that was needed." example:"sql:run"`
	RetryAfter int             `json:"retry_after,omitzero" doc:"Seconds after which a retry makes sense."`
	DecisionID string          `json:"decision_id,omitzero" doc:"The denial's entry in the ledger."`
	Violated   []string        `json:"violated-policies,omitempty" doc:"The limits that were reached." nullable:"false"`
	Line       int             `json:"line,omitzero" doc:"The line of the statement that is at fault, from 1."`
	Column     int             `json:"column,omitzero" doc:"The character of that line, from 1."`
	Excerpt    string          `json:"excerpt,omitzero" doc:"The line, or a part of it, and below it a caret under the character; for a font whose characters are as wide as one another."`
	Ceiling    string          `json:"ceiling,omitzero" doc:"The ceiling that was passed, which is the setting that raises it." example:"query_rows"`
	Limit      int64           `json:"limit,omitzero" doc:"The value of that ceiling: of query_time in milliseconds, of sizes in bytes." example:"100000"`
	Rejected   []Rejection     `json:"rejected,omitempty" doc:"Of a batch of several items of which none was accepted: each, and why. All else here is about the first." nullable:"false"`
}

// add adds what only some problems tell.
func (body *Problem) add(p *problem.Error) {
	if p.Caret != nil {
		body.Line, body.Column, body.Excerpt = p.Caret.Line, p.Caret.Column, p.Caret.Excerpt
	}
	if p.Ceiling != nil {
		body.Ceiling, body.Limit = p.Ceiling.Name, p.Ceiling.Limit
	}
	for _, i := range p.Items {
		body.Rejected = append(body.Rejected, Rejection{
			Index: i.Index, Code: string(i.Problem.Code), Detail: access.HideKeysIn(i.Problem.Detail), Errors: i.Problem.Fields,
		})
	}
}

// asAltertable tells of problems as the ingestion clients read it, and as everybody else does too.
var asAltertable = speech{
	shape: reflect.TypeFor[ingestionBody](),
	body: func(body Problem, p *problem.Error) any {
		code := ingestionCode(p.Code)
		return ingestionBody{Problem: body, ErrorCode: code, Error: code, Message: p.Detail}
	},
}

// ingestionBody is a problem as the ingestion clients read it (contracts A3): one reads error_code, one needs error to
// be a string, one reads message.
type ingestionBody struct {
	Problem
	OK        bool    `json:"ok"`
	TaskID    *string `json:"task_id"`
	ErrorCode string  `json:"error_code" doc:"The problem as Altertable's clients know it." example:"environment-not-found"`
	Error     string  `json:"error"`
	Message   string  `json:"message"`
}

// writeProblem is the one writer of problems.
func (a *API) writeProblem(rq *request, err error) {
	if rq.speech().page && rq.line.status == 0 && a.writePageOf(rq, err) {
		return
	}
	p := a.classify(rq, err)
	rq.line.code, rq.line.decisionID = p.Code, p.DecisionID
	if p.Status() >= http.StatusInternalServerError || p.Code == problem.InvalidRequest {
		rq.line.cause = p
	}
	if rq.line.status != 0 {
		// The answer has begun: nothing true can be added to it.
		rq.line.cause, rq.broken = p, true
		return
	}
	header := rq.reply.Header()
	as := rq.speech()
	status := as.statusOf(p.Code)
	header.Set("Content-Type", as.contentType())
	if challenge := rq.challenge(p); challenge != "" {
		header.Set("WWW-Authenticate", challenge)
	}
	if p.Code == problem.SignatureRequired || p.Code == problem.SignatureInvalid {
		header.Set("Accept-Signature", signature.Challenge(rq.publicName()))
	}
	if p.Code == problem.DomainNotAllowed {
		uncross(header)
	}
	body := Problem{
		Type: p.Code.Type(a.problemBase), Title: p.Code.Row().Title, Status: status, Detail: p.Detail, Code: string(p.Code),
		RequestID: rq.id, Errors: p.Fields, Scope: p.Scope, DecisionID: p.DecisionID, Violated: p.Violated,
	}
	body.add(p)
	if p.RetryAfter > 0 {
		body.RetryAfter = int((p.RetryAfter + time.Second - 1) / time.Second)
		header.Set("Retry-After", strconv.Itoa(body.RetryAfter))
	}
	text := as.text(header, body, p)
	rq.reply.WriteHeader(status)
	_, _ = rq.reply.Write(text)
}

// classify finds the problem in an error. A caller who went away is not our fault.
func (a *API) classify(rq *request, err error) *problem.Error {
	var p *problem.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, context.Canceled) && rq.ctx().Err() != nil:
		return problem.Wrap(err, problem.RequestTimeout, "The request was given up before it was answered.")
	case errors.Is(err, context.DeadlineExceeded):
		return problem.Wrap(err, problem.Unavailable, "The request could not be served in time.").After(time.Second)
	}
	return problem.From(err)
}

// challenge is the WWW-Authenticate header that a 401 must have (RFC 6750 section 3): without a key it names no error, with a
// bad one it says invalid_token, and a missing scope is named.
func (rq *request) challenge(p *problem.Error) string {
	switch {
	case p.Code == problem.SignatureRequired || p.Code == problem.SignatureInvalid:
		return `Signature realm="weir"`
	case rq.speech().basic:
		if rq.speech().statusOf(p.Code) == http.StatusUnauthorized {
			return `Basic realm="weir"`
		}
		return ""
	}
	switch {
	case p.Code == problem.MissingCredential:
		return rq.tokenChallenge("")
	case p.Code == problem.InvalidDPoPProof:
		return rq.tokenChallenge(`, error="invalid_dpop_proof"`)
	case p.Status() == http.StatusUnauthorized:
		return rq.tokenChallenge(`, error="invalid_token"`)
	case p.Code == problem.TwoCredentials:
		return rq.tokenChallenge(`, error="invalid_request"`)
	case p.Code == problem.MissingScope:
		return rq.tokenChallenge(`, error="insufficient_scope", scope="` + p.Scope + `"`)
	}
	return ""
}

// ingestionCode is a problem's name as Altertable's clients know it, where they know one.
func ingestionCode(code problem.Code) string {
	if code.Row().Status == http.StatusUnauthorized {
		return "invalid-api-key"
	}
	return strings.ReplaceAll(string(code), "_", "-")
}
