package weir

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// The pauses between tries double from the first to the last. A server may ask for longer ones, up to an hour.
const (
	firstPause = time.Second
	lastPause  = time.Minute
	askedPause = time.Hour
)

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 1 << 20

// run sends what comes until the client is ended.
func (c *Client) run() {
	defer close(c.done)
	for {
		select {
		case <-c.more:
		case <-c.ctx.Done():
			return
		}
		c.gather()
		c.drain()
	}
}

// gather waits for more items to come, unless somebody waits for those that are there.
func (c *Client) gather() {
	timer := time.NewTimer(c.cfg.Gather)
	defer timer.Stop()
	for {
		c.mu.Lock()
		ready := c.hurry || len(c.queue) >= maxBatch
		c.mu.Unlock()
		if ready {
			return
		}
		select {
		case <-timer.C:
			return
		case <-c.more:
		case <-c.ctx.Done():
			return
		}
	}
}

// drain sends batches until the queue is empty.
func (c *Client) drain() {
	pause := firstPause
	for {
		route, items, body := c.batch()
		if len(items) == 0 {
			return
		}
		wait, answered := c.try(route, items, body)
		if answered {
			pause = firstPause
			if !c.sent(len(items)) {
				return
			}
			continue
		}
		if wait == 0 {
			wait = pause/2 + rand.N(pause) //nolint:gosec // it spreads clients out
			pause = min(2*pause, lastPause)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// try sends a batch once. answered says that the server has answered for it; if not, wait is how long it asks to wait,
// and zero when it did not say.
func (c *Client) try(route string, items []item, body []byte) (wait time.Duration, answered bool) {
	q, err := c.request(route, body)
	if err != nil {
		c.fail(0, "", err.Error(), items)
		return 0, true
	}
	answer, err := c.cfg.HTTP.Do(q)
	if err != nil {
		return 0, false
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return 0, false
	case answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= http.StatusInternalServerError:
		return c.asked(answer.Header.Get("Retry-After")), false
	}
	c.report(answer.StatusCode, text, items)
	return 0, true
}

// asked is how long a Retry-After (RFC 9110 section 10.2.3) asks to wait.
func (c *Client) asked(value string) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(c.cfg.Now())
	}
	if wait <= 0 {
		return 0
	}
	return min(wait, askedPause) + rand.N(firstPause) //nolint:gosec // it spreads clients out
}

// report tells of the items that were not accepted.
func (c *Client) report(status int, text []byte, items []item) {
	var told struct {
		Code     string `json:"code"`
		Detail   string `json:"detail"`
		Rejected []struct {
			Index  int    `json:"index"`
			Code   string `json:"code"`
			Detail string `json:"detail"`
		} `json:"rejected"`
	}
	known := json.Unmarshal(text, &told) == nil
	if status >= http.StatusMultipleChoices && len(told.Rejected) == 0 {
		c.fail(status, told.Code, told.Detail, items)
		return
	}
	for _, r := range told.Rejected {
		if known && r.Index >= 0 && r.Index < len(items) {
			c.fail(status, r.Code, r.Detail, items[r.Index:r.Index+1])
		}
	}
}

func (c *Client) fail(status int, code, detail string, items []item) {
	f := Failure{Status: status, Code: code, Detail: detail}
	for _, i := range items {
		f.Items = append(f.Items, i.body)
	}
	c.cfg.OnError(f)
}
