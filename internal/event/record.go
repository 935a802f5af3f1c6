package event

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Config is what a Service is made of.
type Config struct {
	Journal   Journal
	Loader    *Loader
	Live      *Live
	Random    io.Reader     // of event ids
	SyncLimit time.Duration // how long Sync waits for the events to be queryable; zero: 10 seconds
}

// Service records events.
type Service struct {
	cfg Config
}

// New makes the service.
func New(cfg Config) *Service {
	if cfg.SyncLimit == 0 {
		cfg.SyncLimit = 10 * time.Second
	}
	return &Service{cfg: cfg}
}

// Record stamps the good items of a batch that the permit covers, makes them durable, and says what became of each. The
// batch is the one whose Targets the permit was asked for, and its events are stamped in place. When not one is accepted,
// the answer is the problem of the first item. An answer of storage_full or unavailable leaves open what was stored:
// sent again with the same event ids, nothing is there twice.
//
// Problems: those of the items, storage_full, unavailable.
func (s *Service) Record(ctx context.Context, permit gate.Permit, batch Batch) (Receipt, error) {
	receipt, err := s.Replay(ctx, permit, batch)
	if err == nil && receipt.Accepted == 0 {
		return Receipt{}, receipt.Rejected[0].Problem
	}
	return receipt, err
}

// Replay is Record for whoever wants the verdict on each item also when not one is accepted.
//
// Problems: storage_full, unavailable.
func (s *Service) Replay(ctx context.Context, permit gate.Permit, batch Batch) (Receipt, error) {
	accepted, rejected := divide(permit, batch)
	if len(accepted) == 0 {
		return Receipt{Rejected: rejected}, nil
	}
	task, err := s.stamp(permit, batch.Shape, accepted)
	if err != nil {
		return Receipt{}, err
	}
	last, err := s.cfg.Journal.Append(ctx, encode(accepted))
	if err != nil {
		return Receipt{}, err
	}
	s.cfg.Live.publish(accepted)
	receipt := Receipt{TaskID: task, Accepted: len(accepted), Rejected: rejected, Sync: batch.Sync}
	if batch.Sync {
		wait, cancel := context.WithTimeout(ctx, s.cfg.SyncLimit)
		defer cancel()
		receipt.Queryable = s.cfg.Loader.Await(wait, last, spacesOf(accepted)...) == nil
	}
	return receipt, nil
}

// spacesOf are the spaces that stamped events belong to.
func spacesOf(events []*Event) []Space {
	var spaces []Space
	for _, e := range events {
		if s := (Space{e.Project, e.Environment}); !slices.Contains(spaces, s) {
			spaces = append(spaces, s)
		}
	}
	return spaces
}

// divide splits the batch into what is accepted and the verdicts on the rest. The permit's refusals count the good items
// only, in their order.
func divide(permit gate.Permit, batch Batch) ([]*Event, []Rejection) {
	accepted := make([]*Event, 0, len(batch.Items))
	var rejected []Rejection
	refused, good := permit.Refused(), 0
	for i := range batch.Items {
		item := &batch.Items[i]
		switch {
		case item.Problem != nil:
			rejected = append(rejected, Rejection{Index: i, Problem: item.Problem})
			continue
		case len(refused) > 0 && refused[0].Index == good:
			rejected = append(rejected, Rejection{Index: i, Problem: item.Told(permit.Refusal(item.target(), refused[0].Reason))})
			refused = refused[1:]
		default:
			accepted = append(accepted, &item.Event)
		}
		good++
	}
	return accepted, rejected
}

// stamp completes the events in place, and names the task.
func (s *Service) stamp(permit gate.Permit, shape Shape, events []*Event) (string, error) {
	ids := make([]byte, 16*(len(events)+1))
	if _, err := io.ReadFull(s.cfg.Random, ids); err != nil {
		return "", problem.Wrap(err, problem.Unavailable, "No event ids can be made just now.")
	}
	now := permit.At().UTC().Truncate(time.Microsecond)
	for i, e := range events {
		if e.ID == "" {
			e.ID = uuid("", now, i, ids[16*i:])
		}
		if e.Timestamp.IsZero() {
			e.Timestamp = now
		}
		if e.Properties == nil {
			e.Properties = []byte("{}")
		}
		space, ok := permit.Space(e.Environment)
		if !ok {
			panic("event: an event outside its permit")
		}
		e.Project, e.Environment, e.KeyID, e.ReceivedAt, e.Source = permit.Project(), space, permit.Key().ID, now, shape.Source
	}
	return uuid("task-", now, 0, ids[16*len(events):]), nil
}

// encode writes the events one after another into one buffer.
func encode(events []*Event) [][]byte {
	size := 0
	for _, e := range events {
		size += 256 + len(e.Properties) + len(e.Name)
	}
	buffer, records := make([]byte, 0, size), make([][]byte, len(events))
	for i, e := range events {
		start := len(buffer)
		buffer = AppendEvent(buffer, e)
		records[i] = buffer[start:len(buffer):len(buffer)]
	}
	return records
}

// uuid is a version 7 UUID (RFC 9562 section 5.7) of a time and 16 random bytes, which it overwrites, behind a prefix of
// at most 12 bytes. Ids of one time sort by their number, of which 12 bits count; 62 bits stay random.
func uuid(prefix string, t time.Time, number int, b []byte) string {
	b = b[:16]
	milli := uint64(t.UnixMilli())
	binary.BigEndian.PutUint16(b[0:], uint16(milli>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(milli))
	binary.BigEndian.PutUint16(b[6:], 0x7000|uint16(number)&0x0fff)
	b[8] = b[8]&0x3f | 0x80
	var whole [48]byte
	text := whole[copy(whole[:12], prefix):][:36]
	hex.Encode(text[0:8], b[0:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:36], b[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(whole[:len(prefix)+36])
}
