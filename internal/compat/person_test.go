package compat_test

import (
	"encoding/json"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/profile"
)

// Promise: a profile is shown as UserFlux shows it, each id once, and what the asker may not see is empty and not missing.
func TestProfilesAsUserFluxHasThem(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]profile.Profile{
		`{"id":"u_1","anonymousIds":["a_1","a_2"],"properties":{"plan":"pro"},"computedProperties":{},"segments":[]}`: {
			PersonID: "u_1", DistinctIDs: []string{"a_1", "u_1", "a_2"}, AnonymousID: "a_2", Traits: jsontext.Value(`{"plan":"pro"}`),
		},
		`{"id":"asked","anonymousIds":[],"properties":{},"computedProperties":{},"segments":[]}`: {},
	} {
		got, err := json.Marshal(compat.UserFluxPersonOf("asked", &p))
		if err != nil || string(got) != want {
			t.Errorf("%s, %v\nwant %s", got, err, want)
		}
	}
}
