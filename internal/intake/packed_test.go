package intake

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// packedWith packs a text, in parts.
func packedWith(t *testing.T, how string, parts ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, part := range parts {
		var err error
		switch how {
		case ".gz":
			w := gzip.NewWriter(&out)
			_, err = w.Write([]byte(part))
			if err == nil {
				err = w.Close()
			}
		case ".zst":
			w, failed := zstd.NewWriter(&out)
			if failed != nil {
				t.Fatal(failed)
			}
			_, err = w.Write([]byte(part))
			if err == nil {
				err = w.Close()
			}
		default:
			out.WriteString(part)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// opened is a source of a text in a file of a name.
func opened(t *testing.T, name string, text []byte) (Source, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	source, err := Open(file, FormatOf(name), false)
	if err != nil {
		_ = file.Close()
	}
	return source, err
}

// Promise: an import of packed text sends the rows of the text with their lines, and goes on in it where it was stopped; what it is
// called does not count.
func TestPackedText(t *testing.T) {
	var ndjson, csv strings.Builder
	csv.WriteString("event,n\n")
	const rows = 5000
	for i := range rows {
		fmt.Fprintf(&ndjson, "{\"event\":\"e\",\"n\":%d}\n", i)
		fmt.Fprintf(&csv, "e,%d\n", i)
	}
	for _, c := range []struct{ name, how, text string }{
		{"a.ndjson.gz", ".gz", ndjson.String()},
		{"a.jsonl.zst", ".zst", ndjson.String()},
		{"a.csv.gz", ".gz", csv.String()},
		{"A.CSV.ZST", ".zst", csv.String()},
		{"plain.csv.gz", "", csv.String()},
		{"packed.csv", ".gz", csv.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			var sent []string
			for run := 1; ; run++ {
				source, err := opened(t, c.name, packedWith(t, c.how, c.text[:len(c.text)/2], c.text[len(c.text)/2:]))
				if err != nil {
					t.Fatal(err)
				}
				kept, err := Keep(Place{State: filepath.Join(folder, "s"), Rejected: filepath.Join(folder, "l"), File: "f"})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				m := &Import{Source: source, Mapping: &Mapping{Kind: Track}, File: "f", Kept: kept, Told: func(Progress) { stop() }}
				m.Send = func(_ context.Context, _ string, body []byte) (Answer, error) {
					if err := ctx.Err(); err != nil {
						return Answer{}, err
					}
					sent = append(sent, string(body))
					return Answer{Status: 200, Body: []byte("{}")}, nil
				}
				err = m.Run(ctx)
				done := kept.Progress()
				stop()
				if fault := kept.Close(); fault != nil {
					t.Fatal(fault)
				}
				if fault := source.Close(); fault != nil {
					t.Fatal(fault)
				}
				if err != nil && run < 2*rows/maxBatch {
					continue
				}
				if err != nil || done.Accepted != rows || run < 3 {
					t.Errorf("run %d: %v, %+v", run, err, done)
				}
				break
			}
			all := strings.Join(sent, "")
			for i := range rows {
				if n := strings.Count(all, fmt.Sprintf(`"n":%d}`, i)); n != 1 {
					t.Fatalf("row %d was sent %d times", i, n)
				}
			}
		})
	}
}

// Promise: a packed file that is cut off or spoilt anywhere is a fault of the file and not its end, and no part of a line is a row.
func TestPackedAndBroken(t *testing.T) {
	text := "event,n\n" + strings.Repeat("e,1\n", 3)
	for _, how := range packings {
		packed := packedWith(t, how, text)
		for n := range len(packed) - 1 {
			if n < len(zstdMagic) {
				continue // it does not look packed
			}
			source, err := opened(t, "a.csv"+how, packed[:n])
			if err != nil {
				continue
			}
			for err == nil {
				var row Row
				if row, err = source.Next(); err == nil && (row.Fault != "" || string(row.Members["n"]) != "1") {
					t.Errorf("%s of %d bytes gives %+v", how, n, row)
				}
			}
			if isEnd(err) {
				t.Errorf("%s of %d bytes is a whole file", how, n)
			}
			_ = source.Close()
		}
		for i := range packed {
			spoilt := slices.Clone(packed)
			spoilt[i] ^= 0xff
			source, err := opened(t, "a.csv"+how, spoilt)
			for err == nil {
				_, err = source.Next()
			}
			if source != nil {
				_ = source.Close()
			}
		}
	}
	if _, err := opened(t, "a.parquet.gz", packedWith(t, ".gz", text)); err == nil || !strings.Contains(err.Error(), "must be unpacked first") {
		t.Errorf("packed Parquet: %v", err)
	}
}
