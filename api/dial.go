package api

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sys/unix"
)

// dialer connects to the daemon's socket. While more clients wait there than the
// socket's backlog holds the kernel says EAGAIN (unix(7)): then it tries again
// until ctx ends.
func dialer(socket string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := backoff.Retry(ctx, func() (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "unix", socket)
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				err = backoff.Permanent(err)
			}
			return c, err
		}, backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: 5 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: time.Second,
		}))
		if err != nil {
			return nil, &UnreachableError{Socket: socket, Err: bareError(err)}
		}
		return c, nil
	}
}
