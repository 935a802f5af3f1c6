package event_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
)

// Promise: what was written to a journal by version 1 of the encoding is read by every later program.
func TestEncodingIsStable(t *testing.T) {
	t.Parallel()
	e := event.Event{
		Kind: event.Alias, Name: "n", Timestamp: time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC), DistinctID: "di", AnonymousID: "an",
		DeviceID: "de", SessionID: "se", NewUserID: "nu", Properties: jsontext.Value(`{"é":1}`), ID: "id", OwnID: true,
		ReceivedAt: time.Date(2026, 1, 31, 12, 0, 1, 0, time.UTC), Project: "prj", Environment: "env", KeyID: "key", Source: "alias",
	}
	const want = "010301" + "80c9d8c4baeba406" + "80c9c3c5baeba406" + // version, kind, flags, the two times
		"0370726a" + "03656e76" + "036b6579" + "05616c696173" + "026964" + // prj env key alias id
		"016e" + "026469" + "02616e" + "026465" + "027365" + "026e75" + "087b22c3a9223a317d" // n di an de se nu, the properties
	got := event.AppendEvent([]byte("before"), &e)
	if !bytes.HasPrefix(got, []byte("before")) {
		t.Fatal("AppendEvent does not append")
	}
	got = got[len("before"):]
	if hex.EncodeToString(got) != want {
		t.Errorf("encoded as\n%x, want\n%s", got, want)
	}
	if back, err := event.DecodeEvent(got); err != nil || !reflect.DeepEqual(back, e) {
		t.Errorf("decoded as %+v, %v", back, err)
	}
}

// Promise: an event comes back from the journal as it went in, its space is found without reading the rest, and what is
// cut short, continued or of another version is refused.
func TestEncodingRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		data := event.AppendEvent(nil, &e)
		back, err := event.DecodeEvent(data)
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%+v came back as %+v, %v", e, back, err)
		}
		if space, err := event.SpaceOf(data); err != nil || space != (event.Space{Project: e.Project, Environment: e.Environment}) {
			t.Fatalf("SpaceOf = %v, %v", space, err)
		}
		cut := rapid.IntRange(0, len(data)-1).Draw(t, "cut")
		damaged := map[string][]byte{
			"cut short": data[:cut], "continued": append(bytes.Clone(data), 0), "of version 2": append([]byte{2}, data[1:]...),
			"of no kind": append([]byte{1, 0}, data[2:]...), "of a kind too many": append([]byte{1, 5}, data[2:]...),
			"with an unknown flag": append([]byte{1, data[1], data[2] | 2}, data[3:]...),
		}
		for how, bad := range damaged {
			if _, err := event.DecodeEvent(bad); !errors.Is(err, event.ErrEncoding) {
				t.Fatalf("%s: %v", how, err)
			}
		}
		clear(data)
		if !reflect.DeepEqual(back, e) {
			t.Fatal("the decoded event refers to the data")
		}
	})
}

func drawEvent(t *rapid.T) event.Event {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	at := rapid.Map(rapid.Int64Range(0, time.Date(2199, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro()), func(us int64) time.Time { return time.UnixMicro(us).UTC() })
	return event.Event{
		Kind:      rapid.SampledFrom([]event.Kind{event.Track, event.Identify, event.Alias, event.Forget}).Draw(t, "kind"),
		Name:      text.Draw(t, "name"),
		Timestamp: rapid.OneOf(at, rapid.Just(time.Time{})).Draw(t, "timestamp"), DistinctID: text.Draw(t, "distinct id"),
		AnonymousID: text.Draw(t, "anonymous id"), DeviceID: text.Draw(t, "device id"), SessionID: text.Draw(t, "session id"),
		NewUserID: text.Draw(t, "new user id"), Properties: jsontext.Value(fmt.Sprintf("{%q:1}", text.Draw(t, "properties"))),
		ID: text.Draw(t, "id"), OwnID: rapid.Bool().Draw(t, "own id"), ReceivedAt: at.Draw(t, "received at"),
		Project: text.Draw(t, "project"), Environment: text.Draw(t, "environment"), KeyID: text.Draw(t, "key"), Source: text.Draw(t, "source"),
	}
}

// Promise: bytes from a damaged journal are an event or an error, never a panic, and never cost more memory than they
// are long.
func FuzzDecodeEvent(f *testing.F) {
	f.Add(event.AppendEvent(nil, &event.Event{Kind: event.Track}))
	f.Add(event.AppendEvent(nil, &event.Event{
		Kind: event.Identify, OwnID: true, ID: "id", Timestamp: time.UnixMicro(1), ReceivedAt: time.UnixMicro(-1), Project: "p",
		Environment: "e", Properties: jsontext.Value(`{"a":1}`),
	}))
	f.Add([]byte{1, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}) // a length of 2^64-1
	f.Fuzz(func(t *testing.T, data []byte) {
		space, spaceErr := event.SpaceOf(data)
		e, err := event.DecodeEvent(data)
		if err != nil {
			if !errors.Is(err, event.ErrEncoding) || !reflect.DeepEqual(e, event.Event{}) {
				t.Fatalf("%+v, %v", e, err)
			}
			return
		}
		if spaceErr != nil || space != (event.Space{Project: e.Project, Environment: e.Environment}) {
			t.Fatalf("SpaceOf = %v, %v of %+v", space, spaceErr, e)
		}
		texts := []string{e.Name, e.DistinctID, e.AnonymousID, e.DeviceID, e.SessionID, e.NewUserID, e.ID, e.Project, e.Environment, e.KeyID, e.Source}
		if kept := len(strings.Join(texts, "")) + cap(e.Properties); kept > 2*len(data)+64 {
			t.Fatalf("%d bytes of data became %d", len(data), kept)
		}
		again, err := event.DecodeEvent(event.AppendEvent(nil, &e))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%+v came back as %+v, %v", e, again, err)
		}
	})
}
