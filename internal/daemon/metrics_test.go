package daemon

import (
	"testing"
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
