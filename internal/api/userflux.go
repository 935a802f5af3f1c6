package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/metric"
	"github.com/weir-analytics/weir/internal/query/saved"
)

// This file is the Metrics API of UserFlux (contracts C2 and F4), over the same operations as our own addresses.

// userFluxTTL is how long answers to SQL are kept.
const userFluxTTL = saved.MinCacheMinutes * time.Minute

// UserFluxAnswer describes an answer as UserFlux gives it, with the rows as arrays and as objects.
type UserFluxAnswer struct {
	Columns   []query.Column   `json:"columns"`
	Rows      [][]any          `json:"rows" doc:"One array for each row, a value for each column."`
	Data      []map[string]any `json:"data" doc:"The same rows as objects."`
	Cached    bool             `json:"cached" doc:"Whether the answer was kept from before."`
	ExpiresAt *time.Time       `json:"expiresAt" doc:"Until when it is kept; null when it is not." nullable:"true"`
}

type userFluxMetric struct {
	ID   string `path:"metricId" doc:"The metric's id." example:"daily-orders"`
	Body struct {
		Variables map[string]jsontext.Value `json:"variables,omitempty" nullable:"false" doc:"The values of its variables, by their names."`
	}
}

type userFluxSQL struct {
	Body struct {
		EncodedQuery string                    `json:"encodedQuery" minLength:"1" maxLength:"90000" doc:"SQL in base64, with @{name} for the variables." example:"U0VMRUNUIDE="`
		Variables    map[string]jsontext.Value `json:"variables,omitempty" nullable:"false" doc:"A value for each variable of the SQL."`
	}
	sql string
}

func mountUserFlux(a *API) {
	metrics := a.cfg.Metrics
	mount(a, endpoint[noted[userFluxMetric], *query.Answer]{
		Method: "POST", Path: "/metrics/query/{metricId}", Of: compat.UserFlux, Action: access.RunMetrics,
		Read: readNoted(bound[userFluxMetric](a)), Wants: wantsNothing[noted[userFluxMetric]],
		Do: func(ctx context.Context, permit gate.Permit, n noted[userFluxMetric]) (*query.Answer, error) {
			return metrics.Run(ctx, permit, n.in.ID, saved.Asked{Variables: n.in.Body.Variables, Note: n.note()})
		},
		Write: writeUserFlux, Cost: 1, Price: answerPrice, Long: true,
		Doc: doc{
			ID: "userFluxMetric", Tag: "Metrics", Summary: "Run a metric, as UserFlux does", In: reflect.TypeFor[userFluxMetric](), Out: reflect.TypeFor[UserFluxAnswer](), Runs: true,
			Text:     "In the environment that the key uses by default. Answers are JSON alone.",
			Problems: append([]problem.Code{problem.NotFound}, runProblems...),
		},
	})
	mount(a, endpoint[noted[userFluxSQL], *query.Answer]{
		Method: "POST", Path: "/metrics/query", Of: compat.UserFlux, Action: access.RunSQL, Read: readNoted(readUserFluxSQL(a)), Wants: wantsNothing[noted[userFluxSQL]],
		Do: func(ctx context.Context, permit gate.Permit, n noted[userFluxSQL]) (*query.Answer, error) {
			translated, source := metric.FromUserFlux(n.in.sql)
			return metrics.Unsaved(ctx, permit, saved.Question{
				SQL: translated, Variables: n.in.Body.Variables, Field: "encodedQuery", Written: n.in.sql, Source: source, TTL: userFluxTTL, Note: n.note(),
			})
		},
		Write: writeUserFlux, Cost: 1, Price: answerPrice, Long: true,
		Doc: doc{
			ID: "userFluxQuery", Tag: "Metrics", Summary: "Ask a question in SQL, as UserFlux does", In: reflect.TypeFor[userFluxSQL](), Out: reflect.TypeFor[UserFluxAnswer](), Runs: true,
			Text: "In the environment that the key uses by default. The table `eventsTable` is `events`, and `ufProperties.key` is the text of a property. " +
				"`@{name}` and `'@{name}'` stand for values of variables, which are bound and never pasted. Answers are kept for 5 minutes, or as long as the client says whose token asks.",
			Problems: runProblems, Examples: []example{userFluxExample},
		},
	})
}

func readUserFluxSQL(a *API) func(*request) (userFluxSQL, error) {
	read := bound[userFluxSQL](a)
	return func(rq *request) (userFluxSQL, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		text, err := base64.StdEncoding.Strict().DecodeString(in.Body.EncodedQuery)
		if err != nil {
			return in, problem.Invalid("encodedQuery", "must be base64, with padding")
		}
		in.sql = strings.TrimPrefix(string(text), "\ufeff")
		return in, nil
	}
}

// writeUserFlux writes a UserFluxAnswer. The answer is read once for the arrays and once for the objects, and never as a
// whole into memory.
func writeUserFlux(rq *request, answer *query.Answer) error {
	defer func() { _ = answer.Close() }()
	rq.reply.Header()["Content-Type"] = jsonType
	rq.reply.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(&rq.reply, 32<<10)
	err := rowsOf(answer, func(columns jsontext.Value, rows *jsontext.Decoder) error {
		_, _ = fmt.Fprintf(out, `{"columns":%s,"rows":[`, columns)
		return eachRow(rows, out, func(row jsontext.Value) (jsontext.Value, error) { return row, nil })
	})
	if err == nil {
		err = rowsOf(answer, func(columns jsontext.Value, rows *jsontext.Decoder) error {
			names, err := namesOf(columns)
			if err != nil {
				return err
			}
			_, _ = out.WriteString(`],"data":[`)
			return eachRow(rows, out, func(row jsontext.Value) (jsontext.Value, error) { return asObject(names, row) })
		})
	}
	if err == nil {
		_, err = out.WriteString("]," + keptUntil(answer) + "}\n")
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		rq.line.cause, rq.broken = err, true // the caller is gone, or the answer cannot be read any more
	}
	return nil
}

// keptUntil says whether an answer was kept, and until when it is.
func keptUntil(answer *query.Answer) string {
	until := "null"
	if !answer.ExpiresAt.IsZero() {
		until = answer.ExpiresAt.UTC().Format(`"` + time.RFC3339Nano + `"`)
	}
	return fmt.Sprintf(`"cached":%v,"expiresAt":%s`, answer.Cached, until)
}

// rowsOf reads an answer in JSON: its columns, and its rows with a decoder that stands before the first of them.
func rowsOf(answer *query.Answer, read func(columns jsontext.Value, rows *jsontext.Decoder) error) error {
	from, to := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := answer.WriteTo(to)
		_ = to.CloseWithError(err) // nil is the end
	}()
	defer func() {
		_ = from.Close() // which ends the writing
		<-done
	}()
	in := jsontext.NewDecoder(from, jsontext.AllowDuplicateNames(true)) // a property may hold what senders made
	for _, want := range []string{"{", `"columns"`} {
		token, err := in.ReadToken()
		if err != nil {
			return err
		}
		if token.Kind() == '"' && token.String() != strings.Trim(want, `"`) {
			return fmt.Errorf("api: an answer has %s and not %s", token, want)
		}
	}
	columns, err := in.ReadValue()
	if err != nil {
		return err
	}
	columns = columns.Clone()
	for range 2 { // the name of the rows, and the bracket before them
		if _, err := in.ReadToken(); err != nil {
			return err
		}
	}
	return read(columns, in)
}

// eachRow writes the rows that a decoder stands before, with commas between them.
func eachRow(rows *jsontext.Decoder, out *bufio.Writer, as func(jsontext.Value) (jsontext.Value, error)) error {
	for first := true; rows.PeekKind() == '['; first = false {
		row, err := rows.ReadValue()
		if err != nil {
			return err
		}
		text, err := as(row)
		if err != nil {
			return err
		}
		if !first {
			_ = out.WriteByte(',') // the next write has its error
		}
		if _, err := out.Write(text); err != nil {
			return err
		}
	}
	_, err := rows.ReadToken()
	return err
}

// namesOf are the columns' names as JSON.
func namesOf(columns jsontext.Value) ([]jsontext.Value, error) {
	var list []query.Column
	if err := json.Unmarshal(columns, &list); err != nil {
		return nil, err
	}
	names := make([]jsontext.Value, len(list))
	for i, c := range list {
		var err error
		if names[i], err = jsontext.AppendQuote(nil, c.Name); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// asObject is a row as an object.
func asObject(names []jsontext.Value, row jsontext.Value) (jsontext.Value, error) {
	in := jsontext.NewDecoder(bytes.NewReader(row), jsontext.AllowDuplicateNames(true))
	if _, err := in.ReadToken(); err != nil {
		return nil, err
	}
	object := []byte{'{'}
	for i, name := range names {
		value, err := in.ReadValue()
		if err != nil {
			return nil, err
		}
		if i > 0 {
			object = append(object, ',')
		}
		object = append(append(append(object, name...), ':'), value...)
	}
	return append(object, '}'), nil
}
