package policy_test

import (
	"slices"
	"testing"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
	"vswitch/switch/drop"
	"vswitch/switch/policy"
)

const passes = drop.None

// securityTest is a frame and what becomes of it at each level of security.
type securityTest struct {
	name                 string
	eth                  []byte
	off, macOnly, strict drop.Reason
}

func always(name string, eth []byte, r drop.Reason) securityTest {
	return securityTest{name, eth, r, r, r}
}

func onlyStrict(name string, eth []byte, r drop.Reason) securityTest {
	return securityTest{name, eth, passes, passes, r}
}

func secured(name string, eth []byte, r drop.Reason) securityTest {
	return securityTest{name, eth, passes, r, r}
}

var levels = map[policy.Security]string{
	policy.SecurityOff: "off", policy.SecurityMACOnly: "mac-only", policy.SecurityStrict: "strict",
}

// priorities are stacks of tags that a receiver takes as none.
var priorities = map[string][]uint32{
	"":                        nil,
	" behind a priority tag":  {dot1q | 0xe000},
	" behind a provider's":    {dot1ad},
	" behind two":             {dot1ad, dot1q},
	" behind three":           {dot1q, dot1q, dot1ad | 0x1000},
	" behind more than a few": slices.Repeat([]uint32{dot1q}, 50),
}

func newGuard(t testing.TB, c policy.Policy) *policy.Guard {
	t.Helper()
	g, err := policy.NewGuard(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// testSecurity holds each frame, behind any tags that a receiver takes as none,
// against the guard of each level, and then in a VLAN.
func testSecurity(t *testing.T, tests []securityTest, change func(*policy.Policy)) {
	t.Helper()
	for level, levelName := range levels {
		c := policy1(level)
		if change != nil {
			change(&c)
		}
		g := newGuard(t, c)
		for _, test := range tests {
			want := map[policy.Security]drop.Reason{
				policy.SecurityOff:     test.off,
				policy.SecurityMACOnly: test.macOnly,
				policy.SecurityStrict:  test.strict,
			}[level]
			for tags, stack := range priorities {
				eth := tagged(test.eth, stack...)
				if got := verdict(g, eth); got != want {
					t.Errorf(
						"%s: %s%s: dropped as %s, want %s", levelName, test.name, tags, got, want,
					)
				}
			}
			inVLAN(t, g, test.eth, levelName+": "+test.name)
		}
	}
}

// verdict is what becomes of a frame whose route is not remembered.
func verdict(g *policy.Guard, eth []byte) drop.Reason {
	f := parsed(eth)
	if r := g.Admit(f, testGateway); r != drop.None {
		return r
	}
	return g.Reserved(f)
}

// inVLAN: a port with security sends into no VLAN, another into any, whatever it is.
func inVLAN(t *testing.T, g *policy.Guard, eth []byte, name string) {
	t.Helper()
	var want drop.Reason
	inside := false // what is behind the tags counts
	switch src := frame.Ethernet(eth).Src(); {
	case src == gatewayMAC:
		want = drop.SpoofedGateway
	case g.Security == policy.SecurityOff:
		inside = true
	case src != host1.MAC:
		want = drop.SpoofedMAC
	default:
		want = drop.VLANTagged
	}
	for _, stack := range [][]uint32{
		{dot1q | 5},
		{dot1ad | 0xfff},
		{qinq},
		{dot1q, dot1q | 1},
		{dot1q | 0x800, dot1q},
		{dot1ad, qinq},
	} {
		if inside {
			f := parsed(tagged(eth, stack...))
			f.Link()
			want = g.Reserved(f)
		}
		if got := verdict(g, tagged(eth, stack...)); got != want {
			t.Errorf("%s, tagged %x: dropped as %s, want %s", name, stack, got, want)
		}
	}
}

func TestSecurityOfEthernet(t *testing.T) {
	t.Parallel()
	s, other := host1, testMAC(2)
	own := ipv4(s.IP, frame.ProtoTCP, transport(1000, 80)...)
	from := func(mac frame.MAC) []byte {
		b := slices.Clone(own)
		frame.Ethernet(b).SetSrc(mac)
		return b
	}
	to := func(mac frame.MAC, etherType uint16) []byte {
		return ethernet(mac, s.MAC, etherType, make([]byte, 46)...)
	}
	testSecurity(t, []securityTest{
		always("own address", own, passes),
		always("unicast", ethernet(other, s.MAC, frame.EtherTypeIPv4, own[14:]...), passes),
		secured("another's address", from(testMAC(9)), drop.SpoofedMAC),
		always("the gateway's address", from(gatewayMAC), drop.SpoofedGateway),
		onlyStrict("experimental protocol", to(other, 0x88b5), drop.UnassignedProtocol),
		onlyStrict("reverse ARP", to(frame.Broadcast, 0x8035), drop.UnassignedProtocol),
		onlyStrict("LLC", to(other, 46), drop.UnassignedProtocol),
		always("BPDU", to(frame.MAC{1, 0x80, 0xc2}, 46), passes),
		always("pause", to(frame.MAC{1, 0x80, 0xc2, 0, 0, 1}, 0x8808), drop.ReservedGroup),
		always(
			"last reserved group", to(frame.MAC{1, 0x80, 0xc2, 0, 0, 0xf}, 46), drop.ReservedGroup,
		),
		onlyStrict(
			"no reserved group", to(frame.MAC{1, 0x80, 0xc2, 0, 0, 0x10}, 46),
			drop.UnassignedProtocol,
		),
		always(
			"IPv4 to no reserved group",
			ethernet(frame.MAC{1, 0x80, 0xc2, 0, 0, 0x10}, s.MAC, frame.EtherTypeIPv4, own[14:]...),
			passes,
		),
	}, nil)
}

// TestCutOffTags: nobody reads a frame whose tag is not whole.
func TestCutOffTags(t *testing.T) {
	t.Parallel()
	whole := tagged(arpFrom(frame.ARPReply, host1.MAC, host1.Gateway, host1.Other), dot1q, dot1ad)
	for level, name := range levels {
		want := passes
		if level != policy.SecurityOff {
			want = drop.VLANTagged
		}
		for _, n := range []int{14, 15, 17, 18, 21} {
			if got := verdict(newGuard(t, policy1(level)), whole[:n]); got != want {
				t.Errorf("%s: %d bytes: dropped as %s, want %s", name, n, got, want)
			}
		}
	}
}

func TestReservedGroups(t *testing.T) {
	t.Parallel()
	s := host1
	spoof := func(eth []byte) []byte {
		eth = slices.Clone(eth)
		frame.Ethernet(eth).SetSrc(testMAC(9))
		return eth
	}
	lldp := ethernet(frame.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, s.MAC, 0x88cc, make([]byte, 46)...)
	bpdu := ethernet(frame.MAC{1, 0x80, 0xc2}, s.MAC, 39, make([]byte, 46)...)
	for _, test := range []struct {
		name   string
		change func(*policy.Policy)
		lldp   drop.Reason
		bpdu   drop.Reason
	}{
		{"default", func(*policy.Policy) {}, drop.ReservedGroup, passes},
		{
			"all reserved groups",
			func(c *policy.Policy) { c.Protocols = []ethertype.Protocol{ethertype.ReservedGroups} },
			passes, passes,
		},
		{
			"LLDP", func(c *policy.Policy) { c.Protocols = []ethertype.Protocol{"lldp"} },
			passes, passes,
		},
		{
			"LACP", func(c *policy.Policy) { c.Protocols = []ethertype.Protocol{"lacp"} },
			drop.ReservedGroup, passes,
		},
		{
			"BPDUGuard", func(c *policy.Policy) { c.BPDUGuard = true }, drop.ReservedGroup,
			drop.BPDUGuard,
		},
		{
			"both", func(c *policy.Policy) {
				c.Protocols, c.BPDUGuard = []ethertype.Protocol{ethertype.ReservedGroups}, true
			}, passes, drop.BPDUGuard,
		},
	} {
		unlessSpoofed := func(r drop.Reason) securityTest {
			return securityTest{off: r, macOnly: drop.SpoofedMAC, strict: drop.SpoofedMAC}
		}
		spoofedLLDP, spoofedBPDU := unlessSpoofed(test.lldp), unlessSpoofed(test.bpdu)
		spoofedLLDP.name, spoofedLLDP.eth = test.name+": another's LLDP", spoof(lldp)
		spoofedBPDU.name, spoofedBPDU.eth = test.name+": another's BPDU", spoof(bpdu)
		testSecurity(t, []securityTest{
			always(test.name+": LLDP", lldp, test.lldp),
			always(test.name+": BPDU", bpdu, test.bpdu),
			spoofedLLDP, spoofedBPDU,
			always(test.name+": neither", ipv4(s.IP, frame.ProtoTCP, transport(1, 2)...), passes),
		}, test.change)
	}
}
