package conformance

import (
	"net/netip"

	"vswitch/internal/frame"
)

// limitChecks are about ports that may not do as they please.
func limitChecks() []check {
	return []check{
		{"the address limit of a port holds", MACLimit, checkMACLimit},
		{"the flood limit of a port holds", FloodLimit, checkFloodLimit},
		{"a locked port uses its own MAC only", MACSecurity, checkMACSecurity},
		{"a strict port uses its own addresses only", StrictSource, checkStrictSource},
	}
}

func checkMACLimit(l *topology) {
	const limit, tried = 4, 40
	a, b, c := l.trio(first(func(s *PortSpec) { s.MACLimit = limit }))
	host := others(1000)
	l.learn(host, b)
	for i := range tried {
		l.must(a.send(l.probe(frame.Broadcast, others(i)).frame))
	}
	l.settle(a)
	entries, err := l.sw.FDB("lan")
	l.must(err)
	at := 0
	for _, e := range entries {
		if e.Port == a.spec.Name && !e.Static {
			at++
		}
	}
	if at < 1 || at > limit {
		l.Errorf("%d addresses were learned at the port, want 1 to %d: %+v", at, limit, entries)
	}
	l.isAt(host, b, false)
	l.expect("a frame to a station elsewhere", c, l.probe(host, c.MAC), b)
	l.expect("a broadcast of the station's own", a, l.probe(frame.Broadcast, a.MAC), b, c)
}

// checkFloodLimit sends many times as many floods at once as may pass in a second.
func checkFloodLimit(l *topology) {
	const limit, tried = 20, 400
	a, b, c := l.trio(first(func(s *PortSpec) { s.FloodLimit = limit }))
	host := others(1)
	l.learn(host, b)
	var floods []probe
	for range tried {
		floods = append(floods, l.probe(frame.Broadcast, a.MAC))
	}
	for _, p := range floods {
		l.must(a.send(p.frame))
	}
	// Behind them all, frames that go one way must pass.
	var direct []probe
	for range 50 {
		direct = append(direct, l.probe(host, a.MAC))
		l.must(a.send(direct[len(direct)-1].frame))
	}
	l.awaitMarker(direct[len(direct)-1], a, b)
	for i, p := range direct {
		if b.heard[p.mark] == nil {
			l.Errorf("frame %d of %d to a known station did not come", i, len(direct))
		}
	}
	l.settle(b)
	passed := 0
	for _, p := range floods {
		if b.heard[p.mark] != nil {
			passed++
		}
		if (b.heard[p.mark] == nil) != (c.heard[p.mark] == nil) {
			l.Errorf("broadcast %d came to one of %s and %s only", p.mark, b, c)
		}
	}
	if passed >= tried/2 {
		l.Errorf("%d of %d broadcasts passed a limit of %d per second", passed, tried, limit)
	}
	l.expect("another port's broadcast", b, l.probe(frame.Broadcast, b.MAC), a, c)
}

func checkMACSecurity(l *topology) {
	a, b, c := l.trio(first(func(s *PortSpec) { s.Security = SecurityMAC }))
	l.learn(b.MAC, b)
	l.expect("a broadcast of its own", a, l.probe(frame.Broadcast, a.MAC), b, c)
	l.expect("a frame of its own", a, l.probe(b.MAC, a.MAC), b)
	l.expect("a broadcast of a stranger", a, l.probe(frame.Broadcast, others(1)))
	l.expect("a frame of a stranger", a, l.probe(b.MAC, others(1)))
	l.isNowhere(others(1), "lan")
	l.expect("a broadcast in another's name", a, l.probe(frame.Broadcast, b.MAC))
	l.expect("a frame to the other", c, l.probe(b.MAC, c.MAC), b)
	l.expect("a frame to the locked port", c, l.probe(a.MAC, c.MAC), a)
	l.expect("a stranger's broadcast from a free port", b, l.probe(frame.Broadcast, others(2)), a, c)
}

func checkStrictSource(l *topology) {
	a, b, c := l.trio(first(func(s *PortSpec) { s.Security = SecurityStrict }))
	own, foreign, nobodys := a.IP.Addr(), b.IP.Addr(), c.IP.Addr().Next()
	arp := func(dst frame.MAC, operation uint16, sender frame.MAC, senderIP netip.Addr) probe {
		m := l.newMark()
		b, err := arpPacket(m, dst, operation, sender, senderIP, frame.MAC{}, nobodys)
		l.must(err)
		return probe{m, b}
	}
	l.expect("a datagram of its own", a, l.datagram(frame.Broadcast, a, own), b, c)
	l.expect("a datagram of its own to one", a, l.datagram(b.MAC, a, own), b)
	l.expect("a datagram from another's address", a, l.datagram(frame.Broadcast, a, foreign))
	l.expect("a datagram from another's address to one", a, l.datagram(c.MAC, a, foreign))
	l.expect("a datagram from nobody's address", a, l.datagram(b.MAC, a, nobodys))
	l.expect("an ARP request of its own", a, arp(frame.Broadcast, frame.ARPRequest, a.MAC, own), b, c)
	l.expect("an ARP request from another's address", a, arp(frame.Broadcast, frame.ARPRequest, a.MAC, foreign))
	l.expect("an ARP reply for another's address", a, arp(c.MAC, frame.ARPReply, a.MAC, foreign))
	l.expect("a frame in another's name", a, arp(frame.Broadcast, frame.ARPRequest, b.MAC, foreign))
	l.expect("a datagram of its own after them", a, l.datagram(c.MAC, a, own), c)
	l.expect("a free port's datagram from another's address", c, l.datagram(b.MAC, c, own), b)
}
