package shell

import (
	"errors"

	"github.com/peterh/liner"
)

// Terminal is the Editor on the program's own terminal. It must be closed, which gives the terminal back as it was.
type Terminal struct{ state *liner.State }

// OpenTerminal takes the terminal over, with entries that can be called back.
func OpenTerminal(entries []string) *Terminal {
	state := liner.NewLiner()
	state.SetCtrlCAborts(true)
	state.SetTabCompletionStyle(liner.TabPrints)
	state.SetMultiLineMode(true) // a long line wraps
	state.SetBeep(false)
	for _, entry := range entries {
		state.AppendHistory(entry)
	}
	return &Terminal{state}
}

// Prompt reads a line.
func (t *Terminal) Prompt(prompt string) (string, error) {
	line, err := t.state.Prompt(prompt)
	if errors.Is(err, liner.ErrPromptAborted) {
		err = ErrAborted
	}
	return line, err
}

// Remember makes an entry one that can be called back.
func (t *Terminal) Remember(entry string) { t.state.AppendHistory(entry) }

// Complete sets what offers the ends of words.
func (t *Terminal) Complete(offer func(line string, pos int) (string, []string, string)) {
	t.state.SetWordCompleter(offer)
}

// Close gives the terminal back.
func (t *Terminal) Close() error { return t.state.Close() }
