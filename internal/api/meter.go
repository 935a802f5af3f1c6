package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meter counts requests. Its labels come from closed sets: the rows' paths, the methods they take, the statuses.
type meter struct {
	took *prometheus.HistogramVec
}

func newMeter(registry prometheus.Registerer) *meter {
	m := &meter{took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "weir_http_request_duration_seconds",
		Help:    "How long requests took, from their header to the end of the answer.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"route", "method", "status"})}
	registry.MustRegister(m.took)
	return m
}

func (m *meter) observe(route, method string, status int, took time.Duration) {
	m.took.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
}
