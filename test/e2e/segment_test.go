package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/api"
)

func TestContainersOfOneSegmentReachEachOther(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c1, c2 := h.attach("c1"), h.attach("c2")
	if c1.addr() != netip.MustParseAddr("172.17.0.2") || c2.addr() != netip.MustParseAddr("172.17.0.3") {
		t.Errorf("addresses %s and %s, want 172.17.0.2 and 172.17.0.3", c1.addr(), c2.addr())
	}
	if c1.port.MAC != "02:42:ac:11:00:02" {
		t.Errorf("MAC %s, want that of the address, 02:42:ac:11:00:02", c1.port.MAC)
	}
	c1.reaches("172.17.0.3")
	c2.reaches("172.17.0.2")
	c1.reaches("172.17.0.1")
	c2.reaches("172.17.0.1")
	c1.reaches("127.0.0.1")
}

func TestSegmentsAreIsolated(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	s := h.addSegment("my_bridge")
	if want := netip.MustParsePrefix("172.18.0.0/16"); s.Subnet != want {
		t.Errorf("the second segment has subnet %s, want %s", s.Subnet, want)
	}
	c1, c3 := h.attach("c1"), h.attach("c3", on("my_bridge"))
	c3.reaches("172.18.0.1")
	c3.misses("172.17.0.2")
	c1.misses("172.18.0.2")
	c1.misses("172.18.0.1")
	for name, want := range map[string]uint64{"c1": 6, "c3": 3} {
		h.awaitDrops(name, "cross-segment", want)
		if got := h.counters(name).Drops["cross-segment"]; got != want {
			t.Errorf("port %s: %d drops for cross-segment, want %d", name, got, want)
		}
	}
}

// A container's root may set any route and any neighbour. The switch keeps the
// segments apart all the same.
func TestHandMadeRoutesDoNotCrossSegments(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.addSegment("other")
	near, far, witness := h.attach("near"), h.attach("far", on("other")), h.attach("witness", on("other"))
	heard := openPacket(far, unix.ETH_P_ALL)
	for _, way := range []struct{ from, to *container }{{near, far}, {far, near}} {
		way.from.Run("ip", "route", "add", way.to.addr().String(), "dev", "eth0")
		way.from.Run("ip", "neigh", "add", way.to.addr().String(), "lladdr", way.to.port.MAC, "dev", "eth0", "nud", "permanent")
	}
	near.misses(far.addr().String())
	far.misses(near.addr().String())
	h.await("near's pings are counted", func() bool { return h.counters("near").RxFrames >= 3 })

	mark := ethernet(broadcast, witness.mac(), experimental, []byte("that was all")...)
	openPacket(witness, experimental).send(mark)
	for {
		frame := heard.receive()
		if bytes.HasPrefix(frame, mark) {
			return
		}
		if net.HardwareAddr(frame[6:12]).String() == near.port.MAC {
			t.Fatalf("a frame crossed from segment bridge to segment other: % x", frame)
		}
	}
}

func TestGroupAndUnknownFramesStayInTheirSegment(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.addSegment("other")
	sender, near := h.attach("sender"), h.attach("near")
	far, witness := h.attach("far", on("other")), h.attach("witness", on("other"))
	out, nearHears, farHears := openPacket(sender, experimental), openPacket(near, experimental), openPacket(far, experimental)
	// Else the kernel drops what is for another station before it is heard.
	near.Run("ip", "link", "set", "eth0", "promisc", "on")
	far.Run("ip", "link", "set", "eth0", "promisc", "on")

	for i, dst := range []net.HardwareAddr{
		broadcast,
		{0x01, 0x00, 0x5e, 1, 2, 3}, // IPv4 multicast
		{0x33, 0x33, 0, 0, 0, 1},    // IPv6, all nodes
		{0x02, 0, 0, 0, 0, 0x99},    // nobody's
		far.mac(),
	} {
		frame := ethernet(dst, sender.mac(), experimental, bytes.Repeat([]byte{byte(i + 1)}, 46)...)
		out.send(frame)
		if got := nearHears.receive(); !bytes.Equal(got, frame) {
			t.Errorf("to %s: the segment's other container got % x, want % x", dst, got, frame)
		}
	}
	mark := ethernet(broadcast, witness.mac(), experimental, bytes.Repeat([]byte{0xee}, 46)...)
	openPacket(witness, experimental).send(mark)
	if got := farHears.receive(); !bytes.Equal(got, mark) {
		t.Errorf("the other segment got % x before its own frame", got)
	}
}

func TestMTUOfASegmentHolds(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.addSegment("narrow", func(s *api.SegmentSpec) { s.MTU = 1400 })
	c1, c2 := h.attach("c1", on("narrow")), h.attach("c2", on("narrow"))
	link := inside(c1, func() (*net.Interface, error) { return net.InterfaceByName("eth0") })
	if link.MTU != 1400 {
		t.Errorf("the container's eth0 has MTU %d, want 1400", link.MTU)
	}
	// 20 bytes of IPv4 header and 8 of ICMP's.
	c1.reaches(c2.addr().String(), "-M", "do", "-s", "1372")
	c1.reaches(c2.port.Gateway, "-M", "do", "-s", "1372")
	if out, ok := c1.try("ping", "-c", "1", "-W", "0.5", "-M", "do", "-s", "1373", c2.addr().String()); ok {
		t.Errorf("a packet of 1401 bytes that must not be fragmented passes:\n%s", out)
	}
}

func TestOneContainerOnTwoSegments(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.addSegment("other")
	near, far := h.attach("near"), h.attach("far", on("other"))
	both := h.attach("both0")
	second := h.connect(both, "both1", on("other"), func(s *api.PortSpec) { s.IfName = "eth1" })
	if second.IfName != "eth1" || second.IPs[0] != netip.MustParsePrefix("172.18.0.3/16") {
		t.Errorf("second port is %s with %s, want eth1 with 172.18.0.3/16", second.IfName, second.IPs)
	}
	both.reaches(near.addr().String(), "-I", "eth0")
	both.reaches(far.addr().String(), "-I", "eth1")
	near.misses(far.addr().String())
}

func TestPortOptionsReachTheContainer(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	peer := h.attach("peer")
	c := h.attach("c", func(s *api.PortSpec) {
		s.IfName, s.IP, s.MAC, s.NoDefaultRoute = "lan0", "172.17.5.6", "02:00:00:00:00:77", true
	})
	link := inside(c, func() (*net.Interface, error) { return net.InterfaceByName("lan0") })
	if got := link.HardwareAddr.String(); got != "02:00:00:00:00:77" {
		t.Errorf("MAC %s, want 02:00:00:00:00:77", got)
	}
	if routes := c.Run("ip", "route", "show", "default"); routes != "" {
		t.Errorf("default route %q, want none", routes)
	}
	if routes := peer.Run("ip", "route", "show", "default"); routes != fmt.Sprintf("default via %s dev eth0 \n", peer.port.Gateway) {
		t.Errorf("default route %q, want one via %s", routes, peer.port.Gateway)
	}
	c.reaches(peer.addr().String())
	peer.reaches("172.17.5.6")
}
