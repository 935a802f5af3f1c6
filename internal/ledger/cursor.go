package ledger

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/problem"
)

func badCursor() error { return problem.Invalid("cursor", "is not one that a list gave") }

// MaxCursor bounds a cursor, in bytes.
const MaxCursor = 3000

// A cursor is the place of the last entry of a page: a time and some texts. Its form is nobody's business but ours.
func writeCursor(at time.Time, texts ...string) string {
	whole := binary.AppendVarint(nil, at.UnixMicro())
	for _, text := range texts {
		whole = append(binary.AppendUvarint(whole, uint64(len(text))), text...)
	}
	return base64.RawURLEncoding.EncodeToString(whole)
}

// readCursor reads a cursor that is not empty into as many texts as it was written from.
func readCursor(cursor string, texts ...*string) (at time.Time, ok bool) {
	if len(cursor) > MaxCursor {
		return time.Time{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	micros, n := binary.Varint(raw)
	if err != nil || n <= 0 {
		return time.Time{}, false
	}
	for _, text := range texts {
		raw = raw[n:]
		length, size := binary.Uvarint(raw)
		if size <= 0 || length > uint64(len(raw)-size) {
			return time.Time{}, false
		}
		n = size + int(length)
		if *text = string(raw[size:n]); !storable(*text) {
			return time.Time{}, false
		}
	}
	return time.UnixMicro(micros).UTC(), n == len(raw)
}

// storable reports whether a text is one that the ledger may have kept.
func storable(text string) bool {
	return len(text) <= maxText && utf8.ValidString(text) && strings.IndexByte(text, 0) < 0
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}
