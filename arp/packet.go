package arp

import (
	"net/netip"

	"vswitch/internal/frame"
)

// minFrameLen is the smallest Ethernet frame in bytes without its FCS (IEEE
// 802.3 §4.2.3.3); an ARP packet is padded up to it.
const minFrameLen = 60

// AppendAnnouncement appends to b the broadcast frame by which the host mac
// says that it has the address ip: a request with ip as sender and as target
// (RFC 5227 §3), 60 bytes with Ethernet header and padding. An ip that is not
// IPv4 cannot be announced by ARP; b then comes back as it was.
func AppendAnnouncement(b []byte, mac frame.MAC, ip netip.Addr) []byte {
	return AppendRequest(b, mac, ip, ip)
}

// AppendRequest appends to b the broadcast frame by which the host mac with
// the address ip asks for the MAC of target, 60 bytes with Ethernet header and
// padding. With 0.0.0.0 for ip it is a probe (RFC 5227 §2.1.1), which leaves no
// trace in the caches of others. If ip or target is not IPv4, b comes back as it
// was.
func AppendRequest(b []byte, mac frame.MAC, ip, target netip.Addr) []byte {
	if !ip.Unmap().Is4() || !target.Unmap().Is4() {
		return b
	}
	start := len(b)
	b = append(b, make([]byte, minFrameLen)...)
	eth := frame.Ethernet(b[start:])
	eth.SetDst(frame.Broadcast)
	eth.SetSrc(mac)
	eth.SetEtherType(frame.EtherTypeARP)
	packet := frame.NewARP(eth.Payload()[:frame.ARPLen], frame.ARPRequest)
	packet.SetSender(mac, ip)
	packet.SetTarget(frame.MAC{}, target)
	return b
}
