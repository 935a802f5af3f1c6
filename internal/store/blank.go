package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/mention"
	"github.com/weir-analytics/weir/internal/workflow"
)

// blankPage is how many rows are looked at in one go.
const blankPage = 50

// named is a text of a row in which somebody may be named.
type named struct{ id, text string }

func scanNamed(row scanner) (n named, err error) {
	err = row.Scan(&n.id, &n.text)
	return n, err
}

// BlankStatements implements deletion.Control.
func (s *Store) BlankStatements(ctx context.Context, project, environment string, ids []string) (changed int64, err error) {
	who, after := mention.Of(ids), ""
	for !who.None() {
		page, err := list(ctx, s.read, scanNamed, `SELECT id, statement FROM query_runs
			WHERE project_id = $1 AND environment = $2 AND statement <> '' AND id > $3 ORDER BY id LIMIT $4`, project, environment, after, blankPage)
		if err != nil || len(page) == 0 {
			return changed, err
		}
		for _, n := range page {
			if after = n.id; !who.InStatement(n.text) {
				continue
			}
			if _, err := s.write.ExecContext(ctx, `UPDATE query_runs SET statement = '' WHERE id = $1`, n.id); err != nil {
				return changed, fmt.Errorf("store: forget statements: %w", s.fault(err))
			}
			changed++
		}
	}
	return changed, nil
}

// heldJob is what a job that has ended holds in which somebody may be named.
type heldJob struct {
	id                  string
	spec, place, result string
	detail              string
}

func scanHeldJob(row scanner) (j heldJob, err error) {
	err = row.Scan(&j.id, &j.spec, &j.place, &j.result, &j.detail)
	return j, err
}

// without is a job without what names somebody, and whether anything does.
func (j heldJob) without(who mention.IDs) (blank heldJob, changed bool) {
	blank = j
	for _, text := range [...]*string{&blank.spec, &blank.place, &blank.result} {
		rest, some := who.Without(jsontext.Value(*text))
		*text, changed = string(rest), changed || some
	}
	if who.InText(j.detail) {
		blank.detail, changed = "", true
	}
	return blank, changed
}

// BlankJobs implements deletion.Control.
func (s *Store) BlankJobs(ctx context.Context, project, environment string, ids []string) (changed int64, err error) {
	who, after := mention.Of(ids), ""
	for !who.None() {
		page, err := list(ctx, s.read, scanHeldJob, `SELECT id, spec, place, result, detail FROM jobs
			WHERE project_id = $1 AND environment = $2 AND ended_at IS NOT NULL AND id > $3 ORDER BY id LIMIT $4`, project, environment, after, blankPage)
		if err != nil || len(page) == 0 {
			return changed, err
		}
		for i := range page {
			after = page[i].id
			blank, some := page[i].without(who)
			if !some {
				continue
			}
			_, err := s.write.ExecContext(ctx, `UPDATE jobs SET spec = $2, place = $3, result = $4, detail = $5 WHERE id = $1 AND ended_at IS NOT NULL`,
				blank.id, blank.spec, blank.place, blank.result, blank.detail)
			if err != nil {
				return changed, fmt.Errorf("store: forget who is named in jobs: %w", s.fault(err))
			}
			changed++
		}
	}
	return changed, nil
}

// dropNaming removes the deliveries of an environment that are about one of some ids or name one in their body, and answers that name
// one, or with dry only counts them.
func (f Workflows) dropNaming(ctx context.Context, project, environment string, ids []string, dry bool) (dropped int64, err error) {
	who, after, of := mention.Of(ids), workflow.Delivery{}, workflow.Workflow{}
	for !who.None() {
		page, err := f.deliveriesAfter(ctx, project, environment, &after)
		if err != nil || len(page) == 0 {
			return dropped, err
		}
		for i := range page {
			d := &page[i]
			if after = *d; of.ID != d.Workflow {
				of, err = f.FindWorkflow(ctx, workflow.At{Project: project, Environment: environment, ID: d.Workflow})
				if errors.Is(err, workflow.ErrNone) { // its deliveries are gone with it
					continue
				}
				if err != nil {
					return dropped, err
				}
			}
			var how string
			switch {
			case slices.Contains(ids, d.UserID) || of.Names(who, d.Body):
				how = `DELETE FROM workflow_deliveries WHERE id = $1`
			case who.InText(d.Excerpt): // which says nothing of what is sent
				how = `UPDATE workflow_deliveries SET excerpt = '' WHERE id = $1`
			default:
				continue
			}
			n := 1
			if !dry {
				n, err = f.s.remove(ctx, how, d.ID)
			}
			if dropped += int64(n); err != nil {
				return dropped, err
			}
		}
	}
	return dropped, nil
}

// deliveriesAfter are some deliveries of an environment, those of each workflow together, behind one; the zero one: the first.
func (f Workflows) deliveriesAfter(ctx context.Context, project, environment string, after *workflow.Delivery) ([]workflow.Delivery, error) {
	where := conditions{text: `project_id = $1 AND environment = $2`, args: []any{project, environment}}
	if after.ID != "" {
		where.after("workflow_id, created_at, id", ">", after.Workflow, after.CreatedAt.UnixMicro(), after.ID)
	}
	limit := where.limit(blankPage)
	return list(ctx, f.s.read, scanDelivery, `SELECT `+deliveryColumns+` FROM workflow_deliveries
		WHERE `+where.text+` ORDER BY workflow_id, created_at, id LIMIT `+limit, where.args...)
}
