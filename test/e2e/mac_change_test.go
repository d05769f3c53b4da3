package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/internal/control/model"
	"vswitch/internal/frame"
	"vswitch/internal/store"
)

// answerFor is the MAC by which the switch answers for an address, empty if it does not.
func (h *host) answerFor(addr netip.Addr) string {
	h.Helper()
	list, err := h.Client.ARP(h.Context(), "bridge")
	if err != nil {
		h.Fatal(err)
	}
	for _, b := range list {
		if b.IP == addr {
			return b.MAC.String()
		}
	}
	return ""
}

// awaitAnswerFor waits until the switch answers for an address by this MAC, or, when that is
// empty, not at all: its log does not tell of the addresses of interfaces.
func (h *host) awaitAnswerFor(addr netip.Addr, mac string) {
	h.Helper()
	h.Eventually(fmt.Sprintf("the switch answers for %s by %q", addr, mac), func() bool {
		return h.answerFor(addr) == mac
	})
}

// An announcement by which a port without security moved its address to another MAC is
// worth nothing once the port has security: else the port's own ARP would be refused.
func TestClaimEndsWithSecurity(t *testing.T) {
	t.Parallel()
	for _, level := range []api.Security{api.SecurityStrict, api.SecurityMAC} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			a, b := h.Attach("a"), h.Attach("b", secured(api.SecurityOff))
			claimed := net.HardwareAddr{2, 0, 0, 0, 0x44, 3}
			nobody := make(net.HardwareAddr, 6)
			announcement := ethernet(broadcast, claimed, unix.ETH_P_ARP,
				arpPacket(arpAsks, claimed, b.Addr(), nobody, b.Addr())...)
			witness := a.Witness()
			b.Sender().Send(announcement)
			witness.Until(announcement)
			if mac := h.answerFor(b.Addr()); mac != claimed.String() {
				t.Fatalf("the switch answers with %s, want the claimed %s", mac, claimed)
			}
			h.MustVsctl("set-port", "b", "--security", string(level))
			if mac := h.answerFor(b.Addr()); mac != b.Port.MAC.String() {
				t.Errorf("at %s the switch answers with %s, want the port's %s", level, mac, b.Port.MAC)
			}
			a.Run("ip", "neigh", "flush", "dev", "eth0")
			b.Reaches(a.Addr().String())
			a.Reaches(b.Addr().String())
			if n := h.Counters("b").Drops["spoofed-arp"]; n != 0 {
				t.Errorf("%d frames of an honest port were dropped as spoofed-arp", n)
			}
		})
	}
}

// The MAC that a port has already may be set too: its interface may have another.
func TestSetPortMACSetsTheInterfaceBack(t *testing.T) {
	t.Parallel()
	for _, level := range []api.Security{api.SecurityStrict, api.SecurityOff} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			a, b := h.Attach("a"), h.Attach("b", secured(level))
			const mac = "02:00:00:00:66:05"
			h.changeMAC(b, mac)
			h.MustVsctl("set-port", "b", "--rename", "renamed") // leaves it alone
			if out := b.Run("ip", "link", "show", "dev", "eth0"); !strings.Contains(out, mac) {
				t.Errorf("another name set the interface's MAC:\n%s", out)
			}
			h.MustVsctl("set-port", "renamed", "--rename", "b", "--mac", b.Port.MAC.String())
			h.hasMAC(b, b.Port.MAC.String(), a)
			if reason := h.Port("b").Reason; reason != "" {
				t.Errorf("the port's reason is %q, want none", reason)
			}
		})
	}
}

// A static entry is nobody's to take, and none may be set for what is a port's own.
func TestStaticEntriesAndOwnAddresses(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Attach("a")
	b := h.Attach("b", secured(api.SecurityOff))
	const static, live = "02:00:00:00:55:02", "02:00:00:00:55:03"
	h.MustVsctl("add-fdb", "bridge", static, "a")
	wantStatic := func(when string) {
		t.Helper()
		if kind, port := h.macKind(static); kind != "static" || port != "a" {
			t.Errorf("%s the entry is of kind %q at port %q, want static at a", when, kind, port)
		}
	}
	for _, mac := range []string{static, live} {
		h.changeMAC(b, mac)
		wantStatic("with b's interface at " + mac)
	}
	// The MAC of the port's record is its own, although its interface has another.
	h.refusesCommand([]string{b.Port.MAC.String(), `"b"`}, "add-fdb", "bridge", b.Port.MAC.String(), "a")
	h.MustVsctl("add-fdb", "bridge", "02:00:00:00:55:04", "b")
	h.refusesCommand([]string{"static"}, "set-port", "b", "--mac", "02:00:00:00:55:04")
	h.Kill()
	h.Start()
	wantStatic("after a restart")
}

// A version before let static entries of ports' own addresses be set.
func TestStaticEntryOfAnOwnAddressEndsAtTheStart(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.Attach("a"), h.Attach("b")
	h.Stop()
	state, err := store.Open(h.StateDir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{a.Port.ID, b.Port.ID} {
		e := model.Entry{SegmentID: a.Port.SegmentID, MAC: a.Port.MAC, PortID: port}
		if err := state.Apply(model.PutEntry(e)); err != nil {
			t.Fatal(err)
		}
	}
	if err := state.Close(); err != nil {
		t.Fatal(err)
	}
	h.Start()
	if kind, port := h.macKind(a.Port.MAC.String()); kind != "own" || port != "a" {
		t.Errorf("a's MAC has kind %q at port %q, want own at a", kind, port)
	}
	for _, mac := range []string{"02:00:00:00:66:06", a.Port.MAC.String()} {
		h.MustVsctl("set-port", "a", "--mac", mac)
	}
	b.Reaches(a.Addr().String())
}

// Two ports may exchange their MACs while they run.
func TestPortsExchangeTheirMACs(t *testing.T) {
	t.Parallel()
	h := newHost(t, "--ageing", "1s")
	a, b := h.Attach("a", secured(api.SecurityOff)), h.Attach("b", secured(api.SecurityOff))
	c := h.Attach("c")
	a.Run("ip", "link", "set", "eth0", "address", b.Port.MAC.String())
	b.Run("ip", "link", "set", "eth0", "address", a.Port.MAC.String())
	h.Eventually("each MAC is the other port's own, once the table has been looked through", func() bool {
		_, atB := h.macKind(a.Port.MAC.String())
		kind, atA := h.macKind(b.Port.MAC.String())
		return atB == "b" && atA == "a" && kind == "own"
	})
	c.Reaches(a.Addr().String())
	c.Reaches(b.Addr().String())
}

// The DHCP client of a port without security gets its lease whatever MAC it has.
func TestLeaseAfterALiveMACChange(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a := h.Attach("a")
	b := h.Attach("b", secured(api.SecurityOff), withDHCP)
	const mac = "02:00:00:00:66:07"
	h.changeMAC(b, mac)
	told := startDHCP(b).await(0, "bound")
	if want := fmt.Sprint(b.Addr()); !strings.HasPrefix(told, want) {
		t.Errorf("the lease is %q, want %s", told, want)
	}
	h.awaitAnswerFor(b.Addr(), mac)
	a.Reaches(b.Addr().String())
}

// The lease of a port whose MAC was set with vsctl.
func TestLeaseAfterSetPortMAC(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.Attach("a"), h.Attach("b", withDHCP)
	const mac = "02:00:00:00:66:08"
	h.MustVsctl("set-port", "b", "--mac", mac)
	startDHCP(b).await(0, "bound")
	h.awaitAnswerFor(b.Addr(), mac)
	a.Reaches(b.Addr().String())
}

// A container cannot keep the next one from being added by taking the MAC that it would get.
func TestTakenMACKeepsNoPortFromBeingAdded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	evil := h.Attach("evil", secured(api.SecurityOff))
	next := evil.Addr().Next()
	mac := frame.MACFromIPv4(next).String()
	h.changeMAC(evil, mac)
	a, b := h.Attach("a"), h.Attach("b")
	if a.Port.MAC.String() != mac || a.Addr() != next {
		t.Errorf("the next port has %s and %s, want %s and %s", a.Addr(), a.Port.MAC, next, mac)
	}
	b.Reaches(a.Addr().String())
	a.Reaches(b.Addr().String())
	c := h.Container()
	h.refusesCommand([]string{mac}, "add-port", "c", "--netns", c.Name(), "--mac", mac)
}
