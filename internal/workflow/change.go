package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Wanted is a workflow that somebody wants to have. Either URL or Event is given.
type Wanted struct {
	ID       string // by which triggers name it
	Name     string
	URL      string
	Event    string
	Template jsontext.Value // empty: the standard one
	Enabled  bool
}

// Patch is what somebody wants to be different. What is nil stays.
type Patch struct {
	Name, URL, Event *string
	Template         *jsontext.Value // of nothing or null: the standard one
	Enabled          *bool
	Revision         int64 // that the change is meant for; 0: any
}

// The actions in the audit. Their subject is "workflow." and the id.
const (
	actionCreate  = "workflow.create"
	actionUpdate  = "workflow.update"
	actionDelete  = "workflow.delete"
	actionRotate  = "workflow.rotate"
	actionDisable = "workflow.disable"
	actionReseal  = "workflow.reseal"
)

// List gives workflows of the permit's environment by their ids, and where the list goes on; empty: nowhere.
func (s *Service) List(ctx context.Context, permit gate.Permit, after string, limit int) (page []Workflow, next string, err error) {
	page, err = s.cfg.Store.Workflows(ctx, permit.Project(), permit.Environment(), after, min(limit, MaxList)+1)
	if err != nil || len(page) <= limit {
		return page, "", err
	}
	return page[:limit], page[limit-1].ID, nil
}

// Find gives a workflow of the permit's environment.
func (s *Service) Find(ctx context.Context, permit gate.Permit, id string) (Workflow, error) {
	return s.find(ctx, permit, id)
}

// Create makes a workflow. Of one that sends, it gives the secret that the deliveries are signed with, this one time.
//
// Problems: invalid_field, conflict, workflows_full, missing_scope and what else refuses an event, unavailable.
func (s *Service) Create(ctx context.Context, permit gate.Permit, n Wanted) (made Workflow, secret access.Text, err error) {
	fresh := Workflow{
		Organization: permit.Organization(), Project: permit.Project(), Environment: permit.Environment(),
		ID: n.ID, Name: n.Name, URL: n.URL, Event: n.Event, Template: templateOf(n.Template), Enabled: n.Enabled,
	}
	if err := s.check(ctx, permit, &fresh, &Workflow{}); err != nil {
		return Workflow{}, access.Text{}, err
	}
	if fresh.Webhook() {
		if secret, err = s.seal(&fresh); err != nil {
			return Workflow{}, access.Text{}, err
		}
	}
	made, err = s.cfg.Store.ChangeWorkflow(ctx, s.at(permit, n.ID), func(w *Workflow, others int) (*audit.Entry, error) {
		switch {
		case w.Revision > 0:
			return nil, problem.New(problem.Conflict, "There is a workflow of the id %s already.", n.ID).At("id", "is taken")
		case others >= MaxWorkflows:
			return nil, problem.New(problem.WorkflowsFull, "The environment has %d workflows, which is as many as it can have.", MaxWorkflows)
		}
		*w = fresh
		w.CreatedAt, w.CreatedBy = stampOfChange(permit)
		w.UpdatedAt, w.UpdatedBy = w.CreatedAt, w.CreatedBy
		return s.entry(permit, actionCreate, nil, w), nil
	})
	if err != nil {
		return Workflow{}, access.Text{}, err
	}
	return made, secret, nil
}

// Update changes a workflow. What waits to be sent goes where it then leads, with the body that it has.
//
// Problems: as of Create, and not_found, precondition_failed.
func (s *Service) Update(ctx context.Context, permit gate.Permit, id string, p Patch) (Workflow, error) {
	present, err := s.find(ctx, permit, id)
	if err != nil {
		return Workflow{}, err
	}
	checked := present
	if err := p.apply(&checked); err != nil {
		return Workflow{}, err
	}
	if err := s.check(ctx, permit, &checked, &present); err != nil {
		return Workflow{}, err
	}
	changed, err := s.change(ctx, permit, id, p.Revision, func(w *Workflow) (*audit.Entry, error) {
		if w.Revision != present.Revision {
			return nil, changedMeanwhile()
		}
		before := *w
		_ = p.apply(w) // as it was before
		w.Target = checked.Target
		if w.same(&before) {
			return nil, nil
		}
		w.UpdatedAt, w.UpdatedBy = stampOfChange(permit)
		return s.entry(permit, actionUpdate, &before, w), nil
	})
	if err == nil {
		s.notify()
	}
	return changed, err
}

// apply changes what a patch has.
func (p *Patch) apply(w *Workflow) error {
	switch {
	case p.URL != nil && !w.Webhook():
		return problem.Invalid("url", "is of workflows that send, and this one records an event")
	case p.Event != nil && w.Webhook():
		return problem.Invalid("event", "is of workflows that record an event, and this one sends")
	case p.URL != nil && *p.URL == "":
		return problem.Invalid("url", "must not be empty")
	case p.Event != nil && *p.Event == "":
		return problem.Invalid("event", "must not be empty")
	}
	for _, f := range []struct{ from, to *string }{{p.Name, &w.Name}, {p.URL, &w.URL}, {p.Event, &w.Event}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if p.Template != nil {
		w.Template = templateOf(*p.Template)
	}
	if p.Enabled != nil {
		w.Enabled, w.Why = *p.Enabled, ""
	}
	return nil
}

// same reports whether two workflows do the same.
func (w *Workflow) same(other *Workflow) bool {
	return w.Name == other.Name && w.URL == other.URL && w.Target == other.Target && w.Event == other.Event && w.Template == other.Template &&
		w.Enabled == other.Enabled && w.Why == other.Why
}

// Delete deletes a workflow, and its deliveries with it: those that wait are not sent.
func (s *Service) Delete(ctx context.Context, permit gate.Permit, id string, revision int64) error {
	_, err := s.change(ctx, permit, id, revision, func(w *Workflow) (*audit.Entry, error) {
		before := *w
		w.Deleted = true
		return s.entry(permit, actionDelete, &before, nil), nil
	})
	return err
}

// Rotate gives a workflow another secret, and shows it this one time. For as long as overlap says, deliveries have a
// signature of each.
func (s *Service) Rotate(ctx context.Context, permit gate.Permit, id string, overlap time.Duration) (changed Workflow, secret access.Text, err error) {
	changed, err = s.change(ctx, permit, id, 0, func(w *Workflow) (*audit.Entry, error) {
		if !w.Webhook() {
			return nil, problem.New(problem.Conflict, "The workflow records an event: it has no secret.")
		}
		before := *w
		w.Former, w.FormerUntil = "", time.Time{}
		if overlap > 0 {
			w.Former, w.FormerUntil = before.Sealed, permit.At().Add(overlap).UTC().Truncate(time.Microsecond)
		}
		if secret, err = s.seal(w); err != nil {
			return nil, err
		}
		w.UpdatedAt, w.UpdatedBy = stampOfChange(permit)
		return s.entry(permit, actionRotate, &before, w), nil
	})
	if err != nil {
		return Workflow{}, access.Text{}, err
	}
	return changed, secret, nil
}

// change changes a workflow that is there.
func (s *Service) change(ctx context.Context, permit gate.Permit, id string, revision int64, do func(*Workflow) (*audit.Entry, error)) (Workflow, error) {
	return s.cfg.Store.ChangeWorkflow(ctx, s.at(permit, id), func(w *Workflow, _ int) (*audit.Entry, error) {
		switch {
		case w.Revision == 0:
			return nil, notFound()
		case revision != 0 && revision != w.Revision:
			return nil, changedMeanwhile()
		}
		return do(w)
	})
}

func changedMeanwhile() error {
	return problem.New(problem.PreconditionFailed, "The workflow was changed in between. Read it again.")
}

// check holds a workflow against what is possible, and finds its target. Of one that was there before, what stays as it was is not
// looked at: whoever may not send an event, or finds that an address is no longer taken, can end what leads there all the same.
func (s *Service) check(ctx context.Context, permit gate.Permit, w, before *Workflow) error {
	if err := w.fits(before); err != nil {
		return err
	}
	begins := w.Enabled && !before.Enabled
	if w.Event != "" {
		if w.Event == before.Event && w.Template == before.Template && !begins { // the template is what is sent
			return nil
		}
		return permit.Sends(access.Target{Environment: w.Environment, Event: w.Event})
	}
	if w.URL == before.URL && !begins {
		return nil
	}
	if s.cfg.Vault == nil {
		return problem.New(problem.Unavailable, "There is no master key, so the secrets of webhooks cannot be kept.")
	}
	place, err := s.cfg.Web.Check(ctx, w.URL)
	if err != nil {
		return problem.Invalid("url", "%v", err)
	}
	w.Target = targetOf(w, place)
	return nil
}

// fits refuses what no workflow can be.
func (w *Workflow) fits(before *Workflow) error {
	f := faults{}
	if !isID(w.ID) {
		f.add("id", "must begin with a letter or digit, and have only these, - and _")
	}
	if (w.URL == "") == (w.Event == "") {
		f.add("url", "either this or 'event' must be given, and not both")
	}
	if w.Template != "" && w.Template != before.Template {
		t, err := ParseTemplate([]byte(w.Template))
		if err != nil {
			f.add("template", err.Error())
		} else if w.Event != "" && !t.object {
			f.add("template", "must be an object: it becomes the properties of the event")
		}
	}
	return f.error()
}

// targetOf is what the deliveries of a workflow are held back by when it fails: its address, as the project has it. Others may
// send to the same host, which many do where it takes webhooks for all the world, and one bad address of it, which anybody can
// name, is no reason to leave theirs alone. The rest of an address can be a secret, so that only its digest is kept.
func targetOf(w *Workflow, place string) string {
	sum := sha256.Sum256([]byte(w.Project + "\n" + w.URL))
	return place + "#" + hex.EncodeToString(sum[:8])
}

// placeOf is the host and port of a target.
func placeOf(target string) string {
	place, _, _ := strings.Cut(target, "#")
	return place
}

// isID reports whether a text can be the id of a workflow.
func isID(text string) bool {
	for i := range len(text) {
		c := text[i]
		word := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !word && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return text != "" && len(text) <= MaxID
}

// templateOf is a template as it is kept.
func templateOf(v jsontext.Value) string {
	if len(v) == 0 || v.Kind() == 'n' {
		return ""
	}
	return strings.TrimSpace(string(v))
}

// seal draws a secret for a workflow.
func (s *Service) seal(w *Workflow) (access.Text, error) {
	if s.cfg.Vault == nil {
		return access.Text{}, problem.New(problem.Unavailable, "There is no master key, so the secrets of webhooks cannot be kept.")
	}
	secret, err := newSecret(s.cfg.Random)
	if err != nil {
		return access.Text{}, err
	}
	text := secret.Reveal()
	if w.Sealed, err = s.cfg.Vault.Seal([]byte(text), about(w)); err != nil {
		return access.Text{}, fmt.Errorf("workflow: seal a secret: %w", err)
	}
	w.Hint = text[len(text)-4:]
	return secret, nil
}

// about binds the secrets of a workflow to it.
func about(w *Workflow) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s,%d:%s,%s", len(w.Project), w.Project, len(w.Environment), w.Environment, w.ID))
	return "workflow/" + hex.EncodeToString(sum[:20])
}

// secrets opens what a workflow signs with at a time, the newest first.
func (s *Service) secrets(w *Workflow, at time.Time) ([]access.Text, error) {
	sealed := []string{w.Sealed}
	if w.Former != "" && at.Before(w.FormerUntil) {
		sealed = append(sealed, w.Former)
	}
	if s.cfg.Vault == nil {
		return nil, errors.New("workflow: there is no master key")
	}
	open := make([]access.Text, len(sealed))
	for i, text := range sealed {
		plain, err := s.cfg.Vault.Open(text, about(w))
		if err != nil {
			return nil, fmt.Errorf("workflow: open a secret: %w", err)
		}
		open[i] = access.SecretText(string(plain))
	}
	return open, nil
}

// Reseal seals every secret that is sealed under a former master key anew, and counts the workflows. One that cannot be opened
// does not keep it from the others.
func (s *Service) Reseal(ctx context.Context) (int, error) {
	if s.cfg.Vault == nil {
		return 0, nil
	}
	var stale []Workflow
	err := s.cfg.Store.EachWorkflow(ctx, func(w Workflow) error {
		if w.Sealed != "" && (s.cfg.Vault.Stale(w.Sealed) || s.cfg.Vault.Stale(w.Former)) {
			stale = append(stale, w)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("workflow: read workflows: %w", err)
	}
	done := 0
	var failed []error
	for i := range stale {
		if err := s.reseal(ctx, At{stale[i].Project, stale[i].Environment, stale[i].ID}); err != nil {
			failed = append(failed, fmt.Errorf("workflow: seal the secret of %s anew: %w", stale[i].ID, err))
			continue
		}
		done++
	}
	return done, errors.Join(failed...)
}

func (s *Service) reseal(ctx context.Context, at At) error {
	_, err := s.cfg.Store.ChangeWorkflow(ctx, at, func(w *Workflow, _ int) (*audit.Entry, error) {
		if w.Revision == 0 {
			return nil, nil
		}
		before := *w
		for _, text := range []*string{&w.Sealed, &w.Former} {
			if *text == "" || !s.cfg.Vault.Stale(*text) {
				continue
			}
			plain, err := s.cfg.Vault.Open(*text, about(w))
			if err != nil {
				return nil, err
			}
			if *text, err = s.cfg.Vault.Seal(plain, about(w)); err != nil {
				return nil, err
			}
		}
		entry := audit.Own(s.cfg.Now(), w.Organization, w.Project, s.cfg.NewID(), actionReseal, subject(w.ID), view(&before), view(w))
		return &entry, nil
	})
	return err
}

// shown is a workflow in the audit. Of where it sends it has the server alone: what else is in an address may be secret.
type shown struct {
	Environment string     `json:"environment"`
	Name        string     `json:"name"`
	Target      string     `json:"target,omitempty"`
	Event       string     `json:"event,omitempty"`
	Template    string     `json:"template,omitempty"`
	Enabled     bool       `json:"enabled"`
	Why         string     `json:"disabled_because,omitempty"`
	Hint        string     `json:"secret_hint,omitempty"`
	FormerUntil *time.Time `json:"former_secret_until,omitempty"`
}

func view(w *Workflow) any {
	if w == nil {
		return nil
	}
	v := shown{Environment: w.Environment, Name: w.Name, Target: placeOf(w.Target), Event: w.Event, Template: w.Template, Enabled: w.Enabled, Why: w.Why, Hint: w.Hint}
	if !w.FormerUntil.IsZero() {
		v.FormerUntil = &w.FormerUntil
	}
	return v
}

func (s *Service) entry(permit gate.Permit, action string, before, after *Workflow) *audit.Entry {
	one := after
	if one == nil {
		one = before
	}
	entry := audit.Of(permit, s.cfg.NewID(), action, subject(one.ID), view(before), view(after))
	return &entry
}

func subject(id string) string { return "workflow." + id }

// stampOfChange says when and by whom a change is made.
func stampOfChange(permit gate.Permit) (time.Time, string) {
	by := permit.Key().ID
	if permit.Key().Kind == access.Operator {
		by = access.Operator.String()
	}
	return permit.At().UTC().Truncate(time.Microsecond), by
}
