package access_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// boundWords are the clauses of bounds.
func boundWords(prefix string) []string {
	list := []string{"only", "from", "pages", "sends", "sets", "signs", "begins", "expires", "observes", "limits", "sees"}
	for i := range list {
		list[i] = prefix + list[i]
	}
	return list
}

func bounds(clauses map[string][]string, prefix string) (access.Bounds, error) {
	b := access.Bounds{Environments: clauses[prefix+"only"], Events: clauses[prefix+"sends"], Signature: clauses[prefix+"signs"] != nil}
	for _, text := range clauses[prefix+"from"] {
		n, _, err := access.ParseNetwork(text)
		if err != nil {
			return b, err
		}
		b.Networks = append(b.Networks, access.Network{Prefix: n})
	}
	for _, text := range clauses[prefix+"pages"] {
		d, err := access.ParseDomain(text)
		if err != nil {
			return b, err
		}
		b.Domains = append(b.Domains, d)
	}
	for _, text := range clauses[prefix+"observes"] {
		r, err := access.ParseRestriction(text)
		if err != nil {
			return b, err
		}
		b.Observe |= r
	}
	if words, there := clauses[prefix+"sees"]; there {
		b.View = viewOf(words)
	}
	var err error
	if b.Datasets, err = datasets(clauses[prefix+"sets"]); err != nil {
		return b, err
	}
	if b.Limits, err = limits(clauses[prefix+"limits"]); err != nil {
		return b, err
	}
	if b.NotBefore, err = instant(clauses[prefix+"begins"], time.Time{}); err != nil {
		return b, err
	}
	b.ExpiresAt, err = instant(clauses[prefix+"expires"], time.Time{})
	return b, err
}

// viewOf reads TABLE, TABLE:where:NAME:CONDITION, TABLE:hash:NAME, TABLE:hide:NAME, and unbound:VARIABLE.
func viewOf(words []string) *access.View {
	v := &access.View{}
	for _, text := range words {
		parts := append(strings.Split(text, ":"), "", "", "")
		if parts[0] == "unbound" {
			v.Unbound = append(v.Unbound, parts[1])
			continue
		}
		i := slices.IndexFunc(v.Tables, func(t access.ViewTable) bool { return t.Name == parts[0] })
		if i < 0 && parts[0] != "nothing" {
			i = len(v.Tables)
			v.Tables = append(v.Tables, access.ViewTable{Name: parts[0]})
		}
		if does := map[string]access.AtomKind{"where": access.Where, "hash": access.Hash, "hide": access.Hide}[parts[1]]; does != 0 {
			v.Tables[i].Atoms = append(v.Tables[i].Atoms, access.Atom{Does: does, Name: parts[2], Text: parts[3]})
		}
	}
	return v
}

func datasets(words []string) (*access.Datasets, error) {
	if words == nil {
		return nil, nil
	}
	d := &access.Datasets{}
	for _, text := range words {
		switch text {
		case "core":
			d.Core = true
		case "premium":
			d.Premium = true
		case "none":
		default:
			t, err := datasetTarget(text)
			if err != nil {
				return nil, err
			}
			d.Named = append(d.Named, access.NamedDataset{Name: t.Dataset, Rights: t.Right})
		}
	}
	return d, nil
}

// datasetTarget reads NAME:RIGHT,... with or without a class.
func datasetTarget(text string) (access.Target, error) {
	parts := strings.Split(text, ":")
	t := access.Target{Dataset: parts[0]}
	if len(parts) < 2 || len(parts) > 3 {
		return t, fmt.Errorf("%q is not NAME:RIGHT,...:CLASS", text)
	}
	if parts[1] != "" {
		for name := range strings.SplitSeq(parts[1], ",") {
			right, err := access.ParseRight(name)
			if err != nil {
				return t, err
			}
			t.Right |= right
		}
	}
	if len(parts) == 3 {
		classes := map[string]access.Class{"core": access.Core, "premium": access.Premium, "other": 9}
		if t.Class = classes[parts[2]]; t.Class == 0 {
			return t, fmt.Errorf("no class is called %q", parts[2])
		}
	}
	return t, nil
}

func limits(words []string) (access.Limits, error) {
	var l access.Limits
	for _, text := range words {
		name, values, _ := strings.Cut(text, "=")
		parts := strings.Split(values, ",")
		f, ok := access.ParseOnFailure(parts[len(parts)-1])
		if !ok {
			return l, fmt.Errorf("what does %q do when the counters are gone?", text)
		}
		var n [2]int64
		for i, part := range parts[:min(2, len(parts)-1)] {
			var err error
			if n[i], err = strconv.ParseInt(part, 10, 64); err != nil {
				return l, err
			}
		}
		switch name {
		case "rate":
			l.Rate = access.Rate{PerSecond: n[0], Burst: n[1], OnFailure: f}
		case "daily":
			l.Daily = access.Quota{Most: n[0], OnFailure: f}
		case "credits":
			l.Credits = access.Quota{Most: n[0], OnFailure: f}
		default:
			return l, fmt.Errorf("no limit is called %q", name)
		}
	}
	return l, nil
}

func circumstances(clauses map[string][]string) (access.Circumstances, error) {
	c := access.Circumstances{Via: access.InHeader, Cleartext: clauses["cleartext"] != nil, Browser: clauses["browser"] != nil, OwnPage: clauses["own-page"] != nil}
	var err error
	if via := clauses["via"]; via != nil {
		if c.Via, err = wordOf(via[0], map[string]access.Via{"header": access.InHeader, "query": access.InQuery, "body": access.InBody, "link": access.InLink, "nowhere": 0}); err != nil {
			return c, err
		}
	}
	if signed := clauses["signed"]; signed != nil {
		if c.Signed, err = wordOf(signed[0], map[string]access.Signed{
			"claimed": access.SignatureClaimed, "right": access.SignatureRight, "wrong": access.SignatureWrong, "other": 9,
		}); err != nil {
			return c, err
		}
	}
	from := "192.0.2.1"
	if clauses["from"] != nil {
		from = clauses["from"][0]
	}
	if from != "nowhere" {
		if c.Address, err = netip.ParseAddr(from); err != nil {
			return c, err
		}
	}
	c.Origin = access.ParseOrigin(strings.Join(clauses["origin"], " "), strings.Join(clauses["referer"], " "))
	if c.SecretMinted, err = instant(clauses["secret-minted"], time.Time{}); err != nil {
		return c, err
	}
	c.SecretUntil, err = instant(clauses["secret-until"], time.Time{})
	return c, err
}

func wordOf[V any](text string, words map[string]V) (V, error) {
	v, ok := words[text]
	if !ok {
		return v, fmt.Errorf("what is %q?", text)
	}
	return v, nil
}

func targets(clauses map[string][]string) ([]access.Target, error) {
	var list []access.Target
	for _, text := range append(clauses["in"], clauses["each"]...) {
		environment, event, _ := strings.Cut(text, ":")
		list = append(list, access.Target{Environment: environment, Event: event})
	}
	for _, text := range clauses["on"] {
		t, err := datasetTarget(text)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

// label is a target as a line of the matrix writes it.
func label(t access.Target) string {
	switch {
	case t.Dataset != "" || t.Right != 0:
		return t.Dataset
	case t.Event != "":
		return t.Environment + ":" + t.Event
	}
	return t.Environment
}

func grant(clauses map[string][]string) (*access.Grant, error) {
	giving := clauses["giving"]
	g := &access.Grant{Renewal: clauses["renewal"] != nil, Wide: clauses["everywhere"] != nil}
	var err error
	if g.Kind, g.Mode, err = kindAndMode(giving[0], giving[1]); err != nil {
		return nil, err
	}
	if g.Scopes, err = scopes(giving[2:]); err != nil {
		return nil, err
	}
	if g.Bounds, err = bounds(clauses, "given-"); err != nil {
		return nil, err
	}
	g.Environments = clauses["within"]
	g.ExpiresAt, err = instant(clauses["until"], time.Time{})
	return g, err
}

func kindAndMode(kind, mode string) (access.Kind, access.Mode, error) {
	kinds := map[string]access.Kind{
		"public": access.Public, "secret": access.Secret, "operator": access.Operator, "client": access.Client, "token": access.Token, "member": access.Member, "none": 0, "other": 99,
	}
	modes := map[string]access.Mode{"live": access.Live, "test": access.Test, "none": 0}
	k, ok := kinds[kind]
	m, known := modes[mode]
	if !ok || !known {
		return 0, 0, fmt.Errorf("no key is %s %s", kind, mode)
	}
	return k, m, nil
}

func scopes(names []string) (access.Scopes, error) {
	if len(names) == 0 || slices.Equal(names, []string{"nothing"}) {
		return 0, nil
	}
	if names[0] != "everything" {
		return scopeList(names)
	}
	if len(names) == 1 {
		return access.AllScopes, nil
	}
	if names[1] != "except" {
		return 0, fmt.Errorf("everything, %q?", names[1])
	}
	except, err := scopeList(names[2:])
	return access.AllScopes &^ except, err
}

func scopeList(names []string) (access.Scopes, error) {
	var set access.Scopes
	for _, name := range names {
		one, err := access.ParseScope(name)
		if err != nil {
			return 0, err
		}
		set |= one
	}
	return set, nil
}

func instant(clause []string, otherwise time.Time) (time.Time, error) {
	switch {
	case clause == nil:
		return otherwise, nil
	case clause[0] == "never":
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, clause[0])
}

func actionOf(name string) (access.Action, error) {
	switch name {
	case "undeclared":
		return 0, nil
	case "beyond":
		return 200, nil
	}
	for _, a := range access.Actions() {
		if a.String() == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("no action is called %q", name)
}

func reasonOf(name string) access.Reason {
	for _, r := range allReasons() {
		if r.String() == name {
			return r
		}
	}
	return 0
}
