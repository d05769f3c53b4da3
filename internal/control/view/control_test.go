package view

import (
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/internal/control/model"
	"vswitch/internal/counters"
	"vswitch/internal/frame"
	"vswitch/internal/gateway/dns"
	vswitch "vswitch/switch"
)

// place stands in for a port of the switch.
type place struct {
	slot        uint32
	trusted     bool
	errDisabled bool
	refusals    []vswitch.Refusal
}

func (p *place) Slot() uint32      { return p.slot }
func (p *place) Trusted() bool     { return p.trusted }
func (p *place) ErrDisabled() bool { return p.errDisabled }

func (p *place) Refusals() []vswitch.Refusal { return p.refusals }

var (
	own   = frame.MAC{0x02, 0x42, 172, 17, 0, 2}
	other = frame.MAC{0x02, 0, 0, 0, 0, 9}
	addr  = netip.MustParseAddr("172.17.0.2")
)

func aSegment() *Segment {
	prefix := netip.MustParsePrefix("172.17.0.0/16")
	return &Segment{
		Record: model.Segment{
			ID: strings.Repeat("1", 64), Name: "bridge", MTU: 1500,
			Subnets: []model.SegmentSubnet{{Subnet: model.Subnet{
				Prefix: prefix, Gateway: netip.MustParseAddr("172.17.0.1"), Range: prefix,
			}}},
		},
		HostLink: &HostLink{Name: "vs-11111111111", Counts: block()},
	}
}

// block is a block of counters of one worker, at zero.
func block() *counters.Block {
	return &counters.Block{Words: make([]atomic.Uint64, vswitch.CounterWords)}
}

// aPort is a port that is up, on a segment of its own.
func aPort(edit func(*Port, *place)) *Port {
	at := &place{slot: 7}
	p := &Port{
		Record: model.Port{
			ID: strings.Repeat("2", 64), Name: "web", SegmentID: strings.Repeat("1", 64), MAC: own,
			Addrs: []netip.Addr{addr}, NetNS: "c1", IfName: "eth0",
		},
		Segment: aSegment(), Place: at, Counts: block(),
		Link: Link{MAC: own, Addrs: []netip.Addr{addr}},
	}
	p.Segment.Ports = []*Port{p}
	edit(p, at)
	return p
}

// What was asked for and what is decide together what a port is to others.
func TestWhatAPortIs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		edit   func(*Port, *place)
		state  api.PortState
		reason string
		mac    frame.MAC
		answer bool // the segment answers for it
	}{
		{"up", func(*Port, *place) {}, api.PortUp, "", own, true},
		{"lost", func(p *Port, _ *place) {
			p.Lost, p.Record.LostReason = true, "its network namespace was deleted"
		}, api.PortLost, "namespace was deleted", own, false},
		{"set down", func(p *Port, _ *place) { p.Record.Down = true }, api.PortDown, "set-port", own, false},
		{"down in its namespace", func(p *Port, _ *place) { p.Link.Down = true }, api.PortDown, "set down in its", own, false},
		{"not moved yet", func(p *Port, _ *place) {
			p.Record.Handover, p.Record.IfName, p.Link.Down = true, "vst-22222222", true
		}, api.PortDown, "waits to be moved", own, false},
		{"in a loop", func(_ *Port, at *place) { at.errDisabled = true }, api.PortDown, "err-disabled", own, false},
		{"with another MAC", func(p *Port, _ *place) { p.Link.MAC = other }, api.PortUp, "was changed to " + other.String(), own, false},
		{"with another MAC and no security", func(p *Port, at *place) { p.Link.MAC, at.trusted = other, true }, api.PortUp, "", other, true},
		{"without its address", func(p *Port, _ *place) { p.Link.Addrs = nil }, api.PortUp, "", own, false},
		{"not looked at yet", func(p *Port, _ *place) { p.Link = Link{} }, api.PortUp, "", own, false},
		{"lost, without security", func(p *Port, at *place) { p.Lost, p.Link.MAC, at.trusted = true, other, true }, api.PortLost, "", own, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := aPort(test.edit)
			v := p.View()
			if v.State != test.state || !strings.Contains(v.Reason, test.reason) || (v.Reason == "") != (test.reason == "") {
				t.Errorf("it is %s, %q; want %s, %q", v.State, v.Reason, test.state, test.reason)
			}
			if p.MAC() != test.mac || v.MAC != test.mac {
				t.Errorf("its MAC is %s, shown as %s, want %s", p.MAC(), v.MAC, test.mac)
			}
			want := arp.Binding{IP: addr, MAC: p.Link.MAC, Kind: arp.Port, Port: "web", Slot: 7}
			if b, answer := p.Binding(); answer != test.answer || answer && b != want {
				t.Errorf("the segment answers %+v: %v, want %+v: %v", b, answer, want, test.answer)
			}
		})
	}
}

func TestWhyAPublishedPortIsNotReached(t *testing.T) {
	t.Parallel()
	record := model.Publication{Protocol: "tcp", HostPort: 8080, Port: 80, Count: 2}
	for want, edit := range map[string]func(*Port, *Publication) (beyond string){
		"":                         func(*Port, *Publication) string { return "" },
		"in use":                   func(_ *Port, q *Publication) string { q.Problem = "in use"; return "no way" },
		"has no link to the host":  func(p *Port, _ *Publication) string { p.Segment.HostLink = nil; return "" },
		"link to the host: gone":   func(p *Port, _ *Publication) string { p.Segment.HostLink.Problem = "gone"; return "" },
		"no way":                   func(*Port, *Publication) string { return "no way" },
		"the port is lost: unplug": func(p *Port, _ *Publication) string { p.Lost, p.Record.LostReason = true, "unplug"; return "" },
	} {
		p, q := aPort(func(*Port, *place) {}), Publication{Record: record}
		beyond := edit(p, &q)
		v := p.PublishedView(q, beyond)
		if !strings.HasSuffix(v.Reason, want) || (want == "") != (v.Reason == "") {
			t.Errorf("the reason is %q, want %q", v.Reason, want)
		}
		if got := v.String(); got != "0.0.0.0:8080-8081:80-81/tcp" {
			t.Errorf("it is shown as %s", got)
		}
	}
}

func TestServicesOfASegment(t *testing.T) {
	t.Parallel()
	p := aPort(func(p *Port, _ *place) { p.Record.DHCP, p.Record.Aliases = true, []string{"www"} })
	want := []dns.Station{{Addrs: []netip.Addr{addr}, Name: "web", Aliases: []string{"www"}}}
	if got := p.Segment.Stations(); !reflect.DeepEqual(got, want) {
		t.Errorf("the names are %+v, want %+v", got, want)
	}
	lease, leased := p.Segment.Leases()[own]
	if !leased || lease.Addr != netip.MustParsePrefix("172.17.0.2/16") || lease.Router != p.Segment.Record.IPv4().Gateway {
		t.Errorf("leased: %v, %+v", leased, lease)
	}
	p.Record.NoDefaultRoute = true
	if lease := p.Lease(); lease.Router.IsValid() {
		t.Errorf("a port without default route is told the router %s", lease.Router)
	}
	p.Lost = true
	if stations, leases := p.Segment.Stations(), p.Segment.Leases(); len(stations)+len(leases) > 0 {
		t.Errorf("for a lost port there are %v and %v", stations, leases)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	var now Snapshot
	for _, s := range []struct{ id, name string }{{"aaaa", "one"}, {"aabb", "two"}, {"bbbb", "aaa"}} {
		segment := aSegment()
		segment.Record.ID, segment.Record.Name = s.id+strings.Repeat("0", 60), s.name
		now.Segments = append(now.Segments, segment)
	}
	for ref, want := range map[string]string{
		"one": "one", "aab": "two", "aaa": "aaa", "aaaa": "one", "aabb" + strings.Repeat("0", 60): "two", "b": "aaa",
	} {
		if s, err := now.Segment(ref); err != nil || s.Record.Name != want {
			t.Errorf("%q: got %v, %v; want %s", ref, s, err, want)
		}
	}
	if _, err := now.Segment("aa"); api.KindOf(err) != api.Conflict {
		t.Errorf("a prefix of two ids: got %v, want a conflict", err)
	}
	for _, ref := range []string{"", "x", "aaaaa"} {
		if _, err := now.Segment(ref); api.KindOf(err) != api.NotFound {
			t.Errorf("%q: got %v, want that it is not found", ref, err)
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	p := aPort(func(p *Port, _ *place) {
		p.Counts.Words[0].Store(5) // frames read
		p.Published = []Publication{{Record: model.Publication{Protocol: "udp", HostPort: 53, Port: 53}}}
	})
	p.Segment.HostLink.Counts.Words[0].Store(12)
	p.Segment.Record.Rules = []model.Rule{
		{ID: strings.Repeat("4", 64), To: model.RuleEnd{PortID: p.Record.ID}},
		{ID: strings.Repeat("5", 64), Deny: true, From: model.RuleEnd{LabelKey: "a", LabelValue: "b"}},
	}
	now := &Snapshot{
		Segments: []*Segment{p.Segment}, Ports: []*Port{p}, Way: Way{Problem: "no nftables"},
		Pools: []*Pool{{Record: model.Pool{ID: strings.Repeat("3", 64)}, Segment: p.Segment}},
	}
	r := Reader{Current: func() *Snapshot { return now }}
	segments, err := r.Segments(t.Context())
	if err != nil || len(segments) != 1 || segments[0].Ports != 1 || segments[0].HostLink.Counters.RxFrames != 12 ||
		segments[0].HostLink.Reason != "no nftables" {
		t.Errorf("segments: %+v, %v", segments, err)
	}
	for _, ref := range []string{"", "bridge"} {
		ports, err := r.Ports(t.Context(), ref)
		if err != nil || len(ports) != 1 || ports[0].Counters.RxFrames != 5 {
			t.Errorf("ports of %q: %+v, %v", ref, ports, err)
		}
		if list, err := r.Published(t.Context(), ref); err != nil || len(list) != 1 || list[0].Reason != "no nftables" {
			t.Errorf("published of %q: %+v, %v", ref, list, err)
		}
	}
	if rules, err := r.Rules(t.Context(), ""); err != nil || len(rules) != 2 || rules[0].To.Port != "web" ||
		rules[1].From.Label != "a=b" || rules[1].Position != 2 || rules[1].Action != api.RuleDeny {
		t.Errorf("rules: %+v, %v", rules, err)
	}
	if _, err := r.Ports(t.Context(), "nowhere"); api.KindOf(err) != api.NotFound {
		t.Errorf("ports of no segment: %v", err)
	}
	if pools, err := r.Pools(t.Context()); err != nil || len(pools) != 1 || pools[0].Segment != "bridge" {
		t.Errorf("pools: %+v, %v", pools, err)
	}
}

func TestUplinkOfARecord(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		record model.Segment
		want   api.Uplink
	}{
		{model.Segment{Uplink: "host"}, "host"},
		{model.Segment{Uplink: "none"}, "none"},
		{model.Segment{Uplink: "none", Internal: true}, "none"},
		{model.Segment{}, "host"}, // of a version without uplinks
		{model.Segment{Internal: true}, "none"},
		{model.Segment{Uplink: "vxlan"}, "none"}, // of a version to come
	} {
		if got := UplinkOf(test.record); got != test.want {
			t.Errorf("uplink %q, internal %t: %s, want %s", test.record.Uplink, test.record.Internal, got, test.want)
		}
	}
}
