package compat

import (
	"github.com/weir-analytics/weir/internal/problem"
)

// The texts that clients of IEX Cloud compare (contracts D4).
const (
	iexQuota  = "You have exceeded your allotted message quota. Please enable pay-as-you-go to regain access"
	iexBadKey = "The API key provided is not valid."
)

// IEXUsedHeader is the header that tells clients of IEX Cloud how many credits a request came to.
const IEXUsedHeader = "iexcloud-messages-used"

// IEXText is the text by which clients of IEX Cloud are told of a problem: the one they know, or our detail.
func IEXText(code problem.Code, detail string) string {
	switch code {
	case problem.CreditsExhausted:
		return iexQuota
	case problem.KeyNotAccepted, problem.MalformedKey, problem.MissingCredential, problem.TokenNotAccepted:
		return iexBadKey
	default:
		return detail
	}
}

// IEXVersions are the other addresses of one under /v1/: clients of IEX Cloud ask under a version, and those of Apperate
// under the same.
func IEXVersions(path string) []string {
	return []string{"/stable" + path[len("/v1"):], "/beta" + path[len("/v1"):]}
}
