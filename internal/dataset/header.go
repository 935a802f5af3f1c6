package dataset

import (
	"os"
)

// headed is a source whose rows all have the columns that its header names, and no others.
type headed interface{ header() []string }

func (s *separated) header() []string { return s.names }
func (s *columns) header() []string   { return s.names }

// checkHeader refuses a file of whose rows not one can be a record, since it lacks a column that every record must have.
//
// Problems: invalid_field for each such column.
func (d *Definition) checkHeader(path, contentType string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	s, format, err := openSource(file, contentType)
	if err != nil {
		return err
	}
	h, is := s.(headed)
	if !is {
		return nil // an object says of itself what it has
	}
	named := map[string]bool{}
	for _, name := range h.header() {
		named[name] = true
	}
	where := "the header, line 1 of the file,"
	if format == Parquet {
		where = "the Parquet file"
	}
	var f faults
	if !named[d.Index.Key] {
		f.add(d.Index.Key, "is the key of the dataset, and %s has no such column: no line could be a record", where)
	}
	for _, p := range d.Schema.Properties {
		if p.Required && p.Name != d.Index.Key && !named[p.Name] {
			f.add(p.Name, "is required, and %s has no such column: no line could be a record", where)
		}
	}
	return f.problem()
}
