package vswitch_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/switchtest"
	"vswitch/test/lab/seed"
)

// randomFrame is any of the frames that the switch treats differently, from
// station n of the first few.
func randomFrame(rng *rand.Rand, n, stations int) []byte {
	src, dst := switchtest.MAC(n), switchtest.MAC(1+rng.IntN(stations))
	switch rng.IntN(16) {
	case 0:
		return switchtest.Frame(frame.Broadcast, src, "")
	case 1:
		return switchtest.Frame(multicast, src, "")
	case 2:
		return switchtest.Frame(switchtest.MAC(10000+rng.IntN(1000)), src, "")
	case 3:
		return switchtest.Frame(dst, frame.Broadcast, "")
	case 4:
		return make([]byte, rng.IntN(frame.EthernetHeaderLen))
	case 5:
		return switchtest.Frame(dst, src, string(make([]byte, 1505)))
	case 6:
		return switchtest.Frame(frame.MAC{1, 0x80, 0xc2, 0, 0, byte(rng.IntN(16))}, src, "")
	case 7:
		return request(src)
	case 8:
		return switchtest.Frame(gatewayMAC, src, "")
	case 9:
		return switchtest.Frame(dst, switchtest.MAC(1+rng.IntN(stations)), "") // as if the station had moved
	}
	return switchtest.Frame(dst, src, "")
}

// TestCountersAddUp sends a random mix through several workers and holds the
// sums against each other and against what the devices have seen.
func TestCountersAddUp(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint("mix ", i), func(t *testing.T) {
			inLab(t, vswitch.Options{Workers: 3, Capacity: 500}, sendMix)
		})
	}
}

func sendMix(l *lab) {
	const stations = 6
	r := &responder{response: vswitch.Response{Action: vswitch.Answered}}
	var all []*port
	gateways := map[*vswitch.Segment]*vswitch.Port{}
	for range 2 {
		gw, p := l.withGateway(r, stations)
		gateways[gw.Segment()] = gw
		all = append(all, p...)
	}
	all[1].Refuse(frame.Again)
	all[2].SetDown(true)
	all[stations+3].Refuse(frame.Rejected)
	rng := seed.New(l.t)
	sent := map[*port]uint64{}
	for range 5000 {
		p := all[rng.IntN(len(all))]
		p.Send(randomFrame(rng, 1+rng.IntN(stations), stations))
		sent[p]++
	}
	synctest.Wait()
	for seg, gw := range gateways {
		balanced(l.t, gw)
		g := gw.Counters()
		copies := g.Forwarded + g.Flooded*stations
		var taken, probes uint64
		for _, p := range all {
			if p.Segment() != seg {
				continue
			}
			balanced(l.t, p.Port)
			c := p.Counters()
			copies += c.Forwarded + c.Flooded*(stations-1)
			taken += c.TxFrames + c.Drops[drop.LinkDown] + c.Drops[drop.HeldDown] + c.Drops[drop.QueueFull] + c.Drops[drop.TxRejected]
			frames := p.Frames()
			probes = max(probes, uint64(countLoopProbes(frames)))
			if got := uint64(len(frames)); c.TxFrames != got || c.RxFrames != sent[p] {
				l.t.Errorf("counted %d sent and %d read, want %d and %d", c.TxFrames, c.RxFrames, got, sent[p])
			}
		}
		copies += probes * stations // the switch's own, to every port
		if copies != taken {
			l.t.Errorf("%d copies were sent on their way and %d accounted for", copies, taken)
		}
	}
}

func countLoopProbes(frames [][]byte) (n int) {
	for _, f := range frames {
		if frame.Ethernet(f).EtherType() == frame.EtherTypeLoopback {
			n++
		}
	}
	return n
}

func TestReasonsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range drop.All() {
		if name := r.String(); name == "" || name == "unknown" || seen[name] {
			t.Errorf("reason %d has the name %q, want one of its own", r, name)
		}
		seen[r.String()] = true
	}
	if name := drop.Reason(200).String(); name != "unknown" {
		t.Errorf("a reason that does not exist is called %q", name)
	}
}
