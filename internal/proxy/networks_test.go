package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/proxy"
)

// Promise: an address is itself alone, a prefix is masked, an IPv4 address written as IPv6 is IPv4; everything else is
// refused with its place and its text.
func TestParseTrusted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.1":               "10.0.0.1/32",
		"2001:db8::1":            "2001:db8::1/128",
		"10.1.2.3/8":             "10.0.0.0/8",
		"2001:db8::1/32":         "2001:db8::/32",
		" 10.0.0.0/8\t":          "10.0.0.0/8",
		"::ffff:10.1.2.3":        "10.1.2.3/32",
		"::ffff:10.1.2.3/104":    "10.0.0.0/8",
		"::ffff:10.1.2.3/97":     "0.0.0.0/1",
		"::FFFF:0A01:0203/128":   "10.1.2.3/32",
		"::1":                    "::1/128",
		"::10.0.0.1/128":         "::a00:1/128",
		"0.0.0.0/1":              "0.0.0.0/1",
		"2001:DB8:0:0:0:0:0:0/1": "::/1",
	} {
		got, err := proxy.ParseTrusted([]string{text})
		if err != nil || len(got) != 1 || got[0].String() != want {
			t.Errorf("%q is %v, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                      "is not an address or a prefix",
		"10.0.0.1:80":           "is not an address or a prefix",
		"[::1]":                 "is not an address or a prefix",
		"localhost":             "is not an address or a prefix",
		"10.0.0":                "is not an address or a prefix",
		"010.0.0.1":             "is not an address or a prefix",
		"10.0.0.1,10.0.0.2":     "is not an address or a prefix",
		"10.0.0.0/33":           "is not a prefix",
		"10.0.0.0/":             "is not a prefix",
		"10.0.0.0/-1":           "is not a prefix",
		"10.0.0.0/08":           "is not a prefix",
		"10.0.0.0/255.0.0.0":    "is not a prefix",
		"/8":                    "is not a prefix",
		"fe80::1%eth0":          "leave it out",
		"fe80::%eth0/64":        "leave it out",
		"0.0.0.0/0":             "trusts the whole world",
		"10.0.0.1/0":            "trusts the whole world",
		"::/0":                  "trusts the whole world",
		"::ffff:0.0.0.0/96":     "is wider than",
		"::ffff:10.0.0.0/8":     "is wider than",
		strings.Repeat("1", 65): "longer than 64 bytes",
	} {
		got, err := proxy.ParseTrusted([]string{"10.0.0.1", text})
		if err == nil || got != nil || !strings.HasPrefix(err.Error(), "entry 2, ") || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%q is %v, %v, want %q", text, got, err, want)
		}
	}
}

// Promise: the faults of a list are told at once, ten at most, and a list has a limit.
func TestFaultsOfAList(t *testing.T) {
	t.Parallel()
	list := make([]string, 1024)
	for i := range list {
		list[i] = fmt.Sprint("host", i)
	}
	_, err := proxy.ParseTrusted(list)
	if err == nil || strings.Count(err.Error(), "\n") != 10 || !strings.Contains(err.Error(), `entry 10, "host9"`) || !strings.HasSuffix(err.Error(), "and 1014 more") {
		t.Error(err)
	}
	if _, err := proxy.ParseTrusted(append([]string{"10.0.0.1"}, list...)); err == nil || err.Error() != "1025 entries; at most 1024 can be trusted" {
		t.Error(err)
	}
	if got, err := proxy.ParseTrusted(nil); err != nil || got != nil {
		t.Error(got, err)
	}
}
