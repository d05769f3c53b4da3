package gateway

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/arp"
	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/switchtest"
)

var (
	gatewayMAC  = frame.MAC{2, 0x42, 172, 17, 0, 1}
	gatewayAddr = netip.MustParseAddr("172.17.0.1")
	hostMAC     = frame.MAC{2, 0x42, 172, 17, 0, 2}
	hostAddr    = netip.MustParseAddr("172.17.0.2")
	otherMAC    = frame.MAC{2, 0x42, 172, 17, 0, 3}
	otherAddr   = netip.MustParseAddr("172.17.0.3")
	acrossAddr  = netip.MustParseAddr("172.18.0.2")
	outsideAddr = netip.MustParseAddr("192.0.2.1")
)

func newGateway(tb testing.TB) *Gateway {
	tb.Helper()
	bindings := new(arp.Table)
	for _, b := range []arp.Binding{
		{IP: gatewayAddr, MAC: gatewayMAC, Kind: arp.Gateway, Slot: 1},
		{IP: hostAddr, MAC: hostMAC, Slot: 2},
		{IP: otherAddr, MAC: otherMAC, Slot: 3},
	} {
		if err := bindings.Bind(b); err != nil {
			tb.Fatal(err)
		}
	}
	pools := new(Prefixes)
	own := netip.MustParsePrefix("172.17.0.0/16")
	pools.Add(own)
	pools.Add(netip.MustParsePrefix("172.18.0.0/16"))
	return New(gatewayMAC, gatewayAddr, own, bindings, pools)
}

// parse returns the view on the frame in b, which has an Ethernet header.
func parse(b []byte) *frame.Parsed {
	f := new(frame.Parsed)
	f.Reset(b[frame.VNetHeaderLen:])
	return f
}

// respond has the gateway respond to a frame from the port of hostAddr.
func respond(g *Gateway, b []byte) vswitch.Response {
	return g.Respond(vswitch.Origin{Slot: 2}, parse(b), b)
}

// expect checks what a gateway responds to a frame that it does not answer, and that it
// leaves the frame as it is.
func expect(t *testing.T, name string, g *Gateway, b []byte, want vswitch.Response) {
	t.Helper()
	before := bytes.Clone(b)
	if got := respond(g, b); got != want {
		t.Errorf("%s: %+v, want %+v", name, got, want)
	}
	if !bytes.Equal(before, b) {
		t.Errorf("%s: the frame was changed", name)
	}
}

var raw = switchtest.Raw

func echo(to netip.Addr) []byte {
	return raw(switchtest.Echo(gatewayMAC, hostMAC, to, hostAddr, []byte("ping")))
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	cut := func(b []byte, n int) []byte { return b[:frame.VNetHeaderLen+n] }
	ipv6 := switchtest.Ethernet(gatewayMAC, hostMAC, frame.EtherTypeIPv6)
	lying := echo(gatewayAddr)
	lying[frame.VNetHeaderLen+frame.EthernetHeaderLen+3] = 0xff // total length
	badSum := echo(gatewayAddr)
	badSum[frame.VNetHeaderLen+frame.EthernetHeaderLen+frame.IPv4HeaderLen+8]++ // the first byte of its data
	for name, test := range map[string]struct {
		frame  []byte
		reason drop.Reason
	}{
		"another segment":   {echo(acrossAddr), drop.CrossSegment},
		"outside":           {echo(outsideAddr), drop.NoUplink},
		"IPv6":              {raw(ipv6), drop.NoUplink},
		"own segment":       {echo(otherAddr), drop.GatewayUnhandled},
		"UDP":               {udp(gatewayMAC, hostMAC, "172.17.0.1:2", "172.17.0.2:1"), drop.GatewayUnhandled},
		"other EtherType":   {raw(switchtest.Frame(gatewayMAC, hostMAC, "")), drop.GatewayUnhandled},
		"IPv4 cut off":      {cut(echo(gatewayAddr), 30), drop.MalformedIP},
		"IPv4 length lies":  {lying, drop.MalformedIP},
		"ICMP checksum bad": {badSum, drop.MalformedIP},
		"ARP cut off":       {cut(raw(switchtest.ARP(hostMAC, hostAddr, otherAddr)), 40), drop.MalformedARP},
	} {
		expect(t, name, newGateway(t), test.frame, refuse(test.reason))
	}
}

func TestEchoIsAnswered(t *testing.T) {
	t.Parallel()
	b := echo(gatewayAddr)
	frame.VNet(b).Set(frame.VNetDataValid, 0, 0, 0, 0, 0)
	r := respond(newGateway(t), b)
	if r.Action != vswitch.Answered || r.Len != len(b) {
		t.Fatalf("%+v, want an answer of %d bytes", r, len(b))
	}
	if !bytes.Equal(b[:frame.VNetHeaderLen], make([]byte, frame.VNetHeaderLen)) {
		t.Errorf("the answer's virtio-net header is % x, want zeros", b[:frame.VNetHeaderLen])
	}
	p := gopacket.NewPacket(b[frame.VNetHeaderLen:], layers.LayerTypeEthernet, gopacket.Default)
	eth, _ := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	reply, _ := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if eth == nil || ip == nil || reply == nil {
		t.Fatalf("not an ICMP packet: %v", p)
	}
	if frame.MAC(eth.SrcMAC) != gatewayMAC || frame.MAC(eth.DstMAC) != hostMAC {
		t.Errorf("from %s to %s, want from %s to %s", eth.SrcMAC, eth.DstMAC, gatewayMAC, hostMAC)
	}
	if !ip.SrcIP.Equal(gatewayAddr.AsSlice()) || !ip.DstIP.Equal(hostAddr.AsSlice()) || reply.TypeCode.Type() != layers.ICMPv4TypeEchoReply {
		t.Errorf("%s from %s to %s, want an echo reply from %s to %s", reply.TypeCode, ip.SrcIP, ip.DstIP, gatewayAddr, hostAddr)
	}
}

func TestARPIsAnsweredForKnownAddresses(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for target, mac := range map[netip.Addr]frame.MAC{gatewayAddr: gatewayMAC, otherAddr: otherMAC} {
		b := raw(switchtest.ARP(hostMAC, hostAddr, target))
		if r := respond(g, b); r.Action != vswitch.Answered || r.Len != len(b) {
			t.Fatalf("who has %s: %+v, want an answer", target, r)
		}
		reply, ok := frame.ParseARP(frame.Ethernet(b[frame.VNetHeaderLen:]).Payload())
		if !ok || reply.Operation() != frame.ARPReply || reply.SenderMAC() != mac || reply.SenderIP() != target {
			t.Errorf("who has %s: % x, want a reply of %s", target, b, mac)
		}
	}
	if r := respond(g, raw(switchtest.ARP(hostMAC, hostAddr, netip.MustParseAddr("172.17.0.9")))); r.Action != vswitch.Pass {
		t.Errorf("an unknown address: %+v, want the request to pass on", r)
	}
}

// TestAddressProbes (RFC 5227 §1.1): one for an address that another host has is answered,
// and the switch is told of any other.
func TestAddressProbes(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]vswitch.Action{
		"172.17.0.1": vswitch.Answered, "172.17.0.3": vswitch.Answered,
		"172.17.0.2": vswitch.Probe, "172.17.0.9": vswitch.Probe, "192.0.2.1": vswitch.Probe,
	} {
		b := raw(switchtest.ARP(hostMAC, netip.IPv4Unspecified(), netip.MustParseAddr(target)))
		if r := respond(newGateway(t), b); r.Action != want {
			t.Errorf("a probe for %s: %+v, want action %d", target, r, want)
		}
	}
}

// TestGatewayIsInNoVLAN: addresses behind a VLAN tag are another network's. A tag with
// the identifier 0 is none (net/core/dev.c: __netif_receive_skb_core).
func TestGatewayIsInNoVLAN(t *testing.T) {
	t.Parallel()
	tagged := func(b []byte, id uint32) []byte {
		return raw(switchtest.Tagged(b[frame.VNetHeaderLen:], switchtest.Dot1Q|id))
	}
	arpToGateway := raw(switchtest.To(gatewayMAC, switchtest.ARP(hostMAC, hostAddr, gatewayAddr)))
	for name, b := range map[string][]byte{
		"echo": echo(gatewayAddr), "outside": echo(outsideAddr), "ARP": arpToGateway,
		"DNS": udp(gatewayMAC, hostMAC, "172.17.0.1:53", "172.17.0.2:4711"),
	} {
		for _, host := range []bool{false, true} {
			g, inbox := serving(t)
			g.SetHost(host)
			if r := respond(g, tagged(b, 5)); r != refuse(drop.GatewayUnhandled) {
				t.Errorf("%s in a VLAN, host %t: %+v, want gateway-unhandled", name, host, r)
			}
			if d, ok := inbox.Take(); ok {
				t.Errorf("%s in a VLAN, host %t: the inbox has %+v", name, host, d)
			}
		}
	}
	priority := tagged(echo(gatewayAddr), 0)
	r := respond(newGateway(t), priority)
	if r.Action != vswitch.Answered || r.Len != len(priority) {
		t.Errorf("echo with a priority: %+v, want an answer", r)
	}
}

func TestOthersFramesPass(t *testing.T) {
	t.Parallel()
	b := raw(switchtest.Echo(otherMAC, hostMAC, gatewayAddr, hostAddr, nil))
	if r := respond(newGateway(t), b); r.Action != vswitch.Pass {
		t.Errorf("a frame for %s: %+v, want it to pass on", otherMAC, r)
	}
}

func TestRespondAllocs(t *testing.T) {
	g, b := newGateway(t), echo(gatewayAddr)
	request := bytes.Clone(b)
	if n := testing.AllocsPerRun(100, func() {
		copy(b, request)
		respond(g, b)
	}); n != 0 {
		t.Errorf("%v allocations for an echo, want none", n)
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	var s Prefixes
	if s.Contain(hostAddr) {
		t.Error("the empty set contains an address")
	}
	for _, p := range []string{"192.168.16.0/20", "10.0.0.0/8", "172.17.0.0/16"} {
		s.Add(netip.MustParsePrefix(p))
	}
	for a, want := range map[string]bool{
		"9.255.255.255": false, "10.0.0.0": true, "10.255.255.255": true, "11.0.0.0": false, "172.17.3.4": true,
		"192.168.15.255": false, "192.168.16.0": true, "192.168.31.255": true, "192.168.32.0": false, "255.255.255.255": false, "::1": false,
	} {
		if got := s.Contain(netip.MustParseAddr(a)); got != want {
			t.Errorf("Contain(%s) = %t, want %t", a, got, want)
		}
	}
	s.Remove(netip.MustParsePrefix("172.17.0.0/16"))
	if s.Contain(hostAddr) {
		t.Error("a prefix that was removed is still there")
	}
}

// FuzzRespond looks for panics, for answers that are not well-formed, and for
// answers to frames that were to be left alone.
func FuzzRespond(f *testing.F) {
	for _, seed := range [][]byte{echo(gatewayAddr), echo(acrossAddr), udp(gatewayMAC, hostMAC, "172.17.0.1:53", "172.17.0.2:4711"), raw(switchtest.ARP(hostMAC, hostAddr, otherAddr))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < frame.VNetHeaderLen+frame.EthernetHeaderLen {
			return // the switch drops it as a runt
		}
		b = bytes.Clone(b)[:len(b):len(b)]
		before := bytes.Clone(b)
		g, _ := serving(t)
		r := respond(g, b)
		if r.Action != vswitch.Answered {
			if !bytes.Equal(before, b) {
				t.Fatalf("%+v, but the frame was changed", r)
			}
			return
		}
		if r.Len != len(b) || !frame.VNet(b[:frame.VNetHeaderLen]).Plain() {
			t.Fatalf("an answer of %d bytes to %d, header % x", r.Len, len(b), b[:frame.VNetHeaderLen])
		}
		if src := frame.Ethernet(b[frame.VNetHeaderLen:]).Src(); src != gatewayMAC && src != hostMAC && src != otherMAC {
			t.Fatalf("answered in the name of %s", src)
		}
	})
}
