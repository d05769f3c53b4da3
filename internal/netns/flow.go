package netns

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ForgetUDP has the kernel forget which way datagrams went that came to ports first
// to last of an address of the host, or of any if host is zero or unspecified. It
// decides that with the first datagram of a flow, and while the flow goes on it
// would not ask changed rules.
func ForgetUDP(host netip.Addr, first, last uint16) error {
	flows := udpFlows{first: first, last: last, hosts: make(map[string]bool)}
	if host.IsValid() && !host.IsUnspecified() {
		flows.hosts[host.String()] = true
	} else {
		addrs, err := netlink.AddrList(nil, unix.AF_INET)
		if err != nil {
			return fmt.Errorf("list the host's addresses: %w", err)
		}
		for _, a := range addrs {
			flows.hosts[a.IP.String()] = true
		}
	}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, flows); err != nil {
		return fmt.Errorf("forget flows to UDP ports %d to %d of the host: %w", first, last, err)
	}
	return nil
}

// udpFlows matches flows by what they were sent to.
type udpFlows struct {
	hosts       map[string]bool
	first, last uint16
}

// MatchConntrackFlow implements [netlink.CustomConntrackFilter].
func (u udpFlows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	to := flow.Forward
	return to.Protocol == unix.IPPROTO_UDP && to.DstPort >= u.first && to.DstPort <= u.last && u.hosts[net.IP.String(to.DstIP)]
}
