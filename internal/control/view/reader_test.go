package view

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/internal/control/model"
	"vswitch/internal/counters"
	"vswitch/internal/frame"
	"vswitch/internal/host"
	vswitch "vswitch/switch"
	"vswitch/switch/drop"
	"vswitch/switch/switchtest"
)

// readerOf returns a reader of a snapshot with the segment of p, and p and its like on it.
func readerOf(p *Port) Reader {
	p.Segment.Bindings = new(arp.Table)
	now := &Snapshot{Segments: []*Segment{p.Segment}, Ports: p.Segment.Ports}
	return Reader{Current: func() *Snapshot { return now }}
}

func TestReaderFindsByReference(t *testing.T) {
	t.Parallel()
	p := aPort(func(*Port, *place) {})
	r := readerOf(p)
	for _, ref := range []string{"", "bridge", p.Segment.Record.ID, "11"} {
		if s, err := r.Segment(t.Context(), ref); err != nil || s.Name != "bridge" || s.Ports != 1 {
			t.Errorf("segment %q: %+v, %v", ref, s, err)
		}
	}
	for _, ref := range []string{"web", p.Record.ID, "2"} {
		if got, err := r.Port(t.Context(), ref); err != nil || got.Name != "web" {
			t.Errorf("port %q: %+v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"", "nobody", "1", "we", strings.Repeat("2", 65)} {
		if _, err := r.Port(t.Context(), ref); api.KindOf(err) != api.NotFound || !strings.Contains(err.Error(), "list-ports") {
			t.Errorf("port %q: %v, want that it is not found", ref, err)
		}
	}
	for name, read := range map[string]func(segment string) error{
		"segment":   func(s string) error { _, err := r.Segment(t.Context(), s); return err },
		"ports":     func(s string) error { _, err := r.Ports(t.Context(), s); return err },
		"published": func(s string) error { _, err := r.Published(t.Context(), s); return err },
		"rules":     func(s string) error { _, err := r.Rules(t.Context(), s); return err },
		"entries":   func(s string) error { _, err := r.FDB(t.Context(), s); return err },
		"ARP":       func(s string) error { _, err := r.ARP(t.Context(), s); return err },
	} {
		if err := read("nowhere"); api.KindOf(err) != api.NotFound || !strings.Contains(err.Error(), `"nowhere"`) {
			t.Errorf("%s of no segment: %v", name, err)
		}
	}
}

// TestEmptyListsAreLists, which JSON shows as [].
func TestEmptyListsAreLists(t *testing.T) {
	t.Parallel()
	r := Reader{Current: func() *Snapshot { return new(Snapshot) }, Switch: func() *vswitch.Switch { return nil }}
	for name, read := range map[string]func() (any, error){
		"segments":  func() (any, error) { return r.Segments(t.Context()) },
		"ports":     func() (any, error) { return r.Ports(t.Context(), "") },
		"published": func() (any, error) { return r.Published(t.Context(), "") },
		"rules":     func() (any, error) { return r.Rules(t.Context(), "") },
		"pools":     func() (any, error) { return r.Pools(t.Context()) },
		"entries":   func() (any, error) { return r.FDB(t.Context(), "") },
		"ARP":       func() (any, error) { return r.ARP(t.Context(), "") },
	} {
		list, err := read()
		if v := reflect.ValueOf(list); err != nil || v.IsNil() || v.Len() != 0 {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
}

func TestARPOfASegment(t *testing.T) {
	t.Parallel()
	p := aPort(func(*Port, *place) {})
	r := readerOf(p)
	gateway := arp.Binding{IP: p.Segment.Record.IPv4().Gateway, MAC: other, Kind: arp.Gateway, Port: GatewayName, Slot: 1}
	b, _ := p.Binding()
	if err := errors.Join(p.Segment.Bindings.Bind(gateway), p.Segment.Bindings.Bind(b)); err != nil {
		t.Fatal(err)
	}
	want := []api.Binding{
		{Segment: "bridge", IP: gateway.IP, MAC: other, Port: "gateway", Kind: "gateway"},
		{Segment: "bridge", IP: addr, MAC: own, Port: "web", Kind: "port"},
	}
	for _, ref := range []string{"", "bridge"} {
		if got, err := r.ARP(t.Context(), ref); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("of %q: %+v, %v; want %+v", ref, got, err, want)
		}
	}
}

// TestEntriesHaveTheNamesOfToday: the switch has that from when a port was added.
func TestEntriesHaveTheNamesOfToday(t *testing.T) {
	t.Parallel()
	sw, err := vswitch.New(vswitch.Options{
		NewPoller: switchtest.NewPoller, Workers: 1, Capacity: 64,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sw.Close)
	p := aPort(func(*Port, *place) {})
	if p.Segment.Place, err = sw.AddSegment(vswitch.SegmentConfig{MTU: 1500}); err != nil {
		t.Fatal(err)
	}
	at, err := sw.AddPort(p.Segment.Place, nil, vswitch.PortConfig{Name: "name of old", Policy: Policy(p.Record)})
	if err != nil {
		t.Fatal(err)
	}
	p.Place = at
	if err := sw.AddEntry(at, other); err != nil {
		t.Fatal(err)
	}
	r := readerOf(p)
	r.Switch = func() *vswitch.Switch { return sw }
	got, err := r.FDB(t.Context(), "bridge")
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[frame.MAC]api.FDBEntryKind)
	for _, e := range got {
		if kinds[e.MAC] = e.Kind; e.Port != "web" || e.Segment != "bridge" {
			t.Errorf("it is %+v", e)
		}
	}
	if want := map[frame.MAC]api.FDBEntryKind{own: api.Own, other: api.Static}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("the entries are %v, want %v", kinds, want)
	}
	if e := p.Segment.Entry(sw, other); e.Kind != api.Static {
		t.Errorf("of its MAC it is %+v", e)
	}
	if e := p.Segment.Entry(sw, frame.Broadcast); e != (api.FDBEntry{}) {
		t.Errorf("of another MAC it is %+v", e)
	}
}

func TestViewOfASegment(t *testing.T) {
	t.Parallel()
	s := aSegment()
	for want, edit := range map[string]func() (beyond string){
		"":         func() string { return "" },
		"no way":   func() string { return "no way" },
		"it is up": func() string { s.HostLink.Problem = "it is up"; return "no way" },
	} {
		s.HostLink.Problem = ""
		v := s.View(edit())
		if v.HostLink.Reason != want || (v.HostLink.State == api.PortDown) != (s.HostLink.Problem != "") {
			t.Errorf("its host link is %s: %q, want %q", v.HostLink.State, v.HostLink.Reason, want)
		}
		if v.IPRange != "" || v.Gateway != "172.17.0.1" {
			t.Errorf("it is %+v", v)
		}
	}
	s.Record.Subnets[0].Range, s.HostLink = netip.MustParsePrefix("172.17.8.0/24"), nil
	if v := s.View("no way"); v.IPRange != "172.17.8.0/24" || v.HostLink.Name != "" || v.HostLink.Reason != "" {
		t.Errorf("without a host link it is %+v", v)
	}
}

func TestViewOfRules(t *testing.T) {
	t.Parallel()
	s := aSegment()
	hits := block()
	s.Hits = map[string]*counters.Block{"b": hits}
	hits.Words[0].Store(3)
	s.Record.Rules = []model.Rule{
		{ID: "a", From: model.RuleEnd{PortID: "gone"}},
		{ID: "b", Deny: true, Protocol: "tcp", FirstPort: 80, LastPort: 90, To: model.RuleEnd{LabelKey: "k"}},
	}
	if r := s.RuleView(0); r.From.Port != "gone" || r.Action != api.RuleAllow || r.Protocol != api.ProtocolAny || r.Ports != "" || r.Hits != 0 {
		t.Errorf("of a port that has gone, it is %+v", r)
	}
	if r := s.RuleView(1); r.To.Label != "k=" || r.Action != api.RuleDeny || r.Protocol != api.ProtocolTCP ||
		r.Ports != "80-90" || r.Position != 2 || r.Hits != 3 {
		t.Errorf("it is %+v", r)
	}
}

// TestDropsAreShownByTheirReasons, and only those that there were.
func TestDropsAreShownByTheirReasons(t *testing.T) {
	t.Parallel()
	p := aPort(func(*Port, *place) {})
	for i, name := range vswitch.CounterNames() {
		if strings.Contains(name, drop.Reason(1).String()) {
			p.Counts.Words[i].Store(4)
		}
	}
	want := map[string]uint64{drop.Reason(1).String(): 4}
	if got := p.View().Counters.Drops; !reflect.DeepEqual(got, want) {
		t.Errorf("the drops are %v, want %v", got, want)
	}
}

func TestNamespaceOfARecord(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		record model.Port
		want   string
	}{
		{model.Port{NetNS: "c1"}, "c1"},
		{model.Port{NetNS: "/run/netns/c1"}, "/run/netns/c1"},
		{model.Port{PID: 4711}, "4711"},
		{model.Port{Handover: true}, ""},
		{model.Port{Handover: true, NetNS: "c1"}, "c1"},
	} {
		if got := Namespace(test.record); !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
			t.Errorf("%+v: %q, want %q", test.record, got, test.want)
		}
	}
}

func TestForwardOfAPublication(t *testing.T) {
	t.Parallel()
	p := aPort(func(*Port, *place) {})
	local := netip.MustParseAddr("127.0.0.1")
	record := model.Publication{Protocol: "udp", HostIP: local, HostPort: 5353, Port: 53, Count: 3}
	want := host.Forward{
		Protocol: "udp", HostIP: local, HostPort: 5353, Count: 3, ToPort: 53, To: addr, Link: "vs-11111111111",
	}
	if got := Forward(record, p); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if v := p.PublishedView(Publication{Record: record}, ""); v.HostIP != local || v.HostPorts.Last != 5355 || v.Ports.Last != 55 {
		t.Errorf("it is shown as %+v", v)
	}
	want.Link, p.Segment.HostLink = "", nil
	if got := Forward(record, p); got != want {
		t.Errorf("without a host link: got %+v, want %+v", got, want)
	}
	want.To = netip.Addr{}
	if got := Forward(record, nil); got != want {
		t.Errorf("of no port: got %+v, want %+v", got, want)
	}
}

func TestWayBeyondTheHost(t *testing.T) {
	t.Parallel()
	foreign := func(n int) func() []host.Foreign { return func() []host.Foreign { return make([]host.Foreign, n) } }
	for _, test := range []struct {
		way  Way
		want string
	}{
		{Way{}, ""},
		{Way{Foreign: foreign(0)}, ""},
		{Way{Foreign: foreign(2)}, "another firewall may keep containers from the outside"},
		{Way{Problem: "no nftables", Foreign: foreign(2)}, "no nftables"},
	} {
		if got := test.way.Beyond(); !strings.HasPrefix(got, test.want) || (test.want == "") != (got == "") {
			t.Errorf("%+v: %q, want %q", test.way, got, test.want)
		}
	}
}

func TestFindPools(t *testing.T) {
	t.Parallel()
	pools := []*Pool{
		{Record: model.Pool{ID: "aa", Subnet: model.Subnet{Prefix: netip.MustParsePrefix("10.1.0.0/16")}}},
		{Record: model.Pool{ID: "ab", Subnet: model.Subnet{Prefix: netip.MustParsePrefix("10.2.0.0/16")}}},
	}
	for ref, want := range map[string]int{"aa": 0, "10.2.0.0/16": 1, "ab": 1} {
		if p, err := Find(pools, ref, "pool", "list-pools"); err != nil || p != pools[want] {
			t.Errorf("%q: %+v, %v", ref, p, err)
		}
	}
	if _, err := Find(pools, "a", "pool", "list-pools"); api.KindOf(err) != api.Conflict {
		t.Errorf("the beginning of two: %v", err)
	}
	if v := pools[0].View(); v.Segment != "" || v.Leases != 0 {
		t.Errorf("it is %+v", v)
	}
}
