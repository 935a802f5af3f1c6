package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// commandLine runs a command line in this process, with no variables, and gives what was printed.
func commandLine(t *testing.T, args ...string) (out, faults string, exit int) {
	t.Helper()
	var printed, said bytes.Buffer
	exit = run(t.Context(), args, world{in: strings.NewReader(""), out: &printed, err: &said, env: func(string) (string, bool) { return "", false }, now: time.Now})
	return printed.String(), said.String(), exit
}

// groups are the commands that have others, by their paths without the program's name.
func groups(c *cobra.Command) (paths [][]string) {
	for _, sub := range c.Commands() {
		if sub.HasSubCommands() {
			paths = append(paths, strings.Fields(sub.CommandPath())[1:])
		}
		paths = append(paths, groups(sub)...)
	}
	return paths
}

// Promise: a word that no command of a group has is a wrong command line, which is told by the word; a group without a word says
// what there is.
func TestUnknownCommands(t *testing.T) {
	t.Parallel()
	all := groups(rootCommand(world{}))
	if len(all) < 9 {
		t.Errorf("there are only %v", all)
	}
	for _, group := range append(all, []string{}, []string{"help"}, []string{"help", "keys"}) {
		for _, more := range [][]string{{"nonsense"}, {"nonsense", "list"}} {
			if out, faults, exit := commandLine(t, append(group, more...)...); exit != 2 || out != "" || !strings.Contains(faults, `"nonsense"`) || strings.Count(faults, "\n") != 1 {
				t.Errorf("%v %v: status %d, %q, %q", group, more, exit, out, faults)
			}
		}
		if out, faults, exit := commandLine(t, group...); exit != 0 || !strings.Contains(out, "Usage:") || faults != "" {
			t.Errorf("%v: status %d, %q, %q", group, exit, out, faults)
		}
	}
}
