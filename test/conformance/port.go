package conformance

import (
	"slices"

	"vswitch/internal/frame"
)

// portChecks are about ports that come, go and rest.
func portChecks() []check {
	return []check{
		{"a port that is down carries nothing, up again it does", "", checkPortDown},
		{"a container's interface may go down and up", "", checkLinkDown},
		{"a deleted port takes its addresses along", "", checkPortDeleted},
		{"isolated ports do not hear each other", Isolation, checkIsolated},
	}
}

func checkPortDown(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.learn(host, b)
	l.must(l.sw.SetPort(b.spec.Name, false))
	b.deaf = true
	l.expect("a broadcast", a, l.probe(frame.Broadcast, a.MAC), c)
	toHost := l.probe(host, a.MAC)
	l.must(a.send(toHost.frame))

	// What it sends meanwhile must be gone before it is up again.
	before, err := l.sw.Received(b.spec.Name)
	l.must(err)
	sent := []probe{l.probe(frame.Broadcast, b.MAC), l.probe(a.MAC, b.MAC), l.probe(frame.Broadcast, others(2))}
	for _, p := range sent {
		l.must(b.send(p.frame))
	}
	l.await("the switch has taken the frames from the port that is down", func() (bool, error) {
		now, err := l.sw.Received(b.spec.Name)
		return now >= before+uint64(len(sent)), err
	})
	l.isNowhere(others(2), "lan")
	l.settle(a)

	l.must(l.sw.SetPort(b.spec.Name, true))
	b.deaf = false
	l.join(b)
	l.settle(b)
	for _, p := range sent {
		l.arrived("a frame from a port that is down", b, p)
	}
	if b.heard[toHost.mark] != nil {
		l.Error("a frame came to a port that is down")
	}
	l.learn(host, b)
	l.expect("a frame to the port that is up again", a, l.probe(host, a.MAC), b)
	l.expect("a broadcast from it", b, l.probe(frame.Broadcast, b.MAC), a, c)
}

func checkLinkDown(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.learn(host, b)
	b.ns.Run("ip", "link", "set", b.IfName, "down")
	b.deaf = true
	for range 20 {
		l.expect("a broadcast", a, l.probe(frame.Broadcast, a.MAC), c)
		l.must(a.send(l.probe(host, a.MAC).frame)) // to nobody, or to all
	}
	b.ns.Run("ip", "link", "set", b.IfName, "up")
	b.deaf = false
	l.join(b)
	l.learn(host, b)
	l.expect("a frame to the interface that is up again", a, l.probe(host, a.MAC), b)
	l.expect("a broadcast from it", b, l.probe(frame.Broadcast, b.MAC), a, c)
}

func checkPortDeleted(l *topology) {
	a, b, c := l.trio(nil)
	learned, pinned := others(1), others(2)
	l.learn(learned, b)
	l.must(l.sw.AddStatic("lan", pinned, b.spec.Name))
	l.must(l.sw.DelPort(b.spec.Name))
	b.deaf = true
	// A bridge floods what is for an address that it has forgotten. A switch that knows its
	// ports shows nobody what is for the one that has gone.
	gone := []*station{c}
	if l.sw.Offers(KnownPorts) == nil {
		gone = nil
	}
	for mac, to := range map[frame.MAC][]*station{learned: gone, pinned: {c}, b.MAC: gone} {
		l.isNowhere(mac, "lan")
		l.expect("a frame to an address of the deleted port", a, l.probe(mac, a.MAC), to...)
	}
	l.learn(learned, c)
	l.expect("a frame to a station that has moved", a, l.probe(learned, a.MAC), c)

	l.connect(b)
	b.deaf = false
	l.join(b)
	l.isNowhere(pinned, "lan")
	l.expect("a broadcast to the new port", a, l.probe(frame.Broadcast, a.MAC), b, c)
	l.expect("a frame to the station that has moved", b, l.probe(learned, b.MAC), c)
}

// checkIsolated isolates two ports of four.
func checkIsolated(l *topology) {
	l.segment("lan")
	s := l.attach("lan", []string{"a", "b", "c", "d"}, func(i int, spec *PortSpec) { spec.Isolated = i < 2 })
	a, b, c, d := s[0], s[1], s[2], s[3]
	host := others(1)
	l.learn(host, b)
	l.expect("a broadcast from an isolated port", a, l.probe(frame.Broadcast, a.MAC), c, d)
	l.expect("a frame from an isolated port to an unknown station", a, l.probe(others(2), a.MAC), c, d)
	l.expect("a frame between isolated ports", a, l.probe(b.MAC, a.MAC))
	l.expect("a frame between stations at isolated ports", a, l.probe(host, others(3)))
	l.expect("a frame to a station at an isolated port", c, l.probe(host, c.MAC), b)
	l.expect("a frame from an isolated port", b, l.probe(d.MAC, b.MAC), d)
	l.expect("a broadcast from another port", c, l.probe(frame.Broadcast, c.MAC), slices.Concat(s[:2], s[3:])...)
}
