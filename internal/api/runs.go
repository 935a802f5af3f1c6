package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// QueryRun is one running of a question, as the history has it.
type QueryRun struct {
	ID          string     `json:"id" doc:"Its name, which the header Weir-Query-Id told." example:"qry_2W3FQ6DZL4XKYB5RA7TS"`
	KeyID       string     `json:"key_id" doc:"The key that asked." example:"key_3fQ9xT0aLmZk"`
	Environment string     `json:"environment" example:"production"`
	SQL         string     `json:"sql" doc:"The statement, at most 4 KiB of it and without its parameters; of a saved metric a comment with its name and version; empty when the server does not keep statements."`
	Status      string     `json:"status" enum:"running,succeeded,failed,cancelled,lost" doc:"Lost: the server stopped while it ran."`
	Code        string     `json:"code,omitzero" doc:"The problem that it ended with." example:"query_timeout"`
	Background  bool       `json:"background" doc:"Nobody waited for it: its result is to be fetched."`
	Cached      bool       `json:"cached" doc:"It was answered from the cache."`
	StartedAt   time.Time  `json:"started_at"`
	ElapsedMS   *float64   `json:"elapsed_ms" doc:"How long it took; null while it runs, and when it is lost."`
	Rows        int64      `json:"rows" doc:"Of its answer."`
	Bytes       int64      `json:"bytes" doc:"Of its answer, as it was written."`
	Credits     int64      `json:"credits" doc:"What it came to."`
	ResultUntil *time.Time `json:"result_until" doc:"How long its result can be fetched; null when there is none."`
}

// QueryRunPage is one page of the history.
type QueryRunPage struct {
	Data       []QueryRun `json:"data" doc:"The youngest first."`
	NextCursor *string    `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// asked is a question with the name that its run gets.
type asked struct {
	query.Question

	id     string
	once   bool        // the sender chose it
	header http.Header // of the answer
}

// same is what tells questions apart that come to as much.
func (in asked) same() string { return "sql " + in.SQL + "\x00" + string(in.Parameters) } // a statement has no NUL

func (in asked) wants() access.Attempt { return inEnvironment(in.Environment) }

// readAsked reads a question, and names its run after the request.
func readAsked(a *API) func(*request) (asked, error) {
	read := readQuestion(a)
	return func(rq *request) (asked, error) {
		q, err := read(rq)
		return asked{q, rq.runID(), false, rq.reply.Header()}, err
	}
}

// runID is the name of the run that a request makes.
func (rq *request) runID() string { return "qry_" + strings.TrimPrefix(rq.id, "req_") }

// noted is an input whose run is noted.
type noted[I any] struct {
	in     I
	id     string
	header http.Header // of the answer
}

// note is what is noted of the run. The answer names it when there was one: what is refused before has none.
func (n noted[I]) note() query.Note {
	return query.Note{ID: n.id, Credits: func(answer *query.Answer, err error) int64 {
		n.header.Set(queryIDHeader, n.id)
		return askedCredits(answer, err)
	}}
}

// numbered is the note of one run of several that a request asks for, from 0. The answer names the first that there was.
func (n noted[I]) numbered(i int) query.Note {
	if i > 0 {
		n.id += "_" + strconv.Itoa(i)
	}
	note := n.note()
	credits := note.Credits
	note.Credits = func(answer *query.Answer, err error) int64 {
		if named := n.header.Get(queryIDHeader); named != "" {
			defer n.header.Set(queryIDHeader, named)
		}
		return credits(answer, err)
	}
	return note
}

// readNoted reads an input, and names its run after the request.
func readNoted[I any](read func(*request) (I, error)) func(*request) (noted[I], error) {
	return func(rq *request) (noted[I], error) {
		in, err := read(rq)
		return noted[I]{in, rq.runID(), rq.reply.Header()}, err
	}
}

// queryIDHeader names the run that an answer is of.
const queryIDHeader = "Weir-Query-Id"

// ask answers a question, of which account is kept.
func (a *API) ask(ctx context.Context, permit gate.Permit, in asked) (*query.Answer, error) {
	in.header.Set(queryIDHeader, in.id)
	q := in.asked()
	q.Credits = askedCredits
	return a.cfg.Runs.Ask(ctx, a.cfg.Query, permit, q)
}

// asked is the question as it is run.
func (in asked) asked() query.Asked {
	return query.Asked{Question: in.Question, Note: query.Note{ID: in.id, Once: in.once, Credits: answerCredits}}
}

// answerCredits is what a question came to. What fails by our fault is free.
func answerCredits(answer *query.Answer, err error) int64 {
	switch {
	case err == nil:
		return answerPrice(answer)
	case problem.From(err).Status() >= http.StatusInternalServerError:
		return query.Spent(err)
	}
	return questionCost + query.Spent(err)
}

// askedCredits is what a question came to of somebody who waits for the answer: going away meanwhile makes it no cheaper.
func askedCredits(answer *query.Answer, err error) int64 {
	if errors.Is(err, context.Canceled) {
		return questionCost + query.Spent(err)
	}
	return answerCredits(answer, err)
}

// questionCost is what is set aside for a question.
const questionCost = 1

type listRuns struct {
	KeyID  string `query:"key_id" maxLength:"64" doc:"Only of this key."`
	Status string `query:"status" enum:"running,succeeded,failed,cancelled,lost" doc:"Only of this status."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor string `query:"cursor" maxLength:"200" doc:"Where to go on, from the page before."`
}

type oneRun struct {
	ID  string `path:"query_id" doc:"The name of the run." example:"qry_2W3FQ6DZL4XKYB5RA7TS"`
	run query.Run
}

// wants is about the run; one that is not there is the zero subject.
func (in oneRun) wants() access.Attempt {
	if in.run.ID == "" {
		return access.Attempt{Subject: &access.Subject{}}
	}
	return access.Attempt{Subject: in.run.Subject()}
}

// wantsResult is about the run and the environment that it read.
func (in oneRun) wantsResult() access.Attempt {
	attempt := in.wants()
	attempt.Targets = []access.Target{{Environment: in.run.Environment}}
	return attempt
}

func readRun(a *API) func(*request) (oneRun, error) {
	read := bound[oneRun](a)
	return func(rq *request) (oneRun, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		if run, found, err := a.cfg.Runs.Find(rq.ctx(), rq.caller.Project(), in.ID); err != nil {
			return in, err
		} else if found {
			in.run = run
		}
		return in, nil
	}
}

// mountRuns adds the rows about the runs of queries.
func mountRuns(a *API) {
	mount(a, endpoint[asked, QueryRun]{
		Method: "POST", Path: "/v1/queries", Action: access.RunSQL,
		Read: readAsked(a), Wants: asked.wants, Do: a.submit, Write: writeSubmitted, Status: http.StatusAccepted,
		Cost: questionCost, Same: asked.same, Later: true,
		Doc: doc{
			ID: "submitQuery", Tag: "Query", Summary: "Ask a question in the background",
			Text: "Takes what `POST /v1/query` takes and answers at once. The address in `Location` tells how it goes, and its result can be fetched for " +
				"15 minutes, by the key that asked and no other. It runs as long as the key may ask it: it ends when the key is revoked or narrowed.",
			In: reflect.TypeFor[askInput](), Runs: true,
			Problems: []problem.Code{problem.InvalidSQL, problem.SQLNotAllowed}, Examples: []example{submitExample},
		},
	})
	mount(a, endpoint[listRuns, QueryRunPage]{
		Method: "GET", Path: "/v1/queries", Action: access.ReadQueries,
		Read: bound[listRuns](a), Wants: wantsNothing[listRuns], Do: a.runs,
		Doc: doc{
			ID: "listQueries", Tag: "Query", Summary: "List the queries that were asked",
			Text: "The last 1,000 of the project, for 30 days, the youngest first. A key sees its own; with `sql:run` and `audit:read` it sees those of all keys. " +
				"Parameters are never kept.",
		},
	})
	mount(a, endpoint[oneRun, QueryRun]{
		Method: "GET", Path: "/v1/queries/{query_id}", Action: access.ReadQueries,
		Read: readRun(a), Wants: oneRun.wants,
		Do: func(_ context.Context, _ gate.Permit, in oneRun) (QueryRun, error) { return a.runView(in.run), nil },
		Doc: doc{
			ID: "getQuery", Tag: "Query", Summary: "Look at a query", Problems: []problem.Code{problem.NotFound},
			Text: "How a query goes, or what became of it. What another key asked is there with `audit:read` only.",
		},
	})
	mount(a, endpoint[oneRun, nothing]{
		Method: "DELETE", Path: "/v1/queries/{query_id}", Action: access.CancelQueries,
		Read: readRun(a), Wants: oneRun.wants, Status: http.StatusNoContent,
		Do: func(ctx context.Context, _ gate.Permit, in oneRun) (nothing, error) {
			a.cfg.Runs.Cancel(ctx, in.run.ID)
			return nothing{}, nil
		},
		Doc: doc{
			ID: "cancelQuery", Tag: "Query", Summary: "Cancel a query", Problems: []problem.Code{problem.NotFound},
			Text: "Ends a query that runs, whose asker gets `query_cancelled`, and drops the result of one that ran in the background. It stays in the " +
				"list. What another key asked can be cancelled with `audit:read` and `projects:write`.",
		},
	})
	mount(a, endpoint[oneRun, *query.Result]{
		Method: "GET", Path: "/v1/queries/{query_id}/result", Action: access.RunSQL,
		Read: readRun(a), Wants: oneRun.wantsResult, Write: writeResult,
		Do: func(_ context.Context, permit gate.Permit, in oneRun) (*query.Result, error) {
			return a.cfg.Runs.Result(a.cfg.Query, permit, in.run)
		},
		Doc: doc{
			ID: "queryResult", Tag: "Query", Summary: "Fetch the result of a query in the background",
			Text: "The answer, in the format that was asked for; or the problem that the query ended with. Only the key that asked may fetch it, and only " +
				"while it may see what it saw then.",
			Out: reflect.TypeFor[QueryAnswer](), Types: []string{"application/x-ndjson", "text/csv", "application/vnd.apache.parquet"},
			Problems: []problem.Code{problem.NotFound, problem.QueryRunning, problem.QueryCancelled, problem.ResultGone, problem.ResultTooLarge},
		},
	})
}

// submit begins to run a question. What it came to is settled when it is over, in the name of this request.
func (a *API) submit(_ context.Context, permit gate.Permit, in asked) (QueryRun, error) {
	in.header.Set(queryIDHeader, in.id)
	attempt := in.wants()
	run, err := a.cfg.Runs.Submit(a.cfg.Query, permit, query.Job{
		Asked:  in.asked(),
		Still:  func() error { return a.cfg.Gate.Watch(permit, attempt) },
		Settle: func(credits int64) error { return a.cfg.Gate.Settle(context.Background(), permit, credits) },
	})
	return a.runView(run), err
}

func writeSubmitted(rq *request, run QueryRun) error {
	rq.reply.Header().Set("Location", "/v1/queries/"+run.ID)
	return rq.writeJSON(http.StatusAccepted, run)
}

func (a *API) runs(ctx context.Context, permit gate.Permit, in listRuns) (QueryRunPage, error) {
	list, next, err := a.cfg.Runs.List(ctx, permit, query.RunFilter{
		KeyID: in.KeyID, Status: query.RunStatus(in.Status), Before: in.Cursor, Limit: orDefault(in.Limit, 50),
	})
	page := QueryRunPage{Data: make([]QueryRun, len(list)), NextCursor: cursor(next)}
	for i := range list {
		page.Data[i] = a.runView(list[i])
	}
	return page, err
}

func (a *API) runView(r query.Run) QueryRun {
	view := QueryRun{
		ID: r.ID, KeyID: r.KeyID, Environment: r.Environment, SQL: r.SQL, Status: string(r.Status), Code: string(r.Code), Background: r.Background,
		Cached: r.Cached, StartedAt: r.StartedAt, Rows: r.Rows, Bytes: r.Bytes, Credits: r.Credits, ResultUntil: timeOrNull(a.cfg.Runs.ResultUntil(r.ID)),
	}
	if r.Status != query.Running && r.Status != query.Lost {
		elapsed := float64(r.Elapsed.Microseconds()) / 1000
		view.ElapsedMS = &elapsed
	}
	return view
}

func writeResult(rq *request, result *query.Result) error {
	defer func() { _ = result.Close() }()
	header := rq.reply.Header()
	header.Set("Content-Type", result.ContentType)
	header.Set("Content-Length", fmt.Sprint(result.Size))
	rq.reply.WriteHeader(http.StatusOK)
	if _, err := result.WriteTo(&rq.reply); err != nil {
		rq.line.cause, rq.broken = err, true // the caller is gone, or the result cannot be read any more
	}
	return nil
}
