package dataset

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/event"
)

// slowRecords keeps records that are read when the test says so, and notes what happens.
type slowRecords struct {
	Records

	list     []Record
	reading  chan struct{} // closed when somebody reads
	released chan struct{} // closed when they may go on
	mu       sync.Mutex
	did      []string
}

func (s *slowRecords) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did = append(s.did, what)
}

func (s *slowRecords) ReadRecords(context.Context, event.Space, string, Selection) ([]Record, bool, error) {
	s.note("read")
	close(s.reading)
	<-s.released
	return s.list, false, nil
}

func (s *slowRecords) WriteRecords(_ context.Context, _ event.Space, uid string, b Batch) (Written, error) {
	for i := range b.Records {
		s.note("written to " + uid + " by " + b.Records[i].KeyID)
	}
	return Written{}, nil
}

// Promise: while records are undone none is on its way from one table to another: what was read before is written before, under the
// key that wrote it, where it is found.
func TestNoRecordMovesWhileRecordsAreUndone(t *testing.T) {
	t.Parallel()
	records := &slowRecords{
		list: []Record{{Key: "A", Body: []byte(`{"symbol":"A"}`), KeyID: "key_evil"}}, reading: make(chan struct{}), released: make(chan struct{}),
	}
	s := New(Config{Records: records, Now: now})
	refused, err := openRejections(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer refused.file.Close()
	d := Dataset{Definition: *quotes()}
	moved, undone := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := s.rewritePage(t.Context(), &d, &updateSpec{From: "before", To: "after", How: Reingest}, &updatePlace{}, refused)
		moved <- err
	}()
	<-records.reading
	go func() { undone <- s.Still(func() error { records.note("undone"); return nil }) }()
	select {
	case <-undone:
		t.Error("it did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	close(records.released)
	if err := <-moved; err != nil {
		t.Error(err)
	}
	if err := <-undone; err != nil || !slices.Equal(records.did, []string{"read", "written to after by key_evil", "undone"}) {
		t.Errorf("%q, %v", records.did, err)
	}
}
