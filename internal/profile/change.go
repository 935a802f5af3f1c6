package profile

import (
	"context"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// source is the stamp of what is told of people here.
const source = "users"

// Change reads a change of traits as what it is: an identify event of the id. What is wrong with it is its problem.
func Change(id, environment string, traits jsontext.Value) (event.Batch, error) {
	if err := checkID(id); err != nil {
		return event.Batch{}, err
	}
	if len(traits) == 0 {
		traits = jsontext.Value("{}")
	}
	body, err := json.Marshal(struct {
		DistinctID  string         `json:"distinct_id"`
		Environment string         `json:"environment,omitzero"`
		Traits      jsontext.Value `json:"traits"`
	}{id, environment, traits}, jsontext.AllowDuplicateNames(true))
	if err != nil {
		return event.Batch{}, err
	}
	batch, err := event.ReadBatch(body, event.Shape{Kind: event.Identify, Source: source})
	if err == nil {
		err = batch.FirstProblem()
	}
	batch.Sync = true
	return batch, err
}

// Patch records a change, and waits until it can be read. The permit is for the batch's targets.
func (s *Service) Patch(ctx context.Context, permit gate.Permit, change event.Batch) (event.Receipt, error) {
	return s.recorder.Record(ctx, permit, change)
}

// Deleted is a person that was taken out.
type Deleted struct {
	Profile
	Queryable bool // the person is gone from every answer by now
}

// Delete takes whoever has an id out of what can be asked, and gives the ids under which there are events still. It
// takes that these may be seen. environment is as the permit was asked for.
func (s *Service) Delete(ctx context.Context, permit gate.Permit, id, environment string) (Deleted, error) {
	p, err := s.Read(ctx, permit, id)
	if err == nil && p.DistinctIDs == nil {
		err = problem.New(problem.ViewNotApplied, "A person is deleted by all their ids, and these may not be seen.")
	}
	if err != nil {
		return Deleted{}, err
	}
	receipt, err := s.recorder.Record(ctx, permit, event.Batch{
		Shape: event.Shape{Kind: event.Forget, Source: source}, Sync: true,
		Items: []event.Item{{Event: event.Event{Kind: event.Forget, DistinctID: id, Environment: environment}}},
	})
	return Deleted{Profile{PersonID: p.PersonID, DistinctIDs: p.DistinctIDs}, receipt.Queryable}, err
}
