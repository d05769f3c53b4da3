package e2e

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/api"
)

// priorityTags are stacks of tags that a receiver takes off before it reads the
// frame as untagged: those of VLAN 0 (__netif_receive_skb_core, net/core/dev.c).
var priorityTags = []struct {
	name string
	tags []tag
}{
	{"untagged", nil},
	{"802.1Q VLAN 0", []tag{{unix.ETH_P_8021Q, 0}}},
	{"802.1Q VLAN 0 priority 7", []tag{{unix.ETH_P_8021Q, 7 << 13}}},
	{"802.1ad VLAN 0", []tag{{unix.ETH_P_8021AD, 0}}},
	{"802.1Q twice", []tag{{unix.ETH_P_8021Q, 0}, {unix.ETH_P_8021Q, 0}}},
	{"802.1ad over 802.1Q", []tag{{unix.ETH_P_8021AD, 0}, {unix.ETH_P_8021Q, 0}}},
}

// gatewayClaims are frames by which a host says that it is the gateway: what hears
// the requests learns from them as well.
func gatewayClaims(claimant, victim *container) map[string][]byte {
	gateway := netip.MustParseAddr(victim.port.Gateway)
	reply := arpPacket(arpAnswers, claimant.mac(), gateway, victim.mac(), victim.addr())
	return map[string][]byte{
		"reply":        ethernet(victim.mac(), claimant.mac(), unix.ETH_P_ARP, reply...),
		"reply to all": ethernet(broadcast, claimant.mac(), unix.ETH_P_ARP, reply...),
		"request": ethernet(
			broadcast,
			claimant.mac(),
			unix.ETH_P_ARP,
			arpPacket(arpAsks, claimant.mac(), gateway, make(net.HardwareAddr, 6), victim.addr())...),
		"gratuitous": ethernet(
			broadcast,
			claimant.mac(),
			unix.ETH_P_ARP,
			arpPacket(arpAsks, claimant.mac(), gateway, make(net.HardwareAddr, 6), gateway)...),
		"request to one": ethernet(
			victim.mac(),
			claimant.mac(),
			unix.ETH_P_ARP,
			arpPacket(arpAsks, claimant.mac(), gateway, make(net.HardwareAddr, 6), victim.addr())...),
		"gratuitous to 1": ethernet(
			victim.mac(),
			claimant.mac(),
			unix.ETH_P_ARP,
			arpPacket(arpAsks, claimant.mac(), gateway, make(net.HardwareAddr, 6), gateway)...),
	}
}

// No port becomes the gateway in its neighbours' eyes, whatever stands before what
// it says.
func TestNobodyClaimsTheGateway(t *testing.T) {
	t.Parallel()
	for _, level := range []string{api.SecurityOff, api.SecurityMAC, api.SecurityStrict} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			claimant, victim := h.attach("claimant", secured(level)), h.attach("victim")
			victim.reaches(victim.port.Gateway)
			seen, out := victim.witness(), rawSocket(claimant)
			gatewayMAC := "02:42:ac:11:00:01"
			refused := uint64(0)
			for _, stack := range priorityTags {
				for what, claim := range gatewayClaims(claimant, victim) {
					out.send(tagged(claim, stack.tags...))
					refused++
					for _, s := range seen.until(claimant.mark()) {
						if strings.Contains(string(s.frame), string(claim[14:])) {
							t.Errorf("%s, %s: the victim has got % x", what, stack.name, s.frame)
						}
					}
					neighbour := victim.Run("ip", "neigh", "show", victim.port.Gateway, "dev", "eth0")
					if !strings.Contains(neighbour, gatewayMAC) {
						t.Fatalf("%s, %s: the victim's neighbour is now %s", what, stack.name, neighbour)
					}
				}
			}
			drops := h.counters("claimant").Drops
			got := drops["spoofed-gateway"]
			if level != api.SecurityOff { // which refuses all tags besides
				got += drops["vlan-tagged"]
			}
			if got != refused {
				t.Errorf("%d drops for spoofed-gateway, want %d: %v", got, refused, drops)
			}
			victim.reaches(victim.port.Gateway)
		})
	}
}

// What is in a VLAN is no claim: only members of the VLAN read it.
func TestClaimInAVLANPassesAnOpenPort(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	sender, receiver := h.attach("sender", secured(api.SecurityOff)), h.attach("receiver")
	seen, out := receiver.witness(), rawSocket(sender)
	for _, tags := range [][]tag{
		{{unix.ETH_P_8021Q, 5}},
		{{unix.ETH_P_8021AD, 5}},
		{{unix.ETH_P_8021Q, 0}, {unix.ETH_P_8021Q, 5}},
	} {
		for what, claim := range gatewayClaims(sender, receiver) {
			want := tagged(claim, tags...)
			out.send(want)
			came := slices.ContainsFunc(
				seen.until(sender.mark()),
				func(s sighting) bool { return string(s.frame) == string(want) },
			)
			if !came {
				t.Errorf("%s behind the tags %x did not come", what, tags)
			}
		}
	}
}
