package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/test/lab"
	"vswitch/test/lab/seed"
)

func TestUDPDatagramsArriveIntact(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c1, c2 := h.Attach("c1"), h.Attach("c2")
	in := listenUDP(c2, "0.0.0.0")
	out := dialUDP(c1, in, c2.Addr().String())
	random := seed.NewReader(t)
	// One Ethernet frame takes 1472 bytes; the larger ones are fragmented.
	for _, size := range []int{1, 2, 17, 18, 19, 1471, 1472, 1473, 2960, 2961, 9000, 30000, 60000} {
		want := make([]byte, size)
		random.Read(want) //nolint:errcheck // never fails
		if _, err := out.Write(want); err != nil {
			t.Fatalf("send %d bytes: %v", size, err)
		}
		if got := readDatagram(t, in); !bytes.Equal(got, want) {
			t.Errorf("a datagram of %d bytes came as %d other bytes", size, len(got))
		}
	}
}

// The sender gives the kernel many datagrams in one call, which may come to the
// switch as one super-frame (UDP_SEGMENT, udp(7)).
func TestUDPSegmentationOffloadArrivesIntact(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c1, c2 := h.Attach("c1"), h.Attach("c2")
	in := listenUDP(c2, "0.0.0.0")
	out := dialUDP(c1, in, c2.Addr().String())
	const segment = 1400
	raw, err := out.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, segment) }); cerr != nil || err != nil {
		t.Fatalf("ask for segmentation: %v, %v", cerr, err)
	}
	random := seed.NewReader(t)
	for _, size := range []int{segment, 2 * segment, 10*segment + 777, 40*segment + 1} {
		want := make([]byte, size)
		random.Read(want) //nolint:errcheck // never fails
		if _, err := out.Write(want); err != nil {
			t.Fatalf("send %d bytes in segments: %v", size, err)
		}
		for rest := want; len(rest) > 0; {
			part := rest[:min(segment, len(rest))]
			if got := readDatagram(t, in); !bytes.Equal(got, part) {
				t.Fatalf("of %d bytes, segment at %d came as %d other bytes", size, size-len(rest), len(got))
			}
			rest = rest[len(part):]
		}
	}
}

func listenUDP(c *lab.Container, addr string) *net.UDPConn {
	c.Helper()
	conn := lab.Inside(c, func() (*net.UDPConn, error) { return net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(addr)}) })
	c.Cleanup(func() { conn.Close() })
	if err := conn.SetReadBuffer(4 << 20); err != nil {
		c.Fatal(err)
	}
	return conn
}

// dialUDP connects to the port of listener at addr.
func dialUDP(c *lab.Container, listener *net.UDPConn, addr string) *net.UDPConn {
	c.Helper()
	to := &net.UDPAddr{IP: net.ParseIP(addr), Port: listener.LocalAddr().(*net.UDPAddr).Port}
	conn := lab.Inside(c, func() (*net.UDPConn, error) { return net.DialUDP("udp4", nil, to) })
	c.Cleanup(func() { conn.Close() })
	return conn
}

func readDatagram(t *testing.T, conn *net.UDPConn) []byte {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(lab.Patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("no datagram came within %s", lab.Patience)
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func TestBroadcastReachesTheWholeSegment(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	sender := h.Attach("sender")
	var others []*lab.Container
	for i := range 3 {
		c := h.Attach(fmt.Sprintf("c%d", i))
		c.Sysctl("net.ipv4.icmp_echo_ignore_broadcasts=0")
		others = append(others, c)
	}
	for _, to := range []string{"172.17.255.255", "255.255.255.255"} {
		for _, c := range others {
			in := listenUDP(c, "0.0.0.0")
			want := "to all at " + to
			if _, err := dialUDP(sender, in, to).Write([]byte(want)); err != nil {
				t.Fatal(err)
			}
			if got := string(readDatagram(t, in)); got != want {
				t.Errorf("%s got %q, want %q", c.Port.Name, got, want)
			}
		}
	}
	// ping ends when three requests have one answer each; the last may be short
	// of some, the first has had all by then.
	out, _ := sender.Try("ping", "-n", "-b", "-c", "3", "-i", "0.2", "-W", "10", "172.17.255.255")
	for _, c := range others {
		if !strings.Contains(out, "from "+c.Addr().String()+":") {
			t.Errorf("%s does not answer a broadcast ping:\n%s", c.Port.Name, out)
		}
	}
}

func TestMulticastReachesTheMembers(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	sender := h.Attach("sender")
	group := &net.UDPAddr{IP: net.IPv4(239, 1, 2, 3)}
	var members []*net.UDPConn
	for i := range 2 {
		c := h.Attach(fmt.Sprintf("member%d", i))
		conn := lab.Inside(c, func() (*net.UDPConn, error) {
			link, err := net.InterfaceByName("eth0")
			if err != nil {
				return nil, err
			}
			return net.ListenMulticastUDP("udp4", link, group)
		})
		t.Cleanup(func() { conn.Close() })
		// All listen on the port that the first was given.
		group.Port = conn.LocalAddr().(*net.UDPAddr).Port
		members = append(members, conn)
	}
	want := "to the members"
	if _, err := dialUDP(sender, members[0], group.IP.String()).Write([]byte(want)); err != nil {
		t.Fatal(err)
	}
	for i, conn := range members {
		if got := string(readDatagram(t, conn)); got != want {
			t.Errorf("member %d got %q, want %q", i, got, want)
		}
	}
}

func TestIPv6LinkLocalWorksWithinASegment(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--ipv6-link-local")
	var both [2]*lab.Container
	for i := range both {
		both[i] = h.speaker()
		h.Connect(both[i], fmt.Sprintf("c%d", i))
	}
	reachByLinkLocal(both[0], both[1])
}

// speaker makes a container whose kernel has IPv6, as most have.
func (h *host) speaker() *lab.Container {
	h.Helper()
	c := h.Container()
	c.Sysctl("net.ipv6.conf.default.disable_ipv6=0")
	c.Sysctl("net.ipv6.conf.default.accept_dad=0") // addresses can be used at once
	return c
}

// reachByLinkLocal wants two containers to reach each other by the addresses that their kernels
// give them.
func reachByLinkLocal(a, b *lab.Container) {
	a.Helper()
	for _, way := range [][2]*lab.Container{{a, b}, {b, a}} {
		from, to := way[0], way[1]
		from.Reaches(linkLocal(to)+"%eth0", "-6")
		if r := lab.Ping(from, from.Namespace, 1, "ff02::1%eth0", "-6"); !strings.Contains(r.Output, "bytes from fe80:") {
			from.Errorf("nobody answers at all-nodes:\n%s", r.Output)
		}
	}
}

// linkLocal waits for the address that a container's kernel gives its interface, and returns it.
func linkLocal(c *lab.Container) (addr string) {
	c.Helper()
	c.AwaitNetwork("the kernel's link-local address is there", func() bool {
		out := c.Run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link")
		_, rest, _ := strings.Cut(out, "inet6 ")
		addr, _, _ = strings.Cut(rest, "/")
		return addr != ""
	})
	return addr
}

// IPv6 is disabled on the interfaces that the switch sets up, as Docker does, and on no others. A
// container that wants it enables it, and has it as with --ipv6-link-local.
func TestIPv6IsDisabledOnPortsByDefault(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	witness := h.Attach("witness")
	seen := witness.Witness()
	var both [2]*lab.Container
	for i := range both {
		c := h.speaker()
		h.Connect(c, fmt.Sprintf("c%d", i))
		both[i] = c
		if out := c.Run("ip", "-6", "-o", "addr", "show", "dev", "eth0"); out != "" {
			t.Errorf("the port's interface has an IPv6 address:\n%s", out)
		}
		if out := c.Run("ip", "-6", "-o", "addr", "show", "dev", "lo"); !strings.Contains(out, "::1/128") {
			t.Errorf("the container's lo has no IPv6 address:\n%s", out)
		}
	}
	for _, f := range seen.Until(sendMark(both[0])) {
		if binary.BigEndian.Uint16(f.Bytes[12:]) == unix.ETH_P_IPV6 {
			t.Errorf("a port has received an IPv6 frame: % x", f.Bytes)
		}
	}
	for _, c := range both {
		c.Sysctl("net.ipv6.conf.eth0.disable_ipv6=0")
	}
	reachByLinkLocal(both[0], both[1])
}

// Docker decides about the interfaces that it configures.
func TestIPv6OfExternallyManagedPortsIsLeftAlone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.speaker()
	h.Connect(c, "c", func(s *api.PortSpec) { s.NetNS, s.Handover = "", true })
	link := "vst-" + c.Port.ID[:8]
	h.NS.Run("ip", "link", "set", link, "netns", c.Name(), "name", "eth0")
	c.Run("ip", "link", "set", "eth0", "up")
	linkLocal(c)
}
