package control

import (
	"net/netip"
	"slices"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/frame"
	"vswitch/internal/gateway/dns"
	"vswitch/internal/host"
)

// readdress returns a change of a port's address.
func (w *world) readdress(c *Control, port, to string) func() error {
	return func() error {
		_, err := c.UpdatePort(w.Context(), port, api.PortUpdate{IP: new(addr(to))})
		return err
	}
}

// wantOn wants the interface of a container to have these addresses.
func (w *world) wantOn(namespace, link string, want ...string) {
	w.Helper()
	var got []string
	l := w.Named[namespace].Link(link)
	w.With(func() {
		for _, a := range l.Addrs {
			got = append(got, a.String())
		}
	})
	if !slices.Equal(got, want) {
		w.Errorf("interface %s of %s has %v, want %v", link, namespace, got, want)
	}
}

// TestAnotherAddress of a living port is that of its interface, in neighbours' tables, in names
// and where published ports lead, also after a restart. The old one is free.
func TestAnotherAddress(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		a, b := w.addPort(c, "a"), w.addPort(c, "b")
		must[api.Published](w.T)(c.Publish(w.Context(), "a", api.PublishSpec{
			HostPorts: api.PortRange{First: 8080, Last: 8080}, Ports: api.PortRange{First: 80, Last: 80},
		}))
		w.rest()
		w.wire(c, "b").Frames()
		got := w.updatePort(c, "a", api.PortUpdate{IP: new(addr("172.17.0.80"))})
		if got.IPs[0] != prefix("172.17.0.80/24") || got.MAC != a.MAC || got.State != api.PortUp || got.Reason != "" {
			w.Errorf("it is %+v", got)
		}
		w.rest()
		announced := slices.ContainsFunc(w.wire(c, "b").Frames(), func(f []byte) bool {
			eth := frame.Ethernet(f)
			return eth.EtherType() == frame.EtherTypeARP && eth.Src() == a.MAC &&
				netip.AddrFrom4([4]byte(eth.Payload()[14:18])) == addr("172.17.0.80")
		})
		if !announced {
			w.Error("neighbours are not told of it")
		}
		for _, when := range []string{"at once", "after a restart"} {
			w.wantOn("a", "eth0", "172.17.0.80")
			w.wantBinding(c, "a", "172.17.0.80", a.MAC)
			w.wantAnswer(c, b, "172.17.0.80", a.MAC.String())
			w.wantAnswer(c, b, "172.17.0.2", "")
			stations := c.current().Segments[0].Stations()
			if len(stations) != 2 || !slices.ContainsFunc(stations, func(s dns.Station) bool {
				return s.Name == "a" && slices.Equal(s.Addrs, []netip.Addr{addr("172.17.0.80")})
			}) {
				w.Errorf("%s, names are %+v", when, stations)
			}
			var forwards []host.Forward
			w.With(func() { forwards = w.Rules.Forwards })
			if len(forwards) != 1 || forwards[0].To != addr("172.17.0.80") {
				w.Errorf("%s, published ports lead to %+v", when, forwards)
			}
			w.wantPasses(w.wire(c, "a"), w.wire(c, "b"), datagram(b.MAC, got, "from the new one"))
			w.wantNothing(w.wire(c, "a"), w.wire(c, "b"), datagram(b.MAC, a, "from the old one"))
			c = w.restart(c, ways["killed"])
			c.Settle()
			w.rest()
		}
		w.refused(c, "the new one for another", w.readdress(c, "b", "172.17.0.80"), api.Conflict, "172.17.0.80", "in use")
		w.wantNil(w.readdress(c, "b", "172.17.0.2")())
		w.wantOn("b", "eth0", "172.17.0.2")
		if p := w.addPort(c, "third", onWith("bridge", "172.17.0.3")); p.MAC == b.MAC || !p.MAC.IsUnicast() || p.MAC[0]&2 == 0 {
			w.Errorf("the next port at the address from before has %s, and b keeps %s", p.MAC, b.MAC)
		}
	})
}

// TestAddressesThatAPortMayNotGet are refused as for a new port.
func TestAddressesThatAPortMayNotGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addSegment(c, api.SegmentSpec{
		Name: "lab", Subnet: prefix("10.1.0.0/24"), AuxAddresses: map[string]netip.Addr{"r": addr("10.1.0.9")},
	})
	w.addPort(c, "a", onWith("lab", ""), allowing("10.1.0.7"))
	w.addPort(c, "b", onWith("lab", ""), allowing("10.1.0.8"))
	must[api.Port](t)(c.AddPort(t.Context(), api.PortSpec{Name: "managed", Segment: "lab", Handover: true}))
	checked := api.Checked(c)
	for name, test := range map[string]struct {
		port, to string
		kind     api.Kind
		parts    []string
	}{
		"another port's":             {"a", "10.1.0.3", api.Conflict, []string{"10.1.0.3", "in use"}},
		"one that another may use":   {"a", "10.1.0.8", api.Conflict, []string{"10.1.0.8", `"b"`}},
		"an auxiliary one":           {"a", "10.1.0.9", api.Conflict, []string{"10.1.0.9", `"r"`}},
		"the gateway's":              {"a", "10.1.0.1", api.Conflict, []string{"10.1.0.1", "gateway"}},
		"the broadcast address":      {"a", "10.1.0.255", api.Conflict, []string{"10.1.0.255", "broadcast"}},
		"one outside":                {"a", "10.2.0.3", api.Invalid, []string{"10.2.0.3", "outside"}},
		"one of a group":             {"a", "224.0.0.1", api.Invalid, []string{"224.0.0.1", "unicast"}},
		"an IPv6 address":            {"a", "fd00::1", api.Unsupported, []string{"fd00::1", "IPv4"}},
		"of one that others manage":  {"managed", "10.1.0.30", api.Invalid, []string{`"managed"`, "docker network connect --ip"}},
		"of one that others, as is":  {"managed", "10.1.0.4", api.Invalid, []string{`"managed"`}},
		"of a port that is not here": {"nobody", "10.1.0.30", api.NotFound, []string{`"nobody"`}},
	} {
		w.refused(c, "an address: "+name, func() error {
			_, err := checked.UpdatePort(t.Context(), test.port, api.PortUpdate{IP: new(addr(test.to))})
			return err
		}, test.kind, test.parts...)
	}
	w.wantNil(w.readdress(c, "a", "10.1.0.7")()) // which it may use itself
	w.wantNil(w.readdress(c, "a", "10.1.0.2")()) // and back
	w.refused(c, "what it may still use", w.readdress(c, "b", "10.1.0.7"), api.Conflict, "10.1.0.7", `"a"`)
}

// TestAddressThatFails leaves the interface, the rules and the book as they were.
func TestAddressThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	links := w.Named["a"].Link("eth0")
	w.With(func() { links.Addrs = append(links.Addrs, addr("192.0.2.1")) })
	for step := range 3 { // the interface, the rules, the disk
		w.Plan(step+1, 0)
		w.refused(c, "another address", w.readdress(c, "a", "172.17.0.80"), api.Internal, kerneltest.ErrStep.Error())
		w.Plan(0, 0)
		w.With(func() { slices.SortFunc(links.Addrs, netip.Addr.Compare) })
		w.wantOn("a", "eth0", "172.17.0.2", "192.0.2.1")
		w.wantBinding(c, "a", "172.17.0.2", w.portNamed(c, "a").MAC)
		w.wantBinding(c, "", "172.17.0.80", api.MAC{})
		if f := w.Rules.Forwards; len(f) != 1 || f[0].To != addr("172.17.0.2") {
			t.Errorf("published ports lead to %+v", f)
		}
		w.addPort(c, "other", onWith("bridge", "172.17.0.80"))
		must[api.Port](t)(c.DeletePort(t.Context(), "other"))
	}
	w.wantNil(w.readdress(c, "a", "172.17.0.80")())
	w.wantOn("a", "eth0", "192.0.2.1", "172.17.0.80")
}

// TestAddressTakenAwayInTheContainer is there again when the port is given the same.
func TestAddressTakenAwayInTheContainer(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		a := w.addPort(c, "a")
		w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.Addrs = nil })
		w.wantBound(c, "172.17.0.2", "")
		w.Plan(2, 0) // to store it
		w.refused(c, "the same address", w.readdress(c, "a", "172.17.0.2"), api.Internal)
		w.Plan(0, 0)
		w.wantOn("a", "eth0")
		w.wantNil(w.readdress(c, "a", "172.17.0.2")())
		w.wantOn("a", "eth0", "172.17.0.2")
		w.wantBound(c, "172.17.0.2", a.MAC.String())
		w.Plan(1, 0) // it is there: nothing is done to the interface
		w.refused(c, "the same address", w.readdress(c, "a", "172.17.0.2"), api.Internal, "store port")
	})
}

// TestAddressOfAPortThatIsLost is what its interface gets when its namespace comes back, and that
// of one that is down is there when it is up.
func TestAddressOfAPortThatIsLost(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		p.RemoveNamespace("b")
		p.settle()
		if got := p.updatePort(p.c, "b", api.PortUpdate{IP: new(addr("172.17.0.80"))}); got.State != api.PortLost ||
			got.IPs[0] != prefix("172.17.0.80/24") {
			p.Errorf("it is %+v", got)
		}
		p.renewNamespace("b")
		p.c.mountsChanged()
		p.wantOn("b", "eth0", "172.17.0.80")
		p.wantBinding(p.c, "b", "172.17.0.80", p.portNamed(p.c, "b").MAC)

		p.updatePort(p.c, "d", api.PortUpdate{Up: new(false), IP: new(addr("172.17.0.81"))})
		p.wantOn("d", "eth0", "172.17.0.81")
		p.wantBinding(p.c, "d", "172.17.0.81", api.MAC{})
		p.updatePort(p.c, "d", api.PortUpdate{Up: new(true)})
		p.wantBinding(p.c, "d", "172.17.0.81", p.portNamed(p.c, "d").MAC)
	})
}

// TestAddressOfADHCPClient is what it is told when it asks next. Its interface is its own matter.
func TestAddressOfADHCPClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addPort(c, "a", func(s *api.PortSpec) { s.IP.DHCP = true })
	w.updatePort(c, "a", api.PortUpdate{IP: new(addr("172.17.0.80"))})
	w.wantOn("a", "eth0")
	for _, l := range c.current().Segments[0].Leases() {
		if l.Addr != prefix("172.17.0.80/24") {
			t.Errorf("it is told %s", l.Addr)
		}
	}
}
