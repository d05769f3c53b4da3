package lab

import (
	"errors"
	"strings"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// AwaitNetwork asks whether reached reports true, and asks again whenever the kernel announces a
// change of a link, of an address or of a neighbour in the namespace (rtnetlink(7)). It fails the
// test if reached does not report true within [Patience]. Its socket keeps the namespace alive
// meanwhile.
func (n *Namespace) AwaitNetwork(what string, reached func() bool) {
	n.tb.Helper()
	changes, err := n.subscribe()
	if err != nil {
		n.tb.Fatalf("subscribe to changes in network namespace %s: %v", n.name, err)
	}
	defer changes.Close()
	for deadline := time.Now().Add(Patience); !reached(); {
		switch err := nextChange(changes, deadline); {
		case errors.Is(err, unix.EAGAIN):
			n.tb.Fatalf("still not so after %s: %s", Patience, what)
		case err != nil:
			n.tb.Fatalf("receive changes in network namespace %s: %v", n.name, err)
		}
	}
}

// subscribe opens a socket that receives the namespace's changes.
func (n *Namespace) subscribe() (changes *nl.NetlinkSocket, err error) {
	err = InNamespace(n.name, func() error {
		changes, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
			unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
		return err
	})
	return changes, err
}

// nextChange returns once there was a change; EAGAIN says that there was none before the deadline.
func nextChange(changes *nl.NetlinkSocket, deadline time.Time) error {
	const least = time.Millisecond // 0 is no limit
	left := unix.NsecToTimeval(int64(max(time.Until(deadline), least)))
	if err := changes.SetReceiveTimeout(&left); err != nil {
		return err
	}
	_, _, err := changes.Receive()
	if errors.Is(err, unix.ENOBUFS) { // there were more than the socket has room for
		return nil
	}
	return err
}

// AwaitLinkUp waits until the interface of this name carries frames, which is a while after it
// was set up (linkwatch, net/core/link_watch.c).
func (n *Namespace) AwaitLinkUp(name string) {
	n.tb.Helper()
	n.AwaitNetwork("interface "+name+" is up", func() bool {
		return strings.Contains(n.Run("ip", "-o", "link", "show", "dev", name), "state UP")
	})
}
