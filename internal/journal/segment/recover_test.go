package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/event"
)

// sample is a folder of one segment, made of three commits, and what is in it.
type sample struct {
	name    string
	data    string
	records []string
	starts  []int // where each record begins, and last where the file ends
	commit  int   // the first record of the last commit
}

func makeSample(t testing.TB) sample {
	t.Helper()
	c := Config{Dir: t.TempDir(), Free: func() (int64, error) { return 1 << 40, nil }}
	j, _, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	s := sample{name: fileName(1), commit: 3, starts: []int{headerSize}}
	for _, commit := range [][]string{{"first"}, {"second, of two", "and third"}, {"fourth", "fifth of the last", "sixth"}} {
		if _, err := j.Append(t.Context(), bytesOf(commit)); err != nil {
			t.Fatal(err)
		}
		for _, r := range commit {
			s.records = append(s.records, r)
			s.starts = append(s.starts, s.starts[len(s.starts)-1]+recordHeader+len(r))
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	s.data = readFolder(t, c.Dir)[s.name]
	if len(s.data) != s.starts[len(s.records)] {
		t.Fatalf("the sample has %d bytes, want %d", len(s.data), s.starts[len(s.records)])
	}
	return s
}

// recordAt is the number of the record that has the byte at an offset.
func (s sample) recordAt(offset int) int {
	for i := range s.records {
		if offset < s.starts[i+1] {
			return i
		}
	}
	return len(s.records)
}

// reopens opens a folder with only the file given and expects the first keep records of the sample, a torn tail of lost
// bytes after them, and a journal that goes on from there and can be opened again.
func (s sample) reopens(t *testing.T, dir, data string, keep, lost int) {
	t.Helper()
	for _, path := range segmentFiles(t, dir) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	writeFolder(t, dir, map[string]string{s.name: data})
	want := Torn{}
	if lost > 0 {
		want = Torn{File: filepath.Join(dir, s.name), Offset: int64(s.starts[keep]), Bytes: int64(lost)}
	}
	checked, err := Check(dir)
	if err != nil || checked.Torn != want || len(checked.Damage) > 0 || readFolder(t, dir)[s.name] != data {
		t.Fatalf("check: %+v, %v; want %+v", checked, err, want)
	}
	c := Config{Dir: dir, SegmentSize: 1000, Free: func() (int64, error) { return 1 << 40, nil }}
	j, report, err := Open(c)
	if err != nil || report.Torn != want || report.Last != event.Position(keep) {
		t.Fatalf("open: %+v, %v; want %+v and %d records", report, err, want, keep)
	}
	if at := mustAppend(t, j, "and on"); at != event.Position(keep+1) {
		t.Fatalf("the next position is %d, want %d", at, keep+1)
	}
	mustClose(t, j)
	j, report, err = Open(c)
	if err != nil || report.Torn != (Torn{}) {
		t.Fatalf("open again: %+v, %v", report, err)
	}
	if got, want := strings.Join(contents(t, j), "|"), strings.Join(append(s.records[:keep:keep], "and on"), "|"); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	mustClose(t, j)
}

// Promise: a file that ends anywhere, or is zero from anywhere, opens with the records that are whole; the rest is cut
// off and its length told.
func TestTornTails(t *testing.T) {
	t.Parallel()
	s, dir := makeSample(t), t.TempDir()
	for cut := headerSize; cut <= len(s.data); cut++ {
		keep := s.recordAt(cut)
		lost := len(strings.TrimRight(s.data[:cut], "\x00")) - s.starts[keep]
		s.reopens(t, dir, s.data[:cut]+strings.Repeat("\x00", cut%2*3000), keep, lost)
	}
}

// Promise: a last commit in which any byte is wrong, as when a crash let only some of its sectors through, is cut off
// from the record that is not whole, and what was committed before is kept.
func TestTornWithinTheLastCommit(t *testing.T) {
	t.Parallel()
	s, dir := makeSample(t), t.TempDir()
	for at := s.starts[s.commit]; at < len(s.data); at++ {
		for flip, rest := range map[byte]int{1: 0, 0xff: 3000} {
			keep := s.recordAt(at)
			data := flipped(s.data, at, flip)
			s.reopens(t, dir, data+strings.Repeat("\x00", rest), keep, len(strings.TrimRight(data, "\x00"))-s.starts[keep])
		}
	}
}

// Promise: garbage after the last record is never read as records, even when it looks like them: records of another
// file at the same place, this file's own records from another place, or a record that claims to be enormous.
func TestGarbageTails(t *testing.T) {
	t.Parallel()
	s, dir := makeSample(t), t.TempDir()
	other := makeSample(t)
	end := s.starts[s.commit]
	random := make([]byte, 5000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	huge := binary.LittleEndian.AppendUint32([]byte("crc?"), 1<<31)
	for name, tail := range map[string]string{
		"random bytes":                 string(random),
		"records of another file":      other.data[end:],
		"own records, another place":   "x" + s.data[end:],
		"own records, from the front":  s.data[headerSize:end],
		"a record of impossible size":  string(huge) + strings.Repeat("\xff", 100),
		"zeros and then garbage":       strings.Repeat("\x00", 1000) + "garbage",
		"an own record after a gap":    strings.Repeat("\x00", s.starts[4]-end) + s.data[s.starts[4]:],
		"as much as a window and more": strings.Repeat("garbage.", windowSize/4),
	} {
		t.Run(name, func(t *testing.T) {
			s.reopens(t, dir, s.data[:end]+tail, s.commit, len(tail))
		})
	}
}

// Promise: where acknowledged records are damaged, the journal does not open, names the file and the offset, and leaves
// the folder as it is; Check finds the same.
func TestDamageIsRefused(t *testing.T) {
	t.Parallel()
	s, dir := makeSample(t), t.TempDir()
	for at := range s.starts[s.commit] {
		for _, flip := range []byte{1, 0x80, 0xff} {
			offset := 0
			if at >= headerSize {
				offset = s.starts[s.recordAt(at)]
			}
			refuses(t, dir, map[string]string{s.name: flipped(s.data, at, flip)}, s.name, offset)
			refuses(t, dir, map[string]string{s.name: flipped(s.data, at, flip) + strings.Repeat("\x00", 500)}, s.name, offset)
		}
	}
	for cut := range headerSize {
		refuses(t, dir, map[string]string{s.name: s.data[:cut]}, s.name, 0)
	}
}

// Promise: a folder of several segments opens only when each but the last is whole and they follow one another.
func TestDamageBetweenSegmentsIsRefused(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir(), SegmentSize: 120}
	j, _ := open(t, c)
	for i := range 6 {
		mustAppend(t, j, strings.Repeat(fmt.Sprint(i), 30))
	}
	mustClose(t, j)
	whole := readFolder(t, c.Dir)
	one, three, five := fileName(1), fileName(3), fileName(5)
	if len(whole) != 3 || whole[three] == "" {
		t.Fatalf("the sample is not as it should be: %v", segmentFiles(t, c.Dir))
	}
	second := headerSize + recordHeader + 30
	dir := t.TempDir()
	refuses(t, dir, changed(whole, three, ""), five, 0)
	for at := range whole[three] {
		offset := 0
		if at >= headerSize {
			offset = headerSize + (at-headerSize)/(recordHeader+30)*(recordHeader+30)
		}
		refuses(t, dir, changed(whole, three, flipped(whole[three], at, 0x40)), three, offset)
	}
	refuses(t, dir, changed(whole, three, whole[three][:second+recordHeader]), three, second)
	refuses(t, dir, changed(whole, three, whole[three][:second]), five, 0)
	refuses(t, dir, changed(whole, three, whole[three]+"\x00"), three, len(whole[three]))
	refuses(t, dir, changed(whole, three, whole[one]), three, 0)
	refuses(t, dir, changed(whole, "7.segment", whole[one]), "7.segment", 0)
	refuses(t, dir, changed(whole, three, flipped(whole[three], 8, 3)), three, 0)
	if err := damageOf(t, dir); !strings.Contains(err.Error(), "format version 2") {
		t.Fatalf("a newer version is refused with %q", err)
	}
	// and the same folder, unchanged, opens
	for _, path := range segmentFiles(t, dir) {
		os.Remove(path)
	}
	writeFolder(t, dir, whole)
	j, report := open(t, Config{Dir: dir})
	if len(contents(t, j)) != 6 || len(report.Segments) != 3 || report.Segments[1].Records != 2 {
		t.Fatalf("%+v", report)
	}
}

// Promise: what is damaged while the journal is open is an error to the reader, after everything before it was read.
func TestReaderStopsAtDamage(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir()}
	j, _ := open(t, c)
	for range 5 {
		mustAppend(t, j, strings.Repeat("x", 50))
	}
	f, err := os.OpenFile(filepath.Join(c.Dir, fileName(1)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	offset := int64(headerSize + 3*(50+recordHeader))
	if _, err := f.WriteAt([]byte("y"), offset+30); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	records, err := j.Read(t.Context(), 0, 100)
	if err != nil || len(records) != 3 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for range 2 {
		_, err = j.Read(t.Context(), 3, 100)
		if damage, ok := errors.AsType[Damage](err); !ok || damage.Offset != offset {
			t.Fatalf("got %v, want damage at %d", err, offset)
		}
	}
}

func flipped(data string, at int, bits byte) string {
	b := []byte(data)
	b[at] ^= bits
	return string(b)
}

// changed is a folder with one file replaced, or removed when data is empty.
func changed(files map[string]string, name, data string) map[string]string {
	files = maps.Clone(files)
	files[name] = data
	if data == "" {
		delete(files, name)
	}
	return files
}

// refuses puts files into a folder and expects Open to refuse it, and to name a file and an offset.
func refuses(t *testing.T, dir string, files map[string]string, name string, offset int) {
	t.Helper()
	for _, path := range segmentFiles(t, dir) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	writeFolder(t, dir, files)
	damage := damageOf(t, dir)
	if damage.File != filepath.Join(dir, name) || damage.Offset != int64(offset) {
		t.Fatalf("%v; want %s at byte %d", damage, name, offset)
	}
	if !maps.Equal(readFolder(t, dir), files) {
		t.Fatal("refusing changed the folder")
	}
}

// damageOf is the damage with which Open refuses, which must be the first that Check reports.
func damageOf(t *testing.T, dir string) Damage {
	t.Helper()
	j, _, err := Open(Config{Dir: dir})
	if err == nil {
		j.Close()
		t.Fatal("a damaged journal was opened")
	}
	damage, ok := errors.AsType[Damage](err)
	if !ok {
		t.Fatalf("the error names no damage: %v", err)
	}
	report, err := Check(dir)
	if err != nil || len(report.Damage) == 0 || report.Damage[0] != damage {
		t.Fatalf("check: %+v, %v; want %v", report, err, damage)
	}
	return damage
}
