package guard

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// functionTable lists every function of the engine, allowed or refused. Its head says how it is written.
//
//go:embed functions.txt
var functionTable string

// functions is the table of functions, read. Names are in lower case, as the engine compares them.
type functions struct {
	allowed map[string]bool   // may be called in an expression
	from    map[string]bool   // may stand in FROM
	main    map[string]bool   // the parser itself writes them with the schema main
	refused map[string]string // name to reason; a name that ends in * stands for all that begin so
}

// readFunctions reads the table. A name that is both allowed and refused, or twice in one of them, is an error.
func readFunctions(table string) (*functions, error) {
	f := &functions{allowed: map[string]bool{}, from: map[string]bool{}, main: map[string]bool{}, refused: map[string]string{}}
	var add func(name string) bool
	for number, line := range strings.Split(table, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if head, ok := strings.CutPrefix(line, "["); ok {
			kind, about, _ := strings.Cut(strings.TrimSuffix(head, "]"), ": ")
			switch kind {
			case "allow":
				add = func(name string) bool { return put(f.allowed, name, true) && f.refused[name] == "" }
			case "from":
				add = func(name string) bool { return put(f.from, name, true) }
			case "main":
				add = func(name string) bool { return put(f.main, name, true) && f.allowed[name] }
			case "refuse":
				add = func(name string) bool { return put(f.refused, name, about) && !f.allowed[name] }
			default:
				return nil, fmt.Errorf("line %d: no such kind of group: %q", number+1, kind)
			}
			continue
		}
		for name := range strings.FieldsSeq(line) {
			if add == nil || !add(fold(name)) {
				return nil, fmt.Errorf("line %d: %s stands where it cannot", number+1, name)
			}
		}
	}
	return f, nil
}

// Functions lists the functions that a statement may call by name, in order.
func Functions() []string {
	f, err := readFunctions(functionTable)
	if err != nil {
		return nil // New says what is wrong with the table
	}
	names := slices.Sorted(maps.Keys(f.allowed))
	return slices.DeleteFunc(names, func(name string) bool {
		return strings.ContainsFunc(name, func(r rune) bool { return r != '_' && !('a' <= r && r <= 'z') && !('0' <= r && r <= '9') })
	})
}

// put adds a name to a map that must not have it.
func put[V any](to map[string]V, name string, v V) bool {
	_, twice := to[name]
	to[name] = v
	return !twice
}

// reason says why a name is refused, in words that follow a colon.
func (f *functions) reason(name string) (string, bool) {
	if why, ok := f.refused[name]; ok {
		return why, true
	}
	for pattern, why := range f.refused {
		if start, ok := strings.CutSuffix(pattern, "*"); ok && start != "" && strings.HasPrefix(name, start) {
			return why, true
		}
	}
	return "", false
}
