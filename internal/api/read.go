package api

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/semaphore"

	"github.com/weir-analytics/weir/internal/problem"
)

// The limits on a body.
const (
	maxBody     = 5 << 20  // as sent
	maxUnpacked = 32 << 20 // as unpacked: as much as the largest batch of the largest events
	maxKept     = 1 << 20  // a buffer larger than this is not kept for the next request
	zstdWindow  = 8 << 20  // what RFC 9659 lets a sender ask for
	smallBody   = 64 << 10 // a plain body up to this is not counted against the memory for bodies
	allBodies   = 512 << 20
)

// bodies lends buffers to requests, and bounds the memory that large and packed bodies take together.
type bodies struct {
	buffers sync.Pool
	memory  *semaphore.Weighted
}

func (b *bodies) get() *bytes.Buffer {
	if buffer, ok := b.buffers.Get().(*bytes.Buffer); ok {
		buffer.Reset()
		return buffer
	}
	return new(bytes.Buffer)
}

func (b *bodies) put(buffer *bytes.Buffer) {
	if buffer.Cap() <= maxKept {
		b.buffers.Put(buffer)
	}
}

// query parses the query string, once.
func (rq *request) query() (url.Values, error) {
	if rq.values == nil {
		values, err := url.ParseQuery(rq.r.URL.RawQuery)
		if err != nil {
			return nil, problem.Wrap(errors.New("bad query string"), problem.InvalidRequest, "The query string cannot be read: it is not percent-encoded rightly.")
		}
		rq.values = values
	}
	return rq.values, nil
}

// onlyQuery refuses query parameters other than those named, and a parameter given twice.
func (rq *request) onlyQuery(names ...string) error {
	values, err := rq.query()
	if err != nil {
		return err
	}
	for name, given := range values {
		if name == keyParameter {
			continue
		}
		if !slices.Contains(names, name) {
			return problem.Invalid("query."+clip(name, 64), "is not a parameter of this address")
		}
		if len(given) > 1 {
			return problem.Invalid("query."+name, "is given %d times", len(given))
		}
	}
	return nil
}

// body reads the whole body, unpacked, within the limits. What it returns is lent until the request is answered.
func (rq *request) body(types ...string) ([]byte, error) {
	if err := rq.checkType(types); err != nil {
		return nil, err
	}
	if rq.r.ContentLength > maxBody {
		return nil, bodyTooLarge(maxBody)
	}
	if err := rq.reserve(); err != nil {
		return nil, err
	}
	packed := rq.a.bodies.get()
	_, err := packed.ReadFrom(http.MaxBytesReader(&rq.reply, rq.r.Body, maxBody))
	rq.line.received = packed.Len()
	if err != nil {
		rq.a.bodies.put(packed)
		return nil, bodyFault(err)
	}
	plain, err := rq.unpack(packed)
	if err != nil {
		rq.a.bodies.put(packed)
		return nil, err
	}
	if plain != packed {
		rq.a.bodies.put(packed)
	}
	rq.lent = plain
	return plain.Bytes(), nil
}

// reserve waits until there is memory for the body, when it may be large.
func (rq *request) reserve() error {
	size := int64(0)
	switch {
	case rq.r.Header.Get("Content-Encoding") != "":
		size = maxUnpacked
	case rq.r.ContentLength < 0 || rq.r.ContentLength > smallBody:
		size = maxBody
	default:
		return nil
	}
	if err := rq.a.bodies.memory.Acquire(rq.ctx(), size); err != nil {
		return err
	}
	rq.reserved = size
	return nil
}

// giveBack returns the body's buffer and memory, when the request has been answered.
func (rq *request) giveBack() {
	if rq.lent != nil {
		rq.a.bodies.put(rq.lent)
	}
	if rq.reserved > 0 {
		rq.a.bodies.memory.Release(rq.reserved)
	}
}

// bodyFault tells a body that is too large or slow from one that was cut off.
func bodyFault(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return problem.Wrap(err, problem.InvalidRequest, "The body ended before its stated length.")
	}
	return err
}

func bodyTooLarge(limit int64) *problem.Error {
	return problem.New(problem.BodyTooLarge, "The body may be at most %d bytes.", limit)
}

// checkType accepts the types named; a body without a type is taken for the first of them.
func (rq *request) checkType(types []string) error {
	given := rq.r.Header.Get("Content-Type")
	if given == "" || given == types[0] {
		return nil
	}
	kind, params, err := mime.ParseMediaType(given)
	if err == nil && slices.Contains(types, kind) {
		if charset := params["charset"]; charset == "" || strings.EqualFold(charset, "utf-8") {
			return nil
		}
	}
	return problem.New(problem.UnsupportedMediaType, "The body must be %s in UTF-8.", strings.Join(types, " or ")).
		At("header.Content-Type", "must be "+strings.Join(types, " or "))
}

// unpack undoes the Content-Encoding. A gzip body without the header is known by its first bytes, which no JSON text
// begins with: some senders forget the header.
func (rq *request) unpack(packed *bytes.Buffer) (*bytes.Buffer, error) {
	encoding := strings.ToLower(strings.TrimSpace(rq.r.Header.Get("Content-Encoding")))
	if (encoding == "" || encoding == "identity") && bytes.HasPrefix(packed.Bytes(), []byte{0x1f, 0x8b}) {
		encoding = "gzip"
	}
	var reader io.Reader
	switch encoding {
	case "", "identity":
		return packed, nil
	case "gzip", "x-gzip":
		unzip, err := gzip.NewReader(packed)
		if err != nil {
			return nil, badPacking("gzip", err)
		}
		reader = unzip
	case "zstd":
		unzstd, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, badPacking("zstd", err)
		}
		defer unzstd.Close()
		reader = unzstd
	default:
		return nil, problem.New(problem.UnsupportedMediaType, "The Content-Encoding must be gzip or zstd, or none.").
			At("header.Content-Encoding", "must be gzip or zstd")
	}
	plain := rq.a.bodies.get()
	n, err := plain.ReadFrom(io.LimitReader(reader, maxUnpacked+1))
	switch {
	case n > maxUnpacked, errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = problem.New(problem.BodyTooLarge, "The body may unpack to at most %d bytes.", maxUnpacked)
	case err != nil:
		err = badPacking(encoding, err)
	default:
		return plain, nil
	}
	rq.a.bodies.put(plain)
	return nil, err
}

func badPacking(encoding string, err error) error {
	return problem.Wrap(fmt.Errorf("%s: %w", encoding, err), problem.InvalidRequest, "The body is not valid %s.", encoding)
}
