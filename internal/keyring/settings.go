package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/net/idna"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
	"github.com/weir-analytics/weir/internal/view"
)

// Settings is a key's bounds as JSON has them: where they are stored, in the audit, and in answers.
type Settings struct {
	Environments []string   `json:"environments" doc:"The environments it is restricted to; empty: all of its mode."`
	Networks     []Network  `json:"networks" doc:"The networks it may be used from; empty: anywhere."`
	Domains      []string   `json:"domains" doc:"The pages it may be used from; empty: any." example:"[\"https://*.example.com\"]"`
	Events       []string   `json:"events" doc:"The events it may send, each a name or the beginning of one and a *; empty: all."`
	Datasets     *Datasets  `json:"datasets" doc:"The datasets it may use; null: all, as its scopes say."`
	Signature    bool       `json:"signature" doc:"Whether its requests must be signed."`
	NotBefore    *time.Time `json:"not_before" doc:"When it begins to work; null: it has begun." nullable:"true"`
	ExpiresAt    *time.Time `json:"expires_at" doc:"When it stops working; null: never." nullable:"true"`
	View         View       `json:"view" nullable:"true" doc:"What it sees where it reads: tables, conditions on their rows, and names hidden or hashed; null: everything."`
	Observe      []string   `json:"observe" doc:"The restrictions that are only observed: what they would deny is allowed and recorded."`
	Limits       Limits     `json:"limits" doc:"How much it may be used."`
	CacheMinutes int        `json:"cache_minutes,omitzero" doc:"Of a client: how many minutes old answers of metrics may be that it gets; left out: as each metric says."`
}

// View is what a key sees, as JSON; package view reads and writes it. Nothing, and null, are no view.
type View jsontext.Value

// MarshalJSON writes the text as it is.
func (v View) MarshalJSON() ([]byte, error) { return jsontext.Value(v).MarshalJSON() }

// UnmarshalJSON takes any JSON; ParseView finds what is wrong with it.
func (v *View) UnmarshalJSON(text []byte) error { return (*jsontext.Value)(v).UnmarshalJSON(text) }

// Network is a range of addresses.
type Network struct {
	CIDR        string `json:"cidr" maxLength:"60" doc:"An address, or a range in CIDR notation." example:"203.0.113.0/24"`
	Description string `json:"description,omitzero" maxLength:"200" doc:"What it is." example:"office"`
}

// Datasets is a restriction to some datasets.
type Datasets struct {
	Core    bool           `json:"core,omitzero" doc:"Every dataset of the class core may be read."`
	Premium bool           `json:"premium,omitzero" doc:"Every dataset of the class premium may be read."`
	Named   []NamedDataset `json:"named,omitempty" maxItems:"200" nullable:"false"`
}

// NamedDataset is the rights to one dataset.
type NamedDataset struct {
	Dataset string   `json:"dataset" minLength:"1" maxLength:"256"`
	Rights  []string `json:"rights" minItems:"1" maxItems:"3" enum:"read,write,delete" nullable:"false"`
}

// Limits is how much a key, or a project, may be used. 0 is no limit.
type Limits struct {
	Rate    Rate  `json:"rate" doc:"Requests a second."`
	Daily   Quota `json:"daily" doc:"Requests a day, UTC."`
	Credits Quota `json:"credits" doc:"Credits a calendar month, UTC."`
}

// Rate is requests a second, and at once after a pause.
type Rate struct {
	PerSecond      int64  `json:"per_second" minimum:"0" maximum:"1000000" doc:"0: no limit."`
	Burst          int64  `json:"burst" minimum:"0" maximum:"1000000000000" doc:"So many at once, after a pause."`
	OnStoreFailure string `json:"on_store_failure,omitempty" enum:"deny,local_share,allow" doc:"What is done while the counters cannot be reached; by default local_share."`
}

// Quota is how much in a period.
type Quota struct {
	Most           int64  `json:"most" minimum:"0" maximum:"1000000000000" doc:"0: no limit."`
	OnStoreFailure string `json:"on_store_failure,omitempty" enum:"deny,local_share,allow" doc:"What is done while the counters cannot be reached; by default deny for credits, else local_share."`
}

// SettingsOf writes bounds.
func SettingsOf(b *access.Bounds) Settings {
	s := Settings{
		Environments: append([]string{}, b.Environments...), Networks: []Network{}, Domains: []string{}, Events: append([]string{}, b.Events...),
		Signature: b.Signature, NotBefore: timeOrNull(b.NotBefore), ExpiresAt: timeOrNull(b.ExpiresAt), Observe: b.Observe.Names(), Limits: LimitsOf(b.Limits),
		CacheMinutes: b.CacheMinutes,
	}
	for _, n := range b.Networks {
		s.Networks = append(s.Networks, Network{CIDR: n.Prefix.String(), Description: n.Description})
	}
	for _, d := range b.Domains {
		s.Domains = append(s.Domains, d.String())
	}
	if b.Datasets != nil {
		s.Datasets = &Datasets{Core: b.Datasets.Core, Premium: b.Datasets.Premium}
		for _, d := range b.Datasets.Named {
			s.Datasets.Named = append(s.Datasets.Named, NamedDataset{d.Name, d.Rights.Names()})
		}
	}
	if b.View != nil {
		s.View = View(view.Text(b.View))
	}
	return s
}

// LimitsOf writes limits.
func LimitsOf(l access.Limits) Limits {
	return Limits{
		Rate:    Rate{l.Rate.PerSecond, l.Rate.Burst, l.Rate.OnFailure.String()},
		Daily:   Quota{l.Daily.Most, l.Daily.OnFailure.String()},
		Credits: Quota{l.Credits.Most, l.Credits.OnFailure.String()},
	}
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Bounds reads settings. The problem names every field at fault, with its place in the list.
func (s *Settings) Bounds() (access.Bounds, error) {
	var f faults
	b := access.Bounds{
		Environments: s.Environments, Networks: f.readNetworks(s.Networks), Domains: f.readDomains(s.Domains), Events: s.Events,
		Datasets: f.readDatasets(s.Datasets), Signature: s.Signature, View: f.readView(s.View), Observe: f.readObserve(s.Observe), Limits: f.readLimits(s.Limits),
		CacheMinutes: s.CacheMinutes,
	}
	set(&b.NotBefore, s.NotBefore)
	set(&b.ExpiresAt, s.ExpiresAt)
	f.moment("not_before", b.NotBefore)
	f.moment("expires_at", b.ExpiresAt)
	return b, f.problem()
}

// ParseNetworks, ParseDomains, ParseDatasets, ParseView, ParseObserve and ParseLimits read one part of settings each.

// ParseNetworks reads a list of networks.
func ParseNetworks(list []Network) ([]access.Network, []problem.Field) {
	var f faults
	return f.readNetworks(list), f
}

// ParseDomains reads a list of domains.
func ParseDomains(list []string) ([]access.Domain, []problem.Field) {
	var f faults
	return f.readDomains(list), f
}

// ParseDatasets reads a restriction to datasets; nil is none.
func ParseDatasets(d *Datasets) (*access.Datasets, []problem.Field) {
	var f faults
	return f.readDatasets(d), f
}

// ParseView reads a view; nil is none.
func ParseView(v View) (*access.View, []problem.Field) {
	var f faults
	return f.readView(v), f
}

// ParseObserve reads a list of restrictions.
func ParseObserve(names []string) (access.Restriction, []problem.Field) {
	var f faults
	return f.readObserve(names), f
}

// ParseLimits reads limits.
func ParseLimits(l Limits) (access.Limits, []problem.Field) {
	var f faults
	limits := f.readLimits(l)
	f.limits(limits)
	return limits, f
}

// Invalid makes one problem of the fields at fault; nil when there are none.
func Invalid(fields []problem.Field) error { return faults(fields).problem() }

func (f *faults) readNetworks(list []Network) []access.Network {
	if f.many("networks", len(list), MaxNetworks) {
		return nil
	}
	var all []access.Network
	seen := map[string]bool{}
	for i, n := range list {
		field := fmt.Sprintf("networks[%d].cidr", i)
		prefix, _, err := access.ParseNetwork(n.CIDR)
		switch {
		case err != nil:
			f.add(field, "%s", err)
		case seen[prefix.String()]:
			f.add(field, "is named twice")
		default:
			seen[prefix.String()] = true
			all = append(all, access.Network{Prefix: prefix, Description: n.Description})
		}
	}
	return all
}

// readDomains reads domains, international ones in the form that browsers send.
func (f *faults) readDomains(list []string) []access.Domain {
	if f.many("domains", len(list), MaxDomains) {
		return nil
	}
	var all []access.Domain
	seen := map[access.Domain]bool{}
	for i, text := range list {
		field := fmt.Sprintf("domains[%d]", i)
		d, err := access.ParseDomain(ascii(text))
		switch {
		case err != nil:
			f.add(field, "%s", err)
		case seen[d]:
			f.add(field, "is named twice")
		default:
			seen[d] = true
			all = append(all, d)
		}
	}
	return all
}

// ascii writes the host of an entry as browsers do (RFC 5891). What has no such form stays as it is, and is refused by
// whoever reads it.
func ascii(text string) string {
	begin := 0
	if at := strings.Index(text, "://"); at >= 0 {
		begin = at + len("://")
	}
	if strings.HasPrefix(text[begin:], "*.") {
		begin += len("*.")
	}
	end := len(text)
	if at := strings.IndexAny(text[begin:], "/:"); at >= 0 {
		end = begin + at
	}
	if len(text) > access.MaxDomain || !strings.ContainsFunc(text[begin:end], func(c rune) bool { return c > 127 }) {
		return text
	}
	host, err := idna.Lookup.ToASCII(text[begin:end])
	if err != nil {
		return text
	}
	return text[:begin] + host + text[end:]
}

func (f *faults) readDatasets(d *Datasets) *access.Datasets {
	if d == nil {
		return nil
	}
	all := &access.Datasets{Core: d.Core, Premium: d.Premium}
	if f.many("datasets.named", len(d.Named), MaxDatasets) {
		return all
	}
	for i, n := range d.Named {
		named := access.NamedDataset{Name: n.Dataset}
		if f.many(fmt.Sprintf("datasets.named[%d].rights", i), len(n.Rights), maxRights) {
			continue
		}
		for j, name := range n.Rights {
			right, err := access.ParseRight(name)
			if err != nil {
				f.add(fmt.Sprintf("datasets.named[%d].rights[%d]", i, j), "%s", err)
			}
			named.Rights |= right
		}
		all.Named = append(all.Named, named)
	}
	return all
}

func (f *faults) readView(text View) *access.View {
	if v := jsontext.Value(text); len(v) == 0 || v.Kind() == 'n' {
		return nil
	}
	v, err := view.Read(jsontext.Value(text), "view")
	if err != nil {
		*f = append(*f, problem.From(err).Fields...)
	}
	return v
}

func (f *faults) readObserve(names []string) access.Restriction {
	var all access.Restriction
	if f.many("observe", len(names), maxObserve) {
		return 0
	}
	for i, name := range names {
		one, err := access.ParseRestriction(name)
		switch {
		case err != nil:
			f.add(fmt.Sprintf("observe[%d]", i), "%s", err)
		case one == access.ByView:
			f.add(fmt.Sprintf("observe[%d]", i), "a view cannot be observed: it narrows the answers, and denies nothing that could be recorded")
		}
		all |= one
	}
	return all
}

func (f *faults) readLimits(l Limits) access.Limits {
	return access.Limits{
		Rate:    access.Rate{PerSecond: l.Rate.PerSecond, Burst: l.Rate.Burst, OnFailure: f.onFailure("limits.rate", l.Rate.OnStoreFailure, access.FailLocalShare)},
		Daily:   access.Quota{Most: l.Daily.Most, OnFailure: f.onFailure("limits.daily", l.Daily.OnStoreFailure, access.FailLocalShare)},
		Credits: access.Quota{Most: l.Credits.Most, OnFailure: f.onFailure("limits.credits", l.Credits.OnStoreFailure, access.FailDeny)},
	}
}

func (f *faults) onFailure(name, text string, otherwise access.OnFailure) access.OnFailure {
	if text == "" {
		return otherwise
	}
	value, ok := access.ParseOnFailure(text)
	if !ok {
		f.add(name+".on_store_failure", "must be deny, local_share or allow")
	}
	return value
}

// shown is a record as the audit has it: all that a list shows of it.
type shown struct {
	ID         string     `json:"id"`
	Kind       string     `json:"kind"`
	Parent     string     `json:"parent,omitzero"`
	App        string     `json:"app,omitzero"`
	Mode       string     `json:"mode"`
	Label      string     `json:"label"`
	Steward    string     `json:"steward"`
	Scopes     []string   `json:"scopes"`
	State      string     `json:"state"`
	Member     string     `json:"member,omitempty"`
	Role       string     `json:"role,omitempty"`
	Everywhere bool       `json:"everywhere,omitempty"` // the role is one in all projects
	Generation int        `json:"generation"`
	Hint       string     `json:"hint"`
	Former     []string   `json:"former,omitempty"` // hints of replaced secrets that are still good
	Signing    string     `json:"signing,omitempty"`
	PublicKeys []string   `json:"public_keys,omitempty"`
	Exposed    string     `json:"exposed,omitempty"`
	RevokedAt  *time.Time `json:"revoked_at,omitempty"`
	Revision   int64      `json:"revision"`
	Settings
}

func (r *Record) view() shown {
	v := shown{
		ID: r.ID, Kind: r.Kind.String(), Parent: r.Parent, App: r.App, Mode: r.Mode.String(), Label: r.Label, Steward: r.Steward, Scopes: r.Scopes.Names(), State: r.State.String(),
		Generation: r.Generation, Hint: r.Hint, Signing: r.Signing.Hint, Exposed: string(r.Exposed),
		RevokedAt: timeOrNull(r.RevokedAt), Revision: r.Revision, Settings: SettingsOf(&r.Bounds),
	}
	if r.Kind == access.Member {
		v.Member, v.Role, v.Everywhere = r.Member.ID, r.Member.Role.String(), r.Member.Wide
	}
	for _, f := range r.Former {
		v.Former = append(v.Former, f.Hint)
	}
	for _, key := range r.Signing.PublicKeys {
		v.PublicKeys = append(v.PublicKeys, signature.FormatPublicKey(key))
	}
	return v
}

// compact is Settings without what says nothing. There are as many as there are keys, and all are read at a start.
type compact struct {
	Environments []string   `json:"environments,omitempty"`
	Networks     []Network  `json:"networks,omitempty"`
	Domains      []string   `json:"domains,omitempty"`
	Events       []string   `json:"events,omitempty"`
	Datasets     *Datasets  `json:"datasets,omitempty"`
	Signature    bool       `json:"signature,omitzero"`
	NotBefore    *time.Time `json:"not_before,omitempty"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty"`
	View         View       `json:"view,omitempty"`
	Observe      []string   `json:"observe,omitempty"`
	Limits       Limits     `json:"limits"`
	CacheMinutes int        `json:"cache_minutes,omitzero"`
}

// WriteSettings and ReadSettings are bounds as a store keeps them, as one text.
func WriteSettings(b *access.Bounds) string {
	text, err := json.Marshal(compact(SettingsOf(b)))
	if err != nil {
		panic(err) // settings always marshal
	}
	return string(text)
}

// ReadSettings reads what WriteSettings wrote. A restriction that it does not know is an error: a key must not do more
// here than where it was restricted.
func ReadSettings(text string) (access.Bounds, error) {
	var c compact
	if err := readStrictly(text, &c); err != nil {
		return access.Bounds{}, err
	}
	s := Settings(c)
	b, err := s.Bounds()
	if err != nil {
		return access.Bounds{}, err
	}
	return kept(b), nil
}

// readStrictly reads one JSON value that has no member which the program does not know.
func readStrictly(text string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the value")
	}
	return nil
}
