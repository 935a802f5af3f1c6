package token_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
	"github.com/weir-analytics/weir/internal/vault"
)

// keyLife is shorter than the usual, so that a test need not pass as many minutes.
const keyLife = 3 * 24 * time.Hour

// living is an issuer whose Run is under way, on the clock of a bubble.
func living(t *testing.T, s *shelf, seed uint64, now func() time.Time) *token.Issuer {
	t.Helper()
	i, err := token.Open(t.Context(), s, token.Config{Now: now, URL: issuerURL, Random: &stream{n: seed}, Vault: vault.New(masterKey(t)), KeyLife: keyLife})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func running(t *testing.T, i *token.Issuer) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { i.Run(ctx) })
	return func() { cancel(); done.Wait() }
}

func keyIDs(i *token.Issuer) (ids []string) {
	for _, k := range i.PublicKeys().Keys {
		ids = append(ids, k.KeyID)
	}
	return ids
}

func signedBy(t *testing.T, m token.Minted) string {
	header := string(part(t, m.Text.Reveal(), 0))
	return header[strings.Index(header, `"kid":"`)+7:][:43]
}

func mintNow(t *testing.T, i *token.Issuer, lifetime time.Duration) token.Minted {
	t.Helper()
	m, err := i.Mint(t.Context(), token.Request{Client: client(), Lifetime: lifetime})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Promise: a key signs for its time; the next one has been published for a day by then, and the one before stays until
// the last token by it has expired, and no longer. So it goes on, and nothing is left behind.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		i := living(t, s, 1, time.Now)
		defer running(t, i)()
		begin := time.Now()
		at := func(round int, d time.Duration) {
			<-time.After(time.Until(begin.Add(time.Duration(round)*keyLife + d)))
			synctest.Wait()
		}
		for round := range 3 {
			first := keyIDs(i)
			if len(first) != 1 || signedBy(t, mintNow(t, i, 0)) != first[0] {
				t.Fatalf("round %d begins with %v", round, first)
			}
			at(round+1, -token.DefaultPublish-2*time.Minute)
			if ids := keyIDs(i); len(ids) != 1 {
				t.Fatalf("round %d: too early, there are %v", round, ids)
			}
			at(round+1, -token.DefaultPublish+2*time.Minute)
			both := keyIDs(i)
			if len(both) != 2 || both[0] != first[0] {
				t.Fatalf("round %d: a day before, there are %v", round, both)
			}
			at(round+1, -time.Second)
			last := mintNow(t, i, time.Hour)
			if signedBy(t, last) != first[0] {
				t.Fatalf("round %d: the next key signs early", round)
			}
			at(round+1, 0)
			if next := mintNow(t, i, 0); signedBy(t, next) != both[1] {
				t.Fatalf("round %d: the next key does not sign", round)
			}
			at(round+1, 58*time.Minute)
			if _, found := i.Open(last.Text.Reveal(), time.Now()); !found {
				t.Fatalf("round %d: the last token of the former key is refused", round)
			}
			at(round+1, 62*time.Minute)
			if _, found := i.Open(last.Text.Reveal(), time.Now()); found {
				t.Fatalf("round %d: an expired token is accepted", round)
			}
			if ids := keyIDs(i); len(ids) != 1 || ids[0] != both[1] {
				t.Fatalf("round %d: at the end there are %v", round, ids)
			}
			at(round+1, 125*time.Minute)
			if keys, _ := s.count(); keys != 1 {
				t.Fatalf("round %d: %d keys are stored", round, keys)
			}
		}
	})
}

// Promise: keys survive a restart, and a server that was off for months publishes the next key for a day all the same.
func TestKeysSurviveRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		m := mintNow(t, living(t, s, 1, time.Now), time.Hour)
		again := living(t, s, 2, time.Now)
		if _, found := again.Open(m.Text.Reveal(), time.Now()); !found || len(keyIDs(again)) != 1 {
			t.Error("a token is refused after a restart")
		}
		<-time.After(100 * 24 * time.Hour)
		late := living(t, s, 3, time.Now)
		ids := keyIDs(late)
		if len(ids) != 2 || signedBy(t, mintNow(t, late, 0)) != ids[0] {
			t.Errorf("after a long pause there are %v", ids)
		}
		<-time.After(token.DefaultPublish)
		if signedBy(t, mintNow(t, late, 0)) != ids[1] {
			t.Error("a day later, the next key does not sign")
		}
	})
}

// Promise: two programs on one store agree on the keys, also when both make one at the same time.
func TestProgramsShareKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		issuers := make([]*token.Issuer, 4)
		var all sync.WaitGroup
		for n := range issuers {
			all.Go(func() { issuers[n] = living(t, s, uint64(n)<<40, time.Now) })
		}
		all.Wait()
		for _, i := range issuers {
			defer running(t, i)()
		}
		<-time.After(keyLife - token.DefaultPublish/2)
		synctest.Wait()
		for n, i := range issuers {
			if a, b := fmt.Sprint(keyIDs(i)), fmt.Sprint(keyIDs(issuers[0])); a != b || len(keyIDs(i)) != 2 {
				t.Errorf("program %d has %s, and the first %s", n, a, b)
			}
		}
		m := mintNow(t, issuers[0], 0)
		if _, found := issuers[3].Open(m.Text.Reveal(), time.Now()); !found {
			t.Error("a token of another program is refused")
		}
	})
}

// Promise: when the store fails, the keys there are go on signing; when it works again, the next one is made.
func TestKeysSurviveFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		i := living(t, s, 1, time.Now)
		defer running(t, i)()
		s.fail(errBroken)
		<-time.After(2 * keyLife)
		m := mintNow(t, i, 0)
		if _, found := i.Open(m.Text.Reveal(), time.Now()); !found || len(keyIDs(i)) != 1 {
			t.Error("the key does not sign on")
		}
		s.fail(nil)
		<-time.After(time.Minute)
		synctest.Wait()
		if len(keyIDs(i)) != 2 {
			t.Error("no next key")
		}
	})
}

// Promise: a revoked token is refused from the call on, after a restart too, and no other token is.
func TestRevokedTokensAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m, other := w.mint(t, full()), w.mint(t, full())
	for range 2 {
		if err := w.Revoke(t.Context(), w.openedEver(t, m)); err != nil {
			t.Fatal(err)
		}
		if w.accepts(m.Text.Reveal()) || !w.accepts(other.Text.Reveal()) {
			t.Error("the wrong token is revoked")
		}
		if described, _ := w.Introspect(m.Text.Reveal(), w.now); described.Active {
			t.Error("a revoked token is described as active")
		}
		w.restart(t, w.config(t))
	}
	w.now = noon().Add(time.Hour)
	if err := w.Revoke(t.Context(), w.openedEver(t, other)); err != nil {
		t.Error(err)
	}
	if _, revoked := w.shelf.count(); revoked != 1 {
		t.Errorf("%d are stored: an expired token needs none", revoked)
	}
}

// openedEver is a token as it is, revoked or not.
func (w *world) openedEver(t *testing.T, m token.Minted) token.Token {
	t.Helper()
	return token.Token{ID: m.ID, Client: client().ID, Bounds: access.Bounds{ExpiresAt: m.ExpiresAt}}
}

// Promise: that a token is remembered changes nothing: what was accepted a moment ago is refused when it has expired, is
// revoked or its key is gone; and however many there are, each is accepted.
func TestRememberedTokensAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := make([]token.Minted, 2000)
	for n := range tokens {
		tokens[n] = w.mint(t, token.Request{Client: client()})
	}
	for range 2 {
		for _, m := range tokens {
			w.opened(t, m)
		}
	}
	m := tokens[0]
	if _, found := w.Open(m.Text.Reveal(), m.ExpiresAt); found {
		t.Error("accepted when it has expired")
	}
	if err := w.Revoke(t.Context(), w.opened(t, m)); err != nil || w.accepts(m.Text.Reveal()) {
		t.Errorf("accepted when it is revoked, %v", err)
	}
	w.now = noon().Add(10 * time.Minute)
	w.opened(t, tokens[1])
}

// Promise: all tokens of a client end at once, the next ones are good, and those of others are not touched.
func TestAllOfAClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := full()
	stranger.Client.ID = clientID("Client000002")
	m, other := w.mint(t, full()), w.mint(t, stranger)
	w.now = noon().Add(1500 * time.Millisecond)
	if err := w.RevokeAll(t.Context(), client().ID); err != nil {
		t.Fatal(err)
	}
	_, err := w.Mint(t.Context(), full())
	wantProblem(t, "in the same second", err, problem.Unavailable)
	w.now = noon().Add(2 * time.Second)
	next := w.mint(t, full())
	for range 2 {
		if w.accepts(m.Text.Reveal()) || !w.accepts(other.Text.Reveal()) || !w.accepts(next.Text.Reveal()) {
			t.Error("the wrong tokens are revoked")
		}
		w.restart(t, w.config(t))
	}
}

// Promise: a client that revokes very many tokens loses all that it had, which takes less room than each; others keep theirs.
func TestTheDenyListIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := token.Request{Client: client()}
	stranger := r
	stranger.Client.ID = clientID("Client000002")
	kept, other := w.mint(t, r), w.mint(t, stranger)
	revoke := func(n int) {
		t.Helper()
		for range n {
			if err := w.Revoke(t.Context(), w.opened(t, w.mint(t, r))); err != nil {
				t.Fatal(err)
			}
		}
	}
	revoke(1024)
	if !w.accepts(kept.Text.Reveal()) {
		t.Error("a token is revoked before there are too many")
	}
	revoke(1)
	if w.accepts(kept.Text.Reveal()) || !w.accepts(other.Text.Reveal()) || !strings.Contains(w.log.String(), "so many tokens") {
		t.Error("too many are kept, or others pay for it, or nobody is told")
	}
	w.now = noon().Add(time.Second)
	fresh := w.mint(t, r)
	revoke(1024)
	if !w.accepts(fresh.Text.Reveal()) {
		t.Error("the client's room is not free again")
	}
}

// Promise: what the store does not take is refused here at once and told, and is stored as soon as the store works.
func TestRevocationsSurviveFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		i := living(t, s, 1, time.Now)
		defer running(t, i)()
		m := mintNow(t, i, time.Hour)
		opened, _ := i.Open(m.Text.Reveal(), time.Now())
		s.fail(errBroken)
		for range 2 {
			wantProblem(t, "revoke", i.Revoke(t.Context(), opened), problem.Unavailable)
			if _, found := i.Open(m.Text.Reveal(), time.Now()); found {
				t.Error("accepted after its revocation was asked for")
			}
		}
		<-time.After(10 * time.Minute)
		if _, revoked := s.count(); revoked != 0 {
			t.Fatal("the store is not broken")
		}
		s.fail(nil)
		<-time.After(time.Minute)
		synctest.Wait()
		if _, revoked := s.count(); revoked != 1 {
			t.Fatal("not stored when the store works again")
		}
		if _, found := living(t, s, 2, time.Now).Open(m.Text.Reveal(), time.Now()); found {
			t.Error("accepted after a restart")
		}
		<-time.After(2 * time.Hour)
		synctest.Wait()
		if _, revoked := s.count(); revoked != 0 {
			t.Error("an expired revocation is kept")
		}
	})
}

// Promise: of revocations and checks at the same time none is lost and none is late.
func TestRevokingAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			r := full()
			r.Client.ID = clientID(fmt.Sprintf("Client%06d", n%3))
			for range 50 {
				m, err := w.Mint(t.Context(), r)
				if err != nil {
					t.Error(err)
					return
				}
				opened, found := w.Open(m.Text.Reveal(), w.now)
				if err := w.Revoke(t.Context(), opened); err != nil || !found || w.accepts(m.Text.Reveal()) {
					t.Errorf("%v, found %v", err, found)
				}
			}
		})
	}
	all.Wait()
	if _, revoked := w.shelf.count(); revoked != 400 {
		t.Errorf("%d are stored", revoked)
	}
}
