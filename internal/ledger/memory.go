package ledger

import (
	"maps"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// hourOf numbers the hours since 1970.
func hourOf(t time.Time) int64 {
	seconds := t.Unix()
	hour := seconds / 3600
	if seconds%3600 < 0 {
		hour--
	}
	return hour
}

func startOf(hour int64) time.Time { return time.Unix(hour*3600, 0).UTC() }

// denials holds what was denied since the last flush.
type denials struct {
	mu     sync.Mutex
	queue  []gate.Denial
	hour   int64            // the latest seen
	shapes map[shape]*tally // of that hour, and of earlier ones what is not taken yet
	dirty  []*tally         // those with something to take
}

type shape struct {
	project, key, reason string
	hour                 int64
}

type tally struct {
	shape   shape
	kept    int // so many were queued in this hour
	denials int64
	items   int64
}

// add counts a denial and, if there is room, queues it; it reports which.
func (q *denials) add(d gate.Denial, most limits) (queued bool) {
	s := shape{d.Project, d.KeyID, d.Reason, hourOf(d.At)}
	if d.Project == "" {
		s.key = "" // anybody can claim any key: such names are not worth a count of their own
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tally(s, most.shapes)
	if t.denials == 0 {
		q.dirty = append(q.dirty, t)
	}
	t.denials++
	t.items += int64(d.Count)
	if t.kept >= most.perShape || len(q.queue) >= most.denials {
		return false
	}
	t.kept++
	q.queue = append(q.queue, d)
	return true
}

// tally finds or makes the count of a shape; when there are too many shapes, that of its project's keys together.
func (q *denials) tally(s shape, most int) *tally {
	if s.hour > q.hour || q.shapes == nil {
		q.hour = s.hour
		maps.DeleteFunc(q.shapes, func(_ shape, t *tally) bool { return t.denials == 0 })
	}
	t := q.shapes[s]
	if t == nil && len(q.shapes) >= most {
		s.key = ""
		t = q.shapes[s]
	}
	if t == nil {
		if q.shapes == nil {
			q.shapes = map[shape]*tally{}
		}
		t = &tally{shape: s}
		q.shapes[s] = t
	}
	return t
}

// take empties the queue and the counts.
func (q *denials) take() ([]gate.Denial, []Denied) {
	q.mu.Lock()
	defer q.mu.Unlock()
	queue, counts := q.queue, make([]Denied, 0, len(q.dirty))
	for _, t := range q.dirty {
		counts = append(counts, Denied{
			Project: t.shape.project, KeyID: t.shape.key, Reason: t.shape.reason,
			Hour: startOf(t.shape.hour), Denials: t.denials, Items: t.items,
		})
		t.denials, t.items = 0, 0
	}
	q.queue, q.dirty = nil, nil
	return queue, counts
}

func (q *denials) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue)
}

// useShards is how many locks the counting of allowed requests is spread over.
const useShards = 16

// uses holds a share of what was allowed since the last flush.
type uses struct {
	mu     sync.Mutex
	counts map[use]*sums
	_      [48]byte // keeps the next shard's lock off this one's cache line
}

type use struct {
	project, key, environment string
	action                    access.Action
	hour                      int64
}

type sums struct{ requests, items int64 }

func (q *uses) add(u gate.Use, most int) {
	k := use{u.Project, u.KeyID, u.Environment, u.Action, hourOf(u.At)}
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.counts[k]
	if s == nil && len(q.counts) >= most {
		k.key = ""
		s = q.counts[k]
	}
	if s == nil {
		if q.counts == nil {
			q.counts = map[use]*sums{}
		}
		s = &sums{}
		q.counts[k] = s
	}
	s.requests++
	s.items += int64(u.Items)
}

// takeUses empties every shard and adds them up.
func takeUses(shards *[useShards]uses) []Used {
	all := map[use]*sums{}
	for i := range shards {
		q := &shards[i]
		q.mu.Lock()
		counts := q.counts
		q.counts = nil
		q.mu.Unlock()
		for k, s := range counts {
			if sum := all[k]; sum != nil {
				sum.requests += s.requests
				sum.items += s.items
			} else {
				all[k] = s
			}
		}
	}
	list := make([]Used, 0, len(all))
	for k, s := range all {
		list = append(list, Used{
			Project: k.project, KeyID: k.key, Action: k.action, Environment: k.environment,
			Hour: startOf(k.hour), Requests: s.requests, Items: s.items,
		})
	}
	return list
}

// maxText bounds each text of a denial that its sender chose, in bytes.
const maxText = 256

// clean makes the texts that a sender chose fit to be kept: without the secret part of a key that somebody put in the
// place of a name, valid UTF-8 without NUL, of bounded length. A text that no store takes would hold up all the others.
func clean(d *gate.Denial) {
	for _, text := range [...]*string{&d.KeyID, &d.Environment, &d.Event, &d.RequestID} {
		*text = access.HideKeysIn(*text) // before a cut could make a key hard to know
		if len(*text) > maxText {
			*text = cut(*text, maxText)
		}
		if strings.IndexByte(*text, 0) >= 0 || !utf8.ValidString(*text) {
			*text = strings.ToValidUTF8(strings.ReplaceAll(*text, "\x00", "\uFFFD"), "\uFFFD")
		}
	}
}

// cut shortens a text to at most n bytes without splitting a character.
func cut(text string, n int) string {
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
