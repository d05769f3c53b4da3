package e2e

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"vswitch/api"
	"vswitch/test/lab"
)

// resolver is one of the outer world's, which the host's resolv.conf names. It
// knows one address for every name, and of some names more:
//
//	dead.example    is never answered
//	long.example    has more texts than fit a datagram
//	*.held.example  is answered once the test releases it
type resolver struct {
	release func() // answers what is held; more than once is as good as once

	held  chan struct{} // closed by release
	mu    sync.Mutex
	asked map[string]int // how often for each name; guarded by mu

	unanswered chan struct{} // receives one when dead.example is asked for
}

// longTexts is how many records long.example has.
const longTexts = 40

// startResolver serves on c's address.
func startResolver(c *lab.Container, address string) *resolver {
	c.Helper()
	r := &resolver{
		asked: make(map[string]int), unanswered: make(chan struct{}, 1), held: make(chan struct{}),
	}
	r.release = sync.OnceFunc(func() { close(r.held) })
	at := c.Addr().String() + ":53"
	packets := lab.Inside(c, func() (net.PacketConn, error) { return net.ListenPacket("udp4", at) })
	listener := lab.Inside(c, func() (net.Listener, error) { return net.Listen("tcp4", at) })
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { r.answer(w, q, net.ParseIP(address)) })
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}} {
		started, ended := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			_ = s.ActivateAndServe() // ends with Shutdown
		}()
		<-started
		c.Cleanup(func() {
			r.release()
			_ = s.Shutdown()
			<-ended
		})
	}
	return r
}

func (r *resolver) answer(w dns.ResponseWriter, q *dns.Msg, address net.IP) {
	name := q.Question[0].Name
	r.mu.Lock()
	r.asked[name]++
	r.mu.Unlock()
	if strings.HasSuffix(name, ".held.example.") {
		<-r.held
	}
	m := new(dns.Msg).SetReply(q)
	header := dns.RR_Header{Name: name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 60}
	switch {
	case name == "dead.example.":
		select {
		case r.unanswered <- struct{}{}:
		default: // asked once more
		}
		return
	case name == "long.example." && w.RemoteAddr().Network() == "udp":
		m.Truncated = true
	case name == "long.example.":
		for range longTexts {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: header, Txt: []string{strings.Repeat("x", 100)}})
		}
	case q.Question[0].Qtype == dns.TypeA:
		m.Answer = []dns.RR{&dns.A{Hdr: header, A: address}}
	}
	_ = w.WriteMsg(m) // who asked may be gone
}

func (r *resolver) times(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[name]
}

// resolvConf is the file that names the host's resolvers in a test.
func (h *host) resolvConf(servers ...string) string {
	h.Helper()
	path := filepath.Join(filepath.Dir(h.Socket), "resolv.conf")
	text := ""
	for _, s := range servers {
		text += "nameserver " + s + "\n"
	}
	if err := os.WriteFile(path+"~", []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		h.Fatal(err)
	}
	return path
}

// digs asks the gateway with bind's dig and returns what it prints.
func digs(c *lab.Container, args ...string) string {
	c.Helper()
	lab.RequireCommand(c, "dig")
	out, _ := c.Try(append([]string{"dig", "+tries=1", "+timeout=20", "@" + c.Port.Gateway}, args...)...)
	return out
}

// hostWithResolver has a resolver outside, and vswitchd forward to it.
func hostWithResolver(t *testing.T, flags ...string) (*host, *lab.Container, *resolver) {
	t.Helper()
	h := newQuietHost(t)
	outside := h.outside(1500)
	r := startResolver(outside, "198.51.100.1")
	h.NS.Run("ip", "link", "set", "lo", "up")
	h.Start(append(flags, "--resolv-conf", h.resolvConf(farOutside))...)
	return h, outside, r
}

// Names that are not the segment's are the host's resolvers' to know.
func TestOutsideNamesAreForwarded(t *testing.T) {
	t.Parallel()
	h, outside, upstream := hostWithResolver(t)
	c := h.Attach("container1")
	h.Attach("container2")

	resolves(c, "www.example", "198.51.100.1")
	resolves(c, "container2", "172.17.0.3")
	if n := upstream.times("container2."); n != 0 {
		t.Errorf("the host's resolver was asked %d times for a name of the segment", n)
	}
	if out := digs(c, "+tcp", "www.example"); !strings.Contains(out, "198.51.100.1") {
		t.Errorf("dig +tcp:\n%s", out)
	}
	// Too long for a datagram, from there to here and from here to the client.
	if out := digs(c, "long.example", "TXT"); strings.Count(out, strings.Repeat("x", 100)) != longTexts {
		t.Errorf("dig of a long answer:\n%s", out)
	}
	if out := digs(c, "+ignore", "+noedns", "long.example", "TXT"); !strings.Contains(out, " tc ") {
		t.Errorf("dig of a long answer in one datagram, want it marked as cut off:\n%s", out)
	}

	// A resolver that does not answer ends in an error, and holds up nobody.
	dead := c.Start("dig", "+tries=1", "+timeout=20", "@"+c.Port.Gateway, "dead.example")
	select {
	case <-upstream.unanswered:
	case <-time.After(lab.Patience):
		t.Fatal("the question that is not answered has not come")
	}
	resolves(c, "container2", "172.17.0.3")
	resolves(c, "other.example", "198.51.100.1")
	if code := dead.AwaitExit(); code != 0 || !strings.Contains(dead.Output(), "status: SERVFAIL") {
		t.Errorf("dig of what no resolver answers, want SERVFAIL: exit status %d\n%s", code, dead.Output())
	}

	// Another process takes over, sockets and all.
	h.upgradeInPlace()
	resolves(c, "third.example", "198.51.100.1")

	// The host's resolvers may change; the first of them may be out of order.
	outside.Run("ip", "addr", "add", "192.0.2.3/24", "dev", "eth0")
	second := *outside
	second.Port.IPs = []netip.Prefix{netip.MustParsePrefix("192.0.2.3/24")}
	startResolver(&second, "198.51.100.2")
	h.resolvConf("192.0.2.99", "192.0.2.3")
	h.Eventually("the list of resolvers, which is looked at once a second, has changed", func() bool {
		return strings.Contains(digs(c, "again.example"), "198.51.100.2")
	})
}

// The resolver is its segment's, and no one else's.
func TestResolverIsNotOpen(t *testing.T) {
	t.Parallel()
	h, outside, upstream := hostWithResolver(t)
	h.routes()
	h.AddSegment("other")
	h.AddSegment("internal", func(s *api.SegmentSpec) { s.Internal = true })
	h.AddSegment("none", func(s *api.SegmentSpec) { s.Uplink = api.UplinkNone })
	c := h.Attach("container1")
	other, internal, none := h.Attach("container2", lab.On("other")), h.Attach("container3", lab.On("internal")), h.Attach("container4", lab.On("none"))
	resolves(c, "www.example", "198.51.100.1")
	asked := upstream.times("open.example.")
	for _, from := range []*lab.Container{outside, other, internal, none, h.onHost("bridge")} {
		out, ok := from.Try("dig", "+tries=1", "+timeout=1", "@172.17.0.1", "open.example")
		tcp, tcpOK := from.Try("dig", "+tcp", "+tries=1", "+timeout=1", "@172.17.0.1", "open.example")
		if ok || tcpOK {
			t.Errorf("%s is answered by the resolver of a segment that it is not in:\n%s%s", from.Port.Name, out, tcp)
		}
	}
	if n := upstream.times("open.example."); n != asked {
		t.Errorf("the host's resolver was asked %d times for them", n)
	}
	// Who has no way out has no names from there either.
	for _, from := range []*lab.Container{internal, none} {
		resolves(from, from.Port.Name, from.Addr().String())
		unknown(from, "www.example")
	}
}

// A resolver of the host's own that has taken the port is no failure.
func TestPortOfTheResolverIsTaken(t *testing.T) {
	t.Parallel()
	h := newQuietHost(t)
	taken := lab.Inside(&lab.Container{Namespace: h.NS, TB: t}, func() (net.PacketConn, error) { return net.ListenPacket("udp4", "0.0.0.0:53") })
	defer taken.Close()
	h.Start()
	c := h.Attach("container1")
	h.AwaitLog(0, "level=WARN", "names are not served")
	c.Reaches(c.Port.Gateway)
	h.LogAfter(func() { taken.Close() }, `msg="names are served"`)
	resolves(c, "container1", "172.17.0.2")
}

// A name server in a container is published like anything else, and takes nothing
// from the segments' own resolvers.
func TestPublishedNameServer(t *testing.T) {
	t.Parallel()
	h, outside, _ := hostWithResolver(t)
	server, c := h.Attach("server"), h.Attach("container1")
	startResolver(server, "203.0.113.53")
	h.publish("server", "53:53/udp")
	h.publish("server", "53:53/tcp")
	digs := func(from *lab.Container, to, want string) {
		t.Helper()
		for _, how := range []string{"+notcp", "+tcp"} {
			if out, _ := from.Try("dig", how, "+tries=1", "+timeout=20", "@"+to, "www.example"); !strings.Contains(out, want) {
				t.Errorf("dig %s @%s in %s, want %s:\n%s", how, to, from.Port.Name, want, out)
			}
		}
	}
	for range 2 {
		digs(outside, hostOutside, "203.0.113.53")
		digs(c, hostOutside, "203.0.113.53")
		digs(c, c.Port.Gateway, "198.51.100.1")
		resolves(c, "server", server.Addr().String())
		h.Kill()
		h.Start("--resolv-conf", h.resolvConf(farOutside))
		h.awaitPublished()
	}
}
