package job

import (
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Standing makes a Config.Stands: a job may go on as long as the key that asked for it is good, and whatever that comes of.
// The key may have been replaced by a new secret meanwhile. The operator may always.
func Standing(keys gate.Keys, now func() time.Time) func(Job) error {
	return func(j Job) error {
		lookup, ok := access.LookupOf(j.KeyID)
		if !ok {
			return nil
		}
		entry, found := keys.Lookup(lookup)
		if !found {
			return problem.New(problem.KeyNotAccepted, "The key that asked for the job is no longer there.")
		}
		if reason := access.Stands(entry.Key, now(), time.Time{}, time.Time{}); reason != access.Allowed {
			return problem.New(problem.KeyNotAccepted, "The key that asked for the job may do nothing any more: %s.", reason)
		}
		return nil
	}
}
