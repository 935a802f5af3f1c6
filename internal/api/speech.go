package api

import (
	"net/http"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// speech is how the clients of a row are told of a problem. The zero speech is problem details (RFC 9457). It says how the
// one writer of problems writes; nothing is written elsewhere.
type speech struct {
	content string                                   // the body's type; empty: problem details
	shape   reflect.Type                             // of the body, for the document; nil: that of problem details
	plain   bool                                     // the body is a text
	basic   bool                                     // they are asked for HTTP Basic
	mute    bool                                     // of a 401 there is no body
	page    bool                                     // whoever reads pages is shown one instead
	status  func(problem.Code) int                   // nil: the catalogue's
	body    func(Problem, *problem.Error) any        // of what the body is made; nil: the problem details
	said    func(code problem.Code, d string) string // with plain: the text
}

// asPage tells of problems by a page, to whoever reads pages.
var asPage = speech{page: true}

// problemHeader names the problem where the body does not.
const problemHeader = "Weir-Problem"

func (rq *request) speech() speech {
	switch {
	case rq.as != nil:
		return *rq.as
	case rq.row == nil:
		return speech{}
	}
	if rq.fromIEX() {
		return asIEX
	}
	return rq.row.as
}

func (s speech) contentType() string {
	switch {
	case s.plain:
		return "text/plain"
	case s.content == "":
		return problemType
	}
	return s.content
}

func (s speech) statusOf(code problem.Code) int {
	if s.status == nil {
		return code.Row().Status
	}
	return s.status(code)
}

// text is the body. A detail repeats names from the request, and somebody may have put a key in the place of one.
func (s speech) text(header http.Header, body Problem, p *problem.Error) []byte {
	if s.plain {
		header.Set("Content-Type", "text/plain; charset=utf-8")
		header.Set(problemHeader, string(p.Code))
		return []byte(access.HideKeysIn(s.said(p.Code, p.Detail)))
	}
	if s.mute && body.Status == http.StatusUnauthorized {
		header.Del("Content-Type")
		header.Set(problemHeader, string(p.Code))
		return nil
	}
	var out any = body
	if s.body != nil {
		out = s.body(body, p)
	}
	text, err := json.Marshal(out, jsontext.AllowInvalidUTF8(true)) // a detail may repeat a name from the request
	if err != nil {
		panic(err) // a Problem always marshals
	}
	return append(access.HideKeys(text), '\n')
}
