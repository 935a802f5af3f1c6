package query

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// Datasets gives the datasets of a permit's environment that its holder may read: those called by some names, in any case,
// with all that they are made of, or all when no list is given. What may not be read is left out, as what is not there.
type Datasets func(ctx context.Context, permit gate.Permit, names []string) ([]view.Relation, error)

// PremiumCredits is what a record of the class premium costs that a statement can see.
const PremiumCredits = 10

// datasetsAmong are those of a statement's tables that are datasets.
func datasetsAmong(tables []string) []string {
	return slices.DeleteFunc(slices.Clone(tables), func(name string) bool { return slices.Contains(view.Tables(), name) })
}

// with is a scope with the datasets of some names.
func (s *Service) with(ctx context.Context, permit gate.Permit, scope view.Scope, names []string) (view.Scope, error) {
	if len(names) == 0 || s.datasets == nil {
		return scope, nil
	}
	there, err := s.datasets(ctx, permit, names)
	return scope.With(there), err
}

// withNamed is a scope with the datasets that a statement names. Of a statement that cannot be read there are none: what is
// wrong with it, running it says.
func (s *Service) withNamed(ctx context.Context, permit gate.Permit, scope view.Scope, sql string) (view.Scope, error) {
	if s.datasets == nil || !canBeRead(sql) {
		return scope, nil
	}
	names, known := s.named.recall(sql)
	if !known {
		facts, err := s.engine.Analyze(ctx, sql)
		if err != nil {
			return scope, err
		}
		names = datasetsAmong(facts.Tables)
		s.named.remember(sql, names)
	}
	return s.with(ctx, permit, scope, names)
}

// mayNameDatasets reports whether a statement, whose scope was made, names datasets, or may.
func (s *Service) mayNameDatasets(sql string) bool {
	names, known := s.named.recall(sql)
	return s.datasets != nil && (!known || len(names) > 0)
}

func canBeRead(sql string) bool { return checkSQL(sql) == nil }

// sees is the key of the scope that a statement runs in.
func (s *Service) sees(ctx context.Context, permit gate.Permit, sql string) (string, error) {
	_, st, err := s.sighted(permit)
	if err != nil {
		return "", err
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	scope, err := s.withNamed(ctx, permit, st.Scope, sql)
	if _, said := asProblem(err); said {
		err = nil // a statement that is wrong sees nothing
	}
	return scope.Key(), fault(ctx, err)
}

// premiumIn reports whether a scope has datasets of the class premium.
func premiumIn(scope view.Scope) bool {
	return slices.ContainsFunc(scope.Datasets, func(r view.Relation) bool { return r.Premium })
}

// scanned are the credits for the records of the class premium that a statement may look at: all that its scope shows of the
// datasets that it reads, as often as they are read, since any of them can be in an answer of one row.
// Those that are excepted are not counted.
func (s *Service) scanned(ctx context.Context, space event.Space, st *Statement, except ...string) (int64, error) {
	var counts []string
	for _, r := range st.Scope.Datasets {
		if r.Premium && !slices.Contains(except, strings.ToLower(r.Name)) {
			counts = append(counts, `(SELECT count(*) FROM "`+r.Name+`")`)
		}
	}
	if len(counts) == 0 {
		return 0, nil
	}
	count := *st
	count.SQL, count.Positional, count.Named = "SELECT "+strings.Join(counts, " + "), nil, nil
	rows, err := s.engine.Run(ctx, space, count)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }() // it is read, or has failed
	row, err := rows.Next()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.Trim(string(row), "[] \n"), 10, 64)
	return n * PremiumCredits, err
}

// costly is a failure of a statement that had looked at records of the class premium: that it fails, and on what, may tell
// of them as an answer does.
type costly struct {
	error
	credits int64
}

func (c costly) Unwrap() error { return c.error }

// Costing is an error with what it came to, which Spent tells. Whoever tells an error in other words gives them that of the
// error before.
func Costing(err error, credits int64) error {
	if err == nil || credits == 0 {
		return err
	}
	return costly{err, credits}
}

// costing is the error of a statement that may have looked at records for some credits. What fails before it reads any is not
// charged for them, and what its asker breaks off is: when that was may tell of them too.
func (s *Service) costing(ctx context.Context, space event.Space, st *Statement, err error, credits int64) error {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return Costing(err, credits)
	}
	p, said := asProblem(err)
	if credits == 0 || !said || p.Status() >= http.StatusInternalServerError && p.Code != problem.QueryTimeout {
		return err
	}
	if p.Code == problem.InvalidSQL {
		if _, before := s.engine.Describe(ctx, space, *st); before != nil {
			return err
		}
	}
	return Costing(err, credits)
}

// Spent are the credits that a question came to which failed, beside what a failure costs.
func Spent(err error) int64 {
	if c, ok := errors.AsType[costly](err); ok {
		return c.credits
	}
	return 0
}

// nameList remembers which datasets statements name, which depends on nothing but their text.
type nameList struct {
	mu   sync.Mutex
	kept map[[sha256.Size]byte][]string
}

// maxNameLists bounds a nameList; a list has no more names than its statement.
const maxNameLists = 4096

func newNameList() *nameList { return &nameList{kept: map[[sha256.Size]byte][]string{}} }

func (n *nameList) recall(sql string) ([]string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	names, known := n.kept[sha256.Sum256([]byte(sql))]
	return names, known
}

func (n *nameList) remember(sql string, names []string) {
	if len(names) > maxNamed {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kept) >= maxNameLists {
		clear(n.kept)
	}
	n.kept[sha256.Sum256([]byte(sql))] = names
}

// maxNamed is how many names of a statement are remembered.
const maxNamed = 32

// aboutTable says in a line what a table holds.
func aboutTable(table string) string {
	if slices.Contains(view.Tables(), table) {
		return about(table, "")
	}
	return "A dataset, one row for each of its records."
}

// aboutColumn says in a line what a column holds.
func aboutColumn(table, column string) string {
	if slices.Contains(view.Tables(), table) {
		return about(table, column)
	}
	switch column {
	case view.RecordBody:
		return "All of the record, an object."
	case view.RecordDate:
		return "The date of the record's index, in UTC."
	case view.RecordUpdated:
		return "When the record was written, in UTC."
	}
	return ""
}

func asProblem(err error) (*problem.Error, bool) { return errors.AsType[*problem.Error](err) }
