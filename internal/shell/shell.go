package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Shell asks a server what it is told to. Its fields may be set before its first use, and not while it runs.
type Shell struct {
	Server      Server
	Out         io.Writer // answers
	Err         io.Writer // what goes wrong, and remarks
	Screen      bool      // Out is a terminal: nothing that acts on it gets there
	Environment string    // empty: the first one that the key may use
	Format      string    // one of Formats
	Timing      bool
	Now         func() time.Time
	// Interruptible gives a context that the next interrupt of the user ends.
	Interruptible func(context.Context) (context.Context, context.CancelFunc)

	file    *os.File // where answers go instead of Out
	split   Splitter
	catalog *catalog
	written int // answers
}

// ErrSaid ends a script whose fault has been reported.
var ErrSaid = errors.New("a statement failed")

// Script runs what it reads, to the first statement that fails, which has been reported by then.
func (s *Shell) Script(ctx context.Context, in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := readLine(lines)
		if line != "" {
			if failed := s.take(ctx, line); failed != nil {
				return s.finish(ignoreQuit(failed))
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s.finish(err)
		}
	}
	if rest := s.split.Rest(); rest != "" {
		return s.finish(ignoreQuit(s.run(ctx, rest)))
	}
	return s.finish(nil)
}

func (s *Shell) finish(err error) error { return errors.Join(err, s.closeOutput()) }

func ignoreQuit(err error) error {
	if errors.Is(err, errQuit) {
		return nil
	}
	return err
}

// readLine reads a line with its end, or a part of one that is very long.
func readLine(from *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := from.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > MaxStatement {
			return string(line), ignoreFull(err)
		}
	}
}

func ignoreFull(err error) error {
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil
	}
	return err
}

// take does what a line says: a command, or statements that it ends. It stops at the first that fails.
func (s *Shell) take(ctx context.Context, line string) error {
	if begun, _ := s.split.Begun(); !begun && strings.HasPrefix(strings.TrimSpace(line), `\`) {
		err := s.command(ctx, line)
		if err != nil && !errors.Is(err, errQuit) {
			fmt.Fprint(s.Err, complain("", err))
			return ErrSaid
		}
		return err
	}
	for _, statement := range s.split.Add(line) {
		if err := s.run(ctx, statement); err != nil {
			return err
		}
	}
	if s.split.Size() > MaxStatement {
		s.split = Splitter{}
		fmt.Fprintf(s.Err, "error: the statement is longer than %d bytes\n", MaxStatement)
		return ErrSaid
	}
	return nil
}

// run asks one statement and writes the answer. What goes wrong is reported, with the place.
func (s *Shell) run(ctx context.Context, statement string) error {
	start := s.Now()
	ctx, stop := s.Interruptible(ctx)
	defer stop()
	err := s.ask(ctx, statement)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		fmt.Fprintln(s.Err, "The query was stopped.")
		return ErrSaid
	case err != nil:
		fmt.Fprint(s.Err, complain(statement, err))
		return ErrSaid
	case s.Timing:
		fmt.Fprintf(s.Err, "Time: %.1f ms\n", float64(s.Now().Sub(start).Microseconds())/1000)
	}
	return nil
}

func (s *Shell) ask(ctx context.Context, statement string) error {
	out, onScreen := s.Out, s.Screen
	if s.file != nil {
		out, onScreen = s.file, false
	}
	switch {
	case s.Format == formatParquet && onScreen:
		return errors.New("parquet is not for a terminal: give -o FILE")
	case s.Format == formatParquet && s.written > 0:
		return errors.New("parquet takes one statement: a file has one answer")
	}
	format := s.Format
	if format == formatTable {
		format = "json"
	}
	body, err := s.Server.Ask(ctx, Question{SQL: statement, Environment: s.Environment, Format: format})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	s.written++
	if s.Format == formatTable {
		return s.table(out, body)
	}
	if onScreen {
		out = &screen{out: out}
	}
	_, err = io.Copy(out, body)
	return err
}

func (s *Shell) table(out io.Writer, body io.Reader) error {
	a, err := readAnswer(body)
	if err != nil {
		return err
	}
	if err := writeTable(out, a.columns, a.rows); err != nil {
		return err
	}
	_, err = io.WriteString(out, a.footer())
	return err
}

// names are what there is in the environment, asked for once.
func (s *Shell) names(ctx context.Context) catalog {
	if s.catalog == nil {
		c := catalogOf(ctx, s.Server, s.Environment)
		s.catalog = &c
	}
	return *s.catalog
}

func (s *Shell) forget() { s.catalog = nil }
