package policy_test

import (
	"net/netip"
	"slices"
	"testing"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

// with returns a policy that has what another lacks.
func with(c policy.Policy, lacks policy.Allowance) policy.Policy {
	switch {
	case !lacks.MAC.IsZero():
		c.MACs = append(slices.Clone(c.MACs), frame.SingleMAC(lacks.MAC))
	case lacks.Addr.IsValid():
		c.Addrs = append(slices.Clone(c.Addrs), lacks.Addr)
	case lacks.Protocol != "":
		c.Protocols = append(slices.Clone(c.Protocols), lacks.Protocol)
	}
	return c
}

// checkLacks: what a policy is said to lack for a frame that is refused is what keeps it
// from passing. f is no longer of use to the caller.
func checkLacks(t *testing.T, g *policy.Guard, f *frame.Parsed, eth []byte, refused drop.Reason) {
	t.Helper()
	for seen := []policy.Allowance{{}}; refused != drop.None; {
		f.Reset(eth)
		lacks := g.Lacks(f, refused)
		if !slices.Contains(policy.Allowable[:], refused) && lacks != (policy.Allowance{}) {
			t.Errorf("%x, refused as %s: lacks %+v", eth, refused, lacks)
		}
		if lacks == (policy.Allowance{}) {
			return
		}
		if slices.Contains(seen, lacks) {
			t.Errorf(
				"%x, refused as %s by %+v: lacks %+v, which was allowed",
				eth,
				refused,
				g.Policy(),
				lacks,
			)
			return
		}
		seen = append(seen, lacks)
		next, err := policy.NewGuard(with(g.Policy(), lacks))
		if err != nil {
			t.Errorf(
				"%x, refused as %s: lacks %+v, which nobody can have: %v",
				eth,
				refused,
				lacks,
				err,
			)
			return
		}
		g = next
		f.Reset(eth)
		refused = g.Admit(f, testGateway)
	}
}

func TestLacks(t *testing.T) {
	t.Parallel()
	s := host1
	lldp := frame.MAC{1, 0x80, 0xc2, 0, 0, 0xe}
	mac := func(m frame.MAC) policy.Allowance { return policy.Allowance{MAC: m} }
	ip := func(a netip.Addr) policy.Allowance { return policy.Allowance{Addr: a} }
	protocol := func(p ethertype.Protocol) policy.Allowance { return policy.Allowance{Protocol: p} }
	private := addr("fe80::1234:5678:9abc:def0")
	for name, test := range map[string]struct {
		eth    []byte
		reason drop.Reason
		want   policy.Allowance
	}{
		"PPPoE":            {ethernet(testMAC(2), s.MAC, 0x8863), drop.UnassignedProtocol, protocol("pppoe")},
		"experiment":       {ethernet(testMAC(2), s.MAC, 0x88b5), drop.UnassignedProtocol, protocol("0x88b5")},
		"IS-IS":            {ethernet(frame.MAC{1, 0x80, 0xc2, 0, 0, 0x14}, s.MAC, 46), drop.UnassignedProtocol, protocol("llc")},
		"LLDP":             {ethernet(lldp, s.MAC, 0x88cc), drop.ReservedGroup, protocol("lldp")},
		"IP to a reserved": {ethernet(lldp, s.MAC, 0x0800), drop.ReservedGroup, protocol("reserved")},
		"VLAN":             {tagged(ethernet(testMAC(2), s.MAC, 0x88b5), dot1q|5), drop.VLANTagged, protocol("vlan")},
		"old tag":          {tagged(ethernet(testMAC(2), s.MAC, 0x88b5), qinq), drop.VLANTagged, protocol("qinq")},
		"VRRP":             {from(virtualMAC, ipv4(s.IP, 112)), drop.SpoofedMAC, mac(virtualMAC)},
		"another's own, not by the policy": {
			ipv4(s.IP, 112), drop.SpoofedMAC, policy.Allowance{},
		},
		"ARP of a virtual MAC": {arpFrom(2, virtualMAC, s.IP, s.IP), drop.SpoofedARP, mac(virtualMAC)},
		"ARP of another IP":    {arpFrom(2, s.MAC, s.Other, s.IP), drop.SpoofedARP, ip(s.Other)},
		"ARP of none":          {arpFrom(2, s.MAC, addr("0.0.0.0"), s.IP), drop.SpoofedARP, policy.Allowance{}},
		"IP":                   {ipv4(s.Other, 6), drop.SpoofedIP, ip(s.Other)},
		"IP of none":           {ipv4(addr("0.0.0.0"), 6), drop.SpoofedIP, policy.Allowance{}},
		"IPv6":                 {ipv6(private, 6, transport(1, 2)...), drop.SpoofedIP, ip(private)},
		"a probe for it": {
			ipv6(noSource, 58, neighbour(135, private)...), drop.SpoofedND, ip(private),
		},
		"an option": {
			ipv6(s.IP6, 58, neighbour(136, s.IP6, linkLayer(2, virtualMAC)...)...), drop.SpoofedND, mac(virtualMAC),
		},
		"a router": {ipv6(s.IP6, 58, icmp6(134)...), drop.RogueRA, policy.Allowance{}},
	} {
		if got := newGuard(t, policy1(policy.SecurityStrict)).Lacks(parsed(test.eth), test.reason); got != test.want {
			t.Errorf("%s: lacks %+v, want %+v", name, got, test.want)
		}
	}
}
