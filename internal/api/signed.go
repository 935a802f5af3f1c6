package api

import (
	"crypto/sha256"
	"errors"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

// signed is what is known of a request's signature on its way through the frame: its headers are checked before the body
// is read, the body when it is there, and last of all it is used up.
type signed struct {
	verified signature.Verified
	pending  bool             // the headers are right, and the body has not been seen
	right    bool             // the body was right too
	fault    *signature.Fault // what was wrong
}

func signatureRequest(rq *request) signature.Request {
	r := signature.Of(rq.r)
	r.Scheme = rq.from.Proto
	return r
}

// checkSignature checks what can be checked of a signature without the body. A key that has nothing to check signatures
// with, and a signature that is meant for somebody else, leave the request unsigned. wrong says that the body need not be
// read: the policy will refuse.
func (a *API) checkSignature(rq *request, caller gate.Caller) (out gate.Caller, wrong bool) {
	if rq.signed == nil {
		return caller, false
	}
	material := a.cfg.Keys.Material(caller.KeyID())
	if material == nil {
		return caller.Unsigned(), false
	}
	verified, err := signature.Verify(signatureRequest(rq), materialOf(material, caller.KeyID(), rq.shown), a.cfg.Now())
	var fault *signature.Fault
	switch {
	case errors.As(err, &fault) && fault.Kind == signature.Foreign:
		return caller.Unsigned(), false
	case err != nil:
		return caller.Signed(false, diagnosis(err)), true
	}
	rq.signed.verified, rq.signed.pending = verified, true
	return caller, false
}

func materialOf(m *keyring.Material, id string, shown access.Text) signature.Material {
	return signature.Material{KeyID: id, Token: sha256.Sum256([]byte(shown.Reveal())), Secret: m.Secret, PublicKeys: m.PublicKeys}
}

// checkBody checks what was received against the digest in the request's head, and against its signature. A wrong
// signature is for the policy to refuse, a wrong digest is a fault of the request.
func (rq *request) checkBody(received []byte) error {
	if len(rq.r.Header["Content-Digest"]) > 0 {
		if err := signature.CheckDigest(rq.r.Header, received); err != nil {
			return rq.digestProblem(err)
		}
	}
	if rq.signed == nil || !rq.signed.pending {
		return nil
	}
	rq.signed.pending = false
	err := rq.signed.verified.CheckBody(received)
	var digest *signature.DigestFault
	switch {
	case errors.As(err, &digest):
		return rq.digestProblem(digest)
	case errors.As(err, &rq.signed.fault):
	case err != nil:
		return err
	default:
		rq.signed.right = true
	}
	return nil
}

// proven is the caller with the verdict on the signature, now that the body was read. The nonce is used up here, and not
// before: else anybody could use up others'.
func (a *API) proven(rq *request, caller gate.Caller) (gate.Caller, error) {
	s := rq.signed
	if s == nil {
		return caller, nil
	}
	if s.pending { // nothing has read a body
		if err := rq.checkBody(nil); err != nil {
			return caller, err
		}
	}
	if s.fault == nil && !s.right {
		return caller, nil
	}
	wrong := a.verdictOn(s)
	return caller.Signed(wrong == "", wrong), nil
}

// verdictOn is empty for a right signature that is used here for the first time, and else what an admin is shown.
func (a *API) verdictOn(s *signed) string {
	if s.fault != nil {
		return diagnosis(s.fault)
	}
	if err := a.cfg.Nonces.Use(s.verified, a.cfg.Now()); err != nil {
		return diagnosis(err)
	}
	return ""
}

// diagnosis is what an admin is shown of a wrong signature.
func diagnosis(err error) string {
	var fault *signature.Fault
	if !errors.As(err, &fault) {
		return err.Error()
	}
	lines := []string{fault.Kind.String() + ": " + fault.Detail}
	if fault.Differs != "" {
		lines = append(lines, "first difference: "+fault.Differs)
	}
	if fault.Base != "" {
		lines = append(lines, baseFollows+fault.Base)
	}
	return access.HideKeysIn(strings.Join(lines, "\n"))
}

// baseFollows stands before the signature base in a diagnosis, at its end.
const baseFollows = "signature base:\n"

// digestProblem is the registered problem of a digest.
func (rq *request) digestProblem(err error) error {
	var fault *signature.DigestFault
	if !errors.As(err, &fault) {
		return err
	}
	code := problem.InvalidRequest
	switch fault.Kind {
	case signature.DigestUnreadable:
	case signature.DigestUnsupported:
		code = problem.DigestUnsupported
		rq.reply.Header().Set("Want-Content-Digest", signature.WantContentDigest)
	case signature.DigestInvalid:
		code = problem.DigestInvalid
	case signature.DigestMismatched:
		code = problem.DigestMismatched
	}
	return problem.New(code, "%s", fault.Detail).At("header.Content-Digest", fault.Detail)
}

// publicName is that of the key a request was sent with; empty when it is none.
func (rq *request) publicName() string {
	if rq.line.keyID != "" {
		return rq.line.keyID
	}
	parsed, err := access.ParseKey(rq.shown.Reveal())
	if err != nil {
		return ""
	}
	return parsed.Lookup.ID()
}
