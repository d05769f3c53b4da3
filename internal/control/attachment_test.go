package control

import (
	"bytes"
	"testing"

	"vswitch/api"
)

// TestAPortThatIsBeingAddedHoldsUpNobody: while the kernel takes its time over one port others are
// added, changed and listed; what the one is to have is its own already.
func TestAPortThatIsBeingAddedHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	lab := api.SegmentSpec{Name: "lab", Subnet: prefix("10.66.0.0/24")}
	if _, err := c.AddSegment(t.Context(), lab); err != nil {
		t.Fatal(err)
	}
	moving, moved := make(chan struct{}), make(chan struct{})
	w.OnMove = func(to string) {
		if to == "slow" {
			close(moving)
			<-moved
		}
	}
	w.AddNamespace("slow")
	w.AddNamespace("other")
	slow := api.PortSpec{Name: "slow", NetNS: "slow", Segment: "lab", IP: api.PortIP{Addr: addr("10.66.0.9")}}
	added := make(chan error)
	go func() {
		_, err := c.AddPort(t.Context(), slow)
		added <- err
	}()
	<-moving

	w.addPort(c, "b")
	if _, err := c.UpdatePort(t.Context(), "b", api.PortUpdate{Isolated: new(true)}); err != nil {
		t.Errorf("change another port: %v", err)
	}
	if _, err := c.DeletePort(t.Context(), "b"); err != nil {
		t.Errorf("delete another port: %v", err)
	}
	if ports, err := c.Ports(t.Context(), ""); err != nil || len(ports) != 0 {
		t.Errorf("listed are %v, %v; want none", ports, err)
	}
	for what, spec := range map[string]api.PortSpec{
		"name":    {Name: "slow", NetNS: "other", Segment: "lab"},
		"address": {Name: "new", NetNS: "other", Segment: "lab", IP: slow.IP},
		"MAC":     {Name: "new", NetNS: "other", Segment: "lab", MAC: api.MAC{2, 0x42, 10, 66, 0, 9}},
	} {
		if _, err := c.AddPort(t.Context(), spec); api.KindOf(err) != api.Conflict {
			t.Errorf("its %s: got %v, want a conflict", what, err)
		}
	}
	for _, force := range []bool{false, true} {
		if _, err := c.DeleteSegment(t.Context(), "lab", force); api.KindOf(err) != api.Conflict {
			t.Errorf("delete its segment, force %v: got %v, want a conflict", force, err)
		}
	}
	update := api.SegmentUpdate{Subnet: new(prefix("10.77.0.0/24"))}
	if _, err := c.UpdateSegment(t.Context(), "lab", update); api.KindOf(err) != api.Conflict {
		t.Errorf("renumber its segment: got %v, want a conflict", err)
	}

	close(moved)
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	wantWhole(t, w, c)
	p, err := c.Port(t.Context(), "slow")
	if err != nil || p.IPs[0].Addr() != slow.IP.Addr || p.State != api.PortUp {
		t.Errorf("in the end there is %+v, %v", p, err)
	}
}

// TestWhatAFailedPortHadIsFreeAgain: one that the kernel refuses leaves nothing taken.
func TestWhatAFailedPortHadIsFreeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	spec := api.PortSpec{Name: "a", NetNS: "gone", IP: api.PortIP{Addr: addr("172.17.0.9")}}
	if _, err := c.AddPort(t.Context(), spec); api.KindOf(err) != api.NotFound {
		t.Fatalf("got %v, want that the namespace is not found", err)
	}
	w.AddNamespace("gone")
	if _, err := c.AddPort(t.Context(), spec); err != nil {
		t.Error(err)
	}
	wantWhole(t, w, c)
}

// TestAPortIsChangedBeforeItsTurn: a port can be changed right after a start, when nobody has
// looked yet what has become of its interface.
func TestAPortIsChangedBeforeItsTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addPort(w.start(), "a")
	w.die()
	c := w.start()
	mac := api.MAC{2, 0, 0, 0, 0, 9}
	p, err := c.UpdatePort(t.Context(), "a", api.PortUpdate{MAC: &mac})
	if err != nil || p.MAC != mac || p.State != api.PortUp {
		t.Fatalf("it is %+v, %v", p, err)
	}
	if l, err := w.Named["a"].LinkByName("eth0"); err != nil || !bytes.Equal(l.MAC, mac[:]) {
		t.Errorf("its interface is %+v, %v", l, err)
	}
}
