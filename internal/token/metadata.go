package token

import (
	"net/url"

	"github.com/go-jose/go-jose/v4"

	"github.com/weir-analytics/weir/internal/access"
)

// The paths of the documents, below the host: what the issuer's or the resource's own path is, comes after (RFC 8414
// section 3.1, RFC 9728 section 3.1).
const (
	ServerPath   = "/.well-known/oauth-authorization-server"
	ResourcePath = "/.well-known/oauth-protected-resource"
)

// WellKnown is the address of a document about an issuer or a resource.
func WellKnown(path, about string) string {
	u, err := url.Parse(about)
	if err != nil {
		return ""
	}
	u.Path, u.RawPath = path+u.Path, ""
	return u.String()
}

// Endpoints are the addresses of the routes, absolute. An empty one is left out of the documents.
type Endpoints struct {
	Authorize  string // empty: there are no apps
	Token      string
	Revoke     string
	Introspect string
	Keys       string
	Help       string // documentation for people
}

// ServerDocument is what clients find out about the authorization server (RFC 8414).
type ServerDocument struct {
	Issuer                   string   `json:"issuer"`
	AuthorizationEndpoint    string   `json:"authorization_endpoint,omitempty"`
	TokenEndpoint            string   `json:"token_endpoint"`
	KeysURI                  string   `json:"jwks_uri,omitempty"`
	RevocationEndpoint       string   `json:"revocation_endpoint,omitempty"`
	IntrospectionEndpoint    string   `json:"introspection_endpoint,omitempty"`
	Scopes                   []string `json:"scopes_supported"`
	ResponseTypes            []string `json:"response_types_supported"`
	GrantTypes               []string `json:"grant_types_supported"`
	AuthMethods              []string `json:"token_endpoint_auth_methods_supported"`
	AuthAlgorithms           []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	RevocationAlgorithms     []string `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	IntrospectionAlgorithms  []string `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`
	ProofAlgorithms          []string `json:"dpop_signing_alg_values_supported"`
	Documentation            string   `json:"service_documentation,omitempty"`
	ProtectedResources       []string `json:"protected_resources"`
	ResponseModes            []string `json:"response_modes_supported,omitempty"`
	ChallengeMethods         []string `json:"code_challenge_methods_supported,omitempty"`
	NamesIssuer              bool     `json:"authorization_response_iss_parameter_supported,omitempty"` // RFC 9207
}

func authMethods() []string {
	return []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}
}
func authAlgorithms() []string  { return []string{string(jose.EdDSA), fullySpecified} }
func proofAlgorithms() []string { return append(authAlgorithms(), string(jose.ES256)) }

// Server makes the document of the authorization server.
func (i *Issuer) Server(e Endpoints) ServerDocument {
	d := ServerDocument{
		Issuer: i.cfg.URL, TokenEndpoint: e.Token, KeysURI: e.Keys, RevocationEndpoint: e.Revoke, IntrospectionEndpoint: e.Introspect,
		Scopes: access.AllScopes.Names(), ResponseTypes: []string{}, GrantTypes: []string{"client_credentials"},
		AuthMethods: authMethods(), AuthAlgorithms: authAlgorithms(), ProofAlgorithms: proofAlgorithms(),
		Documentation: e.Help, ProtectedResources: i.cfg.Resources,
	}
	if e.Authorize != "" {
		d.AuthorizationEndpoint, d.ResponseTypes, d.ResponseModes, d.ChallengeMethods, d.NamesIssuer = e.Authorize, []string{"code"}, []string{"query"}, []string{"S256"}, true
		d.GrantTypes = append(d.GrantTypes, "authorization_code", "refresh_token")
		d.AuthMethods = append(d.AuthMethods, "none")
	}
	if e.Revoke != "" {
		d.RevocationAuthMethods, d.RevocationAlgorithms = d.AuthMethods, authAlgorithms()
	}
	if e.Introspect != "" {
		d.IntrospectionAuthMethods, d.IntrospectionAlgorithms = d.AuthMethods, authAlgorithms()
	}
	return d
}

// ResourceDocument is what clients find out about something that takes tokens (RFC 9728).
type ResourceDocument struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	ProofAlgorithms      []string `json:"dpop_signing_alg_values_supported"`
	ProofRequired        bool     `json:"dpop_bound_access_tokens_required"`
	Name                 string   `json:"resource_name,omitempty"`
	Documentation        string   `json:"resource_documentation,omitempty"`
}

// Resource makes the document of one of the resources.
func (i *Issuer) Resource(resource, name, help string) ResourceDocument {
	return ResourceDocument{
		Resource: resource, AuthorizationServers: []string{i.cfg.URL}, Scopes: access.AllScopes.Names(), BearerMethods: []string{"header"},
		ProofAlgorithms: proofAlgorithms(), Name: name, Documentation: help,
	}
}

// Resources are what tokens may be for, the usual one first.
func (i *Issuer) Resources() []string { return append([]string{}, i.cfg.Resources...) }

// URL is the issuer identifier.
func (i *Issuer) URL() string { return i.cfg.URL }

// PublicKeys is the document of the public keys that tokens are, were lately, and will next be signed with (RFC 7517).
func (i *Issuer) PublicKeys() jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	now := i.cfg.Now()
	for _, k := range i.keys.Load().signing {
		if k.end.IsZero() || now.Before(k.end) {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.public, KeyID: k.id, Algorithm: string(jose.EdDSA), Use: "sig"})
		}
	}
	return set
}

// AcceptedFor are what an assertion may be for: the issuer, and the address of the token endpoint.
func (i *Issuer) AcceptedFor(e Endpoints) []string {
	return []string{i.cfg.URL, e.Token}
}
