package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"vswitch/internal/host"
	"vswitch/test/lab"
)

// newLoopback is a namespace with nothing but its loopback.
func newLoopback(t *testing.T) *lab.Namespace {
	t.Helper()
	ns := lab.NewNamespace(t)
	ns.Run("ip", "link", "set", "lo", "up")
	return ns
}

func listen(p host.Protocol, address string) (close func(), err error) {
	if p == host.TCP {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		return func() { l.Close() }, nil
	}
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	return func() { c.Close() }, nil
}

func TestReserve(t *testing.T) {
	t.Parallel()
	for _, p := range []host.Protocol{host.TCP, host.UDP} {
		ns := newLoopback(t)
		ns.Do(func() {
			r, err := host.Reserve(p, netip.Addr{}, 8000, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, address := range []string{"127.0.0.1:8000", ":8002"} {
				if _, err := listen(p, address); err == nil {
					t.Errorf("another program got %s/%s, which is reserved", address, p)
				}
			}
			if _, err := host.Reserve(p, netip.MustParseAddr("127.0.0.1"), 8002, 1); !errors.Is(err, host.ErrInUse) {
				t.Errorf("reserved twice: %v", err)
			}
			r.Close()
			for _, address := range []string{"127.0.0.1:8000", "[::]:8002"} { // [::] takes IPv4 too
				stop, err := listen(p, address)
				if err != nil {
					t.Fatalf("given back, %s/%s is not free: %v", address, p, err)
				}
				defer stop()
			}
			for _, port := range []uint16{8000, 8002} {
				if _, err := host.Reserve(p, netip.Addr{}, port, 1); !errors.Is(err, host.ErrInUse) {
					t.Errorf("reserved %d/%s of another program: %v", port, p, err)
				}
			}
			if _, err := host.Reserve(p, netip.Addr{}, 7998, 4); !errors.Is(err, host.ErrInUse) {
				t.Errorf("reserved a range with a port of another program: %v", err)
			}
			again, err := host.Reserve(p, netip.Addr{}, 7998, 2)
			if err != nil {
				t.Fatalf("the failure has left something: %v", err)
			}
			again.Close()
		})
	}
}

func TestReserveFree(t *testing.T) {
	t.Parallel()
	ns := newLoopback(t)
	ns.Do(func() {
		r, err := host.Reserve(host.TCP, netip.IPv4Unspecified(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if r.Port() == 0 {
			t.Error("no port was chosen")
		}
		if _, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", r.Port())); err == nil {
			t.Error("the chosen port is not reserved")
		}
	})
}

func TestReserveRefuses(t *testing.T) {
	t.Parallel()
	ns := newLoopback(t)
	ns.Do(func() {
		if _, err := host.Reserve(host.TCP, netip.MustParseAddr("192.0.2.9"), 80, 1); !errors.Is(err, host.ErrNotHost) {
			t.Errorf("an address of others: %v", err)
		}
		for _, c := range []struct {
			protocol host.Protocol
			host     netip.Addr
			port     uint16
			count    int
		}{
			{"sctp", netip.Addr{}, 80, 1},
			{host.TCP, netip.IPv6Unspecified(), 80, 1},
			{host.TCP, netip.Addr{}, 80, 0},
			{host.TCP, netip.Addr{}, 65535, 2},
			{host.TCP, netip.Addr{}, 0, 2},
		} {
			if r, err := host.Reserve(c.protocol, c.host, c.port, c.count); err == nil {
				r.Close()
				t.Errorf("%+v was reserved", c)
			}
		}
	})
}

// TestReservationIsSilent holds that a client gets no answer from a reservation:
// neither a connection nor a refusal.
func TestReservationIsSilent(t *testing.T) {
	t.Parallel()
	ns := newLoopback(t)
	ns.Do(func() {
		r, err := host.Reserve(host.TCP, netip.Addr{}, 8000, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		conn, err := net.DialTimeout("tcp", "127.0.0.1:8000", dialTimeout)
		if err == nil {
			conn.Close()
			t.Error("a connection to a reserved port was taken")
		} else if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("a connection to a reserved port: %v; want no answer", err)
		}
	})
}

// TestShare: a socket that says so may be bound beside a shared port, at one
// address, and one that does not still may not.
func TestShare(t *testing.T) {
	t.Parallel()
	newLoopback(t).Do(func() {
		for _, p := range []host.Protocol{host.TCP, host.UDP} {
			r, err := host.Reserve(p, netip.Addr{}, 52, 3)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for _, port := range []uint16{51, 55} {
				if err := r.Share(port); err == nil {
					t.Errorf("share port %d/%s, which is not reserved: no error", port, p)
				}
			}
			if err := r.Share(53); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				at    string
				share bool
				free  bool
			}{{"127.0.0.1:53", true, true}, {"127.0.0.1:53", false, false}, {"127.0.0.1:54", true, false}} {
				socket, err := bindTo(p, c.at, c.share)
				if (err == nil) != c.free {
					t.Errorf("bind to %s/%s, sharing %t: %v", c.at, p, c.share, err)
				}
				if err == nil {
					socket.Close()
				}
			}
		}
	})
}

func bindTo(p host.Protocol, at string, share bool) (io.Closer, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if share {
			cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
			err = errors.Join(cerr, err)
		}
		return err
	}}
	if p == host.UDP {
		return config.ListenPacket(context.Background(), "udp4", at)
	}
	return config.Listen(context.Background(), "tcp4", at)
}
