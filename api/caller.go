package api

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// caller is who sent a request.
type caller struct {
	uid   uint32
	known bool
}

type callerKey struct{}

// CallerIsRoot says whether the request that ctx belongs to was sent by a process of uid 0, as
// the kernel told when it connected (SO_PEERCRED, unix(7)). It is false where the kernel did not.
func CallerIsRoot(ctx context.Context) bool {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.isRoot()
}

func (c caller) isRoot() bool { return c.known && c.uid == 0 }

// withCaller adds who is at the other end of a connection that a server has accepted.
func withCaller(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*limitConn); ok {
		return context.WithValue(ctx, callerKey{}, c.caller)
	}
	return ctx
}

// callerOf asks the kernel who has made a connection.
func callerOf(c net.Conn) caller {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return caller{}
	}
	raw, err := socket.SyscallConn() //nolint:forbidigo // the method of a socket of package net
	if err != nil {
		return caller{}
	}
	var peer *unix.Ucred
	var failure error
	if err := raw.Control(func(fd uintptr) {
		peer, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || failure != nil {
		return caller{}
	}
	return caller{peer.Uid, true}
}
