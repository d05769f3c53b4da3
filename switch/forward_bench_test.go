package vswitch

import (
	"testing"

	"vswitch/internal/counters"
	"vswitch/internal/frame"
	"vswitch/switch/policy"
)

// carry measures one frame's whole way, from reading to writing, without the
// system calls.
func carry(b *testing.B, ports []*Port, frames ...[]byte) {
	b.ReportAllocs()
	w := ports[0].worker
	w.do(func() {
		d := load(ports[0], b.N, frames...)
		b.ResetTimer()
		for d.left > 0 {
			w.burst(ports[0])
		}
		b.StopTimer()
	})
	if c := ports[0].Counters(); c.RxFrames != uint64(b.N) || c.Forwarded+c.Flooded != uint64(b.N) {
		b.Errorf("of %d frames, %d were forwarded and %d flooded", b.N, c.Forwarded, c.Flooded)
	}
}

// BenchmarkForward carries a flow of IPv4 from one station to another. What a
// feature costs is its time less that of "off".
func BenchmarkForward(b *testing.B) {
	open := func(int) policy.Policy { return policy.Policy{FloodLimit: -1} }
	macOnly := func(i int) policy.Policy { return policy.Policy{Security: policy.SecurityMACOnly, MAC: station(i)} }
	rated := func(int) policy.Policy {
		return policy.Policy{RateIn: policy.Rate{BitsPerSecond: policy.MaxRate}, RateOut: policy.Rate{BitsPerSecond: policy.MaxRate}}
	}
	rules := make([]Rule, 10)
	for i := range rules {
		rules[i] = Rule{Protocol: policy.ProtocolTCP, Ports: policy.PortRange{First: uint16(i) + 1, Last: uint16(i) + 1}, Action: policy.Deny}
	}
	for _, test := range []struct {
		name   string
		policy func(int) policy.Policy
		frame  func(frame.MAC, int) []byte
		rules  []Rule
	}{
		{"off", open, ipv4Frame, nil},
		{"mac-only", macOnly, ipv4Frame, nil},
		{"strict", strict, ipv4Frame, nil},
		{"off IPv6", open, ipv6Frame, nil},
		{"strict IPv6", strict, ipv6Frame, nil},
		{"rates", rated, ipv4Frame, nil},
		{"10 rules", open, ipv4Frame, rules},
	} {
		b.Run(test.name, func(b *testing.B) {
			_, ports := newNullSwitchWith(b, 2, test.policy)
			if err := ports[0].segment.SetRules(test.rules); err != nil {
				b.Fatal(err)
			}
			carry(b, ports, test.frame(station(1), 0))
		})
	}
}

// BenchmarkForwardKept is BenchmarkForward's "off" with counters in memory that outlives the
// process.
func BenchmarkForwardKept(b *testing.B) {
	table, err := counters.New("bench", counters.Layout{
		Names: CounterNames(), Words: CounterWords, Shares: 1, Blocks: 2,
		Recover: RecoverCounters,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer table.Close()
	_, ports := newNullSwitchWith(b, 2, func(int) policy.Policy {
		return policy.Policy{FloodLimit: -1}
	})
	for _, p := range ports {
		block, err := table.Take(counters.NewID("port", string(rune('a'+p.slot))))
		if err != nil {
			b.Fatal(err)
		}
		p.stripes = stripesOf(block.Words)
	}
	carry(b, ports, ipv4Frame(station(1), 0))
}

// BenchmarkForwardTurns carries two flows in turns, so that no frame goes the way
// of the one before.
func BenchmarkForwardTurns(b *testing.B) {
	for name, policy := range map[string]func(int) policy.Policy{
		"off":    func(int) policy.Policy { return policy.Policy{FloodLimit: -1} },
		"strict": strict,
	} {
		b.Run(name, func(b *testing.B) {
			_, ports := newNullSwitchWith(b, 3, policy)
			carry(b, ports, ipv4Frame(station(1), 0), ipv4Frame(station(2), 0))
		})
	}
}

func BenchmarkFlood16(b *testing.B) {
	_, ports := newNullSwitch(b, 17)
	carry(b, ports, rawFrame(frame.Broadcast, station(0), frame.EtherTypeIPv4))
}
