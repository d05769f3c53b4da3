package e2e

import (
	"net/netip"
	"strconv"

	"vswitch/api"
	"vswitch/test/lab"
)

// Addresses of a host's outer network.
const (
	hostOutside = "192.0.2.1"
	farOutside  = "192.0.2.2"
)

// outside makes a namespace that plays the world, on a link of this MTU to the
// host. It knows the way to the segments of the default pools, though with NAT it
// should never see one of their addresses.
func (h *host) outside(mtu int) *lab.Container {
	h.Helper()
	c := h.Container()
	c.Port = api.Port{Name: "outside", IPs: []netip.Prefix{netip.MustParsePrefix(farOutside + "/24")}}
	h.NS.Run("ip", "link", "add", "outer", "mtu", strconv.Itoa(mtu), "type", "veth", "peer", "name", "eth0", "mtu", strconv.Itoa(mtu), "netns", c.Name())
	h.NS.Run("ip", "addr", "add", hostOutside+"/24", "dev", "outer")
	h.NS.Run("ip", "link", "set", "outer", "up")
	h.NS.Run("ip", "route", "add", "default", "via", farOutside)
	c.Run("ip", "link", "set", "lo", "up")
	c.Run("ip", "addr", "add", farOutside+"/24", "dev", "eth0")
	c.Run("ip", "link", "set", "eth0", "up")
	c.Run("ip", "route", "add", "172.16.0.0/12", "via", hostOutside)
	return c
}

// neighbour makes a machine that the host routes for, as it does for containers of another
// engine, and returns its address.
func (h *host) neighbour() string {
	h.Helper()
	const address, gateway = "172.30.0.2", "172.30.0.1"
	c := h.Container()
	h.NS.Run("ip", "link", "add", "other", "type", "veth", "peer", "name", "eth0", "netns", c.Name())
	h.NS.Run("ip", "addr", "add", gateway+"/24", "dev", "other")
	h.NS.Run("ip", "link", "set", "other", "up")
	c.Run("ip", "addr", "add", address+"/24", "dev", "eth0")
	c.Run("ip", "link", "set", "eth0", "up")
	c.Run("ip", "route", "add", "default", "via", gateway)
	return address
}

// routes has the host forward whatever its routes allow, with a firewall that lets
// everything pass: none.
func (h *host) routes() {
	h.Helper()
	h.NS.Run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
}

// onHost is the host itself as a container, by its address on a segment.
func (h *host) onHost(segment string) *lab.Container {
	h.Helper()
	s := h.Segment(segment)
	addr := netip.PrefixFrom(netip.MustParseAddr(s.Gateway), s.Subnet.Bits())
	return &lab.Container{Namespace: h.NS, TB: h, Host: h.Host, Port: api.Port{Name: "the host", IfName: s.HostLink.Name, IPs: []netip.Prefix{addr}}}
}

// hostLink returns the segment's host link, which is to be up or down.
func (h *host) hostLink(segment string, state api.PortState) api.HostLink {
	h.Helper()
	l := h.Segment(segment).HostLink
	if l.State != state {
		h.Errorf("the host link of segment %s is %s (%s), want %s", segment, l.State, l.Reason, state)
	}
	return l
}
