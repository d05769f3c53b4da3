package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/test/lab"
)

func TestContainersOfOneSegmentReachEachOther(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c1, c2 := h.Attach("c1"), h.Attach("c2")
	if c1.Addr() != netip.MustParseAddr("172.17.0.2") || c2.Addr() != netip.MustParseAddr("172.17.0.3") {
		t.Errorf("addresses %s and %s, want 172.17.0.2 and 172.17.0.3", c1.Addr(), c2.Addr())
	}
	if c1.Port.MAC != parsedMAC("02:42:ac:11:00:02") {
		t.Errorf("MAC %s, want that of the address, 02:42:ac:11:00:02", c1.Port.MAC)
	}
	c1.Reaches("172.17.0.3")
	c2.Reaches("172.17.0.2")
	c1.Reaches("172.17.0.1")
	c2.Reaches("172.17.0.1")
	c1.Reaches("127.0.0.1")
}

func TestSegmentsAreIsolated(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	s := h.AddSegment("my_bridge")
	if want := netip.MustParsePrefix("172.18.0.0/16"); s.Subnet != want {
		t.Errorf("the second segment has subnet %s, want %s", s.Subnet, want)
	}
	c1, c3 := h.Attach("c1"), h.Attach("c3", lab.On("my_bridge"))
	c3.Reaches("172.18.0.1")
	c3.Misses("172.17.0.2")
	c1.Misses("172.18.0.2")
	c1.Misses("172.18.0.1")
	for name, want := range map[string]uint64{"c1": 6, "c3": 3} {
		h.AwaitDrops(name, "cross-segment", want)
		if got := h.Counters(name).Drops["cross-segment"]; got != want {
			t.Errorf("port %s: %d drops for cross-segment, want %d", name, got, want)
		}
	}
}

// A container's root may set any route and any neighbour. The switch keeps the
// segments apart all the same.
func TestHandMadeRoutesDoNotCrossSegments(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("other")
	near, far, witness := h.Attach("near"), h.Attach("far", lab.On("other")), h.Attach("witness", lab.On("other"))
	heard, onHost := far.Socket(unix.ETH_P_ALL), h.onHost("bridge").Witness()
	for _, way := range []struct{ from, to *lab.Container }{{near, far}, {far, near}} {
		way.from.Run("ip", "route", "add", way.to.Addr().String(), "dev", "eth0")
		way.from.Run("ip", "neigh", "add", way.to.Addr().String(), "lladdr", way.to.Port.MAC.String(), "dev", "eth0", "nud", "permanent")
	}
	near.Misses(far.Addr().String())
	far.Misses(near.Addr().String())
	onHost.Until(sendMark(near)) // so that the switch is done with near's pings

	mark := ethernet(broadcast, witness.MAC(), experimental, []byte("that was all")...)
	witness.Socket(experimental).Send(mark)
	for {
		frame := heard.Next().Bytes
		if bytes.HasPrefix(frame, mark) {
			return
		}
		if api.MAC(frame[6:12]) == near.Port.MAC {
			t.Fatalf("a frame crossed from segment bridge to segment other: % x", frame)
		}
	}
}

func TestGroupAndUnknownFramesStayInTheirSegment(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("other")
	sender, near := h.Attach("sender"), h.Attach("near")
	far, witness := h.Attach("far", lab.On("other")), h.Attach("witness", lab.On("other"))
	out, nearHears, farHears := sender.Socket(experimental), near.Socket(experimental), far.Socket(experimental)
	// Else the kernel drops what is for another station before it is heard.
	near.Run("ip", "link", "set", "eth0", "promisc", "on")
	far.Run("ip", "link", "set", "eth0", "promisc", "on")

	for i, dst := range []net.HardwareAddr{
		broadcast,
		{0x01, 0x00, 0x5e, 1, 2, 3}, // IPv4 multicast
		{0x33, 0x33, 0, 0, 0, 1},    // IPv6, all nodes
		{0x02, 0, 0, 0, 0, 0x99},    // nobody's
		far.MAC(),
	} {
		frame := ethernet(dst, sender.MAC(), experimental, bytes.Repeat([]byte{byte(i + 1)}, 46)...)
		out.Send(frame)
		if got := nearHears.Next().Bytes; !bytes.Equal(got, frame) {
			t.Errorf("to %s: the segment's other container got % x, want % x", dst, got, frame)
		}
	}
	mark := ethernet(broadcast, witness.MAC(), experimental, bytes.Repeat([]byte{0xee}, 46)...)
	witness.Socket(experimental).Send(mark)
	if got := farHears.Next().Bytes; !bytes.Equal(got, mark) {
		t.Errorf("the other segment got % x before its own frame", got)
	}
}

func TestMTUOfASegmentHolds(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("narrow", func(s *api.SegmentSpec) { s.MTU = 1400 })
	c1, c2 := h.Attach("c1", lab.On("narrow")), h.Attach("c2", lab.On("narrow"))
	link := lab.Inside(c1, func() (*net.Interface, error) { return net.InterfaceByName("eth0") })
	if link.MTU != 1400 {
		t.Errorf("the container's eth0 has MTU %d, want 1400", link.MTU)
	}
	// 20 bytes of IPv4 header and 8 of ICMP's.
	c1.Reaches(c2.Addr().String(), "-M", "do", "-s", "1372")
	c1.Reaches(c2.Port.Gateway, "-M", "do", "-s", "1372")
	if out, ok := c1.Try("ping", "-c", "1", "-W", "0.5", "-M", "do", "-s", "1373", c2.Addr().String()); ok {
		t.Errorf("a packet of 1401 bytes that must not be fragmented passes:\n%s", out)
	}
}

func TestOneContainerOnTwoSegments(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("other")
	near, far := h.Attach("near"), h.Attach("far", lab.On("other"))
	both := h.Attach("both0")
	second := h.Connect(both, "both1", lab.On("other"), func(s *api.PortSpec) { s.IfName = "eth1" })
	if second.IfName != "eth1" || second.IPs[0] != netip.MustParsePrefix("172.18.0.3/16") {
		t.Errorf("second port is %s with %s, want eth1 with 172.18.0.3/16", second.IfName, second.IPs)
	}
	both.Reaches(near.Addr().String(), "-I", "eth0")
	both.Reaches(far.Addr().String(), "-I", "eth1")
	near.Misses(far.Addr().String())
}

func TestPortOptionsReachTheContainer(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	peer := h.Attach("peer")
	c := h.Attach("c", func(s *api.PortSpec) {
		s.IfName, s.IP, s.MAC, s.NoDefaultRoute = "lan0", api.PortIP{Addr: netip.MustParseAddr("172.17.5.6")}, parsedMAC("02:00:00:00:00:77"), true
	})
	link := lab.Inside(c, func() (*net.Interface, error) { return net.InterfaceByName("lan0") })
	if got := link.HardwareAddr.String(); got != "02:00:00:00:00:77" {
		t.Errorf("MAC %s, want 02:00:00:00:00:77", got)
	}
	if routes := c.Run("ip", "route", "show", "default"); routes != "" {
		t.Errorf("default route %q, want none", routes)
	}
	if routes := peer.Run("ip", "route", "show", "default"); routes != fmt.Sprintf("default via %s dev eth0 \n", peer.Port.Gateway) {
		t.Errorf("default route %q, want one via %s", routes, peer.Port.Gateway)
	}
	c.Reaches(peer.Addr().String())
	peer.Reaches("172.17.5.6")
}
