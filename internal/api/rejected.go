package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/rejected"
)

// RejectedEvent is an item that was not accepted.
type RejectedEvent struct {
	ID          string          `json:"id" example:"rej_0654f2a0c1d2e3"`
	ReceivedAt  time.Time       `json:"received_at"`
	KeyID       string          `json:"key_id" doc:"The key that it was sent with." example:"key_3fQ9xT0aLmZk"`
	Environment string          `json:"environment" doc:"The one that it was sent to; when the key could not use that, the key's default one." example:"production"`
	Kind        string          `json:"kind" enum:"track,identify,alias"`
	Source      string          `json:"source" doc:"The way it came in; of a client of another system, that system." example:"track"`
	Event       string          `json:"event" doc:"Its name, as far as it has one." example:"Signed Up"`
	Code        string          `json:"code" doc:"The problem's stable name." example:"invalid_field"`
	Detail      string          `json:"detail" doc:"What is wrong."`
	Errors      []problem.Field `json:"errors" doc:"The fields at fault."`
	Bytes       int             `json:"bytes" doc:"Of its JSON, as it was sent."`
	Tries       int             `json:"tries" doc:"How often it was sent again from here."`
	Item        jsontext.Value  `json:"item" doc:"The item as it was sent, in the words of its sender, without the secret parts of keys in it; null when it was too large to be kept."`
}

// RejectedEventPage is one page of a list of rejected events.
type RejectedEventPage struct {
	Data       []RejectedEvent `json:"data" doc:"The newest first."`
	NextCursor *string         `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// RejectedOutcome says what came of sending rejected events again.
type RejectedOutcome struct {
	Accepted   int               `json:"accepted" doc:"How many are durable now, and in the list no more."`
	Failed     []RejectedFailure `json:"failed" doc:"Those that were not accepted this time either. They stay, with what is wrong now."`
	NextCursor *string           `json:"next_cursor" doc:"Where to go on with what the filter means; null: that was all."`
}

// RejectedFailure is an event that was not accepted once more.
type RejectedFailure struct {
	ID     string          `json:"id" example:"rej_0654f2a0c1d2e3"`
	Code   string          `json:"code" doc:"The problem's stable name." example:"invalid_field"`
	Detail string          `json:"detail" doc:"What is wrong."`
	Errors []problem.Field `json:"errors,omitempty" doc:"The fields at fault."`
}

type listRejected struct {
	Environment string    `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	KeyID       string    `query:"key_id" maxLength:"64" doc:"Only what was sent with this key."`
	Code        string    `query:"code" maxLength:"64" doc:"Only what has this problem." example:"invalid_field"`
	Event       string    `query:"event" maxLength:"256" doc:"Only events of this name."`
	From        time.Time `query:"from" doc:"Only what came at this time or later."`
	To          time.Time `query:"to" doc:"Only what came earlier."`
	Limit       int       `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor      string    `query:"cursor" maxLength:"64" doc:"Where to go on, from the page before."`
}

func (l listRejected) filter() rejected.Filter {
	return rejected.Filter{KeyID: l.KeyID, Code: l.Code, Event: l.Event, From: l.From, To: l.To}
}

type replayRejected struct {
	Body struct {
		Environment string            `json:"environment,omitempty" maxLength:"200" doc:"Where they are listed, and go; by default the first one the key may use." example:"production"`
		IDs         []string          `json:"ids,omitempty" maxItems:"1000" nullable:"false" doc:"Those to send again. Without it, a filter or all says which."`
		All         bool              `json:"all,omitzero" doc:"All of the environment."`
		KeyID       string            `json:"key_id,omitempty" maxLength:"64" doc:"Those that were sent with this key."`
		Code        string            `json:"code,omitempty" maxLength:"64" doc:"Those that have this problem." example:"invalid_field"`
		Event       string            `json:"event,omitempty" maxLength:"256" doc:"Events of this name."`
		From        time.Time         `json:"from,omitzero" doc:"Those that came at this time or later."`
		To          time.Time         `json:"to,omitzero" doc:"Those that came earlier."`
		Limit       int               `json:"limit,omitzero" minimum:"1" maximum:"1000" doc:"How many at once, at the most; by default 1000."`
		Cursor      string            `json:"cursor,omitempty" maxLength:"64" doc:"Where to go on, from the answer before."`
		Rename      map[string]string `json:"rename,omitempty" nullable:"false" doc:"Other names for members of each item, which is in the words of its sender."`
		Patch       jsontext.Value    `json:"patch,omitempty" doc:"An object that each item is merged with (RFC 7396), after that."`
	}
	prepared rejected.Prepared
}

func mountRejected(a *API) {
	mount(a, endpoint[listRejected, RejectedEventPage]{
		Method: "GET", Path: "/v1/rejected", Action: access.ReadRejected, Read: bound[listRejected](a),
		Wants: func(l listRejected) access.Attempt { return in(l.Environment) },
		Do: func(_ context.Context, permit gate.Permit, l listRejected) (RejectedEventPage, error) {
			list, err := a.cfg.Rejected.List(permit, l.filter(), l.Cursor, orDefault(l.Limit, 50))
			page := RejectedEventPage{Data: make([]RejectedEvent, len(list.Entries)), NextCursor: cursor(list.Next)}
			for i := range list.Entries {
				page.Data[i] = rejectedView(&list.Entries[i])
			}
			return page, err
		},
		Doc: doc{
			ID: "listRejectedEvents", Tag: "Rejected", Summary: "List events that were not accepted",
			Text: "The newest first, as far as they are kept. A key with a view sees none.",
		},
	})
	mount(a, endpoint[replayRejected, rejected.Outcome]{
		Method: "POST", Path: "/v1/rejected", Action: access.ReplayRejected, First: firstOfReplay(a), Read: readReplay(a),
		Wants: func(in replayRejected) access.Attempt {
			return access.Attempt{Each: access.ReplayRejected.ByItem(), Targets: in.prepared.Targets()}
		},
		Do: func(ctx context.Context, permit gate.Permit, in replayRejected) (rejected.Outcome, error) {
			return a.cfg.Rejected.Replay(ctx, permit, a.cfg.Events, in.prepared)
		},
		Write: writeOutcome,
		Doc: doc{
			ID: "replayRejectedEvents", Tag: "Rejected", Summary: "Send rejected events again", Out: reflect.TypeFor[RejectedOutcome](),
			Text: "Chosen ones, or what a filter means, corrected if need be, through the ordinary way in, with the key that asks. What is accepted is in the list " +
				"no more. An event that has no id gets its own of the list, so that sending it twice stores it once.",
			Examples: []example{replayExample},
		},
	})
}

// firstOfReplay reads what to send again. Looking that up reads files, which whoever may not use the environment, or asks too
// often, must not cause.
func firstOfReplay(a *API) func(*request) (access.Attempt, error) {
	read := bound[replayRejected](a)
	return func(rq *request) (access.Attempt, error) {
		said, err := read(rq)
		rq.said = said
		return in(said.Body.Environment), err
	}
}

// readReplay looks up what to send again: what that touches is for the gate to judge.
func readReplay(a *API) func(*request) (replayRejected, error) {
	return func(rq *request) (replayRejected, error) {
		in, err := said[replayRejected](rq)
		if err != nil {
			return in, err
		}
		b := &in.Body
		environment, ok := rq.caller.Space(b.Environment)
		if !ok { // by now, and not when it was asked first
			return in, problem.New(problem.EnvironmentNotAllowed, "The key may not use the environment any more.").At("environment", "not allowed for this key")
		}
		w := rejected.Wanted{
			Project: rq.caller.Project(), Environment: environment, IDs: b.IDs, Cursor: b.Cursor, Limit: orDefault(b.Limit, rejected.MaxReplay),
			Filter:     rejected.Filter{KeyID: b.KeyID, Code: b.Code, Event: b.Event, From: b.From, To: b.To},
			Correction: rejected.Correction{Rename: b.Rename, Patch: b.Patch},
		}
		filtered := w.Filter != rejected.Filter{} || b.All
		switch {
		case len(b.IDs) > 0 && (filtered || b.Cursor != "" || b.Limit != 0):
			return in, problem.Invalid("ids", "cannot be combined with a filter, all, a limit or a cursor")
		case len(b.IDs) == 0 && !filtered:
			return in, problem.Invalid("ids", "is required: the ids of those to send again, or a filter, or all")
		}
		in.prepared, err = a.cfg.Rejected.Prepare(w)
		return in, err
	}
}

// record records events, and keeps what is not accepted of them.
func (a *API) record(ctx context.Context, permit gate.Permit, b event.Batch) (event.Receipt, error) {
	receipt, err := a.cfg.Events.Record(ctx, permit, b)
	if err == nil && a.cfg.Rejected != nil {
		a.cfg.Rejected.Take(permit, &b, receipt.Rejected)
	}
	return receipt, err
}

// keepRefused keeps the items of a batch of which none was accepted, when that was for what they say. What was refused for
// another reason can be sent again as it is, and is not kept.
func (a *API) keepRefused(caller gate.Caller, b event.Batch, err error) {
	if list := refusalsOf(b, err); list != nil && a.cfg.Rejected != nil {
		a.cfg.Rejected.Take(caller, &b, list)
	}
}

func rejectedView(e *rejected.Entry) RejectedEvent {
	view := RejectedEvent{
		ID: e.ID, ReceivedAt: e.At, KeyID: e.KeyID, Environment: e.Environment, Kind: e.Kind, Source: e.Source, Event: e.Event, Code: e.Code, Detail: e.Detail,
		Errors: e.Fields, Bytes: e.Bytes, Tries: e.Tries, Item: e.Item,
	}
	if view.Errors == nil {
		view.Errors = []problem.Field{}
	}
	if view.Item == nil {
		view.Item = jsontext.Value("null")
	}
	return view
}

// writeOutcome answers with what came of sending again.
func writeOutcome(rq *request, o rejected.Outcome) error {
	rq.line.accepted = o.Accepted
	out := RejectedOutcome{Accepted: o.Accepted, Failed: make([]RejectedFailure, len(o.Failed)), NextCursor: cursor(o.Next)}
	for i, f := range o.Failed {
		out.Failed[i] = RejectedFailure{ID: f.ID, Code: string(f.Problem.Code), Detail: access.HideKeysIn(f.Problem.Detail), Errors: f.Problem.Fields}
	}
	return rq.writeJSON(http.StatusOK, out)
}
