// Package signature checks that an HTTP request was signed, and how.
//
//	Detect -> Verify (headers) -> Verified.CheckBody (what was received) -> Nonces.Use (once)
//
// It owns two schemes. One is HTTP Message Signatures (RFC 9421) with Weir's profile: which parts of a request must be
// covered, which parameters a signature must have, how old it may be, which algorithms count. The other is
// IEX-HMAC-SHA256. Beside them it owns the check of Content-Digest (RFC 9530), the memory of nonces, the form of signing
// secrets and public keys, the client's side of signing, and what an admin is shown when a signature does not match.
//
// It does not own who must sign (access), whose key it is (gate), where secrets are kept (keyring) or how a problem is
// written (problem, api). It has no clock and no state but the nonces; the windows of time are constants, so no setting
// can switch them off. It imports nothing of ours.
package signature

import "time"

// The profile. What it asks for is in docs/signatures.md.
const (
	Tag      = "weir-v1"         // says that a signature is meant for us
	Label    = "sig"             // under which Sign puts it; a verifier takes any
	Window   = 300 * time.Second // how far a signature's time may be from ours, either way
	Lifetime = 600 * time.Second // how long after its creation a signature may say it expires
)

// The algorithms, by their names in the parameter alg.
const (
	HMACSHA256 = "hmac-sha256"
	Ed25519    = "ed25519"
)

// The limits on what is read. Each holds before anything is parsed.
const (
	maxInput      = 8 << 10  // bytes of Signature-Input, all its lines together
	maxSignature  = 4 << 10  // bytes of Signature
	maxLines      = 8        // lines of either
	maxSignatures = 4        // signatures of a request, ours and others
	maxComponents = 32       // components that one signature covers
	maxNonce      = 128      // characters
	minNonce      = 22       // 16 random bytes in base64
	maxValue      = 16 << 10 // bytes of one component's value
	maxBase       = 64 << 10 // bytes of a signature base
	maxDigest     = 1 << 10  // bytes of Content-Digest
	maxIEX        = 1 << 10  // bytes of an Authorization of IEX-HMAC-SHA256
	maxPublicKey  = 1 << 10  // bytes of a public key as text
	maxTries      = 8        // HMACs computed to find out why one is wrong; of Ed25519, half as many
	maxShown      = 64       // characters of what was sent that are repeated in a fault
)
