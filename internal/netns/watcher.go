package netns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Watcher reports changes of links and of their addresses in any number of
// namespaces, which it reads from one socket of the calling thread's own namespace
// (NETLINK_LISTEN_ALL_NSID, netlink(7)). It keeps none but its own alive.
type Watcher struct {
	file *os.File   // nil after a failure, until Run opens it anew
	own  *Namespace // that it was made in
	join func(fd int) error
}

// ownNumber is what events of the watcher's own namespace bear.
const ownNumber = -1

// LinkEvent says that a link or one of its addresses has changed, or that changes
// were missed. The event may be old: look up what the link is like now.
type LinkEvent struct {
	Namespace int // as Watch has returned it
	Index     int
	Missed    bool // the kernel had to drop events: look at all links again
}

// Link is the state of a link.
type Link struct {
	Index int
	Name  string
	MAC   net.HardwareAddr
	Up    bool // set up by whoever is in the namespace
	// TxQueueLen is the length of the queue in frames: for a TAP, the size of its ring.
	TxQueueLen int
	// Addrs are the IPv4 and IPv6 addresses that the link has, sorted, each once.
	// IPv6 addresses that are not used yet, or never will be, because duplicate
	// address detection is running or has failed (RFC 4862 §5.4), are left out.
	Addrs []netip.Addr
	// Changing says that addresses changed while they were listed, so that Addrs may have
	// some of before and some of after: look again.
	Changing bool
}

// watchBuffer is the room in bytes for events not read yet: some thousands.
const watchBuffer = 4 << 20

// changeKinds are the messages that say that a link or an address has changed.
var changeKinds = []uint16{
	unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR,
}

// NewWatcher makes a watcher in the namespace of the calling thread, for links and
// their IPv4 and IPv6 addresses. It takes CAP_NET_BROADCAST. A link that was moved
// into another namespace is reported as one that has changed where it was. The end
// of duplicate address detection counts as a change of the address.
func NewWatcher() (*Watcher, error) {
	return newWatcher(func(fd int) error {
		err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1)
		if err != nil {
			return err
		}
		return join(fd, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	})
}

// NewHostWatcher makes a watcher of the links of the calling thread's namespace
// alone, their IPv4 addresses included. Its events bear -1 as the namespace.
func NewHostWatcher() (*Watcher, error) {
	return newWatcher(func(fd int) error {
		return join(fd, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR)
	})
}

func newWatcher(join func(fd int) error) (*Watcher, error) {
	own, err := Current()
	if err != nil {
		return nil, fmt.Errorf("watch links: %w", err)
	}
	w := &Watcher{own: own, join: join}
	if err := w.open(); err != nil {
		own.Close()
		return nil, err
	}
	return w, nil
}

// open makes the socket. The thread must be in the watcher's own namespace.
func (w *Watcher) open() error {
	kind := unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a socket to watch links: %w", err)
	}
	if err := w.join(fd); err != nil {
		unix.Close(fd)
		return fmt.Errorf("watch links: %w", err)
	}
	w.file = os.NewFile(uintptr(fd), "netlink")
	return nil
}

// join has fd get the messages of these groups.
func join(fd int, groups ...int) error {
	// Without it the default must do.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for _, group := range groups {
		err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		if err != nil {
			return err
		}
	}
	return nil
}

// Watch begins to watch the links of ns and returns the number that its events
// bear. It must be called from the namespace that the watcher was made in.
func (w *Watcher) Watch(ns *Namespace) (int, error) {
	if ns.ID() == w.own.ID() {
		return ownNumber, nil
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return 0, fmt.Errorf("watch network namespace %s: %w", ns, err)
	}
	defer h.Close()
	// A watcher before may have given it one, which stays until the namespace ends.
	if id, err := h.GetNetNsIdByFd(ns.fd); err == nil && id >= 0 {
		return id, nil
	}
	if err := h.SetNetNsIdByFd(ns.fd, -1); err != nil && !errors.Is(err, unix.EEXIST) {
		return 0, fmt.Errorf("give network namespace %s a number: %w", ns, err)
	}
	id, err := h.GetNetNsIdByFd(ns.fd)
	if err != nil {
		return 0, fmt.Errorf("look up the number of network namespace %s: %w", ns, err)
	}
	return id, nil
}

// Run calls f for each event, one at a time, until ctx ends, and returns nil then. After an
// error it may be called again: it opens the socket anew and reports that changes were missed.
// The numbers of the namespaces stay.
func (w *Watcher) Run(ctx context.Context, f func(LinkEvent)) error {
	if w.file == nil {
		if err := w.own.Do(w.open); err != nil {
			return err
		}
		f(LinkEvent{Missed: true})
	}
	err := w.read(ctx, f)
	if err != nil {
		w.file.Close()
		w.file = nil
	}
	return err
}

// read is Run with an open socket.
func (w *Watcher) read(ctx context.Context, f func(LinkEvent)) error {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	file := w.file
	stop := context.AfterFunc(ctx, func() { file.Close() })
	defer stop()
	buf, control := make([]byte, 1<<16), make([]byte, 256)
	for {
		var n, cn int
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			n, cn, _, _, failed = unix.Recvmsg(int(fd), buf, control, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read changes of links: %w", err)
		case errors.Is(failed, unix.ENOBUFS):
			f(LinkEvent{Missed: true})
		case failed != nil && !errors.Is(failed, unix.EINTR):
			return fmt.Errorf("read changes of links: %w", failed)
		case failed == nil:
			linkEvents(buf[:n], namespaceOf(control[:cn]), f)
		}
	}
}

// Close ends the watcher, which must not run.
func (w *Watcher) Close() error {
	w.own.Close()
	if w.file == nil {
		return nil
	}
	if err := w.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// namespaceOf is the namespace's number in a message's control data; the
// watcher's own has none there.
func namespaceOf(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return ownNumber
	}
	for _, m := range messages {
		h := m.Header
		if h.Level == unix.SOL_NETLINK && h.Type == unix.NETLINK_LISTEN_ALL_NSID && len(m.Data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(m.Data)))
		}
	}
	return ownNumber
}

// linkEvents calls f for each change in a datagram.
func linkEvents(b []byte, namespace int, f func(LinkEvent)) {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return
	}
	for _, m := range messages {
		if !slices.Contains(changeKinds, m.Header.Type) || len(m.Data) < unix.SizeofIfAddrmsg {
			continue
		}
		// ifi_index of struct ifinfomsg and ifa_index of struct ifaddrmsg (rtnetlink(7)).
		index := binary.NativeEndian.Uint32(m.Data[4:])
		f(LinkEvent{Namespace: namespace, Index: int(int32(index))})
	}
}
