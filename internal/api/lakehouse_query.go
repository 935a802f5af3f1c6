package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// LakehouseQuery is a question as clients of the lakehouse ask it.
type LakehouseQuery struct {
	Statement string  `json:"statement" doc:"One read-only SELECT, at most 64 KiB." example:"SELECT event, count(*) AS n FROM events GROUP BY event"`
	Catalog   *string `json:"catalog,omitempty" maxLength:"200" nullable:"true" doc:"The environment to read; main, memory and default are the first one the key may use." example:"production"`
	Schema    *string `json:"schema,omitempty" maxLength:"200" nullable:"true" doc:"The same: main, or the environment."`
	Limit     *int64  `json:"limit,omitempty" minimum:"0" maximum:"1000000000" nullable:"true" doc:"How many rows at the most."`
	Offset    *int64  `json:"offset,omitempty" minimum:"0" maximum:"1000000000" nullable:"true" doc:"So many rows are passed over first."`
	TimeZone  *string `json:"timezone,omitempty" maxLength:"64" nullable:"true" doc:"As time_zone of POST /v1/query." example:"Europe/Paris"`
	QueryID   *string `json:"query_id,omitempty" pattern:"^[A-Za-z0-9_-]{1,64}$" nullable:"true" doc:"What the sender calls it, such as a UUID; once for each key."`
	SessionID *string `json:"session_id,omitempty" maxLength:"200" nullable:"true" doc:"Repeated in the answer. There are no sessions."`
	Format    *string `json:"format,omitempty" enum:"default" nullable:"true" doc:"Only the default can be had; POST /v1/query has others."`

	Compute     any      `json:"compute_size,omitempty" doc:"Passed over, as the next: every query has what the server gives it."`
	Dialect     any      `json:"dialect,omitempty" doc:"Passed over: statements are in the one of POST /v1/query."`
	Sanitize    any      `json:"sanitize,omitempty"`
	Ephemeral   any      `json:"ephemeral,omitempty"`
	Visible     any      `json:"visible,omitempty"`
	RequestedBy any      `json:"requested_by,omitempty"`
	Cache       any      `json:"cache,omitempty"`
	_           struct{} `additionalProperties:"true"`
}

type lakehouseAsk struct {
	Body LakehouseQuery `loose:"true"`
}

// lakehouseAsked is a question, and what the first line of its answer repeats.
type lakehouseAsked struct {
	asked

	name, session string
	limit, offset *int64
}

// same tells questions apart that come to as much, by the part of the answer too.
func (in lakehouseAsked) same() string { return fmt.Sprintf("%+v %s", in.Part, in.asked.same()) }

// lakehouseAnswer is an answer with the line before it.
type lakehouseAnswer struct {
	*query.Answer

	head lakehouseHead
}

// lakehouseHead is the first line of an answer.
type lakehouseHead struct {
	Statement string            `json:"statement"`
	Limit     *int64            `json:"rows_limit"`
	Offset    *int64            `json:"rows_offset"`
	InitTime  int64             `json:"init_time_ms"`
	Errors    map[string]string `json:"connections_errors"`
	SessionID string            `json:"session_id"`
	QueryID   string            `json:"query_id"`
	Worker    string            `json:"worker_slug"`
}

// LakehouseCheck is a statement to be looked at.
type LakehouseCheck struct {
	Statement string   `json:"statement" doc:"The statement." example:"SELECT event, count(*) AS n FROM events GROUP BY event"`
	Catalog   *string  `json:"catalog,omitempty" maxLength:"200" nullable:"true" doc:"The environment; main, memory and default are the first one the key may use." example:"production"`
	Schema    *string  `json:"schema,omitempty" maxLength:"200" nullable:"true" doc:"The same: main, or the environment."`
	SessionID *string  `json:"session_id,omitempty" maxLength:"200" nullable:"true" doc:"Passed over."`
	_         struct{} `additionalProperties:"true"`
}

type lakehouseCheck struct {
	Body LakehouseCheck `loose:"true"`
	in   checkInput
}

func (in lakehouseCheck) wants() access.Attempt { return in.in.wants() }

// LakehouseVerdict says whether a statement could be run.
type LakehouseVerdict struct {
	Valid     bool              `json:"valid"`
	Statement string            `json:"statement"`
	Errors    map[string]string `json:"connections_errors" doc:"Always empty."`
	Error     *string           `json:"error" nullable:"true" doc:"Why it could not; null when it could."`
}

// LakehouseLog is a query as the history has it.
type LakehouseLog struct {
	UUID        string            `json:"uuid" doc:"The name by which it was asked for."`
	Start       time.Time         `json:"start_time"`
	End         *time.Time        `json:"end_time" nullable:"true"`
	DurationMS  *int64            `json:"duration_ms" nullable:"true"`
	Query       string            `json:"query" doc:"The statement, at most 4 KiB of it; empty when the server does not keep statements."`
	SessionID   string            `json:"session_id" doc:"The name again: there are no sessions."`
	Interface   string            `json:"client_interface" enum:"HttpQuery"`
	Error       *string           `json:"error" nullable:"true" doc:"The problem that it ended with."`
	Stats       any               `json:"stats" doc:"Always null."`
	Progress    LakehouseProgress `json:"progress"`
	Visible     bool              `json:"visible" doc:"Always true."`
	RequestedBy string            `json:"requested_by" doc:"The key that asked."`
	UserAgent   *string           `json:"user_agent" nullable:"true" doc:"Always null."`
}

// LakehouseProgress is how far a query is: nothing until it is over, since nobody knows.
type LakehouseProgress struct {
	Percentage float64 `json:"percentage"`
	Processed  int64   `json:"rows_processed" doc:"Of its answer."`
	Total      int64   `json:"total_rows" doc:"The same."`
}

// LakehouseCancelled says what became of a wish to cancel a query.
type LakehouseCancelled struct {
	Cancelled bool   `json:"cancelled" doc:"False when it was over."`
	Message   string `json:"message"`
}

type lakehouseRun struct {
	oneRun

	Session string `query:"session_id" maxLength:"200" doc:"Passed over: there are no sessions."`
}

// mountLakehouse adds the rows of Altertable's lakehouse that ask, and look after what was asked.
func mountLakehouse(a *API) {
	mount(a, lakehouseRow(endpoint[lakehouseAsked, lakehouseAnswer]{
		Method: "POST", Path: "/query", Action: access.RunSQL, Read: readLakehouse(a), Wants: func(in lakehouseAsked) access.Attempt { return in.wants() },
		Do: a.askLakehouse, Write: writeLakehouse,
		Cost: questionCost, Same: lakehouseAsked.same, Price: func(out lakehouseAnswer) int64 { return answerPrice(out.Answer) }, Long: true,
		Doc: doc{
			ID: "lakehouseQuery", Summary: "Ask a question in SQL, as clients of Altertable's lakehouse do",
			Text: "What `POST /v1/query` answers, in lines: one with what is said of the query, one with the columns, and an array for each row. The answer is " +
				"complete before it begins, so that what fails has a status, and no line says that it did.",
			In: reflect.TypeFor[lakehouseAsk](), Out: reflect.TypeFor[nothing](), Types: []string{"application/x-ndjson"}, Runs: true,
			Problems: []problem.Code{
				problem.InvalidSQL, problem.SQLNotAllowed, problem.ResultTooLarge, problem.QueryTooHeavy, problem.QueryQueueFull, problem.QueryTimeout,
				problem.QueryCancelled, problem.Conflict,
			},
		},
	}))
	mount(a, lakehouseRow(endpoint[lakehouseCheck, LakehouseVerdict]{
		Method: "POST", Path: "/validate", Action: access.RunSQL, Read: readLakehouseCheck(a), Wants: lakehouseCheck.wants,
		Do: func(ctx context.Context, permit gate.Permit, in lakehouseCheck) (LakehouseVerdict, error) {
			_, err := a.checkQuery(ctx, permit, in.in)
			out := LakehouseVerdict{Valid: err == nil, Statement: in.Body.Statement, Errors: map[string]string{}}
			switch err = compat.LakehouseProblem(err); problem.Of(err) {
			case problem.InvalidSQL, problem.SQLNotAllowed, problem.InvalidField:
				out.Error, err = &problem.From(err).Detail, nil
			default:
			}
			return out, err
		},
		Doc: doc{
			ID: "lakehouseValidate", Summary: "Look at a statement, as clients of Altertable's lakehouse do", In: reflect.TypeFor[lakehouseCheck](),
			Text: "Says whether it could be run, and if not why. Nothing is run.", Examples: []example{lakehouseCheckExample},
		},
	}))
	mount(a, lakehouseRow(endpoint[oneRun, LakehouseLog]{
		Method: "GET", Path: "/query/{query_id}", Action: access.ReadQueries, Read: findingRun(a, func(in *oneRun) *oneRun { return in }), Wants: oneRun.wants,
		Do: func(_ context.Context, _ gate.Permit, in oneRun) (LakehouseLog, error) {
			return lakehouseLog(in.ID, &in.run), nil
		},
		Doc: doc{
			ID: "lakehouseGetQuery", Summary: "Look at a query, as clients of Altertable's lakehouse do", Problems: []problem.Code{problem.NotFound},
			Text: "By the name that its sender gave, which only the key that asked knows it by, or by the one in the list of queries.",
		},
	}))
	mount(a, lakehouseRow(endpoint[lakehouseRun, LakehouseCancelled]{
		Method: "DELETE", Path: "/query/{query_id}", Action: access.CancelQueries,
		Read: findingRun(a, func(in *lakehouseRun) *oneRun { return &in.oneRun }), Wants: func(in lakehouseRun) access.Attempt { return in.wants() },
		Do: func(ctx context.Context, _ gate.Permit, in lakehouseRun) (LakehouseCancelled, error) {
			if in.run.Status != query.Running {
				return LakehouseCancelled{Message: "The query is over."}, nil
			}
			a.cfg.Runs.Cancel(ctx, in.run.ID)
			return LakehouseCancelled{true, "The query is cancelled."}, nil
		},
		Doc: doc{
			ID: "lakehouseCancelQuery", Summary: "Cancel a query, as clients of Altertable's lakehouse do", Problems: []problem.Code{problem.NotFound},
			Text: "Ends a query that runs; its asker gets `query_cancelled`.",
		},
	}))
}

// readLakehouse reads a question, and has the engine's own parser look at the statement before anything is admitted.
func readLakehouse(a *API) func(*request) (lakehouseAsked, error) {
	read := bound[lakehouseAsk](a)
	return func(rq *request) (lakehouseAsked, error) {
		body, err := read(rq)
		if err != nil {
			return lakehouseAsked{}, err
		}
		b := &body.Body
		in := lakehouseAsked{name: cmp.Or(orEmpty(b.QueryID), compat.LakehouseQueryID(rq.id)), limit: b.Limit, offset: b.Offset}
		in.session = cmp.Or(orEmpty(b.SessionID), in.name)
		in.id, in.header = compat.LakehouseRunID(rq.caller.owner, in.name), rq.reply.Header()
		in.Question = query.Question{SQL: strings.TrimSpace(b.Statement), TimeZone: orEmpty(b.TimeZone), Format: query.Lines, Part: partOf(b.Offset, b.Limit)}
		if in.Environment, err = rq.lakehouseSpace("", orEmpty(b.Catalog), orEmpty(b.Schema)); err != nil {
			return in, err
		}
		in.once = true
		_, used, err := a.cfg.Runs.Find(rq.ctx(), rq.caller.Project(), in.id)
		switch {
		case err != nil:
			return in, err
		case used:
			return in, problem.New(problem.Conflict, "The key asked a query of this name already.").At("query_id", "is the name of another query")
		}
		_, err = a.cfg.Query.Facts(rq.ctx(), in.Question)
		return in, compat.LakehouseProblem(err)
	}
}

// partOf is which rows are wanted; nil: all.
func partOf(offset, limit *int64) *query.Part {
	if offset == nil && limit == nil {
		return nil
	}
	part := &query.Part{Most: -1}
	if offset != nil {
		part.From = *offset
	}
	if limit != nil {
		part.Most = *limit
	}
	return part
}

func (a *API) askLakehouse(ctx context.Context, permit gate.Permit, in lakehouseAsked) (lakehouseAnswer, error) {
	answer, err := a.ask(ctx, permit, in.asked)
	if err != nil {
		return lakehouseAnswer{}, compat.LakehouseProblem(err)
	}
	return lakehouseAnswer{answer, lakehouseHead{
		Statement: in.SQL, Limit: in.limit, Offset: in.offset, InitTime: max(1, answer.Elapsed.Milliseconds()), Errors: map[string]string{}, SessionID: in.session,
		QueryID: in.name, Worker: "weir",
	}}, nil
}

// writeLakehouse sends the line before the answer, and the answer.
func writeLakehouse(rq *request, out lakehouseAnswer) error {
	defer func() { _ = out.Close() }()
	head, err := json.Marshal(out.head)
	if err != nil {
		return err
	}
	header := rq.reply.Header()
	header.Set("Content-Type", out.ContentType)
	header.Set("Content-Length", fmt.Sprint(int64(len(head))+1+out.Size))
	rq.reply.WriteHeader(http.StatusOK)
	if _, err = rq.reply.Write(append(head, '\n')); err == nil {
		_, err = out.WriteTo(&rq.reply)
	}
	if err != nil {
		rq.line.cause, rq.broken = err, true // the caller is gone, or the answer cannot be read any more
	}
	return nil
}

func readLakehouseCheck(a *API) func(*request) (lakehouseCheck, error) {
	read := bound[lakehouseCheck](a)
	return func(rq *request) (lakehouseCheck, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		in.in.Body.SQL = in.Body.Statement
		in.in.Body.Environment, err = rq.lakehouseSpace("", orEmpty(in.Body.Catalog), orEmpty(in.Body.Schema))
		return in, err
	}
}

// findingRun makes the Read of an input that names a run: by the name that its key's sender gave it, or by its own.
func findingRun[I any](a *API, of func(*I) *oneRun) func(*request) (I, error) {
	read := bound[I](a)
	return func(rq *request) (I, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		one := of(&in)
		for _, id := range []string{compat.LakehouseRunID(rq.caller.owner, one.ID), one.ID} {
			run, found, err := a.cfg.Runs.Find(rq.ctx(), rq.caller.Project(), id)
			if err != nil || found {
				one.run = run
				return in, err
			}
		}
		return in, nil
	}
}

func lakehouseLog(name string, r *query.Run) LakehouseLog {
	log := LakehouseLog{UUID: name, Start: r.StartedAt, Query: r.SQL, SessionID: name, Interface: "HttpQuery", Visible: true, RequestedBy: r.KeyID}
	if r.Status == query.Running {
		return log
	}
	log.Progress = LakehouseProgress{100, r.Rows, r.Rows}
	if r.Code != "" {
		text := string(r.Code) + ": " + r.Code.Row().Title
		log.Error = &text
	}
	if r.Status != query.Lost {
		end, took := r.StartedAt.Add(r.Elapsed), r.Elapsed.Milliseconds()
		log.End, log.DurationMS = &end, &took
	}
	return log
}
