package native

import (
	"context"
	"strings"
	"time"

	b "github.com/duckdb/duckdb-go-bindings"
)

// SetTimeZone sets the time zone of the connection, and of no other.
func (c *Conn) SetTimeZone(ctx context.Context, name string) error {
	return c.Exec(ctx, "SET SESSION TimeZone = '"+strings.ReplaceAll(name, "'", "''")+"'")
}

// ShowIn has AppendRow write instants with the offset of a time zone.
func (r *Result) ShowIn(zone *time.Location) { showIn(r.values, zone) }

func showIn(values []vector, zone *time.Location) {
	for i := range values {
		if values[i].typ == b.TypeTimestampTZ {
			values[i].write = writeInstant(zone)
		}
		showIn(values[i].children, zone)
	}
}

// writeInstant is the writer of microseconds since 1970 with the offset of a zone. One that is not of whole minutes, as
// before there was time by zones, has no form in RFC 3339: such an instant is written in UTC, and so is an infinity as null.
func writeInstant(zone *time.Location) writer {
	inUTC := writeTimestamp(microseconds, time.UnixMicro)
	return func(v *vector, dst []byte, row int) []byte {
		t := time.UnixMicro(at[int64](v, row)).In(zone)
		if _, offset := t.Zone(); offset == 0 || offset%60 != 0 || t.Year() < 1 || t.Year() > 9999 {
			return inUTC(v, dst, row)
		}
		dst = appendYear(append(dst, '"'), t.Year())
		return append(t.AppendFormat(dst, "-01-02T15:04:05.000000-07:00"), '"')
	}
}
