package store

import (
	"crypto/rand"
	"fmt"
	"log/slog"
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

// BenchmarkKeep stores a batch of 1,000 denials and 1,000 counts.
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
		batch.Denials = append(batch.Denials, gate.Denial{
			ID: fmt.Sprintf("d%020d", id*7919%1_000_003), At: now().Add(time.Duration(id) * time.Millisecond), Organization: "org_1",
			Project: fmt.Sprint("prj_", i%3), KeyID: key, Action: access.WriteEvents, Reason: "scope_missing", Rule: "key holds the scope",
			Environment: "production", Event: "checkout", Count: 1, Sender: gate.Sender{RequestID: "00000000000000000000000000"},
		})
		batch.Used = append(batch.Used, ledger.Used{Project: "prj_1", KeyID: key, Action: access.ReadEvents, Hour: now(), Requests: 1, Items: 1})
	}
	return batch
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
		"newest":      {Project: "prj_1", Limit: 100},
		"of a key":    {Project: "prj_1", KeyID: "key_000000000001", Limit: 100},
		"rare reason": {Project: "prj_1", Reason: "never", Limit: 100},
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
