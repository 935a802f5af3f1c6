package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/ledger"
)

// What counts are told apart by, in the order of ledger.BreakdownNames, and how counts of the same are added up.
const (
	aboutColumns = `key_id, outcome, reason, action, environment, event, network`
	addUp        = `ON CONFLICT (project_id, span, began_at, ` + aboutColumns + `)
		DO UPDATE SET requests = usage_counts.requests + excluded.requests, items = usage_counts.items + excluded.items`
)

// keepCounts adds to the counts by minute; and what comes so late that its minute is in the sums of longer spans already,
// to those too.
func keepCounts(ctx context.Context, tx *sql.Tx, list []ledger.Count) error {
	sums := map[string]summed{}
	type row struct {
		ledger.Count
		grain ledger.Grain
	}
	rows := make([]row, 0, len(list))
	for _, c := range list {
		sum, ok := sums[c.Project]
		if !ok {
			var err error
			if sum, err = summedUntil(ctx, tx, c.Project); err != nil {
				return err
			}
			sums[c.Project] = sum
		}
		rows = append(rows, row{c, ledger.Minute})
		for _, grain := range [...]ledger.Grain{ledger.Hour, ledger.Day} {
			if c.At.Before(sum[grain]) {
				late := c
				late.At = startOfSpan(c.At, grain)
				rows = append(rows, row{late, grain})
			}
		}
	}
	return eachRow(ctx, tx, `INSERT INTO usage_counts (project_id, span, began_at, `+aboutColumns+`, requests, items)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) `+addUp, rows,
		func(r row) []any {
			return append(append([]any{r.Project, seconds(r.grain), r.At.UnixMicro()}, aboutValues(&r.About)...), r.Requests, r.Items)
		})
}

// summed is up to where the counts of a project have been added to those of a grain.
type summed map[ledger.Grain]time.Time

func summedUntil(ctx context.Context, from querier, project string) (summed, error) {
	rows, err := from.QueryContext(ctx, `SELECT span, until_at FROM usage_sums WHERE project_id = $1`, project)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is that of Err
	until := summed{}
	for rows.Next() {
		var span, at int64
		if err := rows.Scan(&span, &at); err != nil {
			return nil, err
		}
		for _, grain := range [...]ledger.Grain{ledger.Hour, ledger.Day} {
			if span == seconds(grain) {
				until[grain] = fromMicros(at)
			}
		}
	}
	return until, rows.Err()
}

// aboutValues are the values of aboutColumns.
func aboutValues(a *ledger.About) []any {
	return []any{a.KeyID, a.Outcome.String(), a.Reason, ledger.ActionName(a.Action), a.Environment, a.Event, writeNetwork(a.Network)}
}

func writeNetwork(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func readNetwork(text string) netip.Prefix {
	p, _ := netip.ParsePrefix(text) // an empty one is no network
	return p
}

// Usage implements ledger.Store.
func (s *Store) Usage(ctx context.Context, q ledger.CountQuery) ([]ledger.Count, error) {
	// What has been added up is read as such; what has not, by the shorter span.
	spans := map[ledger.Grain]string{
		ledger.Minute: `span = 60`,
		ledger.Hour:   `(span = 3600 OR span = 60 AND began_at >= ` + untilSummed(3600) + `)`,
		ledger.Day: `(span = 86400 OR span = 3600 AND began_at >= ` + untilSummed(86400) + `
			OR span = 60 AND began_at >= ` + untilSummed(3600) + ` AND began_at >= ` + untilSummed(86400) + `)`,
	}
	where := conditions{
		text: `project_id = $1 AND began_at >= $2 AND began_at < $3 AND ` + spans[q.Grain],
		args: []any{q.Project, q.From.UnixMicro(), q.To.UnixMicro()},
	}
	where.live("key_id", q.Live)
	columns := strings.Split(aboutColumns, ", ")
	for i, value := range aboutValues(&q.About) {
		where.and(columns[i], value.(string))
	}
	micros := q.Grain.Span().Microseconds()
	began := fmt.Sprintf(`began_at - (began_at %% %d + %d) %% %d`, micros, micros, micros)
	apart := []string{began}
	values := make([]string, len(columns)) // what is not told apart is empty
	for i, column := range columns {
		if values[i] = "''"; q.By&(1<<i) != 0 {
			values[i] = column
			apart = append(apart, column)
		}
	}
	order := strings.Join(apart, ", ")
	if q.After != nil {
		place := []any{q.After.At.UnixMicro()}
		for i := range columns {
			if q.By&(1<<i) != 0 {
				place = append(place, q.After.What[i])
			}
		}
		where.bound("began_at >=", place[0])
		where.after(order, ">", place...)
	}
	limit := where.limit(q.Limit)
	return list(ctx, s.read, func(row scanner) (ledger.Count, error) { return scanCount(row, q.Project) },
		`SELECT `+began+`, `+strings.Join(values, ", ")+`, SUM(requests), SUM(items) FROM usage_counts
		WHERE `+where.text+` GROUP BY `+order+` ORDER BY `+order+` LIMIT `+limit, where.args...)
}

// untilSummed is up to where the counts of the project $1 are in the sums by a span; the beginning of time when none are.
func untilSummed(span int) string {
	return fmt.Sprintf(`COALESCE((SELECT until_at FROM usage_sums WHERE project_id = $1 AND span = %d), -9223372036854775807)`, span)
}

func scanCount(row scanner, project string) (ledger.Count, error) {
	var (
		c                        ledger.Count
		at                       int64
		outcome, action, network string
	)
	err := row.Scan(&at, &c.KeyID, &outcome, &c.Reason, &action, &c.Environment, &c.Event, &network, &c.Requests, &c.Items)
	c.Project, c.At, c.Action, c.Network = project, fromMicros(at), actionNamed(action), readNetwork(network)
	c.Outcome, _ = ledger.ParseOutcome(outcome)
	return c, err
}
