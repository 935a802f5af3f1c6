package native

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"time"

	b "github.com/duckdb/duckdb-go-bindings"
	"github.com/go-json-experiment/json/jsontext"
)

// jsonAlias is how the engine marks a text that holds JSON.
const jsonAlias = "JSON"

// scalarWriter is the writer of a type that needs no description but its id.
func scalarWriter(t b.Type) (writer, bool) {
	switch t {
	case b.TypeSQLNull:
		return func(_ *vector, dst []byte, _ int) []byte { return append(dst, "null"...) }, true
	case b.TypeBoolean:
		return func(v *vector, dst []byte, row int) []byte { return strconv.AppendBool(dst, at[uint8](v, row) != 0) }, true
	case b.TypeTinyInt:
		return writeInt[int8], true
	case b.TypeSmallInt:
		return writeInt[int16], true
	case b.TypeInteger:
		return writeInt[int32], true
	case b.TypeBigInt:
		return writeInt[int64], true
	case b.TypeUTinyInt:
		return writeUint[uint8], true
	case b.TypeUSmallInt:
		return writeUint[uint16], true
	case b.TypeUInteger:
		return writeUint[uint32], true
	case b.TypeUBigInt:
		return writeUint[uint64], true
	case b.TypeHugeInt:
		return func(v *vector, dst []byte, row int) []byte { return wide(v, row).Append(dst, 10) }, true
	case b.TypeUHugeInt:
		return func(v *vector, dst []byte, row int) []byte { return unsigned(at[[2]uint64](v, row)).Append(dst, 10) }, true
	case b.TypeBigNum:
		return func(v *vector, dst []byte, row int) []byte { return bigNum(v.bytes(row)).Append(dst, 10) }, true
	case b.TypeFloat:
		return func(v *vector, dst []byte, row int) []byte { return appendFloat(dst, float64(at[float32](v, row)), 32) }, true
	case b.TypeDouble:
		return func(v *vector, dst []byte, row int) []byte { return appendFloat(dst, at[float64](v, row), 64) }, true
	case b.TypeVarchar:
		return func(v *vector, dst []byte, row int) []byte { return appendQuoted(dst, v.bytes(row)) }, true
	case b.TypeBlob:
		return writeBlob, true
	case b.TypeBit:
		return writeBits, true
	case b.TypeUUID:
		return writeUUID, true
	}
	return timeWriter(t)
}

// timeWriter is the writer of a type of dates and times.
func timeWriter(t b.Type) (writer, bool) {
	switch t {
	case b.TypeTimestamp, b.TypeTimestampTZ:
		return writeTimestamp(microseconds, time.UnixMicro), true
	case b.TypeTimestampS:
		return writeTimestamp(microseconds, func(n int64) time.Time { return time.Unix(n, 0) }), true
	case b.TypeTimestampMS:
		return writeTimestamp(microseconds, time.UnixMilli), true
	case b.TypeTimestampNS:
		return writeTimestamp(nanoseconds, func(n int64) time.Time { return time.Unix(0, n) }), true
	case b.TypeDate:
		return writeDate, true
	case b.TypeTime:
		return func(v *vector, dst []byte, row int) []byte {
			return append(appendClock(append(dst, '"'), at[int64](v, row), 6), '"')
		}, true
	case b.TypeTimeNS:
		return func(v *vector, dst []byte, row int) []byte {
			return append(appendClock(append(dst, '"'), at[int64](v, row), 9), '"')
		}, true
	case b.TypeTimeTZ:
		return writeTimeTZ, true
	case b.TypeInterval:
		return writeInterval, true
	}
	return nil, false
}

func writeInt[T int8 | int16 | int32 | int64](v *vector, dst []byte, row int) []byte {
	return strconv.AppendInt(dst, int64(at[T](v, row)), 10)
}

func writeUint[T uint8 | uint16 | uint32 | uint64](v *vector, dst []byte, row int) []byte {
	return strconv.AppendUint(dst, uint64(at[T](v, row)), 10)
}

// unsigned is a 128-bit number, its low half first.
func unsigned(halves [2]uint64) *big.Int {
	n := new(big.Int).SetUint64(halves[1])
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(halves[0]))
}

// wide is a 128-bit number in two's complement.
func wide(v *vector, row int) *big.Int {
	halves := at[[2]uint64](v, row)
	n := unsigned(halves)
	if int64(halves[1]) < 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 128))
	}
	return n
}

// bigNum reads a number of any length: three bytes of header, whose first bit says that it is not negative, and the
// magnitude, big end first; a negative one has all its bits turned over.
func bigNum(data []byte) *big.Int {
	const header = 3
	if len(data) <= header {
		return new(big.Int)
	}
	magnitude := bytes.Clone(data[header:])
	if data[0]&0x80 != 0 {
		return new(big.Int).SetBytes(magnitude)
	}
	for i := range magnitude {
		magnitude[i] = ^magnitude[i]
	}
	n := new(big.Int).SetBytes(magnitude)
	return n.Neg(n)
}

// writeDecimal writes a decimal with all digits of its scale.
func writeDecimal(v *vector, dst []byte, row int) []byte {
	var digits []byte
	switch v.typ {
	case b.TypeSmallInt:
		digits = writeInt[int16](v, nil, row)
	case b.TypeInteger:
		digits = writeInt[int32](v, nil, row)
	case b.TypeBigInt:
		digits = writeInt[int64](v, nil, row)
	default:
		digits = wide(v, row).Append(nil, 10)
	}
	if digits[0] == '-' {
		dst, digits = append(dst, '-'), digits[1:]
	}
	if v.scale == 0 {
		return append(dst, digits...)
	}
	for len(digits) <= v.scale {
		digits = append([]byte{'0'}, digits...)
	}
	point := len(digits) - v.scale
	dst = append(append(dst, digits[:point]...), '.')
	return append(dst, digits[point:]...)
}

// appendFloat writes the shortest decimal that reads back as the same number; JSON has no infinities and no NaN.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	form := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(dst, f, form, -1, bits)
}

// appendQuoted writes a JSON string. Bytes that are not UTF-8, which the engine does not store, come out as U+FFFD.
func appendQuoted(dst, text []byte) []byte {
	dst, _ = jsontext.AppendQuote(dst, text)
	return dst
}

func quote(s string) string { return string(appendQuoted(nil, []byte(s))) }

// writeJSON writes a text that holds JSON as it is, but on one line: line ends in JSON stand only between its tokens.
// The engine takes more for JSON than the standard does, such as NaN; that comes out as a string.
func writeJSON(v *vector, dst []byte, row int) []byte {
	text := v.bytes(row)
	if !jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true)) {
		return appendQuoted(dst, text)
	}
	start := len(dst)
	dst = append(dst, text...)
	for i := start; i < len(dst); i++ {
		if dst[i] == '\n' || dst[i] == '\r' {
			dst[i] = ' '
		}
	}
	return dst
}

func writeBlob(v *vector, dst []byte, row int) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.bytes(row)), '"')
}

// writeBits writes a string of bits; the first byte says how many of the second byte's high bits do not count.
func writeBits(v *vector, dst []byte, row int) []byte {
	data := v.bytes(row)
	dst = append(dst, '"')
	for i := 8 + int(data[0]); i < 8*len(data); i++ {
		dst = append(dst, '0'+data[i/8]>>(7-i%8)&1)
	}
	return append(dst, '"')
}

// writeUUID writes a UUID, which is stored as a 128-bit number with its sign turned over.
func writeUUID(v *vector, dst []byte, row int) []byte {
	halves := at[[2]uint64](v, row)
	var raw [16]byte
	for i := range 8 {
		raw[i] = byte((halves[1] ^ 1<<63) >> (56 - 8*i))
		raw[8+i] = byte(halves[0] >> (56 - 8*i))
	}
	dst = append(dst, '"')
	for i, end := range [...]int{4, 6, 8, 10, 16} {
		start := [...]int{0, 4, 6, 8, 10}[i]
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, raw[start:end])
	}
	return append(dst, '"')
}

func writeEnum(v *vector, dst []byte, row int) []byte {
	var label uint64
	switch v.typ {
	case b.TypeUTinyInt:
		label = uint64(at[uint8](v, row))
	case b.TypeUSmallInt:
		label = uint64(at[uint16](v, row))
	default:
		label = uint64(at[uint32](v, row))
	}
	return append(dst, v.labels[label]...)
}

func writeList(v *vector, dst []byte, row int) []byte {
	from, to := v.span(row)
	return v.children[0].appendElements(dst, from, to)
}

func writeArray(v *vector, dst []byte, row int) []byte {
	return v.children[0].appendElements(dst, row*v.length, (row+1)*v.length)
}

func (v *vector) appendElements(dst []byte, from, to int) []byte {
	dst = append(dst, '[')
	for i := from; i < to && len(dst) <= MaxRow; i++ {
		if i > from {
			dst = append(dst, ',')
		}
		dst = v.appendJSON(dst, i)
	}
	return append(dst, ']')
}

// writeMap writes an object. A key that is not text is written as the text of its JSON.
func writeMap(v *vector, dst []byte, row int) []byte {
	dst = append(dst, '{')
	from, to := v.span(row)
	for i := from; i < to && len(dst) <= MaxRow; i++ {
		if i > from {
			dst = append(dst, ',')
		}
		key := v.children[0].appendJSON(nil, i)
		if key[0] != '"' {
			key = appendQuoted(nil, key)
		}
		dst = append(append(dst, key...), ':')
		dst = v.children[1].appendJSON(dst, i)
	}
	return append(dst, '}')
}

func writeStruct(v *vector, dst []byte, row int) []byte {
	open, end := byte('{'), byte('}')
	if v.labels == nil {
		open, end = '[', ']'
	}
	dst = append(dst, open)
	for i := range v.children {
		if i > 0 {
			dst = append(dst, ',')
		}
		if v.labels != nil {
			dst = append(append(dst, v.labels[i]...), ':')
		}
		dst = v.children[i].appendJSON(dst, row)
	}
	return append(dst, end)
}

// writeUnion writes the member that is there.
func writeUnion(v *vector, dst []byte, row int) []byte {
	tag := at[uint8](&v.children[0], row)
	return v.children[1+int(tag)].appendJSON(dst, row)
}
