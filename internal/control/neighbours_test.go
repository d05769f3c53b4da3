package control

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// TestMACSetInTheContainer is followed at a port without security, and makes one with security
// unreachable until it is set back. After a restart the same is shown.
func TestMACSetInTheContainer(t *testing.T) {
	given, other := api.MAC{2, 0x42, 172, 17, 0, 2}, api.MAC{2, 0, 0, 0, 0, 9}
	changed := "up: its MAC address was changed to 02:00:00:00:00:09 in its network namespace"
	for _, test := range []struct {
		security api.Security
		shown    string
		mac      api.MAC
		bound    string
		log      []string
	}{
		{api.SecurityOff, "up", other, other.String(), []string{"level=INFO", "to=" + other.String()}},
		{api.SecurityMAC, changed, given, "", []string{"level=WARN", "vsctl set-port a --mac " + other.String()}},
		{api.SecurityStrict, changed, given, "", []string{"level=WARN", "vsctl set-port a --mac " + other.String()}},
	} {
		for way, end := range ways {
			t.Run(fmt.Sprint(test.security, ", ", way), func(t *testing.T) {
				inWatchedWorld(t, func(w *watchedWorld) {
					c := w.start()
					w.addPort(c, "a", func(s *api.PortSpec) { s.Security = test.security })
					b := w.addPort(c, "b")
					w.rest()
					w.wire(c, "b").Frames()
					ns := w.Named["a"]
					w.change(ns, "eth0", func(l *kerneltest.Link) { l.MAC = other[:] })
					w.wantLog(append(test.log, "MAC address changed", "port=a")...)
					announced := slices.ContainsFunc(w.wire(c, "b").Frames(), func(f []byte) bool {
						return frame.Ethernet(f).Src() == other
					})
					if announced != (test.bound != "") {
						w.Errorf("it was announced: %t", announced)
					}
					check := func() {
						w.Helper()
						w.wantPortShown(c, "a", test.shown)
						w.wantBound(c, "172.17.0.2", test.bound)
						if p, _ := c.Port(w.Context(), "a"); p.MAC != test.mac {
							w.Errorf("it is shown with %s, want %s", p.MAC, test.mac)
						}
						w.wantAnswer(c, b, "172.17.0.2", test.bound)
					}
					check()
					c = w.restart(c, end)
					c.Settle()
					w.rest()
					check()
					w.change(ns, "eth0", func(l *kerneltest.Link) { l.MAC = given[:] })
					w.wantPortShown(c, "a", "up")
					w.wantBound(c, "172.17.0.2", given.String())
					w.wantAnswer(c, b, "172.17.0.2", given.String())
				})
			})
		}
	}
}

// wantAnswer wants the switch to answer the port's ARP request for an address with a MAC; empty:
// not to answer it.
func (w *watchedWorld) wantAnswer(c *Control, from api.Port, ip, mac string) {
	w.Helper()
	wire := w.wire(c, from.Name)
	wire.Frames()
	wire.Send(switchtest.ARP(from.MAC, from.IPs[0].Addr(), addr(ip)))
	w.rest()
	got := ""
	for _, f := range wire.Frames() {
		if eth := frame.Ethernet(f); eth.EtherType() == frame.EtherTypeARP &&
			eth.Dst() == from.MAC {
			got = net.HardwareAddr(eth.Payload()[8:14]).String() // the sender's
		}
	}
	if got != mac {
		w.Errorf("the answer for %s is %q, want %q", ip, got, mac)
	}
}

// TestMACOfAnotherSetInTheContainer of a port without security: the other one keeps its frames, and
// the log says so.
func TestMACOfAnotherSetInTheContainer(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a", func(s *api.PortSpec) { s.Security = api.SecurityOff })
		b, third := w.addPort(c, "b"), w.addPort(c, "third")
		w.rest()
		w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.MAC = slices.Clone(b.MAC[:]) })
		w.wantLog("level=WARN", "another port's own", "port=a", "mac="+b.MAC.String())
		w.wire(c, "a").Frames()
		w.wantPasses(w.wire(c, "third"), w.wire(c, "b"), datagram(b.MAC, third, "for b"))
		if got := w.wire(c, "a").Frames(); len(got) > 0 {
			w.Errorf("a has got %q", got)
		}
		w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.MAC = []byte{2, 0x42, 172, 17, 0, 2} })
		w.wantPasses(
			w.wire(c, "third"), w.wire(c, "a"), datagram(api.MAC{2, 0x42, 172, 17, 0, 2}, third, "for a"),
		)
	})
}

// TestMACOfAnEntrySetInTheContainer: the static entry of a MAC that was the interface's own is
// there again when it is not any more.
func TestMACOfAnEntrySetInTheContainer(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a", func(s *api.PortSpec) { s.Security = api.SecurityOff })
		b := w.addPort(c, "b")
		w.addPort(c, "third")
		behind := api.MAC{2, 0, 0, 0, 0, 7}
		_, err := c.AddFDB(w.Context(), "", api.FDBSpec{MAC: behind, Port: "a"})
		w.wantNil(err)
		w.rest()
		for _, mac := range []api.MAC{behind, {2, 0x42, 172, 17, 0, 2}} {
			w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.MAC = mac[:] })
			w.wire(c, "third").Frames()
			w.wantPasses(w.wire(c, "b"), w.wire(c, "a"), datagram(behind, b, "behind a"))
			if got := w.wire(c, "third").Frames(); len(got) > 0 {
				w.Errorf("a third port has got %q", got)
			}
		}
	})
}

// TestMACGivenToAPort is that of its interface, and of what is answered.
func TestMACGivenToAPort(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		b := w.addPort(c, "b")
		mac := api.MAC{2, 0, 0, 0, 0, 9}
		for range 2 { // the second time nothing is left to do
			p, err := c.UpdatePort(w.Context(), "a", api.PortUpdate{MAC: &mac})
			if err != nil || p.MAC != mac {
				w.Errorf("it has %s, %v", p.MAC, err)
			}
			w.rest()
			if got := w.Named["a"].Link("eth0").MAC.String(); got != mac.String() {
				w.Errorf("the interface has %s", got)
			}
			w.wantAnswer(c, b, "172.17.0.2", mac.String())
		}
		// What the container has made of it is put right.
		w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.MAC = []byte{2, 0, 0, 0, 0, 66} })
		w.wantBound(c, "172.17.0.2", "")
		_, err := c.UpdatePort(w.Context(), "a", api.PortUpdate{MAC: &mac})
		w.wantNil(err)
		w.rest()
		w.wantPortShown(c, "a", "up")
		w.wantBound(c, "172.17.0.2", mac.String())
	})
}

// TestMACGivenToALostPort is that of the interface which it gets.
func TestMACGivenToALostPort(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a")
		w.RemoveNamespace("a")
		w.rest()
		mac := api.MAC{2, 0, 0, 0, 0, 9}
		_, err := c.UpdatePort(w.Context(), "a", api.PortUpdate{MAC: &mac})
		w.wantNil(err)
		ns := w.replaceNamespace("a")
		w.mountsChange()
		if got := ns.Link("eth0").MAC.String(); got != mac.String() {
			w.Errorf("the interface has %s", got)
		}
		w.wantBound(c, "172.17.0.2", mac.String())
	})
}

// TestMACsThatAreRefused of a port that is there.
func TestMACsThatAreRefused(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.furnish(c)
		free := w.addPort(c, "free", func(s *api.PortSpec) { s.Security = api.SecurityOff })
		w.rest()
		w.change(w.Named["free"], "eth0", func(l *kerneltest.Link) { l.MAC = []byte{2, 0, 0, 0, 0, 66} })
		for mac, says := range map[api.MAC]string{
			{2, 0x42, 172, 17, 0, 1}: "gateway",
			{2, 0x42, 172, 17, 0, 2}: `port "a"`,
			{2, 0, 0, 0, 0, 7}:       `static entry at port "a"`,
			free.MAC:                 `port "free"`, // is its own still
			{2, 0, 0, 0, 0, 66}:      `port "free"`, // which uses it
		} {
			_, err := c.UpdatePort(w.Context(), "b", api.PortUpdate{MAC: &mac})
			w.wantError(err, api.Conflict, mac.String(), says)
		}
		// That the interface of another happens to have the MAC of a new port's address is no
		// reason to refuse it.
		p := w.addPort(c, "new")
		w.change(w.Named["free"], "eth0", func(l *kerneltest.Link) { l.MAC = []byte{2, 0x42, 172, 17, 0, 6} })
		if q := w.addPort(c, "newer"); q.MAC != (api.MAC{2, 0x42, 172, 17, 0, 6}) {
			w.Errorf("it has %s after %s", q.MAC, p.MAC)
		}
	})
}

// TestMACThatTheKernelRefuses leaves the port with its own.
func TestMACThatTheKernelRefuses(t *testing.T) {
	t.Parallel()
	w := newWatchedWorld(t)
	c := w.world.start()
	a := w.addPort(c, "a")
	mac := api.MAC{2, 0, 0, 0, 0, 9}
	w.Plan(1, 0)
	_, err := c.UpdatePort(t.Context(), "a", api.PortUpdate{MAC: &mac})
	w.Plan(0, 0)
	if !errors.Is(err, kerneltest.ErrStep) {
		t.Errorf("the error is %v", err)
	}
	w.wantBound(c, "172.17.0.2", a.MAC.String())
	// The device has lost its interface, which nobody has told of yet.
	w.Mu.Lock()
	for _, d := range w.Devices {
		if d.Link != nil && d.Link.In == w.Named["a"] {
			d.Link = nil
		}
	}
	w.Mu.Unlock()
	if _, err := c.UpdatePort(t.Context(), "a", api.PortUpdate{MAC: &mac}); err == nil {
		t.Error("a port without an interface has got a MAC")
	}
}

// TestPortThatClaimsItsAddressForAnotherMAC: at a port that may, the claim stays until the port
// is put under security.
func TestPortThatClaimsItsAddressForAnotherMAC(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		a := w.addPort(c, "a", func(s *api.PortSpec) { s.Security = api.SecurityOff })
		w.rest()
		behind := api.MAC{2, 0, 0, 0, 0, 0x55}
		w.wire(c, "a").Send(switchtest.ARP(behind, a.IPs[0].Addr(), a.IPs[0].Addr()))
		w.rest()
		w.wantBound(c, "172.17.0.2", behind.String())
		w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.Addrs = at("172.17.0.2", "10.1.1.1") })
		w.wantBound(c, "172.17.0.2", behind.String())
		_, err := c.UpdatePort(w.Context(), "a", api.PortUpdate{Security: new(api.SecurityStrict)})
		w.wantNil(err)
		w.wantBound(c, "172.17.0.2", a.MAC.String())
	})
}

// TestDHCPClientIsAnsweredFor once its interface has the address.
func TestDHCPClientIsAnsweredFor(t *testing.T) {
	inWatchedWorld(t, func(w *watchedWorld) {
		c := w.start()
		w.addPort(c, "a", func(s *api.PortSpec) { s.IP = api.PortIP{DHCP: true} })
		w.quietly(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.Addrs = nil })
		w.rest()
		w.wantPortShown(c, "a", "up")
		w.wantBound(c, "172.17.0.2", "")
		w.change(w.Named["a"], "eth0", func(l *kerneltest.Link) { l.Addrs = at("172.17.0.2") })
		w.wantBound(c, "172.17.0.2", "02:42:ac:11:00:02")
	})
}
