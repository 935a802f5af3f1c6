package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// command is one that begins with a backslash.
type command struct {
	name, argument, help string
	do                   func(*Shell, context.Context, string) error
}

// errQuit ends the conversation.
var errQuit = errors.New("quit")

func commands() []command {
	return []command{
		{`\d`, "[TABLE]", "list the tables, or the columns of one", (*Shell).describe},
		{`\env`, "[NAME]", "ask in another environment; without a name, the key's own first one", (*Shell).setEnvironment},
		{`\format`, "[NAME]", "how answers are written: table, json, ndjson or csv", (*Shell).setFormat},
		{`\timing`, "", "show how long an answer took, or no longer", (*Shell).toggleTiming},
		{`\o`, "[FILE]", "write answers to a file; without one, to the terminal again", (*Shell).setOutput},
		{`\?`, "", "this list", (*Shell).help},
		{`\q`, "", "leave", func(*Shell, context.Context, string) error { return errQuit }},
	}
}

func commandNames() (names []string) {
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// formats are those that can be read on a terminal.
func formats() []string { return []string{formatTable, "json", "ndjson", "csv"} }

const (
	formatTable   = "table"
	formatParquet = "parquet"
)

// Formats are all of them.
func Formats() []string { return append(formats(), formatParquet) }

// command does what a line with a backslash says.
func (s *Shell) command(ctx context.Context, line string) error {
	name, argument, _ := strings.Cut(strings.TrimRight(strings.TrimSpace(line), "; \t"), " ")
	for _, c := range commands() {
		if c.name == name {
			return c.do(s, ctx, strings.TrimSpace(argument))
		}
	}
	return fmt.Errorf(`there is no command %s; \? lists them`, clip(Harmless(name), 20))
}

func (s *Shell) describe(ctx context.Context, table string) error {
	c := s.names(ctx)
	if !c.known {
		fmt.Fprintln(s.Err, "The server does not list its tables; these are those of every server.")
	}
	columns, rows := []Column{{Name: "table", Type: "VARCHAR"}, {Name: "columns", Type: "VARCHAR"}}, [][]cell{}
	if table != "" {
		columns = []Column{{Name: "column", Type: "VARCHAR"}, {Name: "type", Type: "VARCHAR"}}
	}
	for _, t := range c.tables {
		var names []string
		for _, column := range t.Columns {
			names = append(names, column.Name)
			if strings.EqualFold(t.Name, table) {
				rows = append(rows, []cell{{text: column.Name}, {text: column.Type}})
			}
		}
		if table == "" {
			rows = append(rows, []cell{{text: t.Name}, {text: strings.Join(names, ", ")}})
		}
	}
	if table != "" && len(rows) == 0 {
		return fmt.Errorf("there is no table %s", clip(Harmless(table), 60))
	}
	return writeTable(s.Out, columns, rows)
}

// maxEnvironment bounds an environment's name, in bytes, as the API does.
const maxEnvironment = 200

func (s *Shell) setEnvironment(_ context.Context, name string) error {
	if len(name) > maxEnvironment || Harmless(name) != name {
		return errors.New("that is not a name of an environment")
	}
	s.Environment = name
	s.forget()
	return nil
}

func (s *Shell) setFormat(_ context.Context, name string) error {
	if name == "" {
		_, err := fmt.Fprintln(s.Out, s.Format)
		return err
	}
	if !slices.Contains(formats(), name) {
		return fmt.Errorf("the formats here are %s", strings.Join(formats(), ", "))
	}
	s.Format = name
	return nil
}

func (s *Shell) toggleTiming(context.Context, string) error {
	s.Timing = !s.Timing
	state := "off"
	if s.Timing {
		state = "on"
	}
	_, err := fmt.Fprintf(s.Err, "Timing is %s.\n", state)
	return err
}

// setOutput opens a file for the answers, for its owner alone: what is in it is the project's data.
func (s *Shell) setOutput(_ context.Context, path string) error {
	var file *os.File
	if path != "" {
		var err error
		if file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
			return err
		}
	}
	err := s.closeOutput()
	s.file = file
	return err
}

func (s *Shell) closeOutput() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

func (s *Shell) help(context.Context, string) error {
	fmt.Fprintln(s.Out, "A statement ends with ; and may go over several lines. Ctrl-C stops a query, or drops what was typed; Ctrl-D leaves.")
	for _, c := range commands() {
		fmt.Fprintf(s.Out, "  %-16s %s\n", c.name+" "+c.argument, c.help)
	}
	return nil
}
