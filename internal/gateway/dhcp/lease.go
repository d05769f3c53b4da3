package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Lease is what one client is told. All but MAC, Addr, Server and Duration may be
// zero, which leaves it out.
type Lease struct {
	MAC      net.HardwareAddr // six bytes: whose it is
	Addr     netip.Prefix     // with the length of the subnet's prefix
	Server   netip.Addr       // our own address
	Router   netip.Addr
	DNS      netip.Addr
	MTU      int // bytes
	HostName string
	Duration time.Duration // whole seconds
}

// address are the options that tell of the address for a time (RFC 2131 §4.4.5
// has clients renew after half of it, and ask any server after seven eighths).
func (l Lease) address() []dhcpv4.Modifier {
	return []dhcpv4.Modifier{
		dhcpv4.WithYourIP(l.Addr.Addr().AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(l.Duration)),
		dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(l.Duration / 2)),
		dhcpv4.WithOption(dhcpv4.OptRebindingTimeValue(l.Duration / 8 * 7)),
	}
}

// network are the options that tell of the segment.
func (l Lease) network() []dhcpv4.Modifier {
	options := []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptSubnetMask(net.CIDRMask(l.Addr.Bits(), l.Addr.Addr().BitLen())))}
	if l.Router.IsValid() {
		options = append(options, dhcpv4.WithOption(dhcpv4.OptRouter(l.Router.AsSlice())))
	}
	if l.DNS.IsValid() {
		options = append(options, dhcpv4.WithOption(dhcpv4.OptDNS(l.DNS.AsSlice())))
	}
	if l.MTU > 0 {
		mtu := binary.BigEndian.AppendUint16(nil, uint16(min(l.MTU, 1<<16-1)))
		options = append(options, dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, mtu)))
	}
	if l.HostName != "" {
		options = append(options, dhcpv4.WithOption(dhcpv4.OptHostName(l.HostName)))
	}
	return options
}
