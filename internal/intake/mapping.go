package intake

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Kind is what the rows of a file are.
type Kind string

// The kinds.
const (
	Track    Kind = "track"
	Identify Kind = "identify"
	Alias    Kind = "alias"
)

func (k Kind) route() string { return "/" + string(k) }

// members are those of an item, by its kind. The last of track and identify holds what has no member of its own.
var members = map[Kind][]string{
	Track:    {"event", "distinct_id", "anonymous_id", "device_id", "session_id", "timestamp", "environment", "event_id", "properties"},
	Identify: {"distinct_id", "anonymous_id", "device_id", "timestamp", "environment", "event_id", "traits"},
	Alias:    {"distinct_id", "new_user_id", "anonymous_id", "device_id", "timestamp", "environment", "event_id"},
}

// Mapping says how a row becomes an item.
type Mapping struct {
	Kind    Kind
	From    map[string]string // a member of the item, or properties.NAME, to a column, or a path into one: user.id
	Set     map[string]string // a member, or properties.NAME, to a text that every item has
	Strip   bool              // leave out columns that are not mapped, instead of making properties of them
	Default string            // the environment of rows that name none; empty: the server's choice
}

// Check finds what is wrong with a mapping.
func (m *Mapping) Check() error {
	own, ok := members[m.Kind]
	if !ok {
		return fmt.Errorf("%q is not track, identify or alias", m.Kind)
	}
	for _, target := range slices.Sorted(maps.Keys(m.targets())) {
		name, inner, nested := strings.Cut(target, ".")
		switch {
		case !slices.Contains(own, name), nested && (name != m.rest() || inner == ""):
			return fmt.Errorf("%s is not a member of what is sent to %s: there are %s", target, m.Kind.route(), strings.Join(own, ", "))
		case m.From[target] != "" && m.Set[target] != "":
			return fmt.Errorf("%s is mapped and set", target)
		}
	}
	return nil
}

// Missing are the members that are mapped to a column which is not among those that a file says it has, in order. nil columns
// are those of a file that does not say.
func (m *Mapping) Missing(columns []string) (targets []string) {
	if columns == nil {
		return nil
	}
	for _, target := range slices.Sorted(maps.Keys(m.From)) {
		outer, _, _ := strings.Cut(m.From[target], ".")
		if !slices.Contains(columns, m.From[target]) && !slices.Contains(columns, outer) {
			targets = append(targets, target)
		}
	}
	return targets
}

func (m *Mapping) targets() map[string]string {
	all := maps.Clone(m.From)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, m.Set)
	return all
}

// rest is the member that holds what has none of its own; empty for an alias.
func (m *Mapping) rest() string {
	switch m.Kind {
	case Track:
		return "properties"
	case Identify:
		return "traits"
	case Alias:
	}
	return ""
}

// item is the item of a row, as JSON.
func (m *Mapping) item(row Row, file string) ([]byte, error) {
	item, rest := map[string]jsontext.Value{}, map[string]jsontext.Value{}
	used := map[string]bool{}
	put := func(target string, value jsontext.Value) {
		if _, inner, nested := strings.Cut(target, "."); nested {
			rest[inner] = value
		} else {
			item[target] = value
		}
	}
	for _, target := range members[m.Kind] {
		if _, mapped := m.From[target]; mapped {
			continue
		}
		if value, ok := row.Members[target]; ok {
			used[target] = true
			put(target, value)
		}
	}
	for target, path := range m.From {
		value, column := lookup(row.Members, path)
		used[column] = true
		if value != nil {
			put(target, value)
		}
	}
	for target, text := range m.Set {
		value, err := json.Marshal(text)
		if err != nil {
			return nil, err
		}
		put(target, value)
	}
	if err := m.gather(item, rest, row, used); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"event_id": m.rowID(file, row.Number), "environment": m.Default} {
		if text == "" || item[name] != nil && item[name].Kind() != 'n' {
			continue
		}
		value, err := json.Marshal(text)
		if err != nil {
			return nil, err
		}
		item[name] = value
	}
	return json.Marshal(item, json.Deterministic(true))
}

// gather puts what has no member of its own into the properties, or the traits. What stands there already comes first.
func (m *Mapping) gather(item, rest map[string]jsontext.Value, row Row, used map[string]bool) error {
	name := m.rest()
	if name == "" {
		return nil
	}
	if !m.Strip {
		for column, value := range row.Members {
			if !used[column] && rest[column] == nil {
				rest[column] = value
			}
		}
	}
	if own := item[name]; own != nil && own.Kind() != 'n' {
		inner, err := object(own)
		if err != nil {
			return fmt.Errorf("%s is not an object", name)
		}
		maps.Copy(rest, inner)
	}
	text, err := json.Marshal(rest, json.Deterministic(true))
	item[name] = text
	return err
}

// object reads an object, which may be JSON in a string, as columns of tables have it.
func object(v jsontext.Value) (members map[string]jsontext.Value, err error) {
	if v.Kind() == '"' {
		var text string
		if err := json.Unmarshal(v, &text); err != nil {
			return nil, err
		}
		v = jsontext.Value(text)
	}
	if v.Kind() != '{' {
		return nil, errors.New("not an object")
	}
	err = json.Unmarshal(v, &members, jsontext.AllowDuplicateNames(true))
	return members, err
}

// lookup is what stands at a path: in the column of that name, or else in the object of a column before a dot. It gives
// the column too.
func lookup(members map[string]jsontext.Value, path string) (value jsontext.Value, column string) {
	if v, ok := members[path]; ok {
		return v, path
	}
	name, inner, nested := strings.Cut(path, ".")
	if !nested {
		return nil, path
	}
	outer, err := object(bytes.TrimSpace(members[name]))
	if err != nil {
		return nil, name
	}
	value, _ = lookup(outer, inner)
	return value, name
}

// rowID is the id of an item: the same whenever the same row of the same file becomes the same. A file from which other items
// are made too, by other flags, is told again by them.
func (m *Mapping) rowID(file string, number int64) string {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%q %q", file, m.Kind)
	for _, targets := range []map[string]string{m.From, m.Set} {
		for _, target := range slices.Sorted(maps.Keys(targets)) {
			_, _ = fmt.Fprintf(sum, " %q %q", target, targets[target])
		}
		_, _ = sum.Write([]byte(","))
	}
	_, _ = sum.Write(binary.BigEndian.AppendUint64(nil, uint64(number)))
	return "import-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum.Sum(nil)[:16]))
}
