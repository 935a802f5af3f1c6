package app

import (
	"context"
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// The bounds of what is asked.
const (
	MaxState        = 2048 // bytes
	maxEnvironments = 32
)

// environments are the names that an environment can have (org.EnvironmentPattern).
var environments = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Asked is what an app asks a person for.
type Asked struct {
	App          App
	Redirect     string
	State        string
	Scopes       access.Scopes
	Environments []string // empty: all of the app's mode that the key of whoever lets it in may use
	Challenge    string
	Resource     string
	Thumbprint   string
}

// Refusal is a request that cannot be granted, and that the app is told about by sending the person back to it.
type Refusal struct {
	Redirect    string
	State       string
	Code        string // as RFC 6749 section 4.1.2.1 has them
	Description string // in ASCII
}

// Error is the description.
func (r *Refusal) Error() string { return r.Code + ": " + r.Description }

// Never are the scopes that no app is let in with: a key that it made with them would outlive it.
const Never = access.KeysWrite

// Parameters lists what a request is made of. All else is passed over (RFC 6749 section 3.1).
func Parameters() []string {
	return []string{
		"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method", "response_mode", "resource",
		"environment", "dpop_jkt", "request", "request_uri",
	}
}

// Read reads what an app asks for. The error is a *Refusal when the app is to be told; when it is not certain whom the person
// would be sent to, it is a problem, which is for the person's eyes.
func (s *Service) Read(ctx context.Context, values url.Values) (asked Asked, err error) {
	if len(values["client_id"]) != 1 || len(values["redirect_uri"]) != 1 {
		return asked, problem.New(problem.InvalidRequest, "The address that sent you here must name an app (client_id) and where to go back to (redirect_uri), each once.")
	}
	a, found, err := s.Find(ctx, values.Get("client_id"))
	if err != nil {
		return asked, err
	}
	if !found {
		return asked, problem.New(problem.InvalidRequest, "No app is registered here under the client_id that sent you here, or it was revoked.").At("client_id", "is no app's")
	}
	asked.App, asked.Redirect = a, values.Get("redirect_uri")
	if !a.goesTo(asked.Redirect) {
		return asked, problem.New(problem.InvalidRequest, "The app did not register the address that it wants you sent back to.").At("redirect_uri", "is not registered")
	}
	if len(values["state"]) == 1 && len(values.Get("state")) <= MaxState {
		asked.State = values.Get("state")
	}
	if code, text := asked.read(values, s.cfg.Resources); code != "" {
		return asked, &Refusal{asked.Redirect, asked.State, code, text}
	}
	return asked, nil
}

// read reads what is asked of whoever it is that asks. What is wrong has a code and a description.
func (asked *Asked) read(values url.Values, resources []string) (code, text string) {
	const invalid = "invalid_request"
	for _, name := range Parameters() {
		switch n := len(values[name]); {
		case n > 1 && name == "resource":
			return "invalid_target", "A token is for one resource."
		case n > 1 && name != "environment" || n > maxEnvironments:
			return invalid, "The parameter " + name + " is given more than once."
		}
	}
	switch {
	case values.Has("request") || values.Has("request_uri"):
		return "request_not_supported", "Request objects are not taken."
	case len(values.Get("state")) > MaxState:
		return invalid, "The state is too long."
	case values.Get("response_type") == "":
		return invalid, "The parameter response_type is missing."
	case values.Get("response_type") != "code":
		return "unsupported_response_type", "The response_type must be code."
	case values.Get("response_mode") != "" && values.Get("response_mode") != "query":
		return invalid, "The response_mode must be query."
	case values.Get("code_challenge_method") != "S256" || !isDigest(values.Get("code_challenge")):
		return invalid, "PKCE is required: code_challenge, with code_challenge_method S256."
	case values.Get("dpop_jkt") != "" && !isDigest(values.Get("dpop_jkt")):
		return invalid, "The dpop_jkt is not a thumbprint."
	case values.Get("resource") != "" && !slices.Contains(resources, values.Get("resource")):
		return "invalid_target", "The resource is none of this server's."
	}
	asked.Challenge, asked.Thumbprint, asked.Resource = values.Get("code_challenge"), values.Get("dpop_jkt"), values.Get("resource")
	for _, name := range values["environment"] {
		if !environments.MatchString(name) { // it is shown to the person, and whoever made the address has no words there
			return invalid, "An environment has a name that none can have."
		}
		if !slices.Contains(asked.Environments, name) {
			asked.Environments = append(asked.Environments, name)
		}
	}
	return asked.readScope(values.Get("scope"))
}

func (asked *Asked) readScope(text string) (code, description string) {
	for name := range strings.FieldsSeq(text) {
		scope, err := access.ParseScope(name)
		if err != nil {
			return "invalid_scope", "A scope is unknown."
		}
		asked.Scopes |= scope
	}
	switch {
	case asked.Scopes == 0:
		return "invalid_scope", "The app must name the scopes that it asks for."
	case asked.Scopes&Never != 0:
		return "invalid_scope", "No app is given the scope " + Never.String() + "."
	}
	return "", ""
}

// isDigest reports whether a text is a SHA-256 in base64url.
func isDigest(text string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(raw) == 32 && len(text) == 43
}
