package dns

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	mdns "github.com/miekg/dns"
)

// served is a resolver on sockets of the loopback, whose addresses may ask.
func served(tb testing.TB, edit ...func(*Config)) (*Resolver, string) {
	tb.Helper()
	loopback := func(c *Config) { c.Subnets = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }
	r := NewResolver(Config{Names: names()})
	for _, f := range append([]func(*Config){loopback}, edit...) {
		f(&r.config)
	}
	return r, serve(tb, r)
}

// serve has r serve on sockets of the loopback until the test ends, and closes it then.
func serve(tb testing.TB, r *Resolver) (at string) {
	tb.Helper()
	packets, listener := listenOnBoth(tb)
	ended := make(chan error, 2)
	go func() { ended <- r.ServeUDP(packets, func(net.Addr, []byte) bool { return false }) }()
	go func() { ended <- r.ServeTCP(listener) }()
	tb.Cleanup(func() {
		packets.Close()
		listener.Close()
		for range 2 {
			if err := <-ended; err != nil {
				tb.Errorf("serve: %v", err)
			}
		}
		r.Close()
	})
	return packets.LocalAddr().String()
}

func TestServe(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, address("192.0.2.80"))
	_, at := served(t, forwardTo(u))
	for _, network := range []string{"udp", "tcp"} {
		c := mdns.Client{Net: network}
		conn, err := c.Dial(at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, test := range []struct{ name, want string }{{"container1", "172.17.0.2"}, {"example.com", "192.0.2.80"}, {"db", "172.17.0.3"}} {
			m, _, err := c.ExchangeWithConn(question(test.name, mdns.TypeA), conn)
			if err != nil || records(m) != test.want {
				t.Errorf("%s over %s: %v, %v; want %s", test.name, network, m, err, test.want)
			}
		}
	}
}

func TestConnectionsOfOthersAreClosed(t *testing.T) {
	t.Parallel()
	_, at := served(t, func(c *Config) { c.Subnets = subnets })
	conn, err := net.Dial("tcp4", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes, want the connection closed", n)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	const most = 16
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	r := NewResolver(Config{Names: names(), Subnets: loopback})
	r.conns = newSlots(bounds{pending: 2 * most, pendingEach: most})
	at := serve(t, r)
	query := pack(t, question("container1", mdns.TypeA))
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	answered := 0
	for range most + 1 {
		conn, err := net.Dial("tcp4", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(framed) // one too many may be closed by now
		if _, err := conn.Read(make([]byte, 512)); err == nil {
			answered++
		}
	}
	if answered != most {
		t.Errorf("%d connections of one client were served, want %d", answered, most)
	}
	if met := r.Met(); met[TooManyConnections] != 1 {
		t.Errorf("counted %v", met)
	}
}

// TestHostileStreams: a length without its message, and messages that are none,
// end the connection and nothing else.
func TestHostileStreams(t *testing.T) {
	t.Parallel()
	r, at := served(t)
	for _, sent := range []string{
		"\x00\x00", "\x00\x05hello", "\x00\x0ctwelve-bytes", "\x10\x01long",
	} {
		conn, err := net.Dial("tcp4", at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		for buf := make([]byte, 512); err == nil; {
			_, err = conn.Read(buf)
		}
		conn.Close()
	}
	m, _, err := new(mdns.Client).Exchange(question("container1", mdns.TypeA), at)
	if err != nil || records(m) != "172.17.0.2" {
		t.Errorf("afterwards: %v, %v", m, err)
	}
	if met := r.Met(); met[TooLong] != 1 {
		t.Errorf("counted %v, want one that is too long", met)
	}
}
