package guard_test

import (
	"os"
	"strings"
	"testing"
)

// example is one statement of a corpus, and the line above it.
type example struct {
	section string
	line    int // in the file
	expect  string
	sql     string
}

// corpus reads the examples of a file: sections begin with -- name --, and an example is a line that begins with the
// mark, followed by the lines of its statement up to an empty one.
func corpus(t testing.TB, file, mark string) []example {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var examples []example
	var section string
	reading := false
	for i, line := range strings.Split(string(data), "\n") {
		expect, begins := strings.CutPrefix(line, mark)
		name, isSection := strings.CutPrefix(line, "-- ")
		switch {
		case line == "":
			reading = false
		case reading:
			last := &examples[len(examples)-1]
			last.sql = strings.TrimPrefix(last.sql+"\n"+line, "\n")
		case begins:
			examples = append(examples, example{section: section, line: i + 1, expect: strings.TrimSpace(expect)})
			reading = true
		case isSection:
			section = strings.TrimSuffix(name, " --")
		}
	}
	return examples
}
