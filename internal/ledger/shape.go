package ledger

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// Outcome is what became of an attempt. The zero Outcome is none.
type Outcome uint8

// An attempt was Allowed, or Denied by the policy or for want of a key, or Limited: denied by a limit. Observed is what
// was allowed although a restriction that is only observed objects to it; that is counted beside the yes.
const (
	Allowed Outcome = iota + 1
	Denied
	Observed
	Limited
)

var outcomeNames = [...]string{Allowed: "allowed", Denied: "denied", Observed: "observed", Limited: "limited"}

// String is "allowed", "denied", "observed", "limited", or empty for none.
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) {
		return ""
	}
	return outcomeNames[o]
}

// ParseOutcome reads what String writes.
func ParseOutcome(name string) (Outcome, bool) {
	i := slices.Index(outcomeNames[:], name)
	return Outcome(max(i, 0)), i >= 0
}

// OutcomeOf is what a denial counts as.
func OutcomeOf(d *gate.Denial) Outcome {
	if d.Observed {
		return Observed
	}
	switch d.Reason {
	case gate.KeyRate, gate.KeyDaily, gate.KeyCredits, gate.ProjectRate, gate.ProjectDaily, gate.ProjectCredits, gate.LimitsDown:
		return Limited
	}
	return Denied
}

// About is what a count counts: attempts that have all of this in common. An empty member stands for what there is none
// of, and for what was too many to tell apart.
type About struct {
	Project     string
	KeyID       string
	Outcome     Outcome
	Reason      string // why not; empty for a yes
	Action      access.Action
	Environment string
	Event       string
	Network     netip.Prefix
}

// Count is how often something happened in a span of time. A request that carries events of several names counts as one
// request about no event, and each of its items counts where it belongs.
type Count struct {
	At time.Time // when the span began, UTC
	About
	Requests int64 // of an outcome other than Allowed: decisions, of which one request can bring several
	Items    int64
}

// Events is how many events a count has, which must tell actions apart. Where events and persons come in one batch, every
// item counts as one.
func (c *Count) Events() int64 {
	if !c.Action.SendsEvents() {
		return 0
	}
	return c.Items
}

// Events adds up the events of counts that tell actions apart.
func Events(counts []Count) (events int64) {
	for i := range counts {
		events += counts[i].Events()
	}
	return events
}

// Shape is what an attempt was, apart from when.
type Shape struct {
	About
	Generation int // of the secret that was shown
	Origin     string
	Via        access.Via
	Signed     access.Signed
	Agent      string // the client's family, such as curl/8 or Firefox
	SDK        string
	Other      bool // it stands for all that were too many to tell apart; only key, generation and outcome are known
}

// Seen is how often a shape was seen, and when.
type Seen struct {
	ID string // names the shape; it is the same for the same shape
	Shape
	First    time.Time
	Last     time.Time
	Requests int64
	Refused  int64 // of Requests, those that were denied or limited
	Items    int64
}

// LastUse is when one of a key's secrets was last used with success.
type LastUse struct {
	Project    string
	KeyID      string
	Generation int
	At         time.Time
	Address    netip.Addr
	Client     gate.Client
}

// id names a shape by what it is.
func (s *Shape) id() string {
	digest := s.digest()
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

func (s *Shape) digest() [16]byte {
	flags := [...]byte{0, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint64(flags[:], uint64(s.Generation))
	if s.Other {
		flags[8] = 1
	}
	text := make([]byte, 0, 512)
	for _, part := range [...]string{
		s.Project, s.KeyID, s.Outcome.String(), s.Reason, s.Action.String(), s.Environment, s.Event, writeNetwork(s.Network),
		s.Origin, s.Via.String(), s.Signed.String(), s.Agent, s.SDK, string(flags[:]),
	} {
		text = binary.AppendUvarint(text, uint64(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return [16]byte(sum[:16])
}

func writeNetwork(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

// NetworkOf is the network an address belongs to, as far as it is counted: a /24 of IPv4, a /48 of IPv6.
func NetworkOf(a netip.Addr) netip.Prefix {
	bits := 48
	if a = a.Unmap(); a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // without an address there is no network
	return p
}

// The steps by which a shape is made wider, so that fewer are told apart: first no event's name, then nothing of where it
// came from, then no key. What is left after the last is from closed sets, but for the project.
const (
	withoutEvent = iota + 1
	withoutNetwork
	withoutKey
)

// widen makes a shape wider by one step more than it is.
func (s *Shape) widen(step int) {
	switch step {
	case withoutEvent:
		s.Event = ""
	case withoutNetwork:
		s.Network, s.Origin, s.Agent, s.SDK = netip.Prefix{}, "", "", ""
	case withoutKey:
		*s = Shape{About: About{Project: s.Project, Outcome: s.Outcome, Reason: s.Reason, Action: s.Action}}
	}
}

// family is what kind of client a User-Agent names: the browser, or the program with the first number of its version. It
// is a part of the text, or one of ours, and costs no memory.
func family(agent string) string {
	if strings.HasPrefix(agent, "Mozilla/") {
		return browser(agent)
	}
	end := strings.IndexAny(agent, " (;/")
	if end < 0 {
		return agent
	}
	if agent[end] != '/' {
		return agent[:end]
	}
	digits := end + 1
	for digits < len(agent) && agent[digits] >= '0' && agent[digits] <= '9' {
		digits++
	}
	if digits == end+1 {
		return agent[:end]
	}
	return agent[:digits]
}

// browser tells browsers apart by the end of what they send: each names those it wants to be taken for, and then itself.
func browser(agent string) string {
	rest, name := product(agent)
	switch name {
	case "Firefox":
		return "Firefox"
	case "Edg", "EdgA", "EdgiOS":
		return "Edge"
	case "OPR":
		return "Opera"
	case "Safari":
		if rest, name = product(rest); name == "Mobile" {
			_, name = product(rest)
		}
		if name == "Chrome" || name == "HeadlessChrome" {
			return name
		}
		return "Safari"
	}
	return "Mozilla"
}

// product is the name of the last product in a list of them, and what comes before it.
func product(agent string) (rest, name string) {
	at := strings.LastIndexByte(agent, ' ')
	name, _, _ = strings.Cut(agent[at+1:], "/")
	return agent[:max(at, 0)], name
}
