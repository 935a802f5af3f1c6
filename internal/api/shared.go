package api

import (
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/problem"
)

// shared says that clients of IEX Cloud use a row of ours as well, at the same address, and what is different for them: see
// fromIEX. They are told of problems by a text, told what a request came to by a header, and take no success for one but 200.
type shared[O any] struct {
	Also []string        // addresses that only they know, each under every version of theirs
	Said func(O) IEXDone // what a success says to them; nil: what it says to all
}

// sharing is what mount needs to know of a row that is shared.
type sharing struct {
	shared bool
	also   []string
	said   bool
}

func (s *shared[O]) sharing() sharing {
	if s == nil {
		return sharing{}
	}
	return sharing{true, s.Also, s.Said != nil}
}

// share gives a row that is shared with clients of IEX Cloud their addresses, and describes what they are answered. Without
// them it is like any other.
func (a *API) share(d *doc, path string, also []string, status int, s sharing) ([]string, bool) {
	if !s.shared || slices.Contains(a.cfg.Without, compat.IEX) {
		return also, false
	}
	also = append(slices.Clone(also), compat.IEXVersions(path)...)
	for _, one := range s.also {
		also = append(also, a.onlyIEX(one)...)
	}
	if status != http.StatusOK {
		answer := d.Out
		if s.said {
			answer = reflect.TypeFor[IEXDone]()
		}
		statuses := map[int]reflect.Type{http.StatusOK: answer}
		maps.Copy(statuses, d.Statuses)
		d.Statuses = statuses
	}
	return also, true
}

// onlyIEX are the addresses of a path of IEX Cloud's, under each version; none without IEX Cloud.
func (a *API) onlyIEX(path string) []string {
	if slices.Contains(a.cfg.Without, compat.IEX) {
		return nil
	}
	return append([]string{path}, compat.IEXVersions(path)...)
}

// IEXDone is how clients of IEX Cloud hear that something was done.
type IEXDone struct {
	Success   bool   `json:"success" doc:"Always true: what was not done is a problem."`
	Message   string `json:"message" example:"Dataset has been created"`
	DatasetID string `json:"datasetId,omitzero" example:"QUOTES"`
}

// fromIEX reports whether a request is one of IEX Cloud's clients, to a row that they share: its key stands where only they
// put it, or it came to an address that only they know.
func (rq *request) fromIEX() bool {
	return rq.row != nil && rq.row.iex && rq.asIEXDoes()
}

// asIEXDoes reports whether a request has its key where only clients of IEX Cloud put it, or came to an address that only they know.
func (rq *request) asIEXDoes() bool {
	if query, err := rq.query(); err == nil && len(query[compat.IEXKeyParameter]) > 0 {
		return true
	}
	return compat.IEXOnly(rq.r.URL.Path)
}

// ofIEX reports whether a request for what a site does not take is one of IEX Cloud's clients: to a site of theirs, or to one that
// they share as they do it.
func (s *site) ofIEX(rq *request) bool {
	shared := compat.IEXOnly(rq.r.URL.Path)
	for _, row := range s.rows {
		if row.of == compat.IEX {
			return true
		}
		shared = shared || row.iex
	}
	return shared && rq.asIEXDoes()
}

// nowhere is the answer to a request for an address that is not there. Whoever sends a key as only clients of IEX Cloud do, to an
// address under a version of theirs, is told as they are. Nobody looks at the key.
func (rq *request) nowhere() error {
	if slices.Contains(rq.a.cfg.Without, compat.IEX) {
		return notFound()
	}
	text, meant := compat.IEXNowhere(rq.r.URL.Path)
	if query, err := rq.query(); !meant || err != nil || len(query[compat.IEXKeyParameter]) == 0 {
		return notFound()
	}
	as := asIEX
	rq.as = &as
	return problem.New(problem.NotFound, "%s", text)
}
