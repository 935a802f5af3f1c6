package query

import (
	"github.com/weir-analytics/weir/internal/mention"
	"github.com/weir-analytics/weir/internal/problem"
)

// Forget drops the results of an environment that wait to be fetched, and gives how many there were. What runs in the
// background gets none: its rows may have been read before. The text goes of all runs that name one of some ids and are under
// way, or still to be written; when Forget returns, no other is on its way to the store. It is to be called when something in
// the environment was deleted, before the text is taken from what the store has. An answer for which somebody waits is of
// what was asked before.
func (r *Runs) Forget(project, environment string, ids []string) (dropped int64) {
	who := mention.Of(ids)
	r.writing.Lock() // what is being written is in the store by then
	defer r.writing.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	meant := func(run Run) bool { return run.Project == project && run.Environment == environment }
	for _, c := range r.current {
		if meant(c.run) && who.InStatement(c.run.SQL) {
			c.run.SQL = ""
		}
	}
	for id, run := range r.unsaved {
		if meant(run) && who.InStatement(run.SQL) {
			run.SQL = ""
			r.unsaved[id] = run
		}
	}
	return r.forget(func(j *job) bool {
		if !meant(j.run) {
			return false
		}
		if who.InStatement(j.sql) {
			j.sql = ""
		}
		return true
	})
}

// ForgetDatasets is Forget for the results of an environment that may be of datasets, when records of one were deleted. Which
// datasets are made of which is not looked at.
func (r *Runs) ForgetDatasets(project, environment string) (dropped int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forget(func(j *job) bool { return j.datasets && j.run.Project == project && j.run.Environment == environment })
}

// forget drops the results of jobs that are meant, and has those under way get none. The caller holds the lock.
func (r *Runs) forget(meant func(*job) bool) (dropped int64) {
	for _, j := range r.jobs {
		switch {
		case !meant(j):
		case j.over:
			r.drop(j)
			dropped++
		default:
			j.forgotten = true
		}
	}
	return dropped
}

// forgotten reports whether a job gets no result.
func (r *Runs) forgotten(j *job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return j.forgotten
}

// errForgotten is why a job that went well has no result.
func errForgotten() error {
	return problem.New(problem.ResultGone, "Data that the query may have read was deleted while it ran. Ask it again.")
}

// told is a run without its text, if that was taken from it. The caller holds the lock.
func (r *Runs) told(run Run) Run {
	if c := r.current[run.ID]; c != nil && c.run.SQL == "" {
		run.SQL = ""
	}
	return run
}
