package ledger

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// The spans of time, in seconds.
const (
	minute = 60
	hour   = 60 * minute
	day    = 24 * hour
)

// numberOf numbers the spans of so many seconds since 1970.
func numberOf(micros int64, seconds int64) int64 {
	span := seconds * 1e6
	n := micros / span
	if micros%span < 0 {
		n--
	}
	return n
}

// another reports whether a span of time is another than the latest one: what is a little late is not, but a clock that
// was set back makes one.
func another(span, latest int64) bool { return span > latest || span < latest-60 }

func startOf(number, seconds int64) time.Time { return time.Unix(number*seconds, 0).UTC() }

// denials holds what was denied since the last flush, one by one.
type denials struct {
	mu    sync.Mutex
	queue []gate.Denial
	hour  int64          // the latest seen
	kept  map[share]*int // so many were queued of each in that hour
}

// share is whose denials are kept one by one up to a number.
type share struct {
	project, key, reason string
	hour                 int64
}

// add queues a denial if there is room, and reports whether there was. Only then is it made fit to be kept, so that a
// flood costs little.
func (q *denials) add(d *gate.Denial, most limits) (queued bool) {
	whole, room := q.room(d, most)
	if !room {
		return false
	}
	clean(d)
	if !whole {
		slim(d)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, *d)
	return true
}

// room takes one of the places for denials of a kind, and says whether it is one for a whole denial.
func (q *denials) room(d *gate.Denial, most limits) (whole, room bool) {
	s := share{d.Project, d.KeyID, d.Reason, numberOf(d.At.UnixMicro(), hour)}
	if d.Project == "" {
		s.key = "" // anybody can claim any key: such names are not worth a share of their own
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.count(s, most.shapes)
	if *n >= most.perShare || len(q.queue) >= most.denials {
		return false, false
	}
	*n++
	return *n <= most.whole, true
}

// slim leaves of a denial what is short.
func slim(d *gate.Denial) {
	d.Detail = cut(d.Detail, min(len(d.Detail), 1<<10))
	d.Failed, d.Remedies = d.Failed[:min(len(d.Failed), 4)], d.Remedies[:min(len(d.Remedies), 4)]
}

// count finds or makes a share; when there are too many, that of its project's keys together.
func (q *denials) count(s share, most int) *int {
	if another(s.hour, q.hour) || q.kept == nil {
		q.hour, q.kept = s.hour, map[share]*int{}
	}
	n := q.kept[s]
	if n == nil && len(q.kept) >= most {
		s.key = ""
		n = q.kept[s]
	}
	if n == nil {
		n = new(int)
		q.kept[s] = n
	}
	return n
}

func (q *denials) take() []gate.Denial {
	q.mu.Lock()
	defer q.mu.Unlock()
	queue := q.queue
	q.queue = nil
	return queue
}

func (q *denials) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue)
}

// shardCount is how many locks the counting is spread over.
const shardCount = 16

// shard holds a share of what was counted since the last flush.
type shard struct {
	mu     sync.Mutex
	cells  map[uint64]*cell // of the latest minute, and of earlier ones what is not taken yet; by hash
	dirty  []*cell          // those with something to take
	minute int64            // the latest seen
	seed   maphash.Seed
	_      [64]byte // keeps the next shard's lock off this one's cache line
}

// cellKey is a shape as it came: its texts are neither cleaned nor copied until they must be.
type cellKey struct {
	Shape
	minute int64
}

// hash is as good as the seed is secret: a sender cannot make two shapes meet.
func (k *cellKey) hash(seed maphash.Seed) uint64 {
	var room [320]byte // enough for what is usual
	b := append(room[:0], k.KeyID...)
	b = append(append(b, 0), k.Event...)
	b = append(append(b, 0), k.Environment...)
	b = append(append(b, 0), k.Origin...)
	b = append(append(b, 0), k.Agent...)
	b = append(append(b, 0), k.SDK...)
	b = append(append(b, 0), k.Reason...)
	b = append(b, 0, byte(k.Outcome), byte(k.Action), byte(k.Via), byte(k.Signed))
	network := k.Network.Addr().As16()
	b = append(b, network[:6]...)  // of IPv6 its 48 bits
	b = append(b, network[12:]...) // of IPv4 its 24
	b = binary.LittleEndian.AppendUint64(b, uint64(k.minute))
	b = binary.LittleEndian.AppendUint64(b, uint64(k.Generation))
	return maphash.Bytes(seed, b)
}

// cell is the count of one shape in one minute.
type cell struct {
	key             cellKey
	requests, items int64
	first, last     int64 // microseconds since 1970
	address         netip.Addr
	client          gate.Client // of the last
}

// moment is when something came, and from where.
type moment struct {
	micros int64
	from   *gate.Sender
}

// add counts. When there are too many shapes, it is counted under a wider one.
func (q *shard) add(k *cellKey, requests, items int64, at moment, most int) {
	c := q.find(k, k.hash(q.seed))
	if c == nil {
		c = q.make(*k, most)
	}
	if c.requests|c.items == 0 {
		q.dirty = append(q.dirty, c)
		c.first, c.last = at.micros, at.micros
	}
	c.requests += requests
	c.items += items
	c.first = min(c.first, at.micros)
	if at.micros >= c.last {
		c.last = at.micros
		if k.Outcome == Allowed {
			c.use(at.from)
		}
	}
}

// find finds the cell of a key. Two keys of one hash stand at one hash and the next.
func (q *shard) find(k *cellKey, hash uint64) *cell {
	for {
		c := q.cells[hash]
		if c == nil || c.key == *k {
			return c
		}
		hash++
	}
}

// use notes who used a key last. The texts are copied only when they are others than before.
func (c *cell) use(from *gate.Sender) {
	c.address = from.Address
	if agent := start(from.Client.Agent); c.client.Agent != agent {
		c.client.Agent = strings.Clone(agent)
	}
	if sdk := start(from.Client.SDK); c.client.SDK != sdk {
		c.client.SDK = strings.Clone(sdk)
	}
}

// start is the start of a text that is to be made fit later. It is long enough: what is cut here is not within the first
// maxText bytes of the fit text, however many keys are hidden before it.
func start(text string) string { return text[:min(len(text), 4*maxText)] }

// make makes the cell of a shape, or finds that of a wider one when there are too many: without its event and network,
// when there are too many of those without its key, and in the end, when the store has been away for long, without its
// minute.
func (q *shard) make(k cellKey, most int) *cell {
	if another(k.minute, q.minute) {
		q.sweep(k.minute)
	}
	for step, room := withoutEvent, most; len(q.cells) >= room && step <= withoutKey; step++ {
		if k.widen(step); step > withoutEvent {
			room += most
		}
		if step == withoutKey && len(q.cells) >= room {
			k.minute -= k.minute % (hour / minute)
		}
		if c := q.find(&k, k.hash(q.seed)); c != nil {
			return c
		}
	}
	for _, text := range [...]*string{&k.Project, &k.KeyID, &k.Reason, &k.Environment, &k.Event, &k.Origin, &k.Agent, &k.SDK} {
		*text = strings.Clone(*text)
	}
	c := &cell{key: k}
	q.put(c)
	return c
}

func (q *shard) put(c *cell) {
	hash := c.key.hash(q.seed)
	for q.cells[hash] != nil {
		hash++
	}
	q.cells[hash] = c
}

// sweep begins a minute: what is not waiting to be taken goes. The others are put anew, for a cell that went may have
// stood between one and its hash.
func (q *shard) sweep(minute int64) {
	q.minute, q.cells = minute, map[uint64]*cell{}
	for _, c := range q.dirty {
		q.put(c)
	}
}

// take gives what was counted, and counts from 0 again.
func (q *shard) take(visit func(*cell)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.dirty {
		visit(c)
		c.requests, c.items = 0, 0
	}
	q.dirty = q.dirty[:0]
}

// keyOf begins the key of what a sender did: all of it but what it was about.
func keyOf(project, key string, generation int, action access.Action, micros int64, from *gate.Sender) cellKey {
	k := cellKey{minute: numberOf(micros, minute)}
	k.Project, k.KeyID, k.Generation, k.Action = project, key, generation, action
	k.Network, k.Origin, k.Via, k.Signed = NetworkOf(from.Address), from.Origin, from.Via, from.Signed
	k.Agent, k.SDK = family(from.Client.Agent), from.Client.SDK
	return k
}

// bound makes texts that are longer than any program's fit at once, so that nobody fills the memory with them.
func (k *cellKey) bound() {
	for _, text := range [...]*string{&k.Environment, &k.Event, &k.Origin, &k.Agent, &k.SDK} {
		if len(*text) > maxText {
			*text = fit(*text, maxText)
		}
	}
}

// deny counts a denial.
func (q *shard) deny(d *gate.Denial, most int) {
	micros := d.At.UnixMicro()
	k := keyOf(d.Project, d.KeyID, d.Generation, d.Action, micros, &d.Sender)
	k.Outcome, k.Reason, k.Environment, k.Event = OutcomeOf(d), d.Reason, d.Environment, d.Event
	if d.Project == "" {
		k.widen(withoutKey) // anybody can claim any key and be anything
	}
	k.bound()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(&k, 1, int64(d.Count), moment{micros, &d.Sender}, most)
}

// allow counts a use.
func (q *shard) allow(u *gate.Use, most int) {
	micros := u.At.UnixMicro()
	k := keyOf(u.Project, u.KeyID, u.Generation, u.Action, micros, &u.Sender)
	k.Outcome, k.Environment = Allowed, u.Environment
	if len(u.Targets) == 1 {
		k.Event = u.Targets[0].Event
	}
	k.bound()
	at := moment{micros, &u.Sender}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(u.Targets) <= 1 {
		q.add(&k, 1, int64(u.Items), at, most)
		return
	}
	q.allowMany(u, k, at, most)
}

// part is so many items about the same thing.
type part struct {
	environment, event string
	items              int64
}

// allowMany counts a request that is about several things: the request once, and each thing's items.
func (q *shard) allowMany(u *gate.Use, k cellKey, at moment, most int) {
	var (
		held    [8]part // most batches are about a few things
		parts   = held[:0]
		several bool
	)
	environment, same := "", true
	refused := u.Refused
	for i := range u.Targets {
		if len(refused) > 0 && refused[0].Index == i {
			refused = refused[1:]
			continue
		}
		p := part{event: u.Targets[i].Event, environment: u.Targets[i].Environment, items: 1}
		if p.environment == "" {
			p.environment = u.Default
		}
		if !u.Action.InEnvironment() {
			p.environment = ""
		}
		if len(parts) == 0 && !several {
			environment = p.environment
		}
		same = same && p.environment == environment
		if !join(parts, p) {
			if len(parts) == len(held) {
				q.addParts(parts, k, at, most)
				parts, several = held[:0], true
			}
			parts = append(parts, p)
		}
	}
	if len(parts) == 1 && !several {
		k.Environment, k.Event = parts[0].environment, parts[0].event
		k.bound()
		q.add(&k, 1, parts[0].items, at, most)
		return
	}
	q.addParts(parts, k, at, most)
	if k.Environment, k.Event = "", ""; same {
		k.Environment = environment
	}
	q.add(&k, 1, 0, at, most)
}

// join adds an item to the part it belongs to, if there is one.
func join(parts []part, p part) bool {
	for i := len(parts) - 1; i >= 0; i-- { // items of a kind often stand together
		if parts[i].event == p.event && parts[i].environment == p.environment {
			parts[i].items++
			return true
		}
	}
	return false
}

func (q *shard) addParts(parts []part, k cellKey, at moment, most int) {
	for i := range parts {
		k.Environment, k.Event = parts[i].environment, parts[i].event
		k.bound()
		q.add(&k, 0, parts[i].items, at, most)
	}
}
