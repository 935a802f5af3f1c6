package dataset_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: the file of a job from which a deletion took how it is to be loaded is not loaded once more in another way.
func TestABlankedJobIsNotDoneOnceMore(t *testing.T) {
	t.Parallel()
	s := dataset.New(dataset.Config{NewID: func() string { return "x" }})
	for _, spec := range []string{`{}`, `{"id":"d","uid":"ds_1","content_type":"text/csv"}`, `{"id":"d","uid":"ds_1","date":"2026-01-01T00:00:00Z"}`} {
		j := job.Job{Kind: dataset.IngestKind, State: job.Failed, Spec: jsontext.Value(spec)}
		_, err := s.Reload(t.Context(), gate.Permit{}, j, t.TempDir(), t.TempDir(), access.Core)
		if problem.From(err).Code != problem.Conflict || !strings.Contains(err.Error(), "is to be loaded") {
			t.Errorf("%s: %v", spec, err)
		}
	}
}
