package guard

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// value is one JSON value of the tree that the engine's parser made of a statement.
type value struct {
	kind  jsontext.Kind // one of { [ " 0 t f n; 0 for a value that is not there
	text  string        // of a string, what it says; of a number, its digits
	names []string      // of an object, the names of its members
	items []value       // of a list, its items; of an object, its members' values
}

// get is the member of an object with a name; a value of kind 0 when there is none.
func (v *value) get(name string) *value {
	for i, n := range v.names {
		if n == name {
			return &v.items[i]
		}
	}
	return &value{}
}

// readTree reads the parser's JSON, within the limits on nodes and depth.
func readTree(serialized string) (*value, error) {
	r := treeReader{in: jsontext.NewDecoder(strings.NewReader(serialized)), nodes: maxNodes}
	root, err := r.read(maxDepth)
	if err != nil {
		return nil, err
	}
	return &root, nil
}

type treeReader struct {
	in    *jsontext.Decoder
	nodes int // how many more objects there may be
}

func (r *treeReader) read(depth int) (value, error) {
	token, err := r.in.ReadToken()
	if err != nil {
		// The one thing seen here is a number that JSON cannot write, such as 1e999.
		return value{}, problem.Wrap(err, problem.SQLNotAllowed, "The statement holds something that cannot be checked, such as "+
			"a number too large for a DOUBLE.").At("sql", "cannot be checked")
	}
	v := value{kind: token.Kind()}
	switch v.kind {
	case '"', '0':
		v.text = token.String()
		return v, nil
	case '{':
		if r.nodes--; r.nodes < 0 {
			return v, tooManyParts()
		}
		err = r.members(&v, depth-1)
	case '[':
		err = r.items(&v, depth-1)
	default: // null, true and false say all by their kind
	}
	return v, err
}

func (r *treeReader) members(v *value, depth int) error {
	if depth < 0 {
		return tooDeep()
	}
	for r.in.PeekKind() != '}' {
		name, err := r.read(depth)
		if err != nil {
			return err
		}
		item, err := r.read(depth)
		if err != nil {
			return err
		}
		v.names = append(v.names, name.text)
		v.items = append(v.items, item)
	}
	_, err := r.in.ReadToken()
	return err
}

func (r *treeReader) items(v *value, depth int) error {
	if depth < 0 {
		return tooDeep()
	}
	for r.in.PeekKind() != ']' {
		item, err := r.read(depth)
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	_, err := r.in.ReadToken()
	return err
}
