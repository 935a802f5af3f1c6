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
// server is killed again and again: a restart is no second burst and no second day.
func TestLimitsHoldThroughKills(t *testing.T) {
	const perSecond, burst, daily, rounds, connections = 50, 100, 400, 4, 64
	in := install(t)
	out, err := in.weir("keys", "create", "--data", in.data, "--json", "--kind", "public", "--rate", "50:100", "--daily", "400").Output()
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var passed, denied atomic.Int64
	for round := range rounds {
		r := in.serve()
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
