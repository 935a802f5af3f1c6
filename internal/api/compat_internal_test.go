package api

import (
	"encoding/base64"
	"strings"
	"testing"
)

// Promise: of HTTP Basic the user name is read and nothing else, and what cannot be read is refused.
func FuzzUserName(f *testing.F) {
	for _, seed := range []string{"cGs6", "cGs6c2VjcmV0", "cGs=", "", "!", " cGs6 "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := userName(text)
		raw, wrong := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		readable := wrong == nil && strings.Contains(string(raw), ":")
		if readable != (err == nil) || err == nil && (strings.Contains(name, ":") || !strings.HasPrefix(string(raw), name+":")) {
			t.Errorf("%q is read as %q, %v", text, name, err)
		}
	})
}
