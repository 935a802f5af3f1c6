package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/api"
)

// errOtherFile is the end of a download of which the bytes are not those that the server made.
var errOtherFile = errors.New("what came is not the file that the server made: ask for it again")

// exportTarget is where the file of an export goes: a file, beside which it is written until all of it is there, or a
// stream.
type exportTarget struct {
	path string // of the file; empty: out
	goOn bool   // with what an earlier run left
	out  io.Writer

	file *os.File // what is written, of a file
	sum  hash.Hash
	n    int64 // bytes that are there
}

// open opens what is written, and reads what is there of it.
func (t *exportTarget) open(size int64) (err error) {
	t.sum = sha256.New()
	if t.path == "" {
		return nil
	}
	how := os.O_RDWR | os.O_CREATE
	if !t.goOn {
		how |= os.O_TRUNC
	}
	if t.file, err = os.OpenFile(t.part(), how, 0o600); err != nil {
		return err
	}
	if t.n, err = io.Copy(t.sum, io.LimitReader(t.file, size+1)); err == nil && t.n > size {
		err = t.rewind()
	}
	return err
}

// part is where the file is until all of it is there.
func (t *exportTarget) part() string { return t.path + ".weir-export" }

// rewind begins anew; a stream cannot.
func (t *exportTarget) rewind() error {
	if t.file == nil {
		return errOtherFile
	}
	t.n = 0
	t.sum.Reset()
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return t.file.Truncate(0)
}

// Write adds bytes.
func (t *exportTarget) Write(p []byte) (n int, err error) {
	to := t.out
	if t.file != nil {
		to = t.file
	}
	n, err = to.Write(p)
	t.sum.Write(p[:n])
	t.n += int64(n)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

// close closes what is written. When it is the file with this digest, it gets its name.
func (t *exportTarget) close(digest string, err error) error {
	if err == nil && hex.EncodeToString(t.sum.Sum(nil)) != digest {
		err = errOtherFile
	}
	if t.file == nil {
		return err
	}
	if err == nil {
		err = t.file.Sync()
	}
	err = errors.Join(err, t.file.Close())
	if errors.Is(err, errOtherFile) {
		return errors.Join(err, os.Remove(t.part()))
	}
	if err == nil {
		err = os.Rename(t.part(), t.path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(t.path))
	}
	return err
}

// syncFolder makes a name in a folder lasting.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// writeError is a fault of the place that is written to, which no other try mends.
type writeError struct{ error }

// fetchExport fetches the file of an export, and goes on where it broke off.
func (c *keysClient) fetchExport(ctx context.Context, e *api.Export, to *exportTarget, line *statusLine) error {
	if err := to.open(e.Bytes); err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout, transport.DisableCompression = exportStall, true
	defer transport.CloseIdleConnections()
	d := &download{keysClient: *c, e: e, to: to, line: line}
	d.http = &http.Client{Transport: transport}
	var err error
	for r := (retries{}); to.n < e.Bytes || e.Bytes == 0; {
		before := to.n
		if err = d.part(ctx); err == nil {
			break
		}
		if to.n > before {
			r = retries{}
		}
		if err = r.again(ctx, err, line); err != nil {
			break
		}
	}
	return to.close(e.SHA256, err)
}

// exportStall is how long nothing may come of a download before it counts as broken.
const exportStall = time.Minute

var errStalled = fmt.Errorf("nothing came for %v", exportStall)

// download is a download.
type download struct {
	keysClient
	e    *api.Export
	to   *exportTarget
	line *statusLine
	tag  string // of the file; empty: not known yet
}

// part fetches what is missing, as far as it comes.
func (d *download) part(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{}
	if d.to.n > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.to.n))
		if d.tag != "" {
			header.Set("If-Range", d.tag)
		}
	}
	answer, err := d.get(ctx, exportPath(d.e.ID)+"/file", header)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if d.to.n > 0 && (answer.StatusCode != http.StatusPartialContent || !strings.HasPrefix(answer.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.to.n))) {
		if err := d.to.rewind(); err != nil { // all of it comes, as it is another file
			return err
		}
	}
	d.tag = answer.Header.Get("ETag")
	stalled := time.AfterFunc(exportStall, func() { cancel(errStalled) })
	defer stalled.Stop()
	body := io.LimitReader(answer.Body, d.e.Bytes-d.to.n)
	for buffer := make([]byte, 64<<10); ; {
		n, err := body.Read(buffer)
		if _, failed := d.to.Write(buffer[:n]); failed != nil {
			return failed
		}
		switch {
		case errors.Is(err, io.EOF) && d.to.n < d.e.Bytes:
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && errors.Is(context.Cause(ctx), errStalled):
			return errStalled
		case err != nil:
			return err
		}
		stalled.Reset(exportStall)
		d.line.show("", fmt.Sprintf("%3d %% of %s", d.to.n*100/max(d.e.Bytes, 1), sizeText(d.e.Bytes)))
	}
}

// refusal is what a server said against a request.
type refusal struct {
	error
	status int
	after  time.Duration // which it says to wait; 0: it says nothing
}

// get asks for what is at a path. What a server says against it is a refusal; the body of any other answer must be closed.
func (c *keysClient) get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header = header
	r.Header.Set("Authorization", "Bearer "+c.key)
	answer, err := c.http.Do(r)
	if err != nil || answer.StatusCode < 400 {
		return answer, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	said := &refusal{error: saidProblem(answer.Status, text), status: answer.StatusCode}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		said.after = time.Duration(min(seconds, 3600)) * time.Second
	}
	return nil, said
}

// look reads what is at a path.
func (c *keysClient) look(ctx context.Context, path string, out any) error {
	answer, err := c.get(ctx, path, http.Header{})
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// maxTries bounds how often something is tried again in which nothing went well.
const maxTries = 8

// retries counts what went wrong in a row.
type retries struct{ failed int }

// again waits before the next try after an error. It gives the error back when no try would help.
func (r *retries) again(ctx context.Context, err error, line *statusLine) error {
	var said *refusal
	var here *writeError
	r.failed++
	switch {
	case ctx.Err() != nil, errors.Is(err, errOtherFile), errors.As(err, &here), r.failed >= maxTries:
		return err
	case errors.As(err, &said) && said.status < 500 && said.status != http.StatusTooManyRequests && said.status != http.StatusRequestTimeout:
		return err
	}
	wait := min(500*time.Millisecond<<(r.failed-1), 30*time.Second)
	if said != nil && said.after > 0 {
		wait = said.after
	}
	line.end()
	_, _ = fmt.Fprintf(line.w.err, "%v; the next try is in %v.\n", err, wait)
	return pause(ctx, wait)
}

// statusLine is a line that is written over, on a terminal. Elsewhere only what is said for the first time is a line.
type statusLine struct {
	w      world
	screen bool
	last   time.Time
	said   string
	width  int
}

// show shows how it goes: on a terminal a few times a second, and elsewhere what was not said just before; empty: nothing.
func (s *statusLine) show(said, now string) {
	if !s.screen {
		if said != "" && said != s.said {
			s.said = said
			_, _ = fmt.Fprintln(s.w.err, said)
		}
		return
	}
	at := s.w.now()
	if at.Sub(s.last) < 200*time.Millisecond {
		return
	}
	s.last = at
	_, _ = fmt.Fprintf(s.w.err, "\r%-*s", s.width, now)
	s.width = len(now)
}

// end ends the line.
func (s *statusLine) end() {
	if s.width > 0 {
		_, _ = fmt.Fprintln(s.w.err)
		s.width = 0
	}
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprint(n, " bytes")
}
