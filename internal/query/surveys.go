package query

import (
	"context"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
)

// Surveys remember surveys for a minute, for those who ask all the time. A survey is given to those only who see the same
// of the same environment.
type Surveys struct {
	now   func() time.Time
	mu    sync.Mutex
	kept  map[surveyed]remembered
	bytes int // of what is kept
}

// surveyed is what a survey is of.
type surveyed struct{ project, environment, sees string }

type remembered struct {
	survey Survey
	until  time.Time
	bytes  int
}

// The bounds of what is remembered.
const (
	maxSurveys     = 256
	maxSurveyBytes = 16 << 20 // of names and keys, and what goes with them, about
	surveyKept     = time.Minute
)

// NewSurveys makes Surveys that remember nothing yet.
func NewSurveys(now func() time.Time) *Surveys {
	return &Surveys{now: now, kept: map[surveyed]remembered{}}
}

// Of is what Service.Survey gives, up to a minute old. One that fails is remembered as empty, so that it is not tried
// again at once.
//
// Problems: those of finding out what the permit's holder may see.
func (k *Surveys) Of(ctx context.Context, s *Service, permit gate.Permit) (Survey, error) {
	space, sighted, err := s.sighted(permit)
	if err != nil {
		return Survey{}, err
	}
	of := surveyed{space.Project, space.Environment, sighted.Scope.Key()}
	if survey, there := k.recall(of); there {
		return survey, nil
	}
	survey, err := s.Survey(ctx, permit)
	if err != nil {
		survey = Survey{}
	}
	k.remember(of, survey)
	return survey, nil
}

func (k *Surveys) recall(of surveyed) (Survey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known, there := k.kept[of]
	return known.survey, there && k.now().Before(known.until)
}

// remember keeps a survey, in the place of those that are over or, when there are too many or too large ones, of any.
func (k *Surveys) remember(of surveyed, survey Survey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, size := k.now(), of.size()+survey.size()
	k.forget(of)
	for other, known := range k.kept {
		if len(k.kept) >= maxSurveys || k.bytes+size > maxSurveyBytes || !now.Before(known.until) {
			k.forget(other)
		}
	}
	if size > maxSurveyBytes {
		return
	}
	k.bytes += size
	k.kept[of] = remembered{survey, now.Add(surveyKept), size}
}

// forget gives up a survey, if there is one. The caller holds k.mu.
func (k *Surveys) forget(of surveyed) {
	k.bytes -= k.kept[of].bytes
	delete(k.kept, of)
}

// seenSize is what a name or a key takes besides its own bytes, about.
const seenSize = 64

func (of surveyed) size() int {
	return seenSize + len(of.project) + len(of.environment) + len(of.sees)
}

func (seen *Survey) size() int {
	bytes := 0
	for _, n := range seen.Names {
		bytes += seenSize + len(n.Name)
	}
	for _, p := range seen.Properties {
		bytes += 2*seenSize + len(p.Name) + seenSize*len(p.Types)
	}
	return bytes
}
