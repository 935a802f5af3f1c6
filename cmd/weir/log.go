package main

import (
	"bufio"
	"io"
	"log/slog"
	"sync"
	"time"
)

// logger writes structured logs. Lines are gathered for at most logDelay before they are written, since a write for
// each request costs more than the request; a warning or an error is written at once.
type logger struct {
	*slog.Logger
	out *lineBuffer
}

const logDelay = 100 * time.Millisecond

func newLogger(cfg config, w io.Writer) *logger {
	out := &lineBuffer{out: bufio.NewWriterSize(w, 64<<10)}
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	var h slog.Handler = slog.NewJSONHandler(out, options)
	if cfg.LogFormat == "text" {
		h = slog.NewTextHandler(out, options)
	}
	return &logger{slog.New(h), out}
}

// Close writes what is gathered.
func (l *logger) Close() { l.out.flush() }

// lineBuffer gathers lines and writes them soon.
type lineBuffer struct {
	mu      sync.Mutex
	out     *bufio.Writer
	pending bool // a flush is on its way
}

// Write takes one line.
func (b *lineBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.out.Write(line)
	if !b.pending {
		b.pending = true
		time.AfterFunc(logDelay, b.flush)
	}
	return n, err
}

func (b *lineBuffer) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = false
	_ = b.out.Flush() // there is nowhere to report that the log cannot be written
}
