package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/room"
)

// Promise: of properties of one product that are sent at the same time, each is there afterwards, and the product once.
func TestProductsAreMergedOneAfterAnother(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"SHOES","schema":{"type":"object","properties":{"sku":{"type":"string"}}},"columnMapping":{"key":"sku"}}`, 201)
	var senders sync.WaitGroup
	const sent = 12
	for i := range sent {
		senders.Go(func() {
			body := fmt.Sprintf(`{"id":"p","typeId":"SHOES","properties":{"p%d":%d}}`, i, i)
			if answer, text := s.w.site.call(t, "POST", "/product", strings.NewReader(body), "X-API-Key", s.all); answer.StatusCode != 204 {
				t.Errorf("%d %s", answer.StatusCode, text)
			}
		})
	}
	senders.Wait()
	got := s.ask(s.all, "GET", "/v1/data/CORE/SHOES?last=50", "", 200)
	for i := range sent {
		if !strings.Contains(got, fmt.Sprintf(`"p%d":%d`, i, i)) {
			t.Errorf("p%d is not there: %s", i, got)
		}
	}
	if n := strings.Count(got, `"sku"`); n != 1 {
		t.Errorf("%d products: %s", n, got)
	}
}

// Promise: products do not take the last of the disk either.
func TestProductsLeaveRoomForEvents(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := newTables(t, w)
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"SHOES","schema":{"type":"object","properties":{"sku":{"type":"string"}}},"columnMapping":{"key":"sku"}}`, 201)
	kept := room.Kept{Reserve: 1000, Free: func() (int64, error) { return 1010, nil }}
	full := w.variant(t, func(c *api.Config) {
		c.Datasets = dataset.New(dataset.Config{Store: w.store, Records: w.warehouse, Jobs: w.jobs, Live: new(dataset.Live), Now: w.clock.Now, NewID: newSuffix, Room: kept.For})
	}, func(*http.Server) {})
	if status, code := full.asks(t, s.all, "POST", "/product", `{"id":"p","typeId":"SHOES","properties":{"a":1}}`); status != 507 || code != problem.StorageFull {
		t.Errorf("answered %d %s", status, code)
	}
}
