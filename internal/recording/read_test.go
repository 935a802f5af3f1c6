package recording_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/recording"
)

// good is a chunk that is taken.
const good = `{"session_id":"s-1","sequence":0,"environment":"production","distinct_id":"ana","events":[{"type":4,"timestamp":1780000000000,"data":{"href":"https://a.example/"}}]}`

// Promise: whatever is wrong with a chunk is told, with the place of each fault and all of them at once.
func TestFaultsOfChunksAreTold(t *testing.T) {
	t.Parallel()
	event := `{"type":4,"timestamp":1780000000000}`
	for text, want := range map[string]string{
		good: "",
		`{"session_id":"s","sequence":999999,"events":[` + event + `]}`:                                                   "",
		`{"session_id":"s","sequence":1,"distinct_id":12345678901234567890,"events":[` + event + `]}`:                     "",
		`{"session_id":"s","sequence":1,"distinct_id":null,"environment":null,"events":[` + event + `]}`:                  "",
		`{"session_id":"a.b_c:d~e@f+g=h-i","sequence":1,"events":[{"type":0,"timestamp":0.5,"data":"\ud83d","delay":1}]}`: "",
		``:                                  "invalid_request",
		`{`:                                 "invalid_json",
		`[]`:                                "invalid_field body",
		`{}`:                                "invalid_field session_id sequence events",
		`{"session_id":1}`:                  "invalid_field session_id",
		`{"session_id":"s","sequence":1.5}`: "invalid_field sequence",
		`{"session_id":"s","sequence":"1"}`: "invalid_field sequence",
		`{"session_id":"s","sequence":-1,"events":[` + event + `]}`:                                                                                "invalid_field sequence",
		`{"session_id":"s","sequence":1000000,"events":[` + event + `]}`:                                                                           "invalid_field sequence",
		`{"session_id":"s","sequence":0,"events":[` + event + `],"sequence":1}`:                                                                    "invalid_json",
		`{"session_id":"s","sequence":0,"events":[` + event + `],"more":1}`:                                                                        "invalid_field more",
		`{"session_id":"s","sequence":0,"events":[]}`:                                                                                              "invalid_field events",
		`{"session_id":"s","sequence":0,"events":{}}`:                                                                                              "invalid_field events",
		`{"session_id":"s","sequence":0,"distinct_id":true,"events":[` + event + `]}`:                                                              "invalid_field distinct_id",
		`{"session_id":"s","sequence":0,"distinct_id":` + strings.Repeat("1", 201) + `,"events":[` + event + `]}`:                                  "invalid_field distinct_id",
		`{"session_id":"s","sequence":0,"distinct_id":"a\u0000","events":[` + event + `]}`:                                                         "invalid_field distinct_id",
		`{"session_id":"s","sequence":0,"distinct_id":"","events":[` + event + `]}`:                                                                "",
		`{"session_id":"s","sequence":0,"distinct_id":"guest","events":[` + event + `]}`:                                                           "invalid_field distinct_id",
		`{"session_id":"s","sequence":0,"distinct_id":" Undefined ","events":[` + event + `]}`:                                                     "invalid_field distinct_id",
		`{"session_id":"s","sequence":0,"distinct_id":"[object Object]","events":[]}`:                                                              "invalid_field distinct_id events",
		`{"session_id":"s","sequence":0,"distinct_id":"  ","events":[` + event + `]}`:                                                              "invalid_field distinct_id",
		`{"session_id":"s","sequence":0,"distinct_id":0,"events":[` + event + `]}`:                                                                 "invalid_field distinct_id",
		`{"session_id":"s","sequence":0,"distinct_id":"guests","events":[` + event + `]}`:                                                          "",
		`{"session_id":"../s","sequence":0,"events":[1,{},{"type":"4","timestamp":1},{"type":4}]}`:                                                 "invalid_field session_id events[0] events[1].type events[2] events[3].timestamp",
		`{"session_id":"s","sequence":0,"events":[{"type":4.5,"timestamp":1},{"type":-1,"timestamp":1},{"type":100,"timestamp":1}]}`:               "invalid_field events[0].type events[1].type events[2].type",
		`{"session_id":"s","sequence":0,"events":[{"type":4,"timestamp":0},{"type":4,"timestamp":-1},{"type":4,"timestamp":1e300}]}`:               "invalid_field events[0].timestamp events[1].timestamp events[2].timestamp",
		`{"session_id":"` + strings.Repeat("s", 201) + `","sequence":0,"distinct_id":"` + strings.Repeat("u", 201) + `","events":[` + event + `]}`: "invalid_field session_id distinct_id",
		`{"session_id":"s","sequence":0,"events":[` + strings.Repeat(event+",", 5000) + event + `]}`:                                               "too_many_items events",
		`{"session_id":"s","sequence":0,"events":[` + strings.Repeat("1,", 4999) + `1]}`:                                                           "invalid_field" + twenty(),
		"{\"session_id\":\"s\xff\"}": "invalid_json",
	} {
		_, err := recording.ReadChunk([]byte(text))
		got := ""
		if err != nil {
			p := problem.From(err)
			got = string(p.Code)
			for _, f := range p.Fields {
				got += " " + f.Name
			}
		}
		if got != want {
			t.Errorf("%.80s: %q, want %q", text, got, want)
		}
	}
}

func twenty() (names string) {
	for i := range 20 {
		names += fmt.Sprintf(" events[%d]", i)
	}
	return names
}

// Promise: of an address no more is kept than a bound, in whole characters, and no key that stands in it.
func TestAddressesOfPages(t *testing.T) {
	t.Parallel()
	for href, want := range map[string]string{
		"https://a.example/?q=1": "https://a.example/?q=1",
		"https://a.example/?key=sk_live_3fQ9xT0aLmZkThisIsAnExampleNotASecret000hfanX": "https://a.example/?key=sk_live_3fQ9xT0aLmZk…",
		strings.Repeat("é", 2000): strings.Repeat("é", 1024),
		`a\u0000b`:                "ab",
	} {
		c, err := recording.ReadChunk(fmt.Appendf(nil, `{"session_id":"s","sequence":0,"events":[{"type":2,"timestamp":1,"data":{"href":"no"}},{"type":4,"timestamp":1,"data":[]},{"type":4,"timestamp":1,"data":{"href":"%s"}}]}`, href))
		if err != nil || c.Page != want {
			t.Errorf("%.60s: %q, %v", href, c.Page, err)
		}
	}
}

// Promise: no text makes the reader panic, and what it takes is within the bounds that the rest relies on.
func FuzzReadChunk(f *testing.F) {
	for _, text := range []string{
		good, `{}`, `[]`, `{"session_id":"s","sequence":1e3,"events":[{"type":4,"timestamp":1e12,"data":{"href":"\ud83d"}}]}`,
		`{"session_id":"..","sequence":0,"distinct_id":-0,"events":[{"type":3,"timestamp":1.5,"x":[[[[]]]]},{}]}`, "\xff",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := recording.ReadChunk(text)
		if err != nil {
			if code := problem.Of(err); code != problem.InvalidRequest && code != problem.InvalidJSON && code != problem.InvalidField && code != problem.TooManyItems {
				t.Fatalf("%v", err)
			}
			return
		}
		switch {
		case c.Session == "" || len(c.Session) > recording.MaxSessionID || strings.ContainsAny(c.Session, "/\\\x00 ") || c.Session[0] == '.':
			t.Fatalf("the session %q", c.Session)
		case c.Sequence < 0 || c.Sequence > recording.MaxSequence || c.Events < 1 || c.Events > recording.MaxEvents:
			t.Fatalf("%+v", c)
		case len(c.DistinctID) > recording.MaxDistinctID || len(c.Page) > recording.MaxPage || !utf8.ValidString(c.Page) || !utf8.ValidString(c.DistinctID):
			t.Fatalf("%+v", c)
		case c.FirstAt.After(c.LastAt) || c.FirstAt.Year() < 1970 || c.LastAt.Year() > 2100:
			t.Fatalf("from %v to %v", c.FirstAt, c.LastAt)
		}
	})
}

// Promise: of a chunk that is no JSON it is told why, and where.
func TestWhyAChunkIsNoJSONIsTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"session_id":"s","session_id":"s"}`:      "The body is not valid JSON: duplicate object member name at byte 18 (line 1, column 19).",
		`{"session_id":"s"`:                        "The body is not valid JSON: it ends in the middle at byte 17 (line 1, column 18).",
		"{\"session_id\":\"s\",\n\"sequence\":01}": "The body is not valid JSON: invalid character '1' after object value (expecting ',' or '}') at byte 31 (line 2, column 13).",
		`{"session_id":"s"} x`:                     "The body is not valid JSON: invalid character 'x' after top-level value at byte 19 (line 1, column 20).",
	} {
		if _, err := recording.ReadChunk([]byte(text)); err == nil || problem.From(err).Detail != want {
			t.Errorf("%s was answered %v", text, err)
		}
	}
}
