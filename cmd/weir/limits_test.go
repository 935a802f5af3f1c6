package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Promise: no key gets more than its limits allow, by the second and by the day, though 64 connections hammer it and the
// server is killed again and again: a restart is no second burst and no second day. Its limits deny what cannot be counted, as on a
// busy machine a store can be too slow for that.
func TestLimitsHoldThroughKills(t *testing.T) {
	const perSecond, burst, daily, rounds, connections = 50, 100, 400, 4, 64
	in := install(t)
	var made struct {
		Key string `json:"key"`
	}
	began := time.Now()
	var passed, denied atomic.Int64
	for round := range rounds {
		r := in.serve()
		if round == 0 {
			text := r.must(http.StatusCreated, r.secret, "/v1/keys", map[string]any{"kind": "public", "limits": map[string]any{
				"rate": map[string]any{"per_second": perSecond, "burst": burst, "on_store_failure": "deny"}, "daily": map[string]any{"most": daily, "on_store_failure": "deny"},
			}})
			if err := json.Unmarshal(text, &made); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var senders sync.WaitGroup
		for range connections {
			senders.Go(func() {
				for ctx.Err() == nil {
					switch status, _, err := r.send(ctx, made.Key, "/track", eventBody("", "limited")); {
					case err != nil:
						return
					case status == http.StatusOK:
						passed.Add(1)
					case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable: // a store that is slow denies as well
						denied.Add(1)
					default:
						t.Errorf("round %d: answer %d", round, status)
						return
					}
				}
			})
		}
		<-time.After(700 * time.Millisecond)
		r.kill()
		cancel()
		senders.Wait()
	}
	most := burst + int64(time.Since(began).Seconds()*perSecond) + 1
	t.Logf("%d kills in %s: %d requests passed of at most %d by rate and %d by day, %d were denied", rounds, time.Since(began).Round(time.Millisecond), passed.Load(), most, daily, denied.Load())
	if passed.Load() > min(most, daily) || passed.Load() < burst || denied.Load() == 0 {
		t.Errorf("passed %d, denied %d", passed.Load(), denied.Load())
	}
}
