package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/test/lab"
)

// flow sends datagrams to one address at a steady pace, over a neighbour entry that
// does not change, as a peer does that heard of the address before.
type flow struct {
	*lab.Container

	text string // what is in each datagram
	conn net.Conn
	sent int
}

// flowPace is between the datagrams of a flow: 20 a second.
const flowPace = 50 * time.Millisecond

// flowTo begins a flow without asking for the receiver's MAC.
func flowTo(c *lab.Container, to *lab.Container) *flow {
	c.Helper()
	addr := to.Addr().String()
	c.Run(
		"ip",
		"neigh",
		"replace",
		addr,
		"lladdr",
		to.Port.MAC.String(),
		"dev",
		c.Port.IfName,
		"nud",
		"permanent",
	)
	conn := lab.Inside(
		c,
		func() (net.Conn, error) { return net.Dial("udp4", net.JoinHostPort(addr, discard)) },
	)
	c.Cleanup(func() { conn.Close() })
	return &flow{Container: c, text: fmt.Sprintf("one way from %s", c.Name()), conn: conn}
}

// run sends for so long.
func (f *flow) run(d time.Duration) {
	f.Helper()
	next := time.NewTicker(flowPace)
	defer next.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-next.C {
		f.send()
	}
}

// send sends one datagram. That the receiver's kernel refuses it is of no interest.
func (f *flow) send() {
	f.Helper()
	if _, err := f.conn.Write([]byte(f.text)); err != nil &&
		!strings.Contains(err.Error(), "connection refused") {
		f.Fatal(err)
	}
	f.sent++
}

// seen is how many datagrams of the flow have come to a witness so far.
func (f *flow) seen(w *lab.TestSocket) int {
	f.Helper()
	return len(with(w.Until(sendMark(f.Container)), []byte(f.text)))
}

// The switch answers ARP for its ports, so that a host that only receives is never
// heard. It is known all the same.
func TestOneWayFlowIsNeverFlooded(t *testing.T) {
	t.Parallel()
	const ageing = time.Second
	h := newHost(t, "--ageing", ageing.String())
	a, b, c := h.Attach("a"), h.Attach("b"), h.Attach("c")
	// An ICMP error would tell where b is.
	listener := listenUDP(b, "0.0.0.0")
	conn := dialUDP(a, listener, b.Addr().String())
	a.Run(
		"ip",
		"neigh",
		"replace",
		b.Addr().String(),
		"lladdr",
		b.Port.MAC.String(),
		"dev",
		"eth0",
		"nud",
		"permanent",
	)
	f := &flow{Container: a, text: "one way and no other", conn: conn}
	receiver, bystander := b.Witness(), c.Witness()
	f.run(3*ageing + ageing/2)
	mark := sendMark(a)
	if n := len(with(bystander.Until(mark), []byte(f.text))); n != 0 {
		t.Errorf("of %d datagrams to b, c has seen %d, want none", f.sent, n)
	}
	if n := len(with(receiver.Until(mark), []byte(f.text))); n != f.sent {
		t.Errorf("of %d datagrams b has seen %d, want all", f.sent, n)
	}
}

// misled says why c's kernel does not take the address of another container for
// nobody's, as it does over a bridge: it asks three times, a second apart, and gives
// up. Empty: it does.
func misled(c *lab.Container, to netip.Addr) string {
	c.Helper()
	c.Try("ip", "neigh", "del", to.String(), "dev", c.Port.IfName)
	if out, _ := c.Try("ping", "-n", "-c", "1", "-W", "5", to.String()); !strings.Contains(
		out,
		"Destination Host Unreachable",
	) {
		return fmt.Sprintf(
			"ping from %s to %s, which is not there: want Destination Host Unreachable:\n%s",
			c.Port.Name,
			to,
			out,
		)
	}
	neighbour := c.Run("ip", "neigh", "show", to.String(), "dev", c.Port.IfName)
	if neighbour != "" && !strings.Contains(neighbour, "FAILED") &&
		!strings.Contains(neighbour, "INCOMPLETE") {
		return fmt.Sprintf("%s has a neighbour that is not there: %s", c.Port.Name, neighbour)
	}
	return ""
}

// bound says whether the switch answers ARP for an address of the default segment.
func (h *host) bound(addr netip.Addr) bool {
	h.Helper()
	list, err := h.Client.ARP(h.Context(), "bridge")
	if err != nil {
		h.Fatal(err)
	}
	for _, b := range list {
		if b.IP == addr {
			return true
		}
	}
	return false
}

// departure is a way for b to be gone.
type departure struct {
	name   string
	leave  func(h *host, b *lab.Container)
	logged []string                             // what the log says of it; nil: nothing
	left   func(h *host, b *lab.Container) bool // the switch has seen it
	drop   string                               // why the flow is dropped; empty: it is not
	asked  bool                                 // the segment is asked for the address
	comeup func(h *host, b *lab.Container)      // until the switch has seen it; nil: it stays away
}

// awaitLeft waits until the switch has seen that b has gone; from is the number of lines in the
// log before.
func (d departure) awaitLeft(h *host, b *lab.Container, from int) {
	h.Helper()
	if d.logged != nil {
		h.AwaitLog(from, append(d.logged, "port=b ")...)
		if !d.left(h, b) {
			h.Errorf("the log says that b has gone, and the API that it has not: %+v", h.Port("b"))
		}
		return
	}
	h.Eventually("the switch, whose log does not tell of it, has seen that b has gone", func() bool {
		return d.left(h, b)
	})
}

func departures() []departure {
	state := func(want api.PortState) func(*host, *lab.Container) bool {
		return func(h *host, _ *lab.Container) bool { return h.Port("b").State == want }
	}
	return []departure{
		{
			name:   "namespace deleted",
			leave:  func(_ *host, b *lab.Container) { b.Remove() },
			logged: []string{`msg="port lost"`},
			left:   state(api.PortLost),
			drop:   "port-lost",
		},
		{
			name:   "set down",
			leave:  func(h *host, _ *lab.Container) { h.MustVsctl("set-port", "b", "--down") },
			left:   state(api.PortDown),
			comeup: func(h *host, _ *lab.Container) { h.MustVsctl("set-port", "b", "--up") },
		},
		{
			name:   "interface down",
			leave:  func(_ *host, b *lab.Container) { b.Run("ip", "link", "set", "eth0", "down") },
			logged: []string{`msg="interface set in its namespace"`, "up=false"},
			left:   state(api.PortDown),
			comeup: func(h *host, b *lab.Container) { h.setInterface(b, "eth0", true) },
		},
		{ // over a bridge its neighbours hear who asks for it, and so they do here
			name:  "address removed",
			leave: func(_ *host, b *lab.Container) { b.Run("ip", "addr", "flush", "dev", "eth0") },
			left:  func(h *host, b *lab.Container) bool { return !h.bound(b.Addr()) },
			asked: true,
			comeup: func(h *host, b *lab.Container) {
				b.Run("ip", "addr", "add", b.Port.IPs[0].String(), "dev", "eth0")
				h.awaitAnswerFor(b.Addr(), b.Port.MAC.String())
			},
		},
	}
}

// What no longer has an address is not answered for, and what is for it goes to
// nobody else; as soon as it is back it is found again.
func TestHostThatIsGoneIsNotAnsweredFor(t *testing.T) {
	t.Parallel()
	for _, test := range departures() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, "--ageing", "1s")
			a, b, c := h.Attach("a"), h.Attach("b"), h.Attach("c")
			onHost := h.onHost("bridge")
			onHost.Run("ip", "link", "set", "lo", "up") // by which the host tells itself of errors
			a.Reaches(b.Addr().String())
			h.Reaches(b.Addr().String())
			bystander := c.Witness()
			f := flowTo(a, b)
			f.send()
			from := h.Daemon.Lines()
			test.leave(h, b)
			f.run(2*time.Second + time.Second/2) // more than twice the ageing time
			test.awaitLeft(h, b, from)
			before := h.Counters("b").Drops[test.drop]
			for range 10 {
				f.send()
			}
			if n := f.seen(bystander); n != 0 {
				t.Errorf("of %d datagrams to b, c has seen %d, want none", f.sent, n)
			}
			if test.drop != "" {
				h.AwaitDrops("b", test.drop, before+10)
			}

			for _, asker := range []*lab.Container{a, onHost} {
				if why := misled(asker, b.Addr()); why != "" {
					t.Error(why)
				}
				if n := len(askedFor(bystander.Until(sendMark(a)), b.Addr())); test.asked && n == 0 {
					t.Errorf(
						"%s asks for an address that no interface has, and the segment does not hear it",
						asker.Port.Name,
					)
				}
			}
			if test.comeup == nil {
				return
			}
			test.comeup(h, b)
			if h.hasState("b", api.PortUp); !h.bound(b.Addr()) {
				t.Error("b is back, and the switch does not answer for it")
			}
			a.Reaches(b.Addr().String())
			h.Reaches(b.Addr().String())
		})
	}
}

func TestErrDisabledPortIsNotAnsweredFor(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a := h.Attach("a")
	loop := h.bridged(api.SecurityOff)
	// What the bridge itself hears on the other port is no answer either.
	loop.Run("sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/arp_ignore; do echo 1 >$f; done")
	loop.closeLoop("stp_state", "0")
	for range 5 {
		from := h.Daemon.Lines()
		disabled, found := h.errDisabledOf("left", "right")
		if !found {
			sendMark(a)
			disabled = h.awaitErrDisabled(from, "left", "right")
		}
		why := misled(a, disabled.IPs[0].Addr())
		if errDisabled(h.Port(disabled.Name)) {
			if why != "" {
				t.Errorf("port %s is err-disabled: %s", disabled.Name, why)
			}
			return
		}
		// It was up again before the answer was there, which proves nothing.
	}
	t.Error("no port was err-disabled for long enough")
}

// A container's root may change its MAC while it runs, at a port that may use any.
func TestLiveMACChangeAtAnOpenPort(t *testing.T) {
	t.Parallel()
	for _, notify := range []string{"0", "1"} {
		t.Run("arp_notify="+notify, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			a, b := h.Attach("a"), h.Attach("b", secured(api.SecurityOff))
			b.Sysctl("net.ipv4.conf.eth0.arp_notify=" + notify)
			a.Reaches(b.Addr().String())
			b.Reaches(a.Addr().String())
			const mac = "02:00:00:00:44:01"
			h.changeMAC(b, mac)
			reachesNow(b, a)
			reachesNow(a, b)
			list := h.MustVsctl("list-ports", "--format", "{{.Name}} {{.MAC}}")
			if !strings.Contains(list, "b "+mac+"\n") {
				t.Errorf("list-ports does not show the new MAC:\n%s", list)
			}
			a.Run("ip", "neigh", "flush", "dev", "eth0")
			b.Reaches(a.Addr().String())
			a.Reaches(b.Addr().String())
		})
	}
}

// secured chooses a level of security for attach and connect.
func secured(level api.Security) func(*api.PortSpec) {
	return func(s *api.PortSpec) { s.Security = level }
}

// The address of a port may move to a host behind it, such as a virtual machine at
// a bridge in the container.
func TestAddressMovesBehindItsPort(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		announce bool
	}{{"announced", true}, {"silent", false}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lab.RequireCommand(t, "arping")
			h := newHost(t)
			a, b := h.Attach("a"), h.Attach("b", secured(api.SecurityOff))
			a.Reaches(b.Addr().String())
			b.Run("ip", "addr", "flush", "dev", "eth0")
			b.Run("ip", "link", "add", "br0", "type", "bridge")
			b.Run("ip", "link", "set", "eth0", "master", "br0")
			vm := &lab.Container{Namespace: lab.NewQuietNamespace(t), TB: h, Host: h.Host, Port: b.Port}
			vm.Port.Name = "vm"
			b.Run(
				"ip",
				"link",
				"add",
				"tap0",
				"type",
				"veth",
				"peer",
				"name",
				"eth0",
				"address",
				"02:00:00:00:44:02",
				"netns",
				vm.Name(),
			)
			b.Run("ip", "link", "set", "tap0", "master", "br0", "up")
			b.Run("ip", "link", "set", "br0", "up")
			vm.Run("ip", "addr", "add", b.Port.IPs[0].String(), "dev", "eth0")
			vm.Run("ip", "link", "set", "eth0", "up")
			vm.AwaitLinkUp("eth0")
			b.AwaitLinkUp("tap0")
			b.AwaitLinkUp("br0")
			h.awaitAnswerFor(b.Addr(), "")
			if test.announce {
				vm.Run("arping", "-q", "-U", "-c", "1", "-I", "eth0", b.Addr().String())
			} else {
				a.Run("ip", "neigh", "flush", "dev", "eth0")
			}
			reachesNow(a, vm)
			reachesNow(vm, a)
			a.Run("ip", "neigh", "flush", "dev", "eth0")
			a.Reaches(b.Addr().String())
			if out := a.Run("ip", "neigh", "show", b.Addr().String()); !strings.Contains(
				out,
				"02:00:00:00:44:02",
			) {
				t.Errorf("a's neighbour is %s, want the MAC behind the port", out)
			}
		})
	}
}
