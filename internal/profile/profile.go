// Package profile owns what is asked and told of one person by somebody who may: reading a profile by any of the
// person's ids, listing and searching profiles, changing traits, a person's events, and taking a person out.
//
//	permit -> Read, List, Events  -> query, in the view of whoever asks
//	permit -> Patch, Delete       -> event, through the journal as everything that is told
//
// It does not own which ids are one person (package graph), where they are kept (warehouse), who may ask (access, gate),
// nor the erasing of what is stored of a person: Delete takes a person out of what can be asked, and says under which ids
// there is something to erase.
//
// Problems: not_found, view_not_applied, invalid_field, and those of package query and of package event.
package profile

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// The bounds of a page of profiles.
const (
	DefaultPage = 50
	MaxPage     = 200
)

// Reader runs selections in the view of a permit's holder.
type Reader interface {
	Schema(permit gate.Permit) ([]view.Table, error)
	Select(ctx context.Context, permit gate.Permit, sel query.Selection, each func([]jsontext.Value) error) error
	Events(ctx context.Context, permit gate.Permit, f query.EventFilter) (query.EventPage, error)
}

// Recorder records events.
type Recorder interface {
	Record(ctx context.Context, permit gate.Permit, batch event.Batch) (event.Receipt, error)
}

// Service answers about people.
type Service struct {
	reader   Reader
	recorder Recorder
}

// New makes the service.
func New(reader Reader, recorder Recorder) *Service { return &Service{reader, recorder} }

// Profile is what the asker may see of a person; what is hidden is empty.
type Profile struct {
	PersonID    string         `json:"person_id,omitzero" doc:"How the person is called in SQL: persons.person_id and events.person_id."`
	DistinctIDs []string       `json:"distinct_ids,omitempty" doc:"All ids of the person, in the order in which they joined; at most 1000."`
	AnonymousID string         `json:"anonymous_id,omitzero" doc:"The newest anonymous id."`
	Traits      jsontext.Value `json:"traits,omitzero" doc:"What is known of the person, an object."`
	FirstSeenAt *time.Time     `json:"first_seen_at,omitempty" doc:"When they were first known."`
	UpdatedAt   *time.Time     `json:"updated_at,omitempty" doc:"When they were last identified."`
}

// Page is a part of a list.
type Page struct {
	Profiles   []Profile
	NextCursor string // empty on the last page
}

// columns are those of persons that a permit's holder may see.
func (s *Service) columns(permit gate.Permit) ([]string, error) {
	tables, err := s.reader.Schema(permit)
	if err != nil {
		return nil, err
	}
	var columns []string
	for _, t := range tables {
		for _, c := range t.Columns {
			if t.Name == "persons" && c.Name != "distinct_id" { // which is the person_id
				columns = append(columns, c.Name)
			}
		}
	}
	if !slices.Contains(columns, view.PersonID) {
		return nil, problem.New(problem.ViewNotApplied, "People are found by their ids, and these may not be seen.")
	}
	return columns, nil
}

// Read gives the profile of whoever has an id. An id that is only seen as a hash is asked for as that.
func (s *Service) Read(ctx context.Context, permit gate.Permit, id string) (Profile, error) {
	columns, err := s.columns(permit)
	if err != nil {
		return Profile{}, err
	}
	if err := checkID(id); err != nil {
		return Profile{}, err
	}
	where, named := "person_id = $id", map[string]jsontext.Value{"id": quoted(id)}
	if slices.Contains(columns, view.DistinctIDs) { // in which the id is a text; the first condition is quick and the second exact
		where += " OR contains(CAST(distinct_ids AS VARCHAR), $quoted) AND json_contains(distinct_ids, $quoted)"
		named["quoted"] = quoted(string(quoted(id)))
	}
	found, err := s.selected(ctx, permit, columns, query.Selection{SQL: where + " LIMIT 1", Named: named, Rows: 1})
	if err == nil && len(found) == 0 {
		err = problem.New(problem.NotFound, "There is no such person that the key may see.")
	}
	if err == nil && permit.Own() && !found[0].only(id) {
		err = problem.New(problem.PublicKeyNotEnough, "The id was joined with others, which may be somebody else's. Ask for this profile with a secret key.")
	}
	if err != nil {
		return Profile{}, err
	}
	return found[0], nil
}

// only reports whether all ids of a person are that of one user, or such as visitors and devices get from our clients:
// with a public key anybody can join any two ids. What a view hides of the ids cannot be known, and is nobody's own.
func (p *Profile) only(id string) bool {
	return len(p.DistinctIDs) > 0 && !slices.ContainsFunc(p.DistinctIDs, func(other string) bool {
		return other != id && !strings.HasPrefix(other, "anonymous-") && !strings.HasPrefix(other, "device-")
	})
}

// Search says which people to list. Without a Trait it is all.
type Search struct {
	Trait  string // the names that lead to it, parted by dots
	Op     string // =, !=, <, <=, >, >=; empty: =
	Value  string // as JSON a text, a number, true, false or null; anything else is a text as it stands
	Limit  int    // 0: DefaultPage
	Cursor string
}

// List lists people by their names.
func (s *Service) List(ctx context.Context, permit gate.Permit, search Search) (Page, error) {
	columns, err := s.columns(permit)
	if err != nil {
		return Page{}, err
	}
	where, named, err := search.condition(columns)
	if err != nil {
		return Page{}, err
	}
	if search.Limit == 0 {
		search.Limit = DefaultPage
	}
	if search.Limit < 1 || search.Limit > MaxPage {
		return Page{}, problem.Invalid("limit", "must be 1 to %d", MaxPage)
	}
	if search.Cursor != "" {
		after, err := base64.RawURLEncoding.DecodeString(search.Cursor)
		if err != nil || checkID(string(after)) != nil {
			return Page{}, problem.Invalid("cursor", "is not one that a page of this list gave")
		}
		where += " AND person_id > $after"
		named["after"] = quoted(string(after))
	}
	most := int64(search.Limit) + 1
	named["limit"] = jsontext.Value(strconv.FormatInt(most, 10))
	found, err := s.selected(ctx, permit, columns, query.Selection{SQL: where + " ORDER BY person_id LIMIT $limit", Named: named, Rows: most})
	if err != nil {
		return Page{}, err
	}
	page := Page{Profiles: found}
	if len(found) > search.Limit {
		page.Profiles = found[:search.Limit]
		page.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(found[search.Limit-1].PersonID))
	}
	return page, nil
}

// Events lists the events of whoever has an id, newest first. An id that is nobody's known is its own person's.
func (s *Service) Events(ctx context.Context, permit gate.Permit, id string, f query.EventFilter) (query.EventPage, error) {
	f.PersonID = id
	if p, err := s.Read(ctx, permit, id); err == nil {
		f.PersonID = p.PersonID
	} else if code := problem.Of(err); code != problem.NotFound && code != problem.ViewNotApplied {
		return query.EventPage{}, err
	}
	return s.reader.Events(ctx, permit, f)
}

// selected reads profiles where a condition holds.
func (s *Service) selected(ctx context.Context, permit gate.Permit, columns []string, sel query.Selection) (found []Profile, err error) {
	sel.SQL = "SELECT " + strings.Join(columns, ", ") + " FROM persons WHERE " + sel.SQL
	err = s.reader.Select(ctx, permit, sel, func(values []jsontext.Value) error {
		p, err := readProfile(columns, values)
		found = append(found, p)
		return err
	})
	return found, err
}

func readProfile(columns []string, values []jsontext.Value) (p Profile, err error) {
	if len(values) != len(columns) {
		return p, errors.New("profile: an answer of other columns than were asked for")
	}
	for i, v := range values {
		if v.Kind() == 'n' {
			continue
		}
		into := map[string]any{
			view.PersonID: &p.PersonID, view.DistinctIDs: &p.DistinctIDs, "anonymous_id": &p.AnonymousID, "traits": &p.Traits,
			"first_seen_at": &p.FirstSeenAt, "updated_at": &p.UpdatedAt,
		}[columns[i]]
		if err := json.Unmarshal(v, into, jsontext.AllowDuplicateNames(true)); err != nil {
			return p, err
		}
	}
	return p, nil
}

// checkID refuses what cannot be an id.
func checkID(id string) error {
	switch {
	case id == "" || len(id) > event.MaxIDBytes:
		return problem.Invalid("id", "must be 1 to %d bytes long", event.MaxIDBytes)
	case !utf8.ValidString(id) || strings.IndexByte(id, 0) >= 0:
		return problem.Invalid("id", "must be UTF-8 without a NUL character")
	}
	return nil
}

// quoted is a text as a parameter. The text is valid UTF-8.
func quoted(text string) jsontext.Value {
	v, _ := jsontext.AppendQuote(nil, text)
	return v
}
