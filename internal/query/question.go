package query

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/zone"
)

// The limits on a question.
const (
	MaxSQLBytes       = 64 << 10 // of a statement
	MaxParameters     = 1000     // in a question
	MaxParameterBytes = 64 << 10 // of one parameter as JSON
)

// Question is what POST /v1/query takes. Environment is where it is asked; the permit, and not the question, says which
// environment is read.
//
// Spreadsheet is for CSV, and off unless asked for. Text in events is written by strangers, as a public key can be read
// by anybody, and a spreadsheet runs a cell that begins with '=' as a formula. The cure, an apostrophe in front, changes
// the data in a way that cannot be undone, and the usual reader of this answer is a program, to which such text is
// harmless and a changed one is wrong. So an answer is exact by default, and whoever makes a file for people to open
// (the console does) sets Spreadsheet.
type Question struct {
	SQL         string         `json:"sql" doc:"One read-only SELECT, at most 64 KiB." example:"SELECT event, count(*) AS n FROM events WHERE distinct_id = $1 GROUP BY event"`
	Environment string         `json:"environment,omitempty" doc:"The environment to read; by default the first one the key may use." example:"production"`
	Parameters  jsontext.Value `json:"parameters,omitempty" doc:"An array for $1, $2, … or an object for $name, of nulls, booleans, numbers and strings."`
	TimeZone    string         `json:"time_zone,omitempty" maxLength:"64" doc:"An IANA time zone, whose days and hours the statement counts in, and in which its instants are shown; by default UTC, and the times of the tables are TIMESTAMP." example:"Europe/Paris"`
	Format      Format         `json:"format,omitempty" enum:"json,objects,ndjson,csv,parquet,arrow" doc:"How the answer is written; json by default."`
	Spreadsheet bool           `json:"spreadsheet,omitempty" doc:"For csv: put an apostrophe before text that a spreadsheet would run as a formula."`

	CacheMinutes int `json:"cache_minutes,omitempty" minimum:"5" maximum:"1440" doc:"Keep the answer so long, and take one that was kept for the same question and is no older. Without it the question runs."`
	StaleMinutes int `json:"stale_minutes,omitempty" minimum:"1" maximum:"1440" doc:"For so long after that, give the kept answer at once all the same, and have it made anew for whoever asks next."`

	// TTL and Stale are the same for callers in the program, and go before what the question says. Zero: nothing is kept.
	TTL   time.Duration `json:"-"`
	Stale time.Duration `json:"-"`

	// Part, from callers in the program, is which rows of the answer are wanted. Nil: all. What is a part is not kept.
	Part *Part `json:"-"`

	// Alike, from callers in the program, is what tells kept answers apart in the place of the parameters, when those hold
	// the time of asking. Statement, space, scope and form are told apart all the same.
	Alike string `json:"-"`
}

// Part is some of the rows of an answer, in the order in which they come. Those that are passed over are read all the same, and
// the ceilings hold for them too; those behind the part are not.
type Part struct {
	From int64 // so many are passed over
	Most int64 // and no more than so many are taken; negative: all others
}

// has reports whether the row at a place from 0 is of the part, and whether all rows from it on come after the part.
func (p *Part) has(place int64) (in, behind bool) {
	if p == nil {
		return true, false
	}
	behind = p.Most >= 0 && place-p.From >= p.Most
	return place >= p.From && !behind, behind
}

// zone is the time zone of a question, as a statement has it. Problems: invalid_field.
func (q Question) zone() (string, error) {
	at, err := zone.Named(q.TimeZone)
	switch {
	case err != nil:
		return "", problem.Wrap(err, problem.InvalidField, "%s", badZone).At("time_zone", badZone)
	case at == time.UTC:
		return "", nil
	}
	return at.String(), nil
}

const badZone = "must be the name of an IANA time zone, such as Europe/Paris"

func checkSQL(sql string) error {
	switch {
	case strings.TrimSpace(sql) == "":
		return problem.Invalid("sql", "is required")
	case len(sql) > MaxSQLBytes:
		return problem.Invalid("sql", "must be at most %d bytes long, is %d", MaxSQLBytes, len(sql))
	case !utf8.ValidString(sql):
		return problem.Invalid("sql", "must be valid UTF-8")
	case strings.IndexByte(sql, 0) >= 0:
		return problem.Invalid("sql", "must not contain a NUL character")
	}
	return nil
}

// parameters are a question's values, by position or by name.
type parameters struct {
	positional []jsontext.Value
	named      map[string]jsontext.Value
}

// readParameters reads an array or an object of scalars. Nothing, and null, are no parameters.
func readParameters(v jsontext.Value) (parameters, error) {
	var p parameters
	switch {
	case len(v) == 0 || v.Kind() == 'n' && v.IsValid():
		return p, nil
	case v.Kind() == '{':
		p.named = map[string]jsontext.Value{}
	case v.Kind() != '[':
		return p, problem.Invalid("parameters", "must be an array of values for $1, $2, … or an object of values for $name")
	}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if _, err := d.ReadToken(); err != nil {
		return p, badParameters(err)
	}
	for d.PeekKind() != ']' && d.PeekKind() != '}' {
		if len(p.positional)+len(p.named) == MaxParameters {
			return p, problem.Invalid("parameters", "at most %d are accepted", MaxParameters)
		}
		if err := p.readOne(d); err != nil {
			return p, err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return p, badParameters(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return p, badParameters(err)
	}
	return p, nil
}

func (p *parameters) readOne(d *jsontext.Decoder) error {
	name, field := "", fmt.Sprintf("parameters[%d]", len(p.positional))
	if p.named != nil {
		token, err := d.ReadToken()
		if err != nil {
			return badParameters(err)
		}
		name = token.String()
		field = fieldOf(name)
	}
	value, err := d.ReadValue()
	if err != nil {
		return badParameters(err)
	}
	switch kind := value.Kind(); {
	case kind == '{' || kind == '[':
		return problem.Invalid(field, "must be null, true, false, a number or a string")
	case len(value) > MaxParameterBytes:
		return problem.Invalid(field, "must be at most %d bytes long, is %d", MaxParameterBytes, len(value))
	}
	if p.named != nil {
		p.named[name] = value.Clone()
	} else {
		p.positional = append(p.positional, value.Clone())
	}
	return nil
}

func badParameters(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return problem.Invalid("parameters", "has a name twice")
	}
	return problem.Invalid("parameters", "is not one JSON array or object")
}

// match compares the values with the parameters that the engine found in the statement, and names every one that is
// missing or too many.
func (p parameters) match(wanted []string) error {
	count, byPosition := positions(wanted)
	var wrong []problem.Field
	switch {
	case count > MaxParameters || len(wanted) > MaxParameters:
		return problem.Invalid("sql", "has more than %d parameters", MaxParameters)
	case byPosition && len(p.named) > 0:
		return problem.Invalid("parameters", "must be an array: the statement has no parameters by name")
	case !byPosition && len(p.positional) > 0:
		return problem.Invalid("parameters", "must be an object: the statement has its parameters by name")
	case byPosition:
		wrong = p.matchPositions(count)
	default:
		wrong = p.matchNames(wanted)
	}
	if len(wrong) == 0 {
		return nil
	}
	return &problem.Error{Code: problem.InvalidField, Detail: wrong[0].Name + ": " + wrong[0].Detail, Fields: wrong}
}

func (p parameters) matchPositions(count int) []problem.Field {
	var wrong []problem.Field
	for i := len(p.positional); i < count; i++ {
		wrong = append(wrong, problem.Field{Name: fmt.Sprintf("parameters[%d]", i), Detail: fmt.Sprintf("is missing: the statement has $%d", i+1)})
	}
	for i := count; i < len(p.positional); i++ {
		wrong = append(wrong, problem.Field{Name: fmt.Sprintf("parameters[%d]", i), Detail: fmt.Sprintf("is one too many: the statement has no $%d", i+1)})
	}
	return wrong
}

func (p parameters) matchNames(wanted []string) []problem.Field {
	var wrong []problem.Field
	for _, name := range wanted {
		if _, given := p.named[name]; !given {
			wrong = append(wrong, problem.Field{Name: fieldOf(name), Detail: "is missing: the statement has it"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.named)) {
		if !slices.Contains(wanted, name) {
			wrong = append(wrong, problem.Field{Name: fieldOf(name), Detail: "is not in the statement"})
		}
	}
	return wrong
}

// positions reports whether all of a statement's parameters are numbers, and the highest of them.
func positions(wanted []string) (count int, all bool) {
	for _, name := range wanted {
		n, err := strconv.Atoi(name)
		if err != nil {
			return 0, false
		}
		count = max(count, n)
	}
	return count, true
}

// fieldOf is the path of a parameter by its name, of which at most 64 bytes are shown.
func fieldOf(name string) string {
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "…"
	}
	return "parameters." + name
}
