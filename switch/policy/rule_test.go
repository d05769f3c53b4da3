package policy_test

import (
	"slices"
	"sync"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/policy"
)

func newRules(t testing.TB, workers int, list ...policy.Rule) *policy.Rules {
	t.Helper()
	r, err := policy.NewRules(list, workers)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRuleMatches holds one rule that denies against frames.
func TestRuleMatches(t *testing.T) {
	t.Parallel()
	s := host1
	const tcp, udp = frame.ProtoTCP, frame.ProtoUDP
	const icmp, icmpv6 = frame.ProtoICMP, frame.ProtoICMPv6
	web := policy.PortRange{First: 80, Last: 443}
	deny := func(p policy.Protocol, ports policy.PortRange) policy.Rule {
		return policy.Rule{Protocol: p, Ports: ports, Action: policy.Deny}
	}
	anyTCP, anyUDP := deny(policy.ProtocolTCP, policy.PortRange{}), deny(
		policy.ProtocolUDP, policy.PortRange{},
	)
	ping, all := deny(policy.ProtocolICMP, policy.PortRange{}), deny(
		policy.ProtocolAny, policy.PortRange{},
	)
	webTCP, webAny := deny(policy.ProtocolTCP, web), deny(policy.ProtocolAny, web)
	eight, behindEight := chain(8, tcp, transport(9, 8080)...)
	nine, behindNine := chain(9, udp, transport(9, 8080)...)
	options := ipv4(s.IP, tcp, append(make([]byte, 4), transport(9, 80)...)...)
	options[14] = 0x46
	tests := []struct {
		name   string
		rule   policy.Rule
		eth    []byte
		denied bool
	}{
		{"TCP", anyTCP, ipv4(s.IP, tcp, transport(9, 80)...), true},
		{"TCP over IPv6", anyTCP, ipv6(s.IP6, tcp, transport(9, 80)...), true},
		{"UDP is not TCP", anyTCP, ipv4(s.IP, udp, transport(9, 80)...), false},
		{"UDP", anyUDP, ipv4(s.IP, udp, transport(9, 80)...), true},
		{"UDP over IPv6", anyUDP, ipv6(s.IP6, udp, transport(9, 80)...), true},
		{"ping", ping, ipv4(s.IP, icmp, 8, 0, 0, 0), true},
		{"ping over IPv6", ping, ipv6(s.IP6, icmpv6, icmp6(128)...), true},
		{"ICMP's number in IPv6", ping, ipv6(s.IP6, icmp, icmp6(128)...), false},
		{"ICMPv6's number in IPv4", ping, ipv4(s.IP, icmpv6, icmp6(128)...), false},
		{"any IP", all, ipv4(s.IP, 132, 0), true},
		{"any protocol", all, ethernet(testMAC(2), s.MAC, 0x88b5), true},
		{"broken IP", all, ethernet(frame.Broadcast, s.MAC, frame.EtherTypeIPv4, 0x45), true},
		{
			"broken IP is not TCP", anyTCP,
			ethernet(frame.Broadcast, s.MAC, frame.EtherTypeIPv4, 0x45), false,
		},
		{"ARP", all, arpFrom(frame.ARPRequest, s.MAC, s.IP, s.Other), false},
		{
			"tagged ARP", all, tagged(arpFrom(frame.ARPRequest, s.MAC, s.IP, s.Other), dot1q|5),
			false,
		},
		{"neighbour solicitation", all, ipv6(s.IP6, icmpv6, neighbour(135, s.Other6)...), false},
		{"neighbour advertisement", ping, ipv6(s.IP6, icmpv6, neighbour(136, s.IP6)...), false},
		{"listener report", ping, ipv6(s.IP6, icmpv6, icmp6(132)...), true},
		{"router solicitation", ping, ipv6(s.IP6, icmpv6, icmp6(133)...), false},
		{"redirect", ping, ipv6(s.IP6, icmpv6, icmp6(137)...), false},
		{"router renumbering", ping, ipv6(s.IP6, icmpv6, icmp6(138)...), true},
		{"below the ports", webTCP, ipv4(s.IP, tcp, transport(80, 79)...), false},
		{"first port", webTCP, ipv4(s.IP, tcp, transport(9, 80)...), true},
		{"last port", webTCP, ipv4(s.IP, tcp, transport(9, 443)...), true},
		{"above the ports", webTCP, ipv4(s.IP, tcp, transport(443, 444)...), false},
		{"ports of UDP", webTCP, ipv4(s.IP, udp, transport(9, 80)...), false},
		{"ports of any: TCP", webAny, ipv4(s.IP, tcp, transport(9, 80)...), true},
		{"ports of any: UDP", webAny, ipv4(s.IP, udp, transport(9, 80)...), true},
		{"ports of any: ping", webAny, ipv4(s.IP, icmp, 0, 80, 0, 80), false},
		{"ports of any: no IP", webAny, ethernet(testMAC(2), s.MAC, 0x88b5), false},
		{"behind options", webTCP, options, true},
		{"behind a tag", webTCP, tagged(ipv4(s.IP, tcp, transport(9, 80)...), dot1q|5), true},
		{
			"behind extension headers", webTCP,
			ipv6(s.IP6, 0, extension(60, extension(tcp, transport(9, 80)...)...)...), true,
		},
		{
			"behind two tags", webTCP, tagged(ipv4(s.IP, tcp, transport(9, 80)...), dot1ad, dot1q),
			true,
		},
		{
			"behind three", webTCP,
			tagged(ipv6(s.IP6, tcp, transport(9, 80)...), dot1q, dot1q, dot1q), true,
		},
		{"behind eight extension headers", webTCP, ipv6(s.IP6, eight, behindEight...), false},
		{"behind nine it may be anything", webTCP, ipv6(s.IP6, nine, behindNine...), true},
		{"first fragment", webTCP, fragment(ipv4(s.IP, tcp, transport(9, 80)...), 0, true), true},
		{
			"first fragment to another port", webTCP,
			fragment(ipv4(s.IP, tcp, transport(9, 8080)...), 0, true), false,
		},
		{
			"later fragment shows no port", webTCP,
			fragment(ipv4(s.IP, tcp, transport(9, 8080)...), 3, false), true,
		},
		{
			"later fragment of UDP", webTCP,
			fragment(ipv4(s.IP, udp, transport(9, 80)...), 3, false), false,
		},
		{
			"later fragment over IPv6", webTCP,
			ipv6(s.IP6, 44, fragment6(tcp, 3, false, transport(9, 8080)...)...), true,
		},
		{"header without ports", webTCP, ipv4(s.IP, tcp, 0), true},
		{
			"hidden in a later fragment", webTCP,
			ipv6(s.IP6, 44, fragment6(60, 0, true, tcp, 1, 1, 4, 0, 0, 0, 0)...), true,
		},
	}
	for _, test := range tests {
		r := newRules(t, 1, test.rule)
		for i := range 3 {
			if got := r.Deny(0, 1, 2, policy.Classify(parsed(test.eth))); got != test.denied {
				t.Errorf("%s: denied %v, want %v", test.name, got, test.denied)
			}
			want := uint64(0)
			if test.denied {
				want = uint64(i + 1)
			}
			if hits := r.Hits()[0]; hits != want {
				t.Errorf("%s: %d hits after %d frames", test.name, hits, i+1)
			}
		}
	}
}

// anything is traffic that only rules for all protocols match.
var anything = policy.Classify(parsed(ethernet(testMAC(2), host1.MAC, 0x88b5)))

func TestFirstRuleThatMatchesDecides(t *testing.T) {
	t.Parallel()
	r := newRules(t, 3,
		policy.Rule{From: []uint32{1}, To: []uint32{70}, Action: policy.Allow},
		policy.Rule{From: []uint32{}, Action: policy.Deny}, // from none
		policy.Rule{To: []uint32{70, policy.MaxSlot}, Action: policy.Deny},
		policy.Rule{From: []uint32{70}, Action: policy.Allow},
	)
	for i, test := range []struct {
		from, to uint32
		denied   bool
	}{
		{1, 70, false},
		{1, policy.MaxSlot, true},
		{70, policy.MaxSlot, true},
		{policy.MaxSlot, 70, true},
		{70, 1, false},
		{policy.MaxSlot, 1, false}, // no rule
		{2, 3, false},
		{65, 64, false},
	} {
		if got := r.Deny(i%3, test.from, test.to, anything); got != test.denied {
			t.Errorf("from %d to %d: denied %v, want %v", test.from, test.to, got, test.denied)
		}
	}
	if hits := r.Hits(); !slices.Equal(hits, []uint64{1, 0, 3, 1}) {
		t.Errorf("hits are %v, want 1, 0, 3 and 1", hits)
	}
}

// TestExemptTrafficIsNotCounted, whatever the rules say.
func TestExemptTrafficIsNotCounted(t *testing.T) {
	t.Parallel()
	r := newRules(t, 1, policy.Rule{Action: policy.Deny})
	arp := policy.Classify(parsed(arpFrom(frame.ARPRequest, host1.MAC, host1.IP, host1.Other)))
	if !arp.Exempt || r.Deny(0, 1, 2, arp) || r.Hits()[0] != 0 {
		t.Errorf("ARP is exempt %v, hits %v", arp.Exempt, r.Hits())
	}
	if anything.Exempt || !r.Deny(0, 1, 2, anything) {
		t.Error("what is not exempt passes")
	}
}

func TestWithoutASlot(t *testing.T) {
	t.Parallel()
	before := newRules(t, 1,
		policy.Rule{From: []uint32{5, 200}, Action: policy.Deny},
		policy.Rule{To: []uint32{5}, Action: policy.Deny},
	)
	before.Deny(0, 5, 1, anything)
	after := before.Without(5)
	for _, test := range []struct {
		rules    *policy.Rules
		from, to uint32
		denied   bool
	}{
		{before, 5, 1, true},
		{before, 1, 5, true},
		{after, 5, 1, false},
		{after, 1, 5, false}, // a rule to no port, not to all
		{after, 1, 2, false},
		{after, 200, 1, true},
		{after.Without(200), 200, 1, false},
		{after.Without(7), 200, 1, true},
	} {
		if got := test.rules.Deny(0, test.from, test.to, anything); got != test.denied {
			t.Errorf("from %d to %d: denied %v, want %v", test.from, test.to, got, test.denied)
		}
	}
	want := []uint64{4, 1}
	if !slices.Equal(before.Hits(), want) || !slices.Equal(after.Hits(), want) {
		t.Errorf("hits are %v and %v, want %v of both", before.Hits(), after.Hits(), want)
	}
}

func TestNoRules(t *testing.T) {
	t.Parallel()
	r := newRules(t, 2)
	if r != nil || r.Deny(1, 1, 2, anything) || r.Hits() != nil || r.Without(1) != nil {
		t.Error("no rules are some")
	}
}

// TestWorkersCountApart, and their sum is exact.
func TestWorkersCountApart(t *testing.T) {
	t.Parallel()
	const workers, frames = 4, 10000
	r := newRules(t, workers, policy.Rule{From: []uint32{9}}, policy.Rule{Action: policy.Deny})
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for range frames {
				r.Deny(w, 1, 2, anything)
			}
		})
	}
	wait.Wait()
	if hits := r.Hits(); !slices.Equal(hits, []uint64{0, workers * frames}) {
		t.Errorf("hits are %v, want 0 and %d", hits, workers*frames)
	}
}

func TestRuleErrors(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]policy.Rule{
		"unknown protocol": {Protocol: 4},
		"unknown action":   {Action: 2},
		"ports of ICMP": {
			Protocol: policy.ProtocolICMP, Ports: policy.PortRange{First: 1, Last: 2},
		},
		"ports reversed":  {Ports: policy.PortRange{First: 2, Last: 1}},
		"from slot 0":     {From: []uint32{1, 0}},
		"to slot 0":       {To: []uint32{0}},
		"a slot too high": {To: []uint32{policy.MaxSlot + 1}},
	} {
		if rules, err := policy.NewRules([]policy.Rule{{}, r}, 1); err == nil || rules != nil {
			t.Errorf("%s: the rule was taken", name)
		}
	}
	if _, err := policy.NewRules(make([]policy.Rule, policy.MaxRules+1), 1); err == nil {
		t.Error("more rules than there may be were taken")
	}
	newRules(t, 1, make([]policy.Rule, policy.MaxRules)...)
}
