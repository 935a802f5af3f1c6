package api_test

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: the channel of channels follows the dataset deep: it begins with the newest record of each symbol in each of the channels
// that are named, and has what is written to these and nothing else.
func TestChannelsAreFollowed(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"deep","schema":{"type":"object","properties":{"symbol":{"type":"string"},"messageType":{"type":"string"},
		"date":{"type":"date"}}},"columnMapping":{"key":"symbol","subkey":"messageType","date":"date"}}`, 201)
	s.define("tops", "core")
	record := func(symbol, channel, date string) string {
		return `{"symbol":"` + symbol + `","messageType":"` + channel + `","date":"` + date + `"}`
	}
	write := func(records ...string) {
		t.Helper()
		s.ask(s.all, "POST", "/v1/record/CORE/deep", "["+strings.Join(records, ",")+"]", 200)
	}
	a, b, c := record("A", "trades", "2026-01-02"), record("A", "book", "2026-01-01"), record("B", "trades", "2026-01-01")
	write(record("A", "trades", "2026-01-01"), a, b, c, record("A", "auction", "2026-01-09"), record("C", "trades", "2026-01-09"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	follow := func(query string) func() string {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.w.site.server.URL+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("X-API-Key", s.all)
		answer, err := s.w.site.send(q)
		if err != nil || answer.StatusCode != 200 {
			t.Fatal(query, answer, err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		frames := bufio.NewScanner(answer.Body)
		return func() string {
			for frames.Scan() {
				if data, ok := strings.CutPrefix(frames.Text(), "data: "); ok {
					return data
				}
			}
			return "(over)"
		}
	}
	const ask = "?symbols=A,B&channels=trades,book"
	every := follow("/stable/deep?symbols=C&channels=deep")
	next, whole := follow("/v1/deep"+ask), follow("/v1/stream/CORE/deep?channels=auction")
	old := follow("/v1/deep" + ask + "&snapshotAsOf=" + url.QueryEscape("2026-01-02"))
	for name, got := range map[string][2]string{
		"the newest of each": {next(), "[" + strings.Join([]string{a, c, b}, ",") + "]"},
		"all channels":       {every(), "[" + record("C", "trades", "2026-01-09") + "]"},
		"one channel":        {whole(), "[" + record("A", "auction", "2026-01-09") + "]"},
		"from a time on":     {old(), "[" + a + "]"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s, want %s", name, got[0], got[1])
		}
	}
	d := record("B", "book", "2026-01-03")
	write(record("A", "auction", "2026-01-03"), record("C", "book", "2026-01-03"), d)
	if got := next(); got != "["+d+"]" {
		t.Errorf("what comes is %s, want %s", got, d)
	}
	many := strings.Join(strings.Split("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", ""), ",")
	for _, path := range []string{"/v1/stream/CORE/tops?channels=trades", "/v1/stream/CORE/deep?channels=" + many} {
		if status, code := s.w.site.asks(t, s.all, "GET", path, ""); status != 422 || code != problem.InvalidField {
			t.Errorf("%s answered %d %s", path, status, code)
		}
	}
}
