package vswitch_test

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/switchtest"
)

var gatewayMAC = frame.MAC{2, 0x42, 172, 17, 0, 1}

// responder says of every frame what the test tells it to; an answer is the
// frame sent back from the gateway's address.
type responder struct {
	response vswitch.Response
	asked    atomic.Int32
}

func (r *responder) Respond(_ vswitch.Origin, _ *frame.Parsed, buf []byte) vswitch.Response {
	r.asked.Add(1)
	response := r.response
	if response.Action == vswitch.Answered {
		_, b, _ := frame.ParseVNet(buf)
		eth := frame.Ethernet(b)
		eth.SetDst(eth.Src())
		eth.SetSrc(gatewayMAC)
		if response.Len == 0 {
			response.Len = len(buf)
		}
	}
	return response
}

// withGateway is a segment with a responder and ports.
func (l *lab) withGateway(r *responder, ports int) (*vswitch.Port, []*port) {
	l.t.Helper()
	seg := l.segment()
	gw, err := l.sw.AddResponder(seg, gatewayMAC, r)
	if err != nil {
		l.t.Fatal(err)
	}
	return gw, l.ports(seg, ports)
}

func request(src frame.MAC) []byte {
	return switchtest.ARP(src, netip.MustParseAddr("172.17.0.2"), netip.MustParseAddr("172.17.0.1"))
}

// dhcpRequest is what a client without an address sends.
func dhcpRequest(to frame.MAC) []byte {
	return switchtest.UDP(to, switchtest.MAC(1), netip.MustParseAddrPort("255.255.255.255:67"), netip.MustParseAddrPort("0.0.0.0:68"), make([]byte, 300))
}

func TestResponder(t *testing.T) {
	arp := request(switchtest.MAC(1))
	arpToGateway := switchtest.To(gatewayMAC, arp)
	toGateway := switchtest.Frame(gatewayMAC, switchtest.MAC(1), "hello")
	broadcast := switchtest.Frame(frame.Broadcast, switchtest.MAC(1), "hello")
	dhcp := dhcpRequest(frame.Broadcast)
	reply := func(a vswitch.Action) vswitch.Response { return vswitch.Response{Action: a} }
	refused := func(r drop.Reason) vswitch.Response {
		return vswitch.Response{Action: vswitch.Refused, Reason: r}
	}
	const none = drop.Reason(255)
	tests := []struct {
		name               string
		eth                []byte
		response           vswitch.Response
		asked              int32
		back, others       int // frames to the sender, and to each other port
		local, flood, from uint64
		drop               drop.Reason
	}{
		{"ARP passed", arp, reply(vswitch.Pass), 1, 0, 1, 0, 1, 0, none},
		{"ARP consumed", arp, reply(vswitch.Consumed), 1, 0, 0, 1, 0, 0, none},
		{"ARP answered", arp, reply(vswitch.Answered), 1, 1, 0, 1, 0, 1, none},
		{"ARP refused", arp, refused(drop.MalformedARP), 1, 0, 0, 0, 0, 0, drop.MalformedARP},
		{"ARP with a priority", switchtest.Tagged(arp, switchtest.Dot1Q), reply(vswitch.Consumed), 1, 0, 0, 1, 0, 0, none},
		{"ARP in a VLAN", switchtest.Tagged(arp, switchtest.Dot1Q|5), reply(vswitch.Consumed), 0, 0, 1, 0, 1, 0, none},
		{"ARP to the gateway passed", arpToGateway, reply(vswitch.Pass), 1, 0, 0, 0, 0, 0, drop.GatewayUnhandled},
		{"to the gateway passed", toGateway, reply(vswitch.Pass), 1, 0, 0, 0, 0, 0, drop.GatewayUnhandled},
		{"to the gateway consumed", toGateway, reply(vswitch.Consumed), 1, 0, 0, 1, 0, 0, none},
		{"to the gateway answered", toGateway, reply(vswitch.Answered), 1, 1, 0, 1, 0, 1, none},
		{"to the gateway refused", toGateway, refused(drop.CrossSegment), 1, 0, 0, 0, 0, 0, drop.CrossSegment},
		{"refused for what counts elsewhere", toGateway, refused(drop.QueueFull), 1, 0, 0, 0, 0, 0, drop.GatewayUnhandled},
		{"refused for nothing known", toGateway, refused(none), 1, 0, 0, 0, 0, 0, drop.GatewayUnhandled},
		{"DHCP passed", dhcp, reply(vswitch.Pass), 1, 0, 1, 0, 1, 0, none},
		{"DHCP consumed", dhcp, reply(vswitch.Consumed), 1, 0, 0, 1, 0, 0, none},
		{"DHCP refused", dhcp, refused(drop.GatewayBusy), 1, 0, 0, 0, 0, 0, drop.GatewayBusy},
		{"DHCP to a multicast group", dhcpRequest(frame.MAC{1, 0, 0x5e, 0, 0, 1}), reply(vswitch.Consumed), 0, 0, 1, 0, 1, 0, none},
		{"broadcast is not its business", broadcast, reply(vswitch.Answered), 0, 0, 1, 0, 1, 0, none},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, vswitch.Options{}, func(l *lab) {
				r := &responder{response: test.response}
				gw, p := l.withGateway(r, 3)
				p[0].Send(test.eth)
				synctest.Wait()
				if r.asked.Load() != test.asked {
					l.t.Errorf("the responder was asked %d times, want %d", r.asked.Load(), test.asked)
				}
				if n := len(p[0].Frames()); n != test.back {
					l.t.Errorf("%d frames came back, want %d", n, test.back)
				}
				for _, other := range p[1:] {
					if n := len(other.Frames()); n != test.others {
						l.t.Errorf("%d frames came to %s, want %d", n, other.mac, test.others)
					}
				}
				c, g := p[0].Counters(), gw.Counters()
				if c.Local != test.local || c.Flooded != test.flood || c.Forwarded != 0 {
					l.t.Errorf("the sender counted %+v, want %d local, %d flooded", c, test.local, test.flood)
				}
				if g.RxFrames != test.from || g.Forwarded != test.from {
					l.t.Errorf("the gateway counted %+v, want %d frames from it", g, test.from)
				}
				if test.drop != none {
					dropped(l.t, p[0].Port, test.drop, 1)
				}
				balanced(l.t, p[0].Port)
				balanced(l.t, gw)
			})
		})
	}
}

// TestResponderAnswersBadly: lengths that make no frame are dropped, not sent.
func TestResponderAnswersBadly(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		for _, n := range []int{-1, 1, 23} {
			gw, p := l.withGateway(&responder{response: vswitch.Response{Action: vswitch.Answered, Len: n}}, 2)
			p[0].send(gatewayMAC, "")
			expect(l.t, p[0])
			expect(l.t, p[1])
			dropped(l.t, gw, drop.Runt, 1)
			balanced(l.t, p[0].Port)
			balanced(l.t, gw)
		}
	})
}

func TestGatewayAddressIsTheGateways(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		r := &responder{response: vswitch.Response{Action: vswitch.Consumed}}
		gw, p := l.withGateway(r, 2)
		seg := gw.Segment()
		p[1].sendFrom(gatewayMAC, p[0].mac, "I pretend")
		p[0].send(gatewayMAC, "to the real one")
		expect(l.t, p[1])
		if r.asked.Load() != 1 {
			l.t.Error("the gateway's address moved to a port that pretended to have it")
		}
		if err := l.sw.AddEntry(p[1].Port, gatewayMAC); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("a static entry for the gateway's address: %v, want ErrInUse", err)
		}
		if err := l.sw.RemoveEntry(seg, gatewayMAC); !errors.Is(err, vswitch.ErrInUse) {
			l.t.Errorf("removing the gateway's entry: %v, want ErrInUse", err)
		}
		if !gw.Gateway() || p[0].Gateway() {
			l.t.Error("Gateway is wrong about who is one")
		}
		l.sw.Announce(gw, switchtest.Frame(frame.Broadcast, gatewayMAC, "")) // has no worker: does nothing
		l.sw.RemovePort(gw)
		p[0].Frames()
		p[0].send(gatewayMAC, "to nobody")
		p[0].Send(request(p[0].mac))
		synctest.Wait()
		if r.asked.Load() != 1 || len(p[1].Frames()) != 1 { // ARP goes to all
			l.t.Error("a removed gateway is still asked, or what is for it goes to others")
		}
		if _, err := l.sw.AddResponder(seg, gatewayMAC, r); err != nil {
			l.t.Errorf("a new gateway in place of the removed one: %v", err)
		}
	})
}

// TestAnswer: what a responder says later goes to its station alone.
func TestAnswer(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		gw, p := l.withGateway(&responder{response: vswitch.Response{Action: vswitch.Consumed}}, 3)
		p[0].send(gatewayMAC, "a question")
		synctest.Wait()
		l.sw.Answer(gw, switchtest.Frame(p[0].mac, gatewayMAC, "the answer"))
		expect(l.t, p[0], "the answer")
		expect(l.t, p[1])
		if c := gw.Counters(); c.RxFrames != 1 || c.Forwarded != 1 {
			l.t.Errorf("the gateway counted %+v, want one frame from it", c)
		}
		if c := p[0].Counters(); c.TxFrames != 1 {
			l.t.Errorf("the station's port counted %+v, want one frame to it", c)
		}
		l.sw.Answer(gw, nil)
		dropped(l.t, gw, drop.Runt, 1)
		balanced(l.t, gw)
		l.sw.Answer(p[1].Port, switchtest.Frame(p[0].mac, p[1].mac, "not from a responder"))
		l.sw.RemovePort(gw)
		l.sw.Answer(gw, switchtest.Frame(p[0].mac, gatewayMAC, "too late"))
		expect(l.t, p[0])
	})
}

// TestAnswersCountAtTheGateway, as frames read from there: those to all, and those that
// end at once.
func TestAnswersCountAtTheGateway(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		gw, p := l.withGateway(&responder{}, 3)
		teach(p...)
		l.sw.RemovePort(p[2].Port)
		for _, eth := range [][]byte{
			switchtest.Frame(frame.Broadcast, gatewayMAC, "to all"),
			switchtest.Frame(switchtest.MAC(99), gatewayMAC, "to an unknown one"),
			switchtest.Frame(p[0].mac, gatewayMAC, "to one"),
			switchtest.Frame(p[2].mac, gatewayMAC, "to a port that is gone"),
			switchtest.Frame(gatewayMAC, gatewayMAC, "to itself"),
		} {
			l.sw.Answer(gw, eth)
		}
		expect(l.t, p[0], "to all", "to an unknown one", "to one")
		expect(l.t, p[1], "to all", "to an unknown one")
		c := gw.Counters()
		if c.RxFrames != 5 || c.RxBytes != 5*60 || c.Flooded != 2 || c.Forwarded != 1 {
			l.t.Errorf("counted %+v, want 5 frames of 60 bytes, 2 flooded and 1 forwarded", c)
		}
		if c.Drops[drop.Unreachable] != 1 || c.Drops[drop.Hairpin] != 1 {
			l.t.Errorf("counted %+v, want one drop as unreachable and one as hairpin", c)
		}
		balanced(l.t, gw)
	})
}
