package intake

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory that a file packed with zstd asks for, in bytes. 'zstd --long' asks for as much.
const maxWindow = 128 << 20

// What packed files begin with. No text does.
var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// packings are the ends of names of files that are packed.
var packings = [...]string{".gz", ".zst"}

// unpackedName is a name without the end that says how the file is packed.
func unpackedName(name string) string {
	if end := strings.ToLower(filepath.Ext(name)); end == packings[0] || end == packings[1] {
		return name[:len(name)-len(end)]
	}
	return name
}

// unpacked gives the text of a file that may be packed, with what is to be called when it is read no more. What the file
// begins with says how it is packed, whatever its name. The text is never there as a whole.
func unpacked(in *bufio.Reader) (text *bufio.Reader, done func(), err error) {
	begins, err := in.Peek(len(zstdMagic))
	if err != nil && !isEnd(err) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(begins, gzipMagic):
		r, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, broken(err)
		}
		return newReader(whole{r}), func() { _ = r.Close() }, nil
	case bytes.HasPrefix(begins, zstdMagic):
		r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, broken(err)
		}
		return newReader(whole{r}), r.Close, nil
	}
	return in, func() {}, nil
}

// whole reads what is packed, and has no fault of it look like the end of the text.
type whole struct{ from io.Reader }

func (w whole) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a fault that holds the end is a fault
		err = broken(err)
	}
	return n, err
}

// broken is what is wrong with a packed file.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the packed file is not whole: it ends too early")
	}
	return fmt.Errorf("the file cannot be unpacked: %w", err)
}
