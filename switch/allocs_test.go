package vswitch

import (
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// TestForwardAllocs carries whole bursts from reading to writing.
func TestForwardAllocs(t *testing.T) {
	s, ports := newNullSwitch(t, 4)
	if _, err := s.AddResponder(ports[0].segment, station(100), echoResponder{}); err != nil {
		t.Fatal(err)
	}
	testForwardAllocs(t, ports, []allocsTest{
		{"unicast", rawFrame(station(1), station(0), frame.EtherTypeIPv4), 1},
		{"unknown unicast", rawFrame(station(50), station(0), frame.EtherTypeIPv4), 3},
		{"broadcast", rawFrame(frame.Broadcast, station(0), frame.EtherTypeIPv6), 3},
		{"ARP answer", rawFrame(frame.Broadcast, station(0), frame.EtherTypeARP), 1},
		{"gateway's answer", rawFrame(station(100), station(0), frame.EtherTypeIPv4), 1},
		{"drop", rawFrame(station(1), frame.Broadcast, frame.EtherTypeIPv4), 0},
	})
}

// allocsTest is a frame that the first port sends.
type allocsTest struct {
	name   string
	frame  []byte
	copies int // that devices take of each frame
}

// TestGuardedForwardAllocs has all that can be looked at in a frame looked at.
func TestGuardedForwardAllocs(t *testing.T) {
	_, ports := newNullSwitchWith(t, 4, func(i int) policy.Policy {
		c := strict(i)
		c.FloodLimit, c.Isolated = policy.MaxFloodLimit, i > 1
		c.RateIn, c.RateOut = policy.Rate{BitsPerSecond: policy.MaxRate}, policy.Rate{BitsPerSecond: policy.MaxRate}
		return c
	})
	err := ports[0].segment.SetRules([]Rule{{From: ports[1:], Action: policy.Deny}, {To: ports[3:], Protocol: policy.ProtocolTCP, Action: policy.Deny}})
	if err != nil {
		t.Fatal(err)
	}
	spoofed := ipv4Frame(station(1), 0)
	spoofed[frame.VNetHeaderLen+frame.EthernetHeaderLen+12]++
	testForwardAllocs(t, ports, []allocsTest{
		{"unicast", ipv4Frame(station(1), 0), 1},
		{"unicast IPv6", ipv6Frame(station(1), 0), 1},
		{"unknown unicast", ipv4Frame(station(50), 0), 2},
		{"broadcast", ipv6Frame(frame.Broadcast, 0), 2},
		{"spoofed", spoofed, 0},
		{"denied", ipv4Frame(station(3), 0), 0},
	})
}

func testForwardAllocs(t *testing.T, ports []*Port, tests []allocsTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const runs = 100
			w, d := ports[0].worker, load(ports[0], 0, test.frame)
			var allocs float64
			w.do(func() {
				allocs = testing.AllocsPerRun(runs, func() {
					d.left = burstFrames
					w.burst(ports[0])
				})
			})
			taken := 0
			for _, p := range ports {
				taken += p.device.(*nullDevice).taken
				p.device.(*nullDevice).taken = 0
			}
			// AllocsPerRun runs once more, to warm up.
			if want := (runs + 1) * burstFrames * test.copies; taken != want {
				t.Errorf("devices took %d copies, want %d", taken, want)
			}
			if allocs != 0 && !raceEnabled { // the race detector allocates
				t.Errorf("%v allocations in a burst of %d frames, want none", allocs, burstFrames)
			}
		})
	}
}

// passFilter lets everything pass, and the host hear of everything.
type passFilter struct{}

func (passFilter) FilterIngress(*frame.Parsed) drop.Reason { return drop.None }
func (passFilter) AcceptsFlood(*frame.Parsed) bool         { return true }

// TestHostForwardAllocs carries frames to the host, and from it.
func TestHostForwardAllocs(t *testing.T) {
	s, ports := newNullSwitchWith(t, 2, strict)
	seg := ports[0].segment
	if _, err := s.AddResponder(seg, station(100), toHostResponder{}); err != nil {
		t.Fatal(err)
	}
	host, err := s.AddHostPort(seg, &nullDevice{}, passFilter{}, PortConfig{Policy: policy.Policy{MACLimit: -1, FloodLimit: -1}})
	if err != nil {
		t.Fatal(err)
	}
	testForwardAllocs(t, []*Port{ports[0], ports[1], host}, []allocsTest{
		{"to the host", ipv4Frame(station(100), 0), 1},
		{"overheard", ipv4Frame(frame.Broadcast, 0), 2},
	})
	testForwardAllocs(t, []*Port{host, ports[0], ports[1]}, []allocsTest{
		{"from the host", rawFrame(station(1), station(100), frame.EtherTypeIPv4), 1},
		{"from the host to all", rawFrame(frame.Broadcast, station(100), frame.EtherTypeIPv4), 2},
	})
}

type toHostResponder struct{}

func (toHostResponder) Respond(Origin, *frame.Parsed, []byte) Response {
	return Response{Action: ToHost}
}
