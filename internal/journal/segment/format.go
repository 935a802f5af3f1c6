package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weir-analytics/weir/internal/event"
)

// The format, version 1. Numbers are little-endian; docs/journal.md shows the layout.
const (
	magic         = "WEIRSEGM"
	formatVersion = 1
	headerSize    = 28
	recordHeader  = 12

	maxRecord = 16 << 20 // bytes of data; what claims to be longer is not a record
	maxFile   = 1 << 31  // bytes of a file, so that offsets fit their four bytes

	suffix = ".segment"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errNoRecord means that the bytes at an offset are not a record of this file.
var errNoRecord = errors.New("no record")

// fileName is the name of the segment that starts with a position.
func fileName(first event.Position) string { return fmt.Sprintf("%020d%s", first, suffix) }

// firstOf reads the position out of a file's name.
func firstOf(path string) (event.Position, bool) {
	digits := strings.TrimSuffix(filepath.Base(path), suffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return event.Position(n), err == nil && n > 0 && filepath.Base(path) == fileName(event.Position(n))
}

// encodeHeader makes the header of a file and the seed of its records' checksums, which is the header's own checksum.
func encodeHeader(first event.Position, salt uint32) (header []byte, seed uint32) {
	header = append(make([]byte, 0, headerSize), magic...)
	header = binary.LittleEndian.AppendUint32(header, formatVersion)
	header = binary.LittleEndian.AppendUint32(header, salt)
	header = binary.LittleEndian.AppendUint64(header, uint64(first))
	seed = crc32.Checksum(header, castagnoli)
	return binary.LittleEndian.AppendUint32(header, seed), seed
}

// decodeHeader reads what encodeHeader wrote. The error says what is wrong, for an operator.
func decodeHeader(src io.ReaderAt) (first event.Position, seed uint32, err error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(io.NewSectionReader(src, 0, headerSize), header); err != nil {
		return 0, 0, fmt.Errorf("its header cannot be read: %w", err)
	}
	if v := binary.LittleEndian.Uint32(header[8:]); string(header[:8]) == magic && v != formatVersion {
		return 0, 0, fmt.Errorf("it has format version %d, which this program does not know", v)
	}
	first = event.Position(binary.LittleEndian.Uint64(header[16:]))
	whole, seed := encodeHeader(first, binary.LittleEndian.Uint32(header[12:]))
	if !bytes.Equal(header, whole) {
		return 0, 0, errors.New("its header is not that of a segment")
	}
	return first, seed, nil
}

// appendRecord appends a record whose mark and checksum are still to be set by frame.
func appendRecord(dst, data []byte) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(data)))
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, data...)
}

// frame completes records that are about to be written together at an offset of a file.
func frame(records []byte, seed uint32, at int64) {
	for start := 0; start < len(records); {
		end := start + recordHeader + int(binary.LittleEndian.Uint32(records[start+4:]))
		record := records[start:end]
		binary.LittleEndian.PutUint32(record[8:], uint32(at))
		binary.LittleEndian.PutUint32(record, checksum(record, seed, at+int64(start)))
		start = end
	}
}

// checksum is a record's: it depends on the file (seed), the place in it, and everything but the checksum itself.
func checksum(record []byte, seed uint32, at int64) uint32 {
	return crc32.Update(seed^uint32(at), castagnoli, record[4:])
}

// scanner reads the records of one file through a window, in order. It trusts nothing it reads.
type scanner struct {
	src  io.ReaderAt
	seed uint32
	at   int64 // where the next record begins
	end  int64 // where reading stops
	keep bool  // every window is a new one, for the records' data is given away

	window []byte
	base   int64 // the window's place in the file
}

// windowSize is how much is read at once; a longer record makes the window as long as itself.
const windowSize = 256 << 10

// next gives the data of the record at s.at, and its mark, and moves on. The data is valid until the next call, unless
// keep is set. The error is errNoRecord where no record is.
func (s *scanner) next() (data []byte, mark int64, err error) {
	room := s.end - s.at - recordHeader
	if room <= 0 {
		return nil, 0, errNoRecord
	}
	record, err := s.peek(recordHeader)
	if err != nil {
		return nil, 0, err
	}
	length := int64(binary.LittleEndian.Uint32(record[4:]))
	mark = int64(binary.LittleEndian.Uint32(record[8:]))
	if length == 0 || length > min(room, maxRecord) || mark < headerSize || mark > s.at {
		return nil, 0, errNoRecord
	}
	if record, err = s.peek(recordHeader + int(length)); err != nil {
		return nil, 0, err
	}
	if checksum(record, s.seed, s.at) != binary.LittleEndian.Uint32(record) {
		return nil, 0, errNoRecord
	}
	s.at += int64(len(record))
	return record[recordHeader:], mark, nil
}

// peek gives the next n bytes, which must be there, and moves the window when it has to.
func (s *scanner) peek(n int) ([]byte, error) {
	if from := s.at - s.base; from < 0 || from+int64(n) > int64(len(s.window)) {
		size := int(min(int64(max(n, windowSize)), s.end-s.at))
		if s.keep || cap(s.window) < size {
			s.window = make([]byte, size)
		}
		s.window, s.base = s.window[:size], s.at
		if got, err := s.src.ReadAt(s.window, s.at); got < size {
			s.window = s.window[:0]
			return nil, err
		}
	}
	from := int(s.at - s.base)
	return s.window[from : from+n : from+n], nil
}

// tail looks at what follows the last record, and moves to the end. lost counts the bytes up to the last that is not
// zero. later is the offset of a record that was written after everything before it had been made durable, or 0.
func (s *scanner) tail() (lost, later int64, err error) {
	for start := s.at; s.at < s.end; s.at++ {
		if _, err := s.peek(1); err != nil {
			return 0, 0, err
		}
		rest := s.window[s.at-s.base:]
		zeros := len(rest) - len(bytes.TrimLeft(rest, "\x00"))
		if zeros == 0 {
			lost = s.at + 1 - start
		}
		if zeros > recordHeader { // where all of a header would be zero there is no record
			s.at += int64(zeros - recordHeader - 1)
			continue
		}
		at := s.at
		switch _, mark, err := s.next(); {
		case err == nil && mark > start:
			return lost, at, nil
		case err != nil && !errors.Is(err, errNoRecord):
			return 0, 0, err
		}
		s.at = at // a record of the torn commit, perhaps; its bytes are looked at one by one all the same
	}
	return lost, 0, nil
}
