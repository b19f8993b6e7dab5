// Package metrics counts what happens, under the names that CloudWatch gives it.
//
// A [Stat] is one metric of one thing: how many samples, and their sum, since
// the server started. That is what CloudWatch makes its statistics of, and what
// Prometheus calls a summary: PutRecord.Success of AWS/Kinesis is scraped as
// aws_kinesis_put_record_success_sum and ..._count, with the dimensions as labels.
//
// A [Stream] has the stream-level metrics as fields, its shards have theirs when
// enhanced monitoring is on, and its consumers theirs. Whoever serves a stream
// holds its Stream, so that counting is an atomic addition and no look-up.
// Operations of every service are counted by [Operation]. All live in one
// [Registry], which a server has for itself.
package metrics

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Stat is a metric: a number of samples and their sum, and the least and most of
// those since it was last drained. The zero value is ready.
type Stat struct {
	sum, count  atomic.Int64
	least, most atomic.Uint64 // as rank has them: the largest counts, 0 is none

	drained struct{ sum, count int64 } // what Drain had last time; the registry's draining
}

// Add counts one sample.
func (s *Stat) Add(value int64) { s.AddN(value, 1) }

// AddN counts n samples that sum up to sum. The least and most of them are taken
// to be their mean, rounded down and up.
func (s *Stat) AddN(sum, n int64) {
	s.sum.Add(sum)
	s.count.Add(n)
	if n <= 0 {
		return
	}
	low := sum / n
	if sum%n < 0 {
		low--
	}
	high := low
	if low*n != sum {
		high++
	}
	raise(&s.most, rank(high))
	raise(&s.least, ^rank(low))
}

// rank maps numbers to unsigned ones in the same order.
func rank(v int64) uint64 { return uint64(v) ^ 1<<63 }

// raise makes a the larger of a and to. Mostly it is already.
func raise(a *atomic.Uint64, to uint64) {
	for {
		have := a.Load()
		if have >= to || a.CompareAndSwap(have, to) {
			return
		}
	}
}

// Success counts one sample that is 1 or 0; their average is the rate of success.
func (s *Stat) Success(ok bool) {
	if ok {
		s.Add(1)
	} else {
		s.Add(0)
	}
}

// Values are the sum of the samples and their number so far. The two are read
// one after the other: while samples come in they may be apart by those.
func (s *Stat) Values() (sum, count int64) { return s.sum.Load(), s.count.Load() }

func (s *Stat) summary() (sum float64, count int64) { return float64(s.sum.Load()), s.count.Load() }

// A Latency is a metric of durations. Most are shorter than the millisecond that
// CloudWatch counts them in, so the sum has its fractions. The zero value is ready.
type Latency struct{ nanos Stat }

// Add counts one sample.
func (l *Latency) Add(d time.Duration) { l.nanos.Add(d.Nanoseconds()) }

func (l *Latency) summary() (milliseconds float64, count int64) {
	sum, count := l.nanos.summary()
	return sum / 1e6, count
}

// A Registry holds the metrics of one server. It is safe for concurrent use.
type Registry struct {
	prom       *prometheus.Registry
	operations *prometheus.CounterVec
	durations  *prometheus.HistogramVec

	mu      sync.RWMutex
	streams map[StreamKey]*Stream // under mu

	draining sync.Mutex // one Drain at a time
}

// New makes an empty registry, which already has the Go runtime's and the process's metrics.
func New() *Registry {
	r := &Registry{
		prom: prometheus.NewRegistry(),
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rheo_operations_total",
			Help: "Calls of API operations by outcome: OK or the error's code.",
		}, []string{"service", "operation", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rheo_operation_seconds",
			Help:    "Time from a verified request to its outcome.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"service", "operation"}),
		streams: make(map[StreamKey]*Stream),
	}
	r.prom.MustRegister(r.operations, r.durations, streamCollector{r},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler answers Prometheus's scrapes.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.prom, promhttp.HandlerOpts{})
}

// Gauge adds a number that is asked for when it is scraped.
func (r *Registry) Gauge(name, help string, value func() float64) {
	r.prom.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Counter is Gauge for a number that only grows while the program runs.
func (r *Registry) Counter(name, help string, value func() float64) {
	r.prom.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// An Operation counts the calls of one API operation.
type Operation struct {
	ok      prometheus.Counter
	seconds prometheus.Observer
	errors  *prometheus.CounterVec // by code
}

// Operation makes the counters of one operation, to be held by who calls it.
func (r *Registry) Operation(service, operation string) *Operation {
	labels := prometheus.Labels{"service": service, "operation": operation}
	return &Operation{
		ok:      r.operations.WithLabelValues(service, operation, "OK"),
		seconds: r.durations.With(labels),
		errors:  r.operations.MustCurryWith(labels),
	}
}

// Done counts a call that took d; code is the error's, empty if there was none.
// Codes come from our code and the models, never from a request.
func (o *Operation) Done(code string, d time.Duration) {
	if code == "" {
		o.ok.Inc()
	} else {
		o.errors.WithLabelValues(code).Inc()
	}
	o.seconds.Observe(d.Seconds())
}
