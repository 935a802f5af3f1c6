package event_test

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
)

// Promise: whatever traits are, what is read of them is JSON, and what says what to do is no trait.
func FuzzReadTraits(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1}`, `{"$set":{"a":1},"a":2,"$set_once":{"b":null},"$unset":["c"]}`, `{"$set":1}`, `[]`, ``, `{"$unset":["a",1]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		traits, _ := event.ReadTraits(jsontext.Value(text))
		for _, all := range []map[string]jsontext.Value{traits.Set, traits.SetOnce} {
			for name, v := range all {
				if !v.IsValid(jsontext.AllowDuplicateNames(true)) {
					t.Errorf("%q is %q", name, v)
				}
			}
		}
	})
}
