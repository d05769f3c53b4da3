package vswitch_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"vswitch/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
)

func ports(list ...*port) []*vswitch.Port {
	all := []*vswitch.Port{}
	for _, p := range list {
		all = append(all, p.Port)
	}
	return all
}

func (l *lab) setRules(seg *vswitch.Segment, rules ...vswitch.Rule) {
	l.t.Helper()
	if err := seg.SetRules(rules); err != nil {
		l.t.Fatal(err)
	}
}

// TestRuleMatches holds one rule that denies against frames to one station.
func TestRuleMatches(t *testing.T) {
	s := station1
	const tcp, udp, icmp, icmpv6 = frame.ProtoTCP, frame.ProtoUDP, frame.ProtoICMP, frame.ProtoICMPv6
	web := vswitch.PortRange{First: 80, Last: 443}
	deny := func(p vswitch.Protocol, ports vswitch.PortRange) vswitch.Rule {
		return vswitch.Rule{Protocol: p, Ports: ports, Action: vswitch.Deny}
	}
	anyTCP, anyUDP := deny(vswitch.ProtocolTCP, vswitch.PortRange{}), deny(vswitch.ProtocolUDP, vswitch.PortRange{})
	ping, all := deny(vswitch.ProtocolICMP, vswitch.PortRange{}), deny(vswitch.ProtocolAny, vswitch.PortRange{})
	webTCP, webAny := deny(vswitch.ProtocolTCP, web), deny(vswitch.ProtocolAny, web)
	options := ipv4(s.ip, tcp, append(make([]byte, 4), transport(9, 80)...)...)
	options[14] = 0x46
	tests := []struct {
		name   string
		rule   vswitch.Rule
		eth    []byte
		denied bool
	}{
		{"TCP", anyTCP, ipv4(s.ip, tcp, transport(9, 80)...), true},
		{"TCP over IPv6", anyTCP, ipv6(s.ip6, tcp, transport(9, 80)...), true},
		{"UDP is not TCP", anyTCP, ipv4(s.ip, udp, transport(9, 80)...), false},
		{"UDP", anyUDP, ipv4(s.ip, udp, transport(9, 80)...), true},
		{"UDP over IPv6", anyUDP, ipv6(s.ip6, udp, transport(9, 80)...), true},
		{"ping", ping, ipv4(s.ip, icmp, 8, 0, 0, 0), true},
		{"ping over IPv6", ping, ipv6(s.ip6, icmpv6, icmp6(128)...), true},
		{"ICMP's number in IPv6", ping, ipv6(s.ip6, icmp, icmp6(128)...), false},
		{"ICMPv6's number in IPv4", ping, ipv4(s.ip, icmpv6, icmp6(128)...), false},
		{"any IP", all, ipv4(s.ip, 132, 0), true},
		{"any protocol", all, switchtest.Frame(switchtest.MAC(2), s.mac, ""), true},
		{"broken IP", all, ethernet(frame.Broadcast, s.mac, frame.EtherTypeIPv4, 0x45), true},
		{"broken IP is not TCP", anyTCP, ethernet(frame.Broadcast, s.mac, frame.EtherTypeIPv4, 0x45), false},
		{"ARP", all, arpFrom(frame.ARPRequest, s.mac, s.ip, s.other), false},
		{"tagged ARP", all, tagged(arpFrom(frame.ARPRequest, s.mac, s.ip, s.other), frame.EtherTypeVLAN), false},
		{"neighbour solicitation", all, ipv6(s.ip6, icmpv6, neighbour(135, s.other6)...), false},
		{"neighbour advertisement", ping, ipv6(s.ip6, icmpv6, neighbour(136, s.ip6)...), false},
		{"listener report", ping, ipv6(s.ip6, icmpv6, icmp6(132)...), true},
		{"router solicitation", ping, ipv6(s.ip6, icmpv6, icmp6(133)...), false},
		{"redirect", ping, ipv6(s.ip6, icmpv6, icmp6(137)...), false},
		{"router renumbering", ping, ipv6(s.ip6, icmpv6, icmp6(138)...), true},
		{"below the ports", webTCP, ipv4(s.ip, tcp, transport(80, 79)...), false},
		{"first port", webTCP, ipv4(s.ip, tcp, transport(9, 80)...), true},
		{"last port", webTCP, ipv4(s.ip, tcp, transport(9, 443)...), true},
		{"above the ports", webTCP, ipv4(s.ip, tcp, transport(443, 444)...), false},
		{"ports of UDP", webTCP, ipv4(s.ip, udp, transport(9, 80)...), false},
		{"ports of any: TCP", webAny, ipv4(s.ip, tcp, transport(9, 80)...), true},
		{"ports of any: UDP", webAny, ipv4(s.ip, udp, transport(9, 80)...), true},
		{"ports of any: ping", webAny, ipv4(s.ip, icmp, 0, 80, 0, 80), false},
		{"ports of any: no IP", webAny, switchtest.Frame(switchtest.MAC(2), s.mac, ""), false},
		{"behind options", webTCP, options, true},
		{"behind a tag", webTCP, tagged(ipv4(s.ip, tcp, transport(9, 80)...), frame.EtherTypeVLAN), true},
		{"behind extension headers", webTCP, ipv6(s.ip6, 0, extension(60, extension(tcp, transport(9, 80)...)...)...), true},
		{"first fragment", webTCP, fragment(ipv4(s.ip, tcp, transport(9, 80)...), 0, true), true},
		{"first fragment to another port", webTCP, fragment(ipv4(s.ip, tcp, transport(9, 8080)...), 0, true), false},
		{"later fragment shows no port", webTCP, fragment(ipv4(s.ip, tcp, transport(9, 8080)...), 3, false), true},
		{"later fragment of UDP", webTCP, fragment(ipv4(s.ip, udp, transport(9, 80)...), 3, false), false},
		{"later fragment over IPv6", webTCP, ipv6(s.ip6, 44, fragment6(tcp, 3, false, transport(9, 8080)...)...), true},
		{"header without ports", webTCP, ipv4(s.ip, tcp, 0), true},
		{"hidden in a later fragment", webTCP, ipv6(s.ip6, 44, fragment6(60, 0, true, tcp, 1, 1, 4, 0, 0, 0, 0)...), true},
	}
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		teach(p...)
		for _, test := range tests {
			l.setRules(seg, test.rule)
			for _, unicast := range []bool{false, true, true} {
				eth := slices.Clone(test.eth)
				if unicast {
					frame.Ethernet(eth).SetDst(p[1].mac)
				}
				before := p[0].Counters().Drops[vswitch.DeniedByRule]
				p[0].Send(eth)
				synctest.Wait()
				denied := p[0].Counters().Drops[vswitch.DeniedByRule] != before
				if arrived := len(p[1].Frames()) == 1; denied != test.denied || arrived == denied {
					l.t.Errorf("%s, unicast %v: denied %v, want %v; arrived %v", test.name, unicast, denied, test.denied, arrived)
				}
				if hits := seg.RuleHits()[0]; denied && hits == 0 {
					l.t.Errorf("%s: the rule has no hits", test.name)
				}
			}
		}
		balanced(l.t, p[0].Port)
	})
}

func TestFirstRuleThatMatchesDecides(t *testing.T) {
	inLab(t, vswitch.Options{Workers: 2}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 3)
		teach(p...)
		l.setRules(seg,
			vswitch.Rule{From: ports(p[0]), To: ports(p[1]), Action: vswitch.Allow},
			vswitch.Rule{From: ports(), Action: vswitch.Deny}, // from none
			vswitch.Rule{To: ports(p[1], p[2]), Action: vswitch.Deny},
			vswitch.Rule{From: ports(p[1]), Action: vswitch.Allow},
		)
		p[0].send(p[1].mac, "allowed")
		p[0].send(p[1].mac, "allowed")
		p[0].send(p[2].mac, "denied")
		p[1].send(p[2].mac, "denied")
		p[2].send(p[1].mac, "denied")
		p[1].send(p[0].mac, "allowed")
		p[2].send(p[0].mac, "no rule")
		p[0].send(frame.Broadcast, "for one") // to p[2] denied
		p[1].send(frame.Broadcast, "for the first")
		expect(l.t, p[0], "allowed", "no rule", "for the first")
		expect(l.t, p[1], "allowed", "allowed", "for one")
		expect(l.t, p[2])
		if hits := seg.RuleHits(); !slices.Equal(hits, []uint64{3, 0, 5, 2}) {
			l.t.Errorf("hits are %v, want 3, 0, 5 and 2", hits)
		}
		for i, want := range []uint64{1, 1, 1} {
			dropped(l.t, p[i].Port, vswitch.DeniedByRule, want)
			balanced(l.t, p[i].Port)
		}
		l.sw.RemovePort(p[0].Port)
		p[2].send(frame.Broadcast, "for nobody")
		dropped(l.t, p[2].Port, vswitch.DeniedByRule, 2)
	})
}

func TestRulesCountForARunningFlow(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		teach(p...)
		web, mail := ipv4(station1.ip, frame.ProtoTCP, transport(9, 80)...), ipv4(station1.ip, frame.ProtoTCP, transport(9, 25)...)
		frame.Ethernet(web).SetDst(p[1].mac)
		frame.Ethernet(mail).SetDst(p[1].mac)
		arrive := func(eth []byte) bool {
			p[0].Send(eth)
			synctest.Wait()
			return len(p[1].Frames()) == 1
		}
		for range 3 {
			arrive(web)
		}
		l.setRules(seg, vswitch.Rule{Protocol: vswitch.ProtocolTCP, Ports: vswitch.PortRange{First: 80, Last: 80}, Action: vswitch.Deny})
		for range 3 { // with the same Ethernet header
			if arrive(web) || !arrive(mail) {
				l.t.Fatal("a rule that was set does not count for a running flow")
			}
		}
		l.setRules(seg)
		if !arrive(web) || seg.RuleHits() != nil {
			l.t.Error("a rule that was taken back still counts")
		}
		balanced(l.t, p[0].Port)
	})
}

func TestGatewayIsNoRulesBusiness(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		r := &responder{response: vswitch.Response{Action: vswitch.Answered}}
		gw, p := l.withGateway(r, 2)
		l.setRules(gw.Segment(), vswitch.Rule{Action: vswitch.Deny})
		p[0].send(gatewayMAC, "hello")
		expect(l.t, p[0], "hello")
		balanced(l.t, p[0].Port)
		balanced(l.t, gw)
	})
}

// TestSuperFrameIsMatchedByItsHeaders.
func TestSuperFrameIsMatchedByItsHeaders(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		teach(p...)
		l.setRules(seg, vswitch.Rule{Protocol: vswitch.ProtocolTCP, Ports: vswitch.PortRange{First: 2000, Last: 2000}, Action: vswitch.Deny})
		p[0].SendRaw(partial(tcpFrame(p[1].mac, p[0].mac, 1, pattern(5000)), 1448))
		synctest.Wait()
		expect(l.t, p[1])
		dropped(l.t, p[0].Port, vswitch.DeniedByRule, 1)
	})
}

// TestRemovedPortLeavesTheRules: its slot is another's after it.
func TestRemovedPortLeavesTheRules(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		teach(p...)
		l.setRules(seg,
			vswitch.Rule{From: ports(p[1]), Action: vswitch.Deny},
			vswitch.Rule{To: ports(p[1]), Action: vswitch.Deny},
		)
		p[1].send(p[0].mac, "denied")
		l.sw.RemovePort(p[1].Port)
		heir := l.port(seg, 3)
		teach(heir)
		heir.send(p[0].mac, "not denied")
		p[0].send(heir.mac, "not denied")
		expect(l.t, p[0], "not denied")
		expect(l.t, heir, "not denied")
		if hits := seg.RuleHits(); !slices.Equal(hits, []uint64{1, 0}) {
			l.t.Errorf("hits are %v, want the one before the port was removed", hits)
		}
	})
}

func TestRuleErrors(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		gw, p := l.withGateway(&responder{}, 3)
		seg := gw.Segment()
		stranger := l.port(l.segment(), 1)
		l.sw.RemovePort(p[2].Port)
		for name, r := range map[string]vswitch.Rule{
			"unknown protocol":    {Protocol: 4},
			"unknown action":      {Action: 2},
			"ports of ICMP":       {Protocol: vswitch.ProtocolICMP, Ports: vswitch.PortRange{First: 1, Last: 2}},
			"ports reversed":      {Ports: vswitch.PortRange{First: 2, Last: 1}},
			"another segment":     {From: ports(stranger)},
			"the gateway":         {To: []*vswitch.Port{gw}},
			"a port that is gone": {To: ports(p[0], p[2])},
		} {
			if err := seg.SetRules([]vswitch.Rule{{}, r}); err == nil {
				l.t.Errorf("%s: the rule was taken", name)
			}
		}
		if err := seg.SetRules(make([]vswitch.Rule, vswitch.MaxRules+1)); err == nil {
			l.t.Error("more rules than there may be were taken")
		}
		if seg.RuleHits() != nil {
			l.t.Error("rules that were refused are in force")
		}
		l.setRules(seg, make([]vswitch.Rule, vswitch.MaxRules)...)
		l.sw.Close()
		if err := seg.SetRules(nil); !errors.Is(err, vswitch.ErrClosed) {
			l.t.Errorf("rules after Close: %v, want ErrClosed", err)
		}
	})
}
