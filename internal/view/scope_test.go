package view_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// Promise: a scope is read strictly, with every fault and its path, and written in one way whatever way it was read in.
func TestReadScope(t *testing.T) {
	t.Parallel()
	cases, err := txtar.ParseFile("testdata/scopes.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases.Files {
		var text, want []string
		for line := range strings.SplitSeq(strings.TrimSpace(string(c.Data)), "\n") {
			if rest, ok := strings.CutPrefix(line, "=> "); ok {
				want = append(want, rest)
			} else if rest, ok := strings.CutPrefix(line, "! "); ok {
				want = append(want, rest)
			} else {
				text = append(text, line)
			}
		}
		s, err := view.ReadScope(jsontext.Value(strings.Join(text, "\n")), "at.scope")
		var got []string
		if err != nil {
			for _, f := range problem.From(err).Fields {
				got = append(got, f.Name+": "+f.Detail)
			}
		} else {
			got = []string{canonical(t, s)}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.Name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func canonical(t testing.TB, s view.Scope) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Promise: the limits hold where they are, and not one before.
func TestScopeLimits(t *testing.T) {
	t.Parallel()
	condition := view.Condition{Column: "event", Op: view.Equal, Values: []any{"a"}}
	values := func(n int) []any {
		var all []any
		for i := range n {
			all = append(all, fmt.Sprint(i))
		}
		return all
	}
	for name, c := range map[string]struct {
		ok   view.TableScope
		over view.TableScope
	}{
		"conditions": {view.TableScope{Where: slices.Repeat([]view.Condition{condition}, 32)}, view.TableScope{Where: slices.Repeat([]view.Condition{condition}, 33)}},
		"values": {
			view.TableScope{Where: []view.Condition{{Column: "event", Op: view.In, Values: values(100)}}},
			view.TableScope{Where: []view.Condition{{Column: "event", Op: view.In, Values: values(101)}}},
		},
		"text": {
			view.TableScope{Where: []view.Condition{{Column: "event", Op: view.Equal, Values: []any{strings.Repeat("x", 1024)}}}},
			view.TableScope{Where: []view.Condition{{Column: "event", Op: view.Equal, Values: []any{strings.Repeat("x", 1025)}}}},
		},
		"names": {view.TableScope{Hidden: slices.Repeat([]string{"event"}, 100)}, view.TableScope{Hidden: slices.Repeat([]string{"event"}, 101)}},
		"path":  {view.TableScope{Hidden: []string{"properties.a.b.c.d.e.f.g.h"}}, view.TableScope{Hidden: []string{"properties.a.b.c.d.e.f.g.h.i"}}},
		"bytes of a path": {
			view.TableScope{Hashed: []string{"properties." + strings.Repeat("x", 1024)}}, view.TableScope{Hashed: []string{"properties." + strings.Repeat("x", 1025)}},
		},
	} {
		c.ok.Table, c.over.Table = "events", "events"
		if err := (view.Scope{Tables: []view.TableScope{c.ok}}).Check(); err != nil {
			t.Errorf("%s: at the limit: %v", name, err)
		}
		if err := (view.Scope{Tables: []view.TableScope{c.over}}).Check(); problem.Of(err) != problem.InvalidField {
			t.Errorf("%s: over the limit: %v", name, err)
		}
	}
	long := `{"events":{"hide":["` + strings.Repeat("x", view.MaxScopeBytes) + `"]}}`
	if _, err := view.ReadScope(jsontext.Value(long), ""); problem.Of(err) != problem.InvalidField {
		t.Errorf("a scope of %d bytes: %v", len(long), err)
	}
}

// drawScope draws a scope that is in order.
func drawScope(t *rapid.T) view.Scope {
	s := view.Scope{Tables: []view.TableScope{}}
	for _, table := range view.Schema(view.Scope{}) {
		if rapid.Bool().Draw(t, "without "+table.Name) {
			continue
		}
		one := view.TableScope{Table: table.Name}
		for range rapid.IntRange(0, 3).Draw(t, "conditions") {
			one.Where = append(one.Where, drawCondition(t, table))
		}
		names := []string{"distinct_id", "anonymous_id", table.Columns[0].Name}
		for _, c := range table.Columns {
			if c.Type == "JSON" {
				names = append(names, c.Name+".email", c.Name+`."a.b".c`, c.Name+`."email"`, c.Name+".email.x")
			}
		}
		one.Hidden = rapid.SliceOfN(rapid.SampledFrom(names), 0, 3).Draw(t, "hidden")
		one.Hashed = rapid.SliceOfN(rapid.SampledFrom(names), 0, 3).Draw(t, "hashed")
		s.Tables = append(s.Tables, one)
	}
	return s
}

func drawCondition(t *rapid.T, table view.Table) view.Condition {
	of := slices.DeleteFunc(slices.Clone(table.Columns), func(c view.Column) bool { return c.Name == view.PersonID || c.Name == view.DistinctIDs })
	c := view.Condition{Column: rapid.SampledFrom(of).Draw(t, "column").Name, Op: rapid.SampledFrom([]view.Op{view.In, view.NotIn}).Draw(t, "op")}
	value := rapid.Custom(func(t *rapid.T) any {
		return rapid.StringN(0, 8, 40).Filter(func(s string) bool { return !strings.Contains(s, "\x00") && !strings.HasPrefix(s, "@{") }).Draw(t, "text")
	})
	switch c.Column {
	case "timestamp", "received_at", "first_seen_at", "updated_at":
		value = rapid.Custom(func(t *rapid.T) any { return time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, "time")).UTC() })
	case "properties", "traits":
		c.Property = rapid.SampledFrom([]string{"a", "b.c", `"d.e"`}).Draw(t, "property")
		value = rapid.SampledFrom([]*rapid.Generator[any]{value, rapid.Custom(func(t *rapid.T) any { return rapid.Bool().Draw(t, "truth") }),
			rapid.Custom(func(t *rapid.T) any { return rapid.Int64().Draw(t, "whole") }),
			rapid.Custom(func(t *rapid.T) any { return rapid.Float64().Draw(t, "fraction") })}).Draw(t, "kind")
	}
	c.Values = rapid.SliceOfN(value, 1, 4).Draw(t, "values")
	return c
}

// shuffled is the same scope, said in another order and some of it twice.
func shuffled(t *rapid.T, s view.Scope) view.Scope {
	out := view.Scope{Tables: []view.TableScope{}, HashKey: s.HashKey}
	for _, one := range rapid.Permutation(s.Tables).Draw(t, "tables") {
		where := slices.Clone(one.Where)
		for i := range where {
			where[i].Values = append(rapid.Permutation(where[i].Values).Draw(t, "values"), where[i].Values...)
		}
		out.Tables = append(out.Tables, view.TableScope{
			Table: one.Table, Where: append(rapid.Permutation(where).Draw(t, "where"), where...),
			Hidden: append(rapid.Permutation(one.Hidden).Draw(t, "hidden"), one.Hidden...), Hashed: rapid.Permutation(one.Hashed).Draw(t, "hashed"),
		})
	}
	return out
}

// Promise: equal scopes have equal keys, whatever order they are said in, also when they were written and read again;
// another scope, another key of hashes and the whole space have another key.
func TestScopeKeys(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		s := drawScope(t)
		text := canonical(failing(t), s)
		if same := shuffled(t, s); same.Key() != s.Key() {
			t.Fatalf("%s\nand\n%s\nhave different keys", text, canonical(failing(t), same))
		}
		var again view.Scope
		if err := json.Unmarshal([]byte(text), &again); err != nil || again.Key() != s.Key() || again.Whole() {
			t.Fatalf("%s is read as %s, %v", text, canonical(failing(t), again), err)
		}
		if other, known := seen[s.Key()]; known && other != text {
			t.Fatalf("%s\nand\n%s\nhave the same key", text, other)
		}
		seen[s.Key()] = text
		with := s
		with.HashKey = view.NewHashKey([]byte("another"))
		if with.Key() == s.Key() || s.Key() == (view.Scope{}).Key() {
			t.Fatalf("%s has the key of another", text)
		}
	})
}

// failing makes a rapid.T do where a testing.TB is wanted for its failures only.
func failing(t *rapid.T) testing.TB { return fails{t: t} }

type fails struct {
	testing.TB
	t *rapid.T
}

func (f fails) Helper()           {}
func (f fails) Fatal(args ...any) { f.t.Fatal(args...) }

// Promise: what two scopes let through together is what either does of what the other does, in whatever order, and never
// more than one of them.
func TestScopesTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, whole := drawScope(t), drawScope(t), view.Scope{}
		both := a.And(b)
		if both.Key() != b.And(a).Key() || both.And(a).Key() != both.Key() || a.And(whole).Key() != a.Key() || whole.And(a).Key() != a.Key() {
			t.Fatalf("%s and %s are not %s", canonical(failing(t), a), canonical(failing(t), b), canonical(failing(t), both))
		}
		if both.Whole() {
			t.Fatal("two scopes together are the whole space")
		}
		for _, name := range view.Tables() {
			_, inA := a.Table(name)
			_, inB := b.Table(name)
			if got, there := both.Table(name); there != (inA && inB) || there && len(got.Where) < len(mustTable(a, name).Where) && len(mustTable(a, name).Where) == 1 {
				t.Fatalf("%s in %s", name, canonical(failing(t), both))
			}
		}
		if err := both.Ready(); err != nil && !strings.Contains(err.Error(), "needs a key") && !strings.Contains(err.Error(), "hides every column") &&
			!strings.Contains(err.Error(), "mix fractions") {
			t.Fatal(err)
		}
	})
}

func mustTable(s view.Scope, name string) view.TableScope {
	t, _ := s.Table(name)
	return t
}

// Promise: a listing has what is visible, hashed columns too, and nothing else.
func TestSchema(t *testing.T) {
	t.Parallel()
	s, err := view.ReadScope(jsontext.Value(`{"persons": {"hide": ["anonymous_id", "updated_at", "traits.email"], "hash": ["distinct_id"]}}`), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(view.Schema(s)); got != "[{persons [{distinct_id VARCHAR} {traits JSON} {first_seen_at TIMESTAMP} {person_id VARCHAR}]}]" {
		t.Error(got)
	}
	if got := view.Schema(view.Scope{}); len(got) != len(view.Tables()) || len(got[0].Columns) != 12 {
		t.Error(got)
	}
	if got := view.Schema(view.Scope{Tables: []view.TableScope{}}); len(got) != 0 {
		t.Error(got)
	}
}

// Promise: a hash is HMAC-SHA-256, cut to 128 bits, under a key of its own; the key is in nothing that is printed,
// logged or marshalled.
func TestHashKey(t *testing.T) {
	t.Parallel()
	k := view.NewHashKey([]byte("secret"))
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte("weir scope hash v1"))
	inner := hmac.New(sha256.New, mac.Sum(nil))
	inner.Write([]byte("ann@example.org"))
	want := hex.EncodeToString(inner.Sum(nil)[:16])
	if got := string(k.AppendHash([]byte("is "), []byte("ann@example.org"))); got != "is "+want {
		t.Errorf("got %s, want %s", got, want)
	}
	if again := view.RawHashKey(k.Raw()); string(again.AppendHash(nil, []byte("ann@example.org"))) != want {
		t.Error("a key that was sent makes other hashes")
	}
	if !view.NewHashKey(nil).IsZero() || view.NewHashKey(nil).Raw() != nil || k.IsZero() {
		t.Error("no secret makes a key")
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "key", k, "scope", view.Scope{HashKey: k})
	said := fmt.Sprintf("%v %+v %#v %s %x %q %v", k, k, k, k, k, k, view.Scope{HashKey: k}) + logged.String()
	if strings.Contains(said, fmt.Sprint(k.Raw())) || strings.Contains(said, hex.EncodeToString(k.Raw())) || strings.Contains(said, string(k.Raw())) {
		t.Error("the key is printed")
	}
	if _, err := json.Marshal(k); err == nil {
		t.Error("the key is marshalled")
	}
}

// Promise: whatever is read for a scope, what is taken is in order, says the same when it is written and read again, and
// never is the whole space.
func FuzzReadScope(f *testing.F) {
	cases, err := txtar.ParseFile("testdata/scopes.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cases.Files {
		text, _, _ := strings.Cut(string(c.Data), "\n!")
		text, _, _ = strings.Cut(text, "\n=>")
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := view.ReadScope(jsontext.Value(text), "scope")
		if err != nil {
			if problem.Of(err) != problem.InvalidField {
				t.Fatal(err)
			}
			return
		}
		written := canonical(t, s)
		again, err := view.ReadScope(jsontext.Value(written), "scope")
		if err != nil && len(written) <= view.MaxScopeBytes || s.Whole() {
			t.Fatalf("%s: %v", written, err)
		}
		if err == nil && (again.Key() != s.Key() || canonical(t, again) != written) {
			t.Fatalf("%s\nis read as\n%s", written, canonical(t, again))
		}
	})
}
