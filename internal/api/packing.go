package api

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// leastPacked is the size from which on an answer is worth compressing.
const leastPacked = 1 << 10

// packWindow is how far back the zstd encoder looks. A reader needs as much memory; RFC 9659 lets it have 8 MiB.
const packWindow = 1 << 20

// packers compress answers. What a compressor has allocated is used again.
type packers struct {
	gzip sync.Pool // of *gzip.Writer
	zstd sync.Pool // of *zstd.Encoder
}

// packer is a compressor.
type packer interface {
	io.WriteCloser
	Reset(to io.Writer)
}

// write writes a text, compressed as its encoding says. What fails half-way does not get the end of a text that is whole.
func (p *packers) write(to io.Writer, encoding string, text io.WriterTo) error {
	pool := &p.zstd
	switch encoding {
	case "":
		_, err := text.WriteTo(to)
		return err
	case "gzip":
		pool = &p.gzip
	}
	packer, err := p.packer(pool)
	if err != nil {
		return err
	}
	defer pool.Put(packer)
	defer packer.Reset(nil)
	packer.Reset(to)
	if _, err := text.WriteTo(packer); err != nil {
		return err
	}
	return packer.Close()
}

func (p *packers) packer(pool *sync.Pool) (packer, error) {
	if idle, ok := pool.Get().(packer); ok {
		return idle, nil
	}
	if pool == &p.gzip {
		return gzip.NewWriterLevel(nil, gzip.BestSpeed)
	}
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(packWindow), zstd.WithLowerEncoderMem(true))
}

// encodingFor chooses zstd or gzip by an Accept-Encoding, or none: the one with the higher quality, and of equal ones the
// better. One that is not named counts as '*' says, and is not wanted without that (RFC 9110 section 12.5.3). An answer as
// it is can always be had, also by those who say that they do not want it.
func encodingFor(header []string) string { return encodingOf(header, "zstd", "gzip") }

// encodingOf chooses among some encodings, the better ones first.
func encodingOf(header []string, encodings ...string) string {
	quality := map[string]float64{}
	for _, line := range header {
		for element := range strings.SplitSeq(line, ",") {
			name, q, err := weighed(element)
			if name == "x-gzip" {
				name = "gzip"
			}
			if err == nil {
				quality[name] = q
			}
		}
	}
	best, most := "", 0.0
	if q, given := quality["identity"]; given {
		most = q
	}
	for _, name := range encodings {
		q, given := quality[name]
		if !given {
			q = quality["*"]
		}
		if q > 0 && (q > most || best == "" && q == most) {
			best, most = name, q
		}
	}
	return best
}

var errWeight = errors.New("not a weight")

// weighed splits an element of a header, such as "gzip;q=0.5".
func weighed(element string) (name string, q float64, err error) {
	name, parameter, weighted := strings.Cut(element, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	if !weighted {
		return name, 1, nil
	}
	key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
	q, err = strconv.ParseFloat(value, 64)
	if !strings.EqualFold(key, "q") || err != nil || !(q >= 0 && q <= 1) {
		return name, 0, errWeight
	}
	return name, q, nil
}
