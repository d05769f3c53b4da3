package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/api"
)

// errDisabled says whether the switch has taken a port out of service, since it
// seems to be part of a loop.
func errDisabled(p api.Port) bool {
	return p.State == api.PortDown &&
		(strings.Contains(p.Reason, "err-disabled") || strings.Contains(p.Reason, "held down"))
}

// awaitErrDisabled waits until one of the ports is err-disabled.
func (h *host) awaitErrDisabled(names ...string) (disabled api.Port) {
	h.Helper()
	h.await(fmt.Sprintf("one of the ports %q is err-disabled", names), func() bool {
		for _, name := range names {
			if disabled = h.port(name); errDisabled(disabled) {
				return true
			}
		}
		return false
	})
	return disabled
}

// bridgedHost is a container with two ports, left at eth0 and right at eth1.
type bridgedHost struct{ *container }

// bridged makes one that does not bridge its ports yet.
func (h *host) bridged(security string) *bridgedHost {
	h.Helper()
	c := h.container()
	// The last one is the container's port.
	for _, p := range []struct{ name, link string }{{"right", "eth1"}, {"left", "eth0"}} {
		h.connect(
			c,
			p.name,
			func(s *api.PortSpec) { s.IfName, s.Security, s.NoDefaultRoute = p.link, security, true },
		)
	}
	return &bridgedHost{c}
}

// closeLoop bridges the two ports by a bridge of these options.
func (b *bridgedHost) closeLoop(options ...string) {
	b.Helper()
	b.Run(
		append(
			[]string{"ip", "link", "add", "br0", "address", "02:00:00:00:0b:00", "type", "bridge"},
			options...)...)
	for _, link := range []string{"eth0", "eth1"} {
		b.Run("ip", "link", "set", link, "master", "br0")
	}
	b.Run("ip", "link", "set", "br0", "up")
}

// circling is a broadcast that everyone may send who has these addresses, and that
// nobody answers: an ARP request of the port's own for an address of nobody's.
func (b *bridgedHost) circling() []byte {
	b.Helper()
	nobody := netip.MustParseAddr("172.17.99.99")
	return ethernet(
		broadcast,
		b.mac(),
		unix.ETH_P_ARP,
		arpPacket(arpAsks, b.mac(), b.addr(), make(net.HardwareAddr, 6), nobody)...)
}

// A container that bridges two of its ports with spanning tree finds its loop by
// the BPDUs that the switch carries, as a bridge does that has no spanning tree of
// its own.
func TestSpanningTreeOfAContainerSeesItsLoop(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.attach("c")
	loop := h.bridged(api.SecurityStrict)
	out := rawSocket(loop.container)
	bystander := c.witness()
	loop.closeLoop("stp_state", "1", "forward_delay", "200", "hello_time", "100", "max_age", "600")
	h.await("the bridge has decided on its ports", func() bool {
		left, right := loop.portState("eth0"), loop.portState("eth1")
		decided := func(state string) bool { return state == forwarding || state == blocking }
		return decided(left) && decided(right) && (left == forwarding || right == forwarding)
	})
	out.send(loop.circling())
	const window = 3 * time.Second
	seen := 0
	for end := time.Now().Add(window); seen < 1000; seen++ {
		if _, ok := bystander.next(end); !ok {
			break
		}
	}
	// With the BPDUs while the tree grew.
	if seen >= 100 {
		t.Errorf(
			"one broadcast and %s later a bystander has seen %d frames or more, want fewer than 100",
			window,
			seen,
		)
	}
	if left, right := loop.portState("eth0"), loop.portState("eth1"); left != blocking &&
		right != blocking {
		t.Errorf(
			"the bridge's ports are in states %s and %s, want one that blocks (%s)",
			left,
			right,
			blocking,
		)
	}
	for _, name := range []string{"left", "right"} {
		if p := h.port(name); p.State != api.PortUp {
			t.Errorf("port %s is %s (%s), want up", name, p.State, p.Reason)
		}
	}
}

// States of a bridge's port in which it stays.
const (
	forwarding = "forwarding"
	blocking   = "blocking"
)

// portState is what the container's bridge does with one of its ports.
func (b *bridgedHost) portState(link string) string {
	b.Helper()
	out := b.Run("ip", "-d", "-o", "link", "show", "dev", link)
	switch {
	case strings.Contains(out, "state forwarding"):
		return forwarding
	case strings.Contains(out, "state blocking"):
		return blocking
	}
	return ""
}

// Without spanning tree the switch finds the loop itself, whatever the ports may
// send, before anybody else has noticed.
func TestLoopIsCutAtEveryLevelOfSecurity(t *testing.T) {
	t.Parallel()
	for _, level := range []string{api.SecurityStrict, api.SecurityMAC, api.SecurityOff} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			a, c := h.attach("a"), h.attach("c")
			loop := h.bridged(level)
			out := rawSocket(loop.container)
			bystander := c.witness()
			loop.closeLoop("stp_state", "0")
			out.send(loop.circling())
			storm := bystander.untilQuiet(1000)
			if len(storm) >= 1000 {
				t.Errorf("a bystander has seen %d frames or more, want fewer than 1000", len(storm))
			}
			if n := len(storm); n > 0 {
				if d := storm[n-1].at.Sub(storm[0].at); d > time.Second {
					t.Errorf("the loop lasted %s, want 1s at most", d)
				}
			}
			h.awaitErrDisabled("left", "right")
			for _, p := range []*container{a, c} {
				if p := h.port(p.port.Name); p.State != api.PortUp {
					t.Errorf("port %s, which is no part of the loop, is %s: %s", p.Name, p.State, p.Reason)
				}
			}
			a.reaches(c.addr().String())
		})
	}
}

// untilQuiet returns the frames that come until there is none for a second, or
// until there are as many as limit.
func (w *witness) untilQuiet(limit int) []sighting {
	w.Helper()
	var seen []sighting
	for len(seen) < limit {
		s, ok := w.next(time.Now().Add(time.Second))
		if !ok {
			break
		}
		seen = append(seen, s)
	}
	return seen
}

// Much is no loop.
func TestHonestBroadcasterIsNotErrDisabled(t *testing.T) {
	t.Parallel()
	const (
		rate   = 10000 // a second
		volley = 100
		all    = 3 * rate
	)
	h := newHost(t)
	a := h.attach("a")
	h.attach("c")
	out := rawSocket(a)
	frame := ethernet(
		broadcast,
		a.mac(),
		unix.ETH_P_ARP,
		arpPacket(
			arpAsks,
			a.mac(),
			a.addr(),
			make(net.HardwareAddr, 6),
			netip.MustParseAddr("172.17.99.99"),
		)...)
	before := h.counters("a")
	next := time.NewTicker(time.Second * volley / rate)
	defer next.Stop()
	for sent := 0; sent < all; sent += volley {
		for range volley {
			out.send(frame)
		}
		if p := h.port("a"); p.State != api.PortUp {
			t.Fatalf("after %d broadcasts the port is %s: %s", sent, p.State, p.Reason)
		}
		<-next.C
	}
	// A queue of the sender's kernel may have overflown meanwhile.
	h.await("all broadcasts that have come are flooded, and most have", func() bool {
		after := h.counters("a")
		came := after.RxFrames - before.RxFrames
		return came >= all/2 && after.Flooded-before.Flooded == came
	})
	if p := h.port("a"); p.State != api.PortUp {
		t.Errorf("after the broadcasts the port is %s: %s", p.State, p.Reason)
	}
}

// add-port --bpdu-guard is for a container that has no business with spanning tree.
func TestBPDUGuard(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	bystander := h.attach("bystander").witness()
	guarded := h.container()
	h.mustVsctl("add-port", "guarded", "--netns", guarded.Name(), "--bpdu-guard")
	guarded.port = h.port("guarded")
	for range 3 {
		rawSocket(guarded).send(configurationBPDU(guarded.mac()))
	}
	if n := len(with(bystander.until(guarded.mark()), stpGroup)); n != 0 {
		t.Errorf("%d BPDUs of a guarded port came to a bystander, want none", n)
	}
	h.awaitDrops("guarded", "bpdu-guard", 3)
}

// BPDUs go to the whole segment, as at a Linux bridge without spanning tree
// (br_handle_frame, net/bridge/br_input.c), and to no other.
func TestBPDUsAreForwarded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.addSegment("other")
	elsewhere := h.attach("elsewhere", on("other"))
	bystander, abroad := h.attach("bystander").witness(), elsewhere.witness()
	for _, level := range []string{api.SecurityStrict, api.SecurityMAC, api.SecurityOff} {
		c := h.attach(level, secured(level))
		bpdu := configurationBPDU(c.mac())
		rawSocket(c).send(bpdu)
		if n := len(with(bystander.until(c.mark()), bpdu)); n != 1 {
			t.Errorf("a BPDU of a port at %s came %d times, want once", level, n)
		}
	}
	sibling := h.attach("sibling", on("other"), secured(api.SecurityOff))
	end := ethernet(broadcast, sibling.mac(), experimental, []byte("to its own segment")...)
	rawSocket(sibling).send(end)
	if n := len(with(abroad.until([]byte("to its own segment")), stpGroup)); n != 0 {
		t.Errorf("%d BPDUs came to another segment, want none", n)
	}
}

// stpGroup is where BPDUs go (IEEE 802.1D-2004 §7.12.3).
var stpGroup = []byte{0x01, 0x80, 0xc2, 0, 0, 0}

// configurationBPDU is a frame of IEEE 802.1D-2004 §9.3.1 from a bridge that takes
// itself for the root.
func configurationBPDU(src net.HardwareAddr) []byte {
	bpdu := make([]byte, 35)
	for _, at := range []int{5, 17} { // root and bridge: priority and MAC
		binary.BigEndian.PutUint16(bpdu[at:], 0x8000)
		copy(bpdu[at+2:], src)
	}
	copy(bpdu[27:], []byte{0, 0, 20, 0, 2, 0, 15, 0}) // ages and times
	payload := append([]byte{0x42, 0x42, 0x03}, bpdu...)
	b := ethernet(stpGroup, src, uint16(len(payload)), payload...)
	return append(b, make([]byte, 60-len(b))...)
}

// A static entry says where an address is. That another port uses it is no move.
func TestStaticEntryIsNoMove(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.attach("p1")
	p2 := h.attach("p2", secured(api.SecurityOff))
	peers := []*container{h.attach("a"), h.attach("b")}
	witnesses := []*witness{peers[0].witness(), peers[1].witness()}
	mac := net.HardwareAddr{0x02, 0, 0, 0, 0x55, 0x01}
	h.mustVsctl("add-fdb", "bridge", mac.String(), "p1")
	out := rawSocket(p2)
	next := time.NewTicker(5 * time.Millisecond)
	defer next.Stop()
	const each = 200 // to each of the two, in 2 s
	for n := range 2 * each {
		out.send(
			ethernet(
				peers[n%2].mac(),
				mac,
				experimental,
				fmt.Appendf(make([]byte, 0, 46), "in turn %d", n)...),
		)
		if p := h.port("p2"); p.State != api.PortUp {
			t.Fatalf("after %d frames the port is %s: %s", n, p.State, p.Reason)
		}
		<-next.C
	}
	mark := p2.mark()
	for i, w := range witnesses {
		if n := len(with(w.until(mark), []byte("in turn "))); n != each {
			t.Errorf("%s has seen %d frames, want %d", peers[i].port.Name, n, each)
		}
	}
}
