package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"reflect"
	"syscall"
	"testing"

	"vswitch/api"
	"vswitch/internal/frame"
	"vswitch/internal/netns"
	"vswitch/switch/switchtest"
)

// refusals are ports that cannot be added beside furnish's.
var refusals = []struct {
	name string
	spec api.PortSpec
	rig  func(w *watchedWorld) // makes the kernel refuse it
	kind api.Kind
	says []string
}{
	{
		name: "name of another", spec: api.PortSpec{Name: "a", NetNS: "fresh"},
		kind: api.Conflict, says: []string{`port "a" already exists`},
	},
	{
		name: "unknown segment", spec: api.PortSpec{Name: "new", NetNS: "fresh", Segment: "nowhere"},
		kind: api.NotFound, says: []string{`segment "nowhere" does not exist`},
	},
	{
		name: "namespace that is none", spec: api.PortSpec{Name: "new", NetNS: "gone"},
		kind: api.NotFound, says: []string{"gone"},
	},
	{
		name: "process that is none", spec: api.PortSpec{Name: "new", PID: 77},
		kind: api.NotFound, says: []string{"77"},
	},
	{
		name: "relative path", spec: api.PortSpec{Name: "new", NetNS: "a/b"},
		kind: api.Invalid, says: []string{`"a/b"`},
	},
	{
		name: "address outside the subnet",
		spec: api.PortSpec{Name: "new", NetNS: "fresh", IP: api.PortIP{Addr: addr("10.1.1.1")}},
		kind: api.Invalid, says: []string{"10.1.1.1"},
	},
	{
		name: "address of another",
		spec: api.PortSpec{Name: "new", NetNS: "fresh", IP: api.PortIP{Addr: addr("172.17.0.2")}},
		kind: api.Conflict, says: []string{"172.17.0.2"},
	},
	{
		name: "address of the gateway",
		spec: api.PortSpec{Name: "new", NetNS: "fresh", IP: api.PortIP{Addr: addr("172.17.0.1")}},
		kind: api.Conflict, says: []string{"172.17.0.1"},
	},
	{
		name: "MAC of the gateway",
		spec: api.PortSpec{Name: "new", NetNS: "fresh", MAC: api.MAC{2, 0x42, 172, 17, 0, 1}},
		kind: api.Conflict, says: []string{"02:42:ac:11:00:01", "gateway"},
	},
	{
		name: "MAC of another",
		spec: api.PortSpec{Name: "new", NetNS: "fresh", MAC: api.MAC{2, 0x42, 172, 17, 0, 2}},
		kind: api.Conflict, says: []string{"02:42:ac:11:00:02", `port "a"`},
	},
	{
		name: "MAC of a static entry",
		spec: api.PortSpec{Name: "new", NetNS: "fresh", MAC: api.MAC{2, 0, 0, 0, 0, 7}},
		kind: api.Conflict, says: []string{"02:00:00:00:00:07", `static entry at port "a"`},
	},
	{
		name: "interface that is there", spec: api.PortSpec{Name: "new", NetNS: "a"},
		kind: api.Conflict, says: []string{"eth0"},
	},
	{
		name: "file that is no namespace", spec: api.PortSpec{Name: "new", NetNS: "fresh"},
		rig: func(w *watchedWorld) {
			w.FailCall("open namespace", fmt.Errorf("%w: /etc/passwd", netns.ErrNotNamespace))
		},
		kind: api.Invalid, says: []string{"/etc/passwd"},
	},
	{
		name: "namespace that may not be opened", spec: api.PortSpec{Name: "new", NetNS: "fresh"},
		rig: func(w *watchedWorld) {
			w.FailCall("open namespace", &fs.PathError{Op: "open", Path: "/p", Err: fs.ErrPermission})
		},
		kind: api.Denied, says: []string{"/p"},
	},
	{
		name: "no clone device", spec: api.PortSpec{Name: "new", NetNS: "fresh"},
		rig: func(w *watchedWorld) {
			w.FailCall("create", &fs.PathError{Op: "open", Path: "/dev/net/tun", Err: syscall.ENOENT})
		},
		kind: api.Unsupported, says: []string{"/dev/net/tun"},
	},
	{
		name: "no driver for a port that others manage", spec: api.PortSpec{Name: "new", Handover: true},
		rig: func(w *watchedWorld) {
			w.FailCall("create", &fs.PathError{Op: "open", Path: "/dev/net/tun", Err: syscall.ENODEV})
		},
		kind: api.Unsupported, says: []string{"/dev/net/tun"},
	},
}

// TestPortsThatAreRefused leave nothing behind, and the next one takes what they would have had.
func TestPortsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWatchedWorld(t)
			c := w.world.start()
			w.furnish(c)
			before, records := w.see(c), w.State.Records()
			if test.rig != nil {
				test.rig(w)
			}
			_, err := c.AddPort(w.Context(), test.spec)
			w.wantError(err, test.kind, test.says...)
			w.FailCall("open namespace", nil)
			w.FailCall("create", nil)
			if now := w.see(c); !reflect.DeepEqual(now, before) {
				t.Errorf("afterwards there is\n%+v, where there was\n%+v", now, before)
			}
			if !reflect.DeepEqual(w.State.Records(), records) {
				t.Error("the state is another")
			}
			p, err := c.AddPort(w.Context(), api.PortSpec{Name: "next", NetNS: "fresh"})
			if err != nil || p.IPs[0] != prefix("172.17.0.4/24") {
				t.Errorf("the next port has %v, %v", p.IPs, err)
			}
		})
	}
}

func TestPortWithTheIDOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	a := w.addPort(c, "a")
	_, err := c.AddPort(t.Context(), api.PortSpec{Name: "b", NetNS: w.AddNamespace("b").Name, ID: a.ID})
	w.wantError(err, api.Conflict, a.ID)
}

// TestSubnetWithoutAFreeAddress: the port that is one too many is refused, and one that goes makes
// room for it.
func TestSubnetWithoutAFreeAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	if _, err := c.AddSegment(t.Context(), api.SegmentSpec{Name: "tiny", Subnet: prefix("10.9.0.0/30")}); err != nil {
		t.Fatal(err)
	}
	onTiny := func(s *api.PortSpec) { s.Segment = "tiny" }
	w.addPort(c, "a", onTiny)
	_, err := c.AddPort(t.Context(), api.PortSpec{Name: "b", NetNS: w.AddNamespace("b").Name, Segment: "tiny"})
	w.wantError(err, api.Exhausted, "10.9.0.0/30")
	if _, err := c.DeletePort(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if p := w.addPort(c, "b", onTiny); p.IPs[0] != prefix("10.9.0.2/30") {
		t.Errorf("it has %v", p.IPs)
	}
}

// TestInterfaceOfAPort is what the kernel is asked for.
func TestInterfaceOfAPort(t *testing.T) {
	t.Parallel()
	mac := api.MAC{2, 0, 0, 0, 0, 5}
	for _, test := range []struct {
		name      string
		spec      api.PortSpec
		linkLocal bool
		want      netns.LinkConfig
	}{
		{"plain", api.PortSpec{}, false, netns.LinkConfig{
			Name: "eth0", Address: prefix("172.17.0.2/24"), DefaultRoute: true, DisableIPv6: true,
		}},
		{"with a DHCP client", api.PortSpec{IP: api.PortIP{DHCP: true}}, false, netns.LinkConfig{
			Name: "eth0", DisableIPv6: true,
		}},
		{"without a default route", api.PortSpec{NoDefaultRoute: true, IfName: "net1"}, true, netns.LinkConfig{
			Name: "net1", Address: prefix("172.17.0.2/24"),
		}},
	} {
		w := newWorld(t)
		ns := w.AddNamespace("c")
		w.adjust = func(c *core) { c.config.IPv6LinkLocal = test.linkLocal }
		c := w.start()
		test.spec.Name, test.spec.NetNS, test.spec.MAC = "a", "c", mac
		p, err := c.AddPort(t.Context(), test.spec)
		if err != nil {
			t.Fatal(err)
		}
		test.want.HostName, test.want.MAC = "vst-"+p.ID[:8], net.HardwareAddr(mac[:])
		test.want.MTU, test.want.TxQueueLen = p.MTU, 1000
		test.want.Gateway, test.want.SysctlDir = addr("172.17.0.1"), "/nowhere"
		if !reflect.DeepEqual(ns.Asked, test.want) {
			t.Errorf("%s: the kernel is asked for\n%+v, want\n%+v", test.name, ns.Asked, test.want)
		}
	}
}

// TestIPv6ThatStays in a container is worth a warning, and no failure.
func TestIPv6ThatStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start()
	w.addPort(c, "a", func(p *api.PortSpec) {
		w.Named["a"].IPv6 = errors.New("read-only /proc")
	})
	w.wantPortShown(c, "a", "up")
	w.wantLog("level=WARN", "IPv6 multicasts", "port=a", "read-only /proc")
}

// TestFramesPassBetweenPorts of a segment, as soon as they are added and until they are removed.
func TestFramesPassBetweenPorts(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		a, b := w.addPort(c, "a"), w.addPort(c, "b")
		w.addPort(c, "far", func(s *api.PortSpec) { s.Segment = "lab" }, w.withSegment(c, "lab"))
		w.rest()
		far, atB := w.wire(c, "far"), w.wire(c, "b")
		far.Frames()
		w.wantPasses(w.wire(c, "a"), atB, datagram(b.MAC, a, "one"))
		w.wantPasses(w.wire(c, "a"), atB, datagram(frame.Broadcast, a, "all"))
		if frames := far.Frames(); len(frames) > 0 {
			w.Errorf("another segment got %q", frames)
		}
		atA := w.wire(c, "a")
		if _, err := c.DeletePort(w.Context(), "b"); err != nil {
			w.Fatal(err)
		}
		w.rest()
		atB.Frames()
		atA.Send(datagram(b.MAC, a, "late"))
		w.rest()
		if frames := atB.Frames(); len(frames) > 0 {
			w.Errorf("a port that is removed got %q", frames)
		}
	})
}

// TestStaticEntryOfAPort is there again after each kind of restart.
func TestStaticEntryOfAPort(t *testing.T) {
	for name, end := range ways {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, func(w *watchedWorld) {
				c := w.start()
				a := w.addPort(c, "a")
				w.addPort(c, "b")
				behind := api.MAC{2, 0, 0, 0, 0, 7}
				if _, err := c.AddFDB(w.Context(), "", api.FDBSpec{MAC: behind, Port: "b"}); err != nil {
					w.Fatal(err)
				}
				c = w.restart(c, end)
				w.addPort(c, "other")
				w.rest()
				others := w.wire(c, "other")
				others.Frames()
				w.wantPasses(w.wire(c, "a"), w.wire(c, "b"), datagram(behind, a, "static"))
				if frames := others.Frames(); len(frames) > 0 {
					w.Errorf("a third port got %q", frames)
				}
			})
		})
	}
}

// withSegment makes a segment before the port is added to it.
func (w *watchedWorld) withSegment(c *Control, name string) func(*api.PortSpec) {
	return func(*api.PortSpec) {
		if _, err := c.AddSegment(w.Context(), api.SegmentSpec{Name: name}); err != nil {
			w.Fatal(err)
		}
	}
}

// wantPasses wants a frame that is sent at one device to come out at another, and nothing else.
func (w *watchedWorld) wantPasses(from, to *switchtest.Device, eth []byte) {
	w.Helper()
	to.Frames()
	from.Send(eth)
	w.rest()
	got := to.Frames()
	if len(got) != 1 || string(got[0]) != string(eth) {
		w.Errorf("%q was sent, and %q arrived", eth, got)
	}
}

// wantNothing wants a frame that is sent at one device not to come out at another.
func (w *watchedWorld) wantNothing(from, to *switchtest.Device, eth []byte) {
	w.Helper()
	to.Frames()
	from.Send(eth)
	w.rest()
	if got := to.Frames(); len(got) > 0 {
		w.Errorf("%q was sent, and %q arrived", eth, got)
	}
}

// datagram is a frame that a port with security may send.
func datagram(dst frame.MAC, from api.Port, text string) []byte {
	src := netip.AddrPortFrom(from.IPs[0].Addr(), 7)
	return switchtest.UDP(dst, from.MAC, netip.MustParseAddrPort("172.17.0.200:7"), src, []byte(text))
}
