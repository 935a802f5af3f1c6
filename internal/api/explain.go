package api

import (
	"context"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

// Explanation is what the policy says of an attempt, and why.
type Explanation struct {
	DecisionID          string               `json:"decision_id,omitzero" doc:"Of a decision that was made."`
	Outcome             string               `json:"outcome" enum:"allowed,denied,observed,limited" doc:"Observed: it was allowed, and a restriction objected that is only observed. Limited: a limit denied it."`
	Allowed             bool                 `json:"allowed"`
	Reason              string               `json:"reason" doc:"'allowed', or why not." example:"network_not_allowed"`
	KeyID               string               `json:"key_id"`
	Action              string               `json:"action" example:"write_events"`
	Environment         string               `json:"environment,omitzero"`
	View                keyring.View         `json:"view,omitzero" nullable:"false" doc:"What may be seen of the environment, when it is allowed to read and that is not everything."`
	At                  time.Time            `json:"at" doc:"The time for which it was decided."`
	Address             string               `json:"address" doc:"The address for which it was decided; empty when it is not known."`
	FirstFailure        *Verdict             `json:"first_failure,omitempty" nullable:"false" doc:"The verdict that decided; left out when it was allowed."`
	Rules               []Verdict            `json:"rules" doc:"Every rule in the order of the policy, first about the request and then about each item."`
	Observed            []Verdict            `json:"observed" doc:"The verdicts that were only noted."`
	Remedies            []Remedy             `json:"remedies" doc:"The smallest changes that together would make it a yes; empty when there are none."`
	Recorded            *Denial              `json:"recorded,omitempty" nullable:"false" doc:"The decision as it was recorded."`
	SignatureDifference *SignatureDifference `json:"signature_difference,omitempty" nullable:"false" doc:"With signature_base: where it differs first; left out when it does not, or when no base was recorded."`
}

// SignatureDifference is the first line in which two signature bases differ.
type SignatureDifference struct {
	Line   int    `json:"line" doc:"Counted from 1."`
	Ours   string `json:"ours" doc:"The line as it should have been signed; empty when there is none."`
	Theirs string `json:"theirs" doc:"The line of the text that was given; empty when there is none."`
}

// wantedDataset is a dataset that an attempt touches.
type wantedDataset struct {
	Name  string `json:"name" minLength:"1" maxLength:"256"`
	Class string `json:"class,omitzero" enum:"core,premium"`
	Right string `json:"right" enum:"read,write,delete"`
}

// hypothetical is a decision that was made, or an attempt that was not.
type hypothetical struct {
	DecisionID    string          `json:"decision_id,omitzero" maxLength:"200" doc:"Explains a decision that was made. With it, only signature_base may be given."`
	SignatureBase string          `json:"signature_base,omitzero" maxLength:"16384" doc:"The text that a client says it has signed, to be compared with what it should have signed."`
	KeyID         string          `json:"key_id,omitzero" maxLength:"64" doc:"The key of the attempt; needed without decision_id." example:"key_3fQ9xT0aLmZk"`
	Action        actionName      `json:"action,omitzero" doc:"What the attempt does; or give method and path."`
	Method        string          `json:"method,omitzero" maxLength:"16" example:"POST"`
	Path          string          `json:"path,omitzero" maxLength:"2000" doc:"The address, without host and query." example:"/v1/query"`
	Environment   string          `json:"environment,omitzero" maxLength:"200" doc:"By default the first one that the key may use."`
	Event         string          `json:"event,omitzero" maxLength:"256"`
	Events        []string        `json:"events,omitempty" maxItems:"100" doc:"Several events, each judged by itself."`
	Datasets      []wantedDataset `json:"datasets,omitempty" maxItems:"100"`
	Address       string          `json:"address,omitzero" maxLength:"64" doc:"Where the attempt comes from; by default where this request comes from." example:"203.0.113.9"`
	Origin        string          `json:"origin,omitzero" maxLength:"2000" doc:"The page it comes from, as in the header Origin." example:"https://www.example.com"`
	Referer       string          `json:"referer,omitzero" maxLength:"2000" doc:"The page it comes from, as in the header Referer."`
	Via           string          `json:"via,omitzero" enum:"header,query,body" doc:"Where in the request the key stands; by default in a header."`
	Browser       bool            `json:"browser,omitzero" doc:"It comes from a browser."`
	Cleartext     bool            `json:"cleartext,omitzero" doc:"It comes over plain HTTP."`
	Signed        string          `json:"signed,omitzero" enum:"unsigned,right,wrong" doc:"Whether it is signed, and how; by default it is not."`
	At            *time.Time      `json:"at,omitempty" nullable:"false" doc:"When it comes; by default now."`
	Secret        string          `json:"secret,omitzero" enum:"present,replaced" doc:"Which of the key's secrets it shows: by default one that works, or one that was replaced and has ended."`
}

type explainAccess struct {
	Body    hypothetical
	key     *access.Key
	attempt access.Attempt
}

func (in explainAccess) wants() access.Attempt {
	if in.Body.DecisionID != "" {
		return access.Attempt{} // whose decision it is, the ledger knows
	}
	return access.Attempt{Subject: subject(in.key)}
}

func mountExplain(a *API) {
	mount(a, endpoint[explainAccess, Explanation]{
		Method: "POST", Path: "/v1/access/explain", Action: access.ExplainAccess,
		Read: readExplain(a), Wants: explainAccess.wants, Do: a.explain,
		Doc: doc{
			ID: "explainAccess", Tag: "Ledger", Summary: "Explain a decision", Problems: []problem.Code{problem.NotFound},
			Text: "Says of a decision that was made, or of an attempt that was not, what every rule of the policy says of it, which one decides, and the " +
				"smallest change that would make it a yes. Nothing is changed or recorded. The limits are not asked.",
		},
	})
}

func readExplain(a *API) func(*request) (explainAccess, error) {
	read := bound[explainAccess](a)
	return func(rq *request) (explainAccess, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		if in.Body.DecisionID != "" {
			return in, in.Body.decided()
		}
		in.key, _ = a.cfg.Keys.Peek(rq.caller.Project(), in.Body.KeyID)
		in.attempt, err = a.attempt(rq, &in.Body)
		return in, err
	}
}

// decided refuses what says nothing more of a decision that was made.
func (h hypothetical) decided() error {
	h.DecisionID, h.SignatureBase = "", ""
	if !reflect.ValueOf(h).IsZero() {
		return problem.Invalid("decision_id", "cannot be combined with an attempt")
	}
	return nil
}

// attempt is what a hypothetical says, as the policy sees it.
func (a *API) attempt(rq *request, h *hypothetical) (access.Attempt, error) {
	var out access.Attempt
	if h.SignatureBase != "" {
		return out, problem.Invalid("signature_base", "is compared with that of a decision: give decision_id")
	}
	if _, ok := access.LookupOf(h.KeyID); !ok {
		return out, problem.Invalid("key_id", "is not the id of a key")
	}
	var err error
	if out.Action, out.Subject, err = a.meant(rq, h); err != nil {
		return out, err
	}
	if out.Address, err = h.address(rq); err != nil {
		return out, err
	}
	if out.At = a.cfg.Now(); h.At != nil {
		out.At = h.At.UTC()
	}
	switch out.Via = access.InHeader; h.Via {
	case "query":
		out.Via = access.InQuery
	case "body":
		out.Via = access.InBody
	}
	if h.Origin != "" || h.Referer != "" {
		out.Origin = access.ParseOrigin(h.Origin, h.Referer)
	}
	out.Browser, out.Cleartext = h.Browser, h.Cleartext
	out.Signed, _ = access.ParseSigned(h.Signed) // the schema has checked it; no name is none
	if h.Secret == "replaced" {
		out.SecretUntil = out.At // it is good until then and not at it
	}
	out.Each = out.Action.ByItem()
	out.Targets = h.targets()
	return out, nil
}

func (h *hypothetical) address(rq *request) (netip.Addr, error) {
	if h.Address == "" {
		return rq.sender(), nil
	}
	addr, err := netip.ParseAddr(h.Address)
	if err != nil || addr.Zone() != "" {
		return addr, problem.Invalid("address", "must be an address such as 203.0.113.9 or 2001:db8::1")
	}
	return addr.Unmap(), nil
}

func (h *hypothetical) targets() []access.Target {
	events := h.Events
	if h.Event != "" {
		events = append([]string{h.Event}, events...)
	}
	var targets []access.Target
	for _, event := range events {
		targets = append(targets, access.Target{Environment: h.Environment, Event: event})
	}
	for _, d := range h.Datasets {
		right, _ := access.ParseRight(d.Right) // the schema has checked it
		class := map[string]access.Class{"core": access.Core, "premium": access.Premium}[d.Class]
		targets = append(targets, access.Target{Environment: h.Environment, Dataset: d.Name, Class: class, Right: right})
	}
	if len(targets) == 0 && h.Environment != "" {
		targets = []access.Target{{Environment: h.Environment}}
	}
	return targets
}

// keysPath is what the addresses about one key begin with.
const keysPath = "/v1/keys/"

// meant is the action that a hypothetical names, by its name or by an address, and the key that the address is about.
func (a *API) meant(rq *request, h *hypothetical) (access.Action, *access.Subject, error) {
	if h.Action != "" {
		if h.Method != "" || h.Path != "" {
			return 0, nil, problem.Invalid("action", "cannot be combined with method and path")
		}
		action, err := actionNamed(string(h.Action))
		return action, nil, err
	}
	path, _, _ := strings.Cut(h.Path, "?")
	if h.Method == "" || !strings.HasPrefix(path, "/") {
		return 0, nil, problem.Invalid("action", "is needed, or method and path")
	}
	method, there := strings.ToUpper(h.Method), false
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range a.rows {
		r := &a.rows[i]
		id, ok := r.at(path)
		if there = there || ok; !ok || r.method != method {
			continue
		}
		if r.action == access.Anyone {
			return 0, nil, problem.Invalid("path", "needs no key")
		}
		if id == "" || !strings.HasPrefix(r.path, keysPath) { // what is no key is taken to be there, and the key's to touch
			return r.action, nil, nil
		}
		key, _ := a.cfg.Keys.Peek(rq.caller.Project(), id)
		return r.action, subject(key), nil
	}
	if there {
		return 0, nil, problem.Invalid("method", "is not one of this address")
	}
	return 0, nil, problem.Invalid("path", "is no address of this server")
}

// at reports whether a path is one of the row's, and gives the id in it.
func (r *row) at(path string) (id string, ok bool) {
	if id, ok = matchPath(r.path, path); ok {
		return id, true
	}
	return "", slices.ContainsFunc(r.also, func(also string) bool {
		_, ok := matchPath(also, path)
		return ok
	})
}

// matchPath reports whether a path is one of a pattern's, and gives the id in it.
func matchPath(pattern, path string) (id string, ok bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return "", false
	}
	for i := range want {
		switch {
		case strings.HasPrefix(want[i], "{") && have[i] != "":
			if want[i] == "{id}" {
				id = have[i]
			}
		case want[i] != have[i]:
			return "", false
		}
	}
	return id, true
}

func (a *API) explain(ctx context.Context, permit gate.Permit, in explainAccess) (Explanation, error) {
	if in.Body.DecisionID == "" {
		return hypotheticalView(in.key, &in.attempt), nil
	}
	d, found, err := a.cfg.Ledger.Decision(ctx, permit, in.Body.DecisionID)
	if err != nil {
		return Explanation{}, err
	}
	if !found {
		return Explanation{}, problem.New(problem.NotFound, "There is no decision of that id that this key can see.")
	}
	view := recordedView(&d)
	if in.Body.SignatureBase != "" {
		view.SignatureDifference = difference(d.Detail, in.Body.SignatureBase)
	}
	return view, nil
}

// hypotheticalView is what the policy says of an attempt now.
func hypotheticalView(key *access.Key, attempt *access.Attempt) Explanation {
	e := access.Explain(key, attempt)
	d := e.Decision
	view := Explanation{
		Outcome: ledger.Allowed.String(), Allowed: d.Allowed(), Reason: d.Reason.String(), KeyID: key.ID, Action: attempt.Action.String(),
		Environment: d.Data.Environment, At: attempt.At, Address: shownAddress(attempt.Address), Rules: verdicts(e.Steps), Observed: []Verdict{},
		Remedies: remedies(e.Remedies),
	}
	for _, v := range view.Rules {
		if v.Observed {
			view.Observed = append(view.Observed, v)
		}
	}
	if attempt.Action.Reads() {
		view.View = shownView(d.Data.View)
	}
	switch {
	case !d.Allowed():
		view.Outcome = ledger.Denied.String()
		view.FirstFailure = firstFailure(view.Rules, d.Rule, d.Reason.String())
	case len(view.Observed) > 0:
		view.Outcome = ledger.Observed.String()
	}
	return view
}

// firstFailure finds the verdict that decided. One that is not in the list is made up of what is known of it.
func firstFailure(rules []Verdict, rule, reason string) *Verdict {
	for i := range rules {
		if v := &rules[i]; v.Rule == rule && v.Reason == reason && !v.Observed {
			return v
		}
	}
	return &Verdict{Rule: rule, Reason: reason}
}

// recordedView is what was recorded of a decision. Rules that had not failed had allowed it. Of a decision from before
// rules were recorded, only the one that decided is known.
func recordedView(d *gate.Denial) Explanation {
	recorded := denialView(d)
	view := Explanation{
		DecisionID: d.ID, Outcome: recorded.Outcome, Allowed: d.Observed, Reason: d.Reason, KeyID: d.KeyID, Action: d.Action.String(), Environment: d.Environment,
		At: d.At, Address: recorded.Address, Rules: []Verdict{}, Observed: []Verdict{}, Remedies: recorded.Remedies, Recorded: &recorded,
	}
	if len(d.Failed) > 0 || recorded.Outcome == ledger.Limited.String() {
		view.Rules = inOrder(recorded.Failed)
	}
	for _, v := range view.Rules {
		if v.Observed {
			view.Observed = append(view.Observed, v)
		}
	}
	if !d.Observed {
		view.FirstFailure = firstFailure(view.Rules, d.Rule, d.Reason)
	}
	return view
}

// inOrder puts the verdicts that failed among those that did not, in the order of the policy.
func inOrder(failed []Verdict) []Verdict {
	var all []Verdict
	for _, rule := range access.Rules() {
		before := len(all)
		for _, v := range failed {
			if v.Rule == rule {
				all = append(all, v)
			}
		}
		if len(all) == before {
			all = append(all, Verdict{Rule: rule, Reason: access.Allowed.String()})
		}
	}
	// Rules that this program does not know any more come last.
	for _, v := range failed {
		if !slices.Contains(access.Rules(), v.Rule) {
			all = append(all, v)
		}
	}
	return all
}

// difference compares a signature base with the one in a decision's detail.
func difference(detail, theirs string) *SignatureDifference {
	_, ours, ok := strings.Cut(detail, baseFollows)
	if !ok {
		return nil
	}
	line, our, their := signature.FirstDifference(ours, access.HideKeysIn(strings.ReplaceAll(theirs, "\r\n", "\n")))
	if line == 0 {
		return nil
	}
	return &SignatureDifference{Line: line, Ours: our, Theirs: access.HideKeysIn(their)}
}
