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
func taken(c *lab.Container, addr netip.Addr) bool {
	c.Helper()
	lab.RequireCommand(c, "arping")
	out, free := c.Try("arping", "-D", "-c", "1", "-w", "1", "-I", c.Port.IfName, addr.String())
	if !strings.Contains(out, "Sent 1 probes") {
		c.Fatalf("arping -D %s: %s", addr, out)
	}
	return !free
}

// A probe for a neighbour's address finds it, and bothers nobody: who could probe
// for it before the neighbours could keep them from taking it.
func TestProbeForATakenAddressIsAnswered(t *testing.T) {
	t.Parallel()
	for _, level := range []api.Security{api.SecurityStrict, api.SecurityMAC, api.SecurityOff} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			asker, peer, bystander := h.Attach(
				"asker",
				secured(level),
			), h.Attach(
				"peer",
			), h.Attach(
				"bystander",
			)
			seen, atPeer := bystander.Witness(), peer.Witness()
			if !taken(asker, peer.Addr()) {
				t.Errorf("a probe says that %s is free, which a neighbour has", peer.Addr())
			}
			if !taken(asker, netip.MustParseAddr(asker.Port.Gateway)) {
				t.Error("a probe says that the gateway's address is free")
			}
			mark := sendMark(asker)
			for name, w := range map[string]*lab.TestSocket{"bystander": seen, "peer": atPeer} {
				for _, s := range w.Until(mark) {
					if asksFor(s.Bytes, peer.Addr()) || asksFor(s.Bytes, netip.MustParseAddr(asker.Port.Gateway)) {
						t.Errorf(
							"the %s has seen a probe for an address that the switch answers for: % x",
							name,
							s.Bytes,
						)
					}
				}
			}
			if taken(asker, asker.Addr()) {
				t.Error("a probe says that another has the asker's own address")
			}
			if drops := h.Counters("asker").Drops; drops["spoofed-arp"] != 0 {
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
	asker := h.Attach("asker")
	user := h.Attach("user", func(s *api.PortSpec) { s.AllowAddresses = []netip.Prefix{netip.PrefixFrom(reserved, 32)} })
	seen, atUser := h.Attach("bystander").Witness(), user.Witness()

	if taken(asker, reserved) {
		t.Errorf("a probe says that %s is taken, which nobody has", reserved)
	}
	before := h.Counters("asker").Local
	if taken(asker, nobodys) {
		t.Errorf("a probe says that %s is taken, which nobody has", nobodys)
	}
	after := h.Counters("asker")
	if after.Local != before+1 {
		t.Errorf(
			"of one probe for an address that no port may use %d were counted as local: %+v",
			after.Local-before,
			after,
		)
	}
	mark := sendMark(asker)
	atUserSeen, bystanderSeen := atUser.Until(mark), seen.Until(mark)
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
	if !taken(asker, reserved) {
		t.Errorf("a probe says that %s is free, which a neighbour has", reserved)
	}

	// A port that may use any address is asked for all that nobody has.
	open := h.Attach("open", secured(api.SecurityOff))
	atOpen := open.Witness()
	if taken(asker, nobodys) {
		t.Errorf("a probe says that %s is taken, which nobody has", nobodys)
	}
	mark = sendMark(asker)
	if n := len(askedFor(atOpen.Until(mark), nobodys)); n != 1 {
		t.Errorf("a port that may use any address has seen %d probes for one that nobody has, want 1", n)
	}
	if n := len(askedFor(seen.Until(mark), nobodys)); n != 0 {
		t.Errorf("a port that may not use the address has seen %d probes for it, want none", n)
	}
	open.Run("ip", "addr", "add", nobodys.String()+"/16", "dev", "eth0")
	if !taken(asker, nobodys) {
		t.Errorf("a probe says that %s is free, which the host at the open port has", nobodys)
	}
}
