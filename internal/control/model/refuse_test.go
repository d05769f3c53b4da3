package model_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"vswitch/internal/control/model"
	"vswitch/internal/control/model/modeltest"
	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
)

// refusal is a change that does not go with the sample, and what its error says.
type refusal struct {
	change model.Change
	want   string
}

// refused are records that do not go with the sample.
func refused() map[string]refusal {
	cases := make(map[string]refusal)
	segment := func(name, want string, edit func(*model.Segment)) {
		s := modeltest.Segment(3)
		edit(&s)
		cases["segment "+name] = refusal{model.PutSegment(s), want}
	}
	port := func(name, want string, edit func(*model.Port)) {
		p := modeltest.Port(3, 1)
		edit(&p)
		cases["port "+name] = refusal{model.PutPort(p), want}
	}
	entry := func(name, want string, e model.Entry) {
		cases["entry "+name] = refusal{model.PutEntry(e), want}
	}
	long := strings.Repeat("a", 64)
	segment("no id", "64 hex digits", func(s *model.Segment) { s.ID = "" })
	segment("upper case id", "64 hex digits", func(s *model.Segment) { s.ID = strings.ToUpper(strings.Repeat("ab", 32)) })
	segment("no name", "letters, digits", func(s *model.Segment) { s.Name = "" })
	segment("long name", "letters, digits", func(s *model.Segment) { s.Name = long })
	segment("odd name", "letters, digits", func(s *model.Segment) { s.Name = "-x" })
	segment("name with line", "letters, digits", func(s *model.Segment) { s.Name = "x\ny" })
	segment("same name", "that of segment "+modeltest.ID(1), func(s *model.Segment) { s.Name = "segment-1" })
	segment("no subnet", "without host bits", func(s *model.Segment) { s.Subnets[0].Prefix = netip.Prefix{} })
	segment("host bits", "without host bits", func(s *model.Segment) { s.Subnets[0].Prefix = netip.MustParsePrefix("10.3.0.1/16") })
	segment("two subnets of a family", "of one family", func(s *model.Segment) {
		s.Subnets = append(s.Subnets, modeltest.Segment(4).Subnets...)
	})
	segment("subnets none", "no subnet", func(s *model.Segment) { s.Subnets = nil })
	segment("no gateway", "outside subnet", func(s *model.Segment) { s.Subnets[0].Gateway = netip.Addr{} })
	segment("gateway outside", "outside subnet", func(s *model.Segment) { s.Subnets[0].Gateway = netip.MustParseAddr("10.4.0.1") })
	segment("no range", "range", func(s *model.Segment) { s.Subnets[0].Range = netip.Prefix{} })
	segment("range outside", "range", func(s *model.Segment) { s.Subnets[0].Range = netip.MustParsePrefix("10.4.0.0/24") })
	segment("range wider", "range", func(s *model.Segment) { s.Subnets[0].Range = netip.MustParsePrefix("10.0.0.0/8") })
	segment("range host bits", "range", func(s *model.Segment) { s.Subnets[0].Range = netip.MustParsePrefix("10.3.0.1/24") })
	segment("mtu small", "mtu", func(s *model.Segment) { s.MTU = 67 })
	segment("mtu large", "mtu", func(s *model.Segment) { s.MTU = 65536 })
	segment("uplink", "uplink", func(s *model.Segment) { s.Uplink = "a\nb" })
	segment("long uplink", "uplink", func(s *model.Segment) { s.Uplink = long })
	segment("no pool", "pool \"none\"", func(s *model.Segment) { s.Subnets[0].PoolID = "none" })
	segment("pool of another subnet", "does not exist", func(s *model.Segment) { s.Subnets[0].PoolID = modeltest.Pool(2).ID })
	segment("label", "label", func(s *model.Segment) { s.Labels = map[string]string{"a": "\xff"} })
	segment("label key", "label", func(s *model.Segment) { s.Labels = map[string]string{"": "a"} })
	segment("moved under its port", "no room for port \"port-1\"", func(s *model.Segment) { *s = modeltest.Segment(3); s.ID = modeltest.ID(1) })
	segment("gateway at its port", "no room for port \"port-1\"", func(s *model.Segment) {
		*s = modeltest.Segment(1)
		s.Subnets[0].Gateway = modeltest.Port(1, 1).Addrs[0]
	})

	rule := func(name, want string, change func(*model.Rule)) {
		r := model.Rule{ID: modeltest.ID(70)}
		change(&r)
		segment("rule "+name, want, func(s *model.Segment) { s.Rules = []model.Rule{{ID: modeltest.ID(71)}, r} })
	}
	rule("no id", "rule 2: id", func(r *model.Rule) { r.ID = "" })
	rule("same id", "another rule", func(r *model.Rule) { r.ID = modeltest.ID(71) })
	rule("protocol", "protocol", func(r *model.Rule) { r.Protocol = "\x00" })
	rule("ports", "higher one first", func(r *model.Rule) { r.FirstPort = 1 })
	rule("port id", "port id", func(r *model.Rule) { r.From.PortID = "web" })
	rule("port and label", "both given", func(r *model.Rule) { r.To = model.RuleEnd{PortID: modeltest.ID(1), LabelKey: "a"} })
	rule("label without key", "label", func(r *model.Rule) { r.To.LabelValue = "a" })
	rule("label", "label", func(r *model.Rule) { r.From.LabelKey = "a\n" })
	segment("rules", "more than 1024", func(s *model.Segment) { s.Rules = make([]model.Rule, 1025) })

	port("no id", "64 hex digits", func(p *model.Port) { p.ID = modeltest.ID(1)[1:] })
	port("no name", "letters, digits", func(p *model.Port) { p.Name = "" })
	port("same name", "that of port "+modeltest.ID(1001), func(p *model.Port) { p.Name = "port-1" })
	port("bad segment", "segment id", func(p *model.Port) { p.SegmentID = "bridge" })
	port("no segment", "does not exist", func(p *model.Port) { p.SegmentID = modeltest.ID(9) })
	port("no mac", "unicast", func(p *model.Port) { p.MAC = frame.MAC{} })
	port("group mac", "unicast", func(p *model.Port) { p.MAC[0] |= 1 })
	port("same mac", "that of port \"port-1\"", func(p *model.Port) { p.MAC = modeltest.Port(1, 1).MAC })
	port("no address", "address", func(p *model.Port) { p.Addrs = []netip.Addr{{}} })
	port("zone", "address", func(p *model.Port) { p.Addrs = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} })
	port("address outside", "outside the subnets", func(p *model.Port) { p.Addrs = []netip.Addr{netip.MustParseAddr("10.2.0.9")} })
	port("addresses none", "no address", func(p *model.Port) { p.Addrs = nil })
	port("second address of a subnet", "second of subnet", func(p *model.Port) {
		p.Addrs = append(p.Addrs, p.Addrs[0].Next())
	})
	port("address twice", "second of subnet", func(p *model.Port) { p.Addrs = append(p.Addrs, p.Addrs[0]) })
	port("mapped address", "address", func(p *model.Port) {
		p.Addrs = []netip.Addr{netip.AddrFrom16(p.Addrs[0].As16())}
	})
	port("gateway's address", "gateway's", func(p *model.Port) { p.Addrs = []netip.Addr{modeltest.Segment(1).Subnets[0].Gateway} })
	port("same address", "that of port \"port-1\"", func(p *model.Port) { p.Addrs = []netip.Addr{modeltest.Port(1, 1).Addrs[0]} })
	port("netns", "netns", func(p *model.Port) { p.NetNS = "a\x00b" })
	port("netns not UTF-8", "netns", func(p *model.Port) { p.NetNS = "/run/\xff" })
	port("namespace", "namespace", func(p *model.Port) { p.Namespace = "\t" })
	port("pid and netns", "pid", func(p *model.Port) { p.PID = 7 })
	port("negative pid", "pid", func(p *model.Port) { p.NetNS, p.PID = "", -1 })
	port("ifname", "ifname", func(p *model.Port) { p.IfName = "../eth0" })
	port("long ifname", "ifname", func(p *model.Port) { p.IfName = "abcdefghijklmnop" })
	port("security", "security", func(p *model.Port) { p.Security = "\x1b[31m" })
	published := func(what string, q model.Publication) {
		name := fmt.Sprintf("publication %+v", q)
		port(name, what, func(p *model.Port) { p.Published = []model.Publication{{Protocol: "tcp", HostPort: 9, Port: 9}, q} })
	}
	published("protocol", model.Publication{HostPort: 1, Port: 1})
	published("protocol", model.Publication{Protocol: "\x1b", HostPort: 1, Port: 1})
	published("protocol", model.Publication{Protocol: long, HostPort: 1, Port: 1})
	published("host address", model.Publication{Protocol: "tcp", HostIP: netip.MustParseAddr("fe80::1%eth0"), HostPort: 1, Port: 1})
	published("ports from 0", model.Publication{Protocol: "tcp", Port: 1})
	published("not within", model.Publication{Protocol: "tcp", HostPort: 1})
	published("not within", model.Publication{Protocol: "tcp", HostPort: 65535, Port: 1, Count: 2})
	published("not within", model.Publication{Protocol: "tcp", HostPort: 1, Port: 1, Count: -1})
	published("not within", model.Publication{Protocol: "tcp", HostPort: 1, Port: 1, Count: 1 << 62})
	published("not within", model.Publication{Protocol: "tcp", HostPort: 1, Port: 65000, Count: 537})
	port("publications", "more than 4096", func(p *model.Port) { p.Published = make([]model.Publication, 4097) })
	port("alias", "alias", func(p *model.Port) { p.Aliases = []string{"ok", "-"} })
	port("aliases", "aliases", func(p *model.Port) { p.Aliases = make([]string, 65) })
	port("allowed address", "allowed address", func(p *model.Port) { p.AllowAddresses = make([]netip.Prefix, 1) })
	port("allowed mac of a group", "allowed mac", func(p *model.Port) { p.AllowMACs = []frame.MACMask{frame.SingleMAC(frame.Broadcast)} })
	port("allowed mac beyond its mask", "outside its mask", func(p *model.Port) {
		p.AllowMACs = []frame.MACMask{{MAC: modeltest.MAC(1), Mask: frame.MAC{255, 255, 255}}}
	})
	port("allowed protocol", "allowed protocol", func(p *model.Port) { p.AllowProtocols = []ethertype.Protocol{"foo"} })
	port("allowed protocol of another form", "allowed protocol", func(p *model.Port) { p.AllowProtocols = []ethertype.Protocol{"PTP"} })
	port("moved away from its entry", "static entries", func(p *model.Port) {
		*p = modeltest.Port(1, 2)
		p.MAC, p.Addrs = modeltest.MAC(99), []netip.Addr{netip.MustParseAddr("10.2.9.9")}
	})

	entry("bad segment", "segment id", model.Entry{SegmentID: "x", MAC: modeltest.MAC(1), PortID: modeltest.ID(1001)})
	entry("bad mac", "unicast", model.Entry{SegmentID: modeltest.ID(1), MAC: frame.Broadcast, PortID: modeltest.ID(1001)})
	entry("bad port", "port id", model.Entry{SegmentID: modeltest.ID(1), MAC: modeltest.MAC(1), PortID: "web"})
	entry("no segment", "does not exist", modeltest.Entry(1, 1, 9))
	entry("no port", "does not exist", modeltest.Entry(1, 9, 1))
	entry("port elsewhere", "is not on segment \"segment-2\"", modeltest.Entry(1, 1, 2))
	return cases
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	before := newState(t, modeltest.Sample())
	for name, test := range refused() {
		if _, _, err := before.With(test.change); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, test.want)
		}
	}
	wantRecords(t, before, modeltest.Sample())
}

func TestASegmentWithPortsIsNotDeleted(t *testing.T) {
	t.Parallel()
	_, _, err := newState(t, modeltest.Sample()).With(model.DeleteSegment(modeltest.ID(1)))
	for _, want := range []string{"segment-1", "port-1", "delete its ports first"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}
