package api

import (
	"bytes"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// Receipt is the answer to events of which at least one was accepted. Altertable's clients read ok, task_id and
// error_code (contracts A3).
type Receipt struct {
	OK        bool        `json:"ok" doc:"Always true: at least one item was accepted."`
	TaskID    string      `json:"task_id" doc:"Names this receipt in the server's log."`
	ErrorCode *string     `json:"error_code" doc:"Always null; clients look at it." nullable:"true"`
	Accepted  int         `json:"accepted" doc:"How many items are now durable." example:"1"`
	Rejected  []Rejection `json:"rejected" doc:"The items that were not accepted, and why."`
	Queryable *bool       `json:"queryable,omitempty" doc:"With sync=true: whether the events can be queried already. When false, they will be soon."`
}

// Rejection is the verdict on one item that was not accepted.
type Rejection struct {
	Index  int             `json:"index" doc:"The item's place in the batch, from 0."`
	Code   string          `json:"code" doc:"The problem's stable name." example:"invalid_field"`
	Detail string          `json:"detail" doc:"What is wrong."`
	Errors []problem.Field `json:"errors,omitempty" doc:"The fields at fault."`
}

// TrackItem describes what ReadBatch reads, as IdentifyItem and AliasItem do. They are documentation: the reading itself passes
// over members it does not know, and takes some under other names.
type TrackItem struct {
	Event       string         `json:"event,omitzero" doc:"What happened." minLength:"1" maxLength:"256" example:"Button Clicked"`
	Name        string         `json:"name,omitzero" doc:"The same under another name; one of the two is needed." minLength:"1" maxLength:"256"`
	Environment *string        `json:"environment,omitempty" doc:"The environment; by default the first that the key may use." nullable:"true" example:"production"`
	Properties  map[string]any `json:"properties,omitempty" doc:"Anything about the event, as JSON." nullable:"true"`
	DistinctID  itemID         `json:"distinct_id,omitempty" doc:"Who did it."`
	AnonymousID itemID         `json:"anonymous_id,omitempty" doc:"Who it was before they were known."`
	DeviceID    itemID         `json:"device_id,omitempty"`
	SessionID   itemID         `json:"session_id,omitempty"`
	Timestamp   itemTime       `json:"timestamp,omitempty" doc:"When. By default now."`
	EventID     itemID         `json:"event_id,omitempty" doc:"An id of the sender's: sent again within 7 days, the event is stored once. Also accepted as messageId, sys_uuid or $insert_id."`
	_           struct{}       `additionalProperties:"true"`
}

// IdentifyItem says who somebody is.
type IdentifyItem struct {
	DistinctID  neededID       `json:"distinct_id" doc:"Who."`
	Environment *string        `json:"environment,omitempty" nullable:"true" example:"production"`
	Traits      map[string]any `json:"traits,omitempty" doc:"What is known of them, as JSON." nullable:"true"`
	AnonymousID itemID         `json:"anonymous_id,omitempty" doc:"Who it was before they were known."`
	DeviceID    itemID         `json:"device_id,omitempty"`
	SessionID   itemID         `json:"session_id,omitempty"`
	Timestamp   itemTime       `json:"timestamp,omitempty" doc:"Since when it is so; older traits never replace newer ones."`
	EventID     itemID         `json:"event_id,omitempty"`
	_           struct{}       `additionalProperties:"true"`
}

// AliasItem says that two ids are one person.
type AliasItem struct {
	DistinctID  neededID `json:"distinct_id" doc:"The id known so far."`
	NewUserID   neededID `json:"new_user_id" doc:"The other id of the same person."`
	Environment *string  `json:"environment,omitempty" nullable:"true" example:"production"`
	AnonymousID itemID   `json:"anonymous_id,omitempty"`
	DeviceID    itemID   `json:"device_id,omitempty"`
	Timestamp   itemTime `json:"timestamp,omitempty"`
	EventID     itemID   `json:"event_id,omitempty"`
	_           struct{} `additionalProperties:"true"`
}

// itemID is an id in an item, and neededID one that must be there. Many systems number their users.
type (
	itemID   struct{}
	neededID struct{}
)

// Schema describes the id.
func (itemID) Schema(huma.Registry) *huma.Schema { return idSchema(0, &huma.Schema{Type: "null"}) }

// Schema describes the id.
func (neededID) Schema(huma.Registry) *huma.Schema { return idSchema(1) }

func idSchema(least int, besides ...*huma.Schema) *huma.Schema {
	most := event.MaxIDBytes
	return &huma.Schema{OneOf: append([]*huma.Schema{{Type: "string", MinLength: &least, MaxLength: &most}, {Type: "number"}}, besides...)}
}

// itemTime is a time in an item.
type itemTime struct{}

// Schema describes the time.
func (itemTime) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: "string", Description: "ISO 8601; without a zone it is UTC."},
		{Type: "number", Description: "Since 1970: below 1e11 in seconds, else in milliseconds."},
		{Type: "null"},
	}}
}

// oneOrMany is the schema of a body that is one item or an array of them.
type oneOrMany[T any] struct{}

// Schema describes the body.
func (oneOrMany[T]) Schema(registry huma.Registry) *huma.Schema {
	item := registry.Schema(reflect.TypeFor[T](), true, "")
	most := event.MaxItems
	least := 1
	return &huma.Schema{OneOf: []*huma.Schema{item, {Type: "array", Items: item, MinItems: &least, MaxItems: &most}}}
}

type ingestionInput[T any] struct {
	Sync bool `query:"sync" doc:"Answer when the events can be queried, instead of when they are durable."`
	Body oneOrMany[T]
}

func mountIngestion(a *API) {
	mountEvents[TrackItem](a, compat.Altertable, "/track", access.WriteEvents, event.Shape{Kind: event.Track, Source: "track"}, doc{
		ID: "track", Summary: "Send events", Text: "One event or an array of at most 1,000. Each item is judged on its own. " +
			"An answer of 200 means that what was accepted is durable.",
		Examples: []example{trackExample, batchExample, badEventExample},
	})
	mountEvents[IdentifyItem](a, compat.Altertable, "/identify", access.IdentifyUsers, event.Shape{Kind: event.Identify, Source: "identify"}, doc{
		ID: "identify", Summary: "Say who somebody is", Text: "Traits are merged into what is known of the person.",
		Examples: []example{identifyExample},
	})
	mountEvents[AliasItem](a, compat.Altertable, "/alias", access.IdentifyUsers, event.Shape{Kind: event.Alias, Source: "alias"}, doc{
		ID: "alias", Summary: "Say that two ids are one person", Text: "The fact is kept with its time.",
		Examples: []example{aliasExample},
	})
	mountEvents[TrackItem](a, "", "/v1/events", access.WriteEvents, event.Shape{Kind: event.Track, Source: "events"}, doc{
		ID: "sendEvents", Summary: "Send events (native name)", Text: "The same as /track; an event's name may be given as 'name'.",
		Examples: []example{nameExample},
	})
	mountEvents[TrackItem](a, "", "/v1/events/batch", access.WriteEvents, event.Shape{Kind: event.Track, Source: "events"}, doc{
		ID: "sendEventBatch", Summary: "Send many events (native name)", Text: "The same as /v1/events.",
		Examples: []example{batchExample},
	})
	mountRejected(a)
}

// mountEvents adds one ingestion row. Its problems have the members that Altertable's clients read.
func mountEvents[T any](a *API, of compat.System, path string, action access.Action, shape event.Shape, d doc) {
	d.Takes = []string{"text/plain"} // of a beacon that wants no preflight
	d.Tag, d.In, d.Out = "Ingestion", reflect.TypeFor[ingestionInput[T]](), reflect.TypeFor[Receipt]()
	d.Problems = append(d.Problems, problem.TooManyItems, problem.EventTooLarge)
	mount(a, takesItems(a, endpoint[event.Batch, event.Receipt]{
		Path: path, Action: action, Of: of, As: asAltertable, Write: writeReceipt, Doc: d,
		Read: func(rq *request) (event.Batch, error) {
			return readBatch(rq, func(text []byte) (event.Batch, string, error) {
				batch, err := event.ReadBatch(text, shape)
				return batch, sdkOf(text), err
			})
		},
	}))
}

// takesItems completes a row that records items.
func takesItems(a *API, e endpoint[event.Batch, event.Receipt]) endpoint[event.Batch, event.Receipt] {
	e.Method, e.Cross, e.Items, e.Do, e.Refused = "POST", true, true, a.record, a.keepRefused
	e.Wants = func(b event.Batch) access.Attempt {
		return access.Attempt{Each: e.Action.ByItem(), Targets: b.Targets()}
	}
	// When no item is accepted, the answer is about the first one, be it unreadable or denied, and lists the others.
	e.Denied = func(b event.Batch, denial error) error {
		all := refusalsOf(b, denial)
		if all == nil {
			return denial // a limit, or the key: what is good can be sent again, which the answer must not hide
		}
		return withItems(all[0].Problem, all)
	}
	return e
}

// refusalsOf are the verdicts on a batch of which none was accepted, when that was for what the items say: each was wrong, or
// denied; else nil.
func refusalsOf(b event.Batch, err error) (list []event.Rejection) {
	p, told := problem.From(err), false
	denied := p.Code == problem.EventNotAllowed || p.Code == problem.EnvironmentNotAllowed || p.Code == problem.EnvironmentNotFound
	for i := range b.Items {
		r := event.Rejection{Index: i, Problem: b.Items[i].Problem}
		switch {
		case r.Problem != nil:
		case !denied:
			return nil
		case told:
			r.Problem = problem.New(p.Code, "The key may not send this, as it may not send what came before it in the batch.")
		default: // what is said is about the first
			r.Problem, told = b.Items[i].Told(p), true
		}
		list = append(list, r)
	}
	return list
}

// withItems is a problem that lists what is wrong with each of several items.
func withItems(err error, all []event.Rejection) error {
	if err == nil || len(all) < 2 {
		return err
	}
	whole := *problem.From(err)
	for _, r := range all {
		whole.Items = append(whole.Items, problem.Item{Index: r.Index, Problem: r.Problem})
	}
	return &whole
}

// readBatch reads the items, and the library that sent them. Unknown query parameters are passed over: clients in the field
// send their own.
func readBatch(rq *request, read func(text []byte) (batch event.Batch, library string, err error)) (event.Batch, error) {
	sync := false
	if rq.r.URL.RawQuery != "" {
		query, err := rq.query()
		if err != nil {
			return event.Batch{}, err
		}
		switch query.Get("sync") {
		case "", "false":
		case "true":
			sync = true
		default:
			return event.Batch{}, problem.Invalid("query.sync", "must be true or false")
		}
	}
	text, err := rq.body(eventsSize, "application/json", "text/plain")
	if err != nil {
		return event.Batch{}, err
	}
	batch, library, err := read(text)
	if err != nil {
		return event.Batch{}, err
	}
	batch.Sync = sync
	rq.sdk = library
	rq.line.items = len(batch.Items)
	if err := batch.FirstProblem(); err != nil {
		return batch, withItems(err, refusalsOf(batch, err))
	}
	return batch, nil
}

// writeReceipt answers with the receipt. The usual one, of which nothing was rejected, is put together by hand: it is
// written more often than all other answers together.
func writeReceipt(rq *request, in event.Receipt) error {
	rq.line.accepted = in.Accepted
	if len(in.Rejected) == 0 && !in.Sync {
		text := make([]byte, 0, 160)
		text = append(append(append(text, `{"ok":true,"task_id":"`...), in.TaskID...), `","error_code":null,"accepted":`...)
		text = append(strconv.AppendInt(text, int64(in.Accepted), 10), `,"rejected":[]}`...)
		return rq.writeText(http.StatusOK, text)
	}
	return rq.writeJSON(http.StatusOK, receiptOf(in))
}

// receiptOf shows a receipt.
func receiptOf(in event.Receipt) Receipt {
	out := Receipt{OK: true, TaskID: in.TaskID, Accepted: in.Accepted, Rejected: rejectionsOf(in)}
	if in.Sync {
		out.Queryable = &in.Queryable
	}
	return out
}

func rejectionsOf(in event.Receipt) []Rejection {
	out := make([]Rejection, len(in.Rejected))
	for i, r := range in.Rejected {
		out[i] = Rejection{Index: r.Index, Code: string(r.Problem.Code), Detail: access.HideKeysIn(r.Problem.Detail), Errors: r.Problem.Fields}
	}
	return out
}

// sdkLook is how much of a body is looked at for the name of the library that sent it.
const sdkLook = 8 << 10

// sdkOf is the library that a payload names, as the clients of contracts A2 do: its name and version. It is shown to
// admins who want to know who still uses a key, and decides nothing.
func sdkOf(text []byte) string {
	text = text[:min(len(text), sdkLook)]
	name := wordOf(text, `"$lib"`, 64)
	if name == nil {
		return ""
	}
	if version := wordOf(text, `"$lib_version"`, 32); version != nil {
		return string(name) + " " + string(version)
	}
	return string(name)
}

// wordOf finds the member of a JSON text, wherever it stands, whose value is a string of letters, digits and a few marks;
// nil when there is none.
func wordOf(text []byte, member string, most int) []byte {
	const space = " \t\r\n"
	for {
		at := bytes.Index(text, []byte(member))
		if at < 0 {
			return nil
		}
		text = bytes.TrimLeft(text[at+len(member):], space)
		value, ok := bytes.CutPrefix(text, []byte(":"))
		if !ok {
			continue
		}
		if value, ok = bytes.CutPrefix(bytes.TrimLeft(value, space), []byte(`"`)); !ok {
			continue
		}
		n := 0
		for n < len(value) && n <= most && inWord(value[n]) {
			n++
		}
		if n > 0 && n <= most && n < len(value) && value[n] == '"' {
			return value[:n]
		}
	}
}

func inWord(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("@/._+-", c) >= 0
}
