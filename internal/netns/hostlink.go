package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HostLink says what a link in the calling thread's own namespace is to be like,
// by which the host reaches a network.
type HostLink struct {
	Name       string           // what it is to be called
	Alias      string           // what "ip link" tells people about it
	MAC        net.HardwareAddr // six bytes, unicast
	MTU        int              // in bytes, without the Ethernet header
	TxQueueLen int              // in frames: for a TAP, the size of its ring
	Address    netip.Prefix     // the host's, with the length of the network's prefix
}

// hostSettings are a host link's values below net/<family>/conf/<link>, in the
// order in which they are set (Documentation/networking/ip-sysctl.rst). Whoever is
// on the network must not get at what is behind the host by them, nor learn its
// other addresses.
var hostSettings = []struct{ family, name, value string }{
	{"ipv6", "disable_ipv6", "1"},                 // the network has none, and link-local noise helps nobody
	{"ipv4", "arp_ignore", "2"},                   // answer for addresses on this link only; for the gateway's the switch does
	{"ipv4", "arp_announce", "2"},                 // ask from the address on this link
	{"ipv4", "rp_filter", "1"},                    // what comes from here has a source that is here
	{"ipv4", "accept_source_route", "0"},          // a packet does not choose its way through the host
	{"ipv4", "accept_redirects", "0"},             // nor the host's
	{"ipv4", "send_redirects", "0"},               // there is no other router
	{"ipv4", "proxy_arp", "0"},                    // the host answers for nobody else
	{"ipv4", "arp_evict_nocarrier", "0"},          // the link has none while the daemon is started again
	{"ipv4", "drop_unicast_in_l2_multicast", "1"}, // RFC 1122 §3.3.6
}

// SetUpHostLink makes the link of this index like c, or the one of c's name when
// index is 0, and brings it up. It returns its index, and what was not like that
// before. What else the link has, such as further addresses, stays. The error
// wraps [ErrNoLink] when there is no such link.
func SetUpHostLink(index int, c HostLink) (int, []string, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return 0, nil, fmt.Errorf("open netlink to set up interface %q: %w", c.Name, err)
	}
	defer h.Close()
	l, err := hostLink(h, index, c.Name)
	if err != nil {
		return 0, nil, fmt.Errorf("look for interface %q: %w", c.Name, err)
	}
	var changed []string
	for _, s := range hostLinkSteps {
		did, err := s.do(h, l, c)
		if err != nil {
			return l.Attrs().Index, changed, fmt.Errorf("set up interface %q: %s: %w", c.Name, s.what(c), err)
		}
		if did {
			changed = append(changed, s.what(c))
		}
	}
	return l.Attrs().Index, changed, nil
}

// LinkIndex is the index of the link of this name in the calling thread's
// namespace. The error wraps [ErrNoLink] when there is none.
func LinkIndex(name string) (int, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return 0, fmt.Errorf("open netlink to look for interface %q: %w", name, err)
	}
	defer h.Close()
	l, err := findLink(h, name)
	if err != nil {
		return 0, fmt.Errorf("look for interface %q: %w", name, err)
	}
	return l.Attrs().Index, nil
}

func hostLink(h *netlink.Handle, index int, name string) (netlink.Link, error) {
	if index == 0 {
		return findLink(h, name)
	}
	return findIndex(h, index)
}

// hostLinkStep makes one thing of a link right, and says whether it was not.
type hostLinkStep struct {
	what func(HostLink) string
	do   func(*netlink.Handle, netlink.Link, HostLink) (bool, error)
}

// hostLinkSteps are in the order that keeps the link silent until all is right.
var hostLinkSteps = []hostLinkStep{
	{func(HostLink) string { return "name" }, func(h *netlink.Handle, l netlink.Link, c HostLink) (bool, error) {
		return l.Attrs().Name != c.Name, unless(l.Attrs().Name == c.Name, func() error { return h.LinkSetName(l, c.Name) })
	}},
	{func(HostLink) string { return "alias" }, func(h *netlink.Handle, l netlink.Link, c HostLink) (bool, error) {
		return false, unless(l.Attrs().Alias == c.Alias, func() error { return h.LinkSetAlias(l, c.Alias) })
	}},
	{func(c HostLink) string { return fmt.Sprintf("mac address %s", c.MAC) }, func(h *netlink.Handle, l netlink.Link, c HostLink) (bool, error) {
		same := slices.Equal(l.Attrs().HardwareAddr, c.MAC)
		return !same, unless(same, func() error { return h.LinkSetHardwareAddr(l, c.MAC) })
	}},
	{func(c HostLink) string { return fmt.Sprintf("mtu %d", c.MTU) }, func(h *netlink.Handle, l netlink.Link, c HostLink) (bool, error) {
		same := l.Attrs().MTU == c.MTU
		return !same, unless(same, func() error { return h.LinkSetMTU(l, c.MTU) })
	}},
	{func(c HostLink) string { return fmt.Sprintf("queue of %d frames", c.TxQueueLen) }, func(h *netlink.Handle, l netlink.Link, c HostLink) (bool, error) {
		same := l.Attrs().TxQLen == c.TxQueueLen
		return !same, unless(same, func() error { return h.LinkSetTxQLen(l, c.TxQueueLen) })
	}},
	{func(c HostLink) string { return fmt.Sprintf("address %s", c.Address) }, addHostAddress},
	{func(HostLink) string { return "up" }, func(h *netlink.Handle, l netlink.Link, _ HostLink) (bool, error) {
		same := l.Attrs().Flags&net.FlagUp != 0
		return !same, unless(same, func() error { return h.LinkSetUp(l) })
	}},
}

func unless(done bool, do func() error) error {
	if done {
		return nil
	}
	return do()
}

func addHostAddress(h *netlink.Handle, l netlink.Link, c HostLink) (bool, error) {
	addrs, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(l, netlink.FAMILY_V4) })
	if err != nil {
		return false, err
	}
	for _, a := range addrs {
		if p, ok := toPrefix(a.IPNet); ok && p == c.Address {
			return false, nil
		}
	}
	return true, h.AddrAdd(l, &netlink.Addr{IPNet: toIPNet(c.Address)})
}

// HardenHostLink sets what the calling thread's namespace has to say about a host
// link's packets, below the directory sysctl, which is /proc/sys or the same mounted
// elsewhere. A link without these settings works; the error says which could not be
// set, as where they may not be written.
func HardenHostLink(sysctl, name string) error {
	var failed []string
	var why error
	for _, s := range hostSettings {
		path := filepath.Join(sysctl, "net", s.family, "conf", name, s.name)
		got, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // no IPv6, or an older kernel
			continue
		case err == nil && strings.TrimSpace(string(got)) == s.value:
			continue
		}
		if err := os.WriteFile(path, []byte(s.value), 0); err != nil {
			failed, why = append(failed, s.name), err
			if at, ok := errors.AsType[*fs.PathError](err); ok {
				why = at.Err // the names are in failed
			}
		}
	}
	if why != nil {
		return fmt.Errorf("set %s of interface %q: %w", strings.Join(failed, ", "), name, why)
	}
	return nil
}

// HostConflict says what in the calling thread's namespace a network of its own on
// a link would cut off: an address whose network overlaps, or a route to a part of
// it; "" when there is nothing. A route to more than all of it is no conflict: the
// longer prefix wins.
func HostConflict(network netip.Prefix) (string, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return "", fmt.Errorf("open netlink to look for %s: %w", network, err)
	}
	defer h.Close()
	addrs, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return "", fmt.Errorf("list the host's ipv4 addresses: %w", err)
	}
	for _, a := range addrs {
		if p, ok := toPrefix(a.IPNet); ok && p.Overlaps(network) {
			return fmt.Sprintf("address %s of %s", p, linkName(h, a.LinkIndex)), nil
		}
	}
	routes, err := dump(func() ([]netlink.Route, error) {
		all := netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		return h.RouteListFiltered(netlink.FAMILY_V4, &all, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return "", fmt.Errorf("list the host's ipv4 routes: %w", err)
	}
	for _, r := range routes {
		if p, ok := toPrefix(r.Dst); ok && p.Bits() >= network.Bits() && network.Contains(p.Addr()) {
			return strings.TrimSuffix(fmt.Sprintf("route to %s by %s", p.Masked(), linkName(h, r.LinkIndex)), " by "), nil
		}
	}
	return "", nil
}

// linkName names a link for messages; "" for that of a route that leads nowhere.
func linkName(h *netlink.Handle, index int) string {
	if index == 0 {
		return ""
	}
	if l, err := h.LinkByIndex(index); err == nil {
		return fmt.Sprintf("interface %q", l.Attrs().Name)
	}
	return fmt.Sprintf("interface %d", index)
}
