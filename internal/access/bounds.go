package access

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Restriction is a set of the ways in which a key can be narrowed.
type Restriction uint16

// The restrictions. Each but a view can be enforced, or only observed: then what it would have denied is allowed and
// recorded. A view denies nothing that could be recorded, it narrows the answer: it is always enforced.
const (
	ByEnvironment Restriction = 1 << iota
	ByNetwork
	ByDomain
	ByEvent
	ByDataset
	BySignature
	ByTime
	ByView

	endOfRestrictions
)

// AllRestrictions is every restriction there is; Observable are those that can be observed.
const (
	AllRestrictions = endOfRestrictions - 1
	Observable      = AllRestrictions &^ ByView
)

var restrictionNames = [...]string{"environments", "networks", "domains", "events", "datasets", "signature", "time", "view"}

// Has reports whether every restriction of some is in r.
func (r Restriction) Has(some Restriction) bool { return r&some == some }

// Names lists the restrictions in the order of their declaration.
func (r Restriction) Names() []string {
	names := []string{}
	for i, name := range restrictionNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// ParseRestriction reads one restriction by its name.
func ParseRestriction(name string) (Restriction, error) {
	i := slices.Index(restrictionNames[:], name)
	if i < 0 {
		return 0, fmt.Errorf("unknown restriction %q", name)
	}
	return 1 << i, nil
}

// Bounds is how far the rights of a key reach. The zero Bounds restrict nothing and limit nothing.
type Bounds struct {
	Environments []string  // names; empty: every environment of the key's mode
	Networks     []Network // empty: anywhere
	Domains      []Domain  // of the pages that may use the key; empty: any
	Events       []string  // names that may be sent, each may end in *; empty: all
	Datasets     *Datasets // nil: every dataset, as the scopes say
	Signature    bool      // requests must be signed
	NotBefore    time.Time // zero: from the beginning
	ExpiresAt    time.Time // zero: never
	View         *View     // nil: whatever there is to read
	Observe      Restriction
	Limits       Limits

	// CacheMinutes is, of a client, how old answers of metrics may be that it gets; 0: as each metric says. It is no right and
	// no restriction: it is compared with nothing.
	CacheMinutes int
}

// AnswerAge is how old answers of metrics may be that the key gets: of a client and its tokens what the client says. 0: as
// each metric says.
func (k *Key) AnswerAge() time.Duration { return time.Duration(k.Stored().CacheMinutes) * time.Minute }

// Network is a range of addresses, and what it is.
type Network struct {
	Prefix      netip.Prefix // masked; of IPv4 as such
	Description string
}

// Rights is what may be done with the records of a dataset.
type Rights uint8

// The rights to a dataset.
const (
	ReadRecords Rights = 1 << iota
	WriteRecords
	DeleteRecords
)

var rightNames = [...]string{"read", "write", "delete"}

// Names lists the rights.
func (r Rights) Names() []string {
	names := []string{}
	for i, name := range rightNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String is the names with a space between.
func (r Rights) String() string { return strings.Join(r.Names(), " ") }

// ParseRight reads one right by its name.
func ParseRight(name string) (Rights, error) {
	i := slices.Index(rightNames[:], name)
	if i < 0 {
		return 0, fmt.Errorf("unknown right %q", name)
	}
	return 1 << i, nil
}

// Class is the price class of a dataset (seed 003). The zero Class is none.
type Class uint8

// The classes.
const (
	Core Class = iota + 1
	Premium
)

// String is "core", "premium" or "none".
func (c Class) String() string {
	switch c {
	case Core:
		return "core"
	case Premium:
		return "premium"
	}
	return "none"
}

// Datasets restricts a key to some datasets: to those named, with rights to each, and to reading all of a class. Both
// are grants; what neither gives is denied. The scopes must allow it as well.
type Datasets struct {
	Core    bool // every dataset of the class may be read
	Premium bool
	Named   []NamedDataset
}

// NamedDataset is the rights to one dataset.
type NamedDataset struct {
	Name   string
	Rights Rights
}

func (d *Datasets) allows(name string, class Class, want Rights) bool {
	if class == Core && d.Core || class == Premium && d.Premium {
		want &^= ReadRecords
	}
	for i := range d.Named {
		if named := &d.Named[i]; named.Name == name {
			want &^= named.Rights
		}
	}
	return want == 0
}

// OnFailure is what a limit does while its counters cannot be reached. The zero OnFailure denies.
type OnFailure uint8

// Deny lets nothing through; LocalShare lets through what this server's own count allows of a share; Allow everything.
const (
	FailDeny OnFailure = iota
	FailLocalShare
	FailAllow
)

var onFailureNames = [...]string{"deny", "local_share", "allow"}

// String is "deny", "local_share" or "allow".
func (f OnFailure) String() string {
	if int(f) >= len(onFailureNames) {
		f = FailDeny
	}
	return onFailureNames[f]
}

// ParseOnFailure reads what String writes.
func ParseOnFailure(name string) (OnFailure, bool) {
	i := slices.Index(onFailureNames[:], name)
	return OnFailure(max(i, 0)), i >= 0
}

// Limits is how much. A limit of 0, or below, is none.
type Limits struct {
	Rate    Rate
	Daily   Quota // requests in a day, UTC
	Credits Quota // in a calendar month, UTC
}

// Rate is how many requests a second, and how many at once after a pause.
type Rate struct {
	PerSecond int64
	Burst     int64
	OnFailure OnFailure
}

// Quota is how much in a period.
type Quota struct {
	Most      int64
	OnFailure OnFailure
}

// DefaultLimits are those of seed 001, for a key that is made without any.
func DefaultLimits(kind Kind) Limits {
	if kind == Public {
		return Limits{Rate: Rate{100, 1_000, FailLocalShare}, Daily: Quota{1_000_000, FailLocalShare}}
	}
	return Limits{Rate: Rate{1_000, 10_000, FailLocalShare}, Daily: Quota{10_000_000, FailLocalShare}}
}

// Exceeds names the first way in which b reaches further than outer, and is empty when it reaches no further. A
// restriction that is only observed restricts nothing. When each begins is not compared: whoever asks has begun.
func (b *Bounds) Exceeds(outer *Bounds) string {
	enforced, theirs := AllRestrictions&^(b.Observe&Observable), AllRestrictions&^(outer.Observe&Observable)
	for i, sticksOut := range [...]func(*Bounds, *Bounds) bool{
		wideEnvironments, wideNetworks, wideDomains, wideEvents, wideDatasets, wideSignature, wideTime, wideView,
	} {
		if r := Restriction(1 << i); theirs.Has(r) && restricts(outer, r) && (!enforced.Has(r) || sticksOut(b, outer)) {
			return restrictionNames[i]
		}
	}
	return b.Limits.exceeds(&outer.Limits)
}

// Under is how far rights within b reach that come of a key with bounds outer: what b leaves open is as outer has it. Where
// both restrict, it is b's: no narrower than the two together. The limits are outer's, since what is done is charged there.
func (b *Bounds) Under(outer *Bounds) Bounds {
	in := *b
	mine, theirs := b.Observe&Observable, outer.Observe&Observable
	for i := range restrictionNames {
		r := Restriction(1 << i)
		if restricts(outer, r) && !theirs.Has(r) && (!restricts(b, r) || mine.Has(r) || r == ByTime && wideTime(b, outer)) {
			in.take(r, outer)
		}
	}
	in.Limits = outer.Limits
	return in
}

// take takes one restriction over.
func (b *Bounds) take(r Restriction, from *Bounds) {
	switch r {
	case ByEnvironment:
		b.Environments = from.Environments
	case ByNetwork:
		b.Networks = from.Networks
	case ByDomain:
		b.Domains = from.Domains
	case ByEvent:
		b.Events = from.Events
	case ByDataset:
		b.Datasets = from.Datasets
	case BySignature:
		b.Signature = from.Signature
	case ByView:
		b.View = from.View
	default:
		b.ExpiresAt = from.ExpiresAt
	}
	b.Observe &^= r
}

// restricts reports whether the bounds have the restriction at all.
func restricts(b *Bounds, r Restriction) bool {
	switch r {
	case ByEnvironment:
		return len(b.Environments) > 0
	case ByNetwork:
		return len(b.Networks) > 0
	case ByDomain:
		return len(b.Domains) > 0
	case ByEvent:
		return len(b.Events) > 0
	case ByDataset:
		return b.Datasets != nil
	case BySignature:
		return b.Signature
	case ByView:
		return b.View != nil
	default:
		return !b.ExpiresAt.IsZero()
	}
}

// notAll reports whether a list is empty, so that it restricts nothing, or has something that no entry of outer covers.
func notAll[T any](list, outer []T, covers func(outer, inner T) bool) bool {
	for _, inner := range list {
		if !slices.ContainsFunc(outer, func(o T) bool { return covers(o, inner) }) {
			return true
		}
	}
	return len(list) == 0
}

func wideEnvironments(b, outer *Bounds) bool {
	return notAll(b.Environments, outer.Environments, func(o, i string) bool { return o == i })
}

func wideNetworks(b, outer *Bounds) bool {
	return notAll(b.Networks, outer.Networks, func(o, i Network) bool {
		return o.Prefix.Bits() <= i.Prefix.Bits() && o.Prefix.Contains(i.Prefix.Addr())
	})
}

func wideDomains(b, outer *Bounds) bool { return notAll(b.Domains, outer.Domains, Domain.covers) }

func wideEvents(b, outer *Bounds) bool {
	return notAll(b.Events, outer.Events, func(o, i string) bool {
		begin, open := strings.CutSuffix(o, "*")
		return o == i || open && strings.HasPrefix(strings.TrimSuffix(i, "*"), begin)
	})
}

func wideDatasets(b, outer *Bounds) bool {
	if b.Datasets == nil || b.Datasets.Core && !outer.Datasets.Core || b.Datasets.Premium && !outer.Datasets.Premium {
		return true
	}
	return slices.ContainsFunc(b.Datasets.Named, func(d NamedDataset) bool { return !outer.Datasets.allows(d.Name, 0, d.Rights) })
}

func wideSignature(b, _ *Bounds) bool { return !b.Signature }

func wideTime(b, outer *Bounds) bool {
	return b.ExpiresAt.IsZero() || b.ExpiresAt.After(outer.ExpiresAt)
}

func (l *Limits) exceeds(outer *Limits) string {
	over := func(n, most int64, f, worst OnFailure) bool { return most > 0 && (n <= 0 || n > most || f > worst) }
	switch {
	case over(l.Rate.PerSecond, outer.Rate.PerSecond, l.Rate.OnFailure, outer.Rate.OnFailure):
		return "limits.rate.per_second"
	case outer.Rate.PerSecond > 0 && l.Rate.Burst > outer.Rate.Burst:
		return "limits.rate.burst"
	case over(l.Daily.Most, outer.Daily.Most, l.Daily.OnFailure, outer.Daily.OnFailure):
		return "limits.daily"
	case over(l.Credits.Most, outer.Credits.Most, l.Credits.OnFailure, outer.Credits.OnFailure):
		return "limits.credits"
	}
	return ""
}

// eventAllowed reports whether a name is in a list of patterns.
func eventAllowed(patterns []string, name string) bool {
	for _, p := range patterns {
		if end := len(p) - 1; end >= 0 && p[end] == '*' {
			if strings.HasPrefix(name, p[:end]) {
				return true
			}
		} else if p == name {
			return true
		}
	}
	return len(patterns) == 0
}

// within reports whether an address is in one of the networks. The IPv4 half is written out: lists are long, and it is
// asked of every request.
func within(networks []Network, addr netip.Addr) bool {
	if !addr.Is4() {
		for i := range networks {
			if p := &networks[i].Prefix; p.Addr().Is6() && p.Contains(addr) {
				return true
			}
		}
		return false
	}
	a := number(addr)
	for i := range networks {
		p := &networks[i].Prefix
		if ip := p.Addr(); ip.Is4() && p.IsValid() && (number(ip)^a)>>(32-p.Bits()) == 0 {
			return true
		}
	}
	return false
}

func number(addr netip.Addr) uint32 {
	b := addr.As4()
	return binary.BigEndian.Uint32(b[:])
}

// ParseNetwork reads an address or a range in CIDR notation. An address stands for itself, an IPv4 address mapped into
// IPv6 for that IPv4 address; bits beyond the prefix are dropped, and masked says that there were some. Zones are refused.
func ParseNetwork(text string) (prefix netip.Prefix, masked bool, err error) {
	if prefix, err = netip.ParsePrefix(text); err != nil {
		addr, notAddr := netip.ParseAddr(text)
		if notAddr != nil || addr.Zone() != "" {
			return netip.Prefix{}, false, fmt.Errorf("%.60q is neither an address nor a range such as 203.0.113.0/24", text)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), false, nil
	}
	if addr := prefix.Addr(); addr.Is4In6() {
		if prefix.Bits() < 96 {
			return netip.Prefix{}, false, fmt.Errorf("%.60q is wider than the IPv4 addresses it is written with", text)
		}
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), prefix != prefix.Masked(), nil
}
