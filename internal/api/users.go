package api

import (
	"context"
	"reflect"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/profile"
	"github.com/weir-analytics/weir/internal/query"
)

// UserPage is one page of a list of people.
type UserPage struct {
	Data       []profile.Profile `json:"data" doc:"By person_id."`
	NextCursor *string           `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// UserChanged says what became of a change.
type UserChanged struct {
	OK        bool   `json:"ok" doc:"The change is durable."`
	TaskID    string `json:"task_id" doc:"Names the request in the logs."`
	Queryable bool   `json:"queryable" doc:"It can be read now; false when that took too long, and it will be soon."`
}

// UserDeleted says who was taken out.
type UserDeleted struct {
	PersonID    string   `json:"person_id" doc:"How the person was called."`
	DistinctIDs []string `json:"distinct_ids" doc:"All ids that they had."`
	Queryable   bool     `json:"queryable" doc:"The person is in no answer any more; false when that took too long, and it will be so soon."`
	DeletionID  string   `json:"deletion_id,omitzero" doc:"The deletion of all that there is of them. A key with a view begins none: what is stored stays." example:"del_2W3FQ6DZL4XKYB5RA7TS"`
}

type oneUser struct {
	ID          string `path:"id" maxLength:"200" doc:"Any id of the person." example:"u_1"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
}

func (in oneUser) wants() access.Attempt {
	return access.Attempt{Targets: []access.Target{{Environment: in.Environment, User: in.ID}}}
}

// getUserShown is oneUser as the document shows it for a reading: the user token is read with the credential.
type getUserShown struct {
	ID          string `path:"id" maxLength:"200" doc:"Any id of the person; with a user token, the one that it was made for." example:"u_1"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	UserToken   string `header:"X-User-Token" doc:"With a public key: the token of the user whose profile it is."`
}

type mintUserToken struct {
	ID   string `path:"id" maxLength:"200" doc:"The user's id." example:"u_1"`
	Body struct {
		Environment string `json:"environment,omitzero" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
		Lifetime    int    `json:"lifetime,omitzero" minimum:"60" maximum:"3600" doc:"Seconds; by default as the server's access tokens."`
	} `optional:"true"`
}

// UserToken is a token that was made for a user.
type UserToken struct {
	Token     string    `json:"token" doc:"To be sent in X-User-Token."`
	UserID    string    `json:"user_id"`
	ExpiresAt time.Time `json:"expires_at"`
	ExpiresIn int       `json:"expires_in" doc:"Seconds."`
}

type listUsers struct {
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	Trait       string `query:"trait" maxLength:"1000" doc:"Only people with this trait: the names that lead to it, parted by dots." example:"plan"`
	Op          string `query:"op" enum:"=,!=,<,<=,>,>=" doc:"How the trait compares with the value; = by default."`
	Value       string `query:"value" maxLength:"1000" doc:"A text, or as JSON a number, true, false, null or a text in quotation marks. Only values of its own kind are compared." example:"pro"`
	Limit       int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor      string `query:"cursor" maxLength:"1000" doc:"Where to go on, from the page before."`
}

type listUserEvents struct {
	ID          string `path:"id" maxLength:"200" doc:"Any id of the person." example:"u_1"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	Limit       int    `query:"limit" minimum:"1" maximum:"1000" doc:"How many at the most; by default 100."`
	Cursor      string `query:"cursor" maxLength:"1000" doc:"Where to go on, from the page before."`
}

type changeUser struct {
	ID   string `path:"id" maxLength:"200" doc:"The person's id; one that is new becomes a person." example:"u_1"`
	Body struct {
		Traits      jsontext.Value `json:"traits" doc:"An object: what to set, with $set_once for what to set where there is nothing and $unset for names to take away."`
		Environment string         `json:"environment,omitzero" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	}
	change event.Batch
}

func mountUsers(a *API) {
	mountDeletions(a)
	people := profile.New(a.cfg.Query, a.cfg.Events)
	mount(a, endpoint[listUsers, UserPage]{
		Method: "GET", Path: "/v1/users", Action: access.ReadUsers,
		Read:  bound[listUsers](a),
		Wants: func(in listUsers) access.Attempt { return inEnvironment(in.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, in listUsers) (UserPage, error) {
			return listed(people.List(ctx, permit, in.search()))
		},
		Doc: doc{
			ID: "listUsers", Tag: "Users", Summary: "List people, or find them by a trait",
			Text:     "The people who are known: those who were identified. What a key's view hides is not there.",
			Problems: []problem.Code{problem.ViewNotApplied},
		},
	})
	mount(a, endpoint[oneUser, profile.Profile]{
		Method: "GET", Path: "/v1/users/{id}", Action: access.ReadProfile,
		Read: bound[oneUser](a), Wants: oneUser.wants, Cross: true,
		Do: func(ctx context.Context, permit gate.Permit, in oneUser) (profile.Profile, error) {
			return people.Read(ctx, permit, in.ID)
		},
		Doc: doc{
			ID: "getUser", Tag: "Users", Summary: "Read a person's profile",
			Text: "By any id that the person has: of a user, of an anonymous visit, of a device. Who was only seen in events, under an id that nobody has claimed, has " +
				"none: 404. With a public key it takes a user token beside it, in " +
				"`X-User-Token`, and gives the profile of that user only.",
			In:       reflect.TypeFor[getUserShown](),
			Problems: []problem.Code{problem.NotFound, problem.ViewNotApplied, problem.PublicKeyNotEnough},
		},
	})
	mount(a, endpoint[mintUserToken, UserToken]{
		Method: "POST", Path: "/v1/users/{id}/token", Action: access.MintUserTokens, Status: 201,
		Read:  bound[mintUserToken](a),
		Wants: func(in mintUserToken) access.Attempt { return inEnvironment(in.Body.Environment) },
		Do:    a.mintUserToken,
		Doc: doc{
			ID: "createUserToken", Tag: "Users", Summary: "Make a token for a user",
			Text: "For the page or the app of a user whom your back end knows: beside a public key it reads that user's own profile, by the same id and in the " +
				"same environment, and nothing else. It ends when the key that made it is revoked, narrowed or rotated away.",
			Problems: []problem.Code{problem.PublicKeyNotEnough},
			Examples: []example{userTokenExample},
		},
	})
	mount(a, endpoint[changeUser, UserChanged]{
		Method: "PATCH", Path: "/v1/users/{id}", Action: access.IdentifyUsers,
		Read:  readChange(a),
		Cross: true,
		Wants: func(in changeUser) access.Attempt { return access.Attempt{Targets: in.change.Targets()} },
		Do: func(ctx context.Context, permit gate.Permit, in changeUser) (UserChanged, error) {
			receipt, err := people.Patch(ctx, permit, in.change)
			return UserChanged{OK: err == nil, TaskID: receipt.TaskID, Queryable: receipt.Queryable}, err
		},
		Doc: doc{
			ID: "patchUser", Tag: "Users", Summary: "Change a person's traits",
			Text:     "The same as an identify event with the id, which is answered when it can be read. It says nothing of what is known of the person already.",
			Problems: []problem.Code{problem.StorageFull, problem.EventTooLarge},
			Examples: []example{patchUserExample},
		},
	})
	mount(a, endpoint[oneUser, UserDeleted]{
		Method: "DELETE", Path: "/v1/users/{id}", Action: access.DeleteUsers,
		Read: bound[oneUser](a), Wants: oneUser.wants,
		Do: func(ctx context.Context, permit gate.Permit, in oneUser) (UserDeleted, error) {
			return a.deleteUser(ctx, permit, people, in)
		},
		Doc: doc{
			ID: "deleteUser", Tag: "Users", Summary: "Delete a person",
			Text: "The same as a deletion of the person: the profile and all events are gone, and the ids are nobody's. Who is identified with one of them later " +
				"begins anew. Somebody of whom there are only events, under an id that nobody has claimed, is deleted too; of whom there is nothing, it is 404. " +
				"A key with a view takes a person who is known out of all answers only; the events stay.",
			Problems: []problem.Code{problem.NotFound, problem.ViewNotApplied, problem.StorageFull},
		},
	})
	mount(a, endpoint[listUserEvents, EventPage]{
		Method: "GET", Path: "/v1/users/{id}/events", Action: access.ReadTimeline,
		Read:  bound[listUserEvents](a),
		Wants: func(in listUserEvents) access.Attempt { return inEnvironment(in.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, in listUserEvents) (EventPage, error) {
			page, err := people.Events(ctx, permit, in.ID, query.EventFilter{Limit: orDefault(in.Limit, 100), Cursor: in.Cursor})
			return EventPage{Data: page.Events, NextCursor: cursor(page.NextCursor)}, err
		},
		Doc: doc{
			ID: "listUserEvents", Tag: "Users", Summary: "List a person's events",
			Text:     "Newest first by the time they were received: all events under any id of the person, also those from before they were known.",
			Problems: []problem.Code{problem.ViewNotApplied},
		},
	})
}

// deleteWait is how long the answer waits for a deletion to be done.
const deleteWait = 10 * time.Second

// deleteUser deletes a person. A key that may not see everything deletes nothing that it does not see.
func (a *API) deleteUser(ctx context.Context, permit gate.Permit, people *profile.Service, in oneUser) (UserDeleted, error) {
	if a.cfg.Deletions == nil || permit.View() != nil {
		d, err := people.Delete(ctx, permit, in.ID, in.Environment)
		return UserDeleted{PersonID: d.PersonID, DistinctIDs: d.DistinctIDs, Queryable: d.Queryable}, err
	}
	p, err := people.Read(ctx, permit, in.ID)
	if problem.Of(err) == problem.NotFound {
		p, err = a.unknown(ctx, permit, in.ID, err)
	}
	if err != nil {
		return UserDeleted{}, err
	}
	r, err := a.cfg.Deletions.Submit(ctx, permit, deletion.Wish{Person: in.ID})
	if err != nil {
		return UserDeleted{}, err
	}
	wait, cancel := context.WithTimeout(ctx, deleteWait)
	defer cancel()
	done, err := a.cfg.Deletions.Await(wait, permit, r.ID)
	return UserDeleted{p.PersonID, p.DistinctIDs, done, r.ID}, err
}

// unknown is whoever has an id that nobody has claimed, of whom there are events or something else that a deletion removes; where
// there is nothing of them it gives missing.
func (a *API) unknown(ctx context.Context, permit gate.Permit, id string, missing error) (profile.Profile, error) {
	found, err := a.cfg.Deletions.Preview(ctx, permit, deletion.Wish{Person: id})
	if err != nil {
		return profile.Profile{}, err
	}
	if !found.Any() {
		return profile.Profile{}, missing
	}
	return profile.Profile{PersonID: id, DistinctIDs: []string{id}}, nil
}

func (a *API) mintUserToken(ctx context.Context, permit gate.Permit, in mintUserToken) (UserToken, error) {
	if event.Reserved(in.ID) {
		return UserToken{}, problem.Invalid("id", "is nobody's: it is reserved")
	}
	t, err := a.cfg.Tokens.MintUser(ctx, permit.UserToken(in.ID), time.Duration(in.Body.Lifetime)*time.Second)
	if err != nil {
		return UserToken{}, err
	}
	return UserToken{Token: t.Text.Reveal(), UserID: in.ID, ExpiresAt: t.ExpiresAt, ExpiresIn: int(t.Lifetime.Seconds())}, nil
}

func (in listUsers) search() profile.Search {
	return profile.Search{Trait: in.Trait, Op: in.Op, Value: in.Value, Limit: orDefault(in.Limit, profile.DefaultPage), Cursor: in.Cursor}
}

func listed(page profile.Page, err error) (UserPage, error) {
	out := UserPage{Data: page.Profiles, NextCursor: cursor(page.NextCursor)}
	if out.Data == nil {
		out.Data = []profile.Profile{}
	}
	return out, err
}

// readChange reads a change of traits as the event that it is.
func readChange(a *API) func(*request) (changeUser, error) {
	read := bound[changeUser](a)
	return func(rq *request) (changeUser, error) {
		in, err := read(rq)
		if err == nil {
			in.change, err = profile.Change(in.ID, in.Body.Environment, in.Body.Traits)
		}
		return in, err
	}
}
