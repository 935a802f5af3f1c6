package api

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meter counts requests. Its labels come from closed sets: the rows' paths, the methods they take, the statuses.
type meter struct {
	took    *prometheus.HistogramVec
	ignored prometheus.Counter // forwarded headers from peers that are not trusted
	known   sync.Map           // labels to prometheus.Observer: finding one is cheaper than naming it
}

type labels struct {
	route, method string
	status        int
}

func newMeter(registry prometheus.Registerer) *meter {
	m := &meter{took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "weir_http_request_duration_seconds",
		Help:    "How long requests took, from their header to the end of the answer.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"route", "method", "status"})}
	m.ignored = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "weir_forwarded_ignored_total", Help: "Requests with a forwarded header from a peer that is not a trusted proxy. It changed nothing.",
	})
	registry.MustRegister(m.took, m.ignored)
	return m
}

func (m *meter) observe(route, method string, status int, took time.Duration) {
	key := labels{route, method, status}
	observer, ok := m.known.Load(key)
	if !ok {
		observer, _ = m.known.LoadOrStore(key, m.took.WithLabelValues(route, method, strconv.Itoa(status)))
	}
	observer.(prometheus.Observer).Observe(took.Seconds())
}
