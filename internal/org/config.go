package org

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/problem"
)

// Config is what a project tells its clients, and what it is told about itself. Weir keeps and publishes it; of itself it
// acts on none of it.
type Config struct {
	Public  PublicConfig  `json:"public" doc:"What every key of the project may read that holds projects:read, the public ones too: do not put into it what not everybody may know."`
	Private PrivateConfig `json:"private" doc:"What public keys do not see."`
	Version int64         `json:"version" doc:"Counts the changes, from 1. It is in the ETag, for If-Match."`
}

// PublicConfig is what clients are told.
type PublicConfig struct {
	AllowedOrigins []string       `json:"allowed_origins" maxItems:"100" nullable:"false" doc:"The pages that are meant to send. It is published only: what a key may be used from is decided by the key's own domains." example:"[\"https://www.example.com\"]"`
	Sampling       Sampling       `json:"sampling" doc:"Which part of the events clients should send. It is published only: the server drops nothing."`
	Features       map[string]any `json:"features" doc:"Switches: a name, and a boolean, a number or a text."`
}

// Sampling is which part of events is to be sent.
type Sampling struct {
	Rate   float64            `json:"rate" minimum:"0" maximum:"1" doc:"The part of all events; 1: all." example:"1"`
	Events map[string]float64 `json:"events" doc:"The part of events of a name, where it is another."`
}

// PrivateConfig is what a project is told about itself.
type PrivateConfig struct {
	Contact  string         `json:"contact" maxLength:"254" doc:"Whom to ask about the project." example:"data@example.com"`
	TimeZone string         `json:"time_zone" maxLength:"64" doc:"The zone that days of reports are of; empty: UTC." example:"Europe/Paris"`
	Settings map[string]any `json:"settings" doc:"Anything else, for programs of your own."`
}

// Limits on a config.
const (
	MaxConfig  = 64 << 10 // bytes, as JSON
	maxOrigins = 100
	maxNames   = 200 // of features, and of events with a rate of their own
	maxOfName  = 256 // bytes
	maxText    = 1000
	maxDepth   = 10
)

// NewConfig is the config of a new project: everything is sent.
func NewConfig() Config {
	return Config{
		Public:  PublicConfig{AllowedOrigins: []string{}, Sampling: Sampling{Rate: 1, Events: map[string]float64{}}, Features: map[string]any{}},
		Private: PrivateConfig{Settings: map[string]any{}}, Version: 1,
	}
}

// Merge puts a patch over a JSON object, as RFC 7386 says: null removes a member, an object is put over the one there is, and
// anything else takes the place of what there is. Neither is changed.
func Merge(into, patch map[string]any) map[string]any {
	merged := maps.Clone(into)
	if merged == nil {
		merged = map[string]any{}
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(merged, name)
		case map[string]any:
			under, _ := merged[name].(map[string]any)
			merged[name] = Merge(under, value)
		default:
			merged[name] = value
		}
	}
	return merged
}

// Patched is the config with a merge patch over it. What the patch removes is as in a new project. The problem names the field
// at fault.
func (c Config) Patched(patch map[string]any) (Config, error) {
	if depthOf(patch) > maxDepth {
		return Config{}, problem.Invalid("body", "is nested more than %d deep", maxDepth)
	}
	if err := knownParts(patch); err != nil {
		return Config{}, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return Config{}, fmt.Errorf("org: write a config: %w", err)
	}
	var now map[string]any
	if err := json.Unmarshal(text, &now); err != nil {
		return Config{}, fmt.Errorf("org: read a config back: %w", err)
	}
	if text, err = json.Marshal(Merge(now, patch)); err != nil {
		return Config{}, fmt.Errorf("org: write a config: %w", err)
	}
	if len(text) > MaxConfig {
		return Config{}, problem.Invalid("body", "makes the config larger than %d bytes", MaxConfig)
	}
	after := NewConfig()
	if err := strictly(text, &after); err != nil {
		return Config{}, problem.Invalid(fieldOf(err), "does not fit the config: %s", reasonOf(err))
	}
	after.fill()
	after.Version = c.Version
	return after, after.check()
}

// knownParts refuses a patch with a member that is no part of a config, by the way to it. What is of another type than it must
// be is found later.
func knownParts(patch map[string]any) error {
	public, _ := patch["public"].(map[string]any)
	sampling, _ := public["sampling"].(map[string]any)
	private, _ := patch["private"].(map[string]any)
	for _, part := range []struct {
		way     string
		members map[string]any
		known   []string
	}{
		{"", patch, []string{"public", "private"}},
		{"public.", public, []string{"allowed_origins", "sampling", "features"}},
		{"public.sampling.", sampling, []string{"rate", "events"}},
		{"private.", private, []string{"contact", "time_zone", "settings"}},
	} {
		for _, name := range slices.Sorted(maps.Keys(part.members)) {
			if !slices.Contains(part.known, name) {
				return problem.Invalid(part.way+clipName(name), "is no part of the config that can be changed")
			}
		}
	}
	return nil
}

// fill puts empty lists and objects where there are none.
func (c *Config) fill() {
	if c.Public.AllowedOrigins == nil {
		c.Public.AllowedOrigins = []string{}
	}
	if c.Public.Sampling.Events == nil {
		c.Public.Sampling.Events = map[string]float64{}
	}
	if c.Public.Features == nil {
		c.Public.Features = map[string]any{}
	}
	if c.Private.Settings == nil {
		c.Private.Settings = map[string]any{}
	}
}

var origin = regexp.MustCompile(`^https?://[A-Za-z0-9.*\[\]:-]{1,253}$`)

func (c *Config) check() error {
	p := &c.Public
	if len(p.AllowedOrigins) > maxOrigins {
		return problem.Invalid("public.allowed_origins", "has more than %d entries", maxOrigins)
	}
	for i, text := range p.AllowedOrigins {
		if !origin.MatchString(text) {
			return problem.Invalid(fmt.Sprintf("public.allowed_origins[%d]", i), "must be an origin such as https://www.example.com")
		}
	}
	if !fraction(p.Sampling.Rate) {
		return problem.Invalid("public.sampling.rate", "must be from 0 to 1")
	}
	if err := checkNames("public.sampling.events", slices.Sorted(maps.Keys(p.Sampling.Events))); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Sampling.Events)) {
		if !fraction(p.Sampling.Events[name]) {
			return problem.Invalid("public.sampling.events."+clipName(name), "must be from 0 to 1")
		}
	}
	if err := checkNames("public.features", slices.Sorted(maps.Keys(p.Features))); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Features)) {
		value := p.Features[name]
		text, isText := value.(string)
		_, isNumber := value.(float64)
		_, isBool := value.(bool)
		if !isText && !isNumber && !isBool || len(text) > maxText {
			return problem.Invalid("public.features."+clipName(name), "must be a boolean, a number, or a text of at most %d bytes", maxText)
		}
	}
	if !utf8.ValidString(c.Private.Contact) || len(c.Private.Contact) > MaxEmail {
		return problem.Invalid("private.contact", "must be at most %d bytes", MaxEmail)
	}
	if _, err := time.LoadLocation(c.Private.TimeZone); err != nil || c.Private.TimeZone == "Local" {
		return problem.Invalid("private.time_zone", "is not the name of a time zone, such as Europe/Paris")
	}
	return nil
}

func fraction(f float64) bool { return !math.IsNaN(f) && f >= 0 && f <= 1 }

func checkNames(field string, names []string) error {
	if len(names) > maxNames {
		return problem.Invalid(field, "has more than %d names", maxNames)
	}
	for _, name := range names {
		if name == "" || len(name) > maxOfName || !utf8.ValidString(name) {
			return problem.Invalid(field, "must have names of 1 to %d bytes", maxOfName)
		}
	}
	return nil
}

func depthOf(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			deepest = max(deepest, depthOf(inner))
		}
	case []any:
		for _, inner := range v {
			deepest = max(deepest, depthOf(inner))
		}
	default:
		return 0
	}
	return deepest + 1
}

// same reports whether two configs say the same.
func (c Config) same(other Config) bool {
	one, err := json.Marshal(c)
	two, wrong := json.Marshal(other)
	return err == nil && wrong == nil && bytes.Equal(one, two)
}
