package bench

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"vswitch/bench/load"
	"vswitch/bench/peer"
	"vswitch/bench/report"
	"vswitch/bench/stat"
	"vswitch/internal/frame"
)

// scenario is one question put to every peer, in several cases.
type scenario struct {
	name  string
	cases func(d time.Duration) []variant // d is how long one measurement takes
}

// variant is one case of a scenario.
type variant struct {
	name    string
	x       float64 // the varied number, for plots over it
	needs   peer.Needs
	bare    bool          // endpoints are not attached beforehand
	opens   bool          // it starts the peer itself, with stage.open
	rounds  bool          // it measures all rounds itself
	about   time.Duration // how long it takes, start and stop aside; an estimate
	measure func(ctx context.Context, s *stage) ([]reading, error)
}

// reading is one figure of one measurement.
type reading struct {
	metric    string
	unit      string
	better    report.Direction
	value     float64
	quantiles []float64 // of what value sums up, evenly spaced; nil unless it is a distribution
	at        point     // the case, where a variant measures several
}

// point is a case of a variant that measures several, with the varied number.
type point struct {
	name string
	x    float64
}

// stage is a peer at work with its endpoints, for one measurement.
type stage struct {
	lab       *peer.Lab
	fabric    peer.Fabric
	endpoints []load.Endpoint
	duration  time.Duration
	rounds    int
	peer      peer.Peer
	h         *harness
}

// scenarios are all scenarios, in the order of the report.
func scenarios() []scenario {
	return []scenario{
		{"ping", pingCases},
		{"tcp", tcpCases},
		{"frames", framesCases},
		{"rr", rrCases},
		{"ports", portsCases},
		{"macs", macsCases},
		{"segments", segmentsCases},
		{"attach", attachCases},
		{"congestion", congestionCases},
		{"security", securityCases},
		{"rates", ratesCases},
	}
}

// ScenarioNames returns the names of the suite's scenarios.
func (s Suite) ScenarioNames() []string {
	var names []string
	for _, s := range s.scenarios() {
		names = append(names, s.name)
	}
	return names
}

// choose finds scenarios of the suite by name; no names are all.
func (s Suite) choose(names []string) ([]scenario, error) {
	all := s.scenarios()
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(s scenario) bool { return s.name == name }) {
			return nil, fmt.Errorf("scenario %q is unknown: give some of %s",
				name, strings.Join(s.ScenarioNames(), ", "))
		}
	}
	return slices.DeleteFunc(all, func(s scenario) bool { return !slices.Contains(names, s.name) }), nil
}

// matchCase says whether name is one of the cases wanted, which may be patterns as
// of [path.Match]; no patterns are all cases.
func matchCase(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); ok && err == nil {
			return true
		}
	}
	return len(patterns) == 0
}

// place is where endpoints are: namespaces, one for each, and addresses.
func place(namespaces []string, n peer.Needs) []load.Endpoint {
	endpoints := make([]load.Endpoint, n.Ports)
	first := n.Ports - (n.Segments - 1) // how many are on segment 0
	for i := range endpoints {
		e := load.Endpoint{Namespace: namespaces[i], IfName: "eth0", Guarded: n.Guarded}
		if n.Local {
			e.IfName = fmt.Sprintf("p%d", i+1)
		}
		host := i + 2 // .1 is the gateway's
		if e.Segment = max(0, i-first+1); e.Segment > 0 {
			e.Addr = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(65 + e.Segment>>8), byte(e.Segment), 2}), 24)
		} else {
			e.Addr = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64, byte(host >> 8), byte(host)}), 16)
		}
		e.MAC = frame.MACFromIPv4(e.Addr.Addr())
		endpoints[i] = e
	}
	endpoints[0].RateIn, endpoints[1].RateOut = n.RateIn, n.RateOut
	return endpoints
}

// connect returns when a and b reach each other, and then know each other's MAC.
func (s *stage) connect(ctx context.Context, a, b load.Endpoint) error {
	task := load.PingTask{To: b.Addr.Addr(), Count: 1, Timeout: 200 * time.Millisecond}
	return peer.Poll(ctx, fmt.Sprintf("an answer from %s to ping", task.To), func() (bool, error) {
		var found stat.Latencies
		err := s.lab.RunHelper(ctx, a.Namespace, load.HelperPing, task, &found)
		return err == nil && found.Count > 0, err
	})
}

// pair is the two endpoints that most scenarios are about, connected.
func (s *stage) pair(ctx context.Context) (a, b load.Endpoint, err error) {
	a, b = s.endpoints[0], s.endpoints[1]
	return a, b, s.connect(ctx, a, b)
}

// pause waits, but not beyond the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
