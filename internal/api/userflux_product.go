package api

import (
	"cmp"
	"context"
	"net/http"
	"reflect"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// UserFluxProduct is a product as UserFlux's clients send it (contracts C1): a record of the dataset that its type is.
type UserFluxProduct struct {
	ID         string         `json:"id" minLength:"1" maxLength:"1500" doc:"The key of the record." example:"p_1"`
	TypeID     string         `json:"typeId" minLength:"1" maxLength:"64" doc:"The name of the dataset." example:"SHOES"`
	Properties jsontext.Value `json:"properties" doc:"An object of the other properties."`
	Update     string         `json:"propertiesUpdateType,omitzero" enum:"FULL_UPDATE,INCREMENTAL_UPDATE" doc:"With INCREMENTAL_UPDATE, and by default, what is not named stays as it is; with FULL_UPDATE it is gone."`
	AI         jsontext.Value `json:"aiPropertyOverrides,omitzero" doc:"Passed over."`
}

type userFluxProduct struct {
	Environment string `query:"environment" maxLength:"64" doc:"By default the first one the key may use." example:"production"`
	Body        UserFluxProduct
	found       dataset.Dataset
}

type userFluxProductGone struct {
	TypeID      string `path:"typeId" maxLength:"64" doc:"The name of the dataset." example:"SHOES"`
	ProductID   string `path:"productId" maxLength:"1500" doc:"The key of the record." example:"p_1"`
	Environment string `query:"environment" maxLength:"64" doc:"By default the first one the key may use." example:"production"`
	found       dataset.Dataset
}

func (in *userFluxProduct) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: cmp.Or(in.Environment, dataset.Core), ID: in.Body.TypeID}, &in.found
}

func (in *userFluxProductGone) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: cmp.Or(in.Environment, dataset.Core), ID: in.TypeID}, &in.found
}

// placed is what a product that was written came to.
type placed struct{ credits int64 }

// mountUserFluxProducts adds the rows of UserFlux's products.
func mountUserFluxProducts(a *API) {
	mount(a, endpoint[userFluxProduct, placed]{
		Method: "POST", Path: "/product", Of: compat.UserFlux, Action: access.WriteDatasets, Status: http.StatusNoContent,
		Read: looking(a, bound[userFluxProduct](a)), Wants: wantsTo[userFluxProduct](access.WriteRecords),
		Do: func(ctx context.Context, permit gate.Permit, in userFluxProduct) (placed, error) {
			at, _ := in.where()
			d, err := a.cfg.Datasets.Place(ctx, permit, at, dataset.Single{Key: in.Body.ID, Values: in.Body.Properties, Merge: in.Body.Update != "FULL_UPDATE"})
			return placed{dataset.Credits(d.Class)}, err
		},
		Reserve: func(in userFluxProduct) int64 { return dataset.Credits(in.found.Class) },
		Price:   func(out placed) int64 { return out.credits },
		Write: func(rq *request, _ placed) error {
			rq.reply.WriteHeader(http.StatusNoContent)
			return nil
		},
		Doc: doc{
			ID: "userFluxPutProduct", Tag: "Compatibility", Summary: "Write a product, as UserFlux's clients do", Out: reflect.TypeFor[nothing](),
			Text: "A product is the one record of its id in the dataset that its type names, which must be there, with an index that has neither subkey nor date. " +
				"It is durable and can be read when the answer is there, and costs what a record costs.",
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound, problem.Conflict, problem.StorageFull},
		},
	})
	mount(a, endpoint[userFluxProductGone, nothing]{
		Method: "DELETE", Path: "/product/{typeId}/{productId}", Of: compat.UserFlux, Action: access.DeleteDatasets, Status: http.StatusNoContent,
		Read: looking(a, bound[userFluxProductGone](a)), Wants: wantsTo[userFluxProductGone](access.DeleteRecords),
		Do: func(ctx context.Context, permit gate.Permit, in userFluxProductGone) (nothing, error) {
			at, _ := in.where()
			_, err := a.cfg.Datasets.DeleteRecords(ctx, permit, at, dataset.Doomed{Key: in.ProductID})
			return nothing{}, err
		},
		Doc: doc{
			ID: "userFluxDeleteProduct", Tag: "Compatibility", Summary: "Delete a product, as UserFlux's clients do",
			Text: "All records of the key are gone, also when there were none.", Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound},
		},
	})
}
