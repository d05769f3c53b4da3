package policy_test

import (
	"net/netip"
	"slices"
	"testing"

	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
	"vswitch/switch/switchtest"
)

// TestSegmentWithoutGateway has no address that nobody may use.
func TestSegmentWithoutGateway(t *testing.T) {
	t.Parallel()
	s := host1
	zeroSender := arpFrom(frame.ARPReply, s.MAC, addr("0.0.0.0"), s.Other)
	asGateway := arpFrom(frame.ARPReply, s.MAC, s.Gateway, s.Other)
	fromGateway := slices.Clone(asGateway)
	frame.Ethernet(fromGateway).SetSrc(gatewayMAC)
	g := newGuard(t, policy1(policy.SecurityOff))
	for name, test := range map[string]struct {
		gateway policy.Gateway
		eth     []byte
		want    drop.Reason
	}{
		"none, no sender": {policy.Gateway{}, zeroSender, drop.None},
		"none":            {policy.Gateway{}, asGateway, drop.None},
		"no part of the switch": {
			policy.Gateway{IP4: testGateway.IP4}, asGateway, drop.SpoofedGateway,
		},
		"its MAC, no address": {
			policy.Gateway{MAC: testGateway.MAC}, fromGateway, drop.SpoofedGateway,
		},
		"no address":               {policy.Gateway{MAC: testGateway.MAC}, asGateway, drop.None},
		"another":                  {policy.Gateway{MAC: 1, IP4: 1}, fromGateway, drop.None},
		"its MAC where it is none": {policy.Gateway{IP4: 1}, fromGateway, drop.None},
	} {
		if got := g.Admit(parsed(test.eth), test.gateway); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestInspectSeesTheWholeHeader: a frame with the same Ethernet header as one that
// has passed may be in a VLAN, or be none of the port's.
func TestInspectSeesTheWholeHeader(t *testing.T) {
	t.Parallel()
	s := host1
	g := newGuard(t, policy1(policy.SecurityStrict))
	good := ipv4(s.IP, frame.ProtoTCP, transport(1, 2)...)
	for name, test := range map[string]struct {
		eth  []byte
		want drop.Reason
	}{
		"good": {good, drop.None},
		"another's": {
			ipv4(s.Other, frame.ProtoTCP, transport(1, 2)...), drop.SpoofedIP,
		},
		"DHCP server": {ipv4(s.IP, frame.ProtoUDP, transport(67, 68)...), drop.RogueDHCP},
		"tagged":      {tagged(good, dot1q), drop.None},
		"tagged, another's": {
			tagged(ipv4(s.Other, frame.ProtoTCP, transport(1, 2)...), dot1q), drop.SpoofedIP,
		},
		"in a VLAN":             {tagged(good, dot1q|7), drop.VLANTagged},
		"an old provider's tag": {tagged(good, qinq), drop.VLANTagged},
	} {
		if got := g.Inspect(parsed(test.eth)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestRememberable(t *testing.T) {
	t.Parallel()
	arp := arpFrom(frame.ARPRequest, host1.MAC, host1.IP, host1.Other)
	packet := ipv4(host1.IP, frame.ProtoTCP, transport(1, 2)...)
	for name, test := range map[string]struct {
		eth  []byte
		want bool
	}{
		"IPv4":             {packet, true},
		"IPv6":             {ipv6(host1.IP6, frame.ProtoTCP, transport(1, 2)...), true},
		"other":            {ethernet(testMAC(2), host1.MAC, 0x88b5), true},
		"old tag":          {tagged(packet, qinq), true},
		"ARP":              {arp, false},
		"ARP behind a tag": {tagged(arp, dot1q), false},
		"tag":              {tagged(packet, dot1q), false},
		"VLAN":             {tagged(packet, dot1q|5), false},
		"provider's tag":   {tagged(packet, dot1ad), false},
	} {
		if got := policy.Rememberable(parsed(test.eth)); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestMayUse4(t *testing.T) {
	t.Parallel()
	s := host1
	everything := policy1(policy.SecurityStrict)
	everything.Prefixes = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	one := policy1(policy.SecurityStrict)
	one.Prefixes = []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32")}
	bare := policy.Policy{Security: policy.SecurityStrict, MAC: s.MAC}
	strict := policy1(policy.SecurityStrict)
	for _, test := range []struct {
		name   string
		policy policy.Policy
		addr   string
		want   bool
	}{
		{"off", policy1(policy.SecurityOff), "8.8.8.8", true},
		{"mac-only", policy1(policy.SecurityMACOnly), "8.8.8.8", true},
		{"first", strict, "172.17.0.2", true},
		{"second", strict, "172.17.0.9", true},
		{"another's", strict, "172.17.0.3", false},
		{"routed", strict, "10.9.255.255", true},
		{"beside the routed", strict, "10.10.0.0", false},
		{"none", strict, "0.0.0.0", false},
		{"any", everything, "8.8.8.8", true},
		{"any but none", everything, "0.0.0.0", false},
		{"prefix of one", one, "10.1.2.3", true},
		{"beside the one", one, "10.1.2.2", false},
		{"without addresses", bare, "172.17.0.2", false},
		{"without addresses, none", bare, "0.0.0.0", false},
	} {
		g := newGuard(t, test.policy)
		if got := g.MayUse4(frame.Uint32(addr(test.addr))); got != test.want {
			t.Errorf("%s: %s: %v, want %v", test.name, test.addr, got, test.want)
		}
	}
}

func TestDHCPRequest(t *testing.T) {
	t.Parallel()
	zero := netip.IPv4Unspecified()
	request := ipv4(zero, frame.ProtoUDP, transport(68, 67)...)
	unicast := switchtest.To(testMAC(2), request)
	behindOptions := ipv4(zero, frame.ProtoUDP, append(make([]byte, 4), transport(68, 67)...)...)
	behindOptions = edit(behindOptions, 0, 0x46)
	for name, test := range map[string]struct {
		eth  []byte
		want bool
	}{
		"request": {request, true},
		"renewal": {ipv4(host1.IP, frame.ProtoUDP, transport(1068, 67)...), true},
		"behind options": {
			behindOptions,
			true,
		},
		"ports alone": {request[:38], true},
		"behind tags": {tagged(request, dot1q, dot1ad), true},
		"first fragment": {
			fragment(ipv4(zero, frame.ProtoUDP, transport(68, 67)...), 0, true), true,
		},
		"in a VLAN":   {tagged(request, dot1q|5), false},
		"to one host": {unicast, false},
		"answer":      {ipv4(host1.IP, frame.ProtoUDP, transport(67, 68)...), false},
		"TCP":         {ipv4(zero, frame.ProtoTCP, transport(68, 67)...), false},
		"later fragment": {
			fragment(ipv4(zero, frame.ProtoUDP, transport(68, 67)...), 2, false), false,
		},
		"cut off":             {request[:37], false},
		"header of 16 bytes":  {edit(request, 0, 0x44), false},
		"header that is long": {edit(request, 0, 0x4f), false},
		"IPv6":                {ipv6(host1.IP6, frame.ProtoUDP, transport(68, 67)...), false},
		"ARP":                 {arpFrom(frame.ARPRequest, host1.MAC, host1.IP, host1.Other), false},
	} {
		if got := policy.DHCPRequest(parsed(test.eth)); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestClaimedIP(t *testing.T) {
	t.Parallel()
	s := host1
	arp, packet := arpFrom(frame.ARPReply, s.MAC, s.Other, s.IP), ipv4(
		s.Other, frame.ProtoTCP, transport(1, 2)...,
	)
	for name, test := range map[string]struct {
		eth  []byte
		want netip.Addr
	}{
		"ARP":                   {arp, s.Other},
		"ARP of other hardware": {edit(arp, 1, 6), s.Other},
		"tagged ARP":            {tagged(arp, dot1q|5, dot1q), s.Other},
		"IPv4":                  {packet, s.Other},
		"tagged IPv4":           {tagged(packet, dot1ad), s.Other},
		"IPv6":                  {ipv6(s.Other6, 59), s.Other6},
		"broken ARP":            {arp[:41], netip.Addr{}},
		"broken IPv4":           {packet[:33], netip.Addr{}},
		"neither": {
			ethernet(testMAC(2), s.MAC, 0x88b5, make([]byte, 46)...), netip.Addr{},
		},
	} {
		if got := policy.ClaimedIP(parsed(test.eth)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestPacketPathAllocs: nothing that is done per frame allocates.
func TestPacketPathAllocs(t *testing.T) {
	rules, err := policy.NewRules(
		[]policy.Rule{{From: []uint32{1}, Ports: policy.PortRange{First: 80, Last: 80}}},
		1,
	)
	if err != nil {
		t.Fatal(err)
	}
	c := policy1(policy.SecurityStrict)
	c.RateIn = policy.Rate{BitsPerSecond: policy.MaxRate}
	g, flaps, all, f := newGuard(t, c), policy.NewFlaps(), seeds(), new(frame.Parsed)
	passed, now := 0, int64(0)
	if n := testing.AllocsPerRun(100, func() {
		for _, eth := range all {
			f.Reset(eth)
			if g.Admit(f, testGateway) == drop.None && g.Reserved(f) == drop.None {
				passed++
			}
			f.Reset(eth)
			g.Inspect(f)
			policy.DHCPRequest(f)
			rules.Deny(0, 1, 2, policy.Classify(f))
			now += policy.TicksPerSecond
			g.RateIn.Reserve(now, len(eth))
			flaps.Move(f.Eth.SrcUint64(), 1, 2, uint32(now), 100)
		}
	}); n != 0 || passed == 0 {
		t.Errorf("%v allocations per run, %d frames passed", n, passed)
	}
}
