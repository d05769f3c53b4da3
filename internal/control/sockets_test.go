package control

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"vswitch/api"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/frame"
)

// question returns a question for a name's addresses of IPv4.
func question(name string) []byte {
	b, err := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), mdns.TypeA).Pack()
	if err != nil {
		panic(err) // a test's own mistake
	}
	return b
}

// answersOf returns what a message says, or the name of its error.
func answersOf(t *testing.T, message []byte) string {
	t.Helper()
	m := new(mdns.Msg)
	if err := m.Unpack(message); err != nil || !m.Response {
		t.Fatalf("%x is no answer: %v", message, err)
	}
	var list []string
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *mdns.A:
			list = append(list, rr.A.String())
		case *mdns.PTR:
			list = append(list, rr.Ptr)
		}
	}
	if len(list) == 0 {
		return mdns.RcodeToString[m.Rcode]
	}
	slices.Sort(list)
	return fmt.Sprint(list)
}

// ask asks a socket from an address, and returns the answer, if there is one.
func (s *stack) ask(socket *kerneltest.Socket, from string, query []byte) []byte {
	s.Helper()
	client := net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr(from), 4000))
	socket.In <- kerneltest.Packet{Addr: client, Data: query}
	synctest.Wait()
	select {
	case p := <-socket.Out:
		if p.Addr != client {
			s.Errorf("the answer goes to %s, want %s", p.Addr, client)
		}
		return p.Data
	default:
		return nil
	}
}

// wantNames wants a socket to answer a name with an address.
func (s *stack) wantNames(socket *kerneltest.Socket, from, name, want string) {
	s.Helper()
	answer := s.ask(socket, from, question(name))
	if answer == nil {
		s.Errorf("%s asks for %s and gets no answer", from, name)
	} else if got := answersOf(s.T, answer); got != "["+want+"]" {
		s.Errorf("%s asks for %s and is told %s, want %s", from, name, got, want)
	}
}

// TestAnswersPassTheHostLinkBy, whose queue is full of those to others when they ask a lot: the
// switch sends them to the port that has the address.
func TestAnswersPassTheHostLinkBy(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		a := s.addPort(c, "a")
		s.pass(time.Second)
		wire := s.Wire("a")
		wire.Frames()
		if answer := s.ask(s.socket("172.17.0.1"), "172.17.0.2", question("a")); answer != nil {
			s.Errorf("the socket is given %x to send", answer)
		}
		s.pass(time.Second)
		for _, eth := range wire.Frames() {
			f := frame.Ethernet(eth)
			if f.EtherType() != frame.EtherTypeIPv4 || f.Dst() != a.MAC {
				continue
			}
			packet := frame.IPv4(f.Payload())
			if got := answersOf(s.T, packet.Payload()[8:]); packet.Src() == addr("172.17.0.1") && got == "[172.17.0.2]" {
				return
			}
		}
		s.Error("no answer arrives at the container")
	})
}

// TestNamesAtTheHostLink: the segment's names are answered at the gateway's address on the host
// link, by datagrams and by connections, for the segment alone and as long as it is there.
func TestNamesAtTheHostLink(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		lab := s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		s.addPort(c, "x", func(p *api.PortSpec) { p.Segment = "lab" })
		socket := s.socket("10.66.0.1")
		if socket.Link != lab.HostLink.Name || socket.At.Port() != 53 {
			s.Errorf("the socket is at %s on %s", socket.At, socket.Link)
		}
		s.wantNames(socket, "10.66.0.200", "x", "10.66.0.2")
		for _, hostile := range [][]byte{nil, {0}, make([]byte, 12), make([]byte, 65000)} {
			s.ask(socket, "10.66.0.2", hostile)
		}
		s.wantNames(socket, "10.66.0.200", "x", "10.66.0.2")
		if b := s.ask(socket, "192.0.2.7", question("x")); b != nil && answersOf(s.T, b) != "REFUSED" {
			s.Errorf("somebody else is told %s", answersOf(s.T, b))
		}
		if got := s.askStream(socket, "10.66.0.2", question("x")); got != "[10.66.0.2]" {
			s.Errorf("over TCP x is %s", got)
		}
		if _, err := c.DeleteSegment(s.Context(), "lab", true); err != nil {
			s.Fatal(err)
		}
		if n := len(s.socketsAt("10.66.0.1")); n != 0 {
			s.Errorf("%d sockets outlive the segment", n)
		}
		s.socket("172.17.0.1")
		s.close(c, false)
		if n := len(s.socketsAt("172.17.0.1")); n != 0 {
			s.Errorf("%d sockets outlive the daemon", n)
		}
	})
}

// tcpPipe is a connection in memory from an address.
type tcpPipe struct {
	net.Conn
	from netip.Addr
}

func (p tcpPipe) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.from, 4000))
}

// askStream asks over a connection.
func (s *stack) askStream(socket *kerneltest.Socket, from string, query []byte) string {
	s.Helper()
	near, far := net.Pipe()
	defer near.Close()
	socket.Conns <- tcpPipe{far, addr(from)}
	if _, err := near.Write(binary.BigEndian.AppendUint16(nil, uint16(len(query)))); err != nil {
		s.Fatal(err)
	}
	if _, err := near.Write(query); err != nil {
		s.Fatal(err)
	}
	answer := make([]byte, 1024)
	var n int
	for n < 2 || n < 2+int(binary.BigEndian.Uint16(answer)) {
		m, err := near.Read(answer[n:])
		if err != nil {
			s.Fatal(err)
		}
		n += m
	}
	return answersOf(s.T, answer[2:n])
}

// TestPortOfNamesIsTaken: another resolver on the host is waited for, and people are told once.
func TestPortOfNamesIsTaken(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		s.FailCall("listen", syscall.EADDRINUSE)
		c := s.start()
		s.addPort(c, "a")
		s.pass(time.Second) // a process before, that is ending
		s.wantLines(0, "names are not served for now")
		s.pass(time.Minute)
		link := s.segment(c, "bridge").HostLink.Name
		s.wantLines(1, "names are not served for now", "interface="+link,
			"address=172.17.0.1:53", "in use")
		s.FailCall("listen", nil)
		s.pass(2 * retryMost)
		s.wantLines(1, "names are served", "interface="+link)
		s.wantNames(s.socket("172.17.0.1"), "172.17.0.200", "a", "172.17.0.2")
	})
	inStack(t, func(s *stack) { // a process before that takes no longer than it may
		s.FailCall("listen", syscall.EADDRINUSE)
		s.start()
		s.pass(retryGrace / 2)
		s.FailCall("listen", nil)
		s.pass(retryMost)
		s.socket("172.17.0.1")
		s.wantLines(0, "names are")
	})
	inStack(t, func(s *stack) { // a segment that ends meanwhile
		c := s.start()
		s.FailCall("listen", syscall.EADDRINUSE)
		s.addSegment(c, "lab", "10.66.0.0/24", api.UplinkHost)
		s.pass(10 * time.Millisecond)
		if _, err := c.DeleteSegment(s.Context(), "lab", true); err != nil {
			s.Fatal(err)
		}
		s.FailCall("listen", nil)
		s.pass(time.Minute)
		if n := len(s.socketsAt("10.66.0.1")); n != 0 {
			s.Errorf("%d sockets are open for a segment that has ended", n)
		}
	})
}

// TestSocketOfNamesFails: both halves are made again, not as fast as they can fail.
func TestSocketOfNamesFails(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		first := s.socket("172.17.0.1")
		first.Errs <- errFailure
		s.wantLines(1, "names are served anew: a socket has failed",
			"address=172.17.0.1:53", "out of order")
		if n := len(s.socketsAt("172.17.0.1")); n != 0 {
			s.Errorf("%d sockets are open", n)
		}
		s.pass(2 * retryMost)
		second := s.socket("172.17.0.1")
		s.wantNames(second, "172.17.0.200", "a", "172.17.0.2")
		second.Errs <- errFailure
		s.pass(time.Second)
		s.mustPublish(c, "a", "53:53/udp") // stops and begins to serve meanwhile
		s.wantNames(s.socket("172.17.0.1"), "172.17.0.200", "a", "172.17.0.2")
	})
}

// TestNamesOfALinkThatHadAnotherName: an interface that was renamed while the daemon did not run
// has its own name back, under which names are served whenever that begins anew.
func TestNamesOfALinkThatHadAnotherName(t *testing.T) {
	t.Parallel()
	inStack(t, func(s *stack) {
		c := s.start()
		s.addPort(c, "a")
		d := s.device(s.segment(c, "bridge").HostLink.Name)
		s.crash(c)
		s.change(d, func(l *kerneltest.Link) { l.Name = "lan0" })
		c = s.start()
		c.Settle()
		s.mustPublish(c, "a", "53:53/udp")
		s.wantNames(s.socket("172.17.0.1"), "172.17.0.200", "a", "172.17.0.2")
	})
}
