package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"vswitch/dns"
	"vswitch/gateway"
	"vswitch/netns"
)

// sockets are the kernel's, by which a segment's resolver answers where the host
// has the gateway's address: UDP and TCP, on the host link alone. While somebody
// else has the port, it is tried again.
type sockets struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when they are closed
}

// listen begins to answer at the address on the host link of this name.
func (v *services) listen(log *slog.Logger, link string, address netip.Addr) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sockets{cancel: cancel, done: make(chan struct{})}
	v.sockets = s
	go func() {
		defer close(s.done)
		for ctx.Err() == nil {
			serveNames(ctx, log, v.resolver, link, netip.AddrPortFrom(address, gateway.DNSPort))
		}
	}()
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

// How soon the port is tried again, and for how long a process that ends may keep
// it before people are told.
const (
	listenFirst = 50 * time.Millisecond
	listenMost  = 5 * time.Second
	listenGrace = 2 * time.Second
)

// serveNames opens the sockets and serves them until ctx ends or one fails.
func serveNames(ctx context.Context, log *slog.Logger, r *dns.Resolver, link string, at netip.AddrPort) {
	started, told := time.Now(), false
	socket, err := backoff.Retry(ctx, func() (netns.LinkSocket, error) {
		return netns.ListenOnLink(link, at)
	}, backoff.WithMaxElapsedTime(0), backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: listenFirst, Multiplier: 2, MaxInterval: listenMost,
	}), backoff.WithNotify(func(err error, _ time.Duration) {
		if !told && time.Since(started) >= listenGrace {
			told = true
			log.Warn("names are not served until this is put right: another resolver on the host may have the port, and should leave out this interface",
				"interface", link, "address", at, "error", err)
		}
	}))
	if err != nil {
		return // ctx has ended
	}
	if told {
		log.Info("names are served again", "interface", link, "address", at)
	}
	defer context.AfterFunc(ctx, socket.Close)()
	var tasks errgroup.Group
	for _, serve := range []func() error{
		func() error { return r.ServeUDP(socket.UDP) },
		func() error { return r.ServeTCP(socket.TCP) },
	} {
		tasks.Go(func() error {
			defer socket.Close() // neither goes on without the other
			return serve()
		})
	}
	if err := tasks.Wait(); err != nil && ctx.Err() == nil {
		log.Warn("names are served anew", "interface", link, "address", at, "error", err)
		select { // not as fast as it can fail
		case <-ctx.Done():
		case <-time.After(listenFirst):
		}
	}
}
