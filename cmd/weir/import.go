package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/intake"
)

// importFlags are what 'weir import' is told.
type importFlags struct {
	url, format, kind, environment, rejected string
	maps, sets                               []string
	strip, texts, dry, again                 bool
	most                                     int64
}

func importCommand(w world) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Bring a file of events to a server: NDJSON, CSV, TSV or Parquet", Args: cobra.ExactArgs(1),
		Long: "Sends each row of the file as an event, or with --kind as what is known of a person or another id of theirs, to a server (--url) with a key from WEIR_KEY. " +
			"Columns that are called like members of an event are these: event, distinct_id, anonymous_id, device_id, session_id, timestamp, environment, event_id, properties. " +
			"All others become properties. Text that is packed with gzip or zstd is unpacked while it is read.\n\n" +
			"It can be stopped at any time and goes on where it was when it is started again: how far it is stands in FILE.weir-import. Each row has an id of its own, " +
			"so that nothing is stored twice within seven days. Rows that are not accepted go to FILE.rejected.ndjson, each with its line and the reason, and hold up nothing.\n\n" +
			"The exit status is 0 when all rows were accepted, 3 when the file was gone through and rows were rejected, 2 for a wrong command line, and 1 for all else: " +
			"start it again then, and it goes on where it was.",
		Example: "  weir import events.ndjson\n  weir import visits.csv --set event='Page Viewed' --map distinct_id=visitor --map timestamp=seen_at\n" +
			"  weir import users.csv --kind identify --map distinct_id=id",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return f.run(ctx, w, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "address of the server ($WEIR_URL)")
	flags.StringVar(&f.format, "format", "", "ndjson, csv, tsv or parquet; by default what the file's name says, before .gz or .zst")
	flags.StringVar(&f.kind, "kind", "track", "what the rows are: track, identify or alias")
	flags.StringVar(&f.environment, "environment", "", "the environment, for rows that name none; by default the first that the key may use")
	flags.StringArrayVar(&f.maps, "map", nil, "MEMBER=COLUMN: where a member comes from; a path leads into objects: distinct_id=user.id, properties.plan=tier")
	flags.StringArrayVar(&f.sets, "set", nil, "MEMBER=TEXT: what every item has")
	flags.BoolVar(&f.strip, "only-mapped", false, "leave out columns that are not mapped, instead of making properties of them")
	flags.BoolVar(&f.texts, "texts", false, "leave numbers and booleans in CSV as texts")
	flags.StringVar(&f.rejected, "rejected", "", "file for the rows that are not accepted; by default FILE.rejected.ndjson")
	flags.Int64Var(&f.most, "give-up", 1000, "stop when so many rows were rejected and none accepted; 0: never")
	flags.BoolVar(&f.dry, "dry-run", false, "show the first ten items and send nothing")
	flags.BoolVar(&f.again, "restart", false, "begin at the first row and with no rejected rows, also when an import was begun before")
	return cmd
}

// mapping is what the flags say of how a row becomes an item.
func (f *importFlags) mapping() (*intake.Mapping, error) {
	m := &intake.Mapping{Kind: intake.Kind(f.kind), Strip: f.strip}
	var err error
	if m.From, err = pairs("map", f.maps); err != nil {
		return nil, err
	}
	if m.Set, err = pairs("set", f.sets); err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, &usageError{err.Error()}
	}
	if format := intake.Format(f.format); format != "" {
		if err := format.Check(); err != nil {
			return nil, &usageError{"--format: " + err.Error()}
		}
	}
	return m, nil
}

// maxColumns bounds the columns that are told of a file.
const maxColumns = 50

// missing is what is wrong with columns that are mapped and that a file does not have.
func missing(m *intake.Mapping, columns []string) error {
	targets := m.Missing(columns)
	if len(targets) == 0 {
		return nil
	}
	for i, target := range targets {
		targets[i] = "--map " + target + "=" + m.From[target]
	}
	there := make([]string, min(len(columns), maxColumns))
	for i := range there {
		there[i] = strconv.Quote(columns[i])
	}
	text := plain(strings.Join(targets, ", ")) + ": the file has no such column; it has " + strings.Join(there, ", ")
	if more := len(columns) - len(there); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return &usageError{text}
}

func pairs(flag string, list []string) (map[string]string, error) {
	all := map[string]string{}
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" || value == "" || all[name] != "" {
			return nil, &usageError{fmt.Sprintf("--%s %s: must be MEMBER=…, once for each member", flag, text)}
		}
		all[name] = value
	}
	return all, nil
}

func (f *importFlags) run(ctx context.Context, w world, path string) error {
	mapping, err := f.mapping()
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	name, size, err := fileName(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	format := intake.Format(f.format)
	if format == "" {
		format = intake.FormatOf(path)
	}
	if format == "" {
		return errors.Join(&usageError{"the file's name does not say how it is written: give --format"}, file.Close())
	}
	source, err := intake.Open(file, format, f.texts)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	defer func() { _ = source.Close() }()
	if err := missing(mapping, source.Columns()); err != nil {
		return err
	}
	if f.dry {
		return intake.Show(w.out, source, mapping, name, 10)
	}
	return f.send(ctx, w, path, &intake.Import{Source: source, Mapping: mapping, File: name, Most: f.most}, file, size)
}

// send sends a file, from where it was left.
func (f *importFlags) send(ctx context.Context, w world, path string, m *intake.Import, file *os.File, size int64) (err error) {
	base, _ := w.env("WEIR_URL")
	if f.url != "" {
		base = f.url
	}
	if base == "" {
		return &usageError{"give --url, or set WEIR_URL to the address of the server"}
	}
	key, _ := w.env("WEIR_KEY")
	if key == "" {
		return &usageError{"set WEIR_KEY to a key that holds events:write, or users:write for identify and alias"}
	}
	if f.environment != "" && m.Mapping.Set["environment"] == "" {
		m.Mapping.Default = f.environment
	}
	if f.rejected == "" {
		f.rejected = path + ".rejected.ndjson"
	}
	rejected, err := filepath.Abs(f.rejected)
	if err != nil {
		return err
	}
	settings := fmt.Sprint(base, f.format, f.kind, f.environment, f.maps, f.sets, f.strip, f.texts, rejected)
	place := intake.Place{State: path + ".weir-import", Lock: path + ".weir-import.lock", Rejected: f.rejected, Source: file, File: m.File, Settings: settings, Again: f.again}
	held, err := intake.Hold(place.Lock)
	if errors.Is(err, intake.ErrBusy) {
		return fmt.Errorf("%s: another import of this file is under way", path)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	if m.Kept, err = f.keep(place); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Kept.Close()) }()
	bar := &progress{w: w, size: size, at: func() int64 { n, _ := file.Seek(0, io.SeekCurrent); return n }, start: w.now(), from: m.Kept.Progress(), screen: terminal(w.err)}
	if done := m.Kept.Progress().Rows; done > 0 {
		_, _ = fmt.Fprintf(w.err, "Going on after row %d.\n", done)
	}
	m.Send, m.Told, m.Pause = sender(base, key), bar.show, bar.pause
	if err = m.Run(ctx); err != nil {
		bar.end()
		if ctx.Err() != nil {
			err = errors.New("stopped")
		}
		return fmt.Errorf("%w; start it again to go on after row %d", err, m.Kept.Progress().Rows)
	}
	bar.end()
	done := m.Kept.Progress()
	_, _ = fmt.Fprintf(w.out, "%d rows: %d accepted, %d rejected\n", done.Rows, done.Accepted, done.Rejected)
	if done.Rejected > 0 {
		_, _ = fmt.Fprintf(w.out, "The rejected rows and the reasons are in %s.\n", f.rejected)
		return cmp.Or(m.Kept.Done(), errRowsRejected)
	}
	return m.Kept.Done()
}

// keep opens what is kept of an import; of one that is to begin anew, nothing.
func (f *importFlags) keep(place intake.Place) (*intake.Kept, error) {
	kept, err := intake.Keep(place)
	var unfit *intake.Unfit
	switch {
	case errors.As(err, &unfit):
		return nil, &usageError{fmt.Sprintf("--rejected %s: %s, and is left as it is: name another file", f.rejected, unfit.Why)}
	case errors.Is(err, intake.ErrBusy):
		return nil, fmt.Errorf("%s: another import that is under way writes its rejected rows there: give another with --rejected", f.rejected)
	case errors.Is(err, intake.ErrOther):
		return nil, &usageError{fmt.Sprintf("%v: give the same, or --restart to begin at the first row", err)}
	case errors.Is(err, intake.ErrLetters):
		return nil, &usageError{fmt.Sprintf("%s: %v: move it away, give another with --rejected, or --restart to begin both anew", f.rejected, err)}
	}
	return kept, err
}

// fileName names a file's content by its size, its beginning and its end.
func fileName(file *os.File) (name string, size int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, &usageError{filepath.Base(file.Name()) + " is not a file that can be read again"}
	}
	const part = 1 << 20
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%d\n", info.Size())
	for _, from := range []int64{0, max(0, info.Size()-part)} {
		if _, err := io.Copy(sum, io.NewSectionReader(file, from, part)); err != nil {
			return "", 0, err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), info.Size(), nil
}

// longestWait is how long an import waits at the most, whatever it is told; then it asks again.
const longestWait = time.Hour

// sender sends batches to a server.
func sender(base, key string) intake.Send {
	client := &http.Client{Timeout: time.Minute}
	return func(ctx context.Context, route string, body []byte) (a intake.Answer, err error) {
		q, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(base, "/")+route, bytes.NewReader(body))
		if err != nil {
			return a, err
		}
		q.Header.Set("Authorization", "Bearer "+key)
		q.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(q)
		if err != nil {
			return a, err
		}
		defer func() { _ = answer.Body.Close() }()
		a.Status = answer.StatusCode
		if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
			a.RetryAfter = time.Duration(min(seconds, int(longestWait/time.Second))) * time.Second
		}
		a.Body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
		return a, err
	}
}

// progress is the line that tells how far an import is, on a terminal.
type progress struct {
	w      world
	size   int64
	at     func() int64 // bytes of the file that were read
	start  time.Time
	from   intake.Progress
	last   time.Time
	screen bool
}

func (p *progress) show(done intake.Progress) {
	now := p.w.now()
	if !p.screen || now.Sub(p.last) < 200*time.Millisecond {
		return
	}
	p.last = now
	share := float64(p.at()) / float64(max(p.size, 1))
	rate := float64(done.Rows-p.from.Rows) / max(now.Sub(p.start).Seconds(), 0.001)
	const width = 30
	full := min(int(share*width), width)
	_, _ = fmt.Fprintf(p.w.err, "\r[%s%s] %3.0f %%  %d rows, %d rejected, %.0f a second ", strings.Repeat("=", full), strings.Repeat(" ", width-full), min(share, 1)*100, done.Rows, done.Rejected, rate)
}

// pause waits, and says why.
func (p *progress) pause(ctx context.Context, why string, wait time.Duration) error {
	_, _ = fmt.Fprintf(p.w.err, "\nThe server %s; the next try is in %v.\n", why, wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *progress) end() {
	if p.screen && !p.last.IsZero() {
		_, _ = fmt.Fprintln(p.w.err)
	}
}
