package compat

import (
	"cmp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/profile"
)

// UserFluxPerson is a profile as UserFlux shows it (contracts C1). Nothing is computed here and nobody is in segments: these are
// empty.
type UserFluxPerson struct {
	ID                 string         `json:"id" doc:"How the person is called." example:"u_1"`
	AnonymousIDs       []string       `json:"anonymousIds" doc:"The person's other ids."`
	Properties         jsontext.Value `json:"properties" doc:"What is known of the person, an object."`
	ComputedProperties struct{}       `json:"computedProperties" doc:"Always empty: nothing is computed here."`
	Segments           []string       `json:"segments" doc:"Always empty: there are no segments here."`
}

// UserFluxPersonOf translates what the asker may see of a person who was asked for by an id.
func UserFluxPersonOf(id string, p *profile.Profile) UserFluxPerson {
	out := UserFluxPerson{ID: cmp.Or(p.PersonID, id), AnonymousIDs: []string{}, Properties: p.Traits, Segments: []string{}}
	for _, other := range append(slices.Clone(p.DistinctIDs), p.AnonymousID) {
		if other != "" && other != out.ID && !slices.Contains(out.AnonymousIDs, other) {
			out.AnonymousIDs = append(out.AnonymousIDs, other)
		}
	}
	if out.Properties == nil {
		out.Properties = jsontext.Value("{}")
	}
	return out
}
