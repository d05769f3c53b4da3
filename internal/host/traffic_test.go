package host_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"vswitch/internal/host"
	"vswitch/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

func TestMasquerade(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	serve(t, r.outside, "outside", outsideIP+":80")
	table := r.open(t, host.Options{})
	open := segmentB
	open.Masquerade = false
	r.apply(t, table, host.Config{Segments: []host.Segment{segmentA, open}})
	wantGet(t, r.c1, outsideIP+":80", "outside sees "+hostOuter)
	wantNoGet(t, r.c3, outsideIP+":80") // the outside has no way back
	r.outside.Run("ip", "route", "add", "172.18.0.0/16", "via", hostOuter)
	wantGet(t, r.c3, outsideIP+":80", "outside sees "+container3)
}

func TestOutsideInward(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.outside.Run("ip", "route", "add", "172.17.0.0/16", "via", hostOuter)
	serve(t, r.c1, "container1", ":80")
	table := r.open(t, host.Options{})
	r.apply(t, table, host.Config{Segments: both, Forwards: []host.Forward{forward("", 8080, container1, 80, "vs-a")}})
	wantNoGet(t, r.outside, container1+":80")
	wantGet(t, r.outside, hostOuter+":8080", "container1 sees "+outsideIP)
	wantGet(t, r.host, container1+":80", "container1 sees 172.17.0.1") // the host is a station of the segment
}

// TestSegmentsApart tries all that a container's root can do about routes.
func TestSegmentsApart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	serve(t, r.c1, "container1", ":80")
	table := r.open(t, host.Options{})
	r.apply(t, table, host.Config{Segments: both})
	for _, route := range [][]string{
		nil, // the default route
		{"172.17.0.0/16", "via", "172.18.0.1"},
		{container1, "via", "172.18.0.1"},
		{"172.17.0.0/16", "dev", "eth0"}, // the host does not proxy ARP
	} {
		if route != nil {
			r.c3.Run(append([]string{"ip", "route", "replace"}, route...)...)
		}
		loses(t, r.c3, container1)
		wantNoGet(t, r.c3, container1+":80")
	}
	// With a source from the other segment the answer would not even have to pass.
	r.c3.Run("ip", "route", "flush", "172.17.0.0/16")
	r.c3.Run("ip", "address", "add", "172.17.0.9/32", "dev", "lo")
	loses(t, r.c3, "-I", "172.17.0.9", container1)
	wantNoneFrom(t, r, r.c3, "172.17.0.9")
	// What people accept in the chain that is theirs is for others than segments.
	r.host.Run("nft", "add rule inet vswitch user accept")
	loses(t, r.c3, container1)
	wantNoGet(t, r.c3, container1+":80")
	wantGet(t, r.c2, container1+":80", "container1 sees "+container2)
}

// wantNoneFrom wants nothing that ns sends from an address of the other segment to
// reach the host, even where that checks no sources itself.
func wantNoneFrom(t *testing.T, r *rig, ns *lab.Namespace, address string) {
	t.Helper()
	r.host.Run("sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done")
	var host net.PacketConn
	var err error
	r.host.Do(func() { host, err = net.ListenPacket("udp4", ":5353") })
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	for _, from := range []string{address, container3} { // the latter is heard, and comes last
		ns.Do(func() {
			var conn net.Conn
			if conn, err = (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}).Dial("udp4", "172.18.0.1:5353"); err == nil {
				_, err = conn.Write([]byte(from))
				conn.Close()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := host.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, _, err := host.ReadFrom(b); err != nil || string(b[:n]) != container3 {
		t.Errorf("the host hears %q first, %v; want what comes from %s", b[:n], err, container3)
	}
}

// What belongs to no connection is not translated.
func TestNothingLeavesWithItsInnerAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apply(t, r.open(t, host.Options{}), host.Config{Segments: both})
	listen := func(ns *lab.Namespace, address string) (c net.PacketConn) {
		var err error
		ns.Do(func() { c, err = net.ListenPacket("ip4:icmp", address) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	container, outside := listen(r.c1, container1), listen(r.outside, outsideIP)
	unasked := []byte{0, 0, 0xff, 0xff, 0, 0, 0, 0} // an echo reply
	if _, err := container.WriteTo(unasked, &net.IPAddr{IP: net.ParseIP(outsideIP)}); err != nil {
		t.Fatal(err)
	}
	r.c1.Run("ping", "-n", "-c", "1", "-W", "5", outsideIP) // comes after it
	if err := outside.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, from, err := outside.ReadFrom(make([]byte, 1500)); err != nil || from.String() != hostOuter {
		t.Errorf("the outside hears %v first, %v; want %s", from, err, hostOuter)
	}
}

// A host that routes IPv6 does not do so for segments.
func TestSegmentsAreIPv4(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, a := range []struct {
		ns            *lab.Namespace
		address, link string
	}{{r.host, "fd00:a::1/64", "vs-a"}, {r.host, "fd00:b::1/64", "wan"}, {r.c1, "fd00:a::2/64", "eth0"}, {r.outside, "fd00:b::2/64", "eth0"}} {
		a.ns.Run("ip", "address", "add", a.address, "dev", a.link, "nodad")
	}
	r.host.Run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	r.c1.Run("ip", "route", "add", "fd00:b::/64", "via", "fd00:a::1")
	r.outside.Run("ip", "route", "add", "fd00:a::/64", "via", "fd00:b::1")
	r.c1.Run("ping", "-n", "-c", "1", "-W", "10", "fd00:b::2")
	r.apply(t, r.open(t, host.Options{}), host.Config{Segments: both})
	loses(t, r.c1, "fd00:b::2")
	loses(t, r.outside, "fd00:a::2")
}

// loses wants every one of some pings lost.
func loses(t *testing.T, ns *lab.Namespace, arguments ...string) {
	t.Helper()
	out, err := ns.Exec(t.Context(), append([]string{"ping", "-n", "-q", "-c", "3", "-i", "0.1", "-W", "1"}, arguments...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "100% packet loss") {
		t.Errorf("ping %v from %s: %v, %s; want all lost", arguments, ns.Name(), err, out)
	}
}

func TestPublished(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	serve(t, r.c1, "container1", ":80")
	serve(t, r.c1, "second", ":82")
	serve(t, r.host, "host", "127.0.0.1:7000")
	table := r.open(t, host.Options{})
	span := forward("", 9000, container1, 80, "vs-a")
	span.Count = 3
	r.apply(t, table, host.Config{Segments: both, Forwards: []host.Forward{
		forward("0.0.0.0", 8080, container1, 80, "vs-a"),
		forward("127.0.0.1", 8081, container1, 80, "vs-a"),
		forward(hostOuter, 8082, container1, 80, "vs-a"),
		span,
	}})
	for _, c := range []struct {
		from    *lab.Namespace
		address string
		sees    string // "" when it must not be reached
	}{
		{r.outside, hostOuter + ":8080", outsideIP},
		{r.outside, hostOuter + ":8081", ""},
		{r.outside, hostOuter + ":8082", outsideIP},
		{r.outside, hostOuter + ":9000", outsideIP},
		{r.outside, hostOuter + ":9003", ""},
		{r.host, hostOuter + ":8080", hostOuter},
		{r.host, "127.0.0.1:8080", "172.17.0.1"},
		{r.host, "127.0.0.1:8081", "172.17.0.1"},
		{r.host, "127.0.0.1:8082", ""},
		{r.host, "172.17.0.1:8080", "172.17.0.1"},
		{r.host, "172.18.0.1:8080", "172.17.0.1"}, // a segment takes no address of another
		{r.c2, hostOuter + ":8080", "172.17.0.1"}, // else the answer would not pass the host
		{r.c2, "172.17.0.1:8080", "172.17.0.1"},
		{r.c1, hostOuter + ":8080", "172.17.0.1"}, // itself
		{r.c3, hostOuter + ":8080", "172.17.0.1"}, // published is for all who reach the host
		{r.c3, hostOuter + ":8081", ""},
	} {
		if c.sees == "" {
			wantNoGet(t, c.from, c.address)
		} else {
			wantGet(t, c.from, c.address, "container1 sees "+c.sees)
		}
	}
	wantGet(t, r.outside, hostOuter+":9002", "second sees "+outsideIP)

	// The host's loopback is its own, whatever route a container makes to it.
	wantGet(t, r.host, "127.0.0.1:7000", "host sees 127.0.0.1")
	set(r.c1, "conf/all/route_localnet", "1")
	r.c1.Run("ip", "route", "add", "127.0.0.1", "via", "172.17.0.1", "table", "7")
	r.c1.Run("ip", "rule", "add", "pref", "0", "to", "127.0.0.1", "lookup", "7")
	r.c1.Run("ip", "rule", "del", "pref", "0", "lookup", "local")
	r.c1.Run("ip", "rule", "add", "pref", "1", "lookup", "local")
	wantNoGet(t, r.c1, "127.0.0.1:7000")
}
