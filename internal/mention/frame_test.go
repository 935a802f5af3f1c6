package mention_test

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/mention"
)

// Promise: a time names nobody whose id is a number that is in it; it is one's id only as a whole.
func TestTimesNameNobody(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"2026-11-28T14:38:56Z", "2026-11-28T14:38:56.123456+01:00", "2026-11-28"} {
		if mention.Of([]string{"2026"}).InText(said) || !mention.Of([]string{said}).InText(said) {
			t.Errorf("%s", said)
		}
	}
	if !mention.Of([]string{"2026"}).InText("2026-11-28 is the day") {
		t.Error("a text that begins with a time is taken for one")
	}
}

// Promise: of an object the members' names, and the numbers and times it has itself, are whoever's who wrote it down, and name
// nobody.
func TestWhatIsTheObjectsOwn(t *testing.T) {
	t.Parallel()
	own := jsontext.Value(`{"rows":42,"to":"ds_1","date":"2026-11-28T14:38:56Z","where":[{"value":"x"}]}`)
	if rest, changed := mention.Of([]string{"42", "to", "rows", "2026"}).Without(own); changed {
		t.Errorf("%s", rest)
	}
	if rest, _ := mention.Of([]string{"42"}).Without(jsontext.Value(`{"rows":42,"where":[{"value":42}]}`)); string(rest) != `{"rows":42}` {
		t.Errorf("%s", rest)
	}
}

// Promise: what is told to stand in a text anyway names nobody there.
func TestWhatStandsThereAnyway(t *testing.T) {
	t.Parallel()
	said := jsontext.Value(`{"channel":"general","text":"for bob"}`)
	known := mention.Texts(jsontext.Value(`{"channel":"general","text":"for {{who}}"}`))
	for id, want := range map[string]bool{"channel": false, "general": false, "text": false, "for bob": true} {
		if mention.Of([]string{id}).InSent(said, known) != want {
			t.Errorf("%s", id)
		}
	}
}

// Promise: where some members alone count, neither their names nor what others have names anybody.
func TestInMembers(t *testing.T) {
	t.Parallel()
	v := jsontext.Value(`{"of":"events","where":[{"column":"id","values":["bob",42]}]}`)
	for id, want := range map[string]bool{"bob": true, "42": true, "values": false, "events": false, "id": false, "where": false} {
		if mention.Of([]string{id}).InMembers(v, "values") != want {
			t.Errorf("%s", id)
		}
	}
}

// Promise: an amount names nobody whose id it equals; a number that is called an id does, and a long one wherever it is.
func TestAmountsNameNobody(t *testing.T) {
	t.Parallel()
	who := mention.Of([]string{"42", "1234567890"})
	for text, want := range map[string]bool{
		`{"amount":42}`: false, `42`: false, `{"prices":[1,42]}`: false, `{"width":42}`: false, `{"user_id":42}`: true, `{"userId":42}`: true,
		`{"of":{"ids":[7,42]}}`: true, `{"user":"42"}`: true, `{"customer":1234567890}`: true, `{"timestamp":1234567890000}`: false,
	} {
		if who.InSent(jsontext.Value(text), nil) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
}
