package dataset

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// The bounds of following records as they come. A project may have as many followers as it leaves places free.
const (
	maxFollowers = 256
	maxOfKey     = 64 // of one key, and what it derives
	followBuffer = 64 // batches a follower may lag behind
	maxFollowed  = 50 // subkeys that are named
	followAgain  = 10 * time.Second
)

// Live hands records that have just been written to those who follow their dataset. The zero Live is ready.
type Live struct {
	mu        sync.Mutex
	followers map[*follower]struct{}
}

type follower struct {
	project string
	key     string // whose limits the holder is charged to
	uid     string
	keys    []string // empty: all
	subkeys []string // empty: all
	batches chan []Record
}

// wants are those of some records that it follows.
func (f *follower) wants(list []Record) []Record {
	if len(f.keys) == 0 && len(f.subkeys) == 0 {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(r Record) bool {
		return len(f.keys) > 0 && !slices.Contains(f.keys, r.Key) || len(f.subkeys) > 0 && !slices.Contains(f.subkeys, r.Subkey)
	})
}

// follow gives the records of a dataset as they are written, until ctx is done. The channel is closed then, and also when
// the follower lags too far behind. by is the key whose limits the follower is charged to.
func (l *Live) follow(ctx context.Context, d *Dataset, by string, keys, subkeys []string) (<-chan []Record, error) {
	f := &follower{project: d.Project, key: by, uid: d.UID, keys: keys, subkeys: subkeys, batches: make(chan []Record, followBuffer)}
	l.mu.Lock()
	defer l.mu.Unlock()
	has, ofKey := 0, 0
	for other := range l.followers {
		if other.project == d.Project {
			has++
			if other.key == by {
				ofKey++
			}
		}
	}
	if ofKey >= maxOfKey {
		return nil, problem.New(problem.Unavailable, "The key has %d streams of records, as many as it may.", ofKey).After(followAgain)
	}
	if free := maxFollowers - len(l.followers); has >= free {
		return nil, problem.New(problem.Unavailable, "There are too many streams of records; this project has %d of them.", has).After(followAgain)
	}
	if l.followers == nil {
		l.followers = map[*follower]struct{}{}
	}
	l.followers[f] = struct{}{}
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.drop(f)
	})
	return f.batches, nil
}

// publish never waits for a follower. A nil Live has none.
func (l *Live) publish(d *Dataset, list []Record) {
	if l == nil || len(list) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.followers {
		if f.uid != d.UID {
			continue
		}
		wanted := f.wants(list)
		if len(wanted) == 0 {
			continue
		}
		select {
		case f.batches <- wanted:
		default:
			l.drop(f)
		}
	}
}

// drop ends a follower, once. The caller holds the lock.
func (l *Live) drop(f *follower) {
	if _, ok := l.followers[f]; ok {
		delete(l.followers, f)
		close(f.batches)
	}
}

// Followed is a dataset that is followed.
type Followed struct {
	Dataset  Dataset
	Snapshot []Record // the newest of each key that was named, or the newest of all; and so of each subkey that was named
	Batches  <-chan []Record
}

// Following is what somebody wants to follow.
type Following struct {
	Keys     []string // empty: all
	Subkeys  []string // empty: all
	Snapshot bool
	From     string // the snapshot is the records of this time or later; empty: the newest of each key
}

// Follow gives the newest records of a dataset, and those that are written from then on until ctx is done. Records that are
// written meanwhile may be in both.
//
// Problems: invalid_field, not_found, unavailable.
func (s *Service) Follow(ctx context.Context, permit gate.Permit, at At, want Following) (Followed, error) {
	d, err := s.Find(ctx, permit, at)
	if err != nil {
		return Followed{}, err
	}
	a := Ask{Datasets: []string{d.ID}, Keys: want.Keys, From: want.From}
	if err := a.Combinations(); err != nil {
		return Followed{}, err
	}
	if err := d.ownRecords(); err != nil {
		return Followed{}, err
	}
	switch {
	case len(want.Subkeys) > 0 && d.Index.Subkey == "":
		return Followed{}, problem.Invalid("query.channels", "the dataset %s has no subkeys", d.ID)
	case len(want.Subkeys) > maxFollowed:
		return Followed{}, problem.Invalid("query.channels", "must be at most %d", maxFollowed)
	case len(want.Keys)*len(want.Subkeys) > MaxCombination:
		return Followed{}, problem.Invalid("query.channels", "are, with the symbols, more than %d combinations", MaxCombination)
	}
	selection, err := a.Selection(&d, s.cfg.Now())
	if err != nil {
		return Followed{}, err
	}
	f := Followed{Dataset: d}
	by, _ := permit.Accounts()
	if f.Batches, err = s.cfg.Live.follow(ctx, &d, by.ID, want.Keys, want.Subkeys); err != nil || !want.Snapshot {
		return f, err
	}
	f.Snapshot, err = s.newest(ctx, &d, selection, want)
	return f, err
}

// newest are the records that a stream begins with.
func (s *Service) newest(ctx context.Context, d *Dataset, selection Selection, want Following) (all []Record, err error) {
	each := [][]string{want.Subkeys}
	if want.From == "" && len(want.Subkeys) > 1 { // the newest of each
		each = slices.Collect(slices.Chunk(want.Subkeys, 1))
	}
	bytes := 0
	for _, selection.Subkeys = range each {
		list, _, err := s.cfg.Records.ReadRecords(ctx, d.Space(), d.UID, selection)
		if err != nil {
			return nil, err
		}
		for i := range list {
			bytes += len(list[i].Body)
		}
		if bytes > MaxReadBytes+MaxRecord {
			return nil, problem.Invalid("query.channels", "have more than %d bytes of records to begin with: name fewer, or take nosnapshot", MaxReadBytes)
		}
		all = append(all, list...)
	}
	return all, nil
}
