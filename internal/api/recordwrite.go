package api

import (
	"bytes"
	"encoding/csv"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/query"
)

// separatorOf is what stands between the fields in a format with a record in each line, and its content type; 0 in others.
func separatorOf(format string) (comma rune, kind string) {
	switch format {
	case "csv":
		return ',', "text/csv; charset=utf-8"
	case "psv":
		return '|', "text/plain; charset=utf-8"
	case "text":
		return '\t', "text/plain; charset=utf-8"
	}
	return 0, ""
}

// writeRead sends records, or schemas.
func writeRead(rq *request, read recordsRead) error {
	defer drop(read)
	rq.sayUsed(read.core, read.top)
	if comma, kind := separatorOf(read.format); comma != 0 && !read.schema {
		return rq.writeSeparated(read, comma, kind)
	}
	if read.format == "parquet" && !read.schema {
		return rq.writeParquet(read)
	}
	var out bytes.Buffer
	out.WriteByte('[')
	add := func(object []byte) {
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		out.Write(object)
	}
	for i := range read.sets {
		if read.schema {
			add(schemaView(&read.sets[i].Dataset.Schema))
		}
		for j := range read.sets[i].Records {
			r := &read.sets[i].Records[j]
			if read.system {
				add(withSystem(&read.sets[i].Dataset, r))
			} else {
				add(r.Body)
			}
		}
	}
	out.WriteByte(']')
	return rq.writeText(http.StatusOK, out.Bytes())
}

// withSystem is a record with what the system knows of it.
func withSystem(d *dataset.Dataset, r *dataset.Record) []byte {
	body := bytes.Clone(bytes.TrimSuffix(r.Body, []byte("}")))
	for _, m := range []struct {
		name  string
		value any
	}{{"id", d.ID}, {"key", r.Key}, {"subkey", r.Subkey}, {"date", r.Date.UnixMilli()}, {"updated", r.Updated.UnixMilli()}} {
		if bytes.Contains(r.Body, []byte(`"`+m.name+`":`)) {
			continue
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			continue // texts and numbers always can be written
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(append(body, `"`+m.name+`":`...), value...)
	}
	return append(body, '}')
}

// writeSeparated sends records of one dataset as lines, with the properties of its schema.
func (rq *request) writeSeparated(read recordsRead, comma rune, kind string) error {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Comma = comma
	for i := range read.sets {
		names := read.sets[i].Names()
		if err := w.Write(names); err != nil {
			return err
		}
		for j := range read.sets[i].Records {
			if err := w.Write(read.sets[i].Records[j].Texts(names)); err != nil {
				return err
			}
		}
	}
	w.Flush()
	return rq.writeFile(kind, out.Bytes())
}

// writeParquet sends records of one dataset as a Parquet file, with the properties of its schema: dates as instants, and
// what is no simple value as JSON.
func (rq *request) writeParquet(read recordsRead) error {
	var out bytes.Buffer
	for i := range read.sets {
		set := &read.sets[i]
		names := set.Names()
		columns := make([]query.Column, len(names))
		for c, name := range names {
			columns[c] = query.Column{Name: name, Type: columnType(set, name)}
		}
		w, err := query.NewParquet(&out, columns)
		if err != nil {
			return err
		}
		for j := range set.Records {
			if err := w.Row(set.Records[j].Cells(&set.Dataset.Schema, names)); err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return rq.writeFile(parquetType, out.Bytes())
}

// columnType is the engine's type that holds the values of a property.
func columnType(set *dataset.Set, name string) string {
	p, _ := set.Dataset.Schema.Property(name)
	switch {
	case p == nil:
		return "VARCHAR"
	case p.Type == dataset.Date:
		return "TIMESTAMP"
	case p.Type == dataset.Number:
		return "DOUBLE"
	case p.Type == dataset.Integer:
		return "BIGINT"
	case p.Type == dataset.Boolean:
		return "BOOLEAN"
	case p.Type == dataset.String:
		return "VARCHAR"
	}
	return "JSON"
}

// writeFile sends a text that is no JSON, or bytes.
func (rq *request) writeFile(kind string, content []byte) error {
	rq.reply.Header().Set("Content-Type", kind)
	rq.reply.WriteHeader(http.StatusOK)
	if _, err := rq.reply.Write(content); err != nil {
		rq.line.cause = err // the caller is gone
	}
	return nil
}
