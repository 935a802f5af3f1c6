package dataset

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/problem"
)

// Ask is what somebody asks of one or several datasets, as it is written. What is empty or 0 is not asked for.
type Ask struct {
	Datasets  []string
	Keys      []string // each with each dataset
	Subkey    string
	Range     string // see parseRange
	From      string
	To        string // with the day it names
	On        string
	DateField string // the property that range, from, to and on are about; empty: the index's date
	First     int    // so many of each key, or combination of key and subkey, from the oldest
	Last      int    // so many of each key, from the newest
	Limit     int
	Offset    int
	Interval  int    // only each n-th of a key
	Sort      string // asc or desc
	Filter    string // comparisons, or names of properties: those are all that is given of a record

	Ahead        bool   // range lies ahead of now instead of behind
	Next         int    // so many of each key, or combination of key and subkey, from now on
	Updated      string // written at this time or later
	Subattribute string // comparisons as IEX Cloud writes them
	Separator    string // between subkeys; empty: a comma
}

// Selection is what is asked of one dataset. Without a subkey, a time or a number it is the newest record of each key that
// is named, or of all.
//
// Problems: invalid_field.
func (a *Ask) Selection(d *Dataset, now time.Time) (Selection, error) {
	var f faults
	s := Selection{Keys: a.Keys, Offset: int64(a.Offset), Every: int64(a.Interval), DateOf: a.DateField}
	if a.Subkey != "" {
		if d.Index.Subkey == "" {
			f.add("path.subkey", "the dataset %s has no subkeys", d.ID)
		}
		s.Subkeys = a.subkeys()
	}
	for _, n := range []struct {
		name  string
		value int
		most  int
	}{{"first", a.First, MaxRead}, {"last", a.Last, MaxRead}, {"next", a.Next, MaxRead}, {"limit", a.Limit, MaxRead}, {"interval", a.Interval, MaxRead}, {"offset", a.Offset, 1 << 30}} {
		if n.value < 0 || n.value > n.most {
			f.add("query."+n.name, "must be from 1 to %d", n.most)
		}
	}
	if a.DateField != "" {
		if p, ok := d.Schema.Property(a.DateField); !ok || p.Type != Date {
			f.add("query.dateField", "must be a property of the type date")
		}
	}
	f.times(a, &s, now)
	f.count(a, &s)
	s.Where = append(f.filter(a.Filter, &d.Schema), f.subattribute(a.Subattribute, &d.Schema)...)
	return s, f.problem()
}

// subkeys are those that are named.
func (a *Ask) subkeys() []string {
	if a.Subkey == "" {
		return nil
	}
	return strings.Split(a.Subkey, cmp.Or(a.Separator, ","))
}

// Bytes is the most that what is asked for can have, as records.
func (a *Ask) Bytes() int64 {
	var s Selection
	new(faults).count(a, &s)
	most := s.Most * int64(a.combinations())
	if s.Most == 0 || most > MaxReadBytes/MaxRecord {
		return MaxReadBytes
	}
	return most * MaxRecord
}

// count reads how many records are asked for, and in which order.
func (f *faults) count(a *Ask, s *Selection) {
	given := 0
	for _, n := range []int{a.First, a.Last, a.Next} {
		if n > 0 {
			given, s.Most = given+1, int64(n)
		}
	}
	if given > 1 {
		f.add("query.first", "must not be together with last or next, nor one of them with the other")
	}
	s.Oldest = a.First > 0 || a.Next > 0
	if a.Limit > 0 && (s.Most == 0 || int64(a.Limit) < s.Most) {
		s.Most = int64(a.Limit)
	}
	timed := a.Range != "" || a.From != "" || a.To != "" || a.On != "" || a.Updated != ""
	if s.Most == 0 && !timed && a.Subkey == "" {
		s.Most = 1
	}
	switch a.Sort {
	case "", "desc":
	case "asc":
		s.Upwards = true
	default:
		f.add("query.sort", "must be asc or desc")
	}
}

// times reads the times that are asked for.
func (f *faults) times(a *Ask, s *Selection, now time.Time) {
	if a.Updated != "" {
		s.Since, _ = f.time("updated", a.Updated)
	}
	if a.Ahead && a.Range == "" {
		f.add("query.calendar", "says which way a range goes, and there is none")
	}
	if a.Next > 0 {
		if a.Range != "" || a.From != "" || a.To != "" || a.On != "" {
			f.add("query.next", "must not be together with range, from, to or on")
		}
		s.From = now
		return
	}
	if a.Range != "" {
		from, until, ok := parseRange(a.Range, now, a.Ahead)
		if !ok {
			f.add("query.range", "must be a number and one of s, min, h, d, w, m, q and y, such as 5d, or one of %s", strings.Join(rangeNames(), ", "))
		}
		if a.From != "" || a.To != "" || a.On != "" {
			f.add("query.range", "must not be together with from, to or on")
		}
		s.From, s.Until = from, until
		return
	}
	if a.On != "" && (a.From != "" || a.To != "") {
		f.add("query.on", "must not be together with from or to")
	}
	if a.On != "" {
		t, _ := f.time("on", a.On)
		s.From = t.Truncate(day)
		s.Until = s.From.Add(day)
		return
	}
	if a.From != "" {
		s.From, _ = f.time("from", a.From)
	}
	if a.To != "" {
		t, whole := f.time("to", a.To)
		if s.Until = t.Add(time.Microsecond); whole {
			s.Until = t.Add(day)
		}
	}
	if !s.From.IsZero() && !s.Until.IsZero() && !s.From.Before(s.Until) {
		f.add("query.from", "must not be behind to")
	}
}

const day = 24 * time.Hour

func (f *faults) time(name, text string) (t time.Time, whole bool) {
	t, whole, ok := ParseTime(text)
	if !ok {
		f.add("query."+name, "%s", notADate)
	}
	return t, whole
}

// rangeNames are the ranges that are called by a name.
func rangeNames() []string {
	return []string{
		"max", "today", "yesterday", "ytd", "this-week", "last-week", "this-month", "last-month", "this-quarter", "last-quarter", "this-year", "last-year",
		"tomorrow", "next-week", "next-month", "next-quarter", "next-year",
	}
}

// parseRange reads a range of time that ends with now, or is of the calendar in UTC, whose weeks begin on Monday. A zero
// time is no bound. Days, weeks, months, quarters and years begin with a day. Ahead, a number of them begins with now.
func parseRange(text string, now time.Time, ahead bool) (from, until time.Time, ok bool) {
	now = now.UTC()
	today := now.Truncate(day)
	month := time.Date(today.Year(), today.Month(), 1, 0, 0, 0, 0, time.UTC)
	quarter := time.Date(today.Year(), (today.Month()-1)/3*3+1, 1, 0, 0, 0, 0, time.UTC)
	year := time.Date(today.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	week := today.AddDate(0, 0, -(int(today.Weekday())+6)%7)
	switch text = strings.ToLower(text); text {
	case "max":
		return from, until, true
	case "today":
		return today, today.Add(day), true
	case "yesterday":
		return today.Add(-day), today, true
	case "ytd":
		return year, today.Add(day), true
	case "this-year":
		return year, year.AddDate(1, 0, 0), true
	case "last-year":
		return year.AddDate(-1, 0, 0), year, true
	case "this-week":
		return week, week.AddDate(0, 0, 7), true
	case "last-week":
		return week.AddDate(0, 0, -7), week, true
	case "this-month":
		return month, month.AddDate(0, 1, 0), true
	case "last-month":
		return month.AddDate(0, -1, 0), month, true
	case "this-quarter":
		return quarter, quarter.AddDate(0, 3, 0), true
	case "last-quarter":
		return quarter.AddDate(0, -3, 0), quarter, true
	case "tomorrow":
		return today.Add(day), today.Add(2 * day), true
	case "next-week":
		return week.AddDate(0, 0, 7), week.AddDate(0, 0, 14), true
	case "next-month":
		return month.AddDate(0, 1, 0), month.AddDate(0, 2, 0), true
	case "next-quarter":
		return quarter.AddDate(0, 3, 0), quarter.AddDate(0, 6, 0), true
	case "next-year":
		return year.AddDate(1, 0, 0), year.AddDate(2, 0, 0), true
	}
	return parseSpan(text, now, today, ahead)
}

// addMonths is the same day of another month, or its last one where it has no such day.
func addMonths(date time.Time, n int) time.Time {
	first := time.Date(date.Year(), date.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(date.Day(), last)-1)
}

// parseSpan reads a number and a unit.
func parseSpan(text string, now, today time.Time, ahead bool) (from, until time.Time, ok bool) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	n, err := strconv.Atoi(text[:digits])
	if digits == 0 {
		n, err = 1, nil
	}
	if err != nil || n < 1 || n > 100_000 {
		return from, until, false
	}
	if !ahead {
		n = -n
	}
	if unit := map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour}[text[digits:]]; unit != 0 {
		from, until = now.Add(time.Duration(n)*unit), now
		if ahead {
			from, until = until, from
		}
		return from, until.Add(time.Microsecond), true
	}
	var far time.Time
	switch text[digits:] {
	case "d":
		far = today.AddDate(0, 0, n)
	case "w":
		far = today.AddDate(0, 0, 7*n)
	case "m":
		far = addMonths(today, n)
	case "q":
		far = addMonths(today, 3*n)
	case "y":
		far = addMonths(today, 12*n)
	default:
		return from, until, false
	}
	if ahead {
		return today, far.Add(day), far.Year() <= 9999
	}
	return far, today.Add(day), far.Year() >= 1
}

// maxConditions bounds a filter, and maxValues the values of one condition.
const (
	maxConditions = 20
	maxValues     = 100
	maxFilter     = 4 << 10
)

// filter reads a filter: comparisons with "and" between them.
//
//	close > 100 and symbol in (AAPL, "BRK B") and date < 2026-01-31
//
// A property with other characters than letters, digits, _ and . stands in quotation marks, and so does a value with a space,
// a comma, a bracket or a sign of comparison in it. The marks are " or ', and each may stand between two of the other; between
// marks, a \ stands before a mark of the same sort or a \ that is meant.
func (f *faults) filter(text string, schema *Schema) (all []Condition) {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	if len(text) > maxFilter {
		f.add("query.filter", "must be at most %d bytes", maxFilter)
		return nil
	}
	words, fault := wordsOf(text)
	if _, ok := fieldsOf(words); ok {
		return nil // see Fields
	}
	for fault == "" {
		var c Condition
		if c, words, fault = condition(words, schema); fault != "" {
			break
		}
		if all = append(all, c); len(all) > maxConditions {
			fault = fmt.Sprintf("has more than %d comparisons", maxConditions)
		}
		if len(words) == 0 {
			break
		}
		if !strings.EqualFold(words[0].text, "and") || words[0].quoted {
			fault = fmt.Sprintf("after a comparison there must be and, not %.40q", words[0].text)
			break
		}
		words = words[1:]
	}
	if fault != "" {
		f.add("query.filter", "%s", fault)
		return nil
	}
	return all
}

// word is a name, a value or a sign of a filter.
type word struct {
	text   string
	quoted bool
	sign   bool
}

const signs = "=!<>(),"

// wordsOf takes a filter apart. Both quotation marks quote; within a word that does not begin with one, ' is an apostrophe.
func wordsOf(text string) (all []word, fault string) {
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		switch {
		case text == "":
			return all, ""
		case text[0] == '"' || text[0] == '\'':
			value, rest, ok := unquote(text[1:], text[0])
			if !ok {
				return nil, "a quotation mark is not closed"
			}
			all, text = append(all, word{text: value, quoted: true}), rest
		case strings.IndexByte(signs, text[0]) >= 0:
			n := 1
			if len(text) > 1 && strings.IndexByte("!<>", text[0]) >= 0 && text[1] == '=' {
				n = 2
			}
			all, text = append(all, word{text: text[:n], sign: true}), text[n:]
		default:
			n := strings.IndexAny(text, signs+"\" \t\r\n")
			if n < 0 {
				n = len(text)
			}
			all, text = append(all, word{text: text[:n]}), text[n:]
		}
	}
}

// unquote reads up to the mark that closes a value; a backslash goes before one that is of the value, and before a backslash.
func unquote(text string, mark byte) (value, rest string, ok bool) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case mark:
			return out.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		out.WriteByte(text[i])
	}
	return "", "", false
}

// condition reads one comparison from the front.
func condition(words []word, schema *Schema) (c Condition, rest []word, fault string) {
	if len(words) < 3 || words[0].sign {
		return c, nil, "a comparison is a property, one of = != < <= > >= in, and a value"
	}
	p, ok := schema.Property(words[0].text)
	switch {
	case !ok:
		return c, nil, fmt.Sprintf("%.40q is not one of the properties", words[0].text)
	case p.Type == Object || p.Type == Array:
		return c, nil, fmt.Sprintf("%.40q is of type %s, which cannot be compared", p.Name, p.Type)
	}
	c = Condition{Property: p.Name, Of: p.Type, Op: Op(words[1].text)}
	if c.Of == Any {
		c.Of = String
	}
	if strings.EqualFold(words[1].text, "in") && !words[1].quoted {
		c.Op = In
		c.Values, rest, fault = valuesOf(words[2:], c.Of)
		return c, rest, fault
	}
	if !slices.Contains([]Op{Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual}, c.Op) || !words[1].sign || words[2].sign {
		return c, nil, "a comparison is a property, one of = != < <= > >= in, and a value"
	}
	if c.Of == Boolean && c.Op != Equal && c.Op != NotEqual {
		return c, nil, "a boolean is compared with = and != only"
	}
	value, fault := valueOf(words[2].text, c.Of)
	c.Values = []string{value}
	return c, words[3:], fault
}

// valuesOf reads a list in brackets from the front.
func valuesOf(words []word, of Type) (values []string, rest []word, fault string) {
	if !isSign(words, "(") {
		return nil, nil, "behind in there must be values in brackets"
	}
	for words = words[1:]; len(words) > 0 && !words[0].sign; words = words[1:] {
		value, fault := valueOf(words[0].text, of)
		if fault != "" {
			return nil, nil, fault
		}
		if values = append(values, value); len(values) > maxValues {
			return nil, nil, fmt.Sprintf("has a list of more than %d values", maxValues)
		}
		if words = words[1:]; isSign(words, ")") {
			return values, words[1:], ""
		}
		if !isSign(words, ",") {
			break
		}
	}
	return nil, nil, "behind in there must be values in brackets, with commas between them"
}

func isSign(words []word, sign string) bool {
	return len(words) > 0 && words[0].sign && words[0].text == sign
}

// valueOf reads a value that is compared with a property of a type.
func valueOf(text string, of Type) (string, string) {
	if of == String {
		if strings.ContainsRune(text, 0) {
			return "", "a value has a NUL character"
		}
		return text, ""
	}
	p := Property{Type: of}
	v, fault := p.fromText(text)
	if fault == "" && v == nil {
		fault = "a value is missing"
	}
	if fault != "" {
		return "", fmt.Sprintf("the value %.40q %s", text, fault)
	}
	return plainText(v), ""
}

// combinations is of how many datasets, keys and subkeys records are asked for, each with each.
func (a *Ask) combinations() int {
	return max(1, len(a.Datasets)) * max(1, len(a.Keys)) * max(1, len(a.subkeys()))
}

// Combinations refuses more of a dataset, a key and a subkey than one reading takes, and names that cannot be.
func (a *Ask) Combinations() error {
	if n := a.combinations(); n > MaxCombination {
		if subkeys := len(a.subkeys()); subkeys > 1 {
			return problem.Invalid("path.subkey", "%d datasets, %d keys and %d subkeys are %d combinations, more than %d", len(a.Datasets), len(a.Keys), subkeys, n, MaxCombination)
		}
		return problem.Invalid("path.key", "%d datasets and %d keys are %d combinations, more than %d", len(a.Datasets), len(a.Keys), n, MaxCombination)
	}
	for _, key := range a.Keys {
		if key == "" || len(key) > MaxIndexed || strings.ContainsRune(key, 0) {
			return problem.Invalid("path.key", "a key has 1 to %d bytes, none of them NUL", MaxIndexed)
		}
	}
	return nil
}
