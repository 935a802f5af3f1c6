package saved_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/saved"
)

// Promise: the definitions of a project have no more bytes together than the ceiling, to the byte, drafts among them; the
// refusal names the ceiling and its setting, stores nothing and is in no audit. What adds no definition is not refused, a
// metric that is deleted makes room, and other projects have their own.
func TestRoom(t *testing.T) {
	t.Parallel()
	r := open(t)
	text := func(n, size int) jsontext.Value {
		d := fmt.Sprintf(`{"sql":"SELECT %d"}`, n)
		return jsontext.Value(strings.Replace(d, `"}`, ` `+strings.Repeat("-", size-len(d)-1)+`"}`, 1))
	}
	r.Service = saved.New(saved.Config{Store: r.store, Query: r.desk, Now: r.clock.Now, NewID: rand.Text, MaxBytes: 1000})
	r.save(t, "a", saved.Wanted{Definition: text(1, 400)})
	r.save(t, "b", saved.Wanted{Definition: text(2, 300), Draft: true})
	for _, id := range []string{"a", "c"} {
		_, _, err := r.Save(t.Context(), r.mine, id, saved.Wanted{Definition: text(3, 301)})
		p := problem.From(err)
		if p.Code != problem.MetricsFull || p.Ceiling == nil || p.Ceiling.Name != "metrics_bytes" || p.Ceiling.Limit != 1000 || !strings.Contains(p.Detail, "have 700 bytes") {
			t.Errorf("%s: %v", id, err)
		}
	}
	list, _, err := r.List(t.Context(), r.mine, "", 10)
	if err != nil || len(list) != 2 || list[0].Latest != 1 {
		t.Errorf("kept %+v, %v", list, err)
	}
	r.save(t, "a", saved.Wanted{Definition: text(3, 300)})
	r.save(t, "a", saved.Wanted{Definition: text(3, 300), Description: "full"})
	if _, err := r.Publish(t.Context(), r.mine, "a", 1, 0); err != nil {
		t.Error(err)
	}
	if _, _, err := r.Save(t.Context(), r.other, "a", saved.Wanted{Definition: text(3, 1000)}); err != nil {
		t.Errorf("another project's: %v", err)
	}
	if err := r.Delete(t.Context(), r.mine, "b", 0); err != nil {
		t.Fatal(err)
	}
	r.save(t, "c", saved.Wanted{Definition: text(4, 300)})
}
