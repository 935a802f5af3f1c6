package store

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// BenchmarkCreateKey is a key made durable.
func BenchmarkCreateKey(b *testing.B) {
	s := opened(b, filepath.Join(b.TempDir(), "weir.db"))
	defer closed(b, s)
	ring, _, permit := ringOver(b, s)
	for b.Loop() {
		if _, _, err := ring.Create(b.Context(), permit, keyring.New{Kind: access.Public, Mode: access.Live}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRevokeKey is a key made and revoked, both durable.
func BenchmarkRevokeKey(b *testing.B) {
	s := opened(b, filepath.Join(b.TempDir(), "weir.db"))
	defer closed(b, s)
	ring, _, permit := ringOver(b, s)
	for b.Loop() {
		rec, _, err := ring.Create(b.Context(), permit, keyring.New{Kind: access.Public, Mode: access.Live})
		if err == nil {
			_, err = ring.Revoke(b.Context(), permit, rec.ID, 0)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is the start of a ring with many keys.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{10_000, 200_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			s := opened(b, filepath.Join(b.TempDir(), "weir.db"))
			defer closed(b, s)
			_, _, permit := ringOver(b, s)
			tx, err := s.write.BeginTx(b.Context(), nil)
			if err != nil {
				b.Fatal(err)
			}
			_, err = tx.ExecContext(b.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
				INSERT INTO keys (`+keyColumns+`) SELECT 'key_' || printf('%012d', i), $2, 'secret', 'live', 'label', 'steward',
				'["events:write","users:write"]', '["production"]', 'sk_live_0000…0000', '', printf('%064d', i), i, i, NULL, NULL, 'operator', 1,
				$3, 'active', 1, i, '', '', '', NULL FROM n`,
				n, permit.Project(), keyring.WriteSettings(&access.Bounds{Environments: []string{"production"}, Limits: access.DefaultLimits(access.Secret)}))
			if err != nil {
				b.Fatal(err)
			}
			if err := tx.Commit(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := keyring.Open(b.Context(), s, keyring.Config{Now: now, NewID: rand.Text}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkKeep stores a batch of 1,000 denials, and of 1,000 counts, shapes and uses of as many keys.
func BenchmarkKeep(b *testing.B) {
	s := opened(b, filepath.Join(b.TempDir(), "weir.db"))
	defer closed(b, s)
	number := int64(0)
	for b.Loop() {
		number++
		if err := s.Keep(b.Context(), flood(number, 1000)); err != nil {
			b.Fatal(err)
		}
	}
}

func flood(number int64, size int) ledger.Batch {
	batch := ledger.Batch{Writer: "w", Number: number}
	for i := range size {
		id := int(number)*size + i
		key := fmt.Sprintf("key_%012d", i%50)
		from := gate.Sender{
			Address: netip.MustParseAddr("192.0.2.7"), Via: access.InHeader, Client: gate.Client{Agent: "curl/8.11.0", SDK: "weir-go/1.2.3"},
			RequestID: "00000000000000000000000000",
		}
		batch.Denials = append(batch.Denials, gate.Denial{
			ID: fmt.Sprintf("d%020d", id*7919%1_000_003), At: now().Add(time.Duration(id) * time.Millisecond), Organization: "org_1",
			Project: fmt.Sprint("prj_", i%3), KeyID: key, Action: access.WriteEvents, Reason: "scope_missing", Rule: "key holds the scope",
			Environment: "production", Event: "checkout", Count: 1, Sender: from,
			Failed:   []access.Step{{Rule: "key holds the scope", Target: -1, Reason: access.ScopeMissing}},
			Remedies: []access.Remedy{{Of: "key", Field: "scopes", Do: "add", Value: "events:write"}},
		})
		about := aboutNumber(i)
		batch.Counts = append(batch.Counts, ledger.Count{At: now().Add(time.Duration(number) * time.Second).Truncate(time.Minute), About: about, Requests: 1, Items: 1})
		batch.Shapes = append(batch.Shapes, ledger.Seen{
			ID: fmt.Sprintf("%022d", i), Shape: ledger.Shape{About: about, Generation: 1, Via: access.InHeader, Agent: "curl/8", SDK: "weir-go/1.2.3"},
			First: now(), Last: now(), Requests: 1, Items: 1,
		})
		batch.Uses = append(batch.Uses, ledger.LastUse{Project: "prj_1", KeyID: about.KeyID, Generation: 1, At: now(), Address: from.Address, Client: from.Client})
	}
	return batch
}

func aboutNumber(i int) ledger.About {
	return ledger.About{
		Project: "prj_1", KeyID: fmt.Sprintf("key_%012d", i), Outcome: ledger.Allowed, Action: access.WriteEvents, Environment: "production",
		Event: "checkout", Network: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24),
	}
}

// BenchmarkUsage reads, and rolls up, the counts of a project that has as many in each minute of a day as it may have.
func BenchmarkUsage(b *testing.B) {
	s := opened(b, filepath.Join(b.TempDir(), "weir.db"))
	defer closed(b, s)
	ringOver(b, s)
	for minute := range 24 * 60 {
		var counts []ledger.Count
		for i := range 1000 {
			counts = append(counts, ledger.Count{At: now().Add(time.Duration(minute) * time.Minute), About: aboutNumber(i), Requests: 1, Items: 1})
		}
		if err := s.Keep(b.Context(), ledger.Batch{Writer: "w", Number: int64(minute + 1), Counts: counts}); err != nil {
			b.Fatal(err)
		}
	}
	q := ledger.CountQuery{Live: true, From: now(), To: now().AddDate(0, 0, 2), By: ledger.ByKey, Limit: 200}
	q.Project = "prj_1"
	for name, narrow := range map[string]func(*ledger.CountQuery){
		"a day by key": func(*ledger.CountQuery) {}, "a key": func(q *ledger.CountQuery) { q.KeyID = aboutNumber(7).KeyID },
		"an hour by minute": func(q *ledger.CountQuery) { q.Grain, q.To = ledger.Minute, now().Add(time.Hour) },
	} {
		b.Run(name, func(b *testing.B) {
			q := q
			narrow(&q)
			for b.Loop() {
				if list, err := s.Usage(b.Context(), q); err != nil || len(list) == 0 {
					b.Fatal(len(list), err)
				}
			}
		})
	}
	h := ledger.Horizon{MostDay: 4000}
	b.Run("sum up an hour", func(b *testing.B) {
		for n := 0; b.Loop() && n < 23; n++ {
			h.Ended = now().Add(time.Duration(n+1) * time.Hour)
			if _, err := s.Trim(b.Context(), h); err != nil {
				b.Fatal(err)
			}
		}
	})
	h.Ended = now().Add(24 * time.Hour)
	for n := 1; n > 0; {
		var err error
		if n, err = s.Trim(b.Context(), h); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("a day by key, summed", func(b *testing.B) {
		for b.Loop() {
			if list, err := s.Usage(b.Context(), q); err != nil || len(list) == 0 {
				b.Fatal(len(list), err)
			}
		}
	})
}

// BenchmarkFullLedger reads and trims a ledger of a million denials.
func BenchmarkFullLedger(b *testing.B) {
	s := opened(b, filepath.Join(b.TempDir(), "weir.db"))
	defer closed(b, s)
	for number := range int64(100) {
		if err := s.Keep(b.Context(), flood(number+1, 10_000)); err != nil {
			b.Fatal(err)
		}
	}
	for name, q := range map[string]ledger.DenialQuery{
		"newest":      {Project: "prj_1", Live: true, Limit: 100},
		"of a key":    {Project: "prj_1", Live: true, KeyID: "key_000000000001", Limit: 100},
		"rare reason": {Project: "prj_1", Live: true, Reason: "never", Limit: 100},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Denials(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("nothing to trim", func(b *testing.B) {
		for b.Loop() {
			if n, err := s.Trim(b.Context(), ledger.Horizon{Most: 1_000_000}); err != nil || n != 0 {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("trim", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Trim(b.Context(), ledger.Horizon{Most: 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
