package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/workflow"
)

// Workflow is a workflow as it is shown.
type Workflow struct {
	ID                string         `json:"id" doc:"By which triggers name it." example:"order-paid"`
	Environment       string         `json:"environment" example:"production"`
	Name              string         `json:"name"`
	URL               *string        `json:"url" doc:"Where deliveries are sent; null: it records an event." nullable:"true" example:"https://hooks.example.com/orders"`
	Event             *string        `json:"event" doc:"The event it records; null: it sends." nullable:"true"`
	Template          jsontext.Value `json:"template,omitzero" doc:"What is sent, or the properties of the event, with {{name}} for variables; left out: the standard one."`
	Variables         []string       `json:"variables" doc:"That a trigger must give: those of the template."`
	Enabled           bool           `json:"enabled"`
	DisabledBecause   *string        `json:"disabled_because" doc:"Of one that the server disabled: why." nullable:"true"`
	SecretHint        *string        `json:"secret_hint" doc:"The last characters of the secret; null: it has none." nullable:"true" example:"k4M="`
	FormerSecretUntil *time.Time     `json:"former_secret_until" doc:"Until when deliveries are signed with the secret before as well; null: they are not." nullable:"true"`
	Secret            string         `json:"secret,omitzero" doc:"The secret that deliveries are signed with. It is shown this once." example:"whsec_…"`
	Revision          int64          `json:"revision" doc:"Counts the changes. It is in the ETag, for If-Match."`
	CreatedAt         time.Time      `json:"created_at"`
	CreatedBy         string         `json:"created_by" doc:"The id of the key that made it, or 'operator'."`
	UpdatedAt         time.Time      `json:"updated_at"`
	UpdatedBy         string         `json:"updated_by"`
}

// WorkflowPage is one page of a list of workflows.
type WorkflowPage struct {
	Data       []Workflow `json:"data" doc:"By their ids."`
	NextCursor *string    `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// WorkflowDelivery is what came of one trigger. What is sent is not shown.
type WorkflowDelivery struct {
	ID            string         `json:"id" doc:"The webhook-id, which is the same for each attempt; or the id of the event." example:"dlv_019a0000000070008000000000000000"`
	WorkflowID    string         `json:"workflow_id" example:"order-paid"`
	Status        workflow.State `json:"status" enum:"pending,delivered,failed" doc:"Whether it is still to be sent, was taken or recorded, or was given up."`
	Attempts      int64          `json:"attempts" doc:"How often it was sent."`
	Bytes         int            `json:"bytes" doc:"Of what is sent, or recorded."`
	CreatedAt     time.Time      `json:"created_at"`
	NextAttemptAt *time.Time     `json:"next_attempt_at" doc:"Not before then; null: it has ended." nullable:"true"`
	LastAttemptAt *time.Time     `json:"last_attempt_at" nullable:"true"`
	EndedAt       *time.Time     `json:"ended_at" nullable:"true"`
	AnswerStatus  *int           `json:"answer_status" doc:"The HTTP status of the last attempt; null: there was no answer." nullable:"true"`
	AnswerExcerpt string         `json:"answer_excerpt" doc:"The beginning of the last answer, at most 1 KiB."`
	Fault         *string        `json:"fault" doc:"Why the last attempt was no success, such as status, timeout or refused_address; null: it was, or there was none." nullable:"true"`
}

// WorkflowDeliveries is one page of a list of deliveries.
type WorkflowDeliveries struct {
	Data       []WorkflowDelivery `json:"data" doc:"The latest first."`
	NextCursor *string            `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

type listWorkflows struct {
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	Limit       int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor      string `query:"cursor" maxLength:"64" doc:"Where to go on, from the page before."`
}

type createWorkflow struct {
	Body struct {
		ID          string         `json:"id,omitzero" maxLength:"64" pattern:"^[0-9A-Za-z][0-9A-Za-z_-]*$" doc:"By which triggers name it; by default one is made up." example:"order-paid"`
		Environment string         `json:"environment,omitzero" maxLength:"200" doc:"The environment; by default the first that the key may use." example:"production"`
		Name        string         `json:"name,omitzero" maxLength:"200" doc:"What people call it."`
		URL         string         `json:"url,omitzero" maxLength:"2048" doc:"Where deliveries are sent: https, and on the public Internet unless the setting webhook-allow says otherwise. Either this or event." example:"https://hooks.example.com/orders"`
		Event       string         `json:"event,omitzero" maxLength:"256" doc:"The event that is recorded. The key must be one that may send it."`
		Template    jsontext.Value `json:"template,omitempty" doc:"What is sent, or the properties of the event: JSON with {{name}} for variables in its texts."`
		Enabled     *bool          `json:"enabled,omitempty" nullable:"false" doc:"By default true."`
	}
}

type workflowAt struct {
	ID          string `path:"id" maxLength:"64" doc:"The workflow's id." example:"order-paid"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
}

func (w workflowAt) wants() access.Attempt { return in(w.Environment) }

type changeWorkflow struct {
	ID          string `path:"id" maxLength:"64" doc:"The workflow's id." example:"order-paid"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	IfMatch     string `header:"If-Match" maxLength:"100" doc:"The revision that the change is meant for, as in the ETag."`
	Body        struct {
		Name     *string        `json:"name,omitempty" maxLength:"200" nullable:"false"`
		URL      *string        `json:"url,omitempty" maxLength:"2048" nullable:"false" doc:"Of one that sends. What waits is sent there too."`
		Event    *string        `json:"event,omitempty" maxLength:"256" nullable:"false" doc:"Of one that records an event."`
		Template jsontext.Value `json:"template,omitempty" doc:"null: the standard one."`
		Enabled  *bool          `json:"enabled,omitempty" nullable:"false"`
	}
	revision int64
}

type deleteWorkflow struct {
	ID          string `path:"id" maxLength:"64" doc:"The workflow's id." example:"order-paid"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	IfMatch     string `header:"If-Match" maxLength:"100" doc:"The revision that is meant, as in the ETag."`
	revision    int64
}

type rotateWorkflow struct {
	ID          string `path:"id" maxLength:"64" doc:"The workflow's id." example:"order-paid"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	Body        struct {
		Overlap *int64 `json:"overlap,omitempty" minimum:"0" maximum:"604800" nullable:"false" doc:"Seconds for which deliveries are signed with the secret before as well; by default a day."`
	} `optional:"true"`
}

type triggerWorkflow struct {
	ID          string `path:"id" maxLength:"64" doc:"The workflow's id." example:"order-paid"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	Key         string `header:"Idempotency-Key" minLength:"1" maxLength:"200" doc:"The same trigger sent again with the same key is one, for as long as its delivery is kept."`
	Body        struct {
		UserID    string                    `json:"user_id,omitzero" maxLength:"200" doc:"Whom it is about, if somebody." example:"u_1"`
		Variables map[string]jsontext.Value `json:"variables,omitempty" nullable:"false" doc:"The values of the template's variables, by their names."`
	} `optional:"true"`
}

type listDeliveries struct {
	ID          string `path:"id" maxLength:"64" doc:"The workflow's id." example:"order-paid"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	Status      string `query:"status" enum:"pending,delivered,failed" doc:"Only those that stand so."`
	Limit       int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor      string `query:"cursor" maxLength:"100" doc:"Where to go on, from the page before."`
}

type deliveryAt struct {
	ID          string `path:"id" maxLength:"64" doc:"The workflow's id." example:"order-paid"`
	Delivery    string `path:"delivery" maxLength:"64" doc:"The delivery's id." example:"dlv_019a0000000070008000000000000000"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
}

type userFluxTrigger struct {
	Body struct {
		TriggerID string                    `json:"triggerId" minLength:"1" maxLength:"64" doc:"The workflow's id." example:"order-paid"`
		UserID    jsontext.Value            `json:"userId,omitempty" doc:"Whom it is about: a text or a number."`
		Variables map[string]jsontext.Value `json:"variables,omitempty" nullable:"true" doc:"The values of the template's variables, by their names."`
		_         struct{}                  `additionalProperties:"true"`
	} `loose:"true"`
	user string
}

func mountWorkflows(a *API) {
	mountWorkflowReading(a)
	mountWorkflowChanges(a)
	mountTriggers(a)
	mountDeliveries(a)
}

func mountWorkflowReading(a *API) {
	mount(a, endpoint[listWorkflows, WorkflowPage]{
		Method: "GET", Path: "/v1/workflows", Action: access.ReadWorkflows, Read: bound[listWorkflows](a),
		Wants: func(l listWorkflows) access.Attempt { return in(l.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, l listWorkflows) (WorkflowPage, error) {
			list, next, err := a.cfg.Workflows.List(ctx, permit, l.Cursor, orDefault(l.Limit, 50))
			page := WorkflowPage{Data: make([]Workflow, len(list)), NextCursor: cursor(next)}
			for i := range list {
				page.Data[i] = workflowView(&list[i])
			}
			return page, err
		},
		Doc: doc{ID: "listWorkflows", Tag: "Workflows", Summary: "List workflows", Text: "Of one environment, by their ids."},
	})
	mount(a, endpoint[workflowAt, Workflow]{
		Method: "GET", Path: "/v1/workflows/{id}", Action: access.ReadWorkflows, Read: bound[workflowAt](a), Wants: workflowAt.wants, Write: writeWorkflow(http.StatusOK),
		Do: func(ctx context.Context, permit gate.Permit, in workflowAt) (Workflow, error) {
			w, err := a.cfg.Workflows.Find(ctx, permit, in.ID)
			return workflowView(&w), err
		},
		Doc: doc{ID: "readWorkflow", Tag: "Workflows", Summary: "Read a workflow", Problems: []problem.Code{problem.NotFound}, Version: true},
	})
}

func mountWorkflowChanges(a *API) {
	mount(a, endpoint[createWorkflow, Workflow]{
		Method: "POST", Path: "/v1/workflows", Action: access.WriteWorkflows, Read: bound[createWorkflow](a), Status: http.StatusCreated, Write: writeWorkflow(http.StatusCreated),
		Wants: func(c createWorkflow) access.Attempt { return in(c.Body.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, c createWorkflow) (Workflow, error) {
			b := &c.Body
			if b.ID == "" {
				b.ID = "wf_" + strings.TrimPrefix(a.cfg.NewID(), "req_")
			}
			w, secret, err := a.cfg.Workflows.Create(ctx, permit, workflow.Wanted{
				ID: b.ID, Name: b.Name, URL: b.URL, Event: b.Event, Template: b.Template, Enabled: b.Enabled == nil || *b.Enabled,
			})
			shown := workflowView(&w)
			shown.Secret = secret.Reveal()
			return shown, err
		},
		Doc: doc{
			ID: "createWorkflow", Tag: "Workflows", Summary: "Create a workflow", Version: true, Examples: []example{workflowExample},
			Text: "One with a `url` sends what it makes there as a signed webhook (Standard Webhooks); the answer has its secret, this once. One with an `event` records it.",
			Problems: []problem.Code{
				problem.Conflict, problem.WorkflowsFull, problem.EventNotAllowed,
			},
		},
	})
	mount(a, endpoint[changeWorkflow, Workflow]{
		Method: "PATCH", Path: "/v1/workflows/{id}", Action: access.WriteWorkflows, Write: writeWorkflow(http.StatusOK),
		Read:  versioned(bound[changeWorkflow](a), func(c *changeWorkflow) (string, *int64) { return c.IfMatch, &c.revision }),
		Wants: func(c changeWorkflow) access.Attempt { return in(c.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, c changeWorkflow) (Workflow, error) {
			b := &c.Body
			p := workflow.Patch{Name: b.Name, URL: b.URL, Event: b.Event, Enabled: b.Enabled, Revision: c.revision}
			if len(b.Template) > 0 {
				p.Template = &b.Template
			}
			w, err := a.cfg.Workflows.Update(ctx, permit, c.ID, p)
			return workflowView(&w), err
		},
		Doc: doc{
			ID: "changeWorkflow", Tag: "Workflows", Summary: "Change a workflow", Version: true,
			Text:     "What is left out stays, and is not looked at: one whose address is no longer taken can be disabled. While a workflow is disabled nothing is sent for it; what waits is sent when it is enabled again.",
			Problems: []problem.Code{problem.NotFound, problem.PreconditionFailed, problem.EventNotAllowed},
		},
	})
	mount(a, endpoint[deleteWorkflow, nothing]{
		Method: "DELETE", Path: "/v1/workflows/{id}", Action: access.WriteWorkflows, Status: http.StatusNoContent,
		Read:  versioned(bound[deleteWorkflow](a), func(d *deleteWorkflow) (string, *int64) { return d.IfMatch, &d.revision }),
		Wants: func(d deleteWorkflow) access.Attempt { return in(d.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, d deleteWorkflow) (nothing, error) {
			return nothing{}, a.cfg.Workflows.Delete(ctx, permit, d.ID, d.revision)
		},
		Doc: doc{
			ID: "deleteWorkflow", Tag: "Workflows", Summary: "Delete a workflow", Problems: []problem.Code{problem.NotFound, problem.PreconditionFailed},
			Text: "With its deliveries: those that wait are not sent.",
		},
	})
	mount(a, endpoint[rotateWorkflow, Workflow]{
		Method: "POST", Path: "/v1/workflows/{id}/secret", Action: access.WriteWorkflows, Read: bound[rotateWorkflow](a), Write: writeWorkflow(http.StatusOK),
		Wants: func(r rotateWorkflow) access.Attempt { return in(r.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, r rotateWorkflow) (Workflow, error) {
			overlap := workflow.UsualOverlap
			if r.Body.Overlap != nil {
				overlap = time.Duration(*r.Body.Overlap) * time.Second
			}
			w, secret, err := a.cfg.Workflows.Rotate(ctx, permit, r.ID, overlap)
			shown := workflowView(&w)
			shown.Secret = secret.Reveal()
			return shown, err
		},
		Doc: doc{
			ID: "rotateWorkflowSecret", Tag: "Workflows", Summary: "Give a workflow another secret", Version: true, Problems: []problem.Code{problem.NotFound, problem.Conflict},
			Text: "The answer has it, this once. Meanwhile deliveries have two signatures, one of each secret.",
		},
	})
}

func mountTriggers(a *API) {
	mount(a, endpoint[triggerWorkflow, WorkflowDelivery]{
		Method: "POST", Path: "/v1/workflows/{id}/trigger", Action: access.TriggerWorkflows, Read: readTrigger(a), Status: http.StatusAccepted, Cross: true,
		Wants: func(t triggerWorkflow) access.Attempt { return in(t.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, t triggerWorkflow) (WorkflowDelivery, error) {
			d, err := a.cfg.Workflows.Trigger(ctx, permit, workflow.Trigger{Workflow: t.ID, UserID: t.Body.UserID, Variables: t.Body.Variables, Key: t.Key}, a.recordOne)
			return deliveryView(&d), err
		},
		Doc: doc{
			ID: "triggerWorkflow", Tag: "Workflows", Summary: "Trigger a workflow",
			Text: "202 when what comes of it is durable. It is sent until it is taken or given up; a public key may trigger when it holds `workflows:run`.",
			Problems: []problem.Code{
				problem.NotFound, problem.WorkflowDisabled, problem.DeliveriesFull, problem.EventTooLarge,
			},
		},
	})
	mount(a, endpoint[userFluxTrigger, nothing]{
		Method: "POST", Path: "/workflow/trigger", Of: compat.UserFlux, Action: access.TriggerWorkflows, Read: readUserFluxTrigger(a), Status: http.StatusNoContent, Cross: true,
		Wants: wantsNothing[userFluxTrigger],
		Do: func(ctx context.Context, permit gate.Permit, t userFluxTrigger) (nothing, error) {
			_, err := a.cfg.Workflows.Trigger(ctx, permit, workflow.Trigger{Workflow: t.Body.TriggerID, UserID: t.user, Variables: t.Body.Variables}, a.recordOne)
			return nothing{}, err
		},
		Doc: doc{
			ID: "userFluxTrigger", Tag: "Compatibility", Summary: "Trigger a workflow, as UserFlux's clients do", Text: "In the environment that the key uses by default. 204 when what comes of it is durable.",
			Problems: []problem.Code{
				problem.NotFound, problem.WorkflowDisabled, problem.DeliveriesFull, problem.EventTooLarge,
			},
		},
	})
}

// readTrigger reads an idempotency key as a text, and as RFC 8941 writes one.
func readTrigger(a *API) func(*request) (triggerWorkflow, error) {
	read := bound[triggerWorkflow](a)
	return func(rq *request) (triggerWorkflow, error) {
		in, err := read(rq)
		if n := len(in.Key); n > 2 && in.Key[0] == '"' && in.Key[n-1] == '"' {
			in.Key = in.Key[1 : n-1]
		}
		return in, err
	}
}

func readUserFluxTrigger(a *API) func(*request) (userFluxTrigger, error) {
	read := bound[userFluxTrigger](a)
	return func(rq *request) (userFluxTrigger, error) {
		in, err := read(rq)
		if err != nil || len(in.Body.UserID) == 0 {
			return in, err
		}
		switch kind := in.Body.UserID.Kind(); {
		case kind == 'n':
		case kind == '0':
			in.user = string(in.Body.UserID)
		case kind == '"':
			err = json.Unmarshal(in.Body.UserID, &in.user)
		default:
			err = problem.Invalid("userId", "must be a text or a number")
		}
		return in, err
	}
}

// recordOne records the event of a workflow, by the same way as all events.
func (a *API) recordOne(ctx context.Context, permit gate.Permit, e workflow.Event) error {
	item := struct {
		ID          string         `json:"event_id"`
		Event       string         `json:"event"`
		Environment string         `json:"environment"`
		DistinctID  string         `json:"distinct_id,omitzero"`
		Properties  jsontext.Value `json:"properties"`
	}{e.ID, e.Name, e.Environment, e.UserID, e.Properties}
	text, err := json.Marshal(item)
	if err != nil {
		return fmt.Errorf("api: the event of a workflow: %w", err)
	}
	batch, err := event.ReadBatch(text, event.Shape{Kind: event.Track, Source: "workflow"})
	if err == nil {
		err = batch.FirstProblem()
	}
	if err == nil && a.cfg.Events == nil { // the data folder of a server that is stopped
		err = problem.New(problem.Unavailable, "Events can only be recorded by a server that runs.")
	}
	if err == nil {
		_, err = a.cfg.Events.Record(ctx, permit, batch)
	}
	return err
}

func mountDeliveries(a *API) {
	mount(a, endpoint[listDeliveries, WorkflowDeliveries]{
		Method: "GET", Path: "/v1/workflows/{id}/deliveries", Action: access.ReadWorkflows, Read: bound[listDeliveries](a),
		Wants: func(l listDeliveries) access.Attempt { return in(l.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, l listDeliveries) (WorkflowDeliveries, error) {
			f := workflow.Filter{State: workflow.State(l.Status), Limit: orDefault(l.Limit, 50)}
			var err error
			if f.After, err = markOf(l.Cursor); err != nil {
				return WorkflowDeliveries{}, err
			}
			page, err := a.cfg.Workflows.Deliveries(ctx, permit, l.ID, f)
			out := WorkflowDeliveries{Data: make([]WorkflowDelivery, len(page.Deliveries)), NextCursor: cursor(markText(page.Next))}
			for i := range page.Deliveries {
				out.Data[i] = deliveryView(&page.Deliveries[i])
			}
			return out, err
		},
		Doc: doc{
			ID: "listDeliveries", Tag: "Workflows", Summary: "List deliveries of a workflow", Problems: []problem.Code{problem.NotFound},
			Text: "The latest first. One that has ended is kept for 30 days, and at most 5,000 of a workflow are.",
		},
	})
	mount(a, endpoint[deliveryAt, WorkflowDelivery]{
		Method: "POST", Path: "/v1/workflows/{id}/deliveries/{delivery}/replay", Action: access.WriteWorkflows, Read: bound[deliveryAt](a), Status: http.StatusAccepted,
		Wants: func(d deliveryAt) access.Attempt { return in(d.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, d deliveryAt) (WorkflowDelivery, error) {
			again, err := a.cfg.Workflows.Replay(ctx, permit, d.ID, d.Delivery)
			return deliveryView(&again), err
		},
		Doc: doc{
			ID: "replayDelivery", Tag: "Workflows", Summary: "Send a delivery again", Problems: []problem.Code{problem.NotFound, problem.Conflict, problem.WorkflowDisabled},
			Text: "One that has ended: with the same id and body, to where the workflow leads now.",
		},
	})
}

// markText and markOf write and read a place in a list of deliveries.
func markText(m workflow.Mark) string {
	if m == (workflow.Mark{}) {
		return ""
	}
	return strconv.FormatInt(m.CreatedAt.UnixMicro(), 10) + "." + m.ID
}

func markOf(text string) (workflow.Mark, error) {
	if text == "" {
		return workflow.Mark{}, nil
	}
	at, id, ok := strings.Cut(text, ".")
	micros, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || id == "" {
		return workflow.Mark{}, problem.Invalid("query.cursor", "is none that a page gave")
	}
	return workflow.Mark{CreatedAt: time.UnixMicro(micros).UTC(), ID: id}, nil
}

func writeWorkflow(status int) func(*request, Workflow) error {
	return func(rq *request, w Workflow) error { return rq.writeVersioned(status, w.Revision, w) }
}

func workflowView(w *workflow.Workflow) Workflow {
	shown := Workflow{
		ID: w.ID, Environment: w.Environment, Name: w.Name, URL: cursor(w.URL), Event: cursor(w.Event), Variables: []string{}, Enabled: w.Enabled,
		DisabledBecause: cursor(w.Why), SecretHint: cursor(w.Hint), FormerSecretUntil: timeOrNull(w.FormerUntil), Revision: w.Revision,
		CreatedAt: w.CreatedAt, CreatedBy: w.CreatedBy, UpdatedAt: w.UpdatedAt, UpdatedBy: w.UpdatedBy,
	}
	if t, err := workflow.ParseTemplate([]byte(w.Template)); w.Template != "" && err == nil {
		shown.Template, shown.Variables = jsontext.Value(w.Template), append(shown.Variables, t.Names()...)
	}
	return shown
}

func deliveryView(d *workflow.Delivery) WorkflowDelivery {
	shown := WorkflowDelivery{
		ID: d.ID, WorkflowID: d.Workflow, Status: d.State, Attempts: d.Attempts, Bytes: len(d.Body), CreatedAt: d.CreatedAt,
		LastAttemptAt: timeOrNull(d.LastAt), EndedAt: timeOrNull(d.EndedAt), AnswerExcerpt: access.HideKeysIn(d.Excerpt), Fault: cursor(string(d.Fault)),
	}
	if d.State == workflow.Pending {
		shown.NextAttemptAt = timeOrNull(d.NextAt)
	}
	if d.Status != 0 {
		shown.AnswerStatus = &d.Status
	}
	return shown
}
