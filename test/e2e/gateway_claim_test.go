package e2e

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/test/lab"
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
func gatewayClaims(claimant, victim *lab.Container) map[string][]byte {
	gateway := netip.MustParseAddr(victim.Port.Gateway)
	reply := arpPacket(arpAnswers, claimant.MAC(), gateway, victim.MAC(), victim.Addr())
	return map[string][]byte{
		"reply":        ethernet(victim.MAC(), claimant.MAC(), unix.ETH_P_ARP, reply...),
		"reply to all": ethernet(broadcast, claimant.MAC(), unix.ETH_P_ARP, reply...),
		"request": ethernet(
			broadcast,
			claimant.MAC(),
			unix.ETH_P_ARP,
			arpPacket(arpAsks, claimant.MAC(), gateway, make(net.HardwareAddr, 6), victim.Addr())...),
		"gratuitous": ethernet(
			broadcast,
			claimant.MAC(),
			unix.ETH_P_ARP,
			arpPacket(arpAsks, claimant.MAC(), gateway, make(net.HardwareAddr, 6), gateway)...),
		"request to one": ethernet(
			victim.MAC(),
			claimant.MAC(),
			unix.ETH_P_ARP,
			arpPacket(arpAsks, claimant.MAC(), gateway, make(net.HardwareAddr, 6), victim.Addr())...),
		"gratuitous to 1": ethernet(
			victim.MAC(),
			claimant.MAC(),
			unix.ETH_P_ARP,
			arpPacket(arpAsks, claimant.MAC(), gateway, make(net.HardwareAddr, 6), gateway)...),
	}
}

// No port becomes the gateway in its neighbours' eyes, whatever stands before what
// it says.
func TestNobodyClaimsTheGateway(t *testing.T) {
	t.Parallel()
	for _, level := range []api.Security{api.SecurityOff, api.SecurityMAC, api.SecurityStrict} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			claimant, victim := h.Attach("claimant", secured(level)), h.Attach("victim")
			victim.Reaches(victim.Port.Gateway)
			seen, out := victim.Witness(), claimant.Sender()
			gatewayMAC := "02:42:ac:11:00:01"
			refused := uint64(0)
			for _, stack := range priorityTags {
				for what, claim := range gatewayClaims(claimant, victim) {
					out.Send(tagged(claim, stack.tags...))
					refused++
					for _, s := range seen.Until(sendMark(claimant)) {
						if strings.Contains(string(s.Bytes), string(claim[14:])) {
							t.Errorf("%s, %s: the victim has got % x", what, stack.name, s.Bytes)
						}
					}
					neighbour := victim.Run("ip", "neigh", "show", victim.Port.Gateway, "dev", "eth0")
					if !strings.Contains(neighbour, gatewayMAC) {
						t.Fatalf("%s, %s: the victim's neighbour is now %s", what, stack.name, neighbour)
					}
				}
			}
			drops := h.Counters("claimant").Drops
			got := drops["spoofed-gateway"]
			if level != api.SecurityOff { // which refuses all tags besides
				got += drops["vlan-tagged"]
			}
			if got != refused {
				t.Errorf("%d drops for spoofed-gateway, want %d: %v", got, refused, drops)
			}
			victim.Reaches(victim.Port.Gateway)
		})
	}
}

// What is in a VLAN is no claim: only members of the VLAN read it.
func TestClaimInAVLANPassesAnOpenPort(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	sender, receiver := h.Attach("sender", secured(api.SecurityOff)), h.Attach("receiver")
	seen, out := receiver.Witness(), sender.Sender()
	for _, tags := range [][]tag{
		{{unix.ETH_P_8021Q, 5}},
		{{unix.ETH_P_8021AD, 5}},
		{{unix.ETH_P_8021Q, 0}, {unix.ETH_P_8021Q, 5}},
	} {
		for what, claim := range gatewayClaims(sender, receiver) {
			want := tagged(claim, tags...)
			out.Send(want)
			came := slices.ContainsFunc(
				seen.Until(sendMark(sender)),
				func(s lab.Frame) bool { return string(s.Bytes) == string(want) },
			)
			if !came {
				t.Errorf("%s behind the tags %x did not come", what, tags)
			}
		}
	}
}
