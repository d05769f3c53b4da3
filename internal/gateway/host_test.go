package gateway

import (
	"bytes"
	"net/netip"
	"testing"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
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
		"class E":                   {to("240.1.2.3", own), toHost},
		"from a network behind it":  {to("192.0.2.1", "10.9.8.7"), toHost},
		"without an address yet":    {to("172.17.0.1", "0.0.0.0"), toHost},
		"its own segment":           {to("172.17.0.3", own), refuse(drop.GatewayUnhandled)},
		"its own broadcast":         {to("172.17.255.255", own), refuse(drop.GatewayUnhandled)},
		"another segment":           {to("172.18.0.2", own), refuse(drop.CrossSegment)},
		"another gateway":           {to("172.18.0.1", own), refuse(drop.CrossSegment)},
		"another's broadcast":       {to("172.18.255.255", own), refuse(drop.CrossSegment)},
		"loopback":                  {to("127.0.0.1", own), refuse(drop.NoUplink)},
		"this network":              {to("0.0.0.0", own), refuse(drop.NoUplink)},
		"multicast":                 {to("224.0.0.1", own), refuse(drop.NoUplink)},
		"limited broadcast":         {to("255.255.255.255", own), refuse(drop.NoUplink)},
		"from another segment":      {to("192.0.2.1", "172.18.0.2"), refuse(drop.SpoofedIP)},
		"from another to itself":    {to("172.17.0.1", "172.18.0.1"), refuse(drop.SpoofedIP)},
		"from loopback":             {to("172.17.0.1", "127.0.0.1"), refuse(drop.SpoofedIP)},
		"cut off":                   {to("192.0.2.1", own)[:frame.VNetHeaderLen+30], refuse(drop.MalformedIP)},
		"another protocol":          {raw(switchtest.Frame(gatewayMAC, hostMAC, "")), refuse(drop.GatewayUnhandled)},
		"ARP in the gateway's name": {raw(switchtest.ARP(gatewayMAC, gatewayAddr, acrossAddr)), refuse(drop.SpoofedARP)},
	} {
		expect(t, name, newHostGateway(t), test.frame, test.want)
	}
}

func TestWithoutTheHostTheGatewayAnswersAgain(t *testing.T) {
	t.Parallel()
	g := newHostGateway(t)
	g.SetHost(false)
	if r := respond(g, echo(gatewayAddr)); r.Action != vswitch.Answered {
		t.Errorf("%+v, want an answer", r)
	}
	if r := respond(g, echo(outsideAddr)); r != refuse(drop.NoUplink) {
		t.Errorf("%+v, want it refused for want of an uplink", r)
	}
}

// TestTheHostMayAskInTheGatewaysName: its port is given the gateway's slot.
func TestTheHostMayAskInTheGatewaysName(t *testing.T) {
	t.Parallel()
	g := newHostGateway(t)
	from := vswitch.Origin{Slot: 1}
	for target, want := range map[netip.Addr]vswitch.Action{hostAddr: vswitch.Answered, acrossAddr: vswitch.Pass} {
		b := raw(switchtest.ARP(gatewayMAC, gatewayAddr, target))
		if r := g.Respond(from, parse(b), b); r.Action != want {
			t.Errorf("the host asks for %s: %+v, want action %d", target, r, want)
		}
	}
}

func TestWhatComesFromTheHost(t *testing.T) {
	t.Parallel()
	from := func(from string) []byte { return packet(hostMAC, "172.17.0.2", from) }
	ipv6 := raw(switchtest.Ethernet(frame.Broadcast, gatewayMAC, frame.EtherTypeIPv6))
	for name, test := range map[string]struct {
		frame []byte
		want  drop.Reason
	}{
		"the gateway's address": {from("172.17.0.1"), drop.None},
		"outside":               {from("192.0.2.1"), drop.None},
		"its own segment":       {from("172.17.0.3"), drop.None},
		"another segment":       {from("172.18.0.2"), drop.CrossSegment},
		"another gateway":       {from("172.18.0.1"), drop.CrossSegment},
		"cut off":               {from("172.17.0.1")[:frame.VNetHeaderLen+30], drop.MalformedIP},
		"ARP":                   {raw(switchtest.ARP(gatewayMAC, gatewayAddr, hostAddr)), drop.None},
		"another's ARP":         {raw(switchtest.ARP(gatewayMAC, acrossAddr, hostAddr)), drop.CrossSegment},
		"ARP cut off":           {raw(switchtest.ARP(gatewayMAC, gatewayAddr, hostAddr))[:frame.VNetHeaderLen+40], drop.MalformedARP},
		"IPv6":                  {ipv6, drop.UnassignedProtocol},
	} {
		if got := newHostGateway(t).FilterIngress(parse(test.frame)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestWhatFloodsTheHostAccepts(t *testing.T) {
	t.Parallel()
	group := func(to, from string) []byte { return packet(frame.Broadcast, to, from) }
	dhcp := udp(frame.Broadcast, hostMAC, "255.255.255.255:67", "0.0.0.0:68")
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
		if got := newHostGateway(t).AcceptsFlood(parse(test.frame)); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}

func TestHostAllocs(t *testing.T) {
	g := newHostGateway(t)
	out, in, group := packet(gatewayMAC, "192.0.2.1", "172.17.0.2"), packet(hostMAC, "172.17.0.2", "192.0.2.1"), packet(frame.Broadcast, "224.0.0.1", "172.17.0.2")
	if n := testing.AllocsPerRun(100, func() {
		respond(g, out)
		g.FilterIngress(parse(in))
		g.AcceptsFlood(parse(group))
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
		if len(b) < frame.VNetHeaderLen+frame.EthernetHeaderLen {
			return // the switch drops it as a runt
		}
		g, before := newHostGateway(t), bytes.Clone(b)
		passes := g.FilterIngress(parse(b)) == drop.None
		hears := g.AcceptsFlood(parse(b))
		toHost := respond(g, b).Action == vswitch.ToHost
		if !passes && !hears && !toHost {
			return
		}
		if !bytes.Equal(before, b) && !toHost {
			b = before // Respond has answered ARP in it
		}
		p, ok := parse(b).IPv4()
		if !ok {
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
