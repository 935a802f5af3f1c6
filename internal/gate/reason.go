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
		return problem.New(problem.SecretKeyInURL, "A secret key was sent in the query string. Send it in a header, and replace the key: "+
			"addresses are written to logs.")
	case access.ScopeMissing:
		scope := attempt.Action.Scope().String()
		p := problem.New(problem.MissingScope, "This needs the scope %s, which the key does not hold.", scope)
		p.Scope = scope
		return p
	case access.EnvironmentUnknown:
		return problem.New(problem.EnvironmentNotFound, "The project has no environment %s.", quote(name(target))).
			At("environment", "no such environment")
	case access.EnvironmentNotAllowed:
		return environmentNotAllowed(key, target)
	case access.NotVisible:
		return problem.New(problem.NotFound, "There is nothing of that name that this key can see.")
	case access.GrantTooWide:
		return problem.New(problem.GrantTooWide, "The key that asks holds %s in %s mode: it cannot hand on more than that, nor for longer than it lives.",
			scopesHeld(key), key.Mode)
	case access.PublicGrantTooWide:
		return problem.Invalid("scopes", "a public key can hold only %s", access.ClientScopes)
	default:
		return notAccepted()
	}
}

func notAccepted() *problem.Error {
	return problem.New(problem.KeyNotAccepted, "The key has the right form, but it is not accepted: it is unknown, revoked or expired.")
}

func environmentNotAllowed(key *access.Key, target *access.Target) *problem.Error {
	if name(target) == "" {
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
		key.Mode, quote(name(target)), strings.Join(names, ", ")).At("environment", "not allowed for this key")
}

func scopesHeld(key *access.Key) string {
	if key.Scopes == 0 {
		return "no scope"
	}
	return key.Scopes.String()
}

func name(target *access.Target) string {
	if target == nil {
		return ""
	}
	return target.Environment
}

// quote shows a name that came from outside, at most 64 bytes of it, as valid UTF-8.
func quote(s string) string {
	end := ""
	if len(s) > 64 {
		s, end = s[:64], "…"
	}
	return "'" + strings.ToValidUTF8(s, "") + end + "'"
}
