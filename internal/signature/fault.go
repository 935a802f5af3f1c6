package signature

import "fmt"

// Kind is what is wrong with a signature. The set is closed.
type Kind uint8

// The kinds. Those up to Wrong come from Verify and CheckBody, the rest from Nonces.Use.
const (
	Missing     Kind = iota + 1 // a header, a parameter or a signed part that must be there is not
	Malformed                   // it is there and cannot be read, or says what it may not
	TooLarge                    // more than the limits allow
	Foreign                     // there are signatures, and none has the tag that means us
	Ambiguous                   // more than one is meant for us
	Unsupported                 // an algorithm, component or parameter that is not taken here
	Uncovered                   // the signature leaves out a part of the request that must be signed
	OtherKey                    // it names another key than the request's
	NoMaterial                  // the key has nothing to check such a signature with
	TooEarly                    // it was created in the future
	Expired                     // it is too old
	Wrong                       // it does not match the request
	Replayed                    // its nonce has been used
	Forgotten                   // made at a time whose nonces are not remembered: before the start, or the clock was set back
	Full                        // no more nonces can be remembered now
)

// String is the kind's name, fit for a metric or the ledger.
func (k Kind) String() string {
	names := [...]string{
		"none", "missing", "malformed", "too_large", "foreign", "ambiguous", "unsupported", "uncovered", "other_key",
		"no_material", "too_early", "expired", "wrong", "replayed", "forgotten", "full",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Fault is why a signature is not accepted.
type Fault struct {
	Kind   Kind
	Detail string // for the caller: which part, and what is wrong with it. It holds nothing that we computed

	// For admins. Credentials in them are replaced.
	Differs string // the first line in which what was signed differs from what we have, when that could be found out
	Base    string // what the signature should have been made of
}

// Error is the Detail.
func (f *Fault) Error() string { return f.Detail }

func faultf(kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// clip shortens what a caller sent, to be repeated in a fault.
func clip(text string) string {
	if len(text) > maxShown {
		return text[:maxShown] + "…"
	}
	return text
}
