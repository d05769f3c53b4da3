package model_test

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vswitch/internal/control/model"
	"vswitch/internal/control/model/modeltest"
	"vswitch/internal/frame"
	"vswitch/test/lab/seed"
)

func newState(t testing.TB, r model.Records) *model.State {
	t.Helper()
	s, err := model.New(r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantRecords wants s to hold exactly these records; no list is as good as an empty one.
func wantRecords(t testing.TB, s *model.State, want model.Records) {
	t.Helper()
	got := s.Records()
	if !sameList(got.Pools, want.Pools) || !sameList(got.Segments, want.Segments) ||
		!sameList(got.Ports, want.Ports) || !sameList(got.Entries, want.Entries) {
		t.Fatalf("the records are\n%+v, want\n%+v", got, want)
	}
}

func sameList[T any](a, b []T) bool {
	return slices.EqualFunc(a, b, func(a, b T) bool { return reflect.DeepEqual(a, b) })
}

func wantDeltas(t testing.TB, got []model.Delta, want ...model.Delta) {
	t.Helper()
	if !sameList(got, want) {
		t.Errorf("written are\n%+v, want\n%+v", got, want)
	}
}

func with(t testing.TB, s *model.State, changes ...model.Change) *model.State {
	t.Helper()
	next, _, err := s.With(changes...)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestRecordsAreFound(t *testing.T) {
	t.Parallel()
	want := modeltest.Sample()
	s := newState(t, want)
	wantRecords(t, s, want)
	port, segment := want.Ports[1], want.Segments[1]
	for name, find := range map[string]func() (model.Port, bool){
		"id":      func() (model.Port, bool) { return s.Port(port.ID) },
		"name":    func() (model.Port, bool) { return s.PortNamed(port.Name) },
		"address": func() (model.Port, bool) { return s.PortAt(port.SegmentID, port.Addrs[0]) },
		"MAC":     func() (model.Port, bool) { return s.PortOf(port.SegmentID, port.MAC) },
	} {
		if got, found := find(); !found || got.ID != port.ID {
			t.Errorf("by its %s %q is found: %v", name, got.Name, found)
		}
	}
	if got, found := s.SegmentNamed(segment.Name); !found || got.ID != segment.ID {
		t.Errorf("by its name %q is found: %v", got.Name, found)
	}
	if list := slices.Collect(s.PortIDsOf(segment.ID)); len(list) != 1 || list[0] != port.ID {
		t.Errorf("on segment 2 are %+v", list)
	}
	if list := slices.Collect(s.EntriesOf(port.ID)); len(list) != 2 {
		t.Errorf("to port 2 lead %+v", list)
	}
	if list := slices.Collect(s.SegmentsOver(want.Pools[0].ID)); len(list) != 1 || list[0].ID != segment.ID {
		t.Errorf("over the pool are %+v", list)
	}
	if got, found := s.Segment(segment.ID); !found || got.Name != segment.Name {
		t.Errorf("by its id %q is found: %v", got.Name, found)
	}
	if got, found := s.Pool(want.Pools[0].ID); !found || got.Prefix != want.Pools[0].Prefix {
		t.Errorf("by its id %s is found: %v", got.Prefix, found)
	}
	if got, found := s.Entry(segment.ID, modeltest.MAC(500)); !found || got != modeltest.Entry(500, 2, 2) {
		t.Errorf("by its MAC %+v is found: %v", got, found)
	}
	for name, n := range map[string]int{
		"pools":    len(slices.Collect(s.Pools())),
		"segments": len(slices.Collect(s.Segments())) - 1,
		"ports":    len(slices.Collect(s.Ports())) - 1,
	} {
		if n != 1 {
			t.Errorf("of the sample's %s, %d too many are found", name, n-1)
		}
	}
	for range s.Ports() { // whoever has found what he looks for stops
		break
	}
	for range s.PortIDsOf(segment.ID) {
		break
	}
	// The address and the MAC are those of one segment only.
	if _, found := s.PortAt(modeltest.ID(1), port.Addrs[0]); found {
		t.Error("a port is found at its address on another segment")
	}
}

func TestOfEachFamilyOneAddress(t *testing.T) {
	t.Parallel()
	segment, port := modeltest.Segment(1), modeltest.Port(1, 1)
	prefix := netip.MustParsePrefix("fd00:1::/64")
	segment.Subnets = append(segment.Subnets, model.SegmentSubnet{Subnet: model.Subnet{
		Prefix: prefix, Gateway: netip.MustParseAddr("fd00:1::1"), Range: prefix,
	}})
	v4, v6 := port.Addrs[0], netip.MustParseAddr("fd00:1::2")
	port.Addrs = append(port.Addrs, v6)
	s := with(t, model.Empty(), model.PutSegment(segment), model.PutPort(port))
	for _, a := range port.Addrs {
		if got, found := s.PortAt(segment.ID, a); !found || got.ID != port.ID {
			t.Errorf("at %s nobody is found", a)
		}
	}
	if port.IPv4() != v4 || segment.IPv4().Prefix != segment.Subnets[0].Prefix {
		t.Errorf("of IPv4 are %s and %s", port.IPv4(), segment.IPv4().Prefix)
	}
	twin := modeltest.Port(2, 1)
	twin.Addrs = []netip.Addr{v6}
	if _, _, err := s.With(model.PutPort(twin)); err == nil {
		t.Error("an address was given to two ports")
	}
}

// TestIPv6Alone: a record without an IPv4 address has none of that family.
func TestIPv6Alone(t *testing.T) {
	t.Parallel()
	segment, port := modeltest.Segment(1), modeltest.Port(1, 1)
	six := netip.MustParsePrefix("fd00:1::/64")
	segment.Subnets = []model.SegmentSubnet{{Subnet: model.Subnet{
		Prefix: six, Gateway: netip.MustParseAddr("fd00:1::1"), Range: six,
	}}}
	port.Addrs = []netip.Addr{netip.MustParseAddr("fd00:1::2")}
	s := with(t, model.Empty(), model.PutSegment(segment), model.PutPort(port))
	got, _ := s.Port(port.ID)
	if on, _ := s.Segment(segment.ID); on.IPv4().Prefix.IsValid() || got.IPv4().IsValid() ||
		!slices.Equal(on.Prefixes(), []netip.Prefix{six}) {
		t.Errorf("of IPv4 are %s and %s", got.IPv4(), on.IPv4().Prefix)
	}
}

// TestChangesAreNamed in errors, of whatever is in them.
func TestChangesAreNamed(t *testing.T) {
	t.Parallel()
	hostile := model.Port{ID: "x\ny", Name: strings.Repeat("n", 4096)}
	for want, change := range map[string]model.Change{
		"segment \"segment-1\", id " + modeltest.ID(1): model.PutSegment(modeltest.Segment(1)),
		"end of segment " + modeltest.ID(1):            model.DeleteSegment(modeltest.ID(1)),
		"port \"port-1\", id " + modeltest.ID(1001):    model.PutPort(modeltest.Port(1, 1)),
		"end of port " + modeltest.ID(1001):            model.DeletePort(modeltest.ID(1001)),
		"pool 10.2.0.0/16, id " + modeltest.ID(2002):   model.PutPool(modeltest.Pool(2)),
		"end of pool " + modeltest.ID(2002):            model.DeletePool(modeltest.ID(2002)),
		modeltest.MAC(5).String():                      model.DeleteEntry(modeltest.ID(1), modeltest.MAC(5)),
		"port \"nnn":                                   model.PutPort(hostile),
	} {
		got := change.String()
		if !strings.Contains(got, want) || len(got) > 512 {
			t.Errorf("it is %q, want one with %q", got, want)
		}
	}
}

func TestADeletedPortTakesItsEntriesAlong(t *testing.T) {
	t.Parallel()
	want := modeltest.Sample()
	s, deltas, err := newState(t, want).With(model.DeletePort(want.Ports[1].ID))
	if err != nil {
		t.Fatal(err)
	}
	wantDeltas(t, deltas,
		model.Delta{Kind: model.KindEntry, Key: want.Entries[1].Key()},
		model.Delta{Kind: model.KindEntry, Key: want.Entries[2].Key()},
		model.Delta{Kind: model.KindPort, Key: want.Ports[1].ID})
	want.Ports, want.Entries = want.Ports[:1], want.Entries[:1]
	wantRecords(t, s, want)
}

// oracle is a state kept in plain maps, that looks through all of them for each question.
type oracle struct {
	segments map[string]model.Segment
	ports    map[string]model.Port
	entries  map[string]model.Entry
}

func (o *oracle) putPort(p model.Port) bool {
	if _, exists := o.segments[p.SegmentID]; !exists {
		return false
	}
	for id, q := range o.ports {
		same := q.SegmentID == p.SegmentID && (q.MAC == p.MAC || q.Addrs[0] == p.Addrs[0])
		if id != p.ID && (q.Name == p.Name || same) {
			return false
		}
	}
	for _, e := range o.entries {
		if e.PortID == p.ID && e.SegmentID != p.SegmentID {
			return false
		}
	}
	o.ports[p.ID] = p
	return true
}

func (o *oracle) deletePort(id string) {
	delete(o.ports, id)
	for key, e := range o.entries {
		if e.PortID == id {
			delete(o.entries, key)
		}
	}
}

func (o *oracle) putEntry(e model.Entry) bool {
	if p, exists := o.ports[e.PortID]; !exists || p.SegmentID != e.SegmentID {
		return false
	}
	o.entries[e.Key()] = e
	return true
}

func (o *oracle) deleteSegment(id string) bool {
	for _, p := range o.ports {
		if p.SegmentID == id {
			return false
		}
	}
	delete(o.segments, id)
	return true
}

// step makes a change at random. It returns it, and whether it is one that may be made.
func (o *oracle) step(random *rand.Rand) (model.Change, bool) {
	n, s := random.IntN(12), random.IntN(3)
	switch random.IntN(8) {
	case 0:
		segment := modeltest.Segment(s)
		o.segments[segment.ID] = segment
		return model.PutSegment(segment), true
	case 1:
		id := modeltest.ID(s)
		return model.DeleteSegment(id), o.deleteSegment(id)
	case 2:
		id := modeltest.Port(n, s).ID
		o.deletePort(id)
		return model.DeletePort(id), true
	case 3:
		e := modeltest.Entry(random.IntN(4), n, s)
		return model.PutEntry(e), o.putEntry(e)
	case 4:
		e := modeltest.Entry(random.IntN(4), n, s)
		delete(o.entries, e.Key())
		return model.DeleteEntry(e.SegmentID, e.MAC), true
	}
	// One that wants another's name, address or MAC now and then.
	p, other := modeltest.Port(n, s), modeltest.Port(random.IntN(12), s)
	switch random.IntN(6) {
	case 0:
		p.Name = other.Name
	case 1:
		p.Addrs = other.Addrs
	case 2:
		p.MAC = other.MAC
	}
	return model.PutPort(p), o.putPort(p)
}

// wantOracle wants all tables of s to say what the oracle says.
func wantOracle(t *testing.T, s *model.State, o *oracle) {
	t.Helper()
	r := s.Records()
	if len(r.Segments) != len(o.segments) || len(r.Ports) != len(o.ports) || len(r.Entries) != len(o.entries) {
		t.Fatalf("there are %d segments, %d ports, %d entries, want %d, %d, %d", len(r.Segments),
			len(r.Ports), len(r.Entries), len(o.segments), len(o.ports), len(o.entries))
	}
	members := make(map[string]int)
	for id, p := range o.ports {
		members[p.SegmentID]++
		byName, _ := s.PortNamed(p.Name)
		byAddr, _ := s.PortAt(p.SegmentID, p.Addrs[0])
		byMAC, _ := s.PortOf(p.SegmentID, p.MAC)
		if byName.ID != id || byAddr.ID != id || byMAC.ID != id {
			t.Fatalf("port %s is found as %q, %q and %q", id, byName.ID, byAddr.ID, byMAC.ID)
		}
	}
	for id := range o.segments {
		if got := len(slices.Collect(s.PortIDsOf(id))); got != members[id] {
			t.Fatalf("segment %s has %d ports, want %d", id, got, members[id])
		}
	}
}

func TestRandomChangesAgainstAnOracle(t *testing.T) {
	t.Parallel()
	random := seed.New(t)
	for range 200 {
		s := model.Empty()
		o := &oracle{make(map[string]model.Segment), make(map[string]model.Port), make(map[string]model.Entry)}
		for range 60 {
			before := s.Records()
			change, allowed := o.step(random)
			next, _, err := s.With(change)
			if (err == nil) != allowed {
				t.Fatalf("%s: got error %v, want success: %v", change, err, allowed)
			}
			wantRecords(t, s, before)
			if err == nil {
				s = next
			}
			wantOracle(t, s, o)
		}
		wantRecords(t, newState(t, s.Records()), s.Records())
	}
}

// Plans are made of one state at once, each without the others.
func TestStatesBranch(t *testing.T) {
	t.Parallel()
	s := newState(t, modeltest.Sample())
	done := make(chan *model.State)
	for n := range 8 {
		go func() {
			next, _, err := s.With(model.PutPort(modeltest.Port(10+n, 1)))
			if err != nil {
				t.Error(err)
			}
			done <- next
		}()
	}
	for range 8 {
		if next := <-done; next != nil && next.PortCount() != 3 {
			t.Errorf("a branch has %d ports, want 3", next.PortCount())
		}
	}
	wantRecords(t, s, modeltest.Sample())
}

func BenchmarkPutPort(b *testing.B) {
	s := with(b, model.Empty(), model.PutSegment(modeltest.Segment(1)))
	for n := range 4096 {
		s = with(b, s, model.PutPort(modeltest.Port(n, 1)))
	}
	p := modeltest.Port(1, 1)
	b.ReportAllocs()
	for b.Loop() {
		p.MAC = frame.MACFromUint64(p.MAC.Uint64() ^ 1<<20)
		with(b, s, model.PutPort(p))
	}
}
