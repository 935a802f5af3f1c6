package query

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// Promise: what is remembered of surveys is bounded in number and in bytes, and what is over or replaced is not counted.
func TestSurveysAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	k := NewSurveys(func() time.Time { return now })
	counted := func() {
		t.Helper()
		sum := 0
		for of, known := range k.kept {
			sum += of.size() + known.survey.size()
		}
		if sum != k.bytes || sum > maxSurveyBytes || len(k.kept) > maxSurveys {
			t.Fatalf("%d surveys of %d bytes, counted as %d", len(k.kept), sum, k.bytes)
		}
	}
	of := func(i int) surveyed { return surveyed{"shop", "production", strconv.Itoa(i)} }
	large := Survey{Properties: []SeenProperty{{Name: strings.Repeat("x", 1<<20), Types: []string{"string"}}}}
	for i := range 40 {
		k.remember(of(i), large)
		k.remember(of(i), large)
		counted()
		if _, there := k.recall(of(i)); !there {
			t.Fatalf("%d is not remembered", i)
		}
	}
	if len(k.kept) != 15 {
		t.Errorf("%d large ones are kept", len(k.kept))
	}
	for i := range 2 * maxSurveys {
		k.remember(of(i), Survey{Names: []SeenName{{Name: "a"}}})
		counted()
	}
	now = now.Add(surveyKept)
	k.remember(of(0), Survey{Names: []SeenName{{Name: strings.Repeat("x", maxSurveyBytes)}}})
	if counted(); len(k.kept) != 0 {
		t.Errorf("%d are kept", len(k.kept))
	}
}
