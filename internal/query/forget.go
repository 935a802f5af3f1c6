package query

import "strings"

// Forget drops the results of an environment that wait to be fetched, and takes the text from the runs that are still to be
// written and name one of some ids. It is to be called when something in the environment was deleted, and gives how many
// results there were. A result that is on its way then is of what was asked before.
func (r *Runs) Forget(project, environment string, ids []string) (dropped int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.jobs {
		if j.over && j.run.Project == project && j.run.Environment == environment {
			r.drop(j)
			dropped++
		}
	}
	for key, run := range r.unsaved {
		for _, id := range ids {
			if run.Project == project && run.Environment == environment && strings.Contains(run.SQL, id) {
				run.SQL = ""
				r.unsaved[key] = run
			}
		}
	}
	return dropped
}
