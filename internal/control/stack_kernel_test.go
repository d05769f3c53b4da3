package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing/synctest"

	"vswitch/internal/control/kernel"
	"vswitch/internal/host"
	"vswitch/internal/netns"
)

// stackKernel is the stack's kernel.
type stackKernel struct {
	fakeKernel
	s *stack
}

func (k stackKernel) CreateTAP(name string) (kernel.Device, error) {
	if err := k.s.failure("create"); err != nil && strings.HasPrefix(name, "vs-") {
		return nil, err
	}
	return k.fakeKernel.CreateTAP(name)
}

func (k stackKernel) AttachTAP(in kernel.Namespace, name string) (kernel.Device, error) {
	if err := k.s.failure("attach"); err != nil && strings.HasPrefix(name, "vs-") {
		return nil, err
	}
	return k.fakeKernel.AttachTAP(in, name)
}

func (k stackKernel) OwnNamespace() (kernel.Namespace, error) {
	return k.own, k.s.failure("own namespace")
}

func (k stackKernel) HostConflict(subnet netip.Prefix) (string, error) {
	err := k.s.failure("conflict")
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.s.hostNet.Overlaps(subnet) {
		return "", err
	}
	return "route to " + k.s.hostNet.String(), err
}

func (k stackKernel) SetUpHostLink(index int, c netns.HostLink) (int, []string, error) {
	if err := k.s.failure("set up"); err != nil {
		return 0, nil, err
	}
	k.mu.Lock()
	k.s.setUps++
	k.s.alias[c.Name] = c.Alias
	var mended []string
	for _, l := range k.own.links {
		if l.Index != index && (index != 0 || l.Name != c.Name) {
			continue
		}
		for what, is := range map[string]bool{
			"name": l.Name == c.Name, "mac address": slices.Equal(l.MAC, c.MAC), "up": l.Up,
		} {
			if !is {
				mended = append(mended, what)
			}
		}
	}
	k.mu.Unlock()
	index, _, err := k.fakeKernel.SetUpHostLink(index, c)
	slices.Sort(mended)
	return index, mended, err
}

func (k stackKernel) HardenHostLink(string, string) error { return k.s.failure("harden") }

// stackWatcher tells of the links of the daemon's own namespace.
type stackWatcher struct{ *stack }

func (k stackKernel) WatchHostLinks() (kernel.LinkWatcher, error) {
	return stackWatcher{k.s}, k.s.failure("watch")
}

func (stackWatcher) Watch(kernel.Namespace) (int, error) { return 0, errors.ErrUnsupported }
func (stackWatcher) Close() error                        { return nil }

func (w stackWatcher) Run(ctx context.Context, f func(netns.LinkEvent)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.events:
			f(e)
		}
	}
}

// packet is a datagram with where it comes from or goes to.
type packet struct {
	at   net.Addr
	data []byte
}

// fakeSocket is what is open at the gateway's address of a host link: UDP, and TCP.
type fakeSocket struct {
	noSocket
	link string
	at   netip.AddrPort
	in   chan packet
	out  chan packet
	err  chan error // what a read fails with
	conn chan net.Conn
	lost func(uint64)
}

func (s *fakeSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-s.closed:
		return 0, nil, net.ErrClosed
	case err := <-s.err:
		return 0, nil, err
	case p := <-s.in:
		return copy(b, p.data), p.at, nil
	}
}

func (s *fakeSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	s.out <- packet{to, slices.Clone(b)}
	return len(b), nil
}

// fakeListener is the TCP half.
type fakeListener struct{ *fakeSocket }

func (l fakeListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	case c := <-l.conn:
		return c, nil
	}
}

func (fakeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (k stackKernel) ListenOnLink(
	link string, at netip.AddrPort, lost func(uint64),
) (netns.LinkSocket, error) {
	if err := k.s.failure("listen"); err != nil {
		return netns.LinkSocket{}, err
	}
	if _, err := k.own.LinkByName(link); err != nil {
		return netns.LinkSocket{}, fmt.Errorf("listen on interface %q: %w", link, err)
	}
	udp, _ := k.fakeKernel.ListenOnLink(link, at, lost)
	s := &fakeSocket{
		noSocket: udp.UDP.(noSocket), link: link, at: at, lost: lost, in: make(chan packet),
		out: make(chan packet, 16), err: make(chan error), conn: make(chan net.Conn),
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s.sockets = append(k.s.sockets, s)
	return netns.LinkSocket{UDP: s, TCP: fakeListener{s}}, nil
}

// socketsAt returns the open sockets at an address.
func (s *stack) socketsAt(addr string) (open []*fakeSocket) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, socket := range s.sockets {
		select {
		case <-socket.closed:
		default:
			if socket.at.Addr().String() == addr {
				open = append(open, socket)
			}
		}
	}
	return open
}

// socket returns the only open one at an address.
func (s *stack) socket(addr string) *fakeSocket {
	s.Helper()
	open := s.socketsAt(addr)
	if len(open) != 1 {
		s.Fatalf("%d sockets are open at %s, want one", len(open), addr)
	}
	return open[0]
}

func (k stackKernel) ForgetUDP(at netip.Addr, first, last uint16) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s.forgot = append(k.s.forgot, fmt.Sprintf("%s:%d-%d", at, first, last))
	return k.s.fails["forget"]
}

func (k stackKernel) WriteResolvConf(
	name, id string, nameserver netip.Addr, held func(id string) bool,
) error {
	if err := k.s.failure("write resolv.conf"); err != nil {
		return err
	}
	k.mu.Lock()
	owner, _, found := strings.Cut(k.s.resolv[name], " ")
	k.mu.Unlock()
	// Asked without the lock, which who holds the control plane's may be waiting for.
	if found && owner != id && held(owner) {
		return fmt.Errorf("%w: written for another port", netns.ErrNotOurs)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s.resolv[name] = id + " " + nameserver.String()
	return nil
}

func (k stackKernel) RemoveResolvConf(name, id string) error {
	if err := k.s.failure("remove resolv.conf"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if strings.HasPrefix(k.s.resolv[name], id+" ") {
		delete(k.s.resolv, name)
	}
	return nil
}

// stackRuleset is the stack's firewall.
type stackRuleset struct {
	*fakeRuleset
	s *stack
}

func (k stackKernel) OpenRuleset(*slog.Logger, string) (kernel.Ruleset, error) {
	if err := k.s.failure("open rules"); err != nil {
		return nil, err
	}
	return stackRuleset{&fakeRuleset{k.world}, k.s}, nil
}

func (r stackRuleset) Apply(c host.Config) error {
	if err := r.s.failure("apply"); err != nil {
		return err
	}
	return r.fakeRuleset.Apply(c)
}

func (r stackRuleset) Remove() error {
	return errors.Join(r.s.failure("remove"), r.fakeRuleset.Remove())
}

func (r stackRuleset) Foreign() []host.Foreign {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.foreign
}

// config returns what the firewall does now.
func (s *stack) config() (c host.Config, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules, s.rulesThere
}

// forwards returns what the firewall sends on to containers.
func (s *stack) forwards() []string {
	c, _ := s.config()
	list := []string{}
	for _, f := range c.Forwards {
		list = append(list, f.String()+" at "+f.To.String())
	}
	slices.Sort(list)
	return list
}

// stackReservation is one that notes which of its ports is shared.
type stackReservation struct {
	kernel.Reservation
	s *stack
}

func (k stackKernel) Reserve(
	p host.Protocol, at netip.Addr, port uint16, count int,
) (kernel.Reservation, error) {
	if err := k.s.failure("reserve"); err != nil {
		return nil, err
	}
	for _, s := range k.s.socketsNow() {
		if port <= s.at.Port() && int(s.at.Port()) < int(port)+count {
			return nil, fmt.Errorf("%w: %s has it", host.ErrInUse, s.link)
		}
	}
	r, err := k.fakeKernel.Reserve(p, at, port, count)
	if err != nil {
		return nil, err
	}
	return stackReservation{r, k.s}, nil
}

// socketsNow returns the sockets that are open, without waiting.
func (s *stack) socketsNow() []*fakeSocket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.sockets), func(socket *fakeSocket) bool {
		select {
		case <-socket.closed:
			return true
		default:
			return false
		}
	})
}

func (r stackReservation) Share(port uint16) error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.shared = append(r.s.shared, port)
	return r.s.fails["share"]
}

// reservedPorts returns the ports that are kept from other programs.
func (s *stack) reservedPorts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []string{}
	for p := range s.reserved {
		list = append(list, p.String())
	}
	slices.Sort(list)
	return list
}
