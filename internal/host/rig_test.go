package host_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vswitch/internal/host"
	"vswitch/test/lab"
)

// The rig's addresses. Bridges stand in for the switch: one per segment, with the
// host's address on it and containers behind it.
const (
	hostOuter  = "192.0.2.1"
	outsideIP  = "192.0.2.2"
	container1 = "172.17.0.2" // with container2 in segment a
	container2 = "172.17.0.3"
	container3 = "172.18.0.2" // in segment b
)

var (
	segmentA = host.Segment{Link: "vs-a", Subnet: netip.MustParsePrefix("172.17.0.0/16"), Gateway: netip.MustParseAddr("172.17.0.1"), Masquerade: true}
	segmentB = host.Segment{Link: "vs-b", Subnet: netip.MustParsePrefix("172.18.0.0/16"), Gateway: netip.MustParseAddr("172.18.0.1"), Masquerade: true}
	both     = []host.Segment{segmentA, segmentB}
)

// rig is a host with two segments and an outside.
type rig struct {
	host, outside, c1, c2, c3 *lab.Namespace
}

func newRig(t *testing.T) *rig {
	t.Helper()
	lab.RequireCommand(t, "nft", "ping")
	r := &rig{}
	for _, ns := range []**lab.Namespace{&r.host, &r.outside, &r.c1, &r.c2, &r.c3} {
		*ns = lab.NewNamespace(t)
		(*ns).Run("ip", "link", "set", "lo", "up")
	}
	set(r.host, "ip_forward", "1") // as in newHost
	// The switch is not the kernel's bridge: nobody filters inside of a segment.
	r.host.Run("sh", "-c", "cd /proc/sys/net/bridge && echo 0 >bridge-nf-call-iptables || :")
	r.join(r.outside, "wan", outsideIP+"/24")
	r.host.Run("ip", "address", "add", hostOuter+"/24", "dev", "wan")
	r.bridge(segmentA, r.c1, r.c2)
	r.bridge(segmentB, r.c3)
	for ns, address := range map[*lab.Namespace]string{r.c1: container1, r.c2: container2, r.c3: container3} {
		ns.Run("ip", "address", "add", address+"/16", "dev", "eth0")
		gateway := netip.MustParseAddr(address).As4()
		gateway[3] = 1
		ns.Run("ip", "route", "add", "default", "via", netip.AddrFrom4(gateway).String())
	}
	return r
}

// join makes a veth between the host, where it is named name, and ns.
func (r *rig) join(ns *lab.Namespace, name, address string) {
	r.host.Run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", ns.Name())
	r.host.Run("ip", "link", "set", name, "up")
	ns.Run("ip", "link", "set", "eth0", "up")
	if address != "" {
		ns.Run("ip", "address", "add", address, "dev", "eth0")
	}
}

func (r *rig) bridge(s host.Segment, members ...*lab.Namespace) {
	r.host.Run("ip", "link", "add", s.Link, "type", "bridge")
	r.host.Run("ip", "address", "add", netip.PrefixFrom(s.Gateway, s.Subnet.Bits()).String(), "dev", s.Link)
	r.host.Run("ip", "link", "set", s.Link, "up")
	for i, ns := range members {
		name := fmt.Sprintf("p%s%d", strings.TrimPrefix(s.Link, host.LinkPrefix), i)
		r.join(ns, name, "")
		r.host.Run("ip", "link", "set", name, "master", s.Link)
		r.host.Run("ip", "link", "set", name, "type", "bridge_slave", "hairpin", "on") // as a TAP of the host sends back
	}
}

// setting is the value of a setting of the kernel, by its path below net/ipv4.
func setting(ns *lab.Namespace, path string) string {
	return strings.TrimSpace(ns.Run("cat", "/proc/sys/net/ipv4/"+path))
}

func set(ns *lab.Namespace, path, value string) {
	ns.Run("sh", "-c", `echo "$0" >"/proc/sys/net/ipv4/$1"`, value, path)
}

// open opens a table in the host, to be removed when the test ends.
func (r *rig) open(t testing.TB, o host.Options) *host.Table {
	t.Helper()
	var table *host.Table
	r.host.Do(func() {
		var err error
		if table, err = host.Open(o); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

func (r *rig) apply(t testing.TB, table *host.Table, c host.Config) {
	t.Helper()
	var err error
	r.host.Do(func() { err = table.Apply(c) })
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) remove(t *testing.T, table *host.Table) {
	t.Helper()
	var err error
	r.host.Do(func() { err = table.Remove() })
	if err != nil {
		t.Fatal(err)
	}
}

// serve answers HTTP at address in ns with "NAME sees CLIENT".
func serve(t *testing.T, ns *lab.Namespace, name, address string) {
	t.Helper()
	var listener net.Listener
	ns.Do(func() {
		var err error
		if listener, err = net.Listen("tcp", address); err != nil {
			t.Fatal(err)
		}
	})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		client, _, _ := net.SplitHostPort(q.RemoteAddr)
		fmt.Fprintf(w, "%s sees %s", name, client)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
}

// dialTimeout is how long what must not be reached is tried, and well over what a
// first connection takes on a busy machine.
const dialTimeout = time.Second

// get fetches http://address/ from within ns.
func get(ns *lab.Namespace, address string) (body string, err error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			ns.Do(func() { conn, err = (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address) })
			return conn, err
		},
	}}
	response, err := client.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return string(content), err
}

func wantGet(t *testing.T, ns *lab.Namespace, address, want string) {
	t.Helper()
	if got, err := get(ns, address); err != nil || got != want {
		t.Errorf("from %s, http://%s/ is %q, %v; want %q", ns.Name(), address, got, err, want)
	}
}

func wantNoGet(t *testing.T, ns *lab.Namespace, address string) {
	t.Helper()
	if got, err := get(ns, address); err == nil {
		t.Errorf("from %s, http://%s/ answers %q; want no connection", ns.Name(), address, got)
	}
}

func forward(hostIP string, hostPort uint16, to string, toPort uint16, link string) host.Forward {
	f := host.Forward{Protocol: host.TCP, HostPort: hostPort, To: netip.MustParseAddr(to), ToPort: toPort, Link: link}
	if hostIP != "" {
		f.HostIP = netip.MustParseAddr(hostIP)
	}
	return f
}
