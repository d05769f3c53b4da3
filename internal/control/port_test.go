package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// updatePort changes a port.
func (w *world) updatePort(c *Control, ref string, u api.PortUpdate) api.Port {
	w.Helper()
	p, err := c.UpdatePort(w.Context(), ref, u)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// portNamed returns a port as it is shown.
func (w *world) portNamed(c *Control, name string) api.Port {
	w.Helper()
	p, err := c.Port(w.Context(), name)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func TestAddPort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	id := strings.Repeat("cd", 32)
	got := w.addPort(c, "full", func(s *api.PortSpec) {
		s.ID, s.Segment, s.IfName, s.MAC = id, "lab", "lan0", switchtest.MAC(9)
		s.IP.Addr, s.NoDefaultRoute = addr("10.66.0.77"), true
		s.Labels, s.Aliases = map[string]string{"k": "v"}, []string{"www"}
		s.Security, s.Isolated, s.BPDUGuard, s.AllowReserved = api.SecurityMAC, true, true, true
		s.MACLimit, s.FloodLimit = 3, api.NoLimit
		s.RateIn = api.Rate{BitsPerSecond: 1e6}
		s.AllowAddresses = []netip.Prefix{prefix("10.9.0.0/16")}
	})
	want := api.Port{
		ID: id, Name: "full", Segment: "lab", SegmentID: got.SegmentID, MAC: switchtest.MAC(9),
		IPs: []netip.Prefix{prefix("10.66.0.77/24")}, Gateway: "10.66.0.1", NetNS: "full", IfName: "lan0",
		MTU: 1500, Kind: got.Kind, State: api.PortUp, Labels: api.Labels{"k": "v"}, Created: got.Created,
		Counters: got.Counters, Aliases: api.Aliases{"www"}, Security: api.SecurityMAC,
		AllowAddresses: api.AllowAddresses{prefix("10.9.0.0/16")}, AllowReserved: true, BPDUGuard: true,
		Isolated: true, MACLimit: 3, FloodLimit: api.NoLimit, RateIn: "1mbit",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("it is\n%+v, want\n%+v", got, want)
	}
	plain := w.addPort(c, "plain")
	if plain.IfName != "eth0" || plain.Security != api.SecurityStrict || plain.IPs[0] != prefix("172.17.0.4/24") ||
		plain.MAC != frame.MACFromIPv4(addr("172.17.0.4")) || plain.MACLimit != 16 || len(plain.ID) != 64 {
		t.Errorf("with a name alone it is %+v", plain)
	}
	ready := w.addPort(c, "client", func(s *api.PortSpec) { s.IP.DHCP = true })
	if !ready.DHCP || ready.State != api.PortUp || len(w.named["client"].links) != 1 {
		t.Errorf("with a DHCP client it is %+v", ready)
	}
	for _, l := range w.named["client"].links {
		if len(l.Addrs) > 0 {
			t.Errorf("the interface of a DHCP client has %s already", l.Addrs)
		}
	}
	before := w.shown(c)
	w.wantShown(w.crash(), "after a restart", before)
}

func TestAddPortRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	a, x := w.portNamed(c, "a"), w.portNamed(c, "x")
	busy := w.namespace("busy") // has an eth0 already
	busy.links[900] = &fakeLink{in: busy}
	busy.links[900].Index, busy.links[900].Name = 900, "eth0"
	spec := func(edit func(*api.PortSpec)) api.PortSpec {
		s := api.PortSpec{Name: "new", NetNS: "fresh"}
		edit(&s)
		return s
	}
	for name, test := range map[string]struct {
		edit  func(*api.PortSpec)
		kind  api.Kind
		parts []string
	}{
		"a name that is taken":            {func(s *api.PortSpec) { s.Name = "a" }, api.Conflict, []string{`"a"`, "already exists"}},
		"a name taken on another segment": {func(s *api.PortSpec) { s.Name = "x" }, api.Conflict, []string{`"x"`}},
		"an id that is taken":             {func(s *api.PortSpec) { s.ID = a.ID }, api.Conflict, []string{a.ID}},
		"a segment that there is not":     {func(s *api.PortSpec) { s.Segment = "nowhere" }, api.NotFound, []string{`"nowhere"`}},
		"a namespace that there is not":   {func(s *api.PortSpec) { s.NetNS = "gone" }, api.NotFound, []string{"gone"}},
		"a process that there is not":     {func(s *api.PortSpec) { s.NetNS, s.PID = "", 4194304 }, api.NotFound, []string{"4194304"}},
		"a namespace of no form":          {func(s *api.PortSpec) { s.NetNS = "a/b" }, api.Invalid, []string{"a/b"}},
		"an interface of no form":         {func(s *api.PortSpec) { s.IfName = "eth0/../x" }, api.Invalid, []string{"eth0/../x"}},
		"an interface too long":           {func(s *api.PortSpec) { s.IfName = "a-very-long-name" }, api.Invalid, []string{"a-very-long-name"}},
		"an interface that is there":      {func(s *api.PortSpec) { s.NetNS = "busy" }, api.Conflict, []string{"eth0"}},
		"an address that is taken":        {func(s *api.PortSpec) { s.IP.Addr = a.IPs[0].Addr() }, api.Conflict, []string{"172.17.0.2"}},
		"the gateway's address":           {func(s *api.PortSpec) { s.IP.Addr = addr("172.17.0.1") }, api.Conflict, []string{"172.17.0.1", "gateway"}},
		"the broadcast address":           {func(s *api.PortSpec) { s.IP.Addr = addr("172.17.0.255") }, api.Conflict, []string{"172.17.0.255"}},
		"another segment's address":       {func(s *api.PortSpec) { s.IP.Addr = x.IPs[0].Addr() }, api.Invalid, []string{x.IPs[0].Addr().String(), "172.17.0.0/24"}},
		"an IPv6 address":                 {func(s *api.PortSpec) { s.IP.Addr = addr("fd00::2") }, api.Invalid, []string{"fd00::2"}},
		"a MAC that is taken":             {func(s *api.PortSpec) { s.MAC = a.MAC }, api.Conflict, []string{a.MAC.String(), `"a"`, "--mac"}},
		"the gateway's MAC":               {func(s *api.PortSpec) { s.MAC = frame.MACFromIPv4(addr("172.17.0.1")) }, api.Conflict, []string{"gateway"}},
		"a MAC with a static entry":       {func(s *api.PortSpec) { s.MAC = api.MAC{2, 0, 0, 0, 0, 7} }, api.Conflict, []string{"02:00:00:00:00:07", "static entry", `"a"`}},
		"the gateway as allowed address":  {func(s *api.PortSpec) { s.AllowAddresses = []netip.Prefix{prefix("172.17.0.1/32")} }, api.Invalid, []string{"172.17.0.1", "gateway"}},
	} {
		w.refused(c, name, func() error {
			_, err := c.AddPort(t.Context(), spec(test.edit))
			return err
		}, test.kind, test.parts...)
	}
	// What was refused has taken nothing: addresses go on where they were.
	if p := w.addPort(c, "next"); p.IPs[0] != prefix("172.17.0.4/24") {
		t.Errorf("the next port has %s", p.IPs)
	}
	if p := w.addPort(c, "same", func(s *api.PortSpec) { s.Segment, s.MAC = "lab", a.MAC }); p.MAC != a.MAC {
		t.Errorf("on another segment, the MAC is %s", p.MAC)
	}
}

// TestAddPortWithoutATAP: the error says whether the machine lacks the driver or the rights.
func TestAddPortWithoutATAP(t *testing.T) {
	t.Parallel()
	for kind, cause := range map[api.Kind]error{
		api.Unsupported: fs.ErrNotExist, api.Denied: fs.ErrPermission, api.Internal: errors.New("out of paper"),
	} {
		w := newWorld(t)
		c := w.start()
		w.namespace("fresh")
		w.on(c, failingKernel{fakeKernel{w}, "vst-", fmt.Errorf("open /dev/net/tun: %w", cause)})
		for _, handover := range []bool{false, true} {
			spec := api.PortSpec{Name: "new", NetNS: "fresh", Handover: handover}
			if handover {
				spec.NetNS = ""
			}
			w.refused(c, "a port", func() error {
				_, err := c.AddPort(t.Context(), spec)
				return err
			}, kind, "/dev/net/tun", cause.Error())
		}
	}
}

func TestPortsThatOthersManage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	id := strings.Repeat("e", 64)
	add := func(name, id string) error {
		_, err := c.AddPort(t.Context(), api.PortSpec{Name: name, ID: id, Handover: true})
		return err
	}
	if err := add("m", id); err != nil {
		t.Fatal(err)
	}
	p := w.portNamed(c, "m")
	if p.State != api.PortDown || p.Device != "vst-eeeeeeee" || !slices.Contains(w.links(), "own/vst-eeeeeeee") {
		t.Errorf("it is %+v, among %q", p, w.links())
	}
	w.refused(c, "an id that begins alike, and so the name of a device that is there", func() error {
		return add("n", strings.Repeat("e", 63)+"f")
	}, api.Conflict, "exists")
	mac := switchtest.MAC(1)
	w.refused(c, "a MAC", func() error {
		_, err := c.UpdatePort(t.Context(), "m", api.PortUpdate{MAC: &mac})
		return err
	}, api.Invalid, `"m"`, "externally managed")
	if got := w.updatePort(c, "m", api.PortUpdate{NetNS: new("there")}); got.NetNS != "there" {
		t.Errorf("it is in %q", got.NetNS)
	}
	w.addPort(c, "ours")
	w.refused(c, "a namespace for a port of ours", func() error {
		_, err := c.UpdatePort(t.Context(), "ours", api.PortUpdate{NetNS: new("there")})
		return err
	}, api.Invalid, `"ours"`)
	must[api.Port](t)(c.DeletePort(t.Context(), "m"))
	c.Close(false) // which waits for the device to be gone
	if slices.Contains(w.links(), "own/vst-eeeeeeee") {
		t.Errorf("its device is left: %q", w.links())
	}
}

func TestUpdatePort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	b := w.portNamed(c, "b")
	many := make(map[string]*string)
	for i := range api.MaxLabels + 1 {
		many[fmt.Sprint("k", i)] = new("v")
	}
	for name, test := range map[string]struct {
		ref    string
		update api.PortUpdate
		kind   api.Kind
		parts  []string
	}{
		"of no port":                   {"nobody", api.PortUpdate{}, api.NotFound, []string{`"nobody"`, "list-ports"}},
		"to a name that is taken":      {"a", api.PortUpdate{Name: new("b")}, api.Conflict, []string{`"b"`}},
		"to a name on another segment": {"a", api.PortUpdate{Name: new("x")}, api.Conflict, []string{`"x"`}},
		"to a MAC that is taken":       {"a", api.PortUpdate{MAC: &b.MAC}, api.Conflict, []string{b.MAC.String(), `"b"`}},
		"to the gateway's MAC":         {"a", api.PortUpdate{MAC: new(frame.MACFromIPv4(addr("172.17.0.1")))}, api.Conflict, []string{"gateway"}},
		"to a MAC with an entry":       {"b", api.PortUpdate{MAC: &api.MAC{2, 0, 0, 0, 0, 7}}, api.Conflict, []string{"static entry", `"a"`}},
		"to too many labels":           {"a", api.PortUpdate{Labels: many}, api.Invalid, []string{"66 labels", "64"}},
		"to the gateway's address":     {"a", api.PortUpdate{AllowAddresses: &api.AllowAddresses{prefix("172.17.0.1/32")}}, api.Invalid, []string{"172.17.0.1"}},
		"to an address that is no host's": {"a", api.PortUpdate{
			Name: new("other"), AllowAddresses: &api.AllowAddresses{prefix("224.0.0.1/32")},
		}, api.Invalid, []string{`"other"`, "224.0.0.1"}},
	} {
		w.refused(c, "a change "+name, func() error {
			_, err := c.UpdatePort(t.Context(), test.ref, test.update)
			return err
		}, test.kind, test.parts...)
	}
	mac := switchtest.MAC(40)
	got := w.updatePort(c, "a", api.PortUpdate{
		Name: new("web"), MAC: &mac, Labels: map[string]*string{"role": nil, "tier": new("1")},
		Aliases: &api.Aliases{"www", "w3"}, Security: new(api.SecurityMAC), Isolated: new(true),
		MACLimit: new(5), FloodLimit: new(100), RateOut: &api.Rate{BitsPerSecond: 1e9},
		AllowAddresses: &api.AllowAddresses{prefix("10.9.0.0/16"), prefix("10.9.0.0/16")},
	})
	if got.Name != "web" || got.MAC != mac || fmt.Sprint(got.Labels) != "map[tier:1]" || len(got.Aliases) != 2 ||
		got.Security != api.SecurityMAC || !got.Isolated || got.MACLimit != 5 || got.FloodLimit != 100 ||
		got.RateOut != "1gbit" || len(got.AllowAddresses) != 1 || got.State != api.PortUp || got.IPs[0] != prefix("172.17.0.2/24") {
		t.Errorf("it is %+v", got)
	}
	for _, l := range w.named["a"].links {
		if l.MAC.String() != mac.String() {
			t.Errorf("its interface has %s", l.MAC)
		}
	}
	w.wantBinding(c, "web", "172.17.0.2", mac)
	got = w.updatePort(c, "web", api.PortUpdate{
		AllowAddresses: &api.AllowAddresses{}, RateOut: &api.Rate{}, Aliases: &api.Aliases{}, Isolated: new(false), MACLimit: new(0),
	})
	if len(got.AllowAddresses) > 0 || got.RateOut != "" || len(got.Aliases) > 0 || got.Isolated || got.MACLimit != 16 || got.FloodLimit != 100 {
		t.Errorf("without them it is %+v", got)
	}
	before := w.shown(c)
	w.wantShown(w.crash(), "after a restart", before)
}

// wantBinding wants the default segment to answer for an address that way, and not at all for the
// zero MAC.
func (w *world) wantBinding(c *Control, name, ip string, mac api.MAC) {
	w.Helper()
	for _, b := range must[[]api.Binding](w.T)(c.ARP(w.Context(), "")) {
		if b.IP == addr(ip) {
			if b.Port != name || b.MAC != mac {
				w.Errorf("for %s it answers %+v, want %s of port %q", ip, b, mac, name)
			}
			return
		}
	}
	if mac != (api.MAC{}) {
		w.Errorf("for %s it does not answer, want %s of port %q", ip, mac, name)
	}
}

// TestPortThatIsSetDown neither sends nor gets anything, and is up again when that is asked for,
// whatever processes there were between.
func TestPortThatIsSetDown(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		p.wantReach("at first", "bd")
		b := p.portNamed(p.c, "b")
		p.plan(1, 0)
		p.refused(p.c, "a change for a disk that is full", func() error {
			_, err := p.c.UpdatePort(p.Context(), "b", api.PortUpdate{Up: new(false)})
			return err
		}, api.Internal, `"b"`, errStep.Error())
		p.plan(0, 0)
		p.wantReach("still", "bd")
		if got := p.updatePort(p.c, "b", api.PortUpdate{Up: new(false)}); got.State != api.PortDown || !strings.Contains(got.Reason, "set-port") {
			p.Errorf("it is %s: %s", got.State, got.Reason)
		}
		p.wantReach("while b is down", "d")
		p.wantBinding(p.c, "b", "172.17.0.3", api.MAC{})
		p.c = p.crash()
		p.wantReach("after a restart", "d")
		if got := p.updatePort(p.c, "b", api.PortUpdate{Up: new(true)}); got.State != api.PortUp || got.Reason != "" {
			p.Errorf("it is %s: %s", got.State, got.Reason)
		}
		p.wantReach("once b is up", "bd")
		p.wantBinding(p.c, "b", "172.17.0.3", b.MAC)
	})
}

// TestMACOfAPortWithoutSecurity: frames go to the new address and no more to the old one.
func TestMACOfAPortWithoutSecurity(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		old, mac := p.portNamed(p.c, "b").MAC, switchtest.MAC(50)
		p.plan(1, 0)
		p.refused(p.c, "a MAC that the kernel does not take", func() error {
			_, err := p.c.UpdatePort(p.Context(), "b", api.PortUpdate{MAC: &mac})
			return err
		}, api.Internal, errStep.Error())
		p.plan(2, 0) // to set it, and to store it
		p.refused(p.c, "a MAC for a disk that is full", func() error {
			_, err := p.c.UpdatePort(p.Context(), "b", api.PortUpdate{MAC: &mac})
			return err
		}, api.Internal, errStep.Error())
		p.plan(0, 0)
		p.wantBinding(p.c, "b", "172.17.0.3", old)
		for _, l := range p.named["b"].links {
			if l.MAC.String() != old.String() {
				p.Errorf("its interface has %s, want %s", l.MAC, old)
			}
		}
		p.wantReach("as before", "bd")
		p.updatePort(p.c, "b", api.PortUpdate{MAC: &mac})
		p.settle()
		p.wire("b").Frames()
		p.wantReach("at its new address", "bd")
		p.wantBinding(p.c, "b", "172.17.0.3", mac)
		p.updatePort(p.c, "d", api.PortUpdate{MAC: &old}) // which is free
		p.wantReach("with the other at its old one", "bd")
	})
}

// TestMACOfAPortThatIsLost is what the port gets when its namespace comes back.
func TestMACOfAPortThatIsLost(t *testing.T) {
	withThreePorts(t, func(p threePorts) {
		mac := switchtest.MAC(60)
		p.removeNamespace("b")
		p.settle()
		got := p.updatePort(p.c, "b", api.PortUpdate{MAC: &mac, Name: new("renamed"), Up: new(true)})
		if got.State != api.PortLost || got.MAC != mac || got.Name != "renamed" {
			p.Errorf("it is %+v", got)
		}
		p.renewNamespace("b")
		p.c.mountsChanged()
		got = p.portNamed(p.c, "renamed")
		if got.State != api.PortUp || got.MAC != mac {
			p.Errorf("it is %+v", got)
		}
		for _, l := range p.named["b"].links {
			if l.MAC.String() != mac.String() {
				p.Errorf("its interface has %s, want %s", l.MAC, mac)
			}
		}
		p.wantBinding(p.c, "renamed", "172.17.0.3", mac)
		must[api.Port](p.T)(p.c.DeletePort(p.Context(), "renamed"))
	})
}

func TestDeletePort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.furnish(c)
	a := w.portNamed(c, "a")
	remove := func(ref string) func() error {
		return func() error { _, err := c.DeletePort(t.Context(), ref); return err }
	}
	for _, ref := range []string{"nobody", "", "gateway", a.ID + "0", "a\x00"} {
		w.refused(c, "the end of "+ref, remove(ref), api.NotFound, "list-ports")
	}
	gone := must[api.Port](t)(c.DeletePort(t.Context(), a.ID[:24]))
	if gone.Name != "a" || gone.State != api.PortUp || gone.ID != a.ID {
		t.Errorf("what ended was %+v", gone)
	}
	if slices.Contains(w.links(), "a/eth0") || len(w.kept) != 6 { // of three ports and three host links
		t.Errorf("the links are %q, kept are %v", w.links(), w.kept)
	}
	w.wantBinding(c, "", "172.17.0.2", api.MAC{})
	w.refused(c, "its end again", remove(a.ID), api.NotFound, a.ID)
	for _, left := range must[[]api.Published](t)(c.Published(t.Context(), "")) {
		t.Errorf("still published: %+v", left)
	}
	if len(w.reserved) > 0 {
		t.Errorf("still reserved: %v", w.reserved)
	}
	// All that it had is free.
	again := w.addPort(c, "a", func(s *api.PortSpec) { s.ID, s.MAC, s.IP.Addr = a.ID, a.MAC, a.IPs[0].Addr() })
	if again.ID != a.ID || again.MAC != a.MAC || again.IPs[0] != a.IPs[0] || again.Counters.RxFrames != 0 {
		t.Errorf("made again it is %+v", again)
	}
	must[api.Port](t)(c.DeletePort(t.Context(), "a"))
	c = w.crash()
	if list := must[[]api.Port](t)(c.Ports(t.Context(), "")); len(list) != 3 {
		t.Errorf("after a restart there are %d ports, want 3", len(list))
	}
}

func TestWithLabels(t *testing.T) {
	t.Parallel()
	full := make(map[string]string)
	for i := range api.MaxLabels {
		full[fmt.Sprint("k", i)] = "v"
	}
	over := map[string]string{"one": "more"} // as a version before allowed
	for k, v := range full {
		over[k] = v
	}
	for name, test := range map[string]struct {
		labels map[string]string
		change map[string]*string
		want   int // -1: it is refused
	}{
		"nothing for none":          {nil, nil, 0},
		"one for none":              {nil, map[string]*string{"a": new("b")}, 1},
		"the end of none":           {nil, map[string]*string{"a": nil}, 0},
		"another value":             {full, map[string]*string{"k0": new("w")}, api.MaxLabels},
		"one for another":           {full, map[string]*string{"k0": nil, "new": new("w")}, api.MaxLabels},
		"one too many":              {full, map[string]*string{"new": new("w")}, -1},
		"another value of too many": {over, map[string]*string{"k0": new("w")}, api.MaxLabels + 1},
		"one less of too many":      {over, map[string]*string{"k0": nil}, api.MaxLabels},
		"one more of too many":      {over, map[string]*string{"new": new("w")}, -1},
	} {
		before := fmt.Sprint(test.labels)
		got, err := withLabels(test.labels, test.change)
		if test.want < 0 {
			wantRefused(t, name, err, api.Invalid, "labels", fmt.Sprint(api.MaxLabels))
		} else if err != nil || len(got) != test.want {
			t.Errorf("%s: %d labels, %v; want %d", name, len(got), err, test.want)
		}
		if fmt.Sprint(test.labels) != before {
			t.Errorf("%s: the labels from before were changed", name)
		}
	}
	if p := (model.Port{}); p.IPv4().IsValid() {
		t.Errorf("a port without addresses has %s", p.IPv4())
	}
}
