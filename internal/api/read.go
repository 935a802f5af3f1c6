package api

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/semaphore"

	"github.com/weir-analytics/weir/internal/problem"
)

// size bounds a body, in bytes.
type size struct{ sent, unpacked int64 }

// The limits on bodies. The largest batch of the largest events fits into 32 MiB.
const (
	maxKept    = 1 << 20   // a buffer larger than this is not kept for the next request
	zstdWindow = 8 << 20   // what RFC 9659 lets a sender ask for
	smallBody  = 64 << 10  // so much of a body is not counted against the memory for bodies,
	bodyStep   = 256 << 10 // and what comes after it in steps of so much
	allBodies  = 256 << 20
)

var (
	eventsSize     = size{sent: 5 << 20, unpacked: 32 << 20}
	managementSize = size{sent: 256 << 10, unpacked: 256 << 10}
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

// namePart is how much of an unknown parameter's name is repeated: of a key that stands there, no more than its public
// part.
const namePart = 20

// onlyQuery refuses query parameters other than those named, and a parameter given twice.
func (rq *request) onlyQuery(names ...string) error {
	values, err := rq.query()
	if err != nil {
		return err
	}
	for name, given := range values {
		if isKeyParameter(name) {
			continue
		}
		if !slices.Contains(names, name) {
			return problem.Invalid("query."+clip(name, namePart), "is not a parameter of this address")
		}
		if len(given) > 1 {
			return problem.Invalid("query."+name, "is given %d times", len(given))
		}
	}
	return nil
}

// noBody refuses a body where none is taken, instead of passing over what it might say.
func (rq *request) noBody() error {
	if rq.row.takes || rq.r.ContentLength == 0 {
		return nil
	}
	if rq.r.ContentLength < 0 {
		switch n, err := rq.r.Body.Read(make([]byte, 1)); {
		case n == 0 && errors.Is(err, io.EOF):
			return nil
		case n == 0 && err != nil:
			return bodyFault(err)
		}
	}
	return problem.New(problem.InvalidRequest, "This address takes no body.").At("body", "must be left out")
}

// body reads the whole body, unpacked, within the limits. What it returns is lent until the request is answered.
func (rq *request) body(most size, types ...string) ([]byte, error) {
	if err := rq.checkType(types); err != nil {
		return nil, err
	}
	if rq.r.ContentLength > most.sent {
		return nil, bodyTooLarge(most.sent)
	}
	packed := rq.a.bodies.get()
	err := rq.take(packed, rq.r.Body, most.sent)
	rq.line.received = packed.Len()
	var plain *bytes.Buffer
	if err == nil {
		err = rq.checkBody(packed.Bytes())
	}
	if err == nil {
		plain, err = rq.unpack(packed, most.unpacked)
	}
	if plain != packed {
		rq.a.bodies.put(packed)
	}
	if err != nil {
		return nil, bodyFault(err)
	}
	rq.lent = plain
	return plain.Bytes(), nil
}

// take reads from into buffer, at most some bytes. What is not small is counted against the memory for bodies as it
// comes, so that a slow sender holds no more of it than it has sent, and a small body that unpacks to a large one is
// counted too. It never waits for memory: who waits while holding some could wait for ever.
func (rq *request) take(buffer *bytes.Buffer, from io.Reader, most int64) error {
	part := &io.LimitedReader{R: from, N: smallBody}
	for {
		if _, err := buffer.ReadFrom(part); err != nil {
			return err
		}
		switch {
		case int64(buffer.Len()) > most:
			return bodyTooLarge(most)
		case part.N > 0:
			return nil
		}
		if err := rq.hold(bodyStep); err != nil {
			return err
		}
		part.N = bodyStep
	}
}

// hold takes some of the memory for bodies, until the request is answered.
func (rq *request) hold(bytes int64) error {
	if !rq.a.bodies.memory.TryAcquire(bytes) {
		return problem.New(problem.Unavailable, "Too many large bodies are being read.").After(time.Second)
	}
	rq.reserved += bytes
	return nil
}

// holdMore takes memory for what comes of a body, unless that is little.
func (rq *request) holdMore(bytes int64) error {
	if bytes <= smallBody {
		return nil
	}
	return rq.hold(bytes)
}

// giveBack returns the body's buffer and memory, when the request has been answered.
func (rq *request) giveBack() {
	rq.unspool()
	rq.giveBackBody()
}

// giveBackBody returns the body's buffer and memory, which nobody reads any more.
func (rq *request) giveBackBody() {
	if rq.lent != nil {
		rq.a.bodies.put(rq.lent)
	}
	if rq.reserved > 0 {
		rq.a.bodies.memory.Release(rq.reserved)
	}
	rq.lent, rq.reserved = nil, 0
}

// bodyFault tells a body that came too slowly from one that did not come whole. What is a problem already stays it.
func bodyFault(err error) error {
	var p *problem.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem.Wrap(err, problem.RequestTimeout, "The body did not arrive in time.")
	}
	return problem.Wrap(err, problem.InvalidRequest, "The body could not be read to its end: it was cut short, or framed or packed wrongly.")
}

func bodyTooLarge(limit int64) *problem.Error {
	return problem.New(problem.BodyTooLarge, "The body may be at most %d bytes, as it is sent or as it unpacks.", limit)
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
func (rq *request) unpack(packed *bytes.Buffer, most int64) (*bytes.Buffer, error) {
	encoding := strings.ToLower(strings.Join(rq.r.Header["Content-Encoding"], ","))
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
			return nil, err
		}
		reader = unzip
	case "zstd":
		if err := rq.hold(zstdWindow); err != nil {
			return nil, err
		}
		unzstd, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(eventsSize.unpacked)), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, err
		}
		defer unzstd.Close()
		reader = unzstd
	default:
		return nil, problem.New(problem.UnsupportedMediaType, "The Content-Encoding must be gzip or zstd, or none.").
			At("header.Content-Encoding", "must be gzip or zstd")
	}
	plain := rq.a.bodies.get()
	err := rq.take(plain, reader, most)
	if err == nil {
		return plain, nil
	}
	rq.a.bodies.put(plain)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		err = bodyTooLarge(most)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = problem.New(problem.BodyTooLarge, "The body needs a larger zstd window than the %d bytes of RFC 9659.", zstdWindow)
	}
	return nil, err
}
