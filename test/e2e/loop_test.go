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
	"vswitch/test/lab"
)

// errDisabled says whether the switch has taken a port out of service, since it
// seems to be part of a loop.
func errDisabled(p api.Port) bool {
	return p.State == api.PortDown &&
		(strings.Contains(p.Reason, "err-disabled") || strings.Contains(p.Reason, "held down"))
}

// awaitErrDisabled waits until the log says, after its first from lines, that a port is
// err-disabled, and wants it to be one of these.
func (h *host) awaitErrDisabled(from int, names ...string) api.Port {
	h.Helper()
	line := h.AwaitLog(from, "port err-disabled")
	disabled, found := h.errDisabledOf(names...)
	if !found {
		h.Fatalf("none of the ports %q is err-disabled, and the log has: %s", names, line)
	}
	return disabled
}

// errDisabledOf returns the first of these ports that is err-disabled now.
func (h *host) errDisabledOf(names ...string) (disabled api.Port, found bool) {
	h.Helper()
	for _, name := range names {
		if p := h.Port(name); errDisabled(p) {
			return p, true
		}
	}
	return api.Port{}, false
}

// bridgedHost is a container with two ports, left at eth0 and right at eth1.
type bridgedHost struct{ *lab.Container }

// bridged makes one that does not bridge its ports yet.
func (h *host) bridged(security api.Security) *bridgedHost {
	h.Helper()
	c := h.Container()
	// The last one is the container's port.
	for _, p := range []struct{ name, link string }{{"right", "eth1"}, {"left", "eth0"}} {
		h.Connect(
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
		b.MAC(),
		unix.ETH_P_ARP,
		arpPacket(arpAsks, b.MAC(), b.Addr(), make(net.HardwareAddr, 6), nobody)...)
}

// A container that bridges two of its ports with spanning tree finds its loop by
// the BPDUs that the switch carries, as a bridge does that has no spanning tree of
// its own.
func TestSpanningTreeOfAContainerSeesItsLoop(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.Attach("c")
	loop := h.bridged(api.SecurityStrict)
	out := loop.Sender()
	bystander := c.Witness()
	loop.closeLoop("stp_state", "1", "forward_delay", "200", "hello_time", "100", "max_age", "600")
	loop.AwaitNetwork("the bridge has decided on its ports", func() bool {
		left, right := loop.portState("eth0"), loop.portState("eth1")
		decided := func(state string) bool { return state == forwarding || state == blocking }
		return decided(left) && decided(right) && (left == forwarding || right == forwarding)
	})
	out.Send(loop.circling())
	const window = 3 * time.Second
	seen := 0
	for end := time.Now().Add(window); seen < 1000; seen++ {
		if _, ok := bystander.Before(end); !ok {
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
		if p := h.Port(name); p.State != api.PortUp {
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
	for _, level := range []api.Security{api.SecurityStrict, api.SecurityMAC, api.SecurityOff} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			a, c := h.Attach("a"), h.Attach("c")
			loop := h.bridged(level)
			out := loop.Sender()
			bystander := c.Witness()
			from := h.Daemon.Lines()
			loop.closeLoop("stp_state", "0")
			circling := loop.circling()
			out.Send(circling)
			storm := untilQuiet(bystander, 1000)
			if len(storm) >= 1000 {
				t.Errorf("a bystander has seen %d frames or more, want fewer than 1000", len(storm))
			}
			storm = with(storm, circling) // without what the bridge sends of its own, as IGMP
			if n := len(storm); n > 0 {
				if d := storm[n-1].At.Sub(storm[0].At); d > time.Second {
					t.Errorf("the loop lasted %s, want 1s at most", d)
				}
			}
			h.awaitErrDisabled(from, "left", "right")
			for _, p := range []*lab.Container{a, c} {
				if p := h.Port(p.Port.Name); p.State != api.PortUp {
					t.Errorf("port %s, which is no part of the loop, is %s: %s", p.Name, p.State, p.Reason)
				}
			}
			a.Reaches(c.Addr().String())
		})
	}
}

// untilQuiet returns the frames that come until there is none for a second, or
// until there are as many as limit.
func untilQuiet(w *lab.TestSocket, limit int) []lab.Frame {
	w.Helper()
	var seen []lab.Frame
	for len(seen) < limit {
		s, ok := w.Before(time.Now().Add(time.Second))
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
	a := h.Attach("a")
	h.Attach("c")
	out := a.Sender()
	frame := ethernet(
		broadcast,
		a.MAC(),
		unix.ETH_P_ARP,
		arpPacket(
			arpAsks,
			a.MAC(),
			a.Addr(),
			make(net.HardwareAddr, 6),
			netip.MustParseAddr("172.17.99.99"),
		)...)
	before := h.Counters("a")
	next := time.NewTicker(time.Second * volley / rate)
	defer next.Stop()
	for sent := 0; sent < all; sent += volley {
		for range volley {
			out.Send(frame)
		}
		if p := h.Port("a"); p.State != api.PortUp {
			t.Fatalf("after %d broadcasts the port is %s: %s", sent, p.State, p.Reason)
		}
		<-next.C
	}
	// A queue of the sender's kernel may have overflown meanwhile.
	h.Eventually("all broadcasts that have come are flooded, and most have", func() bool {
		after := h.Counters("a")
		came := after.RxFrames - before.RxFrames
		return came >= all/2 && after.Flooded-before.Flooded == came
	})
	if p := h.Port("a"); p.State != api.PortUp {
		t.Errorf("after the broadcasts the port is %s: %s", p.State, p.Reason)
	}
}

// add-port --bpdu-guard is for a container that has no business with spanning tree.
func TestBPDUGuard(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	bystander := h.Attach("bystander").Witness()
	guarded := h.Container()
	h.MustVsctl("add-port", "guarded", "--netns", guarded.Name(), "--bpdu-guard")
	guarded.Port = h.Port("guarded")
	for range 3 {
		guarded.Sender().Send(configurationBPDU(guarded.MAC()))
	}
	if n := len(with(bystander.Until(sendMark(guarded)), stpGroup)); n != 0 {
		t.Errorf("%d BPDUs of a guarded port came to a bystander, want none", n)
	}
	h.AwaitDrops("guarded", "bpdu-guard", 3)
}

// BPDUs go to the whole segment, as at a Linux bridge without spanning tree
// (br_handle_frame, net/bridge/br_input.c), and to no other.
func TestBPDUsAreForwarded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.AddSegment("other")
	elsewhere := h.Attach("elsewhere", lab.On("other"))
	bystander, abroad := h.Attach("bystander").Witness(), elsewhere.Witness()
	for _, level := range []api.Security{api.SecurityStrict, api.SecurityMAC, api.SecurityOff} {
		c := h.Attach(string(level), secured(level))
		bpdu := configurationBPDU(c.MAC())
		c.Sender().Send(bpdu)
		if n := len(with(bystander.Until(sendMark(c)), bpdu)); n != 1 {
			t.Errorf("a BPDU of a port at %s came %d times, want once", level, n)
		}
	}
	sibling := h.Attach("sibling", lab.On("other"), secured(api.SecurityOff))
	end := ethernet(broadcast, sibling.MAC(), experimental, []byte("to its own segment")...)
	sibling.Sender().Send(end)
	if n := len(with(abroad.Until([]byte("to its own segment")), stpGroup)); n != 0 {
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
	h.Attach("p1")
	p2 := h.Attach("p2", secured(api.SecurityOff))
	peers := []*lab.Container{h.Attach("a"), h.Attach("b")}
	witnesses := []*lab.TestSocket{peers[0].Witness(), peers[1].Witness()}
	mac := net.HardwareAddr{0x02, 0, 0, 0, 0x55, 0x01}
	h.MustVsctl("add-fdb", "bridge", mac.String(), "p1")
	out := p2.Sender()
	next := time.NewTicker(5 * time.Millisecond)
	defer next.Stop()
	const each = 200 // to each of the two, in 2 s
	for n := range 2 * each {
		out.Send(
			ethernet(
				peers[n%2].MAC(),
				mac,
				experimental,
				fmt.Appendf(make([]byte, 0, 46), "in turn %d", n)...),
		)
		if p := h.Port("p2"); p.State != api.PortUp {
			t.Fatalf("after %d frames the port is %s: %s", n, p.State, p.Reason)
		}
		<-next.C
	}
	mark := sendMark(p2)
	for i, w := range witnesses {
		if n := len(with(w.Until(mark), []byte("in turn "))); n != each {
			t.Errorf("%s has seen %d frames, want %d", peers[i].Port.Name, n, each)
		}
	}
}
