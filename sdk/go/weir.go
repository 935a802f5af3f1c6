// Package weir is the Go client of Weir: it tells a server what happened and who it happened to, loses nothing while it
// lives, and lets nothing be stored twice.
//
// A Client gathers items in a queue and sends them in batches from one goroutine. Every item has an id of its own from
// the start and keeps it through all tries; the server stores an id once. A try that meets no answer, a 429 or a 5xx is
// repeated after as long as Retry-After says, an hour at the most, or else after a second, doubled each time up to a
// minute, give or take.
// What the server refuses is not sent again, and is told to OnError.
//
// The queue is in memory. Close sends what is left; a process that ends without it loses that.
package weir

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Version is this client's.
const Version = "0.1.0"

// The limits of a server, as far as they are known here.
const (
	maxItem  = 32 << 10  // bytes of JSON of one item
	maxBody  = 900 << 10 // of a batch
	maxBatch = 1000      // items
)

// What Track, Identify and Alias can fail with.
var (
	ErrClosed  = errors.New("weir: the client is closed")
	ErrFull    = errors.New("weir: the queue is full")
	ErrInvalid = errors.New("weir: the item is not valid")
)

// Config is what a Client is made of. URL and Key are needed.
type Config struct {
	URL         string        // of the server, as https://weir.example.com
	Key         string        // the API key
	Environment string        // for items that name none; empty: the first that the key may use
	Signing     *Signing      // signs each request; nil: they are not signed
	HTTP        *http.Client  // sends; nil: one with a timeout of 30 seconds
	Gather      time.Duration // that items wait for others; zero: 500 milliseconds
	Queue       int           // items that may wait; zero: 10,000
	OnError     func(Failure) // hears of what was not accepted; called from the client's goroutine
	Now         func() time.Time
}

// Event is something that happened.
type Event struct {
	Name        string
	DistinctID  string
	AnonymousID string
	SessionID   string
	Environment string
	Properties  map[string]any
	Time        time.Time // zero: now
	ID          string    // zero: a new one. The same id is stored once within 7 days
}

// Person is who somebody is, and what is known of them.
type Person struct {
	DistinctID  string
	AnonymousID string // who they were before they were known
	Environment string
	Traits      map[string]any
	Time        time.Time // zero: now. Older traits never replace newer ones
	ID          string
}

// Alias is another id of the same person.
type Alias struct {
	DistinctID  string
	NewUserID   string
	Environment string
	Time        time.Time
	ID          string
}

// Failure is what was not accepted, and why.
type Failure struct {
	Status int               // of the answer
	Code   string            // of the problem, as the server lists them under /problems/
	Detail string            // for people
	Items  []json.RawMessage // as they were sent
}

// item is one in the queue: the route it goes to, and its body.
type item struct {
	route string
	body  json.RawMessage
}

// Client sends items. Its methods may be called from many goroutines. Make it with New.
type Client struct {
	cfg  Config
	base *url.URL
	ctx  context.Context //nolint:containedctx // ends the sender
	end  context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	queue   []item
	closed  bool
	hurry   bool          // somebody waits for the queue to be empty
	more    chan struct{} // there is something to do
	emptied chan struct{} // closed and replaced when the queue is empty
}

// String hides the key.
func (c *Client) String() string { return "client of " + c.base.Redacted() }

// GoString hides it too.
func (c *Client) GoString() string { return c.String() }

// New makes a client and starts its goroutine, which Close ends.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(cfg.URL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("weir: %q is not the URL of a server", cfg.URL)
	}
	if cfg.Key == "" {
		return nil, errors.New("weir: a key is needed")
	}
	if err := cfg.Signing.valid(); err != nil {
		return nil, err
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 30 * time.Second}
	}
	own := *cfg.HTTP // a redirect is not followed: the key is this server's
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	cfg.HTTP = &own
	if cfg.Gather == 0 {
		cfg.Gather = 500 * time.Millisecond
	}
	if cfg.Queue == 0 {
		cfg.Queue = 10_000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnError == nil {
		cfg.OnError = func(Failure) {}
	}
	c := &Client{cfg: cfg, base: base, done: make(chan struct{}), more: make(chan struct{}, 1), emptied: make(chan struct{})}
	c.ctx, c.end = context.WithCancel(context.Background())
	go c.run()
	return c, nil
}

// Track tells an event. It never waits.
func (c *Client) Track(e Event) error {
	if e.Name == "" {
		return fmt.Errorf("%w: an event needs a Name", ErrInvalid)
	}
	return c.add("/track", e.Environment, e.ID, e.Time, map[string]any{
		"event": e.Name, "distinct_id": orNull(e.DistinctID), "anonymous_id": orNull(e.AnonymousID), "session_id": orNull(e.SessionID), "properties": e.Properties,
	})
}

// Identify tells who somebody is. It never waits.
func (c *Client) Identify(p Person) error {
	if p.DistinctID == "" {
		return fmt.Errorf("%w: a person needs a DistinctID", ErrInvalid)
	}
	return c.add("/identify", p.Environment, p.ID, p.Time, map[string]any{
		"distinct_id": p.DistinctID, "anonymous_id": orNull(p.AnonymousID), "traits": p.Traits,
	})
}

// Alias tells another id of a person. It never waits.
func (c *Client) Alias(a Alias) error {
	if a.DistinctID == "" || a.NewUserID == "" {
		return fmt.Errorf("%w: an alias needs a DistinctID and a NewUserID", ErrInvalid)
	}
	return c.add("/alias", a.Environment, a.ID, a.Time, map[string]any{"distinct_id": a.DistinctID, "new_user_id": a.NewUserID})
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// add puts an item at the end of the queue.
func (c *Client) add(route, environment, id string, at time.Time, body map[string]any) error {
	if environment == "" {
		environment = c.cfg.Environment
	}
	if id == "" {
		id = rand.Text()
	}
	if at.IsZero() {
		at = c.cfg.Now()
	}
	body["environment"], body["event_id"], body["timestamp"] = orNull(environment), id, at.UTC().Format(time.RFC3339Nano)
	for name, value := range body {
		if value == nil {
			delete(body, name)
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(text) > maxItem {
		return fmt.Errorf("%w: %d bytes of JSON, and at most %d are accepted", ErrInvalid, len(text), maxItem)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case len(c.queue) >= c.cfg.Queue:
		return ErrFull
	}
	c.queue = append(c.queue, item{route, text})
	c.wake()
	return nil
}

// wake tells the sender that there is something to do.
func (c *Client) wake() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// Flush returns when the server has answered for everything that was in the queue, or with the error of ctx.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	emptied := c.emptied
	if len(c.queue) == 0 {
		c.mu.Unlock()
		return nil
	}
	c.hurry = true
	c.wake()
	c.mu.Unlock()
	select {
	case <-emptied:
		return nil
	case <-c.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close takes no more items, sends what is left and ends. When ctx ends first, what is left is lost, and the error says
// how much that is.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	err := c.Flush(ctx)
	c.end()
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.queue); n > 0 {
		return fmt.Errorf("weir: %d items were not sent: %w", n, err)
	}
	return nil
}

// batch is the first items of the queue that go to one route and into one request, and that request's body.
func (c *Client) batch() (route string, items []item, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.queue {
		if len(items) > 0 && (i.route != route || len(items) == maxBatch || len(body)+len(i.body) > maxBody) {
			break
		}
		route, items = i.route, append(items, i)
		body = append(append(body, ','), i.body...)
	}
	if len(body) > 0 {
		body[0] = '['
		body = append(body, ']')
	}
	return route, items, body
}

// sent takes the first items off the queue. It reports whether there are more.
func (c *Client) sent(n int) (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue[:0:0], c.queue[n:]...)
	if len(c.queue) > 0 {
		return true
	}
	c.hurry = false
	close(c.emptied)
	c.emptied = make(chan struct{})
	return false
}

func (c *Client) request(route string, body []byte) (*http.Request, error) {
	q, err := http.NewRequestWithContext(c.ctx, http.MethodPost, c.base.String()+route, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("X-API-Key", c.cfg.Key)
	q.Header.Set("User-Agent", "weir-go/"+Version)
	if c.cfg.Signing != nil {
		err = c.cfg.Signing.Sign(q, body, c.cfg.Now())
	}
	return q, err
}
