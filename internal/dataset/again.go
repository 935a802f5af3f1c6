package dataset

import (
	"context"
	"slices"
	"time"
)

// A chunk of a file is written, and then the place behind it is kept. When the server, or the warehouse, stops between the
// two, the chunk is written again, which changes nothing: all of it is there. So that it is told from what others wrote, and
// counted as what it was, all records of a chunk are written at a time of their own: that of the job, and a microsecond
// more for each row before the chunk. From the same place the same chunk follows.

// chunkTime is when the records of the chunk that begins at the job's place are written.
func (l *loading) chunkTime() time.Time {
	return l.job.CreatedAt.UTC().Truncate(time.Microsecond).Add(time.Duration(l.place.Rows) * time.Microsecond)
}

// recordIndex is the index of a record, to be compared.
type recordIndex struct {
	key, subkey string
	date        int64
}

func indexOfRecord(r *Record) recordIndex { return recordIndex{r.Key, r.Subkey, r.Date.UnixMicro()} }

// before finds which records of the chunk are there already because the job itself wrote them, by their index.
func (l *loading) before(ctx context.Context, d *Dataset, uid string) (map[recordIndex]bool, error) {
	at := l.chunkTime()
	s := Selection{Since: at, ByIndex: true}
	for i := range l.chunk {
		s.Keys = append(s.Keys, l.chunk[i].Key)
	}
	slices.Sort(s.Keys)
	s.Keys = slices.Compact(s.Keys)
	found := map[recordIndex]bool{}
	for {
		list, more, err := l.s.cfg.Records.ReadRecords(ctx, d.Space(), uid, s)
		if err != nil {
			return nil, err
		}
		for i := range list {
			if list[i].Updated.Equal(at) {
				found[indexOfRecord(&list[i])] = true
			}
		}
		if !more || len(list) == 0 {
			return found, nil
		}
		last := &list[len(list)-1]
		s.After = &Place{last.Key, last.Subkey, last.Date}
	}
}

// settled is what a chunk came to whose records were there before: those that the job itself had written are no others'.
// Nobody knows any more which of those that were to replace others had one to replace.
func settled(w Written, replace bool, chunk []Record, before map[recordIndex]bool) (_ Written, unsure int) {
	if len(before) == 0 {
		return w, 0
	}
	if replace {
		return Written{}, len(chunk)
	}
	own := Written{}
	for _, i := range w.Ignored {
		index := indexOfRecord(&chunk[i])
		if before[index] {
			delete(before, index) // only the first of an index was written
			continue
		}
		own.Ignored = append(own.Ignored, i)
	}
	return own, 0
}
