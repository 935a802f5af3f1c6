package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Promise: the table of commands in the README has every command there is, with all its own where it names them, and no other.
func TestReadmeHasCommands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## The command line\n")
	table, _, _ = strings.Cut(table, "\n## ")
	named, whole := map[string][]string{}, map[string]bool{}
	for _, found := range regexp.MustCompile("`weir ([a-z-]+)(?: ([a-z|\\\\-]+)(…?))?").FindAllStringSubmatch(table, -1) {
		named[found[1]] = append(named[found[1]], strings.Split(found[2], `\|`)...)
		whole[found[1]] = found[2] != "" && found[3] == ""
	}
	for _, c := range rootCommand(world{}).Commands() {
		words, there := named[c.Name()]
		if delete(named, c.Name()); !there && !c.Hidden {
			t.Errorf("the README does not name weir %s", c.Name())
		}
		var subs []string
		for _, sub := range c.Commands() {
			subs = append(subs, sub.Name())
		}
		if slices.Sort(words); whole[c.Name()] && c.HasSubCommands() && !slices.Equal(words, subs) {
			t.Errorf("weir %s: the README names %v, there are %v", c.Name(), words, subs)
		}
	}
	if len(named) > 0 {
		t.Errorf("the README names %v, which there are not", named)
	}
}
