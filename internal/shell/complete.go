package shell

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/query/complete"
	"github.com/weir-analytics/weir/internal/view"
)

// The limits on completion.
const (
	completionTime = 2 * time.Second // for the server to say what there is
	maxOffers      = 200
	maxNames       = 2000 // of tables and columns
	maxOffer       = 200  // bytes
)

// catalog is what there is to complete in one environment.
type catalog struct {
	tables []view.Table
	known  bool // from the server; else every server's tables
}

// catalogOf asks the server, and falls back on the tables that every server has.
func catalogOf(ctx context.Context, s Server, environment string) catalog {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	if tables, err := s.Tables(ctx, environment); err == nil {
		return catalog{named(tables), true}
	}
	return catalog{tables: view.Schema(view.Scope{})}
}

// identifier is a name that needs no quotes, which is all that is completed.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// named leaves out what has a name that cannot be completed.
func named(tables []view.Table) (kept []view.Table) {
	names := 0
	for _, t := range tables {
		t.Columns = slices.DeleteFunc(slices.Clone(t.Columns), func(c Column) bool { return !identifier.MatchString(c.Name) })
		if names += 1 + len(t.Columns); identifier.MatchString(t.Name) && names <= maxNames {
			kept = append(kept, t)
		}
	}
	return kept
}

// offers are what the word before the cursor may become: in a statement what the server suggests, and otherwise, or when
// it does not say, what the catalog has. head and tail are what stands around the word; pos counts characters.
func (s *Shell) offers(ctx context.Context, line string, pos int) (head string, offers []string, tail string) {
	begun, _ := s.split.Begun()
	head, word, tail := wordAt(line, pos)
	command := !begun && strings.HasPrefix(strings.TrimSpace(line), `\`)
	if !command && (word != "" || strings.HasSuffix(head, ".")) { // a tab that is pasted at the start of a line offers nothing
		if offers, err := s.suggested(ctx, head, word, tail); err == nil {
			return head, offers, tail
		}
	}
	return s.names(ctx).complete(line, pos)
}

// suggested are the server's suggestions for a word, but none that cannot stand in its place or acts on the terminal:
// names of properties are what senders made.
func (s *Shell) suggested(ctx context.Context, head, word, tail string) (texts []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	before := s.split.text.String() + s.split.carry + head
	from := utf8.RuneCountInString(before)
	to := from + utf8.RuneCountInString(word)
	found, err := s.Server.Complete(ctx, s.Environment, before+word+tail, to)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		text := f.Text
		switch {
		case f.From != from || f.To != to || len(text) > maxOffer || Harmless(text) != text || strings.ContainsAny(text, "\r\n\t") || len(texts) == maxOffers:
			continue
		case f.Kind == complete.Keyword && word == strings.ToLower(word):
			text = strings.ToLower(text)
		case f.Kind == complete.Function:
			text += "("
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// wordAt is the word before the cursor, and what stands around it.
func wordAt(line string, pos int) (head, word, tail string) {
	text := []rune(line)
	pos = min(max(pos, 0), len(text))
	from := pos
	for from > 0 && (text[from-1] == '_' || unicode.IsLetter(text[from-1]) || unicode.IsDigit(text[from-1])) {
		from--
	}
	if from == 1 && text[0] == '\\' {
		from = 0
	}
	return string(text[:from]), string(text[from:pos]), string(text[pos:])
}

// complete offers what the word before the cursor may become, without asking.
func (c catalog) complete(line string, pos int) (head string, offers []string, tail string) {
	head, word, tail := wordAt(line, pos)
	switch {
	case strings.HasPrefix(word, `\`):
		offers = beginning(word, commandNames())
	case strings.HasPrefix(head, `\format `):
		offers = beginning(word, formats())
	case strings.HasPrefix(head, `\d `):
		offers = beginning(word, c.tableNames())
	case strings.HasPrefix(head, `\`):
	case strings.HasSuffix(head, "."):
		offers = beginning(word, c.columnsOf(head[:len(head)-1]))
	case word != "":
		offers = beginning(word, c.columnsOf(""), c.tableNames(), functions(), keywords())
	}
	return head, offers, tail
}

// beginning gives the names that begin with a word, in the word's own case when they are in capitals.
func beginning(word string, lists ...[]string) (found []string) {
	lower := strings.ToLower(word)
	for _, name := range slices.Concat(lists...) {
		if !strings.HasPrefix(strings.ToLower(name), lower) {
			continue
		}
		if word == lower && name == strings.ToUpper(name) {
			name = strings.ToLower(name)
		}
		if !slices.Contains(found, name) && len(found) < maxOffers {
			found = append(found, name)
		}
	}
	return found
}

func (c catalog) tableNames() (names []string) {
	for _, t := range c.tables {
		names = append(names, t.Name)
	}
	return names
}

// columnsOf are the columns of the table that a text ends with the name of; of all tables when it is none's, for it may
// be an alias.
func (c catalog) columnsOf(text string) (names []string) {
	table := text[strings.LastIndexFunc(text, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })+1:]
	is := func(t view.Table) bool { return strings.EqualFold(t.Name, table) }
	one := slices.ContainsFunc(c.tables, is)
	for _, t := range c.tables {
		if one && !is(t) {
			continue
		}
		for _, column := range t.Columns {
			names = append(names, column.Name)
		}
	}
	return names
}

func keywords() []string {
	return strings.Fields(`SELECT FROM WHERE GROUP BY HAVING QUALIFY ORDER LIMIT OFFSET WITH AS DISTINCT ON JOIN LEFT RIGHT FULL INNER OUTER CROSS
		USING UNION ALL EXCEPT INTERSECT VALUES CASE WHEN THEN ELSE END AND OR NOT IN IS NULL LIKE ILIKE BETWEEN EXISTS ASC DESC NULLS FIRST LAST
		FILTER OVER PARTITION ROWS RANGE PRECEDING FOLLOWING UNBOUNDED CURRENT ROW CAST INTERVAL TIMESTAMP DATE VARCHAR BIGINT INTEGER DOUBLE
		BOOLEAN JSON TRUE FALSE EXTRACT SAMPLE`)
}

// functions are those that are asked for most; the server may have others.
func functions() []string {
	return strings.Fields(`count( sum( avg( min( max( median( quantile_cont( stddev( arg_max( arg_min( any_value( list( string_agg( histogram(
		approx_count_distinct( row_number( rank( lag( lead( first_value( last_value( date_trunc( date_diff( date_part( time_bucket( now( today(
		strftime( strptime( epoch_ms( age( coalesce( nullif( greatest( least( round( floor( ceil( abs( lower( upper( length( substr( trim( replace(
		split_part( contains( starts_with( regexp_matches( regexp_extract( concat( json_extract( json_extract_string( json_keys( json_array_length(
		json_type( unnest( range( generate_series( len( list_contains( list_filter( list_transform(`)
}
