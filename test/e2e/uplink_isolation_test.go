package e2e

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"vswitch/api"
	"vswitch/switch/switchtest"
	"vswitch/test/lab"
)

// across is what a container may try to get at another segment by way of the host.
type across struct {
	name   string
	dst    net.HardwareAddr
	ip     layers.IPv4
	counts string // the reason, where the container's port counts it
}

// attempts are frames with the port that a socket waits on at the other end.
func attempts(near, far *lab.Container, gateway net.HardwareAddr) []across {
	from, to, farGateway := near.Addr().AsSlice(), far.Addr().AsSlice(), netip.MustParseAddr(far.Port.Gateway).AsSlice()
	nearGateway, outer := netip.MustParseAddr(near.Port.Gateway).AsSlice(), netip.MustParseAddr(hostOutside).AsSlice()
	loopback := netip.MustParseAddr("127.0.0.1").AsSlice()
	farBroadcast := netip.MustParseAddr("172.18.255.255").AsSlice()
	sourceRoute := layers.IPv4Option{OptionType: 131, OptionLength: 7, OptionData: append([]byte{4}, to...)}
	return []across{
		{"by the gateway", gateway, layers.IPv4{SrcIP: from, DstIP: to}, "cross-segment"},
		{"to the other gateway", gateway, layers.IPv4{SrcIP: from, DstIP: farGateway}, "cross-segment"},
		{"to the other segment's broadcast address", gateway, layers.IPv4{SrcIP: from, DstIP: farBroadcast}, "cross-segment"},
		{"to the host's loopback", gateway, layers.IPv4{SrcIP: from, DstIP: loopback}, "no-uplink"},
		{"from the other's address to the host", gateway, layers.IPv4{SrcIP: to, DstIP: nearGateway}, "spoofed-ip"},
		{"from the other's address outside", gateway, layers.IPv4{SrcIP: to, DstIP: outer}, "spoofed-ip"},
		{"from the other gateway's address", gateway, layers.IPv4{SrcIP: farGateway, DstIP: outer}, "spoofed-ip"},
		{"from loopback", gateway, layers.IPv4{SrcIP: loopback, DstIP: nearGateway}, "spoofed-ip"},
		{"source-routed", gateway, layers.IPv4{SrcIP: from, DstIP: nearGateway, Options: []layers.IPv4Option{sourceRoute}}, ""},
		{"in a broadcast", broadcast, layers.IPv4{SrcIP: from, DstIP: to}, ""},
		{"in a broadcast to the other gateway", broadcast, layers.IPv4{SrcIP: from, DstIP: farGateway}, ""},
		{"in a broadcast to the other segment's", broadcast, layers.IPv4{SrcIP: from, DstIP: farBroadcast}, ""},
		{"in a multicast to the other gateway", net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}, layers.IPv4{SrcIP: from, DstIP: farGateway}, ""},
		{"in a broadcast from the other's address", broadcast, layers.IPv4{SrcIP: to, DstIP: nearGateway}, ""},
	}
}

// A host that forwards everything, checks no source and has no firewall is no way
// from one segment into another, nor to the host's address on another one.
func TestTheHostIsNoWayBetweenSegments(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"two walls": nil, "the switch's alone": {"--nat=false"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testNoWayBetweenSegments(t, newHost(t, flags...))
		})
	}
}

func testNoWayBetweenSegments(t *testing.T, h *host) {
	h.AddSegment("other")
	h.routes()
	near, far, witness := h.Attach("near"), h.Attach("far", lab.On("other")), h.Attach("witness", lab.On("other"))
	h.outside(1500)
	h.NS.Run("sh", "-c", `ip link set lo up; cd /proc/sys/net/ipv4/conf
		for f in */rp_filter; do echo 0 >$f; done; for f in */accept_source_route */route_localnet */accept_local */bc_forwarding; do echo 1 >$f; done
		for f in */arp_ignore */drop_unicast_in_l2_multicast; do echo 0 >$f; done`)
	h.Reaches(far.Addr().String())
	near.Reaches(hostOutside)

	const port = 5353
	sockets := make(map[string]*net.UDPConn)
	for _, at := range []string{"172.18.0.1", "172.18.255.255", "127.0.0.1"} {
		sockets[at] = lab.Inside(h.onHost("other"), func() (*net.UDPConn, error) {
			return net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(at), Port: port})
		})
		defer sockets[at].Close()
	}
	heard := far.Socket(unix.ETH_P_ALL)
	wire := near.Socket(unix.ETH_P_ALL)
	gateway, err := net.ParseMAC("02:42:ac:11:00:01")
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("from one segment to another")
	want := make(map[string]uint64)
	for _, a := range attempts(near, far, gateway) {
		a.ip.Version, a.ip.TTL, a.ip.Protocol = 4, 64, layers.IPProtocolUDP
		udp := &layers.UDP{SrcPort: 1234, DstPort: port}
		if err := udp.SetNetworkLayerForChecksum(&a.ip); err != nil {
			t.Fatal(err)
		}
		wire.Send(switchtest.Layers(&layers.Ethernet{DstMAC: a.dst, SrcMAC: near.MAC(), EthernetType: layers.EthernetTypeIPv4},
			&a.ip, udp, gopacket.Payload(secret)))
		if a.counts != "" {
			want[a.counts]++
			h.AwaitDrops("near", a.counts, want[a.counts])
		}
	}
	near.Run("ip", "route", "add", far.Addr().String(), "via", near.Port.Gateway)
	near.Misses(far.Addr().String())
	near.Run("ip", "route", "replace", far.Addr().String(), "dev", "eth0")
	near.Run("ip", "neigh", "add", far.Addr().String(), "lladdr", gateway.String(), "dev", "eth0", "nud", "permanent")
	near.Misses(far.Addr().String())
	near.Run("ip", "route", "add", far.Port.Gateway, "dev", "eth0")
	if r := near.Ping(far.Port.Gateway, "-W", "0.5"); r.Received != 0 {
		t.Errorf("the host answers ARP at another segment's address:\n%s", r.Output)
	}
	// The host in the name of the other segment.
	if r := lab.Ping(h, h.NS, 3, far.Addr().String(), "-W", "0.5", "-I", near.Port.Gateway); r.Received != 0 {
		t.Errorf("from another segment's gateway the host reaches a container:\n%s", r.Output)
	}

	mark := ethernet(broadcast, witness.MAC(), experimental, bytes.Repeat([]byte{0xee}, 46)...)
	witness.Socket(experimental).Send(mark)
	for frame := heard.Next().Bytes; !bytes.Equal(frame, mark); frame = heard.Next().Bytes {
		if p, ok := ipv4Of(frame); ok && (bytes.Contains(frame, secret) || netip.MustParsePrefix("172.17.0.0/16").Contains(p)) {
			t.Errorf("a frame crossed: % x", frame)
		}
	}
	for at, s := range sockets {
		// What was let in was let in before the mark was.
		if err := s.SetReadDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, from, err := s.ReadFromUDP(buf); err == nil {
			t.Errorf("the host's %s got %q from %s", at, buf[:n], from)
		}
	}
	far.Reaches(far.Port.Gateway)
	if s := h.Segment("other"); s.HostLink.Counters.Drops["cross-segment"] == 0 || s.HostLink.State != api.PortUp {
		t.Errorf("what the host sent in another segment's name is not counted: %+v", s.HostLink)
	}
}

// ipv4Of is the source of an IPv4 frame.
func ipv4Of(frame []byte) (netip.Addr, bool) {
	if len(frame) < 14+20 || frame[12] != 8 || frame[13] != 0 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(frame[14+12 : 14+16])), true
}
