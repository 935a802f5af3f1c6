package native

import (
	"math"
	"strconv"
	"time"
)

// Layouts of timestamps: RFC 3339 in UTC.
const (
	microseconds = "-01-02T15:04:05.000000Z"
	nanoseconds  = "-01-02T15:04:05.000000000Z"
)

// writeTimestamp is the writer of a count since 1970. Infinities are null.
func writeTimestamp(layout string, toTime func(int64) time.Time) writer {
	return func(v *vector, dst []byte, row int) []byte {
		n := at[int64](v, row)
		if n == math.MaxInt64 || n == -math.MaxInt64 {
			return append(dst, "null"...)
		}
		t := toTime(n).UTC()
		dst = appendYear(append(dst, '"'), t.Year())
		return append(t.AppendFormat(dst, layout), '"')
	}
}

// writeDate writes a count of days since 1970. Infinities are null.
func writeDate(v *vector, dst []byte, row int) []byte {
	n := at[int32](v, row)
	if n == math.MaxInt32 || n == -math.MaxInt32 {
		return append(dst, "null"...)
	}
	t := time.Date(1970, 1, 1+int(n), 0, 0, 0, 0, time.UTC)
	dst = appendYear(append(dst, '"'), t.Year())
	return append(t.AppendFormat(dst, "-01-02"), '"')
}

// appendYear writes a year of four digits; one beyond them has a sign, as ISO 8601 has it, and year 0 is 1 BC.
func appendYear(dst []byte, year int) []byte {
	switch {
	case year < 0:
		dst, year = append(dst, '-'), -year
	case year > 9999:
		dst = append(dst, '+')
	}
	return appendPadded(dst, int64(year), 4)
}

func appendPadded(dst []byte, n int64, width int) []byte {
	digits := strconv.AppendInt(nil, n, 10)
	for range width - len(digits) {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// appendClock writes a time of day, counted in units of which a second has ten to the power of digits.
func appendClock(dst []byte, n int64, digits int) []byte {
	unit := int64(math.Pow10(digits))
	seconds := n / unit
	dst = append(appendPadded(dst, seconds/3600, 2), ':')
	dst = append(appendPadded(dst, seconds/60%60, 2), ':')
	dst = append(appendPadded(dst, seconds%60, 2), '.')
	return appendPadded(dst, n%unit, digits)
}

// writeTimeTZ writes a time of day with its offset from UTC. The low 24 bits hold the offset, counted down from just
// under 16 hours, and the rest microseconds.
func writeTimeTZ(v *vector, dst []byte, row int) []byte {
	bits := at[uint64](v, row)
	offset := 16*3600 - 1 - int64(bits&(1<<24-1))
	dst = appendClock(append(dst, '"'), int64(bits>>24), 6)
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = append(appendPadded(append(dst, sign), offset/3600, 2), ':')
	dst = appendPadded(dst, offset/60%60, 2)
	if offset%60 != 0 {
		dst = appendPadded(append(dst, ':'), offset%60, 2)
	}
	return append(dst, '"')
}

// writeInterval writes an interval as the engine's own text has it: "1 year 2 months 3 days 04:05:06.7".
func writeInterval(v *vector, dst []byte, row int) []byte {
	type interval struct {
		months, days int32
		micros       int64
	}
	i := at[interval](v, row)
	dst = append(dst, '"')
	start := len(dst)
	for _, part := range [...]struct {
		n    int32
		unit string
	}{{i.months / 12, " year"}, {i.months % 12, " month"}, {i.days, " day"}} {
		if part.n == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(strconv.AppendInt(dst, int64(part.n), 10), part.unit...)
		if part.n != 1 && part.n != -1 {
			dst = append(dst, 's')
		}
	}
	if i.micros != 0 || len(dst) == start {
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = appendSpan(dst, i.micros)
	}
	return append(dst, '"')
}

// appendSpan writes hours, minutes, seconds and, when there are, microseconds without their last zeros.
func appendSpan(dst []byte, micros int64) []byte {
	n := uint64(micros)
	if micros < 0 {
		dst, n = append(dst, '-'), -n
	}
	seconds := int64(n / 1e6)
	dst = append(appendPadded(dst, seconds/3600, 2), ':')
	dst = append(appendPadded(dst, seconds/60%60, 2), ':')
	dst = appendPadded(dst, seconds%60, 2)
	if n%1e6 == 0 {
		return dst
	}
	dst = appendPadded(append(dst, '.'), int64(n%1e6), 6)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
