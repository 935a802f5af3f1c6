package query

import (
	"fmt"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/view"
)

// hashPurpose begins what a project's key of hashes is derived for.
const hashPurpose = "view/hash/"

// Seen gives what a permit's holder may see: the permit's view, with hashes under a key that derive gives for a
// purpose. The same purpose gives the same key, so that whoever sees hashes in a project sees the same; without derive
// a view that hashes cannot be asked in.
func Seen(derive func(purpose string) ([]byte, error)) func(gate.Permit) (view.Scope, error) {
	sight := Sight(derive)
	return func(permit gate.Permit) (view.Scope, error) {
		s, err := sight(permit.Project(), permit.View())
		if err != nil {
			err = fmt.Errorf("query: what %s sees: %w", permit.Key().ID, err)
		}
		return s, err
	}
}

// Sight gives what a view of a project lets through, as Seen does of a permit's.
func Sight(derive func(purpose string) ([]byte, error)) func(project string, v *access.View) (view.Scope, error) {
	return func(project string, v *access.View) (view.Scope, error) {
		s, err := view.ScopeOf(v)
		if err != nil {
			return s, fmt.Errorf("the view: %w", err)
		}
		if derive != nil && view.Hashes(v) {
			secret, err := derive(hashPurpose + project)
			if err != nil {
				return view.Scope{Tables: []view.TableScope{}}, fmt.Errorf("the key of hashes: %w", err)
			}
			s.HashKey = view.NewHashKey(secret)
		}
		return s, nil
	}
}
