package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/internal/frame"
	"vswitch/internal/store"
)

// answerFor is the MAC by which the switch answers for an address, empty if it does not.
func (h *host) answerFor(addr netip.Addr) string {
	h.Helper()
	list, err := h.client.ARP(h.Context(), "bridge")
	if err != nil {
		h.Fatal(err)
	}
	for _, b := range list {
		if b.IP == addr {
			return b.MAC
		}
	}
	return ""
}

// An announcement by which a port without security moved its address to another MAC is
// worth nothing once the port has security: else the port's own ARP would be refused.
func TestClaimEndsWithSecurity(t *testing.T) {
	t.Parallel()
	for _, level := range []string{api.SecurityStrict, api.SecurityMAC} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			a, b := h.attach("a"), h.attach("b", secured(api.SecurityOff))
			claimed := net.HardwareAddr{2, 0, 0, 0, 0x44, 3}
			nobody := make(net.HardwareAddr, 6)
			rawSocket(b).send(ethernet(broadcast, claimed, unix.ETH_P_ARP,
				arpPacket(arpAsks, claimed, b.addr(), nobody, b.addr())...))
			h.await("the address is at the claimed MAC", func() bool {
				return h.answerFor(b.addr()) == claimed.String()
			})
			h.mustVsctl("set-port", "b", "--security", level)
			if mac := h.answerFor(b.addr()); mac != b.port.MAC {
				t.Errorf("at %s the switch answers with %s, want the port's %s", level, mac, b.port.MAC)
			}
			a.Run("ip", "neigh", "flush", "dev", "eth0")
			b.reaches(a.addr().String())
			a.reaches(b.addr().String())
			if n := h.counters("b").Drops["spoofed-arp"]; n != 0 {
				t.Errorf("%d frames of an honest port were dropped as spoofed-arp", n)
			}
		})
	}
}

// The MAC that a port has already may be set too: its interface may have another.
func TestSetPortMACSetsTheInterfaceBack(t *testing.T) {
	t.Parallel()
	for _, level := range []string{api.SecurityStrict, api.SecurityOff} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			a, b := h.attach("a"), h.attach("b", secured(level))
			const mac = "02:00:00:00:66:05"
			b.Run("ip", "link", "set", "eth0", "address", mac)
			h.await("the switch has seen the change", func() bool {
				p := h.port("b")
				return p.MAC == mac || strings.Contains(p.Reason, mac)
			})
			h.mustVsctl("set-port", "b", "--rename", "renamed") // leaves it alone
			if out := b.Run("ip", "link", "show", "dev", "eth0"); !strings.Contains(out, mac) {
				t.Errorf("another name set the interface's MAC:\n%s", out)
			}
			h.mustVsctl("set-port", "renamed", "--rename", "b", "--mac", b.port.MAC)
			h.hasMAC(b, b.port.MAC, a)
			if reason := h.port("b").Reason; reason != "" {
				t.Errorf("the port's reason is %q, want none", reason)
			}
		})
	}
}

// A static entry is nobody's to take, and none may be set for what is a port's own.
func TestStaticEntriesAndOwnAddresses(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.attach("a")
	b := h.attach("b", secured(api.SecurityOff))
	const static, live = "02:00:00:00:55:02", "02:00:00:00:55:03"
	h.mustVsctl("add-fdb", "bridge", static, "a")
	wantStatic := func(when string) {
		t.Helper()
		if kind, port := h.macKind(static); kind != "static" || port != "a" {
			t.Errorf("%s the entry is of kind %q at port %q, want static at a", when, kind, port)
		}
	}
	for _, mac := range []string{static, live} {
		b.Run("ip", "link", "set", "eth0", "address", mac)
		h.await("the switch has seen the change", func() bool { return h.port("b").MAC == mac })
		wantStatic("with b's interface at " + mac)
	}
	// The MAC of the port's record is its own, although its interface has another.
	h.refusesCommand([]string{b.port.MAC, `"b"`}, "add-fdb", "bridge", b.port.MAC, "a")
	h.mustVsctl("add-fdb", "bridge", "02:00:00:00:55:04", "b")
	h.refusesCommand([]string{"static"}, "set-port", "b", "--mac", "02:00:00:00:55:04")
	h.kill()
	h.start()
	wantStatic("after a restart")
}

// A version before let static entries of ports' own addresses be set.
func TestStaticEntryOfAnOwnAddressEndsAtTheStart(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.attach("a"), h.attach("b")
	h.stop()
	state, err := store.Open(h.stateDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{a.port.ID, b.port.ID} {
		e := store.Entry{SegmentID: a.port.SegmentID, MAC: a.port.MAC, PortID: port}
		if err := state.PutEntry(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := state.Close(); err != nil {
		t.Fatal(err)
	}
	h.start()
	if kind, port := h.macKind(a.port.MAC); kind != "own" || port != "a" {
		t.Errorf("a's MAC has kind %q at port %q, want own at a", kind, port)
	}
	for _, mac := range []string{"02:00:00:00:66:06", a.port.MAC} {
		h.mustVsctl("set-port", "a", "--mac", mac)
	}
	b.reaches(a.addr().String())
}

// Two ports may exchange their MACs while they run.
func TestPortsExchangeTheirMACs(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--ageing", "1s")
	a, b := h.attach("a", secured(api.SecurityOff)), h.attach("b", secured(api.SecurityOff))
	c := h.attach("c")
	a.Run("ip", "link", "set", "eth0", "address", b.port.MAC)
	b.Run("ip", "link", "set", "eth0", "address", a.port.MAC)
	h.await("each MAC is the other port's own", func() bool {
		_, atB := h.macKind(a.port.MAC)
		kind, atA := h.macKind(b.port.MAC)
		return atB == "b" && atA == "a" && kind == "own"
	})
	c.reaches(a.addr().String())
	c.reaches(b.addr().String())
}

// The DHCP client of a port without security gets its lease whatever MAC it has.
func TestLeaseAfterALiveMACChange(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a := h.attach("a")
	b := h.attach("b", secured(api.SecurityOff), withDHCP)
	const mac = "02:00:00:00:66:07"
	b.Run("ip", "link", "set", "eth0", "address", mac)
	h.await("the switch has seen the change", func() bool { return h.port("b").MAC == mac })
	told := startDHCP(b).await("bound", 1)
	if want := fmt.Sprint(b.addr()); !strings.HasPrefix(told, want) {
		t.Errorf("the lease is %q, want %s", told, want)
	}
	h.await("the leased address is answered for", func() bool { return h.answerFor(b.addr()) == mac })
	a.reaches(b.addr().String())
}

// The lease of a port whose MAC was set with vsctl.
func TestLeaseAfterSetPortMAC(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.attach("a"), h.attach("b", withDHCP)
	const mac = "02:00:00:00:66:08"
	h.mustVsctl("set-port", "b", "--mac", mac)
	startDHCP(b).await("bound", 1)
	h.await("the leased address is answered for", func() bool { return h.answerFor(b.addr()) == mac })
	a.reaches(b.addr().String())
}

// A container cannot keep the next one from being added by taking the MAC that it would get.
func TestTakenMACKeepsNoPortFromBeingAdded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	evil := h.attach("evil", secured(api.SecurityOff))
	next := evil.addr().Next()
	mac := frame.MACFromIPv4(next).String()
	evil.Run("ip", "link", "set", "eth0", "address", mac)
	h.await("the change is seen", func() bool { return h.port("evil").MAC == mac })
	a, b := h.attach("a"), h.attach("b")
	if a.port.MAC != mac || a.addr() != next {
		t.Errorf("the next port has %s and %s, want %s and %s", a.addr(), a.port.MAC, next, mac)
	}
	b.reaches(a.addr().String())
	a.reaches(b.addr().String())
	c := h.container()
	h.refusesCommand([]string{mac}, "add-port", "c", "--netns", c.Name(), "--mac", mac)
}
