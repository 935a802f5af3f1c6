package dataset

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/event"
)

// uidPrefix begins every uid of records.
const uidPrefix = "ds_"

// Sweep drops the records of a space that no dataset has, nor any job that is not over: what was to be dropped and could not
// be, or was being written by a job that ended without a word. It gives how many datasets' records these were. It may run
// while everything else does.
func (s *Service) Sweep(ctx context.Context, space event.Space) (dropped int, err error) {
	// In this order: what a job writes becomes a dataset's before the job is over, so it is seen with the one or with the other.
	uids, err := s.cfg.Records.RecordUIDs(ctx, space)
	if err != nil || len(uids) == 0 {
		return 0, err
	}
	held, err := s.heldByJobs(ctx, space)
	if err != nil {
		return 0, err
	}
	list, err := s.cfg.Store.Datasets(ctx, space.Project, space.Environment)
	if err != nil {
		return 0, err
	}
	for i := range list {
		held = append(held, list[i].UID)
	}
	for _, uid := range uids {
		if slices.Contains(held, uid) || !strings.HasPrefix(uid, uidPrefix) {
			continue
		}
		if err := s.drop(ctx, space, uid); err != nil {
			return dropped, fmt.Errorf("dataset: what no dataset has: %w", err)
		}
		dropped++
	}
	return dropped, nil
}

// heldByJobs are the uids that jobs which are not over read from or write to.
func (s *Service) heldByJobs(ctx context.Context, space event.Space) (uids []string, err error) {
	jobs, err := s.cfg.Jobs.Open(ctx)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if j.Project != space.Project || j.Environment != space.Environment || j.Kind != IngestKind && j.Kind != UpdateKind {
			continue
		}
		var holds struct {
			UID  string `json:"uid"`
			From string `json:"from"`
			To   string `json:"to"`
		}
		if err := json.Unmarshal(j.Spec, &holds); err != nil {
			return nil, fmt.Errorf("dataset: what the job %s holds: %w", j.ID, err)
		}
		uids = append(uids, holds.UID, holds.From, holds.To)
	}
	return uids, nil
}
