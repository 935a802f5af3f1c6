package gate

import (
	"net/netip"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// Credential is what the sender showed, how, and what the ledger keeps beside it.
type Credential struct {
	Key access.Text
	access.Circumstances
	Client    Client
	Proof     string        // the thumbprint of the key that signed a DPoP proof of the request (RFC 9449); empty: none did
	Asserted  access.Lookup // the client that proved itself by signing (RFC 7523), and sent no secret; zero: none did
	Linked    access.Lookup // the key that made the link which the request is, whose signature was found to be right; zero: it is none
	Of        access.Text   // what the sender says that the client comes of, as the id of that key or the key itself; empty: nothing
	UserToken access.Text   // what came as a user token; empty: nothing
	RequestID string
}

// Client is what the sender says of its program. Anybody can say anything.
type Client struct {
	Agent string // the User-Agent header
	SDK   string // the library, with its version, where the payload names one
}

// Denial is one no, or what would have been one: a restriction that is only observed objected.
type Denial struct {
	ID           string
	At           time.Time
	Organization string // empty when the key is not known
	Project      string
	KeyID        string // the key's public name; of an unknown key, the name it claims
	Generation   int    // of the secret that was shown; 0: not known
	Action       access.Action
	Reason       string // an access.Reason, the name of a limit, or why no key was found
	Rule         string
	Observed     bool // it was allowed all the same
	Environment  string
	Event        string
	Count        int // how many items of one request it stands for
	Sender
	Failed   []access.Step   // every rule that said no
	Remedies []access.Remedy // what would have made it a yes
	Detail   string          // for admins: what was wrong with the signature
}

// Sender is where a request came from.
type Sender struct {
	Address   netip.Addr
	Origin    string // the page's origin; empty: none was named
	Via       access.Via
	Signed    access.Signed
	Client    Client
	RequestID string
}

// Use is one yes. Its slices are lent for the call.
type Use struct {
	At          time.Time
	Project     string
	KeyID       string
	Generation  int
	Action      access.Action
	Environment string // that of all the targets; empty when there are several of them
	Default     string // the environment of a target that names none
	Items       int
	Targets     []access.Target
	Refused     []access.Refusal // those of them that the yes does not cover
	Sender
}
