package duckdb

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/zone"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// A question with a time zone runs on a connection that has it, over relations whose times are instants: TIMESTAMP WITH
// TIME ZONE in the place of TIMESTAMP. Then date_trunc, extract and the like cut them by the zone's clocks, a time without
// an offset is one of these clocks, and no instant is lost when the clocks are put back.

// timeType is the type of the tables' times.
const timeType = "TIMESTAMP"

// showTime is the expression that shows a column in a question's zone; as it is when it is no time, or there is no zone.
func showTime(q *question, c view.Column) string {
	if q.TimeZone == "" || c.Type != timeType {
		return name(c.Name)
	}
	return "timezone('UTC', " + name(c.Name) + ") AS " + name(c.Name)
}

// enterZone gives a connection the time zone of a question.
func enterZone(ctx context.Context, conn *native.Conn, q *question) error {
	if q.TimeZone == "" {
		return nil
	}
	err := conn.SetTimeZone(ctx, q.TimeZone)
	if native.IsKind(err, native.Statement) {
		const detail = "is not known to the engine"
		return problem.Wrap(err, problem.InvalidField, "time_zone: %s", detail).At("time_zone", detail)
	}
	return err
}

// showIn has rows show their instants in the zone of a question.
func showIn(rows *native.Result, q *question) error {
	if q.TimeZone == "" {
		return nil
	}
	at, err := zone.Named(q.TimeZone)
	if err != nil {
		return fmt.Errorf("duckdb: %w", err)
	}
	if at != time.UTC {
		rows.ShowIn(at)
	}
	return nil
}
