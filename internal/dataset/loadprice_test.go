package dataset

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/job"
)

// Promise: a load costs what it has written, however it ended, also when that is known from its place only; one that was to take
// the place of all records and did not costs nothing.
func TestLoadPrice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		class         access.Class
		to            string
		state         job.State
		place, result string
		want          int64
	}{
		"whole":                  {access.Core, "", job.Succeeded, `{"rows":9,"written":5}`, `{"written":7,"ignored":2}`, 7},
		"premium":                {access.Premium, "", job.Succeeded, "", `{"written":7}`, 70},
		"given up":               {access.Core, "", job.Failed, "", `{"written":7}`, 7},
		"not begun again":        {access.Core, "", job.Failed, `{"rows":9,"written":5}`, "", 5},
		"cancelled on the way":   {access.Premium, "", job.Cancelled, `{"rows":9,"written":5}`, "", 50},
		"never begun":            {access.Core, "", job.Cancelled, "", "", 0},
		"in the place of others": {access.Core, "ds_2", job.Succeeded, "", `{"written":7}`, 7},
		"not in their place":     {access.Core, "ds_2", job.Failed, `{"rows":9,"written":5}`, "", 0},
		"cut":                    {access.Core, "", job.Failed, `{"rows":`, "", 0},
	} {
		spec, err := json.Marshal(ingestSpec{ID: "D", UID: "ds_1", To: c.to, Class: c.class})
		if err != nil {
			t.Fatal(err)
		}
		j := job.Job{Kind: IngestKind, Spec: spec, State: c.state, Place: jsontext.Value(c.place), Result: jsontext.Value(c.result)}
		if got := LoadPrice().Of(j); got != c.want {
			t.Errorf("%s: %d, and not %d", name, got, c.want)
		}
	}
}
