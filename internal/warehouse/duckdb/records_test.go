package duckdb

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/event"
)

// at is the n-th moment of the tests.
func at(n int) time.Time { return time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC) }

func recordOf(key, subkey string, n int, body string) dataset.Record {
	return dataset.Record{Key: key, Subkey: subkey, Date: at(n), Updated: at(100), Body: []byte(body)}
}

func byIndex(a, b dataset.Record) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Subkey, b.Subkey), a.Date.Compare(b.Date))
}

// Promise: what a dataset has after any writes and deletions is what a naive model of the unique index says, and so is the
// verdict on each record.
func TestRecordsAgreeWithModel(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	space, run := event.Space{Project: "prj_1", Environment: "production"}, 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		uid := fmt.Sprintf("ds_%d", run)
		var model []dataset.Record
		find := func(r dataset.Record) int {
			return slices.IndexFunc(model, func(m dataset.Record) bool { return byIndex(m, r) == 0 })
		}
		drawn := func() dataset.Record {
			return recordOf(rapid.SampledFrom([]string{"a", "A", "a ", "é", "e\u0301"}).Draw(t, "key"), rapid.SampledFrom([]string{"", "x"}).Draw(t, "subkey"),
				rapid.IntRange(0, 2).Draw(t, "date"), fmt.Sprintf(`{"v":%d}`, rapid.IntRange(0, 9).Draw(t, "v")))
		}
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			if rapid.IntRange(0, 4).Draw(t, "does") == 0 {
				r := drawn()
				n := len(model)
				model = slices.DeleteFunc(model, func(m dataset.Record) bool { return m.Key == r.Key && m.Date.Before(at(2)) })
				gone, err := w.DeleteRecords(t.Context(), space, uid, dataset.Selection{Keys: []string{r.Key}, Until: at(2)})
				if err != nil || int(gone) != n-len(model) {
					t.Fatalf("deleted %d, %v, want %d", gone, err, n-len(model))
				}
				continue
			}
			b, want := dataset.Batch{Replace: rapid.Bool().Draw(t, "replace")}, dataset.Written{}
			for i := range rapid.IntRange(0, 8).Draw(t, "records") {
				r := drawn()
				b.Records = append(b.Records, r)
				switch at := find(r); {
				case at < 0:
					model = append(model, r)
				case b.Replace:
					want.Replaced++
					model[at] = r
				default:
					want.Ignored = append(want.Ignored, i)
				}
			}
			got, err := w.WriteRecords(t.Context(), space, uid, b)
			if err != nil || got.Replaced != want.Replaced || !slices.Equal(got.Ignored, want.Ignored) {
				t.Fatalf("written %+v, %v, want %+v", got, err, want)
			}
		}
		slices.SortFunc(model, byIndex)
		list, more, err := w.ReadRecords(t.Context(), space, uid, dataset.Selection{ByIndex: true})
		if err != nil || more || len(list) != len(model) || len(list) > 0 && !reflect.DeepEqual(list, model) {
			t.Fatalf("there are %v, %v\nwant %v", list, err, model)
		}
		if n := len(model) / 2; n > 0 {
			p := dataset.Place{Key: model[n-1].Key, Subkey: model[n-1].Subkey, Date: model[n-1].Date}
			rest, _, err := w.ReadRecords(t.Context(), space, uid, dataset.Selection{ByIndex: true, After: &p})
			if err != nil || !reflect.DeepEqual(rest, model[n:]) {
				t.Fatalf("behind %+v are %v, %v", p, rest, err)
			}
		}
		counts, err := w.CountRecords(t.Context(), space, []string{uid, "ds_none"})
		if err != nil || counts[uid].Records != int64(len(model)) {
			t.Fatalf("counted %v, %v", counts, err)
		}
		if err := w.DropRecords(t.Context(), space, uid); err != nil {
			t.Fatal(err)
		}
	})
}

// Promise: a selection gives the records that it says, in the order that it says; what is compared is a value and never SQL;
// two spaces with one uid share nothing; and what was written is there after the warehouse was closed.
func TestRecordsAreSelected(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	w, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	space := event.Space{Project: "prj_1", Environment: "production"}
	var list []dataset.Record
	for n := range 6 {
		for _, key := range []string{"AAPL", "MSFT"} {
			list = append(list, recordOf(key, fmt.Sprint(n%2), n, fmt.Sprintf(`{"close":%d.5,"n":%d,"name":"%s'%d","day":"2026-01-0%d","up":%t}`, n, n, key, n, n+1, n > 2)))
		}
	}
	if _, err := w.WriteRecords(t.Context(), space, "ds_1", dataset.Batch{Records: list}); err != nil {
		t.Fatal(err)
	}
	for of, want := range map[event.Space][]string{space: {"ds_1"}, {Project: "prj_1", Environment: "empty"}: nil} {
		if uids, err := w.RecordUIDs(t.Context(), of); err != nil || !slices.Equal(uids, want) {
			t.Errorf("%v: there are records of %q, %v", of, uids, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	where := func(property string, of dataset.Type, op dataset.Op, values ...string) dataset.Selection {
		return dataset.Selection{Keys: []string{"AAPL"}, Where: []dataset.Condition{{Property: property, Of: of, Op: op, Values: values}}}
	}
	for name, c := range map[string]struct {
		s    dataset.Selection
		want string
	}{
		"the newest":         {dataset.Selection{Most: 1}, "M5"},
		"the newest of each": {dataset.Selection{Keys: []string{"MSFT", "AAPL"}, Most: 1}, "M5 A5"},
		"two of each":        {dataset.Selection{Keys: []string{"AAPL", "MSFT", "none"}, Most: 2}, "A5 A4 M5 M4"},
		"the oldest":         {dataset.Selection{Keys: []string{"AAPL"}, Most: 2, Oldest: true}, "A1 A0"},
		"upwards":            {dataset.Selection{Keys: []string{"AAPL"}, Most: 2, Upwards: true}, "A4 A5"},
		"offset":             {dataset.Selection{Keys: []string{"AAPL"}, Most: 2, Offset: 1}, "A4 A3"},
		"every second":       {dataset.Selection{Keys: []string{"AAPL"}, Every: 2}, "A5 A3 A1"},
		"every third, later": {dataset.Selection{Keys: []string{"AAPL"}, Every: 3, Offset: 1, Most: 1}, "A2"},
		"a subkey":           {dataset.Selection{Keys: []string{"AAPL"}, Subkeys: []string{"1"}}, "A5 A3 A1"},
		"of each subkey":     {dataset.Selection{Keys: []string{"AAPL"}, Subkeys: []string{"1", "0"}, Most: 1}, "A5 A4"},
		"of combinations":    {dataset.Selection{Keys: []string{"MSFT", "AAPL"}, Subkeys: []string{"1", "0"}, Most: 1, Oldest: true}, "M1 M0 A1 A0"},
		"offset of each":     {dataset.Selection{Keys: []string{"AAPL"}, Subkeys: []string{"1", "0"}, Most: 1, Offset: 1}, "A3 A2"},
		"subkeys of all":     {dataset.Selection{Subkeys: []string{"1", "0"}, Most: 1}, "M5 M4"},
		"from and until":     {dataset.Selection{Keys: []string{"AAPL"}, From: at(1), Until: at(3)}, "A2 A1"},
		"another date":       {dataset.Selection{Keys: []string{"AAPL"}, DateOf: "day", From: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)}, "A5 A4"},
		"a number":           {where("close", dataset.Number, dataset.Greater, "3.5"), "A5 A4"},
		"an integer":         {where("n", dataset.Integer, dataset.In, "1", "4"), "A4 A1"},
		"a text":             {where("name", dataset.String, dataset.Equal, "AAPL'3"), "A3"},
		"a hostile text":     {where("name", dataset.String, dataset.Equal, "' OR 1=1 --"), ""},
		"a hostile property": {where(`name') = '' OR ('1`, dataset.String, dataset.Equal, "1"), ""},
		"a boolean":          {where("up", dataset.Boolean, dataset.NotEqual, "true"), "A2 A1 A0"},
		"a date":             {where("day", dataset.Date, dataset.LessEqual, "2026-01-02T00:00:00Z"), "A1 A0"},
		"what is not there":  {where("none", dataset.Number, dataset.NotEqual, "1"), ""},
		"a ceiling":          {dataset.Selection{Keys: []string{"AAPL"}, Ceiling: 2}, "A5 A4 +"},
	} {
		got, more, err := w.ReadRecords(t.Context(), space, "ds_1", c.s)
		text := ""
		for _, r := range got {
			text += fmt.Sprintf(" %c%d", r.Key[0], r.Date.Second())
		}
		if more {
			text += " +"
		}
		if err != nil || strings.TrimSpace(text) != c.want {
			t.Errorf("%s: %q, %v, want %q", name, text, err, c.want)
		}
	}
	stranger := event.Space{Project: "prj_2", Environment: "production"}
	for _, s := range []event.Space{stranger, {Project: "prj_1", Environment: "staging"}} {
		if got, _, err := w.ReadRecords(t.Context(), s, "ds_1", dataset.Selection{}); err != nil || len(got) > 0 {
			t.Errorf("%s has %v, %v", s, got, err)
		}
	}
	for _, uid := range []string{`x"; DROP TABLE records.ds_1; --`, "../x", "a b", ""} {
		if _, err := w.WriteRecords(t.Context(), space, uid, dataset.Batch{}); err == nil {
			t.Errorf("the uid %q was taken", uid)
		}
	}
}
