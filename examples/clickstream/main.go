// Command clickstream sends the events of a CSV file of shop clicks through /track, asks for counts and a funnel with
// SQL, and compares both with what it counts in the file itself.
//
//	clickstream -url http://127.0.0.1:8787 -public-key pk_live_… -secret-key sk_live_… clickstream.csv
//
// The file has a header line with at least customer_id, time_stamp and click_event_type. Each line gets an event id of
// its own, so that sending the file again stores nothing twice.
package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"
)

const batchSize = 500

// steps is the funnel: a customer who did the first, later the second, later the third.
var steps = [3]string{"browsing", "add_to_cart", "checkout"}

type click struct {
	Event       string         `json:"event"`
	Environment string         `json:"environment"`
	DistinctID  string         `json:"distinct_id"`
	Timestamp   string         `json:"timestamp"`
	EventID     string         `json:"event_id"`
	Properties  map[string]any `json:"properties"`
}

func main() {
	url := flag.String("url", "http://127.0.0.1:8787", "address of the server")
	public := flag.String("public-key", os.Getenv("WEIR_PUBLIC_KEY"), "key to send with ($WEIR_PUBLIC_KEY)")
	secret := flag.String("secret-key", os.Getenv("WEIR_SECRET_KEY"), "key to ask with ($WEIR_SECRET_KEY)")
	environment := flag.String("environment", "production", "environment to send to")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	c := client{base: *url, http: &http.Client{Timeout: time.Minute}}
	if err := c.run(context.Background(), flag.Arg(0), *public, *secret, *environment); err != nil {
		fmt.Fprintln(os.Stderr, "clickstream:", err)
		os.Exit(1)
	}
}

type client struct {
	base string
	http *http.Client
}

func (c *client) run(ctx context.Context, path, public, secret, environment string) error {
	clicks, err := read(path, environment)
	if err != nil {
		return err
	}
	started := time.Now()
	if err := c.send(ctx, clicks, public); err != nil {
		return err
	}
	fmt.Printf("%d events sent and queryable after %s\n\n", len(clicks), time.Since(started).Round(time.Millisecond))
	counts, err := c.counts(ctx, secret, environment)
	if err != nil {
		return err
	}
	funnel, err := c.funnel(ctx, secret, environment)
	if err != nil {
		return err
	}
	return compare(clicks, counts, funnel)
}

// read makes an event of each line. Every other column becomes a property, numbers as numbers.
func read(path, environment string) ([]click, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	lines := csv.NewReader(file)
	names, err := lines.Read()
	if err != nil {
		return nil, err
	}
	var clicks []click
	for {
		line, err := lines.Read()
		if err == io.EOF {
			return clicks, nil
		}
		if err != nil {
			return nil, err
		}
		one := click{Environment: environment, EventID: "clickstream-" + strconv.Itoa(len(clicks)+1), Properties: map[string]any{}}
		for i, name := range names {
			switch name {
			case "customer_id":
				one.DistinctID = line[i]
			case "time_stamp":
				one.Timestamp = line[i]
			case "click_event_type":
				one.Event = line[i]
			default:
				one.Properties[name] = value(line[i])
			}
		}
		clicks = append(clicks, one)
	}
}

func value(text string) any {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return n
	}
	return text
}

// send sends the events in batches; the last one waits until all can be queried.
func (c *client) send(ctx context.Context, clicks []click, key string) error {
	for start := 0; start < len(clicks); start += batchSize {
		batch := clicks[start:min(start+batchSize, len(clicks))]
		path := "/track"
		if start+batchSize >= len(clicks) {
			path += "?sync=true"
		}
		var receipt struct{ Accepted int }
		if err := c.post(ctx, path, key, batch, &receipt); err != nil {
			return err
		}
		if receipt.Accepted != len(batch) {
			return fmt.Errorf("of %d events %d were accepted", len(batch), receipt.Accepted)
		}
	}
	return nil
}

type answer struct{ Rows [][]any }

func (c *client) ask(ctx context.Context, key, environment, sql string, parameters ...any) (answer, error) {
	var a answer
	err := c.post(ctx, "/v1/query", key, map[string]any{"sql": sql, "environment": environment, "parameters": parameters}, &a)
	return a, err
}

func (c *client) counts(ctx context.Context, key, environment string) (map[string]int, error) {
	a, err := c.ask(ctx, key, environment, `SELECT event, count(*) AS n FROM events WHERE event_id LIKE 'clickstream-%' GROUP BY event`)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, row := range a.Rows {
		counts[fmt.Sprint(row[0])] = int(row[1].(float64))
	}
	return counts, nil
}

func (c *client) funnel(ctx context.Context, key, environment string) ([3]int, error) {
	a, err := c.ask(ctx, key, environment, `
		WITH clicks AS (SELECT distinct_id, event, timestamp FROM events WHERE event_id LIKE 'clickstream-%'),
		     first AS (SELECT distinct_id, min(timestamp) AS at FROM clicks WHERE event = $1 GROUP BY distinct_id),
		     second AS (SELECT c.distinct_id, min(c.timestamp) AS at FROM clicks c JOIN first p ON p.distinct_id = c.distinct_id
		                WHERE c.event = $2 AND c.timestamp >= p.at GROUP BY c.distinct_id),
		     third AS (SELECT c.distinct_id, min(c.timestamp) AS at FROM clicks c JOIN second p ON p.distinct_id = c.distinct_id
		               WHERE c.event = $3 AND c.timestamp >= p.at GROUP BY c.distinct_id)
		SELECT (SELECT count(*) FROM first), (SELECT count(*) FROM second), (SELECT count(*) FROM third)`, steps[0], steps[1], steps[2])
	var reached [3]int
	if err != nil {
		return reached, err
	}
	for i := range reached {
		reached[i] = int(a.Rows[0][i].(float64))
	}
	return reached, nil
}

// compare counts in the file, prints both, and fails when they differ.
func compare(clicks []click, counts map[string]int, funnel [3]int) error {
	wanted := map[string]int{}
	for _, c := range clicks {
		wanted[c.Event]++
	}
	fmt.Printf("%-26s %10s %10s\n", "event", "SQL", "file")
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		fmt.Printf("%-26s %10d %10d\n", name, counts[name], wanted[name])
	}
	reached := funnelOf(clicks)
	fmt.Printf("\n%-26s %10s %10s\n", "funnel (customers)", "SQL", "file")
	for i, step := range steps {
		fmt.Printf("%d. %-23s %10d %10d\n", i+1, step, funnel[i], reached[i])
	}
	if !maps.Equal(counts, wanted) || funnel != reached {
		return fmt.Errorf("the answers differ from the file")
	}
	fmt.Println("\nThe answers agree with the file.")
	return nil
}

// funnelOf counts the funnel in the file: the earliest first step, the earliest second step at that time or later, and
// so on. The times are ISO 8601 in one zone, so they order as text.
func funnelOf(clicks []click) [3]int {
	reached, at := [3]int{}, map[string]string{}
	for i, step := range steps {
		next := map[string]string{}
		for _, c := range clicks {
			before, was := at[c.DistinctID]
			if c.Event != step || i > 0 && (!was || c.Timestamp < before) {
				continue
			}
			if first, ok := next[c.DistinctID]; !ok || c.Timestamp < first {
				next[c.DistinctID] = c.Timestamp
			}
		}
		reached[i], at = len(next), next
	}
	return reached
}

func (c *client) post(ctx context.Context, path, key string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-API-Key", key)
	r.Header.Set("Content-Type", "application/json")
	got, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(got.Body, 16<<20))
	if err != nil {
		return err
	}
	if got.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", path, got.Status, text)
	}
	return json.Unmarshal(text, out)
}
