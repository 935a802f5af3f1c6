package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// endpoint is one row: an address that needs a key. I is what is read of the request, O what it answers.
type endpoint[I, O any] struct {
	Method string
	Path   string
	Action access.Action
	Read   func(*request) (I, error)                        // request -> typed input; no decision about who may
	First  func(*request) (access.Attempt, error)           // nil: Read costs little; else what is known before it, which is decided and counted first
	Wants  func(I) access.Attempt                           // what the request asks for; pure
	Denied func(I, error) error                             // nil: the denial is the answer; else what is said of a denied request
	Do     func(context.Context, gate.Permit, I) (O, error) // the operation
	Write  func(*request, O) error                          // nil: JSON, or nothing with status 204
	Status int                                              // of success; 0: 200
	Cross  bool                                             // browsers may call it from any origin
	Cost   int64                                            // credits set aside before; 0: it costs none
	Same   func(I) string                                   // tells requests apart that come to as much; nil: Cost is what is set aside
	Price  func(O) int64                                    // the credits that what had a Cost came to; nil: Cost
	Failed bool                                             // Price is asked also of what failed by the caller's fault: Do gives what was done before
	Later  bool                                             // the credits of what Do has begun are settled when that is over, and not here
	Long   bool                                             // the answer may take long: whether it is still allowed is asked again
	As     speech                                           // how its clients are told of problems
	Slash  bool                                             // the address with a slash at its end is the same one
	Items  bool                                             // it takes items, and the address with two slashes before it is the same one
	Also   []string                                         // other addresses that are the same one
	Of     compat.System                                    // another system's route, which is not there when that is switched off
	Spent  string                                           // the header that says how many credits it came to; empty: none
	IEX    *shared[O]                                       // clients of IEX Cloud use the row as well, and how they are answered; nil: they do not
	Doc    doc

	Reserve    func(I) int64                           // nil: Cost; else what is set aside for what is asked. What fails then costs nothing
	Credential func(*request) (gate.Credential, error) // nil: credentialOf; else where this row's credential stands
	Refused    func(gate.Caller, I, error)             // nil: nobody; else who hears of what was not taken of somebody who was let in
	Nothing    func(*request) error                    // the answer to an app that asks about nothing of its own; nil: none can
}

// open is one row for an address that needs no key.
type open struct {
	Method string
	Path   string
	Action access.Action // Anyone
	Serve  func(*request) error
	As     speech
	Also   []string
	Of     compat.System
	Script bool // pages load it, and the address with two slashes before it is the same one
	Doc    doc
}

// row is what the frame and the document need to know of any endpoint.
type row struct {
	method, path string
	action       access.Action
	cross        bool
	as           speech
	also         []string
	of           compat.System
	spent        string
	iex          bool // shared with clients of IEX Cloud
	status       int
	doc          doc
	costs        bool // credits
	takes        bool // a body
	slash        bool // may stand at the end
	doubled      bool // two slashes may stand before it
	serve        func(*request) error
}

// mount adds a row. A row that is not complete, or declares no action, is a mistake in the program and stops it.
func mount[I, O any](a *API, e endpoint[I, O]) {
	if e.Action == access.Anyone || e.Read == nil || e.Wants == nil || e.Do == nil {
		panic(fmt.Sprintf("api: the row %s %s is not complete", e.Method, e.Path))
	}
	status := e.Status
	if status == 0 {
		status = http.StatusOK
	}
	write := e.writer(status)
	e.Doc.fill(new(I), new(O))
	also, iex := a.share(&e.Doc, e.Path, e.Also, status, e.IEX.sharing())
	a.add(row{
		method: e.Method, path: e.Path, action: e.Action, cross: e.Cross, as: e.As, status: status, doc: e.Doc, costs: e.costs(),
		takes: e.Doc.takes(), slash: e.Slash, doubled: e.Items, also: also, of: e.Of, spent: e.Spent, iex: iex,
		serve: func(rq *request) error {
			in, permit, attempt, err := admit(a, rq, &e)
			if errors.Is(err, errNothing) {
				return e.Nothing(rq)
			}
			if err != nil {
				return rq.inWorkspace(err)
			}
			if e.Long {
				defer a.watch(rq, permit, attempt)()
			}
			out, err := e.do(a, rq, permit, in)
			spent := int64(0)
			if e.costs() && !(e.Later && err == nil) {
				spent = e.credits(rq, in, out, err)
				if e.Same != nil && err == nil {
					a.expected.learn(rq.question, spent)
				}
				if err := a.settle(rq, permit, spent); err != nil {
					drop(out)
					return err
				}
			}
			if e.Spent != "" {
				rq.reply.Header().Set(e.Spent, strconv.FormatInt(spent, 10))
			}
			if err != nil {
				return rq.interrupted(err)
			}
			if err := rq.begin(e.Long); err != nil {
				drop(out)
				return err
			}
			return write(rq, out)
		},
	})
}

// writer is how a success is written.
func (e *endpoint[I, O]) writer(status int) func(*request, O) error {
	write := e.Write
	if write == nil {
		write = func(rq *request, out O) error { return rq.writeJSON(status, out) }
	}
	if e.IEX == nil {
		return write
	}
	return func(rq *request, out O) error {
		if !rq.fromIEX() {
			return write(rq, out)
		}
		rq.sayUsed(0, 0) // what costs credits says better
		switch {
		case e.IEX.Said != nil:
			return rq.writeJSON(http.StatusOK, e.IEX.Said(out))
		case e.Write == nil:
			return rq.writeJSON(http.StatusOK, out)
		}
		return write(rq, out)
	}
}

// admit brings a request to its permit, in the order that the frame owns.
func admit[I, O any](a *API, rq *request, e *endpoint[I, O]) (in I, permit gate.Permit, attempt access.Attempt, err error) {
	caller, wrong, err := a.identify(rq, e.Action, e.Credential)
	if err != nil {
		return in, permit, attempt, err
	}
	rq.caller.project, rq.caller.owner, rq.caller.space = caller.Project(), caller.Owner(), caller.Space
	requests := int64(1)
	if !wrong {
		if e.First != nil {
			if err = a.foresee(rq, caller, e.First); err != nil {
				return in, permit, attempt, err
			}
			requests = 0 // it is counted
		}
		if in, err = e.Read(rq); err != nil {
			if e.Refused != nil && rq.signed == nil { // what was signed is not known to be whole by now
				e.Refused(caller, in, err)
			}
			return in, permit, attempt, err
		}
		if err = rq.noBody(); err != nil {
			return in, permit, attempt, err
		}
		if caller, err = a.proven(rq, caller); err != nil {
			return in, permit, attempt, err
		}
		attempt = e.Wants(in)
	}
	permit, err = a.cfg.Gate.Admit(rq.ctx(), caller.By(rq.sdk), attempt, gate.Cost{Requests: requests, Credits: e.reserve(a, rq, caller.KeyID(), in, &attempt)})
	a.tellLimited(rq, err)
	if err != nil && !wrong && e.Refused != nil {
		e.Refused(caller, in, err)
	}
	if err != nil && !wrong && e.Denied != nil {
		err = e.Denied(in, err)
	}
	if err != nil {
		return in, permit, attempt, err
	}
	rq.line.admitted(permit)
	if rq.inQuery && permit.Key().Kind == access.Secret {
		rq.reply.Header().Set("Weir-Warning", "a secret key in a URL is exposed: send it in a header, and rotate it")
	}
	writeLimits(rq.reply.Header(), permit.Charged(), permit.At())
	return in, permit, attempt, nil
}

// foresee has the gate decide on what is known of a request before it is read, and count it.
func (a *API) foresee(rq *request, caller gate.Caller, first func(*request) (access.Attempt, error)) error {
	attempt, err := first(rq)
	if err == nil {
		err = a.cfg.Gate.Foresee(rq.ctx(), caller, attempt, gate.Cost{Requests: 1})
	}
	a.tellLimited(rq, err)
	return err
}

// tellLimited writes the state of the limits, if one of them denied.
func (a *API) tellLimited(rq *request, err error) {
	if charged, limited := gate.ChargedOf(err); limited {
		writeLimits(rq.reply.Header(), charged, a.cfg.Now())
	}
}

// reserve is what is set aside for a request: what the same came to last, and at least its Cost.
func (e *endpoint[I, O]) reserve(a *API, rq *request, keyID string, in I, attempt *access.Attempt) int64 {
	if e.Reserve != nil {
		return e.Reserve(in)
	}
	if e.Same == nil || len(attempt.Targets) != 1 {
		return e.Cost
	}
	rq.question = expectedOf(keyID, attempt.Targets[0].Environment, e.Same(in))
	return a.expected.credits(rq.question, e.Cost)
}

// do is Do. What was set aside for one that panics is given back: it is our fault.
func (e *endpoint[I, O]) do(a *API, rq *request, permit gate.Permit, in I) (O, error) {
	whole := false
	defer func() {
		if !whole && e.costs() {
			_ = a.settle(rq, permit, 0) // the panic is what is told
		}
	}()
	out, err := e.Do(rq.ctx(), permit, in)
	err = permit.Withhold(err)
	whole = true
	return out, err
}

// costs reports whether requests may cost credits.
func (e *endpoint[I, O]) costs() bool { return e.Cost > 0 || e.Reserve != nil }

// credits is what a request came to. What fails by our fault is free; what fails by the caller's costs what was set aside,
// or with Failed what was done until then. Whoever goes away before the answer pays for what was begun.
func (e *endpoint[I, O]) credits(rq *request, in I, out O, err error) int64 {
	switch {
	case err != nil && !e.Later && rq.left():
		return e.begun(in) + query.Spent(err)
	case err != nil && problem.From(err).Status() >= http.StatusInternalServerError:
		return query.Spent(err)
	case e.Price == nil || err != nil && !e.Failed:
		return e.Cost + query.Spent(err)
	}
	return e.Price(out) + query.Spent(err)
}

// begun is what a request costs that was begun and has no answer: its Cost, or where that is reckoned a credit, if it may cost any.
func (e *endpoint[I, O]) begun(in I) int64 {
	if e.Reserve != nil {
		return min(1, e.Reserve(in))
	}
	return e.Cost
}

// left reports whether the caller went away before the answer.
func (rq *request) left() bool {
	stopping := rq.a.cfg.Stopping
	return context.Cause(rq.ctx()) == context.Canceled && (stopping == nil || stopping.Err() == nil) //nolint:errorlint // it is the value itself
}

// settle charges the credits that a request came to, before the answer begins.
func (a *API) settle(rq *request, permit gate.Permit, credits int64) error {
	return a.cfg.Gate.Settle(context.WithoutCancel(rq.ctx()), permit, credits)
}

// drop gives back what an answer holds that is not given.
func drop(out any) {
	if c, ok := out.(io.Closer); ok {
		_ = c.Close()
	}
}

// mountOpen adds a row that needs no key.
func mountOpen(a *API, o open) {
	if o.Action != access.Anyone {
		panic(fmt.Sprintf("api: the open row %s %s must declare that anyone may", o.Method, o.Path))
	}
	o.Doc.fill(nil, nil)
	status := o.Doc.Status
	if status == 0 {
		status = http.StatusOK
	}
	a.add(row{
		method: o.Method, path: o.Path, action: o.Action, as: o.As, also: o.Also, of: o.Of, status: status, doc: o.Doc, takes: o.Doc.takes(), doubled: o.Script, serve: o.Serve,
	})
}

func (a *API) add(r row) {
	if !r.action.Declared() {
		panic(fmt.Sprintf("api: the row %s %s declares no action", r.method, r.path))
	}
	if !slices.Contains(a.cfg.Without, r.of) {
		a.rows = append(a.rows, r)
	}
}

// identify finds the caller, and checks the head of the request against its signature. It is the one place where a
// credential meets the gate. wrong says that the signature is not right, for the policy to refuse.
func (a *API) identify(rq *request, action access.Action, find func(*request) (gate.Credential, error)) (caller gate.Caller, wrong bool, err error) {
	if find == nil {
		find = credentialOf
	}
	credential, err := find(rq)
	if p, ok := errors.AsType[*problem.Error](err); ok && unreadable(p.Code) {
		return gate.Caller{}, false, a.cfg.Gate.Refuse(credential, action, p)
	}
	if err != nil {
		return gate.Caller{}, false, err
	}
	rq.shown, rq.inQuery = credential.Key, credential.Via == access.InQuery
	if credential.Signed == access.SignatureClaimed {
		rq.signed = &signed{}
	}
	if caller, err = a.cfg.Gate.Identify(rq.ctx(), credential, action); err != nil {
		return gate.Caller{}, false, err
	}
	rq.line.keyID = caller.KeyID()
	if err := rq.useOnce(caller.KeyID()); err != nil {
		return gate.Caller{}, false, a.cfg.Gate.Refuse(credential, action, err)
	}
	if until := caller.SecretUntil(); !until.IsZero() {
		header := rq.reply.Header()
		header.Set("Deprecation", "@"+strconv.FormatInt(caller.Replaced().Unix(), 10)) // RFC 9745
		header.Set("Sunset", until.UTC().Format(http.TimeFormat))                      // RFC 8594
	}
	caller, wrong = a.checkSignature(rq, caller)
	return caller, wrong, nil
}

// nothing is the input or answer of an endpoint that has none.
type nothing struct{}

// wantsNothing is the attempt of an endpoint whose action says it all.
func wantsNothing[I any](I) access.Attempt { return access.Attempt{} }
