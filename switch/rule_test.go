package vswitch_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
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

func TestRulesCountForARunningFlow(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		teach(p...)
		to := func(port uint16) []byte {
			eth := host1.IPv4(host1.IP, frame.ProtoTCP, switchtest.Ports(9, port)...)
			return switchtest.To(p[1].mac, eth)
		}
		web, mail := to(80), to(25)
		arrive := func(eth []byte) bool {
			p[0].Send(eth)
			synctest.Wait()
			return len(p[1].Frames()) == 1
		}
		for range 3 {
			arrive(web)
		}
		l.setRules(seg, vswitch.Rule{Protocol: policy.ProtocolTCP, Ports: policy.PortRange{First: 80, Last: 80}, Action: policy.Deny})
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
		l.setRules(gw.Segment(), vswitch.Rule{Action: policy.Deny})
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
		l.setRules(seg, vswitch.Rule{Protocol: policy.ProtocolTCP, Ports: policy.PortRange{First: 2000, Last: 2000}, Action: policy.Deny})
		p[0].SendRaw(switchtest.Partial(tcpFrame(p[1].mac, p[0].mac, 1, pattern(5000)), 1448))
		synctest.Wait()
		expect(l.t, p[1])
		dropped(l.t, p[0].Port, drop.DeniedByRule, 1)
	})
}

// TestRemovedPortLeavesTheRules: its slot is another's after it.
func TestRemovedPortLeavesTheRules(t *testing.T) {
	inLab(t, vswitch.Options{}, func(l *lab) {
		seg := l.segment()
		p := l.ports(seg, 2)
		teach(p...)
		l.setRules(seg,
			vswitch.Rule{From: ports(p[1]), Action: policy.Deny},
			vswitch.Rule{To: ports(p[1]), Action: policy.Deny},
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
			"ports of ICMP":       {Protocol: policy.ProtocolICMP, Ports: policy.PortRange{First: 1, Last: 2}},
			"ports reversed":      {Ports: policy.PortRange{First: 2, Last: 1}},
			"another segment":     {From: ports(stranger)},
			"the gateway":         {To: []*vswitch.Port{gw}},
			"a port that is gone": {To: ports(p[0], p[2])},
		} {
			if err := seg.SetRules([]vswitch.Rule{{}, r}); err == nil {
				l.t.Errorf("%s: the rule was taken", name)
			}
		}
		if err := seg.SetRules(make([]vswitch.Rule, policy.MaxRules+1)); err == nil {
			l.t.Error("more rules than there may be were taken")
		}
		if seg.RuleHits() != nil {
			l.t.Error("rules that were refused are in force")
		}
		l.setRules(seg, make([]vswitch.Rule, policy.MaxRules)...)
		l.sw.Close()
		if err := seg.SetRules(nil); !errors.Is(err, vswitch.ErrClosed) {
			l.t.Errorf("rules after Close: %v, want ErrClosed", err)
		}
	})
}
