package org

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: what is kept of a password fits that password and no other; what is kept of nobody fits none; and of two equal
// passwords it differs.
func TestPasswordsFit(t *testing.T) {
	t.Parallel()
	p := newPasswords(Cost{Time: 1, Memory: 64}, bytes.NewReader(bytes.Repeat([]byte("salt and more of "), 100)))
	kept, err := p.make(t.Context(), access.SecretText("correct horse battery"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.make(t.Context(), access.SecretText("correct horse battery"))
	if err != nil || again.Reveal() == kept.Reveal() || !strings.HasPrefix(kept.Reveal(), "$argon2id$v=19$m=64,t=1,p=1$") || strings.Contains(kept.Reveal(), "horse") {
		t.Errorf("kept %s and %s, %v", kept.Reveal(), again.Reveal(), err)
	}
	long := strings.Repeat("x", MaxPassword)
	keptLong, err := p.make(t.Context(), access.SecretText(long))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kept  access.Text
		tried string
		fits  bool
	}{
		{kept, "correct horse battery", true}, {again, "correct horse battery", true}, {kept, "correct horse battery ", false}, {kept, "", false},
		{access.Text{}, "a password of nobody", false}, {access.Text{}, "", false}, {keptLong, long, true}, {keptLong, long + "x", false},
	} {
		if fits, err := p.fits(t.Context(), c.kept, access.SecretText(c.tried)); err != nil || fits != c.fits {
			t.Errorf("%.30q fits %.40s: %t, %v", c.tried, c.kept.Reveal(), fits, err)
		}
	}
}

// Promise: what is kept of a password is not in what a member prints as, or is logged as.
func TestMembersHideTheirPassword(t *testing.T) {
	t.Parallel()
	one := Member{ID: "mem_1", Password: access.SecretText("$argon2id$kept")}
	if text := fmt.Sprintf("%v %+v %#v", one, one, one); strings.Contains(text, "kept") {
		t.Error(text)
	}
	if text, err := json.Marshal(one); err == nil {
		t.Errorf("it is marshalled: %s", text)
	}
}

// Promise: whatever is read as what is kept of a password takes no more work than a password ever may, and is refused otherwise.
func FuzzReadHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE")
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$$")
	f.Add("$argon2i$$$$")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := readHash(text)
		if err == nil && (h.memory > maxMemory || h.time == 0 || h.time > maxTime || len(h.sum) != hashLength || len(h.salt) < saltLength) {
			t.Errorf("%q is read as %+v", text, h)
		}
	})
}

// Promise: an email is compared in lower case, and what could be taken for another or for several is none.
func FuzzReadEmail(f *testing.F) {
	for _, text := range []string{"Ana@Example.com", "a@b", "a@b@c", " a@b", "a@b\u202e", "a,b@c", "ß@ß", "İ@x", "@", "<a@b>", "a@b\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		email, err := ReadEmail("email", text)
		if err != nil {
			if p := problem.From(err); p.Code != problem.InvalidField || p.Fields[0].Name != "email" {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if strings.Count(email, "@") != 1 || strings.ContainsAny(email, " ,<>\"\n\x00\u202e") || len(text) > MaxEmail {
			t.Errorf("%q is read as %q", text, email)
		}
	})
}

// Promise: so many wrong passwords are looked at for an email from a network and from all, at the same time too, and the rest
// waits until the time is over; a right one is no wrong one; memory is bounded.
func TestTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all tries
		at := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)}) }
		for n := range triesOfNetwork {
			if wait := all.begin("a@b", at(1), time.Now()); wait != 0 {
				t.Errorf("try %d waits %s", n, wait)
			}
		}
		if wait := all.begin("a@b", at(1), time.Now()); wait != triesTime {
			t.Errorf("one more waits %s", wait)
		}
		if wait := all.begin("c@d", at(1), time.Now()); wait != 0 {
			t.Errorf("another's waits %s", wait)
		}
		for range 3 * triesOfNetwork {
			if wait := all.begin("a@b", at(2), time.Now()); wait != 0 {
				t.Errorf("from elsewhere it waits %s", wait)
			}
			all.right("a@b", at(2))
		}
		for n := triesOfNetwork; n < triesOfEmail; n++ {
			all.begin("a@b", at(100+n), time.Now())
		}
		if wait := all.begin("a@b", at(3), time.Now()); wait != triesTime {
			t.Errorf("after too many from everywhere it waits %s", wait)
		}
		time.Sleep(triesTime)
		if wait := all.begin("a@b", at(1), time.Now()); wait != 0 {
			t.Errorf("when the time is over it waits %s", wait)
		}
		for n := range mostTried + 10 {
			all.begin("a@b", at(n), time.Now())
		}
		if len(all.known) > mostTried {
			t.Errorf("%d are remembered", len(all.known))
		}
	})
}

// naively is RFC 7386's own pseudocode.
func naively(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	into, ok := target.(map[string]any)
	if !ok {
		into = map[string]any{}
	}
	for name, value := range p {
		if value == nil {
			delete(into, name)
		} else {
			into[name] = naively(into[name], value)
		}
	}
	return into
}

func drawJSON(t *rapid.T, depth int, nulls bool) any {
	kinds := 3
	if depth > 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		if nulls {
			return nil
		}
		return true
	case 1:
		return rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "text")
	case 2:
		return float64(rapid.IntRange(0, 3).Draw(t, "number"))
	case 3:
		return []any{"x"}
	}
	return drawObject(t, depth-1, nulls)
}

func drawObject(t *rapid.T, depth int, nulls bool) map[string]any {
	object := map[string]any{}
	for _, name := range []string{"a", "b", "c"} {
		if rapid.Bool().Draw(t, name) {
			object[name] = drawJSON(t, depth, nulls)
		}
	}
	return object
}

// Promise: a merge patch does what RFC 7386 says, and neither the patch nor what it is put over changes.
func TestMergeIsTheRFCs(t *testing.T) {
	t.Parallel()
	clone := func(v map[string]any) (c map[string]any) {
		text, _ := json.Marshal(v)
		_ = json.Unmarshal(text, &c)
		return c
	}
	rapid.Check(t, func(t *rapid.T) {
		into, patch := drawObject(t, 3, false), drawObject(t, 3, true)
		before, wanted := clone(into), clone(patch)
		got := Merge(into, patch)
		if want := naively(clone(into), clone(patch)); !reflect.DeepEqual(any(got), want) {
			t.Fatalf("%v over %v is %v, want %v", patch, into, got, want)
		}
		if !reflect.DeepEqual(into, before) || !reflect.DeepEqual(patch, wanted) {
			t.Fatal("what was given has changed")
		}
	})
}

// Promise: a patch of a config that is not taken is refused by the whole way to the member at fault.
func TestConfigFaultsNameTheirPlace(t *testing.T) {
	t.Parallel()
	for text, field := range map[string]string{
		`{"x":1}`:                                     "x",
		`{"public":{"x":1}}`:                          "public.x",
		`{"public":{"sampling":{"rates":1}}}`:         "public.sampling.rates",
		`{"private":{"public":null}}`:                 "private.public",
		`{"public":{"sampling":{"events":{"a":-1}}}}`: "public.sampling.events.a",
		`{"public":{"features":{"a":1,"b":[]}}}`:      "public.features.b",
		`{"public":{"features":5}}`:                   "public.features",
		`{"public":5}`:                                "public",
	} {
		var patch map[string]any
		if err := json.Unmarshal([]byte(text), &patch); err != nil {
			t.Fatal(err)
		}
		_, err := NewConfig().Patched(patch)
		if p := problem.From(err); p.Code != problem.InvalidField || len(p.Fields) != 1 || p.Fields[0].Name != field {
			t.Errorf("%s: %v, want it to name %s", text, err, field)
		}
	}
}

// Promise: whatever patch is put over a config, the outcome is a config that the same bounds hold for, or a problem that names a
// field.
func FuzzPatchedConfig(f *testing.F) {
	for _, text := range []string{`{"public":{"sampling":{"rate":0.5}}}`, `{"public":null}`, `{"private":{"settings":{"a":{"b":[1]}}}}`, `{"public":{"features":{"a":[]}}}`, `{"x":1}`, `{"private":{"time_zone":"../etc"}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var patch map[string]any
		if json.Unmarshal(text, &patch) != nil {
			return
		}
		after, err := NewConfig().Patched(patch)
		if err != nil {
			if p := problem.From(err); p.Code != problem.InvalidField || len(p.Fields) == 0 {
				t.Errorf("%s: %v", text, err)
			}
			return
		}
		if _, err := after.Patched(nil); err != nil {
			t.Errorf("%s makes a config that is none: %v", text, err)
		}
	})
}

// Promise: a budget stands as its greater part does, and only a hard one is a limit; what somebody else set as one stays.
func TestBudgets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		b               Budget
		credits, events int64
		want            string
	}{
		{Budget{}, 9, 9, BudgetNone}, {Budget{Credits: 10}, 7, 99, BudgetOK}, {Budget{Credits: 10}, 8, 0, BudgetAlert}, {Budget{Credits: 10}, 10, 0, BudgetOver},
		{Budget{Credits: 10, Events: 100, AlertAt: 50}, 0, 50, BudgetAlert}, {Budget{Credits: 10, Events: 100, AlertAt: 50}, 5, 100, BudgetOver},
		{Budget{Events: 1 << 40, AlertAt: 100}, 0, 1<<40 - 1, BudgetOK},
	} {
		if got := c.b.State(c.credits, c.events); got != c.want {
			t.Errorf("%+v with %d and %d is %s, want %s", c.b, c.credits, c.events, got, c.want)
		}
	}
	never, somebodys := access.Quota{Most: counted, OnFailure: access.FailAllow}, access.Quota{Most: 500}
	for _, c := range []struct {
		b, before Budget
		now, want access.Quota
	}{
		{b: Budget{Credits: 10}, want: never}, {b: Budget{Credits: 10}, now: somebodys, want: somebodys}, {b: Budget{Events: 10}, now: somebodys, want: somebodys},
		{b: Budget{Credits: 10, Hard: true}, now: somebodys, want: access.Quota{Most: 10}}, {before: Budget{Credits: 10}, now: never},
		{before: Budget{Credits: 10, Hard: true}, now: access.Quota{Most: 10}}, {b: Budget{Credits: 20}, before: Budget{Credits: 10, Hard: true}, now: access.Quota{Most: 10}, want: never},
		{before: Budget{Credits: 10, Hard: true}, now: somebodys, want: somebodys},
	} {
		if got := c.b.Limits(c.now, c.before); got != c.want {
			t.Errorf("%+v after %+v makes %+v of %+v, want %+v", c.b, c.before, got, c.now, c.want)
		}
	}
}
