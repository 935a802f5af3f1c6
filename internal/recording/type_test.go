package recording_test

import (
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/recording"
)

// Promise: a member of a chunk that is of another type is told with the type that it must be of.
func TestTypesOfMembersAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[]`:                                  "body: must be an object",
		`{"session_id":1}`:                    "session_id: must be a string",
		`{"session_id":"s","sequence":"1"}`:   "sequence: must be a whole number from 0 to 999999",
		`{"session_id":"s","sequence":1.5}`:   "sequence: must be a whole number from 0 to 999999",
		`{"session_id":"s","environment":[]}`: "environment: must be a string",
		`{"session_id":"s","events":{}}`:      "events: must be an array of objects",
		`{"session_id":"s","distinct_id":{}}`: "distinct_id: must be a string or a number",
	} {
		_, err := recording.ReadChunk([]byte(text))
		if p := problem.From(err); p.Code != problem.InvalidField || !strings.Contains(p.Detail, want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
