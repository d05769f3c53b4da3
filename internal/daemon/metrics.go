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
	"golang.org/x/sync/errgroup"

	"vswitch/api"
)

// The metrics of each port, and of each host link by its interface's name.
var (
	framesMetric = prometheus.NewDesc("vswitch_port_frames_total", "Frames read from (rx) or taken by (tx) the port's device.", []string{"segment", "port", "direction"}, nil)
	bytesMetric  = prometheus.NewDesc("vswitch_port_bytes_total", "Bytes of those frames, without FCS.", []string{"segment", "port", "direction"}, nil)
	ringMetric   = prometheus.NewDesc("vswitch_worker_io_uring", "Whether a worker carries several frames in one system call (1), or the kernel gives it no io_uring (0).", []string{"worker"}, nil)
	dropsMetric  = prometheus.NewDesc("vswitch_port_drops_total", "Frames dropped, by reason.", []string{"segment", "port", "reason"}, nil)
)

// portCollector reads the counters when it is asked to, and not before.
type portCollector struct{ daemon *Daemon }

// Describe implements [prometheus.Collector].
func (portCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- framesMetric
	ch <- bytesMetric
	ch <- dropsMetric
	ch <- ringMetric
}

// Collect implements [prometheus.Collector].
func (c portCollector) Collect(ch chan<- prometheus.Metric) {
	for i, r := range c.daemon.reactors {
		batched := 1.0
		if r.Batched() != nil {
			batched = 0
		}
		ch <- prometheus.MustNewConstMetric(ringMetric, prometheus.GaugeValue, batched, strconv.Itoa(i))
	}
	ports, err := c.daemon.Ports(context.Background(), "")
	if err != nil {
		return
	}
	for _, p := range ports {
		collect(ch, p.Segment, p.Name, p.Counters)
	}
	segments, err := c.daemon.Segments(context.Background())
	if err != nil {
		return
	}
	for _, s := range segments {
		if s.HostLink.Name != "" {
			collect(ch, s.Name, s.HostLink.Name, s.HostLink.Counters)
		}
	}
}

func collect(ch chan<- prometheus.Metric, segment, port string, c api.Counters) {
	counter := func(desc *prometheus.Desc, n uint64, label string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), segment, port, label)
	}
	counter(framesMetric, c.RxFrames, "rx")
	counter(framesMetric, c.TxFrames, "tx")
	counter(bytesMetric, c.RxBytes, "rx")
	counter(bytesMetric, c.TxBytes, "tx")
	for reason, n := range c.Drops {
		counter(dropsMetric, n, reason)
	}
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

// serveMetrics adds a task that answers /metrics until ctx ends.
func (d *Daemon) serveMetrics(ctx context.Context, tasks *errgroup.Group, listener net.Listener) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(portCollector{d}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	d.startTask(ctx, tasks, "metrics", func(context.Context) error {
		shared, err := Relisten(listener)
		if err != nil {
			return err
		}
		if err := server.Serve(shared); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	tasks.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
}
