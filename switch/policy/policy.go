package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"vswitch/internal/ethertype"
	"vswitch/internal/frame"
)

// Security is how far the switch trusts what a port's host says of itself.
type Security uint8

// The levels of security.
const (
	// SecurityOff trusts all but those who claim to be the gateway.
	SecurityOff Security = iota
	// SecurityMACOnly wants the port's own source address and no VLAN.
	SecurityMACOnly
	// SecurityStrict wants the port's own addresses in ARP, IP and neighbour
	// discovery too, and lets pass no DHCP server, no IPv6 router and no protocol
	// but IPv4, ARP and, where the policy says so, IPv6.
	SecurityStrict
)

// Defaults and limits of a [Policy].
const (
	DefaultMACLimit   = 16            // learned addresses
	DefaultFloodLimit = 20000         // frames per second
	MaxFloodLimit     = 1_000_000_000 // frames per second
	// MaxSources is how many addresses and prefixes a policy may have together, and how
	// many MACs, and protocols: each may be compared with every frame.
	MaxSources = 256
)

// Policy is what a port may do. The zero Policy is that of a port that is trusted
// within the default limits.
type Policy struct {
	Security Security
	// MAC and Addrs are the host's own. SecurityMACOnly and SecurityStrict need the
	// MAC. Its IPv6 link-local address follows from the MAC and is always its own.
	MAC   frame.MAC
	Addrs []netip.Addr
	// Prefixes are further source addresses for IP, of networks that the host
	// routes. It may not claim them in ARP, and in neighbour discovery only those of a
	// link's size or of link-local addresses, where a host makes its addresses itself
	// (RFC 4862): 64 bits or more, or within fe80::/10.
	Prefixes []netip.Prefix
	// MACs are further addresses that the host may have as it has MAC, each with its
	// IPv6 link-local address.
	MACs []frame.MACMask
	// Protocols are carried beside IPv4, ARP and, with IPv6, that. What they carry is
	// not looked into, but for VLAN tags, behind which all holds as without them.
	Protocols []ethertype.Protocol
	// IPv6 says that a SecurityStrict port's segment carries IPv6.
	IPv6 bool
	// BPDUGuard drops frames to 01:80:C2:00:00:00, the BPDUs of spanning trees.
	// Without it they are forwarded, as by a Linux bridge that takes no part in one
	// (net/bridge/br_input.c: br_handle_frame).
	BPDUGuard bool
	// Isolated ports exchange no frames with each other.
	Isolated bool
	// MACLimit is how many addresses are learned at the port; 0: DefaultMACLimit,
	// below 0: no limit. Frames from further ones are dropped. Those learned before
	// it was set stay.
	MACLimit int
	// FloodLimit is how many frames per second from the port go to all others:
	// broadcast, multicast and to unknown hosts. A second's worth may come at once.
	// 0: DefaultFloodLimit, below 0: no limit.
	FloodLimit int
	// RateIn bounds what the port sends, RateOut what it is sent.
	RateIn, RateOut Rate
}

// validate returns the policy with its addresses in the form that the rest of the
// package wants, or an error that says what is wrong with it.
func (c Policy) validate() (Policy, error) {
	if c.Security > SecurityStrict {
		return c, fmt.Errorf(
			"security level %d does not exist: give SecurityOff, SecurityMACOnly or SecurityStrict",
			c.Security,
		)
	}
	if c.Security != SecurityOff && !c.MAC.IsUnicast() {
		return c, fmt.Errorf("port security with the address %s: give the host's own", c.MAC)
	}
	if c.FloodLimit > MaxFloodLimit {
		return c, fmt.Errorf(
			"a flood limit of %d frames per second is out of range: "+
				"give up to %d, or below 0 for none",
			c.FloodLimit, MaxFloodLimit,
		)
	}
	if n := len(c.Addrs) + len(c.Prefixes); n > MaxSources {
		return c, fmt.Errorf("%d addresses and prefixes at a port: give %d at most", n, MaxSources)
	}
	c.Addrs, c.Prefixes = slices.Clone(c.Addrs), slices.Clone(c.Prefixes)
	c.MACs, c.Protocols = slices.Clone(c.MACs), slices.Clone(c.Protocols)
	for i, a := range c.Addrs {
		if a = a.Unmap().WithZone(""); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return c, fmt.Errorf(
				"the address %q of a port: give one that a host can have", c.Addrs[i],
			)
		}
		c.Addrs[i] = a
	}
	for i, p := range c.Prefixes {
		if !p.IsValid() || p.Addr().Is4In6() {
			return c, fmt.Errorf(
				"the prefix %q of a port: give one as 10.1.0.0/16 or fd00:1::/64", p,
			)
		}
		c.Prefixes[i] = p.Masked()
	}
	return c, c.validateLink()
}

// validateLink reports what is wrong with what c says of MACs and protocols.
func (c Policy) validateLink() error {
	if n := max(len(c.MACs), len(c.Protocols)); n > MaxSources {
		return fmt.Errorf("%d MACs or protocols at a port: give %d at most", n, MaxSources)
	}
	for _, m := range c.MACs {
		if !m.MAC.IsUnicast() || m.Mask[0]&1 == 0 || m.Masked() != m {
			return fmt.Errorf("the MAC %q of a port: give a unicast one, with a mask that "+
				"has all of its bits and that of group addresses", m)
		}
	}
	for _, p := range c.Protocols {
		if known, err := ethertype.Parse(string(p)); err != nil || known != p {
			return fmt.Errorf("the protocol %q of a port: give a name or an EtherType", p)
		}
	}
	return nil
}
