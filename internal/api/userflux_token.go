package api

import (
	"context"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
)

// userFluxClient is where UserFlux's clients say who they are (contracts C2).
var userFluxClient = clientMembers{secret: "clientSecret", of: "environmentApiKey"}

type userFluxExchange struct {
	Body struct {
		ClientSecret      secretText `json:"clientSecret" minLength:"1" maxLength:"200" doc:"The secret of a client."`
		EnvironmentAPIKey secretText `json:"environmentApiKey" minLength:"1" maxLength:"200" doc:"The key that the client comes of: its id, or the key itself." example:"key_3fQ9xT0aLmZk"`
	}
}

// UserFluxToken is an access token under every name that a client may look for: UserFlux's documentation shows none.
type UserFluxToken struct {
	Token     string `json:"accessToken"`
	Again     string `json:"access_token"`
	Type      string `json:"token_type" enum:"Bearer"`
	Seconds   int64  `json:"expires_in"`
	Remaining int64  `json:"expiresIn"`
}

func mountUserFluxToken(a *API) {
	mount(a, endpoint[userFluxExchange, UserFluxToken]{
		Method: "POST", Path: "/metrics/auth/token", Of: compat.UserFlux, Action: access.ExchangeTokens, As: asOAuth,
		Credential: clientCredential(userFluxClient), Read: bound[userFluxExchange](a), Wants: wantsNothing[userFluxExchange],
		Do: func(ctx context.Context, permit gate.Permit, _ userFluxExchange) (UserFluxToken, error) {
			made, err := a.mintToken(ctx, permit, token.Request{})
			return UserFluxToken{made.AccessToken, made.AccessToken, made.TokenType, made.ExpiresIn, made.ExpiresIn}, err
		},
		Doc: doc{
			ID: "exchangeUserFluxToken", Tag: "Tokens", Summary: "Exchange a client's secret for an access token, as UserFlux has it",
			Text:     "The same as the route of OAuth, for programs that were written for UserFlux.",
			Problems: []problem.Code{problem.InvalidScope, problem.InvalidGrant},
		},
	})
}
