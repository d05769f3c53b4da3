package conformance

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/gopacket/layers"

	"vswitch/internal/frame"
)

// kind is a kind of traffic that may try to get from one segment into another.
type kind struct {
	name  string
	needs Feature
	// stays says that no neighbour in the sender's own segment has to hear it
	// either.
	stays bool
	// build makes the frame that one station sends to reach another, which is in
	// a different segment.
	build func(from, to Attachment, m mark) ([]byte, error)
}

// kinds lists all that the no-forwarding matrix sends.
func kinds() []kind {
	list := append(plainKinds(), arpKinds()...)
	list = append(list, ipKinds()...)
	list = append(list, taggedKinds()...)
	for i := range 16 {
		list = append(list, kind{
			name: fmt.Sprintf("reserved group -%02x", i), stays: i != 0, // -00 is spanning tree's
			build: func(from, _ Attachment, m mark) ([]byte, error) {
				return padded(ethernet(reservedGroup(i), from.MAC, experimental, m.bytes())), nil
			},
		})
	}
	// Last: from then on the sender's segment has the address at the wrong port.
	return append(list, kind{name: "in the other's name", build: func(_, to Attachment, m mark) ([]byte, error) {
		return padded(ethernet(frame.Broadcast, to.MAC, experimental, m.bytes())), nil
	}})
}

func plainKinds() []kind {
	to := func(dst func(to Attachment) frame.MAC) func(from, to Attachment, m mark) ([]byte, error) {
		return func(from, to Attachment, m mark) ([]byte, error) {
			return padded(ethernet(dst(to), from.MAC, experimental, m.bytes())), nil
		}
	}
	return []kind{
		{name: "unicast, known there", build: to(func(to Attachment) frame.MAC { return to.MAC })},
		{name: "unicast, known nowhere", build: to(func(Attachment) frame.MAC { return others(0xdead) })},
		{name: "broadcast", build: to(func(Attachment) frame.MAC { return frame.Broadcast })},
		{name: "LLC, spanning tree", build: func(from, _ Attachment, m mark) ([]byte, error) {
			return llc(reservedGroup(0), from.MAC, m, 0x42, 0x42, 0x03), nil
		}},
		{name: "LLC, per-VLAN spanning tree", build: func(from, _ Attachment, m mark) ([]byte, error) {
			return llc(frame.MAC{0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd}, from.MAC, m, 0xaa, 0xaa, 0x03, 0x00, 0x00, 0x0c, 0x01, 0x0b), nil
		}},
	}
}

// llc is an IEEE 802.3 frame, with a length where others have an EtherType, that
// holds a configuration BPDU (IEEE 802.1D-2004 §9.3.1).
func llc(dst, src frame.MAC, m mark, header ...byte) []byte {
	bpdu := make([]byte, 35)
	binary.BigEndian.PutUint16(bpdu[5:], 0x8000) // the root's priority
	copy(bpdu[7:], src[:])
	payload := append(append(header, bpdu...), m.bytes()...)
	return padded(ethernet(dst, src, uint16(len(payload)), payload))
}

func arpKinds() []kind {
	request := func(operation uint16, who func(from, to Attachment) (senderIP, targetIP netip.Addr)) func(from, to Attachment, m mark) ([]byte, error) {
		return func(from, to Attachment, m mark) ([]byte, error) {
			senderIP, targetIP := who(from, to)
			return arpPacket(m, frame.Broadcast, operation, from.MAC, senderIP, frame.MAC{}, targetIP)
		}
	}
	return []kind{
		{name: "ARP request", build: request(frame.ARPRequest, func(from, to Attachment) (netip.Addr, netip.Addr) {
			return from.IP.Addr(), to.IP.Addr()
		})},
		{name: "ARP request for the foreign gateway", build: request(frame.ARPRequest, func(from, to Attachment) (netip.Addr, netip.Addr) {
			return from.IP.Addr(), to.Gateway
		})},
		{name: "ARP probe", build: request(frame.ARPRequest, func(_, to Attachment) (netip.Addr, netip.Addr) {
			return netip.IPv4Unspecified(), to.IP.Addr()
		})},
		{name: "gratuitous ARP", build: request(frame.ARPRequest, func(from, _ Attachment) (netip.Addr, netip.Addr) {
			return from.IP.Addr(), from.IP.Addr()
		})},
		{name: "gratuitous ARP for the other's address", build: request(frame.ARPRequest, func(_, to Attachment) (netip.Addr, netip.Addr) {
			return to.IP.Addr(), to.IP.Addr()
		})},
		{name: "gratuitous ARP reply for the foreign gateway", build: request(frame.ARPReply, func(_, to Attachment) (netip.Addr, netip.Addr) {
			return to.Gateway, to.Gateway
		})},
		{name: "ARP reply", build: func(from, to Attachment, m mark) ([]byte, error) {
			return arpPacket(m, to.MAC, frame.ARPReply, from.MAC, from.IP.Addr(), to.MAC, to.IP.Addr())
		}},
	}
}

func ipKinds() []kind {
	echo := func(who func(from, to Attachment) (dst frame.MAC, dstIP netip.Addr)) func(from, to Attachment, m mark) ([]byte, error) {
		return func(from, to Attachment, m mark) ([]byte, error) {
			dst, dstIP := who(from, to)
			return echoRequest(m, dst, from.MAC, dstIP, from.IP.Addr())
		}
	}
	multicast4 := netip.AddrFrom4([4]byte{224, 0, 0, 251})
	multicast6 := netip.AddrFrom16([16]byte{0xff, 0x02, 15: 0xfb})
	return []kind{
		{name: "ICMP echo through the own gateway", needs: Gateway, stays: true, build: echo(func(from, to Attachment) (frame.MAC, netip.Addr) {
			return from.GatewayMAC(), to.IP.Addr()
		})},
		{name: "ICMP echo to the foreign gateway through the own", needs: Gateway, stays: true, build: echo(func(from, to Attachment) (frame.MAC, netip.Addr) {
			return from.GatewayMAC(), to.Gateway
		})},
		{name: "ICMP echo to the other's MAC", build: echo(func(_, to Attachment) (frame.MAC, netip.Addr) {
			return to.MAC, to.IP.Addr()
		})},
		{name: "ICMP echo to the foreign gateway's MAC", build: echo(func(_, to Attachment) (frame.MAC, netip.Addr) {
			return to.GatewayMAC(), to.Gateway
		})},
		{name: "IPv4 multicast", build: func(from, _ Attachment, m mark) ([]byte, error) {
			return udpPacket(m, frame.MAC{0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb}, from.MAC, multicast4, from.IP.Addr(), discard, discard)
		}},
		{name: "IPv4 broadcast", build: func(from, _ Attachment, m mark) ([]byte, error) {
			return udpPacket(m, frame.Broadcast, from.MAC, broadcastIP, from.IP.Addr(), discard, discard)
		}},
		{name: "DHCP", build: func(from, _ Attachment, m mark) ([]byte, error) {
			return udpPacket(m, frame.Broadcast, from.MAC, broadcastIP, netip.IPv4Unspecified(), 67, 68)
		}},
		{name: "IPv6 multicast", build: func(from, _ Attachment, m mark) ([]byte, error) {
			return udpPacket(m, frame.MAC{0x33, 0x33, 0, 0, 0, 0xfb}, from.MAC, multicast6, linkLocal(from.MAC), discard, discard)
		}},
		{name: "IPv6 unicast", build: func(from, to Attachment, m mark) ([]byte, error) {
			return udpPacket(m, to.MAC, from.MAC, linkLocal(to.MAC), linkLocal(from.MAC), discard, discard)
		}},
		{name: "IPv6 neighbour solicitation", build: func(from, to Attachment, m mark) ([]byte, error) {
			// To the solicited node's group (RFC 4291 §2.7.1).
			group := netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, to.MAC[3], to.MAC[4], to.MAC[5]})
			return neighbourDiscovery(m, frame.MAC{0x33, 0x33, 0xff, to.MAC[3], to.MAC[4], to.MAC[5]}, from.MAC, group, linkLocal(from.MAC),
				layers.ICMPv6TypeNeighborSolicitation, &layers.ICMPv6NeighborSolicitation{TargetAddress: linkLocal(to.MAC).AsSlice()})
		}},
		{name: "IPv6 neighbour advertisement", build: func(from, to Attachment, m mark) ([]byte, error) {
			all := netip.IPv6LinkLocalAllNodes()
			return neighbourDiscovery(m, frame.MAC{0x33, 0x33, 0, 0, 0, 1}, from.MAC, all, linkLocal(from.MAC),
				layers.ICMPv6TypeNeighborAdvertisement, &layers.ICMPv6NeighborAdvertisement{Flags: 0x20, TargetAddress: linkLocal(to.MAC).AsSlice()})
		}},
		{name: "IPv6 router advertisement", build: func(from, _ Attachment, m mark) ([]byte, error) {
			all := netip.IPv6LinkLocalAllNodes()
			return neighbourDiscovery(m, frame.MAC{0x33, 0x33, 0, 0, 0, 1}, from.MAC, all, linkLocal(from.MAC),
				layers.ICMPv6TypeRouterAdvertisement, &layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 1800})
		}},
	}
}

func taggedKinds() []kind {
	var list []kind
	for _, t := range []struct {
		name string
		tags []tag
	}{
		{"802.1Q, VLAN 0", []tag{dot1q(0)}},
		{"802.1Q, VLAN 1", []tag{dot1q(1)}},
		{"802.1Q, VLAN 100", []tag{dot1q(100)}},
		{"802.1Q, VLAN 4094", []tag{dot1q(4094)}},
		{"802.1Q, priority 7", []tag{dot1q(7 << 13)}},
		{"802.1ad over 802.1Q", []tag{{frame.EtherTypeQinQ, 100}, dot1q(200)}},
		{"802.1Q twice", []tag{dot1q(1), dot1q(100)}},
	} {
		list = append(list,
			kind{name: t.name, build: func(from, to Attachment, m mark) ([]byte, error) {
				return padded(tagged(ethernet(to.MAC, from.MAC, experimental, m.bytes()), t.tags...)), nil
			}},
			kind{name: t.name + ", ARP", build: func(from, to Attachment, m mark) ([]byte, error) {
				b, err := arpPacket(m, frame.Broadcast, frame.ARPRequest, from.MAC, from.IP.Addr(), frame.MAC{}, to.IP.Addr())
				if err != nil {
					return nil, err
				}
				return tagged(b, t.tags...), nil
			}})
	}
	return list
}
