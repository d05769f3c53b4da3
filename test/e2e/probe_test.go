package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

// taken probes for an address before it would be used (RFC 5227 §2.1.1), and says
// whether somebody has it. It waits for a second at most.
func (c *container) taken(addr netip.Addr) bool {
	c.Helper()
	lab.RequireCommand(c, "arping")
	out, free := c.try("arping", "-D", "-c", "1", "-w", "1", "-I", c.port.IfName, addr.String())
	if !strings.Contains(out, "Sent 1 probes") {
		c.Fatalf("arping -D %s: %s", addr, out)
	}
	return !free
}

// A probe for a neighbour's address finds it, and bothers nobody: who could probe
// for it before the neighbours could keep them from taking it.
func TestProbeForATakenAddressIsAnswered(t *testing.T) {
	t.Parallel()
	for _, level := range []string{api.SecurityStrict, api.SecurityMAC, api.SecurityOff} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			asker, peer, bystander := h.attach(
				"asker",
				secured(level),
			), h.attach(
				"peer",
			), h.attach(
				"bystander",
			)
			seen, atPeer := bystander.witness(), peer.witness()
			if !asker.taken(peer.addr()) {
				t.Errorf("a probe says that %s is free, which a neighbour has", peer.addr())
			}
			if !asker.taken(netip.MustParseAddr(asker.port.Gateway)) {
				t.Error("a probe says that the gateway's address is free")
			}
			mark := asker.mark()
			for name, w := range map[string]*witness{"bystander": seen, "peer": atPeer} {
				for _, s := range w.until(mark) {
					if asksFor(s.frame, peer.addr()) || asksFor(s.frame, netip.MustParseAddr(asker.port.Gateway)) {
						t.Errorf(
							"the %s has seen a probe for an address that the switch answers for: % x",
							name,
							s.frame,
						)
					}
				}
			}
			if asker.taken(asker.addr()) {
				t.Error("a probe says that another has the asker's own address")
			}
			if drops := h.counters("asker").Drops; drops["spoofed-arp"] != 0 {
				t.Errorf("a probe was dropped as spoofed-arp: %v", drops)
			}
		})
	}
}

// A probe for an address that no port has now goes to the ports that may use it.
func TestProbeForAFreeAddressGoesToWhoMayUseIt(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	reserved, nobodys := netip.MustParseAddr("172.17.0.77"), netip.MustParseAddr("172.17.0.99")
	asker := h.attach("asker")
	user := h.attach("user", func(s *api.PortSpec) { s.AllowAddresses = []string{reserved.String()} })
	seen, atUser := h.attach("bystander").witness(), user.witness()

	if asker.taken(reserved) {
		t.Errorf("a probe says that %s is taken, which nobody has", reserved)
	}
	before := h.counters("asker").Local
	if asker.taken(nobodys) {
		t.Errorf("a probe says that %s is taken, which nobody has", nobodys)
	}
	after := h.counters("asker")
	if after.Local != before+1 {
		t.Errorf(
			"of one probe for an address that no port may use %d were counted as local: %+v",
			after.Local-before,
			after,
		)
	}
	mark := asker.mark()
	atUserSeen, bystanderSeen := atUser.until(mark), seen.until(mark)
	if n := len(askedFor(atUserSeen, reserved)); n != 1 {
		t.Errorf("the port that may use the address has seen %d probes for it, want 1", n)
	}
	if n := len(askedFor(bystanderSeen, reserved)); n != 0 {
		t.Errorf("a port that may not use the address has seen %d probes for it, want none", n)
	}
	if n := len(askedFor(append(atUserSeen, bystanderSeen...), nobodys)); n != 0 {
		t.Errorf("%d probes were seen for an address that no port may use, want none", n)
	}

	// As soon as it is used, a probe finds it.
	user.Run("ip", "addr", "add", reserved.String()+"/16", "dev", "eth0")
	if !asker.taken(reserved) {
		t.Errorf("a probe says that %s is free, which a neighbour has", reserved)
	}

	// A port that may use any address is asked for all that nobody has.
	open := h.attach("open", secured(api.SecurityOff))
	atOpen := open.witness()
	if asker.taken(nobodys) {
		t.Errorf("a probe says that %s is taken, which nobody has", nobodys)
	}
	mark = asker.mark()
	if n := len(askedFor(atOpen.until(mark), nobodys)); n != 1 {
		t.Errorf("a port that may use any address has seen %d probes for one that nobody has, want 1", n)
	}
	if n := len(askedFor(seen.until(mark), nobodys)); n != 0 {
		t.Errorf("a port that may not use the address has seen %d probes for it, want none", n)
	}
	open.Run("ip", "addr", "add", nobodys.String()+"/16", "dev", "eth0")
	if !asker.taken(nobodys) {
		t.Errorf("a probe says that %s is free, which the host at the open port has", nobodys)
	}
}
