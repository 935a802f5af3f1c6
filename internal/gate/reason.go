package gate

import (
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Problem is what the sender is told of a reason: no more than the sender may know. target is the thing refused, or
// nil when the request was refused as a whole.
func Problem(reason access.Reason, key *access.Key, attempt *access.Attempt, target *access.Target) *problem.Error {
	switch reason {
	case access.SecretInURL:
		return problem.New(problem.SecretKeyInURL, "%s was sent in the query string. Send it in a header, and replace %s: addresses are written to logs.",
			secretOf(key), replaced(key))
	case access.ScopeMissing:
		return missingScope(key, attempt.Action)
	case access.EnvironmentUnknown:
		return problem.New(problem.EnvironmentNotFound, "The project has no environment %s.", quote(of(target).Environment)).
			At("environment", "no such environment")
	case access.EnvironmentNotAllowed:
		return environmentNotAllowed(key, target)
	case access.NotVisible:
		return problem.New(problem.NotFound, "There is nothing of that name that this key can see.")
	case access.GrantTooWide:
		if attempt.Grants == nil {
			return problem.New(problem.GrantTooWide, "Other keys run what is changed here, and may see more than this key: it takes a live key without a view that is restricted to no environment.")
		}
		return grantTooWide(key, attempt)
	case access.PublicGrantTooWide:
		return problem.Invalid("scopes", "a public key can hold only %s", access.ClientScopes)
	case access.GrantOverCeiling:
		return overCeiling(key, attempt)
	case access.EventNotAllowed:
		return problem.New(problem.EventNotAllowed, "The key may not send the event %s.", quote(of(target).Event)).At("event", "not allowed for this key")
	case access.DatasetNotAllowed:
		return datasetNotAllowed(of(target))
	case access.DatasetNotRead:
		return problem.New(problem.DatasetNotAllowed, "Who has a dataset taken out must be able to read it: the key needs datasets:read, and no view.").At("dataset", "not allowed for this key")
	case access.DatasetNotDeleted:
		p := problem.New(problem.MissingScope, "This deletes the records there are: it needs the scope %s as well, from the key and from the project.", access.DatasetsDelete)
		p.Scope = access.DatasetsDelete.String()
		return p
	case access.ViewNotApplied:
		return problem.New(problem.ViewNotApplied, "The key may see some rows and columns only, and this cannot be narrowed to them.")
	case access.ViewUnbound:
		return viewUnbound(key)
	default:
		return carriage(reason, key, attempt)
	}
}

// viewUnbound names what has no value: names are letters, digits and _, and as many as a view has.
func viewUnbound(key *access.Key) *problem.Error {
	var names []string
	if v := key.Sees(); v != nil {
		names = v.Unbound
	}
	return problem.New(problem.ViewUnbound, "What the key may see depends on a variable: a token of the key must give a value for %s.", strings.Join(names, ", "))
}

func kindOf(key *access.Key) access.Kind {
	if key == nil {
		return access.Secret
	}
	return key.Kind
}

// secretOf is what a caller has shown, in words.
func secretOf(key *access.Key) string {
	switch kindOf(key) {
	case access.Client:
		return "The secret of a client"
	case access.Token:
		return "An access token"
	case access.Member:
		return "A member's sign-in"
	default:
		return "A secret key"
	}
}

// replaced is what is to be replaced when that was seen.
func replaced(key *access.Key) string {
	if kindOf(key) == access.Secret {
		return "the key"
	}
	return "it"
}

func wrongCredential(reason access.Reason, key *access.Key, action access.Action) *problem.Error {
	detail := "Only the secret of a client can be used here."
	switch {
	case reason == access.CredentialInBody && action == access.AuthorizeApps:
		detail = "A key is taken here only from a page of this server. Look at the address of the page where it was entered: if that is not this server's, replace the key."
	case action.ForMembers():
		detail = "Here people sign in, with an email and a password or a session: no key and no token can be used."
	case reason == access.CredentialInBody:
		detail = "Only the secret of a client, or a public key, may stand in a body: send this in a header."
	case kindOf(key) == access.Client:
		detail = "The secret of a client can only be exchanged for access tokens: use one of those here."
	case kindOf(key) == access.Operator:
		detail = "An app comes of a secret key of the project: use one here, and not the operator's."
	case kindOf(key) == access.Token:
		detail = "An access token cannot be used here."
	}
	return problem.New(problem.WrongCredential, "%s", detail)
}

// throughBackEnd says what to do instead of asking from a page for what no public key may.
const throughBackEnd = "No public key may do this: let the page ask your back end, and that ask here with a secret key."

func missingScope(key *access.Key, action access.Action) *problem.Error {
	scope, wanted := action.Scope(), action.Scope().String()
	if instead := action.Instead(); instead != 0 {
		wanted += " or " + instead.String()
	}
	holder := "the key does not hold"
	if kindOf(key) == access.Token {
		holder = "the token, its client or their key does not hold"
	}
	p := problem.New(problem.MissingScope, "This needs the scope %s, which %s.", wanted, holder)
	if kindOf(key) == access.Public && !access.ClientScopes.Has(scope) {
		p.Detail += " " + throughBackEnd
	}
	p.Scope = scope.String()
	return p
}

func overCeiling(key *access.Key, attempt *access.Attempt) *problem.Error {
	if attempt.Grants == nil {
		return problem.New(problem.OverCeiling, "The project's ceiling does not allow this.")
	}
	field := key.Project.OverCeiling(attempt.Grants, attempt.At)
	return problem.New(problem.OverCeiling, "The project's ceiling for %s keys does not allow this: %s.", attempt.Grants.Kind, field).
		At(field, "goes beyond the project's ceiling")
}

// DatasetMissing is what is said of the field dataset when a request is about no one dataset.
const DatasetMissing = "missing"

func datasetNotAllowed(t access.Target) *problem.Error {
	if t.Dataset == "" {
		return problem.New(problem.DatasetNotAllowed, "The request names no dataset, and the key may use only some.").At("dataset", DatasetMissing)
	}
	if t.Right == 0 {
		return problem.New(problem.DatasetNotAllowed, "The key does not have every right to the dataset %s.", quote(t.Dataset)).
			At("dataset", "not allowed for this key")
	}
	return problem.New(problem.DatasetNotAllowed, "The key does not have the right to %s the dataset %s.",
		strings.Join(t.Right.Names(), " and "), quote(t.Dataset)).At("dataset", "not allowed for this key")
}

// carriage is what is told of a request that came in the wrong way.
func carriage(reason access.Reason, key *access.Key, attempt *access.Attempt) *problem.Error {
	switch reason {
	case access.OneProjectOnly:
		return problem.New(problem.OneProjectOnly, "This is about all projects of the organization, and the key is of one: a member of the whole organization can do it.")
	case access.WrongCredential, access.CredentialInBody:
		return wrongCredential(reason, key, attempt.Action)
	case access.SentInCleartext:
		return problem.New(problem.CleartextCredential, "The request with its credential came over plain HTTP. Use https, and replace the key.")
	case access.KeyQuarantined:
		return problem.New(problem.KeyQuarantined, "The key is in quarantine: it may do nothing until an admin restores it.")
	case access.SecretInBrowser:
		if !access.ClientScopes.Has(attempt.Action.Scope()) {
			return problem.New(problem.SecretKeyInBrowser, "%s was used from a browser, where everybody can read it. "+throughBackEnd+" Replace this one.", secretOf(key))
		}
		return problem.New(problem.SecretKeyInBrowser, "%s was used from a browser, where everybody can read it. Use a public key there, and replace this one.", secretOf(key))
	case access.NetworkNotAllowed:
		if !attempt.Address.IsValid() {
			return problem.New(problem.NetworkNotAllowed, "The key may not be used from an address that nobody knows: a proxy did not tell it, or in a way that cannot be read.")
		}
		return problem.New(problem.NetworkNotAllowed, "The key may not be used from the address %s.", attempt.Address)
	case access.NetworksRequired:
		return problem.New(problem.ProjectCeiling, "The project requires its keys to be restricted to networks, and this one is not.")
	case access.DomainNotAllowed:
		return problem.New(problem.DomainNotAllowed, "The key may not be used from the page the request names.")
	case access.ScopeOverCeiling:
		return problem.New(problem.ProjectCeiling, "The project's ceiling does not allow %s to any key of this kind.", attempt.Action.Scope())
	case access.PublicKeyUsed:
		return problem.New(problem.PublicKeyNotEnough, "Everybody can have the public key. Use a secret key.")
	case access.UserTokenMissing:
		return problem.New(problem.PublicKeyNotEnough, "A public key alone says nothing of who asks. Send a user token beside it, in 'X-User-Token': your back end makes one with a secret key.")
	case access.UserTokenWrong:
		return problem.New(problem.TokenNotAccepted, "The user token is not accepted: it is unknown, expired or of another project, or the key that made it is no longer what it was.")
	case access.UserTokenOther:
		return problem.New(problem.PublicKeyNotEnough, "The user token is for another id, or another environment, than the request names.")
	case access.SignatureMissing, access.SignatureRequired:
		return problem.New(problem.SignatureRequired, "The request is not signed, and the key takes signed requests only.")
	case access.SignatureInvalid:
		return problem.New(problem.SignatureInvalid, "The signature is not right for this request: it does not fit, is too old, or was used before.")
	case access.TokenOutdated:
		return tokenNotAccepted()
	default:
		if kindOf(key) == access.Token {
			return tokenNotAccepted()
		}
		return notAccepted()
	}
}

func grantTooWide(key *access.Key, attempt *access.Attempt) *problem.Error {
	if key.BeyondProject(attempt.Grants) {
		return problem.New(problem.GrantTooWide, "The key that asks is of one project, and this is about everywhere: all projects of the organization. "+
			"It takes the sign-in of a member who is one everywhere.").At("everywhere", "reaches further than the key that asks, which is of one project")
	}
	if attempt.Grants != nil {
		field := ""
		for k := key; k != nil && field == ""; k = k.Parent {
			field = attempt.Grants.Exceeds(&k.Bounds)
		}
		if field != "" && key.Effective().Has(attempt.Grants.Scopes) {
			return problem.New(problem.GrantTooWide, "The key that asks cannot hand on more than it has itself: %s reaches further than its own.", field).
				At(field, "reaches further than that of the key that asks")
		}
	}
	return problem.New(problem.GrantTooWide, "The key that asks holds %s in %s mode: it cannot hand on more than that, nor for longer than it lives.",
		scopesHeld(key), key.Mode)
}

func notAccepted() *problem.Error {
	return problem.New(problem.KeyNotAccepted, "The key has the right form, but it is not accepted: it is unknown, revoked or expired.")
}

func tokenNotAccepted() *problem.Error {
	return problem.New(problem.TokenNotAccepted, "The access token is not accepted: it is unknown, expired or revoked, or its client or their key is no longer what it was.")
}

func environmentNotAllowed(key *access.Key, target *access.Target) *problem.Error {
	t := of(target)
	if t.Environment == "" {
		return problem.New(problem.EnvironmentNotAllowed, "The request names no environment, and there is none this key may use.").
			At("environment", "none that this key may use")
	}
	var names []string
	for _, env := range key.Reachable() {
		names = append(names, env.Name)
	}
	if len(names) == 0 {
		names = []string{"none"}
	}
	return problem.New(problem.EnvironmentNotAllowed, "This %s key may not use the environment %s; it may use: %s.",
		key.Mode, quote(t.Environment), strings.Join(names, ", ")).At("environment", "not allowed for this key")
}

func scopesHeld(key *access.Key) string {
	held := key.Effective()
	if held == 0 {
		return "no scope"
	}
	return held.String()
}

// of is a target, and the zero one where the request was refused as a whole.
func of(target *access.Target) access.Target {
	if target == nil {
		return access.Target{}
	}
	return *target
}

// quote shows a name that came from outside, at most 64 bytes of it, as valid UTF-8.
func quote(s string) string {
	end := ""
	if len(s) > 64 {
		s, end = s[:64], "…"
	}
	return "'" + strings.ToValidUTF8(s, "") + end + "'"
}
