package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Editor lets a person write a line.
type Editor interface {
	// Prompt gives the line; io.EOF at the end of all lines, ErrAborted when the person gave the line up.
	Prompt(prompt string) (string, error)
	// Remember makes an entry one that can be called back.
	Remember(entry string)
	// Complete sets what offers the ends of words.
	Complete(func(line string, pos int) (head string, offers []string, tail string))
}

// ErrAborted is what Prompt gives when the person gave the line up.
var ErrAborted = errors.New("aborted")

// Talk reads from a person until they leave, or ctx ends. A statement that fails is reported and the talk goes on.
func (s *Shell) Talk(ctx context.Context, editor Editor, history History) error {
	editor.Complete(func(line string, pos int) (string, []string, string) { return s.offers(ctx, line, pos) })
	lines, ended := make(chan lineRead), make(chan struct{})
	defer close(ended)
	next := make(chan string)
	go read(editor, next, lines, ended)
	var typed strings.Builder // of the statement that has begun
	for {
		select {
		case next <- s.prompt():
		case <-ctx.Done():
			return s.finish(nil)
		}
		var got lineRead
		select {
		case got = <-lines:
		case <-ctx.Done():
			return s.finish(nil)
		}
		switch {
		case errors.Is(got.err, ErrAborted):
			s.split = Splitter{}
			typed.Reset()
			continue
		case errors.Is(got.err, io.EOF):
			fmt.Fprintln(s.Out)
			return s.finish(nil)
		case got.err != nil:
			return s.finish(got.err)
		}
		typed.WriteString(got.line + "\n")
		// Kept before it runs: what ends the shell half-way is wanted back.
		if s.complete(got.line) {
			s.remember(editor, history, typed.String())
			typed.Reset()
		}
		if err := s.take(ctx, got.line+"\n"); errors.Is(err, errQuit) {
			return s.finish(nil)
		}
		if begun, _ := s.split.Begun(); !begun {
			s.split = Splitter{}
		}
	}
}

type lineRead struct {
	line string
	err  error
}

// read asks for lines one by one, each when it is wanted. It may outlive the talk by one line, since nothing can end a
// read from the terminal but the person.
func read(editor Editor, next <-chan string, lines chan<- lineRead, ended <-chan struct{}) {
	for {
		select {
		case prompt := <-next:
			line, err := editor.Prompt(prompt)
			select {
			case lines <- lineRead{line, err}:
			case <-ended:
				return
			}
		case <-ended:
			return
		}
	}
}

// complete reports whether nothing is left open behind a line: it is a command, or its last statement ends.
func (s *Shell) complete(line string) bool {
	ahead := Splitter{}
	begun, _ := s.split.Begun()
	if !begun && strings.HasPrefix(strings.TrimSpace(line), `\`) {
		return true
	}
	ahead.Add(s.split.text.String() + s.split.carry + line + "\n")
	begun, _ = ahead.Begun()
	return !begun
}

// remember keeps what was typed, if it may be kept.
func (s *Shell) remember(editor Editor, history History, typed string) {
	for _, entry := range entriesFor(strings.TrimSpace(typed)) {
		kept, err := history.Add(entry)
		if err != nil {
			fmt.Fprintf(s.Err, "The history cannot be written: %s\n", Harmless(err.Error()))
		}
		if kept {
			editor.Remember(entry)
		}
	}
}

// maxPrompt bounds the environment's name in the prompt, so that there is room for a line.
const maxPrompt = 16

// prompt says where is asked, and what is open.
func (s *Shell) prompt() string {
	name := "weir"
	if s.Environment != "" {
		name = clip(s.Environment, maxPrompt)
	}
	begun, open := s.split.Begun()
	switch {
	case !begun:
		return name + "> "
	case open == "" || open == "--":
		return strings.Repeat(" ", max(0, width(name)-2)) + "..> "
	}
	return strings.Repeat(" ", max(0, width(name)-2)) + ".." + open[len(open)-1:] + " "
}
