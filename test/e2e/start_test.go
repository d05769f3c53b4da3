package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/internal/frame"
	"vswitch/test/lab"
)

// crowd is a host with many containers. Their kernels have IPv6, as those of most containers do.
type crowd struct {
	*host
	members  []*member
	segments []string
}

// crowdSegment is how many members a segment of a crowd has.
const crowdSegment = 4096

// member is a container that sends the next one of its segment frames through a packet socket.
type member struct {
	*lab.Container
	socket *lab.TestSocket
	next   int    // the place of the one that it sends to
	frame  []byte // to that one, without its mark
}

// newCrowd attaches n containers to a host that runs already: to its default segment, and to more
// once that has [crowdSegment].
func newCrowd(h *host, n int) *crowd {
	h.Helper()
	c := &crowd{host: h, segments: []string{api.DefaultSegment}}
	for i := range n {
		if i > 0 && i%crowdSegment == 0 {
			c.segments = append(c.segments, h.AddSegment(fmt.Sprintf("crowd%d", i)).Name)
		}
		container := &lab.Container{Namespace: lab.NewNamespace(h.TB), TB: h.TB, Host: h.Host}
		h.Connect(container, fmt.Sprintf("c%04d", i), lab.On(c.segments[len(c.segments)-1]))
		c.members = append(c.members, &member{Container: container})
	}
	for i, m := range c.members {
		first := i - i%crowdSegment
		m.next = first + (i-first+1)%min(crowdSegment, n-first)
		m.frame = pong(m.Container, c.members[m.next].Container)
		m.socket = m.ipv4Socket()
	}
	return c
}

// ipv4Socket opens a socket that receives IPv4 frames, at a port that stays as it is.
func (m *member) ipv4Socket() *lab.TestSocket {
	m.Helper()
	s, err := lab.OpenSocket(lab.SocketConfig{
		Namespace: m.Name(), Interface: m.Port.IfName, EtherType: unix.ETH_P_IP,
	})
	if err != nil {
		m.Fatalf("open a packet socket in container %s: %v", m.Port.Name, err)
	}
	m.Cleanup(s.Close)
	return &lab.TestSocket{TB: m.TB, Socket: s}
}

// pong builds the head of a frame that port security lets pass and that no kernel answers: an
// echo reply that nobody has asked for (RFC 791 §3.1, RFC 792).
func pong(from, to *lab.Container) []byte {
	from.Helper()
	ip := []byte{0x45, 0, 0, 20 + 8 + markSize, 0, 0, 0, 0, 64, unix.IPPROTO_ICMP, 0, 0}
	ip = append(append(ip, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum>>16+sum&0xffff))
	return ethernet(to.MAC(), from.MAC(), unix.ETH_P_IP, append(ip, make([]byte, 8)...)...)
}

// markSize is how many bytes of mark follow the head that pong makes.
const markSize = 40

// awaitFrames returns once a frame has passed from each member to the next one. They are sent
// again and again until then.
func (c *crowd) awaitFrames() {
	c.Helper()
	mark := fmt.Appendf(nil, "%-*s", markSize, fmt.Sprintf("crowd %d ", marks.Add(1)))
	arrived := make([]bool, len(c.members))
	deadline := time.Now().Add(4 * lab.Patience)
	for missing := len(c.members); missing > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatalf("frames of %d of %d ports still do not pass", missing, len(c.members))
		}
		for _, m := range c.members {
			if !arrived[m.next] {
				// While the interface has no carrier its kernel refuses them.
				_ = m.socket.Socket.Send(slices.Concat(m.frame, mark))
			}
		}
		for i, m := range c.members {
			if !arrived[i] && m.hasReceived(mark) {
				arrived[i] = true
				missing--
			}
		}
	}
}

// hasReceived reports whether a frame with the mark is among those that have come.
func (m *member) hasReceived(mark []byte) bool {
	m.Helper()
	for {
		f, came := m.socket.Before(time.Now())
		if !came || bytes.Contains(f.Bytes, mark) {
			return came
		}
	}
}

// portCounters are the counters of the ports, by their ids.
type portCounters map[string]api.Counters

// counters returns what the ports have counted.
func (c *crowd) counters() portCounters {
	c.Helper()
	ports, err := c.Client.Ports(c.Context(), "")
	if err != nil {
		c.Fatal(err)
	}
	all := make(portCounters, len(ports))
	for _, p := range ports {
		all[p.ID] = p.Counters
	}
	return all
}

// writtenSince returns how many frames the switch has written to the ports since before.
// Counters may have begun anew meanwhile.
func (c *crowd) writtenSince(before portCounters) (all uint64) {
	c.Helper()
	for id, now := range c.counters() {
		all += now.TxFrames
		if before[id].Since.Equal(now.Since) {
			all -= before[id].TxFrames
		}
	}
	return all
}

// settled returns how many frames the switch has written since before once nobody sends any
// more: what a kernel sends after its interface has come up follows within a second or two.
func (c *crowd) settled(before portCounters) uint64 {
	c.Helper()
	for all, since := uint64(0), time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if now := c.writtenSince(before); now != all {
			all, since = now, time.Now()
		}
		if time.Since(since) > 2*time.Second {
			return all
		}
	}
}

// awaitAPI returns once the API lists the ports. Its client holds no answer against the API's
// document, which takes longer than to answer where there are thousands.
func (c *crowd) awaitAPI() {
	client := api.NewSocketClient(c.Socket, lab.Patience)
	defer client.Close()
	for c.Context().Err() == nil {
		if _, err := client.Ports(c.Context(), ""); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// starts are the ways in which the frames' carrier comes to be another process.
func (c *crowd) starts() []start {
	return []start{
		{"kill -9 of the carrier", func() { lab.WatchProcess(c, c.Carrier()).Kill() }},
		{"upgrade", func() {
			c.LogAfter(func() {
				if err := c.Daemon.Signal(syscall.SIGHUP); err != nil {
					c.Fatal(err)
				}
			}, "msg=upgraded")
		}},
		{"kill -9 of both, start", func() { c.Kill(); c.Launch() }},
		{"stop, start", func() { c.Stop(); c.Launch() }},
	}
}

type start struct {
	name string
	do   func()
}

// TestStartIsQuiet: whatever carries the frames anew sends the ports nothing by itself where
// nothing has changed, and has no container's kernel send to all others.
func TestStartIsQuiet(t *testing.T) {
	t.Parallel()
	c := newCrowd(newHost(t), 60)
	c.Harmed()
	for _, s := range c.starts() {
		seen, before := c.members[0].Witness(), c.counters()
		s.do()
		c.awaitAPI()
		if all := c.settled(before); all >= uint64(len(c.members)) {
			t.Errorf("%s: %d frames were written to %d ports, which is a flood at least",
				s.name, all, len(c.members))
		}
		c.awaitFrames()
		for _, f := range seen.Until(sendMark(c.members[1].Container)) {
			if f.Bytes[0]&1 != 0 { // to a group
				t.Errorf("%s: a port has received % x", s.name, f.Bytes)
			}
		}
		seen.Close()
	}
}

// TestStartAnnouncesWhatHasChanged: of a port whose MAC has changed while nothing ran the others
// hear, and of no other port.
func TestStartAnnouncesWhatHasChanged(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b, witness := h.Attach("a", secured(api.SecurityOff)), h.Attach("b"), h.Attach("witness")
	seen := witness.Witness()
	h.Stop()
	a.Run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:0a")
	h.Start()
	awaitLinksUp(a, b, witness)
	announcement := arp.AppendAnnouncement(nil, frame.MAC{2, 0, 0, 0, 0, 0x0a}, a.Addr())
	if f := seen.Next(); !bytes.HasPrefix(f.Bytes, announcement) {
		t.Errorf("the first frame at another port is % x, want % x", f.Bytes, announcement)
	}
	for _, f := range seen.Until(sendMark(b)) {
		t.Errorf("another port has received % x as well", f.Bytes)
	}
}
