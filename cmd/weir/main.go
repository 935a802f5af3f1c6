// Command weir is a self-hosted analytics API in which every event in and every row out passes an API key.
//
// The package owns the command line, the configuration and the wiring: open.go is the one place where engines are
// chosen, server.go the one where the parts are put together. What the parts do is in internal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// version is set when a release is built.
var version = "dev"

func main() {
	// A blocking sync of the journal would otherwise hold the only processor there is.
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], world{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv, now: time.Now})
	stop()
	os.Exit(status)
}

// gcPercent lets the heap grow more between collections than Go does by itself: what lives is small (mostly keys), and
// what each request leaves behind is a lot of little.
const gcPercent = 400

// world is what a command sees of the machine.
type world struct {
	in  io.Reader
	out io.Writer
	err io.Writer
	env func(string) (string, bool)
	now func() time.Time
}

// errSaid ends a command whose fault has been reported already.
var errSaid = errors.New("said")

// statusRejected is the exit status of an import that came to its end, and of which rows were rejected.
const statusRejected = 3

// errRowsRejected ends an import of which rows were rejected: how many is printed by then.
var errRowsRejected = errors.New("rows were rejected")

// run executes a command line and gives the process's exit status: 0 when it went well, 1 when it did not, 2 when the
// command line or the configuration is wrong, 3 when an import came to its end and rows of it were rejected.
func run(ctx context.Context, args []string, w world) int {
	root := rootCommand(w)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		_, _ = fmt.Fprintln(w.err, "weir:", err)
		return 2
	case errors.Is(err, errRowsRejected):
		return statusRejected
	case errors.Is(err, errSaid):
	default:
		_, _ = fmt.Fprintln(w.err, "weir:", err)
	}
	return 1
}

// usageError is a mistake in the command line or the configuration.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }
