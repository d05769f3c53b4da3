package control

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vswitch/api"
	"vswitch/arp"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/control/model"
	"vswitch/internal/control/view"
	"vswitch/internal/frame"
	vswitch "vswitch/switch"
	"vswitch/switch/switchtest"
	"vswitch/test/lab/seed"
)

// viewPlace stands in for a port's place in the switch.
type viewPlace struct {
	slot    uint32
	trusted bool
}

func (p *viewPlace) Slot() uint32    { return p.slot }
func (p *viewPlace) Trusted() bool   { return p.trusted }
func (*viewPlace) ErrDisabled() bool { return false }

func (*viewPlace) Refusals() []vswitch.Refusal { return nil }

// viewOf returns a port that is up, with the address 10.0.0.n.
func viewOf(id string, n byte, edit ...func(*view.Port, *viewPlace)) *view.Port {
	mac, at := frame.MAC{2, 0, 0, 0, 0, n}, &viewPlace{slot: uint32(n)}
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, n})}
	p := &view.Port{
		Record: model.Port{ID: id, Name: id, MAC: mac, Addrs: addrs}, Place: at,
		Link: view.Link{MAC: mac, Addrs: addrs},
	}
	for _, e := range edit {
		e(p, at)
	}
	return p
}

// TestAnswersFollowTheSnapshot: after each of a row of snapshots the segment answers for these
// addresses with these MACs, and these ports are to be announced.
func TestAnswersFollowTheSnapshot(t *testing.T) {
	t.Parallel()
	lost := func(p *view.Port, _ *viewPlace) { p.Lost = true }
	down := func(p *view.Port, _ *viewPlace) { p.Record.Down = true }
	unread := func(p *view.Port, _ *viewPlace) { p.Link = view.Link{} }
	mac := func(n byte) func(*view.Port, *viewPlace) {
		return func(p *view.Port, _ *viewPlace) { p.Link.MAC = frame.MAC{2, 0, 0, 0, 0, n} }
	}
	given := func(n byte) func(*view.Port, *viewPlace) {
		return func(p *view.Port, _ *viewPlace) { p.Record.MAC = frame.MAC{2, 0, 0, 0, 0, n} }
	}
	off := func(_ *view.Port, at *viewPlace) { at.trusted = true }
	type step struct {
		ports     []*view.Port
		claim     byte // after the step 10.0.0.1 is claimed for this MAC; 0: it is not
		answers   string
		announced []string
	}
	for name, steps := range map[string][]step{
		"ports come and go": {
			{[]*view.Port{viewOf("b", 2)}, 0, "2:2", []string{"b"}},
			{[]*view.Port{viewOf("a", 1), viewOf("b", 2), viewOf("c", 3)}, 0, "1:1 2:2 3:3", []string{"a", "c"}},
			{[]*view.Port{viewOf("a", 1), viewOf("c", 3)}, 0, "1:1 3:3", nil},
			{[]*view.Port{viewOf("c", 3), viewOf("d", 4)}, 0, "3:3 4:4", []string{"d"}},
			{nil, 0, "", nil},
		},
		"an address goes on to another port": {
			{[]*view.Port{viewOf("b", 1)}, 0, "1:1", []string{"b"}},
			{[]*view.Port{viewOf("a", 1)}, 0, "1:1", []string{"a"}},
			{[]*view.Port{viewOf("a", 1), viewOf("b", 2)}, 0, "1:1 2:2", []string{"b"}},
			{[]*view.Port{viewOf("a", 2), viewOf("b", 1)}, 0, "1:1 2:2", []string{"a", "b"}},
		},
		"a port gets another address": {
			{[]*view.Port{viewOf("a", 1)}, 0, "1:1", []string{"a"}},
			{[]*view.Port{viewOf("a", 2, mac(1), given(1))}, 0, "2:1", []string{"a"}},
			{[]*view.Port{viewOf("a", 2, mac(1), given(1))}, 0, "2:1", nil},
			{[]*view.Port{viewOf("a", 1), viewOf("b", 2)}, 0, "1:1 2:2", []string{"a", "b"}},
		},
		"a port is away for a while": {
			{[]*view.Port{viewOf("a", 1)}, 0, "1:1", []string{"a"}},
			{[]*view.Port{viewOf("a", 1, down)}, 0, "", nil},
			{[]*view.Port{viewOf("a", 1)}, 0, "1:1", nil},
			{[]*view.Port{viewOf("a", 1, down, off, mac(9))}, 0, "", nil},
			{[]*view.Port{viewOf("a", 1, off, mac(9))}, 0, "1:9", []string{"a"}},
		},
		"a port is lost and comes again": {
			{[]*view.Port{viewOf("a", 1)}, 0, "1:1", []string{"a"}},
			{[]*view.Port{viewOf("a", 1, lost)}, 0, "", nil},
			{[]*view.Port{viewOf("a", 1)}, 0, "1:1", []string{"a"}},
		},
		"a port from before this process": {
			{[]*view.Port{viewOf("a", 1, unread), viewOf("b", 2, unread, off)}, 0, "", nil},
			{[]*view.Port{viewOf("a", 1), viewOf("b", 2, off, mac(9))}, 0, "1:1 2:9", []string{"b"}},
		},
		"another MAC in the container": {
			{[]*view.Port{viewOf("a", 1)}, 0, "1:1", []string{"a"}},
			{[]*view.Port{viewOf("a", 1, mac(9))}, 0, "", nil},
			{[]*view.Port{viewOf("a", 1, mac(9), off)}, 0, "1:9", []string{"a"}},
			{[]*view.Port{viewOf("a", 1, off)}, 0, "1:1", []string{"a"}},
		},
		"a claim stays with a port that may": {
			{[]*view.Port{viewOf("a", 1, off)}, 9, "1:9", []string{"a"}},
			{[]*view.Port{viewOf("a", 1, off), viewOf("b", 2)}, 0, "1:9 2:2", []string{"b"}},
			{[]*view.Port{viewOf("a", 1), viewOf("b", 2)}, 0, "1:1 2:2", nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &answers{table: new(arp.Table)}
			for i, step := range steps {
				announced, err := a.follow(&view.Segment{Ports: step.ports})
				if err != nil {
					t.Error(err)
				}
				if step.claim != 0 {
					ip := netip.MustParseAddr("10.0.0.1")
					a.table.Claim(ip, 1, frame.MAC{2, 0, 0, 0, 0, step.claim})
				}
				answers := ""
				for _, b := range a.table.Bindings() {
					answers += fmt.Sprintf(" %d:%d", b.IP.As4()[3], b.MAC[5])
				}
				if answers != "" {
					answers = answers[1:]
				}
				if answers != step.answers || !slices.Equal(announced, step.announced) {
					t.Errorf("step %d: it answers %q and announces %q, want %q and %q",
						i+1, answers, announced, step.answers, step.announced)
				}
			}
		})
	}
}

// wantAnswers wants each segment to answer for exactly those ports of the snapshot for which it is
// to, and for its gateway.
func wantAnswers(t *testing.T, c *Control, after string) {
	t.Helper()
	for _, s := range c.current().Segments {
		want := make(map[netip.Addr]arp.Binding)
		for _, p := range s.Ports {
			if b, ok := p.Binding(); ok {
				want[b.IP] = b
			}
		}
		got := make(map[netip.Addr]arp.Binding)
		for _, b := range s.Bindings.Bindings() {
			if b.Kind == arp.Port {
				got[b.IP] = b
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("after %s segment %s answers\n%v, want\n%v", after, s.Record.Name, got, want)
		}
	}
}

// TestAnswersAfterAnyEvents: whatever happens, and in whatever order, the segments answer for the
// ports to which a frame gets, as their interfaces are, and for no other.
func TestAnswersAfterAnyEvents(t *testing.T) {
	rnd := seed.New(t)
	inWatchedWorld(t, func(w *watchedWorld) {
		r := &randomWorld{watchedWorld: w, Rand: rnd}
		r.c = w.start()
		_, err := r.c.AddSegment(t.Context(), api.SegmentSpec{Name: "lab", Subnet: prefix("10.66.0.0/24")})
		w.wantNil(err)
		for range 300 {
			event := r.step()
			if r.IntN(4) > 0 { // else the next event finds this one in progress
				w.rest()
				wantAnswers(t, r.c, event)
			}
		}
		w.rest()
		wantAnswers(t, r.c, "all")
	})
}

// randomWorld is one in which things happen.
type randomWorld struct {
	*watchedWorld
	*rand.Rand
	c     *Control
	count int // of names given
}

// step has something happen, and returns what it was.
func (r *randomWorld) step() string {
	ports, err := r.c.Ports(r.Context(), "")
	r.wantNil(err)
	if len(ports) == 0 || len(ports) < 8 && r.IntN(4) == 0 {
		return r.add()
	}
	p := ports[r.IntN(len(ports))]
	switch r.IntN(9) {
	case 0:
		_, err := r.c.DeletePort(r.Context(), p.Name)
		r.wantNil(err)
		return "delete " + p.Name
	case 1, 2:
		return r.update(p)
	case 3:
		r.RemoveNamespace(p.NetNS)
		return "end of " + p.NetNS
	case 4:
		r.replaceNamespace(p.NetNS)
		r.ChangeMounts()
		return "new " + p.NetNS
	case 5:
		end := slices.Sorted(maps.Keys(ways))[r.IntN(len(ways))]
		synctest.Wait()
		r.c = r.restart(r.c, ways[end])
		r.c.Settle()
		return end
	default:
		return r.changeLink(p)
	}
}

// add adds a port, whose address may be one that another has just had.
func (r *randomWorld) add() string {
	r.count++
	name := fmt.Sprint("c", r.count)
	r.addPort(r.c, name, func(s *api.PortSpec) {
		s.Segment = []string{"bridge", "lab"}[r.IntN(2)]
		s.Security = []api.Security{api.SecurityOff, api.SecurityMAC, api.SecurityStrict}[r.IntN(3)]
		s.IP.DHCP = r.IntN(4) == 0
	})
	return "add " + name
}

// update changes what was asked for of a port. The kernel may refuse it.
func (r *randomWorld) update(p api.Port) string {
	var u api.PortUpdate
	switch r.IntN(4) {
	case 0:
		u.Up = new(r.IntN(2) == 0)
	case 1:
		u.Security = new([]api.Security{api.SecurityOff, api.SecurityStrict}[r.IntN(2)])
	case 2:
		u.MAC = &api.MAC{2, 0, 0, 1, 0, byte(r.Uint32())}
	default:
		r.count++
		u.Name = new(fmt.Sprint("c", r.count))
	}
	_, err := r.c.UpdatePort(r.Context(), p.Name, u)
	return fmt.Sprintf("update of %s: %v", p.Name, err)
}

// changeLink changes an interface in its namespace, or has its container announce another MAC
// behind it.
func (r *randomWorld) changeLink(p api.Port) string {
	ns := r.Named[p.NetNS]
	if ns == nil {
		return "nothing"
	}
	if _, err := ns.LinkByName("eth0"); err != nil {
		return "nothing"
	}
	ip, l := p.IPs[0].Addr(), ns.Link("eth0")
	what := []string{"up", "down", "address", "no address", "own MAC", "MAC", "claim"}[r.IntN(7)]
	if what == "claim" {
		if p.State == api.PortUp {
			r.wire(r.c, p.Name).Send(switchtest.ARP(p.MAC, ip, ip))
		}
		return "claim of " + p.Name
	}
	r.quietly(ns, "eth0", func(l *kerneltest.Link) {
		switch what {
		case "up", "down":
			l.Up = what == "up"
		case "address":
			l.Addrs = []netip.Addr{ip}
		case "no address":
			l.Addrs = nil
		case "own MAC":
			l.MAC = slices.Clone(p.MAC[:])
		case "MAC":
			l.MAC = []byte{2, 0, 0, 2, 0, byte(r.Uint32())}
		}
	})
	r.Links.Tell(ns, l.Index)
	return what + " of " + p.Name
}

// TestAnswerEndsWithinThePause: a port that is lost in a row of events is answered for no longer
// than the pause between snapshots, which has a bound.
func TestAnswerEndsWithinThePause(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.rest()
		c.mu.Lock()
		c.publishPause, c.published = maxPublishPause, time.Now()
		c.mu.Unlock()
		w.RemoveNamespace("a")
		time.Sleep(maxPublishPause)
		synctest.Wait()
		w.wantBound(c, "172.17.0.2", "")
	})
}

// TestAddressOfADeletedPort is not answered for when the delete is answered, and is another's to have.
func TestAddressOfADeletedPort(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		a := w.addPort(c, "a")
		w.wantBound(c, "172.17.0.2", a.MAC.String()) // as soon as the port is there
		_, err := c.DeletePort(w.Context(), "a")
		w.wantNil(err)
		w.wantBound(c, "172.17.0.2", "")
		other := api.MAC{2, 0, 0, 0, 0, 9}
		w.addPort(c, "b", func(s *api.PortSpec) { s.IP.Addr, s.MAC = addr("172.17.0.2"), other })
		w.wantBound(c, "172.17.0.2", other.String())
	})
}
