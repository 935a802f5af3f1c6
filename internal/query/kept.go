package query

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/cache"
)

// The limits on how long a question lets its answer be kept.
const (
	minCacheMinutes = 5
	maxCacheMinutes = 24 * 60
)

// keeping is how long an answer may be kept; no ttl: not at all.
type keeping struct{ ttl, stale time.Duration }

// keeping reads how long the answer may be kept. Problems: invalid_field.
func (q Question) keeping() (keeping, error) {
	if q.Part != nil {
		return keeping{}, nil
	}
	if q.TTL > 0 {
		return keeping{q.TTL, max(0, q.Stale)}, nil
	}
	switch {
	case q.CacheMinutes == 0 && q.StaleMinutes != 0:
		return keeping{}, problem.Invalid("stale_minutes", "needs cache_minutes beside it")
	case q.CacheMinutes != 0 && (q.CacheMinutes < minCacheMinutes || q.CacheMinutes > maxCacheMinutes):
		return keeping{}, problem.Invalid("cache_minutes", "must be from %d to %d", minCacheMinutes, maxCacheMinutes)
	case q.StaleMinutes < 0 || q.StaleMinutes > maxCacheMinutes:
		return keeping{}, problem.Invalid("stale_minutes", "must be from 1 to %d", maxCacheMinutes)
	}
	return keeping{time.Duration(q.CacheMinutes) * time.Minute, time.Duration(q.StaleMinutes) * time.Minute}, nil
}

// Forget drops the answers that are kept of an environment. It is to be called when something in it was deleted. An
// answer that is on its way then reaches those who have asked already, and is not kept.
func (s *Service) Forget(project, environment string) {
	s.cache.Forget(cache.Group{Project: project, Environment: environment})
}

// askKept is Ask for a question whose answer may be kept. Only that the question fits is looked at before what is kept:
// an answer is there under no key but that of a statement that was found to be allowed, with the same parameters.
func (s *Service) askKept(ctx context.Context, permit gate.Permit, q Question, k keeping) (*Answer, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	q.Format = cmp.Or(q.Format, JSON)
	space, st, err := s.sighted(permit)
	if err == nil {
		err = q.check(&st)
	}
	if err == nil {
		st.Scope, err = s.withNamed(ctx, permit, st.Scope, q.SQL)
	}
	if err != nil {
		return nil, fault(ctx, err)
	}
	if premiumIn(st.Scope) {
		q.TTL, q.Stale, q.CacheMinutes, q.StaleMinutes = 0, 0, 0, 0
		return s.Ask(ctx, permit, q)
	}
	want := cache.Want{
		Key: keyOf(space, &st, q), Group: cache.Group{Project: space.Project, Environment: space.Environment}, TTL: k.ttl, Stale: k.stale,
	}
	made, err := s.cache.Answer(ctx, want, func(ctx context.Context) (cache.About, *cache.Body, error) {
		return s.produce(ctx, space, st, q)
	})
	if err != nil {
		return nil, fault(ctx, err)
	}
	return s.kept(made, q, k.ttl), nil
}

// check is what can be said of a question without the engine. It gives the statement its words.
func (q Question) check(st *Statement) error {
	if err := checkSQL(q.SQL); err != nil {
		return err
	}
	if _, err := ParseFormat(string(q.Format)); err != nil {
		return err
	}
	at, err := q.zone()
	if err != nil {
		return err
	}
	st.TimeZone = at
	p, err := readParameters(q.Parameters)
	st.SQL, st.Positional, st.Named = q.SQL, p.positional, p.named
	return err
}

// keyOf names all that an answer depends on: where it is asked, what the asker may see, the statement with its
// parameters, the ceilings, and how it is written. It does not name the asker: keys that may see the same share their
// answers.
func keyOf(space event.Space, st *Statement, q Question) cache.Key {
	h := sha256.New()
	part(h, space.Project, space.Environment, st.Scope.Key(), trimSQL(st.SQL), string(q.Format), fmt.Sprint(q.Spreadsheet), fmt.Sprintf("%+v", st.Ceilings), st.TimeZone)
	if q.Alike != "" {
		part(h, "alike", q.Alike)
		return cache.Key(h.Sum(nil))
	}
	part(h, fmt.Sprint(len(st.Positional)))
	for _, v := range st.Positional {
		part(h, string(v))
	}
	for _, name := range slices.Sorted(maps.Keys(st.Named)) {
		part(h, name, string(st.Named[name]))
	}
	return cache.Key(h.Sum(nil))
}

// part writes texts so that no others are written the same.
func part(h hash.Hash, texts ...string) {
	for _, text := range texts {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(text))))
		_, _ = io.WriteString(h, text)
	}
}

// trimSQL takes away what stands around a statement and means nothing. Inside it, a space may be part of a text.
func trimSQL(sql string) string { return string(bytes.Trim([]byte(sql), " \t\r\n")) }

// produce runs a statement and writes what of its answer is the same whenever it is given.
func (s *Service) produce(ctx context.Context, space event.Space, st Statement, q Question) (cache.About, *cache.Body, error) {
	start := s.now()
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	about, body, err := s.run(ctx, space, st, q, start)
	return about, body, fault(ctx, err)
}

func (s *Service) run(ctx context.Context, space event.Space, st Statement, q Question, start time.Time) (about cache.About, _ *cache.Body, err error) {
	if _, _, err = s.prepare(ctx, q); err != nil {
		return about, nil, err
	}
	rows, err := s.engine.Run(ctx, space, st)
	if err != nil {
		return about, nil, err
	}
	defer func() { _ = rows.Close() }() // as in Ask
	out := &spool{memory: s.memory, limit: s.ceilings.Bytes, dir: s.tempDir, create: s.cache.Create, digest: sha256.New()}
	enc, err := newEncoder(q.Format, out, rows.Columns(), q.Spreadsheet)
	if err == nil {
		about.Rows, err = s.copyRows(ctx, enc, rows, nil)
	}
	about.ContentType, about.Began, about.Elapsed = q.Format.ContentType(), start, s.now().Sub(start)
	if err == nil && !q.Format.tailed() {
		err = enc.end(about.Rows, about.Elapsed)
	}
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		return about, nil, errors.Join(err, out.Close())
	}
	about.Digest = [sha256.Size]byte(out.digest.Sum(nil))
	if out.file != nil {
		return about, cache.InFile(out.file, out.size, out.named), nil
	}
	return about, cache.InMemory(bytes.Clone(out.bytes)), nil
}

// kept makes an answer of what was kept or made.
func (s *Service) kept(made cache.Made, q Question, ttl time.Duration) *Answer {
	a := &Answer{
		ContentType: made.ContentType, Packed: q.Format == Parquet, Rows: made.Rows, Elapsed: made.Elapsed, Cached: made.Cached, Age: made.Age(s.now()),
		ExpiresAt: made.Began.Add(ttl), body: made.Body,
	}
	if q.Format.tailed() {
		a.tail = tail(a)
	}
	a.Size = made.Body.Size() + int64(len(a.tail))
	digest := sha256.New()
	part(digest, made.ContentType, string(made.Digest[:]))
	a.Credits = s.prices.of(a)
	a.Tag = base64.RawURLEncoding.EncodeToString(digest.Sum(nil)[:16])
	return a
}
