package compat

import (
	"slices"
	"strings"

	"github.com/weir-analytics/weir/internal/problem"
)

// The texts that clients of IEX Cloud compare (contracts D4).
const (
	iexQuota  = "You have exceeded your allotted message quota. Please enable pay-as-you-go to regain access"
	iexBadKey = "The API key provided is not valid."

	iexNoSymbol = "Unknown symbol" // there is no market data, so no symbol is known
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

// IEXKeyParameter is the parameter in which clients of IEX Cloud send their key, and no others do.
const IEXKeyParameter = "token"

// IEXNowhere reports whether an address that is not there is one that clients of IEX Cloud may have meant, by its version, and gives
// the text by which they are told.
func IEXNowhere(path string) (text string, meant bool) {
	version, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if version != "v1" && version != "stable" && version != "beta" {
		return "", false
	}
	if strings.HasPrefix(rest, "stock/") {
		return iexNoSymbol, true
	}
	return "There is nothing at this address.", true
}

// IEXOnly reports whether an address is one that only clients of IEX Cloud know: under a version that we have not, of a
// channel, or of the document as they call it.
func IEXOnly(path string) bool {
	version, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return version == "stable" || version == "beta" || rest == "openapi-doc" || slices.Contains(iexChannels(), rest)
}

// IEXChannels are the addresses at which clients of IEX Cloud follow a channel, which is here a dataset of that name.
func IEXChannels() []string {
	names := iexChannels()
	for i, name := range names {
		names[i] = "/v1/" + name
	}
	return names
}

// IEXAllChannels is the channel that stands for all that the channel of channels has.
const IEXAllChannels = "deep"

// iexChannels are the names of the channels (contracts D7). "deep" is a channel of channels, which are its subkeys.
func iexChannels() []string {
	names := []string{"tops", "last", "deep", "news", "news-stream", "sentiment", "cryptoQuotes", "cryptoBook", "cryptoEvents"}
	for _, name := range []string{"stocksUS", "stocksUSNoUTP", "forex"} {
		for _, every := range []string{"", "1Second", "5Second", "1Minute"} {
			names = append(names, name+every)
		}
	}
	return names
}
