package view

import (
	"net/netip"
	"reflect"
	"testing"

	"vswitch/internal/control/model"
	"vswitch/internal/host"
)

// What the host's kernel is to do follows from the segments with a host link, and from what
// their ports publish.
func TestFirewallOfASnapshot(t *testing.T) {
	t.Parallel()
	record := model.Publication{Protocol: "udp", HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 53, Port: 54, Count: 2}
	segment := host.Segment{
		Link: "vs-11111111111", Subnet: netip.MustParsePrefix("172.17.0.0/16"),
		Gateway: netip.MustParseAddr("172.17.0.1"), Masquerade: true,
	}
	forward := host.Forward{
		Protocol: host.UDP, HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 53, Count: 2, To: addr, ToPort: 54,
		Link: "vs-11111111111",
	}
	for name, test := range map[string]struct {
		edit func(*Port)
		want Firewall
	}{
		"nothing published": {
			func(p *Port) { p.Published = nil },
			Firewall{Config: host.Config{Segments: []host.Segment{segment}}, Made: []uint64{0}},
		},
		"published": {
			func(*Port) {},
			Firewall{
				Config: host.Config{Segments: []host.Segment{segment}, Forwards: []host.Forward{forward}}, Made: []uint64{0},
			},
		},
		"published, and the port is lost": {
			func(p *Port) { p.Lost = true },
			Firewall{
				Config: host.Config{Segments: []host.Segment{segment}, Forwards: []host.Forward{forward}}, Made: []uint64{0},
			},
		},
		"the host's port is another program's": {
			func(p *Port) { p.Published[0].Problem = "in use" },
			Firewall{Config: host.Config{Segments: []host.Segment{segment}}, Made: []uint64{0}},
		},
		"made again": {
			func(p *Port) { p.Published, p.Segment.HostLink.Made = nil, 7 },
			Firewall{Config: host.Config{Segments: []host.Segment{segment}}, Made: []uint64{7}},
		},
		"no host link": {func(p *Port) { p.Segment.HostLink = nil }, Firewall{}},
	} {
		p := aPort(func(p *Port, _ *place) { p.Published = []Publication{{Record: record}} })
		now := &Snapshot{Segments: []*Segment{p.Segment}, Ports: []*Port{p}}
		before := now.Firewall()
		test.edit(p)
		got := now.Firewall()
		if !reflect.DeepEqual(*got, test.want) {
			t.Errorf("%s: it is\n%+v, want\n%+v", name, *got, test.want)
		}
		if same := reflect.DeepEqual(got, before); got.Equal(before) != same || !got.Equal(now.Firewall()) {
			t.Errorf("%s: equal to what it was before: %t, want %t", name, !same, same)
		}
	}
}
