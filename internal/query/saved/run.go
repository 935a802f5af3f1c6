package saved

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/metric"
)

// Asked is a metric to run.
type Asked struct {
	Version     int64 // one that was published once; 0: the one that is
	Variables   map[string]jsontext.Value
	Around      map[string]jsontext.Value // for variables that are not given, if there are such: what a dashboard shows, say
	Format      query.Format
	Spreadsheet bool
	TimeZone    string // in the place of the definition's; empty: that one
	Note        query.Note
}

// Run runs the published version of a metric, or another that was published once. The answer must be closed.
//
// Problems: not_found, invalid_field for a version that is a draft and for each variable that is missing, unknown or does
// not fit (variables.NAME), invalid_sql when the statement does not fit the tables any more, and those of query.
func (s *Service) Run(ctx context.Context, permit gate.Permit, id string, a Asked) (*query.Answer, error) {
	m, v, err := s.find(ctx, permit, id, a.Version)
	switch {
	case problem.Of(err) == problem.NotFound && a.Version != 0 && m.Revision != 0, err == nil && a.Version != 0 && v.Draft():
		return nil, problem.Invalid("version", "is not one of metric %s that was published", id)
	case err != nil:
		return nil, err
	case m.Published == 0 && v.Draft():
		return nil, problem.New(problem.NotFound, "The metric %s is a draft: nothing of it is published.", id)
	}
	st, err := compiledIn(&v, a.TimeZone)
	if problem.Of(err) == problem.InvalidField {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("saved: metric %s, version %d: %w", id, v.Number, err)
	}
	a.Variables = a.filled(st)
	q, err := s.question(st, a)
	if err != nil {
		return nil, err
	}
	if q.TTL = ageFor(permit, time.Duration(v.CacheMinutes)*time.Minute); q.TTL > 0 {
		if q.Alike = s.alike(st, &v, a.Variables, q.Parameters); q.Alike != "" {
			q.Alike += a.TimeZone // a text in braces comes before it
		}
	}
	a.Note.Name = fmt.Sprintf("metric %s, version %d", id, v.Number)
	answer, err := s.cfg.Query.Ask(ctx, permit, query.Asked{Question: q, Note: a.Note})
	if err == nil {
		return answer, nil
	}
	return nil, s.unfit(ctx, permit, &m, &v, st, err)
}

// ageFor is how old an answer may be that the permit's holder gets, of what is kept so long by default: a client has its own
// measure, shorter or longer. What is never kept is made anew for a client too. The answers that are kept are shared by all
// who may see the same, and each asks for one by their own measure.
func ageFor(permit gate.Permit, otherwise time.Duration) time.Duration {
	if own := permit.Key().AnswerAge(); own > 0 && otherwise > 0 {
		return own
	}
	return otherwise
}

// filled are the variables that are given, and of what is around those that the statement has besides.
func (a *Asked) filled(st *metric.Statement) map[string]jsontext.Value {
	filled := maps.Clone(a.Variables)
	for _, v := range st.Variables {
		if value := a.Around[v.Name]; value != nil && filled[v.Name] == nil {
			if filled == nil {
				filled = map[string]jsontext.Value{}
			}
			filled[v.Name] = value
		}
	}
	return filled
}

// question is a statement with the values of its variables.
func (s *Service) question(st *metric.Statement, a Asked) (query.Question, error) {
	values, err := st.Bind(a.Variables, s.cfg.Now())
	if err != nil {
		return query.Question{}, err
	}
	q := query.Question{SQL: st.SQL, Format: a.Format, Spreadsheet: a.Spreadsheet}
	if len(values) > 0 {
		if q.Parameters, err = json.Marshal(values); err != nil {
			return q, fmt.Errorf("saved: write parameters: %w", err)
		}
	}
	return q, nil
}

// alike tells questions apart whose values change with the time, such as "now - 7 days": by the definition and by what was
// given, so that a kept answer is the answer to whoever gives the same. It is empty for all others, whose values do that.
func (s *Service) alike(st *metric.Statement, v *Version, given map[string]jsontext.Value, bound jsontext.Value) string {
	later, err := st.Bind(given, s.cfg.Now().Add(time.Hour))
	if err == nil {
		text, err := json.Marshal(later)
		if err == nil && (len(later) == 0 || bytes.Equal(text, bound)) {
			return ""
		}
	}
	text, err := json.Marshal(given, json.Deterministic(true))
	if err != nil {
		return ""
	}
	_ = (*jsontext.Value)(&text).Canonicalize() // it is valid
	sum := sha256.Sum256(v.Definition)
	return hex.EncodeToString(sum[:]) + string(text)
}

// unfit says of a metric that could not be run whether it still fits the tables. Whoever may run a metric need not know
// its SQL: the place is told and the line is not shown.
func (s *Service) unfit(ctx context.Context, permit gate.Permit, m *Metric, v *Version, st *metric.Statement, err error) error {
	at := source{field: "definition", place: st.Source}
	p, ok := errors.AsType[*problem.Error](at.explain(err))
	if !ok || p.Code != problem.InvalidSQL && p.Code != problem.SQLNotAllowed {
		return err
	}
	what := "cannot be answered with these values"
	if _, unfit := s.cfg.Query.Describe(ctx, permit, query.Question{SQL: st.SQL}); unfit != nil {
		what = "does not fit the tables that this key sees"
	}
	p.Detail = fmt.Sprintf("Version %d of the metric %s %s: %s", v.Number, m.ID, what, p.Detail)
	return query.Costing(p, query.Spent(err))
}

// Trial is what came of testing a definition.
type Trial struct {
	Statement *metric.Statement
	Answer    *query.Answer // must be closed
	Looked    int64         // about how many stored rows the engine looked at; query.Untold
}

// Close gives back what the answer holds.
func (t Trial) Close() error { return t.Answer.Close() }

// Test runs a definition without saving it.
func (s *Service) Test(ctx context.Context, permit gate.Permit, note query.Note, definition jsontext.Value, variables map[string]jsontext.Value) (Trial, error) {
	d, st, err := read(definition)
	if err != nil {
		return Trial{}, err
	}
	q, err := s.question(st, Asked{Variables: variables})
	if err != nil {
		return Trial{}, err
	}
	described, err := s.cfg.Query.Describe(ctx, permit, q)
	if err != nil {
		return Trial{}, sourceOf(&d, st).explain(err)
	}
	answer, err := s.cfg.Query.Ask(ctx, permit, query.Asked{Question: q, Note: note})
	return Trial{st, answer, described.Rows}, sourceOf(&d, st).explain(err)
}

// Question is SQL with placeholders whose variables are declared nowhere.
type Question struct {
	SQL       string
	Variables map[string]jsontext.Value
	Field     string // where in the request the SQL was
	Written   string // the SQL as it was sent, if SQL is a translation of it
	Source    func(line, column int) (int, int)
	TTL       time.Duration // how old the answer may be, unless the client that asks says it; 0: made anew
	Note      query.Note
}

// Unsaved runs SQL that is not saved. The answer must be closed.
func (s *Service) Unsaved(ctx context.Context, permit gate.Permit, u Question) (*query.Answer, error) {
	d, err := metric.Undeclared(u.SQL, u.Variables)
	if err != nil {
		return nil, err
	}
	st, err := metric.Compile(&d)
	if err != nil {
		return nil, err
	}
	q, err := s.question(st, Asked{Variables: u.Variables})
	if err != nil {
		return nil, err
	}
	q.TTL = ageFor(permit, u.TTL)
	answer, err := s.cfg.Query.Ask(ctx, permit, query.Asked{Question: q, Note: u.Note})
	at := source{u.Field, u.Written, func(line, column int) (int, int) { return u.Source(st.Source(line, column)) }}
	return answer, at.explain(err)
}
