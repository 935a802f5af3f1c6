package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/recording"
)

var roomy = recording.Limits{Bytes: 1 << 40, Chunks: 1000}

// piece is the n-th chunk of a session, of n+1 events in 10*(n+1) bytes.
func piece(n int64) recording.Piece {
	at := start().Add(time.Duration(n) * time.Minute)
	return recording.Piece{
		Sequence: n, Digest: fmt.Sprint("digest", n), Events: n + 1, Bytes: 10 * (n + 1), FirstAt: at, LastAt: at.Add(30 * time.Second), ReceivedAt: at.Add(time.Hour),
	}
}

func addPiece(t *testing.T, s Stores, name string, of recording.Session, p recording.Piece) {
	t.Helper()
	if err := s.Recordings.AddPiece(t.Context(), name, of, p, roomy); err != nil {
		t.Fatalf("add to %.40q: %v", name, err)
	}
}

func look(t *testing.T, s Stores, name, project string, sequence int64) recording.Seen {
	t.Helper()
	seen, err := s.Recordings.Look(t.Context(), name, project, sequence)
	if err != nil {
		t.Fatalf("look at %.40q: %v", name, err)
	}
	return seen
}

// Promise: a recording and its chunks come back byte for byte, added up, whatever the texts are and in whatever order they
// come; the latest chunk says whose it is, and the earliest of which page.
func recordingsAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	for i, text := range hostile() {
		name, of := fmt.Sprint("n", i), recording.Session{Project: "prj_" + text, Environment: "env_" + text, ID: "id_" + text}
		want := of
		for _, n := range []int64{2, 0, 5} {
			p := piece(n)
			if n != 5 {
				p.DistinctID, p.Page = fmt.Sprint(text, n), fmt.Sprint("page", text, n)
			}
			addPiece(t, s, name, of, p)
		}
		want.Chunks, want.Events, want.Bytes, want.Last = 3, 10, 100, 5
		want.FirstAt, want.LastAt, want.StartedAt, want.UpdatedAt = piece(0).FirstAt, piece(5).LastAt, piece(2).ReceivedAt, piece(5).ReceivedAt
		want.DistinctID, want.Page = text+"2", "page"+text+"0"
		if got := look(t, s, name, of.Project, 5); !reflect.DeepEqual(got, recording.Seen{Session: want, Digest: "digest5", Used: 100}) {
			t.Fatalf("%.40q: got %+v", text, got)
		}
		pieces, err := s.Recordings.Pieces(t.Context(), name)
		if err != nil || len(pieces) != 3 || pieces[0].DistinctID != text+"0" || pieces[1].Sequence != 2 || !reflect.DeepEqual(pieces[2], piece(5)) {
			t.Fatalf("%.40q: the chunks are %+v, %v", text, pieces, err)
		}
		list, err := s.Recordings.Sessions(t.Context(), recording.Filter{Project: of.Project, Environment: of.Environment, DistinctID: text + "0", Limit: 10})
		if err != nil || !reflect.DeepEqual(list, []recording.Session{want}) {
			t.Fatalf("%.40q: listed are %+v, %v", text, list, err)
		}
	}
	if seen := look(t, s, "none", "prj_none", 0); !reflect.DeepEqual(seen, recording.Seen{}) {
		t.Errorf("of nothing is seen %+v", seen)
	}
}

// Promise: what is refused changes nothing: a sequence that is taken, and what is more than the project or the session may have.
func refusedChunksChangeNothing(t *testing.T, open Open) {
	s := plain(t, open)
	of := recording.Session{Project: "prj_1", Environment: "e", ID: "s"}
	for n := range int64(3) {
		addPiece(t, s, "n", of, piece(n)) // 60 bytes
	}
	before := look(t, s, "n", "prj_1", 1)
	other := piece(1)
	other.Digest, other.Bytes, other.DistinctID = "other", 1, "x"
	for _, c := range []struct {
		p    recording.Piece
		most recording.Limits
		want error
	}{
		{other, roomy, recording.ErrPresent},
		{piece(3), recording.Limits{Bytes: 99, Chunks: 10}, recording.ErrFull},
		{piece(3), recording.Limits{Bytes: 0, Chunks: 10}, recording.ErrFull},
		{piece(3), recording.Limits{Bytes: 1000, Chunks: 3}, recording.ErrLong},
	} {
		if err := s.Recordings.AddPiece(t.Context(), "n", of, c.p, c.most); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
		if after := look(t, s, "n", "prj_1", 1); !reflect.DeepEqual(after, before) {
			t.Errorf("after %v there is %+v", c.want, after)
		}
	}
	if err := s.Recordings.AddPiece(t.Context(), "n", of, piece(3), recording.Limits{Bytes: 100, Chunks: 4}); err != nil {
		t.Errorf("what just fits: %v", err)
	}
}

// Promise: what is dropped is gone and its room is free again; what others have stays.
func recordingsAreDroppedWhole(t *testing.T, open Open) {
	s := plain(t, open)
	one, two := recording.Session{Project: "prj_1", Environment: "e", ID: "s"}, recording.Session{Project: "prj_1", Environment: "f", ID: "s"}
	addPiece(t, s, "one", one, piece(0))
	addPiece(t, s, "one", one, piece(1))
	addPiece(t, s, "two", two, piece(0))
	dropped, err := s.Recordings.Drop(t.Context(), "one", recording.Sent{})
	if err != nil || dropped.Chunks != 2 || dropped.Bytes != 30 {
		t.Errorf("dropped %+v, %v", dropped, err)
	}
	if seen := look(t, s, "one", "prj_1", 0); !reflect.DeepEqual(seen, recording.Seen{Used: 10}) {
		t.Errorf("after it there is %+v", seen)
	}
	if pieces, err := s.Recordings.Pieces(t.Context(), "one"); err != nil || len(pieces) != 0 {
		t.Errorf("chunks are left: %+v, %v", pieces, err)
	}
	if seen := look(t, s, "two", "prj_1", 0); seen.Session.Chunks != 1 {
		t.Errorf("the other one is %+v", seen)
	}
	if _, err := s.Recordings.Drop(t.Context(), "one", recording.Sent{}); !errors.Is(err, recording.ErrNone) {
		t.Errorf("dropped again: %v", err)
	}
}

// Promise: what a key sent in a time is dropped alone: the recording is what the rest of its chunks are, is found by the key no more,
// and is gone with the last of them.
func chunksOfAKeyAreDropped(t *testing.T, open Open) {
	s := plain(t, open)
	for i, text := range hostile() {
		if text == "" {
			continue // no key
		}
		of, name := recording.Session{Project: fmt.Sprint("prj_", i), Environment: "e", ID: "s"}, fmt.Sprint("n", i)
		for n := range int64(5) {
			p := piece(n)
			if p.KeyID = text; n%2 == 1 {
				p.KeyID = "other"
			}
			if n == 3 {
				p.KeyID = ""
			}
			addPiece(t, s, name, of, p)
		}
		which := recording.Sent{KeyID: text, From: piece(1).ReceivedAt, Until: piece(4).ReceivedAt}
		found := func(which recording.Sent) int {
			list, err := s.Recordings.Sessions(t.Context(), recording.Filter{Project: of.Project, Environment: of.Environment, Sent: which, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		if found(which) != 1 {
			t.Errorf("%.40q: not found by its key", text)
		}
		if dropped, err := s.Recordings.Drop(t.Context(), name, which); err != nil || dropped.Chunks != 1 || dropped.Bytes != 30 || dropped.Events != 3 {
			t.Errorf("%.40q: dropped %+v, %v", text, dropped, err)
		}
		if found(which) != 0 || found(recording.Sent{KeyID: text}) != 1 {
			t.Errorf("%.40q: found by what is gone", text)
		}
		if _, err := s.Recordings.Drop(t.Context(), name, which); !errors.Is(err, recording.ErrNone) {
			t.Errorf("%.40q: again: %v", text, err)
		}
		if _, err := s.Recordings.Drop(t.Context(), name, recording.Sent{KeyID: text}); err != nil {
			t.Errorf("%.40q: the rest of the key: %v", text, err)
		}
		want := of
		want.Chunks, want.Events, want.Bytes, want.Last = 2, 6, 60, 3
		want.FirstAt, want.LastAt, want.StartedAt, want.UpdatedAt = piece(1).FirstAt, piece(3).LastAt, piece(1).ReceivedAt, piece(3).ReceivedAt
		if got := look(t, s, name, of.Project, 3); !reflect.DeepEqual(got, recording.Seen{Session: want, Digest: "digest3", Used: 60}) {
			t.Errorf("%.40q: left is %+v", text, got)
		}
		if _, err := s.Recordings.Drop(t.Context(), name, recording.Sent{}); err != nil {
			t.Error(err)
		}
		if got := look(t, s, name, of.Project, 3); !reflect.DeepEqual(got, recording.Seen{}) {
			t.Errorf("%.40q: at the end there is %+v", text, got)
		}
	}
}

// Promise: recordings are listed the latest first, each once over all pages, narrowed to what is asked for, and none of
// another project or environment.
func recordingsAreListedInOrder(t *testing.T, open Open) {
	s := plain(t, open)
	for i := range 20 {
		of := recording.Session{Project: fmt.Sprint("prj_", i%2), Environment: fmt.Sprint("e", i/2%2), ID: fmt.Sprint("s", i)}
		p := piece(0)
		p.ReceivedAt, p.DistinctID = start().Add(time.Duration(i/8)*time.Hour), fmt.Sprint("u", i%3)
		addPiece(t, s, fmt.Sprintf("n%02d", i), of, p)
	}
	ids := func(f recording.Filter) (all []string) {
		f.Project, f.Environment = "prj_0", "e0"
		list, err := s.Recordings.Sessions(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			all = append(all, list[i].ID)
		}
		return all
	}
	if got := ids(recording.Filter{Limit: 9}); !slices.Equal(got, []string{"s16", "s12", "s8", "s4", "s0"}) {
		t.Errorf("listed are %v", got)
	}
	if got := ids(recording.Filter{Limit: 2, After: recording.Mark{StartedAt: start().Add(time.Hour), Name: "n12"}}); !slices.Equal(got, []string{"s8", "s4"}) {
		t.Errorf("the second page is %v", got)
	}
	if got := ids(recording.Filter{Limit: 9, From: start().Add(time.Hour), To: start().Add(2 * time.Hour)}); !slices.Equal(got, []string{"s12", "s8"}) {
		t.Errorf("in the second hour %v", got)
	}
	if got := ids(recording.Filter{Limit: 9, DistinctID: "u1"}); !slices.Equal(got, []string{"s16", "s4"}) {
		t.Errorf("of a person %v", got)
	}
	old, err := s.Recordings.Old(t.Context(), start().Add(time.Hour), 3)
	if err != nil || !slices.Equal(old, []string{"n00", "n01", "n02"}) {
		t.Errorf("old are %v, %v", old, err)
	}
}
