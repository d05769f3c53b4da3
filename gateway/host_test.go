package gateway

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"vswitch/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
)

func newHostGateway(tb testing.TB) *Gateway {
	tb.Helper()
	g := newGateway(tb)
	g.SetHost(true)
	return g
}

// packet is an IPv4 frame between these addresses.
func packet(dst frame.MAC, to, from string) []byte {
	src := hostMAC
	if dst != gatewayMAC {
		src = gatewayMAC
	}
	return raw(switchtest.Echo(dst, src, netip.MustParseAddr(to), netip.MustParseAddr(from), []byte("ping")))
}

func TestWhatGoesToTheHost(t *testing.T) {
	t.Parallel()
	const own = "172.17.0.2"
	to := func(to, from string) []byte { return packet(gatewayMAC, to, from) }
	toHost := vswitch.Response{Action: vswitch.ToHost}
	for name, test := range map[string]struct {
		frame []byte
		want  vswitch.Response
	}{
		"the gateway's address":     {to("172.17.0.1", own), toHost},
		"outside":                   {to("192.0.2.1", own), toHost},
		"link-local":                {to("169.254.169.254", own), toHost},
		"from a network behind it":  {to("192.0.2.1", "10.9.8.7"), toHost},
		"without an address yet":    {to("172.17.0.1", "0.0.0.0"), toHost},
		"its own segment":           {to("172.17.0.3", own), refuse(vswitch.GatewayUnhandled)},
		"its own broadcast":         {to("172.17.255.255", own), refuse(vswitch.GatewayUnhandled)},
		"another segment":           {to("172.18.0.2", own), refuse(vswitch.CrossSegment)},
		"another gateway":           {to("172.18.0.1", own), refuse(vswitch.CrossSegment)},
		"another's broadcast":       {to("172.18.255.255", own), refuse(vswitch.CrossSegment)},
		"loopback":                  {to("127.0.0.1", own), refuse(vswitch.NoUplink)},
		"this network":              {to("0.0.0.0", own), refuse(vswitch.NoUplink)},
		"multicast":                 {to("224.0.0.1", own), refuse(vswitch.NoUplink)},
		"limited broadcast":         {to("255.255.255.255", own), refuse(vswitch.NoUplink)},
		"from another segment":      {to("192.0.2.1", "172.18.0.2"), refuse(vswitch.SpoofedIP)},
		"from another to itself":    {to("172.17.0.1", "172.18.0.1"), refuse(vswitch.SpoofedIP)},
		"from loopback":             {to("172.17.0.1", "127.0.0.1"), refuse(vswitch.SpoofedIP)},
		"cut off":                   {to("192.0.2.1", own)[:frame.VNetHeaderLen+30], refuse(vswitch.MalformedIP)},
		"another protocol":          {raw(switchtest.Frame(gatewayMAC, hostMAC, "")), refuse(vswitch.GatewayUnhandled)},
		"ARP for the gateway's own": {raw(switchtest.ARP(gatewayMAC, gatewayAddr, acrossAddr)), vswitch.Response{Action: vswitch.Pass}},
	} {
		before := bytes.Clone(test.frame)
		if got := newHostGateway(t).Respond(test.frame); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
		if !bytes.Equal(before, test.frame) {
			t.Errorf("%s: the frame was changed", name)
		}
	}
}

func TestWithoutTheHostTheGatewayAnswersAgain(t *testing.T) {
	t.Parallel()
	g := newHostGateway(t)
	g.SetHost(false)
	if r := g.Respond(echo(gatewayAddr)); r.Action != vswitch.Answered {
		t.Errorf("%+v, want an answer", r)
	}
	if r := g.Respond(echo(outsideAddr)); r != refuse(vswitch.NoUplink) {
		t.Errorf("%+v, want it refused for want of an uplink", r)
	}
}

func TestWhatComesFromTheHost(t *testing.T) {
	t.Parallel()
	pass := vswitch.Response{Action: vswitch.Pass}
	from := func(from string) []byte { return packet(hostMAC, "172.17.0.2", from) }
	ipv6 := raw(switchtest.Frame(frame.Broadcast, gatewayMAC, ""))
	frame.Ethernet(ipv6[frame.VNetHeaderLen:]).SetEtherType(frame.EtherTypeIPv6)
	for name, test := range map[string]struct {
		frame []byte
		want  vswitch.Response
	}{
		"the gateway's address": {from("172.17.0.1"), pass},
		"outside":               {from("192.0.2.1"), pass},
		"its own segment":       {from("172.17.0.3"), pass},
		"another segment":       {from("172.18.0.2"), refuse(vswitch.CrossSegment)},
		"another gateway":       {from("172.18.0.1"), refuse(vswitch.CrossSegment)},
		"cut off":               {from("172.17.0.1")[:frame.VNetHeaderLen+30], refuse(vswitch.MalformedIP)},
		"ARP":                   {raw(switchtest.ARP(gatewayMAC, gatewayAddr, hostAddr)), pass},
		"another's ARP":         {raw(switchtest.ARP(gatewayMAC, acrossAddr, hostAddr)), refuse(vswitch.CrossSegment)},
		"ARP cut off":           {raw(switchtest.ARP(gatewayMAC, gatewayAddr, hostAddr))[:frame.VNetHeaderLen+40], refuse(vswitch.MalformedARP)},
		"IPv6":                  {ipv6, refuse(vswitch.UnassignedProtocol)},
		"half a header":         {make([]byte, frame.VNetHeaderLen+13), refuse(vswitch.Runt)},
		"no header":             {nil, refuse(vswitch.Runt)},
	} {
		if got := newHostGateway(t).FromHost(test.frame); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestWhatTheHostOverhears(t *testing.T) {
	t.Parallel()
	group := func(to, from string) []byte { return packet(frame.Broadcast, to, from) }
	dhcp := raw(switchtest.Layers(switchtest.Ethernet(frame.Broadcast, hostMAC, layers.EthernetTypeIPv4),
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: netip.IPv4Unspecified().AsSlice(), DstIP: limitedBroadcast.AsSlice()},
		gopacket.Payload{0, 68, 0, 67, 0, 8, 0, 0}))
	for name, test := range map[string]struct {
		frame []byte
		want  bool
	}{
		"DHCP":                             {dhcp, true},
		"ARP":                              {raw(switchtest.ARP(hostMAC, hostAddr, otherAddr)), true},
		"the segment's broadcast":          {group("172.17.255.255", "172.17.0.2"), true},
		"multicast":                        {group("224.0.0.251", "172.17.0.2"), true},
		"the gateway's address":            {group("172.17.0.1", "172.17.0.2"), true},
		"another gateway":                  {group("172.18.0.1", "172.17.0.2"), false},
		"another's broadcast":              {group("172.18.255.255", "172.17.0.2"), false},
		"outside":                          {group("192.0.2.1", "172.17.0.2"), false},
		"loopback":                         {group("127.0.0.1", "172.17.0.2"), false},
		"from another segment":             {group("172.17.0.1", "172.18.0.2"), false},
		"from loopback":                    {group("172.17.0.1", "127.0.0.1"), false},
		"ARP of another segment's address": {raw(switchtest.ARP(hostMAC, acrossAddr, otherAddr)), false},
		"another protocol":                 {raw(switchtest.Frame(frame.Broadcast, hostMAC, "")), false},
		"cut off":                          {group("224.0.0.251", "172.17.0.2")[:frame.VNetHeaderLen+30], false},
	} {
		if got := newHostGateway(t).Overhears(test.frame); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}

func TestHostAllocs(t *testing.T) {
	g := newHostGateway(t)
	out, in, group := packet(gatewayMAC, "192.0.2.1", "172.17.0.2"), packet(hostMAC, "172.17.0.2", "192.0.2.1"), packet(frame.Broadcast, "224.0.0.1", "172.17.0.2")
	if n := testing.AllocsPerRun(100, func() {
		g.Respond(out)
		g.FromHost(in)
		g.Overhears(group)
	}); n != 0 {
		t.Errorf("%v allocations for three frames, want none", n)
	}
}

// FuzzHost looks for panics, for frames that are changed, and for a way from one
// segment's addresses to another's.
func FuzzHost(f *testing.F) {
	for _, seed := range [][]byte{
		packet(gatewayMAC, "192.0.2.1", "172.17.0.2"), packet(gatewayMAC, "172.18.0.2", "172.17.0.2"), packet(hostMAC, "172.17.0.2", "172.18.0.2"),
		raw(switchtest.ARP(gatewayMAC, acrossAddr, hostAddr)), packet(frame.Broadcast, "172.18.0.1", "172.17.0.2"),
	} {
		f.Add(seed)
	}
	other := netip.MustParsePrefix("172.18.0.0/16")
	f.Fuzz(func(t *testing.T, b []byte) {
		g, before := newHostGateway(t), bytes.Clone(b)
		passes := g.FromHost(b).Action == vswitch.Pass
		hears := g.Overhears(b)
		toHost := g.Respond(b).Action == vswitch.ToHost
		if !passes && !hears && !toHost {
			return
		}
		if !bytes.Equal(before, b) && !toHost {
			b = before // Respond has answered ARP in it
		}
		eth := frame.Ethernet(b[frame.VNetHeaderLen:])
		p, ok := frame.ParseIPv4(eth.Payload())
		if !ok || eth.EtherType() != frame.EtherTypeIPv4 {
			return
		}
		if other.Contains(p.Src()) {
			t.Fatalf("passes %t, hears %t, to the host %t: from %s", passes, hears, toHost, p.Src())
		}
		if (hears || toHost) && other.Contains(p.Dst()) {
			t.Fatalf("hears %t, to the host %t: to %s", hears, toHost, p.Dst())
		}
	})
}
