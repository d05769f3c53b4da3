package api_test

import (
	"context"
	"net/netip"
	"strings"

	"vswitch/api"
)

type oldCall = func(*api.Client) (any, error)

var bg = context.Background()

// oldCalls are what the client was asked for.
var oldCalls = map[string]oldCall{
	"version": func(c *api.Client) (any, error) { return returned(c.Version(bg)) },
	"upgrade": func(c *api.Client) (any, error) {
		return nil, c.Upgrade(bg, api.UpgradeSpec{Binary: "/usr/sbin/vswitchd"})
	},
	"backup": func(c *api.Client) (any, error) {
		var text strings.Builder
		err := c.Backup(bg, &text)
		return text.String(), err
	},
	"add segment": func(c *api.Client) (any, error) {
		return returned(c.AddSegment(bg, api.SegmentSpec{
			Name: "lab", Subnet: prefixOf("10.1.0.0/24"), Gateway: addrOf("10.1.0.9"),
			IPRange: prefixOf("10.1.0.128/25"), Internal: true, Uplink: api.UplinkNone, MTU: 9000,
			Labels: map[string]string{"a": "<b>"},
		}))
	},
	"add segment of defaults": addPlain,
	"add segment again":       addPlain,
	"update segment": func(c *api.Client) (any, error) {
		return returned(c.UpdateSegment(bg, "plain", api.SegmentUpdate{
			Name: new("renamed"), Subnet: new(prefixOf("10.2.0.0/24")),
			Labels: map[string]*string{"x": new("y"), "z": nil},
		}))
	},
	"update segment to a free subnet": func(c *api.Client) (any, error) {
		return returned(c.UpdateSegment(bg, "renamed", api.SegmentUpdate{Subnet: new(netip.Prefix{})}))
	},
	"segment": func(c *api.Client) (any, error) {
		return returned(c.Segment(bg, "lab"))
	},
	"segments": func(c *api.Client) (any, error) { return returned(c.Segments(bg)) },
	"add port": func(c *api.Client) (any, error) {
		return returned(c.AddPort(bg, api.PortSpec{
			Name: "web", Segment: "bridge", NetNS: "c1", IfName: "eth1",
			IP: api.PortIP{Addr: addrOf("172.17.0.80")}, MAC: macOf("02:00:00:00:00:80"),
			NoDefaultRoute: true, Labels: map[string]string{"tier": "front"}, Aliases: []string{"www"},
			ResolvConf: true, Security: api.SecurityMAC, AllowReserved: true, BPDUGuard: true,
			Isolated:       true,
			AllowAddresses: []netip.Prefix{prefixOf("10.8.0.0/24"), prefixOf("172.17.0.99/32")},
			AllowMACs: []api.MACMask{{
				MAC: macOf("00:00:5e:00:01:00"), Mask: api.MAC{255, 255, 255, 255, 255, 0},
			}},
			AllowProtocols: []api.LinkProtocol{"ptp", "0x88b5"},
			MACLimit:       4, FloodLimit: api.NoLimit,
			RateIn:  api.Rate{BitsPerSecond: 1e8, BurstBytes: 64 << 10},
			RateOut: api.Rate{BitsPerSecond: 1e9},
		}))
	},
	"add port of defaults": func(c *api.Client) (any, error) {
		return returned(c.AddPort(bg, api.PortSpec{Name: "db", PID: 4711}))
	},
	"add port for dhcp": func(c *api.Client) (any, error) {
		return returned(c.AddPort(bg, api.PortSpec{Name: "vm", NetNS: "c3", IP: api.PortIP{DHCP: true}}))
	},
	"add port to hand over": func(c *api.Client) (any, error) {
		return returned(c.AddPort(bg, api.PortSpec{
			ID: strings.Repeat("0a", 32), Name: "handed", Handover: true,
		}))
	},
	"add port of a taken address": func(c *api.Client) (any, error) {
		ip := api.PortIP{Addr: addrOf("172.17.0.80")}
		return returned(c.AddPort(bg, api.PortSpec{Name: "n", NetNS: "n", IP: ip}))
	},
	"update port": func(c *api.Client) (any, error) {
		return returned(c.UpdatePort(bg, "web", api.PortUpdate{
			Name: new("www1"), MAC: new(macOf("02:00:00:00:00:81")), Up: new(false),
			Labels:  map[string]*string{"x": new("y"), "tier": nil},
			Aliases: &[]string{"a", "b"}, Security: new(api.SecurityOff),
			AllowAddresses: &[]netip.Prefix{prefixOf("fd00::1/128")},
			AllowMACs:      &[]api.MACMask{{MAC: macOf("00:00:5e:00:01:33"), Mask: api.MAC{255, 255, 255, 255, 255, 255}}},
			AllowProtocols: &[]api.LinkProtocol{"llc"},
			AllowReserved:  new(false), BPDUGuard: new(false), Isolated: new(false),
			MACLimit: new(0), FloodLimit: new(5), RateIn: new(api.Rate{}),
			RateOut: &api.Rate{BitsPerSecond: 2e6},
		}))
	},
	"move port": func(c *api.Client) (any, error) {
		return returned(c.UpdatePort(bg, "handed", api.PortUpdate{NetNS: new("/run/docker/netns/1")}))
	},
	"port": func(c *api.Client) (any, error) {
		return returned(c.Port(bg, "www1"))
	},
	"ports": func(c *api.Client) (any, error) {
		return returned(c.Ports(bg, ""))
	},
	"ports of a segment": func(c *api.Client) (any, error) {
		return returned(c.Ports(bg, "bridge"))
	},
	"inspect": func(c *api.Client) (any, error) {
		return returned(c.Inspect(bg, "bridge"))
	},
	"publish": func(c *api.Client) (any, error) {
		return returned(c.Publish(bg, "db", api.PublishSpec{
			HostIP: addrOf("127.0.0.1"), HostPorts: portsOf("8000-8010"), Ports: portsOf("80-90"),
			Protocol: api.ProtocolUDP,
		}))
	},
	"publish on a free port": func(c *api.Client) (any, error) {
		return returned(c.Publish(bg, "db", api.PublishSpec{Ports: portsOf("80")}))
	},
	"published": func(c *api.Client) (any, error) {
		return returned(c.Published(bg, ""))
	},
	"unpublish": func(c *api.Client) (any, error) {
		return returned(c.Unpublish(bg, "db", api.PublishedKey{
			HostIP: addrOf("127.0.0.1"), HostPorts: portsOf("8000-8010"), Protocol: api.ProtocolUDP,
		}))
	},
	"unpublish what is not": func(c *api.Client) (any, error) {
		return returned(c.Unpublish(bg, "db", api.PublishedKey{HostPorts: portsOf("1")}))
	},
	"add entry": func(c *api.Client) (any, error) {
		return returned(c.AddFDB(bg, "bridge", api.FDBSpec{MAC: macOf("02:00:00:00:00:aa"), Port: "db"}))
	},
	"entries": func(c *api.Client) (any, error) { return returned(c.FDB(bg, "bridge")) },
	"flush": func(c *api.Client) (any, error) {
		return returned(c.FlushFDB(bg, "bridge", api.FDBFlush{Port: "db"}))
	},
	"flush all": func(c *api.Client) (any, error) {
		return returned(c.FlushFDB(bg, "bridge", api.FDBFlush{}))
	},
	"delete entry": func(c *api.Client) (any, error) {
		return returned(c.DeleteFDB(bg, "bridge", macOf("02:00:00:00:00:aa")))
	},
	"add rule": func(c *api.Client) (any, error) {
		return returned(c.AddRule(bg, "bridge", api.RuleSpec{
			Action: api.RuleDeny, From: api.RuleEnd{Port: "db"}, To: api.RuleEnd{Label: "tier=front"},
			Protocol: api.ProtocolTCP, Ports: portsOf("80-90"), Position: 1,
		}))
	},
	"add rule of defaults": func(c *api.Client) (any, error) {
		return returned(c.AddRule(bg, "bridge", api.RuleSpec{Action: api.RuleAllow}))
	},
	"rules": func(c *api.Client) (any, error) { return returned(c.Rules(bg, "")) },
	"delete rule": func(c *api.Client) (any, error) {
		return returned(c.DeleteRule(bg, "bridge", "19581e27de7c"))
	},
	"bindings": func(c *api.Client) (any, error) { return returned(c.ARP(bg, "bridge")) },
	"pools":    func(c *api.Client) (any, error) { return returned(c.Pools(bg)) },
	"reclaim pool": func(c *api.Client) (any, error) {
		return returned(c.ReclaimPool(bg, "d4735e3a265e"))
	},
	"delete port": func(c *api.Client) (any, error) {
		return returned(c.DeletePort(bg, "vm"))
	},
	"delete segment": func(c *api.Client) (any, error) {
		return returned(c.DeleteSegment(bg, "lab", true))
	},
	"delete the default segment": func(c *api.Client) (any, error) {
		return returned(c.DeleteSegment(bg, "bridge", false))
	},
}

func addPlain(c *api.Client) (any, error) {
	return returned(c.AddSegment(bg, api.SegmentSpec{Name: "plain"}))
}
