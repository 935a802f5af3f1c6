package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/token"
)

func signingKey(number int64) token.SigningKey {
	return token.SigningKey{Number: number, ID: fmt.Sprint("kid", number), Sealed: fmt.Sprint("v1.", number), CreatedAt: start(), From: start().Add(time.Duration(number) * time.Microsecond)}
}

func signingKeys(t *testing.T, s Stores) []token.SigningKey {
	t.Helper()
	list, err := s.Tokens.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func insertSigningKey(t *testing.T, s Stores, k token.SigningKey) {
	t.Helper()
	if err := s.Tokens.InsertSigningKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
}

// clientID is the n-th client.
func clientID(n int) access.Lookup { return access.Lookup([]byte(fmt.Sprintf("%012d", n))) }

func revokeToken(t *testing.T, s Stores, list ...token.Revocation) {
	t.Helper()
	for _, r := range list {
		if err := s.Tokens.Revoke(t.Context(), r); err != nil {
			t.Fatalf("revoke %.40q: %v", r.ID, err)
		}
	}
}

// revocations are those there are, by client and id.
func revocations(t *testing.T, s Stores) []token.Revocation {
	t.Helper()
	list, err := s.Tokens.Revocations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sortRevocations(list)
	return list
}

func sortRevocations(list []token.Revocation) {
	slices.SortFunc(list, func(a, b token.Revocation) int {
		return strings.Compare(string(a.Client[:])+a.ID, string(b.Client[:])+b.ID)
	})
}

// Promise: signing keys come back byte for byte, by number, and are there once they are stored.
func signingKeysAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	if list := signingKeys(t, s); len(list) != 0 {
		t.Errorf("a new store has %v", list)
	}
	var want []token.SigningKey
	for i, text := range hostile() {
		k := signingKey(int64(100 - i))
		k.ID, k.Sealed = text, text
		want = append([]token.SigningKey{k}, want...)
		insertSigningKey(t, s, k)
	}
	if got := signingKeys(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("got %.300v, want %.300v", got, want)
	}
}

// Promise: of many who store a signing key of a number at the same time, one does, and the others are told.
func signingKeyNumbersAreGivenOnce(t *testing.T, open Open) {
	s := plain(t, open)
	var stored atomic.Int64
	each(8, func(i int) {
		k := signingKey(1)
		k.ID = fmt.Sprint("from ", i)
		switch err := s.Tokens.InsertSigningKey(t.Context(), k); {
		case err == nil:
			stored.Add(1)
		case !errors.Is(err, token.ErrTaken):
			t.Error(err)
		}
	})
	if list := signingKeys(t, s); stored.Load() != 1 || len(list) != 1 {
		t.Errorf("%d stored, there are %v", stored.Load(), list)
	}
	if err := s.Tokens.InsertSigningKey(cancelled(t), signingKey(2)); err == nil {
		t.Error("a cancelled call succeeded")
	}
}

// Promise: a signing key gets another sealed text only in the place of the one that was read.
func signingKeysAreResealedOnce(t *testing.T, open Open) {
	s := plain(t, open)
	insertSigningKey(t, s, signingKey(1))
	insertSigningKey(t, s, signingKey(2))
	for _, call := range []struct {
		number   int64
		from, to string
	}{{1, "v1.1", "new"}, {1, "v1.1", "later"}, {2, "V1.2", "case"}, {3, "v1.3", "none"}} {
		if err := s.Tokens.ResealSigningKey(t.Context(), call.number, call.from, call.to); err != nil {
			t.Error(err)
		}
	}
	if list := signingKeys(t, s); len(list) != 2 || list[0].Sealed != "new" || list[1].Sealed != "v1.2" {
		t.Errorf("there are %v", list)
	}
}

// Promise: revocations come back as they were, told apart by every byte of their id and by client.
func revocationsAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	want := []token.Revocation{
		{Client: clientID(1), Through: start(), ExpiresAt: start().Add(time.Hour)},
		{Client: clientID(3), ID: "a", ExpiresAt: start()},
	}
	for _, text := range hostile() {
		if text != "" {
			want = append(want, token.Revocation{Client: clientID(2), ID: text, ExpiresAt: start().Add(time.Minute)})
		}
	}
	revokeToken(t, s, want...)
	sortRevocations(want)
	if got := revocations(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("got %.300v, want %.300v", got, want)
	}
	if _, err := s.Tokens.Revocations(cancelled(t)); err == nil {
		t.Error("a cancelled list is said to be whole")
	}
}

// Promise: no later revocation takes anything back from an earlier one; that of all of a client's tokens takes the place of
// those of its single ones, and of nobody else's.
func revocationsOnlyGrow(t *testing.T, open Open) {
	s := plain(t, open)
	one := func(client int, id string, minutes int) token.Revocation {
		return token.Revocation{Client: clientID(client), ID: id, ExpiresAt: start().Add(time.Duration(minutes) * time.Minute)}
	}
	all := func(client, through, minutes int) token.Revocation {
		r := one(client, "", minutes)
		r.Through = start().Add(time.Duration(through) * time.Minute)
		return r
	}
	revokeToken(t, s, one(1, "a", 5), one(1, "a", 3), one(1, "a", 7), one(2, "a", 1), all(1, 10, 70), all(1, 5, 80), one(1, "b", 2))
	want := []token.Revocation{all(1, 10, 80), one(1, "b", 2), one(2, "a", 1)}
	if got := revocations(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Promise: what has expired goes, and nothing else does.
func oldTokensAreTrimmed(t *testing.T, open Open) {
	s := plain(t, open)
	for n := range int64(4) {
		insertSigningKey(t, s, signingKey(n+1))
		revokeToken(t, s, token.Revocation{Client: clientID(1), ID: fmt.Sprint(n), ExpiresAt: start().Add(time.Duration(n) * time.Microsecond)})
	}
	if err := s.Tokens.Trim(t.Context(), start().Add(time.Microsecond), []int64{1, 3, 9}); err != nil {
		t.Fatal(err)
	}
	if keys, list := signingKeys(t, s), revocations(t, s); len(keys) != 2 || keys[0].Number != 2 || len(list) != 2 || list[0].ID != "2" {
		t.Errorf("left are %v and %v", keys, list)
	}
}

// unsealed is a token.Vault that seals nothing.
type unsealed struct{}

func (unsealed) Seal(plain []byte, about string) (string, error) {
	return about + ":" + string(plain), nil
}
func (unsealed) Open(sealed, about string) ([]byte, error) {
	plain, ok := strings.CutPrefix(sealed, about+":")
	if !ok {
		return nil, errors.New("storetest: sealed about something else")
	}
	return []byte(plain), nil
}
func (unsealed) Stale(string) bool { return false }

func issuer(ctx context.Context, s Stores) (*token.Issuer, error) {
	return token.Open(ctx, s.Tokens, token.Config{Now: start, URL: "https://weir.example.com", Vault: unsealed{}})
}

// Promise: whichever call to the database fails, before or after it had its effect: a token whose revocation was asked for
// is refused from then on, and one whose revocation was confirmed after a restart too.
func revokedTokensSurviveFailures(t *testing.T, open Open) {
	var faults Faults
	s := open(t, faults.Wrap)
	client := token.Client{ID: clientID(1), Generation: 1, Own: token.Rights{Scopes: access.EventsRead}, Key: token.Rights{Scopes: access.EventsRead}}
	for _, how := range []Failure{Before, LostReply} {
		for n, reached := 1, true; reached; n++ {
			faults.Plan(func(call int) Failure {
				if call == n {
					return how
				}
				return Well
			})
			i, err := issuer(t.Context(), s)
			if err != nil {
				reached = faults.Calls() >= n
				continue
			}
			minted, err := i.Mint(t.Context(), token.Request{Client: client})
			if err != nil {
				t.Fatal(err)
			}
			text := minted.Text.Reveal()
			opened, found := i.Open(text, start())
			if !found {
				t.Fatalf("call %d: a new token is refused", n)
			}
			confirmed := i.Revoke(t.Context(), opened) == nil
			if _, found := i.Open(text, start()); found {
				t.Fatalf("call %d, failure %d: accepted after it was revoked", n, how)
			}
			reached = faults.Calls() >= n
			faults.Plan(nil)
			again, err := issuer(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if _, found := again.Open(text, start()); found && confirmed {
				t.Fatalf("call %d, failure %d: accepted after a restart", n, how)
			}
			if err := s.Tokens.Trim(t.Context(), start().Add(token.MaxLifetime), nil); err != nil { // or every run has more calls
				t.Fatal(err)
			}
		}
	}
}
