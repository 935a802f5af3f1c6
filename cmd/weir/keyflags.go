package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-analytics/weir/internal/view"
)

// keySettings are the flags that say what a key may do, for creating, changing and restoring it.
type keySettings struct{ flags *pflag.FlagSet }

// keyFlags adds the flags to a command.
func keyFlags(cmd *cobra.Command) keySettings {
	f := cmd.Flags()
	f.String("label", "", "what the key is for")
	f.String("steward", "", "who answers for it")
	f.StringSlice("scopes", nil, "rights it holds, such as events:write,sql:run")
	f.StringSlice("environments", nil, "environments it is restricted to; empty: all of its mode")
	f.StringArray("networks", nil, "a network it may be used from, such as 203.0.113.0/24=office; may be given more than once; empty: anywhere")
	f.StringSlice("domains", nil, "pages it may be used from, such as https://*.example.com; empty: any")
	f.StringArray("events", nil, "an event it may send, a name or the beginning of one and a *; may be given more than once; empty: all")
	f.StringArray("datasets", nil, "a dataset it may use with its rights, such as prices:read+write, or the class core or premium; may be given more than once; all: no restriction")
	f.String("view", "", "a file with what it sees where it reads, as JSON; none: everything")
	f.StringArray("public-keys", nil, "an Ed25519 public key that signatures are checked with, in base64; may be given more than once")
	f.Bool("signature", false, "whether its requests must be signed")
	f.StringSlice("observe", nil, "restrictions that are only observed, such as networks,events; empty: none")
	f.String("not-before", "", "when it begins to work: a time such as 2027-01-31T12:00:00Z, or a duration such as 24h")
	f.String("expires", "", "when it stops working: a time such as 2027-01-31T12:00:00Z, a duration such as 720h, or never")
	f.String("rate", "", "requests a second and at once, such as 100:1000; 0: no limit")
	f.Int64("daily", 0, "requests a day; 0: no limit")
	f.Int64("credits", 0, "credits a month; 0: no limit")
	f.Int64("cache-minutes", 0, "of a client: how many minutes old answers of metrics may be, from 5 to 1440; 0: as each metric says")
	return keySettings{f}
}

// body is what the flags say, as the API takes it. Flags that were not given say nothing.
func (s keySettings) body(now time.Time) (map[string]any, error) {
	body := map[string]any{}
	given := func(name string) bool { return s.flags.Changed(name) }
	for _, name := range [...]string{"label", "steward"} {
		if given(name) {
			body[name], _ = s.flags.GetString(name)
		}
	}
	for _, name := range [...]string{"scopes", "environments", "domains", "observe"} {
		if given(name) {
			list, _ := s.flags.GetStringSlice(name)
			body[name] = append([]string{}, list...)
		}
	}
	for flag, member := range map[string]string{"events": "events", "public-keys": "public_keys"} {
		if given(flag) {
			body[member] = s.texts(flag)
		}
	}
	if given("networks") {
		body["networks"] = networksOf(s.texts("networks"))
	}
	if given("signature") {
		body["signature"], _ = s.flags.GetBool("signature")
	}
	if given("cache-minutes") {
		body["cache_minutes"], _ = s.flags.GetInt64("cache-minutes")
	}
	for _, add := range [...]func(map[string]any, time.Time) error{s.addDatasets, s.addView, s.addTimes, s.addLimits} {
		if err := add(body, now); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// texts is a flag that may be given more than once; given once and empty it is an empty list.
func (s keySettings) texts(name string) []string {
	list, _ := s.flags.GetStringArray(name)
	if len(list) == 1 && list[0] == "" {
		return []string{}
	}
	return list
}

func networksOf(texts []string) []map[string]any {
	list := make([]map[string]any, len(texts))
	for i, text := range texts {
		cidr, description, described := strings.Cut(text, "=")
		if list[i] = map[string]any{"cidr": cidr}; described {
			list[i]["description"] = description
		}
	}
	return list
}

func (s keySettings) addDatasets(body map[string]any, _ time.Time) error {
	if !s.flags.Changed("datasets") {
		return nil
	}
	datasets, named := map[string]any{}, []map[string]any{}
	for _, text := range s.texts("datasets") {
		switch name, rights, ok := strings.Cut(text, ":"); {
		case text == "all":
			body["all_datasets"] = true
			return nil
		case text == "core" || text == "premium":
			datasets[text] = true
		case !ok:
			return &usageError{fmt.Sprintf("--datasets must be such as prices:read+write, core, premium or all, is %q", text)}
		default:
			named = append(named, map[string]any{"dataset": name, "rights": strings.Split(rights, "+")})
		}
	}
	datasets["named"] = named
	body["datasets"] = datasets
	return nil
}

// addView reads the file with the view. What is wrong in it, the API says.
func (s keySettings) addView(body map[string]any, _ time.Time) error {
	if !s.flags.Changed("view") {
		return nil
	}
	path, _ := s.flags.GetString("view")
	if path == "none" {
		body["no_view"] = true
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return &usageError{fmt.Sprintf("--view must name a file with JSON, or none: %v", err)}
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, view.MaxScopeBytes+1))
	if err != nil {
		return err
	}
	if len(text) > view.MaxScopeBytes || !jsontext.Value(text).IsValid() {
		return &usageError{fmt.Sprintf("--view: %s must have at most %d bytes of valid JSON", path, view.MaxScopeBytes)}
	}
	body["view"] = jsontext.Value(text)
	return nil
}

func (s keySettings) addTimes(body map[string]any, now time.Time) error {
	for flag, member := range map[string]string{"expires": "expires_at", "not-before": "not_before"} {
		text, _ := s.flags.GetString(flag)
		switch {
		case text == "":
			continue
		case text == "never" && flag == "expires":
			body["never_expires"] = true
			continue
		}
		at, err := timeFrom(text, now)
		if err != nil {
			return &usageError{fmt.Sprintf("--%s must be a time such as 2027-01-31T12:00:00Z or a duration such as 720h, is %q", flag, text)}
		}
		body[member] = at.UTC().Format(time.RFC3339)
	}
	return nil
}

func timeFrom(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(d), nil
	}
	return time.Parse(time.RFC3339, text)
}

func (s keySettings) addLimits(body map[string]any, _ time.Time) error {
	limits := map[string]any{}
	if s.flags.Changed("rate") {
		text, _ := s.flags.GetString("rate")
		perSecond, burst, both := strings.Cut(text, ":")
		if !both {
			burst = perSecond
		}
		n, err := strconv.ParseInt(perSecond, 10, 64)
		most, err2 := strconv.ParseInt(burst, 10, 64)
		if err != nil || err2 != nil {
			return &usageError{fmt.Sprintf("--rate must be such as 100:1000, is %q", text)}
		}
		limits["rate"] = map[string]any{"per_second": n, "burst": most}
	}
	for _, name := range [...]string{"daily", "credits"} {
		if s.flags.Changed(name) {
			n, _ := s.flags.GetInt64(name)
			limits[name] = map[string]any{"most": n}
		}
	}
	if len(limits) > 0 {
		body["limits"] = limits
	}
	return nil
}
