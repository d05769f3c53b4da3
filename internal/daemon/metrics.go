package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"vswitch/api"
	"vswitch/internal/control"
	"vswitch/internal/gateway/dns"
	"vswitch/internal/reactor"
)

// The metrics of each port, and of each host link by its interface's name.
var (
	framesMetric = prometheus.NewDesc("vswitch_port_frames_total", "Frames read from (rx) or taken by (tx) the port's device.", []string{"segment", "port", "direction"}, nil)
	bytesMetric  = prometheus.NewDesc("vswitch_port_bytes_total", "Bytes of those frames, without FCS.", []string{"segment", "port", "direction"}, nil)
	ringMetric   = prometheus.NewDesc("vswitch_worker_io_uring",
		"Whether a worker carries several frames in one system call (1), or takes one for each (0); "+
			"io is how: plain, ring, or ring-fixed with registered buffers.",
		[]string{"worker", "io"}, nil)
	dropsMetric = prometheus.NewDesc("vswitch_port_drops_total", "Frames dropped, by reason.", []string{"segment", "port", "reason"}, nil)
	sinceMetric = prometheus.NewDesc("vswitch_port_since_timestamp_seconds",
		"When the counters of the port began at zero, in seconds since 1970.",
		[]string{"segment", "port"}, nil)
)

// The metrics of limits beside those of ports.
var (
	waitsMetric = prometheus.NewDesc("vswitch_dns_waits_total",
		"Questions to the segment's resolver that had to wait for their turn.",
		[]string{"segment"}, nil)
	refusedMetric = prometheus.NewDesc("vswitch_dns_drops_total",
		"Questions and connections to the segment's resolver that it did not serve, by reason.",
		[]string{"segment", "reason"}, nil)
	evictedMetric = prometheus.NewDesc("vswitch_fdb_evictions_total",
		"Learned addresses that gave way to others because the forwarding table was full.",
		nil, nil)
	fullMetric = prometheus.NewDesc("vswitch_api_full_total",
		"How often as many connections to the API were open as may be, of all users or of those "+
			"who are not root, so that further ones waited.",
		nil, nil)
)

// collector reads the counters when it is asked to, and not before.
type collector struct {
	backend *control.Control
	server  *api.Server
}

// Describe implements [prometheus.Collector].
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		framesMetric, bytesMetric, dropsMetric, sinceMetric, ringMetric,
		waitsMetric, refusedMetric, evictedMetric, fullMetric,
	} {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	c.collectWorkers(ch)
	ch <- counter(evictedMetric, c.backend.Evicted())
	ch <- counter(fullMetric, c.server.Full())
	c.collectNames(ch)
	ports, err := c.backend.Ports(context.Background(), "")
	if err != nil {
		return
	}
	for _, p := range ports {
		collect(ch, p.Segment, p.Name, p.Counters)
	}
	segments, err := c.backend.Segments(context.Background())
	if err != nil {
		return
	}
	for _, s := range segments {
		if s.HostLink.Name != "" {
			collect(ch, s.Name, s.HostLink.Name, s.HostLink.Counters)
		}
	}
}

// collect collects the counters of a port, each with its created timestamp, which Prometheus
// sees in the protocol buffer format only, and with one series of the text format beside them.
func collect(ch chan<- prometheus.Metric, segment, port string, c api.Counters) {
	add := func(desc *prometheus.Desc, n uint64, label string) {
		ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(
			desc, prometheus.CounterValue, float64(n), c.Since, segment, port, label)
	}
	add(framesMetric, c.RxFrames, "rx")
	add(framesMetric, c.TxFrames, "tx")
	add(bytesMetric, c.RxBytes, "rx")
	add(bytesMetric, c.TxBytes, "tx")
	for reason, n := range c.Drops {
		add(dropsMetric, n, reason)
	}
	since := float64(c.Since.UnixMilli()) / 1000
	ch <- prometheus.MustNewConstMetric(sinceMetric, prometheus.GaugeValue, since, segment, port)
}

// collectWorkers collects what the workers do their I/O by.
func (c collector) collectWorkers(ch chan<- prometheus.Metric) {
	workers, err := c.backend.Workers(context.Background())
	if err != nil {
		return
	}
	for _, w := range workers {
		value := 1.0
		if w.IO == reactor.Plain.String() {
			value = 0
		}
		ch <- prometheus.MustNewConstMetric(ringMetric, prometheus.GaugeValue, value,
			strconv.Itoa(w.Worker), w.IO)
	}
}

// collectNames collects what the segments' resolvers have counted.
func (c collector) collectNames(ch chan<- prometheus.Metric) {
	for segment, counts := range c.backend.MetByDNS() {
		for l, n := range counts {
			if dns.Limit(l) == dns.Waited {
				ch <- counter(waitsMetric, n, segment)
			} else {
				ch <- counter(refusedMetric, n, segment, dns.Limit(l).String())
			}
		}
	}
}

func counter(desc *prometheus.Desc, n uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
}

// listenMetrics listens on address, or returns nil when that is empty.
func listenMetrics(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics-listen %s: %w", address, err)
	}
	return listener, nil
}

// Limits of the listener for metrics, which anybody may reach. A scrape takes milliseconds, with
// thousands of ports a second.
const (
	maxScrapers      = 64 // connections; further ones wait
	maxScrapes       = 4  // at once; a further one is answered 503
	maxScrapeHeader  = 16 << 10
	scrapeReadTime   = 5 * time.Second
	scrapeAnswerTime = 30 * time.Second // to read the answer, from the end of the request
	scrapeIdleTime   = 2 * time.Minute  // longer than Prometheus's scrape_interval by default
)

// newMetricsServer returns a server that answers GET /metrics from what g gathers.
func newMetricsServer(g prometheus.Gatherer) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics",
		promhttp.HandlerFor(g, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}))
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: scrapeReadTime,
		ReadTimeout:       scrapeReadTime,
		WriteTimeout:      scrapeAnswerTime,
		IdleTimeout:       scrapeIdleTime,
		MaxHeaderBytes:    maxScrapeHeader,
	}
}

// warnOfMetrics says so where others than this machine's own programs may read the metrics.
func (d *daemon) warnOfMetrics(address net.Addr) {
	if tcp, ok := address.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		d.log.Warn("metrics are served off loopback: whoever reaches the address, containers "+
			"included, reads the names and counters of all segments and ports: give a loopback "+
			"address, or keep others from it by a firewall", "metrics_listen", address)
	}
}

// serveMetrics adds a task that answers /metrics until ctx ends; server is that of the API.
func (d *daemon) serveMetrics(
	ctx context.Context, listener net.Listener, server *api.Server,
) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{d.backend, server}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	scraped := newMetricsServer(registry)
	d.warnOfMetrics(listener.Addr())
	d.startTask(ctx, "metrics", func(context.Context) error {
		shared, err := Relisten(listener)
		if err != nil {
			return err
		}
		limited := netutil.LimitListener(shared, maxScrapers)
		if err := scraped.Serve(limited); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	d.tasks.Go(func() error {
		<-ctx.Done()
		return scraped.Close()
	})
}
