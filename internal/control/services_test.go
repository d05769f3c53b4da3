package control

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"
	mdns "github.com/miekg/dns"

	"vswitch/api"
	"vswitch/internal/frame"
	"vswitch/internal/gateway/dns"
	"vswitch/switch/switchtest"
)

// client is a container that asks its gateway by frames.
type client struct {
	*stack
	wire    *switchtest.Device
	mac     frame.MAC
	ip      netip.Addr
	gateway netip.Addr
}

// aClient adds a container to the segment "alone", whose gateway nobody but the switch is.
func (s *stack) aClient(c *Control, name string, edit ...func(*api.PortSpec)) *client {
	s.Helper()
	edit = append(edit, func(p *api.PortSpec) { p.Segment = "alone" })
	p := s.addPort(c, name, edit...)
	return &client{s, s.deviceIn(name).Wire, p.MAC, p.IPs[0].Addr(), addr(p.Gateway)}
}

// send sends a datagram to a service of the gateway, and returns what comes back to the port that
// it came from.
func (c *client) send(from netip.AddrPort, to netip.AddrPort, payload []byte) [][]byte {
	c.wire.Frames()
	dst := frame.MACFromIPv4(c.gateway)
	if to.Addr() == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		dst = frame.Broadcast
	}
	c.wire.Send(switchtest.UDP(dst, c.mac, to, from, payload))
	synctest.Wait()
	var answers [][]byte
	for _, eth := range c.wire.Frames() {
		p := gopacket.NewPacket(eth, layers.LayerTypeEthernet, gopacket.Default)
		udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if ok && uint16(udp.DstPort) == from.Port() && uint16(udp.SrcPort) == to.Port() {
			answers = append(answers, udp.Payload)
		}
	}
	return answers
}

// asks asks for a name or an address, and returns what is answered; empty: nothing.
func (c *client) asks(name string) string {
	c.Helper()
	query := question(name)
	if a, err := netip.ParseAddr(name); err == nil {
		reverse, _ := mdns.ReverseAddr(a.String())
		query, _ = new(mdns.Msg).SetQuestion(reverse, mdns.TypePTR).Pack()
	}
	answers := c.send(netip.AddrPortFrom(c.ip, 4000), netip.AddrPortFrom(c.gateway, 53), query)
	if len(answers) == 0 {
		return ""
	}
	return answersOf(c.T, answers[0])
}

// leases sends a message of DHCP, and returns the answer, or nil.
func (c *client) leases(kind dhcpv4.MessageType, edit ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	c.Helper()
	edit = append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(c.mac[:]),
	}, edit...)
	m, err := dhcpv4.New(edit...)
	if err != nil {
		c.Fatal(err)
	}
	everyone := netip.MustParseAddrPort("255.255.255.255:67")
	answers := c.send(netip.MustParseAddrPort("0.0.0.0:68"), everyone, m.ToBytes())
	if len(answers) == 0 {
		return nil
	}
	answer, err := dhcpv4.FromBytes(answers[0])
	if err != nil || answer.TransactionID != m.TransactionID {
		c.Fatalf("%x is no answer: %v", answers[0], err)
	}
	return answer
}

func inAlone(t *testing.T, f func(s *stack, c *Control)) {
	t.Helper()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addSegment(c, "alone", "10.66.0.0/24", api.UplinkNone)
		f(s, c)
	})
}

// TestNamesFollowThePorts: a name leads to its port from when that is added until it is removed,
// renamed or lost, in its segment alone.
func TestNamesFollowThePorts(t *testing.T) {
	t.Parallel()
	inAlone(t, func(s *stack, c *Control) {
		s.addPort(c, "elsewhere")
		a := s.aClient(c, "a", func(p *api.PortSpec) { p.Aliases = []string{"db", "web.example"} })
		want := func(name, answer string) {
			t.Helper()
			if got := a.asks(name); got != answer {
				t.Errorf("%s is %s, want %s", name, got, answer)
			}
		}
		want("a", "[10.66.0.2]")
		want("DB", "[10.66.0.2]")
		want("web.example", "[10.66.0.2]")
		want("10.66.0.2", "[a.]")
		want("b", "NXDOMAIN")
		want("elsewhere", "NXDOMAIN")
		want("example.com", "NXDOMAIN") // an internal segment has no way out
		want("10.66.0.77", "NXDOMAIN")
		s.aClient(c, "b", func(p *api.PortSpec) { p.Aliases = []string{"db"} })
		want("b", "[10.66.0.3]")
		want("db", "[10.66.0.2 10.66.0.3]")
		update := api.PortUpdate{Name: new("c"), Aliases: new([]string{})}
		if _, err := c.UpdatePort(s.Context(), "b", update); err != nil {
			t.Fatal(err)
		}
		want("b", "NXDOMAIN")
		want("c", "[10.66.0.3]")
		want("db", "[10.66.0.2]")
		s.RemoveNamespace("b")
		synctest.Wait()
		want("c", "NXDOMAIN")
		want("10.66.0.3", "NXDOMAIN")

		c = s.restart(c)
		a.wire = s.deviceIn("a").Wire
		want("db", "[10.66.0.2]")
		want("c", "NXDOMAIN")
		if _, err := c.DeletePort(s.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		s.aClient(c, "c")
		want("c", "[10.66.0.4]")
	})
}

// TestNamesOfTheOutside: they are for segments with a way there, whose questions are passed on to
// the host's resolvers.
func TestNamesOfTheOutside(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	// No packet goes to an address that needs a zone and has none.
	if err := os.WriteFile(file, []byte("nameserver fe80::1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inStack(t, func(s *stack) {
		s.adjust = func(c *core) { c.config.ResolvConf = file }
		c := s.start()
		s.addSegment(c, "alone", "10.66.0.0/24", api.UplinkNone)
		a := s.aClient(c, "a")
		if got := a.asks("example.com"); got != "NXDOMAIN" {
			t.Errorf("without a way out example.com is %s", got)
		}
		answer := s.ask(s.socket("172.17.0.1"), "172.17.0.2", question("example.com"))
		if answer == nil || answersOf(t, answer) != "SERVFAIL" {
			t.Errorf("from a resolver that cannot be reached comes %x", answer)
		}
	})
}

// TestLeaseOfAPort: a client of DHCP gets its port's address and what it needs beside that, and
// nobody else gets anything.
func TestLeaseOfAPort(t *testing.T) {
	t.Parallel()
	inAlone(t, func(s *stack, c *Control) {
		a := s.aClient(c, "a", func(p *api.PortSpec) { p.IP.DHCP = true })
		b := s.aClient(c, "b", func(p *api.PortSpec) { p.IP.DHCP, p.NoDefaultRoute = true, true })
		other := s.aClient(c, "other")
		own, gateway := net.IP(a.ip.AsSlice()), net.IP(a.gateway.AsSlice())
		wantLease := func(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType) {
			t.Helper()
			if m == nil || m.MessageType() != kind || !m.YourIPAddr.Equal(own) ||
				!m.ServerIdentifier().Equal(gateway) || m.HostName() != "a" ||
				fmt.Sprint(m.Router(), m.DNS(), m.SubnetMask()) != "[10.66.0.1] [10.66.0.1] ffffff00" ||
				m.IPAddressLeaseTime(0) != time.Hour {
				t.Errorf("the answer is %v", m)
			}
		}
		wantLease(a.leases(dhcpv4.MessageTypeDiscover), dhcpv4.MessageTypeOffer)
		request := []dhcpv4.Modifier{
			dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(own)),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(gateway)),
		}
		wantLease(a.leases(dhcpv4.MessageTypeRequest, request...), dhcpv4.MessageTypeAck)
		m := b.leases(dhcpv4.MessageTypeRequest, request...)
		if m == nil || m.MessageType() != dhcpv4.MessageTypeNak {
			t.Errorf("who wants another's address is told %v", m)
		}
		if m := b.leases(dhcpv4.MessageTypeDiscover); m == nil || len(m.Router()) != 0 {
			t.Errorf("a port without default route is told %v", m)
		}
		for name, m := range map[string]*dhcpv4.DHCPv4{
			"a port without lease":  other.leases(dhcpv4.MessageTypeDiscover),
			"a port with another's": other.leases(dhcpv4.MessageTypeDiscover, dhcpv4.WithHwAddr(a.mac[:])),
			"a client of another's": a.leases(dhcpv4.MessageTypeDiscover, dhcpv4.WithHwAddr(b.mac[:])),
		} {
			if m != nil {
				t.Errorf("%s is told %v", name, m)
			}
		}
		c = s.restart(c)
		a.wire = s.deviceIn("a").Wire
		wantLease(a.leases(dhcpv4.MessageTypeDiscover), dhcpv4.MessageTypeOffer)
		if _, err := c.DeletePort(s.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		wantLease(a.leases(dhcpv4.MessageTypeDiscover), dhcpv4.MessageTypeOffer)
	})
}

// TestDeclinedLease: a container that finds its address in use is worth a line a minute, for it
// can send such messages as fast as it likes.
func TestDeclinedLease(t *testing.T) {
	t.Parallel()
	inAlone(t, func(s *stack, c *Control) {
		a := s.aClient(c, "a", func(p *api.PortSpec) { p.IP.DHCP = true })
		decline := func() {
			a.leases(dhcpv4.MessageTypeDecline,
				dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(a.ip.AsSlice())),
				dhcpv4.WithOption(dhcpv4.OptServerIdentifier(a.gateway.AsSlice())))
		}
		line := []string{
			"a container declines its address", "segment=alone", "port=a", "address=10.66.0.2/24",
		}
		for range 100 {
			decline()
		}
		s.wantLines(1, line...)
		s.pass(noticeEvery)
		decline()
		s.wantLines(2, line...)
	})
}

// TestHostileDatagrams: what a container sends to the services ends none of them.
func TestHostileDatagrams(t *testing.T) {
	t.Parallel()
	inAlone(t, func(s *stack, c *Control) {
		a := s.aClient(c, "a", func(p *api.PortSpec) { p.IP.DHCP = true })
		long := []byte(strings.Repeat("\xff", 1400))
		loop := append(make([]byte, 12), 0xc0, 12, 0, 1, 0, 1) // a name that points at itself
		loop[5] = 1
		for _, port := range []uint16{53, 67} {
			for _, payload := range [][]byte{nil, {0}, make([]byte, 12), make([]byte, 240), long, loop} {
				for _, to := range []netip.Addr{a.gateway, addr("255.255.255.255"), addr("10.66.0.255")} {
					a.send(netip.AddrPortFrom(a.ip, 4000), netip.AddrPortFrom(to, port), payload)
				}
			}
		}
		if got := a.asks("a"); got != "[10.66.0.2]" {
			t.Errorf("then a is %s", got)
		}
		if m := a.leases(dhcpv4.MessageTypeDiscover); m == nil {
			t.Error("then there is no lease")
		}
		_ = c
	})
}

// TestContainerThatAsksTooMuch: its datagrams are dropped, counted and logged, and others are
// answered all the same.
func TestContainerThatAsksTooMuch(t *testing.T) {
	t.Parallel()
	inAlone(t, func(s *stack, c *Control) {
		a, b := s.aClient(c, "a"), s.aClient(c, "b")
		flood := switchtest.UDP(frame.MACFromIPv4(a.gateway), a.mac,
			netip.AddrPortFrom(a.gateway, 53), netip.AddrPortFrom(a.ip, 4000), question("a"))
		const datagrams = 10000
		for range datagrams {
			a.wire.Send(flood)
		}
		synctest.Wait()
		s.wantLines(1, "questions to the gateway are dropped", "segment=alone",
			"reason=gateway-busy", "mac="+a.mac.String())
		p, err := c.Port(s.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		answered := uint64(len(a.wire.Frames()))
		if dropped := p.Counters.Drops["gateway-busy"]; dropped == 0 || dropped+answered != datagrams {
			t.Errorf("of %d datagrams %d were answered and %d dropped", datagrams, answered, dropped)
		}
		if got := b.asks("a"); got != "[10.66.0.2]" {
			t.Errorf("another container is told that a is %s", got)
		}
		s.pass(time.Second)
		if got := a.asks("a"); got != "[10.66.0.2]" {
			t.Errorf("a second later a is %s", got)
		}
	})
}

// TestLimitsOfNames: each limit that clients meet is logged and counted by the segment.
func TestLimitsOfNames(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		s.socket("10.66.0.1").Lost(7)
		s.socket("10.66.0.1").Lost(3)
		s.wantLines(1, "level=WARN", "questions for names are dropped", "segment=lab",
			"reason=socket-full")
		s.wantLines(0, "reason=socket-full", "address=")
		met := c.MetByDNS()
		if n := met["lab"][dns.SocketFull]; n != 10 {
			t.Errorf("%d are counted, want 10", n)
		}
		if none := [dns.LimitCount]uint64{}; len(met) != 2 || met["bridge"] != none {
			t.Errorf("counted are %v", met)
		}
		notice := c.gateways.limitNotice(&c.allSegments[s.segment(c, "lab").ID].services.segment)
		notice(dns.Waited, addr("10.66.0.2"))
		s.wantLines(1, "level=INFO", "questions for names wait until others are answered",
			"segment=lab", "reason=waited", "address=10.66.0.2")
		notice(dns.TooManyWaiting, addr("10.66.0.2"))
		s.wantLines(1, "level=WARN", "questions for names are dropped",
			"reason=too-many-waiting", "address=10.66.0.2")
	})
}

// TestNoticesNameTheSegment: by the name that it has now.
func TestNoticesNameTheSegment(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		update := api.SegmentUpdate{Name: new("office")}
		if _, err := c.UpdateSegment(s.Context(), "lab", update); err != nil {
			t.Fatal(err)
		}
		s.socket("10.66.0.1").Lost(1)
		s.wantLines(1, "questions for names are dropped", "segment=office")
		if n := c.MetByDNS()["office"][dns.SocketFull]; n != 1 {
			t.Errorf("%d are counted for it, want 1", n)
		}
	})
}

// TestServicesEndWithTheSegment: nothing answers at a gateway that is no more.
func TestServicesEndWithTheSegment(t *testing.T) {
	t.Parallel()
	inAlone(t, func(s *stack, c *Control) {
		a := s.aClient(c, "a")
		if _, err := c.DeleteSegment(s.Context(), "alone", true); err != nil {
			t.Fatal(err)
		}
		if got := a.asks("a"); got != "" {
			t.Errorf("it is answered %s", got)
		}
		s.addSegment(c, "alone", "10.66.0.0/24", api.UplinkNone)
		a = s.aClient(c, "b")
		if got := a.asks("b"); got != "[10.66.0.2]" {
			t.Errorf("in a segment of the same subnet b is %s", got)
		}
	})
}
