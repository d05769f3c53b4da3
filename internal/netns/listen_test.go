package netns

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"vswitch/test/lab"
)

// What comes in by another link is not for the socket, whatever its address.
func TestListenOnLink(t *testing.T) {
	t.Parallel()
	ns, peer := lab.NewNamespace(t), lab.NewNamespace(t)
	for n, link := range []string{"own", "other"} {
		host, far := []string{"10.1.0.1/24", "10.2.0.1/24"}[n], []string{"10.1.0.2/24", "10.2.0.2/24"}[n]
		ns.Run("ip", "link", "add", link, "type", "veth", "peer", "name", link, "netns", peer.Name())
		ns.Run("ip", "addr", "add", host, "dev", link)
		peer.Run("ip", "addr", "add", far, "dev", link)
		ns.Run("ip", "link", "set", link, "up")
		peer.Run("ip", "link", "set", link, "up")
	}
	peer.Run("ip", "route", "add", "10.3.0.1/32", "via", "10.1.0.1")
	at := netip.MustParseAddrPort("10.3.0.1:53") // which no link has yet
	var s LinkSocket
	var lost uint64
	var err error
	ns.Do(func() { s, err = ListenOnLink("own", at, func(n uint64) { lost += n }) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ns.Run("ip", "addr", "add", "10.3.0.1/32", "dev", "own")

	dial := func(network string) (conn net.Conn, err error) {
		peer.Do(func() { conn, err = net.Dial(network, at.String()) })
		return conn, err
	}
	send := func(text string) {
		t.Helper()
		conn, err := dial("udp4")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := dial("tcp4")
	if err != nil {
		t.Fatalf("connect by the socket's link: %v", err)
	}
	conn.Close()
	peer.Run("ip", "route", "replace", "10.3.0.1/32", "via", "10.2.0.1")
	if conn, err := dial("tcp4"); err == nil {
		conn.Close()
		t.Error("connected by another link")
	}
	send("by another link")
	peer.Run("ip", "route", "replace", "10.3.0.1/32", "via", "10.1.0.1")
	send("by its own link")
	receive := func() string {
		t.Helper()
		buf := make([]byte, 2048)
		n, _, err := s.UDP.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	if got := receive(); got != "by its own link" {
		t.Errorf("got %q", got)
	}
	// What finds no room is counted, and told with what comes next.
	if err := s.UDP.(*datagrams).SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	const many = 20
	for range many {
		send(strings.Repeat("x", 1000))
	}
	sent, received := many, 0
	for ; lost == 0; sent++ {
		receive()
		received++
		send("one more")
	}
	if received+int(lost) > sent {
		t.Errorf("of %d datagrams %d came and %d were lost", sent, received, lost)
	}
	ns.Do(func() { _, err = ListenOnLink("none", at, nil) })
	if err == nil {
		t.Error("on a link that is not there: no error")
	}
}
