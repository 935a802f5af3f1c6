package storetest

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/keyring"
)

func digestOf(text string) access.Digest { return sha256.Sum256([]byte(text)) }

func anApp(project, id string) app.App {
	return app.App{ID: id, Project: project, Mode: access.Live, Name: id, Redirects: []string{"https://a.example/cb"}, Digest: digestOf(id), CreatedAt: start(), CreatedBy: numbered(1)}
}

func insertApp(t *testing.T, s Stores, a app.App) {
	t.Helper()
	if err := s.Apps.InsertApp(t.Context(), a, 1000, audit.Entry{ID: rand.Text(), Project: a.Project, Subject: a.ID}); err != nil {
		t.Fatalf("insert the app %.40q: %v", a.ID, err)
	}
}

// Promise: an app comes back byte for byte; of many that are stored at once no more are than a project may have; one that is
// revoked stays revoked since it was first.
func appsAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	for i, text := range hostile() {
		a := app.App{
			ID: "app_" + text, Project: "prj_1", Mode: access.Mode(1 + i%2), Name: text, Redirects: []string{text, "x"}, DPoP: i%3 == 0,
			CreatedAt: start().Add(time.Duration(i) * time.Microsecond), CreatedBy: text,
		}
		if i%2 == 0 {
			a.Digest = digestOf(text)
		}
		insertApp(t, s, a)
		if got, err := s.Apps.App(t.Context(), a.ID); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("got %.200v, want %.200v, %v", got, a, err)
		}
	}
	if err := s.Apps.InsertApp(t.Context(), anApp("prj_1", "app_a"), 1000, audit.Entry{ID: rand.Text()}); err == nil {
		t.Error("an id was given twice")
	}
	addProject(t, s, "prj_2")
	var stored atomic.Int64
	each(8, func(i int) {
		switch err := s.Apps.InsertApp(t.Context(), anApp("prj_2", fmt.Sprint("app ", i)), 3, audit.Entry{ID: rand.Text(), Project: "prj_2"}); {
		case err == nil:
			stored.Add(1)
		case !errors.Is(err, app.ErrMany):
			t.Error(err)
		}
	})
	list, err := s.Apps.Apps(t.Context(), "prj_2", true)
	if err != nil || stored.Load() != 3 || len(list) != 3 {
		t.Fatalf("%d stored, %d listed, %v", stored.Load(), len(list), err)
	}
	for n := range 2 {
		if err := s.Apps.RevokeApp(t.Context(), "prj_2", list[0].ID, start().Add(time.Duration(n)*time.Hour), audit.Entry{ID: rand.Text()}); err != nil {
			t.Error(err)
		}
	}
	if got, err := s.Apps.App(t.Context(), list[0].ID); err != nil || !got.RevokedAt.Equal(start()) {
		t.Errorf("revoked at %v, %v", got.RevokedAt, err)
	}
	for n := range 4 { // one that is revoked makes room, and of those that are revoked as many are kept
		id := fmt.Sprint("later ", n)
		if err := s.Apps.InsertApp(t.Context(), anApp("prj_2", id), 3, audit.Entry{ID: rand.Text(), Project: "prj_2"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Apps.RevokeApp(t.Context(), "prj_2", id, start().Add(time.Duration(n+2)*time.Hour), audit.Entry{ID: rand.Text()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Apps.InsertApp(t.Context(), anApp("prj_2", "last"), 3, audit.Entry{ID: rand.Text(), Project: "prj_2"}); err != nil {
		t.Fatal(err)
	}
	for id, there := range map[string]bool{list[0].ID: false, "later 0": false, "later 1": true, "later 3": true, list[1].ID: true, "last": true} {
		if _, err := s.Apps.App(t.Context(), id); errors.Is(err, app.ErrNone) == there {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// Promise: no app is taken for another's: neither by its id, nor by its project, nor by its mode.
func appsAreToldApart(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	names := hostile()
	for i, name := range names {
		addProject(t, s, "prj_"+name)
		a := anApp("prj_"+name, "app "+name)
		a.Mode = access.Mode(1 + i%2)
		insertApp(t, s, a)
	}
	for i, name := range names {
		list, err := s.Apps.Apps(t.Context(), "prj_"+name, true)
		if err != nil || len(list) != 1 || list[0].ID != "app "+name {
			t.Errorf("project %.40q lists %.200v, %v", name, list, err)
		}
		if list, err = s.Apps.Apps(t.Context(), "prj_"+name, false); err != nil || len(list) != i%2 {
			t.Errorf("project %.40q lists %d of test mode, %v", name, len(list), err)
		}
		other := names[(i+1)%len(names)]
		if err := s.Apps.RevokeApp(t.Context(), "prj_"+other, "app "+name, start(), audit.Entry{ID: rand.Text()}); !errors.Is(err, app.ErrNone) {
			t.Errorf("%.40q revoked the app of %.40q: %v", other, name, err)
		}
		code := aCode("code "+name, "grant "+name)
		code.App, code.Project = "app "+name, "prj_"+other
		if err := s.Flow.InsertCode(t.Context(), code); !errors.Is(err, app.ErrNone) {
			t.Errorf("%.40q has a code of the app of %.40q: %v", other, name, err)
		}
	}
	if _, err := s.Apps.App(t.Context(), "app of nobody"); !errors.Is(err, app.ErrNone) {
		t.Errorf("an app of nobody: %v", err)
	}
	if err := s.Apps.InsertApp(cancelled(t), anApp("prj_1", "gone"), 1000, audit.Entry{ID: rand.Text()}); err == nil {
		t.Error("a cancelled call succeeded")
	}
}

func aCode(text, grant string) app.Code {
	return app.Code{
		Digest: digestOf(text), App: "app_1", Project: "prj_1", Grant: grant, Challenge: text, Redirect: text, Resource: text, Thumbprint: text,
		ExpiresAt: start().Add(time.Minute),
	}
}

func aRefresh(text, grant string, number int64) app.Refresh {
	return app.Refresh{Digest: digestOf(text), App: "app_1", Project: "prj_1", Grant: grant, Number: number, Resource: text, Thumbprint: text, ExpiresAt: start().Add(time.Hour)}
}

// Promise: a code comes back byte for byte, and of many who use it at the same time one is the first; what replaces it is there
// with that or not at all. A revoked app gets none. What was never used can be found, and is forgotten when that is said.
func codesAreUsedOnce(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	insertApp(t, s, anApp("prj_1", "app_1"))
	for _, text := range hostile() {
		c := aCode("code "+text, "grant "+text)
		if err := s.Flow.InsertCode(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Flow.Code(t.Context(), c.Digest); err != nil || got != c {
			t.Errorf("got %.200v, want %.200v, %v", got, c, err)
		}
	}
	used := aCode("code a", "grant a")
	var first atomic.Int64
	each(8, func(i int) {
		one, err := s.Flow.Advance(t.Context(), used.Digest, start(), aRefresh(fmt.Sprint("refresh ", i), used.Grant, 1))
		if err != nil {
			t.Error(err)
		}
		if one {
			first.Add(1)
		}
		if _, err := s.Flow.Refresh(t.Context(), digestOf(fmt.Sprint("refresh ", i))); (err == nil) != one {
			t.Errorf("%d is the first: %v, and its refresh token: %v", i, one, err)
		}
	})
	got, err := s.Flow.Code(t.Context(), used.Digest)
	if err != nil || first.Load() != 1 || !got.UsedAt.Equal(start()) {
		t.Errorf("%d were first, used at %v, %v", first.Load(), got.UsedAt, err)
	}
	if one, err := s.Flow.Advance(t.Context(), digestOf("code A"), start(), aRefresh("other", "grant a", 1)); one || err != nil {
		t.Errorf("a code was used for another grant: %v", err)
	}
	unused, err := s.Apps.Unused(t.Context(), start().Add(time.Hour))
	if err != nil || len(unused) != len(hostile())-1 {
		t.Errorf("%d are unused, %v", len(unused), err)
	}
	if early, err := s.Apps.Unused(t.Context(), start().Add(time.Minute)); err != nil || len(early) != 0 {
		t.Errorf("%d expired before they did, %v", len(early), err)
	}
	if err := s.Flow.Forget(t.Context(), start(), []access.Digest{unused[0].Digest}); err != nil {
		t.Error(err)
	}
	if _, err := s.Flow.Code(t.Context(), unused[0].Digest); !errors.Is(err, app.ErrNone) {
		t.Errorf("what was to be forgotten: %v", err)
	}
	if err := s.Flow.Forget(t.Context(), start().Add(time.Hour), nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Flow.Code(t.Context(), used.Digest); !errors.Is(err, app.ErrNone) {
		t.Errorf("a used code that expired: %v", err)
	}
	if _, err := s.Flow.Code(t.Context(), unused[1].Digest); err != nil {
		t.Errorf("an unused code that nobody said is ended: %v", err)
	}
	if err := s.Apps.RevokeApp(t.Context(), "prj_1", "app_1", start(), audit.Entry{ID: rand.Text()}); err != nil {
		t.Error(err)
	}
	if err := s.Flow.InsertCode(t.Context(), aCode("late", "late")); !errors.Is(err, app.ErrNone) {
		t.Errorf("a code of a revoked app: %v", err)
	}
}

// Promise: of many who use a refresh token at the same time one is the first, and there is one next; a family that has ended
// has none, and another family is untouched.
func refreshTokensAreUsedOnce(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	insertApp(t, s, anApp("prj_1", "app_1"))
	grants := hostile()
	for _, grant := range grants {
		c := aCode("code "+grant, grant)
		if err := s.Flow.InsertCode(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if one, err := s.Flow.Advance(t.Context(), c.Digest, start(), aRefresh("1 "+grant, grant, 1)); !one || err != nil {
			t.Fatal(one, err)
		}
	}
	want := aRefresh("1 a", "a", 1)
	if got, err := s.Flow.Refresh(t.Context(), want.Digest); err != nil || got != want {
		t.Errorf("got %v, want %v, %v", got, want, err)
	}
	var first atomic.Int64
	each(8, func(i int) {
		one, err := s.Flow.Advance(t.Context(), want.Digest, start(), aRefresh(fmt.Sprint("2 a ", i), "a", 2))
		if err != nil {
			t.Error(err)
		}
		if one {
			first.Add(1)
		}
		if _, err := s.Flow.Refresh(t.Context(), digestOf(fmt.Sprint("2 a ", i))); (err == nil) != one {
			t.Errorf("%d is the first: %v, and the next: %v", i, one, err)
		}
	})
	if got, err := s.Flow.Refresh(t.Context(), want.Digest); err != nil || first.Load() != 1 || !got.ReplacedAt.Equal(start()) {
		t.Errorf("%d were first, %v, %v", first.Load(), got, err)
	}
	if _, err := s.Flow.Advance(cancelled(t), digestOf("1 A"), start(), aRefresh("2 A", "A", 2)); err == nil {
		t.Error("a cancelled call succeeded")
	}
	last := aRefresh("1 A", "A", 1)
	for n := range int64(app.MaxFamily) { // those that are remembered do not become more and more
		next := aRefresh(fmt.Sprint("b ", n), "A", n+2)
		if one, err := s.Flow.Advance(t.Context(), last.Digest, start(), next); !one || err != nil {
			t.Fatal(n, one, err)
		}
		last = next
	}
	for text, there := range map[string]bool{"1 A": false, "b 0": true} {
		if _, err := s.Flow.Refresh(t.Context(), digestOf(text)); errors.Is(err, app.ErrNone) == there {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := s.Flow.EndFamily(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	for _, grant := range grants {
		digest := digestOf("1 " + grant)
		if grant == "A" {
			digest = last.Digest
		}
		_, err := s.Flow.Refresh(t.Context(), digest)
		if grant == "a" != errors.Is(err, app.ErrNone) {
			t.Errorf("of %.40q: %v", grant, err)
		}
	}
	if one, err := s.Flow.Advance(t.Context(), want.Digest, start(), aRefresh("late", "a", 2)); one || err != nil {
		t.Errorf("a family that has ended goes on: %v", err)
	}
}

// Promise: what apps were let in with is listed by itself, by app, and without what is revoked.
func grantsAreListed(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	insert(t, s, key("prj_1", numbered(1)))
	for i, name := range []string{"", "app_1", "app_1", "APP_1", "app_2"} {
		k := key("prj_1", numbered(2+i))
		k.Kind, k.Parent, k.App, k.Public = access.Client, numbered(1), name, ""
		if i == 2 {
			k.RevokedAt = start()
		}
		insert(t, s, k)
	}
	for _, c := range []struct {
		q    keyring.Query
		want int
	}{
		{keyring.Query{}, 6}, {keyring.Query{Grants: true}, 4}, {keyring.Query{Grants: true, Standing: true}, 3}, {keyring.Query{Grants: true, App: "app_1"}, 2},
		{keyring.Query{Grants: true, App: "app_1", Standing: true}, 1}, {keyring.Query{Grants: true, App: "app"}, 0}, {keyring.Query{Grants: true, App: "APP_1"}, 1},
	} {
		c.q.Project, c.q.Live, c.q.Limit = "prj_1", true, 100
		list, err := s.Keys.Keys(t.Context(), c.q)
		if err != nil || len(list) != c.want {
			t.Errorf("%+v: %d, %v", c.q, len(list), err)
		}
		for _, k := range list {
			if c.q.App != "" && k.App != c.q.App {
				t.Errorf("%+v: of %q", c.q, k.App)
			}
		}
	}
}
