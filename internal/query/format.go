package query

import (
	"mime"
	"strconv"
	"strings"

	"github.com/weir-analytics/weir/internal/problem"
)

// Format is how an answer is written. The empty Format is JSON.
type Format string

// The formats. All of them are exact: no number is rounded and no text is changed, but for a CSV that a spreadsheet is
// to open (Question.Spreadsheet).
const (
	JSON    Format = "json"    // one document: columns, rows, row_count, elapsed_ms
	NDJSON  Format = "ndjson"  // an object for each row, each on its own line
	CSV     Format = "csv"     // RFC 4180 in UTF-8, with a header line
	Parquet Format = "parquet" // one file, each column in the nearest type that holds it exactly
	Objects Format = "objects" // one document as JSON, but with an object for each row
	Lines   Format = "lines"   // as JSON without what is said of the whole: the columns, then an array for each row, each on its own line; for callers in the program
	Arrow   Format = "arrow"   // an Arrow IPC stream, with types as in Parquet
)

var formats = [...]struct {
	format     Format
	media      string
	parameters string
}{
	{JSON, "application/json", ""},
	{NDJSON, "application/x-ndjson", ""},
	{CSV, "text/csv", "; charset=utf-8; header=present"},
	{Parquet, "application/vnd.apache.parquet", ""},
	{Arrow, "application/vnd.apache.arrow.stream", ""},
	{Objects, "application/json", ""},   // only by its name: by the media type it is JSON
	{Lines, "application/x-ndjson", ""}, // only by its name as well
}

// ParseFormat reads a format's name. Problems: invalid_field.
func ParseFormat(name string) (Format, error) {
	if name == "" {
		return JSON, nil
	}
	for _, f := range formats {
		if string(f.format) == name {
			return f.format, nil
		}
	}
	return "", problem.Invalid("format", "must be json, objects, ndjson, csv, parquet or arrow")
}

// ContentType is the media type of an answer in the format.
func (f Format) ContentType() string {
	for _, row := range formats {
		if row.format == f {
			return row.media + row.parameters
		}
	}
	return formats[0].media
}

// tailed reports whether an answer in the format ends with what is said of it, and so not the same whenever it is given.
func (f Format) tailed() bool { return f == JSON || f == Objects }

// FormatFromAccept chooses a format by an Accept header: the one with the highest quality, then the one that is named
// most precisely, then the first. A header that names none of them is disregarded, as RFC 9110 section 12.5.1 permits,
// and the answer is JSON.
func FormatFromAccept(accept string) Format {
	type preference struct {
		precision int
		quality   float64
	}
	var wanted [len(formats)]preference
	for element := range strings.SplitSeq(accept, ",") {
		media, quality, ok := parseRange(element)
		if !ok {
			continue
		}
		for i, f := range formats {
			if p := precision(media, f.media); p > wanted[i].precision {
				wanted[i] = preference{p, quality}
			}
		}
	}
	best := 0
	for i, w := range wanted {
		b := wanted[best]
		if w.quality > b.quality || w.quality == b.quality && w.precision > b.precision && w.quality > 0 {
			best = i
		}
	}
	return formats[best].format
}

// parseRange reads one element of an Accept header.
func parseRange(element string) (media string, quality float64, ok bool) {
	media, parameters, err := mime.ParseMediaType(element)
	if err != nil {
		return "", 0, false
	}
	q, given := parameters["q"]
	if !given {
		return media, 1, true
	}
	quality, err = strconv.ParseFloat(q, 64)
	return media, quality, err == nil && quality >= 0 && quality <= 1
}

// precision is 3 when a media range names the type, 2 for type/*, 1 for */* and 0 when it does not match.
func precision(mediaRange, media string) int {
	kind, _, _ := strings.Cut(media, "/")
	switch mediaRange {
	case media:
		return 3
	case kind + "/*":
		return 2
	case "*/*":
		return 1
	}
	return 0
}
