package token

import (
	"errors"
	"time"

	"github.com/weir-analytics/weir/internal/signature"
)

// Once is what may be shown once: the jti of an assertion or of a proof.
type Once struct {
	ID    string
	Made  time.Time // not before then
	Until time.Time // a copy would be accepted until then
}

// Why something is not accepted that may be used once. The texts are fit for the sender.
var (
	errReplayed  = errors.New("it was used before: make a new one for every request")
	errForgotten = errors.New("the server no longer knows whether it was used: make a new one")
	errFull      = errors.New("the server cannot remember more of them now: try again in a minute")
)

// Replays remembers what was used. It is safe for concurrent use, and as bounded as the memory of nonces that it is: in
// all, and of one client. What was made before the program started is refused, since it may have been used.
type Replays struct{ nonces *signature.Nonces }

// NewReplays makes an empty memory; start is the present time.
func NewReplays(start time.Time) *Replays { return &Replays{signature.NewNonces(start)} }

// Use takes one, once: of any number of calls with the same of a client, one gets nil. Call it when everything else has
// been checked, never before, or anybody could use up others' room.
func (r *Replays) Use(client string, once Once, now time.Time) error {
	err := r.nonces.Use(signature.Verified{Scheme: signature.Message, KeyID: client, Nonce: once.ID, Created: once.Made, Until: once.Until}, now)
	fault, ok := errors.AsType[*signature.Fault](err)
	switch {
	case err == nil:
		return nil
	case ok && fault.Kind == signature.Replayed:
		return errReplayed
	case ok && fault.Kind == signature.Full:
		return errFull
	default:
		return errForgotten
	}
}
