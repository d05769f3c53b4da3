package conformance

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vswitch/internal/frame"
)

// filteringChecks are about frames that no switch forwards.
func filteringChecks() []check {
	return []check{
		{"reserved groups 01:80:c2:00:00:01 to -0f are not forwarded", "", checkReserved},
		{"spanning tree passes, the group 01:80:c2:00:00:00", "", checkBPDU},
		{"spanning tree of a guarded port is not forwarded", BPDUGuard, checkBPDUGuard},
		{"groups next to the reserved ones are forwarded", "", checkNotReserved},
		{"group and zero source addresses are dropped", "", checkBadSource},
		{"runts harm nobody", "", checkRunts},
		{"frames over the MTU are dropped", "", checkGiants},
	}
}

// reservedGroup is one of the addresses that are for a link's two ends only
// (IEEE 802.1Q-2022 §8.6.3).
func reservedGroup(i int) frame.MAC { return frame.MACFromUint64(0x0180_c200_0000 + uint64(i)) }

func checkReserved(l *topology) {
	a, _, _ := l.trio(nil)
	for i := 1; i < 16; i++ {
		group := reservedGroup(i)
		l.expect(fmt.Sprintf("a frame to %s", group), a, l.probe(group, a.MAC))
	}
	l.expect("a frame to a reserved group in a VLAN", a, l.probeOf(minFrame+frame.VLANTagLen, reservedGroup(2), a.MAC, dot1q(100)))
}

// checkBPDU wants what a bridge without STP of its own does, so that the loops of
// others are found (br_handle_frame, net/bridge/br_input.c).
func checkBPDU(l *topology) {
	a, b, c := l.trio(nil)
	l.expect("a frame to the STP group", a, l.probe(reservedGroup(0), a.MAC), b, c)
	l.expect("a BPDU", a, l.bpdu(a), b, c)
	l.isNowhere(reservedGroup(0), "lan")
}

func checkBPDUGuard(l *topology) {
	a, b, c := l.trio(first(func(s *PortSpec) { s.BPDUGuard = true }))
	l.expect("a BPDU of a guarded port", a, l.bpdu(a))
	l.expect("another frame of it", a, l.probe(frame.Broadcast, a.MAC), b, c)
	l.expect("a BPDU to it", b, l.bpdu(b), a, c)
}

// bpdu is spanning tree's frame from a station.
func (l *topology) bpdu(s *station) probe {
	m := l.newMark()
	return probe{m, llc(reservedGroup(0), s.MAC, m, 0x42, 0x42, 0x03)}
}

func checkNotReserved(l *topology) {
	a, b, c := l.trio(nil)
	for _, i := range []int{0x10, 0x11, 0x20, 0x21, 0x2f, 0x100} {
		group := reservedGroup(i)
		l.expect(fmt.Sprintf("a frame to %s", group), a, l.probe(group, a.MAC), b, c)
	}
}

func checkBadSource(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.learn(host, b)
	for _, source := range []frame.MAC{{}, frame.Broadcast, {0x01, 0, 0x5e, 0, 0, 1}, {0x33, 0x33, 0, 0, 0, 1}, {0x03, 0, 0, 0, 0, 1}} {
		l.expect(fmt.Sprintf("a frame from %s", source), a, l.probe(host, source))
		l.expect(fmt.Sprintf("a broadcast from %s", source), a, l.probe(frame.Broadcast, source))
		l.isNowhere(source, "lan")
	}
	l.expect("a frame after them", a, l.probe(host, a.MAC), b)
	l.expect("a broadcast after them", a, l.probe(frame.Broadcast, a.MAC), b, c)
}

// checkRunts sends what is too short for a wire, down to a bare header. Shorter
// ones do not leave a packet socket (dev_validate_header, include/linux/netdevice.h).
func checkRunts(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.learn(host, b)
	var sent [][]byte
	for n := frame.EthernetHeaderLen; n < frame.EthernetHeaderLen+markLen; n++ {
		sent = append(sent, l.probeOf(0, host, a.MAC).frame[:n])
	}
	b.forget()
	l.must(a.send(sent...))
	l.settle(a)
	for _, got := range b.strays {
		if !slices.ContainsFunc(sent, func(s []byte) bool { return string(s) == string(got) }) {
			l.Errorf("%s got % x, which nobody sent", b, got)
		}
	}
	if len(b.strays) > len(sent) {
		l.Errorf("%s got %d short frames, of %d", b, len(b.strays), len(sent))
	}
	l.expect("a frame after them", a, l.probe(host, a.MAC), b)
	l.expect("a broadcast after them", a, l.probe(frame.Broadcast, a.MAC), b, c)
}

// checkGiants has a container raise its own MTU, as its root may.
func checkGiants(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.learn(host, b)
	a.ns.Run("ip", "link", "set", a.IfName, "mtu", "9000")
	full := frame.EthernetHeaderLen + mtu
	for _, n := range []int{full + frame.VLANTagLen + 1, full + 100, 4096, 9000} {
		for _, dst := range []frame.MAC{host, frame.Broadcast} {
			p := l.probeOf(n, dst, a.MAC)
			// A veth does not take what its peer is too narrow for.
			if err := a.send(p.frame); !errors.Is(err, unix.ENOBUFS) {
				l.must(err)
			}
			l.settle(a)
			l.arrived(fmt.Sprintf("a frame of %d bytes to %s", n, dst), a, p)
		}
	}
	l.expect("a frame of the full size", a, l.probeOf(full, host, a.MAC), b)
	l.expect("a broadcast of the full size", a, l.probeOf(full, frame.Broadcast, a.MAC), b, c)
}
