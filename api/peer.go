package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Peer is the process that has made a connection to a socket of the daemon's, as the kernel tells
// (SO_PEERCRED, unix(7)).
type Peer struct {
	raw syscall.RawConn
	uid uint32
	pid int
	err error // why the kernel has not told; nil: it has
}

type peerKey struct{}

// WithPeer has [PeerOf] find who has made c. It is an [http.Server.ConnContext].
func WithPeer(ctx context.Context, c net.Conn) context.Context {
	if limited, ok := c.(*limitConn); ok {
		return context.WithValue(ctx, peerKey{}, limited.Peer)
	}
	return context.WithValue(ctx, peerKey{}, peerOf(c))
}

// PeerOf returns the process whose request has this context; nil: this process itself.
func PeerOf(ctx context.Context) *Peer {
	peer, _ := ctx.Value(peerKey{}).(*Peer)
	return peer
}

// CallerIsRoot says whether the request that ctx belongs to was sent by a process of uid 0, as
// the kernel told when it connected. It is false where the kernel did not.
func CallerIsRoot(ctx context.Context) bool {
	peer := PeerOf(ctx)
	return peer != nil && peer.isRoot()
}

func (p *Peer) isRoot() bool { return p.err == nil && p.uid == 0 }

// Process returns the id of the process as this one sees it, 0 if it cannot, and a descriptor of
// it, by which the caller knows whether that process still has the id (pidfd_open(2)), and which
// the caller closes.
func (p *Peer) Process() (pid, pidfd int, err error) {
	if p.err != nil {
		return 0, 0, p.err
	}
	// The socket keeps what this is of: it is no other process's by now.
	if e := p.raw.Control(func(fd uintptr) { //nolint:forbidigo // the method of a socket of package net
		pidfd, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	}); e != nil {
		err = e
	}
	if errors.Is(err, unix.ENOPROTOOPT) && p.pid > 0 { // before Linux 6.5
		pidfd, err = unix.PidfdOpen(p.pid, 0)
	}
	if err != nil {
		return 0, 0, unknownPeer(err)
	}
	return p.pid, pidfd, nil
}

// peerOf asks the kernel who has made a connection.
func peerOf(c net.Conn) *Peer {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return &Peer{err: unknownPeer(errors.New("the connection is not of a unix socket"))}
	}
	raw, err := socket.SyscallConn() //nolint:forbidigo // the method of a socket of package net
	if err != nil {
		return &Peer{err: unknownPeer(err)}
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); e != nil {
		err = e
	}
	if err != nil {
		return &Peer{err: unknownPeer(err)}
	}
	return &Peer{raw: raw, uid: cred.Uid, pid: int(cred.Pid)}
}

func unknownPeer(err error) error {
	return fmt.Errorf("find the process at the other end of the connection: %w", err)
}
