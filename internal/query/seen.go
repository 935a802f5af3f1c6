package query

import (
	"fmt"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/view"
)

// hashPurpose begins what a project's key of hashes is derived for.
const hashPurpose = "view/hash/"

// Seen gives what a permit's holder may see: the permit's view, with hashes under a key that derive gives for a
// purpose. The same purpose gives the same key, so that whoever sees hashes in a project sees the same; without derive
// a view that hashes cannot be asked in.
func Seen(derive func(purpose string) ([]byte, error)) func(gate.Permit) (view.Scope, error) {
	return func(permit gate.Permit) (view.Scope, error) {
		v := permit.View()
		s, err := view.ScopeOf(v)
		if err != nil {
			return s, fmt.Errorf("query: the view of %s: %w", permit.Key().ID, err)
		}
		if derive != nil && view.Hashes(v) {
			secret, err := derive(hashPurpose + permit.Project())
			if err != nil {
				return view.Scope{Tables: []view.TableScope{}}, fmt.Errorf("query: the key of hashes: %w", err)
			}
			s.HashKey = view.NewHashKey(secret)
		}
		return s, nil
	}
}
