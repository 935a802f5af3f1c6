package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"strconv"
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
	var h slog.Handler = lineHandler{slog.NewJSONHandler(out, options), out}
	if cfg.LogFormat == "text" {
		h = slog.NewTextHandler(out, options)
	}
	return &logger{slog.New(h), out}
}

// lineHandler writes records whose attributes are plain texts and numbers, as those of requests are, itself: to the same
// letters as the handler it stands before, in a fraction of the time. All others it leaves to that one.
type lineHandler struct {
	slog.Handler
	out *lineBuffer
}

// Handle writes one record.
func (h lineHandler) Handle(ctx context.Context, r slog.Record) error {
	room := h.out.lend()
	defer h.out.giveBack(room)
	line, ok := appendRecord((*room)[:0], r)
	*room = line
	if !ok {
		return h.Handler.Handle(ctx, r)
	}
	_, err := h.out.Write(line)
	return err
}

// appendRecord appends a record as a line of JSON, and reports whether it could.
func appendRecord(line []byte, r slog.Record) ([]byte, bool) {
	if year := r.Time.Year(); year < 1 || year > 9999 || r.Time.IsZero() {
		return line, false
	}
	line = append(line, `{"time":"`...)
	line = append(r.Time.AppendFormat(line, time.RFC3339Nano), `","level":"`...)
	line = append(append(line, r.Level.String()...), `","msg":`...)
	line, ok := appendText(line, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if ok = ok && a.Key != ""; ok {
			line, ok = appendText(append(line, ','), a.Key)
		}
		if ok {
			line, ok = appendValue(append(line, ':'), a.Value)
		}
		return ok
	})
	return append(line, '}', '\n'), ok
}

func appendValue(line []byte, v slog.Value) ([]byte, bool) {
	switch v.Kind() {
	case slog.KindString:
		return appendText(line, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(line, v.Int64(), 10), true
	case slog.KindFloat64:
		f := v.Float64()
		return strconv.AppendFloat(line, f, 'f', -1, 64), f == 0 || f >= 1e-6 && f < 1e21
	default:
		return line, false
	}
}

// appendText appends a text that needs no escapes.
func appendText(line []byte, text string) ([]byte, bool) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return line, false
		}
	}
	return append(append(append(line, '"'), text...), '"'), true
}

// Close writes what is gathered.
func (l *logger) Close() { l.out.flush() }

// lineBuffer gathers lines and writes them soon.
type lineBuffer struct {
	mu      sync.Mutex
	out     *bufio.Writer
	pending bool // a flush is on its way
	lines   sync.Pool
}

// lend gives room for a line, and giveBack takes it back.
func (b *lineBuffer) lend() *[]byte {
	if room, ok := b.lines.Get().(*[]byte); ok {
		return room
	}
	room := make([]byte, 0, 1024)
	return &room
}

func (b *lineBuffer) giveBack(room *[]byte) {
	if cap(*room) <= 16<<10 {
		b.lines.Put(room)
	}
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
