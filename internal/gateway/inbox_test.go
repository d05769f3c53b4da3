package gateway

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/switchtest"
)

// serving is a gateway with services, for which host is a client of DHCP.
func serving(tb testing.TB) (*Gateway, *Inbox) {
	tb.Helper()
	g, inbox := newGateway(tb), NewInbox()
	g.Serve(inbox)
	inbox.SetClients(map[frame.MAC]struct{}{hostMAC: {}})
	return g, inbox
}

func udp(dst, src frame.MAC, to, from string) []byte {
	return raw(switchtest.UDP(dst, src, netip.MustParseAddrPort(to), netip.MustParseAddrPort(from), []byte("hello")))
}

func TestWhatTheServicesGet(t *testing.T) {
	t.Parallel()
	edit := func(b []byte, f func(h frame.VNet, packet []byte)) []byte {
		f(frame.VNet(b[:frame.VNetHeaderLen]), b[frame.VNetHeaderLen+frame.EthernetHeaderLen:])
		return b
	}
	query := func() []byte { return udp(gatewayMAC, hostMAC, "172.17.0.1:53", "172.17.0.2:4711") }
	badSum := func(_ frame.VNet, packet []byte) { packet[frame.IPv4HeaderLen+udpChecksum]++ }
	fixed := func(change func(packet []byte)) func(frame.VNet, []byte) {
		return func(_ frame.VNet, packet []byte) {
			change(packet)
			frame.IPv4(packet).SetChecksum()
		}
	}
	consumed, pass := vswitch.Response{Action: vswitch.Consumed}, vswitch.Response{Action: vswitch.Pass}
	for name, test := range map[string]struct {
		frame []byte
		want  vswitch.Response
	}{
		"DNS":                           {query(), consumed},
		"DNS to another address":        {udp(gatewayMAC, hostMAC, "172.17.0.3:53", "172.17.0.2:4711"), refuse(drop.GatewayUnhandled)},
		"DNS across":                    {udp(gatewayMAC, hostMAC, "172.18.0.1:53", "172.17.0.2:4711"), refuse(drop.CrossSegment)},
		"DNS outside":                   {udp(gatewayMAC, hostMAC, "192.0.2.1:53", "172.17.0.2:4711"), refuse(drop.NoUplink)},
		"DNS to another station":        {udp(otherMAC, hostMAC, "172.17.0.1:53", "172.17.0.2:4711"), pass},
		"DNS to all":                    {udp(frame.Broadcast, hostMAC, "172.17.0.1:53", "172.17.0.2:4711"), pass},
		"another port":                  {udp(gatewayMAC, hostMAC, "172.17.0.1:123", "172.17.0.2:4711"), refuse(drop.GatewayUnhandled)},
		"DHCP to all":                   {udp(frame.Broadcast, hostMAC, "255.255.255.255:67", "0.0.0.0:68"), consumed},
		"DHCP to us":                    {udp(gatewayMAC, hostMAC, "172.17.0.1:67", "172.17.0.2:68"), consumed},
		"DHCP of another":               {udp(frame.Broadcast, otherMAC, "255.255.255.255:67", "0.0.0.0:68"), pass},
		"DHCP of another to us":         {udp(gatewayMAC, otherMAC, "172.17.0.1:67", "172.17.0.3:68"), refuse(drop.GatewayUnhandled)},
		"wrong checksum":                {edit(query(), badSum), refuse(drop.MalformedIP)},
		"checksum left to us":           {edit(edit(query(), badSum), func(h frame.VNet, _ []byte) { h.Set(frame.VNetNeedsChecksum, 0, 0, 0, 34, 6) }), consumed},
		"no checksum":                   {edit(query(), func(_ frame.VNet, p []byte) { clear(p[frame.IPv4HeaderLen+udpChecksum:][:2]) }), consumed},
		"wrong header checksum":         {edit(query(), func(_ frame.VNet, p []byte) { p[10]++ }), refuse(drop.MalformedIP)},
		"a super-frame":                 {edit(query(), func(h frame.VNet, _ []byte) { h.Set(frame.VNetNeedsChecksum, frame.VNetGSOUDPL4, 0, 1, 34, 6) }), refuse(drop.MalformedIP)},
		"a fragment":                    {edit(query(), fixed(func(p []byte) { p[6] |= 0x20 })), refuse(drop.MalformedIP)},
		"its length lies":               {edit(query(), fixed(func(p []byte) { p[frame.IPv4HeaderLen+5]++ })), refuse(drop.MalformedIP)},
		"longer than any of our frames": {raw(switchtest.UDP(gatewayMAC, hostMAC, netip.MustParseAddrPort("172.17.0.1:53"), netip.MustParseAddrPort("172.17.0.2:4711"), make([]byte, maxDatagram+1))), refuse(drop.MalformedIP)},
	} {
		g, inbox := serving(t)
		expect(t, name, g, test.frame, test.want)
		clear(test.frame) // it is the packet path's again
		select {
		case d := <-inbox.Queue():
			if test.want != consumed || d.MAC != hostMAC || string(d.Payload) != "hello" {
				t.Errorf("%s: the services got %+v", name, d)
			}
		default:
			if test.want == consumed {
				t.Errorf("%s: the services got nothing", name)
			}
		}
	}
}

func TestAStationCannotCrowdOutOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, inbox := serving(t)
		from := func(mac frame.MAC) vswitch.Response {
			return respond(g, udp(gatewayMAC, mac, "172.17.0.1:53", "172.17.0.2:4711"))
		}
		for n := range maxPerWindow + 1 {
			want := vswitch.Response{Action: vswitch.Consumed}
			if n == maxPerWindow {
				want = refuse(drop.GatewayBusy)
			}
			if r := from(hostMAC); r != want {
				t.Fatalf("datagram %d: %+v, want %+v", n, r, want)
			}
		}
		// Others have room, but for those few whose share the hash makes them share.
		served := 0
		for n := range 100 {
			if from(switchtest.MAC(n)).Action == vswitch.Consumed {
				served++
			}
		}
		if served < 90 {
			t.Errorf("%d of 100 others were served", served)
		}
		time.Sleep(window)
		if r := from(hostMAC); r.Action != vswitch.Consumed {
			t.Errorf("after its time: %+v, want it taken", r)
		}
		for len(inbox.queue) < queueLen {
			inbox.queue <- Datagram{}
		}
		time.Sleep(window)
		if r := from(hostMAC); r != refuse(drop.GatewayBusy) {
			t.Errorf("with a full queue: %+v, want it refused", r)
		}
	})
}

func TestFrame(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	d := Datagram{MAC: hostMAC, Src: netip.MustParseAddrPort("172.17.0.2:4711"), Dst: netip.MustParseAddrPort("172.17.0.1:53")}
	for _, payload := range []string{"", "a", "an answer", string(make([]byte, maxDatagram))} {
		eth := g.Frame(d, d.Src, []byte(payload))
		want := switchtest.UDP(hostMAC, gatewayMAC, d.Src, d.Dst, []byte(payload))
		if !bytes.Equal(eth, want) {
			t.Errorf("with %d bytes: % x, want % x", len(payload), eth, want)
		}
	}
}

// TestOthersFramesCostNoMore: what is not for the services allocates nothing on
// its way past them.
func TestOthersFramesCostNoMore(t *testing.T) {
	g, _ := serving(t)
	b := udp(gatewayMAC, hostMAC, "172.17.0.1:123", "172.17.0.2:4711")
	if n := testing.AllocsPerRun(100, func() { respond(g, b) }); n != 0 {
		t.Errorf("%v allocations for a frame of others, want none", n)
	}
}
