package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
)

// metrics are what the server tells Prometheus.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	streams  prometheus.Gauge
}

// newMetrics makes the metrics of a server. What the store knows is asked for when
// somebody collects.
func newMetrics(a *api.API) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tutti_http_requests_total", Help: "Requests answered, by operation, method and status.",
		}, []string{"operation", "method", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tutti_http_request_duration_seconds", Help: "How long answers took, streams not counted.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30},
		}, []string{"operation"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tutti_http_streams", Help: "Streams that clients listen to now."}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tutti_build_info", Help: "The version of the program; always 1.", ConstLabels: prometheus.Labels{"version": a.Version},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.took, m.streams, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// handler answers who collects. Of stacks there are those that they may read.
func (m *metrics) handler(a *api.API) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sight, err := a.Work.Sight(r.Context(), api.IdentityOf(r.Context()))
		if err != nil {
			tell(w, http.StatusInternalServerError, "It cannot be told who may read what.")
			return
		}
		own := prometheus.NewRegistry()
		own.MustRegister(&storeCollector{a, sight})
		promhttp.HandlerFor(prometheus.Gatherers{m.registry, own}, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
}

// measured counts and times requests by the pattern of the multiplexer, so that
// what clients put into paths makes no series of its own.
func (m *metrics) measured(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		stream := strings.HasSuffix(r.URL.Path, "/stream")
		if stream {
			m.streams.Inc()
			defer m.streams.Dec()
		}
		rec := &recorder{ResponseWriter: w}
		if stream {
			r = r.WithContext(api.WithHold(r.Context(), rec.hold))
		}
		mux.ServeHTTP(rec, r)
		operation := r.Pattern
		if _, path, ok := strings.Cut(operation, " "); ok {
			operation = path
		}
		m.requests.WithLabelValues(operation, method(r.Method), strconv.Itoa(max(rec.status, http.StatusOK))).Inc()
		if !stream {
			m.took.WithLabelValues(operation).Observe(time.Since(began).Seconds())
		}
	})
}

// method bounds what clients can make of it.
func method(name string) string {
	switch name {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, "LOCK", "UNLOCK":
		return name
	}
	return "other"
}

// storeCollector tells of what the store knows, to whoever may read so much.
type storeCollector struct {
	a     *api.API
	sight api.Sight
}

var (
	openRuns   = prometheus.NewDesc("tutti_runs_open", "Runs that have not ended, by status.", []string{"status"}, nil)
	feedEvents = prometheus.NewDesc("tutti_events_total", "Events in the feed.", nil, nil)
	drifted    = prometheus.NewDesc("tutti_stack_drifted_objects", "Objects of a stack that were not as they were left when it was last looked at.", []string{"stack", "environment"}, nil)
	flapping   = prometheus.NewDesc("tutti_stack_flapping_fields", "Fields of a stack that change again and again and are left alone.", []string{"stack", "environment"}, nil)
	seen       = prometheus.NewDesc("tutti_stack_looked_timestamp_seconds", "When the last look at a stack ended that saw everything.", []string{"stack", "environment"}, nil)
	poolSteps  = prometheus.NewDesc("tutti_pool_steps", "Steps in pools and waiting for them.", []string{"pool", "state"}, nil)
)

// Describe implements prometheus.Collector.
func (c *storeCollector) Describe(out chan<- *prometheus.Desc) {
	out <- openRuns
	out <- feedEvents
	out <- poolSteps
	out <- drifted
	out <- flapping
	out <- seen
}

// Collect implements prometheus.Collector.
func (c *storeCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := c.a.Context()
	defer cancel()
	list, err := c.a.Store.Unended(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(openRuns, err)
		return
	}
	count := map[runs.Status]int{runs.Pending: 0, runs.Running: 0, runs.Interrupted: 0}
	for _, r := range list {
		count[r.Status]++
	}
	for status, n := range count {
		out <- prometheus.MustNewConstMetric(openRuns, prometheus.GaugeValue, float64(n), string(status))
	}
	last, err := c.a.LastEvent(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(feedEvents, err)
		return
	}
	out <- prometheus.MustNewConstMetric(feedEvents, prometheus.CounterValue, float64(last))
	c.drifts(ctx, out)
	tickets, err := c.a.Store.Pools(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(poolSteps, err)
		return
	}
	type place struct{ pool, state string }
	places := map[place]int{}
	for _, t := range tickets {
		state := "in"
		if t.Granted.IsZero() {
			state = "waiting"
		}
		places[place{t.Pool, state}]++
	}
	for p, n := range places {
		out <- prometheus.MustNewConstMetric(poolSteps, prometheus.GaugeValue, float64(n), p.pool, p.state)
	}
}

// drifts tells how stacks were found.
func (c *storeCollector) drifts(ctx context.Context, out chan<- prometheus.Metric) {
	known, err := c.a.Work.Drifts(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(drifted, err)
		return
	}
	for key, d := range known {
		if d.Looked == nil || !c.sight.Place(key.Environment, key.Stack) {
			continue
		}
		for desc, value := range map[*prometheus.Desc]float64{
			drifted: float64(d.Drifted), flapping: float64(d.Flapping), seen: float64(d.Looked.UnixMilli()) / 1000,
		} {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, key.Stack, key.Environment)
		}
	}
}
