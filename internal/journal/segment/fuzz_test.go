package segment

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzSegmentFile reads arbitrary bytes as a file of the journal, and as what follows a good header.
//
// Promise: no bytes make the reader panic, take memory beyond one record, or report what contradicts itself; and what
// it takes for records is exactly what the journal would have written for them.
func FuzzSegmentFile(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte, last bool) {
		inspectBytes(t, data, last)
		header, seed := encodeHeader(1, 0)
		inspectBytes(t, append(header, data...), last)
		inspectBytes(t, append(header, framed(data, seed)...), last)
	})
}

// framed makes good records of data, each as long as its first byte says, but for those that an odd byte spoils.
func framed(data []byte, seed uint32) (file []byte) {
	for len(data) > 1 {
		n := 1 + min(int(data[0]), len(data)-1)
		record := appendRecord(nil, data[:n])
		frame(record, seed, headerSize+int64(len(file)))
		if data[1]%16 == 1 {
			record[int(data[1])%len(record)] ^= data[0]
		}
		file, data = append(file, record...), data[n:]
	}
	return file
}

func inspectBytes(t *testing.T, data []byte, last bool) {
	s, lost, err := inspectFile(bytes.NewReader(data), fileName(1), int64(len(data)), last)
	damage, damaged := errors.AsType[Damage](err)
	if err != nil && !damaged {
		t.Fatalf("reading memory failed: %v", err)
	}
	if s.Bytes < 0 || s.Bytes > int64(len(data)) || lost < 0 || s.Bytes+lost > int64(len(data)) || s.mark > s.Bytes {
		t.Fatalf("%d bytes, but %+v with a tail of %d", len(data), s, lost)
	}
	if damaged && (damage.Offset != s.Bytes || lost > 0) || !damaged && !last && s.Bytes != int64(len(data)) {
		t.Fatalf("%+v with a tail of %d, and %v", s, lost, err)
	}
	if s.Bytes == 0 {
		return
	}
	in := scanner{src: bytes.NewReader(data), seed: s.seed, at: headerSize, end: s.Bytes}
	for count := s.Records; count > 0; count-- {
		at := in.at
		content, mark, err := in.next()
		if err != nil {
			t.Fatalf("a record at %d was counted and cannot be read: %v", at, err)
		}
		again := appendRecord(nil, content)
		frame(again, s.seed, at)
		if mark == at && !bytes.Equal(again, data[at:in.at]) {
			t.Fatalf("the record at %d is not what would have been written", at)
		}
	}
	if in.at != s.Bytes || cap(in.window) > max(windowSize, maxRecord+recordHeader) {
		t.Fatalf("the records end at %d, not at %d; the window has %d bytes", in.at, s.Bytes, cap(in.window))
	}
}
