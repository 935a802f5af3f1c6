package api

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// UserFluxEvent describes what UserFlux's clients send of an event. What is read is more lenient, as everywhere here.
type UserFluxEvent struct {
	Name        string         `json:"name" doc:"What happened." minLength:"1" maxLength:"256" example:"page_view"`
	UserID      itemID         `json:"userId,omitempty" doc:"Who did it, if that is known."`
	AnonymousID itemID         `json:"anonymousId,omitempty" doc:"Who did it, before that is known."`
	SessionID   itemID         `json:"sessionId,omitempty"`
	ExternalID  any            `json:"externalId,omitempty" doc:"Kept as a property."`
	Timestamp   itemTime       `json:"timestamp,omitempty" doc:"When. By default now."`
	Properties  map[string]any `json:"properties,omitempty" doc:"Anything about the event." nullable:"true"`
	DeviceData  map[string]any `json:"deviceData,omitempty" doc:"Kept as a property." nullable:"true"`
	_           struct{}       `additionalProperties:"true"`
}

// UserFluxEvents is a batch of them.
type UserFluxEvents struct {
	Events []UserFluxEvent `json:"events" minItems:"1" maxItems:"1000"`
	_      struct{}        `additionalProperties:"true"`
}

// UserFluxProfile says who somebody is.
type UserFluxProfile struct {
	UserID      itemID         `json:"userId,omitempty" doc:"Who. This or the other id is needed."`
	AnonymousID itemID         `json:"anonymousId,omitempty" doc:"Who it was before they were known."`
	Properties  map[string]any `json:"properties,omitempty" doc:"What is known of them." nullable:"true"`
	DeviceData  map[string]any `json:"deviceData,omitempty" nullable:"true"`
	_           struct{}       `additionalProperties:"true"`
}

// CompositeEvent describes what Composite's library sends of an event.
type CompositeEvent struct {
	Name       string         `json:"name,omitzero" doc:"What happened. 'sys_identify' says who somebody is." minLength:"1" maxLength:"256" example:"page_viewed"`
	DistinctID itemID         `json:"distinct_id,omitempty" doc:"Who did it. Also accepted as distinctId; as with the other ids."`
	Properties map[string]any `json:"properties,omitempty" nullable:"true"`
	Set        map[string]any `json:"$set,omitempty" doc:"What is known of the person." nullable:"true"`
	SetOnce    map[string]any `json:"$set_once,omitempty" doc:"The same, where nothing is known yet." nullable:"true"`
	Timestamp  itemTime       `json:"timestamp,omitempty"`
	UUID       itemID         `json:"sys_uuid,omitempty" doc:"The event's id: sent again within 7 days, it is stored once."`
	_          struct{}       `additionalProperties:"true"`
}

// compositeBody is the schema of one event, an array of them, or an object that has such an array.
type compositeBody struct{}

// Schema describes the body.
func (compositeBody) Schema(registry huma.Registry) *huma.Schema {
	item := registry.Schema(reflect.TypeFor[CompositeEvent](), true, "")
	most, least := event.MaxItems, 1
	list := &huma.Schema{Type: huma.TypeArray, Items: item, MinItems: &least, MaxItems: &most}
	return &huma.Schema{AnyOf: []*huma.Schema{item, list, {
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{"events": list, "batch": list}, AdditionalProperties: true,
	}}}
}

// SegmentCall describes what Segment's libraries send of any call.
type SegmentCall struct {
	Type        string         `json:"type,omitzero" enum:"track,identify,alias,page,screen,group" doc:"In a batch, which call it is."`
	Event       string         `json:"event,omitzero" doc:"Of a track: what happened." maxLength:"256"`
	Name        *string        `json:"name,omitempty" doc:"Of a page or screen." nullable:"true"`
	UserID      itemID         `json:"userId,omitempty" doc:"Who, if that is known."`
	AnonymousID itemID         `json:"anonymousId,omitempty" doc:"Who, before that is known."`
	PreviousID  itemID         `json:"previousId,omitempty" doc:"Of an alias: the id known so far."`
	GroupID     itemID         `json:"groupId,omitempty" doc:"Of a group."`
	Properties  map[string]any `json:"properties,omitempty" nullable:"true"`
	Traits      map[string]any `json:"traits,omitempty" doc:"Of a person, or a group." nullable:"true"`
	Context     map[string]any `json:"context,omitempty" doc:"Kept as a property of events." nullable:"true"`
	MessageID   itemID         `json:"messageId,omitempty" doc:"The event's id: sent again within 7 days, it is stored once."`
	Timestamp   itemTime       `json:"timestamp,omitempty"`
	WriteKey    *string        `json:"writeKey,omitempty" doc:"A public key, where no header can be sent." nullable:"true"`
	_           struct{}       `additionalProperties:"true"`
}

// SegmentBatch is some of them.
type SegmentBatch struct {
	Batch    []SegmentCall  `json:"batch" minItems:"1" maxItems:"1000"`
	Context  map[string]any `json:"context,omitempty" doc:"Goes into that of each call, whose own members win." nullable:"true"`
	WriteKey *string        `json:"writeKey,omitempty" doc:"A public key, where no header can be sent." nullable:"true"`
	_        struct{}       `additionalProperties:"true"`
}

// SegmentAnswer is what Segment's clients are told of what was taken.
type SegmentAnswer struct {
	Success  bool        `json:"success" doc:"Always true: at least one item was accepted."`
	Rejected []Rejection `json:"rejected,omitempty" doc:"The items of a batch that were not accepted, and why." nullable:"false"`
}

// segmentProblem is a problem as Segment's clients are told of it.
type segmentProblem struct {
	Problem
	Success bool   `json:"success" doc:"Always false."`
	Message string `json:"message" doc:"The detail."`
}

// asSegment tells Segment's clients of problems.
var asSegment = speech{
	content: "application/json", shape: reflect.TypeFor[segmentProblem](), status: compat.SegmentStatus,
	body: func(body Problem, p *problem.Error) any { return segmentProblem{Problem: body, Message: p.Detail} },
}

// bodyOf is the input that a document shows, of a body.
type bodyOf[T any] struct{ Body T }

// mountCompat adds the rows of other systems that send events.
func mountCompat(a *API) {
	mountUserFluxEvents(a)
	mountUserFluxProfile(a)
	mountUserFluxProducts(a)
	for _, one := range []struct{ path, id, summary string }{
		{"/ingest/e", "compositeEvent", "Send an event, as Composite's library does"},
		{"/ingest/batch", "compositeBatch", "Send events, as Composite's library does"},
	} {
		mountItems(a, compat.CompositeEvents(), endpoint[event.Batch, event.Receipt]{
			Path: one.path, Action: access.WriteItems, Of: compat.Composite, Write: writeReceipt,
			Doc: doc{
				ID: one.id, Summary: one.summary, In: reflect.TypeFor[bodyOf[compositeBody]](), Out: reflect.TypeFor[Receipt](), Examples: []example{compositeExample},
				Text: "An event, an array of them, or an object with a list `events` or `batch`. `sys_identify` says who somebody is, with `$set`.",
			},
		})
	}
	mountSegment(a)
}

// mountItems adds a row whose items are in another system's words.
func mountItems(a *API, reader compat.Reader, e endpoint[event.Batch, event.Receipt]) {
	e.Read = func(rq *request) (event.Batch, error) { return readBatchOf(rq, reader) }
	e.Doc.Tag = "Compatibility"
	e.Doc.Takes = []string{"text/plain"}
	e.Doc.Problems = append(e.Doc.Problems, problem.TooManyItems, problem.EventTooLarge)
	mount(a, takesItems(a, e))
}

// readBatchOf reads items in another system's words. What they take beyond the body is counted as the body is.
func readBatchOf(rq *request, reader compat.Reader) (event.Batch, error) {
	return readBatch(rq, func(text []byte) (event.Batch, string, error) {
		batch, err := reader.Within(rq.holdMore).Read(text)
		if err != nil {
			return batch, "", err
		}
		return batch, sdkOf(batch.Items[0].Event.Properties), nil
	})
}

func mountUserFluxEvents(a *API) {
	add := func(path string, action access.Action, reader compat.Reader, d doc) {
		d.Out, d.Statuses = reflect.TypeFor[nothing](), map[int]reflect.Type{http.StatusOK: reflect.TypeFor[Receipt]()}
		mountItems(a, reader, endpoint[event.Batch, event.Receipt]{
			Path: path, Action: action, Of: compat.UserFlux, Status: http.StatusNoContent, Write: writeUserFluxReceipt, Doc: d,
		})
	}
	add("/event/ingest", access.WriteEvents, compat.UserFluxEvents(false), doc{
		ID: "userFluxEvent", Summary: "Send an event, as UserFlux's clients do", In: reflect.TypeFor[bodyOf[UserFluxEvent]](),
		Text: "204 when it is durable; with `sync=true`, 200 with the receipt. `locationEnrichment` is passed over.",
	})
	add("/event/ingest/batch", access.WriteEvents, compat.UserFluxEvents(true), doc{
		ID: "userFluxBatch", Summary: "Send events, as UserFlux's clients do", In: reflect.TypeFor[bodyOf[UserFluxEvents]](),
		Text: "204 when all are durable; 200 with the receipt when some were not accepted.", Examples: []example{userFluxEventExample},
	})
	add("/profile", access.IdentifyUsers, compat.UserFluxProfiles(), doc{
		ID: "userFluxProfile", Summary: "Say who somebody is, as UserFlux's clients do", In: reflect.TypeFor[bodyOf[UserFluxProfile]](),
		Text: "204 when it is durable. The properties are merged into what is known of the person.",
	})
}

// writeUserFluxReceipt says nothing when there is nothing to say.
func writeUserFluxReceipt(rq *request, in event.Receipt) error {
	if len(in.Rejected) > 0 || in.Sync {
		return writeReceipt(rq, in)
	}
	rq.line.accepted = in.Accepted
	rq.reply.WriteHeader(http.StatusNoContent)
	return nil
}

func mountSegment(a *API) {
	add := func(path string, also []string, action access.Action, reader compat.Reader, d doc) {
		d.Out, d.Basic = reflect.TypeFor[SegmentAnswer](), true
		mountItems(a, reader, endpoint[event.Batch, event.Receipt]{
			Path: path, Also: also, Action: action, Of: compat.Segment, As: asSegment, Credential: writeKeyCredential, Write: writeSegment, Doc: d,
		})
	}
	call := func(name, short string, action access.Action, summary, text string, examples ...example) {
		add("/v1/"+name, []string{"/v1/" + short}, action, compat.SegmentCalls(name), doc{
			ID: "segment" + strings.ToUpper(name[:1]) + name[1:], Summary: summary + ", as Segment's clients do", In: reflect.TypeFor[bodyOf[SegmentCall]](), Text: text, Examples: examples,
		})
	}
	call("track", "t", access.WriteEvents, "Send an event", "`context` is kept as a property.", segmentExample)
	call("page", "p", access.WriteEvents, "Send the view of a page", "As the event `$pageview`, with the page's name and category among its properties.")
	call("screen", "s", access.WriteEvents, "Send the view of a screen", "As the event `$screen`, with the screen's name and category among its properties.")
	call("group", "g", access.WriteEvents, "Say that somebody belongs to a group", "As the event `$group`, with the traits and `groupId` as its properties.")
	call("identify", "i", access.IdentifyUsers, "Say who somebody is", "The traits are merged into what is known of the person.")
	call("alias", "a", access.IdentifyUsers, "Say that two ids are one person", "`previousId` is the id known so far, `userId` the other.")
	batch := doc{
		ID: "segmentBatch", Summary: "Send calls, as Segment's clients do", In: reflect.TypeFor[bodyOf[SegmentBatch]](),
		Text: "A list of calls, each of which says its type. What the `context` of the batch has goes into that of each call, whose own members win.", Examples: []example{segmentBatchExample},
	}
	add("/v1/batch", []string{"/v1/b", "/v1/import"}, access.WriteItems, compat.SegmentBatch(), batch)
}

func writeSegment(rq *request, in event.Receipt) error {
	rq.line.accepted = in.Accepted
	out := SegmentAnswer{Success: true}
	if len(in.Rejected) > 0 {
		out.Rejected = rejectionsOf(in)
	}
	return rq.writeJSON(http.StatusOK, out)
}

// writeKeySize bounds a body that may have a key in it, in which there are only beacons and small batches.
var writeKeySize = size{sent: 512 << 10, unpacked: 512 << 10}

// writeKeyCredential finds a key as Segment's clients send it: with HTTP Basic, as the user name, as any other key in a
// header, or as the member writeKey of a body that is not packed. The body is looked at only when no key came otherwise.
func writeKeyCredential(rq *request) (gate.Credential, error) {
	c, key, err := readCredential(rq, func(value string) (string, error) {
		if scheme, text, _ := strings.Cut(strings.TrimSpace(value), " "); strings.EqualFold(scheme, "Basic") {
			return userName(text)
		}
		return bearer(value)
	})
	if err == nil && key == "" {
		if key, err = rq.writeKey(); key != "" {
			c.Via = access.InBody
		}
	}
	c.Key = access.SecretText(key)
	return inClear(c, err)
}

// userName is that of HTTP Basic (RFC 7617). The password is passed over: Segment's clients send an empty one.
func userName(text string) (string, error) {
	name, _, err := basicParts(text)
	return name, err
}

// writeKey is the key in the body; empty when there is none that can be read. The body can be read again.
func (rq *request) writeKey() (string, error) {
	if rq.r.ContentLength == 0 || rq.r.Header.Get("Content-Encoding") != "" {
		return "", nil
	}
	raw, err := rq.early(writeKeySize)
	if err != nil {
		return "", err
	}
	var body struct {
		WriteKey any `json:"writeKey"`
	}
	_ = json.Unmarshal(raw, &body) // whoever reads the body says what is wrong with it
	key, _ := body.WriteKey.(string)
	return key, nil
}
