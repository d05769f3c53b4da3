package netns

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HostPrefixes are the IPv4 networks that the calling thread's namespace knows:
// the destinations of its routes in all tables, without default routes, and the
// networks of its addresses, whether up or not. A container's network that
// overlaps none of them cuts the host off from nothing. They are masked, sorted
// and each there once.
func HostPrefixes() ([]netip.Prefix, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink to list the host's networks: %w", err)
	}
	defer h.Close()
	routes, err := dump(func() ([]netlink.Route, error) {
		all := netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		return h.RouteListFiltered(netlink.FAMILY_V4, &all, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list the host's ipv4 routes: %w", err)
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, fmt.Errorf("list the host's ipv4 addresses: %w", err)
	}
	var prefixes []netip.Prefix
	for _, r := range routes {
		if p, ok := toPrefix(r.Dst); ok && p.Bits() > 0 {
			prefixes = append(prefixes, p.Masked())
		}
	}
	for _, a := range addrs {
		if p, ok := toPrefix(a.IPNet); ok {
			prefixes = append(prefixes, p.Masked())
		}
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	return slices.Compact(prefixes), nil
}

// hasDefaultRoute looks in the main table, for the family of gateway.
func hasDefaultRoute(h *netlink.Handle, gateway netip.Addr) (bool, error) {
	family := netlink.FAMILY_V4
	if gateway.Is6() {
		family = netlink.FAMILY_V6
	}
	routes, err := dump(func() ([]netlink.Route, error) { return h.RouteList(nil, family) })
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(routes, func(r netlink.Route) bool {
		p, ok := toPrefix(r.Dst)
		return r.Dst == nil || ok && p.Bits() == 0
	}), nil
}
