package gate

import (
	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// asserted reports whether a credential was proved without a secret of its key.
func (c *Credential) asserted() bool {
	return c.Asserted != access.Lookup{} || c.Linked != access.Lookup{}
}

// signs reports whether a key of a kind can have tokens, and be proved to be somebody's without its secret.
func signs(kind access.Kind) bool { return kind == access.Client || kind == access.Member }

// findAsserted looks up a client that has proved itself by signing, or a member who has by a password. It acts as one that
// showed its present secret.
func (g *Gate) findAsserted(caller *Caller) (reason string) {
	if caller.credential.Linked != (access.Lookup{}) {
		return g.findLinked(caller)
	}
	caller.lookup = caller.credential.Asserted
	entry, found := g.keys.Lookup(caller.lookup)
	if !found || !signs(entry.Key.Kind) {
		return unknownKey
	}
	caller.entry, caller.generation = entry, entry.Generation
	return ""
}

// findLinked looks up the key that has made a link. It acts as one that showed its present secret, but for what the policy
// lets a link do.
func (g *Gate) findLinked(caller *Caller) (reason string) {
	caller.lookup, caller.credential.Via = caller.credential.Linked, access.InLink
	entry, found := g.keys.Lookup(caller.lookup)
	if !found || !caller.credential.Key.Empty() {
		return unknownKey
	}
	caller.entry, caller.generation = entry, entry.Generation
	return ""
}

// refusalOf is the reason, for the ledger, of a credential that cannot be told from the request.
func refusalOf(code problem.Code) string {
	switch code {
	case problem.TwoCredentials:
		return twoKeys
	case problem.InvalidClient:
		return badAssertion
	case problem.InvalidDPoPProof:
		return badProof
	case problem.InvalidGrant:
		return badGrant
	case problem.SignInRefused:
		return badSignIn
	case problem.LinkNotAccepted:
		return badLink
	default:
		return badForm
	}
}

// comesOf reports whether a key comes of the one that a sender named, by its id or by a secret of it that is still good.
func (g *Gate) comesOf(key *access.Key, said access.Text) bool {
	text := said.Reveal()
	if key.Parent == nil || text == key.Parent.ID {
		return key.Parent != nil
	}
	parsed, err := access.ParseKey(text)
	if err != nil || parsed.Lookup.ID() != key.Parent.ID {
		return false
	}
	entry, found := g.keys.Lookup(parsed.Lookup)
	good := entry.Digest.Equal(parsed.Digest)
	for i := range entry.Former {
		good = good || entry.Former[i].Digest.Equal(parsed.Digest) && g.now().Before(entry.Former[i].Until)
	}
	return found && good
}

// Standing gives a token of the permit's client, and only of it, if it would be accepted now of whoever may send it: it is
// genuine, and its client and their key stand behind it. What depends on the sender is not asked. It records nothing: the
// question itself has been.
func (g *Gate) Standing(p Permit, text access.Text) (Token, bool) {
	p.must()
	if g.tokens == nil {
		return Token{}, false
	}
	now := g.now()
	t, found := g.tokens.Open(text.Reveal(), now)
	if !found || t.Client != p.caller.lookup {
		return Token{}, false
	}
	caller := Caller{credential: Credential{Key: text, Proof: t.Thumbprint}}
	if g.findToken(&caller) != "" {
		return Token{}, false
	}
	until, minted := caller.credential.SecretUntil, caller.credential.SecretMinted
	return t, access.Stands(caller.entry.Key, now, until, minted) == access.Allowed
}

// Space is the environment that a name stands for, empty for the key's default, and false when the key has none of that name.
// Like Project, it is for looking up what an attempt is about.
func (c Caller) Space(name string) (string, bool) {
	env, reason := c.entry.Key.Resolve(name)
	return env.Name, reason == access.Allowed
}
