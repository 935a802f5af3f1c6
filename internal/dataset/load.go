package dataset

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// The kinds of jobs about datasets.
const (
	IngestKind = "ingest"
	UpdateKind = "update"
)

// The files in a job's folder.
const (
	dataFile     = "data"
	rejectedFile = "rejected"
)

// The bounds of loading.
const (
	chunkRecords = 5_000
	chunkBytes   = 8 << 20
	maxRejected  = 10_000 // rejections that are kept; all are counted
	loadTries    = 20     // a write that meets a warehouse that is being started again is tried so often
	loadPause    = 500 * time.Millisecond
)

// Load is a file to be loaded.
type Load struct {
	Path        string // of a file that becomes the job's
	ContentType string
	Rows        int64 // that CountRows counted
	Replace     bool
	Single      bool         // a key has one record, as with Place: records take the place of those of their keys
	Overwrite   bool         // the file takes the place of all records, at once when all of it is written, or not at all
	MaxErrors   int64        // rejections at which loading stops; 0: it never does
	Date        time.Time    // of the first record that has none of its own; zero: now
	Class       access.Class // what a record is charged as
}

type ingestSpec struct {
	ID          string       `json:"id"`
	UID         string       `json:"uid"`
	ContentType string       `json:"content_type"`
	Replace     bool         `json:"replace"`
	Single      bool         `json:"single,omitzero"`
	MaxErrors   int64        `json:"max_errors"`
	To          string       `json:"to,omitzero"` // the uid that the dataset gets at the end, with Overwrite; empty: it stays
	Date        time.Time    `json:"date"`        // of the first record that has none of its own; each has one of its own
	Class       access.Class `json:"class,omitzero"`
}

// IngestResult is what loading came to.
type IngestResult struct {
	Written  int64 `json:"written"`
	Replaced int64 `json:"replaced"`
	Ignored  int64 `json:"ignored"`
	Rejected int64 `json:"rejected"`
	Unsure   int64 `json:"unsure,omitzero"` // of Written, those of which nobody knows whether they replaced others, since the server stopped meanwhile
}

// ingestPlace is where loading goes on: what came before it is written.
type ingestPlace struct {
	Rows          int64 `json:"rows"`
	RejectedBytes int64 `json:"rejected_bytes"`
	Whole         bool  `json:"whole,omitzero"` // all is done but for telling so, and the file may be gone
	IngestResult
}

// CountRows counts the rows of a file, good or not, so that what loading it may cost is known before.
//
// Problems: invalid_request, invalid_field for what is wrong with the file as a whole.
func CountRows(path, contentType string) (n int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	s, _, err := openSource(f, contentType)
	if err != nil {
		return 0, err
	}
	for {
		r, err := s.next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n++
		if r.last {
			return n, nil
		}
	}
}

// Load begins to load a file into a dataset.
//
// Problems: not_found, conflict, unavailable, and those of CountRows.
func (s *Service) Load(ctx context.Context, permit gate.Permit, at At, l Load) (job.Job, error) {
	d, err := s.Find(ctx, permit, at)
	if err != nil {
		return job.Job{}, err
	}
	if err := errors.Join(d.ownRecords(), s.idle(ctx, &d)); err != nil {
		return job.Job{}, err
	}
	if err := d.checkHeader(l.Path, l.ContentType); err != nil {
		return job.Job{}, err
	}
	if l.Single {
		if err := s.onePerKey(ctx, &d, l.Overwrite); err != nil {
			return job.Job{}, err
		}
	}
	spec := ingestSpec{
		ID: d.ID, UID: d.UID, ContentType: l.ContentType, Replace: l.Replace || l.Single, Single: l.Single, MaxErrors: l.MaxErrors, Date: s.cfg.Now().UTC().Truncate(time.Microsecond),
		Class: l.Class,
	}
	if !l.Date.IsZero() {
		spec.Date = l.Date
	}
	if l.Overwrite {
		return s.overwrite(ctx, permit, at, l, spec)
	}
	return s.submit(ctx, permit, &d, l, spec)
}

func (s *Service) submit(ctx context.Context, permit gate.Permit, d *Dataset, l Load, spec ingestSpec) (job.Job, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return job.Job{}, err
	}
	return s.cfg.Jobs.Submit(ctx, permit, job.Wanted{
		Environment: d.Environment, Kind: IngestKind, About: d.ID, Spec: text, Total: l.Rows, Files: map[string]string{dataFile: l.Path},
	})
}

// loading is a file while it is loaded.
type loading struct {
	s        *Service
	run      *job.Run
	job      job.Job
	spec     ingestSpec
	place    ingestPlace
	rejected *rejections
	chunk    []Record
	bytes    int
	again    bool // the chunk may have been written before
}

// Ingest is the work of loading. Done again from a place, it writes the same records with the same index, which changes
// nothing.
func (s *Service) Ingest(ctx context.Context, run *job.Run) (err error) {
	l := &loading{s: s, run: run, job: run.Job()}
	l.again = l.job.Starts > 1
	if err := json.Unmarshal(l.job.Spec, &l.spec); err != nil {
		return err
	}
	if len(l.job.Place) > 0 {
		if err := json.Unmarshal(l.job.Place, &l.place); err != nil {
			return err
		}
	}
	f, err := os.Open(filepath.Join(run.Folder(), dataFile))
	if errors.Is(err, fs.ErrNotExist) && l.place.Whole {
		return l.tell()
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	rows, _, err := openSource(f, l.spec.ContentType)
	if err != nil {
		return err
	}
	if l.rejected, err = openRejections(run.Folder(), l.place.RejectedBytes); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.rejected.file.Close()) }()
	err = l.overwriting(ctx, func() error { return l.all(ctx, rows) })
	wrong := l.tell()
	if err == nil && wrong == nil && l.keepWhole() == nil { // else the file stays until the job is forgotten
		wrong = os.Remove(filepath.Join(run.Folder(), dataFile)) // it is in the dataset
	}
	return errors.Join(err, wrong)
}

// tell sets what loading came to.
func (l *loading) tell() error {
	result, err := json.Marshal(l.place.IngestResult)
	l.run.Result(result)
	return err
}

// keepWhole keeps that all is done, before the file goes: a server that stops then has nothing left to do.
func (l *loading) keepWhole() error {
	l.place.Whole = true
	place, err := json.Marshal(l.place)
	if err != nil {
		return err
	}
	return l.run.Keep(l.run.Job().Progress, place)
}

// all loads what is left of the file.
func (l *loading) all(ctx context.Context, rows source) error {
	d, err := l.dataset(ctx)
	if err != nil {
		return err
	}
	for n := int64(0); ; n++ {
		r, err := rows.next()
		if errors.Is(err, io.EOF) {
			return l.flush(ctx, n)
		}
		if err != nil {
			return errors.Join(err, l.flush(ctx, n))
		}
		if n < l.place.Rows {
			continue
		}
		if err := l.take(&d, r, n); err != nil {
			return err
		}
		if r.last {
			return errors.Join(problem.New(problem.InvalidRequest, "Line %d of the file %s.", r.line, r.fault), l.flush(ctx, n+1))
		}
		if l.spec.MaxErrors > 0 && l.place.Rejected >= l.spec.MaxErrors {
			return errors.Join(problem.New(problem.InvalidRequest, "%d records are refused, as many as may be (maximumValidationErrors). %s",
				l.place.Rejected, l.left(r.line)), l.flush(ctx, n+1))
		}
		if len(l.chunk) >= chunkRecords || l.bytes >= chunkBytes || n-l.place.Rows >= 10*chunkRecords {
			if err := l.flush(ctx, n+1); err != nil {
				return err
			}
		}
	}
}

// left says what a file that is given up at a line leaves behind.
func (l *loading) left(line int64) string {
	if l.spec.To != "" {
		return "Nothing was changed."
	}
	return fmt.Sprintf("What was good up to line %d is written.", line)
}

// dataset is the dataset that is loaded into.
func (l *loading) dataset(ctx context.Context) (Dataset, error) {
	d, found, err := l.s.cfg.Store.FindDataset(ctx, l.job.Project, l.job.Environment, l.spec.ID)
	if err == nil && (!found || d.UID != l.spec.UID || l.spec.To != "" && d.Busy != l.job.ID) {
		err = problem.New(problem.Conflict, "The dataset %s is no longer the one that the file was for.", l.spec.ID)
	}
	return d, err
}

// take takes a row into the chunk, or notes what is wrong with it.
func (l *loading) take(d *Dataset, r row, n int64) error {
	date := l.spec.Date.Add(time.Duration(n) * time.Microsecond)
	if l.spec.Single {
		date = placedDate()
	}
	record, fields := d.verdict(Item{r.cells, r.fault}, l.chunkTime(), date)
	if fields != nil {
		l.place.Rejected++
		return l.rejected.add(Refused{Line: r.line, Fields: fields})
	}
	record.KeyID = l.job.KeyID
	l.chunk = append(l.chunk, record)
	l.bytes += len(record.Body) + len(record.Key)
	return nil
}

// flush writes the chunk, and keeps the place behind it.
func (l *loading) flush(ctx context.Context, rows int64) error {
	written, unsure, err := l.write(ctx)
	if err != nil {
		return err
	}
	l.place.Rows = rows
	l.place.Unsure += int64(unsure)
	l.place.Written += int64(len(l.chunk) - len(written.Ignored))
	l.place.Ignored += int64(len(written.Ignored))
	l.place.Replaced += int64(written.Replaced)
	if l.place.RejectedBytes, err = l.rejected.flush(); err != nil {
		return err
	}
	l.chunk, l.bytes = l.chunk[:0], 0
	place, err := json.Marshal(l.place)
	if err != nil {
		return err
	}
	return l.run.Keep(job.Progress{Done: rows, Total: l.job.Progress.Total, Good: l.place.Written + l.place.Ignored, Refused: l.place.Rejected}, place)
}

// write writes the chunk, with patience for a warehouse that is being started again: to write it twice changes nothing.
// unsure are those of which nobody knows whether they replaced others.
func (l *loading) write(ctx context.Context) (w Written, unsure int, err error) {
	if len(l.chunk) == 0 {
		return w, 0, nil
	}
	pause := time.NewTicker(loadPause)
	defer pause.Stop()
	for try := 1; ; try++ {
		w, unsure, err = l.once(ctx)
		if try == loadTries || problem.Of(err) != problem.Unavailable {
			l.again = false
			return w, unsure, err
		}
		l.again = true
		select {
		case <-pause.C:
		case <-ctx.Done():
			return w, 0, context.Cause(ctx)
		}
	}
}

func (l *loading) once(ctx context.Context) (w Written, unsure int, err error) {
	l.s.change.RLock()
	defer l.s.change.RUnlock()
	d, err := l.dataset(ctx)
	if err == nil && l.spec.To == "" {
		err = l.s.idle(ctx, &d)
	}
	if err != nil {
		return w, 0, err
	}
	uid := cmp.Or(l.spec.To, d.UID)
	var before map[recordIndex]bool
	if l.again {
		if before, err = l.before(ctx, &d, uid); err != nil {
			return w, 0, err
		}
	}
	if w, err = l.s.put(ctx, d.Space(), uid, Batch{Replace: l.spec.Replace, Records: l.chunk}); err != nil {
		return w, 0, err
	}
	w, unsure = settled(w, l.spec.Replace, l.chunk, before)
	if l.spec.To == "" {
		l.s.cfg.Live.publish(&d, without(l.chunk, w.Ignored))
		if w.Replaced > 0 || unsure > 0 {
			l.s.forget(d.Space())
		}
	}
	return w, unsure, nil
}

// Refused is a record of a file that was not loaded.
type Refused struct {
	Line   int64           `json:"line"`
	Fields []problem.Field `json:"fields"`
}

// rejections is the file of what was refused, a line each.
type rejections struct {
	file *os.File
	w    *bufio.Writer
	size int64
	n    int
}

// openRejections opens the file at a size, behind which nothing is kept.
func openRejections(folder string, size int64) (*rejections, error) {
	f, err := os.OpenFile(filepath.Join(folder, rejectedFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Seek(size, io.SeekStart)
	if err = errors.Join(err, f.Truncate(size)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r := &rejections{file: f, w: bufio.NewWriter(f), size: size}
	list, err := readRejected(folder, 0, maxRejected)
	r.n = len(list)
	return r, err
}

func (r *rejections) add(one Refused) error {
	if r.n >= maxRejected {
		return nil
	}
	r.n++
	text, err := json.Marshal(one)
	if err != nil {
		return err
	}
	n, err := r.w.Write(append(text, '\n'))
	r.size += int64(n)
	return err
}

func (r *rejections) flush() (int64, error) { return r.size, r.w.Flush() }

// readRejected reads what was refused, from one on.
func readRejected(folder string, offset, limit int) ([]Refused, error) {
	f, err := os.Open(filepath.Join(folder, rejectedFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	list, d := []Refused{}, jsontext.NewDecoder(f)
	for n := 0; len(list) < limit; n++ {
		var one Refused
		err := json.UnmarshalDecode(d, &one)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // it is being written
			break
		}
		if err != nil {
			return nil, fmt.Errorf("dataset: what was refused: %w", err)
		}
		if n >= offset {
			list = append(list, one)
		}
	}
	return list, nil
}

// Rejected lists records that a job refused, those of the lowest lines first, from one on. It knows of the first 10,000.
func Rejected(folder string, offset, limit int) ([]Refused, error) {
	return readRejected(folder, offset, limit)
}

// LoadPrice is what loading costs.
func LoadPrice() job.Price { return job.Price{Action: access.WriteDatasets, Of: loadCredits} }

// loadCredits is what a job of loading that is over came to: the records that it has written, or of one that was to overwrite and
// did not, nothing. Of one that was not begun once more after a restart, there is its place.
func loadCredits(j job.Job) int64 {
	var (
		spec ingestSpec
		r    IngestResult
	)
	if json.Unmarshal(j.Spec, &spec) != nil || spec.To != "" && j.State != job.Succeeded {
		return 0
	}
	text := j.Result
	if len(text) == 0 {
		text = j.Place
	}
	if len(text) == 0 || json.Unmarshal(text, &r) != nil {
		return 0
	}
	return r.Written * Credits(spec.Class)
}
