package dns

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// upstream is a resolver of the host's, over UDP and TCP on one port.
type upstream struct {
	addr netip.AddrPort

	mu    sync.Mutex
	asked []*mdns.Msg // guarded by mu
	ports []string    // that datagrams came from; guarded by mu
}

// newUpstream answers with what answer makes of each question; nil is silence.
func newUpstream(tb testing.TB, answer func(q *mdns.Msg, network string) *mdns.Msg) *upstream {
	tb.Helper()
	u := new(upstream)
	packets, listener := listenOnBoth(tb)
	u.addr = packets.LocalAddr().(*net.UDPAddr).AddrPort()
	handler := mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		network := w.RemoteAddr().Network()
		u.mu.Lock()
		u.asked = append(u.asked, q.Copy())
		if network == "udp" {
			u.ports = append(u.ports, w.RemoteAddr().String())
		}
		u.mu.Unlock()
		if m := answer(q, network); m != nil {
			_ = w.WriteMsg(m) // the client may be gone
		}
	})
	for _, s := range []*mdns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}} {
		started, ended := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			if err := s.ActivateAndServe(); err != nil {
				tb.Errorf("serve: %v", err)
			}
		}()
		<-started
		tb.Cleanup(func() {
			_ = s.Shutdown()
			<-ended
		})
	}
	return u
}

// listenOnBoth listens over UDP and TCP on one port of the loopback.
func listenOnBoth(tb testing.TB) (net.PacketConn, net.Listener) {
	tb.Helper()
	for {
		packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		listener, err := net.Listen("tcp4", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		packets.Close()
		if !errors.Is(err, syscall.EADDRINUSE) { // a connection may have the port
			tb.Fatal(err)
		}
	}
}

func (u *upstream) questions() []*mdns.Msg {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.asked)
}

// address answers a question with one address.
func address(a string) func(*mdns.Msg, string) *mdns.Msg {
	return func(q *mdns.Msg, _ string) *mdns.Msg {
		m := new(mdns.Msg).SetReply(q)
		m.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 60}, A: net.ParseIP(a)}}
		return m
	}
}

func silent(*mdns.Msg, string) *mdns.Msg { return nil }

func failing(code int) func(*mdns.Msg, string) *mdns.Msg {
	return func(q *mdns.Msg, _ string) *mdns.Msg { return new(mdns.Msg).SetRcode(q, code) }
}

func forwardTo(servers ...*upstream) func(*Config) {
	var list []netip.AddrPort
	for _, u := range servers {
		list = append(list, u.addr)
	}
	return func(c *Config) { c.Forwarder = NewForwarder(func() []netip.AddrPort { return list }) }
}

func within(d time.Duration) func(*Config) { return func(c *Config) { c.Timeout = d } }

// resolve has r answer, however long it takes.
func resolve(tb testing.TB, r *Resolver, query *mdns.Msg) *mdns.Msg {
	tb.Helper()
	answers := make(chan []byte, 1)
	r.Handle(pack(tb, query), client, maxUDP, func(b []byte) { answers <- b })
	m := new(mdns.Msg)
	if err := m.Unpack(<-answers); err != nil {
		tb.Error(err)
	}
	return m
}

func TestOtherNamesAreForwarded(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, address("192.0.2.80"))
	r := newResolver(t, forwardTo(u))
	query := question("Example.COM", mdns.TypeA)
	query.SetEdns0(4096, true)
	query.IsEdns0().Option = append(query.IsEdns0().Option, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0123456789abcdef"})
	for range 2 {
		if m := resolve(t, r, query); records(m) != "192.0.2.80" || m.Id != query.Id || m.Question[0] != query.Question[0] || m.IsEdns0() == nil {
			t.Errorf("want the address of the host's resolver: %s", m)
		}
	}
	asked := u.questions()
	if len(asked) != 2 || asked[0].Question[0] != query.Question[0] || !asked[0].RecursionDesired {
		t.Fatalf("the host's resolver was asked %v", asked)
	}
	if asked[0].Id == asked[1].Id && u.ports[0] == u.ports[1] {
		t.Error("both questions went out with the same id and from the same port")
	}
	opt := asked[0].IsEdns0()
	if opt == nil || opt.UDPSize() != maxUDP || !opt.Do() || len(opt.Option) != 0 {
		t.Errorf("want our own OPT record, with the client's DO bit and without its cookie: %v", opt)
	}
	plain := question("example.com", mdns.TypeA)
	if m := resolve(t, r, plain); m.IsEdns0() != nil || u.questions()[2].IsEdns0() != nil {
		t.Error("EDNS for a client that has not asked for it")
	}
}

// TestTheSegmentsNamesAreNotForwarded: nor are its addresses, known or not.
func TestTheSegmentsNamesAreNotForwarded(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, address("192.0.2.80"))
	r := newResolver(t, forwardTo(u))
	for _, query := range []*mdns.Msg{
		question("container1", mdns.TypeAAAA), question("db", mdns.TypeTXT), question("9.0.17.172.in-addr.arpa", mdns.TypePTR),
	} {
		if m := askLocally(t, r, pack(t, query), client); m == nil || len(m.Answer) != 0 {
			t.Errorf("%s: %s", query.Question[0].String(), m)
		}
	}
	if asked := u.questions(); len(asked) != 0 {
		t.Errorf("the host's resolver was asked %v", asked)
	}
}

func TestServersThatFail(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]func(*mdns.Msg, string) *mdns.Msg{
		"silent": silent, "SERVFAIL": failing(mdns.RcodeServerFailure), "REFUSED": failing(mdns.RcodeRefused),
		"another question": func(q *mdns.Msg, network string) *mdns.Msg {
			m := address("192.0.2.66")(q, network)
			m.Question[0].Name = "example.net."
			return m
		},
		"another id": func(q *mdns.Msg, network string) *mdns.Msg {
			m := address("192.0.2.66")(q, network)
			m.Id++
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := newUpstream(t, first), newUpstream(t, address("192.0.2.80"))
			r := newResolver(t, forwardTo(bad, good))
			for range 3 {
				if m := resolve(t, r, question("example.com", mdns.TypeA)); records(m) != "192.0.2.80" {
					t.Fatalf("want the second server's answer: %s", m)
				}
			}
			if asked := bad.questions(); len(asked) != 1 {
				t.Errorf("the bad server was asked %d times, want once: the other one is known to answer", len(asked))
			}
		})
	}
}

func TestNoServerAnswers(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 16)
	bad := newUpstream(t, func(*mdns.Msg, string) *mdns.Msg {
		asked <- struct{}{}
		return nil
	})
	refusing := newUpstream(t, failing(mdns.RcodeRefused))
	var answers sync.WaitGroup
	for name, test := range map[string]struct {
		edit func(*Config)
		want int
	}{
		"silence":       {forwardTo(bad, bad), mdns.RcodeServerFailure},
		"refusal":       {forwardTo(refusing), mdns.RcodeRefused},
		"one of each":   {forwardTo(refusing, bad), mdns.RcodeRefused},
		"no such host":  {forwardTo(newUpstream(t, failing(mdns.RcodeNameError))), mdns.RcodeNameError},
		"none is named": {forwardTo(), mdns.RcodeServerFailure},
		"nobody there":  {forwardTo(&upstream{addr: closedPort(t)}), mdns.RcodeServerFailure},
	} {
		answers.Go(func() {
			r := newResolver(t, test.edit)
			if m := resolve(t, r, question("example.com", mdns.TypeA)); m.Rcode != test.want {
				t.Errorf("%s: %s, want %s", name, mdns.RcodeToString[m.Rcode], mdns.RcodeToString[test.want])
			}
		})
	}
	answers.Wait()
	for range 2 + 1 { // datagrams get lost: it is asked twice, and once beside the other
		<-asked
	}
}

func closedPort(tb testing.TB) netip.AddrPort {
	tb.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// TestLongAnswers: what the host's resolver cuts off over UDP is fetched over TCP,
// and cut for a client that takes no more.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	const strings = 20
	u := newUpstream(t, func(q *mdns.Msg, network string) *mdns.Msg {
		m := new(mdns.Msg).SetReply(q)
		m.Truncated = network == "udp"
		for n := range strings {
			if network == "tcp" {
				m.Answer = append(m.Answer, &mdns.TXT{
					Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET},
					Txt: []string{string(rune('a'+n)) + "123456789012345678901234567890123456789"},
				})
			}
		}
		return m
	})
	r := newResolver(t, forwardTo(u))
	query := question("example.com", mdns.TypeTXT)
	if m := resolve(t, r, query); !m.Truncated || len(m.Answer) >= strings {
		t.Errorf("to a client without EDNS: %d records, truncated %t", len(m.Answer), m.Truncated)
	}
	query.SetEdns0(maxUDP, false)
	if m := resolve(t, r, query); m.Truncated || len(m.Answer) != strings {
		t.Errorf("to a client with EDNS: %d records, truncated %t", len(m.Answer), m.Truncated)
	}
}

func TestCloseEndsQueries(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 16)
	u := newUpstream(t, func(*mdns.Msg, string) *mdns.Msg {
		asked <- struct{}{}
		return nil
	})
	r := NewResolver(Config{Subnets: subnets, Names: names(), Timeout: time.Hour})
	forwardTo(u)(&r.config)
	query := pack(t, question("example.com", mdns.TypeA))
	r.Handle(query, client, maxUDP, func([]byte) {})
	<-asked
	r.Close()
	r.Handle(query, client, maxUDP, func([]byte) { t.Error("an answer after the end") })
}

func TestHostServers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	h := NewHostServers(path)
	list := func() string {
		var all []string
		for _, s := range h.List() {
			all = append(all, s.String())
		}
		h.looked = time.Time{} // look again
		return strings.Join(all, " ")
	}
	write := func(text string) {
		t.Helper()
		// Under another name first: what is read is all or nothing.
		if err := errors.Join(os.WriteFile(path+"~", []byte(text), 0o600), os.Rename(path+"~", path)); err != nil {
			t.Fatal(err)
		}
	}
	const itself = "127.0.0.1:53"
	if got := list(); got != itself {
		t.Errorf("without a file: %s, want %s", got, itself)
	}
	for _, test := range []struct{ text, want string }{
		{"# comment\nsearch example.com\nnameserver 192.0.2.1\nnameserver 127.0.0.53\noptions edns0\n", "192.0.2.1:53 127.0.0.53:53"},
		{"nameserver 2001:db8::1\nnameserver fe80::1%eth0\nnameserver resolver.example\nnameserver\n", "[2001:db8::1]:53 [fe80::1%eth0]:53"},
		{"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n", "192.0.2.1:53 192.0.2.2:53 192.0.2.3:53"},
		{"options ndots:x timeout:-1\n\x00\xff", itself},
		{"", itself},
		{"nameserver 192.0.2.9\n", "192.0.2.9:53"},
	} {
		write(test.text)
		if got := list(); got != test.want {
			t.Errorf("with %q: %s, want %s", test.text, got, test.want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := list(); got != "192.0.2.9:53" {
		t.Errorf("while the file is replaced: %s, want what it was", got)
	}
}

// FuzzParseServers looks for panics and for more servers than anybody asks.
func FuzzParseServers(f *testing.F) {
	f.Add("nameserver 192.0.2.1\noptions timeout:1 attempts:2 ndots:3\n")
	f.Add("search a b\ndomain\nnameserver fe80::1%eth0")
	f.Fuzz(func(t *testing.T, text string) {
		servers := parseServers(strings.NewReader(text))
		if len(servers) < 1 || len(servers) > maxServers {
			t.Fatalf("%d servers", len(servers))
		}
	})
}
