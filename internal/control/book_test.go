package control

import (
	"net/netip"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/model"
)

// allowing has addPort make a port that is allowed to use these addresses and networks.
func allowing(list ...string) func(*api.PortSpec) {
	return func(s *api.PortSpec) { s.AllowAddresses = allowances(list...) }
}

func allowances(list ...string) []netip.Prefix {
	prefixes, err := api.ParseAllAllowed(list)
	if err != nil {
		panic(err)
	}
	return prefixes
}

// addPortError adds a port, and returns why that was refused.
func (w *world) addPortError(c *Control, edit ...func(*api.PortSpec)) func() error {
	return func() error {
		spec := api.PortSpec{Name: "refused", NetNS: w.AddNamespace("refused").Name}
		for _, e := range edit {
			e(&spec)
		}
		_, err := c.AddPort(w.Context(), spec)
		return err
	}
}

// allow returns a change of what a port is allowed to use.
func (w *world) allow(c *Control, port string, list ...string) func() error {
	return func() error {
		_, err := c.UpdatePort(w.Context(), port, api.PortUpdate{AllowAddresses: new(allowances(list...))})
		return err
	}
}

func (w *world) wantAddress(p api.Port, want string) {
	w.Helper()
	if p.IPs[0].Addr() != addr(want) {
		w.Errorf("port %s has %s, want %s", p.Name, p.IPs[0], want)
	}
}

// TestAllowedAddressesAreNotGivenOut to another, for as long as any port may use them.
func TestAllowedAddressesAreNotGivenOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	at := func(a string) func(*api.PortSpec) { return onWith("bridge", a) }
	w.wantAddress(w.addPort(c, "ka1", allowing("172.17.0.2", "172.17.0.4")), "172.17.0.3")
	w.wantAddress(w.addPort(c, "ka2", allowing("172.17.0.4")), "172.17.0.5") // they share it
	for _, when := range []string{"at once", "after a restart"} {
		w.refused(c, "the virtual address "+when, w.addPortError(c, at("172.17.0.4")), api.Conflict, "172.17.0.4", `port "ka`, "allowed to use")
		w.refused(c, "the same in its other form "+when, w.addPortError(c, at("::ffff:172.17.0.2")), api.Conflict, "172.17.0.2", `"ka1"`)
		c = w.crash()
	}
	w.wantAddress(w.addPort(c, "web", allowing("172.17.0.8", "172.17.0.0/28", "10.0.0.6")), "172.17.0.6")
	w.wantAddress(w.addPort(c, "own", at("172.17.0.7"), allowing("172.17.0.7")), "172.17.0.7")

	for name, test := range map[string]struct {
		allowed string
		parts   []string
	}{
		"another's own":      {"172.17.0.6", []string{"172.17.0.6", `"web"`}},
		"its sibling's own":  {"172.17.0.5", []string{"172.17.0.5", `"ka2"`}},
		"one allowed itself": {"172.17.0.7", []string{"172.17.0.7", `"own"`}},
	} {
		w.refused(c, "to allow "+name, w.allow(c, "ka1", "172.17.0.2", test.allowed), api.Conflict, test.parts...)
		w.refused(c, "a port with "+name, w.addPortError(c, allowing(test.allowed)), api.Conflict, test.parts...)
	}
	w.refused(c, "to allow the gateway's", w.allow(c, "ka1", "172.17.0.1"), api.Invalid, "172.17.0.1", "gateway")

	// Set on a living port.
	w.wantNil(w.allow(c, "web", "172.17.0.9")())
	w.refused(c, "what it is allowed now", w.addPortError(c, at("172.17.0.9")), api.Conflict, "172.17.0.9", `"web"`)
	w.wantAddress(w.addPort(c, "next"), "172.17.0.8")
	w.wantAddress(w.addPort(c, "last"), "172.17.0.10")
	// It is free when the last port that may use it has gone, or may not any more.
	w.wantNil(w.allow(c, "ka1")())
	w.addPort(c, "two", at("172.17.0.2"))
	w.refused(c, "what ka2 may use still", w.addPortError(c, at("172.17.0.4")), api.Conflict, "172.17.0.4", `"ka2"`)
	must[api.Port](t)(c.DeletePort(t.Context(), "ka2"))
	w.addPort(c, "four", at("172.17.0.4"))
	w.refused(c, "to allow what was another's meanwhile", w.allow(c, "ka1", "172.17.0.4"), api.Conflict, "172.17.0.4", `"four"`)
}

// TestAFullSegmentKeepsWhatIsReserved, and gives it out once it is not reserved any more.
func TestAFullSegmentKeepsWhatIsReserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addSegment(c, api.SegmentSpec{Name: "small", Subnet: prefix("10.1.0.0/29")})
	w.wantAddress(w.addPort(c, "a", onWith("small", ""), allowing("10.1.0.4", "10.1.0.6")), "10.1.0.2")
	w.wantAddress(w.addPort(c, "b", onWith("small", "")), "10.1.0.3")
	w.wantAddress(w.addPort(c, "c", onWith("small", "")), "10.1.0.5")
	w.refused(c, "one too many", w.addPortError(c, onWith("small", "")), api.Exhausted, "full", "reserved (2)")
	w.wantNil(w.allow(c, "a", "10.1.0.6")())
	w.wantAddress(w.addPort(c, "d", onWith("small", "")), "10.1.0.4")
}

// TestWhatALostPortMayUse is not given out as long as the port is there.
func TestWhatALostPortMayUse(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a", allowing("172.17.0.9"))
		w.RemoveNamespace("a")
		w.rest()
		w.wantPortShown(c, "a", "lost: "+lostNamespace)
		w.refused(c, "its virtual address", w.addPortError(c, onWith("bridge", "172.17.0.9")), api.Conflict, "172.17.0.9", `"a"`)
		must[api.Port](w.T)(c.DeletePort(w.Context(), "a"))
		w.addPort(c, "b", onWith("bridge", "172.17.0.9"))
	})
}

// TestPortsThatAreBeingAdded are in the book already.
func TestPortsThatAreBeingAdded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := w.addPool(c, "10.1.0.0/24")
	w.addOver(c, p, "over")
	w.addPort(c, "there", onWith("over", ""))
	w.OnMove = func(to string) {
		if to != "slow" {
			return
		}
		w.OnMove = nil
		for name, err := range map[string]error{
			"its virtual address":           w.addPortError(c, onWith("over", "10.1.0.9"))(),
			"a lease of it":                 func() error { _, err := c.Lease(t.Context(), p.ID, addr("10.1.0.9")); return err }(),
			"to allow what it has":          w.addPortError(c, onWith("over", ""), allowing("10.1.0.3"))(),
			"to allow that on another port": w.allow(c, "there", "10.1.0.3")(),
		} {
			wantRefused(t, name, err, api.Conflict, `"slow"`)
		}
		w.addPort(c, "shares", onWith("over", ""), allowing("10.1.0.9"))
	}
	w.wantAddress(w.addPort(c, "slow", onWith("over", "10.1.0.3"), allowing("10.1.0.9", "10.1.0.4")), "10.1.0.3")
	w.wantAddress(w.portNamed(c, "shares"), "10.1.0.5")
}

// TestLeasesAndTheBook: what a port may use is not leased, and the other way round.
func TestLeasesAndTheBook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := w.addPool(c, "10.1.0.0/24")
	w.lease(c, p, "10.1.0.9") // before there is a segment
	w.addOver(c, p, "over")
	w.addPort(c, "a", onWith("over", ""), allowing("10.1.0.3", "10.1.0.6"))
	lease := func(a string) func() error {
		return func() error { _, err := c.Lease(t.Context(), p.ID, addr(a)); return err }
	}
	for range 2 {
		w.refused(c, "a lease of what a port may use", lease("10.1.0.6"), api.Conflict, "10.1.0.6", `"a"`)
		w.refused(c, "to allow what is leased", w.allow(c, "a", "10.1.0.9"), api.Conflict, "10.1.0.9", "leased")
		c = w.crash()
	}
	if got := w.lease(c, p, ""); got.Addr() != addr("10.1.0.4") {
		t.Errorf("leased is %s", got)
	}
	w.addPort(c, "b", onWith("over", "10.1.0.9"), allowing("10.1.0.9")) // for which it was leased
	w.wantNil(c.Release(t.Context(), p.ID, addr("10.1.0.4")))
	w.wantNil(w.allow(c, "a", "10.1.0.3", "10.1.0.4")())
}

// TestAStateThatBreaksTheRules of the book, as an earlier version let it through, is opened and
// told of. Nothing of it is lost, and everything else about it can be changed.
func TestAStateThatBreaksTheRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addPort(c, "a", onWith("bridge", "172.17.0.2"), allowing("172.17.0.9"))
	w.addPort(c, "b", onWith("bridge", "172.17.0.3"))
	w.close(c, false)
	r := w.Store().State().Records()
	for i, p := range r.Ports {
		if p.Name == "b" {
			r.Ports[i].Addrs = []netip.Addr{addr("172.17.0.9")}
			r.Ports[i].AllowAddresses = allowances("172.17.0.1")
		}
	}
	state, err := model.New(r)
	w.wantNil(err)
	w.With(func() { w.State = state }) // timers of the Control that has ended may look
	c = w.start()
	w.wantLog("level=WARN", "used twice", "port=a", `172.17.0.9 is that of port \"b\"`, "vsctl set-port a --allow-address")
	w.wantLog("level=WARN", "used twice", "port=b")
	w.wantAddress(w.portNamed(c, "b"), "172.17.0.9")
	w.updatePort(c, "b", api.PortUpdate{Name: new("renamed")})
	w.wantNil(w.allow(c, "a", "172.17.0.9", "172.17.0.10")())
	w.wantNil(w.allow(c, "a", "172.17.0.10")())
	w.refused(c, "to break the rule again", w.allow(c, "a", "172.17.0.9"), api.Conflict, "172.17.0.9", `"renamed"`)
}

// TestAuxAddresses are given to nobody, whoever asks, and ports may be allowed to use them.
func TestAuxAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addSegment(c, api.SegmentSpec{
		Name: "lab", Subnet: prefix("10.1.0.0/29"),
		AuxAddresses: map[string]netip.Addr{"r": addr("10.1.0.2"), "vip": addr("10.1.0.4")},
	})
	w.wantAddress(w.addPort(c, "a", onWith("lab", ""), allowing("10.1.0.4")), "10.1.0.3")
	for range 2 {
		w.refused(c, "an auxiliary address", w.addPortError(c, onWith("lab", "10.1.0.2")), api.Conflict, "10.1.0.2", `auxiliary address "r"`, `"lab"`)
		w.refused(c, "one that a port may use", w.addPortError(c, onWith("lab", "10.1.0.4"), allowing("10.1.0.4")), api.Conflict, "10.1.0.4", `"vip"`)
		c = w.crash()
	}
	w.wantAddress(w.addPort(c, "b", onWith("lab", "")), "10.1.0.5")
	w.wantAddress(w.addPort(c, "d", onWith("lab", "")), "10.1.0.6")
	w.refused(c, "one too many", w.addPortError(c, onWith("lab", "")), api.Exhausted, "reserved (2)")
	if s := must[api.Segment](t)(c.Segment(t.Context(), "lab")); s.AuxAddresses["r"] != addr("10.1.0.2") || len(s.AuxAddresses) != 2 {
		t.Errorf("shown are %v", s.AuxAddresses)
	}
	add := func(a string) func() error {
		return func() error {
			_, err := c.AddSegment(t.Context(), api.SegmentSpec{
				Name: "no", Subnet: prefix("10.2.0.0/29"), AuxAddresses: map[string]netip.Addr{"x": addr(a)},
			})
			return err
		}
	}
	w.refused(c, "the gateway's", add("10.2.0.1"), api.Conflict, `"x"`, "10.2.0.1", "gateway")
	w.refused(c, "the broadcast address", add("10.2.0.7"), api.Conflict, `"x"`, "10.2.0.7", "broadcast")
	w.refused(c, "one outside", add("10.3.0.7"), api.Conflict, `"x"`, "10.3.0.7", "outside")

	w.addSegment(c, api.SegmentSpec{
		Name: "moves", Subnet: prefix("10.4.0.0/24"), AuxAddresses: map[string]netip.Addr{"x": addr("10.4.0.9")},
	})
	w.refused(c, "a subnet without it", func() error {
		_, err := c.UpdateSegment(t.Context(), "moves", api.SegmentUpdate{Subnet: new(prefix("10.5.0.0/24"))})
		return err
	}, api.Conflict, `"x"`, "10.4.0.9", "10.5.0.0/24")
	w.updateSegment(c, "moves", api.SegmentUpdate{Subnet: new(prefix("10.4.0.0/28"))})
	w.refused(c, "it in another subnet", w.addPortError(c, onWith("moves", "10.4.0.9")), api.Conflict, "10.4.0.9")
}

// TestAuxAddressesOfAPool are leased before the segment is there, and still no port's.
func TestAuxAddressesOfAPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := w.addPool(c, "10.1.0.0/24")
	w.lease(c, p, "10.1.0.2")
	must[api.Segment](t)(c.AddSegmentOver(t.Context(), p.ID, api.SegmentSpec{
		Name: "over", Subnet: prefix("10.1.0.0/24"),
		AuxAddresses: map[string]netip.Addr{"leased": addr("10.1.0.2"), "other": addr("10.1.0.3")},
	}))
	for _, a := range []string{"10.1.0.2", "10.1.0.3"} {
		w.refused(c, "a port with "+a, w.addPortError(c, onWith("over", a)), api.Conflict, a, "auxiliary")
		w.refused(c, "a lease of "+a, func() error { _, err := c.Lease(t.Context(), p.ID, addr(a)); return err }, api.Conflict, a)
	}
	w.wantAddress(w.addPort(c, "a", onWith("over", ""), allowing("10.1.0.2", "10.1.0.3")), "10.1.0.4")
	w.wantNil(c.Release(t.Context(), p.ID, addr("10.1.0.2")))
	c = w.crash()
	w.refused(c, "what is leased no more", w.addPortError(c, onWith("over", "10.1.0.2")), api.Conflict, "10.1.0.2", "auxiliary")
	if got := w.lease(c, p, ""); got.Addr() != addr("10.1.0.5") {
		t.Errorf("leased is %s", got)
	}
}

// TestDefaultGateway: the auxiliary address of that name is where containers have their default
// route, while names are asked for at the segment's gateway.
func TestDefaultGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addSegment(c, api.SegmentSpec{
		Name: "lab", Subnet: prefix("10.1.0.0/24"),
		AuxAddresses: map[string]netip.Addr{api.AuxDefaultGateway: addr("10.1.0.254")},
	})
	got := w.addPort(c, "a", onWith("lab", ""), func(s *api.PortSpec) { s.ResolvConf = true })
	if got.Gateway != "10.1.0.254" {
		t.Errorf("the port's gateway is %s", got.Gateway)
	}
	w.addPort(c, "d", onWith("lab", ""), func(s *api.PortSpec) { s.IP.DHCP = true })
	for _, p := range c.current().Ports {
		lease := p.Lease()
		if lease.Router != addr("10.1.0.254") || lease.DNS != addr("10.1.0.1") || lease.Server != addr("10.1.0.1") {
			t.Errorf("the DHCP client of %s is told %+v", p.Record.Name, lease)
		}
	}
	if config := c.allPorts[got.ID].linkConfig(); config.Gateway != addr("10.1.0.254") || !config.DefaultRoute {
		t.Errorf("the interface gets %+v", config)
	}
}

// TestASegmentOfOneAddress has one port and no gateway, and nothing that a gateway does.
func TestASegmentOfOneAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	s := w.addSegment(c, api.SegmentSpec{Name: "one", Subnet: prefix("10.1.0.9/32"), Internal: true})
	if s.Gateway != "" {
		t.Errorf("its gateway is %q", s.Gateway)
	}
	for name, edit := range map[string]func(*api.PortSpec){
		"DHCP":        func(s *api.PortSpec) { s.IP.DHCP = true },
		"resolv.conf": func(s *api.PortSpec) { s.ResolvConf = true },
	} {
		w.refused(c, "a port with "+name, w.addPortError(c, onWith("one", ""), edit), api.Invalid, `"one"`, "no gateway")
	}
	p := w.addPort(c, "a", onWith("one", ""))
	w.wantAddress(p, "10.1.0.9")
	if config := c.allPorts[p.ID].linkConfig(); p.Gateway != "" || config.DefaultRoute {
		t.Errorf("the port is %+v, its link %+v", p, config)
	}
	w.refused(c, "a second one", w.addPortError(c, onWith("one", "")), api.Exhausted, "full")
	before := w.shown(c)
	c = w.crash()
	w.wantShown(c, "after a restart", before)
	w.refused(c, "its address", w.addPortError(c, onWith("one", "10.1.0.9")), api.Conflict, "10.1.0.9")
	w.addSegment(c, api.SegmentSpec{Name: "two", Subnet: prefix("10.1.1.0/30"), Internal: true})
	if got := w.updateSegment(c, "two", api.SegmentUpdate{Subnet: new(prefix("10.1.1.2/32"))}); got.Gateway != "" {
		t.Errorf("moved to one address it has gateway %q", got.Gateway)
	}
	w.wantAddress(w.addPort(c, "b", onWith("two", "")), "10.1.1.2")
}

// TestAPoolOfOneAddress leases that as the gateway's, which Docker must be given, and to a port.
func TestAPoolOfOneAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	p := w.addPool(c, "10.1.0.9/32")
	if got := must[netip.Prefix](t)(c.LeaseGateway(t.Context(), p.ID, netip.Addr{})); got != prefix("10.1.0.9/32") {
		t.Errorf("the gateway is %s", got)
	}
	if got := w.lease(c, p, ""); got != prefix("10.1.0.9/32") {
		t.Errorf("leased is %s", got)
	}
	must[api.Segment](t)(c.AddSegmentOver(t.Context(), p.ID, api.SegmentSpec{Name: "over", Internal: true}))
	w.addPort(c, "a", onWith("over", "10.1.0.9"))
	before := w.shown(c)
	w.wantShown(w.crash(), "after a restart", before)
}
