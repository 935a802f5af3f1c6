package api

import (
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// The bounds of files that are being fetched: whoever takes them slowly holds a file and a connection for long. A project may have
// as many as it leaves places free.
const (
	maxDownloads  = 256
	maxOfKey      = 32 // of one key, and what it derives
	downloadAgain = 10 * time.Second
)

// downloads counts the files that are being fetched. The zero downloads is ready.
type downloads struct {
	mu        sync.Mutex
	all       int
	ofProject map[string]int
	ofKey     map[string]int
}

// take takes a place for a file, until done is called.
//
// Problems: unavailable when there are too many, or the project or the key has its share.
func (d *downloads) take(permit gate.Permit) (done func(), err error) {
	by, of := permit.Accounts()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.ofKey[by.ID] >= maxOfKey:
		return nil, problem.New(problem.Unavailable, "The key has %d files being fetched, as many as it may.", maxOfKey).After(downloadAgain)
	case d.ofProject[of.ID] >= maxDownloads-d.all:
		return nil, problem.New(problem.Unavailable, "Too many files are being fetched; this project has %d of them.", d.ofProject[of.ID]).After(downloadAgain)
	}
	if d.ofKey == nil {
		d.ofKey, d.ofProject = map[string]int{}, map[string]int{}
	}
	d.all++
	d.ofKey[by.ID]++
	d.ofProject[of.ID]++
	return sync.OnceFunc(func() { d.give(by.ID, of.ID) }), nil
}

func (d *downloads) give(key, project string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
	for _, c := range [...]struct {
		counts map[string]int
		of     string
	}{{d.ofKey, key}, {d.ofProject, project}} {
		if c.counts[c.of]--; c.counts[c.of] == 0 {
			delete(c.counts, c.of)
		}
	}
}

// download is a file on its way, with its place among those that are.
type download struct {
	*export.File

	done func()
}

// Close closes the file, and gives the place back.
func (d *download) Close() error {
	defer d.done()
	return d.File.Close()
}

// fetch opens the file of an export, when there is a place for it.
func (a *API) fetch(permit gate.Permit, e *export.Export) (*download, error) {
	done, err := a.downloads.take(permit)
	if err != nil {
		return nil, err
	}
	f, err := a.cfg.Exports.Open(permit, e)
	if err != nil {
		done()
		return nil, err
	}
	return &download{f, done}, nil
}
