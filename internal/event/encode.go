package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The encoding of an event in the journal, version 1: the version byte, the kind, a byte of flags, the two times as
// varints of microseconds since 1970, and the texts in a fixed order, each as a uvarint length and its bytes.
const (
	encodingVersion = 1
	flagOwnID       = 1
)

// MaxEncoded is the size no encoded event passes: the largest event accepted, and its stamp.
const MaxEncoded = 256 << 10

// ErrEncoding means that bytes are not an event in a version this program knows.
var ErrEncoding = errors.New("event: not an encoded event")

// AppendEvent appends the encoding of e to dst.
func AppendEvent(dst []byte, e *Event) []byte {
	var flags byte
	if e.OwnID {
		flags |= flagOwnID
	}
	dst = append(dst, encodingVersion, byte(e.Kind), flags)
	dst = binary.AppendVarint(dst, e.Timestamp.UnixMicro())
	dst = binary.AppendVarint(dst, e.ReceivedAt.UnixMicro())
	for _, s := range [...]string{
		e.Project, e.Environment, e.KeyID, e.Source, e.ID, e.Name, e.DistinctID, e.AnonymousID, e.DeviceID, e.SessionID, e.NewUserID,
	} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.Properties)))
	return append(dst, e.Properties...)
}

// DecodeEvent reads what AppendEvent wrote. Nothing in the result refers to data.
func DecodeEvent(data []byte) (Event, error) {
	r, ok := open(data)
	if !ok {
		return Event{}, ErrEncoding
	}
	e := Event{Kind: Kind(data[1]), OwnID: data[2] == flagOwnID}
	e.Timestamp, e.ReceivedAt = r.time(), r.time()
	for _, s := range [...]*string{
		&e.Project, &e.Environment, &e.KeyID, &e.Source, &e.ID, &e.Name, &e.DistinctID, &e.AnonymousID, &e.DeviceID, &e.SessionID, &e.NewUserID,
	} {
		*s = string(r.bytes())
	}
	e.Properties = jsontext.Value(r.bytes()).Clone()
	if r.bad || len(r.data) != 0 {
		return Event{}, fmt.Errorf("%w: cut short or too long", ErrEncoding)
	}
	return e, nil
}

// SpaceOf reads only which space an encoded event belongs to.
func SpaceOf(data []byte) (Space, error) {
	project, environment, ok := spaceOf(data)
	if !ok {
		return Space{}, ErrEncoding
	}
	return Space{Project: string(project), Environment: string(environment)}, nil
}

// spaceOf is SpaceOf; the names are parts of data.
func spaceOf(data []byte) (project, environment []byte, ok bool) {
	r, ok := open(data)
	if !ok {
		return nil, nil, false
	}
	r.time()
	r.time()
	project, environment = r.bytes(), r.bytes()
	return project, environment, !r.bad
}

// reader takes an encoded event apart, from the front.
type reader struct {
	data []byte
	bad  bool
}

// open checks the first three bytes, and gives a reader of the rest.
func open(data []byte) (reader, bool) {
	if len(data) < 3 || data[0] != encodingVersion || data[1] < byte(Track) || data[1] >= endOfKinds || data[2] > flagOwnID {
		return reader{}, false
	}
	return reader{data: data[3:]}, true
}

func (r *reader) time() time.Time {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.bad, r.data = true, nil
		return time.Time{}
	}
	r.data = r.data[n:]
	return time.UnixMicro(v).UTC()
}

func (r *reader) bytes() []byte {
	size, n := binary.Uvarint(r.data)
	if n <= 0 || size > uint64(len(r.data)-n) {
		r.bad, r.data = true, nil
		return nil
	}
	b := r.data[n : n+int(size)]
	r.data = r.data[n+int(size):]
	return b
}
