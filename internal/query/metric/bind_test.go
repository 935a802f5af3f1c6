package metric_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/metric"
)

// bound is what is bound for values given as a JSON object, or the faults.
func bound(t testing.TB, definition, values string, at time.Time) string {
	t.Helper()
	given := map[string]jsontext.Value{}
	if err := json.Unmarshal([]byte(values), &given); err != nil {
		t.Fatal(err)
	}
	all, err := compiled(t, definition).Bind(given, at)
	if err != nil {
		var faults []string
		for _, f := range problem.From(err).Fields {
			faults = append(faults, f.Name+" "+f.Detail)
		}
		if problem.Of(err) != problem.InvalidField || len(faults) == 0 {
			t.Fatal(err)
		}
		return strings.Join(faults, "; ")
	}
	texts := make([]string, len(all))
	for i, v := range all {
		texts[i] = string(v)
	}
	return strings.Join(texts, " ")
}

// Promise: each type of variable takes its JSON values and no others, in one form for the engine; what does not fit is
// a fault of the variable, and all are told at once.
func TestBindTypes(t *testing.T) {
	for _, c := range []struct{ declared, values, want string }{
		{`"type": "string"`, `{"v": "it's"}`, `"it's"`},
		{`"type": "string"`, `{"v": "\u0041\u0000"}`, "variables.v must be UTF-8 without a NUL character"},
		{`"type": "string"`, `{"v": 1}`, "variables.v must be a string"},
		{`"type": "string"`, `{"v": ["a"]}`, "variables.v must be a string"},
		{`"type": "string"`, `{}`, "null"},
		{`"type": "string"`, `{"v": null}`, "null"},
		{`"type": "string", "required": true`, `{"v": null}`, "variables.v is required"},
		{`"type": "string", "required": true`, `{"v": ""}`, `""`},
		{`"type": "string", "default": "d"`, `{}`, `"d"`},
		{`"type": "string", "default": "d"`, `{"v": null}`, `"d"`},
		{`"type": "string", "enum": ["a", "b"]`, `{"v": "b"}`, `"b"`},
		{`"type": "string", "enum": ["a", "b"]`, `{"v": "B"}`, `variables.v must be one of "a", "b"`},
		{`"type": "string"`, `{"w": "a", "x": 1}`, "variables.w is unknown: the variables are v; variables.x is unknown: the variables are v"},
		{`"type": "integer"`, `{"v": -9223372036854775808}`, "-9223372036854775808"},
		{`"type": "integer"`, `{"v": 9223372036854775808}`, "variables.v must be a whole number of at most 64 bits, without a point or an exponent"},
		{`"type": "integer"`, `{"v": 1.0}`, "variables.v must be a whole number of at most 64 bits, without a point or an exponent"},
		{`"type": "integer"`, `{"v": "1"}`, "variables.v must be a whole number of at most 64 bits, without a point or an exponent"},
		{`"type": "integer", "min": 1, "max": 10`, `{"v": 0}`, "variables.v must not be less than 1"},
		{`"type": "integer", "min": 1, "max": 10`, `{"v": 10}`, "10"},
		{`"type": "integer", "enum": [1, 2]`, `{"v": 3}`, "variables.v must be one of 1, 2"},
		{`"type": "number"`, `{"v": 0.1}`, "0.1"},
		{`"type": "number"`, `{"v": 1e999}`, "variables.v must be a number that a DOUBLE can hold"},
		{`"type": "number"`, `{"v": true}`, "variables.v must be a number that a DOUBLE can hold"},
		{`"type": "number", "max": 0.5`, `{"v": 0.50001}`, "variables.v must not be more than 0.5"},
		{`"type": "number", "enum": [1]`, `{"v": 1.0}`, "1.0"},
		{`"type": "boolean"`, `{"v": false}`, "false"},
		{`"type": "boolean"`, `{"v": "true"}`, "variables.v must be true or false"},
		{`"type": "timestamp"`, `{"v": "2026-03-29T01:30:00.1234567+02:00"}`, `"2026-03-28T23:30:00.123457Z"`},
		{`"type": "timestamp"`, `{"v": "2026-03-29"}`, `"2026-03-28T23:00:00.000000Z"`},
		{`"type": "timestamp"`, `{"v": "2026-03-29 10:00"}`, "variables.v must be a time as in RFC 3339, such as 2026-01-31T12:00:00Z, or a date"},
		{`"type": "timestamp"`, `{"v": "0001-01-01"}`, "variables.v must be a time as in RFC 3339, such as 2026-01-31T12:00:00Z, or a date"},
		{`"type": "timestamp"`, `{"v": 1700000000}`, "variables.v must be a string"},
		{`"type": "timestamp", "default": "now"`, `{}`, `"2026-04-15T10:20:30.000000Z"`},
		{`"type": "timestamp", "default": "now - 90 minutes"`, `{}`, `"2026-04-15T08:50:30.000000Z"`},
		{`"type": "timestamp", "min": "2026-01-01"`, `{"v": "2025-12-31T22:59:59Z"}`, `variables.v must not be less than "2026-01-01"`},
		{`"type": "timestamp", "min": "2026-01-01"`, `{"v": "2025-12-31T23:00:00Z"}`, `"2025-12-31T23:00:00.000000Z"`},
		{`"type": "date"`, `{"v": "2026-02-28"}`, `"2026-02-28"`},
		{`"type": "date"`, `{"v": "2026-02-29"}`, "variables.v must be a date such as 2026-01-31"},
		{`"type": "date", "default": "now - 1 day"`, `{}`, `"2026-04-14"`},
		{`"type": "string[]"`, `{"v": ["a", "b\"'"]}`, `"[\"a\",\"b\\\"'\"]"`},
		{`"type": "string[]"`, `{"v": []}`, `"[]"`},
		{`"type": "string[]"`, `{"v": "a"}`, "variables.v must be an array of strings"},
		{`"type": "string[]"`, `{"v": ["a", null]}`, "variables.v item 1 must be a string"},
		{`"type": "string[]", "enum": ["a"]`, `{"v": ["a", "b"]}`, `variables.v item 1 must be one of "a"`},
		{`"type": "integer[]"`, `{"v": [1, 2]}`, `"[1,2]"`},
		{`"type": "integer[]", "max": 1`, `{"v": [1, 2]}`, "variables.v item 1 must not be more than 1"},
		{`"type": "integer[]"`, `{"v": [1, 2.5]}`, "variables.v item 1 must be a whole number of at most 64 bits, without a point or an exponent"},
	} {
		definition := fmt.Sprintf(`{"sql": "SELECT @{v}", "time_zone": "Europe/Berlin", "variables": [{"name": "v", %s}]}`, c.declared)
		if got := bound(t, definition, c.values, now); got != c.want {
			t.Errorf("%s with %s:\n got %s\nwant %s", c.declared, c.values, got, c.want)
		}
	}
}

// Promise: values are bounded in size.
func TestBindLimits(t *testing.T) {
	s := compiled(t, `{"sql": "SELECT @{s}, @{l}", "variables": [{"name": "s", "type": "string"}, {"name": "l", "type": "string[]"}]}`)
	for _, c := range []struct {
		name  string
		value any
		fault string
	}{
		{"s", strings.Repeat("x", metric.MaxString), ""},
		{"s", strings.Repeat("x", metric.MaxString+1), "variables.s: must be at most 16384 bytes long, is 16385"},
		{"l", make([]string, metric.MaxItems), ""},
		{"l", make([]string, metric.MaxItems+1), "variables.l: must have at most 1000 items"},
		{"l", []string{strings.Repeat("x", 16<<10), strings.Repeat("x", 16<<10), strings.Repeat("x", 16<<10), strings.Repeat("x", 16<<10)}, "variables.l: must be at most 61440 bytes long as JSON"},
	} {
		_, err := s.Bind(map[string]jsontext.Value{c.name: raw(c.value)}, now)
		if c.fault == "" && err != nil || c.fault != "" && (err == nil || problem.From(err).Detail != c.fault) {
			t.Errorf("%s: %v, want %s", c.name, err, c.fault)
		}
	}
	if _, err := s.Bind(map[string]jsontext.Value{"s": jsontext.Value(`"a`)}, now); problem.Of(err) != problem.InvalidField {
		t.Errorf("what is no JSON: %v", err)
	}
}

// Promise: a form reads the last 30 days when nothing else is said, from the beginning of a day in its time zone; a date
// is its first moment there; and the time must be one that can be answered for.
func TestBindTime(t *testing.T) {
	const (
		trend = `{"trend": {}}`
		paris = `{"trend": {}, "time_zone": "Europe/Paris"}`
	)
	for _, c := range []struct{ definition, values, want string }{
		{trend, `{}`, `"2026-03-16T00:00:00.000000Z" "2026-04-15T10:20:30.000000Z"`},
		{paris, `{}`, `"2026-03-15T23:00:00.000000Z" "2026-04-15T10:20:30.000000Z"`},
		{paris, `{"from": "2026-03-29", "to": "2026-03-30"}`, `"2026-03-28T23:00:00.000000Z" "2026-03-29T22:00:00.000000Z"`},
		{paris, `{"to": "2026-03-30T12:00:00+02:00"}`, `"2026-02-27T23:00:00.000000Z" "2026-03-30T10:00:00.000000Z"`},
		{`{"trend": {"interval": "minute"}}`, `{}`, `"2026-04-14T10:20:30.000000Z" "2026-04-15T10:20:30.000000Z"`},
		{trend, `{"from": "2026-03-29", "to": "2026-03-29"}`, "variables.from must be before the variable to"},
		{trend, `{"from": "2026-04-16"}`, "variables.from must be before the variable to"},
		{trend, `{"from": "2010-01-01"}`, "variables.from must be at most 3660 days before the variable to"},
		{trend, `{"from": 5, "until": 3}`, "variables.until is unknown: the variables are from, to; variables.from must be a string"},
		{`{"trend": {"interval": "minute"}}`, `{"from": "2026-04-01"}`, "variables.from makes about 20782 minutes; at most 10000 are possible here"},
		{
			`{"trend": {"interval": "hour", "breakdown": [{"column": "event"}], "limit": 50}}`, `{"from": "2025-12-01"}`,
			"variables.from makes about 3252 hours; at most 1960 are possible here",
		},
		{`{"trend": {"interval": "month"}}`, `{"from": "2016-06-01"}`, `"2016-06-01T00:00:00.000000Z" "2026-04-15T10:20:30.000000Z"`},
		{
			`{"retention": {"start": {"event": "a"}, "return": {"event": "b"}, "period": "day", "periods": 60}}`, `{"from": "2020-01-01"}`,
			"variables.from makes about 2298 days; at most 1639 are possible here",
		},
		{
			`{"retention": {"start": {"event": "a"}, "return": {"event": "b"}}}`, `{"to": "2026-02-01"}`,
			`"2026-01-02T00:00:00.000000Z" "2026-02-01T00:00:00.000000Z" "a" "b" "2026-04-15T10:20:30.000000Z"`,
		},
		{
			`{"top": {"by": {"column": "event"}, "filters": [{"property": "a", "op": "=", "variable": "v"}]}, "variables": [{"name": "v", "type": "integer"}]}`, `{"from": "2026-04-15", "v": 3}`,
			`"2026-04-15T00:00:00.000000Z" "2026-04-15T10:20:30.000000Z" 3`,
		},
	} {
		if got := bound(t, c.definition, c.values, now); got != c.want {
			t.Errorf("%s with %s:\n got %s\nwant %s", c.definition, c.values, got, c.want)
		}
	}
}

// Promise: a day begins at its first moment in the zone, also where the clocks are changed at midnight.
func TestDaysBegin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(append(zones, "Africa/Cairo", "America/Sao_Paulo", "Asia/Beirut", "Asia/Gaza", "America/Asuncion", "Atlantic/Azores")).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		day := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 12_000).Draw(t, "day")).Format(time.DateOnly)
		if zone.String() == "Pacific/Apia" && day == "2011-12-30" {
			return // there was no such day
		}
		d := metric.Definition{SQL: "SELECT @{v}", TimeZone: zone.String(), Variables: []metric.Variable{{Name: "v", Type: metric.Timestamp}}}
		if zone.String() == "UTC" {
			d.TimeZone = ""
		}
		s, err := metric.Compile(&d)
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.Bind(map[string]jsontext.Value{"v": raw(day)}, now)
		if err != nil {
			t.Fatal(err)
		}
		var text string
		if err := json.Unmarshal(all[0], &text); err != nil {
			t.Fatal(err)
		}
		begins, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		before := begins.Add(-time.Microsecond)
		if begins.In(zone).Format(time.DateOnly) != day || before.In(zone).Format(time.DateOnly) >= day {
			t.Fatalf("%s in %s begins at %s, %s there", day, zone, begins, begins.In(zone))
		}
		for hour := range 30 { // and no moment of the day lies before it
			if begins.Add(-time.Duration(hour+1)*time.Hour).In(zone).Format(time.DateOnly) == day {
				t.Fatalf("%s in %s begins before %s", day, zone, begins)
			}
		}
	})
}

// Promise: durations are those that people write, up to a year, and times are read in no looser form than is said.
func TestDurations(t *testing.T) {
	for text, good := range map[string]bool{
		"1 second": true, "30 minutes": true, "1 hours": true, "7 days": true, "52 weeks": true, "366 days": true, "367 days": false, "53 weeks": false,
		"0 days": false, "-1 days": false, "1day": false, "1 month": false, " 1 day": false, "1 day ": false, "999999999 weeks": false, "1.5 hours": false, "1 day; x": false,
	} {
		d := metric.Definition{Path: &metric.Path{Start: metric.Step{Event: "a"}, Window: metric.Duration(text)}}
		if err := d.Check(); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	for name, good := range map[string]bool{
		"UTC": true, "Europe/Paris": true, "America/Argentina/Buenos_Aires": true, "Etc/GMT+5": true, "EST": true, "Local": false, "europe/paris": false, "Europe/": false,
		"../etc/passwd": false, "right/UTC": false, "posixrules": false, "Europe/Paris'": false, "Mars/Phobos": false, strings.Repeat("A", 65): false,
	} {
		d := metric.Definition{Trend: &metric.Trend{}, TimeZone: name}
		if err := d.Check(); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Promise: whatever values are given, they are bound or refused with invalid_field, one for each parameter, and each is
// a scalar.
func FuzzBind(f *testing.F) {
	f.Add("2026-01-01", `"a"`, `1`, `["a","b"]`)
	f.Add("now", `null`, `1.5e3`, `[[1]]`)
	f.Add("2026-01-01T00:00:00,5Z", `"\ud800"`, `-0`, `[1`)
	s := compiled(f, `{"sql": "SELECT @{t}, @{s}, @{n}, @{l}, @{s}", "variables": [{"name": "t", "type": "timestamp"}, {"name": "s", "type": "string", "enum": ["a", "b"]},
		{"name": "n", "type": "number", "max": 1e9}, {"name": "l", "type": "string[]", "default": ["x"]}]}`)
	f.Fuzz(func(t *testing.T, at, text, number, list string) {
		quoted, err := jsontext.AppendQuote(nil, at)
		if err != nil {
			return
		}
		all, err := s.Bind(map[string]jsontext.Value{"t": quoted, "s": jsontext.Value(text), "n": jsontext.Value(number), "l": jsontext.Value(list)}, now)
		if err != nil {
			if problem.Of(err) != problem.InvalidField {
				t.Fatal(err)
			}
			return
		}
		if len(all) != 4 {
			t.Fatalf("%d values", len(all))
		}
		for i, v := range all {
			if k := v.Kind(); !v.IsValid() || k == '{' || k == '[' {
				t.Errorf("value %d is %s", i, v)
			}
		}
	})
}
