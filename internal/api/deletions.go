package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Deletion is what is to be deleted, and how far that is.
type Deletion struct {
	ID          string           `json:"id" example:"del_2W3FQ6DZL4XKYB5RA7TS"`
	Environment string           `json:"environment" example:"production"`
	Status      string           `json:"status" enum:"queued,running,succeeded,failed,cancelled"`
	Of          DeletionOf       `json:"of"`
	RequestedBy string           `json:"requested_by" doc:"The key that asked, 'operator', or 'system' for what an environment does not keep any longer."`
	CreatedAt   time.Time        `json:"created_at"`
	Code        string           `json:"code,omitzero" doc:"The problem that it failed with." example:"unavailable"`
	Detail      string           `json:"detail,omitzero"`
	Receipt     *DeletionReceipt `json:"receipt,omitempty" doc:"When it has succeeded." nullable:"false"`

	preview *DeletionPreview
}

// DeletionPreview is what a deletion would remove, as of now.
type DeletionPreview struct {
	Events         int64              `json:"events" doc:"That would be gone."`
	EventsChanged  int64              `json:"events_changed" doc:"Of others, that would lose an id of the person."`
	Persons        int64              `json:"persons" doc:"Who would be deleted."`
	PersonsChanged int64              `json:"persons_changed" doc:"Of whom something of the events tells: they would be made anew of what is left."`
	Records        int64              `json:"records" doc:"Of datasets, that the key wrote."`
	IDs            int                `json:"ids" doc:"How many ids the person has."`
	Parts          []deletion.Removed `json:"parts" doc:"What would be removed elsewhere, such as recordings."`
}

// DeletionOf is what a deletion is of. A person is named by a hash only.
type DeletionOf struct {
	Person string     `json:"person,omitzero" doc:"A keyed hash of the id that was asked for."`
	KeyID  string     `json:"key_id,omitzero" doc:"What this key sent."`
	Events []string   `json:"events,omitempty" doc:"Names of events." nullable:"false"`
	From   *time.Time `json:"from,omitempty" doc:"Received at this time or later." nullable:"false"`
	Until  *time.Time `json:"until,omitempty" doc:"Received before." nullable:"false"`
	Days   int        `json:"retention_days,omitzero" doc:"What the environment, which keeps events for so many days, did not keep any longer."`
	Found  int64      `json:"found,omitzero" doc:"How many events there were of that when it began."`
}

// DeletionReceipt says what was deleted, and proves it.
type DeletionReceipt struct {
	DeletionID  string             `json:"deletion_id"`
	Project     string             `json:"project"`
	Environment string             `json:"environment"`
	Of          DeletionOf         `json:"of"`
	RequestedBy string             `json:"requested_by"`
	RequestedAt time.Time          `json:"requested_at"`
	CompletedAt time.Time          `json:"completed_at"`
	Removed     []deletion.Removed `json:"removed" doc:"What was removed, where."`
	SHA256      string             `json:"sha256" doc:"Of the receipt without this, the next and the last member, in canonical form (RFC 8785); hexadecimal."`
	HMAC        string             `json:"hmac" doc:"HMAC-SHA-256 of the same under a secret of the server's master key; empty: it had none."`
	Verified    bool               `json:"verified" doc:"Whether this server has just found it to be what it wrote."`
}

// DeletionPage is one page of deletions.
type DeletionPage struct {
	Data       []Deletion `json:"data" doc:"The youngest first."`
	NextCursor *string    `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

type createDeletion struct {
	DryRun bool `query:"dry_run" doc:"Only counts what would be deleted, and deletes nothing."`
	Body   struct {
		Environment string    `json:"environment,omitzero" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
		Person      string    `json:"person,omitzero" maxLength:"200" doc:"Any id of the person; everything of them is deleted, under all their ids." example:"u_1"`
		KeyID       string    `json:"key_id,omitzero" maxLength:"64" doc:"Only what this key sent; without names of events also its chunks of recordings and its records of datasets." example:"key_3fQ9xT0aLmZk"`
		Events      []string  `json:"events,omitempty" maxItems:"100" doc:"Only events of these names." nullable:"false"`
		From        time.Time `json:"from,omitzero" doc:"Only what was received at this time or later."`
		Until       time.Time `json:"until,omitzero" doc:"Only what was received before."`
	}
}

type oneDeletion struct {
	ID          string `path:"id" maxLength:"64" doc:"The deletion." example:"del_2W3FQ6DZL4XKYB5RA7TS"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
}

type listDeletions struct {
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	Limit       int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor      string `query:"cursor" maxLength:"200" doc:"Where to go on, from the page before."`
}

func (in createDeletion) wish() deletion.Wish {
	b := in.Body
	return deletion.Wish{Person: b.Person, Of: deletion.Of{KeyID: b.KeyID, Events: b.Events, From: b.From.UTC(), Until: b.Until.UTC()}}
}

// mountDeletions adds the rows about deletions.
func mountDeletions(a *API) {
	mount(a, endpoint[createDeletion, Deletion]{
		Method: "POST", Path: "/v1/deletions", Action: access.WriteDeletions, Status: http.StatusAccepted, Read: bound[createDeletion](a),
		Wants: func(in createDeletion) access.Attempt { return inEnvironment(in.Body.Environment) },
		Do:    a.createDeletion,
		Write: func(rq *request, d Deletion) error {
			if d.preview != nil {
				return rq.writeJSON(http.StatusOK, d.preview)
			}
			return rq.writeJSON(http.StatusAccepted, d)
		},
		Doc: doc{
			ID: "createDeletion", Tag: deletionsTag, Summary: "Delete a person, or what a key sent", Problems: []problem.Code{problem.ViewNotApplied, problem.DatasetNotAllowed},
			Text: "Of a person everything goes: events, traits, recordings, and what was made of them, in every file. Of events those that fit all that is " +
				"named; persons are then what the other events make of them. With a key and no names of events, its chunks of recordings, its records of " +
				"datasets, its deliveries of workflows and what was refused of it go too. It goes on after a restart, and ends with a receipt. With dry_run nothing is " +
				"deleted: the answer is 200 and counts, part by part, what would be.",
			Statuses: map[int]reflect.Type{200: reflect.TypeFor[DeletionPreview]()},
			Examples: []example{deletionExample},
		},
	})
	mount(a, endpoint[listDeletions, DeletionPage]{
		Method: "GET", Path: "/v1/deletions", Action: access.ReadDeletions, Read: bound[listDeletions](a),
		Wants: func(in listDeletions) access.Attempt { return inEnvironment(in.Environment) },
		Do:    a.listDeletions,
		Doc: doc{
			ID: "listDeletions", Tag: deletionsTag, Summary: "List deletions", Problems: []problem.Code{problem.ViewNotApplied},
			Text: "All there ever were in the environment, with their receipts.",
		},
	})
	mount(a, endpoint[oneDeletion, Deletion]{
		Method: "GET", Path: "/v1/deletions/{id}", Action: access.ReadDeletions, Read: bound[oneDeletion](a),
		Wants: func(in oneDeletion) access.Attempt { return inEnvironment(in.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, in oneDeletion) (Deletion, error) {
			d, err := a.cfg.Deletions.Find(ctx, permit, in.ID)
			return a.deletionView(&d), err
		},
		Doc: doc{
			ID: "getDeletion", Tag: deletionsTag, Summary: "Look at a deletion", Problems: []problem.Code{problem.NotFound, problem.ViewNotApplied},
			Text: "How far it is, and its receipt when it is done.",
		},
	})
}

// deletionsTag is what the routes are listed under.
const deletionsTag = "Deletions"

func (a *API) createDeletion(ctx context.Context, permit gate.Permit, in createDeletion) (Deletion, error) {
	if in.DryRun {
		f, err := a.cfg.Deletions.Preview(ctx, permit, in.wish())
		return Deletion{preview: &DeletionPreview{f.Events, f.Changed, f.Persons, f.Remade, f.Records, f.IDs, f.Parts}}, err
	}
	r, err := a.cfg.Deletions.Submit(ctx, permit, in.wish())
	return a.deletionView(&deletion.Shown{Record: r, Status: "queued"}), err
}

func (a *API) listDeletions(ctx context.Context, permit gate.Permit, in listDeletions) (DeletionPage, error) {
	before, err := placeOf(in.Cursor)
	if err != nil {
		return DeletionPage{}, err
	}
	list, next, err := a.cfg.Deletions.List(ctx, permit, deletion.Place(before), orDefault(in.Limit, 50))
	page := DeletionPage{Data: make([]Deletion, len(list)), NextCursor: place(next).cursor()}
	for i := range list {
		page.Data[i] = a.deletionView(&list[i])
	}
	return page, err
}

func (a *API) deletionView(d *deletion.Shown) Deletion {
	view := Deletion{
		ID: d.ID, Environment: d.Environment, Status: string(d.Status), Of: deletionOf(&d.Of), RequestedBy: d.KeyID, CreatedAt: d.CreatedAt,
		Code: string(d.Code), Detail: d.Detail,
	}
	if s := d.Signed; s != nil {
		r := &s.Receipt
		view.Receipt = &DeletionReceipt{
			DeletionID: r.ID, Project: r.Project, Environment: r.Environment, Of: deletionOf(&r.Of), RequestedBy: r.By, RequestedAt: r.RequestedAt,
			CompletedAt: r.CompletedAt, Removed: r.Removed, SHA256: s.SHA256, HMAC: s.HMAC, Verified: a.cfg.Deletions.Verify(s),
		}
	}
	return view
}

func deletionOf(of *deletion.Of) DeletionOf {
	return DeletionOf{of.Person, of.KeyID, of.Events, timeOrNull(of.From), timeOrNull(of.Until), of.Days, of.Found}
}
