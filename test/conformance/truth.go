package conformance

import (
	"fmt"
	"net/netip"
	"time"

	"vswitch/internal/frame"
)

// truthChecks are about what a switch knows of its ports without having heard it
// from them, and what nobody can make it or its neighbours believe.
func truthChecks() []check {
	return []check{
		{"a host that only receives stays known", KnownPorts, checkOneWay},
		{"what is for a lost port goes to nobody", KnownPorts, checkLostPort},
		{"nobody claims the gateway's address, tagged or not", Gateway, checkGatewayClaim},
		{"a host that changes its MAC is found again", "", checkMACChange},
	}
}

func checkOneWay(l *topology) {
	const ageing = time.Second
	l.must(l.sw.SetAgeing(ageing))
	a, b, _ := l.trio(nil)
	l.expect("a frame to a host", a, l.probe(b.MAC, a.MAC), b)
	next := time.NewTicker(ageing / 10)
	defer next.Stop()
	frames := 0
	for end := time.Now().Add(3*ageing + ageing/2); time.Now().Before(end); <-next.C {
		p := l.probe(b.MAC, a.MAC)
		l.must(a.send(p.frame))
		// The receiver is not asked for a marker: it must stay silent.
		l.broadcastMarker(a)
		l.arrived(fmt.Sprintf("frame %d to a silent host", frames), a, p, b)
		frames++
	}
	l.remark = fmt.Sprintf(
		"%d frames in %s, at an ageing time of %s",
		frames,
		3*ageing+ageing/2,
		ageing,
	)
}

// checkLostPort deletes the namespace of a port, and looks at what is for it before
// the switch has seen that and afterwards.
func checkLostPort(l *topology) {
	a, b, _ := l.trio(nil)
	l.expect("a frame to a host", a, l.probe(b.MAC, a.MAC), b)
	b.deaf = true
	b.remove()
	send := func(when string) {
		l.Helper()
		l.expect("a frame to a port whose namespace was deleted, "+when, a, l.probe(b.MAC, a.MAC))
	}
	l.await("the switch has seen that the namespace was deleted", func() (bool, error) {
		send("before the switch has seen it")
		return l.sw.Lost(b.spec.Name)
	})
	for range 20 {
		send("after the switch has seen it")
	}
}

// checkGatewayClaim has ports of every level of security say that they are the
// gateway, behind tags that a receiver takes off (VLAN 0) and behind one that it
// does not.
func checkGatewayClaim(l *topology) {
	l.segment("lan")
	levels := []Security{SecurityOff, SecurityMAC, SecurityStrict}
	s := l.attach("lan", []string{"off", "mac", "strict", "victim"}, func(i int, spec *PortSpec) {
		if i < len(levels) {
			spec.Security = levels[i]
		}
	})
	victim := s[len(levels)]
	q, ad := dot1q(0), tag{frame.EtherTypeQinQ, 0}
	for i, level := range levels {
		for what, tags := range map[string][]tag{
			"untagged":            nil,
			"802.1Q":              {q},
			"802.1Q, priority 7":  {dot1q(7 << 13)},
			"802.1ad":             {ad},
			"802.1Q twice":        {q, q},
			"802.1ad over 802.1Q": {ad, q},
		} {
			for _, operation := range []uint16{frame.ARPRequest, frame.ARPReply} {
				for _, dst := range []frame.MAC{frame.Broadcast, victim.MAC} {
					p := l.claim(s[i], dst, operation, victim.IP.Addr(), tags...)
					l.expect(
						fmt.Sprintf("at %q, %s, ARP operation %d in the gateway's name", level, what, operation),
						s[i],
						p,
					)
				}
			}
		}
	}
	others := s[1:]
	l.expect(
		"the same in a VLAN",
		s[0],
		l.claim(s[0], frame.Broadcast, frame.ARPReply, victim.IP.Addr(), dot1q(5)),
		others...)
	l.expect(
		"the same in a VLAN behind a priority tag",
		s[0],
		l.claim(s[0], frame.Broadcast, frame.ARPReply, victim.IP.Addr(), q, dot1q(5)),
		others...)
}

// claim is ARP by which a station says to have the gateway's address.
func (l *topology) claim(
	s *station,
	dst frame.MAC,
	operation uint16,
	target netip.Addr,
	tags ...tag,
) probe {
	l.Helper()
	m := l.newMark()
	b, err := arpPacket(m, dst, operation, s.MAC, s.Gateway, frame.MAC{}, target)
	l.must(err)
	return probe{m, tagged(b, tags...)}
}

// checkMACChange gives a running interface another MAC, as its container's root
// may. An answer to ARP that the switch gives must not name the MAC before.
func checkMACChange(l *topology) {
	a, b, c := l.trio(nil)
	for i := range 3 {
		before := b.MAC
		b.MAC = others(i)
		b.ns.Run("ip", "link", "set", b.IfName, "address", b.MAC.String())
		l.learn(b.MAC, b) // it announces itself
		l.expect("a frame to the new MAC", a, l.probe(b.MAC, a.MAC), b)
		l.expect("a frame to the new MAC", c, l.probe(b.MAC, c.MAC), b)
		l.expect("a frame from the new MAC", b, l.probe(a.MAC, b.MAC), a)
		l.await(
			fmt.Sprintf("nobody answers ARP with %s, which is no more", before),
			func() (bool, error) {
				m := l.newMark()
				request, err := arpPacket(
					m,
					frame.Broadcast,
					frame.ARPRequest,
					a.MAC,
					a.IP.Addr(),
					frame.MAC{},
					b.IP.Addr(),
				)
				if err != nil {
					return false, err
				}
				a.forget()
				l.must(a.send(request))
				l.settle(a)
				return !a.toldThat(b.IP.Addr(), before), nil
			},
		)
	}
}

// toldThat says whether the station has got an ARP reply that an address is at a MAC.
func (s *station) toldThat(ip netip.Addr, mac frame.MAC) bool {
	for _, b := range s.strays {
		if from, ok := arpAnswer(b); ok && from == ip &&
			frame.ARP(frame.Ethernet(b).Payload()).SenderMAC() == mac {
			return true
		}
	}
	return false
}
