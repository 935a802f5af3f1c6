package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The limits of a list of trusted proxies.
const (
	maxTrusted = 1024
	maxEntry   = 64 // bytes; the longest prefix has 49
	maxFaults  = 10 // told at once
)

// ParseTrusted reads a list of trusted proxies from the settings: addresses, which mean themselves alone, and prefixes.
// Each comes out as it is compared: masked, and an IPv4 address written as IPv6 as itself. Refused are zones, ports, a
// prefix that all the world is in, and a list of more than 1,024. The error has a line for each fault, ten at most, with
// the place and the text of the entry.
func ParseTrusted(list []string) ([]netip.Prefix, error) {
	if len(list) > maxTrusted {
		return nil, fmt.Errorf("%d entries; at most %d can be trusted", len(list), maxTrusted)
	}
	var prefixes []netip.Prefix
	var faults []error
	for i, text := range list {
		p, err := parsePrefix(strings.TrimSpace(text))
		if err != nil {
			faults = append(faults, fmt.Errorf("entry %d, %q: %w", i+1, shorten(text), err))
			continue
		}
		prefixes = append(prefixes, p)
	}
	if left := len(faults) - maxFaults; left > 0 {
		faults = append(faults[:maxFaults:maxFaults], fmt.Errorf("and %d more", left))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return prefixes, nil
}

// parsePrefix reads an address or a prefix. What the standard library says about a fault repeats the text, so its words
// are not used.
func parsePrefix(text string) (netip.Prefix, error) {
	if len(text) > maxEntry {
		return netip.Prefix{}, fmt.Errorf("longer than %d bytes", maxEntry)
	}
	if strings.Contains(text, "%") {
		return netip.Prefix{}, errors.New("a zone has a meaning on one machine only: leave it out")
	}
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return p, errors.New("is not a prefix like 10.0.0.0/8 or 2001:db8::/32")
		}
		return normal(p)
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, errors.New("is not an address or a prefix, like 10.0.0.1 or 10.0.0.0/8")
	}
	return normal(netip.PrefixFrom(a, a.BitLen()))
}

func shorten(text string) string {
	if len(text) > maxEntry {
		return text[:maxEntry] + "…"
	}
	return text
}

// normal is the prefix as it is compared.
func normal(p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, errors.New("is not a prefix")
	}
	if a := p.Addr(); a.Is4In6() {
		// An IPv4 address is compared as itself, and with prefixes of such alone.
		if p.Bits() <= 96 {
			return p, errors.New("is wider than the IPv4 addresses: write what is meant as IPv4, or as IPv6")
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if p.Bits() == 0 {
		return p, errors.New("trusts the whole world: any caller could then say to be another")
	}
	return p.Masked(), nil
}

// networks is a set of addresses: prefixes in order, none within another.
type networks []netip.Prefix

// newNetworks leaves out what ParseTrusted would refuse.
func newNetworks(list []netip.Prefix) networks {
	var all networks
	for _, p := range list {
		if p, err := normal(p); err == nil {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	// Of two prefixes either one holds the other, and comes first, or they are apart.
	var apart networks
	for _, p := range all {
		if n := len(apart); n == 0 || !apart[n-1].Contains(p.Addr()) {
			apart = append(apart, p)
		}
	}
	return apart
}

// contain takes an address without zone that is no IPv4 address written as IPv6. The zero address is in no set.
func (n networks) contain(a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(n, a, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	return found || i > 0 && n[i-1].Contains(a)
}
