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
	g, inbox := newGateway(tb), NewInbox(func() int { return 0 })
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
		if d, ok := inbox.Take(); ok {
			if test.want != consumed || d.MAC != hostMAC || string(d.Payload) != "hello" {
				t.Errorf("%s: the services got %+v", name, d)
			}
		} else if test.want == consumed {
			t.Errorf("%s: the services got nothing", name)
		}
	}
}

// A port's share is its own, whatever MAC addresses it sends from, also of the host's socket.
func TestAStationCannotCrowdOutOthers(t *testing.T) {
	t.Parallel()
	for name, accepted := range map[string]vswitch.Action{
		"inbox": vswitch.Consumed, "host": vswitch.ToHost,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, inbox := serving(t)
				g.SetHost(accepted == vswitch.ToHost)
				from := func(slot uint32, mac frame.MAC) vswitch.Response {
					b := udp(gatewayMAC, mac, "172.17.0.1:53", "172.17.0.2:4711")
					return g.Respond(vswitch.Origin{Slot: slot}, parse(b), b)
				}
				for n := range int(shareMost.burst) {
					if r := from(2, switchtest.MAC(n)); r.Action != accepted {
						t.Fatalf("datagram %d: %+v, want it accepted", n, r)
					}
				}
				for range 3 {
					if r := from(2, hostMAC); r != refuse(drop.GatewayBusy) {
						t.Fatalf("one more: %+v, want it refused", r)
					}
				}
				if mac := <-inbox.Busy(); mac != hostMAC || len(inbox.Busy()) != 0 {
					t.Errorf("busy with %s and %d others, want %s alone", mac, len(inbox.Busy()), hostMAC)
				}
				for _, slot := range []uint32{1, 3, 258, 1<<16 - 1} {
					if r := from(slot, hostMAC); r.Action != accepted {
						t.Errorf("another port, %d: %+v, want it accepted", slot, r)
					}
				}
				for taken := true; taken; {
					_, taken = inbox.Take()
				}
				time.Sleep(time.Second / time.Duration(shareMost.rate))
				if r := from(2, hostMAC); r.Action != accepted {
					t.Errorf("after its time: %+v, want it accepted", r)
				}
				if r := from(2, hostMAC); r != refuse(drop.GatewayBusy) {
					t.Errorf("one more again: %+v, want it refused", r)
				}
				time.Sleep(busyEvery)
				for range shareMost.burst + 1 {
					from(2, hostMAC)
				}
				if len(inbox.Busy()) != 1 {
					t.Error("a minute later it is not said again")
				}
			})
		})
	}
}

// However many ports ask as much as they may, one that asks little is heard, and what is heard in
// all is no more than the services answer.
func TestManyStationsCannotCrowdOutOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := serving(t)
		g.SetHost(true)
		from := func(slot uint32) bool {
			b := udp(gatewayMAC, hostMAC, "172.17.0.1:53", "172.17.0.2:4711")
			return g.Respond(vswitch.Origin{Slot: slot}, parse(b), b).Action == vswitch.ToHost
		}
		const many, seconds, modest = 20, 2, uint32(1000)
		heard := 0
		for i := range seconds * 1000 { // milliseconds
			for slot := range many {
				for range shareMost.rate / 1000 {
					if from(uint32(slot)) {
						heard++
					}
				}
			}
			if i%20 == 0 && !from(modest) {
				t.Fatalf("after %d ms the one that asks 50 times a second is not heard", i)
			}
			time.Sleep(time.Millisecond)
		}
		own, common := many*(shareOwn.burst+shareOwn.rate*seconds), shareCommon.burst+shareCommon.rate*seconds
		if most := int(own + common + many); heard > most || heard < most*9/10 {
			t.Errorf("%d datagrams of %d stations were heard in %d s, want %d or a little less", heard, many, seconds, most)
		}
	})
}

// A super-frame is as many datagrams as the host's kernel makes of it.
func TestSuperFramesCountAsTheirSegments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := serving(t)
		g.SetHost(true)
		b := udp(gatewayMAC, hostMAC, "172.17.0.1:53", "172.17.0.2:4711")
		frame.VNet(b[:frame.VNetHeaderLen]).Set(frame.VNetNeedsChecksum, frame.VNetGSOUDPL4, 0, 1, 34, 6)
		passed, most := 0, int(shareMost.burst)/len("hello")
		for respond(g, b).Action == vswitch.ToHost {
			passed++
		}
		if passed == 0 || passed > most {
			t.Errorf("%d super-frames of 5 datagrams passed, want at most %d", passed, most)
		}
	})
}

// However slowly the services answer, there is room in the queue for another port's.
func TestSlowServices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, inbox := serving(t)
		from := func(slot uint32) vswitch.Response {
			b := udp(gatewayMAC, hostMAC, "172.17.0.1:53", "172.17.0.2:4711")
			return g.Respond(vswitch.Origin{Slot: slot}, parse(b), b)
		}
		fill := func(slot uint32, want int) {
			t.Helper()
			time.Sleep(time.Duration(shareMost.burst) * time.Second / time.Duration(shareMost.rate)) // its share is whole
			n := 0
			for ; n < queueLen && from(slot).Action == vswitch.Consumed; n++ {
				time.Sleep(time.Second / time.Duration(shareMost.rate))
			}
			if n != want {
				t.Errorf("%d datagrams of port %d were queued, want %d", n, slot, want)
			}
			if r := from(slot); r != refuse(drop.GatewayBusy) {
				t.Errorf("one more of port %d: %+v, want it refused", slot, r)
			}
		}
		fill(2, queueLen/2)
		fill(3, queueLen/4)
		fill(4, queueLen/8)
		for range 3 {
			if _, ok := inbox.Take(); !ok {
				t.Fatal("nothing waits")
			}
		}
		if r := from(5); r.Action != vswitch.Consumed {
			t.Errorf("of another port: %+v, want it queued", r)
		}
		if mac := <-inbox.Busy(); mac != hostMAC {
			t.Errorf("busy with %s, want %s", mac, hostMAC)
		}
	})
}

// While those wait whom the host's socket has heard, each port has its own share and no more.
func TestSlowSocket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, backlog := newGateway(t), maxBacklog
		g.Serve(NewInbox(func() int { return backlog }))
		g.SetHost(true)
		from := func(slot uint32) (passed int64) {
			b := udp(gatewayMAC, hostMAC, "172.17.0.1:53", "172.17.0.2:4711")
			for g.Respond(vswitch.Origin{Slot: slot}, parse(b), b).Action == vswitch.ToHost {
				passed++
			}
			return passed
		}
		for slot := range uint32(3) {
			if got := from(slot); got != shareOwn.burst {
				t.Errorf("%d of port %d pass, want its own %d", got, slot, shareOwn.burst)
			}
		}
		backlog--
		if got := from(9); got != shareMost.burst {
			t.Errorf("once there is room %d pass, want %d", got, shareMost.burst)
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
