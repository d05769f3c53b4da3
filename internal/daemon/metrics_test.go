package daemon

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vswitch/api"
)

// onePort collects the counters of a port.
type onePort api.Counters

func (onePort) Describe(ch chan<- *prometheus.Desc) { ch <- framesMetric }

func (p onePort) Collect(ch chan<- prometheus.Metric) {
	collect(ch, "bridge", "a", api.Counters(p))
}

// TestMetricsSayWhenCountersBegan: each counter of a port has its created timestamp.
func TestMetricsSayWhenCountersBegan(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	registry := prometheus.NewRegistry()
	registry.MustRegister(onePort{Since: since, Drops: map[string]uint64{"runt": 3}})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counters, gauges := 0, 0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch {
			case m.GetCounter().GetCreatedTimestamp().AsTime().Equal(since):
				counters++
			case m.GetGauge().GetValue() == 1767323045.006:
				gauges++
			default:
				t.Errorf("the metric %s does not say since when", m)
			}
		}
	}
	if counters != 5 || gauges != 1 {
		t.Errorf("%d counters and %d gauges, want 5 and 1", counters, gauges)
	}
}

// pipes is a listener whose connections are in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestMetricsServerWaitsForNobody: who sends no request, or does not read the answer, is
// disconnected.
func TestMetricsServerWaitsForNobody(t *testing.T) {
	t.Parallel()
	const request = "GET /metrics HTTP/1.1\r\nHost: x\r\n"
	for name, test := range map[string]struct {
		sent string
		read int // bytes of the answer
		most time.Duration
	}{
		"silent":         {"", 0, scrapeReadTime},
		"half a request": {request, 0, scrapeReadTime},
		"half a body":    {request + "Content-Length: 9\r\n\r\n{", 1 << 20, scrapeReadTime},
		"reads nothing":  {request + "\r\n", 0, scrapeAnswerTime},
		"idle":           {request + "\r\n", 1 << 20, scrapeIdleTime},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newMetricsServer(prometheus.NewRegistry())
				l := make(pipes)
				served := make(chan error)
				go func() { served <- server.Serve(l) }()
				here, there := net.Pipe()
				l <- there
				if _, err := io.WriteString(here, test.sent); err != nil {
					t.Fatal(err)
				}
				read := make(chan struct{})
				go func() {
					defer close(read)
					_, _ = io.CopyN(io.Discard, here, int64(test.read))
				}()
				time.Sleep(test.most + time.Second)
				synctest.Wait()
				// What was written before and not read would hide the end.
				if _, err := here.Write([]byte("x")); err == nil || !strings.Contains(err.Error(), "closed") {
					t.Errorf("after %v the connection is open: %v", test.most, err)
				}
				here.Close()
				<-read
				close(l)
				server.Close()
				if err := <-served; err == nil {
					t.Error("the server has ended without an error")
				}
			})
		})
	}
}

func TestMetricsOffLoopbackAreWarnedOf(t *testing.T) {
	t.Parallel()
	for address, warns := range map[string]bool{
		"127.0.0.1": false, "127.1.2.3": false, "::1": false,
		"0.0.0.0": true, "::": true, "172.17.0.1": true, "192.0.2.1": true,
	} {
		var log bytes.Buffer
		d := &daemon{log: slog.New(slog.NewTextHandler(&log, nil))}
		d.warnOfMetrics(&net.TCPAddr{IP: net.ParseIP(address), Port: 9475})
		if got := strings.Contains(log.String(), "level=WARN"); got != warns {
			t.Errorf("%s: the log says %q, want a warning: %t", address, log.String(), warns)
		}
	}
}
