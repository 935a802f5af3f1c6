package rejected

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Filter says which entries are meant; what is empty says nothing.
type Filter struct {
	KeyID string
	Code  string
	Event string
	From  time.Time // that came then or later
	To    time.Time // that came before
}

// Page is a part of a list, the newest first.
type Page struct {
	Entries []Entry
	Next    string // where to go on; empty: it is the last
}

// List lists what was not accepted in the environment of the permit, the newest first.
//
// Problems: invalid_field for a cursor.
func (s *Service) List(permit gate.Permit, f Filter, cursor string, limit int) (Page, error) {
	return s.page(permit.Project(), permit.Environment(), f, cursor, limit)
}

// page lists a project's entries in an environment.
func (s *Service) page(project, environment string, f Filter, cursor string, limit int) (Page, error) {
	before := int64(math.MaxInt64)
	if cursor != "" {
		if before = numberOf(cursor); before < 0 {
			return Page{}, problem.Invalid("cursor", "is not one that a page gave")
		}
	}
	shelf, err := s.shelf(project)
	if err != nil {
		return Page{}, err
	}
	if oldest := s.oldest(); f.From.Before(oldest) {
		f.From = oldest
	}
	low := int64(0)
	if !f.From.IsZero() {
		low = numberAt(f.From)
	}
	if !f.To.IsZero() {
		before = min(before, numberAt(f.To))
	}
	found, err := shelf.newestOf(f.KeyID, low, before, limit+1, func(e *Entry) bool {
		return e.Environment == environment && (f.Code == "" || e.Code == f.Code) && (f.Event == "" || e.Event == f.Event)
	})
	if err != nil || len(found) <= limit {
		return Page{Entries: found}, err
	}
	return Page{found[:limit], found[limit-1].ID}, nil
}

// oldest is the time before which entries are not kept; the zero time when there is none.
func (s *Service) oldest() time.Time {
	if s.cfg.Keep <= 0 {
		return time.Time{}
	}
	return s.cfg.Now().Add(-s.cfg.Keep)
}

// newestOf finds the newest entries with numbers from low to before, of a key if one is named. Files are read without being
// held: of what is changed meanwhile it finds what was there before or after.
func (s *shelf) newestOf(key string, low, before int64, limit int, match func(*Entry) bool) ([]Entry, error) {
	var found []Entry
	for _, f := range s.between(key, low, before) {
		if len(found) >= limit && numberOf(found[limit-1].ID) > f.last {
			break
		}
		err := s.read(&f, func(e *Entry) {
			if n := numberOf(e.ID); n >= low && n < before && match(e) {
				found = append(found, *e)
			}
		})
		if err != nil {
			return nil, err
		}
		slices.SortFunc(found, func(a, b Entry) int { return cmp.Compare(b.ID, a.ID) })
		found = found[:min(len(found), limit)]
	}
	return found, nil
}

// between are the files that may have such numbers, those with the newest first.
func (s *shelf) between(key string, low, before int64) (list []file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if f.last >= low && f.first < before && (key == "" || f.key == key) {
			list = append(list, *f)
		}
	}
	slices.SortFunc(list, func(a, b file) int { return cmp.Compare(b.last, a.last) })
	return list
}

// byID finds entries by their ids, in the order of these. What is not there, or in another environment, is left out.
func (s *Service) byID(project, environment string, ids []string) ([]Entry, error) {
	shelf, err := s.shelf(project)
	if err != nil {
		return nil, err
	}
	found, low := map[string]Entry{}, int64(0)
	if oldest := s.oldest(); !oldest.IsZero() {
		low = numberAt(oldest)
	}
	for _, f := range shelf.between("", low, math.MaxInt64) {
		if !slices.ContainsFunc(ids, func(id string) bool { n := numberOf(id); return n >= f.first && n <= f.last }) {
			continue
		}
		err := shelf.read(&f, func(e *Entry) {
			if e.Environment == environment && numberOf(e.ID) >= low && slices.Contains(ids, e.ID) {
				found[e.ID] = *e
			}
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]Entry, 0, len(ids))
	for _, id := range ids {
		if e, ok := found[id]; ok {
			list = append(list, e)
		}
	}
	return list, nil
}
