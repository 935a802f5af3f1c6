package app_test

import (
	"testing"

	"github.com/weir-analytics/weir/internal/app"
)

// Promise: a policy of a page names where its form may send somebody in a way that browsers read: they know no addresses of IPv6
// in one, and pass over what they cannot read.
func TestSourcesCanBeRead(t *testing.T) {
	for uri, want := range map[string]string{
		"https://one.example/cb": "https://one.example", "https://one.example:8443/cb?x=1": "https://one.example:8443", "http://127.0.0.1:8080/cb": "http://127.0.0.1:8080",
		"http://[::1]:8080/cb": "http:", "http://[::1]/": "http:", "com.example.app:/cb": "com.example.app:",
	} {
		if got := app.Source(uri); got != want {
			t.Errorf("%s: %q", uri, got)
		}
	}
}

// Promise: what cannot be an app's id is not looked for.
func TestIDs(t *testing.T) {
	for text, is := range map[string]bool{
		"app_AAAAAAAAAAAAAAAAAAAAAA": true, "app_-_09azAZAAAAAAAAAAAAAA": true, "app_": false, "": false, "key_AAAAAAAAAAAAAAAAAAAAAA": false, "app_AAAAAAAAAAAAAAAAAAAAA": false,
		"app_AAAAAAAAAAA\x00AAAAAAAAAA": false, "app_AAAAAAAAAAA\xffAAAAAAAAAA": false, "app_AAAAAAAAAAA\nAAAAAAAAAA": false, "app_AAAAAAAAAAA AAAAAAAAAA": false, "app_AAAAAAAAAAAAAAAAAAAA==": false,
	} {
		if app.IsID(text) != is {
			t.Errorf("%q: %v", text, !is)
		}
	}
}
