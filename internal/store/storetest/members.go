package storetest

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/org"
)

func note(subject string) audit.Entry {
	return audit.Entry{ID: rand.Text(), At: start(), Project: "prj_1", Subject: subject}
}

func invitation(id, email string) org.Invitation {
	return org.Invitation{
		ID: id, Organization: "org_1", Project: "prj_1", Email: email, Role: access.Analyst, Digest: access.Digest{1, 31: 2}, CreatedAt: start(), CreatedBy: "key_maker",
		ExpiresAt: start().Add(time.Hour), Status: org.Pending,
	}
}

func member(id, email string) org.Member {
	return org.Member{
		ID: id, Organization: "org_1", Email: email, Name: "Ana", Password: access.SecretText("$argon2id$kept"), CreatedAt: start(), UpdatedAt: start().Add(time.Microsecond), Revision: 1,
	}
}

// join stores a member by an invitation that is accepted.
func join(t *testing.T, s Stores, m org.Member) {
	t.Helper()
	i := invitation("inv_"+m.ID, m.Email)
	if err := errors.Join(s.Invitations.InsertInvitation(t.Context(), i, 1000, note(i.ID)), s.Invitations.Accept(t.Context(), i.ID, m, note(m.ID))); err != nil {
		t.Fatal(err)
	}
}

// Promise: members and invitations come back as they were stored, whatever their names; two emails that differ in a byte are two
// people's, and no two members have the same.
func membersAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	var emails []string
	for n, text := range hostile() {
		m := member(fmt.Sprintf("mem_%d", n), text)
		m.Name, m.Role = text, access.Roles()[n%len(access.Roles())]
		join(t, s, m)
		emails = append(emails, text)
		for _, find := range []func() (org.Member, error){
			func() (org.Member, error) { return s.People.FindMember(t.Context(), text) },
			func() (org.Member, error) { return s.People.MemberByID(t.Context(), m.ID) },
		} {
			if got, err := find(); err != nil || !reflect.DeepEqual(got, m) {
				t.Errorf("%.40q: %+v, %v, want %+v", text, got, err, m)
			}
		}
		i, err := s.Invitations.Invitation(t.Context(), "inv_"+m.ID)
		want := invitation("inv_"+m.ID, text)
		if want.Status, want.Member = org.Accepted, m.ID; err != nil || !reflect.DeepEqual(i, want) {
			t.Errorf("%+v, %v, want %+v", i, err, want)
		}
	}
	if all, err := s.People.Members(t.Context(), "org_1", "", 1000); err != nil || len(all) != len(emails) {
		t.Errorf("%d of %d members, %v", len(all), len(emails), err)
	}
	membersArePaged(t, s, emails)
	if all, err := s.People.Members(t.Context(), "org_2", "", 1000); err != nil || len(all) != 0 {
		t.Errorf("another organization has %d members, %v", len(all), err)
	}
	i := invitation("inv_again", "a")
	if err := s.Invitations.InsertInvitation(t.Context(), i, 1000, note(i.ID)); err != nil {
		t.Fatal(err)
	}
	if err := s.Invitations.Accept(t.Context(), i.ID, member("mem_other", "a"), note("mem_other")); !errors.Is(err, org.ErrTakenEmail) {
		t.Errorf("a second member of the same email: %v", err)
	}
	if again, err := s.Invitations.Invitation(t.Context(), i.ID); err != nil || again.Status != org.Pending {
		t.Errorf("what could not be accepted is %s, %v", again.Status, err)
	}
}

// membersArePaged goes through members and invitations page by page, in their order, also behind a member who was removed.
func membersArePaged(t *testing.T, s Stores, emails []string) {
	t.Helper()
	const most = 3
	slices.Sort(emails)
	var seen []string
	for after := ""; ; {
		page, err := s.People.Members(t.Context(), "org_1", after, most)
		if err != nil || len(page) > most {
			t.Fatalf("a page of %d, %v", len(page), err)
		}
		for _, m := range page {
			seen, after = append(seen, m.Email), m.ID
		}
		if len(page) < most {
			break
		}
	}
	if !slices.Equal(seen, emails) {
		t.Errorf("the pages have %q, want %q", seen, emails)
	}
	if other, err := s.People.Members(t.Context(), "org_2", "mem_1", most); err != nil || len(other) != 0 {
		t.Errorf("another organization sees %d, %v", len(other), err)
	}
	var ids []string
	for before := (org.InvitationPlace{}); ; {
		page, err := s.Invitations.Invitations(t.Context(), "org_1", "prj_1", before, most)
		if err != nil || len(page) > most {
			t.Fatalf("a page of %d, %v", len(page), err)
		}
		for _, i := range page {
			ids, before = append(ids, i.ID), org.InvitationPlace{At: i.CreatedAt, ID: i.ID}
		}
		if len(page) < most {
			break
		}
	}
	if !slices.IsSortedFunc(ids, func(a, b string) int { return cmp.Compare(b, a) }) || len(slices.Compact(ids)) != len(emails) { // all at one time
		t.Errorf("the pages have %q", ids)
	}
	first, err := s.People.Members(t.Context(), "org_1", "", 2)
	if err != nil || len(first) != 2 {
		t.Fatal(first, err)
	}
	if _, err := s.People.ChangeMember(t.Context(), "org_1", first[0].ID, func(m *org.Member, _ int) (*audit.Entry, error) {
		m.RemovedAt = start()
		entry := note(m.ID)
		return &entry, nil
	}); err != nil {
		t.Fatal(err)
	}
	if rest, err := s.People.Members(t.Context(), "org_1", first[0].ID, 1); err != nil || len(rest) != 1 || rest[0].ID != first[1].ID {
		t.Errorf("behind who was removed are %v, %v", rest, err)
	}
}

// Promise: an invitation is accepted once, by whoever is first, and not when it is revoked.
func invitationsAreGoodOnce(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	i := invitation("inv_1", "ana@example.com")
	if err := s.Invitations.InsertInvitation(t.Context(), i, 1000, note(i.ID)); err != nil {
		t.Fatal(err)
	}
	second := invitation("inv_2", "ben@example.com")
	if err := s.Invitations.InsertInvitation(t.Context(), second, 1, note(second.ID)); !errors.Is(err, org.ErrInvitations) {
		t.Errorf("one more than may be pending: %v", err)
	}
	if _, err := s.Invitations.Invitation(t.Context(), second.ID); !errors.Is(err, org.ErrNoInvitation) {
		t.Errorf("it was stored all the same: %v", err)
	}
	second.CreatedAt = i.ExpiresAt // when the first has expired
	if err := s.Invitations.InsertInvitation(t.Context(), second, 1, note(second.ID)); err != nil {
		t.Error(err)
	}
	const many = 8
	var all sync.WaitGroup
	outcomes := make(chan error, many)
	for n := range many {
		all.Go(func() {
			outcomes <- s.Invitations.Accept(t.Context(), i.ID, member(fmt.Sprint("mem_", n), fmt.Sprint(n, "@example.com")), note(i.ID))
		})
	}
	all.Wait()
	accepted := 0
	for range many {
		if err := <-outcomes; err == nil {
			accepted++
		} else if !errors.Is(err, org.ErrNoInvitation) {
			t.Error(err)
		}
	}
	if people, err := s.People.Members(t.Context(), "org_1", "", 1000); accepted != 1 || len(people) != 1 || err != nil {
		t.Errorf("%d accepted, %d members, %v", accepted, len(people), err)
	}
	if err := s.Invitations.EndInvitation(t.Context(), i.ID, note(i.ID)); !errors.Is(err, org.ErrNoInvitation) {
		t.Errorf("one that was accepted is revoked: %v", err)
	}
	if err := s.Invitations.Reopen(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Invitations.EndInvitation(t.Context(), i.ID, note(i.ID)); err != nil {
		t.Error(err)
	}
	if err := s.Invitations.Accept(t.Context(), i.ID, member("mem_late", "late@example.com"), note(i.ID)); !errors.Is(err, org.ErrNoInvitation) {
		t.Errorf("one that was revoked is accepted: %v", err)
	}
	if list, err := s.Invitations.Invitations(t.Context(), "org_1", "prj_other", org.InvitationPlace{}, 10); err != nil || len(list) != 0 {
		t.Errorf("another project sees %d, %v", len(list), err)
	}
}

// Promise: of owners that are demoted at the same time one stays, when each change asks how many others there are; and a member
// who was removed is found no more and gets no key.
func ownersAreCounted(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	const many = 6
	for n := range many {
		m := member(fmt.Sprint("mem_", n), fmt.Sprint(n, "@example.com"))
		m.Role = access.Owner
		join(t, s, m)
	}
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			_, err := s.People.ChangeMember(t.Context(), "org_1", fmt.Sprint("mem_", n), func(m *org.Member, others int) (*audit.Entry, error) {
				if others == 0 {
					return nil, ErrFault
				}
				m.RemovedAt = start()
				entry := note(m.ID)
				return &entry, nil
			})
			if err != nil && !errors.Is(err, ErrFault) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	left, err := s.People.Members(t.Context(), "org_1", "", 1000)
	if err != nil || len(left) != 1 || left[0].Role != access.Owner {
		t.Fatalf("%+v are left, %v", left, err)
	}
	for n := range many {
		id := fmt.Sprint("mem_", n)
		k := key("prj_1", numbered(n))
		k.Kind, k.Member, k.Hint = access.Member, keyring.Membership{ID: id, Role: access.Owner, Wide: true}, ""
		want := keyring.ErrNoMember
		if id == left[0].ID {
			want = nil
		}
		if err := s.Keys.InsertKey(t.Context(), k, note(k.ID)); !errors.Is(err, want) {
			t.Errorf("a key of %s: %v", id, err)
		}
		if want != nil {
			continue
		}
		if got, err := find(t.Context(), s, "prj_1", k.ID); err != nil || !reflect.DeepEqual(got, k) {
			t.Errorf("the key is %+v, %v, want %+v", got, err, k)
		}
	}
	if _, err := s.People.MemberByID(t.Context(), "mem_none"); !errors.Is(err, org.ErrNoMember) {
		t.Error(err)
	}
	if _, err := s.People.ChangeMember(t.Context(), "org_2", left[0].ID, nil); !errors.Is(err, org.ErrNoMember) {
		t.Errorf("another organization changes a member: %v", err)
	}
}

// Promise: a session goes on once with what it is to go on with, whoever is first, and ends when it is ended or has expired.
func sessionsGoOnOnce(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	join(t, s, member("mem_1", "ana@example.com"))
	kept := member("", "").Password
	first := org.Session{
		ID: "ses_1", Member: "mem_1", Project: "prj_1", Key: "key_1", Digest: access.Digest{1}, Token: "jti", TokenEnds: start().Add(time.Minute), CreatedAt: start(), ExpiresAt: start().Add(time.Hour),
	}
	if err := s.Sessions.InsertSession(t.Context(), first, kept); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Sessions.Session(t.Context(), "ses_1"); err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("%+v, %v, want %+v", got, err, first)
	}
	const many = 8
	var all sync.WaitGroup
	outcomes := make(chan error, many)
	for n := range many {
		all.Go(func() {
			next := first
			next.Digest, next.Former = access.Digest{2, byte(n)}, first.Digest
			outcomes <- s.Sessions.RenewSession(t.Context(), "ses_1", first.Digest, next)
		})
	}
	all.Wait()
	renewed := 0
	for range many {
		if err := <-outcomes; err == nil {
			renewed++
		} else if !errors.Is(err, org.ErrNoSession) {
			t.Error(err)
		}
	}
	if got, err := s.Sessions.Session(t.Context(), "ses_1"); renewed != 1 || err != nil || got.Former != first.Digest || got.Digest[0] != 2 {
		t.Errorf("renewed %d times: %+v, %v", renewed, got, err)
	}
	early, old := first, first
	early.ID, early.CreatedAt = "ses_0", start().Add(-time.Minute)
	old.ID, old.ExpiresAt = "ses_old", start()
	if err := errors.Join(s.Sessions.InsertSession(t.Context(), early, kept), s.Sessions.InsertSession(t.Context(), old, kept)); err != nil {
		t.Fatal(err)
	}
	if of, err := s.Sessions.SessionsOf(t.Context(), "mem_1", start()); err != nil || len(of) != 2 || !reflect.DeepEqual(of[0], early) || of[1].ID != "ses_1" {
		t.Errorf("sessions of a member: %+v, %v", of, err)
	}
	if of, err := s.Sessions.SessionsOf(t.Context(), "mem_2", start()); err != nil || len(of) != 0 {
		t.Errorf("sessions of another: %+v, %v", of, err)
	}
	for name, end := range map[string]func() error{
		"ended": func() error { return s.Sessions.EndSession(t.Context(), "ses_2", first.Token) },
		"expired": func() error {
			later := first
			later.ID, later.CreatedAt, later.ExpiresAt = "ses_later", start().Add(time.Hour), start().Add(2*time.Hour)
			return s.Sessions.InsertSession(t.Context(), later, kept)
		},
		"removed": func() error { return s.Sessions.EndSessions(t.Context(), "mem_1", "") },
	} {
		other := first
		other.ID = "ses_2"
		if err := errors.Join(s.Sessions.InsertSession(t.Context(), other, kept), end()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Sessions.Session(t.Context(), "ses_2"); !errors.Is(err, org.ErrNoSession) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Promise: no session is begun with a password that was changed, and none renewed from the change on, but it is listed until it is
// ended; one that was renewed is not ended by the token it had before.
func sessionsEndWithTheirPassword(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	join(t, s, member("mem_1", "ana@example.com"))
	join(t, s, member("mem_2", "ben@example.com"))
	kept := member("", "").Password
	begin := func(id, member string, password access.Text) error {
		return s.Sessions.InsertSession(t.Context(), org.Session{
			ID: id, Member: member, Project: "prj_1", Key: "key_1", Digest: access.Digest{1}, Token: "jti", TokenEnds: start(), CreatedAt: start(), ExpiresAt: start().Add(time.Hour),
		}, password)
	}
	if err := errors.Join(begin("ses_1", "mem_1", kept), begin("ses_2", "mem_2", kept)); err != nil {
		t.Fatal(err)
	}
	changed := access.SecretText("$argon2id$changed")
	_, err := s.People.ChangeMember(t.Context(), "org_1", "mem_1", func(m *org.Member, _ int) (*audit.Entry, error) {
		m.Password = changed
		entry := note(m.ID)
		return &entry, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"the password of before": begin("ses_3", "mem_1", kept), "none": begin("ses_3", "mem_1", access.Text{}), "nobody": begin("ses_3", "mem_none", kept)} {
		if !errors.Is(err, org.ErrNoMember) {
			t.Errorf("a session begun with %s: %v", name, err)
		}
	}
	renew := func(id string) error {
		return s.Sessions.RenewSession(t.Context(), id, access.Digest{1}, org.Session{Digest: access.Digest{2}, Former: access.Digest{1}, Token: "next", TokenEnds: start()})
	}
	if err := renew("ses_1"); !errors.Is(err, org.ErrNoSession) {
		t.Errorf("renewing after the change: %v", err)
	}
	if of, err := s.Sessions.SessionsOf(t.Context(), "mem_1", start()); err != nil || len(of) != 1 || of[0].Token != "jti" || of[0].Digest != (access.Digest{}) {
		t.Errorf("what is there to end: %+v, %v", of, err)
	}
	if err := errors.Join(begin("ses_3", "mem_1", changed), renew("ses_2")); err != nil {
		t.Errorf("with the password of now, and of another member: %v", err)
	}
	if err := s.Sessions.EndSession(t.Context(), "ses_2", "jti"); !errors.Is(err, org.ErrNoSession) {
		t.Errorf("ended by the token of before: %v", err)
	}
	if err := s.Sessions.EndSession(t.Context(), "ses_2", "next"); err != nil {
		t.Error(err)
	}
}

// Promise: what a project is set to is kept whole and changed whole or not, by many at the same time and for no other project;
// one that is deleted is not listed, not changed, and its keys are not read.
func projectsAreChangedWhole(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	const many = 8
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			_, err := s.Projects.ChangeProject(t.Context(), "prj_1", func(w *org.Whole, _ int) (*audit.Entry, error) {
				w.Environments = append(w.Environments, access.Environment{Name: fmt.Sprint("e", n), Mode: access.Test})
				w.Settings.Budget.Events++
				entry := note("prj_1")
				return &entry, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	refused := func(w *org.Whole, _ int) (*audit.Entry, error) {
		w.Name, w.Environments = "refused", nil
		return nil, ErrFault
	}
	if _, err := s.Projects.ChangeProject(t.Context(), "prj_1", refused); !errors.Is(err, ErrFault) {
		t.Error(err)
	}
	read := func() (org.Whole, error) {
		return s.Projects.ChangeProject(t.Context(), "prj_1", func(*org.Whole, int) (*audit.Entry, error) { return nil, nil })
	}
	w, err := read()
	if err != nil || len(w.Environments) != len(environments())+many || w.Settings.Budget.Events != many || w.Name == "refused" || w.Settings.Config.Version != 1 {
		t.Errorf("%+v, %v", w, err)
	}
	insert(t, s, key("prj_1", numbered(1)))
	others := 0
	_, err = s.Projects.ChangeProject(t.Context(), "prj_1", func(w *org.Whole, n int) (*audit.Entry, error) {
		w.Deleted, others = start(), n
		entry := note("prj_1")
		return &entry, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(); !errors.Is(err, org.ErrNoProject) {
		t.Errorf("a deleted project is read: %v", err)
	}
	if list, err := s.Projects.ProjectsOf(t.Context(), "org_1"); err != nil || len(list) != others {
		t.Errorf("%d projects are left of %d, %v", len(list), others, err)
	}
	if err := s.Keys.EachKey(t.Context(), func(k keyring.Record) error { return fmt.Errorf("key %s of %s", k.ID, k.Project) }); err != nil {
		t.Error(err)
	}
}
