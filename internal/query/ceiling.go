package query

import (
	"time"

	"github.com/weir-analytics/weir/internal/problem"
)

// The ceilings on a question, by the names of the settings that raise them.
const (
	timeCeiling    = "query_time"
	rowsCeiling    = "query_rows"
	bytesCeiling   = "query_bytes"
	memoryCeiling  = "warehouse_memory"
	queueCeiling   = "query_queue"
	resultsCeiling = "query_results"
)

// raise says how a ceiling is raised.
const raise = "Whoever runs the server can raise it with the setting %s."

// TooSlow is the problem of a question that took longer than it may.
func TooSlow(limit time.Duration) *problem.Error {
	return problem.New(problem.QueryTimeout, "The query was stopped after %v, the longest a query may take. "+raise, limit, timeCeiling).
		Over(timeCeiling, limit.Milliseconds())
}

// TooManyRows is the problem of an answer with more rows than it may have.
func TooManyRows(limit int64) *problem.Error {
	return problem.New(problem.ResultTooLarge, "The result has more than %d rows, the most an answer may have. "+raise, limit, rowsCeiling).
		Over(rowsCeiling, limit)
}

// TooManyBytes is the problem of an answer that is larger than it may be.
func TooManyBytes(limit int64) *problem.Error {
	return problem.New(problem.ResultTooLarge, "The result has more than %d bytes, the most an answer may have. "+raise, limit, bytesCeiling).
		Over(bytesCeiling, limit)
}

// TooHeavy is the problem of a question that needs more memory than there is for questions; 0 is an amount that is not
// known.
func TooHeavy(limit int64) *problem.Error {
	if limit <= 0 {
		return problem.New(problem.QueryTooHeavy, "The query needs more memory than a query may have. "+raise, memoryCeiling)
	}
	return problem.New(problem.QueryTooHeavy, "The query needs more memory than a query may have of the %d bytes that there are for all. "+raise, limit, memoryCeiling).
		Over(memoryCeiling, limit)
}

// TooManyWaiting is the problem of a question that gave way because more wait than may.
func TooManyWaiting(running, limit int) *problem.Error {
	return problem.New(problem.QueryQueueFull, "%d queries are running and %d are waiting, as many as may. "+raise, running, limit, queueCeiling).
		Over(queueCeiling, int64(limit)).After(time.Second)
}
