package workflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Trigger is what somebody starts a workflow with.
type Trigger struct {
	Workflow  string
	UserID    string // whom it is about; empty: nobody
	Variables map[string]jsontext.Value
	Key       string // of idempotency: the same trigger with it is one; empty: each is its own
}

// Trigger starts a workflow. When it returns, the delivery is durable, or the event is recorded.
//
// Problems: not_found, invalid_field for the variables, workflow_disabled, deliveries_full, storage_full, and of an event
// whatever refuses it.
func (s *Service) Trigger(ctx context.Context, permit gate.Permit, in Trigger, record Recorder) (Delivery, error) {
	w, err := s.find(ctx, permit, in.Workflow)
	if err != nil {
		return Delivery{}, err
	}
	if err := in.check(); err != nil {
		return Delivery{}, err
	}
	d, err := s.delivery(permit, &w, &in)
	if err != nil {
		return Delivery{}, err
	}
	if there, found, err := s.repeated(ctx, &d, &in); found || err != nil {
		return there, err
	}
	if !w.Enabled {
		return Delivery{}, problem.New(problem.WorkflowDisabled, "The workflow %s is disabled%s.", w.ID, because(w.Why))
	}
	if !w.Webhook() {
		e := Event{ID: d.ID, Environment: w.Environment, Name: w.Event, UserID: in.UserID, Properties: []byte(d.Body)}
		if err := record(ctx, permit, e); err != nil {
			return Delivery{}, err
		}
	}
	there, added, err := s.cfg.Outbox.AddDelivery(ctx, d, MaxPending)
	switch {
	case errors.Is(err, ErrNone):
		return Delivery{}, notFound()
	case errors.Is(err, ErrFull):
		return Delivery{}, problem.New(problem.DeliveriesFull, "%d deliveries of the workflow are still to be sent, which is as many as may wait.", MaxPending).After(time.Minute)
	case err != nil:
		return Delivery{}, err
	case !added && there.Digest != d.Digest:
		return Delivery{}, otherTrigger()
	case added:
		s.count(func(f *Stats) { f.Triggered++ })
		s.notify()
	}
	return there, nil
}

// repeated finds what came of the same trigger before.
func (s *Service) repeated(ctx context.Context, d *Delivery, in *Trigger) (there Delivery, found bool, err error) {
	if in.Key == "" {
		return Delivery{}, false, nil
	}
	list, err := s.cfg.Outbox.Deliveries(ctx, Filter{At: At{d.Project, d.Environment, d.Workflow}, Delivery: d.ID, Limit: 1})
	switch {
	case err != nil || len(list) == 0:
		return Delivery{}, false, err
	case list[0].Digest != d.Digest:
		return Delivery{}, false, otherTrigger()
	}
	return list[0], true, nil
}

func otherTrigger() error {
	return problem.Invalid("header.Idempotency-Key", "was used for another trigger of this workflow")
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// check holds a trigger against the limits.
func (in *Trigger) check() error {
	f := faults{}
	if len(in.Variables) > MaxVariables {
		f.add("variables", fmt.Sprintf("are more than %d", MaxVariables))
		return f.error()
	}
	for _, name := range slices.Sorted(maps.Keys(in.Variables)) {
		switch {
		case !isName(name):
			f.add("variables", fmt.Sprintf("have a name that is none: letters, digits, _, . and -, at most %d, with a letter or _ first", MaxName))
		case depthOf(in.Variables[name]) > maxDepth:
			f.add("variables."+name, fmt.Sprintf("has objects or arrays in one another more than %d deep", maxDepth))
		}
	}
	if len(in.UserID) > MaxUserID {
		f.add("user_id", fmt.Sprintf("is longer than %d bytes", MaxUserID))
	}
	return f.error()
}

// depthOf counts how deep objects and arrays of a value are in one another, as far as it matters.
func depthOf(v jsontext.Value) (most int) {
	in := jsontext.NewDecoder(bytes.NewReader(v))
	for most <= maxDepth {
		if _, err := in.ReadToken(); err != nil {
			return most
		}
		most = max(most, in.StackDepth())
	}
	return most
}

// delivery is what a trigger comes to.
func (s *Service) delivery(permit gate.Permit, w *Workflow, in *Trigger) (Delivery, error) {
	id, err := s.idOf(w, in)
	if err != nil {
		return Delivery{}, err
	}
	now := permit.At().UTC().Truncate(time.Microsecond)
	d := Delivery{
		Project: w.Project, Environment: w.Environment, Workflow: w.ID, ID: id, Digest: in.digest(), UserID: in.UserID, KeyID: permit.KeyID(), Target: w.Target,
		State: Pending, CreatedAt: now, Since: now, NextAt: now,
	}
	if !w.Webhook() {
		d.State, d.EndedAt = Delivered, now
	}
	body, err := fill(w, in, id, now)
	d.Body = string(body)
	return d, err
}

// fill makes what is sent, or the properties of the event.
func fill(w *Workflow, in *Trigger, id string, now time.Time) ([]byte, error) {
	server := map[string]jsontext.Value{
		"$timestamp": quoted(now.Format(time.RFC3339Nano)), "$delivery_id": quoted(id), "$workflow_id": quoted(w.ID),
	}
	if in.UserID != "" {
		server["$user_id"] = quoted(in.UserID)
	}
	if w.Template != "" {
		t, err := ParseTemplate([]byte(w.Template))
		if err != nil {
			return nil, fmt.Errorf("workflow: the template of %s: %w", w.ID, err)
		}
		return t.Fill(in.Variables, server)
	}
	variables := objectOf(in.Variables)
	body := variables
	if w.Webhook() {
		user := server["$user_id"]
		if user == nil {
			user = jsontext.Value("null")
		}
		body = fmt.Appendf(nil, `{"type":"workflow.triggered","timestamp":%s,"data":{"workflow_id":%s,"user_id":%s,"variables":%s}}`,
			server["$timestamp"], server["$workflow_id"], user, variables)
	}
	if len(body) > MaxBody {
		return nil, problem.Invalid("variables", "make a text of more than %d bytes", MaxBody)
	}
	return body, nil
}

func quoted(text string) jsontext.Value {
	v, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		panic("workflow: a text that is not valid") // what requests bring has been read as JSON
	}
	return v
}

// objectOf writes variables as an object, by their names.
func objectOf(values map[string]jsontext.Value) []byte {
	out := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, quoted(name)...), ':'), values[name]...)
	}
	return append(out, '}')
}

// digest tells triggers apart that have one idempotency key.
func (in *Trigger) digest() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s,%s", len(in.UserID), in.UserID, objectOf(in.Variables)))
	return hex.EncodeToString(sum[:16])
}

// idOf names a delivery: by chance, or by the workflow and the idempotency key, so that the same one comes again.
func (s *Service) idOf(w *Workflow, in *Trigger) (string, error) {
	const head, size = "dlv_", 16
	if in.Key != "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s,%d:%s", about(w), len(in.Key), in.Key))
		return head + hex.EncodeToString(sum[:size]), nil
	}
	id := make([]byte, size)
	if _, err := io.ReadFull(s.cfg.Random, id); err != nil {
		return "", problem.Wrap(err, problem.Unavailable, "No ids can be made just now.")
	}
	return head + hex.EncodeToString(id), nil
}

// Page is a part of a list of deliveries, and where it goes on; the zero Mark: nowhere.
type Page struct {
	Deliveries []Delivery
	Next       Mark
}

// Deliveries lists deliveries of a workflow, the latest first.
func (s *Service) Deliveries(ctx context.Context, permit gate.Permit, id string, f Filter) (Page, error) {
	if _, err := s.find(ctx, permit, id); err != nil {
		return Page{}, err
	}
	f.At = s.at(permit, id)
	limit := min(max(f.Limit, 1), MaxList)
	f.Limit = limit + 1
	list, err := s.cfg.Outbox.Deliveries(ctx, f)
	if err != nil || len(list) <= limit {
		return Page{Deliveries: list}, err
	}
	last := &list[limit-1]
	return Page{list[:limit], Mark{last.CreatedAt, last.ID}}, nil
}

// Replay sends a delivery that has ended once more: with the same id and body, to where the workflow leads now, and with as
// many attempts as a new one.
//
// Problems: not_found, conflict, workflow_disabled.
func (s *Service) Replay(ctx context.Context, permit gate.Permit, id, delivery string) (Delivery, error) {
	w, err := s.find(ctx, permit, id)
	if err != nil {
		return Delivery{}, err
	}
	list, err := s.cfg.Outbox.Deliveries(ctx, Filter{At: s.at(permit, id), Delivery: delivery, Limit: 1})
	switch {
	case err != nil:
		return Delivery{}, err
	case len(list) == 0:
		return Delivery{}, noDelivery()
	case !w.Webhook():
		return Delivery{}, problem.New(problem.Conflict, "The workflow records an event, which is there: there is nothing to send again.")
	case !w.Enabled:
		return Delivery{}, problem.New(problem.WorkflowDisabled, "The workflow %s is disabled%s.", w.ID, because(w.Why))
	case list[0].State == Pending:
		return Delivery{}, stillPending()
	}
	again, now := list[0], permit.At().UTC().Truncate(time.Microsecond)
	again.State, again.Tries, again.Since, again.NextAt, again.EndedAt, again.Target = Pending, 0, now, now, time.Time{}, w.Target
	changed, err := s.cfg.Outbox.Settle(ctx, &list[0], &again)
	if err != nil {
		return Delivery{}, err
	}
	if !changed {
		return Delivery{}, stillPending()
	}
	s.count(func(f *Stats) { f.Replayed++ })
	s.notify()
	return again, nil
}

func stillPending() error {
	return problem.New(problem.Conflict, "The delivery has not ended: it is still being sent.")
}
