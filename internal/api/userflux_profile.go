package api

import (
	"context"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/profile"
)

type userFluxPerson struct {
	ID          string `path:"userId" maxLength:"200" doc:"Any id of the person." example:"u_1"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
}

// mountUserFluxProfile adds the reading of a profile as UserFlux has it (contracts C1), which is that of /v1/users/{id}.
func mountUserFluxProfile(a *API) {
	people := profile.New(a.cfg.Query, a.cfg.Events)
	mount(a, endpoint[userFluxPerson, compat.UserFluxPerson]{
		Method: "GET", Path: "/profile/{userId}", Of: compat.UserFlux, Action: access.ReadProfile, Read: bound[userFluxPerson](a),
		Wants: func(in userFluxPerson) access.Attempt { return oneUser(in).wants() },
		Do: func(ctx context.Context, permit gate.Permit, in userFluxPerson) (compat.UserFluxPerson, error) {
			p, err := people.Read(ctx, permit, in.ID)
			return compat.UserFluxPersonOf(in.ID, &p), err
		},
		Doc: doc{
			ID: "userFluxGetProfile", Tag: "Compatibility", Summary: "Read a person's profile, as UserFlux does",
			Text:     "The same as `/v1/users/{id}`, in other words. Nothing is computed here, and nobody is in segments: these are empty.",
			Problems: []problem.Code{problem.NotFound, problem.ViewNotApplied, problem.PublicKeyNotEnough},
		},
	})
}
