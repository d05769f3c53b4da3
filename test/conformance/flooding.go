package conformance

import (
	"fmt"
	"slices"

	"vswitch/internal/frame"
)

// floodingChecks are about where frames go, and that they get there unharmed.
func floodingChecks() []check {
	return []check{
		{"broadcast and multicast go to all others", "", checkFlooding},
		{"nothing returns to the port that it came from", "", checkHairpin},
		{"frames of all sizes arrive unchanged", "", checkSizes},
		{"VLAN tags arrive unchanged", "", checkTags},
		{"frames arrive in order, none twice", "", checkOrder},
	}
}

func checkFlooding(l *topology) {
	a, b, c := l.trio(nil)
	for _, group := range []frame.MAC{
		frame.Broadcast,
		{0x01, 0x00, 0x5e, 0x00, 0x00, 0x01}, // IPv4, all hosts
		{0x01, 0x00, 0x5e, 0x7f, 0x01, 0x02}, // IPv4, a group that nobody joined
		{0x33, 0x33, 0x00, 0x00, 0x00, 0x01}, // IPv6, all nodes
		{0x33, 0x33, 0xff, 0x01, 0x02, 0x03}, // IPv6, solicited node
		{0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd}, // of a vendor
		{0x03, 0x00, 0x00, 0x00, 0x00, 0x01}, // locally administered
	} {
		l.expect(fmt.Sprintf("a frame to group %s", group), a, l.probe(group, a.MAC), b, c)
		l.isNowhere(group, "lan")
	}
}

func checkHairpin(l *topology) {
	a, b, c := l.trio(nil)
	near, nearer := others(1), others(2)
	l.learn(near, a)
	l.learn(nearer, a)
	l.expect("a frame between two stations at one port", a, l.probe(near, nearer))
	l.expect("a frame from a station to itself", a, l.probe(near, near))
	// expect looks at the sender, too.
	l.expect("a broadcast", a, l.probe(frame.Broadcast, near), b, c)
	l.expect("a frame to an unknown station", a, l.probe(others(3), near), b, c)
	l.expect("a frame from elsewhere", b, l.probe(near, b.MAC), a)
}

// mtu of all links, in bytes: Ethernet's.
const mtu = 1500

func checkSizes(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.learn(host, b)
	least := frame.EthernetHeaderLen + markLen
	for _, n := range []int{least, least + 1, 45, 59, minFrame, 61, 63, 64, 65, 127, 128, 590, 1023, 1499, 1500, 1501, 1513, frame.EthernetHeaderLen + mtu} {
		l.expect(fmt.Sprintf("a frame of %d bytes", n), a, l.probeOf(n, host, a.MAC), b)
		l.expect(fmt.Sprintf("a broadcast of %d bytes", n), a, l.probeOf(n, frame.Broadcast, a.MAC), b, c)
	}
	full := frame.EthernetHeaderLen + frame.VLANTagLen + mtu
	l.expect("a full frame with a VLAN tag", a, l.probeOf(full, host, a.MAC, dot1q(100)), b)
}

// checkTags wants tags to be no business of a switch that knows no VLANs.
func checkTags(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.learn(host, b)
	for _, tags := range [][]tag{
		{dot1q(0)},
		{dot1q(1)},
		{dot1q(100)},
		{dot1q(4094)},
		{dot1q(7 << 13)}, // priority only
		{dot1q(5<<13 | 1<<12 | 100)},
		{{frame.EtherTypeQinQ, 100}, dot1q(200)},
		{dot1q(100), dot1q(200)},
	} {
		what := fmt.Sprintf("tagged % x", tags)
		l.expect("a frame "+what, a, l.probeOf(minFrame+8, host, a.MAC, tags...), b)
		l.expect("a broadcast "+what, a, l.probeOf(minFrame+8, frame.Broadcast, a.MAC, tags...), b, c)
	}
}

func checkOrder(l *topology) {
	a, b, c := l.trio(nil)
	host := others(1)
	l.learn(host, b)
	var frames [][]byte
	var want []mark
	for range 200 {
		p := l.probe(host, a.MAC)
		frames, want = append(frames, p.frame), append(want, p.mark)
	}
	l.must(a.send(frames...))
	l.settle(a)
	var got []mark
	for _, m := range b.order {
		if slices.Contains(want, m) {
			got = append(got, m)
		}
	}
	if !slices.Equal(got, want) {
		l.Errorf("%d frames came as %v, want %v", len(want), got, want)
	}
	for _, m := range want {
		if c.heard[m] != nil {
			l.Errorf("frame %d came to %s, too", m, c)
		}
	}
}
