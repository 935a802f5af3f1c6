package metric

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Duration is a length of time as people write it: a whole number and second, minute, hour, day or week, with or without
// an s. A day is 24 hours.
type Duration string

// maxDuration is the longest length of time.
const maxDuration = 366 * 24 * time.Hour

var durationForm = regexp.MustCompile(`^([1-9][0-9]{0,8}) (second|minute|hour|day|week)s?$`)

// length is the duration's length, when it is one.
func (d Duration) length() (time.Duration, bool) {
	parts := durationForm.FindStringSubmatch(string(d))
	if parts == nil {
		return 0, false
	}
	n, _ := strconv.Atoi(parts[1]) // at most nine digits
	unit := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour}[parts[2]]
	return time.Duration(n) * unit, time.Duration(n) <= maxDuration/unit
}

func (d Duration) check(to *faults, path string) {
	if _, ok := d.length(); !ok && d != "" {
		to.add(path, "must be a length of time such as 30 minutes or 7 days, at most 366 days")
	}
}

// interval is the duration in SQL.
func (d Duration) interval() string { return "INTERVAL " + literal(string(d)) }

// parseTime reads a time as in RFC 3339, or a date, which is its first moment in the zone. Both must be in the years 1
// to 9999 of UTC.
func parseTime(text string, zone *time.Location) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		if t, err = time.Parse(time.DateOnly, text); err == nil {
			t = startOfDay(t.Year(), t.Month(), t.Day(), zone)
		}
	}
	u := t.UTC()
	return u, err == nil && !strings.Contains(text, ",") && u.Year() >= 1 && u.Add(time.Microsecond).Year() <= 9999
}

// startOfDay is the first moment of a day in a zone. The clocks may be changed at midnight: then a day has two of them,
// or none.
func startOfDay(year int, month time.Month, day int, zone *time.Location) time.Time {
	noon := time.Date(year, month, day, 12, 0, 0, 0, zone)
	_, offset := noon.Zone()
	wall := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	midnight := wall.Add(-time.Duration(offset) * time.Second)
	changed, _ := noon.ZoneBounds()
	if changed.IsZero() || changed.Before(midnight) {
		return midnight
	}
	_, before := changed.Add(-time.Nanosecond).Zone()
	if first := wall.Add(-time.Duration(before) * time.Second); first.Before(changed) {
		return first
	}
	return changed.UTC()
}

// instant is a time as it is bound: the first microsecond that is not before it, since events have no finer times.
func instant(t time.Time) jsontext.Value {
	t = t.UTC().Add(time.Microsecond - time.Nanosecond).Truncate(time.Microsecond)
	return jsontext.Value(t.AppendFormat(nil, `"2006-01-02T15:04:05.000000Z"`))
}
