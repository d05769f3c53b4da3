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
	"vswitch/internal/control/kernel/kerneltest"
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

// vrrp has the MACs of VRRP's routers over IPv4 (RFC 9568 §7.3).
var vrrp = api.MACMask{MAC: api.MAC{0, 0, 0x5e, 0, 1, 0}, Mask: api.MAC{255, 255, 255, 255, 255, 0}}

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
		s.AllowMACs, s.AllowProtocols = []api.MACMask{vrrp}, []api.LinkProtocol{"ptp", "0x88b5"}
	})
	want := api.Port{
		ID: id, Name: "full", Segment: "lab", SegmentID: got.SegmentID, MAC: switchtest.MAC(9),
		IPs: []netip.Prefix{prefix("10.66.0.77/24")}, Gateway: "10.66.0.1", NetNS: "full", IfName: "lan0",
		MTU: 1500, Kind: got.Kind, State: api.PortUp, Labels: api.Labels{"k": "v"}, Created: got.Created,
		Counters: got.Counters, Aliases: api.Aliases{"www"}, Security: api.SecurityMAC,
		AllowAddresses: api.AllowAddresses{prefix("10.9.0.0/16")}, AllowMACs: api.AllowMACs{vrrp}, AllowProtocols: api.AllowProtocols{"ptp", "0x88b5", "reserved"},
		AllowReserved: true, BPDUGuard: true, Isolated: true, MACLimit: 3, FloodLimit: api.NoLimit, RateIn: "1mbit",
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
	if !ready.DHCP || ready.State != api.PortUp || len(w.Named["client"].Links) != 1 {
		t.Errorf("with a DHCP client it is %+v", ready)
	}
	for _, l := range w.Named["client"].Links {
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
	busy := w.AddNamespace("busy") // has an eth0 already
	busy.Links[900] = &kerneltest.Link{In: busy}
	busy.Links[900].Index, busy.Links[900].Name = 900, "eth0"
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
		"an interface that is there":      {func(s *api.PortSpec) { s.NetNS = "busy" }, api.Conflict, []string{"eth0"}},
		"an address that is taken":        {func(s *api.PortSpec) { s.IP.Addr = a.IPs[0].Addr() }, api.Conflict, []string{"172.17.0.2"}},
		"the gateway's address":           {func(s *api.PortSpec) { s.IP.Addr = addr("172.17.0.1") }, api.Conflict, []string{"172.17.0.1", "gateway"}},
		"the broadcast address":           {func(s *api.PortSpec) { s.IP.Addr = addr("172.17.0.255") }, api.Conflict, []string{"172.17.0.255"}},
		"another segment's address":       {func(s *api.PortSpec) { s.IP.Addr = x.IPs[0].Addr() }, api.Invalid, []string{x.IPs[0].Addr().String(), "172.17.0.0/24"}},
		"an IPv6 address":                 {func(s *api.PortSpec) { s.IP.Addr = addr("fd00::2") }, api.Invalid, []string{"fd00::2"}},
		"a MAC that is taken":             {func(s *api.PortSpec) { s.MAC = a.MAC }, api.Conflict, []string{a.MAC.String(), `"a"`, "--mac"}},
		"the gateway's MAC":               {func(s *api.PortSpec) { s.MAC = frame.MACFromIPv4(addr("172.17.0.1")) }, api.Conflict, []string{"gateway"}},
		"a MAC with a static entry":       {func(s *api.PortSpec) { s.MAC = api.MAC{2, 0, 0, 0, 0, 7} }, api.Conflict, []string{"02:00:00:00:00:07", "static entry", `"a"`}},
		"the gateway as allowed MAC": {func(s *api.PortSpec) {
			s.AllowMACs = []api.MACMask{frame.SingleMAC(frame.MACFromIPv4(addr("172.17.0.1")))}
		}, api.Invalid, []string{"02:42:ac:11:00:01", "gateway"}},
		"a mask that has the gateway": {func(s *api.PortSpec) {
			s.AllowMACs = []api.MACMask{{MAC: api.MAC{0x02, 0x42, 0xac}, Mask: api.MAC{255, 255, 255}}}
		}, api.Invalid, []string{"02:42:ac:00:00:00/ff:ff:ff:00:00:00", "02:42:ac:11:00:01", "gateway"}},
		"another port's MAC as allowed": {func(s *api.PortSpec) {
			s.AllowMACs = []api.MACMask{frame.SingleMAC(a.MAC)}
		}, api.Conflict, []string{a.MAC.String(), `"a"`}},
		"the gateway as allowed address": {func(s *api.PortSpec) { s.AllowAddresses = []netip.Prefix{prefix("172.17.0.1/32")} }, api.Invalid, []string{"172.17.0.1", "gateway"}},
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
		w.AddNamespace("fresh")
		w.FailCall("create vst-", fmt.Errorf("open /dev/net/tun: %w", cause))
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
	if p.State != api.PortDown || p.Device != "vst-eeeeeeee" || !slices.Contains(w.AllLinks(), "own/vst-eeeeeeee") {
		t.Errorf("it is %+v, among %q", p, w.AllLinks())
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
	w.close(c, false) // which waits for the device to be gone
	if slices.Contains(w.AllLinks(), "own/vst-eeeeeeee") {
		t.Errorf("its device is left: %q", w.AllLinks())
	}
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
	if slices.Contains(w.AllLinks(), "a/eth0") || len(w.Kept) != 6 { // of three ports and three host links
		t.Errorf("the links are %q, kept are %v", w.AllLinks(), w.Kept)
	}
	w.wantBinding(c, "", "172.17.0.2", api.MAC{})
	w.refused(c, "its end again", remove(a.ID), api.NotFound, a.ID)
	for _, left := range must[[]api.Published](t)(c.Published(t.Context(), "")) {
		t.Errorf("still published: %+v", left)
	}
	if len(w.Reserved) > 0 {
		t.Errorf("still reserved: %v", w.Reserved)
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
