package metric

import (
	"fmt"
	"strings"

	"github.com/weir-analytics/weir/internal/problem"
)

// maxFaults is how many faults are told at once.
const maxFaults = 50

// faults gathers what is wrong with an input, by paths in it.
type faults struct {
	fields []problem.Field
	more   int // that were counted and not kept
}

func (f *faults) add(path, format string, args ...any) {
	f.fields = append(f.fields, problem.Field{Name: path, Detail: fmt.Sprintf(format, args...)})
}

// full reports whether there are as many faults as are shown: what is costly to tell is only counted then.
func (f *faults) full() bool { return len(f.fields) >= maxFaults }

// merge adds others, but for those about a place that has a fault already, above it or below it: a value that could not
// be read is not missing as well.
func (f *faults) merge(others faults) {
	known := f.fields
	for _, o := range others.fields {
		told := false
		for _, k := range known {
			told = told || within(o.Name, k.Name) || within(k.Name, o.Name)
		}
		if !told {
			f.fields = append(f.fields, o)
		}
	}
	if len(f.fields) > len(known) {
		f.more += others.more
	}
}

// within reports whether a path is the other one or leads on from it.
func within(path, from string) bool {
	rest, ok := strings.CutPrefix(path, from)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// problem is all faults as one problem; nil when there are none.
func (f *faults) problem() error {
	if len(f.fields) == 0 {
		return nil
	}
	fields := f.fields[:min(len(f.fields), maxFaults)]
	var texts []string
	for _, field := range fields {
		texts = append(texts, field.Name+": "+field.Detail)
	}
	if more := len(f.fields) - len(fields) + f.more; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more faults", more))
	}
	return &problem.Error{Code: problem.InvalidField, Detail: strings.Join(texts, "; "), Fields: fields}
}

// join is the path of a member of what is at a path.
func join(path, member string) string {
	if path == "" {
		return member
	}
	return path + "." + member
}

// at is the path of an item of the list at a path.
func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// clip shows at most 64 bytes of a text that the caller chose.
func clip(text string) string {
	if len(text) > maxName {
		text = text[:maxName] + "…"
	}
	return strings.ToValidUTF8(text, "�")
}
