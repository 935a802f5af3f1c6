package org

import (
	"net/netip"
	"sync"
	"time"
)

// How often a wrong password may be tried in a quarter of an hour: so many for one email from one network, so many for one
// email from all together, and so many from one network for all emails together. Beyond that no password is looked at, the
// right one neither: looking at one takes much memory and time, and somebody could try one password of everybody.
const (
	triesOfNetwork  = 10
	triesOfEmail    = 100
	triesFromSource = 100
	triesTime       = 15 * time.Minute
	mostTried       = 1 << 15 // emails and networks that are remembered
)

// tries remembers passwords that were tried: each counts as wrong until it is known to be right, so that trying many at the
// same time is no way around. The zero tries is ready.
type tries struct {
	mu    sync.Mutex
	known map[tried]count
}

type tried struct {
	email   string       // empty: all emails
	network netip.Prefix // the zero one: all networks
}

type count struct {
	wrong int
	since time.Time
}

// bounded is what tries are counted by, and how many there may be.
type bounded struct {
	of   tried
	most int
}

func countedBy(email string, from netip.Addr) [3]bounded {
	network := networkOf(from)
	return [...]bounded{{tried{email, network}, triesOfNetwork}, {tried{email: email}, triesOfEmail}, {tried{network: network}, triesFromSource}}
}

// begin notes that a password is tried for an email from an address, or says how long none may be.
func (t *tries) begin(email string, from netip.Addr, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var longest time.Duration
	for _, c := range countedBy(email, from) {
		known := t.known[c.of]
		if left := known.since.Add(triesTime).Sub(now); known.wrong >= c.most && left > longest {
			longest = left
		}
	}
	if longest == 0 {
		t.note(email, from, now)
	}
	return longest
}

func (t *tries) note(email string, from netip.Addr, now time.Time) {
	if t.known == nil {
		t.known = map[tried]count{}
	}
	for _, by := range countedBy(email, from) {
		of := by.of
		c, known := t.known[of]
		if !known && len(t.known) >= mostTried {
			t.forget(now)
		}
		if !now.Before(c.since.Add(triesTime)) {
			c = count{since: now}
		}
		c.wrong++
		t.known[of] = c
	}
}

// right says that the password that was tried is the right one: what was wrong from there before is forgotten.
func (t *tries) right(email string, from netip.Addr) {
	t.undone(email, from)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, tried{email, networkOf(from)})
}

// undone says that the password was not looked at.
func (t *tries) undone(email string, from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, by := range countedBy(email, from) {
		c, known := t.known[by.of]
		if c.wrong--; c.wrong > 0 {
			t.known[by.of] = c
		} else if known {
			delete(t.known, by.of)
		}
	}
}

// forget makes room: what is over goes, and when nothing is, one of what has been tried least.
func (t *tries) forget(now time.Time) {
	var least tried
	few := -1
	for of, c := range t.known {
		if !now.Before(c.since.Add(triesTime)) {
			delete(t.known, of)
		} else if few < 0 || c.wrong < few {
			least, few = of, c.wrong
		}
	}
	if len(t.known) >= mostTried {
		delete(t.known, least)
	}
}

// networkOf is what tries are counted by: an IPv4 address, or the 64 bits of an IPv6 one that a subscriber has.
func networkOf(from netip.Addr) netip.Prefix {
	from = from.Unmap().WithZone("")
	bits := 64
	if from.Is4() {
		bits = 32
	}
	p, err := from.Prefix(bits)
	if err != nil {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0) // of nobody knows where
	}
	return p
}
