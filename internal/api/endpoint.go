package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// endpoint is one row: an address that needs a key. I is what is read of the request, O what it answers.
type endpoint[I, O any] struct {
	Method string
	Path   string
	Action access.Action
	Read   func(*request) (I, error)                        // request -> typed input; no decision about who may
	Wants  func(I) access.Attempt                           // what the request asks for; pure
	Denied func(I, error) error                             // nil: the denial is the answer; else what is said of a denied request
	Do     func(context.Context, gate.Permit, I) (O, error) // the operation
	Write  func(*request, O) error                          // nil: JSON, or nothing with status 204
	Status int                                              // of success; 0: 200
	Cross  bool                                             // browsers may call it from any origin
	Body   body                                             // how problems are shaped
	Doc    doc
}

// open is one row for an address that needs no key.
type open struct {
	Method string
	Path   string
	Action access.Action // Anyone
	Serve  func(*request) error
	Doc    doc
}

// body is the shape of a problem's body.
type body uint8

const (
	plainProblem     body = iota
	ingestionProblem      // with the members that ingestion clients read (contracts A3)
)

// row is what the frame and the document need to know of any endpoint.
type row struct {
	method, path string
	action       access.Action
	cross        bool
	body         body
	status       int
	doc          doc
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
	write := e.Write
	if write == nil {
		write = func(rq *request, out O) error { return rq.writeJSON(status, out) }
	}
	e.Doc.fill(new(I), new(O))
	a.add(row{
		method: e.Method, path: e.Path, action: e.Action, cross: e.Cross, body: e.Body, status: status, doc: e.Doc,
		serve: func(rq *request) error {
			caller, err := a.identify(rq, e.Action)
			if err != nil {
				return err
			}
			rq.caller = caller
			in, err := e.Read(rq)
			if err != nil {
				return err
			}
			permit, err := a.cfg.Gate.Admit(rq.ctx(), caller, e.Wants(in))
			if err != nil && e.Denied != nil {
				return e.Denied(in, err)
			}
			if err != nil {
				return err
			}
			rq.line.admitted(permit)
			out, err := e.Do(rq.ctx(), permit, in)
			if err != nil {
				return err
			}
			return write(rq, out)
		},
	})
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
	a.add(row{method: o.Method, path: o.Path, action: o.Action, status: status, doc: o.Doc, serve: o.Serve})
}

func (a *API) add(r row) {
	if !r.action.Declared() {
		panic(fmt.Sprintf("api: the row %s %s declares no action", r.method, r.path))
	}
	a.rows = append(a.rows, r)
}

// identify finds the caller. It is the one place where a credential meets the gate.
func (a *API) identify(rq *request, action access.Action) (gate.Caller, error) {
	credential, err := credentialOf(rq)
	if err != nil {
		return gate.Caller{}, err
	}
	caller, err := a.cfg.Gate.Identify(rq.ctx(), credential, action)
	if err != nil {
		return gate.Caller{}, err
	}
	rq.line.keyID = caller.KeyID()
	return caller, nil
}

// nothing is the input or answer of an endpoint that has none.
type nothing struct{}

// wantsNothing is the attempt of an endpoint whose action says it all.
func wantsNothing[I any](I) access.Attempt { return access.Attempt{} }
