package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"vswitch/internal/control/kernel"
	"vswitch/internal/gateway"
	"vswitch/internal/gateway/dns"
	"vswitch/internal/netns"
)

// sockets are the kernel's, by which a segment's resolver answers where the host
// has the gateway's address: UDP and TCP, on the host link alone. While somebody
// else has the port, it is tried again.
type sockets struct {
	log      *slog.Logger
	kernel   kernel.HostStack
	resolver *dns.Resolver
	aside    func(to net.Addr, answer []byte) bool // see [dns.Resolver.ServeUDP]
	device   kernel.Device                         // the host link's
	link     string                                // its name when the sockets were last opened
	at       netip.AddrPort
	cancel   context.CancelFunc
	done     chan struct{} // closed when nothing is served any more
}

// listen begins to answer at the gateway's address on the host link that is device's; it has
// begun when listen returns, if the port was free.
func (v *services) listen(
	log *slog.Logger, k kernel.HostStack, device kernel.Device, address netip.Addr,
) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sockets{
		log: log, kernel: k, resolver: v.resolver, aside: v.answerAside,
		device: device, at: netip.AddrPortFrom(address, gateway.DNSPort),
		cancel: cancel, done: make(chan struct{}),
	}
	v.sockets = s
	socket, err := s.open()
	go func() {
		defer close(s.done)
		for {
			if err != nil {
				if socket, err = s.retry(ctx); err != nil {
					return // ctx has ended
				}
			}
			if err = s.serve(ctx, socket); ctx.Err() != nil {
				return
			}
		}
	}()
}

// open makes the sockets, if the port is free. The link may have been renamed since the device was
// opened.
func (s *sockets) open() (netns.LinkSocket, error) {
	name, err := s.device.LinkName()
	if err != nil {
		return netns.LinkSocket{}, err
	}
	s.link = name
	return s.kernel.ListenOnLink(s.link, s.at, s.resolver.Lost)
}

// unlisten ends that and waits for it.
func (v *services) unlisten() {
	if v.sockets == nil {
		return
	}
	v.sockets.cancel()
	<-v.sockets.done
	v.sockets = nil
}

// pauseNames frees the resolvers' port until the function that it returns is called.
func (pubs *publications) pauseNames() (resume func()) {
	var resumes []func()
	for _, s := range pubs.allSegments {
		v, old := s.services, s.services.sockets
		if old == nil {
			continue
		}
		v.unlisten()
		resumes = append(resumes, func() { v.listen(old.log, old.kernel, old.device, old.at.Addr()) })
	}
	return func() {
		for _, f := range resumes {
			f()
		}
	}
}

// How soon a port of the host, or its firewall, is tried again, the second pause twice the first
// and so on, and for how long a process that ends may keep a port before people are told.
const (
	retryFirst = 50 * time.Millisecond
	retryMost  = 5 * time.Second
	retryGrace = 2 * time.Second
)

// newPauses returns the pauses before each time that something of the host's is tried again.
func newPauses() *backoff.ExponentialBackOff {
	p := &backoff.ExponentialBackOff{
		InitialInterval: retryFirst, Multiplier: 2, MaxInterval: retryMost,
	}
	p.Reset()
	return p
}

// retry opens the sockets as soon as that is possible, unless ctx ends before.
func (s *sockets) retry(ctx context.Context) (netns.LinkSocket, error) {
	started, told := time.Now(), false
	tell := func(err error, _ time.Duration) {
		if !told && time.Since(started) >= retryGrace {
			told = true
			s.log.Warn("names are not served for now: another resolver on the host may have the port, and should leave out this interface",
				"interface", s.link, "address", s.at, "error", err)
		}
	}
	socket, err := backoff.Retry(ctx, s.open, backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(tell), backoff.WithBackOff(newPauses()))
	if err == nil && told {
		s.log.Info("names are served", "interface", s.link, "address", s.at)
	}
	return socket, err
}

// serve answers until ctx ends or a socket fails, closes both, and returns why.
func (s *sockets) serve(ctx context.Context, socket netns.LinkSocket) error {
	defer context.AfterFunc(ctx, socket.Close)()
	var tasks errgroup.Group
	for _, serve := range []func() error{
		func() error { return s.resolver.ServeUDP(socket.UDP, s.aside) },
		func() error { return s.resolver.ServeTCP(socket.TCP) },
	} {
		tasks.Go(func() error {
			defer socket.Close() // neither goes on without the other
			return serve()
		})
	}
	err := tasks.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.log.Warn("names are served anew: a socket has failed", "interface", s.link, "address", s.at, "error", err)
	select { // not as fast as it can fail
	case <-ctx.Done():
	case <-time.After(retryMost):
	}
	return errors.Join(errSocket, err)
}

// errSocket says that a socket has failed, whatever it said itself.
var errSocket = errors.New("a socket has failed")
