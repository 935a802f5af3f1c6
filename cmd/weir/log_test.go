package main

import (
	"bufio"
	"bytes"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// lines is a logger as the server has it, and one of the standard library, each with what it wrote.
func lines() (ours, theirs *slog.Logger, wrote func() (string, string)) {
	var a, b bytes.Buffer
	out := &lineBuffer{out: bufio.NewWriter(&a), pending: true}
	ours = slog.New(lineHandler{slog.NewJSONHandler(out, nil), out})
	theirs = slog.New(slog.NewJSONHandler(&b, nil))
	return ours, theirs, func() (string, string) { out.flush(); return a.String(), b.String() }
}

// Promise: the lines of requests, which are written by hand, are to the letter those that the standard library writes,
// whatever is in them.
func TestLogLinesAreTheStandardOnes(t *testing.T) {
	t.Parallel()
	texts := rapid.OneOf(rapid.StringMatching(`[ -~]{0,20}`), rapid.String(), rapid.Just("a\xffb\u2028"), rapid.Just(""))
	value := rapid.OneOf(
		rapid.Map(texts, slog.StringValue), rapid.Map(rapid.Int64(), slog.Int64Value), rapid.Map(rapid.Float64Range(-1, 1e22), slog.Float64Value),
		rapid.Map(rapid.IntRange(0, 1e9), func(n int) slog.Value { return slog.Float64Value(float64(n) / 1000) }),
		rapid.SampledFrom([]slog.Value{
			slog.AnyValue(errors.New("no")), slog.DurationValue(time.Second), slog.BoolValue(true), slog.AnyValue(nil), slog.Float64Value(1e-9),
			slog.GroupValue(slog.String("in", "side")), slog.GroupValue(), slog.TimeValue(time.Unix(0, 0)), slog.Uint64Value(math.MaxUint64),
		}),
	)
	rapid.Check(t, func(t *rapid.T) {
		ours, theirs, wrote := lines()
		at := time.Unix(rapid.Int64Range(-1e11, 1e12).Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanoseconds"))
		if rapid.Bool().Draw(t, "without time") {
			at = time.Time{}
		}
		level := slog.Level(rapid.SampledFrom([]int{0, 4, 8, 5}).Draw(t, "level"))
		r := slog.NewRecord(at, level, texts.Draw(t, "message"), 0)
		for range rapid.IntRange(0, 12).Draw(t, "attributes") {
			r.AddAttrs(slog.Attr{Key: texts.Draw(t, "key"), Value: value.Draw(t, "value")})
		}
		for _, log := range []*slog.Logger{ours, theirs} {
			h := log.Handler()
			if err := h.Handle(t.Context(), r.Clone()); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := wrote(); a != b {
			t.Fatalf("wrote %s, want %s", a, b)
		}
	})
}

// Promise: a logger with attributes of its own, or in a group, writes them too.
func TestLogLinesHaveTheLoggersOwn(t *testing.T) {
	t.Parallel()
	ours, theirs, wrote := lines()
	for _, log := range []*slog.Logger{ours, theirs} {
		log = log.With("part", "loader").WithGroup("g")
		r := slog.NewRecord(time.Unix(1, 0), slog.LevelInfo, "hello", 0)
		r.AddAttrs(slog.Int("n", 1))
		if err := log.Handler().Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := wrote(); a != b || !strings.Contains(a, `"part":"loader","g":{"n":1}`) {
		t.Errorf("wrote %s, want %s", a, b)
	}
}

// Promise: names of requests have their prefix and a hundred bits that do not come again.
func TestNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 10_000 {
		name := newID()
		if len(name) != 24 || !strings.HasPrefix(name, "req_") || seen[name] {
			t.Fatalf("%q, seen before: %v", name, seen[name])
		}
		seen[name] = true
	}
	var a, b [45]byte
	if n, err := (quickRandom{}).Read(a[:]); n != 45 || err != nil || a == b {
		t.Errorf("read %d, %v: %x", n, err, a)
	}
}

func BenchmarkLogLine(b *testing.B) {
	ours, theirs, _ := lines()
	for name, log := range map[string]*slog.Logger{"ours": ours, "theirs": theirs} {
		b.Run(name, func(b *testing.B) {
			at := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				r := slog.NewRecord(at, slog.LevelInfo, "request", 0)
				r.AddAttrs(slog.String("request_id", "req_AAAAAAAAAAAAAAAAAAAA"), slog.String("method", "POST"), slog.String("route", "/track"),
					slog.Int("status", 200), slog.Float64("took_ms", 1.234), slog.Int("received", 306), slog.Int64("sent", 98), slog.String("address", "127.0.0.1"),
					slog.Int("items", 1), slog.Int("accepted", 1), slog.String("key_id", "key_AAAAAAAAAAAA"), slog.String("project", "prj_AAAAAAAAAAAAAAAA"),
					slog.String("environment", "production"))
				_ = log.Handler().Handle(b.Context(), r)
			}
		})
	}
}
