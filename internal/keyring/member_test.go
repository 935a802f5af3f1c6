package keyring_test

import (
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// joined is a house with a member in its first project.
func joined(t *testing.T, m keyring.Membership) (*house, string) {
	t.Helper()
	h := build(t, nil)
	id, err := h.ring.Join(t.Context(), "prj_1", m.ID, m.Role, m.Wide, joining(h))
	if err != nil {
		t.Fatal(err)
	}
	return h, id
}

func joining(h *house) func(string, any) audit.Entry {
	return func(subject string, after any) audit.Entry {
		return audit.Own(h.clock.now(), "org_1", "prj_1", "aud_"+subject, "member.join", subject, nil, after)
	}
}

// Promise: a member's key is one for each project, holds what the table of roles says, has nothing that anybody could show,
// and is there after a restart as it was.
func TestAMemberHasAKey(t *testing.T) {
	t.Parallel()
	h, id := joined(t, keyring.Membership{ID: "mem_1", Role: access.Analyst})
	again, err := h.ring.Join(t.Context(), "prj_1", "mem_1", access.Admin, false, joining(h))
	if err != nil || again != id {
		t.Errorf("a second key %s, %v", again, err)
	}
	if _, err := h.ring.Join(t.Context(), "prj_none", "mem_1", access.Admin, false, joining(h)); problem.From(err).Code != problem.NotFound {
		t.Errorf("a member of no project: %v", err)
	}
	for range 2 {
		keys := h.ring.MemberKeys("mem_1")
		if len(keys) != 1 || keys[0].ID != id || keys[0].Kind != access.Member || keys[0].Role != access.Analyst || keys[0].Scopes != access.Analyst.Scopes() {
			t.Fatalf("the member has the keys %+v", keys)
		}
		if h.ring.MemberOf(id) != "mem_1" || h.ring.MemberOf("key_000000000000") != "" || h.ring.MemberOf("x") != "" {
			t.Error("it is not known whose key it is")
		}
		h.open()
	}
	if rec := h.shelf.key(id); rec.Hint != "" || rec.Public != "" || len(rec.Advice(h.clock.now())) != 0 {
		t.Errorf("the record shows %+v", rec)
	}
	if got := h.shelf.audited(id); len(got) != 1 || got[0] != "member.join" {
		t.Errorf("audited %v", got)
	}
}

// Promise: another role ends every token from before, whichever role it is, and a member that is ended is refused from then
// on; neither can be done as with keys, nor from another organization's project.
func TestAMemberIsChangedWithTheMember(t *testing.T) {
	t.Parallel()
	h, id := joined(t, keyring.Membership{ID: "mem_1", Role: access.Viewer})
	ctx, permit := t.Context(), h.operator("prj_1")
	for range 2 {
		if err := h.ring.SetRole(ctx, permit, "prj_1", id, access.Analyst, false); err != nil {
			t.Fatal(err)
		}
	}
	if k := h.basis(id); k.Epoch != 1 || k.Role != access.Analyst || k.Scopes != access.Analyst.Scopes() {
		t.Errorf("it is %+v", k)
	}
	label := "mine"
	for name, do := range map[string]func() error{
		"update":     func() error { _, err := h.ring.Update(ctx, permit, id, keyring.Change{Label: &label}); return err },
		"revoke":     func() error { _, err := h.ring.Revoke(ctx, permit, id, 0); return err },
		"rotate":     func() error { _, _, err := h.ring.Rotate(ctx, permit, id, 0, 0); return err },
		"quarantine": func() error { _, err := h.ring.Quarantine(ctx, permit, id, 0); return err },
	} {
		if err := do(); problem.From(err).Code != problem.Conflict {
			t.Errorf("%s of a member's key: %v", name, err)
		}
	}
	secret, _ := h.create(permit, secretKey())
	if err := h.ring.EndMember(ctx, permit, "prj_1", secret.ID); problem.From(err).Code != problem.NotFound {
		t.Errorf("a key that is no member's is ended: %v", err)
	}
	for range 2 {
		if err := h.ring.EndMember(ctx, permit, "prj_1", id); err != nil {
			t.Fatal(err)
		}
	}
	if keys := h.ring.MemberKeys("mem_1"); len(keys) != 0 {
		t.Errorf("after the end the member has %+v", keys)
	}
}

// Promise: whatever the store does, a member whose role was to be changed can afterwards do no more than before or after.
func TestARoleInDoubtIsRefused(t *testing.T) {
	t.Parallel()
	h, id := joined(t, keyring.Membership{ID: "mem_1", Role: access.Admin, Wide: true})
	permit := h.operator("prj_1")
	h.shelf.failing(func(call int) failure {
		if call == 1 {
			return lostReply
		}
		return before
	})
	if err := h.ring.SetRole(t.Context(), permit, "prj_1", id, access.Viewer, false); err == nil {
		t.Fatal("no error")
	}
	if k := h.basis(id); k.RevokedAt.IsZero() {
		t.Errorf("it is not known what it may do, and it may do something: %+v", k)
	}
	h.shelf.failing(nil)
	if err := h.ring.SetRole(t.Context(), permit, "prj_1", id, access.Viewer, false); err != nil {
		t.Fatal(err)
	}
	if k := h.basis(id); k.Role != access.Viewer || !k.RevokedAt.IsZero() || k.Epoch != 1 {
		t.Errorf("it is %+v", k)
	}
}

// Promise: a project that is dropped takes all its keys with it, and no other's.
func TestADroppedProjectHasNoKeys(t *testing.T) {
	t.Parallel()
	h, id := joined(t, keyring.Membership{ID: "mem_1", Role: access.Viewer})
	_, text := h.create(h.operator("prj_1"), secretKey())
	other, kept := h.create(h.operator("prj_2"), secretKey())
	h.ring.DropProject("prj_1")
	if h.works(text) || !h.works(kept) || len(h.ring.MemberKeys("mem_1")) != 0 {
		t.Error("a key outlives its project, or dies with another's")
	}
	if _, found := h.ring.Peek("prj_1", id); found {
		t.Error("a member's key is there")
	}
	if _, found := h.ring.Peek("prj_2", other.ID); !found {
		t.Error("another project's key is gone")
	}
}
