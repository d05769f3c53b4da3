// Package modeltest builds records for tests.
package modeltest

import (
	"fmt"
	"net/netip"
	"time"

	"vswitch/internal/control/model"
	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
)

// Created is when all records were made.
var Created = time.Date(2026, 11, 23, 20, 15, 30, 123456789, time.UTC)

// ID returns an id with n at its end.
func ID(n int) string { return fmt.Sprintf("%064x", n) }

// MAC returns an address with n at its end.
func MAC(n int) frame.MAC { return frame.MAC{0x02, 0x42, 0, 0, byte(n >> 8), byte(n)} }

// Segment returns segment n, on 10.n.0.0/16.
func Segment(n int) model.Segment {
	return model.Segment{
		ID: ID(n), Name: fmt.Sprintf("segment-%d", n), Subnets: []model.SegmentSubnet{{Subnet: subnet(n)}},
		MTU: 1500, Created: Created,
	}
}

func subnet(n int) model.Subnet {
	prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), 0, 0}), 16)
	return model.Subnet{Prefix: prefix, Gateway: prefix.Addr().Next(), Range: prefix}
}

// Port returns port n on segment s, at the address that ends in n+2.
func Port(n, s int) model.Port {
	return model.Port{
		ID: ID(n + 1000), Name: fmt.Sprintf("port-%d", n), SegmentID: ID(s), MAC: MAC(n + 2),
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(s), byte((n + 2) >> 8), byte(n + 2)})},
		NetNS: fmt.Sprintf("c%d", n), IfName: "eth0", Created: Created,
	}
}

// Pool returns a pool of the addresses of segment n.
func Pool(n int) model.Pool {
	return model.Pool{
		ID: ID(n + 2000), Subnet: subnet(n), Created: Created,
		Leases: []netip.Addr{Port(1, n).Addrs[0], Port(2, n).Addrs[0]},
	}
}

// Entry returns entry n, which leads to port p on segment s.
func Entry(n, p, s int) model.Entry {
	return model.Entry{SegmentID: ID(s), MAC: MAC(n), PortID: ID(p + 1000)}
}

// Sample returns records with something in every field.
func Sample() model.Records {
	bridge, internal := Segment(1), Segment(2)
	internal.Internal, internal.Uplink, internal.MTU = true, "none", 9000
	internal.Subnets[0].Range = netip.MustParsePrefix("10.2.128.0/17")
	internal.AuxAddresses = map[string]netip.Addr{"router": netip.MustParseAddr("10.2.0.254")}
	internal.Offload = "off"
	internal.Labels = map[string]string{"team": "größer", "empty": ""}
	plain, full := Port(1, 1), fullPort()
	internal.Rules = []model.Rule{
		{
			ID: ID(7), From: model.RuleEnd{PortID: full.ID}, To: model.RuleEnd{LabelKey: "a", LabelValue: "b"},
			Protocol: "tcp", FirstPort: 80, LastPort: 90,
		},
		{ID: ID(8), Deny: true, To: model.RuleEnd{LabelKey: "a"}},
	}
	internal.Subnets[0].PoolID = Pool(2).ID
	return model.Records{
		Pools:    []model.Pool{Pool(2)},
		Segments: []model.Segment{bridge, internal},
		Ports:    []model.Port{plain, full},
		Entries:  []model.Entry{Entry(500, 1, 1), Entry(500, 2, 2), Entry(501, 2, 2)},
	}
}

func fullPort() model.Port {
	p := Port(2, 2)
	p.NetNS, p.PID, p.NoDefaultRoute, p.Down = "", 4711, true, true
	p.Namespace, p.Handover, p.AllowHostNetNS = "4:4026532000", true, true
	p.Labels = map[string]string{"a": "b"}
	p.AllowAddresses = []netip.Prefix{
		netip.MustParsePrefix("10.2.7.0/24"), netip.MustParsePrefix("2001:db8::/64"),
	}
	p.AllowMACs = []frame.MACMask{
		{MAC: frame.MAC{0, 0, 0x5e, 0, 1, 0}, Mask: frame.MAC{255, 255, 255, 255, 255, 0}},
		frame.SingleMAC(MAC(77)),
	}
	p.AllowProtocols = []ethertype.Protocol{"ptp", "0x88b5", ethertype.ReservedGroups}
	p.Security, p.BPDUGuard, p.Isolated = "strict", true, true
	p.MACLimit, p.FloodLimit, p.RateIn, p.RateOut = 8, 1000, 1_000_000_000, 18_000_000_000_000_000_000
	p.Offload = "on"
	p.RateInBurst, p.RateOutBurst = 64<<10, 1
	p.Published = []model.Publication{
		{Protocol: "tcp", HostPort: 8080, Port: 80},
		{Protocol: "udp", HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 65000, Port: 1, Count: 536},
	}
	p.Aliases, p.DHCP, p.ResolvConf = []string{"db", "db.example"}, true, true
	p.LostSince, p.LostReason = Created.Add(time.Hour), "namespace \"c2\" is gone"
	p.LostBoot, p.LostUptime = "f1c1c1f5-8f0c-4f5e-a4cc-5a8f8a6a5b0e", 90*time.Minute
	return p
}
